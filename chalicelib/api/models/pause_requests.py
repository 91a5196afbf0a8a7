"""Read from request bodies how long a job is paused, and how many occurrences are skipped."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from chalicelib.api.models.policy_requests import Seconds
from chalicelib.api.models.texts import TEXT, check_text
from chalicelib.api.models.validation import Errors, Strict, require_object
from chalicelib.domain.trigger import at_offset

_UNTIL = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d{1,30})?)?([Zz]|[+-]\d\d(:?[0-5]\d)?)$"


class PauseIn(Strict):
    """How long a job is paused, and why."""

    until: str | None = Field(
        None,
        description="ISO 8601 with an offset, in the future and at most 10 years ahead: the job "
        "resumes by itself then. null: when it is resumed.",
        json_schema_extra={"format": "iso-8601", "pattern": _UNTIL},
    )
    reason: (
        Annotated[
            str,
            StringConstraints(min_length=1, max_length=200),
            Field(json_schema_extra={"pattern": TEXT}),
        ]
        | None
    ) = Field(None, description="Why, in your own words and one line.")


class SkipIn(Strict):
    """How many of the next occurrences are skipped."""

    count: Seconds = Field(
        ge=0, le=100, description="It replaces an earlier count; 0 takes that back."
    )


def read_pause(body: object, now: datetime) -> tuple[datetime | None, str | None]:
    """Return when a pause ends, and its reason. Raises InvalidInput."""
    document, errors = require_object(body), Errors()
    sent = errors.validate(PauseIn, document, ())
    text, until = document.get("until"), None
    check_text(errors, "reason", sent.reason if sent else None)
    if isinstance(text, str):
        until = errors.collect(lambda: at_offset(text, "until", now))
    errors.raise_if_any()
    return until, sent.reason if sent else None


def read_skip(body: object) -> int:
    """Return how many occurrences are to be skipped. Raises InvalidInput."""
    document, errors = require_object(body), Errors()
    sent = errors.validate(SkipIn, document, ())
    errors.raise_if_any()
    assert sent  # noqa: S101  no error was found
    return sent.count
