"""The use cases of the executor: wake, fire, sweep.

To fire is to sleep until the due time, claim the attempt, send it, record it, and finish the state.
Claim and finish are compare-and-swap writes of the state. The record is written between them, so
that whoever settles an attempt later knows its result; or with the finish, if the attempt awaited a
callback.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from chalicelib.aws.calendar_store import CalendarStore
from chalicelib.aws.due_queue import DueQueue
from chalicelib.aws.job_items import FlowChanged, RecordChanged
from chalicelib.aws.job_store import JobStore, StateChanged
from chalicelib.aws.run_store import RunStore
from chalicelib.aws.schedules import Schedules
from chalicelib.aws.sweep_store import SweepStore
from chalicelib.aws.table import Write
from chalicelib.domain import run_transitions
from chalicelib.domain.admission import claimed_from
from chalicelib.domain.backfill_transitions import asks_calendars
from chalicelib.domain.completing import timed_out
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.ids import RunKey, run_id
from chalicelib.domain.job import Definition, Kind
from chalicelib.domain.lines import is_line
from chalicelib.domain.retry import MAX_JITTER
from chalicelib.domain.run import Attempt, AttemptResult, FinishedAttempt, Outcome, RunStatus
from chalicelib.domain.run_transitions import Settle
from chalicelib.domain.state import DueMessage, NoChange, State, Transition, UnfinishedRun
from chalicelib.runtime.backoff import TRIES, pause_after
from chalicelib.runtime.concurrency import RunAll, in_threads
from chalicelib.usecases.admission import Admission
from chalicelib.usecases.ahead import NOTHING, Ahead, read_ahead
from chalicelib.usecases.arming import Arming
from chalicelib.usecases.attempt import AttemptSender, Claimed, Tried, owner_token, run_fields
from chalicelib.usecases.breakers import Breakers
from chalicelib.usecases.excluding import for_following, with_calendars
from chalicelib.usecases.fairness import Fairness
from chalicelib.usecases.following import Following, log_end, log_finish
from chalicelib.usecases.sweeping import Sweeping
from chalicelib.usecases.telling import Telling
from chalicelib.usecases.waking import Waking

log = logging.getLogger("resona")

# SQS delays messages by whole seconds, and the executor sleeps the rest, up to 3.1 s. One that
# is early by more than this goes back to the queue.
_LONGEST_SLEEP = timedelta(seconds=3.2)
_PAUSE_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Firing:
    """The use cases of the executor. `clock` returns aware UTC; `sleep` takes seconds."""

    jobs: JobStore
    runs: RunStore
    schedules: Schedules
    queue: DueQueue
    arming: Arming
    telling: Telling
    calendars: CalendarStore
    sweeps: SweepStore
    sender: AttemptSender
    admission: Admission
    breakers: Breakers
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    fairness: Fairness
    run_all: RunAll = in_threads

    @property
    def _ends(self) -> Following:
        return Following(self.jobs, self.schedules, self.arming, self.telling)

    def wake(self, schedule: str, scheduled_at: datetime) -> None:
        """Send the message for the occurrence that a schedule wakes for. Raises Unavailable."""
        waking = Waking(self.jobs, self.schedules, self.queue, self.clock, self.sleep)
        waking.wake(schedule, scheduled_at)

    def read_ahead(self, dues: Sequence[DueMessage]) -> Ahead:
        """Read what these messages of one invocation need, for `fire`."""
        now = self.clock()
        soon = [due for due in dues if due.at - now <= _LONGEST_SLEEP]
        ahead = read_ahead(self.jobs, self.sender, self.fairness, soon, now)
        return replace(ahead, alike=self.admission.alike(soon, ahead))

    def put_back(self, dues: Sequence[DueMessage]) -> None:
        """Send messages again that this invocation does not handle. Raises Unavailable."""
        self.queue.send_together(dues, self.clock())

    def end(self, ahead: Ahead) -> None:
        """End the invocation that `read_ahead` began."""
        self.fairness.leave(ahead.turn)

    def fire(self, due: DueMessage, ahead: Ahead = NOTHING) -> None:
        """Make the attempt that a message is for, unless it was made already.

        Raises Unavailable; the queue then delivers the message again.
        """
        claimed, tried = None, Tried(ahead.turn)
        try:
            claimed = self._claimed(due, ahead, tried)
        finally:
            self.fairness.decided(ahead.turn, due)
            if claimed is None:
                self.admission.lines.leave(tried)
        if claimed is not None:
            self._attempt(claimed, tried)

    def _claimed(self, due: DueMessage, ahead: Ahead, tried: Tried) -> Claimed | None:
        """Sleep until a message is due, and claim its attempt; None if there is nothing to send."""
        wait = due.at - self.clock()
        if wait > _LONGEST_SLEEP:
            self.queue.send([due], self.clock())
            return None
        if is_line(due.job_id):
            self.sleep(max(wait.total_seconds(), 0))
            self.admission.lines.lines.drain(due.job_id)
            return None
        # Read before the due time: the claim is refused if the job has changed since.
        loaded = ahead.jobs.get(due.job_id) or self.jobs.load(due.job_id)
        # At once: how late it is sent, so much later before its time it comes.
        tried.ahead = self.arming.arm_ahead(due, loaded, owner_token(), self.sleep)
        if loaded is not None and run_transitions.leads_to_attempt(*loaded, due, self.clock()):
            tried.latest = ahead.prepared.get(due.job_id)
            if tried.latest is None:
                self.fairness.await_others(ahead.turn, due.at)
                tried.latest = self.sender.prepare(loaded[0])
            tried.prepared_for = loaded[0]
            self.fairness.ask(ahead.turn, loaded[0], tried.latest.tickets)
        tried.place = self.admission.place_ahead(due, ahead, self.clock)
        at = claimed_from(due.at, tried.place)
        # Check again after sleeping, because the clock may be adjusted: a claim before the due time
        # is refused.
        while (wait := at - self.clock()) > timedelta(0):
            self.sleep(wait.total_seconds())
        return self._claim(due, loaded, tried)

    def _claim(
        self, due: DueMessage, loaded: tuple[Definition, State] | None, tried: Tried
    ) -> Claimed | None:
        """Claim the attempt that is due; None if there is nothing to send. `loaded` is the job as
        it was read last, `tried` what was prepared for it.

        Raises Unavailable; no attempt is used up then.
        """
        key = due.key
        for tries in range(1, TRIES + 1):
            if loaded is None:
                _log_ignored(due.job_id, key, "the job is gone")
                return None
            definition, state = loaded
            run = state.find(key)
            if run is None or asks_calendars(run):
                # Calendars are read now that the occurrence is due: a change until then counts.
                definition = with_calendars(self.calendars, definition)
            now, owner, tried.beside = self.clock(), tried.owner(), []
            won = tried.won(state)
            if won is not None:
                return won
            decision = self._decide(definition, state, key, owner, now)
            if decision is None:
                return None
            if decision.send is not None:
                ready = self._ready(definition, state, decision, tried, now)
                if ready is None:
                    continue
                decision = tried.claim_as(owner, ready, now)
            written = self._save_claim(definition, state, decision, tried, now, tries)
            if written is None:
                loaded = self.jobs.load(due.job_id)
                continue
            if written.send is not None:
                return Claimed(tried.by_owner[owner], written.state, written.send)
            if written.again is None:
                return None
            loaded, key = (definition, written.state), written.again.key
        raise Unavailable("the job")

    def _ready(
        self,
        definition: Definition,
        state: State,
        claim: Transition,
        tried: Tried,
        now: datetime,
    ) -> Transition | None:
        """Return a claim that is prepared, as its job's flow allows it.

        None if that took time, on which the decision depends: decide again.
        """
        if tried.prepared_for != definition:
            sent = self.telling.composed(definition, now, is_closed=bool(state.runs))
            tried.latest, tried.prepared_for = self.sender.prepare(sent), definition
            self.fairness.ask(tried.turn, definition, tried.latest.tickets)
            return None
        claim = self.fairness.held(tried.turn, definition, state, claim)
        return self.admission.admitted(definition, state, claim, tried, now)

    def _decide(
        self, definition: Definition, state: State, key: RunKey, owner: str, now: datetime
    ) -> Transition | None:
        """Return the transition that claims the run, None if there is nothing to claim.

        If the run has an attempt whose lease is over, settle it and return None.
        """
        decision = run_transitions.claim(definition, state, key, owner, now)
        if isinstance(decision, NoChange):
            _log_ignored(state.job_id, key, decision.why)
            return None
        if isinstance(decision, Settle):
            end = self._time_out if decision.run.is_waiting else self._settle
            end(definition, state, decision.run)
            return None
        return decision

    def _save_claim(
        self,
        definition: Definition,
        state: State,
        decision: Transition,
        tried: Tried,
        now: datetime,
        tries: int,
    ) -> Transition | None:
        """Write a claim's transition, log it and send its messages. Return it as it was written,
        with who was told.

        None if the job must be read and the claim decided again. Raises Unavailable if nothing was
        written.
        """
        job_id, tenant = decision.state.job_id, decision.state.tenant
        ends = [self.runs.end_item(tenant, job_id, end) for end in decision.ended]

        def save(step: Transition, beside: list[Write]) -> None:
            self.jobs.save(step.state, [*ends, *beside, *tried.beside], now=now)

        try:
            decision, notices = self._ends.write(definition, state, decision, None, now, save)
        except StateChanged:
            pause_after(tries, self.sleep)
            return None
        except FlowChanged:
            tried.prepared_for = None
            return None
        except Unavailable as error:
            if not error.unknown:
                raise
            return None
        if state.pause is not None and decision.state.pause is None:
            log.info("job.resumed", extra={"job_id": job_id})
        for end in decision.ended:
            # A superseded run was counted as an occurrence when its first attempt was claimed.
            occurrences = end.missed_count or (1 if end.status is RunStatus.SKIPPED else None)
            log_end(job_id, end.key, end, occurrences=occurrences)
        self._ends.arm(decision, notices)
        return decision

    def _attempt(self, claimed: Claimed, tried: Tried) -> None:
        definition, run = claimed.prepared.definition, claimed.run
        sent = self.sender.attempt(claimed.prepared, run)
        self.admission.lines.leave(tried, sent)
        if sent is None:
            # Whoever settles this attempt records it as unknown, and the run is retried.
            log.warning("attempt.abandoned", extra=run_fields(definition.id, run))
            return
        attempt = FinishedAttempt(str(run.owner), *sent)
        record = self._finish(definition, claimed.state, run, attempt)
        if tried.flow is not None and record is not None:
            self.breakers.learn(tried.flow, definition, record)

    def _settle(self, definition: Definition, state: State, run: UnfinishedRun) -> None:
        """Finish an attempt whose lease is over, by its record if there is one, else as unknown."""
        found = self.runs.attempt(definition.id, run.key, run.attempt)
        if found is None:
            unknown = AttemptResult(
                Outcome.UNKNOWN,
                timedelta(0),
                error="the executor died; whether the request was sent is not known",
            )
            begun_at = run.awaited.since if run.awaited else self.clock()
            attempt = FinishedAttempt(owner_token(), begun_at, unknown)
        else:
            attempt = FinishedAttempt(found.owner, found.started_at, found.result, found)
        self._finish(definition, state, run, attempt)

    def _time_out(self, definition: Definition, state: State, run: UnfinishedRun) -> None:
        """Finish an attempt whose deadline is over; again if another writer changed the state."""
        loaded: tuple[Definition, State] | None = (definition, state)
        for tries in range(1, TRIES + 1):
            if loaded is None:
                return
            known = for_following(self.calendars, loaded[0], run)
            found, unchanged = self.runs.attempt_as_read(known.id, run.key, run.attempt)
            attempt = timed_out(run, found, owner_token())
            with suppress(StateChanged, RecordChanged):
                self._ends.end_awaited(known, loaded[1], run, attempt, unchanged, self.clock())
                return
            pause_after(tries, self.sleep)
            loaded = self.jobs.load(definition.id)
        raise Unavailable("the job")

    def _finish(
        self, definition: Definition, state: State, run: UnfinishedRun, attempt: FinishedAttempt
    ) -> Attempt | None:
        """Record the attempt, then finish the state; again if another writer changed the state.
        Return the record, None if another executor finished the state or the job is gone.

        If a table does not answer, retry until the lease is over; no other executor settles the
        attempt before. Without its record the attempt would become `unknown` and be sent again.
        """
        jitter = random.uniform(0, MAX_JITTER)
        definition = for_following(self.calendars, definition, run)
        for tries in range(1, TRIES + 1):
            if state.edition != definition.edition:
                # Callbacks and `pause_after` are those of the definition in force.
                loaded = self.jobs.load(definition.id)
                if loaded is None:
                    return None
                definition, state = loaded
            now = self.clock()
            decision = run_transitions.finish(definition, state, run, attempt, jitter, now)
            if isinstance(decision, NoChange) or decision.update is None:
                return None
            record = run.record(definition.id, attempt, decision.update)
            save = partial(self._save_finish, definition, record, now)
            try:
                if not self._record(definition, attempt, record, state, now):
                    return None
                attempt = replace(attempt, recorded=record)
                decision, notices = self._ends.write(definition, state, decision, record, now, save)
            except StateChanged as changed:
                pause_after(tries, self.sleep)
                # Read again: the state returned with the refusal may be stale after the pause.
                current = self.jobs.state(definition.id) if changed.current is not None else None
                if current is None:
                    return None
                state = current
                continue
            except Unavailable:
                if run.lease_until is None or self.clock() >= run.lease_until:
                    raise
                self.sleep(_PAUSE_SECONDS)
                continue
            log_finish(definition.id, run, attempt, record.update)
            self._ends.after_pause(state, decision.state)
            self._ends.arm(decision, notices)
            return record
        raise Unavailable("the job")

    def _record(
        self,
        definition: Definition,
        attempt: FinishedAttempt,
        record: Attempt,
        state: State,
        now: datetime,
    ) -> bool:
        """Write the record; return False if another executor has recorded this attempt."""
        tenant = state.tenant if definition.kind is Kind.JOB else None
        return record == attempt.recorded or self.runs.record(tenant, record, state.revision, now)

    def _save_finish(
        self,
        definition: Definition,
        record: Attempt,
        now: datetime,
        step: Transition,
        beside: list[Write],
    ) -> None:
        """Write a finished state and what is told. A notice that is over begins to expire."""
        if definition.kind is Kind.NOTICE and step.state.is_over:
            sent = self.telling.composed(definition, now, is_closed=True)
            self.telling.delivered(sent, record)
            self.jobs.retire(sent, step.state, now + self.runs.retention)
        else:
            self.jobs.save(step.state, beside, now=now)

    def sweep(self, until: datetime) -> int:
        """Arm overdue jobs until `until`; return how many were armed. Raises Unavailable."""
        lines = self.admission.lines.lines
        parts = self.jobs, self.sweeps, self.queue, lines, self.clock, self.sleep, self.run_all
        return Sweeping(*parts).sweep(until)


def _log_ignored(job_id: str, key: RunKey, why: str) -> None:
    log.info("message.ignored", extra={"job_id": job_id, "run_id": run_id(job_id, key), "why": why})
