"""The occurrences of many jobs are merged as each has them by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.cron import Cron
from chalicelib.domain.job import Definition
from chalicelib.domain.occurrences import Due, merged
from chalicelib.domain.request import Request
from chalicelib.domain.trigger import OneTime, Trigger

NOW = datetime(2026, 10, 25, 0, 30, 0, 250_000, tzinfo=UTC)
UNTIL = NOW + timedelta(hours=4)
# In Europe/Berlin the hour from 02:00 comes twice that night.
CRONS = [
    Cron("*/30 * * * *", "UTC"),
    Cron("*/7 * * * *", "Europe/Berlin"),
    Cron("30 2 * * *", "Europe/Berlin"),
    Cron("0 4 * * *", "Asia/Tokyo"),
]
minutes = st.integers(0, 240).map(lambda count: timedelta(minutes=count))
triggers = st.sampled_from(CRONS) | minutes.map(
    lambda after: OneTime(NOW.replace(second=0, microsecond=0) + after)
)


def job(number: int, trigger: Trigger) -> Definition:
    request = Request("https://example.com/", "POST", {}, None)
    return Definition(f"job_{number}", "tenant", 1, "job", NOW, trigger, request)


def of_one(trigger: Trigger, due_at: datetime) -> list[datetime]:
    """Return the occurrences of a job by itself, by the rule of triggers."""
    times, at = [due_at], trigger.next_after(max(due_at, NOW))
    while at is not None and at < UNTIL:
        times.append(at)
        at = trigger.next_after(at)
    return times


@given(st.lists(st.tuples(triggers, st.none() | minutes), max_size=5), st.data())
def test_they_are_what_each_job_has_in_one_order_from_every_place_on(
    made: list[tuple[Trigger, timedelta | None]], data: st.DataObject
) -> None:
    jobs = []
    for number, (trigger, overdue) in enumerate(made):
        due_at = trigger.next_after(NOW) or NOW.replace(microsecond=0)
        if overdue is not None and isinstance(trigger, Cron):
            due_at = NOW.replace(second=0, microsecond=0) - overdue
        left, skips = data.draw(st.none() | st.integers(1, 9)), data.draw(st.integers(0, 3))
        jobs.append(Due(job(number, trigger), due_at, left, skips))
    expected = sorted(
        (at, due.definition.id, number < due.skips)
        for due in jobs
        for number, at in enumerate(of_one(due.definition.trigger, due.due_at))
        if at < UNTIL and (due.left is None or number < due.left + due.skips)
    )

    def listed(after: tuple[datetime, str] | None) -> list[tuple[datetime, str, bool]]:
        found = takewhile(lambda one: one.due_at < UNTIL, merged(jobs, NOW, after))
        return [(one.due_at, one.definition.id, one.skips > 0) for one in found]

    assert listed(None) == expected
    if expected:
        place = data.draw(st.integers(0, len(expected) - 1))
        assert listed(expected[place][:2]) == expected[place + 1 :]
