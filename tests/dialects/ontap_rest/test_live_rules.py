"""The rules that break real clients when missed, asked of a live door.

R1..R20 are those of the protocol, W1..W25 those of the clients, as the
specification sheets number them.
"""

from __future__ import annotations

import json

import httpx
import pytest
from live_scene import JOBS, MISSING, POLICIES, SNAPSHOTS, SVMS, VOLUMES, Door, door, refusal

from gateway.testing.live import READER, live_gateway

MIB = 1 << 20


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with live_gateway(tmp_path_factory.mktemp("door")) as running:
        yield running


@pytest.fixture
def ontap(gateway):
    with door(gateway) as opened:
        yield opened
        opened.leave_nothing()


# --- paths and verbs ---


@pytest.mark.parametrize(
    "path",
    ["/api/storage/volumes/", "/api//storage/volumes/", "//api/storage//volumes", "/api/x/../storage/./volumes"],
)
def test_w1_slashes_and_dots_are_resolved(gateway, path):
    with door(gateway) as ontap:
        # httpx would resolve the dots itself
        url = httpx.URL(gateway.url).copy_with(raw_path=path.encode())
        answer = ontap.client.get(url)
    assert (answer.status_code, answer.json()["num_records"]) == (200, 0)


def test_r14_a_singleton_takes_a_slash_and_max_records(ontap):
    version = ontap.get("/api/cluster/?max_records=10000&fields=version")["version"]
    assert (version["generation"], version["major"], version["minor"]) == (9, 15, 1)


def test_head_is_get_without_its_body(ontap):
    uuid = ontap.volume("v")
    for path in (VOLUMES, f"{VOLUMES}/{uuid}", "/api/cluster"):
        head, get = ontap.ask("HEAD", path), ontap.ask("GET", path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert ontap.ask("HEAD", f"{VOLUMES}/{MISSING}").status_code == 404


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/api/cluster", "GET, HEAD, OPTIONS, PATCH"),
        (VOLUMES, "GET, HEAD, OPTIONS, POST, PATCH, DELETE"),
        (f"{VOLUMES}/{MISSING}", "GET, HEAD, OPTIONS, PATCH, DELETE"),
        ("/api/network/ip/interfaces", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_lists_the_verbs(ontap, path, allow):
    answer = ontap.ask("OPTIONS", path)
    assert (answer.status_code, answer.headers["Allow"], answer.content) == (200, allow, b"{\n}")


def test_w2_who_is_not_known_is_refused_in_ontaps_words(gateway):
    with httpx.Client(base_url=gateway.url, trust_env=False, verify=False) as client:
        for auth in (None, ("admin", "wrong"), ("nobody", "wrong")):
            answer = client.get("/api/cluster", auth=auth)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
            assert answer.json() == {"error": {"message": "User is not authorized.", "code": "6691623"}}


def test_w2_no_rights_is_code_6(gateway, ontap):
    uuid = ontap.volume("v")
    with door(gateway, READER) as reader:
        for verb, path in (("POST", VOLUMES), ("PATCH", f"{VOLUMES}/{uuid}"), ("DELETE", f"{VOLUMES}/{uuid}")):
            answer = reader.ask(verb, path, {})
            assert answer.status_code == 403
            assert answer.json() == {"error": {"message": "not authorized for that command", "code": "6"}}
        assert reader.names() == ["v"]


def test_w5_what_is_missing_and_what_is_unknown(ontap):
    answer = ontap.ask("GET", f"{VOLUMES}/{MISSING}")
    assert answer.status_code == 404
    assert answer.json() == {"error": {"message": "entry doesn't exist", "code": "4", "target": "uuid"}}
    for path in ("/api/nothing", "/api", "/", f"{VOLUMES}/{MISSING}/nothing", "/elsewhere/storage/volumes"):
        answer = ontap.ask("GET", path)
        assert answer.status_code == 404
        assert answer.json() == {"error": {"message": "API not found", "code": "3"}}
    assert refusal(ontap.ask("GET", f"{VOLUMES}/not-a-uuid")) == (404, "2")
    assert refusal(ontap.ask("GET", SNAPSHOTS.format(MISSING))) == (404, "4")


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", "/api/cluster"),
        ("PUT", VOLUMES),
        ("POST", f"{VOLUMES}/{MISSING}"),
        ("DELETE", "/api/cluster/nodes"),
        ("TRACE", VOLUMES),
    ],
)
def test_a_verb_that_a_path_lacks_is_405(ontap, verb, path):
    assert refusal(ontap.ask(verb, path)) == (405, "3")


