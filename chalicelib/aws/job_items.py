"""The items of the job table: their conditional writes, and how they are read."""

from __future__ import annotations

import uuid
import zlib
from dataclasses import dataclass
from datetime import datetime

from chalicelib.aws.serialization import (
    dump_definition,
    dump_state,
    load_definition,
    load_state,
    sortable,
)
from chalicelib.aws.table import Condition, Item, Put
from chalicelib.domain.errors import ResonaError
from chalicelib.domain.job import Definition, Kind
from chalicelib.domain.state import State

# An index partition takes 1,000 writes a second, and a firing makes two in this index.
WATCH_SHARDS = 16

ABSENT = Condition("attribute_not_exists(id)")


class RecordChanged(ResonaError):
    """Another writer changed the record of the attempt since it was read: decide again."""

    def __init__(self) -> None:
        super().__init__("the record of the attempt has changed since it was read")


class FlowChanged(ResonaError):
    """A flow has changed since it was read: read it again."""

    def __init__(self) -> None:
        super().__init__("the flow has changed since it was read")


@dataclass(frozen=True, slots=True)
class Answered:
    """The first answer to a request with an Idempotency-Key.

    `fingerprint` is compared to detect a different request with the same key.
    """

    fingerprint: str
    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Watched:
    """An entry of the index of watched states: where it is, and whose state it is."""

    watch_at: str
    shard: int
    job_id: str


@dataclass(frozen=True, slots=True)
class Idempotency:
    """An Idempotency-Key and its answer; `name` is unique for tenant, method, path and key."""

    name: str
    answered: Answered
    expires_at: datetime


def put_state(table: str, state: State, expires_at: datetime | None = None) -> Put:
    """Return the write of a state, conditional on the revision before it.

    With `expires_at` DynamoDB deletes the item then, or up to two days later.
    """
    item: Item = {
        "id": state.job_id,
        "part": "state",
        "revision": state.revision,
        "write_token": uuid.uuid4().hex,
        "state": dump_state(state),
        **_expiry(expires_at),
    }
    if state.watch_at is not None:
        item["watch_at"] = sortable(state.watch_at)
        item["watch_shard"] = str(zlib.crc32(state.job_id.encode()) % WATCH_SHARDS)
    before = ABSENT
    if state.revision > 1:
        before = Condition("revision = :read", {":read": state.revision - 1})
    return Put(table, item, before, returns_old=True)


def put_definition(table: str, definition: Definition, expires_at: datetime | None = None) -> Put:
    """Return the write of a definition. `expires_at` is as in `put_state`.

    Unconditional: used in a transaction together with the conditional write of the state, or, for a
    new job, with a condition of its own.
    """
    item = {
        "id": definition.id,
        "part": "definition",
        "tenant": list_name(definition.tenant, definition.kind),
        "definition": dump_definition(definition),
        **_expiry(expires_at),
    }
    return Put(table, item)


def _expiry(expires_at: datetime | None) -> Item:
    return {"expires_at": int(expires_at.timestamp())} if expires_at else {}


def list_name(tenant: str, kind: Kind) -> str:
    """Return the partition of the index `by_tenant` that lists a tenant's jobs of this kind.

    A tenant's name has no `#`, so no tenant's jobs are in another's partition.
    """
    return tenant if kind is Kind.JOB else f"{kind}#{tenant}"


def put_key(table: str, tenant: str, key: str, job_id: str) -> Put:
    """Return the write that reserves a job key, conditional on the key being free."""
    item = {"id": key_name(tenant, key), "part": "name", "job_id": job_id}
    return Put(table, item, ABSENT)


def put_answer(table: str, idempotency: Idempotency, now: datetime) -> Put:
    """Return the write of the first answer to an Idempotency-Key.

    Its condition: there is no answer yet, or an expired one.
    """
    answered = idempotency.answered
    item = {
        "id": idempotency.name,
        "part": "answer",
        "fingerprint": answered.fingerprint,
        "status": answered.status,
        "body": answered.body,
        "expires_at": int(idempotency.expires_at.timestamp()),
    }
    absent_or_expired = Condition(
        "attribute_not_exists(id) OR expires_at <= :now", {":now": int(now.timestamp())}
    )
    return Put(table, item, absent_or_expired)


def key_name(tenant: str, key: str) -> str:
    """Return the id of the item that reserves a tenant's job key."""
    return f"key#{tenant}#{key}"


def read_definition(item: Item) -> Definition:
    """Return the definition in an item."""
    return load_definition(item["definition"])


def read_state(item: Item) -> State:
    """Return the state in an item."""
    watch_at = datetime.fromisoformat(item["watch_at"]) if "watch_at" in item else None
    return load_state(item["id"], item["revision"], watch_at, item["state"])
