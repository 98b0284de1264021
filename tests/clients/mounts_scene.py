"""What tests of mounts share: places, volumes as the mounter is told of them, and mounters that are killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self
from uuid import uuid4

import msgspec

from gateway.core.exporter import HostMount, Quiesce
from gateway.core.handles import LocalPath
from gateway.core.model import VolumeKind
from gateway.core.mount_table import Entry, at, entries
from gateway.exports.mounts import HostMounter, MountsOptions

MIB = 1 << 20

SESSION = """
import asyncio, msgspec, sys
from pathlib import Path
from uuid import UUID
from gateway.core.exporter import HostMount, Quiesce
from gateway.exports.mounts import HostMounter, MountsOptions
from gateway.testing.faults import KillAt

async def main(options, state, point, *steps):
    options = msgspec.json.decode(options, type=MountsOptions, dec_hook=lambda kind, value: kind(value))
    mounter = HostMounter(options, Path(state), fault=KillAt(point))
    await mounter.open()
    for verb, argument in zip(steps[::2], steps[1::2]):
        if verb == "mount":
            await mounter.mount(msgspec.json.decode(argument, type=HostMount))
        elif verb == "unmount":
            await mounter.unmount(UUID(argument), delete_path=True)
        elif verb == "quiesce":
            await mounter.quiesce(msgspec.json.decode(argument, type=Quiesce))
        elif verb == "unquiesce":
            await mounter.unquiesce(UUID(argument))
    KillAt("end")("end")

asyncio.run(main(*sys.argv[1:]))
"""


class Bed:
    """A folder for volumes, one to mount below, and a state directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "mnt"
        self.state = folder / "state"
        self.root.mkdir(parents=True, exist_ok=True)

    def options(self, **more: object) -> MountsOptions:
        return MountsOptions(paths=(self.root,), node="here", **more)  # type: ignore[arg-type]

    def mounter(self, *, options: MountsOptions | None = None, **more: object) -> HostMounter:
        return HostMounter(options or self.options(), self.state, **more)  # type: ignore[arg-type]

    def files(self, path: str = "a/b", **more: object) -> HostMount:
        """Give a mount of a new volume of files."""
        source = self.folder / f"volume-{uuid4()}"
        source.mkdir()
        return wish(self.root / path, source, VolumeKind.FILESYSTEM, **more)

    def blocks(self, path: str = "a/b", size: int = 32 * MIB, **more: object) -> HostMount:
        """Give a mount of a new volume of blocks, all zeros."""
        source = self.folder / f"{uuid4()}.raw"
        with source.open("wb") as file:
            file.truncate(size)
        return wish(self.root / path, source, VolumeKind.BLOCK, size=size, **more)

    def seen(self, wanted: HostMount) -> Entry | None:
        return at(wanted.path, entries())

    def tree(self) -> set[str]:
        """Give what is below the root, but not on other mounts, and the mounts."""
        found = {str(path.relative_to(self.root)) for path in self.root.rglob("*")}
        return found | {f"mount {entry.point}" for entry in self.mounts()}

    def mounts(self) -> list[Entry]:
        return [entry for entry in entries() if entry.point.startswith(f"{self.folder}/")]

    def records(self) -> set[str]:
        return {path.name for folder in ("mounts", "held") for path in (self.state / folder).glob("*.json")}

    def loops(self) -> list[str]:
        found = []
        for file in Path("/sys/block").glob("loop*/loop/backing_file"):
            with contextlib.suppress(FileNotFoundError):  # one of another test has just gone
                found += [file.parents[1].name] if file.read_text().startswith(f"{self.folder}/") else []
        return found

    async def session(self, point: str, *steps: str, under: Sequence[str] = ()) -> None:
        """Run a mounter in a process of its own that ends by SIGKILL, at the point or when the steps are done."""
        encoded = msgspec.json.encode(self.options(), enc_hook=str).decode()
        argv = [*under, sys.executable, "-c", SESSION, encoded, str(self.state), point, *steps]
        done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == -signal.SIGKILL, done.stderr

    def clean(self) -> None:
        """Take away whatever a test left, frozen or not."""
        for entry in reversed(self.mounts()):
            subprocess.run(["fsfreeze", "--unfreeze", entry.point], capture_output=True, check=False, timeout=30)
            subprocess.run(["umount", "--lazy", entry.point], capture_output=True, check=False, timeout=30)
        for loop in self.loops():
            subprocess.run(["losetup", "--detach", f"/dev/{loop}"], capture_output=True, check=False, timeout=30)


def wish(path: Path, source: Path, kind: VolumeKind, *, size: int = 0, **more: object) -> HostMount:
    return HostMount(
        id=uuid4(),
        volume_id=uuid4(),
        kind=kind,
        path=str(path),
        source=LocalPath(path=str(source)),
        size=size,
        **more,  # type: ignore[arg-type]
    )


def also_at(wanted: HostMount, path: Path, **more: object) -> HostMount:
    """Give another mount of the same volume."""
    return msgspec.structs.replace(wanted, id=uuid4(), path=str(path), **more)


def quiesce_of(wanted: HostMount, quiesce_id: str = "q", timeout_s: int = 60) -> Quiesce:
    return Quiesce(
        volume_id=wanted.volume_id,
        name="v",
        kind=wanted.kind,
        source=wanted.source,
        quiesce_id=quiesce_id,
        timeout_s=timeout_s,
    )


def encoded(value: msgspec.Struct) -> str:
    return msgspec.json.encode(value).decode()


class Writer:
    """A process that writes a file, for a `with` block; it hangs while the file system is frozen."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        script = "import os, sys\nopen(sys.argv[1], 'w').write('x')\nos.write(1, b'done')"
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", script, str(self._path)], stdout=subprocess.PIPE, bufsize=0
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def is_done(self, *, within_s: float) -> bool:
        """Tell whether it has written."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], within_s)
        return bool(ready) and os.read(self._process.stdout.fileno(), 4) == b"done"


@contextlib.contextmanager
def working_in(path: Path) -> Iterator[None]:
    """Give a while in which somebody uses a directory."""
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield
    finally:
        os.close(opened)


@contextlib.contextmanager
def held_up(path: Path) -> Iterator[Writer]:
    """Give a writer that is held up by a frozen file system. It has written once the block is left, or never will."""
    writer = Writer(path / "held-up")
    with writer:
        assert not writer.is_done(within_s=1)
        yield writer
        assert writer.is_done(within_s=30)


def is_frozen(path: Path) -> bool:
    """Tell whether the file system of a path is frozen: then it cannot be frozen once more."""
    done = subprocess.run(["fsfreeze", "--freeze", str(path)], capture_output=True, check=False, timeout=30)
    if done.returncode == 0:
        subprocess.run(["fsfreeze", "--unfreeze", str(path)], check=True, timeout=30)
    return done.returncode != 0
