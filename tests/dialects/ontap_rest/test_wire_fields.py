"""What `fields`, queries and bodies may look like, by the numbers of the rules that clients need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from live_scene import SNAPSHOTS, VOLUMES, Door, door, refusal

from gateway.testing.live import live_gateway

MIB = 1 << 20
VOLFIELDS = (
    "encryption.enabled,tiering.policy,tiering.object_tags,nas.export_policy.name,aggregates.name,aggregates.uuid,uuid,"
    "nas.path,style,type,comment,qos.policy.name,nas.security_style,nas.gid,nas.unix_permissions,nas.uid,"
    "snapshot_policy,space.snapshot.reserve_percent,space.size,guarantee.type,state,efficiency.compression,snaplock,"
    "files.maximum,space.logical_space.enforcement,space.logical_space.reporting,"
)
"""As Ansible sends them, with the comma at the end."""


@pytest.fixture(scope="module")
def ontap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A gateway with two volumes, one of them mounted, with a snapshot, and one a clone of it."""
    with live_gateway(tmp_path_factory.mktemp("wire")) as gateway, door(gateway) as found:
        uuid = found.volume("v1", size=64 * MIB, comment="first", **{"nas.path": "/v1"})
        found.snapshot(uuid, "s1")
        found.volume("v2", size=32 * MIB, comment="a,b")
        clone = {"name": "c1", "svm.name": "svm1", "clone.is_flexclone": True, "clone.parent_volume.name": "v1"}
        found.must("POST", f"{VOLUMES}?return_timeout=60", clone)
        yield found


@pytest.fixture
def passing(ontap: Door) -> Iterator[str]:
    """Give a volume that goes again."""
    uuid = ontap.volume("passing", size=64 * MIB)
    yield uuid
    ontap.must("DELETE", f"{VOLUMES}/{uuid}?return_timeout=60")


def one(ontap: Door, query: str) -> dict[str, Any]:
    (record,) = ontap.get(f"{VOLUMES}?{query}")["records"]
    found: dict[str, Any] = record
    return found


# --- W14: fields ---


def test_w14_fields_may_be_empty_or_end_with_a_comma(ontap: Door) -> None:
    bare = one(ontap, "name=v2")
    assert one(ontap, "name=v2&fields=") == one(ontap, "name=v2&fields=,") | {"_links": bare["_links"]}
    found = one(ontap, f"name=v2&fields={VOLFIELDS}")
    assert found["space"] == {
        "size": 32 * MIB,
        "snapshot": {"reserve_percent": 0},
        "logical_space": {"enforcement": False, "reporting": False},
    }
    assert found["state"] == "online"


@pytest.mark.parametrize("fields", ["size,%20comment", "size,size,comment", "size , comment,", "comment&fields=size"])
def test_w14_blanks_repetitions_and_a_second_parameter_do_not_matter(ontap: Door, fields: str) -> None:
    assert {"size", "comment", "uuid", "name"} <= one(ontap, f"name=v2&fields={fields}").keys()


def test_w14_the_name_of_an_object_stands_for_all_of_it(ontap: Door) -> None:
    whole = one(ontap, "name=v1&fields=space")["space"]
    assert {"size", "used", "available", "afs_total", "snapshot", "percent_used"} <= whole.keys()
    assert one(ontap, "name=v1&fields=space.*")["space"] == whole


def test_w14_what_was_asked_about_is_shown(ontap: Door) -> None:
    found = one(ontap, "space.snapshot.reserve_percent=0&autosize.mode=off&name=v2")
    assert found["autosize"] == {"mode": "off"}
    assert found["space"] == {"snapshot": {"reserve_percent": 0}}


def test_w14_keys_are_shown_whatever_is_asked(ontap: Door) -> None:
    assert {"uuid", "name", "style"} <= one(ontap, "name=v2&fields=name,style").keys()


# --- W15: queries ---


