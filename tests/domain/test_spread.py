"""Spreads: a job's offset, its occurrences, its wakes, and how large a spread may be."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from chalicelib.domain import job_transitions
from chalicelib.domain.cron import Cron, parse
from chalicelib.domain.job import Definition
from chalicelib.domain.limits import Limits
from chalicelib.domain.preview import preview
from chalicelib.domain.request import Request
from chalicelib.domain.spread import largest_spread, offset_of
from chalicelib.domain.trigger import describe, restore
from chalicelib.domain.wakes import wake
from tests.domain.cron_oracle import ZONES, changes, occurrences
from tests.domain.test_cron import random_dst, random_parse
from tests.soak import IS_SOAK

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=count) for count in (1, 60, 3_600, 86_400))
JOB = "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K"


def definition(cron: Cron, job_id: str = JOB) -> Definition:
    request = Request("https://example.com/", "POST", {}, None)
    return Definition(job_id, "tenant", 1, "job", NOW, cron, request)


def placed(cron: Cron, job_id: str = JOB) -> Cron:
    trigger = definition(cron, job_id).trigger
    assert isinstance(trigger, Cron)
    return trigger


@pytest.mark.parametrize("spread", [600, 60, 7])
def test_ten_thousand_jobs_are_spread_evenly(spread: int) -> None:
    """Chi-square of the offsets in up to 60 classes is within five standard deviations."""
    ids = [f"job_01JD9V8M0Q4Q6T5W0H9{number:07}" for number in range(10_000)]
    offsets = [offset_of(job_id, spread) for job_id in ids]
    assert set(offsets) <= set(range(spread))
    classes = min(spread, 60)
    counts = [0] * classes
    for offset in offsets:
        counts[offset * classes // spread] += 1
    expected = len(ids) / classes
    chi_square = sum((count - expected) ** 2 / expected for count in counts)
    assert chi_square < (classes - 1) + 5 * (2 * (classes - 1)) ** 0.5


def test_an_offset_is_the_same_for_ever() -> None:
    """Stored jobs have these offsets: the function must never change."""
    assert [offset_of(JOB, spread) for spread in (0, 1, 60, 600, 3_600)] == [0, 0, 18, 184, 1109]


def test_every_occurrence_is_moved_by_the_offset() -> None:
    dice, found = random.Random(1), 0
    for number in range(2_000 if IS_SOAK else 60):
        zone = ZONES[number % len(ZONES)]
        bare = replace(random_parse(dice, zone), dst=random_dst(dice))
        offset = timedelta(seconds=offset_of(JOB, 3_600))
        change = dice.choice(changes(zone))
        first, last = change - 36 * HOUR, change + 36 * HOUR
        dst = bare.dst
        nominal = occurrences(bare.expression, zone, first - HOUR, last, dst.gap, dst.fold)
        bounds = sorted(dice.choice(nominal or [first]) + offset for _ in range(2))
        cron = placed(
            replace(bare, spread=3_600, starts_at=bounds[0], limits=Limits(ends_at=bounds[1]))
        )
        expected = [at + offset for at in nominal if bounds[0] <= at + offset <= bounds[1]]
        shown, after = list[datetime](), first
        while len(shown) < 40 and (at := cron.next_after(after)) is not None and at <= last:
            shown.append(at)
            after = at
        assert shown == [at for at in expected if first < at <= last][:40]
        found += len(shown)
    assert found > 200


def test_a_spread_is_stored_and_its_offset_is_that_of_the_job() -> None:
    cron = placed(replace(parse("0 9 * * *"), spread=600))
    assert describe(cron)["fields"] == {"cron": "0 9 * * *", "timezone": "UTC", "spread": 600}
    restored = restore(describe(cron))
    assert isinstance(restored, Cron)
    assert (restored.offset, placed(restored)) == (0, cron)
    other = placed(restored, "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7M")
    assert (other.spread, other.offset != cron.offset) == (600, True)
    assert "spread" not in describe(placed(parse("0 9 * * *")))["fields"]


def test_a_wake_finds_the_occurrence_of_its_minute() -> None:
    job = definition(replace(parse("*/10 * * * *"), spread=600))
    state = job_transitions.create(job, None, NOW).state
    due_at = state.next_due_at
    assert due_at == NOW + timedelta(seconds=offset_of(JOB, 600))
    for seconds in range(-90, 90, 10):
        minute = due_at.replace(second=0) - 2 * MINUTE + timedelta(seconds=seconds)
        due = wake(job, state, minute)
        is_meant = minute + 2 * MINUTE <= due_at < minute + 3 * MINUTE
        assert (due.at if due else None) == (due_at if is_meant else None)


def shortest_gap(cron: Cron) -> int:
    """Return the shortest time between two occurrences around the clock changes of 2026 and of an
    ordinary week, as a walk over all minutes finds them; an hour at most.
    """
    around = [at for at in changes(cron.timezone) if at.year == 2026]
    found = [3_600]
    for at in (*around, datetime(2026, 6, 10, tzinfo=UTC)):
        times = occurrences(
            cron.expression, cron.timezone, at - 3 * DAY, at + 3 * DAY, cron.dst.gap, cron.dst.fold
        )
        found += [int((later - earlier).total_seconds()) for earlier, later in pairwise(times)]
    return min(found)


def test_the_largest_spread_is_the_shortest_time_between_two_occurrences() -> None:
    dice, limited = random.Random(2), 0
    for number in range(400 if IS_SOAK else 40):
        hours = ",".join(str(dice.randrange(24)) for _ in range(dice.choice((1, 2, 3, 9))))
        minutes = dice.choice(("0", "50", "*/20", "5,55", "0,59", "30", "3", "*"))
        zone = ZONES[number % 10]
        cron = parse(f"{minutes} {dice.choice((hours, '23,0', '1-3'))} * * *", zone)
        cron = replace(cron, dst=random_dst(dice))
        assert largest_spread(cron) == shortest_gap(cron), cron
        limited += largest_spread(cron) < 3_600
    assert limited > 10


@pytest.mark.parametrize(
    ("cron", "zone", "most"),
    [
        ("* * * * *", "UTC", 60),
        ("0 9 * * *", "UTC", 3_600),
        ("0,50 0,23 * * *", "UTC", 600),
        # It never runs on two days in a row.
        ("0,50 0,23 1,15 * *", "UTC", 3_000),
        ("0,50 2 * * *", "Europe/Berlin", 3_000),
        ("30 1 * * *", "Europe/Berlin", 3_600),
        ("45 1,3 * * *", "Europe/Berlin", 3_600),
        ("45,15 1,3 * * *", "Europe/Berlin", 1_800),
    ],
)
def test_the_largest_spread_of_some(cron: str, zone: str, most: int) -> None:
    assert largest_spread(parse(cron, zone)) == most


def test_the_preview_says_what_a_spread_does() -> None:
    cron = replace(parse("0 9 * * *"), spread=600)
    unknown = preview(cron, NOW, 2)
    assert [f"{at:%H:%M:%S}" for at in unknown.times] == ["09:00:00"] * 2
    assert unknown.notes == (
        "Each time is moved by 0 to 599 seconds, as the job's id decides, which is not known yet: "
        "these times are not moved; give the id of a job to see its own",
    )
    known = preview(cron, NOW, 2, JOB)
    assert [f"{at:%H:%M:%S}" for at in known.times] == ["09:03:04"] * 2
    assert known.notes == ("Each time is moved by 184 of 600 seconds, this job's own offset",)


def test_clock_changes_are_noted_for_the_times_of_the_expression() -> None:
    cron = replace(parse("30 2 * * *", "Europe/Berlin"), spread=3_600)
    shown = preview(cron, datetime(2027, 3, 27, tzinfo=UTC), 2, JOB)
    moved = timedelta(seconds=offset_of(JOB, 3_600))
    assert shown.times[0] == datetime(2027, 3, 27, 1, 30, tzinfo=UTC) + moved
    assert shown.notes[1:] == (
        "On 28 March 2027 the time 02:30 does not exist in Europe/Berlin: no run that day",
    )