# --- bytes ---


def test_bytes_are_pretty_unless_asked_otherwise(ontap):
    answer = ontap.ask("GET", f"{VOLUMES}?fields=name")
    assert answer.text == (
        '{\n  "records": [],\n  "num_records": 0,\n  "_links": {\n    "self": {\n'
        '      "href": "/api/storage/volumes?fields=name"\n    }\n  }\n}'
    )
    assert answer.headers["Content-Length"] == str(len(answer.content))
    compact = ontap.ask("GET", f"{VOLUMES}?fields=name&pretty=false", accept="application/json")
    assert compact.text == '{"records":[],"num_records":0}'


def test_headers_of_every_answer(ontap):
    for answer in (ontap.ask("GET", VOLUMES), ontap.ask("GET", "/api/nothing"), ontap.ask("DELETE", VOLUMES)):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-cache,no-store,must-revalidate"
        assert answer.headers["Server"] == "volume-gateway"
        assert answer.headers["Content-Type"] == "application/hal+json"


def test_links_follow_accept_but_next_and_jobs_keep_theirs(ontap):
    uuid = ontap.volume("a")
    ontap.volume("b")
    plain = ontap.ask("GET", f"{VOLUMES}?max_records=1&fields=svm", accept="application/json")
    assert plain.headers["Content-Type"] == "application/json"
    assert plain.json()["_links"].keys() == {"next"}
    assert "_links" not in plain.json()["records"][0]
    assert "_links" not in plain.json()["records"][0]["svm"]
    hal = ontap.get(f"{VOLUMES}/{uuid}?fields=svm,aggregates,snapshot_policy")
    assert hal["_links"]["self"]["href"] == f"{VOLUMES}/{uuid}"
    assert hal["svm"]["_links"]["self"]["href"] == f"{SVMS}/{hal['svm']['uuid']}"
    # R2, W8: Cinder and Manila ask for JSON and index the job's link
    changed = ontap.must("PATCH", f"{VOLUMES}/{uuid}", {"comment": "c"}, accept="application/json")
    assert changed["job"]["_links"]["self"]["href"] == f"{JOBS}/{changed['job']['uuid']}"
    assert ontap.job(changed)["state"] == "success"


# --- jobs ---


@pytest.mark.parametrize("timeout", ["", "?return_timeout=0", "?return_timeout=60"])
def test_r1_w10_volumes_and_snapshots_answer_202_with_a_job(ontap, timeout):
    body = {"name": "v", "svm": {"name": "svm1"}, "aggregates": [{"name": "memory"}], "size": 64 * MIB}
    made = ontap.ask("POST", f"{VOLUMES}{timeout}", body)
    assert made.status_code == 202
    place = made.headers["Location"]
    ontap.job(made.json())
    assert ontap.get(place)["name"] == "v"
    taken = ontap.ask("POST", f"{place}/snapshots{timeout}", {"name": "s"})
    assert taken.status_code == 202
    ontap.job(taken.json())
    assert ontap.get(taken.headers["Location"])["name"] == "s"
    for verb, path in (
        ("PATCH", place),
        ("PATCH", taken.headers["Location"]),
        ("DELETE", taken.headers["Location"]),
        ("DELETE", place),
    ):
        answer = ontap.ask(verb, f"{path}{timeout}", {"comment": "c"} if verb == "PATCH" else None)
        assert answer.status_code == 202
        assert ontap.job(answer.json())["state"] == "success"


