"""The engine that calls libzfs_core, with a twin of the module that notes what it was asked."""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from zfs_script import MIB, says

from gateway.backends.zfs.commands import Shape
from gateway.backends.zfs.failures import Meaning, Refused
from gateway.backends.zfs.library import Library, LibraryCommands, find_library
from gateway.core.errors import Timeout, Unavailable
from gateway.core.runner import Circuit
from gateway.testing.runner import Exchange, ScriptedRunner

USER = {"volume-gateway:volume": "=x"}


class ZFSError(Exception):
    """As the module's: an error with a number, which is no OSError."""

    def __init__(self, number: int, errors: tuple[ZFSError, ...] = ()) -> None:
        super().__init__(number)
        self.errno = number
        self.errors = errors


class Twin:
    """Answers like `libzfs_core`: notes each call, and raises what it was told to."""

    exceptions = SimpleNamespace(ZFSError=ZFSError)

    def __init__(self, failure: Exception | None = None, wait: Callable[[], object] | None = None) -> None:
        self.calls: list[tuple[object, ...]] = []
        self._failure = failure
        self._wait = wait

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("lzc_"):
            raise AttributeError(name)

        def call(*arguments: object) -> None:
            self.calls.append((name, *arguments))
            if self._wait is not None:
                self._wait()
            if self._failure is not None:
                raise self._failure

        return call


def engine(twin: Library, *exchanges: Exchange, timeout_s: float = 5.0) -> LibraryCommands:
    circuit = Circuit(ScriptedRunner(*exchanges), what="pool", trips=2)
    return LibraryCommands(circuit, twin, timeout_s=timeout_s, threads=1)


@pytest.fixture
def twin() -> Twin:
    return Twin()


def test_every_change_is_one_call_in_bytes(twin: Twin) -> None:
    library = engine(twin)
    library.create("t/a", Shape(refquota=MIB, reserved=True, user=USER))
    library.create("t/v", Shape(volsize=MIB, volblocksize=16384, user=USER))
    library.clone("t/a@s", "t/c", Shape(refquota=MIB, user=USER))
    library.clone("t/v@s", "t/w", Shape(volsize=2 * MIB, user=USER))
    library.snapshot(["t/a@s", "t/v@s"], USER)
    library.destroy_snapshots("t/a", ["s", "r"])
    library.destroy_snapshots("t/a", ["q"], deferred=True)
    library.destroy("t/a")
    library.rename("t/a", "t/b")
    library.promote("t/c")
    library.rollback("t/a@s")
    user = {b"volume-gateway:volume": b"=x"}
    assert twin.calls == [
        ("lzc_create", b"t/a", "zfs", {b"canmount": 2, b"refquota": MIB, b"refreservation": MIB, **user}),
        ("lzc_create", b"t/v", "zvol", {b"volsize": MIB, b"volblocksize": 16384, **user}),
        ("lzc_clone", b"t/c", b"t/a@s", {b"canmount": 2, b"refquota": MIB, **user}),
        ("lzc_clone", b"t/w", b"t/v@s", {b"volsize": 2 * MIB, **user}),
        ("lzc_snapshot", [b"t/a@s", b"t/v@s"], user),
        ("lzc_destroy_snaps", [b"t/a@s", b"t/a@r"], False),
        ("lzc_destroy_snaps", [b"t/a@q"], True),
        ("lzc_destroy", b"t/a"),
        ("lzc_rename", b"t/a", b"t/b"),
        ("lzc_promote", b"t/c"),
        ("lzc_rollback_to", b"t/a", b"t/a@s"),
    ]
    library.close()


def test_what_a_reserved_block_volume_needs_is_reckoned_by_the_program(twin: Twin) -> None:
    made = says("", "zfs", "create", "-b", "16384", "-V", str(MIB), "t/v")
    cloned = says("", "zfs", "clone", "-o", f"volsize={MIB}", "-o", "refreservation=auto", "t/v@s", "t/w")
    library = engine(twin, made, cloned)
    library.create("t/v", Shape(volsize=MIB, volblocksize=16384, reserved=True))
    library.clone("t/v@s", "t/w", Shape(volsize=MIB, reserved=True))
    assert twin.calls == []
    library.close()


@pytest.mark.parametrize(
    ("failure", "meaning"),
    [
        (ZFSError(errno.EEXIST), Meaning.EXISTS),
        (ZFSError(errno.EPERM), Meaning.DENIED),
        (ZFSError(errno.EINVAL, (ZFSError(errno.ENOSPC), ZFSError(errno.ENOENT))), Meaning.SPACE),
        (OSError(errno.EROFS, "read-only"), Meaning.GONE),
        (ZFSError(1033), Meaning.DEFECT),
    ],
)
def test_a_number_means_what_the_program_s_words_mean(failure: Exception, meaning: Meaning) -> None:
    library = engine(Twin(failure))
    with pytest.raises(Refused) as refused:
        library.snapshot(["t/a@s"], {})
    assert refused.value.meaning is meaning
    library.close()


def test_a_call_that_hangs_is_left_behind_and_opens_the_circuit() -> None:
    answer = threading.Event()
    library = engine(Twin(wait=answer.wait), timeout_s=0.05)
    for error in (Timeout, Timeout, Unavailable):
        with pytest.raises(error):
            library.promote("t/c")
    answer.set()
    library.close()


def test_a_module_that_is_not_there_is_a_reason(tmp_path) -> None:
    reason = find_library((str(tmp_path),))
    assert isinstance(reason, str)
    assert "cannot be imported" in reason


def test_pypi_s_module_is_too_old(tmp_path) -> None:
    old = "def lzc_create(): ...\nlzc_clone = lzc_snapshot = lzc_destroy_snaps = lzc_create\n"
    (tmp_path / "libzfs_core.py").write_text(old)
    path = list(sys.path)
    try:
        reason = find_library((str(tmp_path),))
        assert isinstance(reason, str)
        assert "too old" in reason
        assert sys.path == path
    finally:
        sys.modules.pop("libzfs_core", None)
