"""What the door knows of its surroundings: whose volumes it shows, and where on which boot of which host it mounts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.model import Mount, Tenant, Volume
from gateway.frontends.docker.settings import DockerOptions

_BOOT_DIGITS = 8
_CALLER_DIGITS = 32
_USER = re.compile(rf"(?P<boot>[0-9a-f]{{{_BOOT_DIGITS}}})/[0-9a-f]{{{_CALLER_DIGITS}}}")


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """One per door. `tenants` are looked up at every call: they may be renamed or made anew.

    `mounts`: the folder in which volumes are mounted, `node`: this host, as mounts have it. `boot`: the kernel's
    id of its present run, since whoever used a mount before it does so no more.
    """

    options: DockerOptions
    tenants: tuple[str, ...]
    mounts: Path
    node: str
    boot: str

    async def tenant_ids(self, core: Core) -> dict[str, UUID]:
        """Give the ids of the tenants by name, in the order in which volumes are looked up; Unavailable without one."""
        found = {name: await core.known.named(Tenant, name) for name in self.tenants}
        there = {name: tenant.id for name, tenant in found.items() if tenant is not None}
        if not there:
            raise errors.Unavailable(what=f"tenant {self.tenants[0]}", reason="it does not exist")
        return there

    def path(self, name: str) -> str:
        """Give where a volume of that name is mounted."""
        return str(self.mounts / name)

    def user(self, caller: str) -> str:
        """Give the name under which a mount knows a caller of `Mount`."""
        digest = hashlib.sha256(caller.encode()).hexdigest()
        return f"{self.boot[:_BOOT_DIGITS]}/{digest[:_CALLER_DIGITS]}"

    def gone(self) -> Callable[[str], bool]:
        """Give what tells whether a user of a mount is one of this door's from before the host's last boot."""

        def from_another_boot(user: str) -> bool:
            match = _USER.fullmatch(user)
            return match is not None and match["boot"] != self.boot[:_BOOT_DIGITS]

        return from_another_boot

    def mount_of(self, volume: Volume) -> Mount | None:
        """Give a volume's mount by this door on this host; None while there is none."""
        for mount in volume.mounts:
            if mount.node == self.node and Path(mount.path).parent == self.mounts and any(map(is_user, mount.users)):
                return mount
        return None


def is_user(user: str) -> bool:
    """Tell whether a user of a mount is one of this door's."""
    return _USER.fullmatch(user) is not None
