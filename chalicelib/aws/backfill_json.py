"""Convert the backfill of a state to JSON and back."""

from __future__ import annotations

from typing import Any

from chalicelib.domain.backfill import Backfill
from chalicelib.domain.instant import format_instant, parse_instant


def dump_backfill(backfill: Backfill | None) -> list[Any] | None:
    """Return a backfill as JSON; None for none."""
    if backfill is None:
        return None
    since, until = format_instant(backfill.since), format_instant(backfill.until)
    return [backfill.token, since, until, backfill.runs, backfill.left]


def load_backfill(raw: list[Any] | None) -> Backfill | None:
    """Read a backfill from JSON; None for none."""
    if raw is None:
        return None
    token, since, until, runs, left = raw
    return Backfill(token, parse_instant(since), parse_instant(until), runs, left)
