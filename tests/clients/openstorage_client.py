"""The official openstorage client for tests, in a process of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

LIMIT_S = 30.0
DOOR = '[frontend.openstorage]\ngrpc = "127.0.0.1:0"\nrest = "127.0.0.1:0"\n'
"""The door on free ports, for a configuration."""


class RefusedError(Exception):
    """A call ended with a status other than OK."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details


class Client:
    """Makes calls by the official client. `token`: sent as it would send it."""

    def __init__(
        self, process: subprocess.Popen[str], target: str, *, token: str = "", ca: str = "", limit_s: float = LIMIT_S
    ) -> None:
        self._process = process
        self._target = target
        self._ca = ca
        self._limit_s = limit_s
        self._metadata = [["authorization", f"bearer {token}"]] if token else []

    def known_as(self, token: str) -> Client:
        """Give a client that shows another token."""
        return Client(self._process, self._target, token=token, ca=self._ca)

    def at(self, target: str, *, ca: str = "") -> Client:
        """Give a client of another address."""
        other = Client(self._process, target, ca=ca or self._ca)
        other._metadata = self._metadata
        return other

    def __call__(self, name: str, /, _metadata: Any = None, **request: Any) -> Any:
        """Make a call, `Volume/Create` or `Policy/Create`; RefusedError for every status but OK."""
        code, details, response = self._made(name, request, self._metadata if _metadata is None else _metadata)
        if code != "OK":
            raise RefusedError(code, details)
        return response

    def at_once(self, name: str, /, *requests: dict[str, Any]) -> list[tuple[str, Any]]:
        """Make calls at the same time; give the status of each, and its response or text."""
        answers = self._made(name, list(requests), self._metadata)
        return [(code, response if code == "OK" else details) for code, details, response in answers]

    def within(self, seconds: float) -> Client:
        """Give a client whose calls end after so long."""
        other = Client(self._process, self._target, ca=self._ca, limit_s=seconds)
        other._metadata = self._metadata
        return other

    def _made(self, name: str, request: Any, metadata: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = [self._target, f"OpenStorage{name}", request, metadata, self._limit_s, self._ca]
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def refused(self, name: str, /, **request: Any) -> tuple[str, str]:
        """Make a call that has to fail; give its status and text."""
        with pytest.raises(RefusedError) as caught:
            self(name, **request)
        return caught.value.code, caught.value.details


@contextmanager
def official_client(python: Path, target: str, *, token: str = "", ca: str = "") -> Iterator[Client]:
    """Start the client's process; it ends with its standard input."""
    script = Path(__file__).parent / "openstorage_calls.py"
    with subprocess.Popen([python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Client(process, target, token=token, ca=ca)
        assert process.stdin is not None
        process.stdin.close()
