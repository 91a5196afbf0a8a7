"""Triggers: delays and dates, valid and invalid."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.api.models.trigger_requests import read_trigger
from chalicelib.domain.errors import InvalidInput
from chalicelib.domain.instant import format_instant, format_measured, parse_instant
from chalicelib.domain.trigger import OneTime, after_delay, at_date, describe, restore
from tests.domain.random_crons import IS_SOAK, random_cron

NOW = datetime(2026, 11, 23, 10, 0, 0, 250_000, tzinfo=UTC)


def due(text: str, timezone: str | None = None, now: datetime = NOW) -> str:
    return format_instant(at_date(text, timezone, now).date)


def refused(text: str, timezone: str | None = None, now: datetime = NOW) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as caught:
        at_date(text, timezone, now)
    [error] = caught.value.errors
    return error.field, error.message


def refusal(text: str, timezone: str | None = None, now: datetime = NOW) -> str:
    field, message = refused(text, timezone, now)
    assert field == "trigger.date"
    return message


@pytest.mark.parametrize(
    ("delay", "date"),
    [
        (0, "2026-11-23T10:00:01Z"),
        (0.4, "2026-11-23T10:00:01Z"),
        (0.75, "2026-11-23T10:00:01Z"),
        (0.8, "2026-11-23T10:00:02Z"),
        (899, "2026-11-23T10:15:00Z"),
        (901, "2026-11-23T10:15:02Z"),
        (31_536_000, "2027-11-23T10:00:01Z"),
    ],
)
def test_a_delay_counts_from_now_and_is_rounded_up(delay: float, date: str) -> None:
    assert format_instant(after_delay(delay, NOW).date) == date


def test_a_delay_from_a_full_second_is_not_rounded() -> None:
    noon = NOW.replace(microsecond=0)
    assert after_delay(0, noon).date == noon
    assert after_delay(5, noon).date == noon + timedelta(seconds=5)
    assert after_delay(0.4, noon).date == noon + timedelta(seconds=1)


@pytest.mark.parametrize(
    "delay",
    [
        -1,
        -0.001,
        31_536_001,
        31_536_000.1,
        math.nan,
        math.inf,
        -math.inf,
        10**400,
        -(10**400),
        1e308,
    ],
)
def test_a_delay_is_refused_below_nothing_and_above_a_year(delay: float) -> None:
    with pytest.raises(
        InvalidInput, match=r"trigger.delay: must be from 0 to 31536000 seconds \(a year\)"
    ):
        after_delay(delay, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-01T10:00:00+02:00", "2026-12-01T10:00:00+0200", "2026-12-01T10:00+02",
        "2026-12-01t08:00:00z", "2026-12-01 08:00:00Z", "2026-12-01T08:00Z",
        "2026-11-30T22:00:00-10:00", "2026-12-01T13:45:00+05:45", "2026-12-01T08:00:00-00:00"
    ],
)  # fmt: skip
def test_a_date_in_another_offset_is_the_same_instant(text: str) -> None:
    assert due(text) == "2026-12-01T08:00:00Z"


def test_a_date_without_offset_is_in_its_time_zone_or_utc() -> None:
    assert due("2026-12-01T10:00:00") == "2026-12-01T10:00:00Z"
    assert due("2026-12-01T10:00:00", "Europe/Berlin") == "2026-12-01T09:00:00Z"
    assert due("2026-12-01T10:00:00", "Asia/Kathmandu") == "2026-12-01T04:15:00Z"


def test_a_date_in_a_gap_is_refused_with_the_next_valid_time() -> None:
    sentence = (
        "the clocks of Europe/Berlin skip this time; the next that exists is 2027-03-28T03:00:00"
    )
    assert refusal("2027-03-28T02:30:00", "Europe/Berlin") == sentence
    assert (
        refusal("2026-11-23T10:00:00", "Europe/Berlin") == "has passed; give a date in the future"
    )
    lord_howe = refusal("2027-10-03T02:15", "Australia/Lord_Howe")
    assert lord_howe.endswith("the next that exists is 2027-10-03T02:30:00")
    due("2027-03-28T03:00:00", "Europe/Berlin")


def test_a_date_in_a_fold_is_its_first_passing() -> None:
    assert due("2027-10-31T02:30:00", "Europe/Berlin") == "2027-10-31T00:30:00Z"
    # With an offset either passing can be meant.
    assert due("2027-10-31T02:30:00+01:00") == "2027-10-31T01:30:00Z"


def test_a_29_february_is_there_in_leap_years_only() -> None:
    assert due("2028-02-29T10:00:00Z") == "2028-02-29T10:00:00Z"
    assert refusal("2027-02-29T10:00:00Z") == "there is no such date and time"


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2026-12-01T10:00:00.000Z", "2026-12-01T10:00:00Z"),
        ("2026-12-01T10:00:00.001Z", "2026-12-01T10:00:01Z"),
        ("2026-12-01T10:00:00,5Z", "2026-12-01T10:00:01Z"),
        ("2026-12-31T23:59:59.0000000001Z", "2027-01-01T00:00:00Z"),
    ],
)
def test_fractions_of_a_second_are_rounded_up(text: str, date: str) -> None:
    assert due(text) == date


def test_a_fraction_of_a_minute_is_not_taken_for_one_of_a_second() -> None:
    # To ISO 8601, 10:00.5 is thirty seconds past ten.
    assert refusal("2026-12-01T10:00.5Z").startswith("must be a date and time as")


def test_a_date_up_to_a_minute_past_is_due_at_once() -> None:
    now = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
    assert due("2026-11-23T09:59:00Z", now=now) == "2026-11-23T09:59:00Z"
    assert refusal("2026-11-23T09:58:59Z", now=now) == "has passed; give a date in the future"
    assert (
        refusal("2026-11-23T09:59:00Z", now=now + timedelta(microseconds=1))
        == "has passed; give a date in the future"
    )
    assert refusal("0001-01-01T00:00:00Z") == "has passed; give a date in the future"


def test_a_date_is_at_most_ten_years_ahead() -> None:
    now = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
    assert due("2036-11-23T10:00:00Z", now=now) == "2036-11-23T10:00:00Z"
    assert refusal("2036-11-23T10:00:01Z", now=now) == "is more than 10 years ahead"
    leap_day = datetime(2028, 2, 29, 10, 0, tzinfo=UTC)
    assert due("2038-03-01T10:00:00Z", now=leap_day) == "2038-03-01T10:00:00Z"
    assert refusal("2038-03-01T10:00:01Z", now=leap_day) == "is more than 10 years ahead"
    assert refusal("9999-12-31T23:59:59Z") == "is more than 10 years ahead"


@pytest.mark.parametrize(
    "text",
    [
        "2026-13-01T10:00:00Z", "2026-12-32T10:00:00Z", "2026-12-01T25:00:00Z",
        "2026-12-01T10:60:00Z", "2026-12-01T23:59:60Z", "0000-12-01T10:00:00Z",
        "2026-12-01T10:00:00+24:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59.5Z"
    ],
)  # fmt: skip
def test_a_date_that_is_none_is_refused(text: str) -> None:
    assert refusal(text) == "there is no such date and time"


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati", "Europe/Berlin"])
@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00", "9999-12-31T23:59:59", "9999-12-31T23:59:59.9"]
)
def test_the_ends_of_time_are_refused_in_every_zone(text: str, zone: str) -> None:
    assert refused(text, zone)[0] == "trigger.date"


@pytest.mark.parametrize(
    "text",
    [
        "", "tomorrow", "2026-12-01", "10:00:00", "20261201T100000Z", "2026-12-01T10Z",
        "2026-12-01T10:00:00.Z", "2026-W49-2T10:00:00Z", " 2026-12-01T10:00:00Z",
        "2026-12-01T10:00:00Z\n", "2026-12-01T10:00:00 Z", "\u0662026-12-01T10:00:00Z",
        "1764583200", "2026-12-01T10:00:00[Europe/Berlin]", "2026-12-01T10:00:00Z" * 1000
    ],
)  # fmt: skip
def test_a_text_that_is_no_date_is_refused(text: str) -> None:
    assert refusal(text).startswith(
        "must be a date and time as 2026-12-01T10:00:00Z, 2026-12-01T10:00:00+01:00, or without "
        "offset"
    )


def test_a_time_zone_goes_with_a_date_that_has_no_offset() -> None:
    sentence = "is only for a date without an offset; this date has one"
    assert refused("2026-12-01T10:00:00Z", "UTC") == ("trigger.timezone", sentence)
    assert refused("2026-12-01T10:00:00", "utc") == (
        "trigger.timezone",
        "is not a known time zone; did you mean UTC?",
    )


def test_a_described_trigger_is_restored() -> None:
    for sent in (
        {"delay": 5},
        {"date": "2026-12-01T10:00:00Z"},
        {"cron": "@daily", "timezone": "US/Eastern"},
        {"cron": "0 9 * * *"},
    ):
        trigger = read_trigger(sent, NOW)
        assert restore(describe(trigger)) == trigger
        assert read_trigger(describe(trigger), NOW) == trigger


def test_a_date_comes_once() -> None:
    trigger = OneTime(datetime(2026, 12, 1, 10, tzinfo=UTC))
    assert trigger.next_after(NOW) == trigger.date
    assert trigger.next_after(trigger.date) is None


def test_instants_are_written_and_read_in_utc() -> None:
    assert format_instant(NOW) == "2026-11-23T10:00:00Z"
    assert format_measured(NOW.replace(microsecond=187_999)) == "2026-11-23T10:00:00.187Z"
    assert (
        parse_instant("2026-11-23T11:00:00+01:00")
        == parse_instant("2026-11-23T10:00:00Z")
        == NOW.replace(microsecond=0)
    )
    with pytest.raises(ValueError, match="must have an offset"):
        parse_instant("2026-11-23T10:00:00")


def _mangled(dice: random.Random, text: str) -> str:
    letters = "0123456789-+:.,TZz */@LW#?aeio\u00e9\u0665\x00\n\ud800"
    for _ in range(dice.randrange(4)):
        at = dice.randrange(len(text) + 1)
        text = text[:at] + dice.choice(letters) + text[at + dice.randrange(2) :]
    return text


def _random_trigger(dice: random.Random) -> object:
    values: list[object] = [
        _mangled(
            dice,
            f"{dice.randint(2026, 2037)}-{dice.randint(1, 12):02}-{dice.randint(1, 31):02}"
            f"T02:{dice.randrange(60):02}:00",
        ),
        _mangled(dice, random_cron(dice)),
        "".join(chr(dice.randrange(1, 0x3000)) for _ in range(dice.randrange(20))),
        dice.choice([0, -1, 1.5, 1e300, 10**400, 31_536_000, math.nan, True, None, [], {}]),
        dice.uniform(-10, 4e7),
        dice.choice([10, 60, 90.0, 86_400]),
        "2026-12-01T10:00:00" + dice.choice(["", "Z", "+05:30", "-99:99", "+1"]),
    ]
    kind = dice.choice(["delay", "date", "cron", "every"])
    fields: dict[str, object] = {kind: dice.choice(values)}
    for bound in ("starts_at", "ends_at", "max_runs"):
        if dice.random() < 0.08:
            fields[bound] = dice.choice(values)
    if dice.random() < 0.4:
        fields["timezone"] = dice.choice(
            ["Europe/Berlin", "Australia/Lord_Howe", _mangled(dice, "Africa/Cairo"), 5, None]
        )
    return (
        {"type": {"cron": kind, "every": "interval"}.get(kind, "one-time"), "fields": fields}
        if dice.random() < 0.2
        else fields
    )


def test_whatever_is_sent_is_a_valid_trigger_or_refused() -> None:
    dice, valid = random.Random(2), 0
    cases = 100_000 if IS_SOAK else 800
    for _ in range(cases):
        sent = _random_trigger(dice)
        try:
            trigger = read_trigger(sent, NOW)
        except InvalidInput as error:
            assert error.errors
            assert all(
                wrong.field.split(".")[0] == "trigger" and wrong.message for wrong in error.errors
            )
            # What is refused is said in words that can be sent.
            assert str(error).isprintable()
        else:
            valid += 1
            assert restore(describe(trigger)) == trigger
            assert trigger.next_after(NOW - timedelta(seconds=61)) is not None
    assert cases / 20 < valid < cases / 2
