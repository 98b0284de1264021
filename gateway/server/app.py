"""The gateway as a program: serve every configured door, check a configuration, rebuild a lost catalog."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from gateway.config import ConfigError, Settings
from gateway.core import errors
from gateway.core.backend import FaultHook, no_fault
from gateway.core.capability import FLAGS, OPERATIONS, CapabilityMismatch
from gateway.core.needs import missing
from gateway.core.observer import Observer, SilentObserver
from gateway.core.pools import OpenPool
from gateway.core.rebuild import rebuild as rebuild_catalog
from gateway.core.reconcile import Finding
from gateway.exports.place import IN_USE
from gateway.frontends.native.door import NativeDoor
from gateway.frontends.ontap_rest.door import OntapDoor
from gateway.frontends.ontap_rest.release import Release
from gateway.frontends.ontap_rest.sources import DataAddress
from gateway.observe import AccessLog, FileTrail, Metrics, ReportingObserver, configure_logging, sample_loop_lag
from gateway.server.assembly import (
    bare,
    configured_pools,
    furnished,
    make_exporters,
)
from gateway.server.auth import Accounts
from gateway.server.callers import AccountsAndTokens, TokensAndGuests
from gateway.server.docker import boot_id, docker, docker_options
from gateway.server.drivers import needs_of
from gateway.server.duties import cancel, duties, once, perform
from gateway.server.failures import Failures
from gateway.server.http import Listener
from gateway.server.libstorage import check_libstorage, libstorage
from gateway.server.openstorage import openstorage
from gateway.server.own import OwnResources, beside
from gateway.server.pace import Pace
from gateway.server.peering import check_peering, peering
from gateway.server.surroundings import Surroundings
from gateway.server.tls import Certificate, fingerprint
from gateway.server.tokens import Tokens
from gateway.server.watch import Ledger, Watch

Announce = Callable[[str], None]
_GENERATION_0 = 50_000
_USUAL: Mapping[str, float] = {}


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What `check` found.

    problems: what does not work. hints: what would work with something that this machine lacks.
    remarks: what to know of a pool that works (`Substrate.remarks`).
    matrix: pool -> kind -> operation or fact -> yes, or why not. fingerprint: of the certificate, where one is used.
    """

    problems: tuple[str, ...]
    hints: tuple[str, ...]
    matrix: dict[str, dict[str, dict[str, str]]]
    fingerprint: str = ""
    remarks: tuple[str, ...] = ()


async def serve(
    settings: Settings,
    *,
    announce: Announce = print,
    fault: FaultHook = no_fault,
    periods: Mapping[str, float] = _USUAL,
) -> None:
    """Run every configured door until SIGTERM or SIGINT; one `ready` line goes to `announce`.

    SIGHUP reads accounts, keys of issuers and certificates again, SIGUSR1 compares catalog and
    substrates now. `periods`: see `gateway.server.duties.duties`. ConfigError
    when accounts or certificate cannot be used; OSError when an address cannot
    be had.
    """
    configure_logging(settings.log, sys.stderr.buffer)
    stopping = asyncio.Event()
    async with running(settings, fault=fault, periods=periods, write=sys.stderr.buffer.write) as doors:
        spare_the_collector()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        loop.add_signal_handler(signal.SIGHUP, doors.reload)
        loop.add_signal_handler(signal.SIGUSR1, doors.reconcile)
        announce(f"ready {' '.join(f'{name}={address}' for name, address in doors.addresses.items())}")
        await stopping.wait()


