"""Mounts volumes on the gateway's own host, and holds them still there, where the operator allows it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, ParamSpec, TypeVar
from uuid import UUID

import msgspec
import structlog

from gateway.core.backend import FaultHook, no_fault
from gateway.core.errors import GatewayError, InUse, Unavailable
from gateway.core.expendable import ExpendableWorker
from gateway.core.exporter import HostMount, Quiesce, Quiesced
from gateway.core.needs import Need, capability, device, program, shared, writable
from gateway.core.runner import Runner, SystemRunner
from gateway.exports.mounts import quiescence, steps
from gateway.exports.mounts.devices import LOOP_CONTROL
from gateway.exports.mounts.formats import FORMATS, Formats
from gateway.exports.mounts.points import WHAT, Roots
from gateway.exports.mounts.quiescence import HoldRecord, Quiescence
from gateway.exports.mounts.steps import MountRecord, Steps
from gateway.exports.mounts.turns import Turns
from gateway.exports.place import lock
from gateway.exports.records import Records

__all__ = ["FAULT_POINTS", "HostMounter", "MountsOptions"]

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

FAULT_POINTS = (*steps.FAULT_POINTS, *quiescence.FAULT_POINTS)
DEADLINE_S = 60.0
RETRY_S = 5.0
_THREADS = 4
_HOOK = Annotated[tuple[str, ...], msgspec.Meta(max_length=64)]


class MountsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[export.mounts]`.

    `paths`: volumes are mounted below these, which have to be there, and nowhere else. `node`: what this
    host is called in mounts; its host name unless it is given. `freeze` and
    `thaw`: commands that hold a volume still and release it, where the gateway
    cannot; the volume's id and name follow. `quiesce_max_s`: for how long at
    the most.
    """

    paths: Annotated[tuple[Path, ...], msgspec.Meta(min_length=1)]
    node: str = ""
    freeze: _HOOK = ()
    thaw: _HOOK = ()
    quiesce_max_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 60

    def __post_init__(self) -> None:
        if bool(self.freeze) != bool(self.thaw):
            raise ValueError("freeze and thaw have to be given together")


