"""What a backend or exporter needs of the machine, as data: `gateway check` tests it, `gateway unit` grants just it.

A driver says it by a class method `needs(options)`, so that it depends on what
the operator asked for; a driver without the method needs nothing.
"""

from __future__ import annotations

import enum
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from gateway.core.mount_table import entries, holding

_STATUS = Path("/proc/self/status")
_UNPRIVILEGED = 1024
CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
)
"""Names of the kernel's capabilities by number (capabilities(7)), as far as anything here could need them."""


class NeedKind(enum.StrEnum):
    """What is needed."""

    CAPABILITY = "capability"
    PROGRAM = "program"
    DEVICE = "device"
    WRITABLE = "writable"
    MOUNT = "mount"
    SHARED = "shared mount"


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is needed, and what for. `optional`: without it something is missing, but the rest works.

    `name` is a kernel capability, a program on PATH, a device node, a
    directory that has to be writable, a mount point whose server may be away
    (that one is not looked at, because looking could hang), or a directory on a
    mount that hands on what is mounted below it to other mount name spaces.
    """

    kind: NeedKind
    name: str
    why: str
    optional: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.why}"


def effective_capabilities(status: Path = _STATUS) -> frozenset[str]:
    """Give the kernel capabilities that this process has in effect."""
    for line in status.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            mask = int(value, 16)
            return frozenset(capability for bit, capability in enumerate(CAPABILITIES) if mask >> bit & 1)
    return frozenset()


def missing(
    needs: Iterable[Need],
    *,
    handed_on: Callable[[str], bool] = lambda name: is_shared(Path(name)),
    capabilities: Callable[[], frozenset[str]] = effective_capabilities,
    which: Callable[[str], str | None] = shutil.which,
    access: Callable[[str, int], bool] = os.access,
) -> tuple[Need, ...]:
    """Give the needs that this process cannot fill."""
    held = capabilities()
    met: dict[NeedKind, Callable[[str], bool]] = {
        NeedKind.CAPABILITY: lambda name: name in held,
        NeedKind.PROGRAM: lambda name: which(name) is not None,
        NeedKind.DEVICE: lambda name: access(name, os.R_OK | os.W_OK),
        NeedKind.WRITABLE: lambda name: access(name, os.W_OK | os.X_OK),
        NeedKind.MOUNT: lambda _name: True,
        NeedKind.SHARED: handed_on,
    }
    return tuple(need for need in needs if not met[need.kind](need.name))


def is_shared(path: Path) -> bool:
    """Tell whether a mount that is made below a path is seen by the containers that are given the path (rslave)."""
    place = path.resolve()
    while not place.exists():
        place = place.parent
    found = holding(place, entries())
    return found is not None and found.shared


def capability(name: str, why: str, *, optional: bool = False) -> Need:
    """Give the need of a kernel capability."""
    return Need(kind=NeedKind.CAPABILITY, name=name, why=why, optional=optional)


def brought_files() -> tuple[Need, ...]:
    """Say what it takes to have in volumes of files whatever replication brings there from pools of other drivers."""
    return (
        capability("CAP_FSETID", "to keep set-id bits in volumes that follow others", optional=True),
        capability("CAP_MKNOD", "to have device files in volumes that follow others", optional=True),
        capability("CAP_SETFCAP", "to keep capabilities of files in volumes that follow others", optional=True),
    )


def program(name: str, why: str, *, optional: bool = False) -> Need:
    """Give the need of a program."""
    return Need(kind=NeedKind.PROGRAM, name=name, why=why, optional=optional)


def device(name: str, why: str, *, optional: bool = False) -> Need:
    """Give the need of a device node."""
    return Need(kind=NeedKind.DEVICE, name=name, why=why, optional=optional)


def listening(port: int) -> tuple[Need, ...]:
    """Give what listening on a port needs; nothing for most."""
    if not 0 < port < _UNPRIVILEGED:
        return ()
    return (capability("CAP_NET_BIND_SERVICE", f"to listen on port {port}"),)


def writable(path: Path, why: str) -> Need:
    """Give the need of a directory to write to."""
    return Need(kind=NeedKind.WRITABLE, name=str(path), why=why)


def mount(path: Path, why: str) -> Need:
    """Give the need of what is mounted at a place."""
    return Need(kind=NeedKind.MOUNT, name=str(path), why=why)


def shared(path: Path, why: str) -> Need:
    """Give the wish for a directory on a shared mount. What is mounted elsewhere works, too, but only here."""
    return Need(kind=NeedKind.SHARED, name=str(path), why=why, optional=True)
