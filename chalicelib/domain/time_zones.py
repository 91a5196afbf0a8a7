"""Time zones by their IANA names, from the pinned tzdata package alone: a system's own data may be
old or missing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

# Names that are data, or placeholders, and no place's time.
_NO_PLACES = frozenset({"Factory", "localtime", "posixrules"})


@cache
def names() -> frozenset[str]:
    """Return every name and alias."""
    text = (files("tzdata") / "zones").read_text(encoding="ascii")
    return frozenset(text.split()) - _NO_PLACES


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
    """Return the name that was meant but for its case, or None."""
    return _by_lower_case().get(name.strip().lower().replace(" ", "_"))


@cache
def _links() -> dict[str, str]:
    """Return alias → target, from the lines `L target alias` of tzdata's own text."""
    text = (files("tzdata") / "zoneinfo" / "tzdata.zi").read_text(encoding="utf-8")
    lines = (line.split() for line in text.splitlines() if line.startswith("L "))
    return {alias: target for _, target, alias in lines}


def canonical(name: str) -> str:
    """Return the name that an alias stands for; a name that is none stands for itself."""
    links = _links()
    while name in links:
        name = links[name]
    return name


def exists(wall: datetime, place: ZoneInfo) -> bool:
    """Say whether a wall-clock time occurs in a zone: a spring change skips some."""
    return to_utc(wall, place) <= second_passing(wall, place)


def occurs_twice(wall: datetime, place: ZoneInfo) -> bool:
    """Say whether a wall-clock time occurs twice in a zone: an autumn change repeats some."""
    return to_utc(wall, place) < second_passing(wall, place)


def to_utc(wall: datetime, place: ZoneInfo) -> datetime:
    """Return the instant of a wall-clock time, of its first passing if it has two."""
    return wall.replace(tzinfo=place, fold=0).astimezone(UTC)


def second_passing(wall: datetime, place: ZoneInfo) -> datetime:
    """Return the instant of a wall-clock time, of its second passing if it has two.

    PEP 495: it is earlier than that of `to_utc` if a spring change skips the time.
    """
    return wall.replace(tzinfo=place, fold=1).astimezone(UTC)


def first_after_gap(wall: datetime, place: ZoneInfo) -> datetime:
    """Return the first wall-clock time after a skipped one that exists, to the minute."""
    wall = wall.replace(second=0, microsecond=0)
    while not exists(wall, place):
        wall += timedelta(minutes=1)
    return wall


def end_of_gap(wall: datetime, place: ZoneInfo) -> datetime:
    """Return the instant, in UTC, at which the clock goes on after a skipped wall-clock time."""
    return to_utc(first_after_gap(wall, place), place)
