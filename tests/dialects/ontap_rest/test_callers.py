"""What several callers see of one live door, and what each of them may do there."""

from __future__ import annotations

import contextlib
import time

import httpx
import jwt
import pytest
from live_scene import JOBS, MISSING, POLICIES, SNAPSHOTS, SVMS, VOLUMES, Door, door, refusal
from san_scene import CREDENTIALS, HOST, IGROUPS, LUNS, MAPS, POOLS, San

from gateway.server.passwords import hash_password
from gateway.testing.live import PASSWORD, READER, LiveGateway

SECRET = "0123456789abcdef" * 2
ISSUER = '[auth.issuer.own]\nissuer = "test"\nshared_secret = "file:jwt-secret"\n'
DENIED = (403, "6")
GONE = (404, "4")


def token(name, *, roles=("system.user",), groups=(), secret=SECRET, **more):
    now = int(time.time())
    said = {"iss": "test", "sub": name, "name": name, "email": name, "iat": now - 1, "exp": now + 600}
    return jwt.encode({**said, "roles": roles, "groups": groups, **more}, secret, algorithm="HS256")


@contextlib.contextmanager
def bearing(gateway, text):
    headers = {"Authorization": f"Bearer {text}"}
    with httpx.Client(base_url=gateway.url, headers=headers, trust_env=False, verify=False, timeout=60) as client:
        yield Door(client)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    running = LiveGateway(tmp_path_factory.mktemp("callers"), pools=POOLS, extra=ISSUER)
    with (running.folder / "accounts.toml").open("a") as file:
        for name in ("alice", "bob"):
            hashed = hash_password(PASSWORD, n=1 << 10)
            file.write(f'[account.{name}]\npassword = "{hashed}"\nrole = "user"\ngroups = ["staff"]\n')
    (running.folder / "jwt-secret").write_text(SECRET)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def admin(gateway):
    with door(gateway) as opened:
        yield opened
        San(opened).leave_nothing()


@pytest.fixture
def alice(gateway, admin):
    with door(gateway, "alice") as opened:
        yield opened


@pytest.fixture
def bob(gateway, admin):
    with door(gateway, "bob") as opened:
        yield opened


# --- what is hidden ---


def test_a_volume_of_a_user_is_not_there_for_another(alice, bob, admin):
    mine = alice.volume("mine")
    assert alice.get(f"{VOLUMES}/{mine}")["name"] == "mine"
    assert admin.get(f"{VOLUMES}/{mine}")["name"] == "mine"
    for verb, body in (("GET", None), ("PATCH", {"comment": "x"}), ("DELETE", None)):
        assert refusal(bob.ask(verb, f"{VOLUMES}/{mine}", body)) == refusal(bob.ask(verb, f"{VOLUMES}/{MISSING}", body))
    assert refusal(bob.ask("GET", f"{VOLUMES}/{mine}")) == GONE


def test_what_an_administrator_makes_is_everybodys(alice, admin):
    uuid = admin.volume("common")
    assert alice.names() == ["common"]
    alice.must("PATCH", f"{VOLUMES}/{uuid}?return_timeout=60", {"comment": "by alice"})
    assert admin.get(f"{VOLUMES}/{uuid}?fields=comment")["comment"] == "by alice"


def test_lists_counts_and_next_links_hide_silently(alice, bob, admin):
    for number in range(6):
        (alice, bob, admin)[number % 3].volume(f"v{number}")
    assert (alice.names(), bob.names()) == (["v0", "v2", "v3", "v5"], ["v1", "v2", "v4", "v5"])
    assert len(admin.names()) == 6
    for caller, first, rest in ((alice, ["v0", "v2", "v3"], ["v5"]), (bob, ["v1", "v2", "v4"], ["v5"])):
        assert caller.get(f"{VOLUMES}?return_records=false")["num_records"] == 4
        page = caller.get(f"{VOLUMES}?max_records=3")
        assert ([r["name"] for r in page["records"]], page["num_records"]) == (first, 3)
        following = caller.get(page["_links"]["next"]["href"])
        assert [r["name"] for r in following["records"]] == rest
        assert "next" not in following["_links"]
        # A condition that only the rendered record can answer pages differently.
        page = caller.get(f"{VOLUMES}?max_records=3&query_fields=name&query=v*")
        assert [r["name"] for r in page["records"]] == first
        following = caller.get(page["_links"]["next"]["href"])
        assert [r["name"] for r in following["records"]] == rest
        assert caller.get(f"{VOLUMES}?query_fields=name&query=v*&return_records=false")["num_records"] == 4
    assert alice.get(f"{VOLUMES}?name=v1")["num_records"] == 0
    assert alice.names("order_by=name%20desc&max_records=1") == ["v5"]