def test_r4_r5_w9_jobs_are_what_clients_read(ontap):
    uuid = ontap.volume("v")
    answer = ontap.must("DELETE", f"{VOLUMES}/{uuid}")
    job = ontap.job(answer)
    assert {name: job[name] for name in ("state", "message", "code", "description")} == {
        "state": "success",
        "message": "success",
        "code": 0,
        "description": f"DELETE {VOLUMES}/{uuid}",
    }
    assert job["start_time"] <= job["end_time"]
    assert "error" not in job
    asked = ontap.get(f"{JOBS}/{job['uuid']}?fields=message,state", accept="application/json")
    assert asked == {"uuid": job["uuid"], "state": "success", "message": "success"}
    for action in ("cancel", "pause", "resume"):
        assert refusal(ontap.ask("PATCH", f"{JOBS}/{job['uuid']}?action={action}", {})) == (409, "458762")


def test_policies_answer_at_once(ontap):
    made = ontap.ask("POST", POLICIES, {"name": "p", "svm.name": "svm1"})
    assert (made.status_code, made.content) == (201, b"{\n}")
    place = made.headers["Location"]
    assert place.rpartition("/")[0] == POLICIES
    assert ontap.ask("PATCH", place, {"name": "q"}).status_code == 200
    rule = ontap.ask(
        "POST",
        f"{place}/rules?return_records=true&return_timeout=30",
        {"clients": [{"match": "0.0.0.0/0"}], "ro_rule": ["any"], "rw_rule": ["any"]},
    )
    assert (rule.status_code, rule.headers["Location"]) == (201, f"{place}/rules/1")
    assert rule.json()["records"][0]["index"] == 1
    assert ontap.ask("PATCH", f"{place}/rules/1?new_index=1", {}).status_code == 200
    gone = ontap.ask("DELETE", place, {})
    assert (gone.status_code, gone.content) == (200, b"{\n}")


def test_w12_return_records_shows_what_is_being_made(ontap):
    body = {"name": "v", "svm.name": "svm1", "aggregates": [{"name": "memory"}]}
    made = ontap.ask("POST", f"{VOLUMES}?return_records=true", body)
    assert made.status_code == 202
    assert made.json()["num_records"] == 1
    assert made.json()["records"][0]["name"] == "v"
    assert made.headers["Location"] == f"{VOLUMES}/{made.json()['records'][0]['uuid']}"
    assert ontap.job(made.json())["state"] == "success"


def test_a_change_that_fails_in_time_is_an_error_with_its_job(ontap):
    body = {"records": [{"name": "v", "svm.name": "svm1", "aggregates": [{"name": "nowhere"}]}]}
    answer = ontap.ask("POST", f"{VOLUMES}?return_timeout=60", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "262287")
    job = ontap.job(answer.json())
    assert (job["state"], job["code"], job["error"]) == ("failure", 262287, answer.json()["error"])
    assert job["message"] == job["error"]["message"]


# --- bodies ---


def test_r9_r10_w18_dotted_keys_and_text_scalars(ontap):
    uuid = ontap.volume(
        "v", **{"size": "240MB", "nas.unix_permissions": "750", "nas": {"path": "/v"}, "guarantee.type": "none"}
    )
    shown = ontap.get(f"{VOLUMES}/{uuid}?fields=**")
    assert (shown["size"], shown["nas"]["unix_permissions"], shown["nas"]["path"]) == (240 * MIB, 750, "/v")
    ontap.snapshot(uuid, "s")
    clone = {"name": "c", "svm.name": "svm1", "clone.is_flexclone": "true", "clone.parent_volume.name": "v"}
    made = ontap.must("POST", f"{VOLUMES}?return_timeout=60", {**clone, "clone.parent_snapshot.name": None})
    assert ontap.job(made)["state"] == "success"
    place = ontap.get(f"{VOLUMES}?name=c")["records"][0]["_links"]["self"]["href"]
    split = ontap.must("PATCH", f"{place}?return_timeout=60", {"clone.split_initiated": "true"})
    assert ontap.job(split)["state"] == "success"
    assert ontap.get(place)["clone"]["is_flexclone"] is False


