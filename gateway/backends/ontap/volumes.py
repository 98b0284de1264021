"""Changes of volumes, step by step. All of it blocks."""
# ruff: noqa: D102 - the protocols carry the contract of the methods

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec

from gateway.backends.ontap.carriers import Carriers
from gateway.backends.ontap.descriptions import Damaged, Pending, VolumeSidecar, from_tags, unpack
from gateway.backends.ontap.pool import Family, Known, Pool, Step
from gateway.backends.ontap.records import Clone, Copy, FlexVol
from gateway.core.backend import Note, Observed, Offer, VolumeSpec
from gateway.core.errors import AlreadyExists, InUse, NotFound, OutOfSpace
from gateway.core.model import RootDirectory, VolumeKind

_COMMENT_MAX = 1023


class Volumes:
    """Makes, changes and finds volumes. A volume is there from the moment that its name is."""

    def __init__(self, pool: Pool, carriers: Carriers) -> None:
        self._pool = pool
        self._carriers = carriers
        self._cluster = pool.cluster
        self._names = pool.names

    # --- making ---

    def create(self, spec: VolumeSpec) -> Observed:
        family = self._pool.family(spec.id)
        present = self._present(spec.id, family)
        if present is not None:
            return self.observed(present)
        passed = self._pool.steps("create")
        passed("begun")
        self._carriers.drop(family.carriers)
        best = self._pool.aggregates()[0]
        free = best.space.block_storage.available
        if spec.thick and free < spec.size:
            raise OutOfSpace(pool=self._pool.name, wanted=spec.size, free=free)
        tags = self._carriers.tags(VolumeSidecar(id=spec.id, note=spec.note), spec.id)
        passed("carried")
        self._cluster.make_volume(
            {
                "name": self._names.volume(spec.id),
                "aggregates": [{"name": best.name}],
                "size": spec.size,
                "guarantee": {"type": "volume" if spec.thick else "none"},
                "snapshot_policy": {"name": "none"},
                "space": {"snapshot": {"reserve_percent": 0}},
                "nas": {"path": self._pool.junction(spec.id), **self._nas(spec.root or RootDirectory())},
                "comment": _comment(spec.note),
                "_tags": tags,
            }
        )
        passed("made")
        return self.observed(self._pool.volume(spec.id))

    def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        family = self._pool.family(spec.id)
        present = self._present(spec.id, family)
        if present is not None:
            return self.observed(present)
        parent = self._pool.volume(source).flexvol
        copy = None if snapshot is None else self._pool.copy(parent, snapshot)
        if copy is None:
            raise NotFound(kind="snapshot", ref=str(snapshot))
        passed = self._pool.steps("clone")
        passed("begun")
        if family.staged is not None:
            self.discard(family.staged)
        self._carriers.drop(family.carriers)
        sidecar = VolumeSidecar(id=spec.id, note=spec.note, origin=source, origin_snapshot=snapshot)
        tags = self._carriers.tags(sidecar, spec.id)
        passed("carried")
        self._cluster.make_volume(
            {
                "name": self._names.staged(spec.id),
                "clone": {
                    "is_flexclone": True,
                    "parent_volume": {"name": parent.name},
                    "parent_snapshot": {"name": copy.name},
                },
                "nas": {"path": self._pool.junction(spec.id)},
            }
        )
        passed("made")
        self._finish(spec, tags, passed)
        return self.observed(self._pool.volume(spec.id))

    def _finish(self, spec: VolumeSpec, tags: list[str], passed: Step) -> None:
        staged = self._pool.family(spec.id).staged
        if staged is None:
            raise NotFound(kind="volume", ref=str(spec.id))
        values: dict[str, Any] = {"comment": _comment(spec.note), "_tags": tags}
        nas = self._nas(spec.root)
        if nas:
            values["nas"] = nas
        if self._pool.options.thick:
            values["guarantee"] = {"type": "volume" if spec.thick else "none"}
        self._cluster.set_volume(staged, values)
        passed("described")
        if staged.size != spec.size:
            self._cluster.set_volume(staged, {"size": spec.size})
        passed("resized")
        self._cluster.set_volume(staged, {"name": self._names.volume(spec.id)})
        passed("named")

    def _nas(self, root: RootDirectory | None) -> dict[str, Any]:
        nas = {} if root is None else {"security_style": "unix", **_permissions(root)}
        policy = self._pool.options.export_policy
        return nas | ({"export_policy": {"name": policy}} if policy else {})

    def _present(self, key: UUID, family: Family) -> Known | None:
        """Give a volume of ours; None when its name is free, AlreadyExists when something else has it."""
        known = self._pool.known(key, family)
        if known is None and family.volume is not None:
            raise AlreadyExists(kind="volume", name=str(key), field="id")
        return known

    # --- removing ---

    def delete(self, key: UUID) -> None:
        family = self._pool.family(key)
        if family.volume is None and family.staged is None and not family.carriers:
            return
        passed = self._pool.steps("delete")
        passed("begun")
        for found in (family.staged, family.volume):
            if found is not None and found.nas.path:
                self._cluster.set_volume(found, {"nas": {"path": ""}})
        passed("unmounted")
        for found in (family.staged, family.volume):
            if found is not None:
                self._cluster.remove_volume(found)
        passed("removed")
        self._carriers.drop(family.carriers)
        passed("dropped")

    def discard(self, found: FlexVol) -> None:
        """Remove a volume of the cluster, mounted or not."""
        if found.nas.path:
            self._cluster.set_volume(found, {"nas": {"path": ""}})
        self._cluster.remove_volume(found)

    # --- changing ---

    def annotate(self, key: UUID, note: Note) -> None:
        family = self._pool.family(key)
        found = self._pool.known(key, family)
        if found is None and family.volume is not None and self._is_offered(family.volume):
            found = Known(flexvol=family.volume, sidecar=VolumeSidecar(id=key, note=note), family=family)
        if found is None:
            raise NotFound(kind="volume", ref=str(key))
        passed = self._pool.steps("annotate")
        passed("begun")
        self.describe(found, msgspec.structs.replace(found.sidecar, note=note), passed)

    def describe(self, found: Known, sidecar: VolumeSidecar, passed: Step) -> None:
        """Replace a volume's description."""
        tags = self._carriers.tags(sidecar, sidecar.id, found.flexvol.tags)
        passed("carried")
        ours = self._names.read(found.flexvol.name) is not None
        comment = {"comment": _comment(sidecar.note)} if ours else {}
        self._cluster.set_volume(found.flexvol, {"_tags": tags, **comment})
        passed("noted")
        told = from_tags(tags)
        self._carriers.drop(found.family.carriers, None if told is None else told[1])
        passed("dropped")

    def resize(self, key: UUID, size: int) -> None:
        found = self._pool.volume(key).flexvol
        passed = self._pool.steps("resize")
        passed("begun")
        if found.size != size:
            self._cluster.set_volume(found, {"size": size})
        passed("resized")

    def set_root(self, key: UUID, root: RootDirectory) -> None:
        found = self._pool.volume(key).flexvol
        passed = self._pool.steps("set_root")
        passed("begun")
        self._cluster.set_volume(found, {"nas": _permissions(root)})
        passed("permitted")

    # --- splitting ---

    def begin_split(self, key: UUID) -> None:
        """Let the cluster begin to copy what a clone shares; nothing when it does so already, or shares nothing."""
        found = self._pool.volume(key).flexvol
        if not found.clone.is_flexclone:
            return
        passed = self._pool.steps("split")
        passed("begun")
        if not found.clone.split_initiated:
            self._cluster.set_volume(found, {"clone": {"split_initiated": True}})
        passed("split")

    def sharing(self, key: UUID) -> Clone:
        """Tell whether a volume still shares with its parent, and whether that is about to end."""
        return self._pool.volume(key).flexvol.clone

    # --- restoring ---

    def restore(self, key: UUID, snapshot: UUID, token: UUID) -> None:
        """Bring content back. What comes after a restored snapshot goes: a marker taken last tells whether it did."""
        found = self._pool.volume(key)
        if found.sidecar.restored == token:
            return
        copy = self._pool.copy(found.flexvol, snapshot)
        if copy is None:
            raise NotFound(kind="snapshot", ref=str(snapshot))
        if self._took_effect(found, token):
            self._settle(found, token)
            return
        self._require_last(found.flexvol, copy)
        passed = self._pool.steps("restore")
        passed("begun")
        marker = self._names.marker(token)
        if not self._cluster.copies(found.flexvol, marker):
            self._cluster.make_copy(
                found.flexvol, {"name": marker, "comment": "volume-gateway: a restore is under way"}
            )
        passed("marked")
        announced = msgspec.structs.replace(found.sidecar, pending=Pending(token, found.flexvol.size))
        self.describe(found, announced, _unseen)
        passed("announced")
        self._cluster.set_volume(found.flexvol, {"restore_to": {"snapshot": {"name": copy.name}}})
        passed("restored")
        self._settle(self._pool.volume(key), token)
        passed("noted")

    def _require_last(self, found: FlexVol, copy: Copy) -> None:
        """Raise InUse when others took snapshots since: they would go, and the core, which asks for ours, knows none.

        The cluster tells seconds, so one of the same second counts, too.
        """
        for other in self._cluster.copies(found, "*"):
            ours = self._names.read_snapshot(other.name) is not None or self._names.is_marker(other.name)
            older = other.create_time and copy.create_time and other.create_time < copy.create_time
            if not ours and not older:
                raise InUse(kind="snapshot", ref=copy.name, by="newer snapshots of others", action="restore")

    def settle_restore(self, key: UUID, token: UUID) -> bool:
        found = self._pool.volume(key)
        if found.sidecar.restored == token:
            return True
        happened = self._took_effect(found, token)
        if happened:
            self._settle(found, token)
        else:
            self._forget(found, token)
        return happened

    def _took_effect(self, found: Known, token: UUID) -> bool:
        announced = found.sidecar.pending is not None and found.sidecar.pending.token == token
        return announced and not self._cluster.copies(found.flexvol, self._names.marker(token))

    def _settle(self, found: Known, token: UUID) -> None:
        """Write down that a restore took effect. The size is the volume's, not the snapshot's."""
        pending = found.sidecar.pending
        if pending is not None and pending.size != found.flexvol.size:
            self._cluster.set_volume(found.flexvol, {"size": pending.size})
        self.describe(found, msgspec.structs.replace(found.sidecar, restored=token, pending=None), _unseen)

    def _forget(self, found: Known, token: UUID) -> None:
        if found.sidecar.pending is not None and found.sidecar.pending.token == token:
            self.describe(found, msgspec.structs.replace(found.sidecar, pending=None), _unseen)
        for marker in self._cluster.copies(found.flexvol, self._names.marker(token)):
            self._cluster.remove_copy(found.flexvol, marker)

    # --- looking ---

    def inspect(self, key: UUID) -> Observed | None:
        family = self._pool.family(key)
        known = self._pool.known(key, family)
        if known is not None:
            return self.observed(known)
        if family.volume is None or not self._is_offered(family.volume):
            return None
        return self._offered(family.volume)

    def scan(self) -> Iterator[Observed]:
        """Yield what has the name of a volume of the pool, and others that are to be adopted."""
        for found in self._cluster.flexvols(self._names.all):
            named = self._names.read(found.name)
            if named is None or (named.whole and named.id != self._pool.key):
                seen = None if named is None else self._seen(named.id, found)
                yield seen or Observed(id=None, kind=VolumeKind.FILESYSTEM, place=found.name)
        if self._pool.options.adopt:
            for found in self._cluster.strangers(self._names.all):
                offered = self._is_offered(found)
                seen = self._offered(found) if offered else self._seen(UUID(found.uuid), found)
                # What another gateway described is that one's.
                if seen is not None:
                    yield seen

    def _is_offered(self, found: FlexVol) -> bool:
        adopted = bool(self._pool.options.adopt) and self._names.read(found.name) is None
        return adopted and from_tags(found.tags) is None

    def _offered(self, found: FlexVol) -> Observed:
        return Observed(
            id=UUID(found.uuid),
            kind=VolumeKind.FILESYSTEM,
            size=found.size,
            used=found.space.used,
            offer=Offer(found.name, self._pool.options.adopt),
            place=found.name,
        )

    def _seen(self, key: UUID, found: FlexVol) -> Observed | None:
        told = from_tags(found.tags)
        try:
            carriers = () if told is None or told[1] is None else self._carriers.of(key)
            text = self._pool.text(key, found, carriers)
            return None if text is None else self._observed(found, unpack(text, VolumeSidecar, key))
        except Damaged:
            # Its description may just have been replaced.
            known = self._again(key)
            return None if known is None else self.observed(known)

    def _again(self, key: UUID) -> Known | None:
        try:
            return self._pool.find(key)
        except Damaged:
            return None

    def observed(self, known: Known) -> Observed:
        """Describe a volume."""
        return self._observed(known.flexvol, known.sidecar)

    def _observed(self, found: FlexVol, sidecar: VolumeSidecar) -> Observed:
        cloned = found.clone.is_flexclone
        return Observed(
            id=sidecar.id,
            kind=VolumeKind.FILESYSTEM,
            size=found.size,
            used=found.space.used,
            note=sidecar.note,
            origin=sidecar.origin if cloned else None,
            origin_snapshot=sidecar.origin_snapshot if cloned else None,
            place=found.name,
        )


def _unseen(_step: str) -> None:
    """Pass no points: a part of a larger change."""


def _permissions(root: RootDirectory) -> dict[str, Any]:
    # ONTAP writes permissions as a number whose decimal digits are the octal ones.
    return {"unix_permissions": int(f"{root.mode:o}"), "uid": root.uid, "gid": root.gid}


def _comment(note: Note) -> str:
    """Give what a person reads at the cluster."""
    text = "".join(letter if letter.isprintable() else " " for letter in f"{note.name} ({note.tenant})")
    return text.encode()[:_COMMENT_MAX].decode(errors="ignore")
