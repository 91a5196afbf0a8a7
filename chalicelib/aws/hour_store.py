"""Counts of a tenant's ended runs by hour, kept beside the records from which they are counted.

    job_id       hash     <tenant>#hours
    sort         range    the hour, as 2026-12-01T10
    until        up to when the runs that ended in this hour are counted
    counts       JSON     {"statuses": {status: runs}, "lateness": {milliseconds: runs}}
    expires_at   time to live, in seconds

An item is made from the index of ended runs when somebody asks for its hour. It counts only what
does not change any more (see SETTLED), so it can be made again at any time, and of two that are
written at the same time either is right.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from chalicelib.aws.ended_runs_index import LATEST_ENTRY, shards_of
from chalicelib.aws.serialization import sortable
from chalicelib.aws.table import Condition, Item, Table
from chalicelib.domain.run import ENDED, RunStatus
from chalicelib.domain.run_counts import RunCounts, counted
from chalicelib.runtime.concurrency import RunAll

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PART = "the run history"
# An entry of the index that is older than this is there already: the index lags by a second, and
# the writer's clock may be wrong by a little.
SETTLED = LATEST_ENTRY + timedelta(minutes=5)
# Entries have some 230 bytes: a page of a query, 1 MB, has fewer.
_PAGE = 5_000
_HOUR = "%Y-%m-%dT%H"


@dataclass(frozen=True, slots=True)
class CountedHour:
    """The runs that ended in an hour, counted from its start until a time."""

    until: datetime
    counts: RunCounts


class HourStore:
    """The counts of hours, and the index from which they are made."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        retention: timedelta,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = Table(client, table, PART, sleep)
        self._retention = retention

    def load(self, tenant: str, first: datetime, last: datetime) -> dict[datetime, CountedHour]:
        """Return what is kept of the hours that begin from `first` to `last`, by their starts."""
        of_tenant = Condition(
            "job_id = :hours AND sort BETWEEN :first AND :last",
            {
                ":hours": f"{tenant}#hours",
                ":first": first.strftime(_HOUR),
                ":last": last.strftime(_HOUR),
            },
        )
        items, _ = self._table.query(of_tenant)
        return {_start(item["sort"]): _read(item) for item in items}

    def save(self, tenant: str, hour: datetime, found: CountedHour) -> None:
        """Keep what is counted of the hour that begins then."""
        counts = {"statuses": found.counts.statuses, "lateness": found.counts.lateness}
        self._table.put(
            {
                "job_id": f"{tenant}#hours",
                "sort": hour.strftime(_HOUR),
                "until": sortable(found.until),
                "counts": json.dumps(counts, separators=(",", ":")),
                "expires_at": int((hour + self._retention).timestamp()),
            }
        )

    def ends(
        self, tenant: str, since: datetime, until: datetime, most: int, run_all: RunAll
    ) -> tuple[list[str], datetime]:
        """Return the positions in the index of the runs that ended since then, unordered.

        Also return until when they are all there: it is `until`, unless there are more than `most`.
        """
        ends: list[str] = []
        places: dict[str, Item | None] = dict.fromkeys(shards_of(tenant, ENDED))
        page = partial(self._page, since, until, min(most, _PAGE))
        while places and len(ends) < most:
            pages = run_all([partial(page, shard, place) for shard, place in places.items()])
            places = {
                shard: place for shard, (_, place) in zip(places, pages, strict=True) if place
            }
            ends += [item["wrong_at"] for items, _ in pages for item in items]
        # A shard that is not read to its end may have more from the last one read on.
        reached = [_at(place["wrong_at"]) for place in places.values() if place]
        return ends, min([until, *reached])

    def _page(
        self, since: datetime, until: datetime, limit: int, shard: str, after: Item | None
    ) -> tuple[list[Item], Item | None]:
        # A position has more after its time: that of a run that ended at `until` is above it.
        within = Condition(
            "wrong_shard = :shard AND wrong_at BETWEEN :since AND :until",
            {":shard": shard, ":since": sortable(since), ":until": sortable(until)},
        )
        return self._table.query(within, index="by_wrong", after=after, limit=limit)


def count(ends: Iterable[str], until: datetime) -> dict[datetime, RunCounts]:
    """Count runs, given by their positions, that ended before a time, by the starts of hours."""
    before, by_hour = sortable(until), dict[str, list[tuple[RunStatus, int | None]]]()
    for position in ends:
        if position < before:
            _, name, _, *rest = position.split("#")
            status = RunStatus(name)
            lateness = int(rest[0]) if rest and status is RunStatus.SUCCEEDED else None
            by_hour.setdefault(position[:13], []).append((status, lateness))
    return {_start(hour): counted(runs) for hour, runs in by_hour.items()}


def _at(position: str) -> datetime:
    return datetime.fromisoformat(position.partition("#")[0])


def _start(hour: str) -> datetime:
    return datetime.strptime(hour, _HOUR).replace(tzinfo=UTC)


def _read(item: Item) -> CountedHour:
    counts = json.loads(item["counts"])
    statuses = Counter({RunStatus(name): runs for name, runs in counts["statuses"].items()})
    lateness = Counter({int(late): runs for late, runs in counts["lateness"].items()})
    return CountedHour(_at(item["until"]), RunCounts(statuses, lateness))