class HostMounter:
    """A `Mounter` for this host. State lies under `state_dir`, which one process owns while it is open.

    What it calls may hang for ever, as unmounting does with a dead file
    server: each call has a thread that may be lost.
    """

    Options: ClassVar[type[msgspec.Struct]] = MountsOptions

    def __init__(
        self,
        options: MountsOptions,
        state_dir: Path,
        *,
        fault: FaultHook = no_fault,
        runner: Callable[[Mapping[str, str]], Runner] = SystemRunner,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        state_dir = state_dir.absolute()
        self._options = options
        self._worker = ExpendableWorker(WHAT, _THREADS, what=WHAT, deadline_s=deadline_s)
        turns = Turns(self._worker.check)
        roots, records = Roots(options.paths), Records(state_dir / "mounts", MountRecord)
        self._steps = Steps(roots, Formats(runner({})), records, turns, fault=fault)
        self._quiescence = Quiescence(
            Records(state_dir / "held", HoldRecord),
            runner,
            turns,
            freeze_hook=options.freeze,
            thaw_hook=options.thaw,
            fault=fault,
        )
        self._lock = state_dir / "lock"
        self._held: int | None = None
        self._timers: dict[UUID, asyncio.TimerHandle] = {}
        self._releases: set[asyncio.Task[None]] = set()

    @classmethod
    def needs(cls, options: MountsOptions) -> tuple[Need, ...]:
        """Say what mounting takes; see `gateway.core.needs`."""
        makers = [
            program(one.make[0], f"makes {kind} on block volumes", optional=True) for kind, one in FORMATS.items()
        ]
        growers = [
            program(one.grow[0], f"grows {kind} with its volume", optional=True) for kind, one in FORMATS.items()
        ]
        return (
            capability("CAP_SYS_ADMIN", "to mount, and to hold file systems still"),
            capability("CAP_DAC_OVERRIDE", "to open the devices of block volumes, and to make directories for mounts"),
            capability("CAP_SYS_RESOURCE", "to grow file systems with their volumes", optional=True),
            device(str(LOOP_CONTROL), "to find free loop devices for block volumes"),
            program("blkid", "tells what is on a block volume"),
            *makers,
            *growers,
            *(writable(path, "to mount volumes there") for path in options.paths),
            *(shared(path, "to have mounts seen in containers") for path in options.paths),
        )

    @property
    def node(self) -> str:
        """See `Mounter`."""
        return self._options.node or socket.gethostname()

    @property
    def quiesce_max_s(self) -> int:
        """See `Mounter`."""
        return self._options.quiesce_max_s

    async def open(self) -> None:
        """See `Mounter`. Unavailable while another process has it, or where mounting is not possible."""
        if self._held is not None:
            return
        self._held = lock(self._lock, what=WHAT)
        try:
            await self._run(self._steps.open)
            for volume_id in await self._run(self._quiescence.load):
                log.warning("volume found quiesced", volume=str(volume_id))
                await self._release(volume_id)
        except BaseException:
            self._let_go()
            raise

    async def check(self, wanted: HostMount) -> str:
        """See `Mounter`."""
        return await self._run(self._steps.check, wanted)

    async def mount(self, wanted: HostMount) -> None:
        """See `Mounter`. What is mounted of a quiesced volume stays as it is; nothing new is mounted."""
        if wanted.volume_id in self._quiescence.held():
            if self._steps.record(wanted.id) is None:
                raise InUse(kind="volume", ref=str(wanted.volume_id), by="quiesce", action="mount")
            return
        await self._run(self._steps.mount, wanted)

    async def unmount(self, mount_id: UUID, *, force: bool = False, delete_path: bool = False) -> None:
        """See `Mounter`."""
        record = self._steps.record(mount_id)
        if record is not None and record.volume_id in self._quiescence.held():
            if not force:
                raise InUse(kind="volume", ref=str(record.volume_id), by="quiesce", action="unmount")
            await self.unquiesce(record.volume_id)
        await self._run(self._steps.unmount, mount_id, force=force, delete_path=delete_path)

    async def mounted(self) -> Mapping[UUID, UUID]:
        """See `Mounter`."""
        self._require_open()
        return self._steps.mounted()

    async def quiesce(self, wanted: Quiesce) -> Quiesced:
        """See `Mounter`."""
        mounts = await self._run(self._steps.of_volume, wanted.volume_id)
        try:
            held = await self._run(self._quiescence.hold, wanted, mounts)
        finally:
            # Also when it failed, and while it hangs: whatever came of it ends.
            if wanted.volume_id in self._quiescence.held():
                self._release_later(wanted.volume_id, wanted.timeout_s)
        return held

    async def unquiesce(self, volume_id: UUID) -> None:
        """See `Mounter`."""
        if volume_id not in self._quiescence.held():
            return
        await self._run(self._quiescence.release, volume_id)
        self._forget_timer(volume_id)

    async def quiesced(self) -> Mapping[UUID, Quiesced]:
        """See `Mounter`."""
        return self._quiescence.held()

    async def close(self) -> None:
        """See `Mounter`."""
        if self._held is None:
            return
        for volume_id in tuple(self._quiescence.held()):
            await self._release(volume_id)
        for volume_id in tuple(self._timers):
            self._forget_timer(volume_id)
        for task in tuple(self._releases):
            await task
        await self._worker.close()
        self._let_go()

    def _release_later(self, volume_id: UUID, after_s: float) -> None:
        self._forget_timer(volume_id)

        def due() -> None:
            task = asyncio.ensure_future(self._release(volume_id))
            self._releases.add(task)
            task.add_done_callback(self._releases.discard)

        self._timers[volume_id] = asyncio.get_running_loop().call_later(after_s, due)

    def _forget_timer(self, volume_id: UUID) -> None:
        timer = self._timers.pop(volume_id, None)
        if timer is not None:
            timer.cancel()

    async def _release(self, volume_id: UUID) -> None:
        """Release a volume whose time is over; what fails is tried again until it is done."""
        try:
            await self.unquiesce(volume_id)
        except GatewayError as error:
            log.warning("volume not released", volume=str(volume_id), error=type(error).__name__, **error.fields)
            self._release_later(volume_id, RETRY_S)

    def _require_open(self) -> None:
        if self._held is None:
            raise Unavailable(what=WHAT, reason="the mounter is not open")

    def _let_go(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None

    async def _run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._require_open()
        try:
            return await self._worker.run(fn, *args, **kwargs)
        except OSError as error:
            log.warning("mount step failed", error=str(error))
            raise Unavailable(what=WHAT, reason=error.strerror or "the system refuses it") from error
