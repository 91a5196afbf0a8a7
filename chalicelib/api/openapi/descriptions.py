"""What the description says of path parameters, headers and refusals: the words that no route and
no model has.
"""

from __future__ import annotations

from typing import Any

from chalicelib.domain.ids import JOB_ID, JOB_KEY
from chalicelib.domain.secrets import SECRET_NAME

# What stands in a path.
NAMES = {
    "job_id": {
        "description": "A job's id, or `key:` and the key that it was registered with.",
        "schema": {"type": "string", "pattern": f"^({JOB_ID.pattern}|key:{JOB_KEY.pattern})$"},
        "example": "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K",
    },
    "run_id": {
        "description": "A run's id.",
        "schema": {
            "type": "string",
            "pattern": "^run_[0-7][0-9A-HJKMNP-TV-Z]{25}-[0-9A-Z-]{1,30}$",
        },
        "example": "run_01JD9V8M0Q4Q6T5W0H9C1Y3B7K-1-20261201T100000Z",
    },
    "name": {
        "description": "A secret's name.",
        "schema": {"type": "string", "pattern": f"^{SECRET_NAME.pattern}$"},
        "example": "api_token",
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
        "description": "The ETag of what was read: what has changed since is refused with 412.",
        "schema": {"type": "string"},
        "example": '"01JD9V8M0Q4Q6T5W0H9C1Y3B7K-1"',
    },
    "If-None-Match": {
        "description": "`*`, or ETags. If the job is there, or is still one of these: 304 to a GET, 412 to everything else.",
        "schema": {"type": "string"},
        "example": "*",
    },
}
ANSWER_HEADERS: dict[str, dict[str, Any]] = {
    "Location": {"description": "Where the job is.", "schema": {"type": "string"}},
    "ETag": {
        "description": "The job's revision, for If-Match.",
        "schema": {"type": "string", "pattern": '^"[0-9A-Z]{26}-[0-9]+"$'},
    },
    "Idempotency-Replayed": {
        "description": "There when this is the first answer again.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Link": {
        "description": 'There when there is more: <…>; rel="next".',
        "schema": {"type": "string", "pattern": '^<.+>; rel="next"$'},
    },
    "Cache-Control": {
        "description": "It is nobody's to keep.",
        "schema": {"type": "string", "enum": ["no-store"]},
    },
    "Content-Security-Policy": {
        "description": "The page loads nothing.",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "How to say who you are.",
        "schema": {"type": "string", "enum": ["Bearer"]},
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
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
# Always there; the others are there when there is a reason.
NOT_ALWAYS = ("Location", "Idempotency-Replayed", "Link")

REFUSALS = {
    400: "The body is not JSON, or the cursor is not one of Resona's.",
    401: "There is no valid key.",
    403: "The key has not the scope that this needs.",
    404: "There is no such thing.",
    409: "The state does not allow it.",
    412: "It has changed since: If-Match is not current. Or it is there, and If-None-Match asks that it be not.",
    413: "The request is larger than 256 KiB, or the body of a job's request larger than 64 KiB.",
    415: "The body is not sent as application/json.",
    422: "A field, query parameter or header has a wrong value; `errors` names every one, up to 50.",
    429: "Over the tenant's quota.",
    503: "A part that Resona needs is unavailable. Nothing was changed, unless the problem says that it is `unknown`.",
}