def test_r12_r13_w20_bodies_may_be_empty(ontap):
    uuid = ontap.volume("v")
    ontap.snapshot(uuid, "s")
    for body in (b"", b"{}", b" \n"):
        answer = ontap.ask("PATCH", f"{VOLUMES}/{uuid}?restore_to.snapshot.name=s&return_timeout=60", body)
        assert answer.status_code == 202
    for body in (b"", b"{}"):
        gone = ontap.snapshot(uuid, "gone")
        headers = {"Content-Type": "application/json"}
        path = f"{SNAPSHOTS.format(uuid)}/{gone}?return_timeout=60"
        assert ontap.client.request("DELETE", path, content=body, headers=headers).status_code == 202
    assert refusal(ontap.ask("POST", VOLUMES, b""))[0] == 400
    assert refusal(ontap.ask("DELETE", f"{VOLUMES}/{uuid}", {"name": "v"})) == (400, "262198")


def test_r11_null_is_nothing_on_create_and_clears_on_change(ontap):
    uuid = ontap.volume("v", comment=None, nas=None, **{"snapshot_policy.name": None})
    assert ontap.get(f"{VOLUMES}/{uuid}")["snapshot_policy"]["name"] == "default"
    place = f"{SNAPSHOTS.format(uuid)}/{ontap.snapshot(uuid, 's')}"
    for path, field, value in (
        (f"{VOLUMES}/{uuid}", "comment", "words"),
        (place, "snapmirror_label", "daily"),
        (place, "expiry_time", "2099-01-01T00:00:00+00:00"),
    ):
        ontap.must("PATCH", f"{path}?return_timeout=60", {field: value})
        assert ontap.get(f"{path}?fields={field}")[field] == value
        ontap.must("PATCH", f"{path}?return_timeout=60", {field: None})
        assert not ontap.get(f"{path}?fields={field}").get(field)


def test_content_type_is_not_insisted_on(ontap):
    body = json.dumps({"name": "p", "svm.name": "svm1"}).encode()
    assert ontap.ask("POST", POLICIES, body).status_code == 201


@pytest.mark.parametrize(
    ("body", "code", "target"),
    [
        ({"nonsense": 1}, "262179", None),
        ({"uuid": MISSING}, "262196", "uuid"),
        ({"name": "a/b"}, "917888", "name"),
        ({"name": "x" * 204}, "917886", "name"),
        ({"size": "many"}, "262197", "size"),
        ({"size": MIB}, "917534", "size"),
        ({"state": "error"}, "918652", "state"),
        ({"nas.path": "relative"}, "918252", "nas.path"),
        ({"comment": "x" * 1024}, "262197", "comment"),
        ({"style": "flexgroup"}, "918703", "style"),
        ({"type": "dp"}, "262196", "type"),
        (b"{", "262199", None),
        (b'{"name": "a", "name": "b"}', "262282", "name"),
        (b'["v"]', "262199", None),
    ],
)
def test_a_bad_body_is_refused_and_changes_nothing(ontap, body, code, target):
    uuid = ontap.volume("v")
    before = ontap.get(f"{VOLUMES}/{uuid}?fields=**")
    answer = ontap.ask("PATCH", f"{VOLUMES}/{uuid}", body)
    assert refusal(answer) == (400, code)
    assert answer.json()["error"].get("target") == target
    assert ontap.get(f"{VOLUMES}/{uuid}?fields=**") == before


# --- queries ---


@pytest.fixture
def five(ontap):
    """Volumes a to e, of 20 to 60 MiB."""
    for number, name in enumerate("abcde"):
        ontap.volume(name, size=(20 + 10 * number) * MIB)
    return ontap


def test_r8_w14_queried_fields_are_shown(five):
    (found,) = five.get(f"{VOLUMES}?name=a&svm.name=svm1&is_svm_root=false", accept="application/json")["records"]
    assert found == {"uuid": found["uuid"], "name": "a", "is_svm_root": False, "svm": {"name": "svm1"}}
    (found,) = five.get(f"{VOLUMES}?fields=name,style&size=20MB", accept="application/json")["records"]
    assert found.keys() == {"uuid", "name", "style", "size"}


