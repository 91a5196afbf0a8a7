"""Questions of speed: how fast the API answers, and how soon a list shows a change."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import requests

from tests.acceptance.questions.asking import Answer, Asking, Question, judged, quantiles, told
from tests.acceptance.remote import Remote

SLOWEST_MS = 1000
FIRST_SECONDS = 5
LAG_SECONDS = 1.0
_WAIT_SECONDS = 30
_FAR = {"delay": 86_400}


def first_calls(asking: Asking) -> Answer:
    """Say how long the first calls of this run took, and let the first job fire: right after a
    deployment all of them are cold.
    """
    stage = asking.stage
    open_to_all, with_key = stage.first_calls
    job = asking.register({"delay": 0})
    runs = stage.wait_for(
        f"/jobs/{job['id']}/runs",
        lambda runs: bool(runs and runs[0]["lateness_ms"] is not None),
        _WAIT_SECONDS,
    )
    late = runs[0]["lateness_ms"]
    found = {
        "health_seconds": round(open_to_all, 3),
        "list_with_key_seconds": round(with_key, 3),
        "first_firing_late_ms": late,
    }
    return judged(
        max(open_to_all, with_key, late / 1000) < FIRST_SECONDS * asking.patience,
        (
            f"GET /health took {open_to_all:.2f} s, the first call with a key {with_key:.2f} s, "
            f"and the first job was {late} ms late"
        ),
        found,
        (
            "More memory makes imports faster (.chalice/config.json); see Init Duration in each "
            "function's log."
        ),
    )


def answers(asking: Asking) -> Answer:
    """Call one route after the other; what /health takes is the way there and back."""
    took: defaultdict[str, list[float]] = defaultdict(list)
    stage, body = asking.stage, {"name": "A question", "request": asking.request, "trigger": _FAR}
    for _ in range(asking.sizes.calls):
        _timed(took["health"], 200, partial(stage.request, "GET", "/health"))
        job = _timed(took["create"], 201, partial(stage.post, "/jobs", body)).json()
        path = f"/jobs/{job['id']}"
        _timed(took["read"], 200, partial(stage.request, "GET", path))
        _timed(
            took["update"],
            200,
            partial(stage.request, "PATCH", path, {"trigger": {"delay": 90_000}}),
        )
        _timed(took["list"], 200, partial(stage.request, "GET", "/jobs?limit=20"))
        _timed(took["delete"], 204, partial(stage.delete, path))
    found = {what: quantiles(milliseconds) for what, milliseconds in took.items()}
    return judged(
        all(values["p99"] <= SLOWEST_MS * asking.patience for values in found.values()),
        "; ".join(f"{what}: {told(values, 'ms')}" for what, values in found.items()),
        found,
        (
            "More memory is more CPU (.chalice/config.json). What /health takes is the way; the "
            "rest is the tables and the Scheduler."
        ),
    )


def list_lag(asking: Asking) -> Answer:
    stage = asking.stage
    path = f"/jobs?limit=100&label=acceptance:{stage.run}"
    shown, gone = [], []
    for _ in range(max(1, asking.sizes.calls // 6)):
        job = asking.register(_FAR)
        shown.append(_lag(stage, path, job["id"], is_listed=True))
        assert stage.delete(f"/jobs/{job['id']}").status_code == 204
        gone.append(_lag(stage, path, job["id"], is_listed=False))
    found = {"created_seconds": quantiles(shown, 3), "deleted_seconds": quantiles(gone, 3)}
    return judged(
        max(*shown, *gone) <= LAG_SECONDS * asking.patience,
        (
            f"listed after {told(found['created_seconds'], 's')}; gone after "
            f"{told(found['deleted_seconds'], 's')}"
        ),
        found,
        "API.md and docs/api.md say that a list may lag by a second: say what it is.",
    )


def _timed(
    took: list[float], status: int, call: Callable[[], requests.Response]
) -> requests.Response:
    began = time.monotonic()
    answer = call()
    took.append((time.monotonic() - began) * 1000)
    assert answer.status_code == status, answer.text
    return answer


def _lag(stage: Remote, path: str, job_id: str, *, is_listed: bool) -> float:
    """Poll a list until the job is in it, or with `is_listed` False until it is not.

    Return the seconds from the call to the request that was answered so. Fails after
    `_WAIT_SECONDS`.
    """
    began = time.monotonic()
    while True:
        asked = time.monotonic() - began
        if any(job["id"] == job_id for job in stage.get(path)) == is_listed:
            return asked
        assert asked < _WAIT_SECONDS, f"{path} is still wrong"
        time.sleep(0.05)


FIRST = Question(
    "first calls",
    (
        "How long does the first call take, and how late is the first job? (Right after a "
        "deployment, or after an hour of rest: cold.)"
    ),
    (
        "A client's first call after a quiet night is answered before it gives up, and a job after "
        "a quiet night is not late."
    ),
    first_calls,
    jobs=lambda sizes: 1,
)
QUESTIONS = [
    Question(
        "speed of the API",
        "How fast do create, read, update, list and delete answer, one after the other?",
        (
            "An alarm of the stage goes by the API's p99, and a caller registers jobs while its "
            "own user waits."
        ),
        answers,
        jobs=lambda sizes: sizes.calls,
        seconds=lambda sizes: 1.5 * sizes.calls,
    ),
    Question(
        "lag of lists",
        (
            "How long after its acknowledgement is a job in a list, and how long after its delete "
            "is it gone?"
        ),
        (
            "Lists come from an index of DynamoDB, which is eventually consistent; the "
            "documentation says: a second."
        ),
        list_lag,
        jobs=lambda sizes: max(1, sizes.calls // 6),
        seconds=lambda sizes: 1.0 * sizes.calls / 3,
    ),
]
