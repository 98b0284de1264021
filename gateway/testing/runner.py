"""A scripted twin of `gateway.core.runner`: answers from a list, and every command line is checked."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.core.errors import GatewayError
from gateway.core.runner import Done


class Exchange(msgspec.Struct, frozen=True):
    """One command line that is expected, and how it ends: an answer, or an error to raise.

    `arguments` may hold "*" for an argument that is not looked at.
    """

    arguments: tuple[str, ...]
    answer: Done | GatewayError
    stdin: bytes | None = None


class ScriptedRunner:
    """Plays exchanges in order; AssertionError for a command line that is not the next one."""

    def __init__(self, *exchanges: Exchange) -> None:
        self._left = list(exchanges)
        self.ran: list[tuple[str, ...]] = []

    def run(self, arguments: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0) -> Done:
        """See `gateway.core.runner.Runner`."""
        assert timeout_s > 0
        given = tuple(arguments)
        self.ran.append(given)
        assert self._left, f"nothing more is expected, but {given} was run"
        exchange = self._left.pop(0)
        expected = exchange.arguments
        alike = len(given) == len(expected) and all(e in {"*", g} for g, e in zip(given, expected, strict=True))
        assert alike, f"expected {expected}, but {given} was run"
        if exchange.stdin is not None:
            assert stdin == exchange.stdin
        if isinstance(exchange.answer, GatewayError):
            raise exchange.answer
        return exchange.answer

    def finish(self) -> None:
        """Fail unless everything expected was run."""
        assert not self._left, f"not run: {[exchange.arguments for exchange in self._left]}"
