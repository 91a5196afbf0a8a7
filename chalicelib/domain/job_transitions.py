"""Rules of what users do to a job and its runs: create, change, pause, skip, run, retry, cancel.

The functions are pure: `now` and tokens are arguments. `token` names a schedule of EventBridge
Scheduler that can be created for the job; None means that none can. The new state carries the token
only if the job takes a schedule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from chalicelib.domain import backfill_transitions, holding, pauses
from chalicelib.domain.cron import Cron
from chalicelib.domain.errors import AttemptInFlight, DateHasPassed, JobHasEnded, TooManyRuns
from chalicelib.domain.exclusion import check_is_open
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition
from chalicelib.domain.pauses import Asked
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
    await_end_of_pause,
    await_occurrence,
    occurrence_due,
    run_due,
    written,
)
from chalicelib.domain.state_parts import Pause
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


def _takes_schedule(state: State, trigger: Trigger, due_at: datetime | None, now: datetime) -> bool:
    """Return whether a job in this state takes a schedule.

    A cron keeps its own during a pause that ends by itself: the executor creates none.
    """
    if state.paused_until is not None and not isinstance(trigger, OneTime):
        return wants_schedule(trigger, Status.ACTIVE, due_at, now)
    return wants_schedule(trigger, state.status, due_at, now)


def first_due_at(trigger: Trigger, now: datetime) -> datetime | None:
    """Return when a trigger that starts now is due first.

    For a one-time trigger this is its date, even if just passed. Raises InvalidInput if its limits
    or calendars leave no occurrence.
    """
    check_occurs(trigger, now)
    check_is_open(trigger, now)
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
    return Transition(written(armed, now), arm=arm, definition=definition)


def change(
    old: Definition, new: Definition, state: State, token: str | None, now: datetime, *, anew: bool
) -> Transition:
    """Return the transition from one definition to another, with `new` as it will be stored.

    With `anew` the user has sent a trigger, which starts now, even if its date is the old one
    (`delay: 0` twice in one second). Otherwise the job keeps its schedule and its `next_due_at`,
    even one that has just passed. Raises JobHasEnded.
    """
    is_new_trigger = anew or new.trigger != old.trigger
    has_new_meaning = is_new_trigger or new.meaning != old.meaning
    if has_new_meaning:
        state = holding.unbegun(old.trigger, state)
    if has_new_meaning and pauses.is_over(state, now):
        state = _as_resumed(old, state, now, is_new_trigger=is_new_trigger)
    status, due_at, kept = state.status, state.next_due_at, state.token
    if is_new_trigger:
        status = Status.PAUSED if status is Status.PAUSED else Status.ACTIVE
        due_at, kept = first_due_at(new.trigger, now), None
        state = replace(state, status=status, counted=0, skips=0)
    if kept is None and _takes_schedule(state, new.trigger, due_at, now):
        kept = token
    edited = replace(state, edition=state.edition + 1, updated_at=now, token=kept)
    if not has_new_meaning:
        definition = replace(new, generation=old.generation, edition=edited.edition)
        return Transition(written(edited, now), definition=definition)
    if not is_new_trigger and due_at is None:
        raise JobHasEnded("this change is not possible")
    if kept != state.token:
        edited = replace(edited, doubted_until=None)
    return _new_generation(edited, new, due_at, now, is_new_trigger=is_new_trigger)


def _as_resumed(old: Definition, state: State, now: datetime, *, is_new_trigger: bool) -> State:
    """Return the state of a job whose pause is over as active, for the change that follows.

    Unchanged if nothing is due after the pause, unless a new trigger follows.
    """
    due_at = pauses.due_after(old, state, now)
    if due_at is None and not is_new_trigger:
        return state
    return replace(pauses.resumed(state, due_at, now), generation=state.generation)


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
    return Transition(written(closing, now), arm=(*arm, *close), definition=definition)


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


def pause(
    definition: Definition, state: State, asked: Asked, token: str | None, now: datetime
) -> Transition | None:
    """Return the transition that pauses a job, None if it is paused already as it is asked for.

    Raises JobHasEnded for a completed or failed job; also for one whose last run has begun, if the
    pause is to end by itself: nothing would be due then.
    """
    if state.status not in (Status.ACTIVE, Status.PAUSED):
        raise JobHasEnded("a job that has ended cannot be paused")
    is_paused = state.status is Status.PAUSED and not pauses.is_over(state, now)
    if is_paused and not asked.replaces:
        return None
    if not is_paused:
        state = holding.unbegun(definition.trigger, state)
    wanted = Pause(now, asked.reason, asked.until, asked.by)
    if is_paused and state.pause is not None:
        wanted = replace(wanted, since=state.pause.since)
        if replace(state.pause, by=wanted.by) == wanted:
            return None
    if wanted.until is not None and state.next_due_at is None:
        raise JobHasEnded("leave out until: nothing is due after the pause")
    generation = state.generation if is_paused else state.generation + 1
    paused = replace(
        state,
        generation=generation,
        status=Status.PAUSED,
        updated_at=now,
        doubted_until=None,
        pause=wanted,
        backfill=None,
    )
    keeps = wanted.until and _takes_schedule(paused, definition.trigger, state.next_due_at, now)
    paused = replace(paused, token=(state.token or token) if keeps else None)
    waiting, arm = await_end_of_pause(paused, now)
    closing, close = _hurry_superseded(waiting, now)
    return Transition(written(closing, now), arm=(*arm, *close))


def due_after_resume(definition: Definition, state: State, now: datetime) -> datetime:
    """Return when a paused job would be due if it were resumed now.

    Raises DateHasPassed if its date or its last occurrence has passed, or its last run has begun.
    """
    due_at = pauses.due_after(definition, state, now)
    if due_at is None:
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
    resumed = pauses.resumed(state, due_at, now)
    takes = wants_schedule(definition.trigger, Status.ACTIVE, due_at, now)
    resumed = replace(resumed, token=(state.token or token) if takes else None)
    armed, arm = await_occurrence(resumed, definition.trigger, due_at, now)
    closing, close = _hurry_superseded(armed, now)
    return Transition(written(closing, now), arm=(*arm, *close))


def skip(state: State, count: int, now: datetime) -> Transition | None:
    """Return the transition after which the next `count` occurrences are skipped, 0 for none.

    None if that is so already. Raises JobHasEnded if no occurrence is left.
    """
    if count == state.skips:
        return None
    if state.next_due_at is None:
        raise JobHasEnded("there is no occurrence to skip")
    return Transition(written(replace(state, skips=count, updated_at=now), now))


def run_now(state: State, key: RunKey, now: datetime) -> Transition:
    """Return the transition that queues a manual run, whatever the status of the job.

    Raises TooManyRuns.
    """
    return _queued(
        state, [UnfinishedRun(key, state.defined_in, attempt=0, next_attempt_at=now)], now
    )


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
        now,
    )


def _queued(state: State, runs: Iterable[UnfinishedRun], now: datetime) -> Transition:
    """Add runs; send a message for each that has one, and leave the others to the sweeper."""
    arm: list[DueMessage] = []
    for run in runs:
        if len(state.runs) >= MAX_UNFINISHED_RUNS:
            raise TooManyRuns(MAX_UNFINISHED_RUNS)
        state = state.with_run(run)
        if run.covered and run.next_attempt_at is not None:
            arm.append(run_due(state, run, run.next_attempt_at))
    return Transition(written(state, now), arm=tuple(arm))


def cancel(trigger: Trigger, state: State, run: UnfinishedRun, now: datetime) -> Transition:
    """Return the transition that ends a run which waits: for its first or its next attempt, or for
    a callback.

    A run that was sent has failed; one that never was is skipped. If it is one of a backfill, the
    next one is queued. Raises AttemptInFlight.
    """
    if run.owner is not None:
        raise AttemptInFlight(run.attempt)
    status = RunStatus.FAILED if run.attempt else RunStatus.SKIPPED
    rest, end = closed(state, run, status, Reason.CANCELLED, now)
    rest, arm = backfill_transitions.goes_on(trigger, rest, run.key, now)
    return Transition(written(with_outcome(rest, run, status), now), ended=(end,), arm=arm)


def _hurry_superseded(state: State, now: datetime) -> tuple[State, tuple[DueMessage, ...]]:
    """Make superseded runs that wait for a retry due now, so that they end at once.

    Returns the state and a message for each of these runs, which records it as superseded.
    """
    waiting = [
        run
        for run in state.runs
        if run.next_attempt_at is not None and not run.is_waiting and state.supersedes(run)
    ]
    for run in waiting:
        state = state.with_run(replace(run, next_attempt_at=now, covered=True))
    return state, tuple(run_due(state, run, now) for run in waiting)
