"""Flows, in the table of jobs: one item per flow, in a partition per tenant.

    id         hash    flows#<tenant>
    part       range   the flow's name
    flow       JSON
    revision   counts puts

Each flow with a rate has another item, in a partition of its own, which its places are taken from:

    id         hash    flow#<tenant>#<name>
    part       range   places
    series     names the places that are taken from it: a change of the rate begins a new series
    arrival    the theoretical arrival time of GCRA, in microseconds since 1970; never decreases
               within a series

A rate without a series limits nothing: it was stored before series were, and is put again to hold.

A change of a flow changes a token beside the tenant's signing secrets in the same transaction. Each
firing reads these, and with them the token, so it reads flows only if they have changed.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from chalicelib.aws.job_items import FlowChanged
from chalicelib.aws.line_store import LineStore
from chalicelib.aws.table import Condition, Delete, Item, Put, Table, Update, Write
from chalicelib.domain.errors import FlowNotFound, QuotaExceeded, Unavailable
from chalicelib.domain.exact_json import write
from chalicelib.domain.flows import MOST_FLOWS, Flow, Rate, begun, places, waiting
from chalicelib.domain.lines import line_id
from chalicelib.runtime.backoff import tries

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PART = "the job table"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# No place is farther away.
_FARTHEST = timedelta(days=36_500)
# The most tenants, and flows, that a process remembers.
_REMEMBERED = 1024


class FlowStore:
    """Flows and their places. Remembers flows by their token, which changes with them."""

    def __init__(
        self, client: DynamoDBClient, table: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = Table(client, table, _PART, sleep)
        self._sleep = sleep
        self.lines = LineStore(client, table, sleep)
        self._known: dict[tuple[str, str], Mapping[str, Flow]] = {}
        self._arrivals: dict[tuple[str, str, str], datetime] = {}

    def all(self, tenant: str) -> list[Flow]:
        """Return the tenant's flows, by name. Read consistently."""
        items, _ = self._table.query(Condition("id = :id", {":id": _partition(tenant)}))
        return [_read(tenant, item) for item in items]

    def get(self, tenant: str, name: str) -> Flow:
        """Return a flow. Raises FlowNotFound."""
        item = self._table.get(id=_partition(tenant), part=name)
        if item is None:
            raise FlowNotFound
        return _read(tenant, item)

    def queues(self, flows: Sequence[Flow], now: datetime) -> dict[str, tuple[int, int]]:
        """Return by the names of flows how many runs wait, in line or for a place to come, and how
        many exchanges are out.
        """
        places = self._places_to_come(flows, now)
        return {flow.name: self._queue(flow, places.get(flow.name, 0), now) for flow in flows}

    def _queue(self, flow: Flow, places: int, now: datetime) -> tuple[int, int]:
        if not flow.is_gated:
            return places, 0
        line = line_id(flow.tenant, flow.name)
        out = sum(slot.is_live(now) for slot in self.lines.look(line).slots)
        return places + self.lines.count(line), out

    def _places_to_come(self, flows: Sequence[Flow], now: datetime) -> dict[str, int]:
        rates = {line_id(flow.tenant, flow.name): flow for flow in flows if flow.rate}
        items = self._table.batch_get({"id": identifier, "part": "places"} for identifier in rates)
        arrivals = {item["id"]: _time(item["arrival"]) for item in items}
        return {
            flow.name: waiting(flow.rate, arrivals[identifier], now)
            for identifier, flow in rates.items()
            if flow.rate and identifier in arrivals
        }

    def put(self, new: Flow, changes: Update) -> Flow:
        """Create or replace the flow with this name, and return it as it is stored.

        `changes` is the write of the token. A flow that is replaced keeps its time of creation, and
        the places that it has given if its rate is the same. Raises QuotaExceeded, Unavailable.
        """
        for _ in tries(self._sleep):
            before = self._table.get(id=_partition(new.tenant), part=new.name)
            if before is None and len(self.all(new.tenant)) >= MOST_FLOWS:
                raise QuotaExceeded("flows", MOST_FLOWS, retry_after=1)
            old = _read(new.tenant, before) if before else None
            made = replace(new, created_at=old.created_at if old else new.created_at)
            if old is not None and old.rate == new.rate:
                made, places = replace(made, series=old.series), []
            else:
                made = replace(made, series=uuid.uuid4().hex[:8] if new.rate else "")
                places = [self._new_places(made, old)]
            if made.is_gated or (old and old.is_gated):
                line = line_id(new.tenant, new.name)
                places.append(self.lines.renewed(line, made.updated_at, paused=made.paused))
            item = {
                "id": _partition(new.tenant),
                "part": new.name,
                "flow": _dump(made),
                "revision": before["revision"] + 1 if before else 1,
            }
            put = Put(self._table.name, item, _unchanged(before))
            if not self._table.write(put, changes, *places):
                return made
        raise Unavailable(_PART)

    def _new_places(self, new: Flow, old: Flow | None) -> Write:
        """Return the write with which a flow gives the places of a new rate, or of none."""
        key = {"id": line_id(new.tenant, new.name), "part": "places"}
        if new.rate is None:
            return Delete(self._table.name, key)
        before = self._table.get(**key) if old and old.rate else None
        arrival = _time(before["arrival"]) if before else None
        begins = begun(new.rate, old.rate if old else None, arrival, new.updated_at)
        item = {**key, "series": new.series, "arrival": _micros(begins)}
        return Put(self._table.name, item)

    def delete(self, tenant: str, name: str, changes: Update, now: datetime) -> None:
        """Delete a flow. `changes` is as in `put`. Raises FlowNotFound, Unavailable."""
        key = {"id": _partition(tenant), "part": name}
        for _ in tries(self._sleep):
            before = self._table.get(**key)
            if before is None:
                raise FlowNotFound
            table, places = self._table.name, {"id": line_id(tenant, name), "part": "places"}
            beside: list[Write] = [changes, Delete(table, places)]
            if _read(tenant, before).is_gated:
                beside.append(self.lines.renewed(line_id(tenant, name), now, paused=False))
            if not self._table.write(Delete(table, key, _unchanged(before)), *beside):
                return
        raise Unavailable(_PART)

    def known(self, tenant: str, token: str) -> Mapping[str, Flow]:
        """Return the tenant's flows by name, as they were with this token, or later."""
        if (tenant, token) not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[tenant, token] = {flow.name: flow for flow in self.all(tenant)}
        return self._known[tenant, token]

    def take(
        self, flow: Flow, rate: Rate, count: int, arrival: datetime, latest: datetime | None
    ) -> Sequence[datetime] | None:
        """Take the next places of a flow for attempts that may be sent from `arrival` on.

        Return them, the earliest first; None, and none is taken, if the last one would be after
        `latest`. If the process dies, or the answer is lost, these places stay empty. Raises
        FlowChanged, Unavailable.
        """
        steps = count * rate.step
        span = steps - rate.step - rate.tolerance
        most = (latest or arrival + _FARTHEST) - span
        if arrival > most:
            return None
        # Within a series the theoretical arrival time never decreases, so what was seen is still a
        # lower bound.
        if self._arrivals.get(_series(flow), arrival) <= arrival:
            is_idle = Condition(
                "series = :series AND arrival < :from",
                {":from": _micros(arrival), ":to": _micros(arrival + steps)},
            )
            if self._moved(flow, "SET arrival = :to", is_idle):
                return places(rate, arrival, arrival, count)
        is_busy = Condition(
            "series = :series AND arrival <= :most AND arrival >= :from",
            {":from": _micros(arrival), ":most": _micros(most), ":steps": steps // _MICROSECOND},
        )
        moved = self._moved(flow, "SET arrival = arrival + :steps", is_busy)
        if moved is not None:
            return places(rate, moved - steps, arrival, count)
        now = self._table.get(id=line_id(flow.tenant, flow.name), part="places")
        if now is None or now["series"] != flow.series:
            raise FlowChanged
        return None

    def _moved(self, flow: Flow, update: str, condition: Condition) -> datetime | None:
        """Move a flow's theoretical arrival time; return it, None if the condition fails."""
        condition = replace(condition, values={**condition.values, ":series": flow.series})
        key = {"id": line_id(flow.tenant, flow.name), "part": "places"}
        item = self._table.changed(key, update, condition)
        if item is None:
            return None
        if len(self._arrivals) >= _REMEMBERED:
            self._arrivals.clear()
        self._arrivals[_series(flow)] = moved = _time(item["arrival"])
        return moved


def _series(flow: Flow) -> tuple[str, str, str]:
    return flow.tenant, flow.name, flow.series


def _unchanged(before: Item | None) -> Condition:
    if before is None:
        return Condition("attribute_not_exists(id)")
    return Condition("revision = :read", {":read": before["revision"]})


def _partition(tenant: str) -> str:
    return f"flows#{tenant}"


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _time(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND


def _dump(flow: Flow) -> str:
    rate = flow.rate
    return write(
        {
            "created_at": flow.created_at.isoformat(),
            "updated_at": flow.updated_at.isoformat(),
            "rate": [rate.requests, rate.seconds, rate.burst] if rate else None,
            "series": flow.series,
            "concurrency": flow.concurrency,
            "paused": flow.paused,
        }
    )


def _read(tenant: str, item: Item) -> Flow:
    raw: Any = json.loads(item["flow"])
    return Flow(
        tenant=tenant,
        name=item["part"],
        created_at=datetime.fromisoformat(raw["created_at"]),
        updated_at=datetime.fromisoformat(raw["updated_at"]),
        rate=Rate(*raw["rate"]) if raw.get("series") else None,
        series=raw.get("series", ""),
        concurrency=raw.get("concurrency"),
        paused=raw.get("paused", False),
    )
