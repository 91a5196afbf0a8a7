"""Triggers: read, store and show when a job is due, as a date or a cron. A delay becomes a date."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.domain import time_zones
from chalicelib.domain.cron import USUAL_DST, Cron, Dst, check_zone
from chalicelib.domain.errors import InvalidInput
from chalicelib.domain.instant import format_instant, parse_instant

# A schedule wakes this long before an occurrence: EventBridge Scheduler may be up to 59 s late, and
# a cold start takes more.
WAKE_AHEAD = timedelta(minutes=2)
LONGEST_DELAY_SECONDS = 31_536_000
_PAST_ALLOWED = timedelta(seconds=60)
_YEARS_AHEAD = 10

_DATE = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]"
    r"(?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,](?P<fraction>[0-9]{1,30}))?)?)"
    r"(?P<offset>[Zz]|[+-][0-9]{2}(?::?[0-5][0-9])?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class OneTime:
    """A single date, in UTC and whole seconds."""

    date: datetime

    def next_after(self, after: datetime) -> datetime | None:
        """Return the date if it is strictly after an instant, else None."""
        return self.date if self.date > after else None


Trigger = OneTime | Cron


def after_delay(delay: float, now: datetime) -> OneTime:
    """Return the trigger of a delay in seconds: now plus delay, rounded up to a whole second.

    Raises InvalidInput.
    """
    # Compare before computing: this also refuses NaN, and ints too large for a float.
    if not 0 <= delay <= LONGEST_DELAY_SECONDS:
        raise InvalidInput.of(
            "trigger.delay", f"must be from 0 to {LONGEST_DELAY_SECONDS} seconds (a year)"
        )
    return OneTime(_rounded_up(now + timedelta(seconds=delay)))


def _rounded_up(at: datetime) -> datetime:
    whole = at.astimezone(UTC).replace(microsecond=0)
    return whole if at.microsecond == 0 else whole + timedelta(seconds=1)


def at_date(text: str, timezone: str | None, now: datetime) -> OneTime:
    """Return the trigger of an ISO 8601 date and time.

    A text without an offset is in `timezone`, or in UTC if that is None. Raises InvalidInput.
    """
    match = _DATE.fullmatch(text)
    wrong = _wrong_zone(timezone, has_offset=match is not None and match["offset"] is not None)
    if match is None:
        shape = _refused(
            "must be a date and time as 2026-12-01T10:00:00Z, 2026-12-01T10:00:00+01:00, "
            "or without offset and with timezone"
        )
        raise InvalidInput([*shape.errors, *(wrong.errors if wrong else ())])
    if wrong:
        raise wrong
    try:
        wall = datetime.fromisoformat(f"{match['day']}T{re.split('[.,]', match['time'])[0]}")
        at = (
            _with_offset(wall, match["offset"])
            if match["offset"]
            else _in_zone(wall, timezone or "UTC")
        )
        if match["fraction"] and int(match["fraction"]):
            at += timedelta(seconds=1)
    except (ValueError, OverflowError) as error:
        raise _refused("there is no such date and time") from error
    return OneTime(_in_reach(at, now))


def _refused(sentence: str) -> InvalidInput:
    return InvalidInput.of("trigger.date", sentence)


def _wrong_zone(timezone: str | None, *, has_offset: bool) -> InvalidInput | None:
    if timezone is None:
        return None
    if has_offset:
        return InvalidInput.of(
            "trigger.timezone", "is only for a date without an offset; this date has one"
        )
    try:
        check_zone(timezone)
    except InvalidInput as error:
        return error
    return None


def _with_offset(wall: datetime, offset: str) -> datetime:
    text = "+00:00" if offset in "Zz" else offset
    return datetime.fromisoformat(wall.isoformat() + text).astimezone(UTC)


def _in_zone(wall: datetime, timezone: str) -> datetime:
    place = time_zones.zone(timezone)
    if not time_zones.exists(wall, place):
        following = time_zones.first_after_gap(wall, place)
        raise _refused(
            f"the clocks of {timezone} skip this time; "
            f"the next that exists is {following.isoformat()}"
        )
    return time_zones.to_utc(wall, place)


def _in_reach(at: datetime, now: datetime) -> datetime:
    if now - at > _PAST_ALLOWED:
        raise _refused("has passed; give a date in the future")
    # Ten years after a 29 February there is none: use 1 March.
    day = now.replace(day=1, month=3) if (now.month, now.day) == (2, 29) else now
    if at > day.replace(year=now.year + _YEARS_AHEAD):
        raise _refused(f"is more than {_YEARS_AHEAD} years ahead")
    return at


def describe(trigger: Trigger) -> dict[str, Any]:
    """Return a trigger as the API shows it: its type and its fields."""
    if isinstance(trigger, OneTime):
        return {"type": "one-time", "fields": {"date": format_instant(trigger.date)}}
    fields: dict[str, Any] = {"cron": trigger.expression, "timezone": trigger.timezone}
    if trigger.dst != USUAL_DST:
        fields["dst"] = asdict(trigger.dst)
    return {"type": "cron", "fields": fields}


def restore(described: dict[str, Any]) -> Trigger:
    """Return the trigger from what `describe` returned, without validating it again."""
    fields = described["fields"]
    if described["type"] == "one-time":
        return OneTime(parse_instant(fields["date"]))
    return Cron(fields["cron"], fields["timezone"], Dst(**fields.get("dst", {})))
