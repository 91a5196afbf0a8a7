"""Where a job stands, and by when somebody must do something about it.

The state is small and is written only by compare and swap on its `revision`. What may happen to it
is in `domain.changing` (what users do) and `domain.claiming` (what time does): pure functions from
a state to a `Transition`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from chalicelib.domain.cron import wake_is_certain
from chalicelib.domain.ids import RunKey, token_time
from chalicelib.domain.job import Definition
from chalicelib.domain.run import RunEnd, RunUpdate
from chalicelib.domain.trigger import WAKE_AHEAD, OneTime, Trigger

# SQS delays a message by at most 900 s; what is due later is left to a schedule or to the sweeper.
NEAR = timedelta(minutes=15)
# How long after its due time a thing that a message or a schedule covers is taken for forgotten.
GRACE = timedelta(seconds=30)
# Clocks of two executors may differ: a lease is over only this long after its end.
SKEW = timedelta(seconds=10)
# A schedule may miss the minute in which it is made; only wakes later than this are counted on.
SETTLING = timedelta(minutes=1)
# After a wake that did not come, for so long wakes are not counted on: an outage of EventBridge
# Scheduler makes one occurrence late.
DOUBT = timedelta(hours=1)
# How soon the sweeper looks again at what it has armed: doubled with every look in vain.
SWEEP_AGAIN = timedelta(minutes=1)
SWEEP_AGAIN_AT_MOST = timedelta(minutes=8)

MAX_UNFINISHED_RUNS = 32


class Status(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class UnfinishedRun:
    """A run that has not ended.

    `attempt` is the number of the attempt that was claimed last, 0 while a manual run is queued.
    `owner` and `lease_until` are set while that attempt is out; `next_attempt_at` is set while the
    run waits. `generation` is the one whose request it sends: for an occurrence the job's own
    generation, for a manual run that of the definition, since a pause does not end it. `covered`: a
    message stands for the next attempt.
    """

    key: RunKey
    generation: int
    attempt: int
    owner: str | None = None
    lease_until: datetime | None = None
    next_attempt_at: datetime | None = None
    started_at: datetime | None = None
    covered: bool = True

    @property
    def watch_at(self) -> datetime:
        """Return by when its next step must be armed if nothing else has done it."""
        if self.lease_until is not None:
            return self.lease_until + SKEW
        assert self.next_attempt_at is not None  # noqa: S101  a run is out or it waits
        return self.next_attempt_at + GRACE if self.covered else self.next_attempt_at - WAKE_AHEAD


@dataclass(frozen=True, slots=True)
class LastRun:
    """The run that `result` shows: the latest that was sent and has ended.

    `attempt` is the number of its last attempt.
    """

    key: RunKey
    attempt: int
    superseded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class State:
    """Where a job stands.

    `revision` counts writes; `generation` counts the meanings the job has had; `defined_in` is the
    generation whose definition it goes with. `next_due_at` is the occurrence that comes next, None
    for a one-time job whose run has begun; a paused one-time job keeps it. `covered`: a message or
    the schedule stands for it. `token` names the schedule, None when there is none; `doubted_until`
    is set when one of its wakes did not come. `sweeps` counts the sweeper's looks since anything
    else happened. `edition` is that of the definition which was written together with this state,
    or is still there from before.
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
    sweeps: int = 0
    edition: int = 1

    @property
    def next_run_time(self) -> datetime | None:
        """Return when the job is due next; None when it is not."""
        return self.next_due_at if self.status is Status.ACTIVE else None

    def find(self, key: RunKey) -> UnfinishedRun | None:
        """Return the unfinished run with this key, or None."""
        return next((run for run in self.runs if run.key == key), None)

    def with_run(self, run: UnfinishedRun) -> State:
        """Return the state with this run added, or put in the place of the one with its key."""
        return replace(self, runs=(*(other for other in self.runs if other.key != run.key), run))

    def without_run(self, run: UnfinishedRun) -> State:
        """Return the state without this run."""
        return replace(self, runs=tuple(other for other in self.runs if other.key != run.key))

    def supersedes(self, run: UnfinishedRun) -> bool:
        """Say whether a pause, a change or a resume has made this run's further attempts
        meaningless.
        """
        return run.generation != (self.defined_in if run.key.manual else self.generation)


