"""Between which ends content can be moved, and by what."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.core.errors import Unsupported
from gateway.core.model import AccessHandle, LocalPath, VolumeKind
from gateway.core.mover import MoveJob
from gateway.mover.blocks import move_blocks
from gateway.mover.meter import Meter
from gateway.mover.trees import move_tree

Course = Callable[[MoveJob, Meter], None]
"""Makes the destination of a job equal to its source. Idempotent. Blocks; raises errors of the core."""


def _trees(job: MoveJob, meter: Meter) -> None:
    move_tree(_path(job.source), _path(job.destination), meter, full=job.full)


def _blocks(job: MoveJob, meter: Meter) -> None:
    move_blocks(_path(job.source), _path(job.destination), meter)


def _path(handle: AccessHandle) -> str:
    if not isinstance(handle, LocalPath):
        raise TypeError(f"{type(handle).__name__} is no path")
    return handle.path


COURSES: Mapping[tuple[VolumeKind, str, str], Course] = {
    (VolumeKind.FILESYSTEM, "local_path", "local_path"): _trees,
    (VolumeKind.BLOCK, "local_path", "local_path"): _blocks,
}
"""(kind, tag of the source's handle, tag of the destination's) -> what moves there."""


def obstacle(kind: VolumeKind, source: AccessHandle, destination: AccessHandle) -> str:
    """Tell why nothing moves between two handles; empty when it does."""
    ends = _ends(kind, source, destination)
    if ends in COURSES:
        return ""
    return f"nothing moves {kind.value} content from {ends[1]} to {ends[2]}"


def move(job: MoveJob, meter: Meter) -> None:
    """Do a job."""
    course = COURSES.get(_ends(job.kind, job.source, job.destination))
    if course is None:
        reason = obstacle(job.kind, job.source, job.destination)
        raise Unsupported(capability="replicate", backend="mover", reason=reason)
    course(job, meter)


def _ends(kind: VolumeKind, source: AccessHandle, destination: AccessHandle) -> tuple[VolumeKind, str, str]:
    return kind, str(source.__struct_config__.tag), str(destination.__struct_config__.tag)