def test_r15_empty_fields_mean_nothing(five):
    bare = five.get(VOLUMES, accept="application/json")["records"]
    for fields in ("fields=", "fields=,", "fields=name,", "fields=%20name%20,name"):
        assert five.get(f"{VOLUMES}?{fields}", accept="application/json")["records"] == bare


def test_r20_unknown_fields(five):
    answer = five.ask("GET", f"{VOLUMES}?fields=name,nonsense")
    assert refusal(answer) == (400, "262197")
    assert answer.json()["error"]["target"] == "fields"
    assert five.ask("GET", f"{VOLUMES}/{MISSING}?fields=nonsense").json()["error"]["code"] == "262197"
    assert five.names("fields=name,nonsense&ignore_unknown_fields=true") == list("abcde")
    answer = five.ask("GET", f"{VOLUMES}?nonsense=1")
    assert answer.json() == {"error": {"message": 'Unexpected argument "nonsense".', "code": "262179"}}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=a|c", "ac"),
        ("name=a%7Cc", "ac"),
        ("name=a,c", "ac"),
        ("name=!a", "bcde"),
        ("name=%21a", "bcde"),
        ("name=%2A", "abcde"),
        ('name="a"', "a"),
        ("size=>=40MB", "cde"),
        ("size=30MB..50MB", "bcd"),
        ("size=<30MB|>50MB", "ae"),
        ("svm=svm1&aggregates.name=memory", "abcde"),
        ("nas.path=null", "abcde"),
        ("nas.path=!null", ""),
        ("clone.is_flexclone=False", "abcde"),
        ("order_by=name desc", "edcba"),
        ("order_by=size%20desc,name", "edcba"),
        ("$orderBy=name+desc", "edcba"),
        ("offset=3", "de"),
        ("offset=1&max_records=2&order_by=name", "bc"),
        ("query=b|d&query_fields=name", "bd"),
        ("name=%00", ""),
    ],
)
def test_w15_w16_queries(five, query, found):
    assert "".join(five.names(query)) == found


def test_w17_a_second_question_mark_is_forgiven(ontap):
    answer = ontap.get("/api//storage/aggregates?return_records=false?max_records=10000")
    assert answer["num_records"] == 1
    assert "records" not in answer


def test_w6_w13_numbers_of_records(five):
    assert five.get(f"{VOLUMES}?name=nothing", accept="application/json") == {"records": [], "num_records": 0}
    assert five.get(f"{VOLUMES}?return_records=false", accept="application/json") == {"num_records": 5}
    assert five.get(f"{VOLUMES}?return_records=false&name=a|b")["num_records"] == 2
    assert five.get(f"{VOLUMES}?max_records=2")["num_records"] == 2


@pytest.mark.parametrize("query", ["max_records=2", "max_records=2&order_by=size desc", "max_records=1&name=!c*"])
def test_r3_w21_pages_lead_on(five, query):
    found, path = [], f"{VOLUMES}?fields=name&{query}"
    while path:
        answer = five.ask("GET", path, accept="application/json")
        body = answer.json()
        found += [record["name"] for record in body["records"]]
        assert body["num_records"] == len(body["records"])
        path = body.get("_links", {}).get("next", {}).get("href")
        assert (path is not None) == ("Link" in answer.headers)
        if path:
            assert path.startswith(f"{VOLUMES}?start.uuid=")
            assert path.endswith("fields=name&" + query.replace(" ", "%20"))
            assert answer.headers["Link"] == f'<{path}>; rel="next"'
    assert "".join(found) == {"max_records=2": "abcde", "max_records=1&name=!c*": "abde"}.get(query, "edcba")


def test_a_made_up_cursor_is_refused(five):
    assert refusal(five.ask("GET", f"{VOLUMES}?start.uuid=nonsense&max_records=2"))[0] in {400, 404}


def test_r16_a_star_stands_for_every_parent(ontap):
    for name in ("a", "b"):
        ontap.snapshot(ontap.volume(name), f"of_{name}")
    path = SNAPSHOTS.format("*")
    assert sorted(ontap.names(path=path)) == ["of_a", "of_b"]
    (found,) = ontap.get(f"{path}?name=of_a&fields=volume,svm")["records"]
    assert (found["volume"]["name"], found["svm"]["name"]) == ("a", "svm1")
    assert found["_links"]["self"]["href"] == f"{SNAPSHOTS.format(found['volume']['uuid'])}/{found['uuid']}"


