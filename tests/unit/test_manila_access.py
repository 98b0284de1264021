"""Manila's access rules as export rules: the narrower first, each network once, what cannot be left out by name."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.native import Rule
from gateway.frontends.manila_driver.access import granted, without

RW, RO = "rw", "ro"


def rule(key: str, to: str, level: str = RW, kind: str = "ip") -> dict[str, str]:
    return {"access_id": key, "access_type": kind, "access_to": to, "access_level": level}


def clients(*rules: dict[str, str]) -> list[tuple[str, bool]]:
    return [(one.clients[0], one.write) for one in granted(rules).rules]


def test_nobody_is_let_in_by_no_rule() -> None:
    assert granted([]).rules == ()


@pytest.mark.parametrize(
    ("to", "client"),
    [
        ("10.0.0.5", "10.0.0.5"),
        ("10.0.0.5/32", "10.0.0.5"),
        ("10.0.0.0/24", "10.0.0.0/24"),
        ("10.0.0.0/255.255.255.0", "10.0.0.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8::5", "2001:db8::5"),
        ("2001:db8::/64", "2001:db8::/64"),
        ("::/0", "::/0"),
    ],
)
def test_addresses_and_networks_of_both_families(to: str, client: str) -> None:
    assert granted([rule("a", to, RO)]).rules == (Rule(clients=(client,), write=False),)


@pytest.mark.parametrize(
    "bad", ["10.0.0.5/24", "10.0.0.1/33", "10.0.0", "host.example", "", "fe80::1%eth0", "2001:db8::1/64", "10.0.0.1 "]
)
def test_what_is_no_network_is_refused_and_hinders_no_other(bad: str) -> None:
    whole = granted([rule("bad", bad), rule("good", "10.0.0.5")])
    assert set(whole.refused) == {"bad"}
    assert clients(rule("bad", bad), rule("good", "10.0.0.5")) == [("10.0.0.5", True)]


@pytest.mark.parametrize("kind", ["user", "cert", "cephx"])
def test_only_addresses_are_known_to_nfs(kind: str) -> None:
    assert kind in granted([rule("a", "10.0.0.5", kind=kind)]).refused["a"]


def test_an_unknown_level_is_refused() -> None:
    assert set(granted([rule("a", "10.0.0.5", "x")]).refused) == {"a"}


def test_the_narrower_network_counts_whatever_the_order() -> None:
    wide, narrow, one = rule("w", "10.0.0.0/8"), rule("n", "10.1.0.0/16", RO), rule("o", "10.1.0.9")
    wanted = [("10.1.0.9", True), ("10.1.0.0/16", False), ("10.0.0.0/8", True)]
    assert clients(wide, narrow, one) == clients(one, narrow, wide) == wanted


def test_everybody_of_one_family_comes_after_all_of_the_other() -> None:
    assert clients(rule("all", "0.0.0.0/0", RO), rule("six", "2001:db8::/64")) == [
        ("2001:db8::/64", True),
        ("0.0.0.0/0", False),
    ]


def test_the_same_network_twice_is_one_rule_for_both() -> None:
    whole = granted([rule("a", "10.0.0.5"), rule("b", "10.0.0.5/32")])
    assert (len(whole.rules), whole.asked, whole.refused) == (1, (("a", "b"),), {})


def test_of_two_that_contradict_each_other_the_one_that_was_there_stays() -> None:
    rules = [rule("new", "10.0.0.5", RO), rule("old", "10.0.0.5", RW)]
    whole = granted(rules, added={"new"})
    assert set(whole.refused) == {"new"}
    assert whole.rules == (Rule(clients=("10.0.0.5",), write=True),)
    assert set(granted(rules).refused) == {"old"}


def test_what_the_gateway_cannot_serve_is_refused_with_its_reason() -> None:
    whole = granted([rule("a", "2001:db8::/100"), rule("b", "2001:db8:0::/100"), rule("c", "10.0.0.5")])
    left = without(whole, "2001:db8::/100", "too narrow")
    assert left.refused == {"a": "too narrow", "b": "too narrow"}
    assert left.rules == (Rule(clients=("10.0.0.5",), write=True),)
    assert left.asked == (("c",),)


networks = st.builds(
    lambda address, prefix: ipaddress.ip_network((address, prefix), strict=False),
    st.integers(0, 255).map(lambda last: f"10.0.0.{last}"),
    st.integers(20, 32),
)


@given(st.lists(st.tuples(networks, st.sampled_from([RW, RO])), max_size=12))
def test_the_first_rule_that_fits_is_the_narrowest(wanted: list[tuple[ipaddress.IPv4Network, str]]) -> None:
    whole = granted([rule(str(number), str(network), level) for number, (network, level) in enumerate(wanted)])
    kept = {network: level for number, (network, level) in reversed(list(enumerate(wanted)))}
    for last in range(0, 256, 7):
        client = ipaddress.ip_address(f"10.0.0.{last}")
        fitting = [network for network in kept if client in network]
        narrowest = max(fitting, key=lambda network: network.prefixlen, default=None)
        first = next((one for one in whole.rules if client in ipaddress.ip_network(one.clients[0])), None)
        assert (None if first is None else first.write) == (None if narrowest is None else kept[narrowest] == RW)
