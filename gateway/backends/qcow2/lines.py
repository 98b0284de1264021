"""The conversations of this process with a storage daemon. All of it blocks.

A monitor of QEMU that loses a client may crash the daemon (seen with 7.2, once
in some ten thousand times). So a conversation, once begun, is kept as long as
both live. A monitor has one client; there are several of them for as many
processes.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from gateway.core.errors import Busy, Timeout, Unavailable
from gateway.core.qmp import Conversation

CHANNELS = tuple(f"monitor{number}" for number in range(6))
ANSWER_S = 20.0
_REST_S = 30.0


class _Open(msgspec.Struct, frozen=True):
    pid: int
    conversation: Conversation
    lock: int

    def end(self) -> None:
        self.conversation.close()
        os.close(self.lock)


class Line:
    """One conversation, begun when it is needed and kept. Used by one thread at a time; others wait."""

    def __init__(self, pool: str, folder: Path, *, answer_s: float = ANSWER_S) -> None:
        self._pool = pool
        self._answer_s = answer_s
        self._folder = folder
        self._lock = threading.RLock()
        self._open: _Open | None = None
        self._rest_until = 0.0

    @contextmanager
    def talk(self, pid: int) -> Iterator[Conversation]:
        """Talk to the daemon that is this process, for a block.

        One that was silent is left alone for a while, so that not all threads
        wait for it: Unavailable. HungUp or another OSError when it has ended.
        """
        with self._lock:
            if time.monotonic() < self._rest_until:
                reason = "the storage daemon did not answer and is left alone for a while"
                raise Unavailable(what=self._pool, reason=reason)
            try:
                conversation = self._conversation(pid)
                conversation.forget_events()
                yield conversation
            except Timeout:
                self._rest_until = time.monotonic() + _REST_S
                self.hang_up()
                raise
            except OSError:
                self.hang_up()
                raise

    def _conversation(self, pid: int) -> Conversation:
        if self._open is not None and self._open.pid != pid:
            self.hang_up()
        if self._open is None:
            channel, lock = self._free_channel()
            try:
                conversation = Conversation(self._folder / channel, what=self._pool, timeout_s=self._answer_s)
            except BaseException:
                os.close(lock)
                raise
            self._open = _Open(pid, conversation, lock)
        return self._open.conversation

    def _free_channel(self) -> tuple[str, int]:
        for channel in CHANNELS:
            lock = os.open(self._folder / f"{channel}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
            else:
                return channel, lock
        raise Busy(what=f"{self._pool}: storage daemon")

    def hang_up(self) -> None:
        """End the conversation. Idempotent."""
        with self._lock:
            if self._open is not None:
                self._open.end()
                self._open = None
