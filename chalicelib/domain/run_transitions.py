"""Rules of what the executor does to a job: claim, finish, settle, sweep.

The functions are pure: `now`, tokens and jitter are arguments. docs/model.md defines the words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from chalicelib.domain import failures, holding, pauses
from chalicelib.domain.backfill_transitions import goes_on, pass_over
from chalicelib.domain.completion import SHORT
from chalicelib.domain.counting import counted, following
from chalicelib.domain.exclusion import excluded_by, passed_over
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition, Kind, Overlap
from chalicelib.domain.job_transitions import pause
from chalicelib.domain.looks import YOUNG, has_look, next_look
from chalicelib.domain.misfires import missed
from chalicelib.domain.pauses import Asked
from chalicelib.domain.retry import is_retried, next_attempt_at
from chalicelib.domain.run import FinishedAttempt, Outcome, Reason, RunEnd, RunStatus, RunUpdate
from chalicelib.domain.run_ends import closed, with_last_run, with_outcome
from chalicelib.domain.state import (
    GRACE,
    MAX_UNFINISHED_RUNS,
    NEAR,
    SKEW,
    DueMessage,
    LastRun,
    NoChange,
    State,
    Status,
    Transition,
    UnfinishedRun,
    await_occurrence,
    occurrence_due,
    occurrence_watch_at,
    run_due,
    written,
    written_by_claim,
)
from chalicelib.domain.state_parts import FAILING, RESONA
from chalicelib.domain.trigger import OneTime
from chalicelib.domain.unsent import end_without_attempt, pass_over_day, skip
from chalicelib.domain.wakes import doubt_after_lost_wake

# A lease lasts this much longer than the timeout: the time to record and finish the attempt.
LEASE_MARGIN = timedelta(seconds=20)
# After these outcomes a target may be at work. An executor most likely dies while one answers.
_MAY_BE_AT_WORK = (Outcome.SUCCESS, Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Look:
    """What a sweep does for an overdue job: messages to send, and the state to write, if any."""

    arm: tuple[DueMessage, ...]
    moved: State | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """The lease of the run's attempt, or the deadline of its callback, is over: finish the attempt.

    After a lease the caller uses the attempt's record, or the outcome `unknown` if there is none;
    after a deadline the outcome `timeout`.
    """

    run: UnfinishedRun


def claim(
    definition: Definition, state: State, key: RunKey, owner: str, now: datetime
) -> Transition | NoChange | Settle:
    """Decide what to do for a due message with this key.

    `owner` is the token with which an attempt would be claimed. Returns a `Transition` that claims
    an attempt (`send`) or ends a run, `NoChange` with the reason, or `Settle`.
    """
    run = state.find(key)
    if run is not None:
        return _claim_run(definition, state, run, owner, now)
    if key.is_requested:
        return NoChange("the run has ended")
    if pauses.is_over(state, now) and key.generation == state.generation:
        return _end_pause(definition, state, owner, now)
    return _claim_occurrence(definition, state, key, owner, now)


def leads_to_attempt(definition: Definition, state: State, due: DueMessage, now: datetime) -> bool:
    """Return whether a message leads to an attempt at its time if nothing changes until then.

    False for notices: a digest is composed when it is due, which closes its window. Calendars are
    not asked: they are read when the occurrence is due.
    """
    if definition.kind is Kind.NOTICE:
        return False
    if state.passed_over and due.key.due_at == state.next_due_at:
        return False
    decision = claim(definition, state, due.key, "", max(now, due.at))
    return isinstance(decision, Transition) and decision.send is not None


def _claim_run(
    definition: Definition, state: State, run: UnfinishedRun, owner: str, now: datetime
) -> Transition | NoChange | Settle:
    if run.lease_until is not None:
        return (
            Settle(run) if now >= run.lease_until + SKEW else NoChange("the attempt is under way")
        )
    if run.awaited is not None:
        is_over = now >= run.awaited.until
        return Settle(run) if is_over else NoChange("the run waits for its callback")
    if state.supersedes(run):
        is_unsent = run.waits_for is not None and not run.attempt
        status = RunStatus.SKIPPED if is_unsent else RunStatus.FAILED
        rest, end = closed(state, run, status, Reason.SUPERSEDED, now)
        return Transition(written(rest, now), ended=(end,))
    if run.next_attempt_at is not None and now < run.next_attempt_at:
        return NoChange("not yet")
    passed = pass_over(definition.trigger, state, run, now)
    if passed is not None:
        return passed
    if holding.is_too_late(definition, state, run, now):
        return holding.missed(state, run, now)
    claimed = _claimed(run, definition.timeout, owner, now)
    return Transition(written_by_claim(state.with_run(claimed), now), send=claimed)


def _claimed(run: UnfinishedRun, timeout: timedelta, owner: str, now: datetime) -> UnfinishedRun:
    return replace(
        run,
        attempt=run.attempt + 1,
        owner=owner,
        lease_until=now + timeout + LEASE_MARGIN,
        next_attempt_at=None,
        started_at=run.started_at or now,
        covered=True,
        waits_for=None,
        series=None,
        line=None,
    )


def _claim_occurrence(
    definition: Definition, state: State, key: RunKey, owner: str, now: datetime
) -> Transition | NoChange:
    if state.status is not Status.ACTIVE or key.generation != state.generation:
        return NoChange("the job is paused, over, or of another generation")
    due_at = state.next_due_at
    if due_at is None or key.due_at < due_at:
        return NoChange("the occurrence was decided before")
    if now < due_at:
        return NoChange("not yet")
    # From here on use `due_at`, not the key's time: an older occurrence may still be open.
    state = doubt_after_lost_wake(state, due_at, now)
    calendar = excluded_by(definition.trigger, due_at)
    if calendar is not None:
        return pass_over_day(definition, state, due_at, calendar, now)
    if state.skips:
        return skip(definition, state, due_at, now)
    count, last = missed(definition, state, due_at, now)
    if count:
        state = counted(state, definition.trigger, count)
        key = RunKey(due_at, state.generation)
        end = RunEnd(
            key, RunStatus.MISSED, now, Reason.MISFIRE, missed_count=count, last_due_at=last
        )
        return end_without_attempt(definition, state, last, (end,), now)
    reason = _reason_to_skip(definition, state)
    if reason:
        end = RunEnd(RunKey(due_at, state.generation), RunStatus.SKIPPED, now, reason)
        return end_without_attempt(definition, state, due_at, (end,), now)
    state = counted(state, definition.trigger, 1)
    advanced, arm = await_occurrence(
        state, definition.trigger, following(state, definition.trigger, due_at), now
    )
    fresh = UnfinishedRun(RunKey(due_at, state.generation), state.generation, attempt=0)
    claimed = _claimed(fresh, definition.timeout, owner, now)
    advanced = replace(advanced, armed_by=owner if arm else None)
    arm = tuple(replace(due, by=owner) for due in arm)
    return Transition(written_by_claim(advanced.with_run(claimed), now), send=claimed, arm=arm)


def _end_pause(
    definition: Definition, state: State, owner: str, now: datetime
) -> Transition | NoChange:
    """Resume a job whose pause is over, and decide what came due since its end, if anything did.

    A date that passed within the pause is recorded as missed, or as skipped if that was asked for.
    A job with nothing due after the pause is completed.
    """
    trigger, due_at = definition.trigger, pauses.due_after(definition, state, now)
    active = pauses.resumed(state, due_at, now)
    passed = state.next_due_at if isinstance(trigger, OneTime) and due_at is None else None
    if passed is not None:
        if state.skips:
            return skip(definition, active, passed, now)
        key = RunKey(passed, active.generation)
        end = RunEnd(key, RunStatus.MISSED, now, Reason.PAUSED, missed_count=1, last_due_at=passed)
        return end_without_attempt(definition, active, passed, (end,), now)
    if due_at is None:
        return Transition(
            written(replace(active, status=Status.COMPLETED, token=None, skips=0), now)
        )
    if due_at <= now:
        # While it was paused, `next_run_time` promised nothing.
        active = replace(active, passed_over=passed_over(trigger, due_at))
        key = RunKey(due_at, active.generation)
        return _claim_occurrence(definition, active, key, owner, now)
    armed, arm = await_occurrence(active, trigger, due_at, now)
    return Transition(written(armed, now), arm=arm)


def armed_ahead(
    definition: Definition, state: State, due: DueMessage, owner: str
) -> DueMessage | None:
    """Return the message that the claim of an occurrence will send, to send it before the claim.

    The claim is made with this owner token. None if the claim sends none, or this message may not
    do so: only the one that the last claim sent may, or each repeat of a message would beget
    another one, for ever.
    """
    if due.by is None or due.by != state.armed_by:
        return None
    if state.passed_over:
        return None
    decision = claim(definition, state, due.key, owner, due.at)
    arm = decision.arm if isinstance(decision, Transition) else ()
    return next((message for message in arm if message.by == owner), None)


def _reason_to_skip(definition: Definition, state: State) -> Reason | None:
    if len(state.runs) >= MAX_UNFINISHED_RUNS:
        return Reason.TOO_MANY_RUNS
    # Overlap does not apply to requested runs, nor to superseded runs of which nothing is going on.
    unfinished = [
        run
        for run in state.runs
        if not run.key.is_requested and (run.owner or run.awaited or not state.supersedes(run))
    ]
    return Reason.OVERLAP if definition.overlap is Overlap.SKIP and unfinished else None


def finish(
    definition: Definition,
    state: State,
    owned: UnfinishedRun,
    attempt: FinishedAttempt,
    jitter: float,
    now: datetime,
) -> Transition | NoChange:
    """Decide whether an attempt's run succeeds, fails, or waits for its next attempt or a callback.

    `owned` is the run as it was claimed, or as it waited for a callback. `definition` is the one it
    was claimed with, or a later one if another executor settles the attempt. `jitter` is in
    [0, 0.1]. Returns `NoChange` if the state no longer has this attempt with its owner token, or
    its deadline was moved.
    """
    run = state.find(owned.key)
    if run is None or not _is_same(run, owned):
        return NoChange("the attempt has another owner")
    retry, result = definition.retry, attempt.result
    end = partial(_end, definition, state, run, attempt.finished_at, now)
    update = attempt.recorded.update if attempt.recorded else None
    if update is not None and update.is_end:
        # An executor recorded this end and died before it wrote the state. Keep the recorded end,
        # even if the job has changed since.
        return end(update)
    if run.awaited is not None and not attempt.is_final and result.outcome in _MAY_BE_AT_WORK:
        return _wait(state, run, run.awaited.until, RunUpdate(RunStatus.WAITING), now)
    if result.outcome is Outcome.SUCCESS:
        return end(RunUpdate(RunStatus.SUCCEEDED))
    if not is_retried(retry, result):
        return end(RunUpdate(RunStatus.FAILED))
    # Do not apply the retry policy of a later definition: that definition superseded this run.
    if definition.generation <= run.generation and run.attempt >= retry.max_attempts:
        return end(RunUpdate(RunStatus.FAILED, Reason.ATTEMPTS_EXHAUSTED))
    if state.supersedes(run):
        return end(RunUpdate(RunStatus.FAILED, Reason.SUPERSEDED))
    next_at = next_attempt_at(retry, run.attempt, attempt.finished_at, result.retry_after, jitter)
    update = RunUpdate(RunStatus.RETRYING, next_attempt_at=next_at)
    return _wait(state, replace(run, awaited=None), next_at, update, now)


def _is_same(run: UnfinishedRun, owned: UnfinishedRun) -> bool:
    """Return whether a run is at the attempt that it was at, with the same owner. One that waits
    for a callback has no owner, so its deadline must be the same.
    """
    is_at = (run.attempt, run.owner) == (owned.attempt, owned.owner)
    return is_at and (run.owner is not None or run.awaited == owned.awaited)


def _wait(
    state: State, run: UnfinishedRun, at: datetime, update: RunUpdate, now: datetime
) -> Transition:
    near = at - now <= (SHORT if run.awaited else NEAR)
    waiting = replace(run, owner=None, lease_until=None, next_attempt_at=at, covered=near)
    return Transition(
        written(state.with_run(waiting), now),
        arm=(run_due(state, run, at),) if near else (),
        update=update,
    )


def _end(
    definition: Definition,
    state: State,
    run: UnfinishedRun,
    at: datetime,
    now: datetime,
    update: RunUpdate,
) -> Transition:
    last = LastRun(run.key, run.attempt, planned_at=run.planned_at)
    ended = with_last_run(state.without_run(run).with_end(update.status), last)
    ended = with_outcome(ended, run, update.status)
    ended = failures.counted(ended, run, update.status, at)
    if ended.failing != state.failing and failures.must_pause(definition, ended):
        asked = Asked(RESONA, reason=FAILING)
        paused = pause(definition, ended, asked, None, now)
        assert paused  # noqa: S101  only an active job must pause
        return replace(paused, update=update)
    ended, arm = goes_on(definition.trigger, ended, run.key, now)
    return Transition(written(ended, now), arm=arm, update=update)


def sweep(state: State, since: datetime | None, until: datetime) -> Look | NoChange:
    """Decide what an overdue job needs: a message for each step that has a look after `since` and
    until `until`.

    Nothing is written as long as every sweep reads the state, or reads it at the next look of any
    step (`looks.is_read`). A claim may leave `watch_at` earlier than needed: then there is no
    message.
    """
    watch_at = state.watch_at
    if watch_at is None or until < watch_at:
        return NoChange("not overdue")
    arm: list[DueMessage] = []
    following: list[datetime] = []
    covering = state
    for step in _steps(state, until):
        # A step that was overdue already when it was written is looked at from then on.
        first, again = max(step.first, watch_at), max(step.again, watch_at)
        if has_look(again, since, until) or (first <= until and (since is None or first > since)):
            arm.append(step.due)
        following.append(first if until < first else next_look(again, until))
        if first <= until:
            covering = _with_step_covered(covering, step.due.key)
    look_at = min(following, default=None)
    if until - watch_at < YOUNG or look_at == next_look(watch_at, until):
        return Look(tuple(arm))
    return Look(tuple(arm), replace(covering, revision=state.revision + 1, watch_at=look_at))


@dataclass(frozen=True, slots=True)
class _Step:
    """A step that waits: its message, its first look, and from when on looks follow each other."""

    due: DueMessage
    first: datetime
    again: datetime


def _steps(state: State, now: datetime) -> Iterator[_Step]:
    due_at = state.step_at
    if due_at is not None:
        first = occurrence_watch_at(due_at, covered=state.covered)
        yield _Step(occurrence_due(state, due_at), first, due_at + GRACE)
    for run in state.runs:
        at = run.next_attempt_at
        yield _Step(
            run_due(state, run, at or now), run.watch_at, at + GRACE if at else run.watch_at
        )


def _with_step_covered(state: State, key: RunKey) -> State:
    run = state.find(key)
    return (
        replace(state, covered=True) if run is None else state.with_run(replace(run, covered=True))
    )
