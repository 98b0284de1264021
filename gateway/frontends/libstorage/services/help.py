"""`/`, `/help` and `/executors`: what there is to ask for."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.frontends.libstorage.ask import Ask
from gateway.frontends.libstorage.errors import bad_admin_token, not_found

VERSION = "0.11.4"
"""The release of REX-Ray whose dialect this is: clients have no other sign of it."""

_ROOTS = ("services", "snapshots", "tasks", "help", "volumes")
_HELP = ("config", "env", "version")


async def root(ask: Ask) -> Sequence[str]:
    """Give the addresses of all kinds of resources."""
    return [f"{ask.base}/{name}" for name in _ROOTS]


async def index(ask: Ask) -> Sequence[str]:
    """Give the addresses of what there is below."""
    return [f"{ask.base}/help/{name}" for name in _HELP]


async def version(_ask: Ask) -> str:
    """Give the version."""
    return VERSION


async def secrets(ask: Ask) -> object:
    """Refuse to tell configuration and environment, whoever asks: there is no token that opens them."""
    raise bad_admin_token(ask.query.text("admin") if ask.query.has("admin") else "")


async def executors(_ask: Ask) -> dict[str, object]:
    """Give the executors that can be downloaded, which clients have done without since 0.6.3: none."""
    return {}


async def executor(ask: Ask) -> object:
    """Refuse to give one."""
    raise not_found(ask.keys["executor"])
