"""Runs and attempts: the record of what happened and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from chalicelib.domain.ids import RunKey


class Outcome(StrEnum):
    """How one attempt, one HTTP exchange, ended."""

    SUCCESS = "success"
    HTTP_ERROR = "http_error"
    TIMEOUT = "timeout"
    CONNECTION_FAILED = "connection_failed"
    DNS_FAILED = "dns_failed"
    TLS_FAILED = "tls_failed"
    BLOCKED = "blocked"
    PROTOCOL_ERROR = "protocol_error"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Response:
    """What is kept of an answer.

    `headers` has lower-case names, at most 8 KiB in all. `body` is text, at most 16 KiB of the
    answer's bytes; `encoding` is None, or "base64" when those bytes are not UTF-8. `truncated` says
    whether there was more of either.
    """

    headers: dict[str, str]
    body: str
    truncated: bool
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What one attempt came to. A target that fails is data.

    `status_code` and `response` are None when no answer was parsed. `error` is a sentence of ours,
    None on success. `retry_after` is the raw header, None when absent; `domain.retry` decides what
    it means.
    """

    outcome: Outcome
    duration: timedelta
    status_code: int | None = None
    response: Response | None = None
    error: str | None = None
    retry_after: str | None = None


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    MISSED = "missed"
    SKIPPED = "skipped"


class Reason(StrEnum):
    """Why a run ended as it did, where its attempts do not say it."""

    SUPERSEDED = "superseded"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    OVERLAP = "overlap"
    TOO_MANY_RUNS = "too_many_runs"
    MISFIRE = "misfire"


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The record of a run that ended without an attempt of its own: missed, skipped, superseded.

    `missed_count` occurrences, the last of them at `last_due_at`, are one missed run; both are None
    for other endings.
    """

    key: RunKey
    status: RunStatus
    at: datetime
    reason: Reason | None = None
    started_at: datetime | None = None
    missed_count: int | None = None
    last_due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RunUpdate:
    """What an attempt's end means for its run: goes into the attempt's record.

    `next_attempt_at` is set while it is retrying.
    """

    status: RunStatus
    reason: Reason | None = None
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, as it is kept. The record of a run's last attempt carries the run's final status
    in its `update`.

    `owner` is the token under which it was written; `run_started_at` is when attempt 1 was claimed.
    """

    job_id: str
    key: RunKey
    number: int
    owner: str
    started_at: datetime
    run_started_at: datetime
    result: AttemptResult
    update: RunUpdate

    @property
    def finished_at(self) -> datetime:
        """Return when the exchange was over."""
        return self.started_at + self.result.duration


@dataclass(frozen=True, slots=True)
class FinishedAttempt:
    """An attempt whose result is known.

    `owner` is the token that its record is written under. `recorded` is the record that exists
    already, None if there is none.
    """

    owner: str
    started_at: datetime
    result: AttemptResult
    recorded: Attempt | None = None

    @property
    def finished_at(self) -> datetime:
        """Return when the request was over."""
        return self.started_at + self.result.duration