def test_bulk_changes_reach_only_what_is_seen(alice, bob, admin):
    alice.volume("a1")
    bob.volume("b1")
    bob.must("DELETE", f"{VOLUMES}?name=*&return_timeout=60")
    assert admin.names() == ["a1"]


def test_snapshots_of_a_hidden_volume_are_hidden(alice, bob):
    uuid = alice.volume("mine")
    shot = alice.snapshot(uuid, "s1")
    under, every = SNAPSHOTS.format(uuid), SNAPSHOTS.format("*")
    assert [r["name"] for r in alice.get(every)["records"]] == ["s1"]
    assert bob.get(every)["num_records"] == bob.get(f"{every}?return_records=false")["num_records"] == 0
    missing = SNAPSHOTS.format(MISSING)
    for verb, of, nothing, body in (
        ("GET", under, missing, None),
        ("POST", under, missing, {"name": "s2"}),
        ("GET", f"{under}/{shot}", f"{missing}/{shot}", None),
        ("GET", f"{every}/{shot}", f"{every}/{MISSING}", None),
        ("PATCH", f"{under}/{shot}", f"{missing}/{shot}", {"comment": "x"}),
        ("DELETE", f"{every}/{shot}", f"{every}/{MISSING}", None),
    ):
        assert refusal(bob.ask(verb, of, body))[0] == refusal(bob.ask(verb, nothing, body))[0] == 404
    assert alice.get(under)["num_records"] == 1


def test_a_hidden_volume_cannot_be_cloned_and_hides_its_name(alice, bob, admin):
    source = alice.volume("secret")
    for parent in ({"name": "secret"}, {"uuid": source}):
        body = {"name": "c", "svm.name": "svm1", "clone": {"is_flexclone": True, "parent_volume": parent}}
        missing = {**body, "clone": {"is_flexclone": True, "parent_volume": {"name": "nothing"}}}
        assert refusal(bob.ask("POST", VOLUMES, body)) == refusal(bob.ask("POST", VOLUMES, missing))
    own = {"name": "c", "svm.name": "svm1", "clone": {"is_flexclone": True, "parent_volume": {"name": "secret"}}}
    clone = alice.ask("POST", f"{VOLUMES}?return_timeout=60", own).headers["Location"].rpartition("/")[2]
    assert alice.get(f"{VOLUMES}/{clone}?fields=clone")["clone"]["parent_volume"]["name"] == "secret"
    assert refusal(bob.ask("GET", f"{VOLUMES}/{clone}")) == GONE


def test_luns_and_maps_of_a_hidden_volume_are_hidden(gateway, alice, bob, admin):
    group = San(admin).group("hosts", HOST)
    san = San(alice)
    lun = san.lun("/vol/v/l")
    san.map(lun, group)
    assert (alice.get(LUNS)["num_records"], alice.get(MAPS)["num_records"]) == (1, 1)
    assert bob.get(LUNS)["num_records"] == bob.get(MAPS)["num_records"] == 0
    assert bob.get(f"{LUNS}?return_records=false")["num_records"] == 0
    for verb, of, nothing, body in (
        ("GET", f"{LUNS}/{lun}", f"{LUNS}/{MISSING}", None),
        ("PATCH", f"{LUNS}/{lun}", f"{LUNS}/{MISSING}", {"comment": "x"}),
        ("DELETE", f"{LUNS}/{lun}", f"{LUNS}/{MISSING}", None),
        ("GET", f"{MAPS}/{lun}/{group}", f"{MAPS}/{MISSING}/{group}", None),
        ("DELETE", f"{MAPS}/{lun}/{group}", f"{MAPS}/{MISSING}/{group}", None),
        (
            "POST",
            MAPS,
            MAPS,
            {"svm.name": "svm1", "lun.name": "/vol/v/l", "igroup.uuid": group},
        ),
    ):
        hidden, missing = bob.ask(verb, of, body), bob.ask(verb, nothing, body)
        assert refusal(hidden) == refusal(missing)
        assert hidden.status_code == 404
    shown = f"{IGROUPS}/{group}?fields=lun_maps"
    assert [m["lun"]["name"] for m in alice.get(shown)["lun_maps"]] == ["/vol/v/l"]
    assert bob.get(shown).get("lun_maps", []) == []
    assert bob.get(f"{IGROUPS}?lun_maps.lun.name=*")["num_records"] == 0


