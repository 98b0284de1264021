"""Publishes files and devices of this host over iSCSI with a tgtd of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from gateway.core.backend import FaultHook, no_fault
from gateway.core.exporter import BlockAccess, BlockExport
from gateway.core.handles import IscsiTarget
from gateway.core.needs import Need, listening, program
from gateway.exports.blocks import Opened
from gateway.exports.iscsi.publications import FAULT_POINTS, Publications
from gateway.exports.iscsi.server import Tgtd
from gateway.exports.records import Record, Records

__all__ = ["FAULT_POINTS", "IscsiExporter", "IscsiOptions"]


class IscsiOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[export.iscsi]`. `address` is told to clients, `bind` is the address listened on."""

    address: str = "127.0.0.1"
    bind: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 3260
    threads: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2


class IscsiExporter(Opened):
    """A `BlockExporter` with tgt. State lies under `state_dir`."""

    Options: ClassVar[type[msgspec.Struct]] = IscsiOptions

    def __init__(self, options: IscsiOptions, state_dir: Path, *, fault: FaultHook = no_fault) -> None:
        state_dir = state_dir.absolute()
        server = Tgtd(bind=options.bind, port=options.port, state_dir=state_dir)
        steps = Publications(server, Records(state_dir / "exports", Record), fault)
        super().__init__("iscsi", steps, state_dir, threads=options.threads)
        self._options = options

    @classmethod
    def needs(cls, options: IscsiOptions) -> tuple[Need, ...]:
        """Say what the server takes; see `gateway.core.needs`."""
        return (program("tgtd", "serves iSCSI"), *listening(options.port))

    def handle(self, export: BlockExport, access: BlockAccess) -> IscsiTarget:
        """See `BlockExporter`."""
        return IscsiTarget(
            address=self._options.address,
            port=self._options.port,
            target=access.target,
            lun=access.lun,
            chap=bool(access.logins),
            read_only=export.source.read_only or not access.write,
        )
