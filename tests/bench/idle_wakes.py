"""Wakes of real crons in 2027 that find nothing due: `python -m tests.bench.idle_wakes`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from chalicelib.aws.schedule_expression import to_eventbridge
from chalicelib.domain.cron import Cron, parse
from infra.local.eventbridge import next_fire
from tests.domain.cron_oracle import place
from tests.domain.real_crons import REAL_CRONS

YEAR = 2027
ZONES = ("UTC", "Europe/Berlin")
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
Next = Callable[[datetime], datetime | None]


@dataclass(frozen=True)
class Cost:
    """What a cron does in a year."""

    cron: Cron
    occurrences: int
    wakes: int

    @property
    def idle(self) -> int:
        """Wakes beyond one for each occurrence; a wake lost to a clock change is no saving."""
        return max(0, self.wakes - self.occurrences)


def cost(cron: Cron) -> Cost:
    expression, zone = to_eventbridge(cron)
    wakes = a_year(lambda after: next_fire(expression, zone, after), place(zone))
    return Cost(cron, a_year(cron.next_after, place(cron.timezone)), wakes)


def a_year(following: Next, zone: ZoneInfo) -> int:
    """Count what comes in the year, by the clock of a zone.

    Days on which anything comes are alike, but for those on which the clocks change: one is
    counted, and stands for the others.
    """
    total, ordinary = 0, None
    end = datetime(YEAR + 1, 1, 1, tzinfo=zone).astimezone(UTC)
    at = following(datetime(YEAR, 1, 1, tzinfo=zone).astimezone(UTC) - SECOND)
    while at is not None and at < end:
        wall = at.astimezone(zone)
        first = datetime(wall.year, wall.month, wall.day, tzinfo=zone)
        last = first + DAY
        is_ordinary = first.utcoffset() == last.utcoffset()
        if not is_ordinary or ordinary is None:
            count = _between(following, first.astimezone(UTC), last.astimezone(UTC))
            ordinary = count if is_ordinary else ordinary
        else:
            count = ordinary
        total += count
        at = following(last.astimezone(UTC) - SECOND)
    return total


def _between(following: Next, first: datetime, end: datetime) -> int:
    count, at = 0, following(first - SECOND)
    while at is not None and at < end:
        count, at = count + 1, following(at)
    return count


def report(expressions: Iterable[str]) -> Iterable[str]:
    yield f"{'occurrences':>11} {'wakes':>9} {'idle':>9}  in {YEAR}"
    costs = [cost(parse(expression, zone)) for zone in ZONES for expression in expressions]
    for one in costs:
        yield (
            f"{one.occurrences:11,} {one.wakes:9,} {one.idle:9,}  {one.cron.expression}  "
            f"{one.cron.timezone}"
        )
    idle = [one.idle for one in costs]
    without = sum(count == 0 for count in idle)
    worst = max(costs, key=lambda one: one.idle)
    yield (
        f"{len(costs)} crons: {sum(one.occurrences for one in costs):,} occurrences, "
        f"{sum(one.wakes for one in costs):,} wakes, {sum(idle):,} of them idle; {without} crons "
        f"have no idle wake, half have at most {sorted(idle)[len(idle) // 2]:,}, the most has "
        f"{worst.idle:,} ({worst.cron.expression}, {worst.cron.timezone})"
    )


if __name__ == "__main__":
    for line in report(REAL_CRONS):
        sys.stdout.write(line + "\n")
