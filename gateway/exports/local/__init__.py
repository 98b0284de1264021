"""Publishes files as devices of this host, for consumers that run on it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import msgspec

from gateway.core.backend import FaultHook, no_fault
from gateway.core.exporter import BlockAccess, BlockExport
from gateway.core.handles import LocalPath
from gateway.core.needs import Need, capability, device, program
from gateway.core.runner import Circuit, Runner, SystemRunner
from gateway.exports.blocks import Opened
from gateway.exports.local.devices import LOOP_CONTROL, Loops
from gateway.exports.local.publications import FAULT_POINTS, LocalRecord, Publications, link_name, writes
from gateway.exports.records import Records

__all__ = ["FAULT_POINTS", "LocalExporter", "LocalOptions"]


class LocalOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[export.local]`. It has no settings."""


class LocalExporter(Opened):
    """A `BlockExporter` with loop devices. State and the links that handles name lie under `state_dir`."""

    Options: ClassVar[type[msgspec.Struct]] = LocalOptions

    def __init__(
        self,
        options: LocalOptions,  # noqa: ARG002 - every exporter is made alike
        state_dir: Path,
        *,
        fault: FaultHook = no_fault,
        runner: Runner | None = None,
    ) -> None:
        state_dir = state_dir.absolute()
        self._folder = state_dir / "dev"
        loops = Loops(Circuit(runner or SystemRunner(), what="local"))
        steps = Publications(self._folder, loops, Records(state_dir / "exports", LocalRecord), fault)
        super().__init__("local", steps, state_dir, threads=1)

    @classmethod
    def needs(cls, options: LocalOptions) -> tuple[Need, ...]:  # noqa: ARG003 - every exporter says it alike
        """Say what loop devices take; see `gateway.core.needs`."""
        return (
            program("losetup", "makes loop devices"),
            device(str(LOOP_CONTROL), "to find free loop devices"),
            capability("CAP_DAC_OVERRIDE", "to open loop devices, which are root's"),
            capability("CAP_SYS_ADMIN", "to make, measure and end loop devices"),
            capability("CAP_SYS_PTRACE", "to see which processes use a device"),
        )

    def handle(self, export: BlockExport, access: BlockAccess) -> LocalPath:
        """See `BlockExporter`."""
        write = writes(export, access)
        return LocalPath(path=str(self._folder / link_name(export.id, write=write)), read_only=not write)
