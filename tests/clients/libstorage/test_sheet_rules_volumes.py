"""Rules of the original tests about volumes: listed, made, inspected, copied, removed, and what a request may say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from libstorage_client import ANY, AVAILABLE, ONLY_ATTACHED, ONLY_UNATTACHED, RefusedError, not_found, refused
from libstorage_scene import DOOR, Bed, client_of

from gateway.testing.live import live_gateway

FULL = {"availabilityZone": "az1", "iops": 1000, "size": 2, "type": "gold"}
SCHEMA = "validate req schema: validation error: "


def test_a_fresh_server_lists_every_service_with_no_volume(bed: Bed) -> None:
    services = set(bed.nobody.services())
    assert bed.nobody.everywhere(0) == {service: {} for service in services}
    assert bed.nobody.everywhere() == {service: {} for service in services}
    assert bed.nobody.volumes(bed.service, 0) == {}


def test_a_volume_that_is_missing_is_not_found(bed: Bed) -> None:
    for missing in ("vfs-009", "0b7c0d4c-0000-4000-8000-000000000000"):
        with not_found(missing):
            bed.client.volume(bed.service, missing)
        with not_found(missing):
            bed.client.attach(bed.service, missing)
        with not_found(missing):
            bed.client.detach(bed.service, missing)
        with not_found(missing):
            bed.client.copy(bed.service, missing, "copy")
        with not_found(missing):
            bed.client.snapshot(bed.service, missing, "s")
        with not_found(missing):
            bed.client.remove(bed.service, missing)
    with not_found("nothing"):
        bed.client.by_name(bed.service, "nothing")


def test_create_gives_an_id_and_the_name_that_was_asked_for_and_remove_succeeds(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    assert made.name == "data"
    assert not set(made.id) & set("/ ,=?#")
    bed.client.remove(bed.service, made.id)
    assert bed.client.volumes(bed.service) == {}


def test_inspect_without_attachments_gives_id_and_name_and_no_state(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    for looked in (bed.nobody.volume(bed.service, made.id), bed.nobody.volume(bed.service, made.id, 0)):
        assert (looked.id, looked.name, looked.attachment_state, looked.attachments) == (made.id, "data", 0, [])


def test_a_volume_is_found_by_its_name_in_any_case(bed: Bed) -> None:
    made = bed.client.create(bed.service, "Data One")
    for name in ("Data One", "data one", "DATA ONE"):
        assert bed.nobody.by_name(bed.service, name).id == made.id
        assert bed.nobody.by_name(bed.service, name, ANY).attachment_state == AVAILABLE
    with not_found(made.id):
        bed.nobody.by_name(bed.service, made.id)
    with not_found("Data One"):
        bed.nobody.by_name(bed.service, "Data One", ONLY_ATTACHED)
    assert bed.nobody.volume(bed.service.upper(), made.id, ONLY_UNATTACHED).id == made.id


def test_a_full_create_echoes_zone_iops_size_type_and_options(bed: Bed) -> None:
    opts = {"priority": 2, "Owner": "root@example.com", "hot": True, "list": [1, 2], "map": {"a": 1}}
    made = bed.client.create(bed.service, "data", **FULL, opts=opts)
    for shown in (made, bed.nobody.volume(bed.service, made.id), bed.nobody.volumes(bed.service)[made.id]):
        assert (shown.availability_zone, shown.iops, shown.size, shown.type) == ("az1", 1000, 2, "gold")
        assert not shown.encrypted
        expected = {"priority": "2", "owner": "root@example.com", "hot": "true", "list": "[1 2]", "map": "map[a:1]"}
        assert shown.fields.items() >= expected.items()


def test_zero_values_count_as_not_given(bed: Bed) -> None:
    zeros = {"availabilityZone": "", "iops": 0, "size": 0, "type": "", "encrypted": False}
    made = bed.client.create(bed.service, "data", **zeros)
    plain = bed.client.create(bed.service, "plain")
    assert (made.size, made.type, made.iops) == (plain.size, "", 0)
    assert made.size == 16


def test_an_encrypted_volume_is_refused_where_nothing_encrypts(bed: Bed) -> None:
    with pytest.raises(RefusedError, match="not implemented") as caught:
        bed.client.create(bed.service, "data", encrypted=True, encryptionKey="hidden-key")
    assert caught.value.status == 500
    assert bed.client.volumes(bed.service) == {}
    assert "hidden-key" not in bed.gateway.log.read_text()


def test_a_name_is_given_once_whatever_its_capitals(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    for name in ("data", "DATA"):
        with pytest.raises(RefusedError, match="volume name already exists") as caught:
            bed.client.create(bed.service, name)
        assert caught.value.status == 500
    assert list(bed.client.volumes(bed.service)) == [made.id]


@pytest.mark.parametrize("name", ["a/b", "a?b", "a#b", "a%b", ""])
def test_a_name_that_clients_could_not_ask_for_is_refused(bed: Bed, name: str) -> None:
    with pytest.raises(RefusedError) as caught:
        bed.client.create(bed.service, name)
    assert 400 <= caught.value.status <= 500
    assert bed.client.volumes(bed.service) == {}


def test_a_copy_has_its_own_id_and_name_and_what_the_source_had_but_for_its_options(bed: Bed) -> None:
    source = bed.client.create(bed.service, "data", **FULL, opts={"a": 1, "b": 2})
    made = bed.client.copy(bed.service, source.id, "copy", b=3, c="x")
    assert made.id != source.id
    assert (made.name, made.size, made.type, made.iops) == ("copy", 2, "gold", 1000)
    assert (made.availability_zone, made.encrypted) == ("az1", False)
    assert made.fields.items() >= {"a": "1", "b": "3", "c": "x"}.items()
    assert bed.nobody.volume(bed.service, made.id).fields.items() >= made.fields.items()
    assert bed.nobody.volume(bed.service, source.id).fields.items() >= {"a": "1", "b": "2"}.items()
    assert set(bed.nobody.named(bed.service)) == {"data", "copy"}


def test_the_source_of_a_copy_may_go_first(bed: Bed) -> None:
    source = bed.client.create(bed.service, "data")
    made = bed.client.copy(bed.service, source.id, "copy")
    bed.client.remove(bed.service, source.id)
    assert list(bed.nobody.volumes(bed.service)) == [made.id]
    assert bed.client.create(bed.service, "data").id != source.id


def test_a_volume_is_removed_once(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    bed.client.remove(bed.service, made.id)
    with not_found(made.id):
        bed.client.remove(bed.service, made.id)
    with not_found(made.id):
        bed.client.volume(bed.service, made.id)


def test_an_attached_volume_is_removed_by_force_only(bed: Bed) -> None:
    made = bed.client.create(bed.service, "data")
    bed.client.attach(bed.service, made.id)
    for query in ("", "?force=false", "?force=0"):
        with pytest.raises(RefusedError) as caught:
            bed.client.remove(bed.service, made.id, query)
        assert caught.value.status in (409, 500)
    assert bed.client.volume(bed.service, made.id, ANY).holders == [bed.nodes[0]]
    bed.client.remove(bed.service, made.id, "?force")
    assert bed.client.volumes(bed.service) == {}


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("", {}, "name"),
        ("", {"name": 1}, "name"),
        ("", {"name": None}, "name"),
        ("", {"name": "x", "size": "2"}, "size"),
        ("", {"name": "x", "size": None}, "size"),
        ("", {"name": "x", "encrypted": "yes"}, "encrypted"),
        ("", {"name": "x", "opts": [1]}, "opts"),
        ("", {"name": "x", "colour": "red"}, "colour"),
        ("", {"name": "x", "volumeName": "y"}, "volumeName"),
        ("", [], ""),
        ("/ID?copy", {"name": "x"}, "volumeName"),
        ("/ID?copy", {"volumeName": "x", "name": "x"}, "name"),
        ("/ID?snapshot", {"snapshotName": []}, "snapshotName"),
        ("/ID?attach", {"force": 1}, "force"),
        ("/ID?attach", {"nextDeviceName": None}, "nextDeviceName"),
        ("/ID?detach", {"nextDeviceName": "/dev/xvda"}, "nextDeviceName"),
        ("?detach", {"force": "true"}, "force"),
    ],
)
def test_a_body_is_held_against_its_schema(bed: Bed, path: str, body: object, named: str) -> None:
    made = bed.client.create(bed.service, "data")
    with pytest.raises(RefusedError) as caught:
        bed.client.call("POST", f"/volumes/{bed.service}{path.replace('ID', made.id)}", body)
    assert (caught.value.status, caught.value.message[: len(SCHEMA)]) == (500, SCHEMA)
    assert caught.value.told == caught.value.message
    assert named in caught.value.message
    assert set(bed.client.named(bed.service)) == {"data"}


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"name": "x"} y', b"[" * 10_000, b'{"name": 1e999}'])
def test_what_is_no_json_is_refused_like_a_wrong_body(bed: Bed, content: bytes) -> None:
    answer = bed.client.raw("POST", f"/volumes/{bed.service}", content)
    assert (answer.status_code, answer.json()["status"]) == (500, 500)
    assert answer.headers["Libstorage-Servername"]


def test_a_body_is_read_whatever_its_type_is_said_to_be(bed: Bed) -> None:
    content = json.dumps({"name": "typed"}).encode()
    answer = bed.client.with_headers(Content_Type="text/plain").raw("POST", f"/volumes/{bed.service}", content)
    assert answer.status_code == 201
    assert bed.client.raw("POST", f"/volumes/{bed.service}?create", b'{"name": "verbose"}').status_code == 201
    assert set(bed.client.named(bed.service)) == {"typed", "verbose"}


def test_options_count_as_members_where_the_server_is_told_so(tmp_path: Path) -> None:
    with (
        live_gateway(tmp_path, extra=f"{DOOR}parse_request_opts = true\n") as gateway,
        client_of(gateway.addresses["libstorage"], "vfs=host-a") as client,
    ):
        made = client.create("memory", "data", size=1, opts={"size": 3, "type": "gold"})
        assert (made.size, made.type) == (3, "gold")
        with pytest.raises(RefusedError, match="not implemented"):
            client.create("memory", "secret", opts={"encrypted": True})
        assert set(client.named("memory")) == {"data"}


def test_an_unknown_service_is_not_found(bed: Bed) -> None:
    for method, path in (
        ("GET", "/services/none"),
        ("GET", "/volumes/none"),
        ("GET", "/volumes/none/id"),
        ("POST", "/volumes/none"),
        ("POST", "/volumes/none?detach"),
        ("POST", "/volumes/none/id?attach"),
        ("DELETE", "/volumes/none/id"),
        ("GET", "/snapshots/none"),
        ("GET", "/snapshots/none/id"),
        ("DELETE", "/snapshots/none/id"),
    ):
        with refused(404, "resource not found", {"resourceID": "none"}):
            bed.client.call(method, path)
