"""What tests of the Manila driver's flows share: shares at a real gateway, and a network on which things go wrong."""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import uuid4

import httpx
import pytest
from manila_scene import FAST, TENANT, Bed, access_row

from gateway.client import Client, ClientError, Flow, native
from gateway.client.native import Volume
from gateway.frontends.manila_driver import shares
from gateway.frontends.manila_driver.naming import GIB, Share, Snapshot
from gateway.testing.live import ACCOUNT, PASSWORD

T = TypeVar("T")
MIB = 1 << 20
HERE = access_row("127.0.0.1")


def new_share(**fields: Any) -> Share:
    key = str(uuid4())
    return Share(id=key, share_id=str(uuid4()), name=f"share-{key}", tenant=TENANT, **fields)


def new_snapshot(**fields: Any) -> Snapshot:
    key = str(uuid4())
    return Snapshot(id=key, snapshot_id=str(uuid4()), name=f"share-snapshot-{key}", **fields)


def made(bed: Bed, *, pool: str = FAST, size: int = GIB) -> Share:
    """Make a share that this host may write to."""
    share = new_share()
    bed.client.run(shares.create(share, pool=pool, size=size))
    bed.client.run(shares.set_access(share, [HERE]))
    return share


def volume_of(bed: Bed, share: Share) -> Volume:
    found = bed.client.run(shares.find(share))
    assert found is not None
    return found


def rules(bed: Bed, name: str) -> list[tuple[str, bool]]:
    return [(rule.clients[0], rule.write) for rule in bed.client.run(native.export_policy(TENANT, name)).rules]


def absent(bed: Bed, share: Share) -> bool:
    """Tell whether nothing is left of a share, whatever its marks."""
    with pytest.raises(ClientError) as missing:
        bed.client.run(native.export_policy(TENANT, share.name))
    named = bed.client.run(native.volume_named(share.name, tenant=TENANT))
    return named is None and native.is_absent(missing.value, "export policy")


class Wire(httpx.BaseTransport):
    """The network to the gateway, with one thing that goes wrong at the change that is due.

    `lost`: the gateway does it, and its answer does not arrive; `down`: from
    then on nobody is there.
    """

    def __init__(self, how: str, due: int) -> None:
        self._how = how
        self._left = due
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._left -= request.method != "GET"
        if self._how == "down" and self._left < 0:
            raise httpx.ConnectError("nobody is there", request=request)
        answer = self._inner.handle_request(request)
        if self._how == "lost" and self._left == 0 and request.method != "GET":
            self._left = -1
            answer.read()
            raise httpx.ReadError("the answer is lost", request=request)
        return answer

    def close(self) -> None:
        self._inner.close()


def over(bed: Bed, wire: Wire, flow: Flow[T]) -> T | None:
    """Carry a flow out over a network that goes wrong; None when nobody knows what became of it."""
    with Client(bed.gateway.url, user=ACCOUNT, password=PASSWORD, transport=wire) as client:
        try:
            return client.run(flow)
        except ClientError as error:
            if not native.is_lost(error):
                raise
            return None
