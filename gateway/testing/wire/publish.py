"""Publishing what a backend gives access to, as the core does, for as long as a client needs it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from gateway.core.exporter import BlockAccess, BlockExport, BlockExporter, Export, ExportAccess, Exporter
from gateway.core.model import AccessHandle, LocalPath
from gateway.testing.wire.iscsi import INITIATOR


@asynccontextmanager
async def published(exporter: Exporter, source: AccessHandle) -> AsyncIterator[AccessHandle]:
    """Publish a directory for the block and give the handle by which this host's clients reach it."""
    here = _local(source)
    rule = ExportAccess(clients=("127.0.0.1",), write=not here.read_only)
    export_id = uuid4()
    export = Export(id=export_id, path=f"/{export_id}", source=here, rules=(rule,))
    await exporter.publish(export)
    try:
        yield exporter.handle(export)
    finally:
        await exporter.withdraw(export_id)


@asynccontextmanager
async def published_blocks(exporter: BlockExporter, source: AccessHandle) -> AsyncIterator[AccessHandle]:
    """Publish a raw file or device for the block and give the handle by which `INITIATOR` reaches it."""
    here = _local(source)
    export_id = uuid4()
    access = BlockAccess(
        id=uuid4(),
        target=f"iqn.2024-07.internal.volume-gateway:conformance:{export_id}",
        lun=1,
        write=not here.read_only,
        initiators=(INITIATOR,),
    )
    export = BlockExport(id=export_id, serial=export_id.hex[:12], size=_size(here.path), source=here, access=(access,))
    await exporter.publish(export)
    try:
        yield exporter.handle(export, access)
    finally:
        # A server may notice a moment later than a client that the client has gone.
        await exporter.withdraw(export_id, force=True)


def _local(source: AccessHandle) -> LocalPath:
    if not isinstance(source, LocalPath):
        raise TypeError(f"only what is on this host can be published: {source}")
    return source


def _size(path: str) -> int:
    with Path(path).open("rb") as file:
        return file.seek(0, os.SEEK_END)
