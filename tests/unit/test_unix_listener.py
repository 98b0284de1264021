"""A listener on a UNIX socket: who may use it, what it does with the file, what it leaves to others."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, UnixConnector, web

from gateway.config import LimitSettings
from gateway.core.sockets import listen
from gateway.server.http import SOCKET_MODE, Listener


async def handle(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text=f"{request.method} {request.raw_path} {request.remote or '-'}")


def refuse(status: int, reason: str) -> web.Response:
    return web.Response(status=status, text=reason)


def make(path: Path) -> Listener:
    return Listener(handle, path, limits=LimitSettings(), refuse=refuse)


@asynccontextmanager
async def listening(path: Path) -> AsyncIterator[Listener]:
    listener = make(path)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


async def ask(path: Path) -> str:
    async with ClientSession(connector=UnixConnector(str(path))) as client, client.get("http://x/hello") as answer:
        assert answer.headers["Server"] == "volume-gateway"
        return await answer.text()


def orphan(path: Path) -> None:
    """Leave a socket's file as a process does that was killed."""
    listen(path).close()
    assert stat.S_ISSOCK(path.stat().st_mode)


async def test_it_answers_and_only_owner_and_group_may_connect(tmp_path: Path) -> None:
    path = tmp_path / "osd.sock"
    before = os.umask(0)
    try:
        async with listening(path) as listener:
            assert await ask(path) == "GET /hello -"
            assert stat.S_IMODE(path.stat().st_mode) == SOCKET_MODE == 0o660
            assert str(listener.address) == str(path)
    finally:
        os.umask(before)


async def test_the_file_is_gone_after_the_stop_and_a_second_stop_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "osd.sock"
    async with listening(path) as listener:
        pass
    assert not path.exists()
    await listener.stop()
    async with listening(path):
        assert await ask(path)


async def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "osd.sock"
    orphan(path)
    async with listening(path):
        assert await ask(path)


async def test_a_socket_at_which_somebody_listens_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "osd.sock"
    async with listening(path):
        with pytest.raises(OSError, match="in use"):
            await make(path).start()
        assert await ask(path)


async def test_somebody_who_is_too_busy_to_answer_listens_nevertheless(tmp_path: Path) -> None:
    path = tmp_path / "osd.sock"
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as first:
        other.bind(str(path))
        other.listen(0)
        first.connect(str(path))  # and fills the queue
        with pytest.raises(OSError, match="in use"):
            await make(path).start()
        assert path.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
async def test_what_is_no_socket_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "osd.sock"
    if kind == "file":
        path.write_text("precious", encoding="utf-8")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        await make(path).start()
    assert path.is_symlink() or path.exists()


async def test_a_file_that_somebody_else_put_there_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "osd.sock"
    async with listening(path):
        path.unlink()
        orphan(path)
    assert path.exists()


async def test_a_path_may_be_longer_than_the_kernel_takes_at_once(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["deep" * 20] * 3)
    folder.mkdir(parents=True)
    async with listening(folder / "osd.sock"):
        assert (folder / "osd.sock").is_socket()
    assert not (folder / "osd.sock").exists()


async def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await make(tmp_path / "none" / "osd.sock").start()
