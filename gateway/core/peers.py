"""Use cases of peers: gateways elsewhere with which this one exchanges what replications send.

Two gateways agree by a passphrase that somebody gives to both (an offer each).
From then on each knows the other by its certificate and by nothing else. The
passphrase itself is kept nowhere: an offer holds a key that is made of it, for
as long as the offer stands.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import msgspec

from gateway.core import documents, errors
from gateway.core.context import Core
from gateway.core.follower_model import all_followers
from gateway.core.model import Document, Tenant, Volume, utc_now
from gateway.core.query import Compare, Op
from gateway.core.replication_model import Replication
from gateway.core.secret import Secret
from gateway.core.volumes import check_name

PEER, OFFER = "peer", "peer.offer"
"""The kinds of documents: whom we know, and with whom we would agree. Both are called by the peer's id."""

PASSPHRASE_MIN = 8
WRONG_MAX = 20
"""So many wrong proofs an offer stands before it is withdrawn: nobody may guess for ever."""

PORT = 11104
"""Where a peer listens whose address names no port, as ONTAP's clusters do."""

LASTS = timedelta(hours=1)
"""How long an offer stands that does not say so itself."""

_LONGEST = timedelta(days=7)
_SALT = b"volume-gateway peer 1"
_GENERATED = 24
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_PORT_MAX = 65_535
_ADDRESSES_MAX = 16


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that this one has agreed with.

    `cluster_id` and `cluster` are the id and the name that it has for itself,
    `certificate` the only one, in PEM, by which it is known; empty: it has
    withdrawn. Its tenants are let in to those in `allowed` without being asked.
    """

    id: UUID
    name: str
    cluster_id: UUID
    cluster: str
    certificate: str
    created: datetime
    addresses: tuple[str, ...] = ()
    allowed: tuple[UUID, ...] = ()
    version: str = ""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """With whom this gateway would agree: whoever proves that it has the passphrase of which `key` is made.

    `id` is that of the peer that comes of it. `refused`: the other side did not
    believe us. `wrong` counts proofs that were none.
    """

    id: UUID
    name: str
    key: str
    expires: datetime
    created: datetime
    addresses: tuple[str, ...] = ()
    allowed: tuple[UUID, ...] = ()
    wrong: int = 0
    refused: bool = False

    @property
    def stands(self) -> bool:
        """Tell whether anybody may still prove anything by it."""
        return self.wrong < WRONG_MAX and self.expires > utc_now()


class NewOffer(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says about a peer to agree with. `passphrase` None: one is made.

    `peer_id`: one that is known already, with which to agree anew.
    """

    name: str = ""
    addresses: tuple[str, ...] = ()
    passphrase: Secret | None = None
    expires: datetime | None = None
    allowed: tuple[UUID, ...] = ()
    peer_id: UUID | None = None


