"""Who reaches a LUN: igroups, initiators, LUN maps, iSCSI services and credentials through a live door."""

from __future__ import annotations

import time
from uuid import UUID

import pytest
from live_scene import MISSING, SVMS, door, refusal
from san_scene import CREDENTIALS, HOST, IGROUPS, LUNS, MAPS, OTHER_HOST, POOLS, SERVICES, San, everything

from gateway.core.model import Tenant, utc_now
from gateway.frontends.ontap_rest.render import InterfaceFacts, render_interface
from gateway.frontends.ontap_rest.sources import DataAddress, Site
from gateway.frontends.ontap_rest.sources_network import Interfaces
from gateway.testing.live import live_gateway

PASSWORD = "never-to-be-shown"
OTHER_PASSWORD = "nor-this-one-ever"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with live_gateway(tmp_path_factory.mktemp("access"), pools=POOLS) as running:
        yield running


@pytest.fixture
def ontap(gateway):
    with door(gateway) as opened:
        yield opened
        San(opened).leave_nothing()


@pytest.fixture
def san(ontap):
    return San(ontap)


def hosts(ontap, uuid):
    return [record["name"] for record in ontap.get(f"{IGROUPS}/{uuid}/initiators")["records"]]


# --- igroups ---


def test_an_igroup_is_shown_whole(ontap, san):
    uuid = san.group("g", HOST.upper(), OTHER_HOST, protocol="iscsi", comment="c")
    lun = san.lun("/vol/v/l")
    san.map(lun, uuid)
    shown = ontap.get(f"{IGROUPS}/{uuid}?fields=**")
    assert shown["_links"]["self"]["href"] == f"{IGROUPS}/{uuid}"
    assert (shown["name"], shown["svm"]["name"], shown["comment"]) == ("g", "svm1", "c")
    assert (shown["os_type"], shown["protocol"]) == ("linux", "iscsi")
    assert (shown["delete_on_unmap"], shown["supports_igroups"]) == (False, False)
    assert shown["initiators"] == [{"name": HOST}, {"name": OTHER_HOST}]
    (mapped,) = shown["lun_maps"]
    assert (mapped["lun"]["name"], mapped["lun"]["uuid"], mapped["logical_unit_number"]) == ("/vol/v/l", lun, 1)
    assert "lun_maps" not in ontap.get(f"{IGROUPS}/{uuid}")


def test_an_igroup_is_mixed_unless_it_says(ontap, san):
    uuid = san.group("g")
    shown = ontap.get(f"{IGROUPS}/{uuid}")
    assert shown["protocol"] == "mixed"
    assert "initiators" not in shown


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["a", "b"]),
        ("name=a", ["a"]),
        ("svm.name=svm1&initiators.name=" + HOST, ["a"]),
        ("initiators.name=iqn*", ["a"]),
        ("initiators.name=null", ["b"]),
        ("os_type=vmware", ["b"]),
        ("protocol=iscsi", ["b"]),
        ("comment=c", ["a"]),
        ("lun_maps.lun.name=/vol/v/l", ["a"]),
        ("lun_maps.logical_unit_number=1", ["a"]),
        ("query=*vol/v*&query_fields=lun_maps.lun.name", ["a"]),
        ("order_by=name desc", ["b", "a"]),
        ("max_records=1&offset=1", ["b"]),
    ],
)
def test_igroups_are_found(ontap, san, query, found):
    group = san.group("a", HOST, comment="c")
    san.group("b", os_type="vmware", protocol="iscsi")
    san.map(san.lun("/vol/v/l"), group)
    assert ontap.names(query, IGROUPS) == found


def test_an_igroup_is_changed_and_removed(ontap, san):
    uuid = san.group("g", HOST)
    ontap.must("PATCH", f"{IGROUPS}/{uuid}", {"name": "h", "comment": "c", "os_type": "windows"})
    shown = ontap.get(f"{IGROUPS}/{uuid}")
    assert (shown["name"], shown["comment"], shown["os_type"], shown["protocol"]) == ("h", "c", "windows", "mixed")
    ontap.must("DELETE", f"{IGROUPS}/{uuid}")
    assert refusal(ontap.ask("GET", f"{IGROUPS}/{uuid}")) == (404, "5374852")


