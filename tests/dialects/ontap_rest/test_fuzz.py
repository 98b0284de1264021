"""Generated requests against a live gateway: whatever comes, the answer is ONTAP's and a refusal changes nothing.

Hypothesis draws the requests from the route table's templates and from the
schema in `fields.json`: mostly nearly right, because what is wrong through
and through is refused by the first check.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from wire_scene import UNSAMPLED, Caller, Reply, check, everything, furnish, resident

from gateway.frontends.ontap_rest.query import CONTROLS
from gateway.frontends.ontap_rest.schema import Field, Kind, Resource, Verb, load_schema
from gateway.frontends.ontap_rest.settable import SETTABLE
from gateway.testing.live import LiveGateway, live_gateway

pytestmark = pytest.mark.slow

SCHEMA = load_schema()
RESOURCES: dict[str, Resource] = {
    "cluster": SCHEMA["cluster"],
    "cluster/nodes": SCHEMA["node"],
    "cluster/jobs": SCHEMA["job"],
    "svm/svms": SCHEMA["svm"],
    "storage/aggregates": SCHEMA["aggregate"],
    "storage/volumes": SCHEMA["volume"],
    "storage/volumes/{}/snapshots": SCHEMA["snapshot"],
    "storage/snapshot-policies": SCHEMA["snapshot_policy"],
    "storage/snapshot-policies/{}/schedules": SCHEMA["snapshot_policy_schedule"],
    "cluster/schedules": SCHEMA["schedule"],
    "protocols/nfs/export-policies": SCHEMA["export_policy"],
    "protocols/nfs/export-policies/{}/rules": SCHEMA["export_rule"],
    "network/ip/interfaces": SCHEMA["ip_interface"],
    "network/ethernet/ports": SCHEMA["port"],
    "protocols/nfs/services": SCHEMA["nfs_service"],
    "storage/luns": SCHEMA["lun"],
    "protocols/san/igroups": SCHEMA["igroup"],
    "protocols/san/igroups/{}/initiators": SCHEMA["igroup_initiator"],
    "protocols/san/lun-maps": SCHEMA["lun_map"],
    "protocols/san/iscsi/services": SCHEMA["iscsi_service"],
    "protocols/san/iscsi/credentials": SCHEMA["iscsi_credentials"],
}
CHANGEABLE = [name for name in RESOURCES if name.startswith(("storage/volumes", "storage/luns", "protocols/"))]
POST = Verb.POST


class Ask(NamedTuple):
    """A drawn request. `template` is filled with keys, of which "known" stands for one that exists."""

    method: str
    template: str
    keys: tuple[str, ...]
    query: tuple[tuple[str, str], ...]
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    @property
    def said(self) -> bytes:
        """Give all that the caller chose, of which an error may tell him."""
        texts = [*self.keys, *(text for pair in self.query for text in pair)]
        return b" ".join([*(text.encode(errors="surrogatepass") for text in texts), self.body])


ODD_TEXT = st.sampled_from(
    ["", " ", "*", "**", "null", "!", "!null", "a..b", "<", ">=1", "{", "}", '"', "|", ",", "\0", "%", "😀", "..",
     "../..", "0", "-1", "1e400", "9223372036854775808", "9999999PB", "true", "2020-01-01T00:00:00Z", "x" * 5000,
     "/vol/lv1/l1", "/vol/vol2/l", "ig1", "iqn.1993-08.org.debian:01:host1", "eui.0123456789abcdef",
     "a-password-of-chap", "name", "vol1", "vol2", "snap1", "svm1", "memory", "default", "none", "online", "offline",
     "/a", "/a/b"]
)  # fmt: skip
TEXT = ODD_TEXT | st.text(max_size=12)
ODD_NUMBER = st.sampled_from([0, -1, 1, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), 20 << 20, 64 << 20, 10**30])
JSON_VALUE: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | ODD_NUMBER | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
FIT: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.STRING: TEXT,
    Kind.PASSWORD: TEXT,
    Kind.UUID: st.uuids().map(str) | TEXT,
    Kind.INTEGER: ODD_NUMBER | st.integers(0, 1 << 40),
    Kind.NUMBER: st.floats() | ODD_NUMBER,
    Kind.BOOLEAN: st.booleans(),
    Kind.DURATION: st.sampled_from(["PT5M", "P2DT", "PT", "P1DT2H", ""]) | TEXT,
    Kind.DATETIME: st.datetimes().map(lambda when: f"{when.isoformat()}Z") | TEXT,
}
KEY = st.just("known") | st.just("known") | st.just("*") | st.uuids().map(str) | TEXT


def fitting(field: Field) -> st.SearchStrategy[Any]:
    """Draw a value of the field's type, or now and then any other."""
    fit = st.sampled_from(field.enum) if field.enum else FIT[field.kind]
    fit = st.lists(fit, max_size=3) if field.array else fit
    return st.one_of(fit, fit, fit, fit, fit, fit, fit, JSON_VALUE)


