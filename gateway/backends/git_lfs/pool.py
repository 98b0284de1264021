"""An open pool in a git repository: what every change of volumes and snapshots is made of. All of it blocks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated
from uuid import UUID

import msgspec

from gateway.backends.files.names import parse_id
from gateway.backends.git_lfs.layout import (
    HEAD,
    Sidecar,
    SnapshotSidecar,
    Tree,
    VolumeSidecar,
    parse_tree,
    sidecar_decoder,
    sidecar_ref,
    snapshot_of,
    snapshot_ref,
    snapshots_of,
    trees_of,
    volume_ref,
)
from gateway.backends.git_lfs.repository import NOTHING, Move, Repository
from gateway.core.backend import FaultHook
from gateway.core.errors import Busy, GatewayError, NotFound, Unavailable

Step = Callable[[str], None]
_LOOKS = 20
_BRANCHES = "refs/heads/"


class GitLfsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a pool in a git repository.

    path: a directory for this pool alone, which becomes a bare repository; a relative one begins at the configuration
    file.
    branch: the branch that a new volume's clients begin with.
    grace_s: for how many seconds a large file stays that nothing needs yet, or any more.
    threads: how many changes may be under way at once.
    timeout_s: after how many seconds a command of git is given up.
    durable: every change is on disk before it returns.
    """

    path: Path
    branch: str = "main"
    grace_s: Annotated[int, msgspec.Meta(ge=0)] = 86_400
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    timeout_s: Annotated[int, msgspec.Meta(ge=1)] = 600
    durable: bool = True


class Kept(msgspec.Struct, frozen=True):
    """A volume's sidecar, and the object that it is."""

    sidecar: VolumeSidecar
    written: str


class KeptSnapshot(msgspec.Struct, frozen=True):
    """A snapshot's sidecar, and the object that it is."""

    sidecar: SnapshotSidecar
    written: str


