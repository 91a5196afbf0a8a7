"""The table of run records: one item per attempt, with a time to live.

    job_id       hash
    sort         range: <RunKey.sort>#<attempt, two digits>, or #99 for an end without an attempt
    owner        the token under which the attempt was recorded
    revision     of the state on which the attempt's result was decided
    record       JSON, without the response
    packed       the response, compressed (`packing`)
    apart        1 if the response is a separate item, because it is too long for the record
    expires_at   time to live, in seconds; DynamoDB may delete days later, reads skip it at once

    index by_wrong (keys only):  wrong_shard, wrong_at      on records with which a run ended

A job's records have a partition of their own, so one job's history never slows another's. Its long
responses have another one:

    job_id     hash    <job>#responses
    sort       range   <sort of the record>#<owner>
    response   JSON

The first release wrote a short response as a part of `record`.

A list therefore reads at most 2 KB per attempt, and no long response (up to 16 KiB of body). A
response is written before the record that refers to it, and only by the record's owner, so it is
complete whenever the record exists.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from chalicelib.aws.ended_runs_index import LATEST_ENTRY, EndedRunEntry, index_keys, newest
from chalicelib.aws.hour_store import PART, HourStore
from chalicelib.aws.packing import dump_response, load_response, packed, unpacked
from chalicelib.aws.serialization import (
    dump_attempt,
    dump_ending,
    load_attempt,
    load_ending,
)
from chalicelib.aws.table import Condition, Item, Put, Table
from chalicelib.domain.ids import RunKey
from chalicelib.domain.run import Attempt, RunEnd, RunStatus
from chalicelib.domain.run_history import Run, recorded
from chalicelib.domain.state import LastRun
from chalicelib.runtime.concurrency import RunAll

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_END = 99
# In bytes, packed. Up to this size the record and the response fit into two write units (2,048
# bytes); a separate item would cost a third.
_LONGEST_BESIDE = 1_500
# The most records of one query: at 2 KB each about two megabytes.
_MOST_ASKED = 1_000


@dataclass(frozen=True, slots=True)
class StoredRun:
    """The records of one run: its attempts in order, and its end if it ended without one.

    `is_retried` says whether there are records of its retry.
    """

    key: RunKey
    attempts: tuple[Attempt, ...] = ()
    end: RunEnd | None = None
    is_retried: bool = False

    @property
    def last_number(self) -> int:
        """Return the number of the record that has the run's end."""
        return _END if self.end else self.attempts[-1].number

    @property
    def run(self) -> Run:
        """Return the run that these records show."""
        return recorded(self.key, self.attempts, self.end, is_retried=self.is_retried)


