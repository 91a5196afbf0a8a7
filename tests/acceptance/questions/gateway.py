"""Questions about API Gateway: its paths, methods, sizes and keys, and concurrent calls."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from tests.acceptance.questions.asking import Answer, Asking, Question, judged
from tests.acceptance.remote import Remote

_JSON = {"Content-Type": "application/json"}
_FAR = {"delay": 86_400}
PROBLEM = "application/problem+json"


def refusals(asking: Asking) -> Answer:
    """Look at each refusal that may come from the gateway itself: is it the status that a laptop
    gives, and a problem document?
    """
    stage = asking.stage
    wrong_key = "rsn_nonsense"
    rows = [
        _refused(stage, "an unknown path", {404}, "GET", "/nowhere"),
        _refused(stage, "an unknown path below a job", {404}, "GET", "/jobs/a/b/c"),
        _refused(stage, "an unknown path without a key", {404}, "GET", "/nowhere", key=None),
        _refused(stage, "a method that the path has not", {404, 405}, "PATCH", "/jobs"),
        _refused(stage, "no key", {401}, "GET", "/jobs", key=None),
        _refused(stage, "no valid key", {401}, "GET", "/jobs", key=wrong_key),
        _refused(stage, "no valid key to write", {401}, "POST", "/jobs", key=wrong_key, size=2),
        _refused(
            stage, "a body of 300 KB, too large for Resona", {413}, "POST", "/jobs", size=300_000
        ),
        _refused(
            stage, "a body of 7 MB, too large for Lambda", {413}, "POST", "/jobs", size=7_000_000
        ),
        _refused(
            stage,
            "a body of 11 MB, too large for API Gateway",
            {413},
            "POST",
            "/jobs",
            size=11_000_000,
        ),
    ]
    wrong = [row for row in rows if not row["is_as_assumed"]]
    return judged(
        not wrong,
        "all are problem documents with the status that a laptop gives"
        if not wrong
        else "; ".join(
            f"{row['what']}: {row['status']} {row['content_type']} {row['body']!r}" for row in wrong
        ),
        {"refusals": rows},
        (
            "Set the gateway responses (infra/deploy) of these kinds, or say in API.md what comes "
            "instead."
        ),
    )


def encoding(asking: Asking) -> Answer:
    """Ask whether what is percent-encoded in a path or a query arrives decoded, once."""
    stage, key = asking.stage, f"a.b-{uuid.uuid4().hex}"
    body = {"name": "Zürich & more: 100 %", "request": asking.request, "trigger": _FAR}
    put = stage.request("PUT", f"/jobs/key%3A{key}", body)
    plain, encoded = (
        stage.request("GET", f"/jobs/key:{key}"),
        stage.request("GET", f"/jobs/key%3A{key}"),
    )
    job_id = put.json().get("id")
    cases: dict[str, tuple[int, bool]] = {
        "PUT /jobs/key%3A…": (put.status_code, put.status_code == 201),
        "GET /jobs/key:…": (
            plain.status_code,
            plain.status_code == 200 and plain.json()["id"] == job_id,
        ),
        "GET /jobs/key%3A…": (
            encoded.status_code,
            encoded.status_code == 200 and encoded.json()["id"] == job_id,
        ),
    }
    # An encoded slash is part of the id, and there is no such job.
    slash = stage.request("GET", f"/jobs/{job_id}%2Fruns")
    cases["GET /jobs/{id}%2Fruns"] = (slash.status_code, slash.status_code == 404)
    twice = stage.request("GET", f"/jobs/key%253A{key}")
    cases["GET /jobs/key%253A…"] = (twice.status_code, twice.status_code == 404)
    for query in (
        "name=Z%C3%BCrich%20%26%20more%3A%20100%20%25",
        "name=Z%C3%BCrich+%26+more%3A+100+%25",
    ):
        path = f"/jobs?label=acceptance%3A{stage.run}&{query}"
        listed = stage.wait_for(
            path, lambda jobs: isinstance(jobs, dict) or any(job["id"] == job_id for job in jobs), 5
        )
        cases[f"GET /jobs?{query}"] = (200, isinstance(listed, list))
    wrong = [what for what, (_, is_right) in cases.items() if not is_right]
    return judged(
        not wrong,
        "paths and queries arrive decoded, once"
        if not wrong
        else f"not as on a laptop: {', '.join(wrong)}",
        {what: status for what, (status, _) in cases.items()},
        (
            "Decode path parameters in chalicelib/api/routing.py if the gateway does not; let "
            "infra/local/gateway.py do as the gateway does."
        ),
    )


def twins(asking: Asking) -> Answer:
    """Let two clients send the same registration with the same Idempotency-Key at the same moment,
    again and again.
    """
    rows = [_twins(asking) for _ in range(asking.sizes.twins)]
    wrong = [row for row in rows if row["jobs"] != 1 or not set(row["statuses"]) <= {201, 409}]
    pairs = Counter(" and ".join(map(str, sorted(row["statuses"]))) for row in rows)
    return judged(
        not wrong,
        (
            f"{len(rows)} pairs, one job each: "
            f"{', '.join(f'{count} times {pair}' for pair, count in pairs.items())}"
        )
        if not wrong
        else f"{len(wrong)} of {len(rows)} pairs did not come to one job: {wrong}",
        {"pairs": dict(pairs)},
        (
            "A key that is sent twice at once must make one job: see chalicelib/api/idempotency.py "
            "and the transaction of job_store.add."
        ),
    )


def _refused(
    stage: Remote,
    what: str,
    statuses: set[int],
    method: str,
    path: str,
    *,
    key: str | None = "",
    size: int = 0,
) -> dict[str, Any]:
    """Make a request that is to be refused; `key` None sends none, and an empty one the stage's
    own.
    """
    headers = {**_JSON} if size else {}
    if key is not None:
        headers["Authorization"] = f"Bearer {key or stage.key()}"
    data = b'{"name": "' + b"x" * (size - 12) + b'"}' if size > 12 else b"{}" if size else None
    try:
        answer = requests.request(
            method, f"{stage.url}{path}", headers=headers, data=data, timeout=stage.timeout_seconds
        )
    except requests.RequestException as error:
        # Whoever answers before the end of a large body may close before its answer is read.
        return {
            "what": what,
            "status": None,
            "content_type": "",
            "body": type(error).__name__,
            "is_as_assumed": False,
        }
    content_type = answer.headers.get("Content-Type", "")
    return {
        "what": what,
        "status": answer.status_code,
        "content_type": content_type,
        "body": answer.text[:200],
        "is_as_assumed": answer.status_code in statuses and content_type.startswith(PROBLEM),
    }


def _twins(asking: Asking) -> dict[str, Any]:
    stage, key, together = asking.stage, uuid.uuid4().hex, threading.Barrier(2, timeout=60)
    body = {"name": "A twin", "request": asking.request, "trigger": _FAR}

    def register() -> requests.Response:
        # The connection is there before the race begins.
        stage.request("GET", "/health")
        together.wait()
        return stage.post("/jobs", body, headers={"Idempotency-Key": key})

    with ThreadPoolExecutor(2) as threads:
        first, second = [
            future.result() for future in (threads.submit(register), threads.submit(register))
        ]
    again = stage.post("/jobs", body, headers={"Idempotency-Key": key})
    made = {answer.json()["id"] for answer in (first, second, again) if answer.status_code == 201}
    return {"statuses": [first.status_code, second.status_code], "jobs": len(made)}


QUESTIONS = [
    Question(
        "refusals of the gateway",
        (
            "Is what the gateway itself refuses (unknown path, wrong method, no key, oversize "
            "body) a problem document?"
        ),
        "Every error is application/problem+json, the gateway's own included on a deployed stage.",
        refusals,
        seconds=lambda sizes: 30,
    ),
    Question(
        "percent-encoding",
        (
            "Does `key%3Amine` in a path arrive as `key:mine`, and what is encoded in a query as "
            "what it stands for?"
        ),
        "Wherever {id} stands, key:{key} will do, for clients that encode the colon, too.",
        encoding,
        jobs=lambda sizes: 1,
    ),
    Question(
        "same Idempotency-Key at once",
        (
            "Do two clients that send one registration with one Idempotency-Key at the same moment "
            "make one job?"
        ),
        "The same key and value give the first answer again; while the first is under way, 409.",
        twins,
        jobs=lambda sizes: sizes.twins,
        seconds=lambda sizes: 1.5 * sizes.twins,
    ),
]
