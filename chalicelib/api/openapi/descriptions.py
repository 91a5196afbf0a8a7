"""Descriptions of path parameters, headers and error statuses for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from chalicelib.domain.flows import FLOW_NAME
from chalicelib.domain.ids import JOB_ID, JOB_KEY, RUN_ID
from chalicelib.domain.secrets import SECRET_NAME

# Path parameters.
NAMES = {
    "job_id": {
        "description": "A job's id, or `key:` and the key that it was registered with.",
        "schema": {"type": "string", "pattern": f"^({JOB_ID.pattern}|key:{JOB_KEY.pattern})$"},
        "example": "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K",
    },
    "run_id": {
        "description": "A run's id.",
        "schema": {"type": "string", "pattern": f"^{RUN_ID.pattern}$"},
        "example": "run_01JD9V8M0Q4Q6T5W0H9C1Y3B7K-1-20261201T100000Z",
    },
    "name": {
        "description": "The name of a secret, a channel or a calendar.",
        "schema": {"type": "string", "pattern": f"^{SECRET_NAME.pattern}$"},
        "example": "api_token",
    },
    "token": {
        "description": "The end of the URL in the header `Resona-Complete-Url` of a request.",
        "schema": {"type": "string"},
        "example": "run_01JD9V8M0Q4Q6T5W0H9C1Y3B7K-1-20261201T100000Z.1."
        "b7Jp0p3Zk0nq1sO2bC9vXw4rT6yU8iQa",
    },
    "flow": {
        "description": "The name of a flow, or `host:` and a host.",
        "schema": {"type": "string", "pattern": f"^({FLOW_NAME.pattern})$"},
        "example": "host:api.example.com",
    },
}
BY_KEY = {
    "description": "`key:` and the key.",
    "schema": {"type": "string", "pattern": f"^key:{JOB_KEY.pattern}$"},
    "example": "key:report",
}

REQUEST_HEADERS: dict[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "description": "The same key and the same body within 24 hours get the first answer again.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
    },
    "If-Match": {
        "description": "The ETag that was read: if the job has changed since, the answer is 412.",
        "schema": {"type": "string"},
        "example": '"01JD9V8M0Q4Q6T5W0H9C1Y3B7K-1"',
    },
    "If-None-Match": {
        "description": "`*`, or ETags. If what the path names exists, or still has one of these: "
        "304 for a GET, 412 for other methods.",
        "schema": {"type": "string"},
        "example": "*",
    },
}
ANSWER_HEADERS: dict[str, dict[str, Any]] = {
    "Location": {
        "description": "The URL of the job, or of the page to go to.",
        "schema": {"type": "string"},
    },
    "ETag": {
        "description": "The revision of the job, for If-Match, or of the page.",
        "schema": {"type": "string", "pattern": '^"([0-9A-Z]{26}-[0-9]+|[0-9a-f]{32})"$'},
    },
    "Idempotency-Replayed": {
        "description": "Present if this is a replay of the first answer.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Link": {
        "description": 'Present if there is another page: <…>; rel="next".',
        "schema": {"type": "string", "pattern": '^<.+>; rel="next"$'},
    },
    "Cache-Control": {
        "description": "no-store: no cache may store the answer; no-cache: caches ask each time.",
        "schema": {"type": "string", "enum": ["no-store", "no-cache"]},
    },
    "Content-Security-Policy": {
        "description": "The page loads its own scripts and styles, and nothing of another host.",
        "schema": {"type": "string"},
    },
    "Referrer-Policy": {
        "description": "Links name no page that they come from.",
        "schema": {"type": "string", "enum": ["no-referrer"]},
    },
    "Cross-Origin-Opener-Policy": {
        "description": "Pages of other origins cannot reach into this one.",
        "schema": {"type": "string", "enum": ["same-origin"]},
    },
    "X-Content-Type-Options": {
        "description": "Browsers take the content for what it is declared as.",
        "schema": {"type": "string", "enum": ["nosniff"]},
    },
    "WWW-Authenticate": {
        "description": "The authentication scheme.",
        "schema": {"type": "string", "enum": ["Bearer"]},
    },
    "Retry-After": {
        "description": "Seconds to wait before a retry.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "RateLimit": {
        "description": "What is left of the quota, and for how long (IETF draft).",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {"description": "The quota (IETF draft).", "schema": {"type": "string"}},
}
REFUSAL_HEADERS = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    503: ("Retry-After",),
}
# Headers that an answer may lack; it always has the others.
NOT_ALWAYS = ("Location", "Idempotency-Replayed", "Link")

REFUSALS = {
    400: "The body is not JSON, or the cursor is not one of Resona's.",
    401: "The request has no valid key.",
    403: "The key lacks the required scope.",
    404: "The path names nothing that exists.",
    409: "The current state does not allow it.",
    410: "The attempt has ended, so nothing was changed.",
    412: "If-Match is not the current ETag, or If-None-Match names the current one.",
    413: "The request is larger than 256 KiB, or the body of a job's request than 64 KiB.",
    415: "The body is not sent as application/json.",
    422: "A field, parameter or header has a wrong value; `errors` names every one, up to 50.",
    429: "Over the tenant's quota.",
    503: "A service that Resona needs is unavailable. Nothing was changed, unless the problem has "
    "`unknown`: then the change may have been made.",
}
# Examples of bodies that are text, by media type.
TEXTS = {
    "text/calendar": "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nX-WR-TIMEZONE:Europe/Berlin\r\n"
    "BEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:20261225\r\nRRULE:FREQ=YEARLY\r\nEND:VEVENT\r\n"
    "END:VCALENDAR\r\n"
}