class Pool:
    """The parts that changes share. Raises OSError and errors of the core."""

    def __init__(self, name: str, options: GitLfsOptions, *, repository: Repository, fault: FaultHook) -> None:
        self.name = name
        self.options = options
        self.repository = repository
        self._fault = fault
        self._place = _identity(repository.path)

    def check_place(self) -> None:
        """Raise Unavailable when the path does not lead to this pool any more, instead of finding it empty."""
        try:
            if _identity(self.repository.path) == self._place:
                return
        except FileNotFoundError:
            pass
        raise Unavailable(what=self.name, reason="another repository, or none, is at its path now")

    def steps(self, operation: str) -> Step:
        """Give the function that an operation calls after each of its steps; see `faults.STEPS`."""

        def passed(step: str) -> None:
            self._fault(f"git-lfs.{operation}.{step}")

        return passed

    def keep(self) -> None:
        """Make everything so far durable, if the pool is to."""
        if self.options.durable:
            self.repository.flush()

    # --- what is there ---

    def find_volume(self, volume: UUID) -> Kept | None:
        """Give a volume of ours, or None."""
        found = self._sidecar(volume_ref(volume))
        return Kept(found[1], found[0]) if found and isinstance(found[1], VolumeSidecar) else None

    def volume(self, volume: UUID) -> Kept:
        """Give a volume of ours, or raise NotFound."""
        found = self.find_volume(volume)
        if found is None:
            raise NotFound(kind="volume", ref=str(volume))
        return found

    def find_snapshot(self, volume: UUID, snapshot: UUID) -> KeptSnapshot | None:
        """Give a snapshot of ours, or None."""
        found = self._sidecar(snapshot_ref(volume, snapshot))
        return KeptSnapshot(found[1], found[0]) if found and isinstance(found[1], SnapshotSidecar) else None

    def snapshot(self, volume: UUID, snapshot: UUID) -> KeptSnapshot:
        """Give a snapshot of ours, or raise NotFound."""
        found = self.find_snapshot(volume, snapshot)
        if found is None:
            raise NotFound(kind="snapshot", ref=str(snapshot))
        return found

    def _sidecar(self, ref: str) -> tuple[str, Sidecar | str] | None:
        """Give what one ref leads to, as `sidecars` does. Unavailable for one that is torn: it is not nothing."""
        found = next(self.sidecars(ref), None)
        if found is None and self.repository.is_torn(ref):
            raise Unavailable(what=self.name, reason="a sidecar is damaged")
        return found

    def sidecars(self, *refs: str) -> Iterator[tuple[str, Sidecar | str]]:
        """Yield (object, sidecar) of all refs that begin so; the ref's name instead of a sidecar that is none."""
        found = self.repository.documents(*refs)
        if found is not None:
            for ref, written, data in found:
                yield written, _decoded(ref, data)
            return
        for ref, written in self.repository.refs(*refs).items():
            yield written, _decoded(ref, self._read(written))

    def _read(self, written: str) -> bytes | None:
        """Give a blob; None for one that cannot be read, which must not hide the others."""
        try:
            return next(self.repository.read([written]))
        except Unavailable:
            return None

    # --- trees ---

    def seen(self, tree: Tree) -> dict[str, str]:
        """Give a tree's refs (name in the tree -> object) as they all were at one instant. Busy when they never rest.

        Two looks that see the same have that instant between them.
        """
        return self.seen_together((tree,))[tree]

    def seen_together(self, trees: Collection[Tree]) -> dict[Tree, dict[str, str]]:
        """The same for several trees, of one instant."""
        first = self._refs_of(trees)
        for _ in range(_LOOKS):
            again = self._refs_of(trees)
            if again == first:
                return first
            first = again
        raise Busy(what=self.name)

    def _refs_of(self, trees: Collection[Tree]) -> dict[Tree, dict[str, str]]:
        found: dict[Tree, dict[str, str]] = {tree: {} for tree in trees}
        for ref, target in self.repository.refs(*(tree.prefix for tree in trees)).items():
            pair = parse_tree(ref)
            if pair is not None:
                found[pair[0]][pair[1]] = target
        return found

    def copy(self, refs: dict[str, str], tree: Tree) -> None:
        """Give an empty tree these refs."""
        made = [Move(tree.prefix + name, target, NOTHING) for name, target in refs.items() if name != HEAD]
        self.repository.move(made, lazily=True)

    def point(self, tree: Tree, branch: str) -> None:
        """Say which branch a tree's clients begin with: its name as they see it, such as `refs/heads/main`."""
        self.repository.point(tree.head, tree.prefix + branch)

    def branch(self, tree: Tree) -> str:
        """Give the branch that a tree's clients begin with."""
        target = self.repository.pointed(tree.head) or ""
        return target.removeprefix(tree.prefix) if target.startswith(tree.prefix) else self.first_branch

    @property
    def first_branch(self) -> str:
        """Give the branch that the clients of a new volume begin with."""
        return _BRANCHES + self.options.branch

    def clear(self, *trees: Tree) -> None:
        """Remove all refs of trees. Nothing there: succeeds."""
        gone = self.repository.refs(*(tree.prefix for tree in trees)) if trees else {}
        heads = {tree.head for tree in trees if self.repository.pointed(tree.head) is not None}
        self.repository.move((Move(ref, NOTHING) for ref in sorted({*gone, *heads})), lazily=True)

    def clear_later(self, *trees: Tree) -> None:
        """Remove what is of no use any more. What cannot be removed now stays until the next open."""
        try:
            self.clear(*trees)
        except GatewayError:
            return

    def trees(self, volume: UUID) -> set[Tree]:
        """Give every tree that there is of a volume, whole or not."""
        prefix = trees_of(volume)
        names = {parse_id(name) for name in self.repository.folders(prefix)}
        packed = (parse_tree(ref) for ref in self.repository.refs(prefix))
        return {Tree(volume, name) for name in names if name is not None} | {pair[0] for pair in packed if pair}

    def leftovers(self, volume: UUID) -> set[Tree]:
        """Give the trees of a volume that no sidecar names. Unavailable when a sidecar cannot be read."""
        kept = self.find_volume(volume)
        named = {snapshot_of(ref) for ref in self.repository.refs(snapshots_of(volume), whole=True)}
        if kept is not None:
            named.add(kept.sidecar.tree)
            named.add(None if kept.sidecar.arriving is None else kept.sidecar.arriving.id)
        return {tree for tree in self.trees(volume) if tree.name not in named}

    # --- sidecars ---

    def put(self, sidecar: Sidecar, old: str, *, passed: Step) -> None:
        """Write a sidecar in the place of the object `old`, or of NOTHING: the one step that decides."""
        self.put_all((sidecar,), old=old, passed=passed)

    def put_all(self, sidecars: Sequence[Sidecar], *, old: str, passed: Step) -> None:
        """The same for several; `old` is the same for all."""
        written = [self.repository.write(msgspec.json.encode(sidecar)) for sidecar in sidecars]
        # What the sidecars speak of must not be less durable than they are themselves.
        self.keep()
        passed("written")
        moves = (Move(sidecar_ref(sidecar), one, old) for sidecar, one in zip(sidecars, written, strict=True))
        self.repository.move(moves)
        passed("noted")
        self.keep()
        passed("durable")

    def drop(self, refs: Iterable[tuple[str, str]]) -> None:
        """Remove sidecars (ref, object) in one step, durably."""
        self.repository.move(Move(ref, NOTHING, old) for ref, old in refs)
        self.keep()


def _decoded(ref: str, data: bytes | None) -> Sidecar | str:
    try:
        found = sidecar_decoder.decode(data or b"")
    except msgspec.DecodeError:
        return ref
    return found if sidecar_ref(found) == ref else ref


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
