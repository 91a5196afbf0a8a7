"""Errors as clients see them: RFC 9457 problem documents."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from http import HTTPStatus

from chalice.app import Response

from chalicelib.api.json_body import NotJson
from chalicelib.api.models.answer_models import FieldProblem, Problem
from chalicelib.domain.errors import (
    CompletionOver,
    FieldError,
    InvalidInput,
    NotCurrent,
    NotFound,
    QuotaExceeded,
    Refused,
    ResonaError,
    Unavailable,
    shortened,
)
from chalicelib.domain.request import BodyTooLarge

# RFC 9110 renamed these two; Python 3.11 has the old names.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


# The answer to an unknown path: from the local server, from API Gateway, and from a disabled route.
NO_ROUTE = "there is no such route: GET /docs shows all; a key or a name in a path has no slash"

# A body may have tens of thousands of wrong fields with long names; Lambda answers at most 6 MB.
MOST_ERRORS = 50
LARGEST_PROBLEM = 64 * 1024
_LONGEST_DETAIL = 1000
_REST = "; errors has the first {}"

NO_KEY = (
    "send a valid key in the header Authorization: Bearer rsn_…; without Bearer, or in another "
    "header such as X-Api-Key, none is read"
)


class Refusal(ResonaError):
    """A call that the HTTP layer refuses: wrong content type, too large, no key.

    `status` is the status of the answer.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.headers = headers or {}
        super().__init__(detail)


class NoKey(Refusal):
    """No valid key (401). Like API Gateway's, the answer does not say what is wrong with it."""

    def __init__(self) -> None:
        super().__init__(401, NO_KEY, {"WWW-Authenticate": "Bearer"})


def problem(
    status: int,
    detail: str,
    headers: dict[str, str] | None = None,
    *,
    errors: Sequence[FieldError] = (),
    most_bytes: int = LARGEST_PROBLEM,
    unknown: bool = False,
) -> Response:
    """Make a problem document of at most `most_bytes`, which must be at least 16 KiB.

    Texts of the client are shortened, and at most 50 of the `errors` are shown.
    """
    document = Problem(
        type="about:blank",
        title=_TITLES.get(status) or HTTPStatus(status).phrase,
        status=status,
        detail=shortened(detail, _LONGEST_DETAIL),
    )
    if unknown:
        document["unknown"] = True
    if errors:
        document["errors"] = _shown(errors, most_bytes - _size(document) - len(_REST))
        if len(document["errors"]) < len(errors):
            document["detail"] += _REST.format(len(document["errors"]))
    return Response(
        body=json.dumps(document, ensure_ascii=False),
        status_code=status,
        headers={"Content-Type": "application/problem+json", **(headers or {})},
    )


def _shown(errors: Sequence[FieldError], room: int) -> list[FieldProblem]:
    shown = [
        FieldProblem(field=error.field, message=error.message)
        for error in (one.shortened() for one in errors[:MOST_ERRORS])
    ]
    sizes = itertools.accumulate(_size(entry) for entry in shown)
    return [entry for entry, size in zip(shown, sizes, strict=True) if size <= room]


def _size(part: object) -> int:
    """Return an upper bound of the size in bytes of a part of a document and its comma."""
    return len(json.dumps(part)) + len(", ")


def answer_to(error: ResonaError, most_bytes: int = LARGEST_PROBLEM) -> Response:
    """Return the problem document for an error, of at most `most_bytes`."""
    detail = str(error)
    match error:
        case Refusal():
            return problem(error.status, detail, error.headers)
        case InvalidInput():
            return problem(422, detail, errors=error.errors, most_bytes=most_bytes)
        case NotJson():
            return problem(400, detail)
        case NotFound():
            return problem(404, detail)
        case Refused():
            return problem(409, detail)
        case CompletionOver():
            return problem(410, detail)
        case NotCurrent():
            return problem(412, detail)
        case BodyTooLarge():
            return problem(413, detail)
        case QuotaExceeded():
            return problem(429, detail, _rate_limit(error))
        case Unavailable():
            return problem(503, detail, {"Retry-After": "1"}, unknown=error.unknown)
        case _:
            raise error


def _rate_limit(error: QuotaExceeded) -> dict[str, str]:
    """Return Retry-After, and the headers of draft-ietf-httpapi-ratelimit-headers-11."""
    window = f";w={error.window}" if error.window else ""
    return {
        "Retry-After": str(error.retry_after),
        "RateLimit-Policy": f'"{error.quota}";q={error.limit}{window}',
        "RateLimit": f'"{error.quota}";r=0;t={error.retry_after}',
    }
