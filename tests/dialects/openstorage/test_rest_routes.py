"""Which call a verb and a path are."""

from __future__ import annotations

import pytest
from rest_scene import METHODS, SCHEMA, method, refused

from gateway.frontends.openstorage.rest.paths import pairs, segments
from gateway.frontends.openstorage.rest.routes import Found, Router, Wrong
from gateway.frontends.openstorage.schema import HttpRule, Method, Service
from gateway.frontends.receive import origin_form

ROUTER = Router(SCHEMA)


def find(verb: str, path: str) -> Found | Wrong:
    return ROUTER.find(verb, segments(path))


@pytest.mark.parametrize("method", METHODS, ids=lambda each: each.path)
def test_every_call_is_found_by_its_rule(method: Method) -> None:
    names = method.http.path_fields
    path = method.http.path
    for name in names:
        path = path.replace(f"{{{name}}}", f"a%2F{name}")
    assert find(method.http.verb, path) == Found(method=method, values=tuple(f"a/{name}" for name in names))


@pytest.mark.parametrize(
    ("verb", "path", "name", "values"),
    [
        ("GET", "/v1/volumes", "Volume/Enumerate", ()),
        ("HEAD", "/v1/volumes", "Volume/Enumerate", ()),
        ("DELETE", "/v1/volumes/snapshots", "Volume/Delete", ("snapshots",)),
        ("GET", "/v1/volumes/snapshots", "Volume/SnapshotEnumerate", ()),
        ("POST", "/v1/volumes/snapshots", "Volume/SnapshotCreate", ()),
        ("GET", "/v1/storagepolicies/default", "Policy/DefaultInspect", ()),
        ("DELETE", "/v1/storagepolicies/default", "Policy/Delete", ("default",)),
        ("GET", "/v1/storagepools/rebalance/job", "Pool/EnumerateRebalanceJobs", ()),
        ("GET", "/v1/storagepools/rebalance/job/7", "Pool/GetRebalanceJobStatus", ("7",)),
        ("DELETE", "/v1/credentials/references/x", "Credentials/DeleteReferences", ("x",)),
        ("GET", "/v1/volumes/inspect/", "Volume/Inspect", ("",)),
        ("GET", "/v1/volumes/inspect/a:b", "Volume/Inspect", ("a:b",)),
        ("GET", "/v1/volumes/inspect/%C3%A4%20%2B+", "Volume/Inspect", ("ä ++",)),
        ("GET", "/v1/volumes/inspect/..", "Volume/Inspect", ("..",)),
    ],
)
def test_paths_that_look_alike(verb: str, path: str, name: str, values: tuple[str, ...]) -> None:
    assert find(verb, path) == Found(method=method(name), values=values)


@pytest.mark.parametrize(
    ("verb", "path", "allow"),
    [
        ("GET", "/", ()),
        ("GET", "", ()),
        ("GET", "/v1", ()),
        ("GET", "/v2/volumes", ()),
        ("GET", "/V1/volumes", ()),
        ("GET", "//v1/volumes", ()),
        ("GET", "/v1/volumes/inspect/a/b", ()),
        ("PATCH", "/v1/volumes", ("GET", "HEAD", "POST")),
        ("DELETE", "/v1/volumes", ("GET", "HEAD", "POST")),
        ("GET", "/v1/volumes/", ("DELETE", "PUT")),
        ("PATCH", "/v1/volumes/snapshots", ("DELETE", "GET", "HEAD", "POST", "PUT")),
        ("HEAD", "/v1/volumes/clone", ("DELETE", "POST", "PUT")),
        ("OPTIONS", "/v1/volumes/inspect/a", ("GET", "HEAD")),
    ],
)
def test_other_verbs_and_other_paths_lead_nowhere(verb: str, path: str, allow: tuple[str, ...]) -> None:
    assert find(verb, path) == Wrong(allow=allow)


def test_a_fixed_segment_goes_before_a_field_and_the_first_of_two_alike_is_meant() -> None:
    def made(name: str, path: str) -> Method:
        rule = HttpRule(verb="GET", path=path, whole_body=False)
        plain = METHODS[0]
        return Method(
            name=name, path=f"/{name}", request=plain.request, response=plain.response, streams=False, http=rule
        )

    paths = {"both": "/a/{x}/{y}", "last": "/a/{x}/c", "again": "/a/{z}/c", "first": "/a/b/{y}", "exact": "/a/b/c"}
    methods = {name: made(name, path) for name, path in paths.items()}
    router = Router({"S": Service(name="S", full_name="S", methods=methods)})

    def found(path: str) -> str:
        answer = router.find("GET", segments(path))
        assert isinstance(answer, Found)
        return answer.method.name

    assert [found(path) for path in ("/a/b/c", "/a/b/d", "/a/d/c", "/a/d/e")] == ["exact", "first", "last", "both"]


@pytest.mark.parametrize("path", ["/v1/%zz", "/v1/%", "/v1/%4", "/v1/%ff", "/v1/%ED%A0%80", "/v1/\udcff"])
def test_a_broken_path_is_refused(path: str) -> None:
    with refused("the URL"):
        segments(path)


def test_the_target_of_a_proxy_is_read_like_another() -> None:
    assert origin_form("http://h:1/v1/volumes?a=b") == "/v1/volumes?a=b"
    assert origin_form("http://h") == ""
    assert origin_form("/v1/x?y=http://z") == "/v1/x?y=http://z"


def test_queries_are_read_in_their_order() -> None:
    assert pairs("a=1&&b=x%26y+z&a=2&c&=d&e=f=g") == [
        ("a", "1"),
        ("b", "x&y z"),
        ("a", "2"),
        ("c", ""),
        ("", "d"),
        ("e", "f=g"),
    ]
