"""Decide whether a failed attempt is retried, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from chalicelib.domain.run import AttemptResult, Outcome

_RETRIED_STATUSES = frozenset({408, 425, 429})
_RETRIED_OUTCOMES = frozenset(
    {
        Outcome.TIMEOUT,
        Outcome.CONNECTION_FAILED,
        Outcome.DNS_FAILED,
        Outcome.PROTOCOL_ERROR,
        Outcome.UNKNOWN,
        Outcome.UNEXPECTED,
    }
)
MAX_JITTER = 0.1
# With `delays`, a target may ask for at most this long a pause.
LONGEST_PAUSE = timedelta(seconds=3600)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon a run is retried.

    `max_attempts` includes the first attempt; delays double up to `max_delay`. `delays` take their
    place, one after each attempt, the last one also after all later ones. `never` are outcomes and
    statuses that are not retried.
    """

    max_attempts: int = 3
    initial_delay: timedelta = timedelta(seconds=10)
    max_delay: timedelta = LONGEST_PAUSE
    delays: tuple[timedelta, ...] = ()
    never: tuple[Outcome | int, ...] = ()


def is_retried(policy: RetryPolicy, result: AttemptResult) -> bool:
    """Return whether an attempt with this result is retried, if the run has attempts left.

    The outcomes are listed in docs/api.md; of HTTP statuses, 408, 425, 429 and 5xx are retried.
    """
    outcome, status_code = result.outcome, result.status_code
    if result.forbids_retry or outcome in policy.never or status_code in policy.never:
        return False
    if outcome is Outcome.HTTP_ERROR and status_code is not None:
        return status_code in _RETRIED_STATUSES or 500 <= status_code <= 599
    return outcome in _RETRIED_OUTCOMES


def next_attempt_at(
    policy: RetryPolicy, attempt: int, finished_at: datetime, retry_after: str | None, jitter: float
) -> datetime:
    """Return when the attempt after number `attempt` is due.

    delay = min(max_delay, max(initial_delay * 2 ** (attempt - 1), Retry-After) * (1 + jitter)),
    with jitter in [0, 0.1]. With `delays`: max(delays[attempt - 1], min(Retry-After, an hour)) *
    (1 + jitter).
    """
    requested = parse_retry_after(retry_after, finished_at)
    if policy.delays:
        delay = policy.delays[min(attempt, len(policy.delays)) - 1]
        return finished_at + max(delay, min(requested, LONGEST_PAUSE)) * (1 + jitter)
    # An exponent of 20 is past every `max_delay`; larger ones would overflow timedelta.
    backoff = policy.initial_delay * int(2 ** min(attempt - 1, 20))
    return finished_at + min(max(backoff, requested) * (1 + jitter), policy.max_delay)


def parse_retry_after(value: str | None, now: datetime) -> timedelta:
    """Return the pause that a `Retry-After` asks for, in seconds or as a date (RFC 9110 10.2.3).

    Returns zero without one, for an invalid value and for a date in the past.
    """
    if value is None:
        return timedelta(0)
    text = value.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=int(text[:9]))
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return timedelta(0)
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    pause: timedelta = until - now
    return max(pause, timedelta(0))
