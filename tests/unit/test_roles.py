"""Roles: how rules match, what the built-in roles allow, and the life of others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import errors, roles
from gateway.core.context import Core
from gateway.core.model import AccessRole, RoleRule
from gateway.core.observer import SilentObserver
from gateway.core.principal import Principal
from gateway.core.query import ALL
from gateway.core.rebuild import rebuild
from gateway.core.roles import BUILTIN, allows, matches
from gateway.testing.cores import core_on, memory_pool
from gateway.testing.records import CREATED


def rule(services: str, apis: str) -> RoleRule:
    return RoleRule(services=tuple(services.split()), apis=tuple(apis.split()))


def role(*rules: RoleRule, name: str = "r") -> AccessRole:
    return AccessRole(id=roles.role_id(name), name=name, created=CREATED, rules=rules)


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    async with core_on(tmp_path, [memory_pool()]) as made:
        yield made


async def may(core: Core, service: str, api: str, *names: str) -> bool:
    await core.known.renew()
    try:
        await roles.authorize(core, Principal(name="x", roles=names), service, api)
    except errors.PermissionDenied:
        return False
    return True


# --- patterns ---


_words = st.text("ab*!", max_size=5)
_plain = st.text("ab", max_size=4)


@given(word=_words)
def test_star_matches_all(word: str) -> None:
    assert matches("*", word)


@given(word=_plain, rest=_plain)
def test_prefix_pattern(word: str, rest: str) -> None:
    assert matches(f"{word}*", word + rest)
    assert matches(f"{word}*", rest) == rest.startswith(word)


@given(word=_plain, rest=_plain)
def test_suffix_pattern(word: str, rest: str) -> None:
    assert matches(f"*{word}", rest + word)
    assert matches(f"*{word}", rest) == rest.endswith(word)


@given(before=_plain, word=_plain, after=_plain)
def test_contains_pattern(before: str, word: str, after: str) -> None:
    assert matches(f"*{word}*", before + word + after)
    assert matches(f"*{word}*", before) == (word in before)


@given(pattern=st.text("ab", min_size=1, max_size=4), word=_plain)
def test_exact_pattern(pattern: str, word: str) -> None:
    assert matches(pattern, word) == (pattern == word)


def test_a_star_in_the_middle_is_only_a_star() -> None:
    assert not matches("a*b", "axb")
    assert matches("a*b", "a*b")


# --- rules ---


def test_service_and_api_must_match_in_one_rule() -> None:
    made = role(rule("volume", "create"), rule("cluster", "inspect"))
    assert allows(made, "volume", "create")
    assert not allows(made, "volume", "inspect")
    assert not allows(made, "cluster", "create")


def test_a_denied_service_refuses_whatever_else_is_there() -> None:
    assert not allows(role(rule("*", "*"), rule("!volume", "*")), "volume", "create")
    assert allows(role(rule("* !volume", "*")), "cluster", "create")
    assert not allows(role(rule("* !vol*", "*")), "volume", "create")


def test_a_denied_api_refuses_within_a_matching_service_only() -> None:
    made = role(rule("volume", "* !delete"), rule("*", "*"))
    assert not allows(made, "volume", "delete")
    assert allows(made, "volume", "create")
    assert allows(made, "cluster", "delete")


def test_a_denial_alone_allows_nothing() -> None:
    assert not allows(role(rule("volume", "!delete")), "volume", "create")
    assert not allows(role(rule("!volume", "*")), "cluster", "create")


_pattern = st.sampled_from(["volume", "cluster", "vol*", "*me", "*o*", "*", "!volume", "!clu*", "!*"])
_rule = st.builds(
    RoleRule,
    services=st.lists(_pattern, min_size=1, max_size=3).map(tuple),
    apis=st.lists(_pattern, min_size=1, max_size=3).map(tuple),
)


@given(rules=st.lists(_rule, min_size=1, max_size=4), more=_rule, service=_plain, api=_plain)
def test_denials_never_widen(rules: list[RoleRule], more: RoleRule, service: str, api: str) -> None:
    """Taking a rule's denials for a rule of its own never allows what the role without them refused."""
    denials = RoleRule(services=("*",), apis=tuple(p for p in more.apis if p.startswith("!")) or ("!none",))
    if allows(role(*rules, denials), service, api):
        assert allows(role(*rules), service, api)


@given(rules=st.lists(_rule, min_size=1, max_size=4), order=st.randoms())
def test_the_order_of_rules_means_nothing(rules: list[RoleRule], order: object) -> None:
    mixed = list(rules)
    order.shuffle(mixed)  # type: ignore[attr-defined]
    for service in ("volume", "cluster"):
        for api in ("volume", "cluster"):
            assert allows(role(*rules), service, api) == allows(role(*mixed), service, api)


