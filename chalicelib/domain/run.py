"""Runs and attempts: the record of what happened and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


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

    `headers` has lower-case names, at most 8 KiB in all. `body` is text, at most 16 KiB of the answer's bytes;
    `encoding` is None, or "base64" when those bytes are not UTF-8. `truncated` says whether there was more of either.
    """

    headers: dict[str, str]
    body: str
    truncated: bool
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one attempt came to. A target that fails is data.

    `status_code` and `response` are None when no answer was parsed. `error` is a sentence of ours, None on success.
    `retry_after` is the raw header, None when absent; `domain.retry` decides what it means.
    """

    outcome: Outcome
    duration: timedelta
    status_code: int | None = None
    response: Response | None = None
    error: str | None = None
    retry_after: str | None = None
