"""EventBridge Scheduler's expressions, as the laptop's clock evaluates them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from infra.local.eventbridge import next_fire, validate


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fires(expression: str, zone: str, after: str, count: int) -> list[str]:
    """Return so many times as texts in UTC, fewer if it ends."""
    found: list[str] = []
    at = next_fire(expression, zone, utc(after))
    while at is not None and len(found) < count:
        found.append(f"{at:%Y-%m-%d %H:%M}")
        at = next_fire(expression, zone, at)
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # Examples of AWS's user guides, days of the week as numbers, and what the guides say about
        # them. 1 January 2026 is a Thursday.
        ("cron(15 10 * * ? *)", ["2026-01-01 10:15", "2026-01-02 10:15"]),
        ("cron(0 18 ? * 2-6 *)", ["2026-01-01 18:00", "2026-01-02 18:00", "2026-01-05 18:00"]),
        ("cron(0 8 1 * ? *)", ["2026-01-01 08:00", "2026-02-01 08:00"]),
        (
            "cron(0/15 * * * ? *)",
            ["2026-01-01 00:15", "2026-01-01 00:30", "2026-01-01 00:45", "2026-01-01 01:00"],
        ),
        ("cron(0/10 * ? * 2-6 *)", ["2026-01-01 00:10", "2026-01-01 00:20"]),
        ("cron(0/5 8-17 ? * 2-6 *)", ["2026-01-01 08:00", "2026-01-01 08:05"]),
        ("cron(1/10 * * * ? *)", ["2026-01-01 00:01", "2026-01-01 00:11", "2026-01-01 00:21"]),
        ("cron(0 9 ? 1,2 1 *)", ["2026-01-04 09:00", "2026-01-11 09:00"]),
        # The guide's words: the last day of the month, the weekday closest to the third, the last
        # Friday, and the second Tuesday of the month.
        ("cron(0 9 L * ? *)", ["2026-01-31 09:00", "2026-02-28 09:00", "2026-03-31 09:00"]),
        ("cron(0 9 3W * ? *)", ["2026-01-02 09:00", "2026-02-03 09:00", "2026-03-03 09:00"]),
        ("cron(0 9 3W 5 ? *)", ["2026-05-04 09:00", "2027-05-03 09:00"]),
        ("cron(15 10 ? * 6L *)", ["2026-01-30 10:15", "2026-02-27 10:15"]),
        ("cron(0 9 ? * 3#2 *)", ["2026-01-13 09:00", "2026-02-10 09:00"]),
        ("cron(0 9 ? * 1#5 *)", ["2026-03-29 09:00", "2026-05-31 09:00"]),
        # Recorded as accepted.
        ("cron(*/15 * * * ? *)", ["2026-01-01 00:15", "2026-01-01 00:30"]),
        ("cron(0-59/10 0-23/2 ? * * *)", ["2026-01-01 00:10", "2026-01-01 00:20"]),
        ("cron(0-15/1 8-8 ? * 2,3,4,5,6,7 *)", ["2026-01-01 08:00", "2026-01-01 08:01"]),
        ("cron(0 0 29 2 ? *)", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("cron(0 0 31 4 ? *)", []),
    ],
)
def test_a_cron_fires_as_the_guide_says(expression: str, expected: list[str]) -> None:
    validate(expression, "UTC")
    assert fires(expression, "UTC", "2026-01-01", max(len(expected), 1)) == expected


def test_a_date_is_read_in_its_zone_and_fires_once() -> None:
    assert fires("at(2026-11-20T13:00:00)", "UTC", "2026-01-01", 5) == ["2026-11-20 13:00"]
    assert fires("at(2026-11-20T13:00:00)", "America/New_York", "2026-01-01", 5) == [
        "2026-11-20 18:00"
    ]
    assert fires("at(2026-11-20T13:00:00)", "UTC", "2026-11-20 13:00", 5) == []


@pytest.mark.parametrize(
    "expression",
    [
        # Whether a range may run backward is not settled; here it may not.
        "cron(0/30 20-2 ? * 2-6 *)",
        "",
        "cron()",
        "cron(bogus)",
        "cron(0 9 1 * 2 *)",
        "cron(0 9 * * * *)",
        "cron(0 9 ? * ? *)",
        "cron(0 9 * * ?)",
        "cron(0 0 9 * * ? *)",
        "cron(60 9 * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 9 0 * ? *)",
        "cron(0 9 32 * ? *)",
        "cron(0 9 * 13 ? *)",
        "cron(0 9 ? * 0 *)",
        "cron(0 9 ? * 8 *)",
        "cron(*/0 9 * * ? *)",
        "cron(, 9 * * ? *)",
        "cron(? 9 * * ? *)",
        "cron(0 9 ?/2 * 2 *)",
        "cron(0 9 ? * ?/2 *)",
        "cron(@daily)",
        " cron(0 9 * * ? *)",
        "cron(0 9 * * ? *) ",
        "cron( 0 9 * * ? *)",
        "cron(0 9 * * ? * )",
        "cron(0 9 * * ? *)\n",
        "CRON(0 9 * * ? *)",
        "0 9 * * ? *",
        "at(2026-11-20T13:00:00Z)",
        "at(2026-11-20T13:00:00+01:00)",
        "at(2026-11-20)",
        "at(2026-11-20T13:00)",
        "at(2026-02-30T13:00:00)",
        "at(2026-11-20 13:00:00)",
        "rate(5)",
    ],
)
def test_what_aws_refuses_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="Invalid Schedule Expression"):
        validate(expression, "UTC")
    with pytest.raises(ValueError, match="Invalid Schedule Expression"):
        next_fire(expression, "UTC", utc("2026-01-01"))


@pytest.mark.parametrize(
    "expression",
    [
        "rate(5 minutes)",
        "cron(0 18 ? * MON-FRI *)",
        "cron(0 9 1 JAN ? *)",
        "cron(0 0 1 1 ? 2026)",
        # The guide does not say what these are.
        "cron(0 9 1W * ? *)",
        "cron(0 9 28W * ? *)",
        "cron(0 9 LW * ? *)",
        "cron(0 9 L-3 * ? *)",
        "cron(0 9 1,L * ? *)",
        "cron(0 9 ? * L *)",
        "cron(0 9 ? * 6L,2#1 *)",
        "cron(0 9 ? * 2#6 *)",
    ],
)
def test_what_resona_does_not_write_is_refused_though_aws_takes_it(expression: str) -> None:
    with pytest.raises(ValueError, match="Invalid Schedule Expression"):
        validate(expression, "UTC")


@pytest.mark.parametrize("zone", ["", "Europe/Atlantis", "europe/berlin", "../UTC", "+01:00"])
def test_a_zone_must_be_known(zone: str) -> None:
    with pytest.raises(ValueError, match="is not known"):
        validate("cron(0 9 * * ? *)", zone)


def test_a_local_time_that_does_not_exist_is_skipped() -> None:
    assert fires("cron(30 2 * * ? *)", "Europe/Berlin", "2027-03-27", 2) == [
        "2027-03-27 01:30",
        "2027-03-29 00:30",
    ]
    assert fires("cron(30 2 ? * * *)", "America/New_York", "2027-03-13", 2) == [
        "2027-03-13 07:30",
        "2027-03-15 06:30",
    ]


def test_a_local_time_that_repeats_fires_once() -> None:
    assert fires("cron(30 2 * * ? *)", "Europe/Berlin", "2027-10-30 12:00", 2) == [
        "2027-10-31 00:30",
        "2027-11-01 01:30",
    ]
    assert fires("cron(30 1 * * ? *)", "America/New_York", "2027-11-06 12:00", 2) == [
        "2027-11-07 05:30",
        "2027-11-08 06:30",
    ]
    # Asked from within the second passing, it is over.
    assert fires("cron(30 2 * * ? *)", "Europe/Berlin", "2027-10-31 01:10", 1) == [
        "2027-11-01 01:30"
    ]
