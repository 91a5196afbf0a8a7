"""More than 200 jobs of all kinds, and when each is due in a year: by an oracle, or, for one date,
by a table.

The year begins in July 2027 and has two changes of the clocks in every zone that has them, a new
year and a 29 February.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from chalicelib.domain.cron import USUAL_DST, Dst
from tests.domain import cron_oracle
from tests.domain.cron_oracle import MINUTE, ZONES

IS_SOAK = bool(os.environ.get("RESONA_SOAK"))
# Nothing is due at a half of a minute, so nobody can be early or late for what a client does then.
START, END = (
    datetime(2027, 7, 1, 8, 0, 30, 250_000, tzinfo=UTC),
    datetime(2028, 7, 1, 8, 0, 30, 250_000, tzinfo=UTC),
)
LEAP_DAY, NEW_YEAR = datetime(2028, 2, 29, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)

Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Job:
    """A cron in a zone. The target takes so many seconds to answer."""

    cron: str
    zone: str
    takes: float = 0
    dst: Dst = USUAL_DST

    @property
    def spans(self) -> list[Span]:
        """When it is active."""
        minutes, hours, *days = self.cron.split()
        a_day = len(cron_oracle.numbers(minutes, 0, 59)) * len(cron_oracle.numbers(hours, 0, 23))
        if IS_SOAK or (a_day <= 2 and days != ["*", "*", "*"]):
            return [(START, END)]
        around = timedelta(
            hours=next(
                hours for least, hours in ((600, 1.5), (90, 4), (9, 10), (0, 42)) if a_day >= least
            )
        )
        moments = list(changes(self.zone))
        if a_day < 90 or not moments:
            moments += [LEAP_DAY] if moments else [NEW_YEAR, LEAP_DAY]
        return _joined(
            [
                (at - around + timedelta(seconds=30.25), at + around + timedelta(seconds=30.25))
                for at in sorted(moments)
            ]
        )

    def occurrences(self) -> list[datetime]:
        """When it is due while it is active, by the oracle."""
        found: list[datetime] = []
        for first, last in self.spans:
            found += cron_oracle.occurrences_of_months(
                self.cron,
                self.zone,
                _minute(first) + MINUTE,
                _minute(last),
                self.dst.gap,
                self.dst.fold,
            )
        return found


@dataclass(frozen=True)
class Once:
    """A date or a delay, registered `asked_at`, due `due_at` as we know it."""

    asked_at: datetime
    due_at: datetime
    date: str = ""
    zone: str | None = None
    delay: float = 0

    def occurrences(self) -> list[datetime]:
        """When it is due."""
        return [self.due_at]


def _joined(spans: list[Span]) -> list[Span]:
    joined = spans[:1]
    for begins, ends in spans[1:]:
        if begins <= joined[-1][1]:
            joined[-1] = (joined[-1][0], ends)
        else:
            joined.append((begins, ends))
    return joined


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


@cache
def changes(zone: str) -> tuple[datetime, ...]:
    """Return the hours of this year in which the zone's clocks change."""
    clock, begins = cron_oracle.place(zone), START.replace(minute=0, second=0, microsecond=0)
    hours = [begins + timedelta(hours=hour) for hour in range(366 * 24)]
    offsets = [hour.astimezone(clock).utcoffset() for hour in hours]
    return tuple(
        hours[index] for index in range(1, len(hours)) if offsets[index] != offsets[index - 1]
    )


(
    BERLIN,
    NEW_YORK,
    LORD_HOWE,
    SYDNEY,
    CAIRO,
    SANTIAGO,
    CASABLANCA,
    CHATHAM,
    TEHRAN,
    KOLKATA,
    KATHMANDU,
    UTC_ZONE,
    TROLL,
) = ZONES

# Some answer later than their next occurrence is due: two to five runs are under way at once.
FREQUENT = [
    Job("* * * * *", LORD_HOWE, 70),
    Job("* * * * *", BERLIN, 130),
    Job("*/2 * * * *", NEW_YORK, 150),
    Job("1-59/2 * * * *", CHATHAM, 0),
    Job("*/2 * * * *", UTC_ZONE, 300),
    Job("* 1-3 * * *", BERLIN, 70),
    Job("* 0-2,23 * * *", CAIRO, 70),
    Job("*/2 0-4,22,23 * * *", SANTIAGO, 150),
    Job("1-59/2 1-3 * * *", CASABLANCA, 5),
    Job("* 1,2 * * *", LORD_HOWE, 0),
    Job("*/2 2 * * 0", NEW_YORK, 130),
    Job("*/5 * * * *", SYDNEY, 0),
    Job("*/5 * * * *", NEW_YORK, 400),
    Job("2-59/5 * * * *", KATHMANDU, 0),
    Job("*/5 3-11 * * 1-5", TEHRAN, 0),
    Job("*/15 * * * *", TROLL, 0),
    Job("1,16,31,46 * * * *", CASABLANCA, 0),
    Job("*/15 * * * *", KOLKATA, 0),
    Job("*/15 0-3 * * *", SANTIAGO, 0),
    Job("*/15 1-4 * * *", LORD_HOWE, 0),
]
HOURLY = [
    *(Job("0 * * * *", zone) for zone in (BERLIN, NEW_YORK, LORD_HOWE, TROLL, CHATHAM, CASABLANCA)),
    Job("59 * * * *", BERLIN, 20),
    Job("1 * * * *", LORD_HOWE),
    Job("30 * * * *", KOLKATA),
    Job("17 * * * *", CAIRO),
    Job("0 */2 * * *", BERLIN),
    Job("0 1,2,3 * * *", NEW_YORK),
    Job("30 0-4 * * *", LORD_HOWE),
    Job("45 1-4 * * *", CHATHAM),
    Job("0 9-17 * * 1-5", KATHMANDU),
    Job("0 * * * 0", SANTIAGO),
    Job("30 * 26-31 3,10 *", BERLIN),
    Job("1 23,0,1 * * *", CAIRO),
    Job("0 22-23,0-2 * * 6,0", SANTIAGO),
]
DAILY = [
    Job(f"{time} * * *", zone)
    for time in ("30 2", "0 2", "0 3", "0 0", "1 1", "59 23")
    for zone in ZONES
]
# Zones that change around midnight.
MIDNIGHT = [
    Job(f"{time} * * *", zone)
    for time in ("0 0", "1 0,1", "30 23")
    for zone in ("America/Havana", "America/Nuuk", "Asia/Beirut", "Atlantic/Azores")
]
WEEKLY = [
    *(Job(f"{time}", zone) for time in ("30 2 * * 0", "0 0 * * 1") for zone in ZONES),
    *(Job("1 3 * * 0,5", zone) for zone in (CAIRO, SANTIAGO, TEHRAN)),
]
MONTHLY = [
    *(Job("0 0 1 * *", zone) for zone in ZONES),
    *(Job("1 0 1 * *", zone) for zone in (BERLIN, LORD_HOWE, SANTIAGO)),
    *(Job("59 23 28-31 * *", zone) for zone in (CAIRO, CHATHAM)),
    *(Job("0 12 31 * *", zone) for zone in (UTC_ZONE, KATHMANDU)),
    Job("30 4 1,15 * *", TEHRAN),
    Job("1 0 1 */3 *", TROLL),
    Job("30 2 25-31 3,10 *", BERLIN),
    Job("0 2 8-14 3,11 *", NEW_YORK),
]
YEARLY = [
    *(Job("0 0 1 1 *", zone) for zone in (UTC_ZONE, BERLIN, CHATHAM, KOLKATA)),
    *(Job("59 23 31 12 *", zone) for zone in (UTC_ZONE, NEW_YORK, SYDNEY)),
    *(Job("0 0 29 2 *", zone) for zone in (UTC_ZONE, LORD_HOWE, SANTIAGO)),
    Job("1 0 1 3 *", CASABLANCA),
    # The first does not occur in this year, the second is repeated.
    Job("30 2 26 3 *", BERLIN),
    Job("30 2 31 10 *", BERLIN),
    Job("30 1 7 11 *", NEW_YORK),
]
MIXED = [
    Job("0 0 13 * 5", BERLIN),
    Job("0 0 */2 * 1", NEW_YORK),
    Job("1 0 * * 1", LORD_HOWE),
    Job("0 4 8-14 * *", SANTIAGO),
    Job("0 0 1-7 * 1", SYDNEY),
    Job("30 4 1,15 * 5", CHATHAM),
    Job("0 2 */5 * 0", CAIRO),
    Job("0 0,12 1 */2 *", KATHMANDU),
    Job("0 0 31 * 0", TROLL),
    Job("1 1 * 2 *", CASABLANCA),
    Job("0 3 * 3,10 0", BERLIN),
    Job("0 0 1,*/10 * 3", KOLKATA),
    Job("30 0 * 2,3 6-7", TEHRAN),
    Job("1 0 29-31,1 * 1-5", UTC_ZONE),
]
WORDS = [
    Job("0 9 L * *", BERLIN),
    Job("0 0 L * *", CHATHAM),
    Job("1 0 1,15W,L * *", CAIRO),
    Job("0 8 LW * *", NEW_YORK),
    Job("30 4 15W * *", SYDNEY),
    Job("0 3 L-3 * 1#1", KOLKATA),
    Job("0 0 * * 5L", SANTIAGO),
    Job("0 12 * * 2#2", UTC_ZONE),
    Job("1 1 */2 * sunL", BERLIN),
]
_BOTH = Dst("next", "both")
CLOCKS = [
    *(Job("30 2 * * *", zone, dst=_BOTH) for zone in (BERLIN, NEW_YORK, TROLL)),
    Job("*/20 1-3 * * *", NEW_YORK, dst=_BOTH),
    Job("0,15 2 * * *", LORD_HOWE, dst=Dst(gap="next")),
    Job("45 1 * * *", LORD_HOWE, dst=Dst(fold="both")),
    Job("0 0 * * *", CAIRO, dst=_BOTH),
    Job("30 23 * * *", CAIRO, dst=_BOTH),
    Job("0,30 0 * * *", "Atlantic/Azores", dst=_BOTH),
    Job("0 2,3 * * *", BERLIN, dst=Dst(gap="next")),
    Job("15 * * * *", CASABLANCA, dst=_BOTH),
]
_ASKED = START
_LATER = datetime(2028, 3, 25, 21, 59, 12, 700_000, tzinfo=UTC)
ONCE = [
    Once(_ASKED, datetime(2027, 7, 1, 8, 0, 31, tzinfo=UTC), delay=0),
    Once(_ASKED, datetime(2027, 7, 1, 8, 0, 31, tzinfo=UTC), delay=0.4),
    Once(_ASKED, datetime(2027, 7, 1, 8, 0, 36, tzinfo=UTC), delay=5),
    Once(_ASKED, datetime(2027, 7, 1, 8, 2, 31, tzinfo=UTC), delay=120),
    Once(_ASKED, datetime(2027, 7, 1, 8, 15, 30, tzinfo=UTC), delay=899),
    Once(_ASKED, datetime(2027, 7, 1, 8, 15, 31, tzinfo=UTC), delay=900),
    Once(_ASKED, datetime(2027, 7, 1, 8, 15, 32, tzinfo=UTC), delay=901),
    Once(_ASKED, datetime(2027, 7, 1, 8, 17, 31, tzinfo=UTC), delay=1020),
    Once(_ASKED, datetime(2027, 7, 1, 9, 0, 31, tzinfo=UTC), delay=3600),
    Once(_ASKED, datetime(2028, 6, 30, 8, 0, 1, tzinfo=UTC), delay=31_535_970.0),
    Once(_ASKED, datetime(2027, 7, 1, 8, 16, 29, tzinfo=UTC), "2027-07-01T08:16:29Z"),
    Once(_ASKED, datetime(2027, 7, 1, 8, 16, 59, tzinfo=UTC), "2027-07-01T10:16:59+02:00"),
    Once(_ASKED, datetime(2027, 7, 2, 0, 0, tzinfo=UTC), "2027-07-02T00:00:00Z"),
    Once(_ASKED, datetime(2027, 10, 31, 0, 30, tzinfo=UTC), "2027-10-31T02:30:00", BERLIN),
    Once(_ASKED, datetime(2027, 10, 31, 1, 30, tzinfo=UTC), "2027-10-31T02:30:00+01:00"),
    Once(_ASKED, datetime(2027, 10, 31, 2, 0, tzinfo=UTC), "2027-10-31T03:00:00", BERLIN),
    Once(_ASKED, datetime(2027, 11, 7, 5, 30, tzinfo=UTC), "2027-11-07T01:30:00", NEW_YORK),
    Once(_ASKED, datetime(2027, 11, 7, 7, 0, 1, tzinfo=UTC), "2027-11-07T02:00:01", NEW_YORK),
    Once(_ASKED, datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC), "2027-12-31T23:59:59Z"),
    Once(_ASKED, datetime(2028, 1, 1, 0, 0, tzinfo=UTC), "2028-01-01T05:45:00", KATHMANDU),
    Once(_ASKED, datetime(2028, 2, 29, 12, 0, tzinfo=UTC), "2028-02-29T12:00:00Z"),
    Once(_ASKED, datetime(2028, 2, 29, 22, 59, 58, tzinfo=UTC), "2028-02-29T23:59:58", BERLIN),
    Once(_ASKED, datetime(2028, 3, 26, 1, 0, tzinfo=UTC), "2028-03-26T03:00:00", BERLIN),
    Once(_ASKED, datetime(2028, 3, 26, 1, 1, tzinfo=UTC), "2028-03-26T03:01:00", BERLIN),
    Once(_ASKED, datetime(2028, 6, 30, 23, 59, 59, tzinfo=UTC), "2028-06-30T23:59:59Z"),
    # Registered in the night in which Berlin's clocks change.
    Once(_LATER, datetime(2028, 3, 26, 1, 0, tzinfo=UTC), "2028-03-26T03:00:00", BERLIN),
    Once(_LATER, datetime(2028, 3, 26, 0, 59, 59, tzinfo=UTC), "2028-03-26T01:59:59", BERLIN),
    Once(_LATER, datetime(2028, 3, 25, 21, 59, 13, tzinfo=UTC), "2028-03-25T21:59:12.7Z"),
    Once(_LATER, datetime(2028, 3, 25, 22, 14, 13, tzinfo=UTC), delay=900),
    Once(_LATER, datetime(2028, 3, 25, 22, 14, 14, tzinfo=UTC), delay=901),
    Once(_LATER, datetime(2028, 3, 26, 1, 0, 13, tzinfo=UTC), delay=3 * 3600 + 60),
]
JOBS: list[Job | Once] = [
    *FREQUENT,
    *HOURLY,
    *DAILY,
    *MIDNIGHT,
    *WEEKLY,
    *MONTHLY,
    *YEARLY,
    *MIXED,
    *WORDS,
    *CLOCKS,
    *ONCE,
]