def test_a_mapped_igroup_is_removed_by_force_only(ontap, san):
    uuid, lun = san.group("g", HOST), san.lun("/vol/v/l")
    san.map(lun, uuid)
    assert refusal(ontap.ask("DELETE", f"{IGROUPS}/{uuid}")) == (409, "1254213")
    ontap.must("DELETE", f"{IGROUPS}/{uuid}?allow_delete_while_mapped=true")
    assert not ontap.get(f"{LUNS}/{lun}?fields=status.mapped")["status"]["mapped"]


@pytest.mark.parametrize(
    ("fields", "status", "code", "target"),
    [
        ({"name": None}, 400, "262212", "name"),
        ({"name": ""}, 400, "5373958", "name"),
        ({"name": "a b"}, 400, "5373958", "name"),
        ({"name": "x" * 97}, 400, "5373958", "name"),
        ({"name": "there"}, 409, "5374023", "name"),
        ({"os_type": None}, 400, "262212", "os_type"),
        ({"os_type": "beos"}, 400, "262197", "os_type"),
        ({"svm.name": None}, 400, "2621707", "svm.name"),
        ({"svm.name": "nobody"}, 404, "2621462", "svm"),
        ({"protocol": "fcp"}, 400, "1115127", "protocol"),
        ({"delete_on_unmap": True}, 400, "262144017", "delete_on_unmap"),
        ({"igroups": [{"name": "there"}]}, 400, "262144017", "igroups.name"),
        ({"portset.name": "p"}, 400, "262144017", "portset.name"),
        ({"replication.peer_svm.name": "p"}, 400, "262144017", "replication.peer_svm.name"),
        ({"target.product_id": "x"}, 400, "262196", "target.product_id"),
        ({"initiators": [{"name": "20:01:00:50:56:bb:70:72"}]}, 400, "1115127", "initiators.name"),
        ({"initiators": [{"name": "host"}]}, 400, "5373993", "initiators.name"),
        ({"initiators": [{"name": "iqn.1993-13.org:a"}]}, 400, "5373971", "initiators.name"),
        ({"initiators": [{"name": "iqn.1993-08."}]}, 400, "5373969", "initiators.name"),
        ({"initiators": [{"name": "iqn.1993-08.o_g:a"}]}, 400, "5373972", "initiators.name"),
        ({"initiators": [{"name": "eui.0123"}]}, 400, "5373977", "initiators.name"),
        ({"initiators": [{"name": "eui.0123456789abcdeg"}]}, 400, "5373978", "initiators.name"),
        ({"initiators": [{"name": "iqn.1993-08.org:" + "x" * 223}]}, 400, "5373992", "initiators.name"),
        ({"initiators": [{"name": "naa.12"}]}, 400, "5374039", "initiators.name"),
        ({"initiators": [{}]}, 400, "5374033", "initiators.name"),
        ({"initiators": "host"}, 400, "262254", "initiators"),
        ({"initiators": [{"name": HOST, "comment": "a"}, {"name": HOST}]}, 400, "5374917", "initiators.comment"),
    ],
)
def test_an_igroup_is_refused(ontap, san, fields, status, code, target):
    san.group("there")
    before = everything(ontap)
    answer = ontap.ask("POST", IGROUPS, {"name": "g", "svm.name": "svm1", "os_type": "linux", **fields})
    assert refusal(answer) == (status, code), answer.text
    assert answer.json()["error"].get("target") == target, answer.text
    assert everything(ontap) == before


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "there"}, "5374023"),
        ({"name": ""}, "5373958"),
        ({"protocol": "iscsi"}, "262196"),
        ({"initiators": [{"name": HOST}]}, "262196"),
        ({"delete_on_unmap": True}, "262144017"),
    ],
)
def test_a_change_of_an_igroup_is_refused(ontap, san, body, code):
    san.group("there")
    uuid = san.group("g")
    before = everything(ontap)
    assert refusal(ontap.ask("PATCH", f"{IGROUPS}/{uuid}", body))[1] == code
    assert everything(ontap) == before


# --- initiators ---


