"""A trigger as a sentence says what the trigger means, or names its expression."""

from __future__ import annotations

import random
import re
from calendar import monthrange
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from chalicelib.domain.cron import Dst, parse
from chalicelib.domain.interval import Interval
from chalicelib.domain.limits import Limits
from chalicelib.domain.trigger import OneTime, Trigger
from chalicelib.domain.trigger_words import in_words
from tests.domain.cron_oracle import MEANINGS, names_day, numbers
from tests.domain.random_crons import random_cron
from tests.domain.real_crons import REAL_CRONS
from tests.domain.test_cron import random_parse
from tests.soak import IS_SOAK

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = (
    "January February March April May June July August September October November December".split()
)
NTH = ["", "first", "second", "third", "fourth", "fifth"]
PLAIN = [
    f"{minute} {hour} {days}"
    for minute in ("0", "30", "*/15", "0,30", "*", "*/7")
    for hour in ("*", "9", "9-17", "*/6", "8,20", "8-18/2")
    for days in (
        *("L * *", "LW 1,7 *", "15W * *", "* * 5L", "* 2-4 mon#2", "1,L * *", "* * *"),
        *("* * 1-5", "* * 0,6", "1 * *", "31 * *", "1 1 *", "* 3-5 sun", "1-31 * 1", "*/2 * 1"),
    )
]


def listed(text: str) -> list[str]:
    return re.split(r", | and ", text)


def meant_times(words: str) -> set[int]:
    """Return the minutes of the day that a sentence says."""
    if found := re.fullmatch(r"at (.+)", words):
        return {int(at[:2]) * 60 + int(at[3:]) for at in listed(found[1])}
    if found := re.fullmatch(r"every hour at (.+)", words):
        return {hour * 60 + int(past[1:]) for hour in range(24) for past in listed(found[1])}
    found = re.fullmatch(
        r"every (?:(\d+) )?(minute|hour)s?(?: from (\d\d):(\d\d) to (\d\d):(\d\d))?", words
    )
    assert found, words
    step = int(found[1] or 1) * (60 if found[2] == "hour" else 1)
    first, last = 0, 1_439
    if found[3]:
        first, last = (int(found[at]) * 60 + int(found[at + 1]) for at in (3, 5))
    return set(range(first, last + 1, step))


def is_meant(words: str, day: date) -> bool:
    """Return whether a sentence says a day."""
    if found := re.fullmatch(r"(every .+) in (.+)", words):
        return is_meant(found[1], day) and is_month(found[2], day)
    if words in ("", "every day"):
        return True
    if words == "every weekday":
        return day.weekday() < 5
    if found := re.fullmatch(r"every (.+)", words):
        return DAYS[day.weekday()] in listed(found[1])
    found = re.fullmatch(r"on (.+) of (.+)", words)
    assert found, words
    if found[2] != "each month" and not is_month(found[2], day):
        return False
    return any(is_one(one, day) for one in listed(found[1]))


def is_month(words: str, day: date) -> bool:
    if found := re.fullmatch(r"(\w+) to (\w+)", words):
        return MONTHS.index(found[1]) < day.month <= MONTHS.index(found[2]) + 1
    return MONTHS[day.month - 1] in listed(words)


def is_one(words: str, day: date) -> bool:
    last = monthrange(day.year, day.month)[1]
    weekdays = [at for at in range(1, last + 1) if day.replace(day=at).weekday() < 5]
    if words == "the last day":
        return day.day == last
    if words == "the last weekday":
        return day.day == weekdays[-1]
    if found := re.fullmatch(r"day (\d+)", words):
        return day.day == int(found[1])
    if found := re.fullmatch(r"the weekday nearest to day (\d+)", words):
        wanted = int(found[1])
        return wanted <= last and day.day == min(weekdays, key=lambda at: abs(at - wanted))
    _, nth, name = words.split()
    if DAYS[day.weekday()] != name:
        return False
    return day.day + 7 > last if nth == "last" else (day.day + 6) // 7 == NTH.index(nth)


