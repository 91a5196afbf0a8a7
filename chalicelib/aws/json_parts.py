"""Convert parts of definitions and states to values of JSON and back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from chalicelib.domain.completion import Awaited, Completion
from chalicelib.domain.state_parts import InLine
from chalicelib.domain.success import SuccessRule


def dump_success(rule: SuccessRule) -> dict[str, Any]:
    """Return a rule of success as a value of JSON."""
    return {"statuses": rule.statuses, "contains": rule.contains, "json": dict(rule.json)}


def load_success(raw: dict[str, Any]) -> SuccessRule:
    """Read what `dump_success` returned."""
    statuses = tuple((first, last) for first, last in raw["statuses"])
    return SuccessRule(statuses, raw["contains"], raw["json"])


def dump_completion(completion: Completion) -> list[Any]:
    """Return how a job is completed as a value of JSON."""
    return [completion.deadline.total_seconds(), completion.base_url]


def load_completion(raw: list[Any]) -> Completion:
    """Read what `dump_completion` returned."""
    return Completion(timedelta(seconds=raw[0]), raw[1])


def dump_awaited(awaited: Awaited) -> list[str]:
    """Return what a run awaits as a value of JSON.

    0.1.0 ignores it, and takes the deadline for the time of the next attempt.
    """
    return [awaited.digest, awaited.since.isoformat(), awaited.until.isoformat()]


def load_awaited(raw: list[str]) -> Awaited:
    """Read what `dump_awaited` returned."""
    digest, since, until = raw
    return Awaited(digest, datetime.fromisoformat(since), datetime.fromisoformat(until))


def load_line(raw: list[str]) -> InLine:
    """Read the place of a run in line."""
    return InLine(raw[0], raw[1], datetime.fromisoformat(raw[2]))
