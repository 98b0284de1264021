"""Path rules: which one decides, and what no way of writing a path leads around."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.frontends.ontap_rest.privileges import (
    VERBS,
    Access,
    BadPathError,
    Privilege,
    UnknownPathError,
    covers,
    granted,
    request_parts,
    rule_path,
)
from gateway.frontends.ontap_rest.schema import Verb

ONE, TWO = "5d7a1c52-3a39-4c36-9f4e-6d0d3c1b8a01", "0f3b9a4e-8c55-4d0c-b7a4-51c2e8d64702"
TEMPLATES = (
    "cluster",
    "storage/volumes",
    "storage/volumes/{}",
    "storage/volumes/{}/snapshots",
    "storage/volumes/{}/snapshots/{}",
    "security/roles/{}/{}/privileges",
)


def of(paths: dict[str, str]) -> list[Privilege]:
    return [Privilege(f"/api{path}", Access(level)) for path, level in paths.items()]


@pytest.mark.parametrize(
    ("paths", "request_path", "expected"),
    [
        ({}, "storage/volumes", "none"),
        ({"": "readonly"}, "storage/volumes", "readonly"),
        ({"/storage": "all"}, "storage/volumes", "all"),
        ({"/storage": "all"}, "cluster", "none"),
        ({"/storage": "all", "/storage/volumes": "none"}, "storage/volumes", "none"),
        ({"/storage/volumes": "none", "/storage": "all"}, "storage/volumes", "none"),
        ({"/storage": "none", "/storage/volumes": "read_create"}, f"storage/volumes/{ONE}", "read_create"),
        ({"/storage/vol": "all"}, "storage/volumes", "none"),
        ({"/storage/volumes/*/snapshots": "read_modify"}, f"storage/volumes/{ONE}/snapshots", "read_modify"),
        ({"/storage/volumes/*/snapshots": "all"}, f"storage/volumes/{ONE}", "none"),
        (
            {"/storage/volumes/*/snapshots": "all", f"/storage/volumes/{ONE}/snapshots": "none"},
            f"storage/volumes/{ONE}/snapshots/{TWO}",
            "none",
        ),
        (
            {"/storage/volumes/*/snapshots": "all", f"/storage/volumes/{ONE}/snapshots": "readonly"},
            f"storage/volumes/{TWO}/snapshots",
            "all",
        ),
        # `*` asks for all of them, so what is denied for one is denied
        (
            {"/storage/volumes/*/snapshots": "all", f"/storage/volumes/{ONE}/snapshots": "none"},
            "storage/volumes/*/snapshots",
            "none",
        ),
        ({f"/storage/volumes/{ONE}/snapshots": "all"}, "storage/volumes/*/snapshots", "none"),
    ],
)
def test_the_longest_path_decides(paths: dict[str, str], request_path: str, expected: str) -> None:
    assert granted(of(paths), request_path.split("/")) == VERBS[Access(expected)]


@pytest.mark.parametrize(
    "key", [ONE.upper(), f"{{{ONE}}}", f"urn:uuid:{ONE}", ONE.replace("-", ""), ONE.replace("-", "").upper()]
)
def test_a_key_is_compared_in_its_one_form(key: str) -> None:
    found = request_parts("storage/volumes/{}/snapshots", [key])
    assert found == ("storage", "volumes", ONE, "snapshots")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/api", "/api"),
        ("/api/", "/api"),
        ("//api//storage/", "/api/storage"),
        ("/api/storage/volumes", "/api/storage/volumes"),
        ("/api/storage/volumes/*/snapshots", "/api/storage/volumes/*/snapshots"),
        (f"/api/storage/volumes/{ONE.upper()}/snapshots", f"/api/storage/volumes/{ONE}/snapshots"),
        ("/api/security/roles/*/*/privileges", "/api/security/roles/*/*/privileges"),
    ],
)
def test_rules_are_kept_in_one_form(text: str, path: str) -> None:
    assert rule_path(text, TEMPLATES) == path


@pytest.mark.parametrize("text", ["", "api/cluster", "/", "/cluster", "/API/cluster", "volume", "DEFAULT", "/api2"])
def test_what_is_no_path_of_this_interface(text: str) -> None:
    with pytest.raises(BadPathError):
        rule_path(text, TEMPLATES)


@pytest.mark.parametrize(
    "text",
    [
        "/api/storag",
        "/api/Storage",
        "/api/storage/volumes/snapshots",
        f"/api/storage/volumes/{ONE}",
        "/api/storage/volumes/*",
        "/api/storage/volumes/x/snapshots",
        "/api/storage/../cluster",
        "/api/storage%2Fvolumes",
        "/api/cluster?x=1",
        "/api/security/roles/*/admin/privileges",
    ],
)
def test_rules_about_nothing_are_refused(text: str) -> None:
    with pytest.raises(UnknownPathError):
        rule_path(text, TEMPLATES)


PATHS = st.sampled_from(
    [
        "/api",
        "/api/storage",
        "/api/storage/volumes",
        "/api/storage/volumes/*/snapshots",
        f"/api/storage/volumes/{ONE}/snapshots",
        f"/api/storage/volumes/{TWO}/snapshots",
        "/api/cluster",
    ]
)
ROLES = st.dictionaries(PATHS, st.sampled_from(list(Access)), max_size=5).map(
    lambda found: [Privilege(path, access) for path, access in found.items()]
)
REQUESTS = [
    request_parts(template, [key, TWO])
    for template in TEMPLATES[:5]
    for key in ([ONE, TWO, str(uuid4()), "*"] if "{}" in template else [""])
]


@given(ROLES, ROLES)
def test_what_covers_another_role_allows_all_that_it_does(wide: list[Privilege], narrow: list[Privilege]) -> None:
    if covers(wide, narrow):
        for parts in REQUESTS:
            assert granted(narrow, parts) <= granted(wide, parts), parts


@given(ROLES)
def test_a_role_covers_itself_and_what_may_everything_covers_all(role: list[Privilege]) -> None:
    assert covers([Privilege("/api", Access.ALL)], role)
    assert covers(role, role)


@given(ROLES)
def test_what_is_asked_for_all_is_allowed_for_each(role: list[Privilege]) -> None:
    for key in (ONE, TWO, str(uuid4())):
        every = granted(role, ("storage", "volumes", "*", "snapshots"))
        assert every <= granted(role, ("storage", "volumes", key, "snapshots"))


@given(ROLES)
def test_what_is_allowed_for_every_key_is_allowed_for_all(role: list[Privilege]) -> None:
    keys = (ONE, TWO, str(uuid4()))
    each = [granted(role, ("storage", "volumes", key, "snapshots")) for key in keys]
    assert granted(role, ("storage", "volumes", "*", "snapshots")) == frozenset.intersection(*each)


def test_large_roles_are_compared_or_refused_in_bounded_time() -> None:
    many = [Privilege(f"/api/security/roles/{uuid4()}/{uuid4()}/privileges", Access.ALL) for _ in range(199)]
    many.append(Privilege("/api/security/roles/*/*/privileges", Access.READONLY))
    assert not covers(many, many)
    assert granted(many, ("security", "roles", "*", "*", "privileges")) == VERBS[Access.READONLY]


def test_every_level_reads_unless_it_is_none() -> None:
    for access, verbs in VERBS.items():
        assert (Verb.GET in verbs) is (access is not Access.NONE)
        assert (Verb.DELETE in verbs) is (access is Access.ALL)
