"""Rules of what a job's flow makes of a claim: it is made, it waits for its place, or never is.

A held run is queued in the state with what it waits for, and no attempt is spent. The trigger goes
on: the next occurrence is awaited as if the run had been claimed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.domain import holding
from chalicelib.domain.flows import Wait
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition
from chalicelib.domain.run import Reason, RunEnd, RunStatus
from chalicelib.domain.run_ends import status_at_the_end
from chalicelib.domain.state import (
    NEAR,
    State,
    Transition,
    UnfinishedRun,
    occurrence_due,
    run_due,
    written,
)

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Place:
    """The place in time that a series of a flow gave to an attempt; the attempt waits so long."""

    series: str
    key: RunKey
    at: datetime
    wait: timedelta = timedelta(0)


def place_of(before: UnfinishedRun | None) -> Place | None:
    """Return the place of a run that was held, None if it was not."""
    if before is None or before.waits_for is None or before.next_attempt_at is None:
        return None
    return Place(before.series or "", before.key, before.next_attempt_at)


def claimed_from(due_at: datetime, place: Place | None) -> datetime:
    """Return from when on a run is claimed that is due, given its place, None without one.

    A run that will be held is claimed up to two seconds later, those with nearer places first, so
    that their writes do not delay the attempts that are sent meanwhile.
    """
    wait = place.at - due_at if place else timedelta(0)
    return due_at + min(wait / 5, 2 * _SECOND) if wait > _SECOND else due_at


def waited(claim: Transition, place: Place) -> Transition:
    """Return a claim of a run that has waited for this place within the executor."""
    run = claim.send
    if run is None or run.attempt > 1 or not place.wait:
        return claim
    run = replace(run, waited=run.waited + place.wait)
    return replace(claim, state=claim.state.with_run(run), send=run)


def held(claim: Transition, place: Place, now: datetime, waits_for: Wait = Wait.RATE) -> Transition:
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
        waits_for=waits_for,
        waited=run.waited + place.wait if is_first else run.waited,
        series=place.series or None,
    )
    state = _anew(claim.state.with_run(held_run), now)
    arm = (run_due(state, held_run, place.at),) if is_near else ()
    return replace(claim, state=state, send=None, arm=(*claim.arm, *arm))


def missed(definition: Definition, before: State, claim: Transition, now: datetime) -> Transition:
    """Return a claim of this state as the transition that ends its run as missed.

    Its flow has no place for it in time.
    """
    run = claim.send
    assert run is not None  # noqa: S101  a claim sends
    held_run = before.find(run.key)
    if held_run is not None:
        return holding.missed(before, held_run, now)
    due_at = run.key.due_at
    end = RunEnd(run.key, RunStatus.MISSED, now, Reason.MISFIRE, missed_count=1, last_due_at=due_at)
    rest, arm = claim.state.without_run(run).with_end(end.status), claim.arm
    again, following = None, rest.next_due_at
    if following is None:
        status = status_at_the_end(definition.trigger, rest, (end,))
        rest = replace(rest, status=status, skips=0)
    elif following <= now:
        again, arm = occurrence_due(rest, following), ()
    return replace(claim, state=_anew(rest, now), send=None, ended=(end,), arm=arm, again=again)


def _anew(state: State, now: datetime) -> State:
    """Return the state that a claim wrote, changed since, as the same revision."""
    return written(replace(state, revision=state.revision - 1), now)