def test_initiators_come_change_and_go(ontap, san):
    uuid = san.group("g")
    path = f"{IGROUPS}/{uuid}/initiators"
    answer = ontap.ask("POST", f"{path}?return_records=true", {"name": HOST.upper(), "comment": "c"})
    assert answer.status_code == 201
    assert answer.json()["records"][0]["name"] == HOST
    shown = ontap.get(answer.headers["Location"])
    assert (shown["igroup"]["name"], shown["igroup"]["uuid"], shown["comment"]) == ("g", uuid, "c")
    job = ontap.job(ontap.must("POST", path, {"records": [{"name": OTHER_HOST}, {"name": "iqn.1993-08.org:x"}]}))
    assert job["state"] == "success"
    assert len(hosts(ontap, uuid)) == 3
    ontap.must("PATCH", f"{path}/{HOST}", {"comment": "d"})
    assert ontap.get(f"{path}/{HOST}?fields=comment")["comment"] == "d"
    ontap.must("DELETE", f"{path}/{HOST}")
    ontap.must("DELETE", f"{path}?name=eui.*")
    assert hosts(ontap, uuid) == ["iqn.1993-08.org:x"]


def test_a_mapped_igroups_initiator_goes_by_force_only(ontap, san):
    uuid = san.group("g", HOST)
    san.map(san.lun("/vol/v/l"), uuid)
    assert refusal(ontap.ask("DELETE", f"{IGROUPS}/{uuid}/initiators/{HOST}")) == (409, "1254213")
    ontap.must("DELETE", f"{IGROUPS}/{uuid}/initiators/{HOST}?allow_delete_while_mapped=true")
    assert hosts(ontap, uuid) == []


def test_initiators_are_refused(ontap, san):
    uuid = san.group("g", HOST)
    path = f"{IGROUPS}/{uuid}/initiators"
    before = everything(ontap)
    assert refusal(ontap.ask("POST", path, {"name": HOST})) == (409, "5374035")
    assert refusal(ontap.ask("POST", path, {})) == (400, "5374033")
    assert refusal(ontap.ask("POST", path, {"name": "host"})) == (400, "5373993")
    assert refusal(ontap.ask("POST", path, {"name": OTHER_HOST, "comment": "x" * 255})) == (400, "262197")
    assert refusal(ontap.ask("DELETE", f"{path}/{OTHER_HOST}"))[0] == 404
    assert refusal(ontap.ask("POST", f"{IGROUPS}/{MISSING}/initiators", {"name": OTHER_HOST})) == (404, "5374852")
    assert refusal(ontap.ask("GET", f"{IGROUPS}/{MISSING}/initiators")) == (404, "5374852")
    assert everything(ontap) == before


# --- LUN maps ---


def test_a_map_is_shown_whole(ontap, san):
    lun, group = san.lun("/vol/v/l"), san.group("g", HOST)
    body = {"svm.name": "svm1", "lun.name": "/vol/v/l", "igroup.name": "g", "logical_unit_number": 7}
    answer = ontap.ask("POST", f"{MAPS}?return_records=true", body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{MAPS}/{lun}/{group}"
    shown = ontap.get(answer.headers["Location"])
    assert answer.json()["records"] == [shown]
    assert shown["_links"]["self"]["href"] == f"{MAPS}/{lun}/{group}"
    assert (shown["lun"]["name"], shown["lun"]["uuid"], shown["logical_unit_number"]) == ("/vol/v/l", lun, 7)
    assert (shown["igroup"]["name"], shown["igroup"]["uuid"], shown["igroup"]["initiators"]) == ("g", group, [HOST])
    assert (shown["igroup"]["os_type"], shown["igroup"]["protocol"]) == ("linux", "mixed")
    assert [node["name"] for node in shown["reporting_nodes"]] == [shown["lun"]["node"]["name"]]
    assert (shown["svm"]["name"], shown["replicated"]) == ("svm1", False)
    ontap.must("DELETE", f"{MAPS}/{lun}/{group}")
    assert refusal(ontap.ask("GET", f"{MAPS}/{lun}/{group}")) == (404, "5374922")


def test_a_lun_has_several_maps_and_a_group_the_lowest_numbers(ontap, san):
    first, second = san.lun("/vol/a/l"), san.lun("/vol/b/l")
    one, two = san.group("one", HOST), san.group("two", OTHER_HOST)
    numbers = [san.map(*pair)["logical_unit_number"] for pair in ((first, one), (second, one), (first, two))]
    assert numbers == [1, 2, 1]


def numbered(page):
    return [(record["lun"]["name"], record["igroup"]["name"]) for record in page["records"]]


EVERY = [("/vol/a/l", "one"), ("/vol/a/l", "two"), ("/vol/a/l", "three"), ("/vol/b/l", "one")]


@pytest.fixture
def grid(san):
    first, second = san.lun("/vol/a/l"), san.lun("/vol/b/l")
    one = san.group("one", HOST)
    for lun, group in ((first, one), (first, san.group("two")), (first, san.group("three")), (second, one)):
        san.map(lun, group)
    return first, one


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", EVERY),
        ("lun.name=/vol/a/l", EVERY[:3]),
        ("lun.name=/vol/b/*", EVERY[3:]),
        ("lun.name=/vol/a/l&igroup.name=two", EVERY[1:2]),
        ("igroup.name=one", [EVERY[0], EVERY[3]]),
        ("igroup.name=!one", EVERY[1:3]),
        ("igroup.initiators=" + HOST, [EVERY[0], EVERY[3]]),
        ("svm.name=svm1&logical_unit_number=2", EVERY[3:]),
        ("svm.name=other", []),
        ("offset=2", EVERY[2:]),
        ("replicated=true", []),
    ],
)
def test_maps_are_found(ontap, grid, query, found):
    assert numbered(ontap.get(f"{MAPS}?{query}")) == found
    if "offset" not in query:
        assert ontap.get(f"{MAPS}?{query}&return_records=false")["num_records"] == len(found)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("query", "found"), [("", EVERY), ("igroup.name=one", [EVERY[0], EVERY[3]])])
