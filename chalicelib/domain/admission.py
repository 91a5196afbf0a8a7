"""Rules of what a job's flow makes of a claim: it is made, it waits for its place, or never is.

A held run is queued in the state with what it waits for, and no attempt is spent. The trigger goes
on: the next occurrence is awaited as if the run had been claimed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.domain.counting import counted
from chalicelib.domain.flows import Wait
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition
from chalicelib.domain.run import Reason, RunEnd, RunStatus
from chalicelib.domain.state import NEAR, State, Transition, UnfinishedRun, run_due, written
from chalicelib.domain.unsent import end_without_attempt


@dataclass(frozen=True, slots=True)
class Place:
    """The place in time that a flow has given to an attempt of a run; it waits so long for it."""

    flow: str
    key: RunKey
    at: datetime
    wait: timedelta


def waited(claim: Transition, place: Place) -> Transition:
    """Return a claim of a run that has waited for this place within the executor."""
    run = claim.send
    if run is None or run.attempt > 1 or not place.wait:
        return claim
    run = replace(run, waited=place.wait)
    return replace(claim, state=claim.state.with_run(run), send=run)


def held(claim: Transition, place: Place, now: datetime) -> Transition:
    """Return a claim as the transition that holds its run until its place, without an attempt."""
    run = claim.send
    assert run is not None  # noqa: S101  a claim sends
    is_first, is_near = run.attempt == 1, place.at - now <= NEAR
    held_run = replace(
        run,
        attempt=run.attempt - 1,
        owner=None,
        lease_until=None,
        next_attempt_at=place.at,
        started_at=None if is_first else run.started_at,
        covered=is_near,
        waits_for=Wait.RATE,
        waited=place.wait if is_first else run.waited,
    )
    revision = claim.state.revision - 1
    state = written(replace(claim.state.with_run(held_run), revision=revision))
    arm = (run_due(state, held_run, place.at),) if is_near else ()
    return replace(claim, state=state, send=None, arm=(*claim.arm, *arm))


def missed(definition: Definition, state: State, run: UnfinishedRun, now: datetime) -> Transition:
    """Return the transition that ends an occurrence as missed in the place of its claim.

    `run` is its run as it would be claimed, `state` the state without the claim: its flow has no
    place for it in time.
    """
    due_at = run.key.due_at
    end = RunEnd(run.key, RunStatus.MISSED, now, Reason.MISFIRE, missed_count=1, last_due_at=due_at)
    after = counted(state, definition.trigger, 1)
    return end_without_attempt(definition, after, due_at, (end,), now)
