"""Peers: agreements with other clusters, and between SVMs of both."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from gateway.core import errors, peer_tenants, peers
from gateway.core.model import Tenant, utc_now
from gateway.core.peer_tenants import TenantPeer, TenantState
from gateway.core.peers import NewOffer, Offer, Peer, PeerChange
from gateway.core.secret import Secret
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.endpoint import Keyed
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.scalars import DURATION, parse_datetime, parse_span
from gateway.frontends.ontap_rest.sources import Site
from gateway.frontends.ontap_rest.writes.names import tenant_of, text

_APPLICATIONS = ["snapmirror"]
_GENERATE, _PASSPHRASE = "authentication.generate_passphrase", "authentication.passphrase"
_ADDRESSES = "remote.ip_addresses"


class ClusterPeerWriter:
    """Writes the agreements of one site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def create(self, ask: Ask, values: Values) -> Keyed:
        """Offer to agree with whoever has the passphrase, and do so at once where that and an address are given.

        Whether it came to an agreement the record tells: the other side may not have been told yet.
        """
        addresses = _addresses(values)
        if not addresses and values.get(_GENERATE) is not True:
            message = "An address of the peer cluster is needed, or a passphrase that is generated."
            raise WireError(400, "4656069", message=message, target=_ADDRESSES)
        new = NewOffer(
            name=text(values, "name") or "",
            addresses=addresses,
            passphrase=_passphrase(values),
            expires=_expiry(values),
            allowed=await _allowed(ask, values),
        )
        return await self._offered(ask, new, values)

    async def modify(self, ask: Ask, found: Peer | Offer, values: Values) -> Keyed | None:
        """Change what a peer is called, where it is and to which SVMs it is let in; agree anew with a passphrase."""
        unset = msgspec.UNSET
        _confirm(values)
        change = PeerChange(
            name=text(values, "name") or "" if "name" in values else unset,
            addresses=_addresses(values) if _ADDRESSES in values else unset,
            allowed=await _allowed(ask, values) if "initial_allowed_svms" in values else unset,
        )
        if change != PeerChange():
            await peers.change(ask.core, found.id, change)
        if values.get(_GENERATE) is True or _PASSPHRASE in values:
            new = NewOffer(
                name=found.name if change.name is unset else str(change.name),
                addresses=found.addresses if isinstance(change.addresses, msgspec.UnsetType) else change.addresses,
                passphrase=_passphrase(values),
                expires=_expiry(values),
                allowed=found.allowed if isinstance(change.allowed, msgspec.UnsetType) else change.allowed,
                peer_id=found.id,
            )
            return await self._offered(ask, new, values)
        return None

    async def delete(self, ask: Ask, found: Peer | Offer) -> None:
        """End an agreement that nothing needs any more; the other side is told, if it answers."""
        await peer_tenants.part(ask.core, found.id)

    async def _offered(self, ask: Ask, new: NewOffer, values: Values) -> Keyed:
        _confirm(values)
        made, passphrase = await peers.offer(ask.core, new)
        told: dict[str, Any] = {}
        if new.passphrase is None:
            told = {"authentication": {"passphrase": passphrase.reveal()}}
        elif made.addresses:
            with suppress(errors.Unauthenticated, errors.Unavailable):
                await peers.agree(ask.core, made, name=self._site.name)
        return Keyed((str(made.id),), told)


async def create_svm_peer(ask: Ask, values: Values) -> Keyed:
    """Ask another cluster to let one of our SVMs in to one of its own."""
    tenant = await tenant_of(ask, values)
    remote, cluster = text(values, "peer.svm.name"), text(values, "peer.cluster.name")
    if not remote or not cluster:
        missing = "peer.svm.name" if not remote else "peer.cluster.name"
        if await _is_ours(ask, remote):
            raise _without_asking(remote or "")
        raise WireError(400, "26345580", message=f'A value is required for "{missing}".', target=missing)
    _snapmirror_only(values, "applications", "26345579")
    peer = await _cluster(ask, cluster)
    made = await peer_tenants.propose(ask.core, tenant.id, peer.id, remote=remote, name=text(values, "name") or "")
    return Keyed((str(made.id),))


