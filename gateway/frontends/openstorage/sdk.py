"""The SDK itself: every way in (gRPC, its REST form, the older REST) makes its calls here, and no rule is elsewhere.

A call is authenticated, then authorised by its name, then read and carried
out; what goes wrong leaves as an `SdkError`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import msgspec
from google.protobuf.message import DecodeError, Message
from grpc import StatusCode

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.core.observer import Observer
from gateway.core.principal import Authenticator, Principal
from gateway.core.roles import authorize
from gateway.frontends.memory import Answers
from gateway.frontends.openstorage.call import Call, SdkError
from gateway.frontends.openstorage.errors import encode_error
from gateway.frontends.openstorage.schema import Method, Schema
from gateway.frontends.openstorage.services import HANDLERS, KEPT, Handler, snapshots
from gateway.frontends.openstorage.site import Site
from gateway.frontends.openstorage.wire import encoded

_SUCCESS = "success"
_ANSWERS_BYTES = 16 * 1024 * 1024
_READS = (
    "inspect",
    "enumerate",
    "snapshotenumerate",
    "defaultinspect",
    "stats",
    "capacityusage",
    "capabilities",
    "version",
    "volumeusagebynode",
    "status",
    "catalog",
    "history",
    "schedenumerate",
    "size",
)
_TAKE = "/openstorage.api.OpenStorageVolume/SnapshotCreate"
_IDS = ("volume_id", "backup_id", "src_volume_id", "task_id", "backup_schedule_id", "credential_id", "name")
_NAMED = ("schedule_policy", "storage_policy", "role")
"""Fields of requests that hold what is made or changed, by name."""


class Where(msgspec.Struct, frozen=True):
    """A method, the service it belongs to as roles name it, and its handler (None: not served).

    `kept`: see `KEPT`.
    """

    service: str
    method: Method
    handler: Handler | None
    kept: Callable[[Any], bool] | None
    reads: bool

    @property
    def name(self) -> str:
        """Give `Service/Call`."""
        return self.method.path.rpartition(".")[2]


class Sdk:
    """Carries out calls. `schema`: every service, served or not."""

    def __init__(
        self, core: Core, site: Site, authenticator: Authenticator, *, schema: Schema, observer: Observer
    ) -> None:
        self._core = core
        self._site = site
        self._authenticator = authenticator
        self._observer = observer
        self._answers: Answers[bytes] = Answers(_ANSWERS_BYTES)
        self.schema = schema
        self._methods = {
            method.path: _where(service.rule_name, method)
            for service in schema.values()
            for method in service.methods.values()
        }

    @property
    def served(self) -> frozenset[str]:
        """Give the paths of the calls that have a handler."""
        return frozenset(path for path, where in self._methods.items() if where.handler is not None)

    async def answer(
        self, path: str, request: Message, *, authorization: str | None, peer: str, trace: Trace
    ) -> Message:
        """Carry out one call; SdkError for everything that goes wrong. `path` as gRPC sends it."""
        where = self._find(path, trace)
        with self._ending(where, trace):
            await self._core.known.renew()
            principal = await self._authenticate(authorization, peer=peer, trace=trace)
            await authorize(self._core, principal, where.service, where.method.rule_name)
            return await self._carry_out(where, request, principal, trace)

    async def answer_bytes(
        self, path: str, request: bytes, *, authorization: str | None, peer: str, trace: Trace
    ) -> bytes:
        """Do the same for a request as it came over the wire. Reads are answered from memory while nothing changed."""
        where = self._find(path, trace)
        with self._ending(where, trace):
            version = await self._core.known.renew()
            principal = await self._authenticate(authorization, peer=peer, trace=trace)
            key = (path, request, principal)
            # Roles are in the catalog: what this caller was allowed at this version it still is.
            kept = None if where.kept is None else self._answers.get(key, version)
            if kept is not None:
                return kept
            await authorize(self._core, principal, where.service, where.method.rule_name)
            response = await self._carry_out(where, _read(where.method, request), principal, trace)
            keep = where.kept is not None and where.kept(response)
            answer = await encoded(response)
            if keep:
                self._answers.put(key, version, answer, weight=len(request) + len(answer))
            return answer

    async def snapshot_together(
        self, names: Mapping[str, str], *, authorization: str | None, peer: str, trace: Trace
    ) -> Mapping[str, str]:
        """Take snapshots of several volumes at one instant, for which there is no call; see `create_together`.

        It is for those who may take them one by one.
        """
        where = self._find(_TAKE, trace)
        with self._ending(where, trace):
            await self._core.known.renew()
            principal = await self._authenticate(authorization, peer=peer, trace=trace)
            await authorize(self._core, principal, where.service, where.method.rule_name)
            trace.operation, trace.target = where.name, ",".join(names)[:128]
            taken = await snapshots.create_together(self._call(where, principal), names)
            trace.outcome = _SUCCESS
            return taken

    async def stream(
        self, path: str, request: Message, *, authorization: str | None, peer: str, trace: Trace
    ) -> AsyncGenerator[Message, None]:
        """Do the same for a call with any number of responses. None of those is served yet."""
        yield await self.answer(path, request, authorization=authorization, peer=peer, trace=trace)

    def _find(self, path: str, trace: Trace) -> Where:
        where = self._methods.get(path)
        if where is None:
            raise SdkError(StatusCode.UNIMPLEMENTED, f"There is no call {path[:128]}")
        trace.route = where.name
        return where

    async def _authenticate(self, authorization: str | None, *, peer: str, trace: Trace) -> Principal:
        principal = await self._authenticator.authenticate(authorization or None, peer=peer)
        trace.who = principal.name
        return principal

    async def _carry_out(self, where: Where, request: Message, principal: Principal, trace: Trace) -> Message:
        if where.handler is None:
            raise SdkError(StatusCode.UNIMPLEMENTED, f"{where.name} is not served by this gateway")
        if not where.reads:
            trace.operation = where.name
            trace.target = _target(request)
        response = await where.handler(self._call(where, principal), request)
        trace.outcome = _SUCCESS if trace.operation else ""
        return response

    def _call(self, where: Where, principal: Principal) -> Call:
        return Call(core=self._core.acting_for(principal), site=self._site, principal=principal, method=where.method)

    @contextmanager
    def _ending(self, where: Where, trace: Trace) -> Iterator[None]:
        """Make an SdkError of whatever goes wrong in the block."""
        try:
            yield
        except SdkError as error:
            trace.outcome = error.code.name
            raise
        except errors.GatewayError as error:
            trace.outcome = type(error).__name__
            raise encode_error(error, where.name) from None
        except Exception as error:  # noqa: BLE001 - a defect must not show its insides
            incident = uuid4().hex
            self._observer.defect(incident, error)
            trace.outcome = errors.Internal.__name__
            raise encode_error(errors.Internal(incident=incident), where.name) from None


def _where(service: str, method: Method) -> Where:
    name = method.path.rpartition(".")[2]
    return Where(
        service=service,
        method=method,
        handler=HANDLERS.get(name),
        kept=KEPT.get(name),
        reads=method.rule_name.startswith(_READS),
    )


def _target(request: Message) -> str:
    """Give what a request is about, for the audit."""
    parts = (getattr(request, field, None) for field in _NAMED)
    own = (getattr(request, field, "") for field in _IDS)
    names = (*own, *(getattr(part, "name", "") for part in parts))
    return next((str(name)[:128] for name in names if name), "")


def _read(method: Method, request: bytes) -> Message:
    try:
        return method.request.FromString(request)
    except DecodeError:
        raise errors.InvalidArgument(field="request", reason=f"is no {method.request.DESCRIPTOR.name}") from None
