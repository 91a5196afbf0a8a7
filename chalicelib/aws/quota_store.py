"""Store how much of its quotas a tenant has used: one item per tenant in the job table.

    id     hash     quota#<tenant>
    part   range    `quota`
    usage_minute, registered, earlier, job_count, counted_at     `domain.quota.Usage`

A registration is one conditional update. An item takes 1,000 writes a second, which is as much as
the largest quota allows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chalicelib.aws.table import Condition, Item, Table
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
        self._table = Table(client, table, _PART, sleep)
        self._quotas = quotas

    def take(self, tenant: str, now: datetime) -> None:
        """Count the registration of a job whose id is made from the same `now`.

        Raises QuotaExceeded, Unavailable. A registration that fails afterwards stays counted: as
        one of its minute, and as a job until the jobs are counted again.
        """
        try:
            self._take(tenant, now)
        except Unavailable as error:
            # Without `unknown`: the usage may have been written, but the job was not.
            raise Unavailable(_PART) from error

    def _take(self, tenant: str, now: datetime) -> None:
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
        within_quotas = Condition(
            "usage_minute = :minute AND registered < :registrations AND job_count < :jobs",
            {
                ":minute": minute,
                ":registrations": self._quotas.registrations_per_minute or _UNBOUNDED,
                ":jobs": self._quotas.jobs or _UNBOUNDED,
                ":one": 1,
            },
        )
        update = "SET registered = registered + :one, job_count = job_count + :one"
        return self._table.update(_key(tenant), update, within_quotas)

    def _read(self, tenant: str) -> Usage | None:
        item = self._table.get(**_key(tenant))
        if item is None:
            return None
        counted_at = datetime.fromtimestamp(item["counted_at"] / _MICROSECONDS, UTC)
        return Usage(
            item["usage_minute"],
            item["registered"],
            item["earlier"],
            item["job_count"],
            counted_at,
        )

    def _write(self, tenant: str, old: Usage | None, new: Usage) -> None:
        """Replace the usage that was read; do nothing if another writer has already replaced it.

        The other writer's usage is as good.
        """
        item: Item = {
            **_key(tenant),
            "usage_minute": new.minute,
            "registered": new.registered,
            "earlier": new.earlier,
            "job_count": new.jobs,
            "counted_at": round(new.counted_at.timestamp() * _MICROSECONDS),
        }
        unchanged = Condition("attribute_not_exists(id)")
        if old is not None:
            unchanged = Condition(
                "usage_minute = :minute AND registered = :registered AND job_count = :jobs",
                {":minute": old.minute, ":registered": old.registered, ":jobs": old.jobs},
            )
        self._table.put(item, unchanged)

    def _count(self, tenant: str, before: datetime) -> int:
        """Count the tenant's jobs that were created before an instant."""
        earlier = Condition(
            "tenant = :tenant AND id < :before",
            {":tenant": tenant, ":before": least_job_id(before)},
        )
        return self._table.count(earlier, index="by_tenant")


def _key(tenant: str) -> dict[str, str]:
    return {"id": f"quota#{tenant}", "part": "quota"}
