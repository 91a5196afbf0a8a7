"""The items of the job table, and the conditional writes that put them there."""

from __future__ import annotations

import uuid
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.aws.serialization import (
    dump_definition,
    dump_state,
    load_definition,
    load_state,
    sortable,
)
from chalicelib.domain.job import Definition
from chalicelib.domain.state import State

# One index partition takes 1,000 writes a second, and a firing makes four there.
WATCH_SHARDS = 16


@dataclass(frozen=True, slots=True)
class Answered:
    """The first answer to a request with an Idempotency-Key.

    `fingerprint` tells whether a repeat is the same request.
    """

    fingerprint: str
    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Idempotency:
    """An Idempotency-Key as the tables know it: `name` is unique for tenant, method, path and key."""

    name: str
    answered: Answered
    expires_at: datetime


def put_state(table: str, state: State) -> dict[str, Any]:
    """Return the write of a state that holds only if the revision before it is still there."""
    item = {
        "id": {"S": state.job_id},
        "part": {"S": "state"},
        "revision": {"N": str(state.revision)},
        "write_token": {"S": uuid.uuid4().hex},
        "state": {"S": dump_state(state)},
    }
    if state.watch_at is not None:
        item["watch_at"] = {"S": sortable(state.watch_at)}
        item["watch_shard"] = {"S": str(zlib.crc32(state.job_id.encode()) % WATCH_SHARDS)}
    put: dict[str, Any] = {
        "TableName": table,
        "Item": item,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    if state.revision == 1:
        put["ConditionExpression"] = "attribute_not_exists(id)"
    else:
        put["ConditionExpression"] = "revision = :read"
        put["ExpressionAttributeValues"] = {":read": {"N": str(state.revision - 1)}}
    return {"Put": put}


def put_definition(table: str, definition: Definition) -> dict[str, Any]:
    """Return the write of a definition; what is written beside it holds it back."""
    item = {
        "id": {"S": definition.id},
        "part": {"S": "definition"},
        "tenant": {"S": definition.tenant},
        "definition": {"S": dump_definition(definition)},
    }
    return {"Put": {"TableName": table, "Item": item}}


def put_key(table: str, tenant: str, key: str, job_id: str) -> dict[str, Any]:
    """Return the write that takes a job key, if it is free."""
    item = {"id": {"S": key_name(tenant, key)}, "part": {"S": "name"}, "job_id": {"S": job_id}}
    return {
        "Put": {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(id)"}
    }


def put_answer(table: str, idempotency: Idempotency, now: datetime) -> dict[str, Any]:
    """Return the write that keeps the first answer under an Idempotency-Key, if none is kept that
    has not expired.
    """
    answered = idempotency.answered
    item = {
        "id": {"S": idempotency.name},
        "part": {"S": "answer"},
        "fingerprint": {"S": answered.fingerprint},
        "status": {"N": str(answered.status)},
        "body": {"S": answered.body},
        "expires_at": {"N": str(int(idempotency.expires_at.timestamp()))},
    }
    absent_or_expired = "attribute_not_exists(id) OR expires_at <= :now"
    put = {
        "TableName": table,
        "Item": item,
        "ConditionExpression": absent_or_expired,
        "ExpressionAttributeValues": {":now": {"N": str(int(now.timestamp()))}},
    }
    return {"Put": put}


def key_name(tenant: str, key: str) -> str:
    """Return the name of the item that holds a tenant's job key."""
    return f"key#{tenant}#{key}"


def read_definition(item: dict[str, Any]) -> Definition:
    """Read a definition back from its item."""
    return load_definition(item["definition"]["S"])


def read_state(item: dict[str, Any]) -> State:
    """Read a state back from its item."""
    watch_at = item.get("watch_at")
    at = datetime.fromisoformat(watch_at["S"]) if watch_at else None
    return load_state(item["id"]["S"], int(item["revision"]["N"]), at, item["state"]["S"])
