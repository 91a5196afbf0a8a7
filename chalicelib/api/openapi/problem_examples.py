"""Examples of problem documents, for the OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

from chalicelib.api.problems import NO_KEY, problem

WRONG_FIELD = {
    "type": "about:blank",
    "title": "Unprocessable Content",
    "status": 422,
    "detail": "trigger: give exactly one of delay, date, cron, every",
    "errors": [{"field": "trigger", "message": "give exactly one of delay, date, cron, every"}],
}

# An example problem for each error status.
PROBLEMS: dict[int, dict[str, Any]] = {
    status: json.loads(problem(status, detail).body)
    for status, detail in {
        400: "the body is not JSON: Expecting value at line 1, column 1",
        401: NO_KEY,
        403: "this needs a key with the scope write; this key has read",
        404: "there is no such job",
        409: "the date, or the last occurrence, of this job has passed; give it a new trigger",
        410: "attempt 1 of this run has ended, so nothing was changed; do not call this URL again",
        412: "the job has changed since it was read; read it again",
        413: "the request is larger than 256 KiB",
        415: "send the body as application/json",
        429: "over the quota of registrations: 6000 jobs may be registered in 60 seconds; "
        "try again in 12 s",
        503: "the job store is unavailable; nothing was changed: try again",
    }.items()
} | {422: WRONG_FIELD}
