"""The bytes of a file, or of blocks, that are at the sender's: only what differs from what is here comes over."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator

import msgspec

from gateway.mover.content import PAGE, UNIT, Difference, Identity, Present, checksum
from gateway.mover.far.asking import Answers, Asking, senseless
from gateway.mover.far.words import (
    CHANGED,
    SPAN,
    SUM_MAX,
    UNITS_MAX,
    Check,
    Differing,
    Done,
    File,
    Run,
    Runs,
    Sum,
    Summed,
    Time,
    Want,
    digests,
)

_SPANS_AHEAD = 3
_UNITS_AHEAD = 8
_CHECKS_AHEAD = 2


class Coming(msgspec.Struct, frozen=True):
    """Answers about all of a file that were asked for before its turn, given what was here then."""

    basis: Identity | None
    answers: Answers


class _Filled(msgspec.Struct, frozen=True):
    """The units of a range that are not zeros, and where, after it, there may be more."""

    start: int
    end: int
    units: list[tuple[int, int]]
    after: int | None


class FarContent:
    """See `gateway.mover.content.Content`. `changed`: when it last did; None: nobody knows."""

    def __init__(
        self, asking: Asking, file: File, *, length: int, changed: Time | None = None, coming: Coming | None = None
    ) -> None:
        self._asking = asking
        self._file = file
        self._changed = changed
        self._coming = coming
        self._filled = _Filled(0, 0, [], None)
        self.length = length
        self.distant = True

    def differences(self, present: Present, length: int) -> Iterator[Difference]:
        """See `Content`."""
        coming, self._coming = self._coming, None
        if coming is not None:
            if coming.basis == present.identity and length == self.length:
                yield from self._given(0, length, coming.answers)
                return
            coming.answers.drop()
        offset = 0
        while offset < length:
            start = present.data_from(offset)
            until = length if start is None else min(start // UNIT * UNIT, length)
            if until > offset:
                yield from self._where_nothing_is(offset, until)
            else:
                until = _end_of_data(present, offset, length)
                yield from self._where_something_is(present, offset, until)
            offset = until

    def data_from(self, offset: int) -> int | None:
        """See `Readable`. Asks about many units at a time, and remembers what was said of them."""
        while offset < self.length:
            if not self._filled.start <= offset < self._filled.end:
                self._filled = self._find_filled(offset // UNIT * UNIT)
            filled = self._filled
            found = next((start for start, end in filled.units if end > offset), None)
            if found is not None:
                return max(offset, found)
            if filled.after is None:
                return None
            offset = max(filled.end, filled.after // UNIT * UNIT)
        return None

    def digest(self, offset: int, end: int) -> str:
        """See `Stored`. Empty where it would take long to know; then it is none that anything has."""
        if offset == end:
            return checksum().hexdigest()
        if end - offset > SUM_MAX:
            return ""
        answer = self._asking.ask(Sum(self._file, offset, end)).next()
        if not isinstance(answer, Summed):
            raise senseless()
        return answer.digest

    def read(self, offset: int, count: int) -> bytes:
        """See `Readable`."""
        data = bytearray(count)
        if offset < self.length:
            end = min(offset + count, self.length)
            for run in self._where_nothing_is(offset, end):
                if run.data is not None:
                    data[run.offset - offset : run.offset - offset + run.length] = run.data
        return bytes(data)

    def _where_nothing_is(self, offset: int, until: int) -> Iterator[Difference]:
        """Fetch what is not zeros, several spans at a time; where the source has a hole nothing is asked for."""
        asked: deque[tuple[int, int, Answers]] = deque()
        while offset < until or asked:
            while offset < until and len(asked) < _SPANS_AHEAD:
                end = min(offset + SPAN, until)
                asked.append((offset, end, self._want(offset, end, b"")))
                offset = end
            done = yield from self._given(*asked.popleft())
            if done.data_from is None:
                break
            offset = max(offset, min(done.data_from // UNIT * UNIT, until))
        for _, _, answers in asked:
            answers.drop()

    def _where_something_is(self, present: Present, offset: int, until: int) -> Iterator[Difference]:
        """Compare: units first, then the pages of those that differ."""
        if until - offset <= UNIT:
            yield from self._pages(present, [(offset, until)])
            return
        asked: deque[tuple[int, int, Answers]] = deque()
        for start in range(offset, until, UNITS_MAX * UNIT):
            end = min(start + UNITS_MAX * UNIT, until)
            known = b"".join(
                next(digests(present.read(at, min(UNIT, end - at)), UNIT, self._asking.key))
                for at in range(start, end, UNIT)
            )
            asked.append((start, end, self._asking.ask(Check(self._file, start, end, known))))
            if len(asked) == _CHECKS_AHEAD:
                yield from self._pages(present, _differing(*asked.popleft()))
        while asked:
            yield from self._pages(present, _differing(*asked.popleft()))

    def _pages(self, present: Present, units: list[tuple[int, int]]) -> Iterator[Difference]:
        asked: deque[tuple[int, int, Answers]] = deque()
        for start, end in units:
            known = b"".join(digests(present.read(start, end - start), PAGE, self._asking.key))
            asked.append((start, end, self._want(start, end, known)))
            if len(asked) == _UNITS_AHEAD:
                yield from self._given(*asked.popleft())
        while asked:
            yield from self._given(*asked.popleft())

    def _find_filled(self, start: int) -> _Filled:
        end = min(start + UNITS_MAX * UNIT, self.length)
        zeros = next(digests(bytes(UNIT), UNIT, self._asking.key)) * ((end - start) // UNIT)
        if (end - start) % UNIT:
            zeros += next(digests(bytes((end - start) % UNIT), UNIT, self._asking.key))
        check = self._asking.ask(Check(self._file, start, end, zeros))
        page = (end - 1) // PAGE * PAGE
        after = self._given(page, end, self._want(page, end, b""))
        return _Filled(start, end, _differing(start, end, check), _outcome(after).data_from)

    def _want(self, start: int, end: int, known: bytes) -> Answers:
        return self._asking.ask(Want(self._file, start, end, known))

    def _given(self, start: int, end: int, answers: Answers) -> Generator[Difference, None, Done]:
        """Yield what comes for a range, as far as that can be."""
        position = start
        while not isinstance(answer := answers.next(), Done):
            if not isinstance(answer, Runs):
                raise senseless()
            for run in answer.runs:
                if not _lies(run, position, end):
                    raise senseless()
                position = run.offset + run.length
                yield Difference(run.offset, run.length, run.data)
        if answer.size != self.length or self._changed not in (None, answer.changed):
            raise CHANGED
        return answer


def _outcome(given: Generator[Difference, None, Done]) -> Done:
    """Give how it ends."""
    while True:
        try:
            next(given)
        except StopIteration as ended:
            done: Done = ended.value
            return done


def _end_of_data(present: Present, offset: int, length: int) -> int:
    """Give where the units end that have something in them, of those from an offset on."""
    end = offset
    while end < length and (start := present.data_from(end)) is not None and start < end + UNIT:
        end = min(end + UNIT, length)
    return end


def _differing(start: int, end: int, answers: Answers) -> list[tuple[int, int]]:
    """Give the ranges of the units that differ."""
    answer = answers.next()
    if not isinstance(answer, Differing):
        raise senseless()
    units = [(start + number * UNIT, min(start + (number + 1) * UNIT, end)) for number in answer.units]
    if sorted(set(answer.units)) != answer.units or not all(start <= first < last for first, last in units):
        raise senseless()
    return units


def _lies(run: Run, start: int, end: int) -> bool:
    """Tell whether a run can be what comes next in a range."""
    inside = start <= run.offset and run.length > 0 and run.offset + run.length <= end
    return (inside and run.data is None) or (inside and run.data is not None and len(run.data) == run.length)