def test_maps_are_paged_also_within_a_lun(ontap, grid, size, query, found):
    seen, path = [], f"{MAPS}?max_records={size}&{query}"
    while path:
        page = ontap.get(path)
        assert len(page["records"]) <= size
        seen += numbered(page)
        path = page["_links"].get("next", {}).get("href")
    assert seen == found


def test_a_page_that_nobody_gave_is_refused(ontap, grid):
    for cursor in ("x", f"{UUID(int=1).hex}.1~x", f"{UUID(int=1).hex}.x~"):
        assert refusal(ontap.ask("GET", f"{MAPS}?start.igroup.uuid={cursor}"))[1] == "2"


def test_maps_go_with_keys_and_by_query(ontap, grid):
    lun, group = grid
    for path in (f"{MAPS}?lun.uuid={lun}&igroup.uuid={group}", f"{MAPS}?igroup.uuid={group}"):
        ontap.must("DELETE", path)
    assert numbered(ontap.get(MAPS)) == EVERY[1:3]
    records = [{"lun.uuid": lun, "igroup.uuid": record["igroup"]["uuid"]} for record in ontap.get(MAPS)["records"]]
    assert ontap.job(ontap.must("DELETE", MAPS, {"records": records}))["state"] == "success"
    assert numbered(ontap.get(MAPS)) == []


def test_a_batch_of_maps_that_fails_is_taken_back(ontap, san):
    lun, group = san.lun("/vol/v/l"), san.group("g")
    base = {"svm.name": "svm1", "lun.uuid": lun}
    records = [{**base, "igroup.uuid": group}, {**base, "igroup.name": "nobody"}]
    job = ontap.job(ontap.must("POST", f"{MAPS}?serial_records=true", {"records": records}))
    assert (job["state"], job["error"]["arguments"][0]["code"]) == ("failure", "5374878")
    assert ontap.get(MAPS)["num_records"] == 0


