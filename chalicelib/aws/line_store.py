"""Lines of flows, in the table of jobs: items of a flow's own partition, `flow#<tenant>#<name>`.

    part                     range
    breaker                  see `aws.flow_store`
    gate                     `version` changes with the flow. `watch_at` and `watch_shard`, as those
                             of a state: when the sweeper looks at the line, absent for never.
                             `closing` is set while somebody makes sure that nobody waits,
                             `paused` and `open` if the flow is
    out#<index>              a slot: `holder`, and `until`, in microseconds since 1970; both are
                             nobody's and 0 once it is free. `expires_at`, a day later
    places                   see `aws.flow_store`
    wait#<due>#<job>#<run>   a run in line: `job_id`, `key`, and the `token` of its hold

A flow without a concurrency that was never paused has no gate. A run is put in line in the
transaction of its state, on the condition that the gate is as it was read. So a change of the flow
comes before it, and the run asks again, or after it, and finds the run in line.
"""

from __future__ import annotations

import time
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from chalicelib.aws.job_items import WATCH_SHARDS
from chalicelib.aws.serialization import sortable
from chalicelib.aws.table import Check, Condition, Delete, Item, Put, Table, Write
from chalicelib.domain.flows import MOST_OUT, Flow
from chalicelib.domain.ids import RunKey
from chalicelib.domain.lines import Entry, Slot, due_time
from chalicelib.domain.state import UnfinishedRun

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WAIT = "wait#"
# DynamoDB deletes slots that nobody has used for so long: a flow that is deleted leaves them.
_KEPT = timedelta(days=1)
# More are not counted.
MOST_COUNTED = 1000


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate of a line. `watch_at` is None if nothing has to be looked at.

    A run is put in line only if `paused` and `open` are as the executor has read them of the flow.
    Otherwise a run could wait for the end of a pause that is over, and nobody would look at it.
    """

    line: str
    version: str
    watch_at: datetime | None = None
    closing: bool = False
    paused: bool = False
    open: bool = False

    def is_of(self, flow: Flow) -> bool:
        """Return whether the flow, as it was read, is paused and open as the gate says."""
        return (self.paused, self.open) == (flow.paused, flow.opened_at is not None)


@dataclass(frozen=True, slots=True)
class Look:
    """A line as it was read: its gate, None if there is none, slots, and the first runs in it."""

    gate: Gate | None
    slots: tuple[Slot, ...]
    waiting: tuple[Entry, ...]

    def reserved(self, name: str) -> Slot | None:
        """Return the slot that is reserved for the run with this name, if there is one."""
        return next((slot for slot in self.slots if slot.holder == name), None)


class LineStore:
    """Gates, slots and entries of lines."""

    def __init__(
        self, client: DynamoDBClient, table: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = Table(client, table, "the job table", sleep)

    def look(self, line: str, most: int = 1) -> Look:
        """Read a line with its first runs, `most` at least if there are so many. Consistent."""
        items, after = list[Item](), None
        while True:
            found, after = self._table.query(
                Condition("id = :id", {":id": line}), after=after, limit=most + MOST_OUT + 3
            )
            items += found
            if after is None or sum(item["part"].startswith(_WAIT) for item in items) >= most:
                break
        gates = [_gate(item) for item in items if item["part"] == "gate"]
        slots = [_slot(item) for item in items if item["part"].startswith("out#")]
        waiting = [_entry(item) for item in items if item["part"].startswith(_WAIT)]
        return Look(gates[0] if gates else None, tuple(slots), tuple(waiting))

    def gate(self, line: str) -> Gate | None:
        """Return a line's gate, None if it has none. Read consistently."""
        item = self._table.get(id=line, part="gate")
        return _gate(item) if item else None

    def count(self, line: str) -> int:
        """Return how many runs wait in line, MOST_COUNTED for more."""
        condition = Condition(
            "id = :id AND begins_with(part, :wait)", {":id": line, ":wait": _WAIT}
        )
        return len(self._table.query(condition, limit=MOST_COUNTED)[0])

    def renewed(self, line: str, watch_at: datetime, flow: Flow | None) -> Put:
        """Return the write of a gate for the transaction that changes its flow, or deletes it."""
        gate = Gate(line, _token(), watch_at)
        if flow is not None:
            watched = None if flow.paused else watch_at
            is_open = flow.opened_at is not None
            gate = replace(gate, watch_at=watched, paused=flow.paused, open=is_open)
        return self._put(gate)

    def set(self, gate: Gate, before: Gate) -> bool:
        """Write a gate; return False if it is not as it was any more."""
        return self._table.put(self._put(gate).item, _is(before))

    def close(self, gate: Gate) -> bool:
        """Delete a gate; return False if it is not as it was any more."""
        key = {"id": gate.line, "part": "gate"}
        return not self._table.write(Delete(self._table.name, key, _is(gate)))

    def take(self, line: str, before: Slot | None, after: Slot) -> bool:
        """Write a slot; return False if it is not as it was any more. `before` None is no slot.

        A write that the SDK repeats is refused the second time, and has been made.
        """
        item: Item = {
            "id": line,
            "part": _out(after.index),
            "holder": after.holder,
            "until": _micros(after.until),
            "expires_at": int((after.until + _KEPT).timestamp()),
        }
        unchanged = Condition("attribute_not_exists(id)")
        if before is not None:
            # A slot that is free has no end of its own.
            item["expires_at"] = int((max(before.until, after.until) + _KEPT).timestamp())
            values = {":holder": before.holder, ":until": _micros(before.until)}
            unchanged = Condition(
                "holder = :holder AND #until = :until", values, {"#until": "until"}
            )
        if self._table.put(item, unchanged):
            return True
        now = self._table.get(id=line, part=item["part"])
        return now is not None and _slot(now) == after

    def free(self, line: str, slot: Slot) -> bool:
        """Free a slot; return False if it has another holder."""
        return self.take(line, slot, slot.freed)

    def entry(self, job_id: str, run: UnfinishedRun) -> Entry:
        """Return a new entry for a run."""
        part = f"{_WAIT}{sortable(due_time(run))}#{job_id}#{run.key}"
        return Entry(part, _token(), job_id, run.key)

    def enter(self, entry: Entry, gate: Gate) -> list[Write]:
        """Return what is written with the state of a run that waits in line."""
        item = {
            "id": gate.line,
            "part": entry.part,
            "token": entry.token,
            "job_id": entry.job_id,
            "key": str(entry.key),
        }
        key = {"id": gate.line, "part": "gate"}
        return [Put(self._table.name, item), Check(self._table.name, key, _is(gate))]

    def leave(self, line: str, entry: Entry) -> Delete:
        """Return what is written with the state of a run that leaves the line."""
        return Delete(self._table.name, {"id": line, "part": entry.part})

    def forget(self, line: str, entry: Entry) -> None:
        """Delete the entry of a run that is not in line any more, unless it is in line again."""
        same = Condition("#token = :token", {":token": entry.token}, {"#token": "token"})
        self._table.write(replace(self.leave(line, entry), condition=same))

    def _put(self, gate: Gate) -> Put:
        item: Item = {"id": gate.line, "part": "gate", "version": gate.version}
        if gate.watch_at is not None:
            item["watch_at"] = sortable(gate.watch_at)
            item["watch_shard"] = str(zlib.crc32(gate.line.encode()) % WATCH_SHARDS)
        if gate.closing:
            item["closing"] = 1
        if gate.paused:
            item["paused"] = 1
        if gate.open:
            item["open"] = 1
        return Put(self._table.name, item)


def changed(gate: Gate, watch_at: datetime | None, *, closing: bool = False) -> Gate:
    """Return a gate with another watch time, as a new version."""
    return replace(gate, version=_token(), watch_at=watch_at, closing=closing)


def _token() -> str:
    return uuid.uuid4().hex[:12]


def _is(gate: Gate) -> Condition:
    return Condition("version = :version", {":version": gate.version})


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _out(index: int) -> str:
    return f"out#{index:03}"


def _gate(item: Item) -> Gate:
    watch_at = datetime.fromisoformat(item["watch_at"]) if "watch_at" in item else None
    flags = {name: name in item for name in ("closing", "paused", "open")}
    return Gate(item["id"], item["version"], watch_at, **flags)


def _slot(item: Item) -> Slot:
    index = int(item["part"].removeprefix("out#"))
    return Slot(index, item["holder"], _EPOCH + item["until"] * _MICROSECOND)


def _entry(item: Item) -> Entry:
    return Entry(item["part"], item["token"], item["job_id"], RunKey.parse(item["key"]))
