"""Looking into a volume that is a directory, and changing what is in it. All of it blocks.

Clients work in the same tree meanwhile, so a path is walked part by part, by
descriptors: no symbolic link is followed, whatever takes a directory's place.
What is mounted in a volume is no part of it. Raises OSError and errors of the core.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import heapq
import itertools
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from gateway.backends.files.names import move_at, put_on_disk
from gateway.core.entries import Entry, FileKind, parted
from gateway.core.errors import AlreadyExists, InUse, InvalidArgument, NotFound
from gateway.core.model import RootDirectory

MARK = "user.gateway.clone"
"""The extended attribute that tells which change made a copy."""

_FICLONE = 0x40049409
_BLOCK = 512
_AT_ONCE = 1000
"""So many names of a directory are read before what they name goes: all of a huge one take longer than a slice."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SEEN = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
"""How the kernel says that nothing of ours is at a path."""
_KEPT = ("user.", "system.posix_acl_access")
"""How the names of those extended attributes begin that a copy gets."""

_KINDS: Mapping[int, FileKind] = {
    stat.S_IFREG: FileKind.FILE,
    stat.S_IFDIR: FileKind.DIRECTORY,
    stat.S_IFLNK: FileKind.SYMLINK,
    stat.S_IFBLK: FileKind.BLOCK_DEVICE,
    stat.S_IFCHR: FileKind.CHARACTER_DEVICE,
    stat.S_IFSOCK: FileKind.SOCKET,
    stat.S_IFIFO: FileKind.PIPE,
}

Step = Callable[[str], None]