class RunStore:
    """Attempts and ends of runs. Callers check first that the job is the tenant's."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        retention: timedelta,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = Table(client, table, PART, sleep)
        self.retention = retention
        self.hours = HourStore(client, table, retention, sleep)

    def record(
        self, tenant: str | None, record: Attempt, revision: int, now: datetime | None = None
    ) -> bool:
        """Write an attempt's record, or replace the one that its owner wrote before.

        `tenant` lists a failed run among its others; None lists it nowhere.

        Return False, and write nothing, if another owner's record exists or one of a later
        revision. `revision` is that of the state on which the result was decided: a write that
        timed out and takes effect late must not undo its successor. A run that ends with an attempt
        that was over long before `now` is in the index as if it had ended LATEST_ENTRY before.
        """
        item = self._recorded(tenant, record, revision, now)
        absent_or_own_and_earlier = Condition(
            "attribute_not_exists(job_id) OR #owner = :owner AND revision <= :revision",
            {":owner": record.owner, ":revision": revision},
            {"#owner": "owner"},
        )
        return self._table.put(item, absent_or_own_and_earlier)

    def record_put(
        self, tenant: str, record: Attempt, revision: int, unchanged: Condition, now: datetime
    ) -> Put:
        """Return the write of a record, for the transaction that ends its attempt.

        `unchanged` is from `attempt_as_read`; `revision` is that of the state which is written. A
        long response is written at once: `record` must have a new owner. Raises Unavailable.
        """
        return Put(self._table.name, self._recorded(tenant, record, revision, now), unchanged)

    def _recorded(
        self, tenant: str | None, record: Attempt, revision: int, now: datetime | None
    ) -> Item:
        item = self._attempt_item(record)
        item["revision"] = revision
        if tenant is not None:
            item |= index_keys(
                tenant,
                record.job_id,
                record.key,
                record.update.status,
                max(record.finished_at, now - LATEST_ENTRY) if now else record.finished_at,
                record.lateness,
            )
        return item

    def attempt(self, job_id: str, key: RunKey, number: int) -> Attempt | None:
        """Return the record of an attempt, None if there is none. Read consistently."""
        return self.attempt_as_read(job_id, key, number)[0]

    def attempt_as_read(
        self, job_id: str, key: RunKey, number: int
    ) -> tuple[Attempt | None, Condition]:
        """Return the record of an attempt, as `attempt`, and the condition that it is unchanged."""
        item = self._table.get(job_id=job_id, sort=_sort(key, number))
        if item is None:
            return None, Condition("attribute_not_exists(job_id)")
        apart = self._table.get(**_apart(item)) if "apart" in item else None
        is_same = Condition(
            "#owner = :owner AND revision = :revision",
            {":owner": item["owner"], ":revision": item.get("revision", 0)},
            {"#owner": "owner"},
        )
        return _attempt(item, _texts([apart] if apart else [])), is_same

    def last_attempts(
        self, wanted: Sequence[tuple[str, LastRun]], now: datetime
    ) -> dict[str, Attempt]:
        """Return the last attempt of each job's last run by job id, without the expired ones."""
        read = self._table.batch_get(
            {"job_id": job_id, "sort": _sort(last.key, last.attempt)} for job_id, last in wanted
        )
        items = [item for item in read if _lives(item, now)]
        responses = self._responses(items)
        return {item["job_id"]: _attempt(item, responses) for item in items}

    def _responses(self, items: Iterable[Item]) -> dict[tuple[str, str], str]:
        """Return the long responses of attempts, as JSON by the keys of their items."""
        return _texts(self._table.batch_get(_apart(item) for item in items if "apart" in item))

    def run(
        self, job_id: str, key: RunKey, now: datetime, *, responses: bool = True
    ) -> StoredRun | None:
        """Return the records of one run, None if there are none. Read consistently.

        With `responses` False, long responses are None.
        """
        retry = key.retried_by
        # The records of the retry follow those of the run.
        of_run_and_retry = Condition(
            "job_id = :job AND sort BETWEEN :first AND :last",
            {":job": job_id, ":first": _sort(key, 0), ":last": _sort(retry, _END)},
        )
        read, _ = self._table.query(of_run_and_retry)
        living = [item for item in read if _lives(item, now)]
        items = [item for item in living if _key(item) == key]
        found = next(iter(_gather(items, self._responses(items) if responses else {})), None)
        return replace(found, is_retried=len(items) < len(living)) if found else None

    def page(
        self, job_id: str, before: RunKey | None, limit: int, now: datetime
    ) -> list[StoredRun]:
        """Return up to `limit` recorded runs, newest first, starting after the run `before`.

        `before` None starts with the newest. Long responses are not read: they are None.
        """
        items: list[Item] = []
        place, runs, asked, is_over = before.sort if before else "~", 0, limit + 1, False
        # Read one run more than asked for: only then is the last one complete.
        while not is_over and runs <= limit:
            below = Condition(
                "job_id = :job AND sort < :before", {":job": job_id, ":before": place}
            )
            read, _ = self._table.query(below, limit=asked, backward=True)
            is_over = len(read) < asked
            items += [item for item in read if _lives(item, now)]
            runs = len({_key(item) for item in items})
            place = read[-1]["sort"] if read else place
            # Ask for the runs still wanted, times the attempts per run so far, and one record more
            # to see where the last run ends.
            attempts = max(1, math.ceil(len(items) / max(1, runs)))
            asked = min(_MOST_ASKED, (limit + 1 - runs) * attempts + 1)
        found = _gather(items)[:limit]
        # A retry comes directly before the run it retries.
        newer = [before, *(run.key for run in found)]
        return [
            replace(run, is_retried=run.key.retried_by == one)
            for run, one in zip(found, newer, strict=False)
        ]

    def ended_runs(
        self,
        tenant: str,
        statuses: Collection[RunStatus],
        before: str | None,
        limit: int,
        run_all: RunAll,
    ) -> tuple[list[EndedRunEntry], bool]:
        """Return up to `limit` entries of the tenant's ended runs, latest end first.

        Also return whether there are more. All entries with these statuses are returned, and maybe
        others. `before` is the position of the last entry of the page before, None for the first
        page. The index may lag by a second, and may contain records that have expired or belong to
        a deleted job.
        """

        def query(shard: str) -> tuple[list[Item], Item | None]:
            older = Condition(
                "wrong_shard = :shard AND wrong_at < :before",
                {":shard": shard, ":before": before or "~"},
            )
            return self._table.query(older, index="by_wrong", limit=limit, backward=True)

        return newest(query, tenant, statuses, limit, run_all)

    def end_item(self, tenant: str, job_id: str, end: RunEnd) -> Put:
        """Return the write that records the end of a run without an attempt."""
        item = self._item(job_id, end.key, _END, end.at, dump_ending(end))
        item |= index_keys(tenant, job_id, end.key, end.status, end.at)
        return Put(self._table.name, item)

    def _attempt_item(self, record: Attempt) -> Item:
        """Return the item of an attempt's record; write a long response as a separate item first.

        Raises Unavailable.
        """
        response = record.result.response
        bare = replace(record, result=replace(record.result, response=None))
        item = self._item(
            record.job_id, record.key, record.number, record.finished_at, dump_attempt(bare)
        )
        item["owner"] = record.owner
        if response is None:
            return item
        text = dump_response(response)
        short = packed(text)
        if len(short) <= _LONGEST_BESIDE:
            item["packed"] = short
        else:
            apart = {"response": text, "expires_at": item["expires_at"]}
            self._table.put(_apart(item) | apart)
            item["apart"] = 1
        return item

    def _item(self, job_id: str, key: RunKey, number: int, at: datetime, record: str) -> Item:
        return {
            "job_id": job_id,
            "sort": _sort(key, number),
            "record": record,
            "expires_at": int((at + self.retention).timestamp()),
        }


