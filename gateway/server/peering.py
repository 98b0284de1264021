"""What makes this gateway one of several: the listener for its peers, and the links to them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.config import Address, ConfigError, PeerSettings, Settings
from gateway.core import peers
from gateway.core.catalog import Catalog
from gateway.core.model import utc_now
from gateway.mover.sender import ProcessSenders
from gateway.peering.contexts import Identity, listening, trust
from gateway.peering.door import PeerDoor
from gateway.peering.links import PeerLinks
from gateway.server.certificate import BOTH_ENDS, write_self_signed
from gateway.server.http import Listener
from gateway.server.surroundings import Surroundings
from gateway.server.watch import Watch

if TYPE_CHECKING:
    from gateway.server.assembly import House

NAME = "peer"
_ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, never listened on


def links_of(settings: Settings, catalog: Catalog) -> PeerLinks | None:
    """Give what reaches peers, None when the gateway is to have none. Its certificate is made when it is not there."""
    if not settings.peer.listen:
        return None
    identity = identity_of(settings.peer)
    return PeerLinks(catalog, identity, name=settings.name, version=__version__)


def identity_of(settings: PeerSettings) -> Identity:
    """Give the certificate and key for peers; ConfigError when one of both is missing, or cannot be made."""
    if settings.certificate is None or settings.key is None:
        raise ConfigError("configuration", "certificate and key are needed", path=("peer", "certificate"))
    identity = Identity(certificate=settings.certificate, key=settings.key)
    present = [path for path in (identity.certificate, identity.key) if path.exists()]
    if len(present) == 1:
        raise ConfigError(str(present[0]), "is there without what belongs to it: certificate and key come together")
    if not present:
        host = settings.address or Address.parse(settings.listen).host
        try:
            write_self_signed(
                certificate=identity.certificate, key=identity.key, names=[host], now=utc_now(), purposes=BOTH_ENDS
            )
        except OSError as error:
            raise ConfigError(
                str(error.filename or identity.certificate), f"cannot be made: {error.strerror}"
            ) from None
    return identity


@asynccontextmanager
async def peering(settings: Settings, house: House, shared: Surroundings) -> AsyncIterator[dict[str, str]]:
    """Open the listener that `[peer]` asks for; give its address, none without that table.

    ConfigError when certificate or key cannot be used; OSError when the address cannot be had.
    """
    links = house.links
    if links is None:
        yield {}
        return
    at = Address.parse(settings.peer.listen)
    context = context_of(links.identity)
    for peer in await peers.everyone(house.core):
        if peer.certificate:
            trust(context, peer.certificate)
    links.trusted = partial(trust, context)
    first, last = settings.peer.ports or (0, -1)
    senders = ProcessSenders(
        certificate=str(links.identity.certificate), key=str(links.identity.key), ports=range(first, last + 1)
    )
    door = PeerDoor(house.core, links, senders, host=at.host, receive_timeout_s=settings.limits.receive_timeout_s)
    links.review = door.review
    listener = Listener(
        Watch(shared.ledger(NAME), door.handle, refuse=door.refuse, observer=shared.observer).handle,
        at,
        limits=settings.limits,
        refuse=door.refuse,
        tls=context,
    )
    await listener.start()
    try:
        links.addresses = (told_address(settings.peer, listener.address),)
        yield {NAME: f"https://{listener.address}"}
    finally:
        await listener.stop()
        await senders.close()


def check_peering(settings: Settings) -> None:
    """Raise ConfigError for a certificate that could not be shown. One that is still to be made is none."""
    own = settings.peer
    if own.listen and any(path is not None and path.exists() for path in (own.certificate, own.key)):
        context_of(identity_of(own))


def context_of(identity: Identity) -> ssl.SSLContext:
    """Give the listener's context; ConfigError when the files cannot be used."""
    try:
        return listening(identity)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(str(identity.certificate), f"certificate and key cannot be used: {error}") from None


def told_address(settings: PeerSettings, address: object) -> str:
    """Give the address that peers are told; without a host where they have to see from where they are called."""
    at = Address.parse(str(address))
    host = settings.address or ("" if at.host in _ANYWHERE else at.host)
    return f"[{host}]:{at.port}" if ":" in host else f"{host}:{at.port}"
