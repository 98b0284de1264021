"""Clients that change shared volumes all at once, at random, until the gateway dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from crash_memory import DATA, Bytes, Deed, KnownSnapshot, KnownVolume, Memory
from crash_scene import MIB, VOLUMES

MOST_VOLUMES = 12
SIZES = tuple(size * MIB for size in (24, 32, 40, 48))
FINAL = {"success": True, "failure": False}


class Load:
    """Clients over one connection pool. They stop when the gateway does not answer any more."""

    def __init__(self, http: httpx.AsyncClient, mount: Path, memory: Memory, rng: random.Random, prefix: str) -> None:
        self._http = http
        self._mount = mount
        self._memory = memory
        self._rng = rng
        self._prefix = prefix
        self._names = 0
        self._acts: dict[Callable[[], Any], int] = {
            self._create: 2,
            self._snapshot: 3,
            self._clone: 2,
            self._write: 4,
            self._rename: 1,
            self._resize: 2,
            self._restore: 2,
            self._split: 1,
            self._delete_snapshot: 1,
            self._delete: 2,
        }

    async def client(self) -> None:
        """Do one thing after the other."""
        with contextlib.suppress(httpx.TransportError):
            while True:
                (act,) = self._rng.choices(list(self._acts), weights=list(self._acts.values()))
                await act()

    # --- what clients do ---

    async def _create(self) -> None:
        if len(self._memory.volumes) >= MOST_VOLUMES:
            await self._delete()
            return
        name, size, deed = self._name("v"), self._rng.choice(SIZES), self._memory.deed()
        body = {"name": name, "svm": {"name": "svm1"}, "aggregates": [{"name": "fast"}], "size": size}
        answer = await self._send(deed, "POST", VOLUMES, body)
        if answer is not None:
            self._memory.volumes[_made(answer)] = KnownVolume(deed, name=name, size=size, origin=None, data=None)
            await self._end(deed)

    async def _clone(self) -> None:
        base = self._any_snapshot()
        if base is None or len(self._memory.volumes) >= MOST_VOLUMES:
            await self._snapshot()
            return
        key, snapshot = base
        parent = self._memory.volumes[snapshot.volume]
        sizes = parent.size.possible()
        name, deed = self._name("c"), self._memory.deed()
        body = {
            "name": name,
            "svm": {"name": "svm1"},
            "clone": {
                "is_flexclone": True,
                "parent_volume": {"uuid": str(snapshot.volume)},
                "parent_snapshot": {"uuid": str(key)},
            },
        }
        answer = await self._send(deed, "POST", VOLUMES, body)
        if answer is not None:
            known = KnownVolume(deed, name=name, size=sizes[0], origin=key, data=key)
            # It gets the size that its parent has at that moment.
            for size in {*sizes, *parent.size.possible(deed.start)}:
                known.size.write(deed, size)
            self._memory.volumes[_made(answer)] = known
            await self._end(deed)

    async def _snapshot(self) -> None:
        key = self._any_volume()
        if key is None:
            await self._create()
            return
        deed = self._memory.deed()
        answer = await self._send(deed, "POST", f"{VOLUMES}/{key}/snapshots", {"name": self._name("s")})
        if answer is not None:
            self._memory.snapshots[_made(answer)] = KnownSnapshot(deed, key)
            await self._end(deed)

    async def _write(self) -> None:
        key = self._any_volume()
        if key is None:
            await self._create()
            return
        volume, deed = self._memory.volumes[key], self._memory.deed()
        data = f"{self._name('w')}\n".encode() * 500
        volume.data.write(deed, data)
        folder = self._mount / "volumes" / str(key)
        try:
            _write_durably(folder / "new", data)
            (folder / "new").replace(folder / DATA)
        except FileNotFoundError:
            deed.over(False)
        else:
            # A restore under way may replace the tree that was just written to.
            deed.over(None if any(restore.outcome is None for restore in volume.restores) else True)
        await asyncio.sleep(0)

    async def _rename(self) -> None:
        name = self._name("r")
        await self._patch({"name": name}, lambda volume, deed: volume.name.write(deed, name))

    async def _resize(self) -> None:
        size = self._rng.choice(SIZES)
        await self._patch({"size": size}, lambda volume, deed: volume.size.write(deed, size))

    async def _split(self) -> None:
        clones = [key for key, volume in self._memory.volumes.items() if volume.origin.possible() != [None]]
        key = self._rng.choice(clones) if clones else None
        body = {"clone": {"split_initiated": True}}
        await self._patch(body, lambda volume, deed: volume.origin.write(deed, None), key)

    async def _restore(self) -> None:
        base = self._any_snapshot()
        if base is None:
            await self._snapshot()
            return
        key, snapshot = base
        token: Bytes = key

        def effect(volume: KnownVolume, deed: Deed) -> None:
            volume.restores.append(deed)
            volume.data.write(deed, token)

        await self._patch({"restore_to": {"snapshot": {"uuid": str(key)}}}, effect, snapshot.volume)

    async def _delete_snapshot(self) -> None:
        base = self._any_snapshot()
        if base is None:
            await self._snapshot()
            return
        key, snapshot = base
        deed = self._memory.deed()
        snapshot.exists.write(deed, False)
        if await self._send(deed, "DELETE", f"{VOLUMES}/{snapshot.volume}/snapshots/{key}") is not None:
            await self._end(deed)

    async def _delete(self) -> None:
        key = self._any_volume()
        if key is None:
            return
        deed = self._memory.deed()
        self._memory.volumes[key].exists.write(deed, False)
        if await self._send(deed, "DELETE", f"{VOLUMES}/{key}") is not None:
            await self._end(deed)

    # --- how they do it ---

    async def _patch(
        self, body: dict[str, Any], effect: Callable[[KnownVolume, Deed], None], key: UUID | None = None
    ) -> None:
        key = key or self._any_volume()
        if key is None:
            return
        deed = self._memory.deed()
        effect(self._memory.volumes[key], deed)
        if await self._send(deed, "PATCH", f"{VOLUMES}/{key}", body) is not None:
            await self._end(deed)

    async def _send(
        self, deed: Deed, verb: str, path: str, body: dict[str, Any] | None = None
    ) -> httpx.Response | None:
        """Send a change; None when it was refused. Half of the clients wait for the end of the job in the request."""
        wait = self._rng.choice((0, 30))
        answer = await self._http.request(verb, path, params={"return_timeout": wait}, json=body or {})
        job = answer.json().get("job")
        assert answer.status_code < 500, answer.text
        if job is not None:
            deed.job = UUID(job["uuid"])
        if answer.status_code >= 400:
            deed.over(False)
            return None
        assert answer.status_code == 202, answer.text
        return answer

    async def _end(self, deed: Deed) -> None:
        """Ask for the job until it is over."""
        while True:
            answer = await self._http.get(f"/api/cluster/jobs/{deed.job}", params={"fields": "state"})
            state = answer.json()["state"]
            if state in FINAL:
                deed.over(FINAL[state])
                return
            await asyncio.sleep(0.005)

    def _any_volume(self) -> UUID | None:
        living = [key for key, volume in self._memory.volumes.items() if volume.exists.possible() == [True]]
        return self._rng.choice(living) if living else None

    def _any_snapshot(self) -> tuple[UUID, KnownSnapshot] | None:
        living = [
            (key, snapshot)
            for key, snapshot in self._memory.snapshots.items()
            if snapshot.exists.possible() == [True] and snapshot.volume in self._memory.volumes
        ]
        return self._rng.choice(living) if living else None

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}{self._prefix}_{self._names}"


def _write_durably(path: Path, data: bytes) -> None:
    """Write as who wants to find it again does: a snapshot of btrfs can have a rename without the bytes before it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _made(answer: httpx.Response) -> UUID:
    """Give the id of what a POST makes."""
    return UUID(answer.headers["Location"].rpartition("/")[2])