# --- the built-in roles ---


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("system.admin", ["role.create", "cluster.update", "volume.delete"], []),
        (
            "system.view",
            ["volume.enumeratewithfilters", "volume.snapshotenumerate", "role.inspect", "volume.stats", "identity.x"],
            ["volume.create", "role.create", "volume.snapshotinspect", "mountattach.attach"],
        ),
        (
            "system.user",
            ["volume.create", "mountattach.mount", "schedulepolicy.delete", "cluster.inspectcurrent", "policy.inspect"],
            ["role.create", "role.inspect", "cluster.update", "policy.create", "node.drain"],
        ),
        (
            "system.guest",
            ["volume.delete", "mountattach.attach", "identity.version", "node.enumerate"],
            ["identity.capabilities", "schedulepolicy.create", "role.inspect", "credentials.create"],
        ),
    ],
)
async def test_what_the_builtin_roles_allow(core: Core, name: str, yes: list[str], no: list[str]) -> None:
    for call in yes:
        assert await may(core, *call.split("."), name), call
    for call in no:
        assert not await may(core, *call.split("."), name), call


async def test_any_role_may_allow_and_unknown_ones_are_ignored(core: Core) -> None:
    await roles.create(core, "snapper", [rule("volume", "snapshot*")])
    assert await may(core, "volume", "snapshotcreate", "nonsense", "snapper")
    assert not await may(core, "volume", "create", "nonsense", "snapper")
    assert await may(core, "volume", "create", "snapper", "system.user")
    assert not await may(core, "volume", "create")
    assert not await may(core, "volume", "create", "nonsense")


# --- their life ---


async def test_create_is_idempotent_for_the_same_and_refuses_another(core: Core) -> None:
    rules = [rule("volume", "inspect*")]
    first = await roles.create(core, "viewer", rules)
    assert await roles.create(core, "viewer", rules) == first
    with pytest.raises(errors.AlreadyExists):
        await roles.create(core, "viewer", [rule("volume", "*")])


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("", [rule("a", "b")]),
        ("a/b", [rule("a", "b")]),
        ("a b", [rule("a", "b")]),
        ("a\0", [rule("a", "b")]),
        ("x" * 256, [rule("a", "b")]),
        ("r", []),
        ("r", [rule("", "b")]),
        ("r", [rule("a", "")]),
        ("r", [rule("!", "b")]),
        ("r", [RoleRule(services=("",), apis=("a",))]),
        *((name, [rule("a", "b")]) for name in BUILTIN),
    ],
)
async def test_roles_that_cannot_be_made(core: Core, name: str, rules: list[RoleRule]) -> None:
    with pytest.raises(errors.InvalidArgument):
        await roles.create(core, name, rules)
    assert await core.catalog.count(AccessRole, ALL) == 0


async def test_an_update_takes_effect_at_once(core: Core) -> None:
    await roles.create(core, "viewer", [rule("volume", "inspect")])
    assert await may(core, "volume", "inspect", "viewer")
    await roles.update(core, "viewer", [rule("volume", "!inspect")])
    assert not await may(core, "volume", "inspect", "viewer")
    await roles.delete(core, "viewer")
    await roles.delete(core, "viewer")
    with pytest.raises(errors.NotFound):
        await roles.get(core, "viewer")


async def test_only_the_guests_role_of_the_builtin_ones_changes(core: Core) -> None:
    for name in set(BUILTIN) - {"system.guest"}:
        with pytest.raises(errors.InvalidArgument):
            await roles.update(core, name, [rule("*", "!*")])
    with pytest.raises(errors.NotFound):
        await roles.update(core, "nonsense", [rule("*", "!*")])
    await roles.update(core, "system.guest", [rule("*", "!*")])
    assert not await may(core, "volume", "create", "system.guest")
    assert (await roles.get(core, "system.guest")).builtin
    for name in BUILTIN:
        with pytest.raises(errors.InvalidArgument):
            await roles.delete(core, name)


async def test_all_roles_by_name(core: Core) -> None:
    await roles.create(core, "a", [rule("volume", "*")])
    await roles.update(core, "system.guest", [rule("identity", "version")])
    found = {one.name: one for one in await roles.enumerate_(core)}
    assert list(found) == ["a", "system.admin", "system.guest", "system.user", "system.view"]
    assert found["system.guest"].rules == (rule("identity", "version"),)


async def test_roles_survive_a_rebuild(tmp_path: Path) -> None:
    pool = memory_pool()
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    async with core_on(first, [pool]) as core:
        made = await roles.create(core, "viewer", [rule("volume", "inspect*")])
        await roles.update(core, "system.guest", [rule("*", "!*")])
    async with core_on(second, [pool], tenants=()) as core:
        await rebuild(core, SilentObserver())
        assert (await roles.get(core, "viewer")).rules == made.rules
        assert not await may(core, "volume", "create", "system.guest")
