"""Read triggers from request bodies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from chalicelib.api.models.validation import Errors, unknown_fields
from chalicelib.domain import cron
from chalicelib.domain.cron import USUAL_DST, Dst
from chalicelib.domain.errors import InvalidInput
from chalicelib.domain.exact_json import plain
from chalicelib.domain.trigger import OneTime, Trigger, after_delay, at_date, describe


def is_delay(sent: object) -> bool:
    """Return whether a client sent a delay, which starts anew with every request."""
    return isinstance(sent, dict) and "delay" in sent


def is_same_trigger(sent: object, trigger: Trigger) -> bool:
    """Return whether a client sent this trigger, in any of its forms."""
    described = describe(trigger)
    if sent == described or sent == described["fields"]:
        return True
    if not isinstance(trigger, OneTime) or not isinstance(sent, dict) or is_delay(sent):
        return False
    # It may be the same date in another form. Read it as of that date, since it may have passed.
    try:
        return read_trigger(sent, trigger.date) == trigger
    except InvalidInput:
        return False


def read_trigger(sent: object, now: datetime) -> Trigger:
    """Read a trigger: exactly one of delay, date and cron, or the form in which the API returns it.

    Raises InvalidInput.
    """
    if not isinstance(sent, dict):
        raise InvalidInput.of("trigger", "must be an object with exactly one of delay, date, cron")
    if "type" in sent or "fields" in sent:
        sent = _unwrap(sent)
    errors = Errors()
    kind = _kind(errors, sent)
    timezone = sent.get("timezone")
    if not isinstance(sent.get("timezone", ""), str):
        errors.add("trigger.timezone", "must be the name of a time zone, such as Europe/Berlin")
        # Without a valid time zone the date cannot be read.
        kind, timezone = None if kind == "date" else kind, None
    dst = errors.collect(lambda: _read_dst(sent.get("dst"), kind)) or USUAL_DST
    read = partial(_read_cron, dst=dst) if kind == "cron" else _READERS.get(kind or "")
    trigger = errors.collect(partial(read, sent[kind], timezone, now)) if read and kind else None
    errors.raise_if_any()
    assert trigger  # noqa: S101  raise_if_any() has not raised
    return trigger


def _kind(errors: Errors, sent: Mapping[str, Any]) -> str | None:
    """Return which of delay, date and cron was sent; None, with an error, if it is not one."""
    unknown = unknown_fields(sent, (*_READERS, "timezone", "dst"), within="trigger.")
    errors.extend(unknown)
    kinds = [name for name in _READERS if name in sent]
    # A misspelt name is one mistake, not two.
    if len(kinds) > 1 or not (kinds or unknown):
        errors.add("trigger", "give exactly one of delay, date, cron")
    return kinds[0] if len(kinds) == 1 else None


def _unwrap(sent: dict[str, Any]) -> dict[str, Any]:
    unknown = unknown_fields(sent, ("type", "fields"), within="trigger.")
    if unknown:
        raise InvalidInput(unknown)
    kind, fields = sent.get("type"), sent.get("fields")
    if kind not in ("one-time", "cron"):
        raise InvalidInput.of("trigger.type", "must be one-time or cron")
    wanted = "date" if kind == "one-time" else "cron"
    if not isinstance(fields, dict) or wanted not in fields:
        raise InvalidInput.of("trigger.fields", f"must be an object with {wanted}")
    known = ("cron", "timezone", "dst") if kind == "cron" else ("date", "timezone")
    unknown = unknown_fields(fields, known, within="trigger.fields.")
    if unknown:
        raise InvalidInput(unknown)
    return fields


def _read_delay(value: object, timezone: str | None, now: datetime) -> Trigger:
    errors, trigger = Errors(), None
    if timezone is not None:
        errors.add(
            "trigger.timezone",
            "goes with cron, or with a date that has no offset; a delay has no time zone",
        )
    seconds = plain(value)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        errors.add("trigger.delay", "must be a number of seconds from 0 to 31536000")
    else:
        trigger = errors.collect(lambda: after_delay(seconds, now))
    errors.raise_if_any()
    assert trigger  # noqa: S101  raise_if_any() has not raised
    return trigger


def _read_date(value: object, timezone: str | None, now: datetime) -> Trigger:
    if not isinstance(value, str):
        raise InvalidInput.of(
            "trigger.date", "must be an ISO 8601 date and time, such as 2026-12-01T10:00:00Z"
        )
    return at_date(value, timezone, now)


# Every reader takes `now`; a cron does not need it.
def _read_cron(
    value: object,
    timezone: str | None,
    now: datetime,  # noqa: ARG001
    dst: Dst = USUAL_DST,
) -> Trigger:
    errors = Errors()
    if isinstance(value, str):
        # Check the expression without the zone, so that one answer names both errors.
        errors.collect(lambda: cron.parse(value))
    else:
        errors.add("trigger.cron", "must be a cron expression of five fields, such as 0 9 * * 1-5")
    if timezone is not None:
        errors.collect(lambda: cron.check_zone(timezone))
    errors.raise_if_any()
    assert isinstance(value, str)  # noqa: S101  raise_if_any() has not raised
    return cron.parse(value, "UTC" if timezone is None else timezone, dst)


def _read_dst(sent: object, kind: str | None) -> Dst:
    """Return what a cron does at clock changes; the default if nothing was sent."""
    if sent is None:
        return USUAL_DST
    if kind in ("delay", "date"):
        raise InvalidInput.of("trigger.dst", "goes with cron; a delay or a date occurs once")
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


_DST_CHOICES = {"gap": ("skip", "next"), "fold": ("first", "both")}
_READERS: dict[str, Callable[[Any, str | None, datetime], Trigger]] = {
    "delay": _read_delay,
    "date": _read_date,
    "cron": _read_cron,
}
