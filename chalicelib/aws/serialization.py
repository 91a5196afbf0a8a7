"""Convert definitions, states, runs and messages to JSON and back.

The JSON of earlier releases is read too. Items store JSON as text, so that the digits of numbers,
empty keys and deep nesting survive DynamoDB.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.aws import json_parts as parts
from chalicelib.aws.backfill_json import dump_backfill, load_backfill
from chalicelib.aws.packing import listed
from chalicelib.domain.exact_json import read, write
from chalicelib.domain.flows import Wait
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Callbacks, Definition, Kind, Overlap
from chalicelib.domain.request import Request
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import (
    Attempt,
    AttemptResult,
    Outcome,
    Reason,
    Response,
    RunEnd,
    RunStatus,
    RunUpdate,
)
from chalicelib.domain.state import DueMessage, LastRun, State, Status, UnfinishedRun
from chalicelib.domain.state_parts import RESONA, Failing, PassedOver, Pause
from chalicelib.domain.trigger import describe, restore

# How a state stores the statuses of its recent runs: a letter each.
_LETTERS = {
    RunStatus.SUCCEEDED: "s",
    RunStatus.FAILED: "f",
    RunStatus.MISSED: "m",
    RunStatus.SKIPPED: "k",
}
_STATUSES = {letter: status for status, letter in _LETTERS.items()}
_NEW_REASONS = (Reason.PAUSED, Reason.ASKED, Reason.CALENDAR)


def _dump(document: dict[str, Any]) -> str:
    kept = {name: value for name, value in document.items() if value is not None}
    return write(kept)


def _time(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at is not None else None


def _read_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None


def _read_needed_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def sortable(at: datetime) -> str:
    """Return a time in UTC as a text of fixed width; the texts sort as the times do."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def dump_definition(definition: Definition) -> str:
    """Return a definition as JSON."""
    request = definition.request
    return _dump(
        {
            "id": definition.id,
            "tenant": definition.tenant,
            "generation": definition.generation,
            "edition": definition.edition,
            "name": definition.name,
            "created_at": _time(definition.created_at),
            "trigger": describe(definition.trigger),
            "request": {
                "url": request.url,
                "method": request.method,
                "headers": dict(request.headers),
                "body": request.body,
            },
            "timeout": definition.timeout.total_seconds(),
            "retry": [
                definition.retry.max_attempts,
                definition.retry.initial_delay.total_seconds(),
                definition.retry.max_delay.total_seconds(),
            ],
            # Not in `retry`, of which 0.1.0 takes three numbers.
            "delays": [delay.total_seconds() for delay in definition.retry.delays] or None,
            "never_retry": list(definition.retry.never) or None,
            "success": parts.dump_success(definition.success) if definition.success else None,
            "completion": parts.dump_completion(definition.completion)
            if definition.completion
            else None,
            "overlap": definition.overlap,
            "misfire_grace": definition.misfire_grace.total_seconds()
            if definition.misfire_grace is not None
            else None,
            "labels": dict(definition.labels),
            "key": definition.key,
            "callbacks": _callbacks(definition.callbacks),
            "pause_after": definition.pause_after,
            "flow": definition.flow,
            "kind": definition.kind if definition.kind is not Kind.JOB else None,
        }
    )


def _callbacks(callbacks: Callbacks) -> list[str | None] | None:
    return [callbacks.succeeded, callbacks.failed] if callbacks != Callbacks() else None


def load_definition(text: str) -> Definition:
    """Read a definition from JSON."""
    raw: Any = read(text)
    request, (max_attempts, initial_delay, max_delay) = raw["request"], raw["retry"]
    grace = raw.get("misfire_grace")
    return Definition(
        id=raw["id"],
        tenant=raw["tenant"],
        generation=raw["generation"],
        name=raw["name"],
        created_at=_read_needed_time(raw["created_at"]),
        trigger=restore(raw["trigger"]),
        request=Request(request["url"], request["method"], request["headers"], request.get("body")),
        timeout=timedelta(seconds=raw["timeout"]),
        retry=RetryPolicy(
            max_attempts,
            timedelta(seconds=initial_delay),
            timedelta(seconds=max_delay),
            tuple(timedelta(seconds=delay) for delay in raw.get("delays", ())),
            tuple(
                one if isinstance(one, int) else Outcome(one) for one in raw.get("never_retry", ())
            ),
        ),
        success=parts.load_success(raw["success"]) if "success" in raw else None,
        completion=parts.load_completion(raw["completion"]) if "completion" in raw else None,
        overlap=Overlap(raw["overlap"]),
        misfire_grace=timedelta(seconds=grace) if grace is not None else None,
        labels=raw.get("labels", {}),
        key=raw.get("key"),
        edition=raw.get("edition", 1),
        callbacks=Callbacks(*raw.get("callbacks", ())),
        pause_after=raw.get("pause_after"),
        flow=raw.get("flow"),
        kind=Kind(raw.get("kind", Kind.JOB)),
    )


