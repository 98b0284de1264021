"""Trees under version control by the stock clients, git and git-lfs, from a server in a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import msgspec
import pytest
from exporter_scene import end, free_port, recorded, runs
from yarl import URL

from gateway.backends.git_lfs import GitLfsBackend, GitLfsOptions
from gateway.core import snapshots, tokens, volumes
from gateway.core.backend import Note, VolumeSpec
from gateway.core.errors import Unavailable, Unsupported
from gateway.core.exporter import TreeExport
from gateway.core.handles import GitRemote
from gateway.core.model import Snapshot, Tenant, Volume, VolumeKind, VolumeState, utc_now
from gateway.core.pools import Configured
from gateway.exports.git import FAULT_POINTS, GitExporter, GitOptions
from gateway.server.certificate import write_self_signed
from gateway.testing.cores import core_on, memory_pool
from gateway.testing.wire.git import Failed, GitClient

pytestmark = pytest.mark.root

NOTE = Note(name="data", tenant="svm1", document=b"{}")
LARGE = bytes(range(256)) * 1000

SESSION = """
import asyncio, msgspec, sys
from pathlib import Path
from uuid import UUID
from gateway.core.exporter import TreeExport
from gateway.exports.git import GitExporter, GitOptions
from gateway.testing.faults import KillAt

async def main(state, port, point, verb, argument):
    exporter = GitExporter(GitOptions(port=int(port)), Path(state), fault=KillAt(point))
    await exporter.open()
    if verb == "publish":
        await exporter.publish(msgspec.json.decode(argument, type=TreeExport))
    else:
        await exporter.withdraw(UUID(argument))
    KillAt("end")("end")

asyncio.run(main(*sys.argv[1:]))
"""


class Bed:
    """A pool, an exporter beside it, and clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.place = folder / "pool"
        self.place.mkdir()
        self.port = free_port()
        self.backend = GitLfsBackend("pool", GitLfsOptions(path=self.place))
        self.exporter = self.fresh()
        self.configuration = ""

    def fresh(self) -> GitExporter:
        return GitExporter(GitOptions(port=self.port), self.state)

    async def volume(self) -> UUID:
        spec = VolumeSpec(id=uuid4(), kind=VolumeKind.TREE, size=1 << 20, note=NOTE)
        await self.backend.create(spec)
        return spec.id

    async def export(self, volume: UUID) -> TreeExport:
        return TreeExport(id=volume, source=await self.backend.access(volume))

    async def published(self, volume: UUID) -> TreeExport:
        export = await self.export(volume)
        await self.exporter.publish(export)
        return export

    async def client(self, export: TreeExport, snapshot: UUID | None = None, *, write: bool = True) -> GitClient:
        token = self.exporter.token(export.id, write=write).reveal()
        return await self.cloned(self.exporter.handle(export, snapshot), token)

    async def cloned(self, handle: GitRemote, token: str) -> GitClient:
        folder = self.folder / f"client-{uuid4()}"
        folder.mkdir()
        client = GitClient(folder, handle, token=token, configuration=self.configuration)
        await asyncio.to_thread(client.clone)
        return client

    async def session(self, point: str, verb: str, argument: str) -> None:
        """Run an exporter in a process of its own that ends by SIGKILL, at the point or when it is done."""
        argv = [sys.executable, "-c", SESSION, str(self.state), str(self.port), point, verb, argument]
        done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == -9, done.stderr


@asynccontextmanager
async def bed_in(folder: Path) -> AsyncIterator[Bed]:
    bed = Bed(folder)
    await bed.backend.open()
    try:
        await bed.exporter.open()
        yield bed
    finally:
        await bed.exporter.close()
        await bed.backend.close()


def write(client: GitClient, message: str, *arguments: str, **files: bytes) -> None:
    for name, data in files.items():
        (client.clone_folder / name).write_bytes(data)
    client.commit(message)
    client.push(*arguments)


def held(client: GitClient) -> dict[str, bytes]:
    paths = [path for path in client.clone_folder.iterdir() if path.name != ".git"]
    return {path.name: path.read_bytes() for path in paths}


