"""Rules of failed runs in a row: count them, and pause a job that has too many.

Only scheduled runs of the job's present generation count. Manual runs and retries do not, nor runs
that a change, a pause or a resume has superseded: they tell nothing about the job as it is now.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from chalicelib.domain.job import Definition
from chalicelib.domain.run import RunStatus
from chalicelib.domain.state import State, Status, UnfinishedRun
from chalicelib.domain.state_parts import Failing


def counted(state: State, run: UnfinishedRun, status: RunStatus, at: datetime) -> State:
    """Return the state with `failing` as it is after a run ended with this status at `at`.

    `state` is the one in which the run was still unfinished, or a later one of its generation.
    """
    if run.key.is_requested or state.supersedes(run):
        return state
    if status is RunStatus.SUCCEEDED:
        return replace(state, failing=None)
    before = state.failing or Failing(0, at)
    return replace(state, failing=replace(before, count=before.count + 1))


def anew(failing: Failing | None) -> Failing | None:
    """Return `failing` after a resume: the count begins anew, and who was told stays told."""
    return replace(failing, count=0) if failing is not None and failing.told else None


def must_pause(definition: Definition, state: State) -> bool:
    """Return whether an active job has failed `pause_after` times in a row."""
    most, failing = definition.pause_after, state.failing
    is_reached = most is not None and failing is not None and failing.count >= most
    return is_reached and state.status is Status.ACTIVE
