"""Volumes and snapshots that were there before Manila: taken into its care, and let go."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.client import ClientError, Flow, native
from gateway.client.native import Volume
from gateway.frontends.manila_driver import shares, snapshots
from gateway.frontends.manila_driver.locations import path_in
from gateway.frontends.manila_driver.naming import INSTANCE, MANAGED, SNAPSHOT_INSTANCE, Share, Snapshot, unmarked
from gateway.frontends.manila_driver.refusals import Mismatch, Refusal
from gateway.frontends.manila_driver.shares import Made

_TAKE_OVER = "take_over"
_YES = frozenset({"true", "yes", "1"})


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a volume has to be to become a share: in which pool, and of which kind of space (None: of any)."""

    pool: str
    thick: bool | None = None


def adopt(share: Share, location: str, wanted: Wanted, options: Mapping[str, object]) -> Flow[Made]:
    """Make the volume at an export location a share.

    It gets the share's name and marks. Where it is published, and who may reach
    it, stay as they are until access rules are set. Refusal says what is wrong.
    """
    take_over = _take_over(options)
    path = path_in(location)
    if path is None:
        raise Refusal(f"{location!r} is no export location such as 192.0.2.1:/data")
    found = yield from shares.every(native.volumes(tenant=share.tenant, path=path))
    if not found:
        raise Refusal(f"tenant {share.tenant} has no volume at {path}")
    volume = found[0]
    check(volume, wanted)
    _check_unmarked(volume.labels, INSTANCE, share.id, take_over=take_over)
    yield from shares.publish(share, volume)
    places = yield from shares.published(volume)
    # The marks come last: what bears them goes when the share is deleted.
    labels = {**unmarked(volume.labels), **share.labels, MANAGED: "true"}
    marked = yield from native.change_volume(volume.id, {"name": share.name, "labels": labels})
    return Made(volume=marked, locations=places)


def release(share: Share) -> Flow[None]:
    """Let go of a share: its volume stays as it is, without the marks. One that is not there is no error."""
    volume = yield from shares.find(share)
    if volume is not None:
        yield from native.change_volume(volume.id, {"labels": unmarked(volume.labels)})


def adopt_snapshot(share: Share, snapshot: Snapshot, options: Mapping[str, object]) -> Flow[native.Snapshot]:
    """Make a snapshot of a share's volume, by id or name, one of Manila's, and give it. Refusal says what is wrong."""
    take_over = _take_over(options)
    volume = yield from shares.require(share)
    found = yield from _snapshot(volume, snapshot.location)
    if found is None:
        raise Refusal(f"the share has no snapshot {snapshot.location!r}")
    if found.state != "valid":
        raise Refusal(f"the snapshot is {found.state}")
    _check_unmarked(found.labels, SNAPSHOT_INSTANCE, snapshot.id, take_over=take_over)
    labels = {**unmarked(found.labels), **snapshot.labels, MANAGED: "true"}
    return (yield from native.change_snapshot(found.id, {"name": snapshot.name, "labels": labels}))


def release_snapshot(share: Share, snapshot: Snapshot) -> Flow[None]:
    """Let go of a snapshot. One that is not there is no error."""
    found = yield from snapshots.find(share, snapshot)
    if found is not None:
        yield from native.change_snapshot(found.id, {"labels": unmarked(found.labels)})


def check(volume: Volume, wanted: Wanted) -> None:
    """Raise Refusal for a volume that cannot be a share."""
    if volume.kind != "filesystem":
        raise Refusal(f"volume {volume.name} holds {volume.kind}s, not files")
    if volume.state != "online":
        raise Refusal(f"volume {volume.name} is {volume.state}")
    if volume.pool != wanted.pool:
        raise Refusal(f"volume {volume.name} is in pool {volume.pool}, not in {wanted.pool}")
    if wanted.thick is not None and volume.thick is not wanted.thick:
        kind = "thick" if volume.thick else "thin"
        raise Mismatch(f"volume {volume.name} is {kind}, and its share type asks for the other")


def _snapshot(volume: Volume, ref: str) -> Flow[native.Snapshot | None]:
    if snapshots.is_id(ref):
        try:
            known = yield from native.snapshot(ref)
        except ClientError as error:
            if not native.is_absent(error, "snapshot"):
                raise
        else:
            return known if known.volume == volume.id else None
    return (yield from native.snapshot_named(volume.id, ref))


def _check_unmarked(labels: Mapping[str, str], mark: str, key: str, *, take_over: bool) -> None:
    if labels.get(mark, key) != key and not take_over:
        raise Refusal(
            f"it bears the mark of {labels[mark]} ({mark}); the driver option {_TAKE_OVER}=true takes it over"
        )


def _take_over(options: Mapping[str, object]) -> bool:
    unknown = sorted(set(options) - {_TAKE_OVER})
    if unknown:
        raise Refusal(f"there is no driver option {unknown[0]!r}; there is {_TAKE_OVER!r}")
    return str(options.get(_TAKE_OVER, "")).lower() in _YES
