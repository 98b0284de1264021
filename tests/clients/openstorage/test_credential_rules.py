"""Credentials as the official client keeps them, at a store that looks at signatures: one test for each rule."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from openstorage_client import DOOR, Client, official_client

from gateway.backends.s3.bucket import client
from gateway.testing.live import LiveGateway, live_gateway
from gateway.testing.object_store import BUCKET, S3Server, make_bucket, options_at

pytestmark = pytest.mark.root
NOBODY = "8b6c0b0e-3d1c-4a6f-9d0a-7a1b7c9d0001"
ISSUER = "openstorage.io"
SIGNING = "a secret that is long enough for any of the three, also for the longest of them"
WRONG = "not-the-secret-of-anybody"


def token(name: str, role: str = "system.user", *groups: str) -> str:
    now = int(time.time())
    told = {"iss": ISSUER, "sub": name, "name": name, "email": f"{name}@example.com", "iat": now - 5, "exp": now + 600}
    return jwt.encode({**told, "roles": [role], "groups": groups}, SIGNING, algorithm="HS256")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    folder.joinpath("token-secret").write_text(SIGNING)
    extra = f'{DOOR}\n[auth.issuer.mine]\nissuer = "{ISSUER}"\nshared_secret = "file:token-secret"\n'
    with live_gateway(folder, extra=extra) as running:
        yield running


@pytest.fixture(scope="module")
def anybody(gateway: LiveGateway, openstorage_python: Path) -> Iterator[Client]:
    with official_client(openstorage_python, gateway.addresses["openstorage"]) as client:
        yield client


@pytest.fixture
def admin(anybody: Client) -> Iterator[Client]:
    client = anybody.known_as(token("admin", "system.admin", "*"))
    yield client
    for credential_id in client("Credentials/Enumerate")["credential_ids"]:
        client("Credentials/Delete", credential_id=credential_id)


@pytest.fixture
def user(admin: Client) -> Client:
    return admin.known_as(token("user"))


@pytest.fixture
def other(admin: Client) -> Client:
    return admin.known_as(token("other", "system.user", "friends"))


@pytest.fixture
def account(ceph: S3Server) -> dict[str, Any]:
    """Give what the store takes."""
    return {"access_key": ceph.access, "secret_key": ceph.secret, "endpoint": ceph.url, "region": "us-east-1"}


def create(client: Client, account: dict[str, Any], **more: Any) -> str:
    request = {"name": "backups", "bucket": BUCKET, "aws_credential": account, **more}
    return str(client("Credentials/Create", **request)["credential_id"])


def test_a_credential_is_shown_without_its_secret(user: Client, account: dict[str, Any]) -> None:
    made = create(user, account, s3_storage_class="STANDARD")
    shown = user("Credentials/Inspect", credential_id=made)
    assert (shown["credential_id"], shown["name"], shown["bucket"]) == (made, "backups", BUCKET)
    aws = shown["aws_credential"]
    assert {key: aws[key] for key in ("access_key", "endpoint", "region", "s3_storage_class")} == {
        "access_key": account["access_key"],
        "endpoint": account["endpoint"],
        "region": "us-east-1",
        "s3_storage_class": "STANDARD",
    }
    assert shown["ownership"]["owner"] == "user"
    assert account["secret_key"] not in str(shown)
    user("Credentials/Validate", credential_id=made)


def test_it_is_known_by_its_name_too(user: Client, account: dict[str, Any]) -> None:
    made = create(user, account)
    assert user("Credentials/Inspect", credential_id="backups")["credential_id"] == made
    create(user, account)
    assert user.refused("Credentials/Inspect", credential_id="backups")[0] == "INVALID_ARGUMENT"
    assert user("Credentials/Inspect", credential_id=made)["credential_id"] == made


@pytest.mark.parametrize("missing", ["access_key", "secret_key", "endpoint", "region"])
def test_every_field_of_an_account_is_needed(user: Client, account: dict[str, Any], missing: str) -> None:
    given = {**account, missing: ""}
    assert user.refused("Credentials/Create", name="c", aws_credential=given)[0] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    "request_",
    [
        {"name": ""},
        {"name": "c"},
        {"name": "c", "aws_credential": {}},
        {"name": "c", "azure_credential": {"account_name": "a"}},
        {"name": "c", "azure_credential": {"account_key": "k"}},
        {"name": "c", "google_credential": {"project_id": "p"}},
        {"name": "c", "google_credential": {"json_key": "{}"}},
        {"name": "c", "nfs_credential": {"sub_path": "/p"}},
        {"name": "c", "encryption_key": "k", "aws_credential": {}},
    ],
)
def test_what_says_too_little_or_too_much_is_invalid(user: Client, request_: dict[str, Any]) -> None:
    assert user.refused("Credentials/Create", **request_)[0] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    "endpoint", ["ftp://store", "http://", "http://a:b@store", "store/?x=y", "one,two", "a b", "["]
)
def test_an_endpoint_is_a_host_or_a_url(user: Client, account: dict[str, Any], endpoint: str) -> None:
    given = {**account, "endpoint": endpoint}
    assert user.refused("Credentials/Create", name="c", aws_credential=given)[0] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    "given",
    [
        {"azure_credential": {"account_name": "a", "account_key": "k"}},
        {"google_credential": {"project_id": "p", "json_key": "{}"}},
        {"nfs_credential": {"server": "s", "sub_path": "/p"}},
    ],
)
def test_what_cannot_be_tried_is_not_kept(user: Client, given: dict[str, Any]) -> None:
    status, text = user.refused("Credentials/Create", name="c", **given)
    assert (status, "S3" in text) == ("PERMISSION_DENIED", True)
    assert user("Credentials/Enumerate")["credential_ids"] == []


@pytest.mark.parametrize(
    ("change", "bucket"),
    [
        ({"secret_key": WRONG}, BUCKET),
        ({"access_key": "nobody"}, BUCKET),
        ({"secret_key": WRONG}, ""),
        ({}, "no-such-bucket"),
        ({"endpoint": "http://127.0.0.1:1"}, BUCKET),
    ],
)
def test_what_the_store_does_not_take_is_not_kept(
    user: Client, account: dict[str, Any], change: dict[str, str], bucket: str
) -> None:
    given = {**account, **change}
    status, text = user.refused("Credentials/Create", name="c", bucket=bucket, aws_credential=given)
    assert status == "PERMISSION_DENIED"
    assert given["secret_key"] not in text
    assert user("Credentials/Enumerate")["credential_ids"] == []


def test_a_host_is_enough_of_an_endpoint_where_tls_is_off(user: Client, account: dict[str, Any]) -> None:
    host = account["endpoint"].removeprefix("http://")
    made = create(user, {**account, "endpoint": host, "disable_ssl": True}, bucket="")
    assert user("Credentials/Inspect", credential_id=made)["aws_credential"]["endpoint"] == host
    assert user.refused("Credentials/Create", name="c", aws_credential={**account, "endpoint": host})[0] == (
        "PERMISSION_DENIED"
    )


def test_an_update_changes_what_it_names(user: Client, account: dict[str, Any]) -> None:
    made = create(user, account)
    user("Credentials/Update", credential_id=made, update_req={"name": "renamed", "aws_credential": {"region": "eu"}})
    shown = user("Credentials/Inspect", credential_id=made)
    assert (shown["name"], shown["bucket"], shown["aws_credential"]["region"]) == ("renamed", BUCKET, "eu")
    assert shown["aws_credential"]["access_key"] == account["access_key"]
    user("Credentials/Validate", credential_id=made)


def test_an_update_that_the_store_does_not_take_changes_nothing(user: Client, account: dict[str, Any]) -> None:
    made = create(user, account)
    before = user("Credentials/Inspect", credential_id=made)
    for wanted in ({"secret_key": WRONG}, {"endpoint": "http://127.0.0.1:1"}):
        update = {"update_req": {"aws_credential": wanted}}
        assert user.refused("Credentials/Update", credential_id=made, **update)[0] == "PERMISSION_DENIED"
    assert user("Credentials/Inspect", credential_id=made) == before
    user("Credentials/Validate", credential_id=made)


def test_a_bucket_that_goes_makes_it_invalid(user: Client, ceph: S3Server, account: dict[str, Any]) -> None:
    make_bucket(ceph, "leaves-soon")
    made = create(user, account, bucket="leaves-soon")
    client(options_at(ceph, "leaves-soon"), ceph.url).delete_bucket(Bucket="leaves-soon")
    status, text = user.refused("Credentials/Validate", credential_id=made)
    assert (status, "the bucket is gone" in text) == ("INTERNAL", True)


def test_unknown_and_empty_ids(user: Client) -> None:
    for call in ("Inspect", "Delete", "Validate"):
        assert user.refused(f"Credentials/{call}")[0] == "INVALID_ARGUMENT"
        assert user.refused(f"Credentials/{call}", credential_id=NOBODY)[0] == "NOT_FOUND"
    update = {"update_req": {"aws_credential": {"region": "eu"}}}
    assert user.refused("Credentials/Update", **update)[0] == "INVALID_ARGUMENT"
    assert user.refused("Credentials/Update", credential_id=NOBODY, **update)[0] == "NOT_FOUND"
    assert user.refused("Credentials/DeleteReferences")[0] == "INVALID_ARGUMENT"
    user("Credentials/DeleteReferences", credential_id=NOBODY)


def test_a_deleted_credential_is_gone(user: Client, account: dict[str, Any]) -> None:
    made = create(user, account)
    assert user("Credentials/Enumerate")["credential_ids"] == [made]
    user("Credentials/DeleteReferences", credential_id=made)
    user("Credentials/Delete", credential_id=made)
    assert user("Credentials/Enumerate")["credential_ids"] == []
    assert user.refused("Credentials/Delete", credential_id=made)[0] == "NOT_FOUND"


def test_it_is_its_makers(user: Client, other: Client, admin: Client, account: dict[str, Any]) -> None:
    made = create(user, account)
    assert other("Credentials/Enumerate")["credential_ids"] == []
    for call in ("Inspect", "Validate", "Delete", "DeleteReferences"):
        assert other.refused(f"Credentials/{call}", credential_id=made)[0] == "PERMISSION_DENIED"
    assert admin("Credentials/Enumerate")["credential_ids"] == [made]
    admin("Credentials/Delete", credential_id=made)


def test_others_do_what_its_ownership_lets_them(user: Client, other: Client, account: dict[str, Any]) -> None:
    made = create(user, account, ownership={"acls": {"groups": {"friends": "Write"}}})
    assert other("Credentials/Enumerate")["credential_ids"] == [made]
    other("Credentials/Validate", credential_id=made)
    update = {"update_req": {"name": "mine", "aws_credential": {}}}
    assert other.refused("Credentials/Update", credential_id=made, **update)[0] == "PERMISSION_DENIED"
    assert other.refused("Credentials/Delete", credential_id=made)[0] == "PERMISSION_DENIED"
    grant = {"ownership": {"acls": {"collaborators": {"other": "Admin"}}}, "aws_credential": {}}
    user("Credentials/Update", credential_id=made, update_req=grant)
    assert user("Credentials/Inspect", credential_id=made)["ownership"]["owner"] == "user"
    other("Credentials/Delete", credential_id=made)


def test_the_machines_own_account_is_for_administrators(user: Client, admin: Client, account: dict[str, Any]) -> None:
    place = {"endpoint": account["endpoint"], "region": account["region"]}
    mine = {"name": "c", "bucket": BUCKET, "iam_policy": True}
    status, text = user.refused("Credentials/Create", **mine, aws_credential=place)
    assert (status, "the machine's own account" in text) == ("PERMISSION_DENIED", True)
    assert admin.refused("Credentials/Create", **mine, aws_credential=account)[0] == "INVALID_ARGUMENT"


def test_a_secret_key_is_in_the_catalog_alone(gateway: LiveGateway, user: Client, account: dict[str, Any]) -> None:
    secret = account["secret_key"]
    made = create(user, account)
    user("Credentials/Update", credential_id=made, update_req={"aws_credential": {"secret_key": secret}})
    user.refused("Credentials/Create", name="c", aws_credential={**account, "secret_key": WRONG})
    assert secret not in gateway.log.read_text()
    assert WRONG not in gateway.log.read_text()
    where = {path.name for path in gateway.data.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()}
    assert where <= {"catalog.sqlite", "catalog.sqlite-wal"}


def test_over_http_it_is_the_same(gateway: LiveGateway, user: Client, account: dict[str, Any]) -> None:
    headers = {"authorization": f"bearer {token('user')}"}
    with httpx.Client(base_url=gateway.addresses["openstorage-rest"], headers=headers) as rest:
        sent = {"name": "rest", "bucket": BUCKET, "aws_credential": account}
        made = rest.post("/v1/credentials", json=sent).json()["credential_id"]
        assert rest.get("/v1/credentials").json() == {"credential_ids": [made]}
        shown = rest.get(f"/v1/credentials/inspect/{made}").json()
        assert shown["aws_credential"]["access_key"] == account["access_key"]
        assert account["secret_key"] not in str(shown)
        change = {"update_req": {"name": "again", "aws_credential": {}}}
        assert rest.put(f"/v1/credentials/{made}", json=change).json() == {}
        assert user("Credentials/Inspect", credential_id=made)["name"] == "again"
        assert rest.get(f"/v1/credentials/validate/{made}").json() == {}
        assert rest.delete(f"/v1/credentials/references/{made}").json() == {}
        assert rest.delete(f"/v1/credentials/{made}").json() == {}
        assert rest.get(f"/v1/credentials/inspect/{made}").status_code == httpx.codes.NOT_FOUND
