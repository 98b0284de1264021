"""The conformance suite itself: every kind of dishonest backend must be caught by the case that names it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest

from gateway.backends.memory import MemoryBackend, MemoryOptions
from gateway.core.backend import Note, Observed, ObservedSnapshot, Substrate, VolumeBackend, VolumeSpec
from gateway.core.capability import FLAGS
from gateway.core.entries import Entry, FileSource
from gateway.core.errors import GatewayError, InvalidState, NotFound, OutOfSpace
from gateway.core.handles import AccessHandle, InProcess, IscsiTarget, LocalPath, NbdExport, NfsExport
from gateway.core.model import RootDirectory, VolumeKind
from gateway.testing.backends import (
    BackendConformance,
    BlockContent,
    FileDevice,
    Harness,
    LocalContent,
    MemoryContent,
    content_cases,
    looks_at_content,
    needed,
    needs,
)
from gateway.testing.backends.blocks import Connect
from gateway.testing.wire import IscsiDevice, NbdDevice, NfsContent

KIND = VolumeKind.FILESYSTEM


def stating(backend: type[MemoryBackend], **facts: bool) -> type[MemoryBackend]:
    """Give the same backend, but with other facts stated than it shows."""

    class Stating(backend):  # type: ignore[misc,valid-type]
        def describe(self) -> Substrate:
            described = super().describe()
            changed = msgspec.structs.replace(described.kinds[KIND], **facts)
            return msgspec.structs.replace(described, kinds={KIND: changed})

    return Stating


class RemakesOnCreate(MemoryBackend):
    async def create(self, spec: VolumeSpec) -> Observed:
        await self.delete(spec.id)
        return await super().create(spec)


class CutsNotes(MemoryBackend):
    async def create(self, spec: VolumeSpec) -> Observed:
        note = msgspec.structs.replace(spec.note, document=spec.note.document[:16_000])
        return await super().create(msgspec.structs.replace(spec, note=note))


class RefusesToDeleteNothing(MemoryBackend):
    async def delete(self, volume: UUID) -> None:
        self._volume(volume)
        await super().delete(volume)


class ScansTwice(MemoryBackend):
    async def scan(self) -> AsyncIterator[Observed]:
        for _ in range(2):
            async for observed in super().scan():
                yield observed


class ForgetsDeletedSnapshots(MemoryBackend):
    async def delete_snapshot(self, volume: UUID, snapshot: UUID) -> None:
        self._snapshot(volume, snapshot)


class SharesSnapshotContent(MemoryBackend):
    async def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        made = await super().snapshot(volume, snapshot, note)
        self._volumes[volume].files = self._snapshots[volume][snapshot].image.files
        return made


class CopiesFileByFile(MemoryBackend):
    async def snapshot(self, volume: UUID, snapshot: UUID, note: Note) -> ObservedSnapshot:
        live, torn = self._volume(volume), {}
        for path in sorted(live.files):
            torn[path] = live.files[path]
            for _ in range(8):
                await asyncio.sleep(0)
        whole, live.files = live.files, torn
        try:
            return await super().snapshot(volume, snapshot, note)
        finally:
            live.files = whole


class InheritsSize(MemoryBackend):
    async def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        return await super().clone(source, snapshot, msgspec.structs.replace(spec, size=self._volume(source).size))


class InheritsRestores(MemoryBackend):
    async def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        made = await super().clone(source, snapshot, spec)
        self._volumes[spec.id].restored = self._volume(source).restored
        return made


class KeepsOrigin(MemoryBackend):
    async def split(self, volume: UUID) -> None:
        self._volume(volume)


class RestoresAgain(MemoryBackend):
    async def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        self._volume(volume).restored = None
        await super().restore(volume, snapshot, token)


class RestoresTheNote(MemoryBackend):
    async def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        await super().restore(volume, snapshot, token)
        self._volume(volume).note = self._snapshot(volume, snapshot).note


class SettlesBlindly(MemoryBackend):
    async def settle_restore(self, volume: UUID, token: UUID) -> bool:  # noqa: ARG002
        return True


class DropsNewer(MemoryBackend):
    async def restore(self, volume: UUID, snapshot: UUID, token: UUID) -> None:
        await super().restore(volume, snapshot, token)
        taken = list(self._snapshots[volume])
        for newer in taken[taken.index(snapshot) + 1 :]:
            await self.delete_snapshot(volume, newer)


class NeverShrinks(MemoryBackend):
    async def resize(self, volume: UUID, size: int) -> None:
        await super().resize(volume, max(size, self._volume(volume).size))


class NoQuota(MemoryBackend):
    def write(self, volume: UUID, path: str, data: bytes | None) -> None:
        size, self._volume(volume).size = self._volume(volume).size, 2**62
        super().write(volume, path, data)
        self._volume(volume).size = size


class AlwaysThin(MemoryBackend):
    async def create(self, spec: VolumeSpec) -> Observed:
        return await super().create(msgspec.structs.replace(spec, thick=False))


class AlwaysThick(MemoryBackend):
    async def create(self, spec: VolumeSpec) -> Observed:
        return await super().create(msgspec.structs.replace(spec, thick=True))


class ClonesSnapshotsOnly(MemoryBackend):
    async def clone(self, source: UUID, snapshot: UUID | None, spec: VolumeSpec) -> Observed:
        if snapshot is None:
            raise NotFound(kind="snapshot")
        return await super().clone(source, snapshot, spec)


class ReceivesInPlace(MemoryBackend):
    async def receive(self, spec: VolumeSpec, snapshot: UUID, note: Note, stream: AsyncIterator[bytes]) -> None:
        await self.create(spec)
        await super().receive(spec, snapshot, note, stream)


class IgnoresPermissions(MemoryBackend):
    async def set_root(self, volume: UUID, root: RootDirectory) -> None:  # noqa: ARG002
        self._volume(volume)


class NewIdentity(MemoryBackend):
    def describe(self) -> Substrate:
        return msgspec.structs.replace(super().describe(), id=uuid4())


class Enduring(MemoryBackend):
    def describe(self) -> Substrate:
        return msgspec.structs.replace(super().describe(), volatile=False)


class ListsUnsorted(MemoryBackend):
    async def list_files(
        self, volume: UUID, snapshot: UUID | None, path: str, *, after: str = "", limit: int
    ) -> Sequence[Entry]:
        return list(reversed(await super().list_files(volume, snapshot, path, after=after, limit=limit)))


class RenamesWhatever(MemoryBackend):
    async def rename_file(self, volume: UUID, path: str, to: str, *, inode: int) -> None:
        found = self.tree(volume).entry(path)
        await super().rename_file(volume, path, to, inode=inode if found is None else found.inode)


class EmptiesUnasked(MemoryBackend):
    async def delete_file(self, volume: UUID, path: str, *, inode: int, recursive: bool = False) -> None:
        del recursive
        await super().delete_file(volume, path, inode=inode, recursive=True)


class ClonesFilesAgain(MemoryBackend):
    async def clone_file(
        self, volume: UUID, source: FileSource, to: str, *, token: UUID, overwrite: bool = False
    ) -> None:
        again = await self.settle_clone_file(volume, to, token)
        await super().clone_file(volume, source, to, token=uuid4(), overwrite=overwrite or again)
        self.tree(volume).marks[to] = token


class OverwritesFiles(MemoryBackend):
    async def clone_file(
        self, volume: UUID, source: FileSource, to: str, *, token: UUID, overwrite: bool = False
    ) -> None:
        del overwrite
        await super().clone_file(volume, source, to, token=token, overwrite=True)


CAUGHT: list[tuple[type[MemoryBackend], str]] = [
    (RemakesOnCreate, "test_create_again_keeps_the_existing_volume"),
    (CutsNotes, "test_notes_come_back_as_they_were"),
    (RefusesToDeleteNothing, "test_delete_and_delete_of_nothing"),
    (ScansTwice, "test_scan_lists_exactly_what_exists"),
    (ForgetsDeletedSnapshots, "test_scan_lists_exactly_the_snapshots_that_exist"),
    (SharesSnapshotContent, "test_a_snapshot_keeps_the_bytes"),
    (CopiesFileByFile, "test_a_snapshot_is_one_instant"),
    (InheritsSize, "test_a_clone_is_a_volume_of_its_own"),
    (InheritsSize, "test_quota_of_a_clone_is_its_own"),
    (InheritsRestores, "test_a_restore_of_the_source_is_not_the_clone_s"),
    (KeepsOrigin, "test_a_split_clone_outlives_its_source"),
    (RestoresAgain, "test_restore_with_the_same_token_changes_nothing"),
    (RestoresTheNote, "test_restore_keeps_the_volume_itself"),
    (SettlesBlindly, "test_settle_tells_whether_a_restore_took_effect"),
    (DropsNewer, "test_restore_keeps_newer_snapshots"),
    (stating(MemoryBackend, restore_keeps_newer=False), "test_restore_removes_newer_snapshots"),
    (NeverShrinks, "test_shrink_makes_smaller"),
    (stating(MemoryBackend, shrink=False), "test_what_does_not_shrink_refuses"),
    (NoQuota, "test_quota_stops_writes"),
    (stating(MemoryBackend, quota=False), "test_nothing_stops_writes_without_quota"),
    (AlwaysThin, "test_thick_reserves_its_size"),
    (AlwaysThick, "test_thin_reserves_nothing"),
    (ClonesSnapshotsOnly, "test_a_volume_is_cloned_as_it_is"),
    (stating(MemoryBackend, clone_needs_snapshot=True), "test_a_clone_without_a_snapshot_is_refused"),
    (ReceivesInPlace, "test_a_broken_full_stream_leaves_nothing"),
    (IgnoresPermissions, "test_permissions_change"),
    (ListsUnsorted, "test_a_directory_is_listed_in_order_and_in_parts"),
    (RenamesWhatever, "test_what_is_there_gets_another_path_unless_that_is_taken"),
    (EmptiesUnasked, "test_what_is_removed_is_gone_with_its_content_only_when_that_is_wanted"),
    (ClonesFilesAgain, "test_a_file_is_copied_and_both_go_their_ways"),
    (OverwritesFiles, "test_a_file_is_copied_and_both_go_their_ways"),
    (NewIdentity, "test_the_substrate_keeps_its_identity"),
    (Enduring, "test_the_substrate_keeps_its_identity"),
]
FAILURES = (AssertionError, GatewayError, BaseExceptionGroup, pytest.fail.Exception)


def pool(backend: MemoryBackend) -> Harness:
    return Harness(opened=backend, content=partial(MemoryContent, backend), size=64 * 1024)


async def run(case: str, harness: Harness) -> None:
    try:
        await getattr(BackendConformance(), case)(harness)
    except pytest.skip.Exception as skipped:
        raise LookupError(f"{case} was skipped: {skipped}") from None


@pytest.mark.parametrize(("backend", "case"), CAUGHT, ids=[f"{b.__name__}-{c}" for b, c in CAUGHT])
async def test_a_dishonest_backend_is_caught(backend: type[MemoryBackend], case: str) -> None:
    with pytest.raises(FAILURES):
        await run(case, pool(backend("pool", MemoryOptions())))


async def test_a_missing_capability_is_a_skip_that_names_it() -> None:
    backend = stating(MemoryBackend, thick=False)("pool", MemoryOptions())
    with pytest.raises(pytest.skip.Exception, match="missing capability: thick"):
        await BackendConformance().test_thick_reserves_its_size(pool(backend))


def test_a_case_cannot_need_what_does_not_exist() -> None:
    with pytest.raises(ValueError, match="teleport"):
        needs("teleport")


def test_needed_collects_what_cases_name() -> None:
    class Suite:
        @needs("clone", "split", without=("quota",))
        async def test_one(self, harness: Harness) -> None: ...

        async def test_two(self, harness: Harness) -> None: ...

    assert needed(Suite) == {"clone", "split"}


async def test_lives_looks_again_after_reopening() -> None:
    first, second = (MemoryBackend(name, MemoryOptions()) for name in ("first", "second"))

    async def reopen() -> VolumeBackend:
        return second

    harness = pool(first)
    assert [backend async for backend in harness.lives()] == [first]
    harness.reopen = reopen
    assert [backend async for backend in harness.lives()] == [first, second]
    assert harness.opened is second


async def test_local_content_reaches_the_bytes(tmp_path: Path) -> None:
    content = LocalContent(LocalPath(path=str(tmp_path)))
    await content.write("deep/er/a", b"alpha")
    await content.write("b", b"")
    assert await content.paths() == {"deep/er/a", "b"}
    assert (tmp_path / "deep/er/a").read_bytes() == await content.read("deep/er/a") == b"alpha"
    await content.remove("b")
    assert await content.paths() == {"deep/er/a"}
    tmp_path.chmod(0o750)
    assert (await content.root()).mode == 0o750
    for absent in (content.read("none"), content.remove("none")):
        with pytest.raises(KeyError):
            await absent


def test_content_takes_only_its_own_handles() -> None:
    with pytest.raises(TypeError):
        LocalContent(InProcess(key="x"))
    with pytest.raises(TypeError):
        MemoryContent(MemoryBackend("pool", MemoryOptions()), LocalPath(path="/"))
    with pytest.raises(TypeError):
        NfsContent(LocalPath(path="/"))


@pytest.mark.parametrize(
    ("connect", "handle"),
    [
        (FileDevice, NbdExport(address="127.0.0.1", port=1, name="x")),
        (NbdDevice, IscsiTarget(address="127.0.0.1", port=1, target="x", lun=1)),
        (IscsiDevice, NfsExport(address="127.0.0.1", port=1, path="/x")),
    ],
)
async def test_devices_take_only_their_own_handles(connect: Connect, handle: AccessHandle) -> None:
    with pytest.raises(TypeError):
        await BlockContent(handle, connect).paths()


async def test_block_content_keeps_files_on_a_device(tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.write_bytes(bytes(256 * 1024))
    content = BlockContent(LocalPath(path=str(device)))
    await content.write("a", b"alpha")
    await content.write("deep/er/b", b"")
    await content.write("a", b"again")
    assert {path: await content.read(path) for path in await content.paths()} == {"a": b"again", "deep/er/b": b""}
    await content.remove("a")
    assert await content.paths() == {"deep/er/b"}
    for absent in (content.read("a"), content.remove("a")):
        with pytest.raises(KeyError):
            await absent
    with pytest.raises(OutOfSpace):
        await content.write("large", bytes(256 * 1024))
    with pytest.raises(InvalidState):
        await BlockContent(LocalPath(path=str(device), read_only=True)).write("a", b"alpha")
    assert await content.paths() == {"deep/er/b"}


def test_cases_that_look_at_content_are_told_from_the_others() -> None:
    looking = {
        "test_a_snapshot_keeps_the_bytes",  # by `held`
        "test_a_snapshot_is_one_instant",  # by `files` in a function of its own
        "test_a_volume_is_made_with_its_permissions",  # by `root`
        "test_quota_stops_writes",  # by a function of the suite that calls another
    }
    others = {
        "test_the_manifest_comes_back_and_is_replaced",
        "test_scan_lists_exactly_what_exists",
        "test_the_record_agrees_with_the_protocols",
    }
    assert all(looks_at_content(getattr(BackendConformance, name)) for name in looking)
    assert not any(looks_at_content(getattr(BackendConformance, name)) for name in others)

    @content_cases
    class Suite(BackendConformance):
        pass

    assert all(callable(getattr(Suite, name)) for name in looking)
    assert all(getattr(Suite, name) is None for name in others)
    assert needed(Suite) < needed(BackendConformance)


@pytest.mark.parametrize("name", FLAGS)
def test_there_is_a_dishonest_backend_for_every_flag(name: str) -> None:
    caught = [getattr(BackendConformance, case) for _, case in CAUGHT]
    assert any(name in case.__dict__.get("needs", ()) for case in caught)