@pytest.mark.parametrize(
    ("fields", "status", "code", "target"),
    [
        ({"lun.name": None}, 400, "5374901", "lun.uuid"),
        ({"igroup.name": None}, 400, "5374902", "igroup.uuid"),
        ({"lun.name": "/vol/v/other"}, 404, "5374875", "lun"),
        ({"lun.name": "/vol/files/l"}, 404, "5374875", "lun"),
        ({"igroup.name": "nobody"}, 404, "5374878", "igroup"),
        ({"igroup.uuid": MISSING, "igroup.name": None}, 404, "5374878", "igroup"),
        ({"igroup.name": "used"}, 409, "1254207", "igroup"),
        ({"igroup.name": "busy", "logical_unit_number": 1}, 409, "1254324", "logical_unit_number"),
        ({"logical_unit_number": 0}, 400, "262245", "logical_unit_number"),
        ({"logical_unit_number": 256}, 400, "262245", "logical_unit_number"),
        ({"logical_unit_number": 4096}, 400, "262200", "logical_unit_number"),
        ({"logical_unit_number": -1}, 400, "262200", "logical_unit_number"),
        ({"svm.name": None}, 400, "2621707", "svm.name"),
        ({"svm.name": "nobody"}, 404, "2621462", "svm"),
        ({"svm.name": "svm2"}, 404, "5374875", "lun"),
        ({"replicated": True}, 400, "262196", "replicated"),
        ({"lun.name": "/vol/off/l"}, 409, "5374866", None),
    ],
)
def test_a_map_is_refused(ontap, san, fields, status, code, target):
    lun, other = san.lun("/vol/v/l"), san.lun("/vol/w/l")
    ontap.volume("files")
    off = san.lun("/vol/off/l")
    ontap.must("PATCH", f"{LUNS}/{off}?return_timeout=60", {"enabled": False})
    ontap.must("POST", SVMS, {"name": "svm2"})
    san.group("g", HOST)
    san.map(lun, san.group("used"))
    san.map(other, san.group("busy"))
    before = everything(ontap)
    answer = ontap.ask("POST", MAPS, {"svm.name": "svm1", "lun.name": "/vol/v/l", "igroup.name": "g", **fields})
    assert refusal(answer) == (status, code), answer.text
    assert answer.json()["error"].get("target") == target, answer.text
    assert everything(ontap) == before


def test_maps_that_are_not_there(ontap, san):
    lun = san.lun("/vol/v/l")
    for verb in ("GET", "DELETE"):
        assert refusal(ontap.ask(verb, f"{MAPS}/{lun}/{MISSING}")) == (404, "5374922")
        assert refusal(ontap.ask(verb, f"{MAPS}/{MISSING}/{MISSING}")) == (404, "5374875")
        assert refusal(ontap.ask(verb, f"{MAPS}/{lun}/x")) == (404, "2")
    assert refusal(ontap.ask("GET", f"{MAPS}/{lun}"))[1] == "3"
    assert ontap.ask("OPTIONS", f"{MAPS}/{lun}/{MISSING}").headers["Allow"] == "GET, HEAD, OPTIONS, DELETE"


# --- iSCSI services ---


def test_the_life_of_a_service(ontap, san):
    path = f"{SERVICES}/{san.svm}"
    assert refusal(ontap.ask("GET", path)) == (404, "5374078")
    assert ontap.get(SERVICES)["num_records"] == 0
    made = ontap.must("POST", f"{SERVICES}?return_records=true", {"svm.name": "svm1"})["records"][0]
    assert (made["enabled"], made["target"]["alias"], made["svm"]["uuid"]) == (True, "svm1", san.svm)
    assert made["target"]["name"].startswith("iqn.")
    assert ontap.get(f"{SVMS}/{san.svm}?fields=iscsi")["iscsi"] == {"allowed": True, "enabled": True}
    assert ontap.get(f"{SERVICES}?enabled=true&fields=target.name")["num_records"] == 1
    assert refusal(ontap.ask("POST", SERVICES, {"svm.name": "svm1"})) == (409, "5374077")
    assert refusal(ontap.ask("DELETE", path)) == (409, "5373960")
    ontap.must("PATCH", path, {"enabled": False, "target.alias": "other"})
    shown = ontap.get(path)
    assert (shown["enabled"], shown["target"]["alias"]) == (False, "other")
    assert ontap.get(f"{SVMS}/{san.svm}?fields=iscsi")["iscsi"]["enabled"] is False
    ontap.must("DELETE", path)
    assert refusal(ontap.ask("PATCH", path, {"enabled": True})) == (404, "5374078")
    again = ontap.must("POST", f"{SERVICES}?return_records=true", {"svm.uuid": san.svm, "enabled": False})
    assert again["records"][0]["enabled"] is False
    assert again["records"][0]["target"]["name"] == made["target"]["name"]


