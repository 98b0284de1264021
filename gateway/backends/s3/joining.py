"""Sorted streams side by side: how what is in a volume is told without ever holding all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar
from uuid import UUID

from gateway.backends.s3.bucket import Version
from gateway.backends.s3.inventories import Entry

L = TypeVar("L")
R = TypeVar("R")


def side_by_side(
    left: Iterable[L], right: Iterable[R], *, left_key: Callable[[L], str], right_key: Callable[[R], str]
) -> Iterator[tuple[str, L | None, R | None]]:
    """Yield every key of two streams that are in order of their keys, with what each has of it."""
    lefts, rights = iter(left), iter(right)
    one, other = next(lefts, None), next(rights, None)
    while one is not None or other is not None:
        if other is None or (one is not None and left_key(one) < right_key(other)):
            assert one is not None  # noqa: S101 - one of the two is there
            yield left_key(one), one, None
            one = next(lefts, None)
        elif one is None or right_key(other) < left_key(one):
            yield right_key(other), None, other
            other = next(rights, None)
        else:
            yield left_key(one), one, other
            one, other = next(lefts, None), next(rights, None)


def key_of(item: Version | Entry) -> str:
    """Give the key of either."""
    return item.key


def latest(versions: Iterable[Version]) -> Iterator[Version]:
    """Yield of each key what counts now, markers included."""
    return (version for version in versions if version.latest)


def entry_of(found: Version, owner: UUID) -> Entry:
    """Give a version as an entry."""
    return Entry(found.key, owner, found.version, found.size, found.etag, found.modified)


def laid_over(own: Iterable[Version], owner: UUID, base: Iterable[Entry]) -> Iterator[Entry]:
    """Yield what is in a volume: what counts of its own, and what that leaves of its base. A marker hides a key."""
    for _, mine, below in side_by_side(own, base, left_key=key_of, right_key=key_of):
        if mine is not None:
            if not mine.marker:
                yield entry_of(mine, owner)
        elif below is not None:
            yield below
