"""Expressions for EventBridge Scheduler wake for every occurrence in time, and for few others."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.aws.schedule_expression import to_eventbridge
from chalicelib.domain.cron import USUAL_DST, Cron, Dst, parse, wake_is_certain
from chalicelib.domain.trigger import OneTime
from infra.local.eventbridge import next_fire, validate
from tests.domain.cron_oracle import ZONES, changes
from tests.domain.random_crons import IS_SOAK
from tests.domain.test_cron import random_dst, random_parse

CASES = 200_000 if IS_SOAK else 260
AHEAD, SECOND, DAY = timedelta(minutes=2), timedelta(seconds=1), timedelta(days=1)


def wakes(cron: Cron, first: datetime, last: datetime) -> list[datetime]:
    expression, zone = to_eventbridge(cron)
    found: list[datetime] = []
    at = next_fire(expression, zone, first)
    while at is not None and at <= last:
        found.append(at)
        at = next_fire(expression, zone, at)
    return found


def wakes_at(cron: Cron, at: datetime) -> bool:
    return next_fire(*to_eventbridge(cron), at - SECOND) == at


def check(cron: Cron, start: datetime, count: int) -> tuple[int, int]:
    """Look at `count` occurrences; return how many of their wakes were certain, and how many were
    not.
    """
    expression, zone = to_eventbridge(cron)
    assert len(expression) <= 256
    assert len(zone) <= 50
    validate(expression, zone)
    certain = uncertain = 0
    due = cron.next_after(start)
    for _ in range(count):
        if due is None:
            break
        if wake_is_certain(cron, due):
            wake = due.replace(second=0) - AHEAD
            assert next_fire(expression, zone, wake - SECOND) == wake, (
                cron,
                expression,
                due,
            )
            certain += 1
        else:
            uncertain += 1
        due = cron.next_after(due)
    return certain, uncertain


@pytest.mark.parametrize("share", range(4))
def test_what_is_certain_to_wake_wakes_two_minutes_before(share: int) -> None:
    dice, certain, uncertain = random.Random(share), 0, 0
    for number in range(CASES // 4):
        zone = ZONES[number % len(ZONES)]
        cron = replace(random_parse(dice, zone), dst=random_dst(dice))
        if number % 2:
            cron = replace(cron, spread=3600, offset=dice.choice((59, 60, dice.randrange(3600))))
        start = dice.choice(changes(zone)) - timedelta(minutes=dice.randrange(600))
        found = check(cron, start, 12)
        certain, uncertain = certain + found[0], uncertain + found[1]
    assert certain > CASES
    # Clock changes must have been met, but only they make a wake uncertain.
    assert 0 < uncertain < certain / 20


@pytest.mark.parametrize("seed", range(60))
def test_the_longest_crons_fit(seed: int) -> None:
    dice = random.Random(seed)

    def some(least: int, most: int, count: int) -> str:
        return ",".join(map(str, sorted(dice.sample(range(least, most + 1), count))))

    cron = Cron(
        f"{some(0, 59, 30)} {some(0, 23, 12)} {some(1, 31, 15)} {some(1, 12, 6)} *",
        dice.choice(ZONES),
    )
    assert check(cron, datetime(2026, 1, 1, tzinfo=UTC), 200)[0] > 150
    every_hour = Cron(
        f"{some(0, 59, 30)} * {some(1, 31, 15)} {some(1, 12, 6)} *", dice.choice(ZONES)
    )
    assert check(every_hour, datetime(2026, 1, 1, tzinfo=UTC), 200)[0] == 200


@pytest.mark.parametrize(
    ("cron", "zone", "expression"),
    [
        ("0 9 * * 1-5", "Europe/Berlin", "cron(58 8 ? * 2-6 *)"),
        ("30 9 * * *", "Europe/Berlin", "cron(28 9 * * ? *)"),
        ("*/15 * * * *", "Europe/Berlin", "cron(13-58/15 * * * ? *)"),
        ("* * * * *", "UTC", "cron(* * * * ? *)"),
        # The day before the 1st is one of four.
        ("0 0 1 * *", "Europe/Berlin", "cron(58 23 28-31 * ? *)"),
        # The 13th or a Friday: AWS can only say every day.
        ("0 0 13 * 5", "Europe/Berlin", "cron(58 23 * * ? *)"),
        ("0 9 1-31 * 1-5", "Europe/Berlin", "cron(58 8 * * ? *)"),
        ("0 9 5 * 0-6", "Europe/Berlin", "cron(58 8 * * ? *)"),
        # An odd day and a Monday: every Monday, the evening before.
        ("0 0 */2 * 1", "Europe/Berlin", "cron(58 23 ? * 1 *)"),
        ("1 0 * * 1", "Europe/Berlin", "cron(59 23 ? * 1 *)"),
        ("0 0 * * 0", "Europe/Berlin", "cron(58 23 ? * 7 *)"),
        ("59 23 31 12 *", "Europe/Berlin", "cron(57 23 31 12 ? *)"),
        ("0 0 29 2 *", "Europe/Berlin", "cron(58 23 28 1,2 ? *)"),
        ("0 0 1 1 *", "Europe/Berlin", "cron(58 23 28-31 1,12 ? *)"),
        # Words that AWS has too, with its numbers of weekdays. The evening before has none.
        ("0 9 L * *", "Europe/Berlin", "cron(58 8 L * ? *)"),
        ("0 9 15W 3 *", "Europe/Berlin", "cron(58 8 15W 3 ? *)"),
        ("0 9 * * 5L", "Europe/Berlin", "cron(58 8 ? * 6L *)"),
        ("0 9 * * SUN#2", "Europe/Berlin", "cron(58 8 ? * 1#2 *)"),
        ("0 9 */2 * 6#5", "Europe/Berlin", "cron(58 8 ? * 7#5 *)"),
        ("0 0 L * *", "Europe/Berlin", "cron(58 23 27-30 * ? *)"),
        ("0 0 * * 5L", "Europe/Berlin", "cron(58 23 ? * 5 *)"),
        ("0 0 15W * *", "Europe/Berlin", "cron(58 23 12-16 * ? *)"),
        # Words that AWS does not have, or not beside others, or of which it does not say enough.
        ("0 9 L-3 * *", "Europe/Berlin", "cron(58 8 25-28 * ? *)"),
        ("0 9 LW * *", "Europe/Berlin", "cron(58 8 26-31 * ? *)"),
        ("0 9 1W * *", "Europe/Berlin", "cron(58 8 1-3 * ? *)"),
        ("0 9 1,15,L * *", "Europe/Berlin", "cron(58 8 1,15,28-31 * ? *)"),
        ("0 9 * * 5L,1#2", "Europe/Berlin", "cron(58 8 ? * 2,6 *)"),
        ("0 9 L * 5L", "Europe/Berlin", "cron(58 8 * * ? *)"),
        ("0 * L * *", "Europe/Berlin", "cron(58 * 1,27-31 * ? *)"),
        # In a zone of 5 hours and 45 minutes the full hour is UTC's quarter.
        ("0 * * * *", "Asia/Kathmandu", "cron(13 * * * ? *)"),
        # West of UTC the evening of 28 February is 1 March, or the 29th in a leap year.
        ("0 * 28 2 *", "America/New_York", "cron(58 * 1,27-29 1-3 ? *)"),
    ],
)
def test_the_interesting_ones(cron: str, zone: str, expression: str) -> None:
    read = parse(cron, zone)
    assert to_eventbridge(read) == (expression, "UTC" if read.fields.every_hour else zone)
    # Twenty leap years reach to 2104; AWS's years end in 2199.
    assert check(read, datetime(2026, 1, 1, tzinfo=UTC), 20)[0] > 15


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize(
    "cron",
    [
        "0 0 1 * *",
        "0 0 13 * 5",
        "0 0 */2 * 1",
        "1 0 * * 1",
        "59 23 31 12 *",
        "0 0 29 2 *",
        "0 9 * * *",
        "2 0 * * *",
        "0 1 31 * *",
    ],
)
def test_a_daily_or_rarer_job_wakes_at_most_once_a_day(cron: str, zone: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    found = wakes(parse(cron, zone), start, start + 400 * DAY)
    assert found
    # A day on which the clocks go forward is an hour shorter.
    assert all(
        later - earlier >= timedelta(hours=23) for earlier, later in itertools.pairwise(found)
    )


def test_a_wake_in_a_clock_change_is_not_certain() -> None:
    def certain(cron: str, due: str, dst: Dst = USUAL_DST) -> bool:
        at = datetime.fromisoformat(due).replace(tzinfo=UTC)
        read = parse(cron, "Europe/Berlin", dst)
        assert read.next_after(at - SECOND) == at
        return wake_is_certain(read, at)

    # 03:00 comes straight after 01:59 on 28 March 2027: 02:58 is not there to wake at.
    assert not certain("0 3 * * *", "2027-03-28 01:00")
    assert certain("2 3 * * *", "2027-03-28 01:02")
    # 02:58 comes twice on 31 October 2027, and the schedule wakes at the first.
    assert not certain("0 3 * * *", "2027-10-31 02:00")
    assert certain("0 2 * * *", "2027-10-31 00:00")
    assert certain("0 * * * *", "2027-10-31 01:00")
    assert certain("0 * * * *", "2027-03-28 01:00")

    # What is made up for after a gap, or comes a second time, no schedule wakes for.
    assert not certain("30 2 * * *", "2027-03-28 01:00", Dst(gap="next"))
    assert not certain("30 2 * * *", "2027-10-31 01:30", Dst(fold="both"))
    assert not certain("0 2 * * *", "2027-10-31 01:00", Dst(fold="both"))
    assert not certain("30 2 * * *", "2027-10-31 00:30", Dst(fold="both"))
    assert certain("30 2 * * *", "2027-11-01 01:30", Dst("next", "both"))


def test_a_date_wakes_two_minutes_before_in_utc() -> None:
    trigger = OneTime(datetime(2026, 12, 1, 0, 1, 30, tzinfo=UTC))
    assert to_eventbridge(trigger) == ("at(2026-11-30T23:59:30)", "UTC")


def test_a_zone_goes_by_its_canonical_name() -> None:
    assert to_eventbridge(parse("0 9 * * *", "US/Eastern"))[1] == "America/New_York"
    assert to_eventbridge(parse("0 9 * * *", "Asia/Calcutta"))[1] == "Asia/Kolkata"
