"""Read the all-day events of a holiday feed: on which days each is, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any

import dateutil.rrule

from chalicelib.api.models.validation import Errors
from chalicelib.domain.errors import InvalidInput, shortened

LONGEST_EVENT = 366
_LONGEST_RULE = 300
_FIRST_YEAR, _LAST_YEAR = 2, 8999
# A rule with a COUNT is counted from its beginning, so that is not long ago, and less long if the
# rule recurs daily or weekly.
_COUNTED_FROM, _FREQUENT_FROM = 1970, 2000
_DAY = timedelta(days=1)
_LENGTH = re.compile(r"\+?P(?:(\d{1,4})W|(\d{1,4})D)")
_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
_NUMBERS = {
    "BYMONTH": (1, 12),
    "BYMONTHDAY": (-31, 31),
    "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53),
    "BYSETPOS": (-366, 366),
}
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_WEEKDAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
Rule = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """The properties of a VEVENT that matter, each as (parameters, value)."""

    place: int
    of: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def value(self, name: str) -> str | None:
        return self.of[name][0][1] if name in self.of else None

    @property
    def uid(self) -> str:
        return self.value("UID") or f"event {self.place}"

    @property
    def is_all_day(self) -> bool:
        parameters, value = self.of.get("DTSTART", [("", "")])[0]
        return "VALUE=DATE" in parameters.split(";") or bool(re.fullmatch(r"\d{8}", value.strip()))

    @property
    def is_cancelled(self) -> bool:
        return (self.value("STATUS") or "").strip().upper() == "CANCELLED"

    def wrong(self, name: str, why: str) -> InvalidInput:
        shown = shortened(self.value("SUMMARY") or self.value("UID") or "", 60)
        return InvalidInput.of(f"events.{self.place}", f"{name} of the event {shown!r}: {why}")


@dataclass(frozen=True, slots=True)
class AllDay:
    """An all-day event: its first day, how much later its last day is, and when it recurs.

    It is also on the days of `rules`, which are arguments of dateutil's, and on `extra` days, but
    not on `excluded` ones. One that `is_replacement` takes the place of what an event of the same
    `uid` has on the days `replaced`, and has no rules.
    """

    uid: str
    begin: date
    length: timedelta
    rules: list[Rule]
    extra: list[date]
    excluded: list[date]
    replaced: list[date]
    is_replacement: bool
    is_cancelled: bool


def read_event(event: Event, last: date) -> AllDay:
    """Return an all-day event. Raises InvalidInput, which names every wrong property.

    Rules with a COUNT that cannot end them until `last` have none.
    """
    errors = Errors()
    begin = errors.collect(partial(_date, event, "DTSTART", event.value("DTSTART") or ""))
    # What takes the place of an occurrence does not recur.
    texts = [] if "RECURRENCE-ID" in event.of else event.of.get("RRULE", [])
    rules = [errors.collect(partial(_counted_rule, event, text, begin, last)) for _, text in texts]
    length = errors.collect(partial(_length, event, begin))
    if "EXRULE" in event.of:
        errors.extend(event.wrong("EXRULE", "is not supported: give the days as EXDATE").errors)
    # The days of an event that is cancelled do not matter, only what it replaces.
    names = ("RECURRENCE-ID",) if event.is_cancelled else ("RECURRENCE-ID", "RDATE", "EXDATE")
    days = {name: errors.collect(partial(_dates, event, name)) or [] for name in names}
    errors.raise_if_any()
    assert begin and length is not None  # noqa: S101  raise_if_any() has not raised
    return AllDay(
        event.uid,
        begin,
        length,
        [rule for rule in rules if rule],
        extra=days.get("RDATE", []),
        excluded=days.get("EXDATE", []),
        replaced=days["RECURRENCE-ID"],
        is_replacement="RECURRENCE-ID" in event.of,
        is_cancelled=event.is_cancelled,
    )


def _dates(event: Event, name: str) -> list[date]:
    return [
        _date(event, name, text)
        for _, texts in event.of.get(name, ())
        for text in texts.split(",")
        if text.strip()
    ]


def _date(event: Event, name: str, text: str, last_year: int = _LAST_YEAR) -> date:
    """Return the day of a date, or of a date and time."""
    match = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(T\d{6}Z?)?", text.strip(), re.ASCII)
    try:
        day = date(*map(int, match.groups()[:3])) if match else None
    except ValueError:
        day = None
    if day is None or not _FIRST_YEAR <= day.year <= last_year:
        raise event.wrong(
            name,
            f"must be a date of the years {_FIRST_YEAR} to {last_year}, as 20261225, not "
            f"{shortened(text, 40)!r}",
        )
    return day


def _length(event: Event, begin: date | None) -> timedelta:
    """Return the time from the first to the last day of an event; `begin` is None if wrong."""
    length = event.value("DURATION")
    days = 1
    if "DTEND" in event.of:
        # It is the day after the last one; some write the last one itself.
        end = _date(event, "DTEND", event.value("DTEND") or "")
        days = max(1, (end - begin).days) if begin else 1
    elif length is not None:
        match = _LENGTH.fullmatch(length.strip().upper())
        if match is None:
            raise event.wrong("DURATION", "must be whole days or weeks, as P2D or P1W")
        days = max(1, int(match[1] or 0) * 7 + int(match[2] or 0))
    if days > LONGEST_EVENT:
        raise event.wrong("DTEND", f"must be at most {LONGEST_EVENT} days after DTSTART")
    return (days - 1) * _DAY


def _counted_rule(event: Event, text: str, begin: date | None, last: date) -> Rule:
    """Return a rule, without its COUNT if that cannot end it until `last`. Raises InvalidInput.

    `begin` is None if that is wrong.
    """
    rule = _rule(event, text)
    if begin is None or rule.get("count", 0) > (last - begin).days:
        return {name: value for name, value in rule.items() if name != "count"}
    is_frequent = rule["freq"] >= dateutil.rrule.WEEKLY
    least = _FREQUENT_FROM if is_frequent else _COUNTED_FROM
    if "count" in rule and begin.year < least:
        raise event.wrong(
            "DTSTART",
            f"with COUNT such an event must begin in {least} or later: give UNTIL in its place, or "
            "a later DTSTART with the COUNT that is left",
        )
    return rule


def _rule(event: Event, text: str) -> Rule:
    """Return the arguments of dateutil's rule. Raises InvalidInput."""
    parts = [part.partition("=") for part in text.strip().upper().split(";") if part]
    given = {name: value for name, _, value in parts}
    if len(text) > _LONGEST_RULE or len(given) != len(parts):
        raise event.wrong("RRULE", f"must have at most {_LONGEST_RULE} characters, each part once")
    made: Rule = {}
    for name, value in given.items():
        if name == "FREQ" and value in _FREQUENCIES:
            made["freq"] = _FREQUENCIES.index(value)
        elif name in ("INTERVAL", "COUNT") and re.fullmatch(r"[1-9]\d{0,8}", value, re.ASCII):
            made[name.lower()] = int(value)
        elif name == "UNTIL":
            made["until"] = _date(event, "RRULE's UNTIL", value, date.max.year)
        elif name == "WKST" and value in _WEEKDAYS:
            made["wkst"] = _WEEKDAYS.index(value)
        elif name == "BYDAY" and (found := _weekdays(value)):
            made["byweekday"] = found
        elif name in _NUMBERS and (numbers := _numbers(value, *_NUMBERS[name])):
            made[name.lower()] = numbers
        else:
            raise event.wrong(
                "RRULE", f"{shortened(f'{name}={value}', 60)} is not supported{_instead(name)}"
            )
    if "freq" not in made:
        raise event.wrong("RRULE", f"FREQ must be one of {', '.join(_FREQUENCIES)}")
    _check_weekdays(event, made)
    return made


