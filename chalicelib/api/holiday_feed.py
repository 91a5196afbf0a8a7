"""Read the days of a holiday feed (iCalendar, RFC 5545): the all-day events, recurring ones too.

Only what says on which days an event is is read; dateutil expands the rules of recurring ones. A
feed may be hostile: its events, its rules and the days that these are expanded to are bounded.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import partial
from itertools import chain
from types import FunctionType, SimpleNamespace
from typing import Any

import dateutil.rrule

from chalicelib.api.feed_events import LONGEST_EVENT, AllDay, Event, read_event
from chalicelib.api.feed_periods import begun_late
from chalicelib.api.models.validation import Errors
from chalicelib.api.problems import Refusal
from chalicelib.domain import time_zones
from chalicelib.domain.calendars import MOST_DAYS, Days
from chalicelib.domain.errors import InvalidInput, shortened

YEARS = 10
MOST_EVENTS, MOST_RULES, MOST_FREQUENT = 2_000, 200, 20
# Of all rules together. Rules that recur yearly or monthly can mean every day too.
_MOST_EXPANDED = 300_000
_DEEPEST = 8
_DAY = timedelta(days=1)
_ZONE = "X-WR-TIMEZONE"


def read_feed(raw: bytes, today: date, timezone: str | None) -> dict[str, Any]:
    """Return the days of a feed, as a body of `PUT /calendars/{name}`.

    Days before the present year are left out, and those that are more than ten years ahead.
    `timezone` is the caller's; None for that of the feed, or UTC. Raises Refusal, and InvalidInput,
    which names every wrong event.
    """
    first = date(today.year, 1, 1)
    last = date(today.year + YEARS, today.month, min(today.day, 28))
    properties, events = _parse(raw)
    errors = Errors()
    zone = timezone or properties.get(_ZONE, "UTC")
    if zone not in time_zones.names():
        where = "" if timezone else f"the feed's {_ZONE} "
        errors.add(
            "timezone",
            f"{where}{shortened(zone, 60)!r} is not a known time zone; give one in the query, such "
            "as ?timezone=Europe/Berlin",
        )
    read = [
        errors.collect(partial(read_event, event, last)) for event in events if event.is_all_day
    ]
    all_day = [event for event in read if event]
    errors.collect(partial(_check_rules, [rule for event in all_day for rule in event.rules]))
    errors.raise_if_any()
    days = _merged(_days(all_day, first, last), first, last)
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


def _parse(raw: bytes) -> tuple[dict[str, str], list[Event]]:
    """Return the calendar's own properties and its events. Raises Refusal, InvalidInput."""
    text = _decoded(raw)
    within: list[str] = []
    properties: dict[str, str] = {}
    events: list[Event] = []
    for number, name, parameters, value in _lines(text):
        if name == "BEGIN":
            within.append(value.strip().upper())
            if len(within) > _DEEPEST:
                raise Refusal(400, f"the body nests deeper than {_DEEPEST} components")
            if within == ["VCALENDAR", "VEVENT"]:
                events.append(Event(len(events)))
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


def _check_rules(rules: Sequence[Mapping[str, Any]]) -> None:
    """Check that there are not too many rules to expand. Raises InvalidInput."""
    frequent = sum(rule["freq"] >= dateutil.rrule.WEEKLY for rule in rules)
    if len(rules) > MOST_RULES or frequent > MOST_FREQUENT:
        raise InvalidInput.of(
            "events",
            f"the feed has more than {MOST_RULES} recurring events, or more than {MOST_FREQUENT} "
            "that recur daily or weekly: divide it, or put weekdays as application/json",
        )


def _days(events: Sequence[AllDay], first: date, last: date) -> Iterator[Days]:
    """Yield the days of all-day events until `last`, of rules also some from before `first`.

    Raises InvalidInput.
    """
    moved: defaultdict[str, set[date]] = defaultdict(set)
    for event in events:
        moved[event.uid].update(event.replaced)
    expanded = 0
    for event in events:
        if event.is_cancelled:
            continue
        starts = {event.begin, *event.extra}
        since = first - LONGEST_EVENT * _DAY
        for day in chain.from_iterable(
            _expanded(rule, event.begin, since, last) for rule in event.rules
        ):
            starts.add(day)
            expanded += 1
            if expanded > _MOST_EXPANDED:
                raise InvalidInput.of(
                    "events",
                    f"the feed's recurring events have more than {_MOST_EXPANDED:,} days: divide "
                    "it, let them begin later, or put weekdays as application/json",
                )
        starts.difference_update(event.excluded)
        if not event.is_replacement:
            starts -= moved[event.uid]
        yield from ((day, day + event.length) for day in starts if day <= last)


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
