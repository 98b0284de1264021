"""Content over the wire: what a backend gives access to is published, and reached as remote clients reach it.

    exporter = NfsExporter(options, folder)
    await exporter.open()
    Harness(opened=backend, content=partial(over_nfs, exporter), ...)

Block volumes take `over_blocks` with `NbdDevice`, `IscsiDevice` or, where the
exporter gives devices of this host, `FileDevice`. The clients are libnfs,
libnbd and libiscsi, and know no more than the access handle that the exporter
gave. A pool whose own server has its blocks needs no exporter: `NfsDevice` is
for a handle that the backend gave.

A publication lasts as long as a case has hold of the content, so what a case
does to the volume in between finds it withdrawn, and what it does meanwhile
finds it published and, where it is blocks, a client connected.
"""

from __future__ import annotations

from gateway.testing.wire.iscsi import INITIATOR, IscsiDevice
from gateway.testing.wire.nbd import NbdDevice
from gateway.testing.wire.nfs import NfsContent, NfsDevice, NfsMount
from gateway.testing.wire.publish import over_blocks, over_nfs

__all__ = ["INITIATOR", "IscsiDevice", "NbdDevice", "NfsContent", "NfsDevice", "NfsMount", "over_blocks", "over_nfs"]
