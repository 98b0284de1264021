"""What is neither a regular file nor a directory: symbolic links, FIFOs, sockets, devices. Made anew, or left."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec

from gateway.mover.attributes import Attributes, Spot, alike, attributes_of, draft_name, set_attributes
from gateway.mover.meter import Meter


class Other(msgspec.Struct, frozen=True):
    """What something is to be. `points_to`: where a symbolic link leads."""

    status: os.stat_result
    points_to: str | None
    attributes: Attributes


def put_other(spot: Spot, other: Other, found: os.stat_result | None, meter: Meter) -> None:
    """Make what is there (None: nothing that may stay) what it is to be."""
    wanted, points_to, attributes = other.status, other.points_to, other.attributes
    if found is not None and alike(wanted, found) and wanted.st_rdev == found.st_rdev:
        same = points_to is None or os.readlink(spot.name, dir_fd=spot.folder) == points_to
        if same and attributes_of(spot.path) == attributes:
            if wanted.st_mtime_ns != found.st_mtime_ns:
                _set_time(spot, wanted)
            return
    with draft_name(spot) as draft:
        if points_to is None:
            os.mknod(draft.name, wanted.st_mode, wanted.st_rdev, dir_fd=draft.folder)
        else:
            os.symlink(points_to, draft.name, dir_fd=draft.folder)
        _own(draft, wanted)
        set_attributes(draft.path, attributes)
        _set_time(draft, wanted)
        meter.passed("other.made")
        spot.take(draft.name)
    meter.passed("other.placed")
    meter.file()


def _own(spot: Spot, wanted: os.stat_result) -> None:
    made = os.stat(spot.name, dir_fd=spot.folder, follow_symlinks=False)
    if (made.st_uid, made.st_gid) != (wanted.st_uid, wanted.st_gid):
        os.chown(spot.name, wanted.st_uid, wanted.st_gid, dir_fd=spot.folder, follow_symlinks=False)
    if not stat.S_ISLNK(wanted.st_mode):
        fd = os.open(spot.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=spot.folder)
        try:
            Path(f"/proc/self/fd/{fd}").chmod(stat.S_IMODE(wanted.st_mode))
        finally:
            os.close(fd)


def _set_time(spot: Spot, wanted: os.stat_result) -> None:
    times = (wanted.st_mtime_ns, wanted.st_mtime_ns)
    os.utime(spot.name, ns=times, dir_fd=spot.folder, follow_symlinks=False)
