"""How often passwords were wrong, and who is kept out for it.

What is known and what is not is counted alike: nobody learns from it which
accounts there are. Names are kept as keyed digests, so that a long one costs
no more than a short one.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
import time
from collections.abc import Callable
from typing import Final

import msgspec

_KEPT_MAX: Final = 65_536
_TRIMMED: Final = 1024


class _Count(msgspec.Struct, frozen=True, gc=False):
    number: int
    last: float


class Failures:
    """Counts attempts per account, and per account and address. Belongs to one event loop.

    Whoever fails `limit` times at an account is kept out of it, and everybody
    else too, for `seconds`, in which the right password is refused as well;
    but who was let in before from an address from which nobody failed so often
    is spared. `limit` 0: nobody is kept out.
    """

    def __init__(self, limit: int = 0, seconds: float = 0.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._counts: dict[bytes, _Count] = {}

    def barred(self, name: str) -> bool:
        """Tell whether the account is closed to those who were not let in before."""
        return bool(self._counts) and self._many(self._place(name))

    def barred_at(self, name: str, peer: str) -> bool:
        """Tell whether it is closed to everybody at an address."""
        return bool(self._counts) and self._many(self._place(name, peer))

    def attempt(self, name: str, peer: str) -> bool:
        """Count an attempt before it is made, so that many at once are no more; True: it was the last one."""
        if not self._limit:
            return False
        self._count(self._place(name, peer))
        return self._count(self._place(name)) == self._limit

    def forgive(self, name: str, peer: str = "") -> None:
        """Forget what was counted: the password was right, or somebody says so."""
        self._counts.pop(self._place(name), None)
        if peer:
            self._counts.pop(self._place(name, peer), None)

    def clear(self) -> None:
        """Forget everything."""
        self._counts.clear()

    def _many(self, place: bytes) -> bool:
        found = self._counts.get(place)
        if found is None:
            return False
        if self._old(found):
            del self._counts[place]
            return False
        return found.number >= self._limit

    def _count(self, place: bytes) -> int:
        found = self._counts.pop(place, None)
        number = 1 if found is None or self._old(found) else found.number + 1
        if len(self._counts) >= _KEPT_MAX:
            self._trim()
        self._counts[place] = _Count(number, self._clock())
        return number

    def _trim(self) -> None:
        """Make room: what was counted first goes, with all that is old. Each attempt costs a check, so this is rare."""
        for place, count in tuple(itertools.islice(self._counts.items(), _TRIMMED)):
            if len(self._counts) < _KEPT_MAX and not self._old(count):
                break
            del self._counts[place]

    def _old(self, count: _Count) -> bool:
        return self._clock() - count.last >= self._seconds

    def _place(self, name: str, peer: str = "") -> bytes:
        text = f"{name}\0{peer}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._key, digest_size=16).digest()
