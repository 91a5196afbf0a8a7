"""The table of jobs: two items a job under its own id, so that one consistent query reads both.

    id    hash    the job's id
    part  range   `definition`: what the user wrote; `state`: where the job stands

    index by_tenant (keys only):  tenant, id                on definitions; lists may lag by a second
    index by_watch  (keys only):  watch_shard, watch_at     on states that wait for something

A state is written only if its revision is still the one that was read. Each write leaves a random
`write_token`: a write whose answer was lost, and which the SDK then repeated, finds its own token
in the item that refuses it, and is a success.

Beside them lie the names that must be unique: an item `key#<tenant>#<key>` for each job key, and
`idempotency#…` (`domain.idempotency`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.aws.clients import Caller, cancellation_reasons, code_of
from chalicelib.aws.job_items import (
    Answered,
    Idempotency,
    key_name,
    put_answer,
    put_definition,
    put_key,
    put_state,
    read_definition,
    read_state,
)
from chalicelib.aws.serialization import sortable
from chalicelib.domain.errors import JobNotFound, KeyIsTaken, ResonaError, Unavailable
from chalicelib.domain.job import Definition
from chalicelib.domain.state import State

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Where a query of an index goes on.
Place = dict[str, Any]

_PART = "the job table"
_READS = 5


class StateChanged(ResonaError):
    """Someone else wrote the state first: decide again.

    `current` is the state now, None if the job is gone.
    """

    def __init__(self, current: State | None) -> None:
        self.current = current
        super().__init__("the state has changed since it was read")


class AlreadyAnswered(ResonaError):
    """A request with this Idempotency-Key has been answered."""


class JobStore:
    """Definitions and states.

    What serves the API takes the tenant first, and does not find another's job.
    """

    def __init__(
        self, client: DynamoDBClient, table: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._call = Caller(_PART, sleep)
        self._table = table

    def get(self, tenant: str, job_id: str) -> tuple[Definition, State]:
        """Return the tenant's job. Raises JobNotFound."""
        found = self.load(job_id)
        if found is None or found[0].tenant != tenant:
            raise JobNotFound
        return found

    def load(self, job_id: str) -> tuple[Definition, State] | None:
        """Return a matching pair of definition and state, read consistently; None if there is no
        such job.
        """
        for _ in range(_READS):
            items = self._items(job_id)
            if "definition" not in items or "state" not in items:
                return None
            definition, state = read_definition(items["definition"]), read_state(items["state"])
            # The query may have seen one item before a change and the other after it.
            if definition.edition == state.edition:
                return definition, state
        raise Unavailable(_PART)

    def _items(self, job_id: str) -> dict[str, dict[str, Any]]:
        answer: Any = self._call(
            lambda: self._client.query(
                TableName=self._table,
                KeyConditionExpression="id = :id",
                ExpressionAttributeValues={":id": {"S": job_id}},
                ConsistentRead=True,
            ),
        )
        return {item["part"]["S"]: item for item in answer["Items"]}

    def state(self, job_id: str) -> State | None:
        """Return a job's state alone, read consistently; None if there is no such job."""
        item = self._item(job_id, "state")
        return read_state(item) if item else None

    def find_key(self, tenant: str, key: str) -> str:
        """Return the id of the tenant's job with this key. Raises JobNotFound."""
        item = self._item(key_name(tenant, key), "name")
        if item is None:
            raise JobNotFound
        return str(item["job_id"]["S"])

    def refuse_taken(self, tenant: str, key: str | None) -> None:
        """Raise KeyIsTaken if the tenant has a job with this key; who adds one is refused all the
        same. None is no key.
        """
        if key is not None and self._item(key_name(tenant, key), "name") is not None:
            raise KeyIsTaken(key)

    def answered(self, name: str, now: datetime) -> Answered | None:
        """Return the first answer under this Idempotency-Key, None if there is none or it has
        expired.
        """
        item = self._item(name, "answer")
        if item is None or int(item["expires_at"]["N"]) <= now.timestamp():
            return None
        return Answered(item["fingerprint"]["S"], int(item["status"]["N"]), item["body"]["S"])

    def _item(self, name: str, part: str) -> dict[str, Any] | None:
        answer: Any = self._call(
            lambda: self._client.get_item(
                TableName=self._table,
                Key={"id": {"S": name}, "part": {"S": part}},
                ConsistentRead=True,
            ),
        )
        item: dict[str, Any] | None = answer.get("Item")
        return item

    def add(
        self, definition: Definition, state: State, idempotency: Idempotency | None, now: datetime
    ) -> None:
        """Write a new job, all or nothing. Raises KeyIsTaken, AlreadyAnswered."""
        items = [put_state(self._table, state), put_definition(self._table, definition)]
        if definition.key is not None:
            items.append(put_key(self._table, definition.tenant, definition.key, definition.id))
        if idempotency:
            items.append(put_answer(self._table, idempotency, now))
        self._transact(items, key=definition.key)

    def replace(self, definition: Definition, state: State) -> None:
        """Write a changed definition with its state, all or nothing. Raises StateChanged."""
        self._transact([put_state(self._table, state), put_definition(self._table, definition)])

    def save(
        self,
        state: State,
        beside: Sequence[dict[str, Any]] = (),
        idempotency: Idempotency | None = None,
        *,
        now: datetime,
    ) -> None:
        """Write the next revision of a state, and what must stand or fall with it.

        Raises StateChanged, AlreadyAnswered.
        """
        put = put_state(self._table, state)
        if beside or idempotency:
            answer = [put_answer(self._table, idempotency, now)] if idempotency else []
            self._transact([put, *beside, *answer])
            return
        try:
            self._call(lambda: self._client.put_item(**put["Put"]), writes=True)
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            item: Any = error.response.get("Item")
            self._check_refusal(item, put)

    def remove(self, definition: Definition, state: State) -> None:
        """Delete a job, all or nothing, if its state is still this one. Raises StateChanged."""
        unchanged = {
            "ConditionExpression": "revision = :revision",
            "ExpressionAttributeValues": {":revision": {"N": str(state.revision)}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        items: list[dict[str, Any]] = [
            {
                "Delete": {
                    "TableName": self._table,
                    "Key": {"id": {"S": state.job_id}, "part": {"S": "state"}},
                    **unchanged,
                }
            },
            {
                "Delete": {
                    "TableName": self._table,
                    "Key": {"id": {"S": state.job_id}, "part": {"S": "definition"}},
                }
            },
        ]
        if definition.key is not None:
            key = {"id": {"S": key_name(definition.tenant, definition.key)}, "part": {"S": "name"}}
            items.append({"Delete": {"TableName": self._table, "Key": key}})
        self._transact(items)

    def page(
        self, tenant: str, before: str | None, limit: int
    ) -> tuple[list[tuple[Definition, State]], str | None]:
        """Return up to `limit` of the tenant's jobs, newest first, and the id to go on before, None
        at the end.

        `before` is a job's id, None begins with the newest. A job that was deleted since the index
        saw it is left out.
        """
        more: dict[str, Any] = {}
        if before is not None:
            more = {
                "ExclusiveStartKey": {
                    "tenant": {"S": tenant},
                    "id": {"S": before},
                    "part": {"S": "definition"},
                }
            }
        answer: Any = self._call(
            lambda: self._client.query(
                TableName=self._table,
                IndexName="by_tenant",
                KeyConditionExpression="tenant = :tenant",
                ExpressionAttributeValues={":tenant": {"S": tenant}},
                ScanIndexForward=False,
                Limit=limit,
                **more,
            ),
        )
        ids = [item["id"]["S"] for item in answer["Items"]]
        following = answer.get("LastEvaluatedKey")
        return self._load_all(ids), following["id"]["S"] if following else None

    def _load_all(self, ids: list[str]) -> list[tuple[Definition, State]]:
        pairs = []
        for start in range(0, len(ids), 50):
            items = self._batch(ids[start : start + 50])
            for job_id in ids[start : start + 50]:
                definition, state = items.get((job_id, "definition")), items.get((job_id, "state"))
                if definition and state:
                    pairs.append((read_definition(definition), read_state(state)))
        # A batch reads each item by itself; a pair torn by a change in between is read again as
        # one.
        return [pair for pair in (self._whole(pair) for pair in pairs) if pair is not None]

    def _whole(self, pair: tuple[Definition, State]) -> tuple[Definition, State] | None:
        return pair if pair[0].edition == pair[1].edition else self.load(pair[0].id)

    def existing(self, ids: Iterable[str]) -> set[str]:
        """Return those ids, each given once, whose jobs are there. Read consistently."""
        wanted = list(ids)
        return {
            job_id
            for start in range(0, len(wanted), 100)
            for job_id, _ in self._batch(wanted[start : start + 100], ("state",))
        }

    def _batch(
        self, ids: list[str], parts: Sequence[str] = ("definition", "state")
    ) -> dict[tuple[str, str], dict[str, Any]]:
        keys: list[Any] = [
            {"id": {"S": job_id}, "part": {"S": part}} for job_id in ids for part in parts
        ]
        found: dict[tuple[str, str], dict[str, Any]] = {}
        while keys:
            request: dict[str, Any] = {self._table: {"Keys": keys, "ConsistentRead": True}}
            answer: Any = self._call(partial(self._client.batch_get_item, RequestItems=request))
            for item in answer["Responses"].get(self._table, []):
                found[item["id"]["S"], item["part"]["S"]] = item
            keys = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
        return found

    def overdue(
        self, shard: int, now: datetime, limit: int, after: Place | None = None
    ) -> tuple[list[str], Place | None]:
        """Return the ids of up to `limit` jobs of a shard whose `watch_at` has come, the longest
        overdue first, and where to go on.

        `after` None begins with the longest overdue; the place returned is None at the end.
        """
        more: dict[str, Any] = {"ExclusiveStartKey": after} if after is not None else {}
        answer: Any = self._call(
            lambda: self._client.query(
                TableName=self._table,
                IndexName="by_watch",
                KeyConditionExpression="watch_shard = :shard AND watch_at <= :now",
                ExpressionAttributeValues={
                    ":shard": {"S": str(shard)},
                    ":now": {"S": sortable(now)},
                },
                Limit=limit,
                **more,
            ),
        )
        return [item["id"]["S"] for item in answer["Items"]], answer.get("LastEvaluatedKey")

    def _transact(self, items: list[dict[str, Any]], *, key: str | None = None) -> None:
        writes: Any = items
        try:
            self._call(lambda: self._client.transact_write_items(TransactItems=writes), writes=True)
        except ClientError as error:
            reasons = cancellation_reasons(error)
            if not reasons:
                raise
            self._check_cancellation(items, reasons, key)

    def _check_cancellation(
        self, items: list[dict[str, Any]], reasons: list[dict[str, Any]], key: str | None
    ) -> None:
        """Tell what a cancelled transaction means: the state, written first, decides before the
        names do.
        """
        refused = [
            index
            for index, reason in enumerate(reasons)
            if reason.get("Code") == "ConditionalCheckFailed"
        ]
        if 0 in refused:
            self._check_refusal(reasons[0].get("Item"), items[0])
            return
        parts = {items[index]["Put"]["Item"]["part"]["S"] for index in refused}
        # A repeated create finds its key taken by its own first try: what it must be told is its
        # answer.
        if "answer" in parts:
            raise AlreadyAnswered
        if "name" in parts and key is not None:
            raise KeyIsTaken(key)
        raise Unavailable(_PART)

    def _check_refusal(self, item: dict[str, Any] | None, write: dict[str, Any]) -> None:
        """Raise StateChanged unless what stands there is what this very write put there."""
        ours = write.get("Put", {}).get("Item", {}).get("write_token")
        if item and ours and item.get("write_token") == ours:
            return
        if "Delete" in write and not item:
            # Deleted already: by our own lost try, or by someone else to the same end.
            raise StateChanged(None)
        raise StateChanged(read_state(item) if item else None)