def dump_state(state: State) -> str:
    """Return a state as JSON, without the attributes of its item (`revision`, `watch_at`)."""
    last, failing, pause = state.last_run, state.failing, state.pause
    # 0.1.0 reads neither the key of a retry nor that of a backfill, and ignores an unknown name.
    is_new = last is not None and (last.key.retry or last.key.backfill)
    name_of_last = "last_retry" if is_new else "last_run"
    return _dump(
        {
            "tenant": state.tenant,
            "generation": state.generation,
            "defined_in": state.defined_in,
            "status": state.status,
            "updated_at": _time(state.updated_at),
            "next_due_at": _time(state.next_due_at),
            "covered": state.covered,
            "token": state.token,
            "doubted_until": _time(state.doubted_until),
            "runs": [_dump_unfinished_run(run) for run in state.runs] or None,
            name_of_last: _dump_last_run(last) if last else None,
            "edition": state.edition,
            "recent": "".join(_LETTERS[status] for status in state.recent) or None,
            "failing": [failing.count, _time(failing.since), *failing.told] if failing else None,
            "pause": [_time(pause.since), pause.reason, _time(pause.until), pause.by]
            if pause
            else None,
            "skips": state.skips or None,
            "counted": state.counted or None,
            "armed_by": state.armed_by,
            "backfill": dump_backfill(state.backfill),
            "passed_over": [_time(state.passed_over.until)] if state.passed_over else None,
        }
    )


def load_state(job_id: str, revision: int, watch_at: datetime | None, text: str) -> State:
    """Read a state from its item's attributes and JSON."""
    raw = json.loads(text)
    last = raw.get("last_retry") or raw.get("last_run")
    failing, pause = raw.get("failing"), raw.get("pause")
    return State(
        job_id=job_id,
        tenant=raw["tenant"],
        revision=revision,
        generation=raw["generation"],
        defined_in=raw["defined_in"],
        status=Status(raw["status"]),
        updated_at=_read_needed_time(raw["updated_at"]),
        next_due_at=_read_time(raw.get("next_due_at")),
        covered=raw.get("covered", True),
        token=raw.get("token"),
        doubted_until=_read_time(raw.get("doubted_until")),
        runs=tuple(_load_unfinished_run(run) for run in raw.get("runs", ())),
        last_run=LastRun(RunKey.parse(last[0]), last[1], *map(_read_time, last[2:]))
        if last
        else None,
        watch_at=watch_at,
        edition=raw.get("edition", 1),
        recent=tuple(_STATUSES[letter] for letter in raw.get("recent", "")),
        failing=Failing(failing[0], _read_needed_time(failing[1]), tuple(failing[2:]))
        if failing
        else None,
        pause=_load_pause(*pause) if pause else None,
        skips=raw.get("skips", 0),
        counted=raw.get("counted", 0),
        armed_by=raw.get("armed_by"),
        backfill=load_backfill(raw.get("backfill")),
        passed_over=PassedOver(*map(_read_time, raw["passed_over"]))
        if "passed_over" in raw
        else None,
    )


def _load_pause(
    since: str, reason: str | None, until: str | None = None, by: str | None = RESONA
) -> Pause:
    return Pause(_read_needed_time(since), reason, _read_time(until), by)


def _dump_last_run(last: LastRun) -> list[Any]:
    planned = [_time(last.planned_at)] if last.planned_at else []
    return [str(last.key), last.attempt, _time(last.closed_at), *planned]


def _dump_unfinished_run(run: UnfinishedRun) -> dict[str, Any]:
    document = {
        "key": str(run.key),
        "generation": run.generation,
        "attempt": run.attempt,
        "owner": run.owner,
        "lease_until": _time(run.lease_until),
        "next_attempt_at": _time(run.next_attempt_at),
        "started_at": _time(run.started_at),
        "covered": None if run.covered else False,
        "planned_at": _time(run.planned_at),
        "awaited": parts.dump_awaited(run.awaited) if run.awaited else None,
        "waits_for": run.waits_for,
        "waited": run.waited.total_seconds() or None,
        "series": run.series,
        "line": [run.line.part, run.line.token, _time(run.line.since)] if run.line else None,
    }
    return {name: value for name, value in document.items() if value is not None}


def _load_unfinished_run(raw: dict[str, Any]) -> UnfinishedRun:
    return UnfinishedRun(
        key=RunKey.parse(raw["key"]),
        generation=raw["generation"],
        attempt=raw["attempt"],
        owner=raw.get("owner"),
        lease_until=_read_time(raw.get("lease_until")),
        next_attempt_at=_read_time(raw.get("next_attempt_at")),
        started_at=_read_time(raw.get("started_at")),
        covered=raw.get("covered", True),
        planned_at=_read_time(raw.get("planned_at")),
        awaited=parts.load_awaited(raw["awaited"]) if "awaited" in raw else None,
        waits_for=Wait(raw["waits_for"]) if "waits_for" in raw else None,
        waited=timedelta(seconds=raw.get("waited", 0)),
        series=raw.get("series"),
        line=parts.load_line(raw["line"]) if "line" in raw else None,
    )


