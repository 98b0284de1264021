"""What ONTAP lets one say about the space of a volume, and this door carries out itself.

The snapshot reserve is a number: nothing keeps files out of it, but it is not
counted as room for them. Autosize and the fullness thresholds are watched by
`SpaceWatcher`, which the server runs on a timer. Both are kept in the volume's
annotations; documents of the kind `KIND` say which volumes have to be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from gateway.core import documents, errors, volumes
from gateway.core.capability import NO_SUCH_OPERATION, SIZE_MAX, Capability
from gateway.core.context import Core
from gateway.core.model import Volume, VolumeKind, VolumeState
from gateway.core.observer import Observer
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.errors import WireError

KIND = "ontap.space"
"""The kind of the documents that are called like the ids of the volumes that are watched."""
RESERVE = "ontap.snapshot_reserve"
WATCH = "ontap.space"
RESERVE_PATH = "space.snapshot.reserve_percent"
RESERVE_MAX = 90
_PERCENT = 100
_STEP_PERCENT = 10
"""By how much of its size a volume grows at least."""
_MAXIMUM_PERCENT = 120
_MODES = ("off", "grow", "grow_shrink")
_PATHS: Mapping[str, str] = {
    "autosize.mode": "mode",
    "autosize.maximum": "maximum",
    "autosize.minimum": "minimum",
    "autosize.grow_threshold": "grow_threshold",
    "autosize.shrink_threshold": "shrink_threshold",
    "space.nearly_full_threshold_percent": "nearly_full",
    "space.full_threshold_percent": "full",
}
AUTOSIZE = tuple(path for path in _PATHS if path.startswith("autosize."))
SETTINGS = frozenset({RESERVE_PATH, *_PATHS})
"""The fields of a body that `annotated` reads."""


class SpaceWatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a volume's size follows its use, and when to say that it is full; sizes in bytes, thresholds in percent.

    `volume`: whose it is. What copies a volume copies its annotations, and a copy is not watched.
    """

    volume: UUID
    mode: str = "off"
    maximum: int = 0
    minimum: int = 0
    grow_threshold: int = 85
    shrink_threshold: int = 50
    nearly_full: int | None = None
    full: int | None = None

    @property
    def idle(self) -> bool:
        """Tell whether nothing has to be watched."""
        return self.mode == _MODES[0] and self.nearly_full is None and self.full is None


def reserve_percent(volume: Volume) -> int:
    """Give the snapshot reserve of a volume in percent of its size."""
    return int(volume.annotations.get(RESERVE, 0)) if volume.kind is VolumeKind.FILESYSTEM else 0


def watch_of(volume: Volume) -> SpaceWatch | None:
    """Give how a volume is watched; None when nobody has asked for anything."""
    kept = volume.annotations.get(WATCH)
    found = None if kept is None else msgspec.json.decode(kept, type=SpaceWatch)
    return found if found is not None and found.volume == volume.id else None


def render_autosize(watch: SpaceWatch | None) -> dict[str, Any]:
    """Render `autosize`: a volume of which nobody has said anything keeps its size."""
    if watch is None:
        return {"mode": _MODES[0]}
    return {
        "mode": watch.mode,
        "maximum": watch.maximum,
        "minimum": watch.minimum,
        "grow_threshold": watch.grow_threshold,
        "shrink_threshold": watch.shrink_threshold,
    }


