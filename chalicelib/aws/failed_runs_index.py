"""The index of runs that went wrong, `failed` or `missed`: what their records have in it, and how
it is read.

    wrong_shard   hash    <tenant>#<shard>
    wrong_at      range   <when the run ended>#<its status>#<job>#<run>

One index partition takes 1,000 writes a second, and a table whose index is behind refuses writes:
with its targets down, a tenant's burst would hold up its own records, and so its runs. A few shards
give it room.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.aws.serialization import sortable
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
    """An entry of the index: a record, the `number` of an attempt or of an ending, says that its
    run ended like this.

    `position` is its place in the index, which sorts as `at` does.
    """

    position: str
    at: datetime
    status: RunStatus
    job_id: str
    key: RunKey
    number: int


def is_position(text: str) -> bool:
    """Say whether a text can be a place in the index."""
    return _POSITION.fullmatch(text) is not None


def index_keys(
    tenant: str, job_id: str, key: RunKey, status: RunStatus, at: datetime
) -> dict[str, Any]:
    """Return what puts a record into the index; nothing for a run that has not ended, or went well."""
    if status not in WRONG:
        return {}
    shard = zlib.crc32(job_id.encode()) % FAILED_RUN_SHARDS
    return {
        "wrong_shard": {"S": f"{tenant}#{shard}"},
        "wrong_at": {"S": f"{sortable(at)}#{status}#{job_id}#{key.sort}"},
    }


def newest(
    query: Callable[[str], dict[str, Any]], tenant: str, limit: int
) -> tuple[list[FailedRunEntry], bool]:
    """Return the newest `limit` entries of a tenant, and whether there are more.

    `query` reads one shard, newest first.
    """
    entries: list[FailedRunEntry] = []
    # Of a shard that was not read to its end nothing is known below the last entry that was.
    known_down_to = ""
    for shard in range(FAILED_RUN_SHARDS):
        answer = query(f"{tenant}#{shard}")
        found = [_read(item) for item in answer["Items"]]
        entries += found
        if found and "LastEvaluatedKey" in answer:
            known_down_to = max(known_down_to, found[-1].position)
    entries.sort(key=lambda entry: entry.position, reverse=True)
    page = [entry for entry in entries if entry.position >= known_down_to][:limit]
    return page, bool(known_down_to) or len(page) < len(entries)


def _read(item: dict[str, Any]) -> FailedRunEntry:
    position = item["wrong_at"]["S"]
    at, status, job_id, run = position.split("#", 3)
    number = int(item["sort"]["S"].rpartition("#")[2])
    return FailedRunEntry(
        position,
        datetime.fromisoformat(at),
        RunStatus(status),
        job_id,
        RunKey.from_sort(run),
        number,
    )
