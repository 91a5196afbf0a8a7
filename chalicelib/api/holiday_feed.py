"""Read the days of a holiday feed (iCalendar, RFC 5545): the all-day events, recurring ones too.

Only what says on which days an event is is read; dateutil expands the rules of recurring ones. A
feed may be hostile: its events, its rules and the days that these are expanded to are bounded.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import chain
from types import FunctionType, SimpleNamespace
from typing import Any

import dateutil.rrule

from chalicelib.api.feed_periods import begun_late
from chalicelib.api.problems import Refusal
from chalicelib.domain import time_zones
from chalicelib.domain.calendars import MOST_DAYS, Days
from chalicelib.domain.errors import InvalidInput, shortened

YEARS = 10
MOST_EVENTS, MOST_RULES, MOST_FREQUENT = 2_000, 200, 20
# Of all rules together. Rules that recur yearly or monthly can mean every day too.
_MOST_EXPANDED = 300_000
_LONGEST_RULE, _DEEPEST, _LONGEST_EVENT = 300, 8, 366
_FIRST_YEAR, _LAST_YEAR = 2, 8999
# A rule with a COUNT is counted from its beginning, so that is not long ago, and less long if the
# rule recurs daily or weekly.
_COUNTED_FROM, _FREQUENT_FROM = 1970, 2000
_DAY = timedelta(days=1)
_LENGTH = re.compile(r"\+?P(?:(\d{1,4})W|(\d{1,4})D)")
_ZONE = "X-WR-TIMEZONE"
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


@dataclass(frozen=True, slots=True)
class _Event:
    """The properties of a VEVENT that matter, each as (parameters, value)."""

    place: int
    of: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def value(self, name: str) -> str | None:
        return self.of[name][0][1] if name in self.of else None

    @property
    def uid(self) -> str:
        return self.value("UID") or f"event {self.place}"

    def wrong(self, name: str, why: str) -> InvalidInput:
        shown = shortened(self.value("SUMMARY") or self.value("UID") or "", 60)
        return InvalidInput.of(f"events.{self.place}", f"{name} of the event {shown!r}: {why}")


def read_feed(raw: bytes, today: date, timezone: str | None) -> dict[str, Any]:
    """Return the days of a feed, as a body of `PUT /calendars/{name}`.

    Days before the present year are left out, and those that are more than ten years ahead.
    `timezone` is the caller's; None for that of the feed, or UTC. Raises Refusal, InvalidInput.
    """
    first = date(today.year, 1, 1)
    last = date(today.year + YEARS, today.month, min(today.day, 28))
    properties, events = _parse(raw)
    zone = timezone or properties.get(_ZONE, "UTC")
    if zone not in time_zones.names():
        where = "" if timezone else f"the feed's {_ZONE} "
        raise InvalidInput.of(
            "timezone",
            f"{where}{shortened(zone, 60)!r} is not a known time zone; give one in the query, such "
            "as ?timezone=Europe/Berlin",
        )
    days = _merged(_days(events, first, last), first, last)
    if not days:
        raise InvalidInput.of(
            "events",
            f"the feed has no all-day events from {first} to {last}; to exclude nothing, send "
            '{"days": []} as application/json',
        )
    if len(days) > MOST_DAYS:
        raise InvalidInput.of(
            "days",
            f"the feed has {len(days)} days and ranges from {first} to {last}: at most {MOST_DAYS} "
            "are allowed; divide it into several calendars, or put weekly ones as weekdays",
        )
    return {
        "timezone": zone,
        "days": [f"{one}" if one == two else f"{one}/{two}" for one, two in days],
    }


def _parse(raw: bytes) -> tuple[dict[str, str], list[_Event]]:
    """Return the calendar's own properties and its events. Raises Refusal, InvalidInput."""
    text = _decoded(raw)
    within: list[str] = []
    properties: dict[str, str] = {}
    events: list[_Event] = []
    for number, name, parameters, value in _lines(text):
        if name == "BEGIN":
            within.append(value.strip().upper())
            if len(within) > _DEEPEST:
                raise Refusal(400, f"the body nests deeper than {_DEEPEST} components")
            if within == ["VCALENDAR", "VEVENT"]:
                events.append(_Event(len(events)))
        elif name == "END":
            if not within or within.pop() != value.strip().upper():
                raise Refusal(
                    400, f"the body is not iCalendar: line {number} ends what is not open"
                )
        elif within == ["VCALENDAR", "VEVENT"]:
            events[-1].of.setdefault(name, []).append((parameters.upper(), value))
        elif within == ["VCALENDAR"]:
            properties[name] = value.strip()
        elif not within:
            raise Refusal(400, "the body is not iCalendar: it must begin with BEGIN:VCALENDAR")
    if within or not text.strip():
        raise Refusal(400, "the body is not iCalendar, or not all of it: END:VCALENDAR is missing")
    if len(events) > MOST_EVENTS:
        raise InvalidInput.of("events", f"the feed has more than {MOST_EVENTS} events: divide it")
    return properties, events


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refusal(400, f"the body is not UTF-8 (byte {error.start})") from error


