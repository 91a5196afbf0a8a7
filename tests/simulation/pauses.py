"""Hold pauses that end by themselves, and skips, against their promises: a part of the observer.

A pause ends at its `until`, neither before nor, on a fine day, more than a second after it. So many
occurrences are skipped as a user asked for, the next ones, and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.interval import Interval
from chalicelib.domain.run import Reason, RunEnd
from chalicelib.domain.state import State, Status
from chalicelib.domain.state_parts import PassedOver
from chalicelib.domain.trigger import OneTime, Trigger
from tests.simulation.virtual_time import VirtualTime

_SECOND = timedelta(seconds=1)


def first_from(trigger: Trigger, at: datetime) -> datetime | None:
    """Return the first occurrence that is not before an instant."""
    if isinstance(trigger, Interval) and at > trigger.starts_at:
        steps = -((trigger.starts_at - at) // trigger.every)
        found = trigger.starts_at + steps * trigger.every
        ends_at = trigger.limits.ends_at
        return found if ends_at is None or found <= ends_at else None
    return trigger.next_after(at - _SECOND)


class PauseWatch:
    """Raises what `hold` raises."""

    def __init__(self, virtual_time: VirtualTime, hold: Callable[..., None]) -> None:
        self.virtual_time = virtual_time
        self.hold = hold

    def resumed(
        self, trigger: Trigger, old: State, new: State, *, left: int | None, is_fine: bool
    ) -> State:
        """Return the state before a write as it is once its pause has ended, if the write ends one.

        `left` is how many occurrences `max_runs` leaves. What users do ends a pause otherwise.
        """
        until, process = old.paused_until, self.virtual_time.current
        if until is None:
            return old
        late = self.virtual_time.now - until
        is_late = is_fine and late > 1.5 * _SECOND
        self.hold(not is_late, "on a fine day a pause ends on the second", new.job_id, late)
        if new.pause is not None or process.name.startswith("api"):
            return old
        skew = timedelta(seconds=abs(process.skew))
        self.hold(late >= -skew, "no pause ends early", new.job_id, until)
        due_at = old.next_due_at
        if not isinstance(trigger, OneTime):
            due_at = first_from(trigger, until) if left != 0 else None
        return replace(
            old,
            status=Status.ACTIVE,
            generation=old.generation + 1,
            pause=None,
            next_due_at=due_at,
            # While it was paused, no `next_run_time` promised the occurrence.
            passed_over=PassedOver(None),
        )

    def deleted(self, last: State) -> None:
        """Hold the last state of a job that is deleted on a fine day: its pause was not over."""
        until = last.paused_until
        is_late = until is not None and self.virtual_time.now > until + 2 * _SECOND
        self.hold(not is_late, "on a fine day a pause ends on the second", last.job_id, until)

    def ended(self, trigger: Trigger, before: State, new: State, ends: Sequence[RunEnd]) -> None:
        """Hold the ends that a write records against the pause that it ends. `before` is the state
        that was paused.
        """
        for end in ends:
            if end.reason is not Reason.PAUSED:
                continue
            until = before.paused_until
            is_within = isinstance(trigger, OneTime) and until and trigger.date < until
            self.hold(bool(is_within), "what a pause misses passed within it", new.job_id, end.key)

    def skipped(
        self, old: State, new: State, ends: Sequence[RunEnd], *, is_new_trigger: bool
    ) -> None:
        """Hold the skips of a write against those that were asked for."""
        asked = [end for end in ends if end.reason is Reason.ASKED]
        skew = timedelta(seconds=abs(self.virtual_time.current.skew))
        for end in asked:
            is_due = end.key.due_at <= self.virtual_time.now + skew
            self.hold(is_due, "nothing is skipped before it is due", new.job_id, end.key)
        if self.virtual_time.current.asked.endswith("/skip"):
            self.hold(not asked, "a skip waits for the occurrence", new.job_id)
            return
        is_over = new.status in (Status.COMPLETED, Status.FAILED)
        left = 0 if is_over or is_new_trigger else old.skips - len(asked)
        self.hold(len(asked) <= old.skips, "no more is skipped than was asked for", new.job_id)
        self.hold(new.skips == left, "skips are counted", new.job_id, new.skips, left)