class PeerChange(msgspec.Struct, frozen=True, kw_only=True):
    """New values; UNSET leaves a thing as it is."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    addresses: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    allowed: tuple[UUID, ...] | msgspec.UnsetType = msgspec.UNSET


async def offer(core: Core, new: NewOffer) -> tuple[Offer, Secret]:
    """Make an offer, and give it with the passphrase that the other side is to be given.

    InvalidArgument for an address, a passphrase that is too short, or an
    expiry; AlreadyExists for a name; NotFound for a tenant.
    """
    if core.changes.context.peers is None:
        raise errors.Unsupported(capability="peers", reason="this gateway is not configured to have peers")
    passphrase = new.passphrase or Secret(secrets.token_urlsafe(_GENERATED))
    if len(passphrase.reveal()) < PASSPHRASE_MIN:
        raise errors.InvalidArgument(field="passphrase", reason=f"must have at least {PASSPHRASE_MIN} characters")
    now = utc_now()
    expires = new.expires or now + LASTS
    if not now < expires <= now + _LONGEST:
        raise errors.InvalidArgument(field="expires", value=expires.isoformat(), reason="must be in the next 7 days")
    peer_id = new.peer_id or uuid4()
    present = await known(core, peer_id)
    made = Offer(
        id=peer_id,
        name=new.name or (present.name if present is not None else f"peer_{peer_id.hex[:8]}"),
        key=await asyncio.to_thread(key_of, passphrase),
        expires=expires,
        created=now,
        addresses=check_addresses(new.addresses or (present.addresses if present is not None else ())),
        allowed=new.allowed,
    )
    await _check_words(core, peer_id, name=made.name, allowed=made.allowed)
    await documents.delete(core, OFFER, str(peer_id))
    await documents.create(core, OFFER, str(peer_id), _encoded(made), passing=True)
    return made, passphrase


def key_of(passphrase: Secret) -> str:
    """Give the key that both sides make of a passphrase, in hex. Costs about 50 ms."""
    text = passphrase.reveal().encode()
    return hashlib.scrypt(text, salt=_SALT, n=1 << 14, r=8, p=1, dklen=32).hex()


async def known(core: Core, peer_id: UUID) -> Peer | None:
    """Give a peer, None when this gateway has not agreed with it."""
    found = await documents.named(core, PEER, str(peer_id))
    return None if found is None else msgspec.json.decode(found.body, type=Peer)


async def needed(core: Core, peer_id: UUID) -> Peer:
    """Give a peer; NotFound."""
    found = await known(core, peer_id)
    if found is None:
        raise errors.NotFound(kind="peer", ref=str(peer_id))
    return found


async def everyone(core: Core) -> list[Peer]:
    """Give all peers."""
    return [msgspec.json.decode(one.body, type=Peer) for one in await documents.all_of(core, PEER)]


async def offers(core: Core) -> list[Offer]:
    """Give all offers, also those that do not stand any more."""
    return [msgspec.json.decode(one.body, type=Offer) for one in await documents.all_of(core, OFFER)]


async def named(core: Core, name: str) -> Peer:
    """Give the peer that is called so here; NotFound."""
    for peer in await everyone(core):
        if peer.name == name:
            return peer
    raise errors.NotFound(kind="peer", ref=name)


async def agree(core: Core, standing: Offer, *, name: str) -> Peer:
    """Agree with the gateway at an offer's addresses; `name` is this gateway's own.

    Unauthenticated when one of both does not believe the other, Unavailable
    when that does not answer: the offer stands all the same. With any other
    error, such as AlreadyExists for a gateway that is known already, it goes.
    """
    links = core.changes.context.peers
    if links is None:
        raise errors.Unsupported(capability="peers", reason="this gateway is not configured to have peers")
    try:
        other = await links.join(standing)
        kept = await agreed(core, standing, other, name=name)
    except errors.Unauthenticated:
        await failed(core, standing)
        raise
    except errors.Unavailable:
        raise
    except errors.GatewayError:
        await documents.delete(core, OFFER, str(standing.id))
        raise
    await links.ask(kept.id)
    return kept


async def agreed(core: Core, standing: Offer, other: Peer, *, name: str) -> Peer:
    """Keep whom we agreed with instead of the offer; the name is the one it was given, or its own with `name` ours.

    AlreadyExists when the other gateway is known by another record, which has to go first.
    """
    for present in await everyone(core):
        same = present.cluster_id == other.cluster_id or present.certificate == other.certificate
        if same and present.id != standing.id:
            raise errors.AlreadyExists(kind="peer", name=present.name, field="cluster_id")
    before = await known(core, standing.id)
    made = msgspec.structs.replace(
        other,
        id=standing.id,
        name=before.name if before is not None else await _own_or_given(core, standing, other, ours=name),
        allowed=standing.allowed,
        addresses=standing.addresses or other.addresses,
    )
    await documents.put_named(core, PEER, str(made.id), _encoded(made))
    await documents.delete(core, OFFER, str(made.id))
    return made


async def failed(core: Core, standing: Offer, *, wrong: bool = False) -> None:
    """Note of an offer that a proof was none (`wrong`), or that the other side did not believe ours."""
    found = await documents.named(core, OFFER, str(standing.id))
    if found is not None:
        present: Offer = msgspec.json.decode(found.body, type=Offer)
        noted = msgspec.structs.replace(present, wrong=present.wrong + int(wrong), refused=present.refused or not wrong)
        try:
            await documents.replace(core, found, _encoded(noted))
        except errors.StaleRevision:
            if wrong:  # several guess at once: none of their attempts may go uncounted
                await failed(core, standing, wrong=wrong)


async def change(core: Core, peer_id: UUID, change: PeerChange) -> None:
    """Change a peer, or the offer of one. NotFound, AlreadyExists for a name, InvalidArgument for an address."""
    given = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not msgspec.UNSET}
    if "addresses" in given:
        given["addresses"] = check_addresses(given["addresses"])
    forms: tuple[tuple[str, type[Peer | Offer]], ...] = ((PEER, Peer), (OFFER, Offer))
    for kind, form in forms:
        found = await documents.named(core, kind, str(peer_id))
        if found is None:
            continue
        before = msgspec.json.decode(found.body, type=form)
        after = msgspec.structs.replace(before, **given)
        # A tenant that is there no more has no need to be taken out by name.
        await _check_words(core, peer_id, name=after.name, allowed=given.get("allowed", ()))
        await documents.replace(core, found, _encoded(after))
        return
    raise errors.NotFound(kind="peer", ref=str(peer_id))


async def withdrawn(core: Core, peer: Peer) -> None:
    """Keep that a peer has ended the agreement: its certificate is good for nothing from now on.

    One that was agreed on meanwhile with another certificate stays, and what is gone does not come back.
    """

    def ended(found: Document) -> str | None:
        present = msgspec.json.decode(found.body, type=Peer)
        if present.certificate != peer.certificate:
            return None
        return _encoded(msgspec.structs.replace(present, certificate=""))

    await documents.rewrite(core, PEER, str(peer.id), ended, what=f"peer {peer.name}")


async def forget(core: Core, peer_id: UUID) -> None:
    """End an agreement, or take back an offer. NotFound; InUse while replications need it."""
    await require_unneeded(core, peer_id)
    for kind in (PEER, OFFER):
        await documents.delete(core, kind, str(peer_id))


async def require_unneeded(core: Core, peer_id: UUID) -> None:
    """Raise NotFound for a peer that is neither known nor offered to, InUse for one that replications need."""
    found = [each for kind in (PEER, OFFER) if (each := await documents.named(core, kind, str(peer_id))) is not None]
    if not found:
        raise errors.NotFound(kind="peer", ref=str(peer_id))
    name: str = msgspec.json.decode(found[0].body)["name"]
    reading = await core.catalog.count(Replication, Compare("source.peer_id", Op.EQ, peer_id))
    followed = {one.volume_id for one in await all_followers(core) if one.peer_id == peer_id}
    if reading or await core.catalog.get_many(Volume, followed):
        raise errors.InUse(kind="peer", ref=name, by="replication", action="delete")


def check_addresses(addresses: Sequence[str]) -> tuple[str, ...]:
    """Give addresses that can be reached: `HOST`, `HOST:PORT` or `[IPV6]:PORT`. InvalidArgument."""
    if len(addresses) > _ADDRESSES_MAX:
        raise errors.LimitExceeded(limit="addresses", value=len(addresses), minimum=0, maximum=_ADDRESSES_MAX)
    for text in addresses:
        host_and_port(text)
    return tuple(addresses)


def host_and_port(text: str) -> tuple[str, int]:
    """Read an address; InvalidArgument."""
    host, port = text, ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if rest.startswith(":") else rest
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    digits = port.isascii() and port.isdigit() and len(port) <= len(str(_PORT_MAX))
    number = int(port) if digits else 0 if port else PORT
    if not 0 < number <= _PORT_MAX or not _is_host(host):
        raise errors.InvalidArgument(field="addresses", value=text[:64], reason="is not HOST, HOST:PORT or [IPV6]:PORT")
    return host, number


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _HOST.fullmatch(host) is not None
    return True


async def _own_or_given(core: Core, standing: Offer, other: Peer, *, ours: str) -> str:
    """Give what a peer is called here: as whoever made the offer said, else as it calls itself unless that is taken."""
    if not standing.name.startswith("peer_"):
        return standing.name
    taken = {ours, *(peer.name for peer in await everyone(core))}
    return other.cluster if other.cluster not in taken else f"{other.cluster}-{other.cluster_id.hex[:8]}"


async def _check_words(core: Core, peer_id: UUID, *, name: str, allowed: Sequence[UUID]) -> None:
    check_name("name", name)
    others: list[Peer | Offer] = [*await everyone(core), *await offers(core)]
    if any(other.name == name and other.id != peer_id for other in others):
        raise errors.AlreadyExists(kind="peer", name=name, field="name")
    for tenant_id in allowed:
        await core.get(Tenant, tenant_id)


def _encoded(record: Peer | Offer) -> str:
    return msgspec.json.encode(record).decode()
