"""The libStorage door on its addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from gateway.config import Address, ConfigError, Settings
from gateway.core.model import VolumeKind
from gateway.frontends.libstorage.auth import Auth
from gateway.frontends.libstorage.door import LibstorageDoor
from gateway.frontends.libstorage.settings import LibstorageOptions
from gateway.frontends.libstorage.site import Site
from gateway.server.assembly import House
from gateway.server.reach import Reach
from gateway.server.surroundings import Surroundings

NAME = "libstorage"
FIELD_MAX = 1024 * 1024
"""Bytes of one header: clients of file services put the whole mount table of their node into one."""


@asynccontextmanager
async def libstorage(settings: Settings, house: House, shared: Surroundings) -> AsyncIterator[dict[str, str]]:
    """Open the door that `[frontend.libstorage]` asks for; give its addresses by name, none without that table.

    ConfigError for what cannot be; OSError when an address cannot be had.
    """
    held = {pool.name: tuple(pool.capabilities) for pool in house.core.pools}
    unserved = {pool.name for pool in house.core.pools if house.core.publisher.files_by(pool.id) is None}
    served = held.keys() - unserved | (_exported(settings) - held.keys())
    plan = _planned(settings, {name: held.get(name, ()) for name in settings.backend}, served)
    if plan is None:
        yield {}
        return
    options = plan.site.options
    door = LibstorageDoor(
        house.core,
        plan.site,
        plan.auth,
        max_body_bytes=settings.limits.max_body_bytes,
        receive_timeout_s=settings.limits.receive_timeout_s,
        observer=shared.observer,
    )
    await door.open()
    places = [(f"{NAME}-socket", options.socket), (NAME, plan.address)]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(door.close)
        yield {
            name: await shared.listen(stack, name, door, at, tls=options.tls, field_max=FIELD_MAX)
            for name, at in places
            if at is not None
        }


def check_libstorage(settings: Settings) -> None:
    """Raise ConfigError for what the door could not be opened with, as far as the configuration tells."""
    _planned(settings, dict.fromkeys(settings.backend, ()), _exported(settings))


class _Plan(msgspec.Struct, frozen=True):
    site: Site
    auth: Auth
    address: Address | None


def _exported(settings: Settings) -> set[str]:
    """Give the pools whose files the exporter may have, by what the configuration tells."""
    return set(settings.backend) if "nfs" in settings.export else set()


def _planned(settings: Settings, pools: Mapping[str, Collection[VolumeKind]], served: Collection[str]) -> _Plan | None:
    """Give what the door is made of, None without its table. `served`: pools whose files clients reach over NFS."""
    options = settings.frontend.get(NAME)
    if not isinstance(options, LibstorageOptions):
        return None
    try:
        site = Site.of(options, name=settings.name, tenant=settings.tenants[0], pools=pools, nfs=served)
        auth = Auth(options)
    except ValueError as error:
        key, _, reason = str(error).partition(": ")
        raise ConfigError("configuration", reason, path=("frontend", NAME, *key.split("."))) from None
    if options.execution_timeout_s >= settings.limits.request_timeout_s:
        raise ConfigError(
            "configuration",
            f"must be less than limits.request_timeout_s, which is {settings.limits.request_timeout_s:g}",
            path=("frontend", NAME, "execution_timeout_s"),
        )
    reach = Reach(
        door=NAME,
        tls=options.tls,
        anonymous=options.anonymous,
        # Whoever must show a certificate is known as well as one with a token.
        secured=auth.asks(site.services) or (options.tls and settings.tls.client_ca is not None),
        how="not every service asks for a token: name subjects in [frontend.libstorage.auth] allow, "
        "let tls.client_ca ask for certificates",
    )
    return _Plan(site, auth, reach.address("listen", options.listen) if options.listen else None)