@st.composite
def bodies(draw: st.DrawFn, resource: Resource, verb: Verb | None) -> bytes:
    """Draw a body: what the verb needs, a few fields of the resource by dotted or nested path, now and then junk."""
    if verb is None or draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=64) | JSON_VALUE.map(encoded))
    document: dict[str, Any] = dict(draw(st.fixed_dictionaries(NEEDED.get(resource.name, {})))) if verb is POST else {}
    settable = SETTABLE.get((resource.name, verb), frozenset()) & resource.fields.keys()
    name = st.sampled_from(sorted(settable or resource.fields))
    if draw(st.integers(0, 9)) == 0:
        name = st.sampled_from([*resource.fields, *resource.objects]) | TEXT
    for path in draw(st.lists(name, min_size=verb is not POST, max_size=3, unique=True)):
        value = draw(fitting(resource.fields[path]) if path in resource.fields else JSON_VALUE)
        if draw(st.booleans()):
            document[path] = value
        else:
            graft(document, path.split("."), value, resource)
    if draw(st.integers(0, 19)) == 0:
        document = {"records": [document]}
    return encoded(document)


NAME = st.integers(0, 10_000).map("fresh{}".format) | st.sampled_from(["vol1", "vol2", "snap1", "a/b", "x" * 300])
SVM = st.sampled_from([{"name": "svm1"}] * 8 + [{"name": "nobody"}, {"uuid": "x"}])
LUN_PATH = st.sampled_from(["/vol/vol2/l", "/vol/lv1/l1", "/vol/lv1/l2", "/vol/vol1/l", "/vol/x/y/z", "l", "/vol/"])
ENDPOINT = st.sampled_from(["svm1:vol1", "svm1:vol2", "svm1:dst1", "svm1:lv1", "svm1:fresh", "svm1:", "x:y", "vol1"])
HOST = st.sampled_from(["iqn.1993-08.org.debian:01:host1", "iqn.2000-01.x:b", "eui.0123456789abcdef", "x", "default"])
RULE = st.fixed_dictionaries(
    {"clients": st.sampled_from([[{"match": "::/0"}], [{"match": "10.0.0.1,10.0.0.2"}], [{}], []])}
    | {f"{kind}_rule": st.sampled_from([["any"], ["sys", "krb5"], ["never"], [], ["?"]]) for kind in ("ro", "rw")}
)
NEEDED: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "volume": {
        "name": NAME,
        "svm": SVM,
        "aggregates": st.sampled_from([[{"name": "memory"}]] * 8 + [[{"name": "?"}], [], [{}]]),
        "size": st.sampled_from(["64MB", "64MB", 20 << 20, 1, 2**62, "1EB"]),
    },
    "snapshot": {"name": NAME},
    "svm": {"name": NAME},
    "lun": {
        "name": LUN_PATH | NAME.map("/vol/{}/l".format),
        "svm": SVM,
        "os_type": st.sampled_from(["linux", "vmware", "?"]),
        "space.size": st.sampled_from(["64MB", 4096, 4095, -1, 2**62]),
    },
    "igroup": {"name": NAME, "svm": SVM, "os_type": st.just("linux")},
    "igroup_initiator": {"name": HOST},
    "lun_map": {"svm": SVM, "lun": st.builds(dict, name=LUN_PATH), "igroup": st.just({"name": "ig1"})},
    "iscsi_service": {"svm": SVM},
    "nfs_service": {"svm": SVM},
    "iscsi_credentials": {
        "svm": SVM,
        "initiator": HOST,
        "authentication_type": st.sampled_from(["none", "deny", "chap", "?"]),
    },
    "export_policy": {"name": NAME, "svm": SVM, "rules": st.lists(RULE, max_size=2)},
    "export_rule": {"clients": st.just([{"match": "::/0"}]), "ro_rule": st.just(["any"]), "rw_rule": st.just(["any"])},
    "schedule": {"name": NAME, "cron": st.sampled_from([{"minutes": [5]}, {"minutes": []}, {"hours": [1]}, {}])},
    "snapmirror_policy": {"name": NAME, "svm": SVM},
    "snapmirror_relationship": {
        "source.path": ENDPOINT,
        "destination.path": ENDPOINT,
        "create_destination.enabled": st.booleans(),
    },
    "snapmirror_transfer": {},
    "snapshot_policy_schedule": {"count": st.integers(-1, 9), "schedule": st.sampled_from([{"name": "weekly"}, {}])},
    "snapshot_policy": {
        "name": NAME,
        "copies": st.lists(
            st.fixed_dictionaries(
                {
                    "count": st.integers(-1, 9),
                    "schedule": st.sampled_from([{"name": "daily"}, {"name": "hourly"}, {"name": "?"}, {}]),
                }
            ),
            max_size=2,
        ),
    },
}


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def graft(document: dict[str, Any], parts: list[str], value: Any, resource: Resource) -> None:
    """Put a value at a path, through the objects and arrays on its way as far as these are not taken."""
    node = document
    for depth in range(1, len(parts)):
        inner = node.setdefault(parts[depth - 1], [{}] if ".".join(parts[:depth]) in resource.arrays else {})
        inner = inner[0] if isinstance(inner, list) and inner else inner
        if not isinstance(inner, dict):
            return
        node = inner
    node[parts[-1]] = value


