from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ontap_scene import TENANT, VOLUMES, attempt

from gateway.frontends.ontap_rest.body import confirm, decode, require_fields
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.render import render_svm, render_volume
from gateway.frontends.ontap_rest.rules import RANGES, REQUIRED, TEXT_RULES
from gateway.frontends.ontap_rest.schema import Verb, load_schema
from gateway.frontends.ontap_rest.settable import SETTABLE

SCHEMA = load_schema()


def post(text, resource="volume"):
    return values(text, Verb.POST, resource)


def patch(text, resource="volume"):
    return values(text, Verb.PATCH, resource)


def values(text, verb, resource):
    raw = text if isinstance(text, bytes) else (text if isinstance(text, str) else json.dumps(text)).encode()
    return decode(SCHEMA[resource], verb, raw).values


@pytest.mark.parametrize("raw", [b"", b"  \n", b"{}"])
@pytest.mark.parametrize("verb", list(Verb))
def test_no_body_and_an_empty_one_are_the_same(raw, verb):
    assert decode(SCHEMA["volume"], verb, raw).values == {}


def test_dotted_and_nested_keys_mix_at_any_depth():
    assert post({"nas.path": "/x", "nas": {"export_policy.name": "p", "uid": 1}, "svm": {"name": "s"}}) == {
        "nas.path": "/x",
        "nas.export_policy.name": "p",
        "nas.uid": 1,
        "svm.name": "s",
    }


@pytest.mark.parametrize(
    ("given", "path", "value"),
    [
        ({"clone.is_flexclone": "true"}, "clone.is_flexclone", True),
        ({"clone.is_flexclone": "False"}, "clone.is_flexclone", False),
        ({"size": "240MB"}, "size", 240 << 20),
        ({"size": "1073741824"}, "size", 1 << 30),
        ({"size": 5e9}, "size", 5_000_000_000),
        ({"autosize": {"maximum": "40g"}}, "autosize.maximum", 40 << 30),
        ({"nas.unix_permissions": "0755"}, "nas.unix_permissions", 755),
        ({"space.snapshot.reserve_percent": "5"}, "space.snapshot.reserve_percent", 5),
        ({"type": "DP"}, "type", "dp"),
        ({"svm": "svm1"}, "svm.name", "svm1"),
        ({"comment": ""}, "comment", ""),
        ({"nas": {"path": ""}}, "nas.path", ""),
        ({"_tags": ["a:b", "c:d:e"]}, "_tags", ["a:b", "c:d:e"]),
        ({"aggregates": [{"name": "aggr1", "_links": {}}]}, "aggregates", [{"name": "aggr1"}]),
        ({"svm.uuid": "00C8"}, "svm.uuid", "00c8"),
    ],
)
def test_values_of_a_volume(given, path, value):
    found = post(given)
    assert found == {path: value}
    assert type(found[path]) is type(value)


def test_other_resources():
    assert post({"expiry_time": "2030-01-01T00:00:00+01:00", "name": "s"}, "snapshot") == {
        "expiry_time": datetime(2029, 12, 31, 23, tzinfo=UTC),
        "name": "s",
    }
    assert post(
        {"name": "p", "rules": [{"clients": [{"match": "10.0.0.0/8"}], "ro_rule": ["SYS"]}]}, "export_policy"
    ) == {
        "name": "p",
        "rules": [{"clients": [{"match": "10.0.0.0/8"}], "ro_rule": ["sys"]}],
    }
    assert post({"anonymous_user": 65534}, "export_rule") == {"anonymous_user": "65534"}
    assert post({"copies": [{"schedule": {"name": "hourly"}, "count": "3"}]}, "snapshot_policy") == {
        "copies": [{"schedule.name": "hourly", "count": 3}]
    }
    assert patch({"restore_to.snapshot.name": "s2"}) == {"restore_to.snapshot.name": "s2"}
    assert patch({"restore_to": {"snapshot": {"name": ""}}}) == {"restore_to.snapshot.name": ""}


def test_null_means_not_given_on_create_and_cleared_on_change():
    body = {"clone.parent_snapshot.name": None, "clone": None, "aggregates": None, "name": "v"}
    assert post(body) == {"name": "v"}
    assert patch({"comment": None, "snapshot_policy": None}) == {"comment": None, "snapshot_policy.name": None}