def spare_the_collector() -> None:
    """Leave what is there now out of every garbage collection: what lives as long as the process needs no look."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GENERATION_0, 20, 100)


class Doors:
    """The open doors of a running gateway by name, and what a signal makes it do."""

    def __init__(self, addresses: dict[str, str], *, reload: Callable[[], None], reconcile: Callable[[], None]) -> None:
        self.addresses = addresses
        self.reload = reload
        self.reconcile = reconcile


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    write: Callable[[bytes], object],
    fault: FaultHook = no_fault,
    periods: Mapping[str, float] = _USUAL,
) -> AsyncIterator[Doors]:
    """Give a gateway with its doors open, on the running loop; stop it gracefully at the end.

    Access lines go to `write`. Nothing of the process is touched: no signal,
    no log, no collector.
    """
    metrics = Metrics()
    trail = FileTrail(settings.data_dir / "audit.jsonl")
    observer = ReportingObserver(metrics, trail=trail)
    failures = Failures(settings.auth.lockout_failures, settings.auth.lockout_s)
    accounts = Accounts.load(settings.accounts, failures=failures, observer=observer)
    tokens = Tokens.load(settings.auth.issuer, observer)
    limits = settings.limits
    pace = Pace(limits.requests_per_s, limits.requests_burst) if limits.requests_per_s else None
    callers = AccountsAndTokens(accounts, tokens, pace=pace)
    certificate = Certificate(settings.tls)
    tls = certificate.asking_context() if settings.tls.enabled else None
    async with AsyncExitStack() as stack:
        stack.callback(trail.close)
        stack.callback(accounts.close)
        stack.push_async_callback(tokens.close)
        house = await stack.enter_async_context(furnished(settings, observer, fault))
        trail.open()
        accounts.consult(house.core)
        door = OntapDoor(
            house.core,
            callers,
            name=settings.name,
            addresses=data_addresses(settings),
            max_body_bytes=settings.limits.max_body_bytes,
            receive_timeout_s=settings.limits.receive_timeout_s,
            observer=observer,
            release=Release.parse(settings.ontap.release),
            accounts=accounts,
            trail=trail,
        )
        await door.open()
        native = NativeDoor(
            house.core,
            callers,
            max_body_bytes=settings.limits.max_body_bytes,
            receive_timeout_s=settings.limits.receive_timeout_s,
            answer_timeout_s=settings.limits.request_timeout_s,
        )
        own = OwnResources(house.core, metrics, callers, native)
        access = AccessLog(settings.log, write)
        ledgers = {name: Ledger(name, metrics=metrics, access=access, trail=trail) for name in ("native", "ontap")}
        handle = beside(
            Watch(ledgers["native"], own.handle, refuse=native.refuse, observer=observer).handle,
            Watch(ledgers["ontap"], door.handle, refuse=door.refuse, observer=observer).handle,
        )
        listener = Listener(handle, settings.address, limits=settings.limits, refuse=door.refuse, tls=tls)
        await listener.start()
        stack.push_async_callback(listener.stop)
        shared = Surroundings(
            limits=settings.limits, certificate=certificate, metrics=metrics, access=access, observer=observer
        )
        opened = await stack.enter_async_context(
            openstorage(settings, house, TokensAndGuests(tokens), secured=tokens.accepted, shared=shared)
        )
        opened |= await stack.enter_async_context(libstorage(settings, house, shared))
        opened |= await stack.enter_async_context(docker(settings, house, shared, boot=boot_id()))
        opened |= await stack.enter_async_context(peering(settings, house, shared))
        tasks = [
            asyncio.create_task(perform(duty, house, observer), name=duty.name)
            for duty in duties(house, periods, fault=fault)
        ]
        tasks.append(asyncio.create_task(sample_loop_lag(metrics), name="loop_lag"))

        def reconcile() -> None:
            tasks.append(asyncio.create_task(once(house.reconcile, observer), name="reconcile"))

        stack.push_async_callback(cancel, tasks)
        scheme = "https" if tls else "http"
        yield Doors(
            {"ontap": f"{scheme}://{listener.address}", **opened},
            reload=lambda: _reload((accounts, tokens, certificate), observer),
            reconcile=reconcile,
        )


def _reload(files: tuple[Accounts, Tokens, Certificate], observer: Observer) -> None:
    try:
        for each in files:
            each.reload()
    except ConfigError as error:
        observer.event("not_reloaded", reason=str(error))
    else:
        observer.event("reloaded")


def data_addresses(settings: Settings) -> tuple[DataAddress, ...]:
    """Give the addresses that clients are told, by kind of export; none without an exporter."""
    named = {kind: getattr(settings.export.get(kind), "address", None) for kind in ("nfs", "iscsi")}
    return tuple(DataAddress(kind=kind, address=text) for kind, text in named.items() if isinstance(text, str))


async def check(settings: Settings) -> CheckResult:
    """Try accounts, certificate, every backend and every exporter; change nothing in a catalog."""
    problems: list[str] = []
    remarks: list[str] = []
    shown = ""
    matrix: dict[str, dict[str, dict[str, str]]] = {}
    try:
        Accounts.load(settings.accounts).close()
        await Tokens.load(settings.auth.issuer, SilentObserver()).close()
        if settings.tls.enabled or any(getattr(options, "tls", False) for options in settings.frontend.values()):
            Certificate(settings.tls).context()
            shown = fingerprint(settings.tls)
        check_peering(settings)
        check_libstorage(settings)
        docker_options(settings)
    except ConfigError as error:
        problems.append(str(error))
    lacking = {place: missing(needs) for place, needs in needs_of(settings).items()}
    problems += [f"{place}: needs {need}" for place, needs in lacking.items() for need in needs if not need.optional]
    hints = tuple(f"{place}: could use {need}" for place, needs in lacking.items() for need in needs if need.optional)
    for item in configured_pools(settings, no_fault):
        try:
            await item.backend.open()
            pool = OpenPool(item.name, item.backend, item.disabled)
            matrix[item.name] = _abilities(pool)
            remarks += [f"backend.{item.name}: {remark}" for remark in pool.substrate.remarks]
        except (errors.GatewayError, CapabilityMismatch) as error:
            problems.append(f"backend.{item.name}: {_why(error)}")
        finally:
            await item.backend.close()
    for kind, exporter in make_exporters(settings, no_fault).all().items():
        try:
            await exporter.open()
        except errors.GatewayError as error:
            # One that serves is no problem, and must not be disturbed.
            if error.fields.get("reason") != IN_USE:
                problems.append(f"export.{kind}: {_why(error)}")
        finally:
            await exporter.close()
    return CheckResult(problems=tuple(problems), hints=hints, matrix=matrix, fingerprint=shown, remarks=tuple(remarks))


def _why(error: Exception) -> str:
    """Give an error in words for the operator: its reason, where it has one."""
    reason = error.fields.get("reason") if isinstance(error, errors.GatewayError) else None
    return str(reason or error or type(error).__name__)


def _abilities(pool: OpenPool) -> dict[str, dict[str, str]]:
    return {
        kind.value: {
            name: "yes" if capability.can(name) else capability.why_not.get(name, "no")
            for name in (*OPERATIONS, *FLAGS)
        }
        for kind, capability in pool.capabilities.items()
    }


async def rebuild(settings: Settings, *, observer: Observer) -> list[Finding]:
    """Make a new catalog from what the substrates hold; give what was adopted and what could not be placed.

    InvalidState when there is a catalog: move it away first. Unavailable when
    a pool's substrate does not answer, because its volumes would be missing.
    """
    if settings.catalog_file.exists():
        raise errors.InvalidState(kind="catalog", ref=str(settings.catalog_file), state="present", action="rebuild")
    async with bare(settings, observer, no_fault) as house:
        for name in settings.backend:
            await house.core.pools.open(name)
        return await rebuild_catalog(house.core, observer)
