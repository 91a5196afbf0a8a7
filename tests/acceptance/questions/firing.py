"""Questions of time: how late jobs are, and whether a just deleted or paused job is still sent."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tests.acceptance.questions.asking import (
    Answer,
    Asking,
    Question,
    Sizes,
    judged,
    quantiles,
    told,
)
from tests.acceptance.remote import Remote

ALLOWED_MS = 1000
# A wake that does not come is noticed by the sweeper so long after the due time.
SWEPT_MS = 30_000
_AHEAD = timedelta(minutes=16)
_WAIT_SECONDS = 90
ON_THE_SECOND = "On the second: EventBridge Scheduler's own precision is 60 s, ours is 1 s."
NOT_SENT = (
    "After an acknowledged delete or pause nothing of the old definition is sent, save a request "
    "that was on the wire."
)


def burst(asking: Asking) -> Answer:
    due_at = _first_due(asking.stage, asking.sizes.burst)
    return _lateness(asking, [due_at] * asking.sizes.burst)


def spread(asking: Asking) -> Answer:
    count, chance = asking.sizes.spread, random.Random(7)
    first = _first_due(asking.stage, count)
    return _lateness(
        asking,
        [
            first + timedelta(seconds=chance.randint(0, asking.sizes.spread_seconds))
            for _ in range(count)
        ],
    )


def ahead(asking: Asking) -> Answer:
    """Ask with jobs that a schedule has to wake: half of them with a date, half with a cron."""
    due_at = (asking.stage.now() + _AHEAD).replace(second=0, microsecond=0) + timedelta(minutes=1)
    cron = {"cron": f"{due_at.minute} {due_at.hour} * * *"}
    triggers = [
        cron if number % 2 else {"date": due_at.isoformat()} for number in range(asking.sizes.ahead)
    ]
    lateness, lost = _late_by(asking, triggers, (due_at - asking.stage.now()).total_seconds())
    swept = sum(late >= SWEPT_MS for late in lateness)
    found: dict[str, Any] = {
        "lateness_ms": quantiles(lateness or [0]),
        "not fired": lost,
        "armed by the sweeper": swept,
    }
    return judged(
        not lost and not swept and found["lateness_ms"]["p99"] <= ALLOWED_MS * asking.patience,
        (
            f"{told(found['lateness_ms'], 'ms')}; {lost} did not fire, {swept} were armed by the "
            "sweeper alone"
        ),
        found,
        (
            "See the wake function's log: did each schedule invoke it, with which scheduled time, "
            "and how long before?"
        ),
    )


def before_due(asking: Asking) -> Answer:
    """Delete and pause jobs so and so long before they are due.

    One is left alone: it has to be sent, or nothing is seen at all.
    """
    rows = [row for number in range(asking.sizes.rounds) for row in _round(asking, number)]
    unheard = [row for row in rows if row["what"] == "left" and not row["sent"]]
    assert not unheard, (
        "a job that was left alone was not seen to be sent, so nothing can be told of the others"
    )
    changed = [row for row in rows if row["what"] != "left"]
    in_time = [
        row
        for row in changed
        if row["acknowledged_before_due_seconds"] > asking.stage.clock_error.total_seconds()
    ]
    wrong = [row for row in in_time if row["sent"]]
    assert in_time, (
        "no change was acknowledged before its job was due: the stage is too slow from here"
    )
    return judged(
        not wrong,
        f"of {len(in_time)} jobs whose delete or pause was acknowledged before they were due "
        f"{len(wrong)} were sent; {len(changed) - len(in_time)} were acknowledged too late to tell",
        {"changes": changed},
        (
            "Priority 1 is broken: look at the claim of these jobs "
            "(chalicelib/domain/run_transitions.py), and at the clocks of the functions."
        ),
    )


def _first_due(stage: Remote, count: int) -> datetime:
    """Return a whole second that comes after so many registrations."""
    return (stage.now() + stage.slack + timedelta(seconds=2 + 0.06 * count)).replace(microsecond=0)


def _lateness(asking: Asking, dues: Sequence[datetime]) -> Answer:
    triggers = [{"date": due_at.isoformat()} for due_at in dues]
    lateness, lost = _late_by(asking, triggers, (max(dues) - asking.stage.now()).total_seconds())
    found: dict[str, Any] = {
        "lateness_ms": quantiles(lateness or [0]),
        "least_ms": min(lateness or [0]),
        "not fired": lost,
    }
    return judged(
        not lost
        and found["lateness_ms"]["p99"] <= ALLOWED_MS * asking.patience
        and found["least_ms"] >= 0,
        f"{told(found['lateness_ms'], 'ms')}; {lost} did not fire within {_WAIT_SECONDS} s of it",
        found,
        (
            "Look for cold starts (Init Duration in the log of deliver), throttles, and the event "
            "source's MaximumConcurrency and batch size."
        ),
    )


def _late_by(
    asking: Asking, triggers: Sequence[dict[str, Any]], due_in_seconds: float
) -> tuple[list[int], int]:
    """Return by how many milliseconds each job's first run was late, as it says itself, and how
    many have none.
    """
    stage = asking.stage
    began = time.monotonic()
    with ThreadPoolExecutor(stage.clients) as threads:
        jobs = list(threads.map(asking.register, triggers))
        time.sleep(max(0.0, began + due_in_seconds + 1 - time.monotonic()))
        until = time.monotonic() + _WAIT_SECONDS
        waiting, lateness = jobs, list[int]()
        while waiting and time.monotonic() < until:
            found = list(threads.map(partial(_first_lateness, stage), waiting))
            lateness += [late for late in found if late is not None]
            waiting = [job for job, late in zip(waiting, found, strict=True) if late is None]
            time.sleep(0.5 if waiting else 0)
        # A cron would fire on.
        list(threads.map(lambda job: stage.delete(f"/jobs/{job['id']}"), jobs))
    return lateness, len(waiting)


def _first_lateness(stage: Remote, job: dict[str, Any]) -> int | None:
    runs = stage.get(f"/jobs/{job['id']}/runs")
    return int(runs[-1]["lateness_ms"]) if runs and runs[-1]["lateness_ms"] is not None else None


def _round(asking: Asking, number: int) -> list[dict[str, Any]]:
    ways = [
        (what, seconds) for what in ("deleted", "paused") for seconds in asking.sizes.before_due
    ] + [("left", 0.0)]
    due_at = _first_due(asking.stage, 2 * len(ways)) + timedelta(
        seconds=max(asking.sizes.before_due)
    )
    with ThreadPoolExecutor(len(ways)) as threads:
        rows = list(threads.map(lambda way: _change(asking, way[0], way[1], number, due_at), ways))
    # What is sent against the promise is sent at once; what is in doubt gets the time it may take.
    time.sleep(
        max(
            0.0,
            (
                due_at + timedelta(seconds=1.5) + asking.stage.slack - asking.stage.now()
            ).total_seconds(),
        )
    )
    return [
        {**row, "sent": asking.receiver.was_sent(f"{row['what']}-{row['seconds']}-{number}")}
        for row in rows
    ]


def _change(
    asking: Asking, what: str, seconds: float, number: int, due_at: datetime
) -> dict[str, Any]:
    stage = asking.stage
    name = f"{what}-{seconds}-{number}"
    job = {
        "name": name,
        "request": asking.receiver.witness(name),
        "trigger": {"date": due_at.isoformat()},
    }
    answer = stage.post("/jobs", job)
    assert answer.status_code == 201, answer.text
    path = f"/jobs/{answer.json()['id']}"
    time.sleep(max(0.0, (due_at - timedelta(seconds=seconds) - stage.now()).total_seconds()))
    changed = {
        "deleted": lambda: stage.delete(path),
        "paused": lambda: stage.post(f"{path}/pause"),
    }.get(what)
    status = changed().status_code if changed else None
    before = (due_at - stage.now()).total_seconds()
    # One that came too late changes nothing, or what has been sent: the acknowledgement alone
    # counts.
    return {
        "what": what,
        "seconds": seconds,
        "status": status,
        "acknowledged_before_due_seconds": round(before, 3),
    }


def _changes(sizes: Sizes) -> int:
    return sizes.rounds * (2 * len(sizes.before_due) + 1)


QUESTIONS = [
    Question(
        "lateness of a burst",
        "How late are jobs that are all due in one second?",
        ON_THE_SECOND,
        burst,
        jobs=lambda sizes: sizes.burst,
        seconds=lambda sizes: 10 + 0.2 * sizes.burst,
    ),
    Question(
        "lateness over a minute",
        "How late are jobs that come due one by one?",
        ON_THE_SECOND,
        spread,
        jobs=lambda sizes: sizes.spread,
        seconds=lambda sizes: 10 + sizes.spread_seconds + 0.2 * sizes.spread,
    ),
    Question(
        "shortly before due",
        "Is a job sent whose delete or pause was acknowledged a moment before it was due?",
        NOT_SENT,
        before_due,
        # Each of them may leave a witness.
        jobs=lambda sizes: 2 * _changes(sizes),
        seconds=lambda sizes: 12 * sizes.rounds,
    ),
]
AHEAD = Question(
    "wake by a schedule",
    (
        "How late are jobs that were registered 16 minutes ahead, so that EventBridge Scheduler "
        "has to wake the executor?"
    ),
    ON_THE_SECOND
    + (
        " The schedule wakes two minutes early, since it may take one; without it the sweeper is "
        "30 s late."
    ),
    ahead,
    jobs=lambda sizes: sizes.ahead,
    seconds=lambda sizes: 18.5 * 60,
)
