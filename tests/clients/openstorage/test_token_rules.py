"""Tokens, roles and ownership as the official client meets them: one test for each rule."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from openstorage_client import DOOR, Client, RefusedError, official_client

from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway, live_gateway

ISSUER = "openstorage.io"
SECRET = "a secret that is long enough for any of the three, also for the longest of them"
GIB = 1 << 30
SPEC = {"size": GIB, "ha_level": 1}
_READS = {f"Volume/{call}" for call in ("Inspect", "Stats", "SnapshotCreate", "SnapshotEnumerate", "Clone")}
_WRITES = {f"Volume/{call}" for call in ("Update", "SnapshotRestore", "SnapshotScheduleUpdate")} | {
    f"MountAttach/{call}" for call in ("Attach", "Detach")
}
"""Calls that the right to read a volume is enough for, and those that take the right to write it."""


def token(who: str, *, key: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    now = int(time.time())
    told = {
        "iss": ISSUER,
        "sub": who,
        "name": who,
        "email": f"{who}@example.com",
        "iat": now - 5,
        "exp": now + 600,
        "roles": ["system.user"],
        "groups": ["users"],
        **claims,
    }
    return jwt.encode({key: value for key, value in told.items() if value is not None}, key, algorithm=algorithm)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    folder.joinpath("token-secret").write_text(SECRET)
    extra = f'{DOOR}\n[auth.issuer.mine]\nissuer = "{ISSUER}"\nshared_secret = "file:token-secret"\n'
    with live_gateway(folder, extra=extra) as running:
        yield running


@pytest.fixture(scope="module")
def anybody(gateway: LiveGateway, openstorage_python: Path) -> Iterator[Client]:
    with official_client(openstorage_python, gateway.addresses["openstorage"]) as client:
        yield client


@pytest.fixture
def admin(anybody: Client) -> Iterator[Client]:
    client = anybody.known_as(token("admin", roles=["system.admin"], groups=["*"]))
    yield client
    for volume_id in client("Volume/Enumerate")["volume_ids"]:
        client("Volume/Delete", volume_id=volume_id)


@pytest.fixture
def user1(admin: Client) -> Client:
    return admin.known_as(token("user1"))


@pytest.fixture
def user2(admin: Client) -> Client:
    return admin.known_as(token("user2"))


def code(client: Client, call: str = "Volume/Enumerate", **request: Any) -> str:
    try:
        client(call, **request)
    except RefusedError as error:
        return error.code
    return "OK"


class TestTokens:
    @pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
    def test_of_the_issuer_are_taken(self, anybody: Client, algorithm: str) -> None:
        assert code(anybody.known_as(token("user1", algorithm=algorithm))) == "OK"

    @pytest.mark.parametrize("scheme", ["bearer", "Bearer", "BEARER"])
    def test_come_with_any_case_of_the_scheme(self, anybody: Client, scheme: str) -> None:
        assert anybody("Volume/Enumerate", _metadata=[["authorization", f"{scheme} {token('user1')}"]]) is not None

    @pytest.mark.parametrize(
        ("claims", "status"),
        [
            ({"iss": "somebody.else"}, "UNAUTHENTICATED"),
            ({"iss": ""}, "UNAUTHENTICATED"),
            ({"exp": 1_000_000}, "PERMISSION_DENIED"),
            ({"iat": int(time.time()) + 86_400}, "PERMISSION_DENIED"),
            ({"nbf": int(time.time()) + 86_400}, "PERMISSION_DENIED"),
            ({"name": None}, "PERMISSION_DENIED"),
            ({"email": None}, "PERMISSION_DENIED"),
            ({"sub": ""}, "PERMISSION_DENIED"),
            ({"roles": None}, "PERMISSION_DENIED"),
            ({"roles": ["no.such.role"]}, "PERMISSION_DENIED"),
        ],
    )
    def test_that_do_not_hold_are_refused(self, anybody: Client, claims: dict[str, Any], status: str) -> None:
        assert code(anybody.known_as(token("user1", **claims))) == status

    def test_that_were_forged_are_refused(self, anybody: Client) -> None:
        assert code(
            anybody.known_as(
                token("user1", key="another secret that is long enough for any of the three, also for the longest")
            )
        ) == ("PERMISSION_DENIED")
        unsigned = jwt.encode({**jwt.decode(token("user1"), options={"verify_signature": False})}, "", algorithm="none")
        assert code(anybody.known_as(unsigned)) == "PERMISSION_DENIED"

    @pytest.mark.parametrize("header", ["bearer not.a.token", "bearer x", "basic YTpi", "bearer a.b.c.d"])
    def test_that_are_none_are_unauthenticated(self, anybody: Client, header: str) -> None:
        with pytest.raises(RefusedError) as caught:
            anybody("Volume/Enumerate", _metadata=[["authorization", header]])
        assert caught.value.code == "UNAUTHENTICATED"

    def test_are_shown_nowhere(self, gateway: LiveGateway, anybody: Client) -> None:
        shown = token("user1", iss="somebody.else")
        _, text = anybody.known_as(shown).refused("Volume/Enumerate")
        assert shown not in text
        assert shown not in gateway.log.read_text()
        assert SECRET not in gateway.log.read_text()


class TestRoles:
    def test_without_a_token_a_caller_is_a_guest(self, anybody: Client) -> None:
        assert code(anybody) == "OK"
        assert code(anybody, "Identity/Version") == "OK"
        assert code(anybody, "Identity/Capabilities") == "PERMISSION_DENIED"
        assert code(anybody, "Role/Enumerate") == "PERMISSION_DENIED"
        assert code(anybody, "SchedulePolicy/Enumerate") == "PERMISSION_DENIED"
        with pytest.raises(RefusedError):
            anybody("Role/Enumerate", _metadata=[["authorization", ""]])

    def test_authorisation_comes_before_validation(self, user1: Client) -> None:
        assert code(user1, "Role/Create") == "PERMISSION_DENIED"

    def test_a_viewer_looks_and_changes_nothing(self, admin: Client) -> None:
        viewer = admin.known_as(token("viewer", roles=["system.view"]))
        assert code(viewer) == "OK"
        assert code(viewer, "Role/Enumerate") == "OK"
        assert code(viewer, "Volume/Create", name="v", spec=SPEC) == "PERMISSION_DENIED"

    def test_any_of_several_roles_is_enough_and_a_denial_binds_its_own_role_only(self, admin: Client) -> None:
        rules = [{"services": ["volume", "!mountattach"], "apis": ["*", "!delete"]}]
        admin("Role/Create", role={"name": "careful", "rules": rules})
        careful = admin.known_as(token("c", roles=["careful"]))
        both = admin.known_as(token("c", roles=["careful", "system.user"]))
        assert code(careful, "Volume/Create", name="v", spec=SPEC) == "OK"
        assert code(careful, "Volume/Delete", volume_id="v") == "PERMISSION_DENIED"
        assert code(careful, "MountAttach/Attach", volume_id="v") == "PERMISSION_DENIED"
        assert code(both, "Volume/Delete", volume_id="v") == "OK"
        admin("Role/Delete", name="careful")
        assert code(careful) == "PERMISSION_DENIED"

    def test_guests_can_be_shut_out(self, admin: Client, anybody: Client) -> None:
        before = admin("Role/Inspect", name="system.guest")["role"]
        admin("Role/Update", role={"name": "system.guest", "rules": [{"services": ["!*"], "apis": ["!*"]}]})
        try:
            assert code(anybody) == "PERMISSION_DENIED"
        finally:
            admin("Role/Update", role=before)


class TestOwnership:
    def made(self, client: Client, name: str = "v", **ownership: Any) -> str:
        spec = {**SPEC, **({"ownership": ownership} if ownership else {})}
        return str(client("Volume/Create", name=name, spec=spec)["volume_id"])

    def ownership(self, client: Client, volume_id: str) -> Any:
        return client("Volume/Inspect", volume_id=volume_id)["volume"]["spec"].get("ownership")

    def test_the_owner_is_the_caller_whatever_is_asked_for(self, user1: Client) -> None:
        assert self.ownership(user1, self.made(user1, owner="somebody"))["owner"] == "user1"

    def test_what_a_guest_makes_is_public(self, anybody: Client, admin: Client, user1: Client) -> None:
        made = self.made(anybody)
        assert self.ownership(admin, made) is None
        assert code(user1, "Volume/Update", volume_id=made, labels={"a": "1"}) == "OK"

    def test_others_do_not_see_it_and_administrators_do(self, user1: Client, user2: Client, admin: Client) -> None:
        made = self.made(user1)
        assert user2("Volume/Enumerate")["volume_ids"] == []
        assert admin("Volume/Enumerate")["volume_ids"] == [made]
        status, text = user2.refused("Volume/Inspect", volume_id=made)
        assert (status, "Access denied" in text) == ("PERMISSION_DENIED", True)

    def test_the_scenario_of_the_suite(self, user1: Client, user2: Client, admin: Client) -> None:
        made = self.made(user1)
        groups = {"acls": {"groups": {"users": "Read"}}}
        user1("Volume/Update", volume_id=made, spec={"ownership": groups})
        assert user2("Volume/Enumerate")["volume_ids"] == [made]
        assert code(user2, "Volume/Update", volume_id=made, spec={"ownership": groups}) == "PERMISSION_DENIED"
        more = {"acls": {"groups": {"users": "Read", "testers": "Write"}}}
        admin("Volume/Update", volume_id=made, spec={"ownership": more})
        shown = self.ownership(admin, made)
        assert (shown["owner"], shown["acls"]["groups"]) == ("user1", {"users": "Read", "testers": "Write"})

    @pytest.mark.parametrize(
        ("right", "allowed"),
        [("Read", _READS), ("Write", _READS | _WRITES), ("Admin", _READS | _WRITES | {"Volume/Delete"})],
    )
    def test_each_level_allows_what_it_says(self, user1: Client, user2: Client, right: str, allowed: set[str]) -> None:
        made = self.made(user1, acls={"collaborators": {"user2": right}})
        taken = user1("Volume/SnapshotCreate", volume_id=made, name="s")["snapshot_id"]
        more: dict[str, dict[str, Any]] = {
            "Volume/SnapshotCreate": {"name": "t"},
            "Volume/Clone": {"name": "c", "parent_id": made},
            "Volume/Update": {"labels": {"a": "1"}},
            "Volume/SnapshotRestore": {"snapshot_id": taken},
        }
        found = set()
        for call in (*sorted(_READS), *sorted(_WRITES), "Volume/Delete"):
            request = {**({} if call == "Volume/Clone" else {"volume_id": made}), **more.get(call, {})}
            status = code(user2, call, **request)
            assert status in {"OK", "PERMISSION_DENIED"}, call
            found |= {call} if status == "OK" else set()
        assert found == allowed

    def test_public_rights_are_everybodys(self, user1: Client, anybody: Client) -> None:
        made = self.made(user1, acls={"public": {"type": "Read"}})
        assert anybody("Volume/Inspect", volume_id=made)["volume"]["id"] == made
        assert code(anybody, "Volume/Update", volume_id=made, labels={"a": "1"}) == "PERMISSION_DENIED"

    def test_the_best_of_several_groups_counts(self, user1: Client, admin: Client) -> None:
        made = self.made(user1, acls={"groups": {"users": "Read", "testers": "Write"}})
        both = admin.known_as(token("user3", groups=["users", "testers"]))
        assert code(both, "Volume/Update", volume_id=made, labels={"a": "1"}) == "OK"

    def test_a_name_that_is_taken_by_anothers_volume_is_denied(self, user1: Client, user2: Client) -> None:
        self.made(user1)
        assert code(user2, "Volume/Create", name="v", spec=SPEC) == "PERMISSION_DENIED"

    def test_a_snapshot_has_the_owner_of_its_volume(self, user1: Client, user2: Client) -> None:
        taken = user1("Volume/SnapshotCreate", volume_id=self.made(user1), name="s")["snapshot_id"]
        assert self.ownership(user1, taken)["owner"] == "user1"
        assert code(user2, "Volume/Inspect", volume_id=taken) == "PERMISSION_DENIED"
        assert user2("Volume/SnapshotEnumerate")["volume_snapshot_ids"] == []

    def test_a_clone_is_its_makers(self, user1: Client, user2: Client) -> None:
        made = self.made(user1, acls={"groups": {"users": "Read"}})
        clone = user2("Volume/Clone", name="c", parent_id=made)["volume_id"]
        assert self.ownership(user2, clone) == {"owner": "user2"}

    def test_only_administrators_name_another_owner(self, user1: Client, admin: Client) -> None:
        made = self.made(user1)
        other = {"ownership": {"owner": "user2"}}
        assert code(user1, "Volume/Update", volume_id=made, spec=other) == "PERMISSION_DENIED"
        admin("Volume/Update", volume_id=made, spec=other)
        assert self.ownership(admin, made)["owner"] == "user2"

    def test_of_a_storage_policy_is_changed_by_those_who_administer_it(self, admin: Client) -> None:
        acls = {"groups": {"users": "Write"}}
        policy: dict[str, Any] = {"name": "p", "policy": {"cos": "HIGH"}, "ownership": {"acls": acls}}
        admin("Policy/Create", storage_policy=policy)
        admin("Role/Create", role={"name": "planner", "rules": [{"services": ["policy"], "apis": ["*"]}]})
        writer = admin.known_as(token("user1", roles=["planner"]))
        more = {**policy, "ownership": {"acls": {"groups": {"users": "Admin"}}}}
        try:
            assert code(writer, "Policy/Update", storage_policy=more) == "PERMISSION_DENIED"
            assert code(writer, "Policy/Update", storage_policy={"name": "p", "policy": {"cos": "LOW"}}) == "OK"
            assert admin("Policy/Inspect", name="p")["storage_policy"]["ownership"]["acls"]["groups"] == acls["groups"]
            assert code(admin, "Policy/Update", storage_policy=more) == "OK"
        finally:
            admin("Role/Delete", name="planner")
            admin("Policy/Delete", name="p")

    def test_it_binds_in_the_ontap_door_too(self, gateway: LiveGateway, user1: Client) -> None:
        made = self.made(user1)
        volumes = f"{gateway.url}/api/storage/volumes"

        def asked(name: str, path: str = "") -> httpx.Response:
            return httpx.get(f"{volumes}{path}", headers={"Authorization": f"Bearer {token(name)}"})

        assert [each["uuid"] for each in asked("user1").json()["records"]] == [made]
        assert asked("user2").json()["num_records"] == 0
        assert asked("user2", f"/{made}").status_code == 404
        assert len(httpx.get(volumes, auth=(ACCOUNT, PASSWORD)).json()["records"]) == 1
