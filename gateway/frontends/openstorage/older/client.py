"""How the older API reaches the SDK, which has all the rules: calls on behalf of whoever sent a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from gateway.core.door import Trace
from gateway.frontends.openstorage.call import SdkError

A = TypeVar("A", bound=Message)
_PREFIX = "/openstorage.api."
_SUCCESS = "success"


class Answering(Protocol):
    """The SDK. Whatever fails leaves it as an SdkError."""

    async def answer(
        self, path: str, request: Message, *, authorization: str | None, peer: str, trace: Trace
    ) -> Message:
        """Carry out one call. `path` as gRPC sends it."""

    async def snapshot_together(
        self, names: Mapping[str, str], *, authorization: str | None, peer: str, trace: Trace
    ) -> Mapping[str, str]:
        """Take one snapshot, called as is said, of each volume, all at one instant; give their ids by the volumes'."""


class Quiescing(Protocol):
    """Holds volumes still, for which the SDK has no call. SdkError for whatever fails.

    Whether the caller may do so was asked before.
    """

    async def quiesce(self, volume_id: UUID, *, quiesce_id: str, timeout_s: int) -> None:
        """Hold a volume still for so long at the most; 0 is the longest time that is allowed."""

    async def unquiesce(self, volume_id: UUID) -> None:
        """Release a volume. One that is not held is released already."""


class Client:
    """The SDK for one request. `trace` is that of the request: it may make several calls."""

    def __init__(self, sdk: Answering, *, authorization: str | None, peer: str, trace: Trace) -> None:
        self._sdk = sdk
        self._peer = peer
        self._trace = trace
        self.authorization = authorization

    async def call(self, name: str, request: Message, kind: type[A]) -> A:
        """Make a call (`Service/Call`) that answers with `kind`; SdkError."""
        trace = Trace()
        try:
            answer = await self._make(name, request, trace)
        except SdkError as error:
            trace.outcome = trace.outcome or error.code.name
            self._note(trace, failed=True)
            raise
        self._note(trace, failed=False)
        if not isinstance(answer, kind):
            raise TypeError(f"{name} does not answer with {kind.__name__}")
        return answer

    async def snapshot_together(self, names: Mapping[str, str]) -> Mapping[str, str] | None:
        """Take snapshots of several volumes at one instant; None, and no trace, where that cannot be."""
        trace = Trace()
        try:
            taken = await self._sdk.snapshot_together(
                names, authorization=self.authorization, peer=self._peer, trace=trace
            )
        except SdkError:
            return None
        self._note(trace, failed=False)
        return taken

    async def probe(self, name: str, request: Message) -> SdkError | None:
        """Make a call for nothing but the way in which it ends: it leaves no trace but who called."""
        trace = Trace()
        try:
            await self._make(name, request, trace)
        except SdkError as error:
            return error
        finally:
            self._trace.who = trace.who or self._trace.who
        return None

    def begin(self, operation: str, target: str) -> None:
        """Note a change that is no call of the SDK."""
        self._note(Trace(operation=operation, target=target, outcome=_SUCCESS), failed=False)

    def fail(self, outcome: str) -> None:
        """Note that the change that was noted last did not come about."""
        self._note(Trace(outcome=outcome), failed=True)

    def nobody(self) -> Client:
        """Give the SDK as it is for whoever proves nothing."""
        return Client(self._sdk, authorization=None, peer=self._peer, trace=self._trace)

    async def _make(self, name: str, request: Message, trace: Trace) -> Message:
        return await self._sdk.answer(
            f"{_PREFIX}{name}", request, authorization=self.authorization, peer=self._peer, trace=trace
        )

    def _note(self, trace: Trace, *, failed: bool) -> None:
        """Add a call to the request's trace: every change by name, and the first outcome that is no success."""
        whole = self._trace
        whole.who = trace.who or whole.who
        if trace.operation:
            whole.operation = f"{whole.operation}+{trace.operation}" if whole.operation else trace.operation
            whole.target = whole.target or trace.target
            whole.job = trace.job or whole.job
        if whole.outcome in {"", _SUCCESS} and (failed or trace.operation):
            whole.outcome = trace.outcome
