"""Crons: which expressions are valid, when they occur, and how invalid ones are refused."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import process_time

import pytest

from chalicelib.domain.cron import USUAL_DST, Cron, Dst, parse
from chalicelib.domain.errors import InvalidInput
from tests.domain.cron_oracle import ZONES, changes, occurrences
from tests.domain.random_crons import IS_SOAK, random_cron

CASES = 200_000 if IS_SOAK else 200
SHARES = 20 if IS_SOAK else 4
MOST_COMPARED = 40
HALF_WINDOW = timedelta(hours=36)
PLACES = (*ZONES, "Atlantic/Azores", "Pacific/Apia")
# Its clocks went from the end of 29 December to the beginning of the 31st.
SAMOA_LOST_A_DAY = datetime(2011, 12, 30, 10, tzinfo=UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def first(cron: str, zone: str, after: str, count: int = 1, dst: Dst = USUAL_DST) -> list[str]:
    """Return so many occurrences as texts, in UTC."""
    found = walked(parse(cron, zone, dst), utc(after), datetime.max.replace(tzinfo=UTC), count)
    assert len(found) == count
    return [f"{at:%Y-%m-%d %H:%M}" for at in found]


def walked(cron: Cron, start: datetime, last: datetime, most: int) -> list[datetime]:
    found: list[datetime] = []
    at = cron.next_after(start)
    while at is not None and at <= last and len(found) < most:
        found.append(at)
        at = cron.next_after(at)
    return found


def random_parse(dice: random.Random, zone: str) -> Cron:
    while True:
        try:
            return parse(random_cron(dice), zone)
        except InvalidInput as error:
            assert "never fires" in str(error), error


def random_dst(dice: random.Random) -> Dst:
    return dice.choice((USUAL_DST, Dst(gap="next"), Dst(fold="both"), Dst("next", "both")))


@pytest.mark.parametrize("share", range(SHARES))
def test_random_crons_occur_when_the_oracle_says_so(share: int) -> None:
    dice, found = random.Random(share), 0
    for number in range(CASES // SHARES):
        zone = PLACES[number % len(PLACES)]
        cron = replace(random_parse(dice, zone), dst=random_dst(dice))
        change = SAMOA_LOST_A_DAY if zone == "Pacific/Apia" else dice.choice(changes(zone))
        begin, end = change - HALF_WINDOW, change + HALF_WINDOW
        start = begin + timedelta(seconds=dice.randrange(int(HALF_WINDOW.total_seconds() * 1.2)))
        named = occurrences(cron.expression, zone, begin, end, cron.dst.gap, cron.dst.fold)
        expected = [at for at in named if at > start][:MOST_COMPARED]
        assert walked(cron, start, end, MOST_COMPARED) == expected, (cron, start)
        found += len(expected)
    # Windows without an occurrence would prove nothing.
    assert found > CASES // SHARES * 5


@pytest.mark.parametrize(
    "expression", ["* * * * *", "*/5 * * * *", "0 * * * *", "*/5 9-17 * * 1-5"]
)
def test_two_thousand_occurrences_are_counted_within_a_tenth_of_a_second(expression: str) -> None:
    cron = parse(expression, "Europe/Berlin")

    def seconds() -> float:
        began = process_time()
        assert len(walked(cron, utc("2026-03-01"), utc("2027-03-01"), 2_000)) == 2_000
        return process_time() - began

    # The processor may be busy with others; what is slow is slow every time.
    assert min(seconds() for _ in range(3)) < 0.1


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        (
            "10/20 9 * * *",
            "2026-01-01",
            ["2026-01-01 09:10", "2026-01-01 09:30", "2026-01-01 09:50"],
        ),
        ("0 0 * * 0", "2026-01-01", ["2026-01-04 00:00"]),
        ("0 0 * * 7", "2026-01-01", ["2026-01-04 00:00"]),
        ("0 0 * * 5-7", "2026-01-01", ["2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00"]),
        (
            "0 0 * * FRI-sun",
            "2026-01-01",
            ["2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00"],
        ),
        ("0 0 * * 5/2", "2026-01-01", ["2026-01-02 00:00", "2026-01-04 00:00", "2026-01-09 00:00"]),
        ("0 0 1 Jan,jul *", "2026-01-01", ["2026-07-01 00:00", "2027-01-01 00:00"]),
        ("0 0 29 2 *", "2026-01-01", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 29 2 *", "2096-03-01", ["2104-02-29 00:00"]),
        ("0 0 29 2 */7", "2072-03-01", ["2088-02-29 00:00", "2128-02-29 00:00"]),
        # croniter by itself takes a range of one for all there are.
        ("4-4 4-4 4-4 4-4 *", "2026-01-01", ["2026-04-04 04:04", "2027-04-04 04:04"]),
        ("0 0 * * 4-4", "2026-01-01", ["2026-01-08 00:00", "2026-01-15 00:00"]),
        # There is no 30 February: its Mondays remain.
        ("0 0 30 2 1", "2026-01-01", ["2026-02-02 00:00", "2026-02-09 00:00"]),
        (
            "0 0 29 2 1",
            "2027-12-01",
            [
                "2028-02-07 00:00",
                "2028-02-14 00:00",
                "2028-02-21 00:00",
                "2028-02-28 00:00",
                "2028-02-29 00:00",
            ],
        ),
        ("0 0 31 * *", "2026-01-31", ["2026-03-31 00:00", "2026-05-31 00:00"]),
        ("  30\t4  * * * ", "2026-01-01", ["2026-01-01 04:30"]),
        ("0000005 4 * * *", "2026-01-01", ["2026-01-01 04:05"]),
    ],
)
def test_fields_name_what_they_name(cron: str, after: str, expected: list[str]) -> None:
    assert first(cron, "UTC", after, len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        # 1 January 2026 is a Thursday. Either day will do, unless one of them begins with a star.
        ("0 0 13 * 5", ["01-02", "01-09", "01-13", "01-16"]),
        ("0 0 */2 * 1", ["01-05", "01-19", "02-09", "02-23"]),
        ("0 0 13 * */5", ["02-13", "03-13", "09-13", "11-13"]),
        ("0 0 1-7 * *", ["01-02", "01-03", "01-04", "01-05"]),
        ("0 0 1-31 * 1-5", ["01-02", "01-03", "01-04", "01-05"]),
        ("0 0 5 * 0-6", ["01-02", "01-03", "01-04", "01-05"]),
    ],
)
def test_days_meet_as_vixie_cron_has_it(cron: str, expected: list[str]) -> None:
    assert [at[5:10] for at in first(cron, "UTC", "2026-01-01", 4)] == expected


@pytest.mark.parametrize(
    ("nickname", "expected"),
    [
        ("@hourly", "2026-01-01 01:00"),
        ("@daily", "2026-01-02 00:00"),
        ("@midnight", "2026-01-02 00:00"),
        ("@Weekly", "2026-01-04 00:00"),
        ("@monthly", "2026-02-01 00:00"),
        ("@yearly", "2027-01-01 00:00"),
        ("@ANNUALLY", "2027-01-01 00:00"),
    ],
)
def test_nicknames_stand_for_fields(nickname: str, expected: str) -> None:
    assert first(nickname, "UTC", "2026-01-01") == [expected]


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", "2027-03-27 12:00", ["2027-03-29 00:30"]),
        (
            "0,30 1-3 * * *",
            "Europe/Berlin",
            "2027-03-28 00:00",
            ["2027-03-28 00:30", "2027-03-28 01:00", "2027-03-28 01:30"],
        ),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00", ["2026-10-04 15:15"]),
        ("30 0 * * *", "Africa/Cairo", "2026-04-23 12:00", ["2026-04-24 21:30"]),
    ],
)
def test_a_skipped_time_does_not_occur(
    cron: str, zone: str, after: str, expected: list[str]
) -> None:
    assert first(cron, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2027-10-30 12:00",
            ["2027-10-31 00:30", "2027-11-01 01:30"],
        ),
        # From within the second passing there is nothing to catch up on.
        ("30 2 * * *", "Europe/Berlin", "2027-10-31 01:10", ["2027-11-01 01:30"]),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04 12:00",
            ["2026-04-04 14:45", "2026-04-05 15:15"],
        ),
        (
            "30 23 * * *",
            "Africa/Cairo",
            "2026-10-29 12:00",
            ["2026-10-29 20:30", "2026-10-30 21:30"],
        ),
    ],
)
def test_a_repeated_time_occurs_once_at_its_first_passing(
    cron: str, zone: str, after: str, expected: list[str]
) -> None:
    assert first(cron, zone, after, len(expected)) == expected


MADE_UP, TWICE = Dst(gap="next"), Dst(fold="both")


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2027-03-27 12:00",
            ["2027-03-28 01:00", "2027-03-29 00:30"],
        ),
        # All that are skipped occur once, and not beside an occurrence at that instant.
        (
            "*/20 2,3 * * *",
            "Europe/Berlin",
            "2027-03-27 12:00",
            ["2027-03-28 01:00", "2027-03-28 01:20"],
        ),
        (
            "0,15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03 12:00",
            ["2026-10-03 15:30", "2026-10-04 15:00"],
        ),
        # Samoa had no 30 December 2011.
        ("0 9 * * *", "Pacific/Apia", "2011-12-29 20:00", ["2011-12-30 10:00", "2011-12-30 19:00"]),
        ("0 9 30 12 *", "Pacific/Apia", "2011-12-29 20:00", ["2011-12-30 10:00"]),
        # The next hour follows at once.
        (
            "30 * * * *",
            "Europe/Berlin",
            "2027-03-28 00:00",
            ["2027-03-28 00:30", "2027-03-28 01:30"],
        ),
    ],
)
def test_a_skipped_time_is_made_up_for_after_the_gap_if_asked_for(
    cron: str, zone: str, after: str, expected: list[str]
) -> None:
    assert first(cron, zone, after, len(expected), MADE_UP) == expected


def test_a_repeated_time_occurs_at_both_passings_if_asked_for() -> None:
    assert first("30 2 * * *", "Europe/Berlin", "2027-10-30 12:00", 3, TWICE) == [
        "2027-10-31 00:30",
        "2027-10-31 01:30",
        "2027-11-01 01:30",
    ]
    # From within the first passing, what comes again is all that is left.
    assert first("10,50 1 * * *", "America/New_York", "2027-11-07 05:55", 3, TWICE) == [
        "2027-11-07 06:10",
        "2027-11-07 06:50",
        "2027-11-08 06:10",
    ]


@pytest.mark.parametrize("hours", ["*", "0-23", "*/1", "0/1", "12-23,0-11"])
def test_a_cron_of_every_hour_goes_on_through_a_repeated_hour(hours: str) -> None:
    found = first(f"30 {hours} * * *", "Europe/Berlin", "2027-10-31 00:00", 3)
    assert found == ["2027-10-31 00:30", "2027-10-31 01:30", "2027-10-31 02:30"]


def test_a_cron_of_all_hours_but_one_does_not() -> None:
    assert first("30 0-22 * * *", "Europe/Berlin", "2027-10-31 00:00", 2) == [
        "2027-10-31 00:30",
        "2027-10-31 02:30",
    ]


def test_a_cron_of_every_hour_on_the_day_before_reaches_into_the_hour_that_comes_again() -> None:
    # In Cairo the last hour of 29 October 2026 comes twice.
    assert first("0 * 29 10 *", "Africa/Cairo", "2026-10-29 19:30", 3) == [
        "2026-10-29 20:00",
        "2026-10-29 21:00",
        "2027-10-28 22:00",
    ]


def test_an_occurrence_comes_strictly_after() -> None:
    cron = parse("0 9 * * *")
    nine = utc("2026-01-01 09:00")
    assert cron.next_after(nine) == nine + timedelta(days=1)
    assert cron.next_after(nine - timedelta(microseconds=1)) == nine


def test_after_the_end_of_time_nothing_occurs() -> None:
    for cron in (
        parse("0 9 * * *"),
        parse("* * * * *"),
        parse("* * * * *", "Asia/Tokyo"),
        parse("0 9 * * *", "America/New_York"),
        parse("0 9 L-3 * *"),
    ):
        assert cron.next_after(datetime.max.replace(tzinfo=UTC)) is None
        assert cron.next_after(datetime(9999, 12, 31, 10, tzinfo=UTC)) is None


REFUSALS = [
    ("", "must have five fields (minute, hour, day of month, month, day of week), not 0"),
    ("* * * *", "must have five fields (minute, hour, day of month, month, day of week), not 4"),
    ("0 * * * * *", "not 6; seconds and years are not possible: leave out the first"),
    ("0 0 * * * ? 2026", "not 7; seconds and years are not possible"),
    ("1 " * 101, "has more than 200 characters"),
    ("@reboot", "is not a known nickname; write one of @hourly, @daily,"),
    ("@every 5m", "is not a known nickname"),
    ("60 * * * *", "minute: 60 is not from 0 to 59"),
    ("* 24 * * *", "hour: 24 is not from 0 to 23"),
    ("* * 0 * *", "day of month: 0 is not from 1 to 31"),
    ("* * * 13 *", "month: 13 is not from 1 to 12"),
    ("* * * * 8", "day of week: 8 is not from 0 to 7"),
    ("99999999999 * * * *", "minute: 999999… is not from 0 to 59"),
    ("5-1 * * * *", "minute: the range 5-1 runs backward; write 5-59,0-1"),
    ("0 0 * * fri-mon", "day of week: the range fri-mon runs backward; write fri-7,0-mon"),
    ("*/0 * * * *", "minute: a step must be at least 1"),
    (
        "*/90 * * * *",
        (
            "minute: a step of 90 is more than the 60 there are; for every hour and a half "
            "register two jobs"
        ),
    ),
    (
        "*/120 * * * *",
        "minute: a step of 120 is more than the 60 there are; for every 2 hours write 0 */2 * * *",
    ),
    (
        "*/61 * * * *",
        (
            "minute: a step of 61 is more than the 60 there are; write the minute by itself, and a "
            "step in the hours"
        ),
    ),
    ("0 22-6/2 * * *", "hour: the range 22-6 runs backward; write 22-23/2,0-6/2"),
    ("0 22-6/0 * * *", "hour: a step must be at least 1"),
    ("CRON_TZ=UTC 0 0 * * *", "not 6; give a time zone as trigger.timezone"),
    ("0 */36 * * *", "hour: a step of 36 is more than the 24 there are; write the hour by itself"),
    ("0 0 30 2 *", "never fires: none of these months has such a day"),
    ("0 0 31 2,4,6,9,11 *", "never fires: none of these months has such a day"),
    ("0 0 ? * 1", "day of month: '?' is of other dialects; write *"),
    ("L * * * *", "minute: 'L', 'W' and '#' stand only in day of month and day of week"),
    ("0 LW * * *", "hour: 'L', 'W' and '#' stand only in"),
    ("0 0 1 1#1 *", "month: 'L', 'W' and '#' stand only in"),
    ("0 9 L-x * *", "day of month: write L for the last day of the month, L-3 for"),
    ("0 9 L-3-5 * *", "day of month: write L for the last day of the month, L-3 for"),
    ("0 9 */L * *", "day of month: write L for the last day of the month, L-3 for"),
    ("0 9 * * LL", "day of week: write such as 5L for the last Friday"),
    ("0 0 31W 2 *", "never fires: none of these months has such a day"),
    ("0 0 L-29 2 *", "never fires: none of these months has such a day"),
    ("0 0 */31 * 5#2", "never fires: none of these months has such a day"),
    ("0 0 L-31 * *", "day of month: L-31 is in no month; write L for the last day, L-1 for"),
    ("0 0 L-0 * *", "day of month: L-0 is in no month; write L for the last day"),
    ("0 0 32W * *", "day of month: 32 is not from 1 to 31"),
    ("0 0 0W * *", "day of month: 0 is not from 1 to 31"),
    ("0 0 * * 8L", "day of week: 8 is not from 0 to 7"),
    ("0 0 * * 8#1", "day of week: 8 is not from 0 to 7"),
    ("0 0 * * 1#6", "day of week: a month has no 1#6; write 1#1 to 1#5, or 1L for the last"),
    ("0 0 * * mon#0", "day of week: a month has no MON#0; write MON#1 to MON#5, or MONL for"),
    ("0 0 w15 * *", "day of month: write 15W"),
    ("0 0 WL * *", "day of month: write LW"),
    ("0 0 W * *", "day of month: 'W' follows a day; write 15W for the weekday nearest to the 15th"),
    ("0 0 1-5W * *", "day of month: 'W' follows a single day; write such as 1W,2W"),
    ("0 0 LW-1 * *", "day of month: 'W' does not go with days before the last; write LW for"),
    ("0 0 L-3W * *", "day of month: 'W' does not go with days before the last; write LW for"),
    ("0 0 L3 * *", "day of month: write L-3 for so many days before the last"),
    ("0 0 L+3 * *", "day of month: write L-3 for so many days before the last"),
    ("0 0 20-L * *", "day of month: write 20-31, which ends with the month"),
    ("0 0 5L * *", "day of month: write L for the last day of the month; the last such weekday of"),
    ("0 0 8#2 * *", "day of month: '#' (the n-th weekday of a month) stands in day of week"),
    ("0 0 L/2 * *", "day of month: 'L' and 'W' have no step; list the days, such as 1W,15W,L"),
    ("0 0 * * L5", "day of week: write 5L"),
    ("0 0 * * lfri", "day of week: write FRIL"),
    ("0 0 * * 5#L", "day of week: write 5L"),
    ("0 0 * * fridayL", "day of week: names have three letters; write FRIL"),
    ("0 0 * * friday#2", "day of week: '#' stands between a single day and its number; write 1#2"),
    ("0 0 * * L", "day of week: 'L' follows a day; write 5L for the last Friday of the month, or"),
    ("0 0 * * 1-5L", "day of week: 'L' follows a single day; write such as 1L,2L"),
    ("0 0 * * #2", "day of week: '#' follows a day; write 1#2 or MON#2 for a Monday"),
    ("0 0 * * 2#", "day of week: write 2#1 to 2#5, or 2L for the last"),
    ("0 0 * * 1#2-3", "day of week: '#' stands between a single day and its number; write 1#2"),
    ("0 0 * * 15W", "day of week: 'W' (the nearest weekday) stands in day of month; write 1-5"),
    ("H * * * *", "minute: 'H' (a hashed time) is not possible; write the time you want"),
    ("H(0-29)/10 * * * *", "minute: 'H' (a hashed time)"),
    ("R * * * *", "minute: 'R' (a random time) is not possible; write the time you want"),
    ("0 0 * * thursday", "day of week: names have three letters; write THU"),
    ("0 0 1 march *", "month: names have three letters; write MAR"),
    (
        "0 0 1 foo *",
        (
            "month: 'foo' is not possible; write numbers from 1 to 12, or names such as JAN, as "
            "1,2 or 1-5 or */2"
        ),
    ),
    ("0 0 1,,2 * *", "day of month: a value is missing beside a comma"),
    ("-5 * * * *", "minute: '-5' is not possible; write numbers from 0 to 59"),
    ("1.5 * * * *", "minute: '1.5' is not possible"),
    ("*5 * * * *", "minute: '*5' is not possible"),
    ("\u0665 * * * *", "minute: this is not possible"),
    ("0 0 * * *\n", "day of week: this is not possible"),
]


@pytest.mark.parametrize(("cron", "sentence"), REFUSALS)
def test_a_cron_is_refused_with_its_reason(cron: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(cron)
    [error] = caught.value.errors
    assert error.field == "trigger.cron"
    assert sentence in error.message


def test_what_a_refusal_proposes_is_possible() -> None:
    for cron in ("5-59,0-1 * * * *", "0 0 * * fri-7,0-mon", "0 */3 * * *", "30 1-23/3 * * *"):
        parse(cron)
    for day in "L L-1 L-3 L-30 15W LW 1W,2W 20-31".split():
        parse(f"0 0 {day} * *")
    for weekday in "5L friL MONL 1#1 2#5 mon#2 1L,2L 1-5 7L 0#1".split():
        parse(f"0 0 * * {weekday}")


FIELDS = [
    (0, 59, "{} * * * *"),
    (0, 23, "0 {} * * *"),
    (1, 31, "0 0 {} * *"),
    (1, 12, "0 0 1 {} *"),
    (0, 6, "0 0 * * {}"),
]


@pytest.mark.parametrize("step", ["", "/1", "/2", "/3", "/5", "/7"])
@pytest.mark.parametrize("index", range(5))
def test_what_is_proposed_for_a_backward_range_is_what_was_meant(index: int, step: str) -> None:
    least, most, cron = FIELDS[index]
    count = most - least + 1
    for low in range(least, most + 1, 1 if IS_SOAK else 8):
        for high in range(least, low):
            with pytest.raises(InvalidInput) as caught:
                parse(cron.format(f"{low}-{high}{step}"))
            fields = parse(cron.format(str(caught.value).rpartition("write ")[2])).fields
            named = (fields.minutes, fields.hours, fields.days, fields.months, fields.weekdays)[
                index
            ]
            meant = range(low, high + count + 1, int(step[1:] or 1))
            assert set(named) == {(value - least) % count + least for value in meant}, (low, high)


def test_a_cron_whose_every_time_is_skipped_never_fires() -> None:
    # Every Sunday from 25 to 31 March is the day on which Berlin's clocks skip 02:30.
    with pytest.raises(
        InvalidInput,
        match="never fires: the clocks of Europe/Berlin skip this time on every such day",
    ):
        parse("30 2 25-31 3 */7", "Europe/Berlin")
    assert first("30 2 25-31 3 */7", "UTC", "2026-01-01") == ["2026-03-29 02:30"]
    assert first("30 2 25-31 3 */7", "Europe/Berlin", "2026-01-01", dst=MADE_UP) == [
        "2026-03-29 01:00"
    ]


@pytest.mark.parametrize(
    ("zone", "sentence"),
    [
        ("europe/berlin", "is not a known time zone; did you mean Europe/Berlin?"),
        ("America/new york", "is not a known time zone; did you mean America/New_York?"),
        ("Europe/Atlantis", "is not a known time zone; give an IANA name, such as Europe/Berlin"),
        ("../../etc/passwd", "is not a known time zone; give an IANA name"),
        ("", "is not a known time zone; give an IANA name"),
        ("+02:00", "is not a known time zone; give an IANA name"),
        ("x" * 100_000, "is not a known time zone; give an IANA name"),
    ],
)
def test_a_zone_is_refused_with_its_reason(zone: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse("0 0 * * *", zone)
    [error] = caught.value.errors
    assert error.field == "trigger.timezone"
    assert sentence in error.message


def test_random_texts_are_read_or_refused_in_time() -> None:
    dice = random.Random(1)
    letters = "0123456789*/-,,  \t@?#LWHRabjnmosuedywtfri\u00e9\u0665\x00\n"
    for _ in range(100_000 if IS_SOAK else 1_200):
        text = "".join(dice.choice(letters) for _ in range(dice.randrange(30)))
        if dice.random() < 0.7:
            # Near misses: one character of a good cron is changed.
            good = random_cron(dice)
            at = dice.randrange(len(good))
            text = good[:at] + dice.choice(letters) + good[at + 1 :]
        try:
            cron = parse(text, "Europe/Berlin")
        except InvalidInput as error:
            assert all(wrong.field == "trigger.cron" and wrong.message for wrong in error.errors)
        else:
            assert cron.next_after(datetime(2026, 1, 1, tzinfo=UTC)) is not None
