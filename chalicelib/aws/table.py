"""A DynamoDB table: its operations with retries and paging, on items of plain values.

Attributes are texts (`str`), whole numbers (`int`) and `bytes`. An attribute of any other type,
which a later release may write, stays as DynamoDB's client returns it.

Every operation raises Unavailable if DynamoDB does not answer, with `unknown` if a write may have
taken effect, and ClientError for any other refusal. A failed condition is a return value, not an
exception.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.aws.clients import Caller, cancellation_reasons, code_of
from chalicelib.domain.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]

# The most keys that one BatchGetItem takes.
_BATCH = 100


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition expression with the values (`:name`) and attribute names (`#name`) in it."""

    expression: str
    values: Item = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Put:
    """The write of an item into a table, with an optional condition.

    With `returns_old`, a failed condition returns the existing item.
    """

    table: str
    item: Item
    condition: Condition | None = None
    returns_old: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """The delete of an item. `returns_old` is as in `Put`."""

    table: str
    key: Item
    condition: Condition | None = None
    returns_old: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """The update of an item, which is created if there is none.

    `expression` may use the values of `values` and of the condition.
    """

    table: str
    key: Item
    expression: str
    values: Item
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """The condition of a transaction on an item that it does not write."""

    table: str
    key: Item
    condition: Condition


Write = Put | Delete | Update | Check


