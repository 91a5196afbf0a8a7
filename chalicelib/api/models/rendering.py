"""Jobs and runs as clients see them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from chalicelib.domain.ids import run_id
from chalicelib.domain.instant import format_instant, format_measured
from chalicelib.domain.run import Attempt, RunStatus
from chalicelib.domain.run_history import Run
from chalicelib.domain.trigger import describe
from chalicelib.usecases.scheduling import Job

FIXED_KEYS = ("id", "name", "created_at", "next_run_time", "status", "trigger", "request", "result")


def job_view(job: Job) -> dict[str, Any]:
    """Return the job object."""
    definition, state = job.definition, job.state
    request, retry = definition.request, definition.retry
    return {
        "id": definition.id,
        "name": definition.name,
        "created_at": format_instant(definition.created_at),
        "updated_at": format_instant(state.updated_at.replace(microsecond=0)),
        "next_run_time": format_instant(state.next_run_time) if state.next_run_time else None,
        "status": state.status.value,
        "trigger": describe(definition.trigger),
        "request": {
            "url": request.url,
            "method": request.method,
            "headers": dict(request.headers),
            "body": request.body,
        },
        "timeout": _seconds(definition.timeout),
        "retry": {
            "max_attempts": retry.max_attempts,
            "initial_delay": _seconds(retry.initial_delay),
            "max_delay": _seconds(retry.max_delay),
        },
        "overlap": definition.overlap.value,
        "misfire_grace": _seconds(definition.misfire_grace)
        if definition.misfire_grace is not None
        else None,
        "labels": dict(definition.labels),
        "key": definition.key,
        "result": _result_view(job),
    }


def _seconds(duration: timedelta) -> int:
    return round(duration.total_seconds())


def _result_view(job: Job) -> dict[str, Any] | None:
    last, attempt = job.state.last_run, job.result
    if last is None or attempt is None:
        return None
    superseded_at, response = last.superseded_at, attempt.result.response
    view = {
        "run_id": run_id(attempt.job_id, attempt.key),
        "status": (RunStatus.FAILED if superseded_at else attempt.update.status).value,
        "scheduled_time": format_instant(attempt.key.due_at),
        "started_at": format_measured(attempt.run_started_at),
        "finished_at": format_measured(superseded_at or attempt.finished_at),
        "attempts": attempt.number,
        "status_code": attempt.result.status_code,
        "headers": response.headers if response else None,
        "body": response.body if response else None,
        "truncated": response.truncated if response else False,
        "error": attempt.result.error,
    }
    if response and response.encoding:
        view["encoding"] = response.encoding
    return view


def run_view(job_id: str, run: Run, *, with_responses: bool) -> dict[str, Any]:
    """Return the run object; in lists its attempts come without their responses."""
    view: dict[str, Any] = {
        "id": run_id(job_id, run.key),
        "job_id": job_id,
        "cause": "manual" if run.key.manual else "schedule",
        "status": run.status.value,
        "scheduled_time": format_instant(run.key.due_at),
        "started_at": format_measured(run.started_at) if run.started_at else None,
        "finished_at": format_measured(run.finished_at) if run.finished_at else None,
        "lateness_ms": _milliseconds(run.lateness) if run.lateness is not None else None,
        "attempts": [
            _attempt_view(attempt, with_response=with_responses) for attempt in run.attempts
        ],
        "next_attempt_at": format_measured(run.next_attempt_at) if run.next_attempt_at else None,
        "reason": run.reason.value if run.reason else None,
    }
    if run.status is RunStatus.MISSED and run.last_due_at is not None:
        view["missed_count"] = run.missed_count
        view["last_scheduled_time"] = format_instant(run.last_due_at)
    return view


def _attempt_view(attempt: Attempt, *, with_response: bool) -> dict[str, Any]:
    result, response = attempt.result, attempt.result.response
    view: dict[str, Any] = {
        "number": attempt.number,
        "started_at": format_measured(attempt.started_at),
        "duration_ms": _milliseconds(result.duration),
        "outcome": result.outcome.value,
        "status_code": result.status_code,
    }
    if with_response:
        view["response"] = (
            {"headers": response.headers, "body": response.body, "truncated": response.truncated}
            if response
            else None
        )
        if response and response.encoding:
            view["response"]["encoding"] = response.encoding
    view["error"] = result.error
    return view


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