def test_services_are_refused(ontap, san):
    ontap.must("POST", SVMS, {"name": "svm2", "iscsi.enabled": True})
    ontap.must("POST", SVMS, {"name": "svm3"})
    svm3 = ontap.get(f"{SVMS}?name=svm3")["records"][0]["uuid"]
    ontap.must("PATCH", f"{SVMS}/{svm3}", {"state": "stopped"})
    before = everything(ontap)
    assert refusal(ontap.ask("POST", SERVICES, {})) == (400, "2621707")
    assert refusal(ontap.ask("POST", SERVICES, {"svm.name": "nobody"})) == (404, "2621462")
    assert refusal(ontap.ask("POST", SERVICES, {"svm.name": "svm2"})) == (409, "5374077")
    assert refusal(ontap.ask("POST", SERVICES, {"svm.name": "svm3"})) == (409, "5374893")
    assert refusal(ontap.ask("POST", SERVICES, {"svm.name": "svm1", "target.name": "iqn.x"})) == (400, "262196")
    assert refusal(ontap.ask("GET", f"{SERVICES}/{MISSING}")) == (404, "2621462")
    assert refusal(ontap.ask("PATCH", f"{SVMS}/{svm3}", {"iscsi.enabled": True})) == (400, "262196")
    assert everything(ontap) == before


# --- iSCSI credentials ---


def chap(**fields):
    inbound = {"user": "me", "password": PASSWORD}
    return {
        "svm.name": "svm1",
        "initiator": HOST,
        "authentication_type": "chap",
        "chap": {"inbound": inbound},
        **fields,
    }


def test_the_life_of_credentials(gateway, ontap, san):
    san.service()
    path = f"{CREDENTIALS}/{san.svm}/{HOST}"
    assert [r["initiator"] for r in ontap.get(CREDENTIALS)["records"]] == ["default"]
    assert ontap.get(f"{CREDENTIALS}/{san.svm}/default")["authentication_type"] == "none"
    answer = ontap.ask("POST", f"{CREDENTIALS}?return_records=true", chap())
    assert answer.status_code == 201, answer.text
    shown = ontap.get(path)
    assert answer.json()["records"] == [shown]
    assert (shown["authentication_type"], shown["chap"]) == ("chap", {"inbound": {"user": "me"}})
    outbound = {"chap.outbound.user": "you", "chap.outbound.password": OTHER_PASSWORD}
    ontap.must("PATCH", path, outbound)
    assert ontap.get(path)["chap"] == {"inbound": {"user": "me"}, "outbound": {"user": "you"}}
    ontap.must("PATCH", path, {"chap.inbound.user": "myself"})
    ontap.must("PATCH", path, {"authentication_type": "deny"})
    assert "chap" not in ontap.get(path)
    ontap.must("DELETE", path)
    assert refusal(ontap.ask("GET", path)) == (404, "5374895")
    log = gateway.log.read_text()
    assert PASSWORD not in log
    assert OTHER_PASSWORD not in log


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 2),
        (f"initiator={HOST}", 1),
        ("initiator=iqn*", 1),
        ("authentication_type=chap", 1),
        ("authentication_type=none", 1),
        ("chap.inbound.user=me", 1),
        ("chap.outbound.user=null", 2),
        ("svm.name=svm1", 2),
        ("svm.name=other", 0),
        ("chap=x", None),
        ("chap.inbound.password=x", None),
    ],
)
def test_credentials_are_found(ontap, san, query, found):
    san.service()
    ontap.must("POST", CREDENTIALS, chap())
    answer = ontap.ask("GET", f"{CREDENTIALS}?{query}")
    if found is None:
        assert refusal(answer)[1] in {"262250", "262179"}
    else:
        assert answer.json()["num_records"] == found


