"""When schedules are due: compared with an oracle that looks at every minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import errors
from gateway.core.recurrence import (
    PERIOD_MAX,
    Cron,
    Daily,
    Monthly,
    Periodic,
    Recurrence,
    Weekly,
    as_cron,
    canonical_name,
    checked,
    latest_due,
)

MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def some(low: int, high: int, least: int = 0) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(low, high), min_size=least, max_size=4, unique=True).map(lambda n: tuple(sorted(n)))


HOURS, MINUTES = st.integers(0, 23), st.integers(0, 59)
PERIODS = st.builds(Periodic, st.integers(1, 120).map(lambda n: n * 60) | st.sampled_from([86_400, 604_800, 5_400]))
CALENDARS = (
    st.builds(Daily, HOURS, MINUTES)
    | st.builds(Weekly, st.integers(0, 6), HOURS, MINUTES)
    | st.builds(Monthly, st.integers(1, 31), HOURS, MINUTES)
    | st.builds(
        Cron,
        some(0, 59, 1),
        some(0, 23),
        some(1, 31) | st.sampled_from([(29,), (31,), (28, 29)]),
        some(1, 12) | st.just((2,)),
        some(0, 6),
    )
)
ENDS = st.timedeltas(timedelta(days=10_900), timedelta(days=47_850)).map(lambda span: EPOCH + span) | st.sampled_from(
    [datetime(year, 3, 1, 0, minute, tzinfo=UTC) for year in (2000, 2023, 2024, 2100) for minute in (0, 1)]
)


def is_due(recurrence: Recurrence, minute: datetime) -> bool:
    """Say it in the words of the documentation, without arithmetic of months."""
    weekday = minute.isoweekday() % 7
    match recurrence:
        case Periodic(seconds):
            return (minute - EPOCH).total_seconds() % seconds == 0
        case Daily(hour, on):
            return (minute.hour, minute.minute) == (hour, on)
        case Weekly(day, hour, on):
            return (weekday, minute.hour, minute.minute) == (day, hour, on)
        case Monthly(day, hour, on):
            return (minute.day, minute.hour, minute.minute) == (day, hour, on)
        case Cron(minutes, hours, days, months, weekdays):
            named = minute.day in days or weekday in weekdays or not (days or weekdays)
            return (
                minute.minute in minutes
                and minute.hour in (hours or range(24))
                and minute.month in (months or range(1, 13))
                and named
            )


def naive(recurrence: Recurrence, after: datetime, until: datetime) -> datetime | None:
    minute = until.replace(second=0, microsecond=0)
    while minute > after:
        if is_due(recurrence, minute):
            return minute
        minute -= MINUTE
    return None


@settings(deadline=None)
@given(CALENDARS | PERIODS, ENDS, st.timedeltas(timedelta(0), timedelta(days=4)))
def test_a_few_days_minute_by_minute(recurrence: Recurrence, until: datetime, span: timedelta) -> None:
    assert latest_due(recurrence, until - span, until) == naive(recurrence, until - span, until)


@settings(deadline=None)
@given(CALENDARS, ENDS)
def test_nothing_is_due_between_the_found_instant_and_the_end(recurrence: Recurrence, until: datetime) -> None:
    """Over months it would take too long to look at every minute: look at every day instead."""
    after = until - timedelta(days=500)
    found = latest_due(recurrence, after, until)
    if found is not None:
        assert is_due(recurrence, found)
        assert latest_due(recurrence, found - MINUTE, found) == found
    cron = as_cron(recurrence)
    assert cron is not None
    times = [(hour, minute) for hour in cron.hours or range(24) for minute in cron.minutes]
    day = (after if found is None else found).date()
    while day <= until.date():
        for hour, minute in times:
            instant = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
            if (found or after) < instant <= until:
                assert not is_due(recurrence, instant)
        day += timedelta(days=1)


@settings(deadline=None)
@given(CALENDARS | PERIODS, ENDS, st.timedeltas(timedelta(0), timedelta(days=800)))
def test_the_interval_is_open_at_its_beginning(recurrence: Recurrence, until: datetime, span: timedelta) -> None:
    found = latest_due(recurrence, until - span, until)
    if found is not None:
        assert latest_due(recurrence, found, until) is None
        assert latest_due(recurrence, until - span, found) == found


@pytest.mark.parametrize(
    ("recurrence", "until", "expected"),
    [
        (Monthly(31, 0, 20), at("2023-04-30 23:59"), at("2023-03-31 00:20")),
        (Monthly(29, 0, 0), at("2024-03-15 00:00"), at("2024-02-29 00:00")),
        (Monthly(29, 0, 0), at("2023-03-15 00:00"), at("2023-01-29 00:00")),
        (Cron((0,), (0,), (29,), (2,)), at("2103-01-01 00:00"), at("2096-02-29 00:00")),
        (Cron((0,), (0,), (13,), (), (5,)), at("2026-02-14 00:00"), at("2026-02-13 00:00")),
        (Cron((0,), (0,), (13,), (), (5,)), at("2026-02-12 00:00"), at("2026-02-06 00:00")),
        (Weekly(0, 0, 15), at("2026-03-07 00:00"), at("2026-03-01 00:15")),
        (Periodic(90), at("2026-01-01 00:01"), at("2026-01-01 00:00")),
        (Periodic(90), at("2026-01-01 00:01:30"), at("2026-01-01 00:01:30")),
    ],
)
def test_known_instants(recurrence: Recurrence, until: datetime, expected: datetime) -> None:
    found = latest_due(recurrence, EPOCH, until)
    assert found == expected


def test_zones_do_not_matter() -> None:
    until = datetime(2026, 1, 1, 1, 5, tzinfo=timezone(timedelta(hours=2)))
    found = latest_due(Daily(22, 30), until - timedelta(days=1), until)
    assert found == datetime(2025, 12, 31, 22, 30, tzinfo=UTC)
    assert found.tzinfo is UTC


@settings(deadline=None)
@given(CALENDARS | PERIODS)
def test_the_name_tells_the_content(recurrence: Recurrence) -> None:
    name = canonical_name(recurrence)
    assert "/" not in name
    assert len(name) < 40
    restored = msgspec.json.decode(msgspec.json.encode(recurrence), type=Recurrence)
    assert restored == recurrence
    assert canonical_name(restored) == name


def test_names_are_readable() -> None:
    assert canonical_name(Daily(12, 5)) == "daily@12:05"
    assert canonical_name(Weekly(1, 0, 30)) == "weekly@monday-00:30"
    assert canonical_name(Monthly(3, 4, 5)) == "monthly@03-04:05"
    assert canonical_name(Periodic(900)) == "periodic@900s"
    assert canonical_name(Cron((5,))) != canonical_name(Cron((6,)))


def test_cron_numbers_are_put_in_order() -> None:
    assert checked(Cron((30, 0, 30), (3, 1))) == Cron((0, 30), (1, 3))


@pytest.mark.parametrize(
    ("recurrence", "field"),
    [
        (Periodic(0), "interval"),
        (Periodic(PERIOD_MAX + 1), "interval"),
        (Daily(24, 0), "hour"),
        (Daily(0, 60), "minute"),
        (Weekly(7, 0, 0), "day"),
        (Monthly(0, 0, 0), "day"),
        (Monthly(32, 0, 0), "day"),
        (Cron(()), "cron.minutes"),
        (Cron((60,)), "cron.minutes"),
        (Cron((0,), (24,)), "cron.hours"),
        (Cron((0,), days=(0,)), "cron.days"),
        (Cron((0,), months=(13,)), "cron.months"),
        (Cron((0,), weekdays=(7,)), "cron.weekdays"),
        (Cron((0,), days=(30, 31), months=(2,)), "cron.days"),
        (Cron((0,), days=(31,), months=(4, 6)), "cron.days"),
    ],
)
def test_what_is_never_due_is_refused(recurrence: Recurrence, field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        checked(recurrence)
    assert caught.value.field == field


def test_a_leap_day_is_a_day() -> None:
    assert checked(Cron((0,), days=(29,), months=(2,)))
    assert checked(Cron((0,), days=(31,), months=(2,), weekdays=(0,)))