@dataclass(frozen=True, slots=True)
class DueMessage:
    """A message's worth: the run with this key has something to do at `at`."""

    job_id: str
    tenant: str
    key: RunKey
    at: datetime


@dataclass(frozen=True, slots=True)
class Transition:
    """A decision: the state to write if the revision is still the one read, and what follows from
    it.

    `ended` is written with the state, all or nothing; `arm` is sent after it. `send` is the attempt
    that the writer now owns. `again`: the same decision is to be made once more, for this one.
    `update` is what a finish made of its attempt. `definition` is stored with the state; None keeps
    the one that is there.
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
    """A decision to change nothing, and its reason, for the log."""

    why: str


def written(state: State) -> State:
    """Return the state as the next revision, with `watch_at` set by what it waits for now."""
    waits = list(_waits(state))
    return replace(
        state, revision=state.revision + 1, sweeps=0, watch_at=min(waits) if waits else None
    )


def _waits(state: State) -> Iterator[datetime]:
    if state.next_run_time is not None:
        yield occurrence_watch_at(state.next_run_time, covered=state.covered)
    for run in state.runs:
        yield run.watch_at


def occurrence_watch_at(due_at: datetime, *, covered: bool) -> datetime:
    """Return by when an occurrence must be armed if nothing else has done it."""
    return due_at + GRACE if covered else due_at - WAKE_AHEAD


def await_occurrence(
    state: State, trigger: Trigger, due_at: datetime | None, now: datetime
) -> tuple[State, tuple[DueMessage, ...]]:
    """Return the state that waits for `due_at` next, and the message to arm it with, if it takes
    one.

    Whatever is due within 15 minutes gets a message unless the schedule's wake for it is certain;
    whatever is later and not covered by the schedule is left, uncovered, to the sweeper.
    """
    waits = replace(state, next_due_at=due_at, covered=True)
    if due_at is None or state.status is not Status.ACTIVE:
        return waits, ()
    if not is_doubted(state, now) and schedule_wakes_for(state.token, trigger, due_at, now):
        return waits, ()
    if due_at - now <= NEAR:
        return waits, (occurrence_due(state, due_at),)
    return replace(waits, covered=False), ()


def doubting(state: State, due_at: datetime, now: datetime) -> State:
    """Return the state that no longer counts on its schedule for a while, if what it covered came
    due and nobody came.
    """
    was_forgotten = state.token is not None and state.covered and now - due_at > GRACE
    return replace(state, doubted_until=now + DOUBT) if was_forgotten else state


def is_doubted(state: State, now: datetime) -> bool:
    """Say whether the schedule's wakes are not counted on now."""
    return state.doubted_until is not None and now < state.doubted_until


def schedule_wakes_for(
    token: str | None, trigger: Trigger, due_at: datetime, now: datetime
) -> bool:
    """Say whether the schedule with this token is sure to wake the executor before `due_at`, seen
    from `now`.

    A wake that is past has done its work, if the schedule was already there when it came.
    """
    if token is None or due_at <= now:
        return False
    if due_at - WAKE_AHEAD < token_time(token) + SETTLING:
        return False
    return isinstance(trigger, OneTime) or wake_is_certain(trigger, due_at)


def occurrence_due(state: State, due_at: datetime) -> DueMessage:
    """Return the message for an occurrence of the state's own generation."""
    return DueMessage(state.job_id, state.tenant, RunKey(due_at, state.generation), due_at)


def run_due(state: State, run: UnfinishedRun, at: datetime) -> DueMessage:
    """Return the message for an unfinished run."""
    return DueMessage(state.job_id, state.tenant, run.key, at)


def uncovered(state: State, dues: Iterable[DueMessage]) -> State:
    """Return the state that takes back its messages for these, so that the sweeper arms them at its
    next look.
    """
    keys = {due.key for due in dues}
    runs = tuple(replace(run, covered=run.covered and run.key not in keys) for run in state.runs)
    covers = (
        state.covered and RunKey(state.next_due_at, state.generation) not in keys
        if state.next_due_at
        else state.covered
    )
    return written(replace(state, covered=covers, runs=runs))
