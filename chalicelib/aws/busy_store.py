"""Who uses executors: tickets of invocations, and places of runs that wait for their share.

A ticket is an attribute `busy_<random>` with the time at which the invocation began, in
microseconds since 1970. It is on two items:

    the tenant's signing secrets (`aws.secret_store`), which every firing reads: so a tenant far
    below its share reads nothing more. A rotation replaces that item and forgets its tickets; no
    ticket changes what a rotation looks at.
    id busy, part all, in the table of jobs: the tickets of tenants that use more than the least,
    each followed by its tenant. Its attribute `is_shared` says that the stage has several
    tenants: without it nothing is counted.

Places are taken from an item for each tenant, in the table of jobs:

    id         hash    busy#<tenant>
    part       range   places
    arrival    the theoretical arrival time of GCRA, in microseconds since 1970
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.aws.table import Condition, Item, Table
from chalicelib.domain.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TICKET = "busy_"
_ALL = {"id": "busy", "part": "all"}
# An update expression has at most 4 KB.
_REMOVED_AT_ONCE = 100
# A process remembers the places of so many tenants.
_REMEMBERED = 1000


class BusyStore:
    """Tickets and places. Methods raise Unavailable, also for what DynamoDB refuses: nothing that
    only counts may keep a run from being sent.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        jobs: str,
        secrets: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._jobs = Table(client, jobs, "the job table", sleep)
        self._secrets = Table(client, secrets, "the table of secrets", sleep)
        self._arrivals: dict[str, datetime] = {}

    def share(self) -> None:
        """Say that the stage has several tenants, which share its executors within a minute.

        Raises Unavailable, ClientError.
        """
        self._jobs.update(_ALL, "SET is_shared = :yes", Condition("", {":yes": 1}))

    def enter(self, tenant: str, ticket: str, began: datetime) -> bool:
        """Leave a ticket for a tenant; return False if it has no signing secrets yet."""
        there = Condition("attribute_exists(tenant)", {":began": _micros(began)})
        with _answered():
            return self._secrets.update(_signing(tenant), f"SET {ticket} = :began", there)

    def enter_all(self, tenant: str, ticket: str, began: datetime) -> None:
        """Leave a ticket with those of all tenants that use more than the least."""
        value = {":began": f"{_micros(began)} {tenant}"}
        with _answered():
            self._jobs.update(_ALL, f"SET {ticket} = :began", Condition("", value))

    def leave(self, tenant: str, tickets: Sequence[str]) -> None:
        """Remove tickets of a tenant, the first 100. They may be gone."""
        there = Condition("attribute_exists(tenant)")
        with _answered():
            self._secrets.update(_signing(tenant), _removing(tickets), there)

    def leave_all(self, tickets: Sequence[str]) -> None:
        """Remove tickets from those of all tenants, the first 100. They may be gone."""
        there = Condition("attribute_exists(id)")
        with _answered():
            self._jobs.update(_ALL, _removing(tickets), there)

    def all(self) -> tuple[bool, dict[str, tuple[datetime, str]]]:
        """Return whether the stage has several tenants, and when the ticketed invocations of busy
        tenants began, with their tenants, by ticket.
        """
        with _answered():
            item = self._jobs.get(**_ALL) or {}
        parts = {name: item[name].partition(" ") for name in item if name.startswith(_TICKET)}
        tickets = {
            name: (_time(int(micros)), tenant) for name, (micros, _, tenant) in parts.items()
        }
        return "is_shared" in item, tickets

    def take(
        self, tenant: str, step: timedelta, now: datetime, farthest: timedelta
    ) -> datetime | None:
        """Take a tenant's next place, from `now` on; None if it is farther away."""
        # It never decreases, so what was seen is still a lower bound.
        seen = self._arrivals.get(tenant, now)
        if seen > now + farthest:
            return None
        steps, at = step // _MICROSECOND, _micros(now)
        if seen <= now:
            is_idle = Condition(
                "attribute_not_exists(id) OR arrival < :from", {":from": at, ":to": at + steps}
            )
            if self._moved(tenant, "SET arrival = :to", is_idle):
                return now
        is_busy = Condition(
            "arrival <= :most AND arrival >= :from",
            {":from": at, ":most": _micros(now + farthest), ":steps": steps},
        )
        moved = self._moved(tenant, "SET arrival = arrival + :steps", is_busy)
        return moved - step if moved else None

    def _moved(self, tenant: str, update: str, condition: Condition) -> datetime | None:
        """Move a tenant's arrival time, and return it; None if the condition fails."""
        with _answered():
            key = {"id": f"busy#{tenant}", "part": "places"}
            item = self._jobs.changed(key, update, condition)
        if item is None:
            return None
        if len(self._arrivals) >= _REMEMBERED:
            self._arrivals.clear()
        self._arrivals[tenant] = moved = _time(item["arrival"])
        return moved


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise Unavailable("what counts executors") from error


def _removing(tickets: Sequence[str]) -> str:
    return f"REMOVE {', '.join(tickets[:_REMOVED_AT_ONCE])}"


def new_ticket() -> str:
    """Return the name of a new ticket."""
    return f"{_TICKET}{random.getrandbits(32):08x}"


def tickets_in(item: Mapping[str, int] | Item) -> dict[str, datetime]:
    """Return when the ticketed invocations began whose tickets are on signing secrets."""
    return {name: _time(at) for name, at in item.items() if name.startswith(_TICKET)}


def _signing(tenant: str) -> Item:
    return {"tenant": tenant, "name": "signing"}


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _time(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND
