"""The state of a job: its progress, and the time by which its next step must be armed.

The state is small and is written only by compare-and-swap on its `revision`. The rules are pure
functions from a state to a `Transition`, in `domain.job_transitions` (what users do) and
`domain.run_transitions` (what the executor does). docs/model.md defines the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from chalicelib.domain.backfill import Backfill
from chalicelib.domain.completion import Awaited
from chalicelib.domain.cron import Cron, wake_is_certain
from chalicelib.domain.exclusion import passed_over
from chalicelib.domain.flows import Wait
from chalicelib.domain.ids import RunKey, token_time
from chalicelib.domain.interval import Interval
from chalicelib.domain.job import Definition
from chalicelib.domain.run import Attempt, FinishedAttempt, RunEnd, RunStatus, RunUpdate
from chalicelib.domain.state_parts import Failing, InLine, PassedOver, Pause
from chalicelib.domain.trigger import WAKE_AHEAD, OneTime, Trigger

# SQS delays a message by at most 900 s; a schedule or the sweeper arms what is due later.
NEAR = timedelta(minutes=15)
# A covered step counts as overdue this long after its due time.
GRACE = timedelta(seconds=30)
# Clocks of two executors may differ by this much: others settle an attempt only this long after the
# end of its lease.
SKEW = timedelta(seconds=10)
# A new schedule may miss its first minute: do not rely on wakes within this time.
SETTLING = timedelta(minutes=1)
# A claim leaves a `watch_at` that passed less than this long ago. It is well below `looks.YOUNG`:
# so every sweep reads the state, also if the claim's write takes some time.
STAYS = timedelta(minutes=10)

MAX_UNFINISHED_RUNS = 32
# How many of a job's ended runs its state remembers.
MOST_RECENT = 20


class Status(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class UnfinishedRun:
    """A run that has not ended.

    `attempt` is the number of the attempt that was claimed last, 0 while a run is queued.
    `owner` and `lease_until` are set while that attempt is in flight, `next_attempt_at` while the
    run waits: for its next attempt, or for a callback until that deadline. `generation` is the
    job's at the time of the claim; for a requested run it is that of the definition. `covered` says
    whether a message has been sent for `next_attempt_at`. `planned_at` is when the first attempt of
    a retry, or of a run of a backfill, was to be sent; None for other runs, whose key says it.
    `awaited` is set while a callback may end the attempt that was claimed last.

    A run that its flow holds has `waits_for`, and the `series` that its place is of; `waited` is
    how long its first attempt was held. `line` is set while it waits in line.
    """

    key: RunKey
    generation: int
    attempt: int
    owner: str | None = None
    lease_until: datetime | None = None
    next_attempt_at: datetime | None = None
    started_at: datetime | None = None
    covered: bool = True
    planned_at: datetime | None = None
    awaited: Awaited | None = None
    waits_for: Wait | None = None
    waited: timedelta = timedelta(0)
    series: str | None = None
    line: InLine | None = None

    @property
    def asked_at(self) -> datetime:
        """Return the time from which lateness is counted."""
        return (self.planned_at or self.key.asked_at) + self.waited

    @property
    def is_waiting(self) -> bool:
        """Return whether the run waits for a callback."""
        return self.awaited is not None and self.owner is None

    @property
    def watch_at(self) -> datetime:
        """Return when the sweeper must arm the next step, if it has not been done by then."""
        if self.lease_until is not None:
            return self.lease_until + SKEW
        assert self.next_attempt_at is not None  # noqa: S101  a run is in flight or waits
        return self.next_attempt_at + GRACE if self.covered else self.next_attempt_at - WAKE_AHEAD

    def record(self, job_id: str, attempt: FinishedAttempt, update: RunUpdate) -> Attempt:
        """Return the record of this run's attempt, which has just finished."""
        return Attempt(
            job_id,
            self.key,
            self.attempt,
            attempt.owner,
            attempt.started_at,
            self.started_at or attempt.started_at,
            attempt.result,
            update,
            self.planned_at,
            self.awaited.digest if self.awaited else None,
            self.waited,
        )


@dataclass(frozen=True, slots=True)
class LastRun:
    """The run whose last attempt the API shows as the job's `result`.

    It is the latest ended run with an attempt; `attempt` is the number of its last one.
    `closed_at` is when it ended as superseded or cancelled, else None. `planned_at` is as in
    `UnfinishedRun`.
    """

    key: RunKey
    attempt: int
    closed_at: datetime | None = None
    planned_at: datetime | None = None

    @property
    def place(self) -> tuple[datetime, str]:
        """Return what orders a job's runs: when each was due, asked for or planned, and its key."""
        return self.planned_at or self.key.asked_at, self.key.sort


