"""The index of ended runs: its keys, and how to read the newest entries.

    wrong_shard   hash    <tenant>#<shard>          failed and missed runs
                          <tenant>#ok#<shard>       succeeded and skipped runs
    wrong_at      range   <when the run ended>#<its status>#<job>#<run>
                          <when the run ended>#<its status>#<a hash of job and run>
                          of a succeeded run followed by #<how late it started, in milliseconds>

The attributes are named after the first kind: the second came later, and earlier releases, which
ask for the first only, do not see it. It is shorter, so that a record with a kilobyte of answer is
one write unit; the index has the record's keys anyway. An index partition takes 1,000 writes a
second, and a table with an index that lags refuses writes. With one partition per tenant, a burst
of ends would delay the tenant's runs; hence the shards.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from chalicelib.aws.serialization import sortable
from chalicelib.aws.table import Item
from chalicelib.domain.ids import JOB_ID, RunKey
from chalicelib.domain.run import ENDED, RunStatus
from chalicelib.runtime.concurrency import RunAll

WRONG_SHARDS = 4
# Of 100,000 jobs that are due in one second, some 7,000 end in a second (docs/design.md).
OK_SHARDS = 8
# The time in a new entry is never further back than this, so that hours can be counted for good.
LATEST_ENTRY = timedelta(minutes=10)
WRONG = (RunStatus.FAILED, RunStatus.MISSED)
_POSITION = re.compile(
    rf"[0-9]{{4}}-[0-9T:.-]{{21}}Z#({'|'.join(ENDED)})"
    rf"#({JOB_ID.pattern}#[0-9TZA-Z#~]{{1,80}}|[0-9a-f]{{8}}(#[0-9]{{1,12}})?)",
    re.ASCII,
)
# Reads up to a page's entries of a shard, newest first; returns them and the key of the next page,
# None at the end.
ReadShard = Callable[[str], tuple[list[Item], Item | None]]


@dataclass(frozen=True, slots=True)
class EndedRunEntry:
    """An entry of the index: the end of a run, and the `number` of the record that has it.

    `position` is the sort key in the index, which sorts as `at` does.
    """

    position: str
    at: datetime
    status: RunStatus
    job_id: str
    key: RunKey
    number: int


def is_position(text: str) -> bool:
    """Return whether a text can be a position in the index."""
    return _POSITION.fullmatch(text) is not None


def index_keys(
    tenant: str,
    job_id: str,
    key: RunKey,
    status: RunStatus,
    at: datetime,
    lateness: timedelta | None = None,
) -> Item:
    """Return a record's index keys; empty for a run that has not ended.

    `lateness` is how late a succeeded run started.
    """
    if status not in ENDED:
        return {}
    shards = shards_of(tenant, [status])
    position = f"{sortable(at)}#{status}#{job_id}#{key.sort}"
    if status not in WRONG:
        position = f"{sortable(at)}#{status}#{zlib.crc32(f'{job_id}#{key.sort}'.encode()):08x}"
    if status is RunStatus.SUCCEEDED and lateness is not None:
        position += f"#{round(lateness.total_seconds() * 1000)}"
    return {
        "wrong_shard": shards[zlib.crc32(job_id.encode()) % len(shards)],
        "wrong_at": position,
    }


def shards_of(tenant: str, statuses: Collection[RunStatus]) -> list[str]:
    """Return the shards that have the runs with these statuses, and others."""
    shards = []
    if any(status in WRONG for status in statuses):
        shards += [f"{tenant}#{shard}" for shard in range(WRONG_SHARDS)]
    if any(status not in WRONG for status in statuses):
        shards += [f"{tenant}#ok#{shard}" for shard in range(OK_SHARDS)]
    return shards


def newest(
    query: ReadShard, tenant: str, statuses: Collection[RunStatus], limit: int, run_all: RunAll
) -> tuple[list[EndedRunEntry], bool]:
    """Return the newest `limit` entries of a tenant, and whether there are more.

    They are of the shards that have runs with these statuses: there may be others among them.
    """
    entries: list[EndedRunEntry] = []
    # A shard that was not read to its end may have more entries older than the last one read. Older
    # entries of other shards are therefore left for the next page.
    known_down_to = ""
    for items, place in run_all([partial(query, shard) for shard in shards_of(tenant, statuses)]):
        found = [_read(item) for item in items]
        entries += found
        if found and place is not None:
            known_down_to = max(known_down_to, found[-1].position)
    entries.sort(key=lambda entry: entry.position, reverse=True)
    page = [entry for entry in entries if entry.position >= known_down_to][:limit]
    return page, bool(known_down_to) or len(page) < len(entries)


def _read(item: Item) -> EndedRunEntry:
    position = item["wrong_at"]
    at, status, *_ = position.split("#")
    run, _, number = item["sort"].rpartition("#")
    key, ended_at = RunKey.from_sort(run), datetime.fromisoformat(at)
    return EndedRunEntry(position, ended_at, RunStatus(status), item["job_id"], key, int(number))
