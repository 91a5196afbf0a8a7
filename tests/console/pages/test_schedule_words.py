"""A schedule in words says what the preview says, or is left to its expression."""

from __future__ import annotations

import random
import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import pytest
from playwright.sync_api import Page

from chalicelib.domain.cron import Cron, parse
from chalicelib.domain.errors import InvalidInput
from tests.acceptance.laptop import Laptop
from tests.console.conftest import ask_module
from tests.domain.random_crons import random_cron
from tests.domain.real_crons import REAL_CRONS

pytestmark = pytest.mark.xdist_group("console")
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
SHORT = [day[:3] for day in DAYS]
MONTHS = (
    "January February March April May June July August September October November December".split()
)
START = datetime(2026, 11, 29, 11, 17, tzinfo=UTC)
COMPARED = 8
# Crons whose fields are plain, as people write them.
PLAIN = [
    f"{minute} {hour} {days}"
    for minute in ("0", "30", "*/15", "0,30", "*", "5-59/10", "*/7")
    for hour in ("*", "9", "9-17", "*/6", "8,20", "22-23", "8-18/2", "1-23/2")
    for days in (
        "L * *",
        "LW 1,7 *",
        "15W * *",
        "* * 5L",
        "* 2-4 mon#2",
        "1,L * *",
        "* * *",
        "* * 1-5",
        "* * 0,6",
        "1 * *",
        "31 * *",
        "1 1 *",
        "* 3-5 sun",
        "1-31 * 1",
    )
]


def test_the_words_of_a_cron_are_those_of_its_preview(page: Page, laptop: Laptop) -> None:
    dice = random.Random(21)
    crons = [*REAL_CRONS, *PLAIN, *(random_cron(dice) for _ in range(150))]
    words = ask_module(page, laptop, "schedule.js", "module.cronWords", crons)
    valid = [(cron, said) for cron, said in zip(crons, words, strict=True) if is_valid(cron)]
    told = [(cron, said) for cron, said in valid if said is not None]
    for cron, said in told:
        assert list(islice(meant(said), COMPARED)) == due(cron), f"{cron} is not {said!r}"
    # Most crons that people write have words.
    real = [cron for cron, said in told if cron in set(REAL_CRONS)]
    assert len(real) > 0.8 * len(set(REAL_CRONS))


def is_valid(cron: str) -> bool:
    try:
        parse(cron)
    except InvalidInput:
        return False
    return True


def due(cron: str) -> list[datetime]:
    found: list[datetime] = []
    at = START
    while len(found) < COMPARED:
        following = Cron(cron, "UTC").next_after(at)
        assert following is not None
        found.append(at := following)
    return found


def meant(words: str) -> Iterator[datetime]:
    """Yield the times after START that a sentence means, as one who has never seen a cron."""
    found = re.fullmatch(r"(.*?) ?((?:at \d|every (?:\d|minute|hour)).*)", words)
    assert found, words
    days, minutes = found[1], minutes_meant(found[2])
    day = START.date()
    while True:
        if is_meant(days, day):
            for minute in minutes:
                at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=minute)
                if at > START:
                    yield at
        day += timedelta(days=1)


def minutes_meant(times: str) -> list[int]:
    """Return the minutes of the day that "at 09:00, 17:00" or "every 2 hours" means."""
    if times.startswith("at "):
        return [minute_of(each) for each in times.removeprefix("at ").split(", ")]
    if found := re.fullmatch(r"every hour at (.+)", times):
        past = [int(each.removeprefix(":")) for each in found[1].split(", ")]
        return [60 * hour + each for hour in range(24) for each in past]
    found = re.fullmatch(r"every (?:(\d+) )?(minute|hour)s?(?: from (\S+) to (\S+))?", times)
    assert found, times
    step = int(found[1] or 1) * (60 if found[2] == "hour" else 1)
    first, last = minute_of(found[3] or "00:00"), minute_of(found[4] or "23:59")
    return list(range(first, last + 1, step))


def minute_of(time: str) -> int:
    hour, minute = time.split(":")
    return 60 * int(hour) + int(minute)


def is_meant(days: str, day: date) -> bool:
    """Return whether a day is one of "weekdays in May", "on day 1 of each month", or the like."""
    if found := re.fullmatch(r"every year on (\d+) (\w+)(?: in leap years)?", days):
        return (day.day, MONTHS[day.month - 1]) == (int(found[1]), found[2])
    if found := re.fullmatch(r"on the (.+) of (.+)", days):
        is_within = found[2] == "each month" or MONTHS[day.month - 1] in listed(found[2], MONTHS)
        return is_within and is_one_of_month(found[1], day)
    if found := re.fullmatch(r"on days? (.+) of (.+)", days):
        named = str(day.day) in listed(found[1], [str(each) for each in range(1, 32)])
        rest = re.sub(r"each month( that has (it|them))?", "", found[2])
        return named and (not rest or MONTHS[day.month - 1] in listed(rest, MONTHS))
    on, _, months = days.partition(" in ")
    if months and MONTHS[day.month - 1] not in listed(months, MONTHS):
        return False
    meaning = {"": DAYS, "daily": DAYS, "weekdays": DAYS[:5], "weekends": DAYS[5:]}
    if on in meaning:
        return DAYS[day.weekday()] in meaning[on]
    if on.removesuffix("s") in DAYS:
        return DAYS[day.weekday()] == on.removesuffix("s")
    return SHORT[day.weekday()] in listed(on, ["Sun", *SHORT])


