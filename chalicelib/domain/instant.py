"""Write and read instants: due times in seconds, measured times in milliseconds, in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_SENT = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,30})?([Zz]|[+-]\d{2}:[0-5]\d)", re.ASCII
)


def format_instant(at: datetime) -> str:
    """Write a due time as `2026-12-01T10:00:00Z`, rounded down to a second."""
    return at.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def format_measured(at: datetime) -> str:
    """Write a measured time as `2026-12-01T10:00:00.187Z`, rounded down to a millisecond."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 time with an offset, in any form that `fromisoformat` takes, as UTC.

    Raises ValueError for other texts.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("an instant must have an offset")
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("an instant must be in the years 1 to 9999 in UTC") from error


def read_instant(sent: object) -> datetime | None:
    """Read an RFC 3339 time with any offset that a client sent; None if it is not one."""
    if not isinstance(sent, str) or not _SENT.fullmatch(sent):
        return None
    try:
        return parse_instant(sent.upper())
    except ValueError:
        return None
