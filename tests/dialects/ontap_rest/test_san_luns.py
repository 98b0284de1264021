"""LUNs through a live door: where they come to be, how they are found, changed and removed, and what is refused."""

from __future__ import annotations

import pytest
from live_scene import MISSING, SNAPSHOTS, SVMS, VOLUMES, door, refusal
from san_scene import HOST, LUNS, MAPS, MIB, POOLS, San, everything

from gateway.testing.live import live_gateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with live_gateway(tmp_path_factory.mktemp("luns"), pools=POOLS) as running:
        yield running


@pytest.fixture
def ontap(gateway):
    with door(gateway) as opened:
        yield opened
        San(opened).leave_nothing()


@pytest.fixture
def san(ontap):
    return San(ontap)


def new(name: str, **fields):
    return {"name": name, "svm.name": "svm1", "os_type": "linux", "space.size": 64 * MIB, **fields}


# --- what a LUN looks like ---


def test_a_lun_is_shown_whole(ontap, san):
    uuid = san.lun("/vol/v/l", comment="c", **{"space.guarantee.requested": True})
    group = san.group("g", HOST)
    san.map(uuid, group)
    shown = ontap.get(f"{LUNS}/{uuid}?fields=**")
    assert shown["_links"]["self"]["href"] == f"{LUNS}/{uuid}"
    location = shown["location"]
    assert (location["logical_unit"], location["volume"]["name"], location["volume"]["uuid"]) == ("l", "v", uuid)
    assert location["node"]["name"].endswith("-01")
    assert shown["space"] == {
        "size": 64 * MIB,
        "used": 0,
        "scsi_thin_provisioning_support_enabled": False,
        "guarantee": {"requested": True, "reserved": False},
    }
    assert shown["status"] == {"state": "online", "container_state": "online", "mapped": True, "read_only": False}
    assert shown["serial_number"] == uuid.replace("-", "")[:12]
    (mapped,) = shown["lun_maps"]
    assert (mapped["igroup"]["name"], mapped["igroup"]["uuid"], mapped["logical_unit_number"]) == ("g", group, 1)
    rest = {name: shown[name] for name in ("name", "comment", "os_type", "class", "enabled", "auto_delete")}
    assert rest == {
        "name": "/vol/v/l",
        "comment": "c",
        "os_type": "linux",
        "class": "regular",
        "enabled": True,
        "auto_delete": False,
    }
    assert "lun_maps" not in ontap.get(f"{LUNS}/{uuid}")


def test_its_volume_is_one_of_blocks(ontap, san):
    uuid = san.lun("/vol/v/l", 96 * MIB)
    ontap.volume("files")
    shown = ontap.get(f"{VOLUMES}/{uuid}?fields=**")
    assert (shown["size"], shown["type"], shown["style"]) == (96 * MIB, "rw", "flexvol")
    assert "nas" not in shown
    assert ontap.names("nas.security_style=null") == ["v"]
    assert ontap.names("nas.uid=0") == ["files"]
    assert ontap.names("nas.export_policy.name=default") == ["files"]


# --- where it comes to be ---


def test_an_empty_volume_becomes_its_lun(ontap, san):
    volume = ontap.volume("v", size=20 * MIB)
    assert san.fill("/vol/v/l", 64 * MIB) == volume
    assert ontap.get(f"{VOLUMES}/{volume}?fields=size")["size"] == 64 * MIB


def test_a_volume_in_a_pool_of_blocks_waits_for_its_lun(ontap, san):
    volume = ontap.volume("v", size=(20 * MIB) + 1, aggregates=[{"name": "blocks"}])
    assert ontap.get(f"{VOLUMES}/{volume}?fields=size")["size"] == 20 * MIB + 4096
    assert ontap.get(LUNS)["num_records"] == 0
    assert ontap.get(f"{LUNS}?return_records=false")["num_records"] == 0
    assert refusal(ontap.ask("GET", f"{LUNS}/{volume}")) == (404, "5374875")
    assert san.fill("/vol/v/l", 64 * MIB + 5) == volume
    assert ontap.get(f"{LUNS}/{volume}?fields=space.size")["space"]["size"] == 64 * MIB + 4096


