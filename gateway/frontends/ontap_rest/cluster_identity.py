"""Where the cluster is and who looks after it: what only this door asks for, kept as a document."""

from __future__ import annotations

import msgspec

from gateway.core import documents
from gateway.core.context import Core

_KIND, _NAME = "ontap.cluster", "cluster"


class Identity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an administrator wrote, word for word."""

    location: str = ""
    contact: str = ""


_DECODER = msgspec.json.Decoder(Identity)


async def read_identity(core: Core) -> Identity:
    """Give what was written last."""
    found = await documents.named(core, _KIND, _NAME)
    return Identity() if found is None else _DECODER.decode(found.body)


async def write_identity(core: Core, identity: Identity) -> None:
    """Keep it."""
    await documents.put_named(core, _KIND, _NAME, msgspec.json.encode(identity).decode())
