"""The driver's methods are those that Manila knows, and take what Manila's own code passes to them.

Nothing upstream checks that: a wrong name of a parameter is a TypeError, seen
only as access rules, shares and snapshots in error.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import manila.share
import pytest
from manila.share import driver as upstream

from gateway.frontends.manila_driver import GatewayShareDriver

BASE = upstream.ShareDriver
CALLERS = ("manager.py", "access.py", "snapshot_access.py", "migration.py")

# What can be left as the base has it, and why.
LEFT: dict[str, str] = {
    **dict.fromkeys(
        [
            "allocate_admin_network",
            "allocate_network",
            "check_update_share_server_network_allocations",
            "check_update_share_server_security_service",
            "choose_share_server_compatible_with_share",
            "choose_share_server_compatible_with_share_group",
            "deallocate_network",
            "get_admin_network_allocations_number",
            "get_network_allocations_number",
            "get_share_server_network_info",
            "get_share_server_pools",
            "manage_existing_snapshot_with_server",
            "manage_existing_with_server",
            "manage_server",
            "setup_server",
            "share_server_migration_cancel",
            "share_server_migration_check_compatibility",
            "share_server_migration_complete",
            "share_server_migration_continue",
            "share_server_migration_get_progress",
            "share_server_migration_start",
            "teardown_server",
            "unmanage_server",
            "unmanage_snapshot_with_server",
            "unmanage_with_server",
            "update_admin_network_allocation",
            "update_network_allocation",
            "update_share_network_subnet_from_metadata",
            "update_share_server_network_allocations",
            "update_share_server_security_service",
        ],
        "of share servers, which this driver does not handle",
    ),
    **dict.fromkeys(
        [
            "create_replica",
            "create_replicated_snapshot",
            "delete_replica",
            "delete_replicated_snapshot",
            "promote_replica",
            "revert_to_replicated_snapshot",
            "update_replica_state",
            "update_replicated_snapshot",
        ],
        "of replicas, which the gateway does not have",
    ),
    **dict.fromkeys(
        [
            "create_backup",
            "create_backup_continue",
            "delete_backup",
            "restore_backup",
            "restore_backup_continue",
        ],
        "of backups by the storage itself; Manila's data service makes its own",
    ),
    **dict.fromkeys(
        [
            "migration_cancel",
            "migration_check_compatibility",
            "migration_complete",
            "migration_continue",
            "migration_get_progress",
            "migration_start",
        ],
        "of migration by the storage itself; Manila's data service copies",
    ),
    **dict.fromkeys(
        [
            "create_share_group",
            "create_share_group_from_share_group_snapshot",
            "delete_share_group",
            "delete_share_group_snapshot",
        ],
        "the base makes them of shares and snapshots, one after the other",
    ),
    "allow_access": "`update_access` is there",
    "deny_access": "`update_access` is there",
    "ensure_share": "`ensure_shares` is there",
    "snapshot_update_access": "snapshots cannot be mounted",
    "transfer_accept": "the gateway keeps neither user nor project",
    "update_share_from_metadata": "no metadata means anything to the gateway",
    "connection_get_info": "the base makes it of the options for mounting",
    "get_periodic_hook_data": "the base hands on what it gets",
}


def public(kind: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") or name == "_update_share_stats"
    }


OURS = {name: member for name, member in public(GatewayShareDriver).items() if name in vars(GatewayShareDriver)}


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_method_takes_what_the_base_takes(name: str) -> None:
    ours, theirs = inspect.signature(OURS[name]).parameters, inspect.signature(public(BASE)[name]).parameters
    told = [(one.name, one.kind, one.default) for one in theirs.values()]
    assert [(one.name, one.kind, one.default) for one in ours.values()] == told


def calls() -> Iterator[tuple[str, int, ast.Call]]:
    """Yield every call of a method of the driver in Manila's own code: file, method and call."""
    folder = Path(manila.share.__file__).parent
    for file in CALLERS:
        for node in ast.walk(ast.parse((folder / file).read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = node.func.value
            if isinstance(owner, ast.Attribute) and owner.attr == "driver" and isinstance(owner.value, ast.Name):
                yield file, node.lineno, node


CALLS = list(calls())


def test_there_are_calls_to_look_at() -> None:
    called = {node.func.attr for _, _, node in CALLS if isinstance(node.func, ast.Attribute)}
    assert {"create_share", "update_access", "ensure_shares", "revert_to_snapshot", "snapshot_update_access"} <= called


@pytest.mark.parametrize(
    "call",
    [pytest.param(node, id=f"{file}:{line}-{node.func.attr}") for file, line, node in CALLS],  # type: ignore[attr-defined]
)
def test_a_call_fits(call: ast.Call) -> None:
    assert isinstance(call.func, ast.Attribute)
    method = getattr(GatewayShareDriver, call.func.attr)
    positional = [object() for one in call.args if not isinstance(one, ast.Starred)]
    keywords = {word.arg: object() for word in call.keywords if word.arg is not None}
    inspect.signature(method).bind(object(), *positional, **keywords)


def test_nothing_that_manila_calls_is_left_out_by_mistake() -> None:
    called = {node.func.attr for _, _, node in CALLS if isinstance(node.func, ast.Attribute)}
    inherited = {name for name in public(BASE) if name not in OURS}
    derived = {"get_share_stats", "get_default_filter_function", "get_default_goodness_function"}
    known = set(LEFT) | derived | {"add_ip_version_capability", "get_filter_function", "get_goodness_function"}
    assert (called & inherited) <= known
    assert not set(LEFT) & set(OURS)
    assert set(LEFT) <= set(public(BASE))


def test_what_presence_says_is_meant() -> None:
    """Manila concludes from overridden methods what a driver can."""
    driver = object.__new__(GatewayShareDriver)
    assert driver.snapshots_are_supported
    assert driver.creating_shares_from_snapshots_is_supported
