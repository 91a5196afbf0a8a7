"""The use cases of jobs: create, change, pause, resume, delete and read them.

A schedule is created before the state is written, and the state has the schedule's token; messages
are sent after the write. A failure in between is harmless: an orphaned schedule deletes itself at
its next wake, and the sweeper arms a job that has neither schedule nor message.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from chalicelib.aws.calendar_store import CalendarStore
from chalicelib.aws.channel_store import ChannelStore
from chalicelib.aws.flow_store import FlowStore
from chalicelib.aws.job_items import Idempotency
from chalicelib.aws.job_store import AlreadyAnswered, JobStore, StateChanged
from chalicelib.aws.quota_store import QuotaStore
from chalicelib.aws.run_store import RunStore
from chalicelib.aws.schedules import Schedules
from chalicelib.aws.secret_store import SecretStore
from chalicelib.domain import job_transitions
from chalicelib.domain.errors import JobNotFound, KeyIsTaken, Unavailable
from chalicelib.domain.ids import (
    JOB_ID,
    JOB_KEY,
    key_in,
    new_job_id,
    new_token,
)
from chalicelib.domain.job import Definition, Kind
from chalicelib.domain.pauses import NOTHING_ASKED, Asked
from chalicelib.domain.request import RequestCheck
from chalicelib.domain.run import Attempt
from chalicelib.domain.state import State, Transition
from chalicelib.runtime.backoff import tries
from chalicelib.runtime.concurrency import RunAll, in_threads
from chalicelib.usecases.arming import Arming, schedule, unschedule
from chalicelib.usecases.checks import (
    Check,
    any_state,
    check_secrets,
    checked_names,
    refuse_notice,
)
from chalicelib.usecases.excluding import with_calendars
from chalicelib.usecases.following import Following
from chalicelib.usecases.lines import Lines
from chalicelib.usecases.telling import Telling

log = logging.getLogger("resona")


@dataclass(frozen=True, slots=True)
class Job:
    """A job and its result: the last attempt of the run `state.last_run`, None if there is none."""

    definition: Definition
    state: State
    result: Attempt | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """A changed definition. With `anew` its trigger starts again, even if it has not changed."""

    definition: Definition
    anew: bool = False


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is not written yet, as it will be shown, and the transition that creates it."""

    job: Job
    step: Transition


_Decision = TypeVar("_Decision", Transition, Transition | None)


