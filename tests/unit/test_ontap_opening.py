"""Opening a pool on a cluster, and what is found there, by scripted answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import httpx
import pytest
import respx
from ontap_wire import URL, options, records, refusal

from gateway.backends.ontap import OntapBackend
from gateway.backends.ontap.cluster import VOLUMES
from gateway.backends.ontap.descriptions import VolumeSidecar, pack, to_tags
from gateway.core import errors
from gateway.core.backend import Note, VolumeSpec, derive
from gateway.core.model import VolumeKind

KEY = UUID(int=1, version=4)
FACTS = {"name": "c1", "version": {"generation": 9, "major": 15, "minor": 1}}
SVM = {"uuid": "02c9e252-41be-11e9-81d5-00a0986138f7", "name": "svm1", "state": "running"}
SPACE = {"size": 100 << 30, "used": 40 << 30, "available": 60 << 30}
AGGREGATES = [
    {"uuid": "1", "name": "aggr1", "state": "online", "space": {"block_storage": SPACE}},
    {"uuid": "2", "name": "aggr2", "state": "online", "space": {"block_storage": {**SPACE, "available": 70 << 30}}},
]


def furnish(wire: respx.MockRouter, **changes: httpx.Response) -> None:
    """Let the wire answer as a cluster that is in order, but for what is given."""
    answers = {
        "/api/cluster": httpx.Response(200, json=FACTS),
        "/api/svm/svms": httpx.Response(200, json=records(SVM)),
        "/api/storage/aggregates": httpx.Response(200, json=records(*AGGREGATES)),
        "/api/cluster/licensing/licenses": refusal("3", "API not found", 404),
        "/api/network/ip/interfaces": httpx.Response(200, json=records()),
        VOLUMES: httpx.Response(200, json=records()),
    }
    for path, answer in (answers | {f"/api/{key.replace('__', '/')}": value for key, value in changes.items()}).items():
        wire.get(path=path).mock(return_value=answer)


@pytest.fixture
def wire() -> Iterator[respx.MockRouter]:
    with respx.mock(base_url=URL, assert_all_called=False) as router:
        yield router


@pytest.fixture
async def backend(wire: respx.MockRouter) -> AsyncIterator[OntapBackend]:
    del wire
    made = OntapBackend("pool", options())
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"cluster": httpx.Response(200, json={"version": {"generation": 9, "major": 12, "minor": 1}})}, "9.12.1"),
        ({"cluster": httpx.Response(200, html="<html>")}, "usable"),
        ({"cluster": refusal("6691623", status=401)}, "account"),
        ({"svm__svms": httpx.Response(200, json=records())}, "no SVM"),
        ({"svm__svms": httpx.Response(200, json=records({**SVM, "state": "stopped"}))}, "stopped"),
        ({"storage__aggregates": httpx.Response(200, json=records())}, "aggregate"),
        ({"storage__aggregates": refusal("6", status=403)}, "account"),
    ],
)
async def test_a_cluster_that_will_not_do(
    wire: respx.MockRouter, backend: OntapBackend, changes: dict[str, httpx.Response], word: str
) -> None:
    furnish(wire, **changes)
    with pytest.raises(errors.Unavailable, match=word):
        await backend.open()
    with pytest.raises(errors.Unavailable):
        backend.describe()


@pytest.mark.parametrize(
    ("licenses", "lacking"),
    [
        (refusal("3", "API not found", 404), set()),
        (refusal("6", status=403), set()),
        (httpx.Response(200, json=records()), set()),
        (httpx.Response(200, json=records({"name": "flexclone", "state": "compliant"})), {"restore"}),
        (
            httpx.Response(
                200,
                json=records(
                    {"name": "snaprestore", "state": "noncompliant"}, {"name": "flexclone", "state": "unlicensed"}
                ),
            ),
            {"clone"},
        ),
    ],
)
async def test_what_is_not_licensed_is_lacking(
    wire: respx.MockRouter, backend: OntapBackend, licenses: httpx.Response, lacking: set[str]
) -> None:
    furnish(wire, cluster__licensing__licenses=licenses)
    await backend.open()
    capability = derive("pool", backend)[VolumeKind.FILESYSTEM]
    assert {name for name in ("clone", "restore") if not capability.can(name)} == lacking
    assert all("license" in capability.why_not[name] for name in lacking)
    assert capability.can("split") is ("clone" not in lacking)
    told = any("does not tell" in remark for remark in backend.describe().remarks)
    assert told is (not lacking), "what is not known is said"


async def test_volumes_are_made_where_there_is_most_room(wire: respx.MockRouter, backend: OntapBackend) -> None:
    furnish(wire)
    made = wire.post(VOLUMES).mock(return_value=refusal("917534"))
    await backend.open()
    capacity = await backend.capacity()
    assert (capacity.size, capacity.available) == (200 << 30, 130 << 30)
    spec = VolumeSpec(
        id=KEY, kind=VolumeKind.FILESYSTEM, size=20 << 20, note=Note(name="a\tb", tenant="t", document=b"{}")
    )
    with pytest.raises(errors.LimitExceeded):
        await backend.create(spec)
    body = json.loads(made.calls[0].request.content)
    assert body["aggregates"] == [{"name": "aggr2"}]
    assert body["svm"] == {"name": "svm1"}
    assert body["comment"] == "a b (t)"
    assert all(len(tag) <= 200 for tag in body["_tags"])


async def test_an_svm_that_may_use_one_aggregate_uses_that(wire: respx.MockRouter, backend: OntapBackend) -> None:
    furnish(wire, svm__svms=httpx.Response(200, json=records({**SVM, "aggregates": [{"name": "aggr1"}]})))
    await backend.open()
    assert (await backend.capacity()).available == 60 << 30


async def test_a_volume_that_nobody_described_is_not_taken_over(wire: respx.MockRouter, backend: OntapBackend) -> None:
    name = f"gw_{KEY.hex}"
    furnish(wire, storage__volumes=httpx.Response(200, json=records({"uuid": "u1", "name": name, "_tags": ["a:b"]})))
    await backend.open()
    assert [(seen.id, seen.place) async for seen in backend.scan()] == [(None, name)]
    assert await backend.inspect(KEY) is None
    spec = VolumeSpec(id=KEY, kind=VolumeKind.FILESYSTEM, size=20 << 20, note=Note(name="n", tenant="t", document=b""))
    with pytest.raises(errors.AlreadyExists):
        await backend.create(spec)


async def test_a_damaged_description_is_told(wire: respx.MockRouter, backend: OntapBackend) -> None:
    name = f"gw_{KEY.hex}"
    furnish(wire, storage__volumes=httpx.Response(200, json=records({"uuid": "u1", "name": name, "_tags": ["gw00:x"]})))
    await backend.open()
    assert [(seen.id, seen.place) async for seen in backend.scan()] == [(None, name)]
    with pytest.raises(errors.Unavailable, match="damaged"):
        await backend.inspect(KEY)


@pytest.mark.parametrize(
    ("interfaces", "address"),
    [
        (
            [
                {"uuid": "1", "name": "b", "ip": {"address": "192.0.2.2"}},
                {"uuid": "2", "name": "a", "ip": {"address": "192.0.2.1"}},
            ],
            "192.0.2.1",
        ),
        ([{"uuid": "1", "name": "a", "ip": {"address": "192.0.2.1"}, "state": "down"}], ""),
        ([{"uuid": "1", "name": "a", "ip": {"address": "192.0.2.1"}, "enabled": False}], ""),
        ([], ""),
    ],
)
async def test_clients_are_led_to_an_interface_of_the_svm(
    wire: respx.MockRouter, backend: OntapBackend, interfaces: list[object], address: str
) -> None:
    furnish(wire, network__ip__interfaces=httpx.Response(200, json=records(*interfaces)))
    await backend.open()
    assert backend._session.opened.address == address
    assert any("no interface" in remark for remark in backend.describe().remarks) is (not address)


async def test_a_split_that_the_cluster_breaks_off_is_not_waited_for(
    wire: respx.MockRouter, backend: OntapBackend
) -> None:
    sidecar = VolumeSidecar(id=KEY, note=Note(name="v", tenant="t", document=b"{}"))
    volume = {
        "uuid": "u1",
        "name": f"gw_{KEY.hex}",
        "clone": {"is_flexclone": True, "split_initiated": False},
        "_tags": to_tags(pack(sidecar, KEY)),
    }
    furnish(wire)
    await backend.open()
    wire.get(path=VOLUMES).mock(return_value=httpx.Response(200, json=records(volume)))
    wire.patch(path=f"{VOLUMES}/u1").mock(return_value=httpx.Response(200, json={}))
    with pytest.raises(errors.Unavailable, match="split"):
        await backend.split(KEY)
