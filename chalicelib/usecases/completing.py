"""Complete an attempt by callback, or move its deadline.

The word, the record and the end of the attempt are one transaction: no fault leaves a word that was
taken half done. Whoever is in flight with the request finds the attempt ended.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from chalicelib.aws.job_items import RecordChanged
from chalicelib.aws.job_store import StateChanged
from chalicelib.aws.table import Condition
from chalicelib.domain.completing import Word, ended_by, extended
from chalicelib.domain.completion import Token, read_token
from chalicelib.domain.errors import CompletionNotFound, CompletionOver, Unavailable
from chalicelib.domain.ids import run_id
from chalicelib.domain.job import Definition
from chalicelib.domain.run import Attempt, RunStatus
from chalicelib.domain.state import State, UnfinishedRun
from chalicelib.usecases.attempt import owner_token
from chalicelib.usecases.excluding import with_calendars
from chalicelib.usecases.scheduling import Scheduling

log = logging.getLogger("resona")


@dataclass(frozen=True, slots=True)
class _Found:
    """An attempt that awaits a word.

    `recorded` is its record, None if there is none, and `unchanged` the condition that it stays so.
    """

    definition: Definition
    state: State
    run: UnfinishedRun
    recorded: Attempt | None
    unchanged: Condition


def complete(scheduling: Scheduling, text: str, word: Word) -> None:
    """End the attempt that a token opens by the word of its target.

    Raises CompletionNotFound, CompletionOver, Unavailable.
    """
    token = _read(text)
    for _ in scheduling.tries():
        found = _find(scheduling, token)
        run, now = found.run, scheduling.clock()
        attempt = ended_by(word, run, found.recorded, owner_token(), now)
        parts = found.definition, found.state, run, attempt, found.unchanged, now
        with suppress(StateChanged, RecordChanged):
            if scheduling.following.end_awaited(*parts):
                return
    raise Unavailable("the job")


def extend(scheduling: Scheduling, text: str, seconds: int) -> datetime:
    """Move the deadline of the attempt that a token opens to `seconds` from now, if it is earlier.

    Return the deadline. Raises CompletionNotFound, CompletionOver, InvalidInput, Unavailable.
    """
    token = _read(text)
    for _ in scheduling.tries():
        found = _find(scheduling, token)
        now = scheduling.clock()
        step = extended(found.state, found.run, seconds, now)
        state = step.state if step else found.state
        run = state.find(token.key)
        assert run is not None and run.awaited is not None  # noqa: S101  it was found
        if step is not None:
            try:
                scheduling.jobs.save(state, now=now)
            except StateChanged:
                continue
            fields = {"job_id": token.job_id, "run_id": run_id(token.job_id, token.key)}
            log.info("run.extended", extra=fields)
            scheduling.arming.arm(state, step.arm)
        return run.awaited.until
    raise Unavailable("the job")


def _read(text: str) -> Token:
    token = read_token(text)
    if token is None:
        raise CompletionNotFound
    return token


def _find(scheduling: Scheduling, token: Token) -> _Found:
    """Return the attempt that a token opens. Raises CompletionNotFound, CompletionOver."""
    # Before the state is read: its deadline may be moved while this process is held up.
    now = scheduling.clock()
    loaded = scheduling.jobs.load(token.job_id)
    if loaded is None:
        raise CompletionNotFound
    definition, state = loaded
    if token.key.is_backfilled:
        # They decide which run follows.
        definition = with_calendars(scheduling.calendars, definition)
    run = state.find(token.key)
    awaited = run.awaited if run and run.attempt == token.attempt else None
    if awaited is not None and not token.opens(awaited.digest):
        raise CompletionNotFound
    recorded, unchanged = scheduling.runs.attempt_as_read(token.job_id, token.key, token.attempt)
    if awaited is None and not token.opens(recorded.digest if recorded else None):
        raise CompletionNotFound
    has_ended = recorded is not None and recorded.update.status is not RunStatus.WAITING
    if run is None or awaited is None or has_ended:
        raise CompletionOver(f"attempt {token.attempt} of this run has ended")
    if now >= awaited.until:
        raise CompletionOver(f"the deadline of attempt {token.attempt} of this run is over")
    return _Found(definition, state, run, recorded, unchanged)
