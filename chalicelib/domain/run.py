"""The records of runs and attempts: how each ended, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from chalicelib.domain.ids import RunKey


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCESS = "success"
    HTTP_ERROR = "http_error"
    UNEXPECTED = "unexpected"
    TIMEOUT = "timeout"
    CONNECTION_FAILED = "connection_failed"
    DNS_FAILED = "dns_failed"
    TLS_FAILED = "tls_failed"
    BLOCKED = "blocked"
    PROTOCOL_ERROR = "protocol_error"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Response:
    """The part of a target's answer that is stored.

    `headers` has lower-case names, at most 8 KiB in all. `body` is text, at most 16 KiB of the
    answer's bytes; `encoding` is None, or "base64" if those bytes are not UTF-8. `truncated` is
    True if headers or body were longer.
    """

    headers: dict[str, str]
    body: str
    truncated: bool
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The result of one attempt. A failing target is data, not an exception.

    `status_code` and `response` are None if no answer was parsed. `error` is a sentence that Resona
    wrote, None on success. `retry_after` is the header as received, None if absent; `domain.retry`
    interprets it. `forbids_retry` says whether the target sent `Resona-Retry: no`, or the like by
    callback; it is not stored. Nor is `received`, the beginning of the body in which no secret is
    hidden. `message` is what the target said by callback, None if it said nothing.
    """

    outcome: Outcome
    duration: timedelta
    status_code: int | None = None
    response: Response | None = None
    error: str | None = None
    retry_after: str | None = None
    forbids_retry: bool = False
    received: bytes | None = field(default=None, repr=False, compare=False)
    message: str | None = None


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    MISSED = "missed"
    SKIPPED = "skipped"


# The statuses of runs that are over.
ENDED = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.MISSED, RunStatus.SKIPPED)


class Reason(StrEnum):
    """Why a run ended, if its attempts do not show it."""

    SUPERSEDED = "superseded"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    OVERLAP = "overlap"
    TOO_MANY_RUNS = "too_many_runs"
    MISFIRE = "misfire"
    PAUSED = "paused"
    ASKED = "asked"
    CANCELLED = "cancelled"
    CALENDAR = "calendar"


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The record of an end without an attempt of its own: missed, skipped, superseded, cancelled.

    One missed run stands for `missed_count` successive occurrences, the last of them due at
    `last_due_at`; both are None for other ends. `calendar` is the name of the calendar that
    excludes the occurrence, None for other reasons.
    """

    key: RunKey
    status: RunStatus
    at: datetime
    reason: Reason | None = None
    started_at: datetime | None = None
    missed_count: int | None = None
    last_due_at: datetime | None = None
    calendar: str | None = None


@dataclass(frozen=True, slots=True)
class RunUpdate:
    """What an attempt means for its run: it succeeded, failed, is retrying or waits for a callback.

    Stored in the attempt's record. `next_attempt_at` is set if the run is retrying, else None.
    """

    status: RunStatus
    reason: Reason | None = None
    next_attempt_at: datetime | None = None

    @property
    def is_end(self) -> bool:
        """Return whether the run has ended."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class Attempt:
    """The stored record of one attempt.

    `update` of a run's last attempt holds the run's final status. `owner` is the token of the
    executor that wrote the record; `run_started_at` is when attempt 1 was claimed. `planned_at` and
    `waited` are as in `domain.state.UnfinishedRun`.
    """

    job_id: str
    key: RunKey
    number: int
    owner: str
    started_at: datetime
    run_started_at: datetime
    result: AttemptResult
    update: RunUpdate
    planned_at: datetime | None = None
    digest: str | None = None
    waited: timedelta = timedelta(0)

    @property
    def lateness(self) -> timedelta:
        """Return how late the run started, without the time for which its flow held it."""
        due_at = self.planned_at or self.key.asked_at
        return self.run_started_at - due_at - self.waited

    @property
    def finished_at(self) -> datetime:
        """Return when the request was over, or when its callback came."""
        return self.started_at + self.result.duration


@dataclass(frozen=True, slots=True)
class FinishedAttempt:
    """An attempt whose result is known.

    `owner` is the token with which its record is written. `recorded` is the record if it is stored
    already, else None. `is_final` says that no callback is waited for: it came, or the answer is
    all that counts.
    """

    owner: str
    started_at: datetime
    result: AttemptResult
    recorded: Attempt | None = None
    is_final: bool = False

    @property
    def finished_at(self) -> datetime:
        """Return when the request was over."""
        return self.started_at + self.result.duration
