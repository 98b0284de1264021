from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
import pytest

from gateway.client import Client, ClientError, Flow, native
from gateway.client.carriers import AsyncClient
from gateway.client.wire import Pause, Reply

T = TypeVar("T")
VOLUME_ID, SNAPSHOT_ID, JOB_ID = (f"00000000-0000-0000-0000-00000000000{digit}" for digit in (1, 2, 3))
LABELS = {"cinder.volume": "c1"}
VOLUME = {
    "id": VOLUME_ID,
    "name": "disk",
    "tenant": "svm1",
    "pool": "fast",
    "kind": "block",
    "state": "online",
    "size": 1 << 30,
    "labels": LABELS,
    "path": None,
    "export_policy": None,
    "created": "2026-01-02T03:04:05.678901Z",
    "origin": {"volume": JOB_ID, "snapshot": None},
    "attachments": [{"node": "rack1", "transport": "iscsi", "mode": "rw", "lun": 1}],
    "something_new": True,
}
SNAPSHOT = {"id": SNAPSHOT_ID, "name": "s1", "volume": VOLUME_ID, "state": "valid", "labels": LABELS}
GOING_ON = 202, {"job": {"id": JOB_ID}}
NEW = native.NewVolume(name="disk", tenant="svm1", pool="fast", size=1 << 30, kind="block", labels=LABELS)


def failed(code: str, status: int, **fields: object) -> tuple[int, object]:
    return status, {"error": {"code": code, "message": "no", "fields": fields}}


def job(state: str, error: object = None) -> tuple[int, object]:
    return 200, {"id": JOB_ID, "operation": "o", "state": state, "target_id": VOLUME_ID, "error": error}


TAKEN = failed("AlreadyExists", 409, kind="volume", name="disk", field="name")
LOST = 0, None


class Door:
    """Gives scripted answers, and keeps what it was asked; status 0 is a connection that breaks."""

    def __init__(self, *answers: tuple[int, object]) -> None:
        self.asked: list[httpx.Request] = []
        self._answers = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        status, body = self._answers.pop(0)
        if status == 0:
            raise httpx.ReadError("gone", request=request)
        return httpx.Response(status, json=body)

    def run(self, flow: Flow[T]) -> T:
        with Client(
            "http://gateway", user="u", password="p", verify=False, transport=httpx.MockTransport(self)
        ) as client:
            result = client.run(flow)
        assert self._answers == []
        return result

    def refused(self, flow: Flow[object]) -> ClientError:
        with pytest.raises(ClientError) as refused:
            self.run(flow)
        assert self._answers == []
        return refused.value

    @property
    def calls(self) -> list[str]:
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.asked]

    def body(self, index: int = 0) -> Any:
        return json.loads(self.asked[index].content)


def test_a_volume_is_made_and_given_by_the_answer() -> None:
    door = Door((201, VOLUME))
    made = door.run(native.create_volume(NEW))
    assert (made.id, made.tenant, made.labels, made.attachments[0].lun) == (VOLUME_ID, "svm1", LABELS, 1)
    assert made.created is not None
    assert made.created.microsecond == 678901
    assert door.calls == ["POST /gateway/volumes?wait=30"]
    assert door.body() == {
        "name": "disk",
        "tenant": "svm1",
        "pool": "fast",
        "size": 1 << 30,
        "kind": "block",
        "labels": LABELS,
    }


def test_a_change_that_takes_longer_is_asked_for_by_its_job() -> None:
    door = Door(GOING_ON, job("queued"), job("running"), job("success"), (200, VOLUME))
    assert door.run(native.create_volume(NEW)).name == "disk"
    assert door.calls[1:] == [f"GET /gateway/jobs/{JOB_ID}"] * 3 + [f"GET /gateway/volumes/{VOLUME_ID}"]


