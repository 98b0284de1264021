"""Publishing what a backend gives access to, as the core does, for as long as a client needs it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from uuid import uuid4

from gateway.core.exporter import BlockAccess, BlockExport, BlockExporter, Export, ExportAccess, Exporter
from gateway.core.handles import AccessHandle, LocalPath
from gateway.testing.backends.blocks import BlockContent, Connect
from gateway.testing.wire.iscsi import INITIATOR
from gateway.testing.wire.nfs import NfsContent


@asynccontextmanager
async def over_nfs(exporter: Exporter, source: AccessHandle) -> AsyncIterator[NfsContent]:
    """Publish a directory for the block, and give its content as this host's NFS clients see it."""
    here = _local(source)
    rule = ExportAccess(clients=("127.0.0.1",), write=not here.read_only)
    export_id = uuid4()
    export = Export(id=export_id, path=f"/{export_id}", source=here, rules=(rule,))
    await exporter.publish(export)
    try:
        yield NfsContent(exporter.handle(export))
    finally:
        await exporter.withdraw(export_id)


@asynccontextmanager
async def over_blocks(exporter: BlockExporter, connect: Connect, source: AccessHandle) -> AsyncIterator[BlockContent]:
    """Publish a raw file or device for the block, and give its content as a client sees it that stays connected."""
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
    handle, connection = exporter.handle(export, access), ExitStack()
    await exporter.publish(export)
    try:
        device = await asyncio.to_thread(connection.enter_context, connect(handle))
        yield BlockContent(handle, lambda _: nullcontext(device))
    finally:
        try:
            await asyncio.to_thread(connection.close)
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
