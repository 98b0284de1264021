"""A small client of the volume plugin, written from Docker's documentation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

ACCEPT = "application/vnd.docker.plugins.v1.2+json"
TIMEOUT_S = 60


class PluginError(Exception):
    """The text of an `Err`."""


class PluginClient:
    """Calls by name: `plugin("Mount", Name="v", ID="c1")` gives the answer, or raises its `Err`."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def __call__(self, call: str, /, **body: Any) -> dict[str, Any]:
        path = call if "." in call else f"VolumeDriver.{call}"
        answer = self.http.post(f"/{path}", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        if found.get("Err"):
            raise PluginError(found["Err"])
        return found

    def refused(self, call: str, /, **body: Any) -> str:
        """Give the `Err` of a call that must have one."""
        try:
            answer = self(call, **body)
        except PluginError as error:
            return str(error)
        raise AssertionError(answer)

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self("Get", Name=name)["Volume"]["Status"]
        return found

    def names(self) -> list[str]:
        return [volume["Name"] for volume in self("List")["Volumes"]]


@contextlib.contextmanager
def plugin_at(socket: Path | str) -> Iterator[PluginClient]:
    """Give a client of the plugin behind a UNIX socket."""
    transport = httpx.HTTPTransport(uds=str(socket), verify=False)
    with httpx.Client(
        transport=transport, base_url="http://plugin", timeout=TIMEOUT_S, headers={"Accept": ACCEPT}
    ) as http:
        yield PluginClient(http)