def test_a_job_is_asked_for_again_when_the_gateway_was_away() -> None:
    door = Door(GOING_ON, LOST, job("running"), LOST, job("success"), (200, VOLUME))
    assert door.run(native.move_volume(VOLUME_ID, "slow")).id == VOLUME_ID
    away = Door(GOING_ON, *[LOST] * 16)
    assert native.is_lost(seen := unhurried(away, native.move_volume(VOLUME_ID, "slow"))), seen
    assert len(away.asked) == 17


def unhurried(door: Door, flow: Flow[object]) -> ClientError:
    """Carry out without its pauses what fails."""
    with Client("http://gateway", verify=False, transport=httpx.MockTransport(door)) as client:

        def hasty() -> Flow[object]:
            step = next(flow)
            while True:
                try:
                    reply = Reply(status=0) if isinstance(step, Pause) else (yield step)
                except ClientError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)

        with pytest.raises(ClientError) as refused:
            client.run(hasty())
    return refused.value


def test_a_job_that_fails_is_the_error_of_its_change() -> None:
    error = {"code": "OutOfSpace", "message": "no room", "fields": {"pool": "fast", "wanted": 5}}
    refused = Door(GOING_ON, job("failure", error)).refused(native.create_volume(NEW))
    assert (refused.status, refused.code, refused.message) == (0, "OutOfSpace", "no room")
    assert refused.fields == {"pool": "fast", "wanted": 5}
    assert not native.is_lost(refused)
    assert native.is_lost(Door(GOING_ON, job("failure")).refused(native.create_volume(NEW)))


def test_an_error_has_its_fields() -> None:
    refused = Door(failed("InUse", 409, kind="volume", by="clones")).refused(native.delete_volume(VOLUME_ID))
    assert (refused.status, refused.code, refused.fields) == (409, "InUse", {"kind": "volume", "by": "clones"})


@pytest.mark.parametrize(
    ("flow", "call", "body"),
    [
        (
            lambda: native.change_volume(VOLUME_ID, {"path": None}),
            f"PATCH /gateway/volumes/{VOLUME_ID}",
            {"path": None},
        ),
        (
            lambda: native.restore_volume(VOLUME_ID, SNAPSHOT_ID),
            f"POST /gateway/volumes/{VOLUME_ID}/restore",
            {"snapshot": SNAPSHOT_ID, "discard_newer": False},
        ),
        (lambda: native.move_volume(VOLUME_ID, "p"), f"POST /gateway/volumes/{VOLUME_ID}/move", {"pool": "p"}),
        (
            lambda: native.clone_volume(VOLUME_ID, native.NewClone(name="c", size=9)),
            f"POST /gateway/volumes/{VOLUME_ID}/clone",
            {"name": "c", "size": 9},
        ),
    ],
)
@pytest.mark.parametrize("slow", [False, True])
def test_changes_of_a_volume_give_it(
    flow: Callable[[], Flow[native.Volume]], call: str, body: object, slow: bool
) -> None:
    answers = [GOING_ON, job("success"), (200, VOLUME)] if slow else [(200, VOLUME)]
    door = Door(*answers)
    assert door.run(flow()).id == VOLUME_ID
    assert door.calls[0] == f"{call}?wait=30"
    assert door.body() == body


@pytest.mark.parametrize(
    ("flow", "kind"),
    [
        (lambda: native.delete_volume(VOLUME_ID), "volume"),
        (lambda: native.delete_snapshot(SNAPSHOT_ID), "snapshot"),
        (lambda: native.detach(VOLUME_ID, "a/b"), "attachment"),
        (lambda: native.detach(VOLUME_ID, "a/b"), "volume"),
        (lambda: native.delete_export_policy("svm1", "p"), "export policy"),
    ],
)
def test_what_is_absent_is_deleted(flow: Callable[[], Flow[None]], kind: str) -> None:
    Door((200, {})).run(flow())
    Door(failed("NotFound", 404, kind=kind)).run(flow())
    Door(GOING_ON, job("failure", {"code": "NotFound", "fields": {"kind": kind}})).run(flow())
    assert Door(failed("NotFound", 404, kind="resource")).refused(flow()).status == 404
    assert native.is_lost(Door(LOST).refused(flow()))


