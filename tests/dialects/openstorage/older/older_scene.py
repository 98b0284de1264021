"""A door of the older API on real sockets, before an SDK that answers as it is told and remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import httpx
from google.protobuf.message import Message
from grpc import StatusCode

from gateway.config import Address, LimitSettings
from gateway.core.door import Trace
from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.older import OlderDoor, Quiescing
from gateway.frontends.openstorage.pb import cluster_pb2, node_pb2, volume_pb2
from gateway.server.http import Listener

GIB = 1 << 30
ID = "5a1f3c1e-0c3c-4b57-9a57-3f2f6f0f9c11"
OTHER = "b7c5d0a2-9a43-4a8e-8f0d-2f0b8f3a7f22"
SNAPSHOT = "0d9b2a34-6d0e-4f0c-9a1b-1c2d3e4f5a66"
NODE = "node-1"
BORN = datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=UTC)
TEXT = "text/plain; charset=utf-8"
UNKNOWN = SdkError(StatusCode.NOT_FOUND, "Volume x not found")
DENIED = SdkError(StatusCode.PERMISSION_DENIED, "Access denied to use")
BROKEN = SdkError(StatusCode.INTERNAL, "it broke")
PROBE_OF_ADMIN = SdkError(StatusCode.INVALID_ARGUMENT, "Must supply a role")

Reply = Message | SdkError | Callable[[Any], Message]


class Asked(NamedTuple):
    """A call that the SDK got."""

    name: str
    request: Any
    authorization: str | None
    peer: str


class ScriptedSdk:
    """Answers each call by name, and what it was not told of with UNIMPLEMENTED. Everybody is an administrator.

    `together`: the ids of the snapshots that it takes at one instant; None: it cannot.
    """

    def __init__(self, **replies: Reply) -> None:
        self.asked: list[Asked] = []
        self.together: Mapping[str, str] | None = None
        self.grouped: list[Asked] = []
        self.replies: dict[str, Reply] = {"OpenStorageRole/Create": PROBE_OF_ADMIN}
        self.say(**replies)

    def say(self, **replies: Reply) -> None:
        """Script `Volume_Create=...` for `OpenStorageVolume/Create`."""
        self.replies |= {f"OpenStorage{name.replace('_', '/')}": reply for name, reply in replies.items()}

    async def answer(
        self, path: str, request: Message, *, authorization: str | None, peer: str, trace: Trace
    ) -> Message:
        name = path.removeprefix("/openstorage.api.")
        kept = type(request)()
        kept.CopyFrom(request)
        self.asked.append(Asked(name, kept, authorization, peer))
        trace.who = "somebody"
        trace.route = name
        reply = self.replies.get(name, SdkError(StatusCode.UNIMPLEMENTED, f"{name} is not served"))
        call = name.rpartition("/")[2]
        if not call.startswith(("Inspect", "Enumerate", "Stats")):
            trace.operation, trace.target = name, getattr(request, "volume_id", "")
        answer = reply if isinstance(reply, Message | SdkError) else reply(request)
        if isinstance(answer, SdkError):
            trace.outcome = answer.code.name
            raise answer
        trace.outcome = "success" if trace.operation else ""
        return answer

    async def snapshot_together(
        self, names: Mapping[str, str], *, authorization: str | None, peer: str, trace: Trace
    ) -> Mapping[str, str]:
        self.grouped.append(Asked("snapshot_together", names, authorization, peer))
        trace.who, trace.operation = "somebody", "OpenStorageVolume/SnapshotCreate"
        if self.together is None:
            trace.outcome = "Unsupported"
            raise SdkError(StatusCode.UNIMPLEMENTED, "the volumes are in several pools")
        trace.outcome = "success"
        return self.together

    @property
    def names(self) -> list[str]:
        """Give the calls in their order, without the one that asks who is an administrator."""
        return [
            asked.name.removeprefix("OpenStorage") for asked in self.asked if asked.name != "OpenStorageRole/Create"
        ]

    def request(self, name: str) -> Any:
        """Give the only request of a call."""
        (found,) = [asked.request for asked in self.asked if asked.name == f"OpenStorage{name}"]
        return found


class ScriptedQuiescing:
    """Holds volumes by name only."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.failure: SdkError | None = None

    async def quiesce(self, volume_id: UUID, *, quiesce_id: str, timeout_s: int) -> None:
        self.asked.append(("quiesce", volume_id, quiesce_id, timeout_s))
        if self.failure is not None:
            raise self.failure

    async def unquiesce(self, volume_id: UUID) -> None:
        self.asked.append(("unquiesce", volume_id))
        if self.failure is not None:
            raise self.failure


