"""Read triggers from request bodies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from chalicelib.api.models.validation import Errors, unknown_fields, whole
from chalicelib.domain import cron, time_zones
from chalicelib.domain.calendars import CALENDAR_NAME, MOST_EXCLUDED
from chalicelib.domain.cron import USUAL_DST, Cron, Dst
from chalicelib.domain.errors import FieldError, InvalidInput
from chalicelib.domain.exact_json import plain
from chalicelib.domain.interval import Interval
from chalicelib.domain.limits import UNLIMITED, Limits
from chalicelib.domain.spread import LONGEST_SPREAD_SECONDS, largest_spread
from chalicelib.domain.trigger import (
    OneTime,
    Trigger,
    after_delay,
    at_date,
    check_occurs,
    describe,
    end_at,
    every,
    has_offset,
    start_at,
)

_ONE_OF = "exactly one of delay, date, cron, every"
# The fields of a trigger beside the one that says its kind, and the kinds with which they go.
_RECURRING = ("cron", "every")
_BESIDE = {
    "timezone": ("date", "cron", "every"),
    "dst": ("cron",),
    "spread": ("cron",),
    "starts_at": _RECURRING,
    "ends_at": _RECURRING,
    "max_runs": _RECURRING,
    "exclude": _RECURRING,
}
# Each kind of trigger by its `type`, with the field that says when it is due.
_TYPES = {"one-time": "date", "cron": "cron", "interval": "every"}
# Null means absent in these fields.
_NULLABLE = ("dst", "spread", "every", "starts_at", "ends_at", "max_runs", "exclude")
_DST_CHOICES = {"gap": ("skip", "next"), "fold": ("first", "both")}
_MOST_RUNS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_delay(sent: object) -> bool:
    """Return whether a client sent a delay, which starts anew with every request."""
    return isinstance(sent, dict) and "delay" in sent


def is_same_trigger(sent: object, trigger: Trigger) -> bool:
    """Return whether a client sent this trigger, in any of its forms.

    An interval without `starts_at` is the one that the job has if it is as long: a deployment that
    registers its jobs again and again does not begin it anew.
    """
    described = describe(trigger)
    if sent == described or sent == described["fields"]:
        return True
    if not isinstance(sent, dict) or is_delay(sent):
        return False
    # It may be the same in another form. Read it as of its own time, since that may have passed.
    match trigger:
        case OneTime():
            as_of = trigger.date
        case Interval():
            as_of = trigger.starts_at - trigger.every
        case _:
            as_of = trigger.starts_at or _EPOCH
    try:
        return describe(_read(sent, as_of)) == described
    except InvalidInput:
        return False


def read_trigger(sent: object, now: datetime) -> Trigger:
    """Read a trigger: one of delay, date, cron and every, or the form in which the API returns it.

    Raises InvalidInput, also if it would never occur.
    """
    trigger = _read(sent, now)
    check_occurs(trigger, now)
    return trigger


def _read(sent: object, now: datetime) -> Trigger:
    if not isinstance(sent, dict):
        raise InvalidInput.of("trigger", f"must be an object with {_ONE_OF}")
    if "type" in sent or "fields" in sent:
        sent = _unwrap(sent)
    sent = {
        name: value for name, value in sent.items() if value is not None or name not in _NULLABLE
    }
    errors = Errors()
    kind = _kind(errors, sent)
    timezone = sent.get("timezone")
    if not isinstance(sent.get("timezone", ""), str):
        errors.add("trigger.timezone", "must be the name of a time zone, such as Europe/Berlin")
        # Without a valid time zone dates cannot be read.
        kind, timezone = kind if kind in ("cron", "delay") else None, None
    trigger = errors.collect(partial(_READERS[kind], sent, timezone, now)) if kind else None
    errors.raise_if_any()
    assert trigger  # noqa: S101  raise_if_any() has not raised
    return trigger


def _kind(errors: Errors, sent: Mapping[str, Any]) -> str | None:
    """Return which kind of trigger was sent; None, with an error, if it is not one."""
    unknown = unknown_fields(sent, (*_READERS, *_BESIDE), within="trigger.")
    errors.extend(unknown)
    kinds = [name for name in _READERS if name in sent]
    # A misspelt name is one mistake, not two.
    if len(kinds) > 1 or not (kinds or unknown):
        errors.add("trigger", f"give {_ONE_OF}")
    if len(kinds) != 1:
        return None
    errors.extend(
        FieldError(f"trigger.{name}", f"goes with {' or '.join(kinds_of)}, not with {kinds[0]}")
        for name, kinds_of in _BESIDE.items()
        if name in sent and name != "timezone" and kinds[0] not in kinds_of
    )
    return kinds[0]


def _unwrap(sent: dict[str, Any]) -> dict[str, Any]:
    unknown = unknown_fields(sent, ("type", "fields"), within="trigger.")
    if unknown:
        raise InvalidInput(unknown)
    kind, fields = sent.get("type"), sent.get("fields")
    wanted = _TYPES.get(kind) if isinstance(kind, str) else None
    if wanted is None:
        raise InvalidInput.of("trigger.type", "must be one-time, cron or interval")
    if not isinstance(fields, dict) or wanted not in fields:
        raise InvalidInput.of("trigger.fields", f"must be an object with {wanted}")
    beside = (name for name, kinds in _BESIDE.items() if wanted in kinds)
    unknown = unknown_fields(fields, (wanted, *beside), within="trigger.fields.")
    if unknown:
        raise InvalidInput(unknown)
    return fields


def _read_delay(sent: Mapping[str, Any], timezone: str | None, now: datetime) -> Trigger:
    errors, trigger = Errors(), None
    if timezone is not None:
        errors.add(
            "trigger.timezone",
            "goes with cron, or with a date that has no offset; a delay has no time zone",
        )
    seconds = plain(sent["delay"])
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        errors.add("trigger.delay", "must be a number of seconds from 0 to 31536000")
    else:
        trigger = errors.collect(lambda: after_delay(seconds, now))
    errors.raise_if_any()
    assert trigger  # noqa: S101  raise_if_any() has not raised
    return trigger


def _read_date(sent: Mapping[str, Any], timezone: str | None, now: datetime) -> Trigger:
    if not isinstance(sent["date"], str):
        raise InvalidInput.of(
            "trigger.date", "must be an ISO 8601 date and time, such as 2026-12-01T10:00:00Z"
        )
    return at_date(sent["date"], timezone, now)


def _read_cron(sent: Mapping[str, Any], timezone: str | None, now: datetime) -> Trigger:
    errors, value = Errors(), sent["cron"]
    if isinstance(value, str):
        # Check the expression without the zone, so that one answer names both errors.
        errors.collect(lambda: cron.parse(value))
    else:
        errors.add("trigger.cron", "must be a cron expression of five fields, such as 0 9 * * 1-5")
    if timezone is not None:
        errors.collect(lambda: cron.check_zone(timezone))
    known = timezone if timezone in time_zones.names() else None
    starts_at = errors.collect(partial(_starts_at, sent, known, now))
    limits = errors.collect(partial(_limits, sent, known)) or UNLIMITED
    dst = errors.collect(lambda: _read_dst(sent.get("dst"))) or USUAL_DST
    errors.raise_if_any()
    assert isinstance(value, str)  # noqa: S101  raise_if_any() has not raised
    read = cron.parse(value, "UTC" if timezone is None else timezone, dst)
    spread = _read_spread(sent.get("spread"), read)
    return replace(read, starts_at=starts_at, limits=limits, spread=spread)


def _read_spread(sent: object, read: Cron) -> int:
    """Return the seconds over which the jobs of a cron are spread; 0 if nothing was sent."""
    spread, most = whole(sent) if sent is not None else 0, LONGEST_SPREAD_SECONDS
    if isinstance(spread, bool) or not isinstance(spread, int) or not 0 <= spread <= most:
        raise InvalidInput.of("trigger.spread", f"must be whole seconds from 0 to {most}")
    allowed = largest_spread(read) if spread else 0
    if spread > allowed:
        why = f"this cron occurs again after {allowed} seconds: give at most {allowed}"
        raise InvalidInput.of("trigger.spread", why)
    return spread


def _read_dst(sent: object) -> Dst:
    """Return what a cron does at clock changes; the default if nothing was sent."""
    if sent is None:
        return USUAL_DST
    if not isinstance(sent, dict):
        raise InvalidInput.of(
            "trigger.dst", 'must be an object, such as {"gap": "next", "fold": "first"}'
        )
    errors = Errors()
    errors.extend(unknown_fields(sent, _DST_CHOICES, within="trigger.dst."))
    given = {name: sent[name] for name in _DST_CHOICES if sent.get(name) is not None}
    for name, value in given.items():
        if value not in _DST_CHOICES[name]:
            errors.add(f"trigger.dst.{name}", f"must be {' or '.join(_DST_CHOICES[name])}")
    errors.raise_if_any()
    return Dst(**given)


def _read_every(sent: Mapping[str, Any], timezone: str | None, now: datetime) -> Trigger:
    errors = Errors()
    if timezone is not None:
        errors.collect(partial(_check_zone_of_interval, sent, timezone))
        errors.raise_if_any()
    starts_at = errors.collect(partial(_starts_at, sent, timezone, now))
    limits = errors.collect(partial(_limits, sent, timezone)) or UNLIMITED
    seconds = whole(sent["every"])
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        # Give the sentence of a number that is out of range.
        seconds = -1
    trigger = errors.collect(lambda: every(seconds, starts_at, limits, now))
    errors.raise_if_any()
    assert trigger  # noqa: S101  raise_if_any() has not raised
    return trigger


def _check_zone_of_interval(sent: Mapping[str, Any], timezone: str) -> None:
    """Check a time zone beside `every`: it is that of bounds without an offset."""
    bounds = [sent[name] for name in ("starts_at", "ends_at") if name in sent]
    if all(not isinstance(text, str) or has_offset(text) for text in bounds):
        raise InvalidInput.of(
            "trigger.timezone",
            "an interval has no time zone: leave it out, or give starts_at or ends_at without an "
            "offset",
        )
    cron.check_zone(timezone)


def _starts_at(sent: Mapping[str, Any], timezone: str | None, now: datetime) -> datetime | None:
    text = _text(sent, "starts_at")
    return start_at(text, timezone, now) if text is not None else None


def _limits(sent: Mapping[str, Any], timezone: str | None) -> Limits:
    errors = Errors()
    text = errors.collect(partial(_text, sent, "ends_at"))
    ends_at = errors.collect(partial(end_at, text, timezone)) if text is not None else None
    most = whole(sent.get("max_runs"))
    if most is not None and (isinstance(most, bool) or most not in range(1, _MOST_RUNS + 1)):
        errors.add("trigger.max_runs", f"must be a whole number from 1 to {_MOST_RUNS}")
    exclude = errors.collect(partial(_exclude, sent.get("exclude")))
    errors.raise_if_any()
    assert most is None or isinstance(most, int)  # noqa: S101  no error was found
    return Limits(ends_at, most, exclude or ())


def _exclude(sent: object) -> tuple[str, ...]:
    """Return the names of the calendars that a trigger excludes."""
    names = [] if sent is None else sent
    if not isinstance(names, list) or len(names) > MOST_EXCLUDED:
        raise InvalidInput.of(
            "trigger.exclude",
            f'must be a list of up to {MOST_EXCLUDED} names of calendars, such as ["holidays-de"]',
        )
    errors = Errors()
    for place, name in enumerate(names):
        if not (isinstance(name, str) and CALENDAR_NAME.fullmatch(name)):
            errors.add(f"trigger.exclude.{place}", "must be 1 to 64 of A-Z a-z 0-9 _ -")
        elif name in names[:place]:
            errors.add(f"trigger.exclude.{place}", f"names {name} again: give each calendar once")
    errors.raise_if_any()
    return tuple(names)


def _text(sent: Mapping[str, Any], name: str) -> str | None:
    """Return a date and time that was sent, None if it was not."""
    text = sent.get(name)
    if text is not None and not isinstance(text, str):
        raise InvalidInput.of(
            f"trigger.{name}", "must be an ISO 8601 date and time, such as 2026-12-01T10:00:00Z"
        )
    return text


_READERS: dict[str, Callable[[Mapping[str, Any], str | None, datetime], Trigger]] = {
    "delay": _read_delay,
    "date": _read_date,
    "cron": _read_cron,
    "every": _read_every,
}