def test_batches():
    body = decode(SCHEMA["volume"], Verb.POST, b'{"records": [{"name": "a"}, {"name": "b", "svm.name": "s"}]}')
    assert body.values == {}
    assert body.records == ({"name": "a"}, {"name": "b", "svm.name": "s"})
    assert decode(SCHEMA["volume"], Verb.DELETE, b'{"records": [{"uuid": "A1"}]}').records == ({"uuid": "a1"},)
    assert decode(SCHEMA["volume"], Verb.PATCH, b'{"records": [{"uuid": "a", "comment": "c"}]}').records == (
        {"uuid": "a", "comment": "c"},
    )
    assert decode(SCHEMA["volume"], Verb.POST, b'{"records": []}').records == ()


LONG = "n" * 10_000
REFUSED = [
    ("{", "262199", ""),
    ("[]", "262199", ""),
    ("1", "262199", ""),
    ('{"size": NaN}', "262199", ""),
    ('{"size": ' + "9" * 5000 + "}", "262199", ""),
    (b'{"name": "\xff"}', "262199", ""),
    ("[" * 100_000, "262199", ""),
    ('{"nas":' * 50 + "1" + "}" * 50, "262199", ""),
    ('{"name": "a", "name": "b"}', "262282", "name"),
    ('{"nas.path": "/a", "nas": {"path": "/a"}}', "262282", "nas.path"),
    ({"bogus": 1}, "262179", ""),
    ({"name.bogus": 1}, "262179", ""),
    ({"nas": {"bogus": 1}}, "262179", ""),
    ({"records": 1}, "262179", ""),
    ({"uuid": "x"}, "262196", "uuid"),
    ({"create_time": "x"}, "262196", "create_time"),
    ({"restore_to.path": "x"}, "262196", "restore_to.path"),
    ({"size": "many"}, "262197", "size"),
    ({"size": True}, "262197", "size"),
    ({"size": 1.5}, "262197", "size"),
    ({"size": {"a": 1}}, "262197", "size"),
    ({"size": 2**63}, "262200", "size"),
    ({"size": "99999999999999999999PB"}, "262200", "size"),
    ('{"size": 1e999}', "262197", "size"),
    ({"size": [1]}, "262255", "size"),
    ({"comment": True}, "262197", "comment"),
    ({"comment": "x" * 1024}, "262197", "comment"),
    ({"comment": "a\0b"}, "262245", "comment"),
    ('{"comment": "\\ud800"}', "262245", "comment"),
    ({"clone": 1}, "262197", "clone"),
    ({"clone.is_flexclone": "maybe"}, "262197", "clone.is_flexclone"),
    ({"clone.is_flexclone": 1}, "262197", "clone.is_flexclone"),
    ({"type": "xx"}, "262197", "type"),
    ({"state": "error"}, "918652", "state"),
    ({"state": "restricted"}, "918703", "state"),
    ({"aggregates": {"name": "a"}}, "262254", "aggregates"),
    ({"aggregates.name": "a"}, "262254", "aggregates"),
    ({"aggregates": ["a"]}, "262197", "aggregates"),
    ({"_tags": "a:b"}, "262254", "_tags"),
    ({"_tags": ["a:b"] * 65}, "263149", "_tags"),
    ({"_tags": ["plain"]}, "262256", "_tags"),
    ({"tiering": {"min_cooling_days": 1}}, "262200", "tiering.min_cooling_days"),
    ({"name": LONG}, "917886", "name"),
    ({"name": ""}, "917887", "name"),
    ({"name": "1a"}, "917887", "name"),
    ({"name": "a/b"}, "917888", "name"),
    ({"name": "a\0"}, "262245", "name"),
    ({"name": "a\n"}, "917888", "name"),
    ({"name": "v\N{GRINNING FACE}"}, "917888", "name"),
    ({"name": "\N{GRINNING FACE}"}, "917887", "name"),
    ({"nas.path": "x"}, "918252", "nas.path"),
    ({"nas.path": "/"}, "918252", "nas.path"),
    ({"nas.path": "/x/"}, "918252", "nas.path"),
    ({"nas.path": "/x//y"}, "918252", "nas.path"),
    ({"nas.path": "/x/../y"}, "918252", "nas.path"),
    ({"nas.path": "/" + "x/" * 600 + "y"}, "918252", "nas.path"),
    ({"nas.unix_permissions": 789}, "262245", "nas.unix_permissions"),
    ({"nas.unix_permissions": "99999"}, "262245", "nas.unix_permissions"),
]


