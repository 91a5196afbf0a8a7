"""Errors as clients see them: RFC 9457 problem documents."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from chalice.app import Response

from chalicelib.api.json_body import NotJson
from chalicelib.domain.errors import (
    InvalidInput,
    NotCurrent,
    NotFound,
    QuotaExceeded,
    Refused,
    ResonaError,
    Unavailable,
)
from chalicelib.domain.request import BodyTooLarge

# Python 3.11 still says "Unprocessable Entity" and "Request Entity Too Large"; RFC 9110 renamed
# both.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


# What is said of a path that is not there, wherever it is said: by a laptop, by API Gateway, and by
# a route that is switched off.
NO_ROUTE = "there is no such route"

# So many wrong fields are told in the sentence; `errors` has them all. A body may hold tens of
# thousands, and Lambda answers at most 6 MB.
_TOLD = 10


class Refusal(ResonaError):
    """An answer that the door itself gives: wrong content type, too large, no key.

    `status` is the answer's.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.headers = headers or {}
        super().__init__(detail)


class NoKey(Refusal):
    """No valid key (401).

    What is wrong with the one that was sent is not said, nor could API Gateway say it.
    """

    def __init__(self) -> None:
        super().__init__(
            401, "send a valid key: Authorization: Bearer rsn_…", {"WWW-Authenticate": "Bearer"}
        )


def problem(
    status: int, detail: str, headers: dict[str, str] | None = None, **members: object
) -> Response:
    """Make a problem document."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
    }
    document["detail"] = detail
    document.update(members)
    return Response(
        body=json.dumps(document, ensure_ascii=False),
        status_code=status,
        headers={"Content-Type": "application/problem+json", **(headers or {})},
    )


def answer_to(error: ResonaError) -> Response:
    """Return the answer that an error of ours stands for."""
    detail = str(error)
    match error:
        case Refusal():
            return problem(error.status, detail, error.headers)
        case InvalidInput():
            if len(error.errors) > _TOLD:
                detail = f"{InvalidInput(error.errors[:_TOLD])}; and {len(error.errors) - _TOLD} more, under errors"
            return problem(
                422,
                detail,
                errors=[{"field": wrong.field, "message": wrong.message} for wrong in error.errors],
            )
        case NotJson():
            return problem(400, detail)
        case NotFound():
            return problem(404, detail)
        case Refused():
            return problem(409, detail)
        case NotCurrent():
            return problem(412, detail)
        case BodyTooLarge():
            return problem(413, detail)
        case QuotaExceeded():
            return problem(429, detail, _rate_limit(error))
        case Unavailable():
            return problem(
                503, detail, {"Retry-After": "1"}, **({"unknown": True} if error.unknown else {})
            )
        case _:
            raise error


def _rate_limit(error: QuotaExceeded) -> dict[str, str]:
    """Return what clients read: Retry-After nearly all of them, the others by
    draft-ietf-httpapi-ratelimit-headers-11.
    """
    window = f";w={error.window}" if error.window else ""
    return {
        "Retry-After": str(error.retry_after),
        "RateLimit-Policy": f'"{error.quota}";q={error.limit}{window}',
        "RateLimit": f'"{error.quota}";r=0;t={error.retry_after}',
    }