async def modify_svm_peer(ask: Ask, found: TenantPeer | tuple[Tenant, Tenant], values: Values) -> None:
    """Accept, reject, suspend or resume, and change what the peer is called here."""
    if not isinstance(found, TenantPeer):
        raise _without_asking(found[1].name)
    state, name = text(values, "state"), text(values, "name")
    _snapmirror_only(values, "applications", "26345579")
    if state is None and name is None and "applications" not in values:
        raise WireError(400, "26345577", message="Nothing is to be changed.")
    if state not in {None, found.state.value, "peered", "rejected", "suspended"}:
        message = 'The state can be changed to "peered", "rejected" or "suspended" only.'
        raise WireError(400, "26345576", message=message, target="state")
    if name is not None:
        await peer_tenants.rename(ask.core, found.id, name)
    if state is not None and state != found.state:
        await peer_tenants.turn(ask.core, found.id, TenantState(state))


async def delete_svm_peer(ask: Ask, found: TenantPeer | tuple[Tenant, Tenant]) -> None:
    """End what an SVM has to do with one of another cluster, unless a relationship needs it."""
    if not isinstance(found, TenantPeer):
        raise _without_asking(found[1].name, "9895956")
    await peer_tenants.forget(ask.core, found.id)


async def _cluster(ask: Ask, name: str) -> Peer:
    try:
        return await peers.named(ask.core, name)
    except errors.NotFound:
        message = f'The cluster "{name}" is no peer of this one.'
        raise WireError(404, "26345575", message=message, target="peer.cluster.name") from None


async def _is_ours(ask: Ask, name: str | None) -> bool:
    return name is not None and "\0" not in name and await ask.core.find(Tenant, name=name) is not None


async def _allowed(ask: Ask, values: Values) -> tuple[UUID, ...]:
    listed = values.get("initial_allowed_svms")
    items = listed if isinstance(listed, list) else []
    found = [await tenant_of(ask, {f"svm.{key}": value for key, value in _bare(item).items()}) for item in items]
    return tuple(tenant.id for tenant in found)


def _bare(item: Any) -> Values:
    return {path.rpartition(".")[2]: value for path, value in item.items()} if isinstance(item, dict) else {}


def _addresses(values: Values) -> tuple[str, ...]:
    listed = values.get(_ADDRESSES)
    return tuple(map(str, listed)) if isinstance(listed, list) else ()


def _passphrase(values: Values) -> Secret | None:
    given, generate = text(values, _PASSPHRASE), values.get(_GENERATE) is True
    if given is not None and generate:
        message = "A passphrase is either given or generated."
        raise WireError(400, "4656077", message=message, target=_GENERATE)
    if given is None and not generate:
        message = "A passphrase is needed, or has to be generated."
        raise WireError(400, "4653236", message=message, target=_PASSPHRASE)
    return None if given is None else Secret(given)


def _expiry(values: Values) -> datetime | None:
    given = text(values, "authentication.expiry_time")
    if not given:
        return None
    try:
        return utc_now() + parse_span(given) if re.fullmatch(DURATION, given) else parse_datetime(given)
    except (ValueError, OverflowError):
        message = f'The value "{given[:64]}" is no time and no duration.'
        raise WireError(400, "262197", message=message, target="authentication.expiry_time") from None


def _confirm(values: Values) -> None:
    """Refuse to agree without encryption, and what other applications need."""
    if text(values, "encryption.proposed") not in {None, "tls_psk"}:
        message = "What peers say to each other is always encrypted."
        raise WireError(400, "4653419", message=message, target="encryption.proposed")
    _snapmirror_only(values, "peer_applications", "262144017")


def _snapmirror_only(values: Values, path: str, code: str) -> None:
    if values.get(path) not in (None, _APPLICATIONS):
        message = f'The only application of peers is "snapmirror". Field "{path}".'
        raise WireError(400, code, message=message, target=path)


def _without_asking(name: str, code: str = "9896086") -> WireError:
    message = f'SVM "{name}" is of this cluster, whose SVMs are all peers of each other.'
    return WireError(409, code, message=message, target="peer.svm.name")
