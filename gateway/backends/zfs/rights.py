"""What this process may do in a pool, found by trying: root may do all, others what `zfs allow` gave them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

import msgspec

from gateway.backends.zfs.commands import Commands, Shape
from gateway.backends.zfs.failures import Meaning, Refused
from gateway.backends.zfs.records import SNAPSHOT, VOLUME
from gateway.core.capability import Facts
from gateway.core.model import VolumeKind

_ADMIN = 1 << 21
"""CAP_SYS_ADMIN: what the kernel asks for instead of a delegation."""
_SIZE_MAX = 2**63 - 1
_SIZE_MIN = 1024**2
"""Bytes of a filesystem's own structure, with room for the first files."""
_PROBE_SIZE = 8 * 1024**2
_BLOCK = 16384

ROOT_ONLY = "mounting needs root"


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """For each thing that may be forbidden the reason why it is, empty where it is permitted."""

    filesystems: str = ""
    blocks: str = ""
    mount: str = ""
    quota: str = ""
    thick: str = ""
    resize_block: str = ""
    snapshot: str = ""
    restore: str = ""
    clone: str = ""
    promote: str = ""
    replicate: str = ""


ALL = Rights()


def is_root() -> bool:
    """Tell whether the kernel lets this process do everything."""
    if os.geteuid() != 0:
        return False
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) & _ADMIN)


def probe(parent: str, commands: Commands) -> Rights:
    """Try everything once on datasets that are removed again."""
    found: dict[str, str] = {}

    def tried(name: str, act: Callable[[], object]) -> bool:
        try:
            act()
        except Refused as refused:
            # Any other refusal says that the right was there.
            if refused.meaning is Meaning.DENIED:
                found[name] = refused.text.partition("\n")[0].replace(str(mark), "...")
                return False
        return True

    mark = uuid4()
    a, b, c, block = (f"{parent}/probe-{mark}-{part}" for part in ("a", "b", "c", "v"))
    user = {VOLUME: "-"}
    try:
        if tried("filesystems", lambda: commands.create(a, Shape(user=user))):
            tried("quota", lambda: commands.set(a, {"refquota": str(_PROBE_SIZE)}))
            tried("thick", lambda: commands.set(a, {"refreservation": str(_BLOCK)}))
            found["mount"] = ROOT_ONLY if os.geteuid() != 0 else ""
            if not found["mount"]:
                tried("mount", lambda: commands.mount(a))
                with contextlib.suppress(Refused):
                    commands.unmount(a)
            if tried("snapshot", lambda: commands.snapshot([f"{a}@s"], {SNAPSHOT: "-"})):
                tried("restore", lambda: commands.rollback(f"{a}@s"))
                tried("replicate", lambda: _copy(f"{a}@s", f"{c}@s"))
                if tried("clone", lambda: commands.clone(f"{a}@s", b, Shape(user=user))):
                    tried("promote", lambda: commands.promote(b))
        if tried("blocks", lambda: commands.create(block, Shape(volsize=_PROBE_SIZE, volblocksize=_BLOCK, user=user))):
            tried("resize_block", lambda: commands.set(block, {"volsize": str(2 * _PROBE_SIZE)}))
    finally:
        for name in (b, a, b, c, block):
            with contextlib.suppress(Refused):
                commands.run("zfs", "destroy", "-r", name)
    return Rights(**{name: reason for name, reason in found.items() if reason})


def _copy(snapshot: str, target: str) -> None:
    with subprocess.Popen(["zfs", "send", snapshot], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as sender:
        stream = sender.communicate()[0]
    if sender.returncode:
        raise Refused(Meaning.DENIED, "send: permission denied")
    done = subprocess.run(["zfs", "receive", "-u", target], input=stream, capture_output=True, check=False)
    if done.returncode:
        raise Refused(Meaning.DENIED, "receive: permission denied")


def facts(rights: Rights, *, volblocksize: int) -> Mapping[VolumeKind, Facts]:
    """Give the facts of the kinds of volumes that can be made."""
    shared = Facts(
        quota=True,
        thick=not rights.thick,
        split=not (rights.promote or rights.clone or rights.snapshot),
        clone_needs_snapshot=not (rights.clone or rights.snapshot),
        crash_consistent=not rights.snapshot,
    )
    filesystem = msgspec.structs.replace(
        shared,
        quota=not rights.quota,
        # Space is set aside for as much as may be written.
        thick=not (rights.thick or rights.quota),
        shrink=True,
        size_min=_SIZE_MIN,
        size_max=_SIZE_MAX,
    )
    size_max = _SIZE_MAX - _SIZE_MAX % volblocksize
    block = msgspec.structs.replace(shared, size_min=volblocksize, size_step=volblocksize, size_max=size_max)
    kinds = {}
    if not rights.filesystems:
        kinds[VolumeKind.FILESYSTEM] = filesystem
    if not rights.blocks:
        kinds[VolumeKind.BLOCK] = block
    return kinds


def lacks(rights: Rights) -> Mapping[VolumeKind, Mapping[str, str]]:
    """Give what cannot be done per kind, with the reason."""
    snapshots = {
        "snapshot": rights.snapshot,
        "snapshot_group": rights.snapshot,
        "restore": rights.snapshot or rights.restore,
        "clone": rights.snapshot or rights.clone,
        "replicate": rights.snapshot or rights.replicate,
    }
    filesystem = {**snapshots, "permissions": rights.mount, "convert": rights.mount or rights.blocks}
    block = {
        **snapshots,
        "resize": rights.resize_block,
        "permissions": "a block volume has no top directory",
        "convert": "it is a block volume already",
    }
    return {
        VolumeKind.FILESYSTEM: {name: reason for name, reason in filesystem.items() if reason},
        VolumeKind.BLOCK: {name: reason for name, reason in block.items() if reason},
    }
