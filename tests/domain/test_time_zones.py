"""Time zones: all of tzdata's, by their names."""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib.resources import files

import pytest

from chalicelib.domain import time_zones

NAMES = (files("tzdata") / "zones").read_text(encoding="ascii").split()


def wall(text: str) -> datetime:
    """Return a time on the wall, which has no zone."""
    return datetime.fromisoformat(text)


def test_every_name_of_tzdata_loads() -> None:
    assert len(time_zones.names()) > 590
    for name in time_zones.names():
        place = time_zones.zone(name)
        assert place.key == name
        assert datetime(2026, 7, 1, tzinfo=place).utcoffset() is not None
    # A name that is data, or a placeholder, is no place's time.
    assert set(NAMES) - time_zones.names() <= {"Factory", "localtime", "posixrules"}


def test_a_zone_is_loaded_once() -> None:
    assert time_zones.zone("Europe/Berlin") is time_zones.zone("Europe/Berlin")


@pytest.mark.parametrize(
    "name",
    ["Europe/Atlantis", "europe/berlin", "", "../zones", "Europe", "Factory", "Europe/Berlin\x00"],
)
def test_what_is_no_name_is_not_loaded(name: str) -> None:
    with pytest.raises(KeyError):
        time_zones.zone(name)


@pytest.mark.parametrize(
    ("alias", "canonical"),
    [
        ("US/Eastern", "America/New_York"),
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("Asia/Katmandu", "Asia/Kathmandu"),
        ("Europe/Kiev", "Europe/Kyiv"),
        ("GB", "Europe/London"),
        ("Japan", "Asia/Tokyo"),
        ("Zulu", "Etc/UTC"),
        ("Europe/Berlin", "Europe/Berlin"),
    ],
)
def test_an_alias_stands_for_its_canonical_name(alias: str, canonical: str) -> None:
    assert time_zones.canonical(alias) == canonical


def test_every_alias_shows_the_time_of_its_canonical_zone() -> None:
    aliases = [name for name in time_zones.names() if time_zones.canonical(name) != name]
    assert len(aliases) > 100
    for alias in aliases:
        canonical = time_zones.canonical(alias)
        assert canonical in time_zones.names()
        assert time_zones.canonical(canonical) == canonical
        for month in range(1, 13):
            at = wall(f"2027-{month:02}-15 12:00")
            assert (
                at.replace(tzinfo=time_zones.zone(alias)).utcoffset()
                == at.replace(tzinfo=time_zones.zone(canonical)).utcoffset()
            )


def test_every_canonical_name_fits_into_a_schedule() -> None:
    assert max(len(time_zones.canonical(name)) for name in time_zones.names()) <= 50


def test_a_name_in_the_wrong_case_gets_a_suggestion() -> None:
    for name in time_zones.names():
        for wrong in (name.lower(), name.upper(), f" {name.lower()} ", name.replace("_", " ")):
            assert time_zones.suggestion(wrong) == name
    assert time_zones.suggestion("Europe/Atlantis") is None


def test_a_wall_time_exists_but_in_a_gap() -> None:
    berlin, lord_howe = time_zones.zone("Europe/Berlin"), time_zones.zone("Australia/Lord_Howe")
    assert time_zones.exists(wall("2027-03-28 01:59"), berlin)
    assert not time_zones.exists(wall("2027-03-28 02:00"), berlin)
    assert not time_zones.exists(wall("2027-03-28 02:59"), berlin)
    assert time_zones.exists(wall("2027-03-28 03:00"), berlin)
    assert not time_zones.exists(wall("2026-10-04 02:29"), lord_howe)
    assert time_zones.exists(wall("2026-10-04 02:30"), lord_howe)


def test_a_wall_time_occurs_twice_only_in_a_fold() -> None:
    berlin = time_zones.zone("Europe/Berlin")
    assert not time_zones.occurs_twice(wall("2027-10-31 01:59"), berlin)
    assert time_zones.occurs_twice(wall("2027-10-31 02:00"), berlin)
    assert time_zones.occurs_twice(wall("2027-10-31 02:59"), berlin)
    assert not time_zones.occurs_twice(wall("2027-10-31 03:00"), berlin)
    # A time that is skipped has two offsets, but does not occur at all.
    assert not time_zones.occurs_twice(wall("2027-03-28 02:30"), berlin)


def test_a_gap_ends_where_the_clock_goes_on() -> None:
    assert time_zones.first_after_gap(
        wall("2027-03-28 02:30:15"), time_zones.zone("Europe/Berlin")
    ) == wall("2027-03-28 03:00")
    assert time_zones.first_after_gap(
        wall("2026-10-04 02:15"), time_zones.zone("Australia/Lord_Howe")
    ) == wall("2026-10-04 02:30")


def test_a_repeated_wall_time_is_its_first_passing() -> None:
    berlin = time_zones.zone("Europe/Berlin")
    first = time_zones.to_utc(wall("2027-10-31 02:30"), berlin)
    assert (first.hour, first.minute) == (0, 30)
    assert (first + timedelta(hours=1)).astimezone(berlin).replace(tzinfo=None) == wall(
        "2027-10-31 02:30"
    )
