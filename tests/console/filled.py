"""10,000 jobs and 100,000 runs, which Resona's own stores write, in memory or for a laptop."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from chalicelib.api.routing import LOCAL_TENANT
from chalicelib.aws.serialization import dump_state, load_state
from chalicelib.domain.channels import MOST_CHANNELS, Channel
from chalicelib.domain.cron import Cron
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition
from chalicelib.domain.notices import Event, trial
from chalicelib.domain.request import Request
from chalicelib.domain.run import (
    Attempt,
    AttemptResult,
    Outcome,
    Reason,
    Response,
    RunStatus,
    RunUpdate,
)
from chalicelib.domain.state import LastRun
from chalicelib.domain.trigger import Trigger
from chalicelib.usecases.scheduling import Job, NewJob
from infra.local.journal import Journal
from tests.aws.stored_data import as_sent
from tests.bench.meter import MeteredEnvironment
from tests.cloud import KEYS

JOBS, RUNS_PER_JOB, NOTICES = 10_000, 10, 1000
TEAMS = ("billing", "crm", "shop", "web", "data")
WORDS = (
    "Report",
    "Sync",
    "Backup",
    "Clean",
    "Export",
    "Invoice",
    "Remind",
    "Warm",
    "Close",
    "Send",
)
_OWNER = "01JD9V8M0Q4Q6T5W0H9C1Y3B7K"
_FINE = AttemptResult(
    Outcome.SUCCESS,
    timedelta(milliseconds=140),
    200,
    Response({"content-type": "application/json"}, '{"ok": true}', truncated=False),
)
_FAILED = replace(
    _FINE, outcome=Outcome.HTTP_ERROR, status_code=500, error="the target answered 500"
)


def fill(env: MeteredEnvironment, url: str, jobs: int = JOBS) -> None:
    """Register jobs that are due once a day, and record ten runs of each in the last day.

    One run in a hundred has failed.
    """
    dice = random.Random(8)
    for number in range(jobs):
        cron = f"{dice.randrange(60)} {dice.randrange(24)} * * *"
        labels = {"team": dice.choice(TEAMS)}
        name = f"{dice.choice(WORDS)} {number}"
        job_id = register(env, name, Cron(cron, "Europe/Berlin"), url, labels)
        ages = sorted((dice.randrange(60, 86_000) for _ in range(RUNS_PER_JOB)), reverse=True)
        record(
            env, job_id, {env.now - timedelta(seconds=age): dice.random() > 0.01 for age in ages}
        )


def tell(env: MeteredEnvironment, url: str) -> None:
    """Make as many channels as there may be, and notices to them that are due tomorrow."""
    for number in range(MOST_CHANNELS):
        name = f"channel-{number}"
        told = frozenset({Event.RUN_FAILED, Event.JOB_RECOVERED})
        env.scheduling.channels.put(Channel(LOCAL_TENANT, name, name, url, told, env.now, env.now))
    for number in range(NOTICES):
        at = env.now + timedelta(days=1, milliseconds=number)
        step = trial(LOCAL_TENANT, f"channel-{number % MOST_CHANNELS}", url, {}, at)
        assert step.definition
        env.scheduling.register(NewJob(Job(step.definition, step.state), step))


def register(
    env: MeteredEnvironment, name: str, trigger: Trigger, url: str, labels: Mapping[str, str]
) -> str:
    """Register a job of the laptop's tenant, and return its id."""
    # Ids sort by the milliseconds of their creation.
    env.now += timedelta(milliseconds=1)
    request = Request(url, "POST", {}, {"name": name})
    draft = Definition("", LOCAL_TENANT, 1, name, env.now, trigger, request, labels=labels)
    return env.scheduling.create(draft).definition.id


def record(env: MeteredEnvironment, job_id: str, runs: Mapping[datetime, bool]) -> None:
    """Record runs of a job by their due times, oldest first, and whether each succeeded."""
    statuses = []
    dice = random.Random(job_id)
    for at, is_fine in runs.items():
        key = RunKey(at.replace(microsecond=0), 1)
        statuses.append(RunStatus.SUCCEEDED if is_fine else RunStatus.FAILED)
        started = key.due_at + timedelta(milliseconds=dice.randrange(5, 80))
        result = _FINE if is_fine else _FAILED
        update = RunUpdate(statuses[-1], None if is_fine else Reason.ATTEMPTS_EXHAUSTED)
        attempt = Attempt(job_id, key, 1, _OWNER, started, started, result, update)
        env.runs.record(LOCAL_TENANT, attempt, 1)
    item = env.cloud.tables["jobs"][job_id, "state"]
    state = load_state(job_id, int(item["revision"]["N"]), None, item["state"]["S"])
    ended = replace(state, last_run=LastRun(key, 1), recent=tuple(statuses[-20:]))
    item["state"] = {"S": dump_state(ended)}


def write(env: MeteredEnvironment, home: Path) -> None:
    """Write what an environment has into the folder of a laptop that is not running."""
    journal = Journal(home / "local.sqlite")
    journal.write(
        [
            ("item", "/".join([f"resona-local-{table}", *key]), as_sent(item))
            for table, items in env.cloud.tables.items()
            if table in KEYS and table != "secrets"
            for key, item in items.items()
        ]
    )
    journal.close()
