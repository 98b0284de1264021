"""Files within volumes, copies of them and qtrees, through a live door, as Cinder's NFS driver and Ansible ask."""

from __future__ import annotations

import pytest
from live_scene import MISSING, SVMS, VOLUMES, door, refusal

from gateway.frontends.ontap_rest.schema import Verb, load_schema
from gateway.frontends.ontap_rest.settable import SETTABLE
from gateway.testing.live import live_gateway

SCHEMA = load_schema()
VALUES = {"integer": 5, "boolean": True, "uuid": MISSING}
CLONE = "/api/storage/file/clone"
COMMAND = "/api/private/cli/volume/file/clone"
QTREES = "/api/storage/qtrees"
RULES = "/api/storage/quota/rules"
POOLS = """
[backend.memory]

[backend.plain]
driver = "memory"
disable = ["clone_file"]

[backend.closed]
driver = "memory"
disable = ["files"]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with live_gateway(tmp_path_factory.mktemp("files"), pools=POOLS) as running:
        yield running


@pytest.fixture
def ontap(gateway):
    with door(gateway) as opened:
        yield opened
        opened.leave_nothing()


@pytest.fixture
def volume(ontap):
    """Give a volume of directories, because memory has no files but those of clients in its process."""
    uuid = ontap.volume("pool1", **{"nas.path": "/pool1"})
    for name in ("d", "d.e", "ä ö"):
        qtree(ontap, name, "pool1")
    return uuid


def qtree(ontap, name, volume, **fields):
    body = {"name": name, "svm.name": "svm1", "volume.name": volume, **fields}
    return ontap.must("POST", f"{QTREES}?return_timeout=60&return_records=true", body)["records"][0]


def files(volume):
    return f"{VOLUMES}/{volume}/files"


# --- listing ---


def test_a_directory_is_listed_and_filtered_as_cinder_does(ontap, volume):
    shown = ontap.get(files(volume))["records"]
    assert [record["name"] for record in shown] == [".", "..", "d", "d.e", "ä ö"]
    assert all(record["type"] == "directory" for record in shown)
    assert shown[3]["_links"]["self"]["href"] == f"{files(volume)}/d%2Ee"
    assert shown[4]["_links"]["self"]["href"] == f"{files(volume)}/%C3%A4%20%C3%B6"
    assert ontap.get(f"{files(volume)}?type=file&fields=size,name")["records"] == []
    found = ontap.get(f"{files(volume)}?name=d*&fields=size,unix_permissions")["records"]
    assert [(record["name"], record["unix_permissions"]) for record in found] == [("d", 755), ("d.e", 755)]


def test_a_listing_is_paged_and_counted(ontap, volume):
    whole = ontap.names(path=files(volume))
    for size in (1, 2, 3):
        href, seen = f"{files(volume)}?max_records={size}", []
        while href:
            page = ontap.get(href)
            seen += [record["name"] for record in page["records"]]
            href = page["_links"].get("next", {}).get("href")
        assert seen == whole
    assert ontap.get(f"{files(volume)}?return_records=false")["num_records"] == len(whole)
    assert ontap.names("order_by=name desc", files(volume)) == whole[::-1]
    assert ontap.names("offset=2", files(volume)) == whole[2:]


def test_one_directory_is_told_of(ontap, volume):
    (found,) = ontap.get(f"{files(volume)}/d%2Ee?return_metadata=true&fields=**")["records"]
    assert (found["path"], found["name"], found["type"], found["is_snapshot"]) == ("d.e", "", "directory", False)
    assert found["_links"]["self"]["href"] == f"{files(volume)}/d%2Ee"
    assert found["volume"]["name"] == "pool1"
    assert {"inode_number", "hard_links_count", "owner_id", "group_id", "bytes_used"} <= set(found)
    assert ontap.names(path=f"{files(volume)}/d") == [".", ".."]


def test_a_directory_of_a_snapshot_is_listed_and_stays(ontap, volume):
    ontap.snapshot(volume, "s")
    inside = f"{files(volume)}/%2Esnapshot%2Fs"
    assert ontap.names("type=directory", inside)[2:] == ["d", "d.e", "ä ö"]
    assert ontap.get(f"{inside}%2Fd?return_metadata=true&fields=is_snapshot")["records"][0]["is_snapshot"]
    assert refusal(ontap.ask("DELETE", f"{inside}%2Fd")) == (400, "131102")
    assert refusal(ontap.ask("GET", f"{files(volume)}/%2Esnapshot%2Fn")) == (404, "6684674")


def test_what_is_not_there_is_said_in_the_words_that_cinder_knows(ontap, volume):
    for path in ("n", "d%2Fn", "n%2Fn", "%2E%2E%2Fn"):
        status, code = refusal(ontap.ask("GET", f"{files(volume)}/{path}"))
        assert (status, code) in {(404, "6684674"), (400, "262245")}
    assert refusal(ontap.ask("PATCH", f"{files(volume)}/n", {"path": "x"})) == (404, "6684674")
    assert refusal(ontap.ask("DELETE", f"{files(volume)}/n")) == (404, "6684674")
    assert refusal(ontap.ask("GET", files(MISSING))) == (404, "4")


# --- changing ---


def test_a_directory_is_renamed_as_cinder_renames_files(ontap, volume):
    answer = ontap.ask("PATCH", f"{files(volume)}/d", {"path": "x%2Ey"})
    assert (answer.status_code, answer.json()) == (200, {})
    assert ontap.names(path=files(volume)) == [".", "..", "d.e", "x.y", "ä ö"]
    ontap.must("PATCH", f"{files(volume)}/x%2Ey", {"path": "d%2Ee%2Fz"})
    assert ontap.names(path=f"{files(volume)}/d%2Ee") == [".", "..", "z"]
    assert refusal(ontap.ask("PATCH", f"{files(volume)}/d%2Ee", {"path": "ä ö"})) == (409, "131089")
    assert refusal(ontap.ask("PATCH", f"{files(volume)}/d%2Ee", {"path": "n/x"})) == (404, "6684674")
    for body in ({"qos_policy.name": "gold"}, {"size": 5}, {"unix_permissions": 700}):
        assert refusal(ontap.ask("PATCH", f"{files(volume)}/d%2Ee", body)) == (400, "262144017")


def test_a_directory_is_removed_with_its_content_only_when_asked(ontap, volume):
    ontap.must("PATCH", f"{files(volume)}/d", {"path": "d.e/d"})
    assert refusal(ontap.ask("DELETE", f"{files(volume)}/d%2Ee")) == (409, "131138")
    answer = ontap.ask("DELETE", f"{files(volume)}/d%2Ee?recurse=true&return_timeout=60")
    assert answer.status_code == 202
    assert ontap.job(answer.json())["state"] == "success"
    assert ontap.ask("DELETE", f"{files(volume)}/%C3%A4%20%C3%B6").status_code == 200
    assert ontap.names(path=files(volume)) == [".", ".."]


def test_a_query_that_means_something_else_saves_a_directory(ontap, volume):
    ontap.must("PATCH", f"{files(volume)}/d", {"path": "d.e/d"})
    where = f"{files(volume)}/d%2Ee"
    assert refusal(ontap.ask("DELETE", f"{where}?name=d&recurse=true&return_timeout=60")) == (404, "4")
    assert refusal(ontap.ask("PATCH", f"{where}?type=file", {"path": "x"})) == (404, "4")
    assert ontap.names(path=where) == [".", "..", "d"]
    ontap.must("DELETE", f"{where}?type=directory&recurse=true&return_timeout=60")
    assert ontap.names(path=files(volume)) == [".", "..", "ä ö"]


def test_collections_of_files_are_only_read(ontap, volume):
    answer = ontap.ask("DELETE", f"{files(volume)}?name=d")
    assert refusal(answer) == (405, "3")
    assert ontap.ask("OPTIONS", files(volume)).headers["Allow"] == "GET, HEAD, OPTIONS"
    assert ontap.ask("OPTIONS", f"{files(volume)}/d").headers["Allow"] == "GET, HEAD, OPTIONS, PATCH, DELETE"


def test_what_else_a_patch_may_hold_is_refused_by_name(ontap, volume):
    for field in SCHEMA["file"].fields.values():
        if "m" not in field.access or field.path == "path":
            continue
        answer = ontap.ask("PATCH", f"{files(volume)}/d", {field.path: VALUES.get(field.kind, "x")})
        assert refusal(answer) == (400, "262144017"), field.path
        assert answer.json()["error"]["target"] == field.path


# --- copying ---


def new(**fields):
    return {"source_path": "a", "destination_path": "b", **fields}


def test_what_cannot_be_cloned_is_refused_at_once(ontap, volume):
    name = {"volume": {"uuid": volume, "name": "pool1"}}
    assert refusal(ontap.ask("POST", CLONE, new(**name))) == (404, "6684674")
    assert refusal(ontap.ask("POST", CLONE, new(**name, source_path="d"))) == (400, "262245")
    assert refusal(ontap.ask("POST", CLONE, new(**{"volume.name": "nothing"}))) == (404, "918235")
    assert refusal(ontap.ask("POST", CLONE, new())) == (400, "262212")
    assert refusal(ontap.ask("POST", CLONE, new(**name, range=["0:0:1"]))) == (400, "262144017")
    assert refusal(ontap.ask("POST", CLONE, new(**name, token_uuid=MISSING))) == (400, "262144017")
    other = {"volume.uuid": volume, "volume.name": "other"}
    assert refusal(ontap.ask("POST", CLONE, new(**other))) == (400, "918236")
    assert refusal(ontap.ask("GET", CLONE)) == (405, "3")
    assert ontap.get(f"{CLONE}/split-status?volume.name=pool1&svm.name=svm1")["num_records"] == 0


def test_the_command_that_clones_a_file_is_judged_alike(ontap, volume):
    body = {"vserver": "svm1", "volume": "pool1", "source-path": "a", "destination-path": "b"}
    assert refusal(ontap.ask("POST", COMMAND, body)) == (404, "6684674")
    assert refusal(ontap.ask("POST", COMMAND, {**body, "snapshot-name": "n"})) == (404, "4")
    assert refusal(ontap.ask("POST", COMMAND, {**body, "vserver": "n"})) == (404, "2621462")
    assert refusal(ontap.ask("POST", COMMAND, {**body, "volume": "n"})) == (404, "918235")
    for name in ("qos-policy-group", "qos-adaptive-policy-group"):
        assert refusal(ontap.ask("POST", COMMAND, {**body, name: "gold"})) == (400, "262144017")
    for name in body:
        short = {key: value for key, value in body.items() if key != name}
        assert refusal(ontap.ask("POST", COMMAND, short)) == (400, "262212")


def test_what_else_a_copy_may_be_is_refused_by_name(ontap, volume):
    for field in SCHEMA["file_clone"].fields.values():
        if field.path in SETTABLE["file_clone", Verb.POST]:
            continue
        value = ["0:0:1"] if field.array else VALUES.get(field.kind, "x")
        answer = ontap.ask("POST", CLONE, new(**{"volume.uuid": volume, field.path: value}))
        assert refusal(answer) == (400, "262144017"), field.path
        assert answer.json()["error"]["target"] == field.path


def test_a_pool_that_lacks_it_says_so(ontap):
    plain = ontap.volume("plain", aggregates=[{"name": "plain"}])
    closed = ontap.volume("closed", aggregates=[{"name": "closed"}])
    assert refusal(ontap.ask("POST", CLONE, new(**{"volume.uuid": plain}))) == (400, "262144017")
    assert ontap.names(path=files(plain)) == [".", ".."]
    assert refusal(ontap.ask("GET", files(closed))) == (400, "262144017")
    body = {"name": "q", "svm.name": "svm1", "volume.name": "closed"}
    assert refusal(ontap.ask("POST", QTREES, body)) == (400, "262144017")


# --- qtrees ---


def test_a_qtree_lives(ontap):
    volume = ontap.volume("v", **{"nas.path": "/v"})
    body = {"volume": {"name": "v"}, "svm": {"name": "svm1"}, "name": "qt1", "unix_permissions": "750"}
    answer = ontap.ask("POST", f"{QTREES}?return_timeout=10", body)
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"{QTREES}/{volume}/1"
    query = 'fields=export_policy,unix_permissions,security_style,volume&svm.name=svm1&volume=v&name="qt1"'
    (found,) = ontap.get(f"{QTREES}?{query}")["records"]
    assert (found["id"], found["unix_permissions"], found["security_style"]) == (1, 750, "unix")
    assert found["export_policy"]["name"] == "default"
    assert found["_links"]["self"]["href"] == answer.headers["Location"]
    ontap.must("PATCH", f"{answer.headers['Location']}?return_timeout=10", {"name": "qt2", "unix_permissions": 711})
    shown = ontap.get(answer.headers["Location"])
    assert (shown["name"], shown["path"], shown["nas"]["path"]) == ("qt2", "/v/qt2", "/v/qt2")
    held = ontap.get(f"{files(volume)}?name=qt*&fields=unix_permissions")["records"]
    assert [(record["name"], record["unix_permissions"]) for record in held] == [("qt2", 711)]
    ontap.must("DELETE", f"{answer.headers['Location']}?return_timeout=120")
    assert refusal(ontap.ask("GET", answer.headers["Location"])) == (404, "5242956")
    assert ontap.names(path=files(volume)) == [".", ".."]


def test_every_volume_of_files_has_the_nameless_qtree(ontap):
    volume = ontap.volume("v")
    ontap.volume("w")
    assert [(r["id"], r["name"], r["volume"]["name"]) for r in ontap.get(QTREES)["records"]] == [
        (0, "", "v"),
        (0, "", "w"),
    ]
    ontap.must("PATCH", f"{QTREES}/{volume}/0?return_timeout=60", {"unix_permissions": 700})
    assert ontap.get(f"{VOLUMES}/{volume}?fields=nas")["nas"]["unix_permissions"] == 700
    assert refusal(ontap.ask("DELETE", f"{QTREES}/{volume}/0")) == (400, "5242894")
    assert refusal(ontap.ask("PATCH", f"{QTREES}/{volume}/0", {"name": "x"})) == (400, "5242894")


def test_qtrees_are_numbered_paged_and_found(ontap):
    ontap.volume("v")
    ontap.volume("w")
    for name in ("b", "a", "c"):
        qtree(ontap, name, "v")
    gone = qtree(ontap, "d", "w", **{"user.id": "7", "group.name": "root"})
    assert (gone["id"], gone["user"]["id"], gone["group"]["id"]) == (1, "7", "0")
    href, seen = f"{QTREES}?max_records=2", []
    while href:
        page = ontap.get(href)
        seen += [(record["volume"]["name"], record["id"]) for record in page["records"]]
        href = page["_links"].get("next", {}).get("href")
    assert sorted(seen) == [("v", 0), ("v", 1), ("v", 2), ("v", 3), ("w", 0), ("w", 1)]
    assert ontap.names("volume.name=v&id=>0", QTREES) == ["b", "a", "c"]
    ontap.must("DELETE", f"{QTREES}?volume.name=v&name=a&return_timeout=60")
    assert qtree(ontap, "e", "v")["id"] == 2


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"name": "taken"}, 409, "5242886"),
        ({"name": "a/b"}, 400, "5242886"),
        ({"name": ".snapshot"}, 400, "5242886"),
        ({"name": "q", "user": {"id": "4294967295"}}, 400, "262245"),
        ({"name": "q", "group": {"id": "99999999999999999999"}}, 400, "262245"),
        ({"name": "q" * 65}, 400, "5242886"),
        ({"name": None}, 400, "5242953"),
        ({"volume.name": "nothing"}, 404, "917927"),
        ({"svm.name": "nothing"}, 404, "2621462"),
        ({"security_style": "ntfs"}, 400, "262144017"),
        ({"qos_policy.name": "gold"}, 400, "262144017"),
        ({"export_policy.name": "other"}, 404, "1703954"),
        ({"user.name": "nobody"}, 400, "262197"),
        ({"unix_permissions": 888}, 400, "262245"),
    ],
)
def test_a_qtree_that_cannot_be_is_refused(ontap, fields, status, code):
    ontap.volume("v")
    qtree(ontap, "taken", "v")
    body = {"name": "q", "svm.name": "svm1", "volume.name": "v", **fields}
    assert refusal(ontap.ask("POST", QTREES, {k: v for k, v in body.items() if v is not None})) == (status, code)
    assert ontap.names(path=QTREES) == ["", "taken"]


def test_another_export_policy_than_the_volumes_is_refused(ontap):
    volume = ontap.volume("v")
    ontap.must("POST", "/api/protocols/nfs/export-policies", {"name": "p", "svm.name": "svm1"})
    body = {"name": "q", "svm.name": "svm1", "volume.name": "v"}
    assert refusal(ontap.ask("POST", QTREES, {**body, "export_policy.name": "p"})) == (400, "262144017")
    assert qtree(ontap, "q", "v", **{"export_policy.name": "default"})["export_policy"]["name"] == "default"
    other = qtree(ontap, "r", "v")
    answer = ontap.ask("PATCH", f"{QTREES}/{volume}/{other['id']}?return_timeout=60", {"name": "q"})
    assert refusal(answer) == (409, "5242972")


def test_a_qtree_whose_directory_a_client_removed_can_still_go(ontap):
    volume = ontap.volume("v")
    made = qtree(ontap, "q", "v")
    ontap.must("DELETE", f"{files(volume)}/q")
    ontap.must("DELETE", f"{QTREES}/{volume}/{made['id']}?return_timeout=60")
    assert ontap.names(path=QTREES) == [""]


def test_qtrees_go_along_with_clones_and_a_tunnel_shows_its_own(ontap):
    ontap.volume("v")
    qtree(ontap, "q", "v")
    clone = {"is_flexclone": True, "parent_volume.name": "v"}
    ontap.must("POST", f"{VOLUMES}?return_timeout=60", {"name": "w", "svm.name": "svm1", "clone": clone})
    assert ontap.names("volume.name=w", QTREES) == ["", "q"]
    ontap.must("POST", f"{SVMS}?return_timeout=60", {"name": "svm2"})
    assert ontap.get(QTREES, X_Dot_SVM_Name="svm2")["records"] == []


def test_a_batch_of_qtrees_is_made_and_a_failed_one_is_taken_back(ontap):
    volume = ontap.volume("v")
    base = {"svm.name": "svm1", "volume.name": "v"}
    made = ontap.must("POST", QTREES, {"records": [{**base, "name": name} for name in ("a", "b")]})
    assert ontap.job(made)["state"] == "success"
    assert sorted(ontap.names(path=QTREES)) == ["", "a", "b"]
    for verb, records in (
        ("POST", [{**base, "name": "c"}, {**base, "name": "a"}]),
        ("PATCH", [{"volume.uuid": volume, "id": 1, "unix_permissions": 700}, {"name": "nothing", "user.id": "1"}]),
    ):
        failed = ontap.must(verb, f"{QTREES}?serial_records=true", {"records": records})
        assert ontap.job(failed)["state"] == "failure"
        held = {tree["name"]: tree["unix_permissions"] for tree in ontap.get(f"{QTREES}?fields=**")["records"]}
        assert held == {"": 755, "a": 755, "b": 755}
    assert sorted(ontap.names(path=files(volume))) == [".", "..", "a", "b"]
    many = {"records": [new(**{"volume.name": "v"})]}
    assert refusal(ontap.ask("POST", CLONE, many)) == (400, "262179")


def test_quota_rules_are_refused(ontap):
    volume = ontap.volume("v")
    body = {"svm.name": "svm1", "volume.name": "v", "type": "tree", "qtree.name": "", "space.hard_limit": "10240"}
    assert refusal(ontap.ask("POST", f"{RULES}?return_records=true", body)) == (400, "262144017")
    assert ontap.get(f"{RULES}?volume.name=v&type=tree&fields=space.hard_limit")["num_records"] == 0
    assert ontap.get(f"{VOLUMES}/{volume}?fields=quota.state")["quota"]["state"] == "off"
