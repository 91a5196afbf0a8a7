"""Who uses executors: tickets of invocations, and places of runs that wait for their share.

A ticket is an attribute `busy_<random>` with the time at which the invocation began, in
microseconds since 1970. It is on two items:

    the tenant's signing secrets (`aws.secret_store`), which every firing reads: so a tenant far
    below its share reads nothing more. A rotation replaces that item and forgets its tickets; no
    ticket changes what a rotation looks at.
    id busy, part all, in the table of jobs: the tickets of tenants that use more than the least,
    each followed by its tenant.

Places are taken from an item for each tenant, in the table of jobs:

    id         hash    busy#<tenant>
    part       range   places
    arrival    the theoretical arrival time of GCRA, in microseconds since 1970
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from chalicelib.aws.table import Condition, Item, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TICKET = "busy_"
_ALL = {"id": "busy", "part": "all"}


class BusyStore:
    """Tickets and places."""

    def __init__(
        self,
        client: DynamoDBClient,
        jobs: str,
        secrets: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._jobs = Table(client, jobs, "the job table", sleep)
        self._secrets = Table(client, secrets, "the table of secrets", sleep)

    def enter(self, tenant: str, ticket: str, began: datetime) -> bool:
        """Leave a ticket for a tenant; return False if it has no signing secrets yet."""
        there = Condition("attribute_exists(tenant)", {":began": _micros(began)})
        return self._secrets.update(_signing(tenant), f"SET {ticket} = :began", there)

    def enter_all(self, tenant: str, ticket: str, began: datetime) -> None:
        """Leave a ticket with those of all tenants that use more than the least."""
        value = {":began": f"{_micros(began)} {tenant}"}
        self._jobs.update(_ALL, f"SET {ticket} = :began", Condition("", value))

    def leave(self, tenant: str, tickets: Sequence[str]) -> None:
        """Remove tickets of a tenant. They may be gone."""
        there = Condition("attribute_exists(tenant)")
        self._secrets.update(_signing(tenant), f"REMOVE {', '.join(tickets)}", there)

    def leave_all(self, tickets: Sequence[str]) -> None:
        """Remove tickets from those of all tenants. They may be gone."""
        there = Condition("attribute_exists(id)")
        self._jobs.update(_ALL, f"REMOVE {', '.join(tickets)}", there)

    def all(self) -> dict[str, tuple[datetime, str]]:
        """Return when the ticketed invocations of busy tenants began, with their tenants, by
        ticket.
        """
        item = self._jobs.get(**_ALL) or {}
        parts = {name: item[name].partition(" ") for name in item if name.startswith(_TICKET)}
        return {name: (_time(int(micros)), tenant) for name, (micros, _, tenant) in parts.items()}

    def take(
        self, tenant: str, step: timedelta, now: datetime, farthest: timedelta
    ) -> datetime | None:
        """Take a tenant's next place, from `now` on; None if it is farther away."""
        key, steps = {"id": f"busy#{tenant}", "part": "places"}, step // _MICROSECOND
        at = _micros(now)
        is_idle = Condition(
            "attribute_not_exists(id) OR arrival < :from", {":from": at, ":to": at + steps}
        )
        if self._jobs.update(key, "SET arrival = :to", is_idle):
            return now
        is_busy = Condition(
            "arrival <= :most AND arrival >= :from",
            {":from": at, ":most": _micros(now + farthest), ":steps": steps},
        )
        moved = self._jobs.changed(key, "SET arrival = arrival + :steps", is_busy)
        return _time(moved["arrival"] - steps) if moved else None


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