def test_the_sentence_of_a_cron_says_its_days_and_times() -> None:
    dice, told = random.Random(1), 0
    crons = [*REAL_CRONS, *(cron for cron in PLAIN if dice.random() < (1 if IS_SOAK else 0.15))]
    crons += [random_cron(dice) for _ in range(3_000 if IS_SOAK else 50)]
    for cron in crons:
        trigger = (
            random_parse(dice, "UTC") if cron not in REAL_CRONS and cron not in PLAIN else None
        )
        expression = trigger.expression if trigger else cron
        words = in_words(trigger or parse(expression))
        assert words.endswith(" in UTC")
        words = words.removesuffix(" in UTC")
        if words == f"by the cron {expression}":
            continue
        told += 1
        found = re.fullmatch(r"(.*?) ?((?:at \d|every (?:\d+ )?(?:minute|hour)).*)", words)
        assert found, words
        minutes, hours, *_ = MEANINGS.get(expression, expression).split()
        assert meant_times(found[2]) == {
            hour * 60 + minute
            for hour in numbers(hours, 0, 23)
            for minute in numbers(minutes, 0, 59)
        }, (expression, words)
        start = date(2026, 1, 1) + dice.randrange(700) * timedelta(days=1)
        for ahead in range(400 if IS_SOAK else 45):
            day = start + timedelta(days=ahead)
            assert is_meant(found[1], day) == names_day(expression, day), (expression, words, day)
    assert told > len(crons) / 3


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (OneTime(NOW), "once, on 23 November 2026 at 10:00:00 UTC"),
        (
            Interval(timedelta(seconds=90), NOW),
            "every 90 seconds, from 23 November 2026 at 10:00 in UTC",
        ),
        (
            Interval(
                timedelta(seconds=90),
                datetime(2026, 12, 1, tzinfo=UTC),
                Limits(datetime(2026, 12, 1, 0, 1, 30, tzinfo=UTC)),
            ),
            "every 90 seconds, from 1 December 2026 in UTC, "
            "until 1 December 2026 at 00:01:30 in UTC",
        ),
        # The first second of a day ends its day before, and the last one begins no day.
        (
            replace(
                parse("0 9 * * *", "America/New_York"),
                starts_at=datetime(2026, 12, 2, 4, 59, 59, tzinfo=UTC),
                limits=Limits(datetime(2026, 12, 9, 5, tzinfo=UTC)),
            ),
            "every day at 09:00 in New York, from 1 December 2026 at 23:59:59 in New York, "
            "until 9 December 2026 at 00:00 in New York",
        ),
        # Clocks in Berlin show 02:30 twice then.
        (
            replace(
                parse("0 9 * * *", "Europe/Berlin"),
                starts_at=datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
            ),
            "every day at 09:00 in Berlin, from 25 October 2026 at 01:30 in UTC",
        ),
        (
            replace(
                parse("0 9 * * *", "Atlantic/Azores"),
                starts_at=datetime(2026, 10, 25, 0, 0, tzinfo=UTC),
            ),
            "every day at 09:00 in Azores, from 25 October 2026 in UTC",
        ),
        (
            parse("30 2 * * *", "Europe/Berlin", Dst("next", "both")),
            "every day at 02:30 in Berlin, right after the gap if clocks skip the time, "
            "twice if clocks repeat the time",
        ),
        # What it says of clock changes means nothing to a cron that runs in every hour.
        (
            parse("30 * * * *", "Europe/Berlin", Dst("next", "both")),
            "every hour at :30 in Berlin",
        ),
        (
            replace(
                parse("0 9 * * 1-5", "Europe/Berlin"),
                limits=Limits(
                    datetime(2027, 3, 31, 21, 59, 59, tzinfo=UTC), exclude=("holidays-de",)
                ),
            ),
            "every weekday at 09:00 in Berlin, except holidays-de, until 31 March 2027",
        ),
        (
            replace(
                parse("0 9 * * *", "America/New_York"),
                starts_at=datetime(2026, 12, 1, 5, tzinfo=UTC),
                limits=Limits(None, 3, ("a", "b")),
                spread=600,
            ),
            "every day at 09:00 in New York, except a and b, spread over 10 minutes, "
            "from 1 December 2026, 3 times at most",
        ),
        (replace(parse("@hourly"), spread=60), "every hour in UTC, spread over a minute"),
        (parse("5-59/10 * * * *"), "by the cron 5-59/10 * * * * in UTC"),
        (parse("*/15 * * * *"), "every 15 minutes in UTC"),
        (parse("0 9 * * 0,6"), "every Saturday and Sunday at 09:00 in UTC"),
        (parse("0 9 L 3-5 *"), "on the last day of March to May at 09:00 in UTC"),
    ],
)
def test_the_sentence_of_a_trigger(trigger: Trigger, words: str) -> None:
    assert in_words(trigger) == words
