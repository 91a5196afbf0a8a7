"""Read the runs of a job, and queue a manual run."""

from __future__ import annotations

import logging

from chalicelib.aws.job_items import Idempotency
from chalicelib.aws.job_store import StateChanged
from chalicelib.domain import job_transitions
from chalicelib.domain.errors import JobNotFound, RunNotFound, Unavailable
from chalicelib.domain.ids import RunKey, run_id, run_key
from chalicelib.domain.run_history import Run, merged, of_state, unfinished
from chalicelib.domain.state import State
from chalicelib.usecases.checks import Check, any_state, refuse_notice
from chalicelib.usecases.scheduling import Scheduling

log = logging.getLogger("resona")


def run_now(
    scheduling: Scheduling,
    tenant: str,
    reference: str,
    idempotency: Idempotency | None = None,
    check: Check = any_state,
    key: RunKey | None = None,
) -> tuple[str, Run]:
    """Queue a manual run, and return the job's id and the run. `key` None makes a new key.

    Raises JobNotFound, Refused, AlreadyAnswered, Unavailable, and the errors of `check`.
    """
    job_id = scheduling.resolve(tenant, reference)
    key = key or RunKey.for_manual(scheduling.clock())
    for attempt in scheduling.tries():
        definition, state = scheduling.jobs.get(tenant, job_id)
        refuse_notice(definition)
        now = scheduling.clock()
        if attempt and (state.find(key) or scheduling.runs.run(job_id, key, now, responses=False)):
            # Written by our own call, whose response was lost; the state was changed since.
            return read_run(scheduling, tenant, job_id, run_id(job_id, key))
        check(state)
        step = job_transitions.run_now(state, key, now)
        run = unfinished(next(run for run in step.state.runs if run.key == key), None)
        try:
            scheduling.jobs.save(step.state, idempotency=idempotency, now=now)
        except StateChanged as changed:
            if changed.current is None:
                raise JobNotFound from changed
            continue
        log.info("run.queued", extra={"job_id": job_id, "run_id": run_id(job_id, key)})
        scheduling.arming.arm(step.state, step.arm)
        return job_id, run
    raise Unavailable("the job")


def runs_page(
    scheduling: Scheduling, tenant: str, reference: str, before: RunKey | None, limit: int
) -> tuple[str, list[Run]]:
    """Return the job's id and up to `limit` of its runs, newest first, starting after `before`.

    `before` None starts with the newest. Raises JobNotFound.
    """
    job_id = scheduling.resolve(tenant, reference)
    _, state = scheduling.jobs.get(tenant, job_id)
    on_record = [
        found.run for found in scheduling.runs.page(job_id, before, limit, scheduling.clock())
    ]
    return job_id, merged(state, on_record, before, limit)


def read_run(
    scheduling: Scheduling, tenant: str, reference: str, identifier: str
) -> tuple[str, Run]:
    """Return the job's id and one of its runs. Raises JobNotFound, RunNotFound."""
    job_id, key = resolve_run(scheduling, tenant, reference, identifier)
    _, state = scheduling.jobs.get(tenant, job_id)
    return job_id, run_of(scheduling, state, key)


def resolve_run(
    scheduling: Scheduling, tenant: str, reference: str, identifier: str
) -> tuple[str, RunKey]:
    """Return the job's id and the run's key for the references in a path.

    Raises JobNotFound, also for a malformed id, and RunNotFound for a malformed run id.
    """
    job_id = scheduling.resolve(tenant, reference)
    try:
        return job_id, run_key(job_id, identifier)
    except ValueError as error:
        scheduling.jobs.get(tenant, job_id)
        raise RunNotFound from error


def run_of(scheduling: Scheduling, state: State, key: RunKey, *, responses: bool = True) -> Run:
    """Return a run of a job whose state was just read. Raises RunNotFound.

    Without `responses`, long responses are None.
    """
    found = scheduling.runs.run(state.job_id, key, scheduling.clock(), responses=responses)
    run = of_state(state, key, found.run if found else None)
    if run is None:
        raise RunNotFound
    return run
