"""A libStorage client written from the protocol's description, which believes nothing that it is told.

Every answer is held against what the protocol says of its kind: status, headers, layout of the body, the members that
a record must have, may have, and must not have when they would be empty.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import httpx
import msgspec
import pytest

LIMIT_S = 90.0
UNKNOWN, ATTACHED, AVAILABLE, UNAVAILABLE = 1, 2, 3, 4
NONE, ANY, MINE, MINE_WITH_DEVICES = 0, 1, 3, 7
ONLY_ATTACHED, ONLY_MINE, ONLY_MINE_WITH_DEVICES = 9, 11, 15
ONLY_UNATTACHED, ALL_WITH_STATES, MINE_OR_AVAILABLE = 17, 25, 27
"""Masks of attachments by what clients use them for."""

Given = TypeVar("Given")


def _wire(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join("ID" if each == "id" else each.capitalize() for each in others)


class _Record(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, rename=_wire
):  # what has a default is left out when it has it
    pass


class InstanceId(_Record, frozen=True):
    id: str
    driver: str
    service: str
    fields: dict[str, str] = {}


class Attachment(_Record, frozen=True):
    device_name: str
    instance_id: InstanceId
    status: str
    volume_id: str
    fields: dict[str, str] = {}


class Volume(_Record, frozen=True):
    id: str
    name: str
    type: str
    size: int = 0
    iops: int = 0
    availability_zone: str = ""
    encrypted: bool = False
    network_name: str = ""
    status: str = ""
    attachment_state: int = 0
    attachments: list[Attachment] = []
    fields: dict[str, str] = {}

    @property
    def holders(self) -> list[str]:
        """Give the ids of the instances that it is attached to."""
        return sorted(each.instance_id.id for each in self.attachments)


class Attached(_Record, frozen=True):
    volume: Volume
    attach_token: str


class Snapshot(_Record, frozen=True):
    id: str
    name: str = ""
    description: str = ""
    encrypted: bool = False
    start_time: int = 0
    status: str = ""
    volume_id: str = ""
    volume_size: int = 0
    fields: dict[str, str] = {}


class NextDevice(_Record, frozen=True):
    ignore: bool
    prefix: str
    pattern: str


class Driver(_Record, frozen=True):
    name: str
    type: str
    next_device: NextDevice | None = None


class Instance(_Record, frozen=True):
    instance_id: InstanceId
    provider_name: str
    name: str = ""
    region: str = ""
    fields: dict[str, str] = {}


class Service(_Record, frozen=True):
    name: str
    driver: Driver
    instance: Instance | None = None


class Task(_Record, frozen=True):
    id: int
    queue_time: int
    state: str
    user: str = ""
    start_time: int = 0
    complete_time: int = 0
    result: Any = None
    error: Any = None


class RefusedError(Exception):
    """An answer with an error. `told` is its context: an object, or its message again."""

    def __init__(self, status: int, message: str, told: Any) -> None:
        super().__init__(f"{status} {message}: {told}")
        self.status = status
        self.message = message
        self.told = told


class OutlastedError(Exception):
    """A request took longer than the server waits; the task goes on."""

    def __init__(self, task: Task) -> None:
        super().__init__(f"task {task.id}")
        self.task = task


@contextmanager
def refused(status: int, message: str, told: Any = ...) -> Iterator[None]:
    """Expect a refusal in just these words; `told` may be left open."""
    with pytest.raises(RefusedError) as caught:
        yield
    assert (caught.value.status, caught.value.message) == (status, message), str(caught.value)
    if told is not ...:
        assert caught.value.told == told


@contextmanager
def not_found(resource_id: str) -> Iterator[None]:
    with refused(404, "resource not found", {"resourceID": resource_id}):
        yield


def metadata(told: Any) -> str:
    """Give what an instance knows of itself as it stands in a header."""
    return base64.b64encode(json.dumps(told).encode()).decode()


def records(told: Any, kind: type[Given]) -> Given:
    """Give what was told as records. What it says, and what it leaves out, must be just as the protocol has it."""
    read = msgspec.convert(told, kind)
    assert msgspec.to_builtins(read) == told, "an empty member is not left out"
    return read


class Client:
    """Makes calls as one instance, or as none. `instances`, `devices`: the values of their headers, one line each."""

    def __init__(
        self,
        http: httpx.Client,
        *,
        instances: Sequence[str] = (),
        devices: Sequence[str] = (),
        others: Mapping[str, str] | None = None,
    ) -> None:
        self._http = http
        self._instances = tuple(instances)
        self._devices = tuple(devices)
        self._others = dict(others or {})
        self.server_name = ""

    def as_instance(self, *values: str, devices: Sequence[str] = ()) -> Client:
        """Give a client on another machine, or on the same one by other headers."""
        return Client(self._http, instances=values, devices=devices, others=self._others)

    def with_devices(self, *values: str) -> Client:
        return Client(self._http, instances=self._instances, devices=values, others=self._others)

    def with_headers(self, **others: str) -> Client:
        """Give a client that sends more headers: `Libstorage_Tx` is `Libstorage-Tx`."""
        more = {name.replace("_", "-"): value for name, value in others.items()}
        return Client(self._http, instances=self._instances, devices=self._devices, others={**self._others, **more})

    def raw(self, method: str, path: str, content: bytes | None = None) -> httpx.Response:
        """Make a call as it is written and give the answer as it is."""
        headers = [("Libstorage-Instanceid", value) for value in self._instances]
        headers += [("Libstorage-Localdevices", value) for value in self._devices]
        return self._http.request(method, path, content=content, headers=[*headers, *self._others.items()])

    def call(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Make a call; give what the body tells. RefusedError and OutlastedError for what is no success."""
        content = None if body is None else json.dumps(body).encode()
        answer = self.raw(method, path, content)
        if answer.status_code == 204:
            self._named(answer)
            assert (status, answer.content) == (204, b"")
            return None
        told = self._told(answer)
        if answer.status_code == 408:
            raise OutlastedError(records(told, Task))
        if answer.status_code > 299:
            assert set(told) == {"message", "status", "error"}
            assert told["status"] == answer.status_code
            if not isinstance(told["error"], dict):
                assert told["error"] == told["message"]
            raise RefusedError(answer.status_code, told["message"], told["error"])
        assert answer.status_code == status
        return told

    def _told(self, answer: httpx.Response) -> Any:
        self._named(answer)
        assert answer.headers["Content-Type"] == "application/json", answer.text
        assert "Content-Encoding" not in answer.headers
        told = answer.json()
        unescaped = re.sub(r"\\u00(3c|3e|26)", lambda match: chr(int(match[1], 16)), answer.text.rstrip("\n"))
        assert unescaped == json.dumps(told, indent=2, ensure_ascii=False)
        return told

    def _named(self, answer: httpx.Response) -> None:
        name = answer.headers["Libstorage-Servername"]
        assert name
        assert self.server_name in ("", name)
        self.server_name = name

    # what is there

    def root(self) -> list[str]:
        return records(self.call("GET", "/"), list[str])

    def services(self, query: str = "") -> dict[str, Service]:
        return records(self.call("GET", f"/services{query}"), dict[str, Service])

    def service(self, name: str, query: str = "") -> Service:
        return records(self.call("GET", f"/services/{name}{query}"), Service)

    def help(self) -> list[str]:
        return records(self.call("GET", "/help"), list[str])

    def version(self) -> str:
        return records(self.call("GET", "/help/version"), str)

    # volumes

    def everywhere(self, mask: int | str | None = None, **query: str) -> dict[str, dict[str, Volume]]:
        """Give the volumes of all services."""
        return records(self.call("GET", "/volumes" + _query(mask, **query)), dict[str, dict[str, Volume]])

    def volumes(self, service: str, mask: int | str | None = None, **query: str) -> dict[str, Volume]:
        found = records(self.call("GET", f"/volumes/{service}" + _query(mask, **query)), dict[str, Volume])
        assert all(key == volume.id for key, volume in found.items())
        assert list(found) == sorted(found)
        return found

    def named(self, service: str, mask: int | str | None = None, **query: str) -> dict[str, Volume]:
        """Give the volumes of a service by their names."""
        found = self.volumes(service, mask, **query)
        by_name = {volume.name: volume for volume in found.values()}
        assert len(by_name) == len(found)
        return by_name

    def volume(self, service: str, volume_id: str, mask: int | str | None = None) -> Volume:
        return records(self.call("GET", f"/volumes/{service}/{volume_id}" + _query(mask)), Volume)

    def by_name(self, service: str, name: str, mask: int | str | None = None) -> Volume:
        path = f"/volumes/{service}/{quote(name)}" + _query(mask)
        return records(self.call("GET", f"{path}{'&' if '?' in path else '?'}byName"), Volume)

    def create(self, service: str, name: str, **body: Any) -> Volume:
        made = records(self.call("POST", f"/volumes/{service}", {"name": name, **body}, status=201), Volume)
        assert (made.name, made.attachment_state, made.attachments) == (name, AVAILABLE, [])
        return made

    def copy(self, service: str, volume_id: str, name: str, **opts: Any) -> Volume:
        body = {"volumeName": name, **({"opts": opts} if opts else {})}
        return records(self.call("POST", f"/volumes/{service}/{volume_id}?copy", body, status=201), Volume)

    def snapshot(self, service: str, volume_id: str, name: str, **opts: Any) -> Snapshot:
        body = {"snapshotName": name, **({"opts": opts} if opts else {})}
        return records(self.call("POST", f"/volumes/{service}/{volume_id}?snapshot", body, status=201), Snapshot)

    def attach(self, service: str, volume_id: str, **body: Any) -> Attached:
        return records(self.call("POST", f"/volumes/{service}/{volume_id}?attach", body), Attached)

    def detach(self, service: str, volume_id: str, **body: Any) -> Volume:
        return records(self.call("POST", f"/volumes/{service}/{volume_id}?detach", body, status=205), Volume)

    def detach_service(self, service: str, **body: Any) -> dict[str, Volume]:
        return records(self.call("POST", f"/volumes/{service}?detach", body, status=205), dict[str, Volume])

    def detach_everywhere(self, **body: Any) -> dict[str, dict[str, Volume]]:
        return records(self.call("POST", "/volumes?detach", body, status=205), dict[str, dict[str, Volume]])

    def remove(self, service: str, volume_id: str, query: str = "") -> None:
        self.call("DELETE", f"/volumes/{service}/{volume_id}{query}", status=204)

    # snapshots

    def snapshots_everywhere(self) -> dict[str, dict[str, Snapshot]]:
        return records(self.call("GET", "/snapshots"), dict[str, dict[str, Snapshot]])

    def snapshots(self, service: str) -> dict[str, Snapshot]:
        found = records(self.call("GET", f"/snapshots/{service}"), dict[str, Snapshot])
        assert all(key == snapshot.id for key, snapshot in found.items())
        return found

    def inspect_snapshot(self, service: str, snapshot_id: str) -> Snapshot:
        return records(self.call("GET", f"/snapshots/{service}/{snapshot_id}"), Snapshot)

    def from_snapshot(self, service: str, snapshot_id: str, name: str, **body: Any) -> Volume:
        sent = {"name": name, **body}
        return records(self.call("POST", f"/snapshots/{service}/{snapshot_id}?create", sent, status=201), Volume)

    def copy_snapshot(self, service: str, snapshot_id: str, name: str, destination: str = "") -> Snapshot:
        body = {"snapshotName": name, "destinationID": destination}
        return records(self.call("POST", f"/snapshots/{service}/{snapshot_id}?copy", body, status=201), Snapshot)

    def remove_snapshot(self, service: str, snapshot_id: str) -> None:
        assert self.call("DELETE", f"/snapshots/{service}/{snapshot_id}", status=205) is None

    # tasks

    def queued(self, method: str, path: str, body: Any = None) -> Task:
        """Make a call that is not waited for."""
        path += f"{'&' if '?' in path else '?'}async"
        return records(self.call(method, path, body, status=202), Task)

    def tasks(self) -> dict[str, Task]:
        found = records(self.call("GET", "/tasks"), dict[str, Task])
        assert all(key == str(task.id) for key, task in found.items())
        return found

    def task(self, number: int | str) -> Task:
        task = records(self.call("GET", f"/tasks/{number}"), Task)
        assert task.state in ("queued", "running", "success", "error")
        return task

    def ended(self, task: Task) -> Task:
        """Ask for a task until it ended. Each question takes a while, and the server works meanwhile."""
        while task.state in ("queued", "running"):
            assert (task.complete_time, task.result, task.error) == (0, None, None)
            task = self.task(task.id)
        assert 0 < task.queue_time <= task.start_time <= task.complete_time
        assert (task.error is None) is (task.state == "success")
        return task


def _query(mask: int | str | None, **others: str) -> str:
    given = {**({} if mask is None else {"attachments": mask}), **others}
    return f"?{urlencode(given)}" if given else ""


@contextmanager
def client_of(address: str, *instances: str, **options: Any) -> Iterator[Client]:
    """Give a client of `http://HOST:PORT` or `https://HOST:PORT`, or of the path of a UNIX socket."""
    if address.startswith("/"):
        transport = httpx.HTTPTransport(uds=address)
        http = httpx.Client(base_url="http://libstorage-server", transport=transport, timeout=LIMIT_S, **options)
    else:
        http = httpx.Client(base_url=address, timeout=LIMIT_S, **options)
    with http:
        yield Client(http, instances=instances)
