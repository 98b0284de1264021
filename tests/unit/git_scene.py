"""A pool in a git repository for one test: its folder, its backend, its faults, and a picture of all that it holds."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

from gateway.backends.git_lfs import GitLfsBackend, GitLfsOptions
from gateway.backends.git_lfs.layout import SNAPSHOTS, VOLUMES, SnapshotSidecar, Tree, VolumeSidecar, parse_tree
from gateway.backends.git_lfs.pool import Pool
from gateway.core.backend import Note, VolumeSpec
from gateway.core.model import VolumeKind

SIZE = 1024**2
AUTHOR = {
    "GIT_AUTHOR_NAME": "tester",
    "GIT_AUTHOR_EMAIL": "tester@example.invalid",
    "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_NAME": "tester",
    "GIT_COMMITTER_EMAIL": "tester@example.invalid",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C",
}


class Died(BaseException):
    """Stands for the end of the process: nothing may clean up after it."""


class Faults:
    """Notes every point passed, shows it to who watches, and dies once at the armed one."""

    def __init__(self) -> None:
        self.points: list[str] = []
        self.armed = ""
        self.watch: Callable[[str], None] | None = None

    def __call__(self, point: str) -> None:
        self.points.append(point)
        if self.watch is not None:
            self.watch(point)
        if point == self.armed:
            self.armed = ""
            raise Died(point)


class Scene:
    """A pool in a folder of its own."""

    def __init__(self, folder: Path, **options: object) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder
        self.faults = Faults()
        self.options = options
        self.backend = self.fresh()

    def fresh(self) -> GitLfsBackend:
        return GitLfsBackend("pool", GitLfsOptions(path=self.path, **self.options), fault=self.faults)  # type: ignore[arg-type]

    @property
    def pool(self) -> Pool:
        assert self.backend._opened is not None
        return self.backend._opened.pool

    async def reopen(self) -> None:
        """Open the pool as a new process would, whether or not the one before was killed."""
        await self.backend.close()
        self.backend = self.fresh()
        await self.backend.open()

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run git in the repository; CalledProcessError when it fails."""
        line = ("git", f"--git-dir={self.path}", *arguments)
        return (
            subprocess.run(line, input=stdin, capture_output=True, check=True, env=AUTHOR)
            .stdout.decode(errors="surrogateescape")
            .strip()
        )

    def tree(self, volume: UUID) -> Tree:
        """Give the live tree of a volume."""
        return Tree(volume, self.pool.volume(volume).sidecar.tree)

    def commit(self, volume: UUID, branch: str = "main", **files: bytes) -> str:
        """Make a commit of just these files the newest of a branch of a volume; give its id."""
        entries = "".join(
            f"100644 blob {self.git('hash-object', '-w', '--stdin', stdin=data)}\t{name}\n"
            for name, data in files.items()
        )
        made = self.git("commit-tree", "-m", "commit", self.git("mktree", stdin=entries.encode()))
        self.git("update-ref", f"{self.tree(volume).prefix}refs/heads/{branch}", made)
        return made

    def refs(self) -> dict[Tree, dict[str, str]]:
        """Give all refs by tree, and where each HEAD leads to."""
        found: dict[Tree, dict[str, str]] = {}
        listed = self.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/namespaces/")
        for line in filter(None, listed.split("\n")):
            target, _, ref = line.partition(" ")
            pair = parse_tree(ref)
            assert pair is not None, line
            found.setdefault(pair[0], {})[pair[1]] = target
        for path in (self.path / "refs").rglob("HEAD"):
            pair = parse_tree(str(path.relative_to(self.path)))
            assert pair is not None
            leads = path.read_text().strip().removeprefix(f"ref: {pair[0].prefix}")
            found.setdefault(pair[0], {})["leads"] = leads
        return found

    async def picture(self) -> dict[str, object]:
        """Give all that can be seen of the pool, but for bytes: an object may be there twice, and packed or not."""
        picture: dict[str, object] = {"manifest": await self.backend.manifest()}
        refs = self.refs()
        live = {
            one.id: Tree(one.id, one.tree) for _, one in self.pool.sidecars(VOLUMES) if isinstance(one, VolumeSidecar)
        }
        async for seen in self.backend.scan():
            assert seen.id is not None, seen.place
            about = (seen.size, seen.note, seen.origin, seen.origin_snapshot)
            picture[f"volume {seen.id}"] = (*about, refs[live[seen.id]])
        async for taken in self.backend.scan_snapshots():
            assert taken.id is not None
            assert taken.volume_id is not None
            about = (taken.volume_id, taken.note)
            picture[f"snapshot {taken.id}"] = (*about, refs[Tree(taken.volume_id, taken.id)])
        return picture

    def assert_tidy(self) -> None:
        """Fail when there is a tree that nothing names, or a lock that nobody holds."""
        found = [one for _, one in self.pool.sidecars(VOLUMES, SNAPSHOTS)]
        named = {Tree(one.id, one.tree) for one in found if isinstance(one, VolumeSidecar)}
        named |= {Tree(one.volume, one.id) for one in found if isinstance(one, SnapshotSidecar)}
        assert set(self.refs()) == named
        assert [path.name for path in self.path.rglob("*.lock")] == ["gateway.lock"]


@asynccontextmanager
async def scene(folder: Path, *, of: Path | None = None, **options: object) -> AsyncIterator[Scene]:
    """Open a pool in a new folder: a fresh one, or a copy of another."""
    place = folder / uuid4().hex
    if of is not None:
        shutil.copytree(of, place, symlinks=True)
    made = Scene(place, **options)
    try:
        await made.backend.open()
        yield made
    finally:
        await made.backend.close()
        shutil.rmtree(place)


def note(name: str) -> Note:
    return Note(name=name, tenant="tenant", document=name.encode())


def spec(volume: UUID | None = None, *, size: int = SIZE) -> VolumeSpec:
    return VolumeSpec(id=volume or uuid4(), kind=VolumeKind.TREE, size=size, note=note("volume"))
