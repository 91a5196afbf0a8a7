"""Triggers: read, store and show when a job is due: a date, a cron or an interval.

A delay becomes a date.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from chalicelib.domain import time_zones
from chalicelib.domain.cron import USUAL_DST, Cron, Dst, check_zone
from chalicelib.domain.errors import InvalidInput
from chalicelib.domain.instant import format_instant, parse_instant
from chalicelib.domain.interval import LONGEST_SECONDS, SHORTEST_SECONDS, Interval
from chalicelib.domain.limits import UNLIMITED, Limits

# A schedule wakes this long before an occurrence: EventBridge Scheduler may be up to 59 s late, and
# a cold start takes more.
WAKE_AHEAD = timedelta(minutes=2)
LONGEST_DELAY_SECONDS = 31_536_000
_PAST_ALLOWED = timedelta(seconds=60)
_YEARS_AHEAD = 10
_FIRST_YEAR = 1970

_DATE = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]"
    r"(?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,](?P<fraction>[0-9]{1,30}))?)?)"
    r"(?P<offset>[Zz]|[+-][0-9]{2}(?::?[0-5][0-9])?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class OneTime:
    """A single date, in UTC and whole seconds."""

    limits: ClassVar[Limits] = UNLIMITED
    date: datetime

    def next_after(self, after: datetime) -> datetime | None:
        """Return the date if it is strictly after an instant, else None."""
        return self.date if self.date > after else None


Trigger = OneTime | Cron | Interval


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


def every(seconds: int, starts_at: datetime | None, limits: Limits, now: datetime) -> Interval:
    """Return the trigger of an interval.

    Without `starts_at` its first occurrence is one interval from now, rounded up to a whole second.
    Raises InvalidInput.
    """
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise InvalidInput.of(
            "trigger.every",
            f"must be a whole number of seconds from {SHORTEST_SECONDS} to {LONGEST_SECONDS}",
        )
    step = timedelta(seconds=seconds)
    return Interval(step, starts_at or _rounded_up(now) + step, limits)


def check_occurs(trigger: Trigger, now: datetime) -> None:
    """Check that a trigger which starts now occurs within its limits. Raises InvalidInput."""
    if isinstance(trigger, OneTime) or trigger.next_after(now) is not None:
        return
    ends_at = trigger.limits.ends_at
    if ends_at is not None and ends_at <= now:
        raise InvalidInput.of("trigger.ends_at", "has passed; give a date in the future")
    first = replace(trigger, limits=UNLIMITED).next_after(now)
    if first is None:
        raise InvalidInput.of("trigger", "does not occur again; give it an earlier starts_at")
    why = f"is before the first occurrence, {format_instant(first)}; give that or a later one"
    raise InvalidInput.of("trigger.ends_at", why)


def at_date(text: str, timezone: str | None, now: datetime) -> OneTime:
    """Return the trigger of an ISO 8601 date and time.

    A text without an offset is in `timezone`, or in UTC if that is None. Raises InvalidInput.
    """
    match = _DATE.fullmatch(text)
    wrong = _wrong_zone(timezone, has_offset=has_offset(text))
    if match is None or wrong:
        shape = () if match else wrong_shape("trigger.date").errors
        raise InvalidInput([*shape, *(wrong.errors if wrong else ())])
    at = instant_of(text, timezone, "trigger.date")
    if now - at > _PAST_ALLOWED:
        raise InvalidInput.of("trigger.date", "has passed; give a date in the future")
    return OneTime(_in_reach(at, now, "trigger.date"))


def at_offset(text: str, field: str, now: datetime) -> datetime:
    """Return the instant of an ISO 8601 date and time with an offset, rounded up to a second.

    It must be in the future. Raises InvalidInput, naming `field`.
    """
    if not has_offset(text):
        raise InvalidInput.of(
            field,
            "must be a date and time with an offset, as 2026-12-01T10:00:00Z or "
            "2026-12-01T10:00:00+01:00",
        )
    at = instant_of(text, None, field)
    if at <= now:
        raise InvalidInput.of(field, "has passed; give a date in the future")
    return _in_reach(at, now, field)


def start_at(text: str, timezone: str | None, now: datetime) -> datetime:
    """Return the instant of a trigger's `starts_at`, in whole seconds. Raises InvalidInput."""
    at = instant_of(text, timezone, "trigger.starts_at")
    if at.year < _FIRST_YEAR:
        raise InvalidInput.of("trigger.starts_at", f"must be in {_FIRST_YEAR} or later")
    return _in_reach(at, now, "trigger.starts_at")


