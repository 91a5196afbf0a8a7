"""A year of more than 200 jobs of all kinds: every occurrence is fired exactly once and within a
second of its due time.

Once with EventBridge Scheduler at its worst, once without it. With RESONA_SOAK every job runs all
year. Otherwise every 48th job does, and one that fires often is paused and resumed, so
that it runs in the hours or days around its zone's changes, the new year and the 29 February.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.domain.cron import parse
from chalicelib.domain.state import Status, arms_itself
from chalicelib.domain.trigger import after_delay, at_date
from tests.domain.cron_oracle import MINUTE, ZONES, occurrences, occurrences_of_months
from tests.long_run import LongRun, silence
from tests.long_run_jobs import (
    CLOCKS,
    END,
    HOURLY,
    IS_SOAK,
    JOBS,
    LEAP_DAY,
    START,
    Job,
    Once,
    changes,
)

SHARDS = 8 if IS_SOAK else 1
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("scheduler", ["late_and_twice", "down"])
def test_every_occurrence_of_a_year_is_fired_once_and_within_a_second(
    scheduler: str, shard: int
) -> None:
    jobs = JOBS[shard :: SHARDS if IS_SOAK else 72 * SHARDS]
    long_run = LongRun(START - SECOND, f"{scheduler} {shard}", is_down=scheduler == "down")
    ids: dict[Job | Once, str] = {}
    with silence():
        for job in jobs:
            register(long_run, job, ids)
        # What was active to the end is paused by now; the last answers are awaited, and the last
        # duplicates.
        long_run.run_until(END + timedelta(minutes=20))
    wrong = [f"{job}: {why}" for job in jobs if (why := fault(long_run, job, ids[job]))]
    assert wrong == []
    sent = sum(len(requests) for requests in long_run.sent.values())
    worst = max(late for requests in long_run.sent.values() for _, late in requests)
    woken = sum(len(long_run.sent[ids[job]]) for job in jobs if takes_wakes(job))
    assert (long_run.wakes > woken) != long_run.cloud.is_down
    assert long_run.deliveries >= 2 * sent
    print(
        f"{len(jobs)} jobs, {sent} occurrences, {worst:.3f} s late at most, {long_run.wakes} "
        f"wakes, {long_run.deliveries} deliveries"
    )


def takes_wakes(job: Job | Once) -> bool:
    """Return whether schedules wake for a job; a cron that always comes again soon arms itself."""
    return isinstance(job, Once) or not arms_itself(parse(job.cron, job.zone, job.dst))


def register(long_run: LongRun, job: Job | Once, ids: dict[Job | Once, str]) -> None:
    """Have a client register a job, and pause and resume it where it is not to run."""

    def create() -> None:
        now = long_run.virtual_time.now
        if isinstance(job, Job):
            ids[job] = long_run.create(parse(job.cron, job.zone, job.dst), job.takes)
        else:
            ids[job] = long_run.create(
                at_date(job.date, job.zone, now) if job.date else after_delay(job.delay, now)
            )

    if isinstance(job, Once):
        long_run.at(job.asked_at, create)
        return
    for index, (begins, ends) in enumerate(job.spans):
        long_run.at(begins, (lambda: long_run.resume(ids[job])) if index else create)
        long_run.at(ends, lambda: long_run.pause(ids[job]))


def fault(long_run: LongRun, job: Job | Once, job_id: str) -> str | None:
    """Return what is wrong with what was sent for a job, None if nothing is."""
    sent, due = sorted(long_run.sent[job_id]), job.occurrences()
    fired = [at for at, _ in sent]
    if fired != due:
        return (
            f"lost {sorted(set(due) - set(fired))[:9]}, too many "
            f"{sorted(set(fired) - set(due))[:9]}, {len(due)} due, {len(fired)} fired"
        )
    late = [f"{at} by {late}" for at, late in sent if not 0 <= late < 1]
    if late:
        return f"early or late: {late[:9]}"
    state = long_run.jobs.state(job_id)
    status = Status.COMPLETED if isinstance(job, Once) else Status.PAUSED
    if (
        state is None
        or state.status is not status
        or state.runs
        or long_run.succeeded[job_id] != len(due)
    ):
        return f"{long_run.succeeded[job_id]} succeeded, and it came to rest as {state}"
    return None


def test_the_jobs_are_of_all_kinds() -> None:
    crons = [job for job in JOBS if isinstance(job, Job)]
    assert len(JOBS) > 200
    assert len(set(JOBS)) == len(JOBS)
    assert {job.zone for job in crons} > set(ZONES)
    assert sum(len(changes(zone)) == 2 for zone in {job.zone for job in crons}) >= 12
    # Only what the clocks skip in this year does not occur at all.
    assert [job.cron for job in crons if not job.occurrences()] == ["30 2 26 3 *"]


@pytest.mark.parametrize("job", [*HOURLY, *CLOCKS], ids=str)
def test_both_ways_to_ask_the_oracle_agree(job: Job) -> None:
    for moment in (*changes(job.zone), LEAP_DAY):
        first, last = moment - 700 * MINUTE, moment + 700 * MINUTE
        span = (job.cron, job.zone, first, last, job.dst.gap, job.dst.fold)
        assert occurrences_of_months(*span) == occurrences(*span)