@st.composite
def queries(draw: st.DrawFn, resource: Resource) -> tuple[tuple[str, str], ...]:
    """Draw a query string's parameters: controls, conditions on fields, junk."""
    own = sorted({name for names in resource.parameters.values() for name in names})
    name = (
        st.sampled_from(sorted(CONTROLS)) | st.sampled_from(sorted(resource.fields)) | st.sampled_from([*own, "junk"])
    )
    path = st.sampled_from([*resource.fields, *resource.objects, "*", "**"])
    value = TEXT | path | st.lists(path, max_size=3).map(",".join) | st.integers(-1, 20).map(str) | st.just("true")
    pairs = draw(st.lists(st.tuples(name, value) | st.tuples(TEXT, TEXT), max_size=4))
    # A client that says so waits; the fuzzer has no time for that.
    return tuple((n, "0" if n == "return_timeout" and v.isdecimal() else v) for n, v in pairs)


READS, CHANGES = ["GET", "GET", "HEAD"], ["POST", "POST", "POST", "PATCH", "PATCH", "PATCH", "DELETE"]
ODD_READS, ODD_CHANGES = ["GET", "OPTIONS", "PUT"], ["POST", "PATCH", "DELETE"]


@st.composite
def asks(draw: st.DrawFn, *, changing: bool = True) -> Ask:
    collection = draw(st.sampled_from([*sorted(RESOURCES), *CHANGEABLE * 2]))
    resource = RESOURCES[collection]
    method = draw(st.sampled_from(READS + CHANGES if changing else READS))
    instance = "/{}" * (len(resource.keys) - collection.count("{}") or 1)
    tails = {"POST": [""], "GET": ["", instance, instance], "HEAD": [instance]}
    tail = draw(st.sampled_from(tails.get(method, [instance])))
    if draw(st.integers(0, 9)) == 0:
        method = draw(st.sampled_from(ODD_READS + ODD_CHANGES if changing else ODD_READS))
        tail = draw(st.sampled_from(["", "/{}", "/{}/{}", "/"]))
    template = collection + tail
    known = st.just("known")
    key = known if draw(st.integers(0, 9)) else KEY
    keys = tuple(draw(st.lists(key, min_size=template.count("{}"), max_size=template.count("{}"))))
    verb = Verb(method) if method in {"POST", "PATCH"} else None
    query = draw(queries(resource)) if method == "GET" or draw(st.integers(0, 9)) == 0 else ()
    body = draw(bodies(resource, verb)) if verb or draw(st.integers(0, 9)) == 0 else b""
    tunnel = draw(st.sampled_from([b""] * 9 + [b"svm1", b"nobody", b"\xff"]))
    accept = draw(st.sampled_from([b"*/*", b"application/json", b"text/html", b"\xff"]))
    headers = ((b"Accept", accept), *([(b"X-Dot-SVM-Name", tunnel)] if tunnel else []))
    return Ask(method, template, keys, query, body, headers)


