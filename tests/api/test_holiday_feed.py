"""iCalendar feeds as calendars: `PUT /calendars/{name}` with Content-Type: text/calendar."""

from __future__ import annotations

import random
from datetime import date, datetime, time, timedelta
from time import process_time
from typing import Any

import pytest
from dateutil.rrule import rrule

from chalicelib.api.feed_periods import begun_late
from chalicelib.api.holiday_feed import MOST_EVENTS, read_feed
from chalicelib.api.problems import MOST_ERRORS
from tests.api.conftest import Answer, Api
from tests.soak import IS_SOAK

# The clock of the API's tests shows 2026-11-23T10:00:00.25Z.
TODAY = date(2026, 11, 23)
DAY = timedelta(days=1)


def feed(*events: str, zone: str | None = "Europe/Berlin", end: str = "\r\n") -> bytes:
    """Return a feed; each event is written as `NAME:value` lines with spaces between them."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", *([f"X-WR-TIMEZONE:{zone}"] if zone else [])]
    for event in events:
        lines += ["BEGIN:VEVENT", *event.split(" "), "END:VEVENT"]
    return (end.join([*lines, "END:VCALENDAR"]) + end).encode()


def days(*events: str) -> list[str]:
    found: list[str] = read_feed(feed(*events), TODAY, None)["days"]
    return found


def put(api: Api, raw: bytes, query: str = "", kind: str = "text/calendar") -> Answer:
    return api.call("PUT", f"/calendars/off{query}", raw=raw, headers={"Content-Type": kind})


def test_a_feed_becomes_a_calendar(api: Api) -> None:
    raw = feed(
        "UID:1 DTSTART;VALUE=DATE:20261225 DTEND;VALUE=DATE:20261227 SUMMARY:Weihnachten",
        "UID:2 DTSTART;VALUE=DATE:20270101",
        "UID:3 DTSTART:20270102T100000Z DTEND:20270102T110000Z SUMMARY:A-meeting",
        "UID:4 DTSTART;VALUE=DATE:20250101",
    )
    answer = put(api, raw, kind="Text/Calendar; charset=utf-8")
    assert answer.status == 200, answer.text
    shown = answer.json
    assert (shown["timezone"], shown["weekdays"]) == ("Europe/Berlin", [])
    assert shown["days"] == ["2026-12-25/2026-12-26", "2027-01-01"]
    made = api.register(trigger={"cron": "0 9 25 12 *", "exclude": ["off"]})
    assert made["next_run_time"] == "2027-12-25T09:00:00Z"
    assert api.get("/calendars/off").json == shown


def test_a_caller_may_give_the_zone(api: Api) -> None:
    holiday = "UID:1 DTSTART;VALUE=DATE:20261225"
    assert put(api, feed(holiday), "?timezone=Asia/Tokyo").json["timezone"] == "Asia/Tokyo"
    assert put(api, feed(holiday, zone=None)).json["timezone"] == "UTC"
    wrong = put(api, feed(holiday, zone="W. Europe Standard Time"))
    assert wrong.fields == ["timezone"]
    assert "?timezone=Europe/Berlin" in wrong.problem["detail"]
    answer = api.put("/calendars/off?timezone=UTC", {"days": []})
    assert answer.fields == ["timezone"]
    assert api.get("/calendars/off").json["days"] == ["2026-12-25"]


def test_what_is_wrong_with_name_and_zone_is_told_beside_what_is_wrong_with_the_body(
    api: Api,
) -> None:
    wrong = {"weekdays": ["sunday"], "timezone": "Mars"}
    answer = api.put("/calendars/no%20name?timezone=UTC", wrong)
    assert answer.fields == ["name", "timezone", "timezone", "weekdays.0"]
    wrong_feed = feed("DTSTART;VALUE=DATE:20260230")
    headers = {"Content-Type": "text/calendar"}
    answer = api.call("PUT", "/calendars/no%20name?timezone=Mars", raw=wrong_feed, headers=headers)
    assert answer.fields == ["events.0", "name", "timezone"]


@pytest.mark.parametrize("kind", ["text/plain", "text/calendars", "application/xml", ""])
def test_another_content_type_is_refused(api: Api, kind: str) -> None:
    answer = put(api, feed(), kind=kind)
    assert answer.status == 415
    assert "application/json or text/calendar" in answer.problem["detail"]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("DTSTART;VALUE=DATE:20261225", ["2026-12-25"]),
        ("DTSTART:20261225", ["2026-12-25"]),
        ("DTSTART;VALUE=DATE;TZID=X:20261225 DURATION:P3D", ["2026-12-25/2026-12-27"]),
        ("DTSTART;VALUE=DATE:20261225 DURATION:P1W", ["2026-12-25/2026-12-31"]),
        # Some write the last day where the day after it belongs.
        ("DTSTART;VALUE=DATE:20261225 DTEND;VALUE=DATE:20261225", ["2026-12-25"]),
        (
            "DTSTART;VALUE=DATE:20300501 RRULE:FREQ=YEARLY;COUNT=2 RDATE;VALUE=DATE:20300601",
            ["2030-05-01", "2030-06-01", "2031-05-01"],
        ),
        (
            "DTSTART;VALUE=DATE:20330501 RRULE:FREQ=YEARLY EXDATE;VALUE=DATE:20340501,20360501",
            ["2033-05-01", "2035-05-01"],
        ),
        (
            "DTSTART;VALUE=DATE:20330501 RRULE:FREQ=YEARLY;UNTIL=20340501T000000Z",
            ["2033-05-01", "2034-05-01"],
        ),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=DAILY;UNTIL=20261231", ["2026-12-25/2026-12-31"]),
    ],
)
def test_an_event_has_its_days(event: str, expected: list[str]) -> None:
    assert days(event) == expected


def test_a_moved_or_cancelled_occurrence_is_not_where_it_was() -> None:
    yearly = "UID:1 DTSTART;VALUE=DATE:20330501 RRULE:FREQ=YEARLY;COUNT=3"
    moved = "UID:1 RECURRENCE-ID;VALUE=DATE:20340501 DTSTART;VALUE=DATE:20340502"
    gone = "UID:1 RECURRENCE-ID;VALUE=DATE:20350501 DTSTART;VALUE=DATE:20350501 STATUS:CANCELLED"
    assert days(yearly, moved, gone) == ["2033-05-01", "2034-05-02"]
    assert days(yearly, "UID:2 DTSTART;VALUE=DATE:20340501 STATUS:CANCELLED") == [
        "2033-05-01",
        "2034-05-01",
        "2035-05-01",
    ]


def test_recurring_events_are_expanded_for_ten_years_of_days() -> None:
    found = days("DTSTART;VALUE=DATE:19700501 RRULE:FREQ=YEARLY")
    assert found == [f"{year}-05-01" for year in range(2026, 2037)]


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_lines_may_be_folded_and_end_in_any_way(end: str) -> None:
    raw = feed("UID:1 DTSTART;VALUE=DATE:20261225 SUMMARY:A-holi", end=end)
    folded = raw.replace(b"VALUE=DATE:2026", f"VALUE={end} DATE:20{end}\t26".encode())
    assert read_feed(b"\xef\xbb\xbf" + folded, TODAY, None)["days"] == ["2026-12-25"]
    assert read_feed(folded.rstrip(), TODAY, None)["days"] == ["2026-12-25"]


def walked(rule: dict[str, Any], begin: date) -> list[date]:
    """Return the days of a rule, found day by day: each day is asked what the rule says of it."""
    found, last = list[date](), date(2036, 11, 23)
    for ahead in range((last - begin).days + 1):
        day = begin + ahead * DAY
        months = (day.year - begin.year) * 12 + day.month - begin.month
        weeks = ((day - day.weekday() * DAY) - (begin - begin.weekday() * DAY)).days // 7
        passed = {
            "YEARLY": day.year - begin.year,
            "MONTHLY": months,
            "WEEKLY": weeks,
            "DAILY": ahead,
        }
        if passed[rule["FREQ"]] % rule["INTERVAL"]:
            continue
        weekday, month_day = rule["BYDAY"], rule["BYMONTHDAY"]
        if rule["BYMONTH"] and day.month != rule["BYMONTH"]:
            continue
        if month_day and day.day != month_day:
            continue
        if weekday is not None and day.weekday() != weekday:
            continue
        found.append(day)
    return found[: rule["COUNT"] or None]


def test_rules_are_expanded_as_a_walk_over_the_days_finds_them() -> None:
    dice, names = random.Random(1), ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
    for _ in range(300 if IS_SOAK else 12):
        freq = dice.choice(("YEARLY", "MONTHLY", "WEEKLY", "DAILY"))
        begin = date(2026, 1, 1) + dice.randrange(1_000) * DAY
        rule: dict[str, Any] = {
            "FREQ": freq,
            "INTERVAL": dice.choice((1, 1, 2, 5)),
            "COUNT": dice.choice((None, None, 3)),
            # Enough to say which day of each period is meant.
            "BYMONTH": dice.randrange(1, 13) if freq in ("YEARLY", "DAILY") else None,
            "BYMONTHDAY": dice.randrange(1, 31) if freq in ("YEARLY", "MONTHLY") else None,
            "BYDAY": dice.randrange(7) if freq in ("WEEKLY", "MONTHLY") else None,
        }
        text = ";".join(
            f"{name}={names[value] if name == 'BYDAY' else value}"
            for name, value in rule.items()
            if value is not None
        )
        expected = {begin, *walked(rule, begin)}
        shown = days(f"DTSTART;VALUE=DATE:{begin:%Y%m%d} RRULE:{text}")
        found = set()
        for one in shown:
            first, _, last = one.partition("/")
            at = date.fromisoformat(first)
            while at <= date.fromisoformat(last or first):
                found.add(at)
                at += DAY
        assert found == expected, text


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "END:VCALENDAR is missing"),
        (b"{}", "line 1 has no colon"),
        (b"A:b", "must begin with BEGIN:VCALENDAR"),
        (b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR", "line 3 ends what is not open"),
        (b"BEGIN:VCALENDAR\n", "END:VCALENDAR is missing"),
        (b"BEGIN:VCALENDAR\n\xff:1", "not UTF-8"),
        (b"BEGIN:VCALENDAR\n" + b"BEGIN:X\n" * 9, "nests deeper than 8"),
    ],
)
def test_what_is_no_calendar_is_refused(api: Api, raw: bytes, sentence: str) -> None:
    answer = put(api, raw)
    assert answer.status == 400
    assert sentence in answer.problem["detail"]


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ("DTSTART;VALUE=DATE:", "must be a date of the years 2 to 8999"),
        ("DTSTART;VALUE=DATE:20260230", "must be a date"),
        ("DTSTART;VALUE=DATE:00010101", "must be a date of the years 2 to 8999"),
        ("DTSTART;VALUE=DATE:20261225 DTEND:", "DTEND"),
        ("DTSTART;VALUE=DATE:19991231 RRULE:FREQ=DAILY;COUNT=9", "must begin in 2000 or later"),
        ("DTSTART;VALUE=DATE:19691231 RRULE:FREQ=YEARLY;COUNT=9", "give UNTIL in its place"),
        ("DTSTART;VALUE=DATE:20261225 DTEND;VALUE=DATE:20291225", "at most 366 days"),
        ("DTSTART;VALUE=DATE:20261225 DURATION:PT1H", "whole days or weeks"),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=SECONDLY", "give one of YEARLY"),
        ("DTSTART;VALUE=DATE:20261225 RRULE:COUNT=3", "FREQ must be one of"),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY;INTERVAL=0", "INTERVAL=0"),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY;INTERVAL=-1", "INTERVAL=-1"),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY;FREQ=DAILY", "each part once"),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY;BYHOUR=1", "BYHOUR=1"),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY;BYDAY=XX", "BYDAY=XX"),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY;BYMONTH=13", "BYMONTH=13"),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY;BYDAY=" + "MO," * 200, "300 characters"),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY;UNTIL=x", "UNTIL"),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=MONTHLY;BYDAY=8MO", "to 5 here, not 8"),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY;BYDAY=-54MO", "to 53 here, not -54"),
        ("DTSTART;VALUE=DATE:20261225 EXRULE:FREQ=DAILY", "as EXDATE"),
        ("DTSTART:20261225T100000Z", "no all-day events from 2026-01-01 to 2036-11-23"),
        ("SUMMARY:Nothing", "no all-day events"),
    ],
)
def test_a_wrong_event_is_refused_with_what_is_wrong(api: Api, event: str, sentence: str) -> None:
    answer = put(api, feed(event))
    assert answer.status == 422
    assert sentence in answer.problem["detail"]
    assert api.get("/calendars").json == []


WRONG_EVENTS = {
    "DTSTART": "DTSTART;VALUE=DATE:20260230",
    "DTEND": "DTSTART;VALUE=DATE:20261225 DTEND;VALUE=DATE:20291225",
    "DURATION": "DTSTART;VALUE=DATE:20261225 DURATION:PT1H",
    "RRULE": "DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY;BYHOUR=1",
    "EXRULE": "DTSTART;VALUE=DATE:20261225 EXRULE:FREQ=DAILY",
    "RDATE": "DTSTART;VALUE=DATE:20261225 RDATE:x",
    "EXDATE": "DTSTART;VALUE=DATE:20261225 EXDATE:x",
    "RECURRENCE-ID": "DTSTART;VALUE=DATE:20261225 RECURRENCE-ID:x",
}


def test_every_wrong_event_and_property_is_told_at_once(api: Api) -> None:
    every = (
        "DTSTART;VALUE=DATE:x DTEND:x RRULE:FREQ=YEARLY;BYHOUR=1 RRULE:FREQ=HOURLY "
        "EXRULE:FREQ=DAILY RDATE:x EXDATE:x"
    )
    raw = feed("DTSTART:20261225", *WRONG_EVENTS.values(), every, zone="Nowhere")
    errors = put(api, raw).problem["errors"]
    assert [error["field"] for error in errors] == [
        "timezone",
        *(f"events.{place}" for place in range(1, len(WRONG_EVENTS) + 1)),
        *["events.9"] * 7,
    ]
    assert [error["message"].split()[0] for error in errors[1:9]] == list(WRONG_EVENTS)
    assert [error["message"].split()[0] for error in errors[9:]] == (
        ["DTSTART", "RRULE", "RRULE", "DTEND", "EXRULE", "RDATE", "EXDATE"]
    )


def test_wrong_events_and_too_many_rules_are_told_at_once(api: Api) -> None:
    rules = ["DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY"] * 201
    assert put(api, feed(WRONG_EVENTS["RDATE"], *rules)).fields == ["events", "events.0"]


def test_what_is_told_of_a_feed_with_thousands_of_wrong_events_has_a_bound(api: Api) -> None:
    problem = put(api, feed(*[WRONG_EVENTS["RRULE"]] * MOST_EVENTS)).problem
    assert len(problem["errors"]) == MOST_ERRORS
    assert problem["detail"].endswith(f"errors has the first {MOST_ERRORS}")


def test_what_began_long_ago_or_is_counted_far_is_taken() -> None:
    birthday = days("DTSTART;VALUE=DATE:16040501 RRULE:FREQ=YEARLY")
    assert birthday == [f"{year}-05-01" for year in range(2026, 2037)]
    holiday = "UID:1 DTSTART;VALUE=DATE:20261225"
    assert days(holiday, "UID:2 DTSTART;VALUE=DATE:16010101") == ["2026-12-25"]
    every = "DTSTART;VALUE=DATE:19000101 RRULE:FREQ=DAILY;COUNT=1000000"
    assert days(every) == ["2026-01-01/2036-11-23"]


def test_a_rule_that_is_begun_late_gives_the_same_days() -> None:
    """dateutil expands both, the one from its own beginning."""
    dice, found = random.Random(4), 0
    for _ in range(300 if IS_SOAK else 100):
        rule: dict[str, Any] = {"freq": dice.randrange(4), "interval": dice.choice((1, 1, 2, 3, 5))}
        more = {
            "byweekday": [dice.randrange(7), dice.randrange(7)],
            "bymonth": [dice.randrange(1, 13), 2],
            "bymonthday": [dice.choice((1, 29, 31, -1))],
            "bysetpos": [dice.choice((1, 2, -1))],
            "wkst": dice.randrange(7),
        }
        rule |= {name: value for name, value in more.items() if dice.random() < 0.25}
        if not {"byweekday", "bymonthday", "bymonth"} & rule.keys():
            # dateutil takes no position of nothing.
            rule.pop("bysetpos", None)
        begin = date(1990, 1, 1) + dice.randrange(3_000) * DAY
        first = begin + dice.randrange(-400, 6_000) * DAY
        moved, start = begun_late(rule, begin, first)
        last = datetime.combine(first + 900 * DAY, time(0))
        whole, late = (
            {at.date() for at in rrule(dtstart=datetime.combine(at, time(0)), until=last, **given)}
            for given, at in ((rule, begin), (moved, start))
        )
        assert {day for day in late if day >= first} == {day for day in whole if day >= first}, rule
        assert late <= whole
        found += len(late) < len(whole)
    assert found > 30


HOSTILE = {
    "a million occurrences": ["DTSTART;VALUE=DATE:20260101 RRULE:FREQ=DAILY;COUNT=1000000"],
    "count beyond reason": ["DTSTART;VALUE=DATE:20260101 RRULE:FREQ=DAILY;COUNT=999999"],
    "what never matches": [
        f"UID:{number} DTSTART;VALUE=DATE:20000101 RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"
        for number in range(20)
    ],
    "from the first year on": [
        f"UID:{number} DTSTART;VALUE=DATE:00020101 RRULE:FREQ={often};BYDAY=MO,TU,WE,TH,FR"
        for number, often in enumerate(["YEARLY"] * 90 + ["MONTHLY"] * 90 + ["WEEKLY"] * 20)
    ],
    "a long interval": ["DTSTART;VALUE=DATE:20000101 RRULE:FREQ=YEARLY;INTERVAL=999999"],
    "every day by the year": [
        f"UID:{number} DTSTART;VALUE=DATE:19700101 RRULE:FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU"
        for number in range(200)
    ],
    "too many rules": ["DTSTART;VALUE=DATE:20000101 RRULE:FREQ=YEARLY"] * 201,
    "too many weekly rules": ["DTSTART;VALUE=DATE:20000101 RRULE:FREQ=WEEKLY"] * 21,
    "too many events": ["DTSTART:20261225"] * (MOST_EVENTS + 1),
    "every second day": ["DTSTART;VALUE=DATE:20260101 RRULE:FREQ=DAILY;INTERVAL=2"],
    "positions": ["DTSTART;VALUE=DATE:20000101 RRULE:FREQ=DAILY;BYSETPOS=366;BYDAY=MO"],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_feed_is_answered_in_time(api: Api, name: str) -> None:
    began = process_time()
    answer = put(api, feed(*HOSTILE[name]))
    assert answer.status in (200, 422)
    assert process_time() - began < 4


def test_random_bytes_are_never_a_defect(api: Api) -> None:
    dice = random.Random(2)
    pieces = (
        b"\nBEGIN:VCALENDAR\n|BEGIN:VEVENT\n|END:VEVENT\n|END:VCALENDAR\n|DTSTART;VALUE=DATE:|"
        b'20261225|:|;|=|,|"|\nRRULE:FREQ=YEARLY|;BYDAY=-1MO|;BYDAY=0MO|\nEXDATE:|\xff|\nDTEND:|'
        b"\nDURATION:P1D|\r\n |\nRECURRENCE-ID:"
    ).split(b"|")
    for _ in range(2_000 if IS_SOAK else 200):
        raw = b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261225\n" + b"".join(
            dice.choice(pieces) for _ in range(dice.randrange(12))
        )
        raw += dice.choice((b"", b"\nEND:VEVENT\nEND:VCALENDAR"))
        assert put(api, raw).status in (200, 400, 422)


def test_a_rule_without_an_end_may_say_the_last_day_there_is() -> None:
    shown = days("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY;UNTIL=99991231T235959Z")
    assert (len(shown), shown[0]) == (10, "2026-12-25")
