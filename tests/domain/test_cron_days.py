"""The days of crons: last days, nearest weekdays and n-th weekdays, beside plain ones."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from itertools import takewhile

import pytest
from dateutil.rrule import FR, MO, MONTHLY, SA, SU, TH, TU, WE, rrule
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.cron import parse
from chalicelib.domain.cron_days import _midnights, first_day
from chalicelib.domain.errors import InvalidInput
from tests.domain.cron_oracle import names_day
from tests.domain.test_cron import CASES, random_parse, utc
from tests.soak import IS_SOAK

YEARS = 400 if IS_SOAK else 8
WEEKDAYS = (SU, MO, TU, WE, TH, FR, SA)
NAMES = "SUN MON TUE WED THU FRI SAT".split()


def days_of(cron: str, first: date, count: int) -> list[date]:
    """Return the days, of so many from the first, on which a cron runs."""
    last = first + timedelta(days=count)
    return list(takewhile(lambda day: day < last, parse(cron).days_from(first)))


def test_a_cron_runs_on_the_days_that_its_fields_name() -> None:
    dice, found = random.Random(7), 0
    for _ in range(CASES // 40):
        cron = random_parse(dice, "UTC")
        # 2100 is no leap year.
        start = date(2026, 1, 1) + timedelta(days=dice.randrange(365 * 76))
        span = [start + timedelta(days=ahead) for ahead in range(800)]
        expected = [day for day in span if names_day(cron.expression, day)]
        assert list(takewhile(span[-1].__ge__, cron.days_from(start))) == expected, cron
        found += len(expected)
    assert found > CASES // 40 * 50


def test_threads_that_ask_for_the_same_cron_do_not_disturb_each_other() -> None:
    cron = parse("0 0 13 * 5")
    starts = [utc("2026-01-01") + timedelta(days=7 * week) for week in range(2_000)]
    random.Random(8).shuffle(starts)
    expected = [cron.next_after(start) for start in starts]
    first_day.cache_clear()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(cron.next_after, starts))
    finally:
        sys.setswitchinterval(before)
    assert found == expected


def listed(*items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.one_of(*items), min_size=1, max_size=3).map(",".join)


plain_days = st.integers(1, 31).map(str)
days = listed(
    st.sampled_from(("L", "LW", "*", "*/2", "*/31")),
    plain_days,
    st.builds("{}W".format, plain_days),
    st.builds("L-{}".format, st.integers(1, 30)),
)
weekday = st.integers(0, 7).map(str) | st.sampled_from(NAMES)
weekdays = listed(
    st.sampled_from(("*", "*/4", "1-5")),
    weekday,
    st.builds("{}L".format, weekday),
    st.builds("{}#{}".format, weekday, st.integers(1, 5)),
)
months = st.sampled_from(("*", "*", "2", "2,4", "6-9", "1,3,12"))


@settings(max_examples=20_000 if IS_SOAK else 30, database=None)
@given(
    st.builds("0 9 {} {} {}".format, days, months, weekdays),
    # 2100 is no leap year.
    st.dates(date(2026, 1, 1), date(2102, 1, 1)),
)
def test_a_cron_of_all_words_runs_on_the_days_that_they_name(cron: str, first: date) -> None:
    span = [first + timedelta(days=ahead) for ahead in range(500)]
    expected = [day for day in span if names_day(cron, day)]
    try:
        assert days_of(cron, first, len(span)) == expected
    except InvalidInput as error:
        assert "never fires" in str(error)
        assert expected == []


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        *((f"L-{before}", {"bymonthday": -before - 1}) for before in (1, 3, 27, 30)),
        ("L", {"bymonthday": -1}),
        ("1,15,L", {"bymonthday": (1, 15, -1)}),
        ("LW", {"byweekday": (MO, TU, WE, TH, FR), "bysetpos": -1}),
    ],
)
def test_the_last_days_are_those_of_dateutil(field: str, rule: dict[str, object]) -> None:
    assert days_of(f"0 9 {field} * *", START, YEARS * 365) == of_dateutil(rule)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, -1])
@pytest.mark.parametrize("weekday", range(7))
def test_the_nth_weekdays_are_those_of_dateutil(weekday: int, number: int) -> None:
    word = "L" if number < 0 else f"#{number}"
    named = f"{weekday or 7}{word}" if number % 2 else f"{NAMES[weekday]}{word}"
    expected = of_dateutil({"byweekday": WEEKDAYS[weekday](number)})
    assert days_of(f"0 9 * * {named}", START, YEARS * 365) == expected


START = date(2026, 1, 1)


def of_dateutil(rule: dict[str, object]) -> list[date]:
    begin = datetime(START.year, START.month, START.day)  # noqa: DTZ001  days have no zone
    last = begin + timedelta(days=YEARS * 365 - 1)
    return [at.date() for at in rrule(MONTHLY, dtstart=begin, until=last, **rule)]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        # 1 August 2026 is a Saturday, 31 May and 1 November are Sundays.
        ("0 0 1W 8 *", ["2026-08-03"]),
        ("0 0 1W 11 *", ["2026-11-02"]),
        ("0 0 31W 5 *", ["2026-05-29"]),
        ("0 0 15W 8,11 *", ["2026-08-14", "2026-11-16"]),
        # A month without a 31st has no weekday that is nearest to it.
        ("0 0 31W * *", ["2026-01-30", "2026-03-31", "2026-05-29", "2026-07-31"]),
        ("0 0 29W 2 *", ["2028-02-29", "2032-02-27"]),
        ("0 0 LW * *", ["2026-01-30", "2026-02-27", "2026-03-31", "2026-04-30", "2026-05-29"]),
        ("0 0 L 2 *", ["2026-02-28", "2027-02-28", "2028-02-29"]),
        ("0 0 L-28 2 *", ["2028-02-01", "2032-02-01"]),
        # After 2088 forty years pass, since 2100 is no leap year.
        ("0 0 L-28 2 */7", ["2032-02-01", "2060-02-01", "2088-02-01", "2128-02-01"]),
        ("0 0 * * 1#5", ["2026-03-30", "2026-06-29", "2026-08-31"]),
        ("0 0 * 2 1#5", ["2044-02-29", "2072-02-29", "2112-02-29"]),
        # Either day will do, unless one of them begins with a star.
        ("0 0 L * 5L", ["2026-01-30", "2026-01-31", "2026-02-27", "2026-02-28", "2026-03-27"]),
        ("0 0 */2 * friL", ["2026-02-27", "2026-03-27", "2026-05-29", "2026-07-31"]),
        ("0 0 L * */7", ["2026-05-31", "2027-01-31", "2027-02-28"]),
    ],
)
def test_words_name_days(cron: str, expected: list[str]) -> None:
    found = parse(cron).days_from(START)
    assert [f"{next(found)}" for _ in expected] == expected


@pytest.mark.parametrize(
    ("cron", "is_engine"),
    [
        ("0 0 1,15,L * *", True),
        ("0 0 L * 1", True),
        ("0 0 * * 5L,1#2", True),
        ("0 0 15W * *", False),
        ("0 0 L-1 * *", False),
        ("0 0 LW * *", False),
        ("0 0 * * 1,5L", False),
        ("0 0 1 * 5L", False),
    ],
)
def test_croniter_finds_the_days_wherever_it_has_the_words(cron: str, is_engine: bool) -> None:
    assert (_midnights(cron) is not None) == is_engine
