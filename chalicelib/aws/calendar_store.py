"""Calendars, in the table of jobs: one item per calendar, in a partition per tenant.

    id         hash    calendars#<tenant>
    part       range   the calendar's name
    packed     JSON, compressed
    revision   counts puts

    id         hash    calendar#<tenant>#<name>: who uses the calendar
    part       range   the id of a job whose trigger names it

The item of a use is written and deleted with the job's definition, in one transaction.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from chalicelib.aws.packing import packed, unpacked
from chalicelib.aws.table import Condition, Delete, Item, Put, Table, Write
from chalicelib.domain.calendars import MOST_CALENDARS, Calendar
from chalicelib.domain.errors import CalendarNotFound, QuotaExceeded, Unavailable
from chalicelib.domain.exact_json import write
from chalicelib.domain.job import Definition
from chalicelib.runtime.backoff import tries

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PART = "the job table"


class CalendarStore:
    """Calendars, and which jobs name them."""

    def __init__(
        self, client: DynamoDBClient, table: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = Table(client, table, _PART, sleep)
        self._sleep = sleep

    def page(self, tenant: str, after: str, most: int) -> list[Calendar]:
        """Return up to `most` of the tenant's calendars whose names are greater, by name."""
        place = {"id": _partition(tenant), "part": after} if after else None
        items, _ = self._table.query(_of(_partition(tenant)), after=place, limit=most)
        return [_read(tenant, item) for item in items]

    def named(self, tenant: str, names: Collection[str]) -> list[Calendar]:
        """Return the tenant's calendars with these names that exist. Read consistently."""
        keys = [{"id": _partition(tenant), "part": name} for name in dict.fromkeys(names)]
        return [_read(tenant, item) for item in self._table.batch_get(keys)]

    def get(self, tenant: str, name: str) -> Calendar:
        """Return a calendar. Raises CalendarNotFound."""
        item = self._table.get(id=_partition(tenant), part=name)
        if item is None:
            raise CalendarNotFound
        return _read(tenant, item)

    def put(self, new: Calendar) -> Calendar:
        """Create or replace the calendar with this name, and return it as it is stored.

        A calendar that is replaced keeps its time of creation, one that does not change also that
        of its change. A write that takes effect late cannot undo a later one. Raises QuotaExceeded,
        Unavailable.
        """
        partition = _partition(new.tenant)
        for _ in tries(self._sleep):
            before = self._table.get(id=partition, part=new.name)
            old = _read(new.tenant, before) if before else None
            if old is None and len(self._table.query(_of(partition))[0]) >= MOST_CALENDARS:
                raise QuotaExceeded("calendars", MOST_CALENDARS, retry_after=1)
            if old is not None and old.says_the_same_as(new):
                return old
            made = replace(new, created_at=old.created_at) if old else new
            if self._write(made, before):
                return made
        raise Unavailable(_PART)

    def _write(self, calendar: Calendar, before: Item | None) -> bool:
        """Write a calendar; return False if it was changed since it was read."""
        unchanged = Condition("attribute_not_exists(id)")
        if before is not None:
            unchanged = Condition("revision = :read", {":read": before["revision"]})
        item = {
            "id": _partition(calendar.tenant),
            "part": calendar.name,
            "packed": packed(_dump(calendar)),
            "revision": before["revision"] + 1 if before else 1,
        }
        return self._table.put(item, unchanged)

    def users(self, tenant: str, name: str, most: int) -> list[str]:
        """Return the ids of up to `most` jobs that name a calendar. Read consistently.

        A job that an earlier release has deleted or changed may be among them.
        """
        items, _ = self._table.query(_of(_users(tenant, name)), limit=most)
        return [item["part"] for item in items]

    def forget(self, tenant: str, name: str, job_ids: Iterable[str]) -> None:
        """Delete what is left of jobs that no longer name a calendar."""
        for job_id in job_ids:
            self._table.delete(id=_users(tenant, name), part=job_id)

    def delete(self, tenant: str, name: str) -> None:
        """Delete a calendar, whoever names it."""
        self._table.delete(id=_partition(tenant), part=name)


def uses(table: str, new: Definition | None, old: Definition | None = None) -> Iterator[Write]:
    """Yield the writes that say which calendars a job names, instead of those it named before.

    `new` is None if the job is deleted, `old` if it is new.
    """
    now, before = (set(one.trigger.limits.exclude) if one else set[str]() for one in (new, old))
    if new is not None:
        for name in sorted(now - before):
            yield Put(table, {"id": _users(new.tenant, name), "part": new.id})
    if old is not None:
        for name in sorted(before - now):
            yield Delete(table, {"id": _users(old.tenant, name), "part": old.id})


def _partition(tenant: str) -> str:
    return f"calendars#{tenant}"


def _users(tenant: str, name: str) -> str:
    return f"calendar#{tenant}#{name}"


def _of(partition: str) -> Condition:
    return Condition("id = :id", {":id": partition})


def _dump(calendar: Calendar) -> str:
    return write(
        {
            "timezone": calendar.timezone,
            "days": [
                [first.isoformat()] if first == last else [first.isoformat(), last.isoformat()]
                for first, last in calendar.days
            ],
            "weekdays": sorted(calendar.weekdays),
            "created_at": calendar.created_at.isoformat(),
            "updated_at": calendar.updated_at.isoformat(),
        }
    )


def _read(tenant: str, item: Item) -> Calendar:
    raw: Any = json.loads(unpacked(item["packed"]))
    ranges = [[*map(date.fromisoformat, days)] for days in raw["days"]]
    return Calendar(
        tenant=tenant,
        name=item["part"],
        timezone=raw["timezone"],
        days=tuple((days[0], days[-1]) for days in ranges),
        weekdays=frozenset(raw["weekdays"]),
        created_at=datetime.fromisoformat(raw["created_at"]),
        updated_at=datetime.fromisoformat(raw["updated_at"]),
    )
