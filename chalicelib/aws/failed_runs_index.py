"""The index of failed and missed runs: its keys, and how to read the newest entries.

    wrong_shard   hash    <tenant>#<shard>
    wrong_at      range   <when the run ended>#<its status>#<job>#<run>

An index partition takes 1,000 writes a second, and a table with an index that lags refuses writes.
With one partition per tenant, a burst of failures would delay the tenant's runs; hence the shards.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from chalicelib.aws.serialization import sortable
from chalicelib.aws.table import Item
from chalicelib.domain.ids import JOB_ID, RunKey
from chalicelib.domain.run import RunStatus

FAILED_RUN_SHARDS = 4
WRONG = (RunStatus.FAILED, RunStatus.MISSED)
_POSITION = re.compile(
    rf"[0-9]{{4}}-[0-9T:.-]{{21}}Z#({'|'.join(WRONG)})#{JOB_ID.pattern}#[0-9TZA-Z#]{{1,60}}",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class FailedRunEntry:
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


def index_keys(tenant: str, job_id: str, key: RunKey, status: RunStatus, at: datetime) -> Item:
    """Return a record's index keys; empty for a run that is neither failed nor missed."""
    if status not in WRONG:
        return {}
    shard = zlib.crc32(job_id.encode()) % FAILED_RUN_SHARDS
    return {
        "wrong_shard": f"{tenant}#{shard}",
        "wrong_at": f"{sortable(at)}#{status}#{job_id}#{key.sort}",
    }


def newest(
    query: Callable[[str], tuple[list[Item], Item | None]], tenant: str, limit: int
) -> tuple[list[FailedRunEntry], bool]:
    """Return the newest `limit` entries of a tenant, and whether there are more.

    `query` reads up to `limit` entries of a shard, newest first; it returns them and the key of the
    next page, None at the end.
    """
    entries: list[FailedRunEntry] = []
    # A shard that was not read to its end may have more entries older than the last one read. Older
    # entries of other shards are therefore left for the next page.
    known_down_to = ""
    for shard in range(FAILED_RUN_SHARDS):
        items, place = query(f"{tenant}#{shard}")
        found = [_read(item) for item in items]
        entries += found
        if found and place is not None:
            known_down_to = max(known_down_to, found[-1].position)
    entries.sort(key=lambda entry: entry.position, reverse=True)
    page = [entry for entry in entries if entry.position >= known_down_to][:limit]
    return page, bool(known_down_to) or len(page) < len(entries)


def _read(item: Item) -> FailedRunEntry:
    position = item["wrong_at"]
    at, status, job_id, run = position.split("#", 3)
    number = int(item["sort"].rpartition("#")[2])
    ended_at, key = datetime.fromisoformat(at), RunKey.from_sort(run)
    return FailedRunEntry(position, ended_at, RunStatus(status), job_id, key, number)