@pytest.mark.parametrize(
    ("query", "names"),
    [
        pytest.param("name=v1,c1", ["c1", "v1"], id="a list is any of it"),
        pytest.param("name=v1|c1", ["c1", "v1"], id="alternatives"),
        pytest.param("name=v*", ["v1", "v2"], id="wildcard"),
        pytest.param("name=!v*", ["c1"], id="not"),
        pytest.param('name="v1"', ["v1"], id="literal"),
        pytest.param('comment="a,b"', ["v2"], id="a literal with a comma"),
        pytest.param("size=32MB..64MB", ["c1", "v1", "v2"], id="range"),
        pytest.param("size=>=64MB", ["c1", "v1"], id="comparison"),
        pytest.param("clone.is_flexclone=True", ["c1"], id="a Python boolean"),
        pytest.param("is_svm_root=false", ["c1", "v1", "v2"], id="a boolean"),
        pytest.param("aggregates.name=memory", ["c1", "v1", "v2"], id="an element of a list"),
        pytest.param("svm=svm1&name=v2", ["v2"], id="a reference by its name"),
        pytest.param("clone.parent_volume=v1", ["c1"], id="a deeper reference by its name"),
        pytest.param("nas.path=null", ["c1", "v2"], id="unset"),
        pytest.param(
            "type=rw&style=flex*&is_svm_root=false&error_state.is_inconsistent=false&state=online",
            ["c1", "v1", "v2"],
            id="what Cinder asks",
        ),
        pytest.param("efficiency.volume_path=/vol/v2", ["v2"], id="what Ansible asks"),
    ],
)
def test_w15_a_query_finds_what_it_says(ontap: Door, query: str, names: list[str]) -> None:
    assert ontap.names(f"{query}&order_by=name") == names


# --- W18: bodies ---


@pytest.mark.parametrize(
    ("body", "path", "value"),
    [
        pytest.param({"nas.unix_permissions": "755"}, "nas.unix_permissions", 755, id="permissions"),
        pytest.param({"space": {"snapshot.reserve_percent": "5"}}, "space.snapshot.reserve_percent", 5, id="mixed"),
        pytest.param({"space.size": "128MB"}, "space.size", 128 * MIB, id="a size with its unit"),
        pytest.param({"space.size": "67108864"}, "size", 64 * MIB, id="a size in digits"),
        pytest.param({"autosize": {"mode": "grow", "maximum": "40g"}}, "autosize.maximum", 40 << 30, id="autosize"),
        pytest.param({"encryption.enabled": "false"}, "encryption.enabled", False, id="a boolean"),
        pytest.param({"state": "ONLINE"}, "state", "online", id="a word in capitals"),
    ],
)
def test_w18_values_come_in_any_of_the_forms_that_clients_send(
    ontap: Door, passing: str, body: dict[str, Any], path: str, value: object
) -> None:
    ontap.must("PATCH", f"{VOLUMES}/{passing}?return_timeout=60", body)
    found: Any = ontap.get(f"{VOLUMES}/{passing}?fields={path}")
    for name in path.split("."):
        found = found[name]
    assert found == value


@pytest.mark.parametrize(
    "body", [{"encryption.enabled": "maybe"}, {"space.size": "12 parsecs"}, {"space.snapshot.reserve_percent": "x"}]
)
def test_w18_what_is_no_form_of_a_value_is_refused(ontap: Door, passing: str, body: dict[str, Any]) -> None:
    assert refusal(ontap.ask("PATCH", f"{VOLUMES}/{passing}", body))[0] == 400


# --- W25: what is not there ---


def test_w25_members_without_a_value_are_left_out(ontap: Door) -> None:
    record = one(ontap, "name=v2&fields=**")
    assert not {"movement", "metric", "statistics", "qos", "consistency_group", "constituents", "_tags"} & record.keys()
    assert "path" not in record["nas"]
    assert not {"parent_volume", "parent_snapshot", "split_complete_percent"} & record["clone"].keys()
    assert not {"full_threshold_percent", "nearly_full_threshold_percent"} & record["space"].keys()
    assert "parent_volume" in one(ontap, "name=c1&fields=**")["clone"]
    uuid = one(ontap, "name=v1")["uuid"]
    free = next(found for found in ontap.get(f"{SNAPSHOTS.format(uuid)}?fields=**")["records"] if found["name"] == "s1")
    assert not {"owners", "snapmirror_label", "expiry_time"} & free.keys()
