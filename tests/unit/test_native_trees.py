"""Trees under version control through the native door: where they are, and who gets what opens them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from native_scene import Scene, native_door

from gateway.backends.git_lfs import GitLfsBackend, GitLfsOptions
from gateway.client import native, volumes
from gateway.core.model import VolumeKind
from gateway.core.pools import Configured
from gateway.exports.git import GitExporter, GitOptions
from gateway.testing.cores import memory_pool


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Scene]:
    (tmp_path / "pool").mkdir()
    backend = GitLfsBackend("trees", GitLfsOptions(path=tmp_path / "pool"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = GitOptions(port=port, public_url="https://git.example/gateway/")
    exporter = GitExporter(options, tmp_path / "export")
    try:
        await exporter.open()
        async with native_door(tmp_path, [Configured("trees", backend, ()), memory_pool()], trees=exporter) as scene:
            yield scene
    finally:
        await exporter.close()
        await backend.close()


async def test_a_tree_is_reached_by_who_has_a_token(door: Scene) -> None:
    made = await door.make("tree", pool="trees", kind=VolumeKind.TREE, who="alice")
    taken = await door.run(native.create_snapshot(made.id, "s1"), "alice")
    own, remote = await door.run(native.handles(made.id), "alice")
    assert (own.kind, own.url.startswith("file:///"), own.namespace.startswith(made.id)) == ("git", True, True)
    assert own.place == f"{own.url} GIT_NAMESPACE={own.namespace}"
    assert (remote.kind, remote.place) == ("git", f"https://git.example/gateway/{made.id}.git")
    own, remote = await door.run(native.snapshot_handles(taken.id), "alice")
    assert own.namespace == f"{made.id}/{taken.id}"
    assert (remote.url, remote.read_only) == (f"https://git.example/gateway/{made.id}/{taken.id}.git", True)
    reading = await door.run(volumes.token(made.id, write=False), "alice")
    writing = await door.run(volumes.token(made.id, write=True), "alice")
    assert reading != writing
    for who, write in (("bob", False), ("bob", True), ("viewer", False), ("viewer", True)):
        answer = await door.ask("POST", f"/gateway/volumes/{made.id}/tokens", {"write": write}, who=who)
        assert answer.status_code in {403, 404}, (who, write)
    assert writing not in str(door.traces)


async def test_others_have_no_tokens(door: Scene) -> None:
    made = await door.make("files")
    for write in (False, True):
        await door.refused(volumes.token(made.id, write=write), "Unsupported", capability="token")
