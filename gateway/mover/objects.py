"""Objects into other places of objects: by the store itself where both are in one, else from store to store.

What has the same length and tag is the same. Tags depend on the parts in which
an object came, so a copy also keeps the tag of what it is a copy of.
"""

from __future__ import annotations

from contextlib import closing

from gateway.core.errors import Unavailable
from gateway.core.mover import ObjectPlace
from gateway.mover.aligning import aligned
from gateway.mover.failures import DESTINATION, SOURCE
from gateway.mover.lanes import Lanes, lanes
from gateway.mover.meter import Meter
from gateway.mover.stores import COPY_MAX, THREADS, Listed, Store

_MARK = "gateway-copy-of"


def move_objects(source: ObjectPlace, place: ObjectPlace, meter: Meter) -> None:
    """Make the objects of a place those of another one, with what is kept beside their bytes."""
    one_store = (source.endpoint, source.region, source.keys) == (place.endpoint, place.region, place.keys)
    _Copying(Store(source, SOURCE), Store(place, DESTINATION), meter, one_store=one_store).run()


class _Copying:
    def __init__(self, source: Store, store: Store, meter: Meter, *, one_store: bool) -> None:
        self._source = source
        self._store = store
        self._meter = meter
        self._one_store = one_store

    def run(self) -> None:
        """Copy what differs, remove what has to go."""
        rows = aligned(
            (self._source.listed(), lambda one: one.key.encode()),
            (self._store.listed(), lambda one: one.key.encode()),
            (iter(()), lambda _nothing: b""),
            end="store",
        )
        with lanes(THREADS, _ignore) as made:
            for wanted, there, _ in rows:
                self._settle(made, wanted, there)

    def _settle(self, made: Lanes[None], wanted: Listed | None, there: Listed | None) -> None:
        if wanted is not None and (there is None or (there.size, there.etag) != (wanted.size, wanted.etag)):
            made.ask(lambda: self._copy(wanted, there))
        elif wanted is None and there is not None:
            made.ask(lambda: self._store.remove((there.key,)))

    def _copy(self, wanted: Listed, there: Listed | None) -> None:
        """Copy an object, unless what is there is a copy of it; in a thread."""
        key = wanted.key
        if there is not None and there.size == wanted.size:
            kept = self._store.about(key).get("Metadata", {})
            if kept.get(_MARK) == wanted.etag:
                return
        about = self._source.about(key)
        about["Metadata"] = {**about.get("Metadata", {}), _MARK: wanted.etag}
        if self._one_store and wanted.size <= COPY_MAX:
            self._store.copy(self._source, key, wanted.size, about, self._meter)
        else:
            with closing(self._source.open(key)) as body:
                left = wanted.size

                def read(_offset: int, count: int) -> bytes:
                    nonlocal left
                    with self._source.asked():
                        data = body.read(min(count, left))
                    left -= len(data)
                    if len(data) < count:
                        raise Unavailable(what=SOURCE, reason="an object of it is shorter than it was")
                    return data

                self._store.put(key, read, wanted.size, self._meter, about=about)
        self._meter.passed("object.copied")
        self._meter.file()


def _ignore(_done: None) -> None:
    """Nobody waits for a copy."""
