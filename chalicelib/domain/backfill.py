"""A backfill: runs for the past occurrences of a job, oldest first, one after the other.

It is a place in the state, not a list: while it is under way, exactly one of its runs is
unfinished, and the write that ends this run queues the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from chalicelib.domain.errors import InvalidInput
from chalicelib.domain.exclusion import next_open
from chalicelib.domain.ids import RunKey
from chalicelib.domain.instant import format_instant
from chalicelib.domain.trigger import Trigger

MOST_RUNS = 1_000
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Backfill:
    """A backfill that is under way: a run for each occurrence from `since` to `until`, inclusive.

    `runs` is how many there are, `left` how many of them have not ended, as calendars stood when it
    began. `token` names the backfill in the keys of its runs.
    """

    token: str
    since: datetime
    until: datetime
    runs: int
    left: int

    def key(self, due_at: datetime) -> RunKey:
        """Return the key of the run for an occurrence."""
        return RunKey(due_at, backfill=self.token)

    def has(self, key: RunKey) -> bool:
        """Return whether a run is one of this backfill. The retry of such a run is not."""
        return key.is_backfilled and key.backfill == self.token

    def following(self, trigger: Trigger, key: RunKey) -> RunKey | None:
        """Return the key of the run that follows one of its runs, None after the last."""
        due_at = next_open(trigger, key.due_at, self.until)
        return self.key(due_at) if due_at is not None else None


def occurrences(trigger: Trigger, since: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the occurrences from `since` to `until`, inclusive, both in whole seconds.

    Those that calendars exclude are passed over.
    """
    at = next_open(trigger, since - _SECOND, until)
    while at is not None:
        yield at
        at = next_open(trigger, at, until)


def planned(
    trigger: Trigger, token: str, since: datetime, until: datetime
) -> tuple[Backfill, RunKey]:
    """Return a backfill of a range and the key of its first run.

    `max_runs` of the trigger does not bound it. Raises InvalidInput if the range has no occurrence
    or more than MOST_RUNS.
    """
    found = list(islice(occurrences(trigger, since, until), MOST_RUNS + 1))
    if not found:
        raise InvalidInput.of(
            "from", "the job has no occurrence from then to `to`; widen the range"
        )
    if len(found) > MOST_RUNS:
        raise InvalidInput.of(
            "to",
            f"more than {MOST_RUNS:,} occurrences are in this range; give "
            f"{format_instant(found[-2])} or earlier, and backfill the rest after that",
        )
    backfill = Backfill(token, since, until, len(found), len(found))
    return backfill, backfill.key(found[0])