# --- bulk ---


def test_r17_w19_a_query_selects_what_is_changed(five):
    answer = five.ask("PATCH", f"{VOLUMES}?name=a|b&return_timeout=60", {"comment": "marked"})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["num_records"], len(body["jobs"])) == (2, 2)
    assert all(five.get(job["_links"]["self"]["href"])["state"] == "success" for job in body["jobs"])
    assert five.names("comment=marked") == ["a", "b"]
    gone = five.must("DELETE", f"{VOLUMES}/?name=e&svm.name=svm1", accept="application/json")
    assert gone["num_records"] == 1
    assert five.names() == list("abcd")
    renamed = five.must("PATCH", f"{POLICIES}?name=nothing", {"name": "other"})
    assert renamed["num_records"] == 0


def test_w19_no_match_is_no_error(five):
    for verb in ("PATCH", "DELETE"):
        answer = five.ask(verb, f"{VOLUMES}?name=nothing", {"comment": "c"} if verb == "PATCH" else None)
        assert answer.status_code == 200
        assert (answer.json()["num_records"], answer.json()["jobs"]) == (0, [])


def test_a_bare_collection_is_never_changed(five):
    for verb in ("PATCH", "DELETE"):
        for path in (VOLUMES, f"{VOLUMES}?return_timeout=1", POLICIES):
            assert refusal(five.ask(verb, path, {"comment": "c"} if verb == "PATCH" else None))[0] == 400
    assert five.names("comment=!c") == list("abcde")


def test_bulk_pages_repeat_the_verb_on_the_next_link(five):
    path, seen = f"{VOLUMES}?name=*&max_records=2", []
    while path:
        body = five.must("PATCH", path, {"comment": "all"})
        seen.append(body["num_records"])
        path = body["_links"].get("next", {}).get("href")
    assert seen == [2, 2, 1]
    assert five.names("comment=all") == list("abcde")


def test_manilas_probe_for_restoring_touches_nothing(five):
    before = five.get(f"{VOLUMES}?fields=**")
    answer = five.ask("PATCH", f"{VOLUMES}?name=*", {"restore_to.snapshot.name": ""}, accept="application/json")
    assert refusal(answer) == (400, "1638515")
    assert five.get(f"{VOLUMES}?fields=**") == before


# --- tunnelling ---


def test_w3_a_header_restricts_requests_to_an_svm(ontap):
    ontap.must("POST", f"{SVMS}?return_timeout=60", {"name": "svm2"})
    ontap.volume("one")
    tunnel = {"x_dot_svm_name": "svm2"}
    body = {"name": "two", "aggregates": [{"name": "memory"}]}
    made = ontap.ask("POST", f"{VOLUMES}?return_timeout=60", body, **tunnel)
    assert made.status_code == 202
    assert ontap.get(made.headers["Location"])["svm"]["name"] == "svm2"
    assert ontap.ask("POST", POLICIES, {"name": "p"}, **tunnel).status_code == 201
    both = ontap.get(VOLUMES)["records"]
    assert sorted(record["name"] for record in both) == ["one", "two"]
    assert [record["name"] for record in ontap.get(VOLUMES, **tunnel)["records"]] == ["two"]
    assert [record["name"] for record in ontap.get(SVMS, **tunnel)["records"]] == ["svm2"]
    assert sorted(record["name"] for record in ontap.get(POLICIES, **tunnel)["records"]) == ["default", "p"]
    one = next(record for record in both if record["name"] == "one")["uuid"]
    for verb in ("GET", "PATCH", "DELETE"):
        assert refusal(ontap.ask(verb, f"{VOLUMES}/{one}", {} if verb == "PATCH" else None, **tunnel)) == (404, "4")
    assert ontap.must("PATCH", f"{VOLUMES}?name=*", {"comment": "c"}, **tunnel)["num_records"] == 1
    # not for these, so it is ignored
    for path in ("/api/cluster/nodes", "/api/storage/aggregates", "/api/cluster"):
        assert ontap.ask("GET", path, **tunnel).status_code == 200
    conflicting = {"name": "x", "svm.name": "svm1", "aggregates": [{"name": "memory"}]}
    assert refusal(ontap.ask("POST", VOLUMES, conflicting, **tunnel)) == (400, "2621706")
    assert refusal(ontap.ask("GET", VOLUMES, x_dot_svm_name="nobody")) == (404, "2621462")
    uuid = ontap.get(f"{SVMS}?name=svm2")["records"][0]["uuid"]
    assert [record["name"] for record in ontap.get(VOLUMES, x_dot_svm_uuid=uuid)["records"]] == ["two"]


