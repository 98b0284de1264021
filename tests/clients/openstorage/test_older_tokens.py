"""Who may do what over the older REST API of a gateway that asks for tokens."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import jwt
import pytest

from gateway.testing.live import LiveGateway, live_gateway

GIB = 1 << 30
VOLUMES, CLUSTER = "/v1/osd-volumes", "/v1/cluster"
SECRET = "0123456789abcdef" * 4
CONFIG = """
[frontend.openstorage]
grpc = ""
rest = ""
older = "127.0.0.1:0"

[auth.issuer.mine]
issuer = "openstorage.io"
shared_secret = "file:{}"
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    secret = tmp_path_factory.mktemp("secret") / "secret"
    secret.write_text(SECRET, encoding="utf-8")
    secret.chmod(0o600)
    with live_gateway(tmp_path_factory.mktemp("gateway"), extra=CONFIG.format(secret)) as running:
        yield running


@pytest.fixture
def rest(guarded: LiveGateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=guarded.addresses["openstorage-older"], timeout=60) as client:
        yield client


def token(name: str, role: str, *groups: str, key: str = SECRET, **more: object) -> dict[str, str]:
    """Give the header of somebody."""
    now = int(time.time())
    claims = {
        "iss": "openstorage.io",
        "sub": name,
        "name": name,
        "email": f"{name}@example.com",
        "iat": now - 10,
        "exp": now + 86_400,  # some are made long before they are used
        "roles": [role],
        "groups": list(groups),
        **more,
    }
    return {"Authorization": f"bearer {jwt.encode(claims, key, algorithm='HS256')}"}


ADMIN = token("root", "system.admin", "*")
ALICE, BOB = token("alice", "system.user", "users"), token("bob", "system.user", "users")
NOBODY: dict[str, str] = {}
OTHER_KEY = "f" * 64


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param(NOBODY, 401, id="no token"),
        pytest.param({"Authorization": "Basic cm9vdDpyb290"}, 401, id="no bearer"),
        pytest.param({"Authorization": "bearer a.b.c"}, 401, id="nonsense"),
        pytest.param(token("root", "system.admin", "*", iss="elsewhere"), 401, id="unknown issuer"),
        pytest.param(token("root", "system.admin", "*", key=OTHER_KEY), 403, id="forged"),
        pytest.param(token("root", "system.admin", "*", exp=1), 403, id="expired"),
        pytest.param(ALICE, 403, id="user"),
        pytest.param(token("eve", "system.view", "*"), 403, id="viewer"),
        pytest.param(token("mallory", "system.guest"), 403, id="guest"),
        pytest.param(ADMIN, 200, id="administrator"),
    ],
)
def test_the_cluster_is_for_administrators(rest: httpx.Client, headers: dict[str, str], status: int) -> None:
    for path in ("/cluster/versions", f"{CLUSTER}/status", f"{CLUSTER}/schedpolicy"):
        answer = rest.get(path, headers=headers)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert status == 200 or answer.text.startswith("Access denied")
    assert rest.get(f"{CLUSTER}/nodehealth", headers=headers).text == "Node status OK\n"


def test_asking_who_is_an_administrator_leaves_no_role(rest: httpx.Client) -> None:
    rest.get(f"{CLUSTER}/status", headers=ADMIN)
    assert rest.get(f"{CLUSTER}/status", headers=ADMIN).text == "2\n"


def test_a_volume_is_its_owners(rest: httpx.Client) -> None:
    body = {"locator": {"name": "hers"}, "spec": {"size": GIB, "ha_level": 1}}
    made = rest.post(VOLUMES, json=body, headers=ALICE).json()["id"]
    assert rest.get(f"{VOLUMES}/{made}", headers=ALICE).json()[0]["spec"]["ownership"] == {"owner": "alice"}

    refused = rest.get(f"{VOLUMES}/{made}", headers=BOB)
    assert (refused.status_code, refused.text.partition(" desc")[0]) == (404, "rpc error: code = PermissionDenied")
    assert rest.get(VOLUMES, headers=BOB).json() == []
    assert [each["id"] for each in rest.get(VOLUMES, headers=ALICE).json()] == [made]
    assert "PermissionDenied" in rest.delete(f"{VOLUMES}/{made}", headers=BOB).json()["error"]
    assert rest.put(f"{VOLUMES}/{made}", json={"spec": {"size": 2 * GIB}}, headers=BOB).status_code == 400
    for operation in ("quiesce", "unquiesce"):
        told = rest.post(f"{VOLUMES}/{operation}/{made}", headers=BOB).json()
        assert told["error"].startswith("Access denied")
    refused = rest.get(f"{VOLUMES}/usedsize/{made}", headers=BOB)
    assert (refused.status_code, "Access denied" in refused.text) == (400, True)

    assert rest.delete(f"{VOLUMES}/{made}", headers=ALICE).json() == {}


def test_a_scheduler_is_a_guest_like_everybody_without_a_token(rest: httpx.Client) -> None:
    body = {"locator": {"name": "hers"}, "spec": {"size": GIB, "ha_level": 1}}
    made = rest.post(VOLUMES, json=body, headers=ALICE).json()["id"]
    told = rest.delete(f"{VOLUMES}/{made}", headers={"User-Agent": "pxd-sched/v1"}).json()
    assert "PermissionDenied" in told["error"]
    assert rest.delete(f"{VOLUMES}/{made}", headers=ALICE).json() == {}


def test_what_is_no_token_is_unauthenticated_within_200(rest: httpx.Client) -> None:
    told = rest.delete(f"{VOLUMES}/x", headers={"Authorization": "bearer nonsense"}).json()
    assert told["error"].startswith("rpc error: code = Unauthenticated desc = ")
