"""The table of run records: one item an attempt, newest run last in sort order; kept for a time,
then forgotten.

    job_id   hash
    sort     range: <RunKey.sort>#<attempt number, two digits>, or #99 for an ending without an attempt
    owner    the token under which the attempt was recorded
    revision   that of the state which its verdict was decided on
    record   JSON
    expires_at   DynamoDB's time to live, in seconds; items past it are not shown, though DynamoDB may take days to delete them

    index by_wrong (keys only):  wrong_shard, wrong_at      on records that say that a run failed or was missed

A job's records share a partition of their own, so one job's history never slows another's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.aws.clients import Caller, code_of
from chalicelib.aws.failed_runs_index import FailedRunEntry, index_keys, newest
from chalicelib.aws.serialization import dump_attempt, dump_ending, load_attempt, load_ending
from chalicelib.domain.ids import RunKey
from chalicelib.domain.run import Attempt, RunEnd
from chalicelib.domain.state import LastRun

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PART = "the run history"
_ENDING = 99


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
        item = self._item(
            record.job_id, record.key, record.number, record.finished_at, dump_attempt(record)
        )
        item["owner"] = {"S": record.owner}
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
        answer = self._call(
            lambda: self._client.get_item(
                TableName=self._table,
                Key={"job_id": {"S": job_id}, "sort": {"S": _sort(key, number)}},
                ConsistentRead=True,
            ),
        )
        item = answer.get("Item")
        return _attempt(job_id, item) if item else None

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
            for item in self._batch(keys[start : start + 100]):
                if _lives(item, now):
                    found[item["job_id"]["S"]] = _attempt(item["job_id"]["S"], item)
        return found

    def _batch(self, keys: list[Any]) -> Iterable[dict[str, Any]]:
        while keys:
            request: dict[str, Any] = {self._table: {"Keys": keys, "ConsistentRead": True}}
            answer: Any = self._call(partial(self._client.batch_get_item, RequestItems=request))
            yield from answer["Responses"].get(self._table, [])
            keys = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])

    def run(self, job_id: str, key: RunKey, now: datetime) -> StoredRun | None:
        """Return what is on record of one run, None if nothing is."""
        values = {":job": {"S": job_id}, ":run": {"S": f"{key.sort}#"}}
        items = self._query(
            "job_id = :job AND begins_with(sort, :run)", values, forward=True, limit=None
        )
        return next(iter(_gather(job_id, [item for item in items if _lives(item, now)])), None)

    def page(
        self, job_id: str, before: RunKey | None, limit: int, now: datetime
    ) -> list[StoredRun]:
        """Return up to `limit` runs on record, newest first, that sort before the given one; None
        begins with the newest.
        """
        gathered: list[StoredRun] = []
        while len(gathered) < limit:
            items = self._before(job_id, before, limit - len(gathered))
            if not items:
                break
            gathered += _gather(job_id, [item for item in items if _lives(item, now)])
            before = _key(items[-1]["sort"]["S"])
        return gathered

    def _before(self, job_id: str, before: RunKey | None, limit: int) -> list[dict[str, Any]]:
        """Return the items of whole runs, newest first: at least one run, if there is any."""
        values = {":job": {"S": job_id}, ":before": {"S": before.sort if before else "~"}}
        items = self._query("job_id = :job AND sort < :before", values, forward=False, limit=limit)
        if len(items) < limit:
            return items
        # The last run of the page may go on below it.
        key = _key(items[-1]["sort"]["S"])
        values = {":job": {"S": job_id}, ":run": {"S": f"{key.sort}#"}}
        whole = self._query(
            "job_id = :job AND begins_with(sort, :run)", values, forward=False, limit=None
        )
        return [item for item in items if _key(item["sort"]["S"]) != key] + whole

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


def _key(sort: str) -> RunKey:
    return RunKey.from_sort(sort.rpartition("#")[0])


def _lives(item: dict[str, Any], now: datetime) -> bool:
    return int(item["expires_at"]["N"]) > now.timestamp()


def _attempt(job_id: str, item: dict[str, Any]) -> Attempt:
    sort = item["sort"]["S"]
    return load_attempt(
        job_id, _key(sort), int(sort.rpartition("#")[2]), item["owner"]["S"], item["record"]["S"]
    )


def _gather(job_id: str, items: Sequence[dict[str, Any]]) -> list[StoredRun]:
    """Put items, in whatever order of runs they come, together as runs in that order."""
    by_key: dict[RunKey, list[dict[str, Any]]] = {}
    for item in items:
        by_key.setdefault(_key(item["sort"]["S"]), []).append(item)
    runs = []
    for key, parts in by_key.items():
        end = next(
            (
                load_ending(key, part["record"]["S"])
                for part in parts
                if part["sort"]["S"].endswith(f"#{_ENDING}")
            ),
            None,
        )
        attempts = [
            _attempt(job_id, part)
            for part in parts
            if not part["sort"]["S"].endswith(f"#{_ENDING}")
        ]
        runs.append(
            StoredRun(key, tuple(sorted(attempts, key=lambda attempt: attempt.number)), end)
        )
    return runs
