"""The job table: two items per job under its id, so that one consistent query reads both.

    id    hash    the job's id
    part  range   `definition`: what the user wrote; `state`: where the job stands

    index by_tenant (keys only):  tenant, id                on definitions; of notices: `notice#…`
    index by_watch  (keys only):  watch_shard, watch_at     on states with a `watch_at`

A state is written only if its revision is still the one that was read. Each write has a random
`write_token`: if its answer was lost and the SDK repeated it, the repeat is refused by an item with
the same token, and counts as a success.

An ended notice has `expires_at`, a time to live in seconds, on both items.

The table also holds the names that must be unique: an item `key#<tenant>#<key>` for each job key,
and `idempotency#…` (`domain.idempotency`). Indexes may lag by a second.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from chalicelib.aws.calendar_store import uses
from chalicelib.aws.digest_store import changed, closing
from chalicelib.aws.job_items import (
    ABSENT,
    Answered,
    FlowChanged,
    Idempotency,
    RecordChanged,
    Watched,
    key_name,
    list_name,
    put_answer,
    put_definition,
    put_key,
    put_state,
    read_definition,
    read_state,
)
from chalicelib.aws.table import Check, Condition, Delete, Item, Put, Table, Write
from chalicelib.domain.digests import is_open
from chalicelib.domain.errors import JobNotFound, KeyIsTaken, ResonaError, Unavailable
from chalicelib.domain.ids import least_job_id
from chalicelib.domain.job import Definition, Kind
from chalicelib.domain.state import State

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PART = "the job table"
_READS = 5
# `add` takes no longer, from its first write to its last.
_LEFT_AGE = timedelta(minutes=15)


class StateChanged(ResonaError):
    """Another writer changed the state since it was read: decide again.

    `current` is the state now, None if the job is gone.
    """

    def __init__(self, current: State | None) -> None:
        self.current = current
        super().__init__("the state has changed since it was read")


class AlreadyAnswered(ResonaError):
    """A request with this Idempotency-Key has been answered."""


class JobStore:
    """Definitions and states.

    Methods that take a tenant treat the jobs of other tenants as missing.
    """

    def __init__(
        self, client: DynamoDBClient, table: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = Table(client, table, _PART, sleep)

    def get(self, tenant: str, job_id: str) -> tuple[Definition, State]:
        """Return the tenant's job. Raises JobNotFound."""
        found = self.load(job_id)
        if found is None or found[0].tenant != tenant:
            raise JobNotFound
        return found

    def load(self, job_id: str) -> tuple[Definition, State] | None:
        """Return a job's definition and the state that goes with it; None if there is no such job.

        Read consistently.
        """
        for _ in range(_READS):
            found, _ = self._table.query(Condition("id = :id", {":id": job_id}))
            items = {item["part"]: item for item in found}
            if "definition" not in items or "state" not in items:
                return None
            definition, state = read_definition(items["definition"]), read_state(items["state"])
            # The query may have read one item before a change and the other after it.
            if definition.edition == state.edition:
                return definition, state
        raise Unavailable(_PART)

    def state(self, job_id: str) -> State | None:
        """Return a job's state, read consistently; None if there is no such job."""
        item = self._table.get(id=job_id, part="state")
        return read_state(item) if item else None

    def find_key(self, tenant: str, key: str) -> str:
        """Return the id of the tenant's job with this key. Raises JobNotFound."""
        item = self._key_item(tenant, key)
        if item is None:
            raise JobNotFound
        return str(item["job_id"])

    def refuse_taken(self, tenant: str, key: str | None) -> None:
        """Raise KeyIsTaken if the tenant has a job with this key; None is no key.

        An early answer only: `add` checks again.
        """
        if key is not None and self._key_item(tenant, key) is not None:
            raise KeyIsTaken(key)

    def _key_item(self, tenant: str, key: str) -> Item | None:
        return self._table.get(id=key_name(tenant, key), part="name")

    def answered(self, name: str, now: datetime) -> Answered | None:
        """Return the first answer to this Idempotency-Key; None if there is none, or it expired."""
        item = self._table.get(id=name, part="answer")
        if item is None or item["expires_at"] <= now.timestamp():
            return None
        return Answered(item["fingerprint"], item["status"], item["body"])

    def add(
        self, definition: Definition, state: State, idempotency: Idempotency | None, now: datetime
    ) -> None:
        """Write a new job: its definition, then all or nothing the rest, which makes it a job.

        In a transaction the definition would cost twice. Without a state it is no job: a list
        deletes what a process that died in between has left. Raises KeyIsTaken, AlreadyAnswered.
        """
        # Refused only after our own try, whose answer was lost: the id is new.
        self._table.put(put_definition(self._table.name, definition).item, ABSENT)
        writes: list[Write] = [put_state(self._table.name, state)]
        writes += uses(self._table.name, definition)
        if definition.key is not None:
            tenant, job_id = definition.tenant, definition.id
            writes.append(put_key(self._table.name, tenant, definition.key, job_id))
        if idempotency:
            writes.append(put_answer(self._table.name, idempotency, now))
        try:
            self._write(writes, key=definition.key, once=True)
        except (KeyIsTaken, AlreadyAnswered):
            self._drop(definition.id)
            raise

    def _drop(self, job_id: str) -> None:
        """Delete a definition that has not become a job; if it fails, a list will."""
        with contextlib.suppress(Unavailable):
            self._table.delete(id=job_id, part="definition")

    def replace(
        self, definition: Definition, state: State, before: Definition | None = None
    ) -> None:
        """Write a changed definition with its state, all or nothing. Raises StateChanged.

        `before` is the definition that it replaces; None if that named no calendars.
        """
        beside = uses(self._table.name, definition, before)
        self._write([*self.pair(definition, state), *beside])

    def retire(self, definition: Definition, state: State, expires_at: datetime) -> None:
        """Write the next revision of a state that is over, and let the job expire.

        Raises StateChanged.
        """
        self._write(self.pair(definition, state, expires_at))

    def pair(
        self, definition: Definition, state: State, expires_at: datetime | None = None
    ) -> list[Put]:
        """Return the writes of a definition and its state, for one transaction, the state first."""
        table = self._table.name
        return [put_state(table, state, expires_at), put_definition(table, definition, expires_at)]

    def save(
        self,
        state: State,
        beside: Sequence[Write] = (),
        idempotency: Idempotency | None = None,
        *,
        now: datetime,
    ) -> None:
        """Write the next revision of a state.

        The writes `beside` it and the answer to an Idempotency-Key are in the same transaction.
        Raises StateChanged, RecordChanged, AlreadyAnswered, and WindowChanged if an event's window
        has changed.
        """
        answer = [put_answer(self._table.name, idempotency, now)] if idempotency else []
        self._write([put_state(self._table.name, state), *beside, *answer])

    def remove(self, definition: Definition, state: State) -> None:
        """Delete a job, all or nothing, if its state is still this one. Raises StateChanged."""
        table, job_id = self._table.name, state.job_id
        unchanged = Condition("revision = :revision", {":revision": state.revision})
        deletes = [
            Delete(table, {"id": job_id, "part": "state"}, unchanged, returns_old=True),
            Delete(table, {"id": job_id, "part": "definition"}),
        ]
        if definition.key is not None:
            name = key_name(definition.tenant, definition.key)
            deletes.append(Delete(table, {"id": name, "part": "name"}))
        # An event that is added to the window of a deleted notice would be told to nobody.
        close = closing(table, job_id, state.updated_at) if is_open(definition) else []
        self._write([*deletes, *close, *uses(table, None, definition)])

    def page(
        self,
        tenant: str,
        before: str | None,
        limit: int,
        kind: Kind = Kind.JOB,
        now: datetime | None = None,
    ) -> tuple[list[tuple[Definition, State]], str | None]:
        """Return up to `limit` of the tenant's jobs of a kind, newest first, and the next `before`.

        `before` is a job's id, None for the first page and after the last. Deleted jobs that are
        still in the index are left out. With `now`, definitions that never became jobs are deleted.
        """
        partition = list_name(tenant, kind)
        items, place = self._table.query(
            Condition("tenant = :tenant", {":tenant": partition}),
            index="by_tenant",
            after={"tenant": partition, "id": before, "part": "definition"} if before else None,
            limit=limit,
            backward=True,
        )
        left_before = least_job_id(now - _LEFT_AGE) if now else ""
        ids = [item["id"] for item in items]
        return self._load_all(ids, left_before), place["id"] if place else None

    def _load_all(self, ids: list[str], left_before: str = "") -> list[tuple[Definition, State]]:
        """Return the jobs that exist, in the order of their ids.

        Delete definitions without a state whose ids are less than `left_before`.
        """
        pairs = []
        items = self._batch(ids)
        for job_id in ids:
            definition, state = items.get((job_id, "definition")), items.get((job_id, "state"))
            if definition and state:
                pairs.append((read_definition(definition), read_state(state)))
            elif definition and job_id < left_before:
                # `add` did not come to its second write: the job was never there.
                self._drop(job_id)
        # A batch reads each item by itself: `_whole` reads a pair again that changed in between.
        return [pair for pair in map(self._whole, pairs) if pair is not None]

    def _whole(self, pair: tuple[Definition, State]) -> tuple[Definition, State] | None:
        return pair if pair[0].edition == pair[1].edition else self.load(pair[0].id)

    def states_by_id(self, ids: Iterable[str]) -> dict[str, State]:
        """Return the states of the jobs that exist, by id.

        Read consistently. Each id must be given once.
        """
        return {key[0]: read_state(item) for key, item in self._batch(ids, ("state",)).items()}

    def pairs(self, ids: Iterable[str]) -> list[tuple[Definition, State]]:
        """Return the jobs that exist. Read consistently. Each id must be given once."""
        return self._load_all(list(ids))

    def _batch(
        self,
        ids: Iterable[str],
        parts: Sequence[str] = ("definition", "state"),
        *,
        consistent: bool = True,
    ) -> dict[tuple[str, str], Item]:
        keys = [{"id": job_id, "part": part} for job_id in ids for part in parts]
        items = self._table.batch_get(keys, consistent=consistent)
        return {(item["id"], item["part"]): item for item in items}

    def ids(self, tenant: str, most: int) -> list[str]:
        """Return the ids of the tenant's jobs, newest first, up to so many."""
        items, _ = self._table.query(
            Condition("tenant = :tenant", {":tenant": tenant}),
            index="by_tenant",
            limit=most,
            backward=True,
        )
        return [item["id"] for item in items]

    def states(self, ids: Sequence[str]) -> list[State]:
        """Return the states of the jobs that exist, in the order of their ids.

        They may lag by a second.
        """
        items = self._batch(ids, ("state",), consistent=False)
        found = [items[job_id, "state"] for job_id in ids if (job_id, "state") in items]
        return list(map(read_state, found))

    def with_definitions(self, states: Sequence[State]) -> list[tuple[Definition, State]]:
        """Return the jobs that have these states, or later ones, in order, without notices."""
        ids = [state.job_id for state in states]
        items = self._batch(ids, ("definition",), consistent=False)
        pairs = [
            (read_definition(items[state.job_id, "definition"]), state)
            for state in states
            if (state.job_id, "definition") in items
        ]
        jobs = [pair for pair in pairs if pair[0].kind is Kind.JOB]
        return [pair for pair in map(self._whole, jobs) if pair is not None]

    def watched(
        self, shard: int, after: Watched | None, limit: int
    ) -> tuple[list[Watched], Watched | None]:
        """Return up to `limit` entries of a shard of the index of watched states, by `watch_at`.

        Also return the next page's `after`, None at the end. Entries of all shards are ordered by
        `watch_at` and shard; `after` may be of another shard.
        """
        values: Item = {":shard": str(shard)}
        condition, place = Condition("watch_shard = :shard", values), None
        if after is not None and after.shard == shard:
            place = {"watch_shard": str(shard), "watch_at": after.watch_at}
            place |= {"id": after.job_id, "part": "state"}
        elif after is not None:
            values[":at"] = after.watch_at
            # Of one time, an earlier shard's entries come before this one, a later shard's after.
            if shard < after.shard:
                condition = Condition("watch_shard = :shard AND watch_at > :at", values)
            else:
                condition = Condition("watch_shard = :shard AND watch_at >= :at", values)
        items, place = self._table.query(condition, index="by_watch", after=place, limit=limit)
        found = [Watched(item["watch_at"], shard, item["id"]) for item in items]
        return found, found[-1] if place else None

    def _write(
        self, writes: Sequence[Write], *, key: str | None = None, once: bool = False
    ) -> None:
        """Make all writes or none. The first is that of the state; `key` is the job key, if any.

        `once` is as in `Table.write`.
        """
        refused = self._table.write(*writes, once=once)
        if not refused:
            return
        if 0 in refused:
            # A changed state is reported before a taken name.
            self._check_refusal(writes[0], refused[0])
            return
        if any(isinstance(writes[position], Check) for position in refused):
            raise FlowChanged
        if any(writes[position].table != self._table.name for position in refused):
            raise RecordChanged
        windows = changed([writes[position] for position in refused])
        if windows is not None:
            raise windows
        puts = [write for write in map(writes.__getitem__, refused) if isinstance(write, Put)]
        parts = {put.item["part"] for put in puts}
        # A repeated create finds its job key taken by its own first try. It must get the first
        # answer, so check the Idempotency-Key before the job key.
        if "answer" in parts:
            raise AlreadyAnswered
        if "name" in parts and key is not None:
            raise KeyIsTaken(key)
        raise Unavailable(_PART)

    def _check_refusal(self, write: Write, item: Item) -> None:
        """Raise StateChanged unless the existing item was written by this very write."""
        ours = write.item["write_token"] if isinstance(write, Put) else None
        if item and ours and item.get("write_token") == ours:
            return
        # A refused delete without an item: the job was deleted already, by our first try, whose
        # answer was lost, or by another client.
        raise StateChanged(read_state(item) if item else None)
