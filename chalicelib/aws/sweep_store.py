"""What the sweeper reads of the job table: overdue jobs, and until when it has looked.

The index `by_watch` and the states are those of `aws.job_store`. The item `sweeper` `marks` has

    marks    JSON    the fields of `domain.looks.Mark` for each shard

It is written without a condition. A mark says what the sweep that wrote it has done since the mark
that it read, so of two that are written at the same time either is true.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from chalicelib.aws.serialization import sortable
from chalicelib.aws.table import Condition, Item, Table
from chalicelib.domain.looks import Mark, Part, Place

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PART = "the job table"
_KEY = {"id": "sweeper", "part": "marks"}


class SweepStore:
    """Overdue jobs and the sweeper's marks."""

    def __init__(
        self, client: DynamoDBClient, table: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = Table(client, table, _PART, sleep)

    def overdue(
        self, shard: int, until: datetime, limit: int, after: Place | None = None
    ) -> tuple[list[Place], Place | None]:
        """Return up to `limit` of a shard's jobs that are overdue at `until`, oldest first.

        Also return the last one, to give as `after` for the next page; None at the end.
        """
        values: Item = {":shard": str(shard), ":until": sortable(until)}
        is_overdue = Condition("watch_shard = :shard AND watch_at <= :until", values)
        key = None
        if after is not None:
            key = {"watch_shard": str(shard), "watch_at": sortable(after.watch_at)}
            key |= {"id": after.job_id, "part": "state"}
        items, key = self._table.query(is_overdue, index="by_watch", after=key, limit=limit)
        found = [Place(datetime.fromisoformat(one["watch_at"]), one["id"]) for one in items]
        return found, found[-1] if key else None

    def states(self, ids: Iterable[str]) -> list[Item]:
        """Return the items of the states that exist, for `read_state`, unordered.

        Read consistently. Each id must be given once.
        """
        return self._table.batch_get({"id": job_id, "part": "state"} for job_id in ids)

    def marks(self) -> dict[int, Mark]:
        """Return the marks by shard, read consistently. A shard that was never swept has none."""
        item = self._table.get(**_KEY)
        marks = json.loads(item["marks"]) if item else []
        return dict(enumerate(map(_load, marks)))

    def keep(self, marks: Iterable[Mark]) -> None:
        """Store the marks of all shards, in their order."""
        self._table.put({**_KEY, "marks": json.dumps(list(map(_dump, marks)))})


def _dump(mark: Mark) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if mark.since is not None:
        fields["since"] = mark.since.isoformat()
    if mark.part is not None:
        fields |= {"until": mark.part.until.isoformat(), "has_failed": mark.part.has_failed}
        if mark.part.place is not None:
            fields["watch_at"] = mark.part.place.watch_at.isoformat()
            fields["job_id"] = mark.part.place.job_id
    return fields


def _load(fields: dict[str, Any]) -> Mark:
    times = {
        name: datetime.fromisoformat(fields[name])
        for name in ("since", "until", "watch_at")
        if name in fields
    }
    place = Place(times["watch_at"], fields["job_id"]) if "watch_at" in times else None
    part = Part(times["until"], place, fields["has_failed"]) if "until" in times else None
    return Mark(times.get("since"), part)
