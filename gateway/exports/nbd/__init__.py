"""Publishes files and devices of this host over NBD with a qemu-storage-daemon of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from gateway.core.backend import FaultHook, no_fault
from gateway.core.exporter import BlockAccess, BlockExport
from gateway.core.handles import NbdExport
from gateway.core.needs import Need, listening, program
from gateway.exports.blocks import Opened
from gateway.exports.nbd.publications import FAULT_POINTS, Publications
from gateway.exports.nbd.server import StorageDaemon
from gateway.exports.records import Record, Records

__all__ = ["FAULT_POINTS", "NbdExporter", "NbdOptions"]


class NbdOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[export.nbd]`. `address` is told to clients, `bind` is the address listened on.

    NBD asks nobody who he is: whoever reaches the port reaches every volume
    that is attached over it.
    """

    address: str = "127.0.0.1"
    bind: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 10809
    threads: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2


class NbdExporter(Opened):
    """A `BlockExporter` with qemu-storage-daemon. State lies under `state_dir`."""

    Options: ClassVar[type[msgspec.Struct]] = NbdOptions

    def __init__(self, options: NbdOptions, state_dir: Path, *, fault: FaultHook = no_fault) -> None:
        state_dir = state_dir.absolute()
        server = StorageDaemon(bind=options.bind, port=options.port, state_dir=state_dir)
        steps = Publications(server, Records(state_dir / "exports", Record), fault)
        super().__init__("nbd", steps, state_dir, threads=options.threads)
        self._options = options

    @classmethod
    def needs(cls, options: NbdOptions) -> tuple[Need, ...]:
        """Say what the server takes; see `gateway.core.needs`."""
        return (program("qemu-storage-daemon", "serves NBD"), *listening(options.port))

    def handle(self, export: BlockExport, access: BlockAccess) -> NbdExport:
        """See `BlockExporter`."""
        return NbdExport(
            address=self._options.address,
            port=self._options.port,
            name=access.target,
            read_only=export.source.read_only or not access.write,
        )
