"""Requests and answers as they are on the wire. See the "Docker Engine volume plugins" page of Docker's documentation.

Members have the protocol's names, which begin with a capital.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

CONTENT_TYPE = "application/vnd.docker.plugins.v1.1+json"


class Request(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What any call says. `name` is as it was written, a volume's name or a name string."""

    name: str = ""
    caller: str = msgspec.field(default="", name="ID")
    opts: dict[str, str] | None = None


class Done(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """The answer to what gives nothing; with a text in `err` the answer to everything that failed."""

    err: str = ""


class Activated(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What the plugin is."""

    implements: tuple[str, ...] = ("VolumeDriver",)


class Mounted(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Where a volume is on this host."""

    mountpoint: str
    err: str = ""


class ShownVolume(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """A volume. `mountpoint` is empty while it is not mounted; `status` is what `docker volume inspect` tells."""

    name: str
    mountpoint: str
    created_at: datetime | None = None
    status: dict[str, Any] | None = None


class Got(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One volume."""

    volume: ShownVolume
    err: str = ""


class Listed(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """All volumes."""

    volumes: list[ShownVolume]
    err: str = ""


class Ability(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What Docker takes the volumes for."""

    scope: str


class Able(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What the driver can do."""

    capabilities: Ability
