"""Which pools a first configuration has.

What is chosen unasked lies on the file system of the configuration's own
folder, or is the ZFS pool of this machine when there is just one: the gateway
keeps to one dataset there, made at its first start. Everything else that was
found is somebody's, and is only offered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from gateway.cli.machine import Machine, Place
from gateway.config.settings import check_name

AUTO = "auto"
FOLDER = "pools"
"""Where pools chosen unasked lie, below the configuration's folder."""


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A `[backend.NAME]` table to write. `says`: what it is good for. A `path` in its options is made when absent."""

    name: str
    driver: str
    options: Mapping[str, str] = {}
    says: str = ""


Lacking = Callable[[str, Mapping[str, str]], Sequence[str]]
"""Gives what a driver with these options lacks here, itself perhaps; nothing when it would work."""

Stand = Callable[[Path], Place]
"""Looks at the file system of a folder."""

_REQUEST = re.compile(r"(?:(?P<name>[^:=]*)=)?(?P<driver>[^:=]+)(?::(?P<where>.+))?", re.DOTALL)
_PLACED_BY: Mapping[str, str] = {"zfs": "pool", "btrfs": "path", "directory": "path", "qcow2": "path"}
"""Driver -> the option that says where its pool is."""

_SAYS: Mapping[str, str] = {
    "zfs": "files and blocks, with snapshots and clones, in a dataset of its own",
    "btrfs": "files, with snapshots and clones",
    "directory": "files and blocks, without snapshots",
    "qcow2": "blocks, with snapshots and clones on any file system",
    "memory": "files and blocks, with everything there is, but empty again after every start",
}
_SERVED = "files and blocks, which clients reach at that server"
_REFLINK = "files without snapshots, and blocks with snapshots and clones"


def memory() -> Pool:
    """Give the pool that works anywhere."""
    return _pool("memory", "memory")


def chosen(
    requests: Sequence[str], folder: Path, machine: Machine, *, stand: Stand, lacking: Lacking
) -> tuple[Pool, ...]:
    """Give the pools that were asked for; ValueError when one of the requests makes no sense here.

    A request is `auto`, `memory`, or `[NAME=]DRIVER:WHERE`, where WHERE is a
    folder, or the name of a ZFS pool. `folder` is the configuration's.
    """
    pools: list[Pool] = []
    for request in requests:
        found = automatic(stand(folder), machine, lacking) if request == AUTO else (_asked(request, stand, lacking),)
        there = [(pool.driver, pool.options) for pool in pools]
        new = [pool for pool in found if (pool.driver, pool.options) not in there]
        pools += [_renamed(pool, {each.name for each in pools}) for pool in new]
    return tuple(pools)


def automatic(place: Place, machine: Machine, lacking: Lacking) -> tuple[Pool, ...]:
    """Give the best pool for files and the best one for blocks, which may be the same; memory where nothing works."""
    files = _first("disk", _for_files(place, machine), place, lacking)
    blocks = _first("blocks", _for_blocks(place, machine), place, lacking)
    if files is None:
        return (memory(),)
    return (files,) if blocks is None or blocks.driver == files.driver else (files, blocks)


def _for_files(place: Place, machine: Machine) -> Iterator[tuple[str, str | None]]:
    """Yield drivers, best first, with the ZFS pool of those that take one."""
    yield from _zfs(place, machine)
    if place.kind == "btrfs":
        yield "btrfs", None
    yield "directory", None


def _for_blocks(place: Place, machine: Machine) -> Iterator[tuple[str, str | None]]:
    yield from _zfs(place, machine)
    if place.reflink:
        yield "directory", None
    yield "qcow2", None
    yield "directory", None


def _zfs(place: Place, machine: Machine) -> Iterator[tuple[str, str]]:
    if machine.root and place.zpool is not None:
        yield "zfs", place.zpool
    elif machine.root and len(machine.zfs) == 1:
        yield "zfs", machine.zfs[0]


def _first(name: str, candidates: Iterable[tuple[str, str | None]], place: Place, lacking: Lacking) -> Pool | None:
    for driver, where in candidates:
        pool = _pool(name, driver, where or f"{FOLDER}/{name}", reflink=place.reflink)
        if not lacking(driver, pool.options):
            return pool
    return None


def _pool(name: str, driver: str, where: str = "", *, reflink: bool = False) -> Pool:
    options = {_PLACED_BY[driver]: where} if driver in _PLACED_BY else {}
    says = _REFLINK if driver == "directory" and reflink else _SAYS[driver]
    return Pool(name=name, driver=driver, options=options, says=says)


def _asked(request: str, stand: Stand, lacking: Lacking) -> Pool:
    match = _REQUEST.fullmatch(request)
    if match is None or match["driver"] not in _SAYS:
        raise ValueError(f"{request!r} is neither {AUTO} nor [NAME=]DRIVER:WHERE with one of {', '.join(_SAYS)}")
    driver, where = match["driver"], match["where"] or ""
    by = _PLACED_BY.get(driver)
    if bool(where) != bool(by):
        raise ValueError(f"{request!r}: it is {driver}:WHERE" if by else f"{request!r}: {driver} takes nothing more")
    reflink = False
    if by == "path":
        path = Path(where).absolute()
        place = stand(path)
        if driver == "btrfs" and place.kind not in {"btrfs", ""}:
            raise ValueError(f"{request!r} is on {place.kind}, not on btrfs")
        where, reflink = str(path), place.reflink
    pool = _pool(match["name"] or driver, driver, where, reflink=reflink)
    check_name("its name", pool.name)
    if missing := lacking(driver, pool.options):
        raise ValueError(f"{request!r} does not work here: {'; '.join(missing)}")
    return pool


def _renamed(pool: Pool, taken: Collection[str]) -> Pool:
    if pool.name not in taken:
        return pool
    name = next(f"{pool.name}{number}" for number in range(2, len(taken) + 3) if f"{pool.name}{number}" not in taken)
    return msgspec.structs.replace(pool, name=name)


def offered(machine: Machine, pools: Sequence[Pool], drivers: Collection[str]) -> Iterator[Pool]:
    """Yield what else was found and would make a pool, as far as its driver is installed."""
    if all(pool.driver != "memory" for pool in pools):
        yield memory()
    found = [
        *(_numbered("zfs", machine.zfs)),
        *(_numbered("btrfs", [str(path / "gateway") for path in machine.btrfs])),
        *(_numbered("directory", [str(path / "gateway") for path in machine.reflink if path not in machine.btrfs])),
        *(
            Pool(name=f"nfs{number}", driver="nfs", options=_remote(str(mount.path), mount.source), says=_SERVED)
            for number, mount in enumerate(machine.nfs, start=1)
        ),
    ]
    taken = [pool.options for pool in pools]
    yield from (pool for pool in found if pool.driver in drivers and pool.options not in taken)


def _numbered(driver: str, places: Iterable[str]) -> Iterator[Pool]:
    for number, where in enumerate(places, start=1):
        yield _pool(f"{driver}{number}", driver, where, reflink=driver == "directory")


def _remote(path: str, source: str) -> dict[str, str]:
    server, _, export = source.partition(":/")
    return {"path": path, "server": server.strip("[]"), "export": f"/{export}"}