class Scene:
    """A furnished gateway that the fuzzer may change; when it took the furniture away, there is more in a new SVM."""

    def __init__(self, gateway: LiveGateway) -> None:
        self.gateway = gateway
        self.caller = Caller(gateway)
        self._rooms = 1
        self.keys = furnish(self.caller)

    def ask(self, ask: Ask) -> Reply:
        target = f"/api/{self._path(ask)}"
        if ask.query:
            target += "?" + "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in ask.query)
        return self.caller.ask(ask.method.encode(), target.encode(), ask.body, ask.headers)

    def tidy(self) -> None:
        """Wait for the end of what was begun, and furnish a new room when the old one is empty."""
        everything(self.caller)
        if not self.caller.get(f"/api/storage/volumes?uuid={self.keys['storage/volumes']}&state=online")["num_records"]:
            self._rooms += 1
            self.keys = furnish(self.caller, f"svm{self._rooms}")

    def _path(self, ask: Ask) -> str:
        parts, keys = ask.template.split("/"), list(ask.keys)
        for place, part in enumerate(parts):
            if part == "{}":
                key = keys.pop(0)
                known = self.keys.get("/".join(ask.template.split("/")[:place])) or self.keys.get(parts[place - 1], "x")
                parts[place] = known if key == "known" else _quoted(key)
        return "/".join(parts)


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="!*|,.<>={}\"'")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with live_gateway(tmp_path_factory.mktemp("fuzz"), periods=UNSAMPLED) as gateway:
        found = Scene(gateway)
        yield found
        found.caller.close()
        assert gateway.alive
        assert '"event":"defect"' not in gateway.log.read_text()


def test_no_request_is_answered_otherwise_than_in_the_words_of_ontap(scene: Scene) -> None:
    @settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
    @given(asks())
    def answered(ask: Ask) -> None:
        before = everything(scene.caller)
        reply = check(scene.ask(ask), head=ask.method == "HEAD", said=ask.said)
        event(f"{ask.method} {reply.status}")
        if reply.status >= 400 or ask.method in {"GET", "HEAD", "OPTIONS"}:
            if not begun(ask, reply):
                assert everything(scene.caller) == before, (ask, reply)
        else:
            scene.tidy()

    answered()


def begun(ask: Ask, reply: Reply) -> bool:
    """Tell whether an error speaks of a change that had begun: a failed job, or one of several records."""
    return ask.method not in {"GET", "HEAD"} and {"job", "jobs", "num_records"} & reply.json.keys() != set()


@settings(max_examples=300)
@given(
    st.sampled_from(["/api/storage/volumes", "/api/", "/", ""]),
    st.binary(max_size=40).map(lambda raw: bytes(byte for byte in raw if byte > 32 and byte != 127)),
    st.sampled_from(["GET", "POST", "PATCH", "DELETE"]),
    st.binary(max_size=200),
)
def test_raw_bytes_in_target_and_body_are_answered_in_the_words_of_ontap(
    scene: Scene, start: str, junk: bytes, method: str, body: bytes
) -> None:
    reply = scene.caller.ask(method.encode(), (start.encode() + junk) or b"/", body)
    assert check(reply, said=junk + body).status != 503


def test_memory_stays_flat_over_a_thousand_requests(scene: Scene) -> None:
    @settings(max_examples=500, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(asks(changing=False))
    def answered(ask: Ask) -> None:
        check(scene.ask(ask), head=ask.method == "HEAD", said=ask.said)

    answered()
    settled = resident(scene.gateway)
    answered()
    assert resident(scene.gateway) < settled + (16 << 20)
