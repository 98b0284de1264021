"""Which options of mount(8) may be asked for, and what each of them is about."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.errors import InvalidArgument
from gateway.core.exporter import HostMount
from gateway.core.model import VolumeKind
from gateway.exports.mounts.kernel import ATTRIBUTES

_NOTHING: Mapping[str, str] = {"defaults": "", "suid": "", "dev": "", "exec": ""}
"""What is so anyway, or was said by other means; whoever gives it is not refused."""

_OF_FILE_SYSTEM = frozenset({"discard", "nodiscard", "sync", "dirsync", "lazytime"})
"""Options of a whole file system: for block volumes, which have one of their own."""


def split(wanted: HostMount) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the attributes of the mount and the options of its file system; InvalidArgument for one that may not be."""
    attributes, more = [], []
    for name, value in wanted.options.items():
        if value not in {"", "true"}:
            raise _refused(name, "takes no value")
        if name in _OF_FILE_SYSTEM:
            if wanted.kind is not VolumeKind.BLOCK:
                raise _refused(name, "is for block volumes: a volume of files shares its file system with others")
            more.append(name)
        elif name in ATTRIBUTES:
            attributes.append(name)
        elif name not in _NOTHING:
            raise _refused(name, f"must be one of {', '.join(sorted((*ATTRIBUTES, *_OF_FILE_SYSTEM)))}")
    if wanted.read_only or wanted.source.read_only:
        attributes.append("ro")
    return tuple(dict.fromkeys(attributes)), tuple(more)


def _refused(name: str, reason: str) -> InvalidArgument:
    return InvalidArgument(field="options", value=name[:64], reason=reason)
