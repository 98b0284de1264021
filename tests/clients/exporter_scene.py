"""What tests of an exporter share: sources, ports, processes that are ended, and clients that stay connected."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self
from uuid import UUID, uuid4

import msgspec

from gateway.core.exporter import BlockAccess, BlockExport
from gateway.core.handles import LocalPath
from gateway.exports.process import Identity

MIB = 1 << 20
_PROMPT = b"qemu-io> "

SESSION = """
import asyncio, msgspec, sys
from pathlib import Path
from typing import Self
from uuid import UUID
from gateway.core.exporter import BlockExport, Login
from gateway.core.model import Transport
from gateway.core.secret import Secret
from gateway.server.drivers import BLOCK_EXPORTERS
from gateway.testing.faults import KillAt

def revealed(kind, value):
    return Secret(value)

async def main(transport, options, state, point, verb, argument):
    driver = BLOCK_EXPORTERS[Transport(transport)]
    exporter = driver(msgspec.json.decode(options, type=driver.Options), Path(state), fault=KillAt(point))
    await exporter.open()
    if verb == "publish":
        await exporter.publish(msgspec.json.decode(argument, type=BlockExport, dec_hook=revealed))
    elif verb == "withdraw":
        await exporter.withdraw(UUID(argument))
    KillAt("end")("end")

asyncio.run(main(*sys.argv[1:]))
"""


def sh(*argv: str) -> str:
    done = run(*argv)
    assert done.returncode == 0, f"{argv}: {done.stderr}{done.stdout}"
    return done.stdout


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, errors="replace")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def recorded(state: Path, name: str) -> int:
    """Give the pid of a daemon of an exporter."""
    return msgspec.json.decode((state / "daemons" / f"{name}.pid").read_bytes(), type=Identity).pid


def runs(pid: int) -> bool:
    """Tell whether a process runs; one that ended but was not reaped has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def end(pid: int) -> None:
    """Kill one process that we started and wait until it is gone."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(watch, signal.SIGKILL)
        assert select.select([watch], [], [], 10)[0]
    except ProcessLookupError:
        pass
    finally:
        os.close(watch)


def end_daemon(state: Path, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        end(recorded(state, name))


async def in_process(transport: str, options: msgspec.Struct, state: Path, point: str, step: tuple[str, str]) -> None:
    """Run an exporter in a process of its own that ends by SIGKILL, at the point or when the step is done."""
    argv = [sys.executable, "-c", SESSION, transport, msgspec.json.encode(options).decode(), str(state), point, *step]
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == -signal.SIGKILL, done.stderr


async def until(reached: Callable[[], bool]) -> None:
    """Ask a client until it gets through; each question takes a while, and the loop works meanwhile."""
    while not await asyncio.to_thread(reached):
        pass


def encoded(export: BlockExport) -> str:
    return msgspec.json.encode(export, enc_hook=lambda secret: secret.reveal()).decode()


def source(folder: Path, size: int = 8 * MIB) -> Path:
    path = folder / f"{uuid4()}.raw"
    with path.open("wb") as file:
        file.truncate(size)
    return path


def export_of(path: Path, *access: BlockAccess, read_only: bool = False, generation: int = 0) -> BlockExport:
    volume = UUID(path.stem)
    return BlockExport(
        id=volume,
        serial=volume.hex[:12],
        size=path.stat().st_size,
        source=LocalPath(path=str(path), read_only=read_only),
        access=access,
        generation=generation,
    )


class Connected:
    """A qemu-io that has an image open, for a `with` block, and does what it is told."""

    def __init__(self, image: Sequence[str]) -> None:
        self._argv = ("qemu-io", *image)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )
        self._said()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(30)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def tell(self, command: str) -> str:
        """Give all that is said to a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        return self._said()

    def is_cut_off(self) -> bool:
        """Tell whether it cannot write any more. A client may also wait for ever to be let in again."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"write 0 4k\n")
        return "wrote 4096" not in self._said(within_s=1)

    def _said(self, *, within_s: float | None = None) -> str:
        assert self._process.stdout is not None
        said = b""
        while not said.endswith(_PROMPT):
            if not select.select([self._process.stdout], [], [], within_s or 30)[0]:
                assert within_s is not None, said
                break
            part = os.read(self._process.stdout.fileno(), 4096)
            assert part, said
            said += part
        return said.decode()

    def leave(self) -> None:
        """Disconnect as clients should."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"quit\n")
        self._process.wait(30)


@contextlib.contextmanager
def connected(image: Sequence[str]) -> Iterator[Connected]:
    with Connected(image) as client:
        yield client