def _check_weekdays(event: Event, rule: Mapping[str, Any]) -> None:
    """Check that no weekday is counted further than there are some. Raises InvalidInput."""
    most = 53 if rule["freq"] == dateutil.rrule.YEARLY and "bymonth" not in rule else 5
    for weekday in rule.get("byweekday", ()):
        if abs(weekday.n or 0) > most:
            raise event.wrong("RRULE", f"BYDAY counts weekdays to {most} here, not {weekday.n}")


def _instead(name: str) -> str:
    if name == "FREQ":
        return f" in an all-day event: give one of {', '.join(_FREQUENCIES)}"
    return ""


def _weekdays(text: str) -> list[Any]:
    found = [_WEEKDAY.fullmatch(part) for part in text.split(",")]
    if not all(found):
        return []
    return [
        dateutil.rrule.weekday(_WEEKDAYS.index(match[2]), int(match[1]) if match[1] else None)
        for match in found
        if match is not None and int(match[1] or 1)
    ]


def _numbers(text: str, least: int, most: int) -> list[int]:
    if not re.fullmatch(r"[+-]?\d{1,3}(,[+-]?\d{1,3})*", text, re.ASCII):
        return []
    numbers = [int(part) for part in text.split(",")]
    return numbers if all(number and least <= number <= most for number in numbers) else []