def _sort(key: RunKey, number: int) -> str:
    return f"{key.sort}#{number:02d}"


def _apart(item: Item) -> dict[str, str]:
    """Return the key of the item that holds an attempt's long response."""
    return {"job_id": f"{item['job_id']}#responses", "sort": f"{item['sort']}#{item['owner']}"}


def _texts(apart: Iterable[Item]) -> dict[tuple[str, str], str]:
    """Return the JSON of long responses by the keys of their items."""
    return {(item["job_id"], item["sort"]): item["response"] for item in apart}


def _key(item: Item) -> RunKey:
    return RunKey.from_sort(item["sort"].rpartition("#")[0])


def _lives(item: Item, now: datetime) -> bool:
    return bool(item["expires_at"] > now.timestamp())


def _attempt(item: Item, responses: Mapping[tuple[str, str], str]) -> Attempt:
    """Read an attempt. A long response that is not among `responses` is None."""
    number = int(item["sort"].rpartition("#")[2])
    record = load_attempt(item["job_id"], _key(item), number, item["owner"], item["record"])
    if "packed" in item:
        text: str | None = unpacked(item["packed"])
    elif "apart" in item:
        place = _apart(item)
        text = responses.get((place["job_id"], place["sort"]))
    else:
        return record
    return replace(
        record, result=replace(record.result, response=load_response(text) if text else None)
    )


def _gather(
    items: Iterable[Item], responses: Mapping[tuple[str, str], str] = MappingProxyType({})
) -> list[StoredRun]:
    """Group items by run; the runs keep the order of their first items."""
    by_key: dict[RunKey, list[Item]] = {}
    for item in items:
        by_key.setdefault(_key(item), []).append(item)
    runs = []
    for key, parts in by_key.items():
        end = next((load_ending(key, part["record"]) for part in parts if _is_end(part)), None)
        attempts = [_attempt(part, responses) for part in parts if not _is_end(part)]
        attempts.sort(key=lambda attempt: attempt.number)
        runs.append(StoredRun(key, tuple(attempts), end))
    return runs


def _is_end(item: Item) -> bool:
    return bool(item["sort"].endswith(f"#{_END}"))
