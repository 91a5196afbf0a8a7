"""Rules of runs that their flow has held: until when they may be sent, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition
from chalicelib.domain.run import Reason, RunStatus
from chalicelib.domain.run_ends import closed, with_outcome
from chalicelib.domain.state import State, Transition, UnfinishedRun, written
from chalicelib.domain.trigger import OneTime, Trigger


def latest_start(definition: Definition, state: State, key: RunKey) -> datetime | None:
    """Return until when the first attempt of a run may be sent; None for any time.

    `state` is the one after the occurrence was claimed, or a later one. Waiting counts as being
    late. Without a grace, the last occurrence may be sent at any time: no next one comes.
    """
    trigger, grace = definition.trigger, definition.misfire_grace
    if key.is_requested:
        return None
    if grace is not None:
        return key.due_at + grace
    has_next = state.next_due_at is not None or any(
        not run.key.is_requested and run.key.due_at > key.due_at for run in state.runs
    )
    following = trigger.next_after(key.due_at) if has_next else None
    if following is None or isinstance(trigger, OneTime):
        return None
    return following - timedelta.resolution


def is_too_late(definition: Definition, state: State, run: UnfinishedRun, now: datetime) -> bool:
    """Return whether a held run can no longer be sent for the first time."""
    if run.waits_for is None or run.attempt:
        return False
    latest = latest_start(definition, state, run.key)
    return latest is not None and now > latest


def unbegun(trigger: Trigger, state: State) -> State:
    """Return the state of a one-time job whose run is held and was never sent as if its date had
    not been claimed, so that a user can still change or pause it. Other states are returned as they
    are.
    """
    if not isinstance(trigger, OneTime):
        return state
    for run in state.runs:
        is_present = not run.key.is_requested and run.generation == state.generation
        if is_present and run.waits_for is not None and not run.attempt:
            return replace(state.without_run(run), next_due_at=run.key.due_at)
    return state


def missed(state: State, run: UnfinishedRun, now: datetime) -> Transition:
    """Return the transition that ends a held run as missed."""
    rest, end = closed(state, run, RunStatus.MISSED, Reason.MISFIRE, now)
    end = replace(end, missed_count=1, last_due_at=run.key.due_at)
    return Transition(written(with_outcome(rest, run, end.status), now), ended=(end,))