class Inside:
    """The inner side of a pool's volumes. `owners`: whether this process may give files away."""

    def __init__(self, steps: Callable[[str], Step], *, durable: bool, owners: bool) -> None:
        self._steps = steps
        self._durable = durable
        self._owners = owners

    # --- looking ---

    def entries(self, top: Path, path: str, *, after: str, limit: int) -> Sequence[Entry]:
        """Give part of a directory; see `gateway.core.backend.FilesBackend`."""
        with _folder(top, path) as folder:
            with os.scandir(folder) as entries:
                # Texts have the order of their UTF-8.
                names = (name for each in entries if (name := each.name) > after and _is_text(name))
                first = heapq.nsmallest(limit, names)
            found = (_look(folder, name) for name in first)
            return [each for each in found if each is not None]

    def inspect(self, top: Path, path: str) -> Entry | None:
        """Give what is at a path."""
        above, name = parted(path)
        try:
            with _folder(top, above) as folder:
                return _look(folder, name or ".", shown=name)
        except NotFound:
            return None

    # --- changing ---

    def make_directory(self, top: Path, path: str, root: RootDirectory) -> None:
        """Make a directory, or give one its owner and mode."""
        above, name = parted(path)
        with _folder(top, above) as folder:
            passed = self._steps("make_directory")
            passed("begun")
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=folder)
            passed("made")
            try:
                made = os.open(name, _DIRECTORY, dir_fd=folder)
            except OSError as error:
                if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
                    raise
                raise AlreadyExists(kind="file", name=path, field="to") from error
            try:
                if self._owners:
                    os.fchown(made, root.uid, root.gid)
                os.fchmod(made, root.mode)
                passed("permitted")
                self._keep(made)
            finally:
                os.close(made)
            self._keep(folder)
            passed("durable")

    def rename(self, top: Path, path: str, to: str, inode: int) -> None:
        """Give something another path."""
        (above, name), (beside, other) = parted(path), parted(to)
        with _folder(top, beside) as target:
            if _inode(target, other) == inode:
                self._keep(target)
                return
            with _folder(top, above) as folder:
                if _inode(folder, name) != inode:
                    raise NotFound(kind="file", ref=path)
                passed = self._steps("rename_file")
                passed("begun")
                try:
                    move_at(folder, name, target, other)
                except FileExistsError as error:
                    raise AlreadyExists(kind="file", name=to, field="to") from error
                except OSError as error:
                    if error.errno != errno.EINVAL:
                        raise
                    raise InvalidArgument(field="to", value=to[:64], reason="lies within what is renamed") from error
                passed("renamed")
                self._keep(target)
                self._keep(folder)
                passed("durable")

    def delete(self, top: Path, path: str, inode: int, *, recursive: bool, budget_s: float) -> bool:
        """Remove something, for about so long; tell whether there is more to do."""
        above, name = parted(path)
        try:
            with _folder(top, above) as folder:
                if _inode(folder, name) != inode:
                    self._keep(folder)
                    return False
                passed = self._steps("delete_file")
                passed("begun")
                if not _removed(folder, name, recursive=recursive, end=time.monotonic() + budget_s):
                    return True
                passed("removed")
                self._keep(folder)
                passed("durable")
        except NotFound:
            return False
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            raise InUse(kind="file", ref=path, by="content", action="delete") from error
        return False

    # --- copying ---

    def clone(self, source: tuple[Path, str], top: Path, to: str, *, token: UUID, overwrite: bool) -> None:
        """Copy a file by sharing its blocks. It has no name before it is whole, so a crash leaves nothing of it."""
        beside, other = parted(to)
        with _folder(top, beside) as target:
            if _marked(target, other, token):
                self._settle(target, token)
                self._keep(target)
                return
            with _opened_file(*source) as original:
                passed = self._steps("clone_file")
                passed("begun")
                copy = os.open(".", os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600, dir_fd=target)
                try:
                    passed("made")
                    _share_blocks(original, copy, source[1])
                    self._dress(original, copy, token)
                    self._keep(copy)
                    passed("filled")
                    self._place(copy, target, other, token=token, overwrite=overwrite)
                    passed("placed")
                    # Once more: what was flushed had no name.
                    self._keep(copy)
                    self._keep(target)
                    passed("durable")
                finally:
                    os.close(copy)

    def settle_clone(self, top: Path, to: str, token: UUID) -> bool:
        """Tell whether the copy with this token is at `to`, and remove what else there is of it."""
        beside, other = parted(to)
        try:
            with _folder(top, beside) as target:
                self._settle(target, token)
                return _marked(target, other, token)
        except NotFound:
            return False

    def _dress(self, original: int, copy: int, token: UUID) -> None:
        """Give a copy what a file has beside its bytes."""
        status = os.fstat(original)
        for name in os.listxattr(original):
            if name.startswith(_KEPT) and name != MARK:
                os.setxattr(copy, name, os.getxattr(original, name))
        os.setxattr(copy, MARK, str(token).encode())
        mode = stat.S_IMODE(status.st_mode)
        if self._owners:
            os.fchown(copy, status.st_uid, status.st_gid)
        else:
            mode &= ~(stat.S_ISUID | stat.S_ISGID)  # those of another owner are not ours to lend
        os.fchmod(copy, mode)
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _place(self, copy: int, target: int, name: str, *, token: UUID, overwrite: bool) -> None:
        """Give an open file that has no name one; only a file may have it, and only if `overwrite`."""
        nameless = f"/proc/self/fd/{copy}"
        try:
            os.link(nameless, name, dst_dir_fd=target, follow_symlinks=True)
        except FileExistsError as error:
            present = _look(target, name)
            if not overwrite or (present is not None and present.kind is not FileKind.FILE):
                raise AlreadyExists(kind="file", name=name, field="to") from error
        else:
            return
        self._settle(target, token)
        os.link(nameless, _beside(token), dst_dir_fd=target, follow_symlinks=True)
        try:
            os.rename(_beside(token), name, src_dir_fd=target, dst_dir_fd=target)
        except OSError:
            self._settle(target, token)
            raise

    def _settle(self, target: int, token: UUID) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_beside(token), dir_fd=target)

    def _keep(self, fd: int) -> None:
        if self._durable:
            put_on_disk(fd)


@contextmanager
def _folder(top: Path, path: str) -> Iterator[int]:
    """Hold a directory open for a block; NotFound when there is none."""
    fd = os.open(top, _DIRECTORY)
    try:
        for part in path.split("/") if path else ():
            try:
                inner = os.open(part, _DIRECTORY, dir_fd=fd)
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                raise NotFound(kind="file", ref=path) from error
            outer, fd = fd, inner
            mounted = not _together(outer, inner)
            os.close(outer)
            if mounted:
                raise NotFound(kind="file", ref=path)
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _opened_file(top: Path, path: str) -> Iterator[int]:
    """Hold a regular file open for a block; NotFound when there is none."""
    above, name = parted(path)
    with _folder(top, above) as folder:
        fd = _opened(folder, name)
        if fd is None:
            raise NotFound(kind="file", ref=path)
        try:
            yield fd
        finally:
            os.close(fd)


def _opened(folder: int, name: str) -> int | None:
    """Open a regular file; None when there is none. What else has the name is not opened: a device would act on it."""
    try:
        seen = os.open(name, _SEEN, dir_fd=folder)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        return None
    try:
        if not stat.S_ISREG(os.fstat(seen).st_mode) or not _together(folder, seen):
            return None
        return os.open(f"/proc/self/fd/{seen}", _FILE)
    finally:
        os.close(seen)