def test_lists_are_read_page_by_page() -> None:
    second = {**VOLUME, "name": "other"}
    door = Door((200, {"records": [VOLUME], "next": "a b&"}), (200, {"records": [second], "next": ""}))
    with Client("http://gateway", transport=httpx.MockTransport(door)) as client:
        found = list(client.each(native.volumes(tenant="a b", kind="block")))
    assert [one.name for one in found] == ["disk", "other"]
    assert door.calls[1] == "GET /gateway/volumes?tenant=a+b&kind=block&after=a+b%26"


def test_a_list_that_does_not_go_on_ends() -> None:
    page = 200, {"records": [], "next": "x"}
    with (
        Client("http://gateway", transport=httpx.MockTransport(Door(page, page))) as client,
        pytest.raises(ClientError, match="begins where this one does"),
    ):
        list(client.each(native.volumes()))


def test_objects_are_found_by_name() -> None:
    door = Door((200, {"records": [VOLUME], "next": ""}), (200, {"records": [], "next": ""}))
    with Client("http://gateway", transport=httpx.MockTransport(door)) as client:
        found = client.run(native.volume_named("a&b", tenant="svm1"))
        assert client.run(native.snapshot_named(VOLUME_ID, "s")) is None
    assert found is not None
    assert door.calls == [
        "GET /gateway/volumes?tenant=svm1&name=a%26b",
        f"GET /gateway/snapshots?volume={VOLUME_ID}&name=s",
    ]


def test_pools_say_what_they_can() -> None:
    block = {"can": ["clone", "resize"], "why_not": {"shrink": "no"}, "size_min": 1, "ways": ["local", "iscsi"]}
    (pool,) = Door((200, {"records": [{"id": "1", "name": "fast", "kinds": {"block": block}}]})).run(native.pools())
    assert pool.can("block", "clone")
    assert not pool.can("block", "shrink")
    assert not pool.can("filesystem", "clone")
    assert pool.kinds["block"].ways == ("local", "iscsi")


def test_an_attachment_is_asked_for_again_once_its_job_ended() -> None:
    attached = {
        "attachment": {"node": "rack1", "transport": "iscsi", "mode": "rw", "lun": 3},
        "handle": {"type": "iscsi", "address": "192.0.2.1", "port": 3260, "target": "iqn.x:y", "lun": 3, "chap": True},
        "login": {"user": "u", "password": "very-secret"},
    }
    door = Door(GOING_ON, job("success"), (201, attached))
    new = native.NewAttachment(node="rack1", ways=("iscsi",), initiators=("iqn.a:b",), chap=True)
    found = door.run(native.attach(VOLUME_ID, new))
    assert (found.handle.kind, found.handle.lun, found.login and found.login.password) == ("iscsi", 3, "very-secret")
    assert "very-secret" not in repr(found)
    assert (
        door.body()
        == door.body(2)
        == {
            "node": "rack1",
            "ways": ["iscsi"],
            "initiators": ["iqn.a:b"],
            "chap": True,
        }
    )


def test_policies_are_set_whole() -> None:
    door = Door((200, {"name": "a/b", "tenant": "svm1", "rules": [{"clients": ["10.0.0.0/8"], "write": True}]}))
    rule = native.Rule(clients=("10.0.0.0/8",), write=True)
    assert door.run(native.set_export_policy("svm1", "a/b", [rule])).rules == (rule,)
    assert door.calls == ["PUT /gateway/tenants/svm1/export-policies/a%2Fb?wait=30"]
    assert door.body() == {"rules": [{"clients": ["10.0.0.0/8"], "write": True}]}