@pytest.mark.parametrize(
    ("fields", "status", "code", "target"),
    [
        ({"initiator": None}, 400, "262212", "initiator"),
        ({"initiator": "host"}, 400, "5373997", "initiator"),
        ({"initiator": "iqn.1993-13.org:a"}, 400, "5373971", "initiator"),
        ({"initiator": "default"}, 409, "5374142", "initiator"),
        ({"initiator": OTHER_HOST}, 409, "5374142", "initiator"),
        ({"authentication_type": None}, 400, "262212", "authentication_type"),
        ({"authentication_type": "kerberos"}, 400, "262197", "authentication_type"),
        ({"authentication_type": "none"}, 400, "5374900", "chap.inbound.password"),
        ({"authentication_type": "deny"}, 400, "5374900", "chap.inbound.password"),
        ({"chap": None}, 400, "5374149", "chap.inbound.user"),
        ({"chap": {"inbound": {"user": "me"}}}, 400, "5374149", "chap.inbound.password"),
        ({"chap": {"inbound": {"password": PASSWORD}}}, 400, "5374149", "chap.inbound.user"),
        ({"chap.outbound.user": "you"}, 400, "5374150", "chap.outbound.password"),
        ({"chap.outbound": {"user": "you", "password": PASSWORD}}, 400, "5374147", "chap.outbound.password"),
        ({"chap.outbound": {"user": "me", "password": OTHER_PASSWORD}}, 400, "262245", "chap.outbound.user"),
        ({"chap": {"inbound": {"user": "me", "password": "short"}}}, 400, "262245", "chap.inbound.password"),
        ({"chap": {"inbound": {"user": "me", "password": PASSWORD * 300}}}, 400, "262197", "chap.inbound.password"),
        ({"chap": {"inbound": {"user": "me", "password": [PASSWORD]}}}, 400, "262255", "chap.inbound.password"),
        ({"chap": {"inbound": {"user": "me", "password": {"x": PASSWORD}}}}, 400, "262197", "chap.inbound.password"),
        ({"chap": {"inbound": PASSWORD}}, 400, "262197", "chap.inbound"),
        ({"chap": PASSWORD}, 400, "262197", "chap"),
        ({"chap.inbound.pasword": PASSWORD}, 400, "262179", None),
        ({"initiator_address.ranges": [{"start": "10.0.0.1"}]}, 400, "262144017", "initiator_address.ranges.start"),
        ({"svm.name": None}, 400, "2621707", "svm.name"),
        ({"svm.name": "bare"}, 404, "5374078", "svm"),
    ],
)
def test_credentials_are_refused(gateway, ontap, san, fields, status, code, target):
    san.service()
    ontap.must("POST", SVMS, {"name": "bare"})
    ontap.must("POST", CREDENTIALS, {"svm.name": "svm1", "initiator": OTHER_HOST, "authentication_type": "deny"})
    before = everything(ontap)
    answer = ontap.ask("POST", CREDENTIALS, {**chap(), **fields})
    assert refusal(answer) == (status, code), answer.text
    assert answer.json()["error"].get("target") == target, answer.text
    assert PASSWORD not in answer.text
    assert everything(ontap) == before
    assert PASSWORD not in gateway.log.read_text()


def test_a_password_in_a_query_is_refused_and_not_logged(gateway, ontap, san):
    san.service()
    for verb in ("GET", "PATCH", "DELETE", "POST"):
        answer = ontap.ask(verb, f"{CREDENTIALS}?chap.inbound.password={PASSWORD}&initiator=x", {})
        assert refusal(answer)[0] == 400
        assert PASSWORD not in answer.text
    assert PASSWORD not in gateway.log.read_text()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"authentication_type": "chap"}, "5374149"),
        ({"authentication_type": "chap", "chap.inbound.user": "me"}, "5374149"),
        ({"chap.inbound.user": "me"}, "5374900"),
        ({"initiator": HOST}, "262196"),
    ],
)
def test_a_change_of_credentials_is_refused(ontap, san, body, code):
    san.service()
    ontap.must("POST", CREDENTIALS, {"svm.name": "svm1", "initiator": HOST, "authentication_type": "none"})
    before = everything(ontap)
    assert refusal(ontap.ask("PATCH", f"{CREDENTIALS}/{san.svm}/{HOST}", body)) == (400, code)
    assert refusal(ontap.ask("DELETE", f"{CREDENTIALS}/{san.svm}/default")) == (409, "5374148")
    assert refusal(ontap.ask("DELETE", f"{CREDENTIALS}/{MISSING}/{HOST}")) == (404, "5374895")
    assert everything(ontap) == before


# --- interfaces ---


async def test_each_export_has_interfaces_of_its_own():
    addresses = (DataAddress(kind="nfs", address="192.0.2.1"), DataAddress(kind="iscsi", address="192.0.2.1"))
    site = Site(name="n", cluster_id=UUID(int=1), addresses=addresses, started=time.monotonic())
    tenant = Tenant(id=UUID(int=2), name="svm1", created=utc_now())
    files, blocks = (
        render_interface(facts) for facts, _ in Interfaces(site).of([tenant]) if isinstance(facts, InterfaceFacts)
    )
    assert files["uuid"] != blocks["uuid"]
    assert (files["services"], files["service_policy"]["name"]) == (["data_core", "data_nfs"], "default-data-files")
    assert (blocks["services"], blocks["service_policy"]["name"]) == (
        ["data_core", "data_iscsi"],
        "default-data-blocks",
    )
    assert blocks["ip"]["address"] == "192.0.2.1"