def test_a_volume_that_is_larger_stays_so(ontap, san):
    volume = ontap.volume("v", size=128 * MIB, aggregates=[{"name": "blocks"}])
    san.fill("/vol/v/l", 64 * MIB)
    assert ontap.get(f"{LUNS}/{volume}?fields=space.size")["space"]["size"] == 128 * MIB


def test_without_a_volume_and_with_several_pools_the_volume_comes_first(ontap):
    answer = ontap.ask("POST", LUNS, new("/vol/nowhere/l"))
    assert refusal(answer) == (404, "917927")
    assert "Create it first" in answer.json()["error"]["message"]


def test_the_svm_of_the_header_and_the_parts_of_a_path_do_as_well(ontap):
    ontap.volume("v")
    body = {"name": "l", "location.volume.name": "v", "os_type": "linux", "space.size": "67108864"}
    ontap.must("POST", f"{LUNS}?return_timeout=60", body, X_Dot_SVM_Name="svm1")
    ontap.volume("w")
    body = {"location": {"logical_unit": "m", "volume": {"name": "w"}}, "os_type": "linux", "space": {"size": "64MB"}}
    ontap.must("POST", f"{LUNS}?return_timeout=60", body, X_Dot_SVM_Name="svm1")
    assert ontap.names(path=LUNS) == ["/vol/v/l", "/vol/w/m"]


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_clone_is_a_new_volume(ontap, san, snapshot):
    uuid = san.lun("/vol/v/l", os_type="vmware", comment="c")
    ontap.snapshot(uuid, "s")
    source = "/vol/v/.snapshot/s/l" if snapshot else "/vol/v/l"
    body = {"name": "/vol/w/m", "svm.name": "svm1", "clone": {"source": {"name": source}}}
    made = ontap.ask("POST", f"{LUNS}?return_timeout=60", body).headers["Location"].rpartition("/")[2]
    shown = ontap.get(f"{LUNS}/{made}?fields=os_type,space.size,comment")
    assert (shown["os_type"], shown["space"]["size"], shown["comment"]) == ("vmware", 64 * MIB, "")
    parent = ontap.get(f"{VOLUMES}/{made}?fields=clone")["clone"]
    assert parent["parent_volume"]["name"] == "v"
    assert (parent["parent_snapshot"]["name"] == "s") is snapshot


def test_a_flexclone_has_a_lun_of_the_same_name(ontap, san):
    san.lun("/vol/v/l", os_type="windows")
    body = {"name": "w", "svm.name": "svm1", "clone": {"is_flexclone": True, "parent_volume.name": "v"}}
    ontap.must("POST", f"{VOLUMES}?return_timeout=60", body)
    (found,) = ontap.get(f"{LUNS}?name=/vol/w/l&fields=os_type")["records"]
    assert found["os_type"] == "windows"


