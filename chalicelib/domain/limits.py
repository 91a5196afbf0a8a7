"""When a trigger that recurs ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Limits:
    """No occurrence after `ends_at`, and at most `max_runs` of them; None for no such limit.

    `ends_at` is in UTC and whole seconds.
    """

    ends_at: datetime | None = None
    max_runs: int | None = None

    def keep(self, at: datetime | None) -> datetime | None:
        """Return an occurrence, None if it is after `ends_at`."""
        return None if at is None or (self.ends_at and at > self.ends_at) else at


UNLIMITED = Limits()
