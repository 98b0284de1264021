"""The gateway as a user of its own, with what `zfs allow` gave it and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from zfs_scene import command, remove

USER = 4711
MOST = (
    "create,destroy,snapshot,clone,mount,rename,promote,rollback,hold,release,send,receive,userprop,canmount,"
    "refquota,refreservation,volsize,volblocksize,snapdev"
)

# Runs as the user: what the pool says of itself, and a life of a volume.
LIFE = """
import asyncio, json, sys, uuid
from pathlib import Path
sys.path[:0] = json.loads(sys.argv[4])
from gateway.backends.zfs import ZfsBackend, ZfsOptions
from gateway.core.backend import Note, VolumeSpec, derive
from gateway.core.errors import GatewayError
from gateway.core.model import VolumeKind

note = Note(name="n", tenant="t", document=b"{}")

async def tried(what):
    try:
        return str(await what)
    except GatewayError as error:
        return f"{type(error).__name__}: {error}"

async def life():
    backend = ZfsBackend("pool", ZfsOptions(pool=sys.argv[1], parent=sys.argv[2], engine=sys.argv[3],
        lock_dir=Path(sys.argv[5])))
    try:
        await backend.open()
    except GatewayError as error:
        return {"open": f"{type(error).__name__}: {error}"}
    told = {str(kind): {"operations": sorted(c.operations), "why_not": c.why_not, "quota": c.facts.quota,
        "thick": c.facts.thick} for kind, c in derive("pool", backend).items()}
    done = {}
    for kind in derive("pool", backend):
        one, two, snap = (uuid.uuid4() for _ in range(3))
        spec = VolumeSpec(id=one, kind=kind, size=16 * 1024 ** 2, note=note)
        done[str(kind)] = [
            await tried(backend.create(spec)),
            await tried(backend.snapshot(one, snap, note)),
            await tried(backend.clone(one, snap, VolumeSpec(id=two, kind=kind, size=16 * 1024 ** 2, note=note))),
            await tried(backend.resize(two, 32 * 1024 ** 2)),
            await tried(backend.restore(one, snap, uuid.uuid4())),
            await tried(backend.annotate(one, note)),
            await tried(backend.split(two)),
            await tried(backend.delete_snapshot(one, snap)),
            await tried(backend.delete(one)),
            await tried(backend.delete(two)),
        ]
        if kind is VolumeKind.FILESYSTEM:
            await backend.create(spec)
            done["access"] = await tried(backend.access(one))
            await backend.delete(one)
    done["left"] = [seen.place async for seen in backend.scan()]
    await backend.close()
    return {"told": told, "done": done}

print(json.dumps(asyncio.run(life())))
"""


def as_user(zpool: str, parent: str, engine: str, folder: Path) -> dict[str, object]:
    folder.chmod(0o777)
    paths = json.dumps([path for path in sys.path if path])
    done = subprocess.run(
        [sys.executable, "-c", LIFE, zpool, parent, engine, paths, str(folder)],
        user=USER,
        group=USER,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": "/"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("engine", ["cli", "lzc"])
def test_what_is_delegated_works_and_the_rest_is_named(zpool, tmp_path_factory, engine):
    parent = f"user-{uuid4().hex[:8]}"
    folder = Path("/tmp", parent)
    folder.mkdir()
    try:
        command("zfs", "create", "-u", "-o", "canmount=off", f"{zpool}/{parent}")
        command("zfs", "allow", "-u", str(USER), MOST, f"{zpool}/{parent}")
        said = as_user(zpool, parent, engine, folder)
        told, done = said["told"], said["done"]
        everything = ["clone", "replicate", "resize", "restore", "snapshot", "snapshot_group"]
        assert told["filesystem"]["operations"] == everything
        assert told["block"]["operations"] == everything
        assert told["filesystem"]["why_not"]["permissions"] == "mounting needs root"
        assert told["filesystem"]["why_not"]["convert"] == "mounting needs root"
        assert told["filesystem"]["quota"]
        assert told["filesystem"]["thick"]
        for kind in ("filesystem", "block"):
            assert all(not line.endswith("')") or line.startswith("Observed") for line in done[kind]), done[kind]
            assert done[kind][3:] == ["None"] * 7
        assert "mounting needs root" in done["access"]
        assert done["left"] == []
    finally:
        remove(f"{zpool}/{parent}")


def test_what_is_not_delegated_is_lacking(zpool, tmp_path_factory):
    parent = f"user-{uuid4().hex[:8]}"
    folder = Path("/tmp", parent)
    folder.mkdir()
    try:
        command("zfs", "create", "-u", "-o", "canmount=off", f"{zpool}/{parent}")
        assert "Unavailable" in as_user(zpool, parent, "cli", folder)["open"]
        command("zfs", "allow", "-u", str(USER), "create,destroy,mount,userprop,canmount", f"{zpool}/{parent}")
        told = as_user(zpool, parent, "cli", folder)["told"]
        assert list(told) == ["filesystem", "block"]
        assert told["filesystem"]["operations"] == ["resize"]
        assert not told["filesystem"]["quota"]
        assert not told["filesystem"]["thick"]
        assert "permission denied" in told["filesystem"]["why_not"]["snapshot"]
        assert "permission denied" in told["block"]["why_not"]["resize"]
    finally:
        remove(f"{zpool}/{parent}")