# --- finding it ---


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["a", "b"]),
        ("name=/vol/a/l", ["a"]),
        ("name=/vol/a/other", []),
        ("name=/vol/*/l", ["a", "b"]),
        ("name=/vol/b/*", ["b"]),
        ("name=!/vol/a/l", ["b"]),
        ("name=/vol/a/l|/vol/b/l", ["a", "b"]),
        ("name=nonsense", []),
        ("svm.name=svm1", ["a", "b"]),
        ("svm=other", []),
        ("location.volume.name=b", ["b"]),
        ("location.logical_unit=l", ["a", "b"]),
        ("os_type=vmware", ["b"]),
        ("comment=hello", ["a"]),
        ("space.size=>64MB", ["b"]),
        ("status.mapped=true", ["a"]),
        ("status.mapped=false", ["b"]),
        ("status.state=offline", []),
        ("enabled=true", ["a", "b"]),
        ("lun_maps.igroup.name=g", ["a"]),
        ("lun_maps.igroup.name=null", ["b"]),
        ("lun_maps.logical_unit_number=3", ["a"]),
        ("class=regular", ["a", "b"]),
        ("class=vvol", []),
        ("order_by=name desc", ["b", "a"]),
        ("order_by=space.size desc", ["b", "a"]),
        ("max_records=1&offset=1", ["b"]),
        ("query=vmw*&query_fields=*", ["b"]),
    ],
)
def test_luns_are_found(ontap, san, query, found):
    first = san.lun("/vol/a/l", comment="hello")
    san.lun("/vol/b/l", 96 * MIB, os_type="vmware")
    san.map(first, san.group("g", HOST), logical_unit_number=3)
    assert [name.split("/")[2] for name in ontap.names(query, LUNS)] == found
    count = ontap.get(f"{LUNS}?{query}&return_records=false")["num_records"]
    assert count == (2 if "max_records" in query else len(found))


def test_luns_are_found_by_what_they_are_known_as(ontap, san):
    uuid, group = san.lun("/vol/a/l"), san.group("g")
    san.lun("/vol/b/l")
    san.map(uuid, group)
    serial = ontap.get(f"{LUNS}/{uuid}?fields=serial_number")["serial_number"]
    for query in (
        f"uuid={uuid}",
        f"serial_number={serial}",
        f"location.volume.uuid={uuid}",
        f"lun_maps.igroup.uuid={group}",
    ):
        assert ontap.names(query, LUNS) == ["/vol/a/l"], query


def test_luns_are_paged(ontap, san):
    for name in "abc":
        san.lun(f"/vol/{name}/l")
    ontap.volume("between", aggregates=[{"name": "blocks"}])
    page = ontap.get(f"{LUNS}?max_records=2")
    assert [record["name"] for record in page["records"]] == ["/vol/a/l", "/vol/b/l"]
    rest = ontap.get(page["_links"]["next"]["href"])
    assert [record["name"] for record in rest["records"]] == ["/vol/c/l"]
    assert "next" not in rest["_links"]


# --- changing it ---


def test_a_lun_is_renamed_grown_and_described(ontap, san):
    uuid = san.lun("/vol/v/l")
    body = {"name": "/vol/v/m", "space.size": 96 * MIB, "comment": "c", "space.guarantee.requested": False}
    ontap.must("PATCH", f"{LUNS}/{uuid}?return_timeout=60", body)
    shown = ontap.get(f"{LUNS}/{uuid}?fields=space.size,comment,os_type")
    assert (shown["name"], shown["space"]["size"], shown["comment"], shown["os_type"]) == (
        "/vol/v/m",
        96 * MIB,
        "c",
        "linux",
    )


def test_cinder_changes_luns_by_query(ontap, san):
    san.lun("/vol/v/l")
    query = "svm.name=svm1&name=/vol/v/l"
    ontap.must("PATCH", f"{LUNS}/?{query}&return_timeout=60", {"name": "/vol/v/m"})
    assert ontap.names(path=LUNS) == ["/vol/v/m"]
    ontap.must("DELETE", f"{LUNS}/?name=/vol/v/m&svm=svm1&allow_delete_while_mapped=true&return_timeout=60")
    assert ontap.names(path=VOLUMES) == []


def test_a_lun_is_disabled_and_enabled(ontap, san):
    uuid = san.lun("/vol/v/l")
    for enabled, state in ((False, "offline"), (True, "online")):
        ontap.must("PATCH", f"{LUNS}/{uuid}?return_timeout=60", {"enabled": enabled})
        shown = ontap.get(f"{LUNS}/{uuid}?fields=enabled,status.state")
        assert (shown["enabled"], shown["status"]["state"]) == (enabled, state)
        assert ontap.get(f"{VOLUMES}/{uuid}?fields=state")["state"] == state


