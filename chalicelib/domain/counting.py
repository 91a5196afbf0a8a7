"""The rule of `max_runs`: which occurrences are counted, and what comes due after them.

The state has the count, and the transition that decides an occurrence counts it: the same write
does both. Missed occurrences count, skipped ones do not. The state of a job without `max_runs` has
no count.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from chalicelib.domain.state import State
from chalicelib.domain.trigger import Trigger


def counted(state: State, trigger: Trigger, count: int) -> State:
    """Return the state after this many of its occurrences were claimed or missed."""
    is_counted = trigger.limits.max_runs is not None
    return replace(state, counted=state.counted + count) if is_counted else state


def left(state: State, trigger: Trigger) -> int | None:
    """Return how many occurrences may still be counted; None for any number."""
    most = trigger.limits.max_runs
    return None if most is None else max(0, most - state.counted)


def following(state: State, trigger: Trigger, after: datetime) -> datetime | None:
    """Return the first occurrence strictly after an instant, None if the trigger has ended."""
    return None if left(state, trigger) == 0 else trigger.next_after(after)
