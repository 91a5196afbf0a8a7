"""Time zones by IANA name, and wall-clock times around daylight saving changes.

Only the pinned tzdata package is read, because a system's own data may be old or missing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

# Entries of tzdata that are placeholders or stand for the system's own zone.
_NOT_ZONES = frozenset({"Factory", "localtime", "posixrules"})


@cache
def names() -> frozenset[str]:
    """Return the names of all zones, aliases included."""
    text = (files("tzdata") / "zones").read_text(encoding="ascii")
    return frozenset(text.split()) - _NOT_ZONES


@cache
def zone(name: str) -> ZoneInfo:
    """Return a zone. Raises KeyError for a name that tzdata does not have."""
    if name not in names():
        raise KeyError(name)
    with (files("tzdata") / "zoneinfo").joinpath(*name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


@cache
def _by_lower_case() -> dict[str, str]:
    return {name.lower(): name for name in names()}


def suggestion(name: str) -> str | None:
    """Return the zone with this name but for case and spaces instead of `_`; None without one."""
    return _by_lower_case().get(name.strip().lower().replace(" ", "_"))


@cache
def _links() -> dict[str, str]:
    """Return alias → target, from the lines `L target alias` of tzdata.zi."""
    text = (files("tzdata") / "zoneinfo" / "tzdata.zi").read_text(encoding="utf-8")
    lines = (line.split() for line in text.splitlines() if line.startswith("L "))
    return {alias: target for _, target, alias in lines}


def canonical(name: str) -> str:
    """Return the zone that an alias stands for, or the name itself if it is no alias."""
    links = _links()
    while name in links:
        name = links[name]
    return name


def exists(wall: datetime, place: ZoneInfo) -> bool:
    """Return whether a wall-clock time exists in a zone: a spring change skips some."""
    return to_utc(wall, place) <= second_passing(wall, place)


def occurs_twice(wall: datetime, place: ZoneInfo) -> bool:
    """Return whether a wall-clock time occurs twice in a zone: an autumn change repeats some."""
    return to_utc(wall, place) < second_passing(wall, place)


def to_utc(wall: datetime, place: ZoneInfo) -> datetime:
    """Return the instant of a wall-clock time, the first one if it occurs twice."""
    return wall.replace(tzinfo=place, fold=0).astimezone(UTC)


def second_passing(wall: datetime, place: ZoneInfo) -> datetime:
    """Return the instant of a wall-clock time, the second one if it occurs twice.

    For a time that a spring change skips, this is earlier than `to_utc` (PEP 495).
    """
    return wall.replace(tzinfo=place, fold=1).astimezone(UTC)


def first_after_gap(wall: datetime, place: ZoneInfo) -> datetime:
    """Return the first existing wall-clock time after a skipped one, to the minute."""
    wall = wall.replace(second=0, microsecond=0)
    while not exists(wall, place):
        wall += timedelta(minutes=1)
    return wall


def end_of_gap(wall: datetime, place: ZoneInfo) -> datetime:
    """Return the instant, in UTC, of the clock change that skips a wall-clock time."""
    return to_utc(first_after_gap(wall, place), place)