def is_one_of_month(which: str, day: date) -> bool:
    """Return whether a day is the "last day", "weekday nearest to day 15" or "second Monday"."""
    length = monthrange(day.year, day.month)[1]
    month = [day.replace(day=number) for number in range(1, length + 1)]
    weekdays = [other for other in month if other.weekday() < 5]
    if which == "last day":
        return day == month[-1]
    if which == "last weekday":
        return day == weekdays[-1]
    if found := re.fullmatch(r"weekday nearest to day (\d+)", which):
        return day == min(weekdays, key=lambda other: abs(other.day - int(found[1])))
    nth, name = which.split()
    named = [other for other in month if DAYS[other.weekday()] == name]
    return day == named[{"first": 0, "second": 1, "third": 2, "fourth": 3, "last": -1}[nth]]


def listed(words: str, names: list[str]) -> list[str]:
    if " to " in words:
        first, last = words.split(" to ")
        at = names.index(first)
        return names[at : names.index(last, at) + 1]
    return words.split(", ")


def test_an_interval_and_bounds_are_told_in_words(page: Page, laptop: Laptop) -> None:
    cron = {"cron": "0 9 * * *", "timezone": "UTC", "max_runs": 1}
    every = {"every": 7200, "starts_at": "2026-01-01T00:00:00Z"}
    bounded = {**every, "every": 90, "max_runs": 10}
    triggers = [
        {"type": "cron", "fields": cron},
        {"type": "interval", "fields": every},
        {"type": "interval", "fields": bounded},
    ]
    words = "trigger => module.scheduleWords(trigger, new Date())"
    assert ask_module(page, laptop, "schedule.js", words, triggers) == [
        "daily at 09:00, UTC, once at most",
        "every 2 hours",
        "every 90 seconds, 10 times at most",
    ]


def test_seconds_are_told_exactly_and_instants_by_the_viewer_s_clocks(
    page: Page, laptop: Laptop
) -> None:
    told = {1: "1 s", 90: "1 min 30 s", 3600: "1 h", 90_061: "1 d 1 h 1 min 1 s", 0.5: "0.5 s"}
    words = ask_module(page, laptop, "format.js", "module.seconds", list(told))
    assert words == list(told.values())
    notes = ["from 2030-01-01T07:00:00Z, 3 times", "not 2030-01-01 or 07:00Z"]
    words = ask_module(page, laptop, "format.js", "note => module.readable(note)", notes)
    assert words == ["from Tue, 1 Jan 2030, 07:00:00 UTC, 3 times", notes[1]]


def test_a_run_that_was_not_sent_or_waits_says_why(page: Page, laptop: Laptop) -> None:
    answered = {"number": 1, "outcome": "success", "status_code": 202, "error": None}
    until = "2035-12-25T09:00:00Z"
    told: dict[str, dict[str, object]] = {
        "Skipped: somebody asked for it.": {"status": "skipped", "reason": "asked"},
        "Skipped: it came due on a day of the calendar holidays.": {
            "status": "skipped",
            "reason": "calendar:holidays",
        },
        "Not sent: the job was paused when it came due.": {"status": "missed", "reason": "paused"},
        "Not sent: its flow had no place for it within its misfire grace.": {
            "status": "missed",
            "reason": "misfire",
            "finished_at": "2035-12-25T08:59:58.300Z",
        },
        "Not sent: it was noticed 2 s after its due time, later than the job allows.": {
            "status": "missed",
            "reason": "misfire",
            "finished_at": "2035-12-25T09:00:02.000Z",
        },
        "The target answered 202 and must call back by 09:00, in 1 h.": {
            "status": "waiting",
            "attempts": [answered],
            "deadline": until,
        },
        "The target must call back by 09:00, in 1 h.": {"status": "waiting", "deadline": until},
        "It waits, since its flow sends only so many in a time; it is sent in 1 h.": {
            "status": "queued",
            "waits_for": "rate",
            "next_attempt_at": until,
        },
        "The target did not call back until 09:00 at the last of 2 attempts.": {
            "status": "failed",
            "attempts": [
                answered,
                {**answered, "error": f"the target did not call back until {until}"},
            ],
        },
        f"The target reported a failure by callback: {'x' * 116}…; that is not retried.": {
            "status": "failed",
            "attempts": [
                {**answered, "error": f"the target reported a failure by callback: {'x' * 900}"}
            ],
        },
    }
    runs = [{"attempts": [], "scheduled_time": until, **run} for run in told.values()]
    words = "run => module.why(run, Date.parse('2035-12-25T08:00:00Z'))"
    assert ask_module(page, laptop, "format.js", words, runs) == list(told)