def test_a_group_is_given_by_its_answer_or_looked_up() -> None:
    members = [native.NewMember(volume=VOLUME_ID, name="s1", labels=LABELS)]
    door = Door((201, {"records": [SNAPSHOT]}))
    assert door.run(native.create_snapshot_group(members))[0].id == SNAPSHOT_ID
    assert door.body() == {"members": [{"volume": VOLUME_ID, "name": "s1", "labels": LABELS}]}
    door = Door(GOING_ON, job("success"), (200, {"records": [SNAPSHOT], "next": ""}))
    assert door.run(native.create_snapshot_group(members))[0].id == SNAPSHOT_ID


@pytest.mark.parametrize("first", [TAKEN, LOST, (502, "Bad Gateway"), failed("Conflict", 409)])
def test_what_an_earlier_attempt_made_is_given(first: tuple[int, object]) -> None:
    creating, there, absent = (
        (200, {"records": records, "next": ""})
        for records in (
            [{**VOLUME, "state": "creating"}],
            [VOLUME],
            [],
        )
    )
    assert Door(first, creating, there).run(native.ensure_volume(NEW, same=LABELS)).id == VOLUME_ID
    assert Door(first, there).refused(native.ensure_volume(NEW, same={"cinder.volume": "c2"})).status == first[0]
    assert Door(first, there).refused(native.ensure_volume(NEW, same={})).status == first[0]
    assert Door(first, absent).refused(native.ensure_volume(NEW, same=LABELS)).status == first[0]


def test_other_errors_of_makers_are_told_at_once() -> None:
    door = Door(failed("OutOfSpace", 507))
    assert door.refused(native.ensure_volume(NEW, same=LABELS)).code == "OutOfSpace"


def test_clones_snapshots_and_groups_are_ensured_too() -> None:
    volumes, snapshots = ((200, {"records": [record], "next": ""}) for record in (VOLUME, SNAPSHOT))
    door = Door(TAKEN, (200, VOLUME), volumes)
    assert door.run(native.ensure_clone(VOLUME_ID, native.NewClone(name="disk"), same=LABELS)).id == VOLUME_ID
    assert door.calls[-1] == "GET /gateway/volumes?tenant=svm1&name=disk"
    flow = native.ensure_snapshot(VOLUME_ID, "s1", same=LABELS, labels=LABELS)
    assert Door(TAKEN, snapshots).run(flow).id == SNAPSHOT_ID
    members = [native.NewMember(volume=VOLUME_ID, name=name, labels=LABELS) for name in ("s1", "s2")]
    assert len(Door(TAKEN, snapshots, snapshots).run(native.ensure_snapshot_group(members))) == 2
    absent = 200, {"records": [], "next": ""}
    assert Door(TAKEN, snapshots, absent).refused(native.ensure_snapshot_group(members)).code == "AlreadyExists"


def test_a_request_that_waits_may_take_longer() -> None:
    door = Door((200, {"records": []}), (200, VOLUME))
    with Client("http://gateway", timeout_s=5, transport=httpx.MockTransport(door)) as client:
        client.run(native.pools())
        client.run(native.create_volume(NEW))
    read, change = (request.extensions["timeout"] for request in door.asked)
    assert (read["read"], read["connect"], change["read"], change["connect"]) == (5, 5, 35, 5)


def test_threads_share_a_client() -> None:
    found: list[str] = []
    door = httpx.MockTransport(lambda request: httpx.Response(200, json={**VOLUME, "name": request.url.path[-1]}))
    with Client("http://gateway", transport=door) as client:
        threads = [
            threading.Thread(target=lambda n=n: found.append(client.run(native.volume(str(n))).name)) for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == [str(n) for n in range(8)]


async def test_an_event_loop_carries_the_same_out() -> None:
    door = Door((201, VOLUME))
    async with AsyncClient("http://gateway", timeout_s=5, transport=httpx.MockTransport(door)) as client:
        assert (await client.run(native.create_volume(NEW))).id == VOLUME_ID