def test_deleting_a_lun_deletes_its_volume(ontap, san):
    uuid = san.lun("/vol/v/l")
    ontap.must("DELETE", f"{LUNS}/{uuid}?return_timeout=60")
    assert ontap.get(VOLUMES)["num_records"] == 0


def test_a_mapped_lun_is_deleted_by_force_only(ontap, san):
    uuid = san.lun("/vol/v/l")
    san.map(uuid, san.group("g"))
    assert refusal(ontap.ask("DELETE", f"{LUNS}/{uuid}")) == (409, "1254197")
    assert refusal(ontap.ask("DELETE", f"{VOLUMES}/{uuid}")) == (409, "1254197")
    ontap.must("DELETE", f"{LUNS}/{uuid}?allow_delete_while_mapped=true&return_timeout=60")
    assert ontap.get(MAPS)["num_records"] == 0


def test_a_restored_volume_keeps_its_lun(ontap, san):
    uuid = san.lun("/vol/v/l")
    ontap.snapshot(uuid, "s")
    ontap.must("PATCH", f"{VOLUMES}/{uuid}?restore_to.snapshot.name=s&return_timeout=60", {})
    assert ontap.names(path=LUNS) == ["/vol/v/l"]
    assert ontap.get(SNAPSHOTS.format(uuid))["num_records"] == 1


# --- what is refused ---


@pytest.mark.parametrize(
    ("fields", "status", "code", "target"),
    [
        ({"name": "/vol/full/l"}, 409, "5374242", "name"),
        ({"name": "/vol/full/m"}, 409, "5374707", "name"),
        ({"name": "/vol/kept/l"}, 409, "5374707", "name"),
        ({"name": "/vol/files/l"}, 400, "262144017", None),
        ({"name": "/vol/nowhere/l"}, 404, "917927", "name"),
        ({"name": "/vol/empty"}, 400, "5374352", "name"),
        ({"name": "/vol/empty/"}, 400, "5374862", "name"),
        ({"name": "/vol//l"}, 400, "5374859", "name"),
        ({"name": "l"}, 400, "5374859", "name"),
        ({"name": "/vol/empty/q/l"}, 404, "5242927", "name"),
        ({"name": "/vol/empty/.snapshot/s/l"}, 400, "5374238", "name"),
        ({"name": "/vol/empty/a b"}, 400, "5374121", "name"),
        ({"name": "/vol/empty/.."}, 400, "5374352", "name"),
        ({"name": "/vol/empty/" + "x" * 256}, 400, "5374352", "name"),
        ({"name": None, "location.volume.name": "empty"}, 400, "5374862", "name"),
        ({"location.volume.name": "full"}, 400, "5374858", "location.volume.name"),
        ({"location.logical_unit": "other"}, 400, "5374861", "location.logical_unit"),
        ({"location.logical_unit": "a/b"}, 400, "5374121", "location.logical_unit"),
        ({"location.volume.uuid": MISSING}, 404, "917927", "location.volume.uuid"),
        ({"location.volume.uuid": "x"}, 404, "917927", "location.volume.uuid"),
        ({"location.qtree.name": "q"}, 400, "262144017", "location.qtree.name"),
        ({"os_type": None}, 400, "5374884", "os_type"),
        ({"os_type": "beos"}, 400, "262197", "os_type"),
        ({"space.size": None}, 400, "5374884", "space.size"),
        ({"space.size": 4095}, 400, "5374124", "space.size"),
        ({"space.size": -1}, 400, "5374123", "space.size"),
        ({"space.size": 1 << 50}, 400, "5374125", "space.size"),
        ({"space.size": "much"}, 400, "262197", "space.size"),
        ({"svm.name": None}, 400, "2621707", "svm.name"),
        ({"svm.name": "nobody"}, 404, "2621462", "svm"),
        ({"qos_policy.name": "fast"}, 400, "262144017", "qos_policy.name"),
        ({"class": "vvol"}, 400, "262144017", "class"),
        ({"copy.source.name": "/vol/full/l"}, 400, "262144017", "copy.source.name"),
        ({"convert.namespace.name": "/vol/full/l"}, 400, "262144017", "convert.namespace.name"),
        ({"lun_maps": [{"igroup": {"name": "g"}}]}, 400, "262144017", "lun_maps.igroup.name"),
        ({"serial_number": "abcdefabcdef"}, 400, "262196", "serial_number"),
        ({"comment": "x" * 255}, 400, "262197", "comment"),
        ({"clone.source.name": "/vol/full/l"}, 400, "5374883", "os_type"),
    ],
)
def test_a_lun_is_refused(ontap, san, fields, status, code, target):
    ontap.volume("empty")
    ontap.volume("files", aggregates=[{"name": "files"}])
    san.lun("/vol/full/l")
    ontap.snapshot(ontap.volume("kept"), "s")
    before = everything(ontap)
    answer = ontap.ask("POST", f"{LUNS}?return_timeout=60", {**new("/vol/empty/l"), **fields})
    assert refusal(answer) == (status, code), answer.text
    assert answer.json()["error"].get("target") == target, answer.text
    assert everything(ontap) == before