def end_at(text: str, timezone: str | None) -> datetime:
    """Return the instant of a trigger's `ends_at`, rounded down to a second.

    Raises InvalidInput.
    """
    # Rounded up it would allow an occurrence after it.
    whole = re.sub("[.,][0-9]+", "", text) if _DATE.fullmatch(text) else text
    return instant_of(whole, timezone, "trigger.ends_at")


def has_offset(text: str) -> bool:
    """Return whether a text is a date and time with an offset from UTC."""
    match = _DATE.fullmatch(text)
    return match is not None and match["offset"] is not None


def instant_of(text: str, timezone: str | None, field: str) -> datetime:
    """Return the instant of an ISO 8601 date and time, rounded up to a whole second.

    A text without an offset is in `timezone`, a known one, or in UTC if that is None. Raises
    InvalidInput, naming `field`.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        raise wrong_shape(field)
    try:
        wall = datetime.fromisoformat(f"{match['day']}T{re.split('[.,]', match['time'])[0]}")
        at = (
            _with_offset(wall, match["offset"])
            if match["offset"]
            else _in_zone(wall, timezone or "UTC", field)
        )
        return at + timedelta(seconds=bool(match["fraction"] and int(match["fraction"])))
    except (ValueError, OverflowError) as error:
        raise InvalidInput.of(field, "there is no such date and time") from error


def wrong_shape(field: str) -> InvalidInput:
    """Return the error of a value that is not a date and time."""
    return InvalidInput.of(
        field,
        "must be a date and time as 2026-12-01T10:00:00Z, 2026-12-01T10:00:00+01:00, "
        "or without offset and with timezone",
    )


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


def _in_zone(wall: datetime, timezone: str, field: str) -> datetime:
    place = time_zones.zone(timezone)
    if not time_zones.exists(wall, place):
        following = time_zones.first_after_gap(wall, place)
        raise InvalidInput.of(
            field,
            f"the clocks of {timezone} skip this time; "
            f"the next that exists is {following.isoformat()}",
        )
    return time_zones.to_utc(wall, place)


def _in_reach(at: datetime, now: datetime, field: str) -> datetime:
    # Ten years after a 29 February there is none: use 1 March.
    day = now.replace(day=1, month=3) if (now.month, now.day) == (2, 29) else now
    if at > day.replace(year=now.year + _YEARS_AHEAD):
        raise InvalidInput.of(field, f"is more than {_YEARS_AHEAD} years ahead")
    return at


def describe(trigger: Trigger) -> dict[str, Any]:
    """Return a trigger as the API shows it: its type and its fields."""
    if isinstance(trigger, OneTime):
        return {"type": "one-time", "fields": {"date": format_instant(trigger.date)}}
    if isinstance(trigger, Interval):
        kind = "interval"
        fields: dict[str, Any] = {"every": int(trigger.every.total_seconds())}
    else:
        kind = "cron"
        fields = {"cron": trigger.expression, "timezone": trigger.timezone}
        if trigger.dst != USUAL_DST:
            fields["dst"] = asdict(trigger.dst)
        if trigger.spread:
            fields["spread"] = trigger.spread
    limits = trigger.limits
    bounds = {
        "starts_at": trigger.starts_at and format_instant(trigger.starts_at),
        "ends_at": limits.ends_at and format_instant(limits.ends_at),
        "max_runs": limits.max_runs,
        "exclude": list(limits.exclude) or None,
    }
    given = {name: value for name, value in bounds.items() if value is not None}
    return {"type": kind, "fields": {**fields, **given}}


def restore(described: dict[str, Any]) -> Trigger:
    """Return the trigger from what `describe` returned, without validating it again."""
    fields = described["fields"]
    if described["type"] == "one-time":
        return OneTime(parse_instant(fields["date"]))
    starts_at, ends_at = (
        parse_instant(fields[name]) if name in fields else None for name in ("starts_at", "ends_at")
    )
    max_runs, exclude = fields.get("max_runs"), tuple(fields.get("exclude", ()))
    is_bounded = ends_at or max_runs or exclude
    limits = Limits(ends_at, max_runs, exclude) if is_bounded else UNLIMITED
    if described["type"] == "interval":
        assert starts_at  # noqa: S101  an interval has one
        return Interval(timedelta(seconds=fields["every"]), starts_at, limits)
    dst = Dst(**fields.get("dst", {}))
    spread = fields.get("spread", 0)
    return Cron(fields["cron"], fields["timezone"], dst, starts_at, limits, spread)
