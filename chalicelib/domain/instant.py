"""Instants as texts: due times in whole seconds, measured times in milliseconds, always UTC with
`Z`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_SENT = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,30})?([Zz]|[+-]\d{2}:[0-5]\d)", re.ASCII
)


def format_instant(at: datetime) -> str:
    """Write a due time: `2026-12-01T10:00:00Z`. A fraction of a second is left out."""
    return at.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def format_measured(at: datetime) -> str:
    """Write a measured time: `2026-12-01T10:00:00.187Z`.

    What is below a millisecond is left out.
    """
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_instant(text: str) -> datetime:
    """Read either back. Raises ValueError for what neither writes."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("an instant names its offset")
    return at.astimezone(UTC)


def read_instant(sent: object) -> datetime | None:
    """Read an instant that a client sent, by RFC 3339 with any offset; None if it is not one."""
    if not isinstance(sent, str) or not _SENT.fullmatch(sent):
        return None
    try:
        return datetime.fromisoformat(sent.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
