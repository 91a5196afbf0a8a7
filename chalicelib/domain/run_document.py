"""The run object: a run as the API shows it and as notices carry it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from chalicelib.domain.ids import RunKey, run_id
from chalicelib.domain.instant import format_instant, format_measured
from chalicelib.domain.run import Attempt, Response
from chalicelib.domain.run_history import Run


def run_document(job_id: str, run: Run, *, with_responses: bool) -> dict[str, Any]:
    """Return the run object; in lists its attempts come without their responses."""
    document: dict[str, Any] = {
        "id": run_id(job_id, run.key),
        "job_id": job_id,
        "cause": _cause(run.key),
        "status": run.status,
        "scheduled_time": format_instant(run.key.due_at),
        "started_at": _measured(run.started_at),
        "finished_at": _measured(run.finished_at),
        "lateness_ms": None if run.lateness is None else _milliseconds(run.lateness),
        "attempts": [_attempt(one, with_response=with_responses) for one in run.attempts],
        "next_attempt_at": _measured(run.next_attempt_at),
        "reason": f"{run.reason}:{run.calendar}" if run.calendar else run.reason,
    }
    if run.missed_count is not None and run.last_due_at is not None:
        document["missed_count"] = run.missed_count
        document["last_scheduled_time"] = format_instant(run.last_due_at)
    if run.deadline is not None:
        document["deadline"] = format_measured(run.deadline)
    if run.waits_for is not None:
        document["waits_for"] = run.waits_for
    if run.waited and run.started_at is not None:
        document["waited_ms"] = _milliseconds(run.waited)
    if run.key.retry_of is not None:
        document["retry_of"] = run_id(job_id, run.key.retry_of)
    if run.is_retried:
        document["retried_by"] = run_id(job_id, run.key.retried_by)
    return document


def _cause(key: RunKey) -> str:
    if key.retry:
        return "retry"
    if key.backfill:
        return "backfill"
    return "manual" if key.manual else "schedule"


def _attempt(attempt: Attempt, *, with_response: bool) -> dict[str, Any]:
    result, response = attempt.result, attempt.result.response
    document: dict[str, Any] = {
        "number": attempt.number,
        "started_at": format_measured(attempt.started_at),
        "duration_ms": _milliseconds(result.duration),
        "outcome": result.outcome,
        "status_code": result.status_code,
        "response": _response(response) if response else None,
        "error": result.error,
    }
    if result.message is not None:
        document["message"] = result.message
    if not with_response:
        del document["response"]
    return document


def _response(response: Response) -> dict[str, Any]:
    document: dict[str, Any] = {
        "headers": response.headers,
        "body": response.body,
        "truncated": response.truncated,
    }
    if response.encoding:
        document["encoding"] = response.encoding
    return document


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)


def _measured(at: datetime | None) -> str | None:
    return format_measured(at) if at else None
