"""The use of a tenant's quotas: one item a tenant in the table of jobs.

    id     hash     quota#<tenant>
    part   range    `quota`
    usage_minute, registered, earlier, job_count, counted_at     `domain.quota.Usage`

A registration is one conditional update. One item takes 1,000 writes a second, which is as much as
the largest quota allows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.aws.clients import Caller, code_of
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.ids import least_job_id
from chalicelib.domain.quota import Quotas, Usage, minute_of, renewed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PART = "the quota table"
_TRIES = 20
_UNBOUNDED = 10**15
_MICROSECONDS = 1_000_000


class QuotaStore:
    """What tenants have used of their quotas."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        quotas: Quotas,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._call = Caller(_PART, sleep)
        self._table = table
        self._quotas = quotas

    def take(self, tenant: str, now: datetime) -> None:
        """Count a registration, whose job's id is made of the same `now`. Raises QuotaExceeded,
        Unavailable.

        A registration that fails afterwards stays counted: as one of its minute, and as a job until
        they are counted again.
        """
        minute = minute_of(now)
        for _ in range(_TRIES):
            if self._add(tenant, minute):
                return
            old = self._read(tenant)
            new = renewed(old, self._quotas, now, lambda before: self._count(tenant, before))
            if new != old:
                self._write(tenant, old, new)
            minute = new.minute
        raise Unavailable(_PART)

    def _add(self, tenant: str, minute: int) -> bool:
        within_quotas = (
            "usage_minute = :minute AND registered < :registrations AND job_count < :jobs"
        )
        values = {
            ":minute": minute,
            ":registrations": self._quotas.registrations_per_minute or _UNBOUNDED,
            ":jobs": self._quotas.jobs or _UNBOUNDED,
            ":one": 1,
        }
        return self._is_made(
            lambda: self._client.update_item(
                TableName=self._table,
                Key=_key(tenant),
                UpdateExpression="SET registered = registered + :one, job_count = job_count + :one",
                ConditionExpression=within_quotas,
                ExpressionAttributeValues=_numbers(values),
            )
        )

    def _read(self, tenant: str) -> Usage | None:
        answer: Any = self._call(
            lambda: self._client.get_item(
                TableName=self._table, Key=_key(tenant), ConsistentRead=True
            )
        )
        item = answer.get("Item")
        if item is None:
            return None
        minute, registered, earlier, jobs, counted_at = (
            int(item[name]["N"])
            for name in ("usage_minute", "registered", "earlier", "job_count", "counted_at")
        )
        return Usage(
            minute,
            registered,
            earlier,
            jobs,
            datetime.fromtimestamp(counted_at / _MICROSECONDS, UTC),
        )

    def _write(self, tenant: str, old: Usage | None, new: Usage) -> None:
        """Write a usage in the place of the one that was read; if somebody else was first, theirs
        is as good.
        """
        values = {
            "usage_minute": new.minute,
            "registered": new.registered,
            "earlier": new.earlier,
            "job_count": new.jobs,
            "counted_at": round(new.counted_at.timestamp() * _MICROSECONDS),
        }
        put: dict[str, Any] = {
            "TableName": self._table,
            "Item": {**_key(tenant), **_numbers(values)},
        }
        if old is None:
            put["ConditionExpression"] = "attribute_not_exists(id)"
        else:
            put["ConditionExpression"] = (
                "usage_minute = :minute AND registered = :registered AND job_count = :jobs"
            )
            put["ExpressionAttributeValues"] = _numbers(
                {":minute": old.minute, ":registered": old.registered, ":jobs": old.jobs}
            )
        self._is_made(lambda: self._client.put_item(**put))

    def _is_made(self, write: Callable[[], Any]) -> bool:
        try:
            self._call(write)
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def _count(self, tenant: str, before: datetime) -> int:
        """Count the tenant's jobs that were made before an instant."""
        counted, more = 0, dict[str, Any]()
        while True:
            answer: Any = self._call(
                lambda more=more: self._client.query(  # type: ignore[misc]
                    TableName=self._table,
                    IndexName="by_tenant",
                    Select="COUNT",
                    KeyConditionExpression="tenant = :tenant AND id < :before",
                    ExpressionAttributeValues={
                        ":tenant": {"S": tenant},
                        ":before": {"S": least_job_id(before)},
                    },
                    **more,
                ),
            )
            counted += int(answer["Count"])
            if "LastEvaluatedKey" not in answer:
                return counted
            more = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def _key(tenant: str) -> dict[str, Any]:
    return {"id": {"S": f"quota#{tenant}"}, "part": {"S": "quota"}}


def _numbers(values: dict[str, int]) -> dict[str, Any]:
    return {name: {"N": str(value)} for name, value in values.items()}
