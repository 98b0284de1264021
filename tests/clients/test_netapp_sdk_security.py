"""The official SDK, unmodified: accounts, roles and their rules, passwords, audit and events, and what they allow."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from netapp_ontap import HostConnection
from netapp_ontap.resources import (
    Account,
    AccountPassword,
    EmsEvent,
    Node,
    Role,
    RolePrivilege,
    SecurityAuditLog,
    Svm,
    Volume,
)
from sdk_scene import OWN_WARNINGS, SVM, patch, refused, sdk, volume

from gateway.testing.live import live_gateway

pytestmark = OWN_WARNINGS
GOOD = "horse-battery-1"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with live_gateway(tmp_path_factory.mktemp("security"), tls=True) as running:
        yield running


@pytest.fixture(autouse=True)
def connection(gateway):
    with sdk(gateway) as connected:
        yield connected
        for name in ("guest", "vic"):
            Account.delete_collection(name=name)
        Role.delete_collection(name="looker")
        Volume.delete_collection(name="*")


def as_account(gateway, name: str, password: str = GOOD) -> HostConnection:
    address = urlsplit(gateway.url)
    return HostConnection(address.hostname, name, password, verify=False, port=address.port, scheme=address.scheme)


def test_an_account_with_a_role_of_its_own_through_its_life(gateway) -> None:
    volume("v1", "memory")
    role = Role(name="looker", privileges=[{"path": "/api/storage/volumes", "access": "readonly"}])
    role.post(hydrate=True)
    assert role.builtin is False
    account = Account(name="guest", role={"name": "looker"}, password=GOOD, comment="looks")
    account.applications = [{"application": "http", "authentication_methods": ["password"]}]
    account.post(hydrate=True)
    assert (account.scope, account.locked, account.role.name) == ("cluster", False, "looker")
    with as_account(gateway, "guest"):
        found = next(iter(Volume.get_collection(name="v1")))
        with refused("6", status=403):
            patch(found, comment="x")
        with refused("6", status=403):
            list(Svm.get_collection())
    rule = RolePrivilege(role.owner.uuid, role.name, path="/api/storage/volumes")
    rule.access = "read_modify"
    rule.patch()
    assert [r.access for r in RolePrivilege.get_collection(role.owner.uuid, role.name)] == ["read_modify"]
    more = RolePrivilege(role.owner.uuid, role.name, path="/api/svm/svms", access="readonly")
    more.post()
    with as_account(gateway, "guest"):
        assert [svm.name for svm in Svm.get_collection()] == ["svm1"]
    more.delete()
    with as_account(gateway, "guest"), refused("6", status=403):
        list(Svm.get_collection())
    with refused("5636172"):
        role.delete()
    AccountPassword(name="guest", password="tortoise-22").post()
    with as_account(gateway, "guest"), refused("6691623", status=401):
        list(Volume.get_collection())
    change = Account(name="guest", **{"owner.uuid": account.owner.uuid})
    change.locked = True
    change.patch()
    with as_account(gateway, "guest", "tortoise-22"), refused("6691623", status=401):
        list(Volume.get_collection())
    assert Account.count_collection(locked=True) == 1
    account.delete()
    assert Account.find(name="guest") is None
    role.delete()


def test_an_account_of_an_svm(gateway) -> None:
    Account(name="vic", owner=SVM, password=GOOD).post()
    found = Account.find(name="vic")
    found.get()
    assert (found.scope, found.role.name, found.owner.name) == ("svm", "vsadmin", "svm1")
    with as_account(gateway, "vic"):
        with refused("6", status=403):
            list(Node.get_collection())
        volume("v2", "memory")
        assert [svm.name for svm in Svm.get_collection()] == ["svm1"]
        assert [account.name for account in Account.get_collection()] == ["vic"]
        with refused("6", status=403):
            Svm(name="another").post()


def test_what_was_done_is_told() -> None:
    volume("v3", "memory")
    lines = list(SecurityAuditLog.get_collection(input="volume.create*", fields="*", max_records=5))
    assert {line.user for line in lines} >= {"admin"}
    assert all(line.node.name for line in lines)
    events = list(EmsEvent.get_collection(fields="*", **{"message.name": "gateway.volume.create"}))
    assert events
    assert {parameter.name for parameter in events[0].parameters} >= {"user", "outcome", "target"}
