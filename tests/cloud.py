"""A small cloud in memory: the clients of DynamoDB, SQS and EventBridge Scheduler as far as Resona uses them.

Each call goes through `Cloud.called`, where a test may make it fail before or after its effect. `tests/test_cloud.py` holds
these stand-ins against moto, so that they cannot drift.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

Item = dict[str, Any]


def client_error(code: str, operation: str, status: int = 400, **members: Any) -> ClientError:
    """Make the error that boto3 raises for a service's refusal."""
    return ClientError({"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}, **members}, operation)


@dataclass
class Message:
    """A message of the due queue: visible from `visible_at`, received `count` times."""

    body: str
    group: str
    visible_at: datetime
    count: int = 0


@dataclass
class Cloud:
    """What the clients share: the tables, the messages, the schedules, and the hook for faults."""

    clock: Callable[[], datetime]
    tables: dict[str, dict[tuple[str, ...], Item]] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    schedules: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    before: Callable[[str, dict[str, Any]], None] = lambda operation, request: None
    after: Callable[[str, dict[str, Any]], None] = lambda operation, request: None
    ids: Any = field(default_factory=itertools.count)

    def called(self, operation: str, request: dict[str, Any], effect: Callable[[], Any]) -> Any:
        """Make a call: `before` and `after` may raise in its place."""
        self.calls.append(operation)
        self.before(operation, request)
        answer = effect()
        self.after(operation, request)
        return copy.deepcopy(answer)

    def items(self, table: str, index: str | None) -> dict[tuple[str, ...], Item]:
        """Return what a query sees. An index may lag; here it does not."""
        return self.tables.setdefault(table, {})

    def written(self, table: str, key: tuple[str, ...], old: Item | None, new: Item | None) -> None:
        """Be told of each item that was written; `new` is None when it was deleted."""


KEYS = {"jobs": ("id", "part"), "runs": ("job_id", "sort")}
INDEXES = {"by_tenant": ("tenant", "id"), "by_watch": ("watch_shard", "watch_at")}


Clause = tuple[str, str, str]


def holds(condition: str | None, item: Item | None, values: Item, names: dict[str, str]) -> bool:
    """Evaluate a condition expression of the few forms that Resona writes."""
    if not condition:
        return True
    return any(all(_holds(clause, item or {}, values, names) for clause in part) for part in _clauses(condition))


@cache
def _clauses(condition: str) -> list[list[Clause]]:
    return [[_clause(clause.strip()) for clause in part.split(" AND ")] for part in condition.split(" OR ")]


def _clause(text: str) -> Clause:
    """Return (operator, attribute, name of the value)."""
    if match := re.fullmatch(r"attribute_not_exists\((\w+)\)", text):
        return "absent", match[1], ""
    if match := re.fullmatch(r"begins_with\((\w+), (:\w+)\)", text):
        return "begins", match[1], match[2]
    match = re.fullmatch(r"(#?\w+) (=|<|<=) (:\w+)", text)
    assert match, f"the cloud in memory does not know the condition {text!r}"
    return match[2], match[1], match[3]


def _holds(clause: Clause, item: Item, values: Item, names: dict[str, str]) -> bool:
    operator, attribute, value = clause
    attribute = names.get(attribute, attribute)
    if operator == "absent":
        return attribute not in item
    if attribute not in item:
        return False
    left, right = _value(item[attribute]), _value(values[value])
    if operator == "=":
        return bool(left == right)
    if operator == "begins":
        return bool(left.startswith(right))
    return bool(left < right or (operator == "<=" and left == right))


def _value(attribute: dict[str, Any]) -> Any:
    return int(attribute["N"]) if "N" in attribute else attribute["S"]


class DynamoDB:
    """Tables named `jobs` and `runs`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def _table(self, name: str) -> dict[tuple[str, ...], Item]:
        return self._cloud.tables.setdefault(name, {})

    def _key(self, table: str, item: Item) -> tuple[str, ...]:
        return tuple(item[name]["S"] for name in KEYS[table])

    def put_item(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            self._check(request, request["Item"], "PutItem")
            self._apply({"Put": request})
            return {}

        return self._cloud.called("PutItem", request, effect)

    def _check(self, request: dict[str, Any], keyed: Item, operation: str) -> None:
        reason = self._refusal(request, keyed)
        if reason:
            found = {"Item": reason["Item"]} if "Item" in reason else {}
            raise client_error("ConditionalCheckFailedException", operation, **found)

    def _refusal(self, request: dict[str, Any], keyed: Item) -> dict[str, Any] | None:
        table = request["TableName"]
        item = self._table(table).get(self._key(table, keyed))
        values, names = request.get("ExpressionAttributeValues", {}), request.get("ExpressionAttributeNames", {})
        if holds(request.get("ConditionExpression"), item, values, names):
            return None
        reason: dict[str, Any] = {"Code": "ConditionalCheckFailed"}
        if item is not None and request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
            reason["Item"] = {name: dict(value) for name, value in item.items()}
        return reason

    def _apply(self, write: dict[str, Any]) -> None:
        if "Put" in write:
            request, new = write["Put"], {name: dict(value) for name, value in write["Put"]["Item"].items()}
        else:
            request, new = write["Delete"], None
        name = request["TableName"]
        key, table = self._key(name, request.get("Item") or request["Key"]), self._table(name)
        old = table.pop(key, None)
        if new is not None:
            table[key] = new
        self._cloud.written(name, key, old, new)

    def transact_write_items(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            writes = request["TransactItems"]
            keyed = [
                (write.get("Put") or write["Delete"], (write.get("Put") or {}).get("Item") or write["Delete"]["Key"]) for write in writes
            ]
            refusals = [self._refusal(inner, item) for inner, item in keyed]
            if any(refusals):
                reasons = [refusal or {"Code": "None"} for refusal in refusals]
                raise client_error("TransactionCanceledException", "TransactWriteItems", CancellationReasons=reasons)
            for write in writes:
                self._apply(write)
            return {}

        return self._cloud.called("TransactWriteItems", request, effect)

    def get_item(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            item = self._table(request["TableName"]).get(self._key(request["TableName"], request["Key"]))
            return {"Item": item} if item else {}

        return self._cloud.called("GetItem", request, effect)

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            found: dict[str, list[Item]] = {}
            for table, wanted in request["RequestItems"].items():
                items = (self._table(table).get(self._key(table, key)) for key in wanted["Keys"])
                found[table] = [item for item in items if item]
            return {"Responses": found, "UnprocessedKeys": {}}

        return self._cloud.called("BatchGetItem", request, effect)

    def query(self, **request: Any) -> dict[str, Any]:
        return self._cloud.called("Query", request, lambda: self._query(request))

    def _query(self, request: dict[str, Any]) -> dict[str, Any]:
        table = request["TableName"]
        index = request.get("IndexName")
        order = (*INDEXES[index], *KEYS[table]) if index else KEYS[table]
        values = request["ExpressionAttributeValues"]
        # A key condition does not hold for an item without the key, and so not for one that a sparse index leaves out.
        items = [item for item in self._cloud.items(table, index).values() if holds(request["KeyConditionExpression"], item, values, {})]
        items = [item for item in items if all(name in item for name in order)]
        forward = request.get("ScanIndexForward", True)

        def place(item: Item) -> tuple[Any, ...]:
            return tuple(_value(item[name]) for name in order)

        items.sort(key=place, reverse=not forward)
        start = request.get("ExclusiveStartKey")
        if start:
            items = [item for item in items if (place(item) > place(start) if forward else place(item) < place(start))]
        limit = request.get("Limit", len(items) + 1)
        answer: dict[str, Any] = {"Items": items[:limit]}
        if len(items) >= limit:
            answer["LastEvaluatedKey"] = {name: items[limit - 1][name] for name in order}
        if index:
            answer["Items"] = [{name: item[name] for name in order} for item in answer["Items"]]
        return answer


class SQS:
    """One queue."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            for entry in request["Entries"]:
                visible_at = self._cloud.clock() + timedelta(seconds=entry["DelaySeconds"])
                message = Message(entry["MessageBody"], entry["MessageGroupId"], visible_at)
                self._cloud.messages[f"m{next(self._cloud.ids)}"] = message
            return {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]]}

        return self._cloud.called("SendMessageBatch", request, effect)


class Scheduler:
    """One schedule group."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def create_schedule(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            if request["Name"] in self._cloud.schedules:
                raise client_error("ConflictException", "CreateSchedule", 409)
            self._cloud.schedules[request["Name"]] = {**request, "made_at": self._cloud.clock()}
            return {"ScheduleArn": request["Name"]}

        return self._cloud.called("CreateSchedule", request, effect)

    def delete_schedule(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            if self._cloud.schedules.pop(request["Name"], None) is None:
                raise client_error("ResourceNotFoundException", "DeleteSchedule", 404)
            return {}

        return self._cloud.called("DeleteSchedule", request, effect)
