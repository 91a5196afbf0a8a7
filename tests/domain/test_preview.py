"""Previews of triggers: times and notes."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from time import process_time

import pytest

from chalicelib.domain import time_zones
from chalicelib.domain.calendars import Calendar
from chalicelib.domain.cron import Dst, parse
from chalicelib.domain.exclusion import bound
from chalicelib.domain.limits import Limits
from chalicelib.domain.preview import Preview, preview
from chalicelib.domain.trigger import OneTime
from tests.domain.cron_oracle import MINUTE, ZONES, changes, names_day, place
from tests.domain.test_cron import random_dst, random_parse
from tests.soak import IS_SOAK

# Their clocks do not change from 2026 to 2030.
STILL = {"UTC", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tehran"}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def notes(cron: str, zone: str, after: str, count: int = 100) -> list[str]:
    return list(preview(parse(cron, zone), utc(after), count).notes)


def test_as_many_times_as_asked_come_in_order() -> None:
    cron = parse("*/20 9 * * *", "Europe/Berlin")
    assert [f"{at:%d %H:%M}" for at in preview(cron, utc("2026-01-01"), 4).times] == [
        "01 08:00",
        "01 08:20",
        "01 08:40",
        "02 08:00",
    ]


def test_a_date_comes_once_and_without_notes() -> None:
    trigger = OneTime(utc("2027-03-28 01:30"))
    assert preview(trigger, utc("2027-03-28"), 10).times == (trigger.date,)
    assert preview(trigger, trigger.date, 10).times == ()
    assert preview(trigger, utc("2027-03-28"), 10).notes == ()


@pytest.mark.parametrize(
    ("cron", "zone", "after", "sentence"),
    [
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2027-03-26",
            "On 28 March 2027 the time 02:30 does not exist in Europe/Berlin: no run that day",
        ),
        (
            "30 2,4 * * *",
            "Europe/Berlin",
            "2027-03-26",
            "On 28 March 2027 the time 02:30 does not exist in Europe/Berlin: no run then",
        ),
        (
            "*/15 2 * * *",
            "Europe/Berlin",
            "2027-03-26",
            (
                "On 28 March 2027 the times from 02:00 to 02:45 do not exist in Europe/Berlin: no "
                "run that day"
            ),
        ),
        (
            "*/15 1-3 * * *",
            "Europe/Berlin",
            "2027-03-26",
            (
                "On 28 March 2027 the times from 02:00 to 02:45 do not exist in Europe/Berlin: no "
                "runs then"
            ),
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2027-10-29",
            (
                "On 31 October 2027 the time 02:30 occurs twice in Europe/Berlin: it runs once, "
                "the first time"
            ),
        ),
        (
            "*/15 1-3 * * *",
            "Europe/Berlin",
            "2027-10-29",
            (
                "On 31 October 2027 the times from 02:00 to 02:45 occur twice in Europe/Berlin: "
                "they run once, the first time"
            ),
        ),
        (
            "30 * * * *",
            "Europe/Berlin",
            "2027-10-30",
            "On 31 October 2027 the time 02:30 occurs twice in Europe/Berlin: it runs both times",
        ),
        (
            "*/10 * * * *",
            "Australia/Lord_Howe",
            "2026-04-04 10:00",
            (
                "On 5 April 2026 the times from 01:30 to 01:50 occur twice in Australia/Lord_Howe: "
                "they run both times"
            ),
        ),
        (
            "0 0 * * *",
            "Africa/Cairo",
            "2026-04-22",
            "On 24 April 2026 the time 00:00 does not exist in Africa/Cairo: no run that day",
        ),
    ],
)
def test_a_note_says_what_a_clock_change_does(
    cron: str, zone: str, after: str, sentence: str
) -> None:
    assert notes(cron, zone, after)[:1] == [sentence]


def test_a_note_says_what_was_asked_for_at_a_clock_change() -> None:
    def said(cron: str, zone: str, after: str, dst: Dst) -> tuple[str, ...]:
        return preview(parse(cron, zone, dst), utc(after), 100).notes[:1]

    berlin, spring, autumn = "Europe/Berlin", "2027-03-26", "2027-10-29"
    assert said("*/20 2,3 * * *", berlin, spring, Dst(gap="next")) == (
        "On 28 March 2027 the times from 02:00 to 02:40 do not exist in Europe/Berlin: one run at "
        "03:00 instead",
    )
    assert said("0 9 30 12 *", "Pacific/Apia", "2011-12-01", Dst(gap="next")) == (
        "On 30 December 2011 the time 09:00 does not exist in Pacific/Apia: one run at 00:00 on "
        "31 December instead",
    )
    assert said("30 2 * * *", berlin, autumn, Dst(fold="both")) == (
        "On 31 October 2027 the time 02:30 occurs twice in Europe/Berlin: it runs both times",
    )
    # The next hour follows at once.
    assert said("30 * * * *", berlin, "2027-03-27", Dst("next", "first")) == (
        "On 28 March 2027 the time 02:30 does not exist in Europe/Berlin: no run then",
    )


def test_there_is_no_note_where_nothing_is_touched() -> None:
    assert notes("30 4 * * *", "Europe/Berlin", "2027-01-01", 100) == []
    assert notes("30 2 * * 1-5", "Europe/Berlin", "2027-01-01", 100) == []
    assert notes("30 2 * * *", "Asia/Kolkata", "2027-01-01", 100) == []
    assert notes("* * * * *", "UTC", "2027-03-28", 100) == []


def test_what_lies_before_or_after_the_times_is_not_noted() -> None:
    # The night of the change is over, or the last time shown comes before it.
    assert notes("0 */2 * * *", "Europe/Berlin", "2027-03-28 09:00", 2) == []
    assert notes("0 */2 * * *", "Europe/Berlin", "2027-03-27 22:00", 1) == []
    assert len(notes("0 */2 * * *", "Europe/Berlin", "2027-03-27 22:00", 2)) == 1
    assert notes("30 2 * * *", "Europe/Berlin", "2027-10-31 09:00", 5) == []


def test_what_lies_before_the_start_is_not_noted() -> None:
    starting = replace(parse("30 2 * * *", "Europe/Berlin"), starts_at=utc("2027-10-30"))
    (first, note) = preview(starting, utc("2026-12-01"), 3).notes
    assert first.startswith("From 2027-10-30")
    assert note.startswith("On 31 October 2027")


@pytest.mark.parametrize(
    ("cron", "after", "first"),
    [
        # Each goes on at the end of the gap, or within the hour after it: what was skipped lies
        # before.
        ("0 * * * *", "2027-03-28 00:30", "03:00"),
        ("30 1-3 * * *", "2027-03-28 00:45", "03:30"),
        ("*/30 1-3 * * *", "2027-03-28 00:45", "03:00"),
    ],
)
def test_what_is_skipped_just_before_the_last_time_is_noted(
    cron: str, after: str, first: str
) -> None:
    shown = preview(parse(cron, "Europe/Berlin"), utc(after), 1)
    assert [f"{at.astimezone(time_zones.zone('Europe/Berlin')):%H:%M}" for at in shown.times] == [
        first
    ]
    assert len(shown.notes) == 1
    assert shown.notes[0].startswith("On 28 March 2027 the time")
    # From the end of the gap on it is over.
    assert notes(cron, "Europe/Berlin", "2027-03-28 01:00", 1) == []


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "Pacific/Chatham", "UTC"])
@pytest.mark.parametrize("cron", ["* * * * *", "0 * 31 12 *", "30 23 31 12 *", "0 0 1 1 *"])
@pytest.mark.parametrize(
    "after", ["9999-12-31 23:59", "9999-12-30 09:00", "9998-12-31 08:00", "9954-01-01 00:00"]
)
def test_a_preview_near_the_end_of_time_ends_before_the_year_9999(
    cron: str, zone: str, after: str
) -> None:
    shown = preview(parse(cron, zone), utc(after), 100)
    assert all(at.year < 9999 for at in shown.times)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Nuuk", "Africa/Cairo"])
@pytest.mark.parametrize(
    "cron", ["0 0 29 2 */7", "0 * 29 2 */7", "59 * 31 12 */7", "0 0 1 1 */7", "30 4 29 3 */7"]
)
def test_the_preview_of_a_rare_cron_is_quick(cron: str, zone: str) -> None:
    read, began = parse(cron, zone), process_time()
    assert len(preview(read, utc("2026-11-24"), 100).times) == 100
    assert process_time() - began < 0.4


def test_a_range_is_explained_to_its_end() -> None:
    berlin = "Europe/Berlin"
    daily, spring = parse("30 2 * * *", berlin), utc("2027-03-27 12:00")
    # The skipped time lies within the range, and no time after it.
    assert preview(daily, spring, 10, until=utc("2027-03-28 12:00")) == Preview(
        (),
        (
            "There is no time from 2027-03-27T12:00:01Z until 2027-03-28T12:00:00Z",
            "On 28 March 2027 the time 02:30 does not exist in Europe/Berlin: no run that day",
        ),
    )
    assert preview(daily, spring, 10, until=utc("2027-03-28 00:30")).notes == (
        "There is no time from 2027-03-27T12:00:01Z until 2027-03-28T00:30:00Z",
    )
    # The end of the range is in it.
    last = utc("2027-03-30 00:30")
    assert preview(daily, spring, 10, until=last).times == (utc("2027-03-29 00:30"), last)
    assert preview(daily, spring, 1, until=last).notes[0] == (
        "More times follow until 2027-03-30T00:30:00Z: ask for them after these"
    )
    assert len(preview(daily, spring, 2, until=last).notes) == 1


def test_the_end_of_a_range_is_not_that_of_the_trigger() -> None:
    after, until, no = utc("2027-01-01"), utc("2027-01-03"), "The last of these times"
    ending = [replace(parse("0 9 * * *"), limits=Limits(end)) for end in (until, until + MINUTE)]
    assert [no in str(preview(one, after, 10, until=until).notes) for one in ending] == [
        True,
        False,
    ]
    twice = replace(parse("0 9 * * *"), limits=Limits(None, 2))
    assert no in str(preview(twice, after, 10, until=utc("2027-02-01")).notes)
    assert "More times" not in str(preview(twice, after, 10, until=utc("2027-02-01")).notes)
    assert no not in str(preview(twice, after, 10, until=utc("2027-01-02")).notes)


def test_a_range_shows_what_is_left_after_more_than_ten_excluded_years() -> None:
    years, after = ((date(2000, 1, 1), date(2015, 12, 31)),), utc("2000-01-01")
    calendar = Calendar("tenant", "closed", "UTC", years, frozenset(), after, after)
    trigger = bound(replace(parse("0 9 * * *"), limits=Limits(exclude=("closed",))), [calendar])
    assert preview(trigger, after, 1).times == ()
    assert preview(trigger, after, 1).notes == (
        "The calendars leave none of its times within 10 years",
    )
    shown = preview(trigger, after, 1, until=utc("2016-02-01"))
    assert shown.times == (utc("2016-01-01 09:00"),)
    assert shown.notes[0].startswith("closed excludes 1 January 2000, ")
    none = preview(trigger, after, 1, until=utc("2000-01-02 12:00"))
    assert none.notes == (
        "closed excludes 1 January 2000 and 2 January 2000: nothing is sent for these times",
        "There is no time from 2000-01-01T00:00:01Z until 2000-01-02T12:00:00Z",
    )


def test_that_there_is_no_time_is_said() -> None:
    once = OneTime(utc("2027-01-01"))
    assert preview(once, once.date, 3).notes == ("There is no time from 2027-01-01T00:00:01Z",)
    late = utc("9998-12-31 12:00")
    assert preview(parse("0 9 * * *"), late, 3) == Preview(
        (), ("There is no time from 9998-12-31T12:00:01Z",)
    )


def test_notes_are_at_most_twenty() -> None:
    found = notes("30 2 * 3,10 0", "Europe/Berlin", "2026-01-01", 100)
    assert 10 < len(found) <= 20
    assert len(notes("30 2 25-31 3,10 */7", "Europe/Berlin", "2026-01-01", 100)) == 20


@cache
def hour_of(zone: str, change: datetime) -> tuple[datetime, list[datetime], bool]:
    """Return when exactly the clocks change, the minutes on the wall that are then skipped or
    repeated, and whether they are skipped.

    It goes through the minutes of UTC, and counts how often the clock shows each time.
    """
    clock, shown = place(zone), Counter[datetime]()
    # The oracle finds changes to the hour, and knows none longer than two.
    instants = [change + ahead * MINUTE for ahead in range(-240, 241)]
    at = next(
        at
        for at in instants
        if at.astimezone(clock).utcoffset() != (at - MINUTE).astimezone(clock).utcoffset()
    )
    for instant in instants:
        shown[instant.astimezone(clock).replace(tzinfo=None)] += 1
    walls = [min(shown) + ahead * MINUTE for ahead in range((max(shown) - min(shown)) // MINUTE)]
    odd = [wall for wall in walls if shown[wall] != 1]
    return at, odd, shown[odd[0]] == 0


def test_a_change_is_noted_if_it_touches_a_time_between_the_first_and_the_last() -> None:
    dice, noted, silent = random.Random(3), 0, 0
    moving = [zone for zone in ZONES if zone not in STILL]
    for number in range(1_500 if IS_SOAK else 500):
        zone = moving[number % len(moving)]
        change = dice.choice(changes(zone))
        cron = replace(random_parse(dice, zone), dst=random_dst(dice))
        after = change + timedelta(minutes=dice.randrange(-150, 100))
        shown = preview(cron, after, dice.choice((1, 2, 5)))
        at, odd, is_gap = hour_of(zone, change)
        fields, clock, last = cron.fields, place(zone), shown.times[-1]
        on_days = [wall for wall in odd if names_day(cron.expression, wall.date())]
        walls = [
            wall for wall in on_days if wall.hour in fields.hours and wall.minute in fields.minutes
        ]
        passings = [
            [wall.replace(tzinfo=clock, fold=fold).astimezone(UTC) for fold in (0, 1)]
            for wall in walls
        ]
        # A gap is over at once, a repeated time with its second passing.
        is_met = (
            after < at <= last
            if is_gap
            else any(first <= last and after < second for first, second in passings)
        )
        if not walls:
            continue
        found = [
            note
            for note in shown.notes
            if note.startswith(f"On {walls[0].day} {walls[0]:%B %Y} the time")
        ]
        assert len(found) == is_met, (cron, after, shown)
        noted, silent = noted + is_met, silent + (not is_met)
        for note in found:
            assert f"{walls[0]:%H:%M}" in note
            assert f"{walls[-1]:%H:%M}" in note
            assert ("exist" in note) == is_gap
            is_made_up = is_gap and cron.dst.gap == "next" and not fields.every_hour
            is_twice = cron.dst.fold == "both" or fields.every_hour
            assert ("both times" in note) == (not is_gap and is_twice)
            assert note.endswith(f": one run at {at.astimezone(clock):%H:%M} instead") == is_made_up
            assert note.endswith("that day") == (
                is_gap and not is_made_up and len(walls) == len(fields.hours) * len(fields.minutes)
            )
    assert noted > 30
    assert silent > 50


def test_notes_and_times_agree_around_every_change() -> None:
    dice, noted = random.Random(3), 0
    for number in range(400 if IS_SOAK else 200):
        zone = ZONES[number % len(ZONES)]
        cron = replace(random_parse(dice, zone), dst=random_dst(dice))
        change = dice.choice(changes(zone))
        shown = preview(cron, change - timedelta(hours=30), 100)
        noted += len(shown.notes)
        assert list(shown.times) == sorted(set(shown.times))
        for note in shown.notes:
            assert f"in {zone}: " in note
            assert note.endswith(
                (
                    "no run that day",
                    "no run then",
                    "no runs then",
                    "once, the first time",
                    "both times",
                    "instead",
                )
            )
    assert noted > 10
