"""Access rules of a share as rules of its export policy."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from gateway.client.native import Rule

T = TypeVar("T")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LEVELS = {"rw": True, "ro": False}


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """What is granted to whom, and which access rules cannot be: their ids with the reason.

    `asked`: the ids of the access rules behind each rule, in the same order.
    """

    rules: tuple[Rule, ...] = ()
    asked: tuple[tuple[str, ...], ...] = ()
    refused: Mapping[str, str] = {}


def granted(access_rules: Iterable[Mapping[str, Any]], added: Collection[str] = ()) -> Granted:
    """Give the export rules that access rules mean.

    Of two that contradict each other the one that was there first stays; those
    that are new are `added`, by id. An export takes the first rule that fits a
    client, so the narrower network comes before the wider.
    """
    levels: dict[Network, bool] = {}
    asked: dict[Network, list[str]] = {}
    refused: dict[str, str] = {}
    for rule in sorted(access_rules, key=lambda rule: rule["access_id"] in added):
        key = rule["access_id"]
        network, write = _network(rule), _LEVELS.get(rule["access_level"])
        if isinstance(network, str):
            refused[key] = network
        elif write is None:
            refused[key] = f"there is no access level {rule['access_level']!r}"
        elif levels.setdefault(network, write) is not write:
            refused[key] = f"another rule gives {network} another level"
        else:
            asked.setdefault(network, []).append(key)
    ordered = sorted(levels, key=_narrowest_first)
    return Granted(
        rules=tuple(Rule(clients=(_client(network),), write=levels[network]) for network in ordered),
        asked=tuple(tuple(asked[network]) for network in ordered),
        refused=refused,
    )


def without(whole: Granted, client: str, reason: str) -> Granted:
    """Give the same without what was granted to a client that the gateway cannot serve."""
    at = [rule.clients for rule in whole.rules].index((client,))
    return Granted(
        rules=_but(whole.rules, at),
        asked=_but(whole.asked, at),
        refused={**whole.refused, **dict.fromkeys(whole.asked[at], reason)},
    )


def _but(items: Sequence[T], at: int) -> tuple[T, ...]:
    return (*items[:at], *items[at + 1 :])


def _network(rule: Mapping[str, Any]) -> Network | str:
    """Give whom a rule is for, or why nobody."""
    kind, client = rule["access_type"], str(rule["access_to"])
    if kind != "ip":
        return f"NFS knows clients by address, not by {kind!r}"
    if "%" in client:
        return "an address with a zone means nothing to a server"
    try:
        return ipaddress.ip_network(client)
    except ValueError as error:
        return str(error)


def _client(network: Network) -> str:
    return str(network.network_address if network.prefixlen == network.max_prefixlen else network)


def _narrowest_first(network: Network) -> tuple[bool, int, int, int]:
    # "Everybody" of one family may stand for everybody of both, so it comes after all.
    return network.prefixlen == 0, network.version, -network.prefixlen, int(network.network_address)
