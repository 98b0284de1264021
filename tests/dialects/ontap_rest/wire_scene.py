"""Bytes to a live gateway and back, below every client library; and what must be true of every answer."""

from __future__ import annotations

import base64
import json
import re
import select
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from gateway.config import RELEASES
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

PATIENCE_S = 60
EVERY_FIELD = f'[ontap]\nrelease = "{RELEASES[-1]}"\n'
"""The configuration of a gateway that knows all fields."""
BASIC = b"Basic " + base64.b64encode(f"{ACCOUNT}:{PASSWORD}".encode())
COLLECTIONS = (
    "/api/svm/svms",
    "/api/storage/aggregates",
    "/api/storage/volumes",
    "/api/storage/volumes/*/snapshots",
    "/api/storage/snapshot-policies",
    "/api/protocols/nfs/export-policies",
    "/api/storage/luns",
    "/api/protocols/san/igroups",
    "/api/protocols/san/lun-maps",
    "/api/protocols/san/iscsi/services",
    "/api/protocols/san/iscsi/credentials",
    "/api/network/ip/interfaces",
    "/api/protocols/nfs/services",
    "/api/cluster/jobs",
    "/api/snapmirror/policies",
    "/api/snapmirror/relationships",
)
UNSAMPLED = {"pool_space": 1e9, "reconcile": 1e9}
"""The periods of a gateway of which `everything` is compared: it does not look at its pools by itself meanwhile."""
_OWN_CLOCK = {"/api/snapmirror/relationships": ",!lag_time"}
_LEAKS = re.compile(
    rb"Traceback|\.py\b|<class |object at 0x|NoneType|(?<![A-Za-z0-9])b'|[\[{]'|aiohttp|Python|sqlite|msgspec"
)