async def test_clients_work_as_with_any_server(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed:
        volume = await bed.volume()
        export = await bed.published(volume)
        one = await bed.client(export)
        assert held(one) == {}
        one.git("lfs", "install", "--local")
        one.git("config", "lfs.locksverify", "true")
        await asyncio.to_thread(write, one, "first", a=b"alpha", big=LARGE)
        assert one.git("cat-file", "-p", "HEAD:big").startswith("version https://git-lfs")
        two = await bed.client(export)
        assert held(two) == {"a": b"alpha", "big": LARGE}
        snapshot = uuid4()
        await bed.backend.snapshot(volume, snapshot, NOTE)
        await asyncio.to_thread(write, one, "second", a=b"changed")
        await asyncio.to_thread(two.git, "pull", "--quiet")
        assert held(two)["a"] == b"changed"
        # A branch is rewritten by force; what was taken of it stays.
        one.git("checkout", "--quiet", "--orphan", "fresh")
        one.git("rm", "--quiet", "-r", "--cached", ".")
        (one.clone_folder / "big").unlink()
        with pytest.raises(Failed, match="rejected"):
            await asyncio.to_thread(write, one, "anew", "origin", "HEAD:main", a=b"anew")
        await asyncio.to_thread(one.push, "--force", "origin", "HEAD:main")
        assert held(await bed.client(export)) == {"a": b"anew"}
        kept = await bed.client(export, snapshot)
        assert held(kept) == {"a": b"alpha", "big": LARGE}
        with pytest.raises(Failed, match="403"):
            await asyncio.to_thread(write, kept, "into a snapshot", a=b"no")
        listed = await bed.client(export)
        locked = await asyncio.to_thread(listed.git, "lfs", "lock", "big")
        assert "Locked big" in locked
        assert "big" in await asyncio.to_thread(one.git, "lfs", "locks")


async def test_by_the_path_clients_set_the_name_space_and_snapshots_refuse(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    await bed.backend.open()
    try:
        volume, other, snapshot = await bed.volume(), await bed.volume(), uuid4()
        client = await bed.cloned(await bed.backend.access(volume), "")
        client.git("lfs", "install", "--local")
        await asyncio.to_thread(write, client, "first", a=b"alpha", big=LARGE)
        await bed.backend.snapshot(volume, snapshot, NOTE)
        assert held(await bed.cloned(await bed.backend.access(volume), "")) == {"a": b"alpha", "big": LARGE}
        assert held(await bed.cloned(await bed.backend.access(other), "")) == {}
        kept = await bed.cloned(await bed.backend.access(volume, snapshot), "")
        assert held(kept) == {"a": b"alpha", "big": LARGE}
        with pytest.raises(Failed, match="read only"):
            await asyncio.to_thread(write, kept, "into a snapshot", a=b"no")
        observed = await bed.backend.inspect(volume)
        assert observed is not None
        assert observed.used > len(LARGE)
        everything = GitClient(client.folder, GitRemote(url=bed.place.as_uri()))
        for ref in (f"refs/gateway/volumes/{volume}", f"refs/namespaces/{volume}/refs/heads/main"):
            with pytest.raises(Failed, match="read only"):
                await asyncio.to_thread(everything.git, "push", bed.place.as_uri(), f"+HEAD:{ref}")
    finally:
        await bed.backend.close()


async def test_only_who_has_a_token_gets_in(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed:
        volume, other = await bed.volume(), await bed.volume()
        export, hidden = await bed.published(volume), await bed.export(other)
        writer = await bed.client(export)
        await asyncio.to_thread(write, writer, "first", a=b"alpha")
        handle = bed.exporter.handle(export)
        good = bed.exporter.token(volume, write=True).reveal()
        for token in ("wrong", good[:-1] + ("A" if good[-1] != "A" else "B"), good.replace(".w.", ".r.")):
            with pytest.raises(Failed, match="Authentication failed"):
                await bed.cloned(handle, token)
        with pytest.raises(Failed, match="could not read Username"):
            await bed.cloned(handle, "")
        for where, token in (
            (bed.exporter.handle(hidden), good),
            (bed.exporter.handle(hidden), bed.exporter.token(other, write=True).reveal()),
            (bed.exporter.handle(export, uuid4()), good),
        ):
            with pytest.raises(Failed, match="not found"):
                await bed.cloned(where, token)
        reader = await bed.client(export, write=False)
        assert held(reader) == {"a": b"alpha"}
        with pytest.raises(Failed, match="403"):
            await asyncio.to_thread(write, reader, "second", a=b"no")
        (reader.clone_folder / "big").write_bytes(LARGE)
        reader.commit("large")
        with pytest.raises(Failed, match=r"read only|403|[Aa]uthorization"):
            await asyncio.to_thread(reader.git, "lfs", "push", "origin", "HEAD")
        await bed.exporter.publish(
            msgspec.structs.replace(export, source=msgspec.structs.replace(export.source, read_only=True))
        )
        with pytest.raises(Failed, match="403"):
            await asyncio.to_thread(write, writer, "second", a=b"no")
        # What is of another volume in the same repository cannot be had by its name.
        foreign = await bed.volume()
        author = await bed.cloned(await bed.backend.access(foreign), "")
        await asyncio.to_thread(write, author, "secret", a=b"secret")
        secret = author.git("rev-parse", "HEAD").strip()
        with pytest.raises(Failed, match=r"not our ref|unadvertised"):
            await asyncio.to_thread(writer.git, "fetch", "origin", secret)


async def test_nothing_of_other_volumes_is_advertised(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed:
        volume, foreign = await bed.volume(), await bed.volume()
        export = await bed.published(volume)
        tips = []
        for one in (volume, foreign):
            author = await bed.cloned(await bed.backend.access(one), "")
            await asyncio.to_thread(write, author, "first", a=str(one).encode())
            tips.append(author.git("rev-parse", "HEAD").strip())
        url = f"{bed.exporter.handle(export).url}/info/refs?service=git-"
        async with aiohttp.ClientSession() as session:

            async def asked(query: str, *, write: bool) -> tuple[int, str]:
                token = bed.exporter.token(volume, write=write).reveal()
                login = {"Authorization": aiohttp.encode_basic_auth("me", token)}
                async with session.get(URL(url + query, encoded=True), headers=login) as got:
                    return got.status, await got.text()

            for query, may in (("receive-pack", True), ("upload-pack", True), ("upload-pack", False)):
                status, said = await asked(query, write=may)
                assert status == 200
                assert tips[0] in said
                assert tips[1] not in said
                assert ".have" not in said
            # A second word does not count, nor does one in the disguise of the first's.
            for query in ("upload-pack&service=git-receive-pack", "upload-pack&x=%26service=git-receive-pack"):
                status, said = await asked(query, write=False)
                assert "report-status" not in said
            status, _ = await asked("upload-pack&x=%00", write=False)
            assert status == 200


async def test_a_withdrawn_volume_is_gone_and_the_server_comes_back(tmp_path: Path) -> None:
    async with bed_in(tmp_path) as bed:
        volume = await bed.volume()
        export = await bed.published(volume)
        client = await bed.client(export)
        await asyncio.to_thread(write, client, "first", a=b"alpha")
        await bed.exporter.withdraw(volume)
        await bed.exporter.withdraw(uuid4())
        assert await bed.exporter.published() == frozenset()
        with pytest.raises(Failed, match="not found"):
            await asyncio.to_thread(client.git, "pull", "--quiet")
        await bed.exporter.publish(export)
        await bed.exporter.publish(export)
        pid = recorded(bed.state, "git-server")
        await bed.exporter.close()
        assert not runs(pid)
        with pytest.raises(Unavailable):
            bed.exporter.token(volume, write=True)
        for point in FAULT_POINTS:
            verb = point.split(".")[1]
            changed = msgspec.structs.replace(export, generation=1)
            await bed.session(point, verb, str(volume) if verb == "withdraw" else msgspec.json.encode(changed).decode())
        left = recorded(bed.state, "git-server")
        assert runs(left)
        await bed.exporter.open()
        assert recorded(bed.state, "git-server") == left, "the server was not adopted"
        assert await bed.exporter.published() == frozenset()
        await bed.exporter.publish(export)
        other = bed.fresh()
        with pytest.raises(Unavailable):
            await other.open()
        end(left)
        while True:
            try:
                await asyncio.to_thread(client.git, "pull", "--quiet")
            except Failed:
                continue
            break
        assert recorded(bed.state, "git-server") != left


async def test_tokens_may_travel_over_tls(tmp_path: Path) -> None:
    pair = {"certificate": tmp_path / "cert.pem", "key": tmp_path / "key.pem"}
    write_self_signed(names=("127.0.0.1",), now=utc_now(), overwrite=True, **pair)
    bed = Bed(tmp_path)
    bed.exporter = GitExporter(GitOptions(port=bed.port, **pair), bed.state)
    await bed.backend.open()
    try:
        await bed.exporter.open()
        export = await bed.published(await bed.volume())
        with pytest.raises(Failed, match="certificate"):
            await bed.client(export)
        bed.configuration = f"[http]\n    sslCAInfo = {pair['certificate']}\n"
        client = await bed.client(export)
        await asyncio.to_thread(write, client, "first", a=b"alpha")
        assert held(await bed.client(export)) == {"a": b"alpha"}
    finally:
        await bed.exporter.close()
        await bed.backend.close()


async def test_the_core_publishes_trees_while_they_are_online(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    pools = [Configured("pool", bed.backend, ()), memory_pool()]
    try:
        await bed.exporter.open()
        async with core_on(tmp_path, pools, trees=bed.exporter) as core:
            tenant = await core.find(Tenant, name="svm1")
            assert tenant is not None
            pool = next(one for one in core.pools if one.name == "pool")
            new = volumes.NewVolume(
                name="data", tenant_id=tenant.id, pool_id=pool.id, size=1 << 20, kind=VolumeKind.TREE
            )
            await (await volumes.create(core, new, description="test")).result()
            volume = await core.find(Volume, name="data")
            assert volume is not None
            own, remote = await volumes.access(core, volume.id)
            assert isinstance(own, GitRemote)
            assert own.namespace
            assert remote == GitRemote(url=f"http://127.0.0.1:{bed.port}/{volume.id}.git")
            token = (await tokens.token(core, volume.id, write=True)).reveal()
            client = await bed.cloned(remote, token)
            await asyncio.to_thread(write, client, "first", a=b"alpha", b=b"beta")
            taking = snapshots.NewSnapshot(name="s1", volume_id=volume.id)
            await (await snapshots.create(core, taking, description="test")).result()
            snapshot = await core.find(Snapshot, name="s1")
            assert snapshot is not None
            await asyncio.to_thread(write, client, "second", a=b"changed")
            _, kept = await snapshots.access(core, snapshot.id)
            assert isinstance(kept, GitRemote)
            assert kept.read_only
            assert held(await bed.cloned(kept, token)) == {"a": b"alpha", "b": b"beta"}
            await (
                await volumes.restore(core, volume.id, snapshot.id, discard_newer=False, description="test")
            ).result()
            assert held(await bed.cloned(remote, token)) == {"a": b"alpha", "b": b"beta"}
            await asyncio.to_thread(client.git, "fetch", "--quiet")
            offline = volumes.VolumeChange(state=VolumeState.OFFLINE)
            await (await volumes.update(core, volume.id, offline, description="test")).result()
            with pytest.raises(Failed, match="not found"):
                await asyncio.to_thread(client.git, "fetch", "--quiet")
            with pytest.raises(Unsupported):
                await tokens.token(core, volume.id, write=False)
            assert core.publisher.trees is not None
            assert await core.publisher.trees.published() == frozenset()
            assert await core.publisher.stale() == frozenset()
            assert [found async for found in core.publisher.wished()] == [volume.id]
    finally:
        await bed.exporter.close()
        await bed.backend.close()
