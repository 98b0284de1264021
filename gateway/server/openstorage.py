"""The openstorage door on its addresses: gRPC, its REST form, the older REST."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import msgspec

from gateway.config import Address, ConfigError, Settings, TlsSettings
from gateway.core.door import Trace
from gateway.core.principal import Authenticator
from gateway.frontends.openstorage.grpc_door import MESSAGE_MAX, GrpcDoor, Served
from gateway.frontends.openstorage.older import OlderDoor, Quiescence
from gateway.frontends.openstorage.rest import HTTP_STATUS, RestDoor
from gateway.frontends.openstorage.schema import load_schema
from gateway.frontends.openstorage.sdk import Sdk
from gateway.frontends.openstorage.settings import OpenstorageOptions
from gateway.frontends.openstorage.site import Site
from gateway.server.assembly import House
from gateway.server.reach import Reach
from gateway.server.surroundings import HttpDoor, Surroundings
from gateway.server.watch import Ledger

NAME = "openstorage"


class CallLedger:
    """Writes calls down like requests of other doors."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def begin(self) -> str:
        """Give a call its id."""
        return self._ledger.begin()

    def end(self, served: Served, trace: Trace) -> None:
        """Write down how it was answered. To the access log a call that changes nothing is a GET."""
        self._ledger.end(
            trace,
            method="POST" if trace.operation else "GET",
            path=served.path,
            status=HTTP_STATUS[served.code],
            seconds=served.seconds,
            size=served.size,
            peer=served.peer,
            request_id=served.request_id,
        )


@asynccontextmanager
async def openstorage(
    settings: Settings,
    house: House,
    authenticator: Authenticator,
    *,
    secured: bool,
    shared: Surroundings,
) -> AsyncIterator[dict[str, str]]:
    """Open the door that `[frontend.openstorage]` asks for; give its addresses by name, none without that table.

    `secured`: callers have to prove who they are. ConfigError when others than
    this machine could reach it otherwise; OSError when an address cannot be had.
    """
    options = settings.frontend.get(NAME)
    if not isinstance(options, OpenstorageOptions):
        yield {}
        return
    _check_reach(options, secured=secured)
    site = await Site.of(
        house.core,
        options,
        name=settings.name,
        tenant=settings.tenants[0],
        address=options.grpc.rpartition(":")[0],
        secured=secured,
        nfs="nfs" in settings.export,
    )
    sdk = Sdk(house.core, site, authenticator, schema=load_schema(), observer=shared.observer)
    around = _Around(settings, options, shared)
    async with AsyncExitStack() as stack:
        yield {
            **await _open_grpc(stack, sdk, around),
            **await _open_rest(stack, sdk, around, secured=secured),
            **await _open_older(stack, sdk, around, Quiescence(house.core), secured=secured),
        }


class _Around(msgspec.Struct, frozen=True):
    """What every way in is made with."""

    settings: Settings
    options: OpenstorageOptions
    shared: Surroundings

    def socket(self, folder: str, name: str) -> Path | None:
        """Give the path of a UNIX socket, its folder made; None where there are to be none."""
        if self.options.sockets is None:
            return None
        path = self.options.sockets / folder / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        return path

    async def listen(self, stack: AsyncExitStack, name: str, door: HttpDoor, at: Address | Path) -> str:
        """Serve a door of HTTP at an address; give the address."""
        return await self.shared.listen(stack, name, door, at, tls=self.options.tls)


async def _open_grpc(stack: AsyncExitStack, sdk: Sdk, around: _Around) -> dict[str, str]:
    options, limits = around.options, around.settings.limits
    if not options.grpc:
        return {}
    tls = _tls(around.settings.tls, options)
    door = GrpcDoor(
        sdk,
        listen=options.grpc,
        watch=CallLedger(around.shared.ledger(NAME)),
        credentials=tls,
        socket=around.socket("driver", f"{options.driver}-sdk.sock"),
        calls_max=limits.max_connections,
        patience_s=limits.shutdown_timeout_s,
        reflect=options.reflection,
    )
    await door.start()
    stack.push_async_callback(door.stop)
    return {NAME: f"{'grpcs' if tls else 'grpc'}://{door.address}"}


async def _open_rest(stack: AsyncExitStack, sdk: Sdk, around: _Around, *, secured: bool) -> dict[str, str]:
    if not around.options.rest:
        return {}
    limits = around.settings.limits
    door = RestDoor(
        sdk,
        served=sdk.served,
        max_body_bytes=max(MESSAGE_MAX, limits.max_body_bytes),
        receive_timeout_s=limits.receive_timeout_s,
        pages=secured,
    )
    stack.push_async_callback(door.close)
    name = f"{NAME}-rest"
    return {name: await around.listen(stack, name, door, Address.parse(around.options.rest))}


async def _open_older(
    stack: AsyncExitStack, sdk: Sdk, around: _Around, quiescence: Quiescence, *, secured: bool
) -> dict[str, str]:
    options, limits = around.options, around.settings.limits
    sockets = [around.socket("driver", f"{options.driver}.sock"), around.socket("cluster", "osd.sock")]
    if not options.older and options.sockets is None:
        return {}
    door = OlderDoor(
        sdk,
        quiescing=quiescence,
        max_body_bytes=limits.max_body_bytes,
        receive_timeout_s=limits.receive_timeout_s,
        pages=secured,
    )
    stack.push_async_callback(door.close)
    name = f"{NAME}-older"
    for socket in filter(None, sockets):
        await around.listen(stack, name, door, socket)
    if not options.older:
        return {}
    return {name: await around.listen(stack, name, door, Address.parse(options.older))}


def _tls(settings: TlsSettings, options: OpenstorageOptions) -> grpc.ServerCredentials | None:
    """Give the credentials of the listener; certificates that are read again serve connections made later."""
    if not options.tls:
        return None
    return grpc.dynamic_ssl_server_credentials(
        _configuration(settings),
        lambda: _configuration(settings),
        require_client_authentication=settings.client_ca is not None,
    )


def _configuration(settings: TlsSettings) -> grpc.ServerCertificateConfiguration:
    try:
        pair = settings.key.read_bytes(), settings.certificate.read_bytes()
        authority = None if settings.client_ca is None else settings.client_ca.read_bytes()
    except OSError as error:
        raise ConfigError(str(error.filename), f"cannot be read: {error.strerror}") from None
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=authority)


def _check_reach(options: OpenstorageOptions, *, secured: bool) -> None:
    """Raise ConfigError for an address that cannot be read, or that lets others in as they are."""
    reach = Reach(
        door=NAME,
        tls=options.tls,
        anonymous=options.anonymous,
        secured=secured,
        how="no [auth.issuer.NAME] says who may come in: configure one",
    )
    for key in ("grpc", "rest", "older"):
        if text := getattr(options, key):
            reach.address(key, text)
