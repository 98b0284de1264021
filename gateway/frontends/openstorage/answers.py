"""Answers to reads, kept as they go over the wire while nothing in the catalog changes."""

from __future__ import annotations

from gateway.core.principal import Principal

Key = tuple[str, bytes, Principal]
_BYTES_MAX = 16 * 1024 * 1024
_ANSWER_MAX = 256 * 1024


class Answers:
    """Forgets everything when the catalog's version changes, and the oldest when there is too much."""

    def __init__(self) -> None:
        self._version = -1
        self._kept: dict[Key, bytes] = {}
        self._size = 0

    def get(self, key: Key, version: int) -> bytes | None:
        """Give an answer if it is as fresh as the catalog."""
        if version != self._version:
            self._kept.clear()
            self._size = 0
            self._version = version
        return self._kept.get(key)

    def put(self, key: Key, version: int, answer: bytes) -> None:
        """Keep an answer that was computed entirely after `version` was read."""
        if version != self._version or len(answer) > _ANSWER_MAX or key in self._kept:
            return
        self._kept[key] = answer
        self._size += _weight(key, answer)
        while self._size > _BYTES_MAX:
            oldest = next(iter(self._kept))
            self._size -= _weight(oldest, self._kept.pop(oldest))


def _weight(key: Key, answer: bytes) -> int:
    return len(key[1]) + len(answer) + 256
