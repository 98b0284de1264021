"""An NFSv4 client: the command-line tools of libnfs, and its library for what they cannot do."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class _Url(ctypes.Structure):
    _fields_ = (("server", ctypes.c_char_p), ("path", ctypes.c_char_p), ("file", ctypes.c_char_p))


def _library() -> Any:
    name = ctypes.util.find_library("nfs")
    assert name is not None, "the package libnfs-utils brings it"
    library = ctypes.CDLL(name)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    library.nfs_init_context.restype = pointer
    library.nfs_parse_url_dir.restype = ctypes.POINTER(_Url)
    library.nfs_get_error.restype = text
    for function, arguments in {
        "nfs_parse_url_dir": (pointer, text),
        "nfs_destroy_url": (ctypes.POINTER(_Url),),
        "nfs_get_error": (pointer,),
        "nfs_mount": (pointer, text, text),
        "nfs_open": (pointer, text, ctypes.c_int, ctypes.POINTER(pointer)),
        "nfs_pwrite": (pointer, pointer, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_char_p),
        "nfs_close": (pointer, pointer),
        "nfs_unlink": (pointer, text),
        "nfs_destroy_context": (pointer,),
    }.items():
        getattr(library, function).argtypes = arguments
    return library


class Nfs:
    """Reaches the exports of a port. Files are small: libnfs 4.0 writes at most some 1,500 bytes at once over v4."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self._folder = folder
        self._library = _library()

    def write(self, path: str, content: bytes) -> None:
        """Make a new file."""
        done = self.try_write(path, content)
        assert done.returncode == 0, done.stderr

    def try_write(self, path: str, content: bytes) -> subprocess.CompletedProcess[bytes]:
        local = self._folder / "content"
        local.write_bytes(content)
        return self._run("nfs-cp", str(local), self._url(path))

    def overwrite(self, path: str, content: bytes) -> None:
        """Write over the beginning of a file that exists."""
        file = ctypes.c_void_p()
        with self._mounted(path) as (context, name):
            self._check(context, self._library.nfs_open(context, name, os.O_WRONLY, ctypes.byref(file)))
            written = self._library.nfs_pwrite(context, file, 0, len(content), content)
            self._check(context, self._library.nfs_close(context, file))
            self._check(context, min(written, 0))
            assert written == len(content)

    def remove(self, path: str) -> None:
        with self._mounted(path) as (context, name):
            self._check(context, self._library.nfs_unlink(context, name))

    def read(self, path: str) -> bytes:
        done = self._run("nfs-cat", self._url(path))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def names(self, path: str) -> set[str]:
        done = self._run("nfs-ls", self._url(path))
        assert done.returncode == 0, done.stderr
        return {line.split()[-1].decode() for line in done.stdout.splitlines() if line}

    def reaches(self, path: str) -> bool:
        return self._run("nfs-ls", self._url(path)).returncode == 0

    def _run(self, *argv: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(argv, capture_output=True, check=False, timeout=60)

    def _url(self, path: str) -> str:
        return f"nfs://127.0.0.1{path}?version=4&nfsport={self._port}"

    @contextlib.contextmanager
    def _mounted(self, path: str) -> Iterator[tuple[int, bytes]]:
        """Give a mounted context for the file's folder, and the file's name in it."""
        folder, _, name = path.rpartition("/")
        context = self._library.nfs_init_context()
        try:
            url = self._library.nfs_parse_url_dir(context, self._url(folder).encode())
            assert url, self._library.nfs_get_error(context)
            server, place = url.contents.server, url.contents.path
            self._library.nfs_destroy_url(url)
            self._check(context, self._library.nfs_mount(context, server, place))
            yield context, f"/{name}".encode()
        finally:
            self._library.nfs_destroy_context(context)

    def _check(self, context: int, status: int) -> None:
        assert status >= 0, self._library.nfs_get_error(context)
