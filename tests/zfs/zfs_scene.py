"""A ZFS pool for one test: its parent dataset, its backend, its faults, and a picture of all that it holds."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

from gateway.backends.zfs import ZfsBackend, ZfsOptions
from gateway.core.backend import FaultHook, Note, VolumeSpec, no_fault
from gateway.core.handles import LocalPath
from gateway.core.model import RootDirectory, VolumeKind
from gateway.testing.backends import BlockContent, LocalContent

MIB = 1024**2
SIZE = 8 * MIB
FILESYSTEM, BLOCK = VolumeKind.FILESYSTEM, VolumeKind.BLOCK


class Scene:
    """A pool below a parent of its own."""

    def __init__(self, zpool: str, *, fault: FaultHook = no_fault, kind: VolumeKind = FILESYSTEM, **options) -> None:
        self.kind = kind
        self.fault = fault
        self.options = ZfsOptions(pool=zpool, **{"parent": f"test-{uuid4().hex[:12]}", **options})
        self.parent = f"{zpool}/{self.options.parent}"
        self.backend = ZfsBackend("pool", self.options, fault=fault)

    async def reopen(self) -> ZfsBackend:
        """Close, and open as a new process would."""
        await self.backend.close()
        self.backend = ZfsBackend("pool", self.options, fault=self.fault)
        await self.backend.open()
        return self.backend

    def place(self, volume: UUID) -> str:
        return f"{self.parent}/{volume}"

    async def content(self, volume: UUID, snapshot: UUID | None = None) -> LocalContent | BlockContent:
        handle = await self.backend.access(volume, snapshot)
        assert isinstance(handle, LocalPath)
        return LocalContent(handle) if self.kind is FILESYSTEM else BlockContent(handle)

    async def write(self, volume: UUID, **files: bytes) -> None:
        content = await self.content(volume)
        for path, data in files.items():
            await content.write(path, data)

    async def files(self, volume: UUID, snapshot: UUID | None = None) -> dict[str, str]:
        """Give all files, each as the start of its hash."""
        content = await self.content(volume, snapshot)
        return {
            path: hashlib.sha256(await content.read(path)).hexdigest()[:12] for path in sorted(await content.paths())
        }

    async def stream(self, volume: UUID, snapshot: UUID, base: UUID | None = None) -> bytes:
        return b"".join([part async for part in self.backend.send(volume, snapshot, base)])

    async def picture(self) -> dict[str, object]:
        """Give all that can be seen of the pool."""
        picture: dict[str, object] = {"manifest": (await self.backend.manifest() or b"").decode()}
        async for seen in self.backend.scan():
            assert seen.id is not None, seen.place
            root = await (await self.content(seen.id)).root() if seen.kind is FILESYSTEM else None
            picture[f"volume {seen.id}"] = repr(
                (
                    seen.kind,
                    seen.size,
                    seen.note,
                    (seen.origin, seen.origin_snapshot),
                    root,
                    await self.files(seen.id) if seen.kind is self.kind else None,
                )
            )
        async for taken in self.backend.scan_snapshots():
            assert taken.id is not None, taken.place
            assert taken.volume_id is not None
            files = await self.files(taken.volume_id, taken.id)
            picture[f"snapshot {taken.id}"] = repr((taken.volume_id, taken.note, files))
        return picture

    async def assert_tidy(self) -> None:
        """Fail when anything is there that belongs to no volume and no snapshot."""
        names = command("zfs", "list", "-H", "-o", "name", "-d", "1", "-t", "filesystem,volume", self.parent).split()
        volumes = {str(seen.id) async for seen in self.backend.scan()}
        assert {name.removeprefix(self.parent).removeprefix("/") for name in names} == volumes | {"", "manifest"}
        columns = "defer_destroy,name"
        lines = command("zfs", "list", "-H", "-o", columns, "-d", "2", "-t", "snapshot", self.parent).splitlines()
        # One that is marked to go with its last clone is nobody's leftover.
        names = {line.split("\t")[1] for line in lines if line.startswith("off")}
        assert names == {seen.place async for seen in self.backend.scan_snapshots()}


@asynccontextmanager
async def scene(zpool: str, **options) -> AsyncIterator[Scene]:
    """Open a fresh pool below a new parent; all of it is gone afterwards."""
    made = Scene(zpool, **options)
    try:
        await made.backend.open()
        yield made
    finally:
        await made.backend.close()
        remove(made.parent)


def remove(dataset: str) -> None:
    """Remove a dataset and all that hangs on it, holds included."""
    listed = subprocess.run(
        ["zfs", "list", "-Hp", "-r", "-t", "snapshot", "-o", "name,userrefs", dataset],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in listed.stdout.splitlines():
        name, holds = line.split("\t")
        if holds not in {"0", "-"}:
            for hold in command("zfs", "holds", "-H", name).splitlines():
                command("zfs", "release", hold.split("\t")[1], name)
    subprocess.run(["zfs", "destroy", "-R", "-f", dataset], capture_output=True, check=False)


def note(name: str) -> Note:
    return Note(name=name, tenant="tenant", document=name.encode())


def spec(
    volume: UUID | None = None,
    *,
    kind: VolumeKind = FILESYSTEM,
    size: int = SIZE,
    root: RootDirectory | None = None,
    called: str = "volume",
    thick: bool = False,
) -> VolumeSpec:
    return VolumeSpec(id=volume or uuid4(), kind=kind, size=size, root=root, note=note(called), thick=thick)


async def parts(data: bytes) -> AsyncIterator[bytes]:
    """Yield a stream in parts."""
    for start in range(0, len(data), 10_000):
        yield data[start : start + 10_000]


def command(*arguments: str | Path) -> str:
    """Run a program; give its output, or fail with what it complained of."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout
