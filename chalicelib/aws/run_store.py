"""The table of run records: one item an attempt, newest run last in sort order; kept for a time,
then forgotten.

    job_id   hash
    sort     range: <RunKey.sort>#<attempt number, two digits>, or #99 for an ending without an attempt
    owner    the token under which the attempt was recorded
    revision   that of the state which its verdict was decided on
    record   JSON
    apart    1 if the response is a separate item, because it is too long for the record
    expires_at   DynamoDB's time to live, in seconds; items past it are not shown, though DynamoDB may take days to delete them

    index by_wrong (keys only):  wrong_shard, wrong_at      on records that say that a run failed or was missed

A job's records share a partition of their own, so one job's history never slows another's. Its long
responses share another one:

    job_id   hash    <job>#responses
    sort     range   <sort of the record>#<owner>
    response   JSON

A list therefore reads at most 2 KB per attempt, and no long response (up to 16 KiB of body). A
response is written before the record that refers to it, and only by the record's owner, so it is
complete whenever the record exists.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.aws.clients import Caller, code_of
from chalicelib.aws.failed_runs_index import FailedRunEntry, index_keys, newest
from chalicelib.aws.serialization import (
    dump_attempt,
    dump_ending,
    dump_response,
    load_attempt,
    load_ending,
    load_response,
)
from chalicelib.domain.ids import RunKey
from chalicelib.domain.run import Attempt, RunEnd
from chalicelib.domain.state import LastRun

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PART = "the run history"
_ENDING = 99
# In bytes of JSON. Up to this size the record and the response fit into two write units (2,048
# bytes); a separate item would cost a third.
_LONGEST_BESIDE = 1_500
# The most records of one query: at 2 KB each about two megabytes.
_MOST_ASKED = 1_000


@dataclass(frozen=True, slots=True)
class StoredRun:
    """What is on record of one run: its attempts in order, and its ending if it ended without one."""

    key: RunKey
    attempts: tuple[Attempt, ...] = ()
    end: RunEnd | None = None

    @property
    def last_number(self) -> int:
        """Return the number under which the record of the run's end is kept."""
        return _ENDING if self.end else self.attempts[-1].number


class RunStore:
    """Attempts and endings. Who calls has made sure that the job is the tenant's."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        retention: timedelta,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._call = Caller(_PART, sleep)
        self._table = table
        self._retention = retention

    def record(self, tenant: str, record: Attempt, revision: int) -> bool:
        """Write an attempt's record, again if its verdict changed. False if another owner's record
        of it is there, or a later one.

        `revision` is that of the state which the verdict was decided on: a write that was given up
        on, and takes effect after all, must not undo the one that came in its place.
        """
        absent_or_own_and_earlier = (
            "attribute_not_exists(job_id) OR #owner = :owner AND revision <= :revision"
        )
        item = self._attempt_item(record)
        item["revision"] = {"N": str(revision)}
        item |= index_keys(
            tenant, record.job_id, record.key, record.update.status, record.finished_at
        )
        try:
            self._call(
                lambda: self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression=absent_or_own_and_earlier,
                    ExpressionAttributeNames={"#owner": "owner"},
                    ExpressionAttributeValues={
                        ":owner": {"S": record.owner},
                        ":revision": {"N": str(revision)},
                    },
                ),
                writes=True,
            )
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def attempt(self, job_id: str, key: RunKey, number: int) -> Attempt | None:
        """Return the record of an attempt, None if there is none. Read consistently."""
        item = self._get({"job_id": {"S": job_id}, "sort": {"S": _sort(key, number)}})
        if item is None:
            return None
        apart = self._get(_apart(item)) if "apart" in item else None
        return _attempt(item, _texts([apart] if apart else []))

    def _get(self, key: dict[str, Any]) -> dict[str, Any] | None:
        answer: Any = self._call(
            lambda: self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        )
        item: dict[str, Any] | None = answer.get("Item")
        return item

    def last_attempts(
        self, wanted: Sequence[tuple[str, LastRun]], now: datetime
    ) -> dict[str, Attempt]:
        """Return, by job id, the last attempt of each job's last run; those that have expired are
        left out.
        """
        found: dict[str, Attempt] = {}
        keys = [
            {"job_id": {"S": job_id}, "sort": {"S": _sort(last.key, last.attempt)}}
            for job_id, last in wanted
        ]
        for start in range(0, len(keys), 100):
            items = [item for item in self._batch(keys[start : start + 100]) if _lives(item, now)]
            responses = self._responses(items)
            found |= {item["job_id"]["S"]: _attempt(item, responses) for item in items}
        return found

    def _responses(self, items: Iterable[dict[str, Any]]) -> dict[tuple[str, str], str]:
        """Return the long responses of up to 100 attempts, as JSON by the keys of their items."""
        return _texts(self._batch([_apart(item) for item in items if "apart" in item]))

    def _batch(self, keys: list[Any]) -> Iterable[dict[str, Any]]:
        while keys:
            request: dict[str, Any] = {self._table: {"Keys": keys, "ConsistentRead": True}}
            answer: Any = self._call(partial(self._client.batch_get_item, RequestItems=request))
            yield from answer["Responses"].get(self._table, [])
            keys = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])

    def run(
        self, job_id: str, key: RunKey, now: datetime, *, responses: bool = True
    ) -> StoredRun | None:
        """Return what is on record of one run, None if nothing is; `responses` False: without long
        responses.
        """
        values = {":job": {"S": job_id}, ":run": {"S": f"{key.sort}#"}}
        items = self._query(
            "job_id = :job AND begins_with(sort, :run)", values, forward=True, limit=None
        )
        live = [item for item in items if _lives(item, now)]
        return next(iter(_gather(live, self._responses(live) if responses else {})), None)

    def page(
        self, job_id: str, before: RunKey | None, limit: int, now: datetime
    ) -> list[StoredRun]:
        """Return up to `limit` runs on record, newest first, that sort before the given one; None
        begins with the newest.

        Long responses are not read: such an attempt has the response None.
        """
        items: list[dict[str, Any]] = []
        place, runs, asked, is_over = before.sort if before else "~", 0, limit + 1, False
        # The last run may go on below the last item that was read.
        while not is_over and runs <= limit:
            values = {":job": {"S": job_id}, ":before": {"S": place}}
            read = self._query(
                "job_id = :job AND sort < :before", values, forward=False, limit=asked
            )
            is_over = len(read) < asked
            items += [item for item in read if _lives(item, now)]
            runs = len({_key(item) for item in items})
            place = read[-1]["sort"]["S"] if read else place
            # The runs still wanted, times the attempts per run so far, and one record more to see
            # where the last run ends.
            attempts = max(1, math.ceil(len(items) / max(1, runs)))
            asked = min(_MOST_ASKED, (limit + 1 - runs) * attempts + 1)
        return _gather(items)[:limit]

    def _query(
        self, condition: str, values: dict[str, Any], *, forward: bool, limit: int | None
    ) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        more: dict[str, Any] = {"Limit": limit} if limit is not None else {}
        while True:
            answer: Any = self._call(
                lambda more=more: self._client.query(  # type: ignore[misc]
                    TableName=self._table,
                    KeyConditionExpression=condition,
                    ExpressionAttributeValues=values,
                    ScanIndexForward=forward,
                    ConsistentRead=True,
                    **more,
                ),
            )
            items += answer["Items"]
            start = answer.get("LastEvaluatedKey")
            if start is None or (limit is not None and len(items) >= limit):
                return items
            more = {**more, "ExclusiveStartKey": start}

    def failed_runs(
        self, tenant: str, before: str | None, limit: int
    ) -> tuple[list[FailedRunEntry], bool]:
        """Return up to `limit` entries of the tenant's runs that failed or were missed, the last to
        end first, and whether more follow.

        `before` is the position to go on from, None begins with the newest. The index may lag by a
        second, and still has what has expired since, or belongs to a job that was deleted.
        """

        def query(shard: str) -> dict[str, Any]:
            answer: Any = self._call(
                lambda: self._client.query(
                    TableName=self._table,
                    IndexName="by_wrong",
                    KeyConditionExpression="wrong_shard = :shard AND wrong_at < :before",
                    ExpressionAttributeValues={
                        ":shard": {"S": shard},
                        ":before": {"S": before or "~"},
                    },
                    ScanIndexForward=False,
                    Limit=limit,
                ),
            )
            return dict(answer)

        return newest(query, tenant, limit)

    def end_item(self, tenant: str, job_id: str, end: RunEnd) -> dict[str, Any]:
        """Return the part of a transaction that puts an ending on record."""
        item = self._item(job_id, end.key, _ENDING, end.at, dump_ending(end))
        item |= index_keys(tenant, job_id, end.key, end.status, end.at)
        return {"Put": {"TableName": self._table, "Item": item}}

    def _attempt_item(self, record: Attempt) -> dict[str, Any]:
        """Return the item of an attempt's record; a long response is written first, as a separate
        item. Raises Unavailable.
        """
        response, text = record.result.response, dump_attempt(record)
        beside = dump_response(response) if response else ""
        is_long = len(beside.encode()) > _LONGEST_BESIDE
        if is_long:
            text = dump_attempt(replace(record, result=replace(record.result, response=None)))
        item = self._item(record.job_id, record.key, record.number, record.finished_at, text)
        item["owner"] = {"S": record.owner}
        if is_long:
            apart = {**_apart(item), "response": {"S": beside}, "expires_at": item["expires_at"]}
            self._call(
                lambda: self._client.put_item(TableName=self._table, Item=apart), writes=True
            )
            item["apart"] = {"N": "1"}
        return item

    def _item(
        self, job_id: str, key: RunKey, number: int, at: datetime, record: str
    ) -> dict[str, Any]:
        return {
            "job_id": {"S": job_id},
            "sort": {"S": _sort(key, number)},
            "record": {"S": record},
            "expires_at": {"N": str(int((at + self._retention).timestamp()))},
        }


def _sort(key: RunKey, number: int) -> str:
    return f"{key.sort}#{number:02d}"


def _apart(item: dict[str, Any]) -> dict[str, Any]:
    """Return the key of the item that holds an attempt's long response."""
    return {
        "job_id": {"S": f"{item['job_id']['S']}#responses"},
        "sort": {"S": f"{item['sort']['S']}#{item['owner']['S']}"},
    }


def _texts(apart: Iterable[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """Return the JSON of long responses by the keys of their items."""
    return {(item["job_id"]["S"], item["sort"]["S"]): item["response"]["S"] for item in apart}


def _key(item: dict[str, Any]) -> RunKey:
    return RunKey.from_sort(item["sort"]["S"].rpartition("#")[0])


def _lives(item: dict[str, Any], now: datetime) -> bool:
    return int(item["expires_at"]["N"]) > now.timestamp()


def _attempt(item: dict[str, Any], responses: Mapping[tuple[str, str], str]) -> Attempt:
    """Read an attempt. A long response that is not among `responses` is None."""
    job_id, number = item["job_id"]["S"], int(item["sort"]["S"].rpartition("#")[2])
    record = load_attempt(job_id, _key(item), number, item["owner"]["S"], item["record"]["S"])
    if "apart" not in item:
        return record
    place = _apart(item)
    text = responses.get((place["job_id"]["S"], place["sort"]["S"]))
    return replace(
        record, result=replace(record.result, response=load_response(text) if text else None)
    )


def _gather(
    items: Iterable[dict[str, Any]], responses: Mapping[tuple[str, str], str] = MappingProxyType({})
) -> list[StoredRun]:
    """Put items, in whatever order of runs they come, together as runs in that order."""
    by_key: dict[RunKey, list[dict[str, Any]]] = {}
    for item in items:
        by_key.setdefault(_key(item), []).append(item)
    runs = []
    for key, parts in by_key.items():
        end = next(
            (load_ending(key, part["record"]["S"]) for part in parts if _is_ending(part)), None
        )
        attempts = [_attempt(part, responses) for part in parts if not _is_ending(part)]
        runs.append(
            StoredRun(key, tuple(sorted(attempts, key=lambda attempt: attempt.number)), end)
        )
    return runs


def _is_ending(item: dict[str, Any]) -> bool:
    return bool(item["sort"]["S"].endswith(f"#{_ENDING}"))
