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

Each flow with a breaker that is closed may have a third item there, while its attempts fail:

    part       range   breaker
    failures   how many in a row
    attempt    the last one of them

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

from chalicelib.aws.digest_store import changed
from chalicelib.aws.job_items import FlowChanged
from chalicelib.aws.line_store import LineStore
from chalicelib.aws.table import Condition, Delete, Item, Put, Table, Update, Write
from chalicelib.domain.errors import FlowNotFound, QuotaExceeded, Unavailable
from chalicelib.domain.exact_json import write
from chalicelib.domain.flows import MOST_FLOWS, Breaker, Flow, Rate, begun, places, waiting
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
        out = sum(slot.is_out and slot.is_live(now) for slot in self.lines.look(line).slots)
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

        `changes` is the write of the token. A flow that is replaced keeps its time of creation, the
        places that it has given if its rate is the same, and stays open if its breaker is the same.
        Raises QuotaExceeded, Unavailable.
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
            if old is not None and old.breaker == new.breaker:
                made = replace(made, opened_at=old.opened_at)
            elif old is not None or new.breaker is not None:
                places.append(Delete(self._table.name, _failures(new)))
            if made.is_gated or (old and old.is_gated):
                line = line_id(new.tenant, new.name)
                places.append(self.lines.renewed(line, made.updated_at, made))
            if not self._table.write(self._replacing(before, made), changes, *places):
                return made
        raise Unavailable(_PART)

    def _replacing(self, before: Item | None, flow: Flow) -> Put:
        """Return the write of a flow in the place of what was read."""
        item = {
            "id": _partition(flow.tenant),
            "part": flow.name,
            "flow": _dump(flow),
            "revision": before["revision"] + 1 if before else 1,
        }
        return Put(self._table.name, item, _unchanged(before))

    def count_failure(self, flow: Flow, attempt: str) -> int:
        """Count a failed attempt of a flow that is closed; return how many failed in a row.

        A write that the SDK repeats is refused the second time, and has been made.
        """
        values = {":attempt": attempt, ":one": 1}
        is_new = Condition("attribute_not_exists(attempt) OR attempt <> :attempt", values)
        counted = "SET attempt = :attempt ADD failures :one"
        self._table.update(_failures(flow), counted, is_new)
        item = self._table.get(**_failures(flow))
        return int(item["failures"]) if item else 0

    def end_failures(self, flow: Flow) -> None:
        """Count failures of a flow from 0 again. It is a read, and a write only if there are some.

        A failure that is counted in between may be lost with those before it.
        """
        if self._table.get(**_failures(flow)) is not None:
            self._table.delete(**_failures(flow))

    def turn(
        self,
        flow: Flow,
        opened_at: datetime | None,
        now: datetime,
        changes: Update,
        beside: Sequence[Write],
    ) -> bool:
        """Open a flow at a time, None to close it. Return False, and write nothing, if it is not
        open or closed as in `flow` any more, or if an attempt has ended its failures.

        `changes` is as in `put`; `beside` is written in the same transaction. Raises WindowChanged,
        Unavailable.
        """
        least = flow.breaker.failures if flow.breaker else 0
        enough = Condition("failures >= :least", {":least": least}) if opened_at else None
        forgotten = Delete(self._table.name, _failures(flow), enough)
        for _ in tries(self._sleep):
            before = self._table.get(id=_partition(flow.tenant), part=flow.name)
            found = _read(flow.tenant, before) if before else None
            if found is None or (found.breaker, found.opened_at) != (flow.breaker, flow.opened_at):
                return False
            made = replace(found, opened_at=opened_at)
            line, watch_at = line_id(flow.tenant, flow.name), made.probed_from or now
            gate = self.lines.renewed(line, watch_at, made)
            put = self._replacing(before, made)
            refused = self._table.write(forgotten, put, changes, gate, *beside)
            if not refused:
                return True
            if 0 in refused:
                return False
            windows = changed([beside[position - 4] for position in refused if position >= 4])
            if windows is not None:
                raise windows
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
            table, line = self._table.name, line_id(tenant, name)
            places, failures = ({"id": line, "part": part} for part in ("places", "breaker"))
            beside: list[Write] = [changes, Delete(table, places), Delete(table, failures)]
            if _read(tenant, before).is_gated:
                beside.append(self.lines.renewed(line, now, None))
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


def _failures(flow: Flow) -> Item:
    return {"id": line_id(flow.tenant, flow.name), "part": "breaker"}


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
    rate, breaker = flow.rate, flow.breaker
    return write(
        {
            "created_at": flow.created_at.isoformat(),
            "updated_at": flow.updated_at.isoformat(),
            "rate": [rate.requests, rate.seconds, rate.burst] if rate else None,
            "series": flow.series,
            "concurrency": flow.concurrency,
            "paused": flow.paused,
            "breaker": [breaker.failures, breaker.probe.total_seconds()] if breaker else None,
            "opened_at": flow.opened_at.isoformat() if flow.opened_at else None,
        }
    )


def _read(tenant: str, item: Item) -> Flow:
    raw: Any = json.loads(item["flow"])
    breaker, opened_at = raw.get("breaker"), raw.get("opened_at")
    return Flow(
        tenant=tenant,
        name=item["part"],
        created_at=datetime.fromisoformat(raw["created_at"]),
        updated_at=datetime.fromisoformat(raw["updated_at"]),
        rate=Rate(*raw["rate"]) if raw.get("series") else None,
        series=raw.get("series", ""),
        concurrency=raw.get("concurrency"),
        paused=raw.get("paused", False),
        breaker=Breaker(breaker[0], timedelta(seconds=breaker[1])) if breaker else None,
        opened_at=datetime.fromisoformat(opened_at) if opened_at else None,
    )