def test_a_lun_in_a_hidden_volume_cannot_be_found_out(alice, bob):
    San(alice).lun("/vol/v/secretlun")
    body = {"name": "/vol/v/other", "svm.name": "svm1", "os_type": "linux", "space.size": 64 << 20}
    answer = bob.ask("POST", LUNS, body)
    assert not answer.is_success
    assert "secretlun" not in answer.text
    body = {"name": "/vol/w/x", "svm.name": "svm1", "clone.source.name": "/vol/v/secretlun"}
    missing = {**body, "clone.source.name": "/vol/v/nothing"}
    assert refusal(bob.ask("POST", LUNS, body)) == refusal(bob.ask("POST", LUNS, missing))


def test_ways_to_a_hidden_volume_are_hidden(alice, bob, admin):
    uuid = alice.volume("mine")
    for caller, status in ((alice, 200), (admin, 200), (bob, 404)):
        assert caller.ask("GET", f"/gateway/volumes/{uuid}/access").status_code == status
    assert bob.ask("GET", f"/gateway/volumes/{MISSING}/access").status_code == 404


def test_relationships_are_those_of_the_destination_and_hide_their_source(alice, bob, admin):
    relationships = "/api/snapmirror/relationships"
    alice.volume("mine")
    admin.volume("copy", type="dp")
    ends = {"source.path": "svm1:mine", "destination.path": "svm1:copy"}
    assert refusal(bob.ask("POST", relationships, ends)) == (404, "917525")
    path = admin.ask("POST", relationships, ends).headers["Location"]
    assert alice.get(path)["source"]["path"] == "svm1:mine"
    assert "source" not in bob.get(path)
    for query, seen in (("source.path=svm1:mine", 0), ("source.path=*", 0), ("destination.path=svm1:copy", 1)):
        assert bob.get(f"{relationships}?{query}")["num_records"] == seen
        assert alice.get(f"{relationships}?{query}")["num_records"] == 1
    admin.must("DELETE", path)
    bob.volume("own", type="dp")
    assert refusal(alice.ask("POST", relationships, {**ends, "destination.path": "svm1:own"})) == (404, "917525")
    path = admin.ask("POST", relationships, {**ends, "destination.path": "svm1:own"}).headers["Location"]
    for verb, body in (("GET", None), ("PATCH", {"state": "snapmirrored"}), ("DELETE", None)):
        assert refusal(alice.ask(verb, path, body)) == GONE
    assert refusal(alice.ask("POST", f"{path}/transfers", {})) == GONE
    assert alice.get(relationships)["num_records"] == 0
    admin.must("DELETE", path)


def test_jobs_are_shown_to_whom_they_belong(alice, bob, admin):
    body = {"name": "mine", "svm.name": "svm1", "aggregates": [{"name": "memory"}]}
    answer = alice.must("POST", f"{VOLUMES}?return_timeout=60", body)
    job = answer["job"]["uuid"]
    assert alice.job(answer)["state"] == "success"
    assert alice.get(JOBS)["num_records"] >= 1
    assert job in {record["uuid"] for record in admin.get(JOBS)["records"]}
    assert job not in {record["uuid"] for record in bob.get(JOBS)["records"]}
    assert refusal(bob.ask("GET", f"{JOBS}/{job}")) == GONE


def test_results_of_a_batch_are_shown_to_whom_they_belong(alice, bob):
    records = [{"name": n, "svm.name": "svm1", "aggregates": [{"name": "memory"}]} for n in ("b1", "b2")]
    answer = alice.must("POST", f"{VOLUMES}?return_timeout=60", {"records": records})
    results = answer["job"]["_links"]["results"]["href"]
    assert alice.get(results)["num_records"] == 2
    assert refusal(bob.ask("GET", results)) == GONE
    assert bob.names() == []


def test_nobody_is_given_an_answer_that_was_made_for_another(gateway, alice, bob, admin):
    """The door remembers answers; each is asked for in turn and again, by callers with different rights."""
    uuid = alice.volume("mine")
    with bearing(gateway, token("alice", roles=["system.guest"])) as guest, bearing(gateway, token("dave")) as dave:
        for _ in range(3):
            for path in (VOLUMES, f"{VOLUMES}?fields=*", SNAPSHOTS.format("*"), JOBS):
                seen = [caller.get(path)["num_records"] for caller in (admin, alice, bob, dave)]
                assert seen[2] == seen[3] == 0 or path == JOBS
            assert [caller.ask("GET", f"{VOLUMES}/{uuid}").status_code for caller in (admin, alice, bob)] == [
                200,
                200,
                404,
            ]
            # The same name with another role: it may look at volumes, and at no policy of schedules.
            assert alice.ask("GET", "/api/storage/snapshot-policies").is_success
            assert refusal(guest.ask("GET", "/api/storage/snapshot-policies")) == DENIED
            assert guest.names() == ["mine"]


