"""Between which ends content can be moved, and by what."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.core.errors import Unsupported
from gateway.core.handles import LocalPath
from gateway.core.model import VolumeKind
from gateway.core.mover import FarPlace, MoveJob, ObjectPlace, Place
from gateway.mover.blocks import fill_blocks, move_blocks
from gateway.mover.chunks import blocks_to_objects, content_to_objects, objects_to_blocks
from gateway.mover.download import objects_to_tree
from gateway.mover.far.asking import reached
from gateway.mover.far.branches import FarOrigin
from gateway.mover.far.contents import FarContent
from gateway.mover.far.keyed import far_walk
from gateway.mover.far.words import File
from gateway.mover.meter import Meter
from gateway.mover.objects import move_objects
from gateway.mover.trees import grow_tree, move_tree
from gateway.mover.upload import found_to_objects, tree_to_objects

Course = Callable[[MoveJob, Meter], None]
"""Makes the destination of a job equal to its source. Idempotent. Blocks; raises errors of the core."""


def _trees(job: MoveJob, meter: Meter) -> None:
    move_tree(_path(job.source), _path(job.destination), meter, full=job.full)


def _blocks(job: MoveJob, meter: Meter) -> None:
    move_blocks(_path(job.source), _path(job.destination), meter)


def _tree_from_afar(job: MoveJob, meter: Meter) -> None:
    with reached(_far(job.source), job.kind) as asking:
        grow_tree(FarOrigin(asking), _path(job.destination), meter, full=job.full)


def _blocks_from_afar(job: MoveJob, meter: Meter) -> None:
    with reached(_far(job.source), job.kind) as asking:
        fill_blocks(FarContent(asking, File(()), length=asking.length), _path(job.destination), meter)


def _tree_up_from_afar(job: MoveJob, meter: Meter) -> None:
    with reached(_far(job.source), job.kind) as asking:
        found_to_objects(far_walk(asking), _place(job.destination), meter, full=job.full)


def _blocks_up_from_afar(job: MoveJob, meter: Meter) -> None:
    with reached(_far(job.source), job.kind) as asking:
        content_to_objects(FarContent(asking, File(()), length=asking.length), _place(job.destination), meter)


def _tree_up(job: MoveJob, meter: Meter) -> None:
    tree_to_objects(_path(job.source), _place(job.destination), meter, full=job.full)


def _tree_down(job: MoveJob, meter: Meter) -> None:
    objects_to_tree(_place(job.source), _path(job.destination), meter, full=job.full)


def _blocks_up(job: MoveJob, meter: Meter) -> None:
    blocks_to_objects(_path(job.source), _place(job.destination), meter)


def _blocks_down(job: MoveJob, meter: Meter) -> None:
    objects_to_blocks(_place(job.source), _path(job.destination), meter)


def _objects(job: MoveJob, meter: Meter) -> None:
    move_objects(_place(job.source), _place(job.destination), meter)


def _place(handle: Place) -> ObjectPlace:
    if not isinstance(handle, ObjectPlace):
        raise TypeError(f"{type(handle).__name__} is no place of objects")
    return handle


def _far(handle: Place) -> FarPlace:
    if not isinstance(handle, FarPlace):
        raise TypeError(f"{type(handle).__name__} is nowhere else")
    return handle


def _path(handle: Place) -> str:
    if not isinstance(handle, LocalPath):
        raise TypeError(f"{type(handle).__name__} is no path")
    return handle.path


COURSES: Mapping[tuple[VolumeKind, str, str], Course] = {
    (VolumeKind.FILESYSTEM, "local_path", "local_path"): _trees,
    (VolumeKind.BLOCK, "local_path", "local_path"): _blocks,
    (VolumeKind.FILESYSTEM, "far_place", "local_path"): _tree_from_afar,
    (VolumeKind.BLOCK, "far_place", "local_path"): _blocks_from_afar,
    (VolumeKind.FILESYSTEM, "far_place", "object_place"): _tree_up_from_afar,
    (VolumeKind.BLOCK, "far_place", "object_place"): _blocks_up_from_afar,
    (VolumeKind.FILESYSTEM, "local_path", "object_place"): _tree_up,
    (VolumeKind.FILESYSTEM, "object_place", "local_path"): _tree_down,
    (VolumeKind.BLOCK, "local_path", "object_place"): _blocks_up,
    (VolumeKind.BLOCK, "object_place", "local_path"): _blocks_down,
    (VolumeKind.OBJECTS, "object_place", "object_place"): _objects,
}
"""(kind, tag of the source's handle, tag of the destination's) -> what moves there."""


def obstacle(kind: VolumeKind, source: Place, destination: Place) -> str:
    """Tell why nothing moves between two handles; empty when it does."""
    ends = _ends(kind, source, destination)
    if isinstance(destination, ObjectPlace) and destination.partial:
        return "a clone in an object store has to be split before something moves into it"
    if ends in COURSES:
        return ""
    return f"nothing moves {kind.value} content from {ends[1]} to {ends[2]}"


def move(job: MoveJob, meter: Meter) -> None:
    """Do a job."""
    reason = obstacle(job.kind, job.source, job.destination)
    if reason:
        raise Unsupported(capability="replicate", backend="mover", reason=reason)
    COURSES[_ends(job.kind, job.source, job.destination)](job, meter)


def _ends(kind: VolumeKind, source: Place, destination: Place) -> tuple[VolumeKind, str, str]:
    return kind, str(source.__struct_config__.tag), str(destination.__struct_config__.tag)