class Reply:
    """One answer as it came over the wire."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str]:
        found: dict[str, str] = self.json["error"]
        return found

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:300]!r}"


class Wire:
    """One connection. Nothing is added to the bytes that a test sends."""

    def __init__(self, gateway: LiveGateway) -> None:
        place = urlsplit(gateway.url)
        self._socket = socket.create_connection((place.hostname, place.port), timeout=PATIENCE_S)
        self._pending = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def interim(self) -> int:
        """Read an interim answer, which has neither body nor length; give its status."""
        return int(self._until(b"\r\n\r\n").split(b" ")[1])

    def trickle(self, data: bytes, *, every_s: float) -> int:
        """Send byte after byte until the gateway says something; give how many it took."""
        for sent, byte in enumerate(data):
            if select.select([self._socket], [], [], every_s)[0]:
                return sent
            self._socket.send(bytes([byte]))
        return len(data)

    def shrink(self) -> None:
        """Take as little as possible before the gateway has to wait."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def reply(self, *, head: bool = False) -> Reply:
        """Read one answer; ConnectionError when the gateway closes before it is whole."""
        top = self._until(b"\r\n\r\n")
        first, *lines = top.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split(" ")[1])
        length = 0 if head else int(headers["content-length"])
        while len(self._pending) < length:
            self._more()
        body, self._pending = self._pending[:length], self._pending[length:]
        return Reply(status, headers, body)

    def rest(self) -> bytes:
        """Read until the gateway closes."""
        try:
            while True:
                self._more()
        except ConnectionError:
            found, self._pending = self._pending, b""
            return found

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._pending:
            self._more()
        found, _, self._pending = self._pending.partition(mark)
        return found

    def _more(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError(f"closed after {self._pending!r}")
        self._pending += data


def request(
    method: bytes,
    target: bytes,
    body: bytes = b"",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    *,
    auth: bytes = BASIC,
) -> bytes:
    """Give a well-framed request around whatever bytes."""
    lines = [b"%s %s HTTP/1.1" % (method, target), b"Host: gateway"]
    lines += [b"Authorization: " + auth] if auth else []
    lines += [b"%s: %s" % pair for pair in headers]
    lines += [b"Content-Length: %d" % len(body)] if body or method in {b"POST", b"PATCH"} else []
    return b"\r\n".join([*lines, b"", body])


class Caller:
    """A keep-alive client that comes back on a new connection when the gateway closed the last one."""

    def __init__(self, gateway: LiveGateway) -> None:
        self._gateway = gateway
        self._wire: Wire | None = None

    def ask(
        self, method: bytes, target: bytes, body: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> Reply:
        data = request(method, target, body, headers)
        fresh = self._wire is None
        try:
            return self._ask(data, head=method == b"HEAD")
        except ConnectionError:
            self.close()
            if fresh:
                raise
            return self._ask(data, head=method == b"HEAD")

    def get(self, target: str) -> Any:
        reply = self.ask(b"GET", target.encode())
        assert reply.status == 200, reply
        return reply.json

    def do(self, method: str, target: str, body: Mapping[str, object]) -> Reply:
        """Make a change that must succeed, and wait for its end."""
        mark = "&" if "?" in target else "?"
        done = self.ask(method.encode(), f"{target}{mark}return_timeout=60".encode(), json.dumps(body).encode())
        assert done.status in {200, 201, 202}, done
        return done

    def until_admitted(self, target: bytes) -> Reply:
        """Ask until the gateway has room for one more connection."""
        while True:
            try:
                reply = self.ask(b"GET", target)
            except ConnectionError:
                continue
            if reply.status != 503:
                return reply

    def close(self) -> None:
        if self._wire is not None:
            self._wire.__exit__(None, None, None)
            self._wire = None

    def _ask(self, data: bytes, *, head: bool) -> Reply:
        if self._wire is None:
            self._wire = Wire(self._gateway)
        self._wire.send(data)
        reply = self._wire.reply(head=head)
        if reply.headers.get("connection", "").lower() == "close":
            self.close()
        return reply


def everything(caller: Caller) -> dict[str, Any]:
    """Give all that the gateway shows, apart from what its own clock moves; changes under way are over then."""
    for going in ("cluster/jobs?state=queued|running|paused", "snapmirror/relationships/*/transfers?"):
        while caller.get(f"/api/{going}")["num_records"]:
            pass
    return {path: caller.get(f"{path}?fields=**{_OWN_CLOCK.get(path, '')}")["records"] for path in COLLECTIONS}


def check(reply: Reply, *, head: bool = False, said: bytes = b"") -> Reply:
    """Assert what holds for every answer, whatever was asked. `said` is what the caller is told again."""
    assert reply.headers["server"] == "volume-gateway", reply.headers
    assert all(found[0] in said for found in _LEAKS.finditer(reply.body)), reply
    assert reply.status < 500 or reply.status == 503, reply
    if head:
        assert reply.body == b""
        return reply
    assert reply.headers["content-type"].partition(";")[0] in {"application/json", "application/hal+json"}, reply
    if reply.status >= 400:
        error = reply.error
        assert isinstance(error["message"], str)
        assert error["message"], reply
        assert isinstance(error["code"], str)
        assert error["code"].isascii(), reply
        assert error["code"].isdigit(), reply
        assert set(error) <= {"message", "code", "target", "arguments"}, reply
        assert isinstance(error.get("target", ""), str), reply
    else:
        assert isinstance(reply.json, dict), reply
    return reply


def resident(gateway: LiveGateway) -> int:
    """Give the gateway's resident memory in bytes."""
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def furnish(caller: Caller, svm: str = "svm1") -> dict[str, str]:
    """Make one of everything in an SVM; give the paths' keys by template word."""
    if not caller.get(f"/api/svm/svms?name={svm}")["num_records"]:
        caller.do("POST", "/api/svm/svms", {"name": svm})
    svm_uuid = caller.get(f"/api/svm/svms?name={svm}")["records"][0]["uuid"]
    aggregate = caller.get("/api/storage/aggregates")["records"][0]["uuid"]
    base = {"svm": {"name": svm}, "aggregates": [{"name": "memory"}], "size": "64MB"}
    for name in ("vol1", "vol2"):
        caller.do("POST", "/api/storage/volumes", {**base, "name": name, "comment": name, "_tags": ["a:b"]})
    volumes = {r["name"]: r["uuid"] for r in caller.get(f"/api/storage/volumes?svm.name={svm}")["records"]}
    caller.do("POST", f"/api/storage/volumes/{volumes['vol1']}/snapshots", {"name": "snap1"})
    snapshot = caller.get(f"/api/storage/volumes/{volumes['vol1']}/snapshots")["records"][0]["uuid"]
    parent = {"is_flexclone": True, "parent_volume": {"name": "vol1"}, "parent_snapshot": {"name": "snap1"}}
    caller.do("POST", "/api/storage/volumes", {"name": "clone1", "svm": {"name": svm}, "clone": parent})
    rule = {"clients": [{"match": "10.0.0.0/8"}], "ro_rule": ["any"], "rw_rule": ["never"]}
    caller.do("POST", "/api/protocols/nfs/export-policies", {"name": "p1", "svm.name": svm, "rules": [rule]})
    policy = caller.get(f"/api/protocols/nfs/export-policies?name=p1&svm.name={svm}")["records"][0]["id"]
    kept = {"name": "sp1", "svm.name": svm, "copies": [{"schedule.name": "daily", "count": 2}]}
    caller.do("POST", "/api/storage/snapshot-policies", kept)
    copies = caller.get(f"/api/storage/snapshot-policies?name=sp1&svm.name={svm}")["records"][0]["uuid"]
    caller.do("POST", "/api/cluster/schedules", {"name": f"often_{svm}", "cron": {"minutes": [0, 30]}})
    schedule = caller.get(f"/api/cluster/schedules?name=often_{svm}")["records"][0]["uuid"]
    line = caller.get(f"/api/storage/snapshot-policies/{copies}/schedules")["records"][0]["schedule"]["uuid"]
    job = caller.get("/api/cluster/jobs?max_records=1")["records"][0]["uuid"]
    return {
        **furnish_san(caller, svm, svm_uuid),
        **furnish_mirror(caller, svm),
        **furnish_group(caller, svm),
        **furnish_security(caller, svm, svm_uuid),
        "svm/svms": svm_uuid,
        "storage/aggregates": aggregate,
        "storage/volumes": volumes["vol1"],
        "snapshots": snapshot,
        "protocols/nfs/export-policies": str(policy),
        "rules": "1",
        "storage/snapshot-policies": copies,
        "cluster/schedules": schedule,
        "schedules": line,
        "cluster/jobs": job,
    }


def furnish_group(caller: Caller, svm: str) -> dict[str, str]:
    """Make a consistency group that has a snapshot."""
    groups = "/api/application/consistency-groups"
    caller.do("POST", groups, {"name": "cg1", "svm.name": svm, "volumes": [{"name": "clone1"}]})
    group = caller.get(f"{groups}?name=cg1&svm.name={svm}")["records"][0]["uuid"]
    caller.do("POST", f"{groups}/{group}/snapshots", {"name": "snap1"})
    snapshot = caller.get(f"{groups}/{group}/snapshots")["records"][0]["uuid"]
    return {"application/consistency-groups": group, "application/consistency-groups/{}/snapshots": snapshot}


def furnish_mirror(caller: Caller, svm: str) -> dict[str, str]:
    """Make a volume that mirrors another one, and had a transfer."""
    body = {"name": "dst1", "svm.name": svm, "aggregates": [{"name": "memory"}], "size": "64MB", "type": "dp"}
    caller.do("POST", "/api/storage/volumes", body)
    caller.do("POST", "/api/snapmirror/policies", {"name": "mp1", "svm.name": svm})
    ends = {"source": {"path": f"{svm}:vol2"}, "destination": {"path": f"{svm}:dst1"}, "policy.name": "mp1"}
    caller.do("POST", "/api/snapmirror/relationships", {**ends, "state": "snapmirrored"})
    found = caller.get(f"/api/snapmirror/relationships?destination.path={svm}:dst1&fields=transfer.uuid,policy.uuid")
    (relationship,) = found["records"]
    return {
        "snapmirror/policies": relationship["policy"]["uuid"],
        "snapmirror/relationships": relationship["uuid"],
        "transfers": relationship["transfer"]["uuid"],
    }


def furnish_security(caller: Caller, svm: str, svm_uuid: str) -> dict[str, str]:
    """Make a role with a rule, and an account that has it."""
    name = f"looks_{svm}"
    rule = {"path": "/api/storage/volumes", "access": "readonly"}
    caller.do("POST", "/api/security/roles", {"name": name, "owner.name": svm, "privileges": [rule]})
    account = {"name": name, "owner.name": svm, "role.name": name, "password": "horse-battery-1", "comment": "c"}
    caller.do("POST", "/api/security/accounts", account)
    return {
        "security/roles": svm_uuid,
        "security/roles/{}": name,
        f"security/roles/{svm_uuid}": name,
        "privileges": "%2Fapi%2Fstorage%2Fvolumes",
        "security/accounts": svm_uuid,
        "security/accounts/{}": name,
    }


def furnish_san(caller: Caller, svm: str, svm_uuid: str) -> dict[str, str]:
    """Make a mapped LUN and what lets an initiator at it."""
    host = "iqn.1993-08.org.debian:01:host1"
    body = {"name": "lv1", "svm.name": svm, "aggregates": [{"name": "memory"}], "size": "64MB"}
    caller.do("POST", "/api/storage/volumes", body)
    caller.do(
        "POST", "/api/storage/luns", {"name": "/vol/lv1/l1", "svm.name": svm, "os_type": "linux", "space.size": "64MB"}
    )
    group = {"name": "ig1", "svm.name": svm, "os_type": "linux", "initiators": [{"name": host}]}
    caller.do("POST", "/api/protocols/san/igroups", group)
    caller.do("POST", "/api/protocols/san/lun-maps", {"svm.name": svm, "lun.name": "/vol/lv1/l1", "igroup.name": "ig1"})
    caller.do("POST", "/api/protocols/san/iscsi/services", {"svm.name": svm})
    login = {"svm.name": svm, "initiator": host, "authentication_type": "none"}
    caller.do("POST", "/api/protocols/san/iscsi/credentials", login)
    lun = caller.get(f"/api/storage/luns?svm.name={svm}")["records"][0]["uuid"]
    igroup = caller.get(f"/api/protocols/san/igroups?svm.name={svm}")["records"][0]["uuid"]
    return {
        "storage/luns": lun,
        "protocols/san/igroups": igroup,
        "initiators": host.replace(":", "%3A"),
        "protocols/san/lun-maps": lun,
        "protocols/san/lun-maps/{}": igroup,
        "protocols/san/iscsi/services": svm_uuid,
        "protocols/san/iscsi/credentials": svm_uuid,
        "protocols/san/iscsi/credentials/{}": host.replace(":", "%3A"),
    }
