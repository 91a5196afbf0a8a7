"""Intervals: triggers that are due every so many seconds, whatever clocks on walls show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.domain.limits import UNLIMITED, Limits

SHORTEST_SECONDS, LONGEST_SECONDS = 10, 31_536_000
_END_YEAR = 9999


@dataclass(frozen=True, slots=True)
class Interval:
    """An occurrence at `starts_at` and each time that `every` has passed since.

    `starts_at` is in UTC and whole seconds, `every` a whole number of seconds.
    """

    every: timedelta
    starts_at: datetime
    limits: Limits = UNLIMITED

    def next_after(self, after: datetime) -> datetime | None:
        """Return the first occurrence strictly after an instant.

        Returns None if there is none until `ends_at`, and from the year 9999 on.
        """
        if after < self.starts_at:
            return self.limits.keep(self.starts_at)
        try:
            at = self.starts_at + ((after - self.starts_at) // self.every + 1) * self.every
        except OverflowError:
            return None
        return self.limits.keep(at) if at.year < _END_YEAR else None

    def count(self, first: datetime, until: datetime) -> int:
        """Return how many occurrences there are from `first`, which is one, until an instant."""
        last = min(until, self.limits.ends_at or until)
        return max(0, (last - first) // self.every + 1)