@dataclass(frozen=True, slots=True)
class State:
    """The progress of a job.

    `revision` counts writes. `generation` counts what is sent and when, see docs/model.md;
    `defined_in` is the generation that began with the present definition, and `edition` is the
    edition of that definition. `next_due_at` is the next occurrence, None if the last run has
    begun; a paused one-time job keeps it. `covered` says whether a message or the schedule
    arms that occurrence. `token` names the schedule, None if there is none; until `doubted_until`
    its wakes are not relied on. `recent` has the
    statuses of the runs that ended last, up to MOST_RECENT, in the order of their ends. `failing`
    is None unless the last scheduled run failed; `pause` is None unless the job is paused. While it
    is paused, `covered` is about the end of the pause. `skips` is how many of the next occurrences
    are to be skipped because a user asked for it.
    `counted` is how many occurrences count for `max_runs`, 0 without it (`domain.counting`).
    `armed_by` is the owner token of the claim whose message arms the next occurrence. `backfill` is
    None unless one is under way; `runs` then has exactly one run of it. `passed_over` is set if
    calendars excluded the next occurrence when the state began to wait for it (`domain.exclusion`).
    """

    job_id: str
    tenant: str
    revision: int
    generation: int
    defined_in: int
    status: Status
    updated_at: datetime
    next_due_at: datetime | None = None
    covered: bool = True
    token: str | None = None
    doubted_until: datetime | None = None
    runs: tuple[UnfinishedRun, ...] = ()
    last_run: LastRun | None = None
    watch_at: datetime | None = None
    edition: int = 1
    recent: tuple[RunStatus, ...] = ()
    failing: Failing | None = None
    pause: Pause | None = None
    skips: int = 0
    counted: int = 0
    armed_by: str | None = None
    backfill: Backfill | None = None
    passed_over: PassedOver | None = None

    @property
    def is_over(self) -> bool:
        """Return whether the job has ended: nothing is due, and no run is unfinished."""
        return self.status in (Status.COMPLETED, Status.FAILED) and not self.runs

    @property
    def next_run_time(self) -> datetime | None:
        """Return when the job is due next, None if it is not active or has no occurrence left."""
        return self.next_due_at if self.status is Status.ACTIVE else None

    @property
    def paused_until(self) -> datetime | None:
        """Return when the pause of the job ends by itself; None if it does not."""
        return self.pause.until if self.pause is not None else None

    @property
    def step_at(self) -> datetime | None:
        """Return when the job's own next step is: its next occurrence, or the end of its pause."""
        return self.next_run_time or self.paused_until

    @property
    def shown_run_time(self) -> datetime | None:
        """Return what the API shows as `next_run_time`: days that calendars exclude are passed
        over.
        """
        due_at = self.next_run_time
        return self.passed_over.until if due_at and self.passed_over else due_at

    def find(self, key: RunKey) -> UnfinishedRun | None:
        """Return the unfinished run with this key, or None."""
        return next((run for run in self.runs if run.key == key), None)

    def with_run(self, run: UnfinishedRun) -> State:
        """Return the state with this run added, or replaced if one has its key."""
        return replace(self, runs=(*(other for other in self.runs if other.key != run.key), run))

    def without_run(self, run: UnfinishedRun) -> State:
        """Return the state without this run."""
        return replace(self, runs=tuple(other for other in self.runs if other.key != run.key))

    def with_end(self, status: RunStatus) -> State:
        """Return the state with the end of a run among the `recent` ones."""
        return replace(self, recent=(*self.recent, status)[-MOST_RECENT:])

    def supersedes(self, run: UnfinishedRun) -> bool:
        """Return whether a run gets no further attempt: it is of an older generation, or of a
        backfill that is over.
        """
        if run.key.is_backfilled:
            return self.backfill is None or not self.backfill.has(run.key)
        return run.generation != (self.defined_in if run.key.is_requested else self.generation)


@dataclass(frozen=True, slots=True)
class DueMessage:
    """The content of an SQS message: the run with this key has its next step at `at`.

    `by` is the owner token of the claim that sent it, None if it was not sent by one.
    """

    job_id: str
    tenant: str
    key: RunKey
    at: datetime
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """The result of a rule: the state to write by compare-and-swap, and what follows from it.

    `ended` runs are written in the same transaction; `arm` messages are sent after it. `send` is
    the run whose attempt the write claims. `again` is a message for which the caller then decides
    once more. `update` is set by a finish, for the attempt's record. `definition` is stored with
    the state; None keeps the stored one.
    """

    state: State
    send: UnfinishedRun | None = None
    ended: tuple[RunEnd, ...] = ()
    arm: tuple[DueMessage, ...] = ()
    again: DueMessage | None = None
    update: RunUpdate | None = None
    definition: Definition | None = None


@dataclass(frozen=True, slots=True)
class NoChange:
    """The result of a rule that changes nothing, and its reason, for the log."""

    why: str


def written(state: State, now: datetime) -> State:
    """Return the state as the next revision, with `watch_at` set by its next step.

    It is not before `now`: the sweeper finds what is overdue already as what has just become so.
    """
    waits = list(_watch_times(state))
    watch_at = max(now, min(waits)) if waits else None
    return replace(state, revision=state.revision + 1, watch_at=watch_at)