# --- what is refused ---


def test_a_user_changes_nothing_that_is_shared(alice, admin):
    group = San(admin).group("hosts", HOST)
    (svm,) = alice.get(f"{SVMS}?name=svm1")["records"]
    for verb, path, body in (
        ("POST", SVMS, {"name": "svm9"}),
        ("PATCH", f"{SVMS}/{svm['uuid']}", {"comment": "x"}),
        ("DELETE", f"{SVMS}/{svm['uuid']}", None),
        ("POST", POLICIES, {"name": "p", "svm.name": "svm1"}),
        ("POST", IGROUPS, {"name": "g", "svm.name": "svm1", "os_type": "linux"}),
        ("POST", f"{IGROUPS}/{group}/initiators", {"name": "iqn.1993-08.org.debian:01:mine"}),
        ("DELETE", f"{IGROUPS}/{group}", None),
        ("POST", CREDENTIALS, {"svm.name": "svm1", "initiator": HOST, "authentication_type": "none"}),
    ):
        assert refusal(alice.ask(verb, path, body)) == DENIED, path
    for path in ("/api/cluster", "/api/cluster/nodes", "/api/storage/aggregates", IGROUPS, POLICIES, SVMS):
        assert alice.ask("GET", path).is_success


def test_metrics_are_for_those_who_look_after_the_whole(gateway, alice, admin):
    with door(gateway, READER) as reader:
        assert [who.ask("GET", "/metrics").status_code for who in (admin, reader, alice)] == [200, 200, 403]


def test_a_reader_still_sees_everything_and_changes_nothing(gateway, alice):
    uuid = alice.volume("mine")
    with door(gateway, READER) as reader:
        assert reader.names() == ["mine"]
        for verb, body in (("PATCH", {"comment": "x"}), ("DELETE", None)):
            assert refusal(reader.ask(verb, f"{VOLUMES}/{uuid}", body)) == DENIED


# --- tokens ---


def test_an_account_and_a_token_of_one_name_are_one_caller(gateway, alice, bob):
    uuid = alice.volume("mine")
    with bearing(gateway, token("alice")) as same:
        assert same.names() == ["mine"]
        same.must("PATCH", f"{VOLUMES}/{uuid}?return_timeout=60", {"comment": "x"})
    with bearing(gateway, token("root", roles=["system.admin"], groups=["*"])) as root:
        assert root.names() == ["mine"]
        root.must("DELETE", f"{VOLUMES}/{uuid}?return_timeout=60")
    assert alice.names() == []


def test_the_role_admin_without_the_group_sees_no_more_than_others(gateway, alice):
    alice.volume("mine")
    with bearing(gateway, token("mallory", roles=["system.admin"])) as mallory:
        assert mallory.names() == []


def test_a_token_without_a_role_may_nothing(gateway, admin):
    for roles in ([], ["nonsense"]):
        with bearing(gateway, token("eve", roles=roles)) as eve:
            assert refusal(eve.ask("GET", VOLUMES)) == DENIED


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", token("x", exp=1), token("x", iss="elsewhere"), token("x", secret=SECRET[::-1])],
    ids=["empty", "nonsense", "expired", "issuer", "forged"],
)
def test_tokens_that_do_not_hold_are_answered_401(gateway, admin, text):
    headers = {"Authorization": f"Bearer {text}".strip()}
    for path in (VOLUMES, "/metrics"):
        answer = httpx.get(f"{gateway.url}{path}", headers=headers, trust_env=False)
        assert answer.status_code == 401
        assert not text or text not in answer.text


def test_nobody_is_a_guest_at_this_door(gateway, admin):
    assert httpx.get(f"{gateway.url}{VOLUMES}", trust_env=False).status_code == 401


def test_the_log_has_neither_tokens_nor_secrets(gateway, admin):
    good, bad = token("logged"), token("logged", secret=SECRET[::-1])
    for text in (good, bad):
        with bearing(gateway, text) as caller:
            caller.ask("GET", VOLUMES)
            caller.ask("DELETE", f"{VOLUMES}/{MISSING}")
    log = gateway.log.read_text()
    for secret in (SECRET, PASSWORD, good, bad, good.rpartition(".")[2], bad.rpartition(".")[2]):
        assert secret not in log