@pytest.mark.parametrize(
    ("fields", "status", "code", "target"),
    [
        ({"clone.source.name": "/vol/v/other"}, 404, "5374875", "clone.source"),
        ({"clone.source.name": "/vol/v/.snapshot/s/l"}, 404, "5374875", "clone.source"),
        ({"clone.source.name": "nonsense"}, 404, "5374875", "clone.source"),
        ({"clone.source.uuid": MISSING}, 404, "5374875", "clone.source"),
        ({"clone.source.uuid": "x"}, 404, "5374875", "clone.source"),
        ({"clone.source.name": "/vol/v/l", "name": "/vol/v/m"}, 409, "5374707", "name"),
        ({"clone.source.name": "/vol/v/l", "name": "/vol/empty/m"}, 409, "5374707", "name"),
        ({"clone.source.name": "/vol/v/l", "name": "/vol/a-b/m"}, 400, "917888", "name"),
        ({"clone.source.name": "/vol/v/l", "space.size": 96 * MIB}, 400, "5374883", "space.size"),
    ],
)
def test_a_clone_is_refused(ontap, san, fields, status, code, target):
    san.lun("/vol/v/l")
    ontap.volume("empty")
    before = everything(ontap)
    answer = ontap.ask("POST", LUNS, {"name": "/vol/w/m", "svm.name": "svm1", **fields})
    assert refusal(answer) == (status, code), answer.text
    assert answer.json()["error"].get("target") == target, answer.text
    assert everything(ontap) == before


@pytest.mark.parametrize(
    ("body", "status", "code", "target"),
    [
        ({"name": "/vol/empty/l"}, 400, "262144017", "name"),
        ({"name": "/vol/nowhere/l"}, 400, "262144017", "name"),
        ({"location.volume.name": "empty"}, 400, "262144017", "name"),
        ({"name": "/vol/v/a b"}, 400, "5374121", "name"),
        ({"space.size": 32 * MIB}, 400, "5374892", "space.size"),
        ({"space.size": 1}, 400, "5374124", "space.size"),
        ({"os_type": "vmware"}, 400, "262196", "os_type"),
        ({"clone.source.name": "/vol/v/l"}, 400, "262144017", "clone.source.name"),
        ({"movement.progress.state": "paused"}, 400, "262144017", "movement.progress.state"),
        ({"qos_policy.name": "x"}, 400, "262144017", "qos_policy.name"),
        ({"auto_delete": True}, 400, "262144017", "auto_delete"),
        ({"uuid": MISSING}, 400, "262196", "uuid"),
    ],
)
def test_a_change_is_refused(ontap, san, body, status, code, target):
    uuid = san.lun("/vol/v/l")
    ontap.volume("empty")
    before = everything(ontap)
    answer = ontap.ask("PATCH", f"{LUNS}/{uuid}", body)
    assert refusal(answer) == (status, code), answer.text
    assert answer.json()["error"].get("target") == target, answer.text
    assert everything(ontap) == before