class Table:
    """One table. `part` is its name in Unavailable; `sleep` takes seconds."""

    def __init__(
        self,
        client: DynamoDBClient,
        name: str,
        part: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        # `Any`, because the requests are plain dicts, which the stubs do not accept.
        self._client: Any = client
        self._call = Caller(part, sleep)
        self.name = name

    def get(self, **key: str) -> Item | None:
        """Return an item, read consistently; None if there is none."""
        request = {"TableName": self.name, "Key": _typed(key), "ConsistentRead": True}
        answer = self._call(lambda: self._client.get_item(**request))
        return plain(answer["Item"]) if "Item" in answer else None

    def batch_get(self, keys: Iterable[Item], *, consistent: bool = True) -> list[Item]:
        """Return the items that exist, unordered. Give each key only once.

        If not `consistent`, they may lag by a second, and cost half.
        """
        items, wanted = list[Item](), [_typed(key) for key in keys]
        request: dict[str, Any] = {}
        while wanted:
            request[self.name] = {"Keys": wanted[:_BATCH], "ConsistentRead": consistent}
            answer = self._call(lambda: self._client.batch_get_item(RequestItems=request))
            items += map(plain, answer["Responses"].get(self.name, []))
            unprocessed = answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
            wanted = [*unprocessed, *wanted[_BATCH:]]
        return items

    def query(
        self,
        condition: Condition,
        *,
        index: str | None = None,
        after: Item | None = None,
        limit: int | None = None,
        backward: bool = False,
    ) -> tuple[list[Item], Item | None]:
        """Return up to `limit` items that meet a key condition, and the next page's `after`.

        `after` is None for the first page and after the last. `limit` None reads all items;
        `backward` reads from the last item. A table is read consistently; an index may lag by a
        second.
        """
        request = self._query(condition, index)
        if backward:
            request["ScanIndexForward"] = False
        items = list[Item]()
        while True:
            if after is not None:
                request["ExclusiveStartKey"] = _typed(after)
            if limit is not None:
                request["Limit"] = limit - len(items)
            answer = self._call(lambda: self._client.query(**request))
            items += map(plain, answer["Items"])
            after = plain(answer["LastEvaluatedKey"]) if "LastEvaluatedKey" in answer else None
            if after is None or len(items) == limit:
                return items, after

    def count(self, condition: Condition, *, index: str | None = None) -> int:
        """Count the items that meet a key condition."""
        request = self._query(condition, index) | {"Select": "COUNT"}
        pages = self._pages(lambda: self._client.query(**request), request)
        return sum(int(answer["Count"]) for answer in pages)

    def scan(self) -> Iterator[Item]:
        """Yield every item, unordered, read consistently."""
        request: dict[str, Any] = {"TableName": self.name, "ConsistentRead": True}
        for answer in self._pages(lambda: self._client.scan(**request), request):
            yield from map(plain, answer["Items"])

    def put(self, item: Item, condition: Condition | None = None) -> bool:
        """Put an item; return False if the condition fails."""
        return not self.write(Put(self.name, item, condition))

    def update(self, key: Item, update: str, condition: Condition) -> bool:
        """Update an item; return False if the condition fails. `update` uses its values too."""
        request = {"TableName": self.name, "Key": _typed(key), "UpdateExpression": update}
        request |= _expression("ConditionExpression", condition)
        if not condition.expression:
            del request["ConditionExpression"]
        return not self._refused(lambda: self._client.update_item(**request))

    def changed(self, key: Item, update: str, condition: Condition) -> Item | None:
        """Update an item, as `update` does, and return it as it is then; None if the condition
        fails.
        """
        request = {"TableName": self.name, "Key": _typed(key), "UpdateExpression": update}
        request |= _expression("ConditionExpression", condition) | {"ReturnValues": "ALL_NEW"}
        try:
            answer = self._call(lambda: self._client.update_item(**request), writes=True)
        except ClientError as error:
            if code_of(error) == "ConditionalCheckFailedException":
                return None
            raise
        return plain(answer["Attributes"])

    def delete(self, **key: str) -> None:
        """Delete an item. Succeeds if there is none."""
        request = {"TableName": self.name, "Key": _typed(key)}
        self._call(lambda: self._client.delete_item(**request), writes=True)

    def write(self, *writes: Write, once: bool = False) -> dict[int, Item]:
        """Make all writes or none: a single put as PutItem, anything else as a transaction.

        With `once` a single put is a transaction too, at twice the price: the SDK's repeats of a
        transaction have no effect, even if the item was deleted in between.
        Return an empty dict if they were made. Otherwise return, by position, the writes whose
        conditions failed, each with the existing item (empty if there is none, or without
        `returns_old`).
        """
        requests = [_request(write) for write in writes]
        if "Put" in requests[0] and len(requests) == 1 and not once:
            return self._refused(lambda: self._client.put_item(**requests[0]["Put"]))
        return self._refused(lambda: self._client.transact_write_items(TransactItems=requests))

    def _query(self, condition: Condition, index: str | None) -> dict[str, Any]:
        where = {"IndexName": index} if index else {"ConsistentRead": True}
        expression = _expression("KeyConditionExpression", condition)
        return {"TableName": self.name, **where, **expression}

    def _pages(self, ask: Callable[[], Any], request: dict[str, Any]) -> Iterator[Any]:
        """Yield the answers to a request, page by page. Sets ExclusiveStartKey in `request`."""
        while True:
            answer = self._call(ask)
            yield answer
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _refused(self, request: Callable[[], Any]) -> dict[int, Item]:
        try:
            self._call(request, writes=True)
        except ClientError as error:
            if code_of(error) == "ConditionalCheckFailedException":
                response: Any = error.response
                return {0: plain(response.get("Item", {}))}
            reasons = cancellation_reasons(error)
            if not reasons:
                raise
            refused = {
                position: plain(reason.get("Item", {}))
                for position, reason in enumerate(reasons)
                if reason.get("Code") == "ConditionalCheckFailed"
            }
            if not refused:
                raise Unavailable(self._call.part) from error
            return refused
        return {}


def plain(item: Mapping[str, Any]) -> Item:
    """Convert an item of DynamoDB's client to plain values."""
    return {name: _plain(value) for name, value in item.items()}


def _plain(value: dict[str, Any]) -> Any:
    if "S" in value:
        return value["S"]
    return int(value["N"]) if "N" in value else value.get("B", value)


def _typed(item: Item) -> dict[str, Any]:
    return {name: _typed_value(value) for name, value in item.items()}


def _typed_value(value: Any) -> Any:
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, bytes):
        return {"B": value}
    return {"N": str(value)} if isinstance(value, int) else value


def _expression(name: str, condition: Condition) -> dict[str, Any]:
    request: dict[str, Any] = {name: condition.expression}
    if condition.values:
        request["ExpressionAttributeValues"] = _typed(condition.values)
    if condition.names:
        request["ExpressionAttributeNames"] = dict(condition.names)
    return request


def _request(write: Write) -> dict[str, Any]:
    """Return a write as an entry of TransactItems."""
    request: dict[str, Any] = {"TableName": write.table}
    if write.condition:
        request |= _expression("ConditionExpression", write.condition)
    if isinstance(write, Update):
        values = request.get("ExpressionAttributeValues", {}) | _typed(write.values)
        update = {"UpdateExpression": write.expression, "ExpressionAttributeValues": values}
        return {"Update": request | update | {"Key": _typed(write.key)}}
    if isinstance(write, Check):
        return {"ConditionCheck": request | {"Key": _typed(write.key)}}
    if write.returns_old:
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    if isinstance(write, Put):
        return {"Put": request | {"Item": _typed(write.item)}}
    return {"Delete": request | {"Key": _typed(write.key)}}
