"""Failed runs in a row: which count, and when they pause a job."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain import failures
from chalicelib.domain.cron import Cron
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition
from chalicelib.domain.request import Request
from chalicelib.domain.run import RunStatus
from chalicelib.domain.state import State, Status, UnfinishedRun
from chalicelib.domain.state_parts import Failing

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STATE = State("job_x", "tenant", 1, 3, 2, Status.ACTIVE, NOW)
JOB = Definition(
    "job_x", "tenant", 2, "job", NOW, Cron("* * * * *", "UTC"), Request("https://a/", "GET", {})
)
SCHEDULED = UnfinishedRun(RunKey(NOW, 3), 3, 1)
EARLIER = UnfinishedRun(RunKey(NOW, 2), 2, 1)
MANUAL = UnfinishedRun(RunKey.for_manual(NOW), 2, 1)


@pytest.mark.parametrize("seed", range(50))
def test_the_number_is_that_of_the_failures_since_the_last_success(seed: int) -> None:
    chance = random.Random(seed)
    state, row = STATE, list[datetime]()
    for minute in range(30):
        at = NOW + minute * MINUTE
        run = chance.choice((SCHEDULED, SCHEDULED, EARLIER, MANUAL))
        status = chance.choice((RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.FAILED))
        state = failures.counted(state, run, status, at)
        if run is SCHEDULED:
            row = [] if status is RunStatus.SUCCEEDED else [*row, at]
        assert state.failing == (Failing(len(row), row[0]) if row else None)
        for most in (1, 5, None):
            must = failures.must_pause(replace(JOB, pause_after=most), state)
            assert must == (most is not None and len(row) >= most)


def test_only_an_active_job_is_paused() -> None:
    failing = replace(STATE, failing=Failing(2, NOW), status=Status.PAUSED)
    assert not failures.must_pause(replace(JOB, pause_after=1), failing)