def annotated(volume: Volume, values: Values, capability: Capability) -> dict[str, str]:
    """Give the annotations that a volume has with the settings of a body.

    `volume` has the size that the body gives it. WireError for settings that
    contradict each other, Unsupported where the pool could not follow them.
    """
    found = dict(volume.annotations)
    reserve = values.get(RESERVE_PATH)
    if isinstance(reserve, int):
        _check_reserve(volume, reserve)
        found.pop(RESERVE, None)
        if reserve:
            found[RESERVE] = str(reserve)
    given = {field: values[path] for path, field in _PATHS.items() if path in values}
    if given:
        usual = SpaceWatch(volume=volume.id, maximum=volume.size * _MAXIMUM_PERCENT // _PERCENT, minimum=volume.size)
        changes = {field: getattr(usual, field) if value is None else value for field, value in given.items()}
        watch = msgspec.structs.replace(watch_of(volume) or usual, **changes)
        _check_watch(volume, watch, capability)
        found[WATCH] = msgspec.json.encode(watch).decode()
    return found


def _check_reserve(volume: Volume, reserve: int) -> None:
    if not 0 <= reserve <= RESERVE_MAX:
        message = f"The snapshot reserve must be 0 to {RESERVE_MAX} percent."
        raise WireError(400, "917835", message=message, target=RESERVE_PATH)
    if reserve and volume.kind is not VolumeKind.FILESYSTEM:
        raise _unfit(RESERVE_PATH, "the volume is as large as what it holds")


def _check_watch(volume: Volume, watch: SpaceWatch, capability: Capability) -> None:
    for path, field in _PATHS.items():
        value = getattr(watch, field)
        if path.endswith(("threshold", "percent")) and value is not None and not 0 < value <= _PERCENT:
            message = f'Field "{path}" must be 1 to {_PERCENT} percent.'
            raise WireError(400, "262200", message=message, target=path)
    if watch.nearly_full is not None and watch.full is not None and watch.nearly_full >= watch.full:
        message = "A volume is nearly full before it is full."
        raise WireError(400, "262186", message=message, target="space.nearly_full_threshold_percent")
    if watch.mode == _MODES[0]:
        return
    if volume.kind is not VolumeKind.FILESYSTEM:
        raise _unfit("autosize.mode", "the size of a LUN follows nothing")
    for wrong, code, message in (
        (watch.grow_threshold <= watch.shrink_threshold, "917829", "The grow threshold must exceed the shrink one."),
        (watch.minimum > watch.maximum, "917831", "The minimum must not exceed the maximum."),
        (watch.maximum < volume.size, "918521", "The maximum must not be less than the volume's size."),
        (watch.minimum > volume.size, "918524", "The minimum must not exceed the volume's size."),
    ):
        if wrong:
            raise WireError(400, code, message=message, target="autosize")
    for operation in ("resize", "shrink") if watch.mode == _MODES[2] else ("resize",):
        if not capability.can(operation):
            reason = capability.why_not.get(operation, NO_SUCH_OPERATION)
            raise errors.Unsupported(capability=operation, backend=capability.pool, reason=reason)


def _unfit(path: str, why: str) -> WireError:
    message = f'The specified volume property cannot be changed on this platform. Field "{path}": {why}.'
    return WireError(400, "918703", message=message, target=path)


async def mark(core: Core, volume_id: UUID, annotations: Mapping[str, str]) -> None:
    """Have a volume with such annotations watched. Called before it has them: a crash leaves one watched in vain."""
    if WATCH in annotations and not msgspec.json.decode(annotations[WATCH], type=SpaceWatch).idle:
        await documents.put_named(core, KIND, str(volume_id), "{}")


def wanted_size(volume: Volume, watch: SpaceWatch, used: int, capability: Capability) -> int:
    """Give the size that a volume should have when it uses `used` bytes: within its bounds, a size the pool can make.

    Beyond its threshold it grows by a tenth, or by so much that it is below
    it again; it shrinks to the middle between both thresholds.
    """
    facts, size = capability.facts, volume.size
    if watch.mode == _MODES[0]:
        return size
    if used * _PERCENT > size * watch.grow_threshold:
        least = -(-used * _PERCENT // watch.grow_threshold)
        size = min(max(size + size * _STEP_PERCENT // _PERCENT, least), max(size, watch.maximum))
    elif watch.mode == _MODES[2] and used * _PERCENT < size * watch.shrink_threshold:
        middle = -(-used * 2 * _PERCENT // (watch.grow_threshold + watch.shrink_threshold))
        size = max(min(size, watch.minimum), middle, facts.size_min)
    size = -(-size // facts.size_step) * facts.size_step
    return min(size, SIZE_MAX if facts.size_max is None else facts.size_max)


class SpaceWatcher:
    """Looks how full the watched volumes are, resizes them, and says when they pass a threshold."""

    def __init__(self, core: Core, observer: Observer) -> None:
        self._core = core
        self._observer = observer
        self._said: dict[UUID, str] = {}
        self._idle: set[UUID] = set()

    async def run(self) -> None:
        """Look once at each. What fails is tried again at the next time."""
        marks = {UUID(document.name) for document in await documents.all_of(self._core, KIND)}
        if not marks:
            return
        found = await self._core.catalog.get_many(Volume, marks)
        for volume_id in marks:
            volume = found.get(volume_id)
            watch = None if volume is None else watch_of(volume)
            if volume is None or watch is None or watch.idle:
                await self._pass_over(volume_id)
                continue
            self._idle.discard(volume_id)
            if volume.state is VolumeState.ONLINE and volume.replica_of is None and volume.retired is None:
                try:
                    await self._look(volume, watch)
                except errors.GatewayError as error:
                    self._observer.event("volume_not_watched", volume=volume.name, error=str(error))

    async def _pass_over(self, volume_id: UUID) -> None:
        """Forget what is to be watched in vain, at the second time: at the first it may be about to be changed."""
        self._said.pop(volume_id, None)
        if volume_id in self._idle:
            self._idle.discard(volume_id)
            await documents.delete(self._core, KIND, str(volume_id))
        else:
            self._idle.add(volume_id)

    async def _look(self, volume: Volume, watch: SpaceWatch) -> None:
        pool = self._core.pools.get(volume.pool_id)
        observed = await pool.backend.inspect(volume.id)
        if observed is None:
            return
        size = wanted_size(volume, watch, observed.used, pool.capability(volume.kind))
        if size != volume.size:
            change = volumes.VolumeChange(size=size)
            started = await volumes.update(self._core, volume.id, change, description="autosize")
            await started.result()
            self._observer.event("volume_autosized", volume=volume.name, size=size, used=observed.used)
        self._say(volume, watch, percent=observed.used * _PERCENT // max(size, 1))

    def _say(self, volume: Volume, watch: SpaceWatch, *, percent: int) -> None:
        levels = (("volume_full", watch.full), ("volume_nearly_full", watch.nearly_full))
        level = next((name for name, threshold in levels if threshold is not None and percent >= threshold), "")
        if level != self._said.get(volume.id, ""):
            self._observer.event(level or "volume_not_full_any_more", volume=volume.name, percent=percent)
        self._said[volume.id] = level
