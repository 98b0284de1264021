"""The twenty rules whose breach breaks clients, by their numbers, and what else is known of the wire to the byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_scene import JOBS, POLICIES, SNAPSHOTS, SVMS, VOLUMES, Door, door, refusal

from gateway.testing.live import live_gateway

MIRRORS = "/api/snapmirror/relationships"
PLAIN = {"Accept": "application/json"}
WAIT = "return_timeout=60"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with live_gateway(tmp_path_factory.mktemp("wire")) as gateway, door(gateway) as found:
        yield found


@pytest.fixture
def ontap(live: Door) -> Iterator[Door]:
    yield live
    live.leave_nothing()


def body(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "svm": {"name": "svm1"}, "aggregates": [{"name": "memory"}], "size": "64MB", **fields}


def test_rule_01_w10_volumes_snapshots_and_relationships_answer_202_with_a_job(ontap: Door) -> None:
    made = ontap.ask("POST", f"{VOLUMES}?{WAIT}", body("v"))
    place = made.headers["Location"]
    answers = [made, ontap.ask("PATCH", f"{place}?{WAIT}", {"comment": "c"})]
    snapshot = ontap.ask("POST", f"{place}/snapshots?{WAIT}", {"name": "s"})
    answers += [snapshot, ontap.ask("PATCH", f"{snapshot.headers['Location']}?{WAIT}", {"comment": "c"})]
    answers.append(ontap.ask("PATCH", f"{place}?{WAIT}", {"restore_to.snapshot.name": "s"}))
    answers.append(ontap.ask("DELETE", f"{snapshot.headers['Location']}?{WAIT}"))
    ends = {"source.path": "svm1:v", "destination.path": "svm1:d", "create_destination.enabled": True}
    answers.append(ontap.ask("POST", f"{MIRRORS}?{WAIT}", ends))
    mirror = answers[-1].headers["Location"]
    answers.append(ontap.ask("PATCH", f"{mirror}?{WAIT}", {"throttle": 5}))
    answers.append(ontap.ask("DELETE", f"{mirror}?{WAIT}"))
    answers.append(ontap.ask("DELETE", f"{place}?{WAIT}"))
    assert [(answer.status_code, answer.json()["job"]["uuid"] != "") for answer in answers] == [(202, True)] * 10


def test_rule_02_w8_a_job_has_its_link_whatever_is_accepted(ontap: Door) -> None:
    answer = ontap.ask("POST", VOLUMES, body("v"), **PLAIN)
    href = answer.json()["job"]["_links"]["self"]["href"]
    assert href == f"/api/cluster/jobs/{answer.json()['job']['uuid']}"
    assert ontap.job(answer.json())["state"] == "success"


def test_rule_03_w21_a_next_page_is_a_path_that_holds_the_query(ontap: Door) -> None:
    for name in ("a", "b", "c"):
        ontap.volume(name)
    seen, href = [], f"{VOLUMES}?fields=name&max_records=2&order_by=name"
    while href:
        page = ontap.get(href, **PLAIN)
        assert page["num_records"] == len(page["records"])
        seen += [record["name"] for record in page["records"]]
        href = page.get("_links", {}).get("next", {}).get("href", "")
        assert href == "" or re.match(r"/api/storage/volumes\?start\.uuid=[^&]+&fields=name&max_records=2", href)
    assert seen == ["a", "b", "c"]


def test_rule_04_06_w9_a_failed_job_says_why_in_both_ways(ontap: Door) -> None:
    records = {"records": [body("v"), body("v")]}
    started = ontap.ask("POST", VOLUMES, records)
    job = ontap.job(started.json())
    assert (job["state"], job["message"]) == ("failure", job["error"]["message"])
    assert isinstance(job["code"], int)
    assert job["error"]["code"] == str(job["code"])
    done = ontap.job(ontap.must("POST", VOLUMES, body("w")))
    assert (done["state"], done["message"], done["code"], "error" in done) == ("success", "success", 0, False)


def test_rule_05_jobs_are_in_states_that_clients_know(ontap: Door) -> None:
    ontap.volume("v")
    states = {record["state"] for record in ontap.get(f"{JOBS}?fields=state")["records"]}
    assert states <= {"queued", "running", "paused", "success", "failure"}


def test_rule_06_w4_codes_are_texts_of_digits(ontap: Door) -> None:
    for path in (f"{VOLUMES}?fields=none", f"{VOLUMES}/none", "/api/none", f"{VOLUMES}?max_records=none"):
        _, code = refusal(ontap.ask("GET", path))
        assert code.isdigit()
    assert "error" not in ontap.get(VOLUMES)


def test_rule_07_w11_what_is_made_has_a_place(ontap: Door) -> None:
    made = ontap.ask("POST", f"{VOLUMES}?{WAIT}", body("v"))
    assert made.headers["Location"] == f"{VOLUMES}/{ontap.get(f'{VOLUMES}?name=v')['records'][0]['uuid']}"
    policy = ontap.ask("POST", POLICIES, {"name": "p", "svm.name": "svm1"})
    assert policy.status_code == 201
    assert re.fullmatch(rf"{POLICIES}/[0-9]+", policy.headers["Location"])
    rule = {"clients": [{"match": "a"}], "ro_rule": ["any"], "rw_rule": ["any"]}
    ruled = ontap.ask("POST", f"{policy.headers['Location']}/rules", rule)
    assert ruled.headers["Location"] == f"{policy.headers['Location']}/rules/1"


def test_rule_08_w14_what_is_asked_for_is_shown(ontap: Door) -> None:
    ontap.volume("v", comment="c")
    query = f"{VOLUMES}?comment=c&state=online&fields=name,%20size,,name,"
    (record,) = ontap.get(query, **PLAIN)["records"]
    assert record.keys() == {"uuid", "name", "size", "comment", "state"}
    assert ontap.get(f"{VOLUMES}?fields=&name=v")["num_records"] == 1
    (whole,) = ontap.get(f"{VOLUMES}?fields=nas")["records"]
    assert whole["nas"]["export_policy"]["name"] == "default"


def test_rule_09_w18_dotted_names_are_mixed_with_objects(ontap: Door) -> None:
    given = {"name": "v", "svm.name": "svm1", "aggregates": [{"name": "memory"}], "nas": {"uid": 7}, "nas.path": "/v"}
    ontap.job(ontap.must("POST", VOLUMES, given))
    (record,) = ontap.get(f"{VOLUMES}?name=v&fields=nas")["records"]
    assert (record["nas"]["path"], record["nas"]["uid"]) == ("/v", 7)


def test_rule_10_values_come_as_texts(ontap: Door) -> None:
    given = body("v", **{"size": "240MB", "nas.unix_permissions": "750", "encryption.enabled": "False"})
    ontap.job(ontap.must("POST", VOLUMES, given))
    (record,) = ontap.get(f"{VOLUMES}?name=v&fields=size,nas.unix_permissions")["records"]
    assert (record["size"], record["nas"]["unix_permissions"]) == (240 << 20, 750)


def test_rule_11_null_is_nothing_or_clears(ontap: Door) -> None:
    ontap.job(ontap.must("POST", VOLUMES, body("v", **{"clone.parent_snapshot.name": None, "comment": "c"})))
    (record,) = ontap.get(f"{VOLUMES}?name=v")["records"]
    ontap.job(ontap.must("PATCH", f"{VOLUMES}/{record['uuid']}", {"comment": None}))
    assert (
        "comment" not in ontap.get(f"{VOLUMES}/{record['uuid']}")
        or not ontap.get(f"{VOLUMES}/{record['uuid']}")["comment"]
    )


def test_rule_12_w20_a_delete_has_an_empty_object_nothing_or_a_header_alone(ontap: Door) -> None:
    for name, sent in (("a", {}), ("b", None), ("c", b"")):
        place = f"{VOLUMES}/{ontap.volume(name)}"
        answer = ontap.ask("DELETE", f"{place}?{WAIT}", sent, Content_Type="application/json")
        assert (answer.status_code, isinstance(answer.json(), dict)) == (202, True)


def test_rule_13_a_trigger_in_the_query_is_enough(ontap: Door) -> None:
    volume = ontap.volume("v")
    ontap.snapshot(volume, "s")
    answer = ontap.must("PATCH", f"{VOLUMES}/{volume}?restore_to.snapshot.name=s", {})
    assert ontap.job(answer)["state"] == "success"


def test_rule_14_slashes_and_controls_of_collections_do_not_matter_to_records(ontap: Door) -> None:
    assert ontap.get("/api/cluster/?max_records=10000&fields=version")["version"]["generation"] == 9
    assert ontap.get("/api//cluster/nodes/?max_records=1")["num_records"] == 1


def test_rule_15_no_fields_are_the_usual_ones(ontap: Door) -> None:
    ontap.volume("v")
    assert ontap.get(f"{VOLUMES}?fields=", **PLAIN) == ontap.get(VOLUMES, **PLAIN)


def test_rule_16_a_star_is_any_parent(ontap: Door) -> None:
    for name in ("a", "b"):
        ontap.snapshot(ontap.volume(name), f"deleted_{name}")
    found = ontap.get(f"{SNAPSHOTS.format('*')}?name=deleted_*&fields=volume.name,owners,svm.name")["records"]
    assert sorted(record["volume"]["name"] for record in found) == ["a", "b"]


def test_rule_17_a_collection_is_changed_with_200_and_jobs(ontap: Door) -> None:
    ontap.volume("a")
    answer = ontap.ask("PATCH", f"{VOLUMES}/?name=a", {"comment": "c"})
    assert (answer.status_code, len(answer.json()["jobs"]), "job" in answer.json()) == (200, 1, False)
    answer = ontap.ask("DELETE", f"{VOLUMES}?name=none")
    assert (answer.status_code, answer.json()["num_records"]) == (200, 0)


def test_rule_18_what_is_not_set_is_not_there(ontap: Door) -> None:
    volume = ontap.volume("v")
    snapshot = ontap.snapshot(volume, "s")
    record = ontap.get(f"{VOLUMES}/{volume}?fields=**")
    assert "path" not in record["nas"]
    assert "owners" not in ontap.get(f"{SNAPSHOTS.format(volume)}/{snapshot}?fields=**")
    assert "null" not in json.dumps(record)


def test_rule_19_numbers_are_numbers(ontap: Door) -> None:
    record = ontap.get(f"{VOLUMES}/{ontap.volume('v')}?fields=**")
    assert isinstance(record["size"], int)
    assert isinstance(record["nas"]["unix_permissions"], int)
    assert isinstance(record["space"]["used"], int)


def test_rule_20_an_unknown_field_is_an_error_unless_it_is_to_be_ignored(ontap: Door) -> None:
    assert refusal(ontap.ask("GET", f"{VOLUMES}?fields=no_such")) == (400, "262197")
    assert ontap.get(f"{VOLUMES}?fields=no_such&ignore_unknown_fields=true")["num_records"] == 0


def test_w24_marks_of_clients_are_ignored(ontap: Door) -> None:
    mark = {"X-Dot-Client-App": "netapp-ontap-python-9.19.1.0", "User-Agent": "python-requests/2.32"}
    assert ontap.get(SVMS, **mark)["num_records"] == 1


# --- to the byte ---


@pytest.mark.parametrize(
    ("accept", "hal"),
    [
        (None, True),
        ("*/*", True),
        ("application/hal+json", True),
        ("text/html", True),
        ("application/json", False),
        ("application/json; charset=utf-8", False),
        ("APPLICATION/JSON", False),
    ],
)
def test_accept_decides_about_links_and_the_media_type(live: Door, accept: str | None, *, hal: bool) -> None:
    request = live.client.build_request("GET", f"{SVMS}?fields=name,uuid")
    del request.headers["Accept"]
    if accept is not None:
        request.headers["Accept"] = accept
    answer = live.client.send(request, auth=live.client.auth)
    assert answer.headers["Content-Type"] == ("application/hal+json" if hal else "application/json")
    assert ("_links" in answer.json()) is hal
    assert ("_links" in answer.json()["records"][0]) is hal


def test_bodies_are_laid_out_with_two_blanks_and_no_last_newline(live: Door) -> None:
    uuid = live.get(SVMS)["records"][0]["uuid"]
    text = (
        '{\n  "records": [\n    {\n'
        f'      "uuid": "{uuid}",\n      "name": "svm1"\n'
        '    }\n  ],\n  "num_records": 1\n}'
    )
    answer = live.ask("GET", f"{SVMS}?fields=uuid,name", **PLAIN)
    assert answer.text == text
    assert answer.headers["Content-Length"] == str(len(text))


@pytest.mark.parametrize("verb", ["OPTIONS", "GET"])
def test_what_is_empty_takes_two_lines(ontap: Door, verb: str) -> None:
    if verb == "OPTIONS":
        answer = ontap.ask("OPTIONS", VOLUMES)
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST, PATCH, DELETE"
        assert answer.content == b"{\n}"
    else:
        answer = ontap.ask("GET", VOLUMES, **PLAIN)
        assert answer.content == b'{\n  "records": [],\n  "num_records": 0\n}'


def test_an_error_is_laid_out_too(live: Door) -> None:
    answer = live.ask("GET", "/api/none")
    assert answer.text == '{\n  "error": {\n    "message": "API not found",\n    "code": "3"\n  }\n}'
    assert not answer.text.endswith("\n")


def test_pretty_may_be_switched_off_everywhere(ontap: Door) -> None:
    made = ontap.ask("POST", f"{VOLUMES}?pretty=false", body("v"))
    for answer in (
        made,
        ontap.ask("GET", f"{VOLUMES}?pretty=false&fields=**"),
        ontap.ask("GET", f"{SVMS}?pretty=false"),
        ontap.ask("PATCH", f"{VOLUMES}?name=v&pretty=false", {"comment": "c"}),
        ontap.ask("GET", f"{VOLUMES}?pretty=False&return_records=false"),
    ):
        assert "\n" not in answer.text
        assert answer.content == json.dumps(answer.json(), separators=(",", ":"), ensure_ascii=False).encode()
    assert ontap.ask("GET", f"{VOLUMES}?pretty=true").text == ontap.ask("GET", VOLUMES).text.replace(
        '"/api/storage/volumes"', '"/api/storage/volumes?pretty=true"'
    )


def test_links_repeat_the_query_as_it_was_sent(live: Door) -> None:
    for query in ("fields=%2A%2A", "fields=**", "max_records=1&fields=name"):
        assert live.get(f"{SVMS}?{query}")["_links"]["self"]["href"] == f"{SVMS}?{query}"


def test_headers_of_every_answer(live: Door) -> None:
    for answer in (live.ask("GET", SVMS), live.ask("GET", "/api/none"), live.ask("HEAD", SVMS)):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-cache,no-store,must-revalidate"
        assert answer.headers["Server"] == "volume-gateway"
        assert "Date" in answer.headers
    assert live.ask("HEAD", SVMS).content == b""


# --- all of them are there ---


def test_every_rule_has_a_test_that_carries_its_number() -> None:
    names = {name for place in ROOT.rglob("test_*.py") for name in re.findall(r"def (test_\w+)", place.read_text())}
    wire = {int(number) for name in names for number in re.findall(r"_w0?([0-9]+)(?=_)", name)}
    rules = {int(number) for name in names if "_rule_" in name for number in re.findall(r"_([0-9]{2})(?=_)", name)}
    assert wire >= set(range(1, 26))
    assert rules >= set(range(1, 21))
