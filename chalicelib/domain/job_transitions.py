"""Rules of what users do to a job and its runs: create, change, pause, resume, run, retry, cancel.

The functions are pure: `now` and tokens are arguments. `token` names a schedule of EventBridge
Scheduler that can be created for the job; None means that none can. The new state carries the token
only if the job takes a schedule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from chalicelib.domain import backfill_transitions, failures
from chalicelib.domain.counting import following
from chalicelib.domain.cron import Cron
from chalicelib.domain.errors import AttemptInFlight, DateHasPassed, JobHasEnded, TooManyRuns
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition
from chalicelib.domain.run import Reason, RunStatus
from chalicelib.domain.run_ends import closed, with_outcome
from chalicelib.domain.state import (
    MAX_UNFINISHED_RUNS,
    NEAR,
    DueMessage,
    State,
    Status,
    Transition,
    UnfinishedRun,
    arms_itself,
    await_occurrence,
    occurrence_due,
    run_due,
    written,
)
from chalicelib.domain.trigger import WAKE_AHEAD, OneTime, Trigger, check_occurs


def wants_schedule(
    trigger: Trigger, status: Status, due_at: datetime | None, now: datetime
) -> bool:
    """Return whether a job takes a schedule.

    Active cron jobs do, and active one-time jobs that are due later than SQS can delay a message.
    Those that arm themselves do not.
    """
    if status is not Status.ACTIVE or due_at is None or arms_itself(trigger):
        return False
    return isinstance(trigger, Cron) or due_at - now > NEAR


def first_due_at(trigger: Trigger, now: datetime) -> datetime | None:
    """Return when a trigger that starts now is due first.

    For a one-time trigger this is its date, even if just passed. Raises InvalidInput if its limits
    leave no occurrence.
    """
    check_occurs(trigger, now)
    return trigger.date if isinstance(trigger, OneTime) else trigger.next_after(now)


def create(definition: Definition, token: str | None, now: datetime) -> Transition:
    """Return the state of a new job, and the message that arms it if it is due soon."""
    due_at = first_due_at(definition.trigger, now)
    fresh = State(
        job_id=definition.id,
        tenant=definition.tenant,
        revision=0,
        generation=definition.generation,
        defined_in=definition.generation,
        edition=definition.edition,
        status=Status.ACTIVE,
        updated_at=now,
        token=token if wants_schedule(definition.trigger, Status.ACTIVE, due_at, now) else None,
    )
    armed, arm = await_occurrence(fresh, definition.trigger, due_at, now)
    return Transition(written(armed), arm=arm, definition=definition)


def change(
    old: Definition, new: Definition, state: State, token: str | None, now: datetime, *, anew: bool
) -> Transition:
    """Return the transition from one definition to another, with `new` as it will be stored.

    With `anew` the user has sent a trigger, which starts now, even if its date is the old one
    (`delay: 0` twice in one second). Otherwise the job keeps its schedule and its `next_due_at`,
    even one that has just passed. Raises JobHasEnded.
    """
    is_new_trigger = anew or new.trigger != old.trigger
    status, due_at, kept = state.status, state.next_due_at, state.token
    if is_new_trigger:
        status = Status.PAUSED if status is Status.PAUSED else Status.ACTIVE
        due_at, kept = first_due_at(new.trigger, now), None
        state = replace(state, counted=0)
    if kept is None and wants_schedule(new.trigger, status, due_at, now):
        kept = token
    edited = replace(state, edition=state.edition + 1, status=status, updated_at=now, token=kept)
    if not is_new_trigger and new.meaning == old.meaning:
        definition = replace(new, generation=old.generation, edition=edited.edition)
        return Transition(written(edited), definition=definition)
    if not is_new_trigger and due_at is None:
        raise JobHasEnded("this change is not possible")
    if kept != state.token:
        edited = replace(edited, doubted_until=None)
    return _new_generation(edited, new, due_at, now, is_new_trigger=is_new_trigger)


def _new_generation(
    edited: State, new: Definition, due_at: datetime | None, now: datetime, *, is_new_trigger: bool
) -> Transition:
    generation = edited.generation + 1
    changed = replace(edited, generation=generation, defined_in=generation, backfill=None)
    armed, arm = await_occurrence(changed, new.trigger, due_at, now)
    if not is_new_trigger:
        armed, arm = _without_past_wakes(armed, arm, new.trigger, now)
    closing, close = _hurry_superseded(armed, now)
    definition = replace(new, generation=generation, edition=edited.edition)
    return Transition(written(closing), arm=(*arm, *close), definition=definition)


def _without_past_wakes(
    state: State, arm: tuple[DueMessage, ...], trigger: Trigger, now: datetime
) -> tuple[State, tuple[DueMessage, ...]]:
    """Arm a changed job without relying on wakes before `now`.

    Their messages name the generation that has just ended and will be ignored.
    """
    due_at = state.next_run_time
    if not arm and due_at is not None and due_at - now <= NEAR:
        arm = (occurrence_due(state, due_at),)
    if state.token is not None and isinstance(trigger, Cron):
        doubted_until = max(state.doubted_until or now, now + WAKE_AHEAD)
        state = replace(state, doubted_until=doubted_until)
    return state, arm


def pause(state: State, now: datetime) -> Transition | None:
    """Return the transition that pauses a job, None if it is paused already.

    Raises JobHasEnded for a completed or failed one.
    """
    if state.status is Status.PAUSED:
        return None
    if state.status is not Status.ACTIVE:
        raise JobHasEnded("a job that has ended cannot be paused")
    paused = replace(
        state,
        generation=state.generation + 1,
        status=Status.PAUSED,
        updated_at=now,
        token=None,
        doubted_until=None,
        covered=True,
        backfill=None,
    )
    closing, close = _hurry_superseded(paused, now)
    return Transition(written(closing), arm=close)


def due_after_resume(definition: Definition, state: State, now: datetime) -> datetime:
    """Return when a paused job would be due if it were resumed now.

    Raises DateHasPassed if its date or its last occurrence has passed, or its last run has begun.
    """
    trigger = definition.trigger
    due_at = state.next_due_at if isinstance(trigger, OneTime) else following(state, trigger, now)
    if due_at is None or due_at <= now:
        raise DateHasPassed
    return due_at


def resume(
    definition: Definition, state: State, token: str | None, now: datetime
) -> Transition | None:
    """Return the transition that resumes a job, None if it is active already.

    Raises DateHasPassed, or JobHasEnded.
    """
    if state.status is Status.ACTIVE:
        return None
    if state.status is not Status.PAUSED:
        raise JobHasEnded("a job that has ended cannot be resumed")
    due_at = due_after_resume(definition, state, now)
    resumed = replace(
        state,
        generation=state.generation + 1,
        status=Status.ACTIVE,
        updated_at=now,
        token=token if wants_schedule(definition.trigger, Status.ACTIVE, due_at, now) else None,
        failing=failures.anew(state.failing),
        pause=None,
    )
    armed, arm = await_occurrence(resumed, definition.trigger, due_at, now)
    closing, close = _hurry_superseded(armed, now)
    return Transition(written(closing), arm=(*arm, *close))


def run_now(state: State, key: RunKey, now: datetime) -> Transition:
    """Return the transition that queues a manual run, whatever the status of the job.

    Raises TooManyRuns.
    """
    return _queued(state, [UnfinishedRun(key, state.defined_in, attempt=0, next_attempt_at=now)])


def retry(state: State, plan: Mapping[RunKey, datetime], now: datetime) -> Transition:
    """Return the transition that queues retries, whatever the status of the job.

    `plan` says by the keys of the retries when each is sent. Raises TooManyRuns.
    """
    return _queued(
        state,
        [
            UnfinishedRun(
                key,
                state.defined_in,
                attempt=0,
                next_attempt_at=at,
                covered=at - now <= NEAR,
                planned_at=at,
            )
            for key, at in plan.items()
        ],
    )


def _queued(state: State, runs: Iterable[UnfinishedRun]) -> Transition:
    """Add runs; send a message for each that has one, and leave the others to the sweeper."""
    arm: list[DueMessage] = []
    for run in runs:
        if len(state.runs) >= MAX_UNFINISHED_RUNS:
            raise TooManyRuns(MAX_UNFINISHED_RUNS)
        state = state.with_run(run)
        if run.covered and run.next_attempt_at is not None:
            arm.append(run_due(state, run, run.next_attempt_at))
    return Transition(written(state), arm=tuple(arm))


def cancel(trigger: Trigger, state: State, run: UnfinishedRun, now: datetime) -> Transition:
    """Return the transition that ends a run which waits for its first or its next attempt.

    A run that was sent has failed; one that never was is skipped. If it is one of a backfill, the
    next one is queued. Raises AttemptInFlight.
    """
    if run.owner is not None:
        raise AttemptInFlight(run.attempt)
    status = RunStatus.FAILED if run.attempt else RunStatus.SKIPPED
    rest, end = closed(state, run, status, Reason.CANCELLED, now)
    rest, arm = backfill_transitions.goes_on(trigger, rest, run.key, now)
    return Transition(written(with_outcome(rest, run, status)), ended=(end,), arm=arm)


def _hurry_superseded(state: State, now: datetime) -> tuple[State, tuple[DueMessage, ...]]:
    """Make superseded runs that wait for a retry due now, so that they end at once.

    Returns the state and a message for each of these runs, which records it as superseded.
    """
    waiting = [
        run for run in state.runs if run.next_attempt_at is not None and state.supersedes(run)
    ]
    for run in waiting:
        state = state.with_run(replace(run, next_attempt_at=now, covered=True))
    return state, tuple(run_due(state, run, now) for run in waiting)
