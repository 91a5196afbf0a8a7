"""Windows of digests, in the table of jobs: a partition per window, under the id of its notice.

    id         hash    digest#<id of the notice>
    part       range   count#<shard>: how many events of each kind, as attributes
    is_closed  1 if the window takes no more

    part       range   event#0 (the first event), event#1#<time>#<id of the run>
    packed     JSON of the events of one end: pairs of an event and its example, compressed

    expires_at time to live, in seconds, of all

An event is added in the transaction that ends its run: it is counted, on the condition that the
window is not closed, and stored. All shards are closed in one transaction, so what is counted by
then is all there is. Each job counts in one shard, because the transactions of two ends that write
the same item conflict, and are made one after the other: 50 jobs may fail in the same second. The
first event is not counted: its end opens the window.
"""

from __future__ import annotations

import json
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from chalicelib.aws.packing import packed, unpacked
from chalicelib.aws.serialization import sortable
from chalicelib.aws.table import Condition, Item, Put, Table, Update, Write
from chalicelib.domain.digests import MOST_EXAMPLES, Example, Window
from chalicelib.domain.errors import ResonaError
from chalicelib.domain.exact_json import write
from chalicelib.domain.notices import Event
from chalicelib.runtime.backoff import tries

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# The part of the item by which a channel names its last window (`aws.channel_store`).
WINDOW = "window#"
_COUNT = "count#"
_SHARDS = 8
_READS = 3
# A notice is delivered long before.
_KEPT = timedelta(days=30)
# The attributes in which events are counted: a name with a dot would need a placeholder.
_COUNTED = {event: event.replace(".", "_") for event in Event}


class WindowChanged(ResonaError):
    """A window was opened or closed since it was read: decide again.

    `closed` are the ids of the notices whose windows are found closed.
    """

    def __init__(self, closed: frozenset[str]) -> None:
        self.closed = closed
        super().__init__("a digest's window has changed since it was read")


@dataclass(frozen=True, slots=True)
class Ended:
    """What one end adds to a window: the run's id, when it ended, and its events."""

    run_id: str
    at: datetime
    examples: Sequence[Example]


class DigestStore:
    """Events of windows."""

    def __init__(
        self, client: DynamoDBClient, table: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = Table(client, table, "the job table", sleep)
        self._sleep = sleep

    def first(self, window: Window, ended: Ended) -> Write:
        """Return the write of the events that open a window."""
        return self._event(window, "event#0", ended)

    def added(self, window: Window, ended: Ended) -> tuple[Write, ...]:
        """Return the writes that add events to a window, on the condition that it is not closed."""
        counts = Counter(_COUNTED[event] for event, _ in ended.examples)
        shard = zlib.crc32(ended.run_id.encode()) % _SHARDS
        counted = Update(
            self._table.name,
            _shard(window.notice_id, shard),
            "ADD " + ", ".join(f"{name} :{name}" for name in counts),
            {f":{name}": count for name, count in counts.items()},
            Condition("attribute_not_exists(is_closed)"),
        )
        part = f"event#1#{sortable(ended.at)}#{ended.run_id}"
        return counted, self._event(window, part, ended)

    def _event(self, window: Window, part: str, ended: Ended) -> Put:
        item = {
            "id": partition(window.notice_id),
            "part": part,
            "packed": packed(write([list(example) for example in ended.examples])),
            "expires_at": int((window.ends_at + _KEPT).timestamp()),
        }
        return Put(self._table.name, item)

    def close(self, notice_id: str, now: datetime) -> None:
        """Close a window for good. Raises Unavailable."""
        self._table.write(*closing(self._table.name, notice_id, now))

    def closed(self, notice_id: str) -> tuple[dict[Event, int], list[Example]] | None:
        """Return how many events of each kind a closed window has, and the first of them, by time.

        None if it is not closed. Read consistently. Raises Unavailable.
        """
        for _ in tries(self._sleep, _READS):
            found = self._closed(notice_id)
            # For some milliseconds a query may see only one of the writes of a transaction.
            if found is None or len(found[1]) >= min(sum(found[0].values()), MOST_EXAMPLES):
                break
        return found

    def _closed(self, notice_id: str) -> tuple[dict[Event, int], list[Example]] | None:
        in_window = Condition("id = :id", {":id": partition(notice_id)})
        items, _ = self._table.query(in_window, limit=_SHARDS + MOST_EXAMPLES)
        shards = [item for item in items if item["part"].startswith(_COUNT)]
        if len(shards) < _SHARDS or not all("is_closed" in shard for shard in shards):
            return None
        ends = [_examples(item) for item in items if "packed" in item]
        # The first event is not counted.
        first = Counter(event for event, _ in ends[0]) if ends else Counter[Event]()
        counts = {
            event: first[event] + sum(shard.get(name, 0) for shard in shards)
            for event, name in _COUNTED.items()
        }
        examples = [example for end in ends for example in end]
        return {event: count for event, count in counts.items() if count}, examples


def partition(notice_id: str) -> str:
    """Return the partition of the window of a notice."""
    return f"digest#{notice_id}"


def closing(table: str, notice_id: str, now: datetime) -> list[Update]:
    """Return the writes that close a window for good, for one transaction."""
    values = {":closed": 1, ":expires_at": int((now + _KEPT).timestamp())}
    close = "SET is_closed = :closed, expires_at = :expires_at"
    return [Update(table, _shard(notice_id, shard), close, values) for shard in range(_SHARDS)]


def changed(refused: Sequence[Write]) -> WindowChanged | None:
    """Return the error for writes whose conditions failed, None if none of them is of a window."""
    closed = [write.key["id"] for write in refused if isinstance(write, Update)]
    puts = [write.item["part"] for write in refused if isinstance(write, Put)]
    if not closed and not any(part.startswith(WINDOW) for part in puts):
        return None
    return WindowChanged(frozenset(name.removeprefix("digest#") for name in closed))


def _shard(notice_id: str, shard: int) -> Item:
    return {"id": partition(notice_id), "part": f"{_COUNT}{shard}"}


def _examples(item: Item) -> list[Example]:
    found: list[Any] = json.loads(unpacked(item["packed"]))
    return [(Event(event), example) for event, example in found]