def written_by_claim(state: State, now: datetime) -> State:
    """Return the state as the next revision after a claim, with `watch_at` left where it is if that
    is not too late for any step.

    To move it would rewrite its index, and the finish moves it again. A sweeper that finds nothing
    overdue writes nothing. Every sweep reads a state whose `watch_at` passed a short time ago, as
    that of an occurrence which the sweeper has armed.
    """
    step, left = written(state, now), state.watch_at
    if left is None or step.watch_at is None or not now - STAYS < left <= step.watch_at:
        return step
    # A step that is overdue already has its first look now, which the sweeper's marks have passed.
    return step if step.watch_at <= now else replace(step, watch_at=left)


def _watch_times(state: State) -> Iterator[datetime]:
    if state.step_at is not None:
        yield occurrence_watch_at(state.step_at, covered=state.covered)
    for run in state.runs:
        yield run.watch_at


def occurrence_watch_at(due_at: datetime, *, covered: bool) -> datetime:
    """Return when the sweeper must arm an occurrence that is not claimed by then."""
    return due_at + GRACE if covered else due_at - WAKE_AHEAD


def arms_itself(trigger: Trigger) -> bool:
    """Return whether a trigger takes no schedule, because each claim arms the next occurrence.

    An interval does, and a cron that always comes again within an hour. If that is later than SQS
    can delay a message, the sweeper sends it. Other crons do not depend on the sweeper.
    """
    return isinstance(trigger, Interval) or (isinstance(trigger, Cron) and trigger.recurs_hourly)


def await_occurrence(
    state: State, trigger: Trigger, due_at: datetime | None, now: datetime
) -> tuple[State, tuple[DueMessage, ...]]:
    """Return the state with `due_at` as the next occurrence, and the message that arms it, if any.

    An occurrence for which the schedule is sure to wake needs no message. Others get a message if
    they are due within 15 minutes; later ones are marked as not covered, for the sweeper to arm.
    """
    passed = passed_over(trigger, due_at)
    waits = replace(state, next_due_at=due_at, covered=True, passed_over=passed)
    if arms_itself(trigger) or (due_at is None and not isinstance(trigger, OneTime)):
        # The schedule that a cron has from an earlier release, or that has ended, is orphaned: it
        # is deleted at its next wake.
        waits = replace(waits, token=None)
    if state.status is Status.PAUSED:
        return await_end_of_pause(waits, now)
    if due_at is None or state.status is not Status.ACTIVE:
        return waits, ()
    if not is_doubted(state, now) and schedule_wakes_for(waits.token, trigger, due_at, now):
        return waits, ()
    if due_at - now <= NEAR:
        return waits, (occurrence_due(state, due_at),)
    return replace(waits, covered=False), ()


def await_end_of_pause(state: State, now: datetime) -> tuple[State, tuple[DueMessage, ...]]:
    """Return the state of a paused job as it waits for the end of its pause, and the message.

    There is none for an end that is more than 15 minutes away, which the sweeper arms, nor for a
    pause without an end.
    """
    until = state.paused_until
    if until is None or until - now > NEAR:
        return replace(state, covered=until is None), ()
    return replace(state, covered=True), (occurrence_due(state, until),)


def is_doubted(state: State, now: datetime) -> bool:
    """Return whether the schedule's wakes cannot be relied on now."""
    return state.doubted_until is not None and now < state.doubted_until


def schedule_wakes_for(
    token: str | None, trigger: Trigger, due_at: datetime, now: datetime
) -> bool:
    """Return whether the schedule with this token is sure to wake before `due_at`.

    It is sure if it was created early enough before the time of the wake and no clock change is
    near. Also return True if that time has passed: the wake has sent its message.
    """
    if token is None or due_at <= now:
        return False
    if due_at - WAKE_AHEAD < token_time(token) + SETTLING:
        return False
    return not isinstance(trigger, Cron) or wake_is_certain(trigger, due_at)


def occurrence_due(state: State, due_at: datetime) -> DueMessage:
    """Return the message for an occurrence of the job's present generation."""
    return DueMessage(state.job_id, state.tenant, RunKey(due_at, state.generation), due_at)


def run_due(state: State, run: UnfinishedRun, at: datetime) -> DueMessage:
    """Return the message for an unfinished run."""
    return DueMessage(state.job_id, state.tenant, run.key, at)


def uncovered(state: State, dues: Iterable[DueMessage], now: datetime) -> State:
    """Return the state with the steps of these messages marked as not covered.

    Call it for messages that could not be sent: the next sweep arms their steps.
    """
    keys = {due.key for due in dues}
    runs = tuple(replace(run, covered=run.covered and run.key not in keys) for run in state.runs)
    covers = (
        state.covered and RunKey(state.step_at, state.generation) not in keys
        if state.step_at
        else state.covered
    )
    return written(replace(state, covered=covers, runs=runs), now)
