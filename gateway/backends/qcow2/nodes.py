"""What is said to the storage daemon about its nodes, exports and jobs.

A node is named by the inode of its layer's file, which stays when a merged
layer takes the name of another. QEMU opens a file anew by the name it knows
when a layer becomes immutable or is merged, so it knows a name that stays too:
a second link, by the inode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from gateway.backends.qcow2.images import Layer
from gateway.core.qmp import Conversation, Refused

_LOWER_CACHE = 1024**2


class Target(msgspec.Struct, frozen=True):
    """What a raw view shows: the first layer of a chain. `sparse`: zeros that are written take no space."""

    chain: tuple[Layer, ...]
    writable: bool
    sparse: bool = False


class Merged(msgspec.Struct, frozen=True):
    """A merge that the daemon has done: `upper` is of no use any more, `lower` has to take its name."""

    family: UUID
    lower: int
    upper: int

    @property
    def job(self) -> str:
        """Give the name of the job, which says it all, also after the gateway was killed."""
        return f"merge.{self.family}.{self.lower}.{self.upper}"


class _Export(msgspec.Struct, frozen=True):
    id: str
    node: str = msgspec.field(name="node-name")


class _Node(msgspec.Struct, frozen=True):
    name: str = msgspec.field(name="node-name")


class Job(msgspec.Struct, frozen=True):
    """A job of the daemon."""

    id: str
    status: str
    error: str = ""


def name_of(layer: Layer) -> str:
    """Give the name of a layer's node."""
    return f"layer{layer.inode}"


def file_of(layer: Layer) -> str:
    """Give the name of the node of a layer's file."""
    return f"file{layer.inode}"


def export_id(name: str) -> str:
    """Give the name of the export of a raw view; such a name begins with a letter."""
    return f"x{name}"


def link_of(name: str) -> str:
    """Give the second name of the file behind a node."""
    return f"{name}.qcow2"


def options(
    layer: Layer, backing: str | None, *, file: Path | None, writable: bool, sparse: bool = False
) -> dict[str, Any]:
    """Give how a layer is opened, from a file or, None, from the one that it is open from already.

    By its format, so that nothing in the file has a say in that.
    """
    opened = {"driver": "file", "node-name": file_of(layer), "filename": str(file), "discard": "unmap"}
    return {
        "driver": "qcow2",
        "node-name": name_of(layer),
        "read-only": not writable,
        "discard": "unmap",
        "backing": backing,
        "file": file_of(layer) if file is None else opened,
        **({"detect-zeroes": "unmap"} if sparse else {}),
        # There may be hundreds of lower layers; the default is what the head alone should take.
        **({} if writable else {"l2-cache-size": _LOWER_CACHE}),
    }


def exports(talk: Conversation) -> dict[str, str]:
    """Give the raw views that the daemon shows, and the node of each."""
    found = msgspec.json.decode(talk.execute("query-block-exports"), type=list[_Export])
    return {export.id.removeprefix("x"): export.node for export in found}


def known(talk: Conversation) -> frozenset[str]:
    """Give all nodes. Takes long where there are thousands."""
    found = msgspec.json.decode(talk.execute("query-named-block-nodes", {"flat": True}), type=list[_Node])
    return frozenset(node.name for node in found)


def jobs(talk: Conversation) -> list[Job]:
    """Give all jobs that are not dismissed."""
    return msgspec.json.decode(talk.execute("query-jobs"), type=list[Job])


def merges(talk: Conversation) -> list[tuple[Merged, Job]]:
    """Give all merges that are not dismissed."""
    found = [(parse_job(job.id), job) for job in jobs(talk)]
    return [(merged, job) for merged, job in found if merged is not None]


def parse_job(name: str) -> Merged | None:
    """Give the merge that a job is; None when it is another one."""
    kind, *parts = name.split(".")
    if kind != "merge" or len(parts) != 3:  # noqa: PLR2004 - family, lower, upper
        return None
    return Merged(family=UUID(parts[0]), lower=int(parts[1]), upper=int(parts[2]))


def await_job(talk: Conversation, job: str, *, timeout_s: float) -> None:
    """Wait until a job that was running when events were last forgotten has ended."""

    def ended(event: str, data: Mapping[str, Any]) -> bool:
        return event == "JOB_STATUS_CHANGE" and data.get("id") == job and data.get("status") == "concluded"

    talk.await_event(ended, timeout_s=timeout_s)


def end_export(talk: Conversation, name: str, *, timeout_s: float) -> None:
    """Take a raw view away, and wait until it is."""

    def ended(event: str, data: Mapping[str, Any]) -> bool:
        return event == "BLOCK_EXPORT_DELETED" and data.get("id") == export_id(name)

    talk.execute("block-export-del", {"id": export_id(name), "mode": "hard"})
    talk.await_event(ended, timeout_s=timeout_s)


def drop(talk: Conversation, names: Sequence[str], *, links: Path) -> None:
    """Let go of nodes, the upper first, up to one that others still use."""
    for name in names:
        try:
            talk.execute("blockdev-del", {"node-name": name})
        except Refused:
            return
        (links / link_of(name)).unlink(missing_ok=True)