def _share_blocks(original: int, copy: int, path: str) -> None:
    """Have an empty file share another one's blocks; InvalidArgument where the file system cannot (`chattr +C`)."""
    try:
        fcntl.ioctl(copy, _FICLONE, original)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise InvalidArgument(field="path", value=path[:64], reason="its blocks cannot be shared") from error


def _together(one: int, other: int) -> bool:
    """Tell whether two open files are on one file system and in one mount of it, so that no mount lies between."""
    return os.fstat(one).st_dev == os.fstat(other).st_dev and _mount(one) == _mount(other)


def _mount(fd: int) -> str:
    """Give the number of the mount that an open file is in."""
    lines = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii").splitlines()
    return next(line for line in lines if line.startswith("mnt_id:"))


def _look(folder: int, name: str, *, shown: str | None = None) -> Entry | None:
    """Describe what is in an open directory under a name; None when nothing is."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        target = os.readlink(name, dir_fd=folder) if stat.S_ISLNK(found.st_mode) else ""
    except OSError as error:
        if error.errno not in _ABSENT | {errno.EINVAL}:
            raise
        return None
    return Entry(
        name=name if shown is None else shown,
        kind=_KINDS[stat.S_IFMT(found.st_mode)],
        inode=found.st_ino,
        size=found.st_size,
        used=found.st_blocks * _BLOCK,
        links=found.st_nlink,
        rights=RootDirectory(mode=stat.S_IMODE(found.st_mode), uid=found.st_uid, gid=found.st_gid),
        target=target.encode("utf-8", "replace").decode(),
        modified=_time(found.st_mtime_ns),
        changed=_time(found.st_ctime_ns),
        accessed=_time(found.st_atime_ns),
    )


def _time(nanoseconds: int) -> datetime:
    """Give a time; clients may set any, of which those that no date can say become the nearest that one can."""
    try:
        return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=UTC) if nanoseconds > 0 else datetime.min.replace(tzinfo=UTC)


def _inode(folder: int, name: str) -> int | None:
    found = _look(folder, name)
    return None if found is None else found.inode


def _marked(folder: int, name: str, token: UUID) -> bool:
    """Tell whether a file is the copy that the change with this token made."""
    fd = _opened(folder, name)
    if fd is None:
        return False
    try:
        return os.getxattr(fd, MARK) == str(token).encode()
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return False
    finally:
        os.close(fd)


def _removed(folder: int, name: str, *, recursive: bool, end: float) -> bool:
    """Remove something; tell whether it is gone before the time was up. The first slice of a tree is always done."""
    found = _look(folder, name)
    if found is None:
        return True
    if found.kind is not FileKind.DIRECTORY:
        os.unlink(name, dir_fd=folder)
        return True
    if recursive and not _emptied(folder, name, end=end):
        return False
    os.rmdir(name, dir_fd=folder)
    return True


def _emptied(folder: int, name: str, *, end: float) -> bool:
    """Empty a directory however deep it is: what lies in inner ones comes up into it, so no path grows too long."""
    fd = _entered(folder, name)
    try:
        while inner := _content(fd):
            for each, is_folder in inner:
                if not is_folder:
                    os.unlink(each, dir_fd=fd)
                elif not _raise_content(fd, each, end=end):
                    return False
            if time.monotonic() >= end:
                return False
        return True
    finally:
        os.close(fd)


def _entered(folder: int, name: str) -> int:
    """Open a directory to empty it; EBUSY where something else is mounted, of which nothing may go."""
    fd = os.open(name, _DIRECTORY, dir_fd=folder)
    if not _together(folder, fd):
        os.close(fd)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name)
    return fd


def _content(fd: int) -> list[tuple[str, bool]]:
    """Give some of the names in an open directory, and which of them are directories; nothing when it is empty."""
    # What was opened before does not show on btrfs what came since.
    anew = os.open(".", _DIRECTORY, dir_fd=fd)
    try:
        with os.scandir(anew) as entries:
            return [(each.name, each.is_dir(follow_symlinks=False)) for each in itertools.islice(entries, _AT_ONCE)]
    finally:
        os.close(anew)


def _raise_content(folder: int, name: str, *, end: float) -> bool:
    """Remove a directory within `folder`, bringing the directories in it up beside it; tell whether there was time."""
    fd = _entered(folder, name)
    try:
        while inner := _content(fd):
            for each, is_folder in inner:
                if is_folder:
                    os.rename(each, f".{secrets.token_hex(16)}.gone", src_dir_fd=fd, dst_dir_fd=folder)
                else:
                    os.unlink(each, dir_fd=fd)
            if time.monotonic() >= end:
                return False
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=folder)
    return True


def _beside(token: UUID) -> str:
    """Give the name under which a copy waits to take another file's place."""
    return f".{token.hex}.new"


def _is_text(name: str) -> bool:
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
