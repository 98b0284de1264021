"""The text of snapshot schedules: every form, policies put in and taken out, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import InvalidArgument
from gateway.frontends.openstorage.spec import (
    POLICY_DAY_MAX,
    Daily,
    Interval,
    Monthly,
    Periodic,
    Schedule,
    Weekday,
    Weekly,
    apply_policies,
    check_interval,
    parse_list,
    parse_schedule,
    render_list,
    render_schedule,
)

MONDAY = Weekday.MONDAY


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("periodic=10", Periodic(seconds=600, retain=5)),
        ("periodic=10,5", Periodic(seconds=600, retain=5)),
        ("periodic=1,1", Periodic(seconds=60, retain=1)),
        ("daily=10:43,5", Daily(hour=10, minute=43, retain=5)),
        ("daily=@10:43", Daily(hour=10, minute=43, retain=7)),
        ("daily=9", Daily(hour=9, retain=7)),
        ("daily=@23:59", Daily(hour=23, minute=59, retain=7)),
        ("daily=@", Daily()),
        ("weekly=monday@10:52,5", Weekly(weekday=MONDAY, hour=10, minute=52, retain=5)),
        ("weekly=Monday", Weekly(weekday=MONDAY, retain=5)),
        ("weekly=MONDAY@7", Weekly(weekday=MONDAY, hour=7, retain=5)),
        ("weekly=@12:00", Weekly(weekday=Weekday.SUNDAY, hour=12, retain=5)),
        ("weekly=saturday,3", Weekly(weekday=Weekday.SATURDAY, retain=3)),
        ("monthly=10@13:30,5", Monthly(day=10, hour=13, minute=30, retain=5)),
        ("monthly=31", Monthly(day=31, retain=12)),
        ("monthly=0@1", Monthly(day=1, hour=1, retain=12)),
    ],
)
def test_written_intervals(text, interval):
    assert parse_schedule(text) == Schedule(intervals=(interval,))
    assert isinstance(interval, Daily | Periodic | Monthly) or isinstance(interval.weekday, Weekday)


@pytest.mark.parametrize(
    ("text", "intervals"),
    [
        ("- freq: periodic\n  period: 3600000000000\n", [Periodic(seconds=3600, retain=5)]),
        ("- freq: daily\n  hour: 12\n  minute: 30\n  retain: 2\n", [Daily(hour=12, minute=30, retain=2)]),
        ("- freq: daily\n  retain: 0\n", [Daily(retain=7)]),
        ("- freq: weekly\n  weekday: 5\n  hour: 14", [Weekly(weekday=Weekday.FRIDAY, hour=14, retain=5)]),
        ("- freq: monthly\n  day: 10\n- freq: monthly\n", [Monthly(day=10, retain=12), Monthly(retain=12)]),
        ("- freq: monthly\n  day: 0\n", [Monthly(day=1)]),
        ("[{freq: periodic, period: 90000000000}]", [Periodic(seconds=90, retain=5)]),
        ('[{"freq": "daily", "hour": 3}]', [Daily(hour=3)]),
        ("[]", []),
    ],
)
def test_listed_intervals(text, intervals):
    assert parse_schedule(text) == Schedule(intervals=tuple(intervals))
    assert parse_list(text, field="x") == tuple(intervals)


@pytest.mark.parametrize(
    ("text", "policies"),
    [
        ("policy=p", ("p",)),
        ("policy=p1,p2,x_3", ("p1", "p2", "x_3")),
        ("policy=mypolicy-123", ("mypolicy-123",)),
        ("policy=a;policy=b", ("a", "b")),
        ("policy=a;policy=b,a", ("a", "b")),
        (" policy=a, b ;", ("a", "b")),
        ("policy=my policy", ("my policy",)),
    ],
)
def test_policies(text, policies):
    assert parse_schedule(text) == Schedule(policies=policies)


def test_parts_together():
    text = "periodic=60,10;policy=p1;- freq: daily\n  hour: 1\n;weekly=friday@18:00;policy=p2;;"
    assert parse_schedule(text) == Schedule(
        policies=("p1", "p2"),
        intervals=(
            Periodic(seconds=3600, retain=10),
            Daily(hour=1),
            Weekly(weekday=Weekday.FRIDAY, hour=18),
        ),
    )


@pytest.mark.parametrize("text", ["", " ", ";", ";;\n;"])
def test_nothing_is_a_schedule_without_anything(text):
    assert parse_schedule(text) == Schedule()


BAD_WHEN = {
    "daily": ["", "10.15", "10.15,a", "10.15,", ",a", ",5", ",", "24", "12:60", "12:30:00", "foo@12", "@@1", "9,"],
    "weekly": ["", "x", ",5", ",a5", "a,5", "Mon,5", "monday@1.4,5", "monday@1,5.5", "monday@24:00", "monday@1@2"],
    "monthly": ["", "x", ",5", "a,5", "10,", "10.4@", "10@1.2", "10@1,4.5", "10,1.1", "40@", "50", "@11,55", "32"],
    "periodic": ["", ",", "x", ",x", "x,", "10.4", "10.4,a", "10,a", "10,4.4", "1.2,5", "0", "-5", "9" * 19, "9" * 30],
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        *(f"{kind}={when}" for kind, whens in BAD_WHEN.items() for when in whens),
        "daily=12,0",
        "daily=12,-1",
        "daily=12,5,6",
        "daily=12,4294967296",
        "daily=12=5",
        "daily",
        "hourly=1",
        "Daily=12",
        "daily @12:30,keep last 5",
        "policy",
        "policy=",
        "policy=a,",
        "policy=,",
        "policy=---",
        "policy=a=b",
        "policies=a",
        "policy=a\x00",
        "x" * 5000,
        "- freq: hourly",
        "- freq: [daily]",
        "- hour: 1",
        "- freq: daily\n  hour: 24",
        "- freq: daily\n  hour: -1",
        "- freq: daily\n  minute: 60",
        "- freq: daily\n  hour: true",
        "- freq: daily\n  hour: '1'",
        "- freq: daily\n  hour: 1.0",
        "- freq: daily\n  hour: null",
        "- freq: daily\n  retain: -1",
        "- freq: daily\n  weekday: 1",
        "- freq: daily\n  hour: 1\n  hour: 2",
        "- freq: daily\n  hours: 1",
        "- freq: daily\n  1: 1",
        "- freq: weekly\n  weekday: 7",
        "- freq: monthly\n  day: 32",
        "- freq: periodic",
        "- freq: periodic\n  period: 1500000000",
        "- freq: periodic\n  period: -60000000000",
        "- freq: periodic\n  period: 0x" + "f" * 3000,
        "- freq: periodic\n  period: " + "9" * 3000,
        "- freq: &a daily\n  hour: 1\n- freq: *a",
        "- 1",
        "- ",
        "[",
        "[[[[[[[[[[]]]]]]]]]]",
        "-" * 1500,
        "- " * 1500,
        "[" * 1500,
        "- !!python/object/apply:os.getcwd []",
        "- 2020-99-99",
        "- \x00",
    ],
)
def test_what_is_no_schedule_is_refused(text):
    with pytest.raises(InvalidArgument) as caught:
        parse_schedule(text)
    assert caught.value.field == "snapshot_schedule"
    assert caught.value.reason
    assert len(str(caught.value)) < 600


def test_the_nearest_type_is_offered():
    with pytest.raises(InvalidArgument, match="did you mean 'weekly'"):
        parse_schedule("weekley=monday")
    with pytest.raises(InvalidArgument, match="did you mean 'minute'"):
        parse_schedule("- freq: daily\n  minutes: 1")


def test_the_field_is_the_callers():
    with pytest.raises(InvalidArgument) as caught:
        parse_schedule("daily=24", field="snap_schedule")
    assert caught.value.field == "snap_schedule"


@pytest.mark.parametrize(
    ("text", "names", "result"),
    [
        ("", ["P"], "policy=P"),
        ("", ["a", "b"], "policy=a,b"),
        ("", ["a", "b", "a"], "policy=a,b"),
        ("", [], ""),
        ("policy=old", ["new"], "policy=new"),
        ("policy=old", [], ""),
        ("policy=a;policy=b", ["c"], "policy=c"),
        ("daily=12:30,5", ["p1"], "policy=p1;daily=12:30,5"),
        ("policy=x;daily=12:30,5;policy=y;periodic=60", ["p1"], "policy=p1;daily=12:30,5;periodic=60"),
        ("policy=x;daily=12:30,5", [], "daily=12:30,5"),
        ("- freq: daily\n  hour: 1\n;policy=x", ["p"], "policy=p;- freq: daily\n  hour: 1\n"),
        (";; daily=9 ;", ["p"], "policy=p; daily=9 "),
    ],
)
def test_policies_are_replaced_and_intervals_keep_their_text(text, names, result):
    assert apply_policies(text, names) == result
    assert apply_policies(result, names) == result, "doing it again changes nothing"


def test_policies_cannot_be_applied_to_a_text_that_cannot_be_read():
    with pytest.raises(InvalidArgument) as caught:
        apply_policies("daily @12:30,keep last 5", ["p"])
    assert caught.value.field == "snapshot_schedule"


@pytest.mark.parametrize("name", ["", "---", "a,b", "a;b", "a=b", " a", "a\n", "a\x1f"])
def test_a_name_that_the_text_cannot_hold_is_refused(name):
    with pytest.raises(InvalidArgument) as caught:
        apply_policies("", [name])
    assert caught.value.field == "policy_names"


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (Schedule(), ""),
        (Schedule(policies=("a", "b")), "policy=a,b"),
        (
            Schedule(policies=("a",), intervals=(Daily(hour=1, minute=5), Weekly(weekday=MONDAY), Monthly(day=3))),
            "policy=a;daily=@01:05,7;weekly=Monday@00:00,5;monthly=3@00:00,12",
        ),
        (Schedule(intervals=(Periodic(seconds=3600, retain=2),)), "periodic=60,2"),
        (Schedule(intervals=(Periodic(seconds=90),)), "[{freq: periodic, period: 90000000000, retain: 5}]"),
    ],
)
def test_schedules_as_text(schedule, text):
    assert render_schedule(schedule) == text
    assert parse_schedule(text) == schedule


def test_intervals_as_they_are_stored():
    text = render_list([Periodic(seconds=60), Weekly(weekday=MONDAY, hour=3)])
    assert text == (
        "- freq: periodic\n  period: 60000000000\n  retain: 5\n"
        "- freq: weekly\n  weekday: 1\n  hour: 3\n  minute: 0\n  retain: 5\n"
    )
    assert render_list([]) == ""


@pytest.mark.parametrize(
    ("interval", "wrong"),
    [
        (Daily(hour=24), "hour"),
        (Daily(hour=-1), "hour"),
        (Daily(minute=60), "minute"),
        (Daily(retain=0), "retain"),
        (Weekly(retain=-1), "retain"),
        (Monthly(day=0), "day"),
        (Monthly(day=29), "day"),
        (Periodic(seconds=0), "seconds"),
        (Periodic(seconds=2**63), "seconds"),
    ],
)
def test_numbers_out_of_range_are_refused(interval, wrong):
    with pytest.raises(InvalidArgument, match=wrong) as caught:
        check_interval(interval, field="schedules", day_max=POLICY_DAY_MAX)
    assert caught.value.field == "schedules"


@pytest.mark.parametrize(
    "interval", [Daily(), Weekly(), Monthly(day=28), Periodic(seconds=1), Daily(hour=23, minute=59)]
)
def test_numbers_in_range_pass(interval):
    assert check_interval(interval, field="schedules", day_max=POLICY_DAY_MAX) is interval


def test_intervals_are_records_that_can_be_stored():
    for interval in (Daily(), Weekly(), Monthly(), Periodic(seconds=1)):
        assert msgspec.json.decode(msgspec.json.encode(interval), type=Interval) == interval


HOURS, MINUTES, RETAINS = st.integers(0, 23), st.integers(0, 59), st.integers(1, 2**32 - 1)
INTERVALS = (
    st.builds(Periodic, seconds=st.integers(1, 2**63 // 10**9), retain=RETAINS)
    | st.builds(Periodic, seconds=st.integers(1, 10**6).map(lambda n: n * 60), retain=RETAINS)
    | st.builds(Daily, hour=HOURS, minute=MINUTES, retain=RETAINS)
    | st.builds(Weekly, weekday=st.sampled_from(Weekday), hour=HOURS, minute=MINUTES, retain=RETAINS)
    | st.builds(Monthly, day=st.integers(1, 31), hour=HOURS, minute=MINUTES, retain=RETAINS)
)
NAMES = st.lists(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.:@#-]{0,8}", fullmatch=True), max_size=4, unique=True)
SCHEDULES = st.builds(
    Schedule, policies=NAMES.map(tuple), intervals=st.lists(INTERVALS, max_size=4).map(tuple)
)  # fmt: skip


@settings(deadline=None)
@given(SCHEDULES)
def test_what_is_written_is_read_as_the_same(schedule):
    assert parse_schedule(render_schedule(schedule)) == schedule
    assert parse_schedule(render_list(schedule.intervals)).intervals == schedule.intervals


@settings(deadline=None)
@given(SCHEDULES, NAMES)
def test_applied_policies_are_read_back(schedule, names):
    text = apply_policies(render_schedule(schedule), names)
    assert parse_schedule(text) == Schedule(policies=tuple(names), intervals=schedule.intervals)
    assert apply_policies(text, schedule.policies) == render_schedule(schedule)


PIECES = st.sampled_from(
    ["policy=", "daily=", "weekly=", "monthly=", "periodic=", ";", ",", "@", ":", "=", "12", "0", "monday", "- ", "\n",
     "freq: ", "daily", "hour: ", "[", "]", "{", "}", "&a", "*a", "!!", "<<: ", "? ", "|", "'", '"', "#", "\t", "é",
     "\0", "-1", "1e9", "0x1", "2020-01-01", "1:30", "~"]
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(PIECES | st.text(max_size=4), max_size=12).map("".join))
def test_any_text_is_a_schedule_or_refused(text):
    try:
        schedule = parse_schedule(text)
    except InvalidArgument:
        return
    assert parse_schedule(render_schedule(schedule)) == schedule
    assert parse_schedule(apply_policies(text, [])).intervals == schedule.intervals


def test_without_pyyaml_a_list_is_unsupported_and_the_rest_works():
    program = """
import sys
sys.modules["yaml"] = None
from gateway.core.errors import Unsupported
from gateway.frontends.openstorage.spec import DocumentFormat, load_documents, parse_schedule
assert parse_schedule("policy=a;daily=9").policies == ("a",)
for read in (lambda: parse_schedule("- freq: daily"), lambda: load_documents("a: {}", DocumentFormat.YAML)):
    try:
        read()
    except Unsupported as error:
        assert "PyYAML" in error.reason
    else:
        raise AssertionError
"""
    subprocess.run([sys.executable, "-c", program], check=True)