@pytest.mark.parametrize(("body", "code", "target"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused_names_the_field(body, code, target):
    with pytest.raises(WireError) as caught:
        post(body)
    assert (caught.value.status, caught.value.code, caught.value.target) == (400, code, target)
    assert len(caught.value.message.encode("utf-8")) < 1000


@pytest.mark.parametrize(
    ("resource", "verb", "body", "code"),
    [
        ("volume", Verb.PATCH, {"type": "rw"}, "262196"),
        ("volume", Verb.PATCH, {"svm.name": "s"}, "262196"),
        ("volume", Verb.DELETE, {"name": "v"}, "262198"),
        ("volume", Verb.GET, {"name": "v"}, "262198"),
        ("volume", Verb.DELETE, {"records": [{"comment": "v"}]}, "262196"),
        ("volume", Verb.POST, {"records": [1]}, "262200"),
        ("snapshot", Verb.POST, {"name": "a/b"}, "1638518"),
        ("snapshot", Verb.POST, {"name": ".."}, "1638518"),
        ("snapshot", Verb.POST, {"name": "x" * 256}, "1638518"),
        ("snapshot", Verb.POST, {"snapmirror_label": ""}, "1638523"),
        ("snapshot", Verb.POST, {"comment": "x" * 256}, "1638455"),
        ("snapshot", Verb.POST, {"expiry_time": "soon"}, "262197"),
        ("export_policy", Verb.POST, {"name": "a b"}, "1703952"),
        ("export_policy", Verb.POST, {"name": "x" * 257}, "1704047"),
        ("export_policy", Verb.POST, {"rules": [{"clients.match": "x"}]}, "262254"),
        ("export_rule", Verb.POST, {"index": 0}, "3277162"),
        ("export_rule", Verb.POST, {"ro_rule": ["root"]}, "262197"),
        ("export_rule", Verb.POST, {"ro_rule": "sys"}, "262254"),
        ("export_rule", Verb.POST, {"clients": [{"match": "."}]}, "1704036"),
        ("export_rule", Verb.POST, {"clients": [{"match": "/8"}]}, "1704037"),
        ("export_rule", Verb.POST, {"clients": [{"match": "@"}]}, "1704038"),
        ("export_rule", Verb.POST, {"clients": [{"match": "a b"}]}, "1704039"),
        ("svm", Verb.POST, {"name": ""}, "2621685"),
        ("svm", Verb.POST, {"name": "x" * 48}, "2621643"),
        ("svm", Verb.POST, {"name": "-x"}, "2621519"),
        ("snapshot_policy", Verb.POST, {"copies": [{"count": 0}]}, "1638451"),
    ],
)
def test_refusals_of_other_resources(resource, verb, body, code):
    with pytest.raises(WireError) as caught:
        values(body, verb, resource)
    assert (caught.value.status, caught.value.code) == (400, code)


@pytest.mark.parametrize(
    ("resource", "match"),
    [
        ("export_rule", match)
        for match in (
            "0.0.0.0/0",
            "::/0",
            "10.0.0.1,10.0.0.2",
            ".example.com",
            "@group",
            "host-1",
            "10.0.0.0/255.0.0.0",
        )
    ],
)
def test_client_matches(resource, match):
    assert post({"clients": [{"match": match}]}, resource) == {"clients": [{"match": match}]}


@pytest.mark.parametrize(
    ("resource", "body", "code"),
    [
        ("volume", {"svm.name": "s", "aggregates": [{"name": "a"}], "size": 1}, "918232"),
        ("volume", {"name": "v", "aggregates": [{"name": "a"}], "size": 1}, "2621707"),
        ("volume", {"name": "v", "svm.name": "s", "size": 1}, "787140"),
        ("volume", {"name": "v", "svm.name": "s", "size": 1, "aggregates": []}, "787140"),
        ("snapshot", {}, "262212"),
        ("export_policy", {"name": "p"}, "2621707"),
        ("export_rule", {"clients": [{"match": "x"}], "ro_rule": ["any"]}, "262212"),
        ("snapshot_policy", {"name": "p"}, "262212"),
    ],
)
def test_what_is_missing(resource, body, code):
    with pytest.raises(WireError) as caught:
        require_fields(SCHEMA[resource], post(body, resource))
    assert (caught.value.status, caught.value.code) == (400, code)


def test_a_clone_needs_neither_aggregate_nor_size():
    body = {"name": "c", "svm.name": "s", "clone.is_flexclone": "true", "clone.parent_volume.name": "v"}
    require_fields(SCHEMA["volume"], post(body))


@pytest.mark.parametrize(
    "body",
    [
        {"type": "rw", "style": "flexvol", "encryption.enabled": "false", "tiering": {"policy": "none"}},
        {"space.snapshot.reserve_percent": "0", "nas.security_style": "unix", "snaplock.type": "non_snaplock"},
        {"guarantee.type": "none", "efficiency.policy.name": ""},
        {"guarantee.type": "volume"},
        {"validate_only": False, "tiering.object_tags": []},
    ],
)
def test_a_create_may_say_what_is_so_anyway(body):
    confirm(SCHEMA["volume"], Verb.POST, post(body))


def test_an_svm_that_does_not_serve_nfs_is_not_made_to_by_a_change():
    with pytest.raises(WireError, match=r"nfs\.allowed"):
        confirm(SCHEMA["svm"], Verb.PATCH, patch({"nfs.allowed": True}, "svm"), render_svm(TENANT, nfs=False))


@pytest.mark.parametrize(
    ("verb", "body", "code", "target"),
    [
        (Verb.POST, {"tiering.policy": "auto"}, "918701", "tiering.policy"),
        (Verb.POST, {"encryption.enabled": True}, "918701", "encryption.enabled"),
        (Verb.POST, {"qos.policy.name": "gold"}, "918701", "qos.policy.name"),
        (Verb.POST, {"space.filesystem_size_fixed": True}, "918701", "space.filesystem_size_fixed"),
        (Verb.PATCH, {"tiering.policy": "auto"}, "918703", "tiering.policy"),
        (Verb.PATCH, {"guarantee": {"type": "volume"}}, "918703", "guarantee.type"),
        (Verb.PATCH, {"quota.enabled": True}, "918703", "quota.enabled"),
        (Verb.PATCH, {"aggregates": [{"name": "other"}]}, "918703", "aggregates.name"),
    ],
)
def test_what_the_platform_lacks_is_refused_with_the_reason(verb, body, code, target):
    record = render_volume(*VOLUMES[0]) if verb is Verb.PATCH else None
    with pytest.raises(WireError) as caught:
        confirm(SCHEMA["volume"], verb, values(body, verb, "volume"), record)
    assert (caught.value.status, caught.value.code, caught.value.target) == (400, code, target)
    assert target in caught.value.message


def test_a_change_may_repeat_what_is_shown():
    record = render_volume(*VOLUMES[0])
    body = {"guarantee": {"type": "none"}, "aggregates": [{"name": "aggr1"}], "quota.enabled": False, "comment": "new"}
    confirm(SCHEMA["volume"], Verb.PATCH, patch(body), record)
    body = {"rules": [{"index": 1, "chown_mode": "restricted", "clients": [{"match": "x"}]}]}
    confirm(SCHEMA["export_policy"], Verb.PATCH, patch(body, "export_policy"))
    with pytest.raises(WireError, match=r"rules\.chown_mode"):
        confirm(
            SCHEMA["export_policy"], Verb.PATCH, patch({"rules": [{"chown_mode": "unrestricted"}]}, "export_policy")
        )


def test_the_tables_speak_of_documented_fields():
    for (resource, verb), paths in SETTABLE.items():
        leaves = paths - SCHEMA[resource].arrays
        assert all(verb.letter in SCHEMA[resource].fields[path].access for path in leaves)
    for resource, path in (*TEXT_RULES, *RANGES):
        assert path in SCHEMA[resource].fields
    for resource, needed in REQUIRED.items():
        assert all(SCHEMA[resource].leaves(path) for line in needed for path in line.paths)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["1GB", "true"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=6) | st.sampled_from(["name", "size", "nas", "nas.path", "path", "aggregates", "_tags"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    document=ANY_JSON | st.dictionaries(st.sampled_from(sorted(SCHEMA["volume"].fields)), ANY_JSON, max_size=3),
    verb=st.sampled_from(list(Verb)),
    resource=st.sampled_from(sorted(SCHEMA)),
)
def test_any_json_is_values_or_a_wire_error(document, verb, resource):
    found = attempt(lambda: decode(SCHEMA[resource], verb, json.dumps(document).encode()))
    if isinstance(found, WireError):
        assert found.status == 400
        assert (found.message + found.target).encode("utf-8")
    else:
        refused = attempt(lambda: confirm(SCHEMA[resource], verb, found.values))
        assert refused is None or refused.target


@given(st.binary(max_size=200) | st.text('{}[]":,\\ue0aname1', max_size=60).map(str.encode))
def test_any_bytes_are_values_or_a_wire_error(raw):
    found = attempt(lambda: decode(SCHEMA["volume"], Verb.POST, raw))
    assert not isinstance(found, WireError) or found.code.isdigit()
