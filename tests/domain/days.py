"""On which days a cron runs, decided day by day: a second implementation beside croniter."""

from __future__ import annotations

from datetime import date

from chalicelib.domain.cron_fields import Fields


def runs_on(fields: Fields, day: date) -> bool:
    """Say whether the fields name a day."""
    if day.month not in fields.months:
        return False
    matches = (day.day in fields.days, day.isoweekday() % 7 in fields.weekdays)
    return all(matches) if fields.both_days else any(matches)