class Scene(NamedTuple):
    """The door, the SDK behind it, a client before it."""

    sdk: ScriptedSdk
    quiescing: ScriptedQuiescing
    http: httpx.AsyncClient
    traces: list[Trace]

    async def ask(self, verb: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Send JSON (or bytes, as they are) and give the answer, which must look like every answer."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        answer = await self.http.request(verb, path, content=content, **options)
        assert answer.headers["content-type"] == TEXT
        assert answer.headers["x-content-type-options"] == "nosniff"
        return answer

    async def golden(self, verb: str, path: str, body: Any = None, *, status: int = 200, **options: Any) -> str:
        """Give the body of an answer, after looking at its status."""
        answer = await self.ask(verb, path, body, **options)
        assert answer.status_code == status, answer.text
        return answer.text


@asynccontextmanager
async def scene(
    *, address: Address | Path | None = None, quiescing: bool = True, max_body_bytes: int = 1 << 20, pages: bool = True
) -> AsyncIterator[Scene]:
    """Give a scene; on TCP, or on the UNIX socket that is named."""
    sdk, held = ScriptedSdk(), ScriptedQuiescing()
    without: Quiescing | None = held if quiescing else None
    door = OlderDoor(sdk, quiescing=without, max_body_bytes=max_body_bytes, receive_timeout_s=30, pages=pages)
    traces: list[Trace] = []

    async def handle(request: Any) -> Any:
        trace = Trace()
        traces.append(trace)
        return await door.handle(request, trace)

    listener = Listener(handle, address or Address("127.0.0.1", 0), limits=LimitSettings(), refuse=door.refuse)
    await listener.start()
    try:
        path = str(address) if isinstance(address, Path) else None
        base = "http://osd" if path else f"http://{listener.address}"
        transport = httpx.AsyncHTTPTransport(uds=path, verify=False)
        async with httpx.AsyncClient(base_url=base, transport=transport, timeout=60, trust_env=False) as client:
            yield Scene(sdk, held, client, traces)
    finally:
        await listener.stop()
        await door.close()


def volume(volume_id: str = ID, name: str = "v1", **given: Any) -> volume_pb2.Volume:
    """Give a volume as the SDK shows one."""
    made = volume_pb2.Volume(
        id=volume_id,
        source=volume_pb2.Source(),
        locator=volume_pb2.VolumeLocator(name=name, volume_labels={"b": "2", "a": "1"}),
        state=volume_pb2.VOLUME_STATE_AVAILABLE,
        status=volume_pb2.VOLUME_STATUS_UP,
        format=2,
        usage=4096,
    )
    made.spec.size, made.spec.ha_level, made.spec.format = GIB, 1, 2
    made.ctime.FromDatetime(BORN)
    for key, value in given.items():
        setattr(made, key, value)
    return made


SHOWN = (
    f'{{"id":"{ID}","source":{{}},"locator":{{"name":"v1","volume_labels":{{"a":"1","b":"2"}}}},'
    '"ctime":{"seconds":1767323045,"nanos":600000000},'
    '"spec":{"size":1073741824,"format":2,"ha_level":1},"usage":4096,"format":2,"status":2,"state":2}'
)
"""That volume as the older API shows it."""


def shows(*volumes: volume_pb2.Volume) -> Callable[[Any], Message]:
    """Give the reply to Inspect that knows these volumes, by id or name."""

    def inspect(request: Any) -> Message:
        for each in volumes:
            if request.volume_id in {each.id, each.locator.name}:
                return volume_pb2.SdkVolumeInspectResponse(volume=each, name=each.locator.name)
        raise UNKNOWN

    return inspect


def node(node_id: str = NODE, **given: Any) -> node_pb2.StorageNode:
    """Give a node as the SDK shows one."""
    return node_pb2.StorageNode(
        id=node_id,
        hostname="host-1",
        status=cluster_pb2.STATUS_OK,
        mgmt_ip="192.0.2.1",
        data_ip="192.0.2.2",
        mem_total=8 * GIB,
        security_status=node_pb2.StorageNode.UNSECURED,
        **given,
    )


def cluster_replies(*nodes: node_pb2.StorageNode) -> Mapping[str, Reply]:
    """Give what the SDK says of a cluster of nodes; the first is the one that answers."""
    every: Sequence[node_pb2.StorageNode] = nodes or (node(),)
    found = cluster_pb2.StorageCluster(status=cluster_pb2.STATUS_OK, id="uuid-of-it", name="cluster-1")
    return {
        "Cluster_InspectCurrent": cluster_pb2.SdkClusterInspectCurrentResponse(cluster=found),
        "Node_InspectCurrent": node_pb2.SdkNodeInspectCurrentResponse(node=every[0]),
        "Node_EnumerateWithFilters": node_pb2.SdkNodeEnumerateWithFiltersResponse(nodes=every),
    }
