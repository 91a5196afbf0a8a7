"""Begin the rules of a holiday feed late: what they give before a day is left out anyway."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from dateutil.rrule import DAILY, MONTHLY, WEEKLY

_DAY = timedelta(days=1)
_DAYS = ("byweekday", "bymonthday", "byyearday", "byweekno")


def begun_late(rule: Mapping[str, Any], begin: date, first: date) -> tuple[dict[str, Any], date]:
    """Return a rule without COUNT and its beginning, moved whole periods towards `first`.

    From `first` on it has the same days. What it takes from its beginning is written into it.
    """
    interval, taken = rule.get("interval", 1), dict(rule)
    if rule["freq"] == DAILY:
        start = begin + max(0, (first - begin).days) // interval * interval * _DAY
    elif rule["freq"] == WEEKLY:
        week = begin - (begin.weekday() - rule.get("wkst", 0)) % 7 * _DAY
        start = week + max(0, (first - week).days) // (7 * interval) * 7 * interval * _DAY
        implied = {"byweekday": begin.weekday()}
    elif rule["freq"] == MONTHLY:
        months = (first.year - begin.year) * 12 + first.month - begin.month
        month = begin.month - 1 + max(0, months) // interval * interval
        start = date(begin.year + month // 12, month % 12 + 1, 1)
        implied = {"bymonthday": begin.day}
    else:
        start = date(begin.year + max(0, first.year - begin.year) // interval * interval, 1, 1)
        implied = {"bymonthday": begin.day, "bymonth": rule.get("bymonth", begin.month)}
    if start <= begin:
        return dict(rule), begin
    if rule["freq"] != DAILY and not any(name in rule for name in _DAYS):
        taken.update(implied)
    return taken, start