class Scheduling:
    """The use cases of jobs. `check_request` raises for requests that must not be sent."""

    def __init__(
        self,
        jobs: JobStore,
        runs: RunStore,
        schedules: Schedules,
        secrets: SecretStore,
        channels: ChannelStore,
        calendars: CalendarStore,
        flows: FlowStore,
        arming: Arming,
        clock: Callable[[], datetime],
        check_request: RequestCheck,
        sleep: Callable[[float], None] = time.sleep,
        run_all: RunAll = in_threads,
        quotas: QuotaStore | None = None,
    ) -> None:
        self.jobs = jobs
        self.runs = runs
        self.secrets = secrets
        self.channels = channels
        self.calendars = calendars
        self.flows = flows
        self.clock = clock
        self.check_request = check_request
        self.run_all = run_all
        self.quotas = quotas
        self.arming = arming
        self._schedules = schedules
        self._sleep = sleep

    @property
    def following(self) -> Following:
        """Return what writes transitions of runs."""
        telling = Telling(self.runs, self.channels)
        return Following(self.jobs, self._schedules, self.arming, telling)

    @property
    def lines(self) -> Lines:
        """Return what drains the lines of flows."""
        return Lines(self.jobs, self.flows, self.arming, self.clock)

    def tries(self) -> Iterator[int]:
        """Yield 0, 1, … for each try of a change, and pause before each but the first."""
        return tries(self._sleep)

    def create(self, draft: Definition) -> Job:
        """Register a job. Raises the errors of `prepare` and `register`."""
        return self.register(self.prepare(draft))

    def prepare(self, draft: Definition) -> NewJob:
        """Make a new job, which `register` then writes, and create its schedule.

        `draft` is its definition without an id. Raises KeyIsTaken, QuotaExceeded, Unavailable, and
        InvalidInput if a secret or a calendar does not exist.
        """
        trigger = checked_names(self.secrets, self.calendars, draft)
        now = self.clock()
        if self.quotas:
            # Check the key first: a repeated registration does not count against the quota.
            self.jobs.refuse_taken(draft.tenant, draft.key)
            self.quotas.take(draft.tenant, now)
        definition = replace(
            draft,
            id=new_job_id(now),
            generation=1,
            created_at=now.replace(microsecond=0),
            trigger=trigger,
        )
        step = self._scheduled(
            definition, now, lambda token: job_transitions.create(definition, token, now)
        )
        return NewJob(Job(definition, step.state), step)

    def register(self, new: NewJob, idempotency: Idempotency | None = None) -> Job:
        """Write a new job together with the answer to its Idempotency-Key, and arm it.

        Raises KeyIsTaken, AlreadyAnswered, Unavailable.
        """
        definition, step = new.job.definition, new.step
        try:
            self.jobs.add(definition, step.state, idempotency, self.clock())
        except (KeyIsTaken, AlreadyAnswered):
            unschedule(self._schedules, definition.id, step.state.token)
            raise
        except StateChanged:
            # The id is new, so this state was written by our own call, whose response was lost, and
            # was changed since.
            pass
        log.info("job.created", extra={"job_id": definition.id})
        self.arming.arm(step.state, step.arm)
        return new.job

    def get(self, tenant: str, reference: str) -> Job:
        """Return a job by its id or `key:<key>`. Raises JobNotFound."""
        return self.with_results([Job(*self.jobs.get(tenant, self.resolve(tenant, reference)))])[0]

    def resolve(self, tenant: str, reference: str) -> str:
        """Return the id for a reference in a path. Raises JobNotFound, also for a malformed id."""
        key = key_in(reference)
        if key is not None:
            if not JOB_KEY.fullmatch(key):
                raise JobNotFound
            return self.jobs.find_key(tenant, key)
        if not JOB_ID.fullmatch(reference):
            raise JobNotFound
        return reference

    def page(
        self, tenant: str, before: str | None, limit: int, kind: Kind = Kind.JOB
    ) -> tuple[list[Job], str | None]:
        """Return up to `limit` of the tenant's jobs of a kind, newest first, without results.

        Also return the next page's `before`, None at the end.
        """
        pairs, following = self.jobs.page(tenant, before, limit, kind, self.clock())
        return [Job(*pair) for pair in pairs], following

    def with_results(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs with their results."""
        wanted = [(job.state.job_id, job.state.last_run) for job in jobs if job.state.last_run]
        results = self.runs.last_attempts(wanted, self.clock()) if wanted else {}
        return [replace(job, result=results.get(job.state.job_id)) for job in jobs]

    def change(self, tenant: str, reference: str, edit: Callable[[Job, datetime], Edit]) -> Job:
        """Change a job. `edit` returns the new definition of the job it is given.

        `edit` is called again if another client changed the job meanwhile. Raises JobNotFound,
        JobHasEnded, IsNotice, Unavailable, and the errors of `edit`.
        """
        job_id = self.resolve(tenant, reference)
        for _ in self.tries():
            job = self.get(tenant, job_id)
            refuse_notice(job.definition)
            now = self.clock()
            changed = self._try_change(job, edit(job, now), now)
            if changed is not None:
                return changed
        raise Unavailable("the job")

    def _try_change(self, job: Job, edit: Edit, now: datetime) -> Job | None:
        old, new, state = job.definition, edit.definition, job.state
        if new.says_the_same_as(old) and not edit.anew:
            return job
        sends_the_same = (new.request, new.callbacks) == (old.request, old.callbacks)
        secrets = None if sends_the_same else self.secrets
        if edit.anew or new.trigger != old.trigger:
            new = replace(new, trigger=checked_names(secrets, self.calendars, new))
        else:
            if secrets is not None:
                check_secrets(secrets, new)
            new = with_calendars(self.calendars, new)
        step = self._scheduled(
            new,
            now,
            lambda token: job_transitions.change(old, new, state, token, now, anew=edit.anew),
        )
        definition = step.definition or new
        write = partial(self.jobs.replace, definition, step.state, old)
        if not self._commit(write, state, step.state.token):
            return None
        log.info("job.changed", extra={"job_id": state.job_id})
        self.arming.arm(step.state, step.arm)
        return replace(job, definition=definition, state=step.state)

    def _scheduled(
        self,
        definition: Definition,
        now: datetime,
        decide: Callable[[str | None], _Decision],
    ) -> _Decision:
        """Call `decide` with a new schedule token; create the schedule if the new state has it.

        If the schedule cannot be created, call `decide` again with None.
        """
        token = new_token(now)
        decision = decide(token)
        if decision is None or decision.state.token != token:
            return decision
        made = schedule(self._schedules, definition.id, token, definition.trigger)
        return decision if made else decide(None)

    def _commit(self, write: Callable[[], None], state: State, token: str | None) -> bool:
        """Write, then delete the previous schedule; return False if the state has changed.

        `token` is that of the new state. If the write is refused, delete its schedule. Raises
        JobNotFound if the job is gone.
        """
        made = token if token != state.token else None
        try:
            write()
        except StateChanged as changed:
            # If the current state has the token, our own write took effect, its response was lost,
            # and the state was changed since.
            if changed.current is None or changed.current.token != made:
                unschedule(self._schedules, state.job_id, made)
            if changed.current is None:
                raise JobNotFound from changed
            return False
        if state.token != token:
            unschedule(self._schedules, state.job_id, state.token)
        return True

    def pause(
        self, tenant: str, reference: str, check: Check = any_state, asked: Asked = NOTHING_ASKED
    ) -> Job:
        """Pause a job; a paused job is left unchanged, unless `asked` replaces its pause.

        Raises JobNotFound, JobHasEnded, IsNotice, Unavailable, and the errors of `check`.
        """

        def paused(definition: Definition, state: State, now: datetime) -> Transition | None:
            return self._scheduled(
                definition,
                now,
                lambda token: job_transitions.pause(definition, state, asked, token, now),
            )

        return self._decide(tenant, reference, "job.paused", paused, check)

    def skip(self, tenant: str, reference: str, count: int, check: Check = any_state) -> Job:
        """Have the next `count` occurrences of a job skipped, 0 for none.

        Raises the errors of `pause`.
        """
        return self._decide(
            tenant,
            reference,
            "job.changed",
            lambda _, state, now: job_transitions.skip(state, count, now),
            check,
        )

    def resume(self, tenant: str, reference: str, check: Check = any_state) -> Job:
        """Resume a paused job; an active job is left unchanged.

        Raises DateHasPassed, and the errors of `pause`.
        """
        return self._decide(tenant, reference, "job.resumed", self._resumed, check)

    def _resumed(self, definition: Definition, state: State, now: datetime) -> Transition | None:
        definition = with_calendars(self.calendars, definition)
        return self._scheduled(
            definition, now, lambda token: job_transitions.resume(definition, state, token, now)
        )

    def _decide(
        self,
        tenant: str,
        reference: str,
        event: str,
        decide: Callable[[Definition, State, datetime], Transition | None],
        check: Check,
    ) -> Job:
        job_id = self.resolve(tenant, reference)
        for _ in self.tries():
            job = self.get(tenant, job_id)
            refuse_notice(job.definition)
            check(job.state)
            now = self.clock()
            step = decide(job.definition, job.state, now)
            if step is None:
                return job
            write = partial(self.jobs.save, step.state, now=now)
            if self._commit(write, job.state, step.state.token):
                log.info(event, extra={"job_id": job_id})
                self.arming.arm(step.state, step.arm)
                return replace(job, state=step.state)
        raise Unavailable("the job")

    def delete(self, tenant: str, reference: str, check: Check = any_state) -> None:
        """Delete a job. Its runs are no longer listed.

        Raises JobNotFound, Unavailable, and the errors of `check`.
        """
        job_id = self.resolve(tenant, reference)
        for _ in self.tries():
            definition, state = self.jobs.get(tenant, job_id)
            check(state)
            try:
                self.jobs.remove(definition, state)
            except StateChanged as changed:
                if changed.current is not None:
                    continue
            log.info("job.deleted", extra={"job_id": job_id})
            unschedule(self._schedules, job_id, state.token)
            return
        raise Unavailable("the job")