def _lines(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Yield number, name, parameters and value of each content line; long ones are folded."""
    unfolded: list[tuple[int, list[str]]] = []
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        if line[:1] in (" ", "\t") and unfolded:
            unfolded[-1][1].append(line[1:])
        elif line.strip():
            unfolded.append((number, [line]))
    for number, parts in unfolded:
        name, parameters, value = _content("".join(parts), number)
        yield number, name.upper(), parameters, value


def _content(line: str, number: int) -> tuple[str, str, str]:
    """Divide a line at its first colon that is not within quotes."""
    quoted = False
    for place, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif character == ":" and not quoted:
            name, _, parameters = line[:place].partition(";")
            return name, parameters, line[place + 1 :]
    raise Refusal(400, f"the body is not iCalendar: line {number} has no colon")


def _days(events: Iterable[_Event], first: date, last: date) -> Iterator[Days]:
    """Yield the days of all-day events until `last`, of rules also some from before `first`.

    Raises InvalidInput.
    """
    all_day = [event for event in events if _is_all_day(event)]
    moved: defaultdict[str, set[date]] = defaultdict(set)
    begun = [(event, _date(event, "DTSTART", event.value("DTSTART") or "")) for event in all_day]
    rules = {event.place: list(_rules(event, begin, last)) for event, begin in begun}
    _check_rules([rule for found in rules.values() for rule in found])
    for event in all_day:
        # It takes the place of an occurrence of the event with the same UID.
        moved[event.uid].update(_dates(event, "RECURRENCE-ID"))
    expanded = 0
    for event, begin in begun:
        if "EXRULE" in event.of:
            raise event.wrong("EXRULE", "is not supported: give the days as EXDATE")
        length = _length(event, begin)
        if (event.value("STATUS") or "").strip().upper() == "CANCELLED":
            continue
        starts = {begin, *_dates(event, "RDATE")}
        since = first - _LONGEST_EVENT * _DAY
        for day in chain.from_iterable(
            _expanded(rule, begin, since, last) for rule in rules[event.place]
        ):
            starts.add(day)
            expanded += 1
            if expanded > _MOST_EXPANDED:
                raise InvalidInput.of(
                    "events",
                    f"the feed's recurring events have more than {_MOST_EXPANDED:,} days: divide "
                    "it, let them begin later, or put weekdays as application/json",
                )
        starts -= set(_dates(event, "EXDATE"))
        if "RECURRENCE-ID" not in event.of:
            starts -= moved[event.uid]
        yield from ((day, day + length) for day in starts if day <= last)


def _rules(event: _Event, begin: date, last: date) -> Iterator[dict[str, Any]]:
    """Yield the rules of an event; the one that takes an occurrence's place has none."""
    if "RECURRENCE-ID" not in event.of:
        for _, text in event.of.get("RRULE", ()):
            yield _counted(event, begin, last, _rule(event, text))


def _check_rules(rules: Sequence[Mapping[str, Any]]) -> None:
    """Check that there are not too many rules to expand. Raises InvalidInput."""
    frequent = sum(rule["freq"] >= dateutil.rrule.WEEKLY for rule in rules)
    if len(rules) > MOST_RULES or frequent > MOST_FREQUENT:
        raise InvalidInput.of(
            "events",
            f"the feed has more than {MOST_RULES} recurring events, or more than {MOST_FREQUENT} "
            "that recur daily or weekly: divide it, or put weekdays as application/json",
        )


def _is_all_day(event: _Event) -> bool:
    parameters, value = event.of.get("DTSTART", [("", "")])[0]
    return "VALUE=DATE" in parameters.split(";") or bool(re.fullmatch(r"\d{8}", value.strip()))


def _dates(event: _Event, name: str) -> list[date]:
    return [
        _date(event, name, text)
        for _, texts in event.of.get(name, ())
        for text in texts.split(",")
        if text.strip()
    ]


def _date(event: _Event, name: str, text: str, last_year: int = _LAST_YEAR) -> date:
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


def _length(event: _Event, begin: date) -> timedelta:
    """Return the time from the first to the last day of an event."""
    length = event.value("DURATION")
    days = 1
    if "DTEND" in event.of:
        # It is the day after the last one; some write the last one itself.
        days = max(1, (_date(event, "DTEND", event.value("DTEND") or "") - begin).days)
    elif length is not None:
        match = _LENGTH.fullmatch(length.strip().upper())
        if match is None:
            raise event.wrong("DURATION", "must be whole days or weeks, as P2D or P1W")
        days = max(1, int(match[1] or 0) * 7 + int(match[2] or 0))
    if days > _LONGEST_EVENT:
        raise event.wrong("DTEND", f"must be at most {_LONGEST_EVENT} days after DTSTART")
    return (days - 1) * _DAY


def _counted(event: _Event, begin: date, last: date, rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule without its COUNT if that cannot end it until `last`. Raises InvalidInput."""
    if rule.get("count", 0) > (last - begin).days:
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


def _rule(event: _Event, text: str) -> dict[str, Any]:
    """Return the arguments of dateutil's rule. Raises InvalidInput."""
    parts = [part.partition("=") for part in text.strip().upper().split(";") if part]
    given = {name: value for name, _, value in parts}
    if len(text) > _LONGEST_RULE or len(given) != len(parts):
        raise event.wrong("RRULE", f"must have at most {_LONGEST_RULE} characters, each part once")
    made: dict[str, Any] = {}
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


def _check_weekdays(event: _Event, rule: Mapping[str, Any]) -> None:
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


def _expanded(rule: Mapping[str, Any], begin: date, first: date, last: date) -> Iterator[date]:
    """Yield the days of a rule to UNTIL or `last`; without a COUNT few before `first`."""
    until = min(rule.get("until", last), last)
    arguments = {name: value for name, value in rule.items() if name != "until"}
    if "count" not in arguments:
        arguments, begin = begun_late(arguments, begin, first)
    for at in _bounded(last.year + 1)(dtstart=datetime.combine(begin, time(0)), **arguments):
        if at.date() > until:
            return
        yield at.date()


def _bounded(last_year: int) -> type[dateutil.rrule.rrule]:
    """Return dateutil's rule with another last year.

    dateutil goes on to the year 9999 if nothing matches, which takes seconds for each rule. It has
    no other way to end a search than the constant that it reads from `datetime`.
    """
    module = vars(dateutil.rrule)
    calendar = SimpleNamespace(**{**vars(module["datetime"]), "MAXYEAR": last_year})
    search = FunctionType(dateutil.rrule.rrule._iter.__code__, {**module, "datetime": calendar})
    return type("BoundedRule", (dateutil.rrule.rrule,), {"_iter": search})


def _merged(days: Iterable[Days], first: date, last: date) -> list[Days]:
    """Return the days within two others as ranges, in order, those that touch as one."""
    merged: list[Days] = []
    for one, two in sorted((max(one, first), min(two, last)) for one, two in days):
        if one > two:
            continue
        if merged and one <= merged[-1][1] + _DAY:
            merged[-1] = (merged[-1][0], max(merged[-1][1], two))
        else:
            merged.append((one, two))
    return merged
