"""What bounds a trigger that recurs: its end, and the days that calendars exclude."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from chalicelib.domain.calendars import Closed


@dataclass(frozen=True, slots=True)
class Limits:
    """No occurrence after `ends_at`, and at most `max_runs` of them; None for no such limit.

    `ends_at` is in UTC and whole seconds. `exclude` are names of calendars. `closed` is what they
    exclude, None as long as they have not been read (`domain.exclusion`); it is no part of what the
    user wrote.
    """

    ends_at: datetime | None = None
    max_runs: int | None = None
    exclude: tuple[str, ...] = ()
    closed: Closed | None = field(default=None, compare=False, repr=False)

    def keep(self, at: datetime | None) -> datetime | None:
        """Return an occurrence, None if it is after `ends_at`."""
        return None if at is None or (self.ends_at and at > self.ends_at) else at


UNLIMITED = Limits()
