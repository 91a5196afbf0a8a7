"""Rules of pauses: what is asked of one, and what comes due when it has ended by itself.

A pause ends at its `until`, even if Resona handles that later: what is due from then on is due. The
watch that arms occurrences arms the end of a pause too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.domain import failures
from chalicelib.domain.counting import following
from chalicelib.domain.job import Definition
from chalicelib.domain.state import State, Status
from chalicelib.domain.trigger import WAKE_AHEAD, OneTime

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller of a pause asks for; the fields are those of `domain.state.Pause`.

    With `replaces` a job that is paused already gets this `until` and `reason`.
    """

    by: str | None = None
    until: datetime | None = None
    reason: str | None = None
    replaces: bool = False


NOTHING_ASKED = Asked()


def is_over(state: State, now: datetime) -> bool:
    """Return whether a job is still marked as paused, although its pause has ended by itself."""
    return state.paused_until is not None and state.paused_until <= now


def due_after(definition: Definition, state: State, now: datetime) -> datetime | None:
    """Return what is due first after a pause that ends now, or has ended; None if nothing is.

    It may be due at the very end of the pause. A date that passed within the pause is not due.
    """
    # Occurrences have whole seconds, and so has `until`.
    after = state.paused_until - _SECOND if state.paused_until and is_over(state, now) else now
    if isinstance(definition.trigger, OneTime):
        due_at = state.next_due_at
        return due_at if due_at is not None and due_at > after else None
    return following(state, definition.trigger, after)


def resumed(state: State, due_at: datetime | None, now: datetime) -> State:
    """Return the state of a new generation that is active and due at `due_at`, not yet armed."""
    # The wakes of a schedule that was kept during the pause were ignored.
    doubted_until = now + WAKE_AHEAD if state.token is not None else None
    return replace(
        state,
        generation=state.generation + 1,
        status=Status.ACTIVE,
        updated_at=now,
        next_due_at=due_at,
        doubted_until=doubted_until,
        failing=failures.anew(state.failing),
        pause=None,
    )