# --- records ---


def test_w7_w25_a_record_is_bare_and_leaves_out_what_is_unset(ontap):
    uuid = ontap.volume("v")
    shown = ontap.get(f"{VOLUMES}/{uuid}?fields=**")
    assert "records" not in shown
    assert "path" not in shown["nas"]
    assert not {"parent_volume", "parent_snapshot"} & shown["clone"].keys()
    place = f"{SNAPSHOTS.format(uuid)}/{ontap.snapshot(uuid, 's')}"
    assert not {"owners", "snapmirror_label"} & ontap.get(f"{place}?fields=**").keys()
    ontap.must("PATCH", f"{VOLUMES}/{uuid}?return_timeout=60", {"nas.path": "/v"})
    assert ontap.get(f"{VOLUMES}/{uuid}?fields=nas.path")["nas"]["path"] == "/v"
    ontap.must("PATCH", f"{VOLUMES}/{uuid}?return_timeout=60", {"nas.path": ""})
    assert "nas" not in ontap.get(f"{VOLUMES}/{uuid}?fields=nas.path")


def test_w23_references_follow_their_names(ontap):
    uuid = ontap.volume("v")
    ontap.snapshot(uuid, "s")
    clone = {"name": "c", "svm.name": "svm1", "clone": {"is_flexclone": True, "parent_volume": {"uuid": uuid}}}
    ontap.job(ontap.must("POST", f"{VOLUMES}?return_timeout=60", clone))
    place = ontap.ask("POST", POLICIES, {"name": "p", "svm.name": "svm1"}).headers["Location"]
    ontap.must("PATCH", f"{VOLUMES}/{uuid}?return_timeout=60", {"nas.export_policy.name": "p", "name": "renamed"})
    ontap.must("PATCH", place, {"name": "policy_renamed"})
    shown = ontap.get(f"{VOLUMES}/{uuid}?fields=nas.export_policy")
    assert shown["nas"]["export_policy"]["name"] == "policy_renamed"
    (found,) = ontap.get(f"{VOLUMES}?name=c&fields=clone")["records"]
    assert found["clone"]["parent_volume"]["name"] == "renamed"
    assert ontap.get(f"{SNAPSHOTS.format(uuid)}?fields=volume")["records"][0]["volume"]["name"] == "renamed"
    assert ontap.names("clone.parent_volume.name=renamed") == ["c"]


def test_w22_a_connection_is_kept(ontap):
    first = ontap.ask("GET", "/api/cluster")
    assert first.http_version == "HTTP/1.1"
    stream = first.extensions["network_stream"].get_extra_info("client_addr")
    for path in (VOLUMES, "/api/nothing", "/api/cluster/"):
        again = ontap.ask("GET", path, accept="application/json", x_dot_client_app="netapp-ontap-python-9.19.1.0")
        assert again.extensions["network_stream"].get_extra_info("client_addr") == stream


def test_the_door_is_typed(ontap: Door) -> None:
    """R19: numbers are numbers."""
    uuid = ontap.volume("v", size=64 * MIB)
    shown = ontap.get(f"{VOLUMES}/{uuid}?fields=size,space,nas.unix_permissions,snapshot_count")
    assert (shown["size"], shown["space"]["size"], shown["nas"]["unix_permissions"]) == (64 * MIB, 64 * MIB, 755)
    assert shown["snapshot_count"] == 0