def dump_attempt(record: Attempt) -> str:
    """Return an attempt as JSON, without job, run, number and owner: they are item attributes."""
    result, update, response = record.result, record.update, record.result.response
    is_unexpected = result.outcome is Outcome.UNEXPECTED
    is_waiting = update.status is RunStatus.WAITING
    return _dump(
        {
            "started_at": _time(record.started_at),
            "run_started_at": _time(record.run_started_at),
            "duration_ms": round(result.duration.total_seconds() * 1000, 3),
            # 0.1.0 does not know `unexpected`.
            "outcome": Outcome.HTTP_ERROR if is_unexpected else result.outcome,
            "unexpected": is_unexpected or None,
            "status_code": result.status_code,
            "response": listed(response) if response else None,
            "error": result.error,
            "retry_after": result.retry_after,
            "message": result.message,
            # Nor does it know `waiting`.
            "status": RunStatus.RETRYING if is_waiting else update.status,
            "waiting": is_waiting or None,
            "reason": update.reason,
            "next_attempt_at": _time(update.next_attempt_at),
            "planned_at": _time(record.planned_at),
            "digest": record.digest,
            "waited": record.waited.total_seconds() or None,
        }
    )


def load_attempt(job_id: str, key: RunKey, number: int, owner: str, text: str) -> Attempt:
    """Read an attempt from its item's attributes and JSON."""
    raw = json.loads(text)
    reason, response = raw.get("reason"), raw.get("response")
    return Attempt(
        job_id=job_id,
        key=key,
        number=number,
        owner=owner,
        started_at=_read_needed_time(raw["started_at"]),
        run_started_at=_read_needed_time(raw["run_started_at"]),
        result=AttemptResult(
            outcome=Outcome.UNEXPECTED if raw.get("unexpected") else Outcome(raw["outcome"]),
            duration=timedelta(milliseconds=raw["duration_ms"]),
            status_code=raw.get("status_code"),
            response=Response(*response) if response else None,
            error=raw.get("error"),
            retry_after=raw.get("retry_after"),
            message=raw.get("message"),
        ),
        update=RunUpdate(
            RunStatus.WAITING if raw.get("waiting") else RunStatus(raw["status"]),
            Reason(reason) if reason else None,
            _read_time(raw.get("next_attempt_at")),
        ),
        planned_at=_read_time(raw.get("planned_at")),
        digest=raw.get("digest"),
        waited=timedelta(seconds=raw.get("waited", 0)),
    )


def dump_ending(end: RunEnd) -> str:
    """Return the end of a run that ended without an attempt as JSON, without its run."""
    return _dump(
        {
            "status": end.status,
            "at": _time(end.at),
            # MISFIRE is not stored: the status implies it, and the previous release, which reads
            # records during a deployment, does not know it, nor the reasons in `why`.
            "reason": end.reason if end.reason not in (Reason.MISFIRE, *_NEW_REASONS) else None,
            "why": end.reason if end.reason in _NEW_REASONS else None,
            "calendar": end.calendar,
            "started_at": _time(end.started_at),
            "missed_count": end.missed_count,
            "last_due_at": _time(end.last_due_at),
        }
    )


def load_ending(key: RunKey, text: str) -> RunEnd:
    """Read the end of a run without an attempt of its own from the JSON of `dump_ending`."""
    raw = json.loads(text)
    status = RunStatus(raw["status"])
    usual = Reason.MISFIRE if status is RunStatus.MISSED else raw.get("reason")
    reason = raw.get("why", usual)
    return RunEnd(
        key=key,
        status=status,
        at=_read_needed_time(raw["at"]),
        reason=Reason(reason) if reason else None,
        started_at=_read_time(raw.get("started_at")),
        missed_count=raw.get("missed_count"),
        last_due_at=_read_time(raw.get("last_due_at")),
        calendar=raw.get("calendar"),
    )


def dump_due(due: DueMessage) -> str:
    """Return the body of a due message: ids and times, no user data."""
    return _dump(
        {
            "job_id": due.job_id,
            "tenant": due.tenant,
            "run": str(due.key),
            "at": _time(due.at),
            "by": due.by,
        }
    )


def load_due(text: str) -> DueMessage:
    """Read a due message. Raises ValueError or KeyError for any other text."""
    raw = json.loads(text)
    return DueMessage(
        raw["job_id"],
        raw["tenant"],
        RunKey.parse(raw["run"]),
        _read_needed_time(raw["at"]),
        raw.get("by"),
    )
