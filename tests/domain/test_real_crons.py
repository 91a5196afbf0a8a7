"""Real crons, compared with other libraries.

Where they differ, one of our rules says why; where none does, the test fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from cronsim import CronSim

from chalicelib.domain.cron import Cron, parse
from tests.aws.test_schedule_expression import check
from tests.bench.idle_wakes import cost
from tests.domain.cron_oracle import MEANINGS, changes, names_day, place
from tests.domain.real_crons import REAL_CRONS
from tests.domain.test_cron import walked
from tests.soak import IS_SOAK

COMPARED = 50 if IS_SOAK else 3
# Forty leap years reach to 2187; AWS's years end in 2199.
WOKEN = 40 if IS_SOAK else 5
FAR = datetime(2400, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Difference:
    """An instant at which a cron occurs to one side only, having been asked for what comes after
    `start`.
    """

    cron: Cron
    start: datetime
    at: datetime
    is_ours: bool

    @property
    def place(self) -> ZoneInfo:
        return place(self.cron.timezone)

    @property
    def wall(self) -> datetime:
        return self.at.astimezone(self.place)

    @property
    def has_star(self) -> bool:
        """Whether cronsim takes it for one that goes by intervals: its minute or hour begins with a
        star.
        """
        minute, hour = MEANINGS.get(self.cron.expression, self.cron.expression).split()[:2]
        return minute.startswith("*") or hour.startswith("*")


def a_skipped_time_is_moved(difference: Difference) -> bool:
    """Cronsim moves a skipped time to the end of the gap; to us it does not occur."""
    before = (difference.at - MINUTE).astimezone(difference.place)
    gap = _offset(difference.wall) - _offset(before)
    skipped = [
        difference.wall.replace(tzinfo=None) - ahead * MINUTE
        for ahead in range(1, gap // MINUTE + 1)
    ]
    return not difference.is_ours and any(_names(difference.cron, wall) for wall in skipped)


def an_interval_is_repeated(difference: Difference) -> bool:
    """Cronsim repeats what begins with a star; we repeat only what runs in every hour."""
    is_second_passing = difference.wall.fold == 1
    return (
        not difference.is_ours
        and is_second_passing
        and difference.has_star
        and not difference.cron.fields.every_hour
    )


def every_hour_is_told_by_its_hours(difference: Difference) -> bool:
    """We repeat what runs in every hour, however its hours are written; cronsim wants a star."""
    is_second_passing = difference.wall.fold == 1
    return (
        difference.is_ours
        and is_second_passing
        and not difference.has_star
        and difference.cron.fields.every_hour
    )


def the_passing_of_the_start_is_forgotten(difference: Difference) -> bool:
    """Cronsim, asked from a second passing, goes back to the first; we go on."""
    return (
        not difference.is_ours
        and difference.at <= difference.start
        and difference.start.astimezone(difference.place).fold == 1
    )


def half_an_hour_is_overstepped(difference: Difference) -> bool:
    """Cronsim goes by whole hours, and past times on a day on which the clocks change by half of
    one.
    """
    morning = difference.wall.replace(hour=0, minute=0, fold=0)
    is_half = abs(_offset(difference.wall) - _offset(morning)) == timedelta(minutes=30)
    return difference.is_ours and is_half and difference.has_star


Rule = Callable[[Difference], bool]
# The rules that each zone's clocks call for.
RULES: dict[str, set[Rule]] = {
    "UTC": set(),
    "Europe/Berlin": {
        a_skipped_time_is_moved,
        an_interval_is_repeated,
        every_hour_is_told_by_its_hours,
        the_passing_of_the_start_is_forgotten,
    },
    "America/New_York": {
        a_skipped_time_is_moved,
        an_interval_is_repeated,
        every_hour_is_told_by_its_hours,
        the_passing_of_the_start_is_forgotten,
    },
    "Australia/Lord_Howe": {
        a_skipped_time_is_moved,
        an_interval_is_repeated,
        every_hour_is_told_by_its_hours,
        the_passing_of_the_start_is_forgotten,
        half_an_hour_is_overstepped,
    },
}


def _offset(wall: datetime) -> timedelta:
    return wall.utcoffset() or timedelta()


def _names(cron: Cron, wall: datetime) -> bool:
    fields = cron.fields
    return (
        names_day(cron.expression, wall.date())
        and wall.hour in fields.hours
        and wall.minute in fields.minutes
    )


def starts(zone: str) -> list[datetime]:
    """Return instants shortly before the two clock changes of 2027, and one within a second
    passing.
    """
    # The oracle finds changes to the hour: Lord Howe's come as much as half an hour before.
    found = [change - timedelta(minutes=40) for change in changes(zone) if change.year == 2027]
    return [
        *found,
        *(change + timedelta(minutes=11) for change in changes(zone) if change.year == 2027),
    ]


def simulated(cron: Cron, start: datetime, last: datetime) -> list[datetime]:
    """Return what cronsim finds after `start` and up to `last`."""
    zone = UTC if cron.timezone == "UTC" else place(cron.timezone)
    found: list[datetime] = []
    for wall in CronSim(MEANINGS.get(cron.expression, cron.expression), start.astimezone(zone)):
        if wall.astimezone(UTC) > last:
            break
        found.append(wall.astimezone(UTC))
    return found


def differences(cron: Cron, start: datetime) -> Iterable[Difference]:
    ours = walked(cron, start, FAR, COMPARED)
    assert len(ours) == COMPARED
    theirs = simulated(cron, start, ours[-1])
    # A list that is in order and has no instant twice is its set.
    assert theirs == sorted(set(theirs)), (cron, start)
    return [Difference(cron, start, at, at in ours) for at in sorted({*ours} ^ {*theirs})]


def test_there_are_more_than_three_hundred_real_crons() -> None:
    assert len(REAL_CRONS) == len(set(REAL_CRONS)) >= 320


@pytest.mark.parametrize("zone", RULES)
def test_real_crons_occur_as_in_cronsim_but_for_our_rules(zone: str) -> None:
    met: set[Rule] = set()
    for expression in REAL_CRONS:
        for start in starts(zone):
            for difference in differences(parse(expression, zone), start):
                explained = {rule for rule in RULES[zone] if rule(difference)}
                assert explained, difference
                met |= explained
    # A rule that explains nothing is out of date.
    assert met == RULES[zone]


@pytest.mark.parametrize(
    "start", ["2026-01-01T00:00:00", "2027-02-27T23:50:00", "2028-02-29T12:34:56"]
)
def test_real_crons_occur_as_in_croniter_on_the_wall(start: str) -> None:
    """croniter reads the expressions itself here; what ships gives it numbers that we read."""
    differing: set[str] = set()
    for expression in REAL_CRONS:
        begin = datetime.fromisoformat(start)
        walls = croniter(expression, begin, implement_cron_bug=True)
        theirs = [walls.get_next(datetime).replace(tzinfo=UTC) for _ in range(COMPARED)]
        if walked(parse(expression), begin.replace(tzinfo=UTC), FAR, COMPARED) != theirs:
            differing.add(expression)
    # To croniter the week that 1/2 steps through ends on Saturday, 6; to cronsim and to us on
    # Sunday, 7.
    assert differing == {"0 0 * * 1/2"}


@pytest.mark.parametrize("zone", RULES)
def test_real_crons_are_woken_for_two_minutes_ahead(zone: str) -> None:
    certain = uncertain = 0
    for expression in REAL_CRONS:
        for start in starts(zone):
            found = check(parse(expression, zone), start, WOKEN)
            certain, uncertain = certain + found[0], uncertain + found[1]
    assert certain > len(REAL_CRONS) * WOKEN
    assert uncertain < certain / 100


@pytest.mark.parametrize("zone", RULES)
def test_a_real_cron_that_fires_daily_or_more_rarely_wakes_at_most_once_a_day(zone: str) -> None:
    crons = [parse(expression, zone) for expression in REAL_CRONS]
    daily = [cron for cron in crons if len(cron.fields.hours) * len(cron.fields.minutes) == 1]
    assert len(daily) > 150
    for cron in daily if IS_SOAK else daily[::16]:
        counted = cost(cron)
        assert counted.occurrences <= counted.wakes + 1, counted
        assert counted.wakes <= 366, counted


def test_a_year_is_counted_as_if_one_by_one() -> None:
    monthly = cost(parse("0 0 1 * *", "Europe/Berlin"))
    # It wakes on every 28th, 29th, 30th and 31st that 2027 has: four in seven months, three in
    # four, one in February.
    assert (monthly.occurrences, monthly.wakes, monthly.idle) == (12, 7 * 4 + 4 * 3 + 1, 29)
    twice_daily = parse("30 2,3 * * *", "Europe/Berlin")
    first, last = datetime(2026, 12, 31, 22, tzinfo=UTC), datetime(2027, 12, 31, 22, tzinfo=UTC)
    # One is skipped on 28 March.
    assert cost(twice_daily).occurrences == len(walked(twice_daily, first, last, 999)) == 729
