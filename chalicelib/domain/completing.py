"""Rules of completion by callback: what a target's word, and its silence, mean for an attempt.

A claim makes the attempt await a word. From then until the deadline the word ends the attempt, also
while its request is still in flight: then the answer to it no longer counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.domain.completion import LONGEST, SHORT, Awaited, Completion
from chalicelib.domain.errors import InvalidInput
from chalicelib.domain.instant import format_measured
from chalicelib.domain.run import (
    Attempt,
    AttemptResult,
    FinishedAttempt,
    Outcome,
    Response,
)
from chalicelib.domain.state import State, Transition, UnfinishedRun, run_due, written


@dataclass(frozen=True, slots=True)
class Word:
    """What a target says of an attempt by callback.

    `retries` False forbids a retry of a failure. `response` takes the place of the target's answer,
    None keeps that.
    """

    succeeded: bool
    message: str | None = None
    retries: bool = True
    response: Response | None = None


def awaiting(step: Transition, completion: Completion, digest: str, now: datetime) -> Transition:
    """Return a transition whose claimed attempt awaits the word of the token with this digest."""
    if step.send is None:
        return step
    run = replace(step.send, awaited=Awaited(digest, now, now + completion.deadline))
    return replace(step, state=step.state.with_run(run), send=run)


def ended_by(
    word: Word, run: UnfinishedRun, recorded: Attempt | None, owner: str, now: datetime
) -> FinishedAttempt:
    """Return the attempt of a run as a word ends it.

    `recorded` is its record, None if there is none yet. `owner` is a new token, so that nobody
    whose write of the record takes effect late replaces it.
    """
    error = None
    if not word.succeeded:
        said = f": {word.message}" if word.message else ""
        error = f"the target reported a failure by callback{said}"
    started_at, answered = _begun(run, recorded)
    result = replace(
        answered,
        outcome=Outcome.SUCCESS if word.succeeded else Outcome.UNEXPECTED,
        duration=max(now - started_at, timedelta(0)),
        response=word.response or answered.response,
        error=error,
        message=word.message,
        forbids_retry=not word.retries,
    )
    return FinishedAttempt(owner, started_at, result, is_final=True)


def timed_out(run: UnfinishedRun, recorded: Attempt | None, owner: str) -> FinishedAttempt:
    """Return the attempt of a run whose deadline is over.

    The arguments are as in `ended_by`.
    """
    assert run.awaited is not None  # noqa: S101  only such a run has a deadline
    started_at, answered = _begun(run, recorded)
    until = run.awaited.until
    result = replace(
        answered,
        outcome=Outcome.TIMEOUT,
        duration=max(until - started_at, timedelta(0)),
        error=f"the target did not call back until {format_measured(until)}",
    )
    return FinishedAttempt(owner, started_at, result, is_final=True)


def _begun(run: UnfinishedRun, recorded: Attempt | None) -> tuple[datetime, AttemptResult]:
    """Return when an attempt began, and what was answered; nothing without a record."""
    if recorded is not None:
        return recorded.started_at, replace(recorded.result, retry_after=None)
    assert run.awaited is not None  # noqa: S101  only such a run has a word or a deadline
    return run.awaited.since, AttemptResult(Outcome.UNKNOWN, timedelta(0))


def extended(state: State, run: UnfinishedRun, seconds: int, now: datetime) -> Transition | None:
    """Return the transition that moves a deadline to `seconds` from now; None if it is later.

    Raises InvalidInput beyond 24 hours after the start of the attempt.
    """
    assert run.awaited is not None  # noqa: S101  the caller has checked the token
    until, latest = now + timedelta(seconds=seconds), run.awaited.since + LONGEST
    if until > latest:
        left = max(0, int((latest - now).total_seconds()))
        raise InvalidInput.of(
            "extend",
            f"at most {left} seconds are left: a deadline is at most 24 hours from the start",
        )
    if until <= run.awaited.until:
        return None
    moved = replace(run, awaited=replace(run.awaited, until=until))
    if run.owner is not None:
        return Transition(written(state.with_run(moved), now))
    near = until - now <= SHORT
    moved = replace(moved, next_attempt_at=until, covered=near)
    arm = (run_due(state, moved, until),) if near else ()
    return Transition(written(state.with_run(moved), now), arm=arm)
