"""What an open pool is made of, and what it can do on the file system where it is. All of it blocks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from gateway.backends.files.contents import Trees
from gateway.backends.files.copies import Copies
from gateway.backends.files.failures import refused
from gateway.backends.files.images import SECTOR, Abilities, Images, probe
from gateway.backends.files.inside import Inside
from gateway.backends.files.opening import REASONS, Opened, Setting, open_pool
from gateway.backends.files.volumes import Volumes
from gateway.core.capability import Facts
from gateway.core.errors import NotFound
from gateway.core.model import VolumeKind

SIZE_MAX = 2**63 - 1
TREE = Facts(shrink=True, size_max=SIZE_MAX)
"""The facts of volumes that are directories. Any size may be recorded, for none is enforced."""

_NO_INSTANT = "a directory cannot be copied at one instant"
_NO_EXCHANGE = "the file system cannot exchange two names in one step"
_FOREIGN_OWNERS = "files cannot be given to other owners (no CAP_CHOWN, or the server forbids it)"


class Parts:
    """An open pool, what was found out about it, and who changes it."""

    def __init__(self, opened: Opened, abilities: Abilities) -> None:
        self.pool = opened.pool
        self._owners = opened.owners
        self._abilities = abilities
        trees, images = Trees(self.pool, owners=opened.owners), Images(self.pool, abilities)
        self.volumes = Volumes(self.pool, trees, {VolumeKind.FILESYSTEM: trees, VolumeKind.BLOCK: images})
        self.copies = Copies(self.pool, self.volumes, images)
        self.inside = Inside(self.pool.steps, durable=self.pool.durable, owners=opened.owners)

    @property
    def reflink(self) -> bool:
        """Tell whether files can share blocks."""
        return self._abilities.reflink

    def top(self, volume: UUID, snapshot: UUID | None) -> Path:
        """Give a volume's directory; directories have no snapshots."""
        if snapshot is not None:
            raise NotFound(kind="snapshot", ref=str(snapshot))
        return self.pool.volume(volume).content

    def kinds(self) -> Mapping[VolumeKind, Facts]:
        """Give the facts of each kind of volume."""
        return {VolumeKind.FILESYSTEM: TREE, VolumeKind.BLOCK: _facts(self._abilities)}

    def lacks(self, *, no_reflink: str) -> Mapping[VolumeKind, Mapping[str, str]]:
        """Give what cannot be done, with the reasons. `no_reflink`: the one for files that cannot share blocks."""
        copies = ("snapshot", "restore", "clone")
        tree = dict.fromkeys(copies, _NO_INSTANT)
        if not self._owners:
            tree["permissions"] = _FOREIGN_OWNERS
        block = {"permissions": "a block volume has no top directory", "convert": "it is a block volume already"}
        if not self._abilities.exchange:
            block["restore"] = _NO_EXCHANGE
        if not self._abilities.reflink:
            block |= dict.fromkeys(copies, no_reflink)
        return {VolumeKind.FILESYSTEM: tree, VolumeKind.BLOCK: block}


def open_parts(setting: Setting) -> Parts:
    """Open a pool and try what it can do, or raise Unavailable with the reason; see `open_pool`."""
    opened = open_pool(setting)
    try:
        with refused(setting.name, f"cannot use {setting.path}", REASONS):
            parts = Parts(opened, probe(opened.pool))
        setting.wanted()
    except BaseException:
        opened.pool.hold.close()
        raise
    return parts


def _facts(abilities: Abilities) -> Facts:
    copies = abilities.reflink
    return Facts(
        quota=True,
        thin=abilities.sparse,
        thick=abilities.reserve or not abilities.sparse,
        split=copies,
        restore_keeps_newer=copies and abilities.exchange,
        crash_consistent=copies,
        size_min=SECTOR,
        size_step=SECTOR,
        size_max=abilities.size_max,
    )