def test_what_hangs_on_a_lun_keeps_it(ontap, san):
    uuid = san.lun("/vol/v/l")
    ontap.snapshot(uuid, "s")
    answer = ontap.ask("DELETE", f"{LUNS}/{uuid}")
    assert refusal(answer) == (409, "5374705")
    assert "delete the volume" in answer.json()["error"]["message"]
    assert refusal(ontap.ask("PATCH", f"{VOLUMES}/{uuid}", {"nas.path": "/x"})) == (400, "918703")
    assert refusal(ontap.ask("PATCH", f"{VOLUMES}/{uuid}", {"size": 32 * MIB})) == (400, "918703")
    answer = ontap.ask(
        "POST", VOLUMES, {"name": "w", "svm.name": "svm1", "aggregates": [{"name": "blocks"}], "nas.path": "/w"}
    )
    assert refusal(answer) == (400, "918701")


def test_a_lun_that_is_not_there(ontap):
    for verb in ("GET", "PATCH", "DELETE"):
        body = {"comment": "x"} if verb == "PATCH" else None
        assert refusal(ontap.ask(verb, f"{LUNS}/{MISSING}", body)) == (404, "5374875")
    assert refusal(ontap.ask("GET", f"{LUNS}/x")) == (404, "2")
    volume = ontap.volume("files")
    assert refusal(ontap.ask("GET", f"{LUNS}/{volume}")) == (404, "5374875")


def test_another_svms_lun_is_out_of_sight(ontap, san):
    uuid = san.lun("/vol/v/l")
    ontap.must("POST", SVMS, {"name": "svm2"})
    assert ontap.get(LUNS, X_Dot_SVM_Name="svm2")["num_records"] == 0
    assert refusal(ontap.ask("GET", f"{LUNS}/{uuid}", X_Dot_SVM_Name="svm2")) == (404, "5374875")
    body = {"name": "/vol/v/m", "clone.source.name": "/vol/v/l"}
    assert refusal(ontap.ask("POST", LUNS, body, X_Dot_SVM_Name="svm2")) == (404, "5374875")


# --- batches ---


def test_a_batch_that_fails_leaves_volumes_as_they_were(ontap):
    ontap.volume("b", aggregates=[{"name": "blocks"}])
    before = everything(ontap)
    records = [new("/vol/b/l"), new("/vol/nowhere/l")]
    job = ontap.job(ontap.must("POST", f"{LUNS}?serial_records=true", {"records": records}))
    assert job["state"] == "failure"
    after = everything(ontap)
    assert after[LUNS] == []
    assert [v["name"] for v in after[VOLUMES]] == [v["name"] for v in before[VOLUMES]]


def test_a_batch_makes_changes_and_removes_luns(ontap):
    for name in "ab":
        ontap.volume(name)
    job = ontap.job(ontap.must("POST", LUNS, {"records": [new("/vol/a/l"), new("/vol/b/l")]}))
    assert job["state"] == "success", job
    uuids = [ontap.get(f"{LUNS}?name=/vol/{name}/l")["records"][0]["uuid"] for name in "ab"]
    records = [{"uuid": uuid, "comment": "c"} for uuid in uuids]
    assert ontap.job(ontap.must("PATCH", LUNS, {"records": records}))["state"] == "success"
    assert len(ontap.names("comment=c", LUNS)) == 2
    job = ontap.job(ontap.must("DELETE", LUNS, {"records": [{"name": "/vol/a/l"}, {"uuid": uuids[1]}]}))
    assert job["state"] == "success", job
    assert ontap.names(path=LUNS) == []
