"""A small cloud in memory: the clients of DynamoDB, SQS and EventBridge Scheduler as far as Resona
uses them.

Each call goes through `Cloud.called`, where a test may make it fail before or after its effect;
`tests/permissions.py` has refused it by then if a function makes it whose policy does not allow it.
`tests/test_cloud.py` holds these stand-ins against moto, so that they cannot drift.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

from tests import permissions
from tests.permissions import TOPIC

Item = dict[str, Any]
Key = tuple[str, ...]
Clause = tuple[str, str, str]
Answer = dict[str, Any]


def client_error(code: str, operation: str, status: int = 400, **members: Any) -> ClientError:
    """Make the error that boto3 raises for a service's refusal."""
    response: Any = {
        "Error": {"Code": code, "Message": code},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **members,
    }
    return ClientError(response, operation)


def require(is_valid: bool, operation: str, code: str = "ValidationException") -> None:
    """Refuse a malformed request, as the services do before they look at anything else."""
    if not is_valid:
        raise client_error(code, operation)


class Table(dict[Key, Item]):
    """The items of a table by their keys, which are noted by partition, so that a query of one need
    not look at all others.

    Tests may assign to it and delete from it as they like; only `update`, `setdefault` and `|=`
    would go past the notes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._noted: defaultdict[str, set[Key]] = defaultdict(set)

    def __setitem__(self, key: Key, item: Item) -> None:
        self._noted[key[0]].add(key)
        super().__setitem__(key, item)

    def partition(self, name: str) -> list[Item]:
        """Return the items of a partition in no order.

        A key stays noted when its item is deleted.
        """
        return [self[key] for key in self._noted.get(name, ()) if key in self]


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
    tables: defaultdict[str, Table] = field(default_factory=lambda: defaultdict(Table))
    messages: dict[str, Message] = field(default_factory=dict)
    schedules: dict[str, dict[str, Any]] = field(default_factory=dict)
    published: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    before: Callable[[str, dict[str, Any]], None] = lambda operation, request: None
    after: Callable[[str, dict[str, Any]], None] = lambda operation, request: None
    ids: Any = field(default_factory=itertools.count)

    def asked(
        self, operation: str, request: dict[str, Any], effect: Callable[[], Answer]
    ) -> Answer:
        """Call for a client. A Lambda function of Resona's needs the permission."""
        permissions.check(operation, request)
        return self.called(operation, request, effect)

    def called(
        self, operation: str, request: dict[str, Any], effect: Callable[[], Answer]
    ) -> Answer:
        """Make a call: `before` and `after` may raise in its place."""
        self.calls.append(operation)
        self.before(operation, request)
        answer = effect()
        self.after(operation, request)
        return copy.deepcopy(answer)

    def empty(self) -> None:
        """Forget everything that is stored, and the calls."""
        for table in self.tables.values():
            table.clear()
        self.messages.clear()
        self.schedules.clear()
        self.calls.clear()

    def items(self, table: str, index: str | None) -> dict[Key, Item]:
        """Return what a query of an index sees. It may lag; here it does not."""
        return self.tables[table]

    def written(self, table: str, key: Key, old: Item | None, new: Item | None) -> None:
        """Be told of each item that was written; `new` is None when it was deleted."""


KEYS = {
    "jobs": ("id", "part"),
    "runs": ("job_id", "sort"),
    "secrets": ("tenant", "name"),
    "keys": ("id",),
}
INDEXES = {
    "by_tenant": ("tenant", "id"),
    "by_watch": ("watch_shard", "watch_at"),
    "by_wrong": ("wrong_shard", "wrong_at"),
}
# In bytes. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
LONGEST_KEY = {"id": 2048, "part": 1024, "job_id": 2048, "sort": 1024, "tenant": 2048, "name": 1024}
LONGEST_KEY |= {"watch_shard": 2048, "watch_at": 1024, "wrong_shard": 2048, "wrong_at": 1024}
LARGEST_ITEM, LARGEST_PAGE = 400 * 1024, 1024 * 1024


def size(item: Item) -> int:
    """Return the bytes of an item's names and values.

    A number counts as its text, a little more than DynamoDB counts.
    """
    return sum(
        [
            len(name) + len(text if isinstance(text, bytes) else text.encode())
            for name, attribute in item.items()
            for text in attribute.values()
        ]
    )


def keys_fit(item: Item) -> bool:
    """Say whether no key in an item is empty or too long."""
    return all(
        0 < len(item[name]["S"].encode()) <= LONGEST_KEY[name]
        for name in item
        if name in LONGEST_KEY
    )


def fits(item: Item) -> bool:
    """Say whether an item may be stored."""
    return keys_fit(item) and size(item) <= LARGEST_ITEM


def first_page(items: list[Item]) -> list[Item]:
    """Return as many of the first items as one answer has room for."""
    if len(items) * LARGEST_ITEM <= LARGEST_PAGE:
        return items
    totals = itertools.accumulate(size(item) for item in items)
    return [item for item, total in zip(items, totals, strict=True) if total <= LARGEST_PAGE]


def holds(condition: str | None, item: Item | None, values: Item, names: dict[str, str]) -> bool:
    """Evaluate a condition expression of the few forms that Resona writes."""
    if not condition:
        return True
    for part in _clauses(condition):
        for clause in part:
            if not _holds(clause, item or {}, values, names):
                break
        else:
            return True
    return False


@cache
def _clauses(condition: str) -> list[list[Clause]]:
    condition = re.sub(r"(\w+) BETWEEN (:\w+) AND (:\w+)", r"\1 >= \2 AND \1 <= \3", condition)
    return [
        [_clause(clause.strip()) for clause in part.split(" AND ")]
        for part in condition.split(" OR ")
    ]


def _clause(text: str) -> Clause:
    """Return (operator, attribute, name of the value)."""
    if match := re.fullmatch(r"attribute_not_exists\((\w+)\)", text):
        return "absent", match[1], ""
    if match := re.fullmatch(r"attribute_exists\((\w+)\)", text):
        return "present", match[1], ""
    if match := re.fullmatch(r"begins_with\((#?\w+), (:\w+)\)", text):
        return "begins", match[1], match[2]
    match = re.fullmatch(r"(#?\w+) (=|<>|<|<=|>|>=) (:\w+)", text)
    assert match, f"the cloud in memory does not know the condition {text!r}"
    return match[2], match[1], match[3]


def _holds(clause: Clause, item: Item, values: Item, names: dict[str, str]) -> bool:
    operator, attribute, value = clause
    attribute = names.get(attribute, attribute)
    if operator == "absent":
        return attribute not in item
    if attribute not in item or operator == "present":
        return attribute in item
    left, right = _value(item[attribute]), _value(values[value])
    if operator in ("=", "<>"):
        return bool(left == right) is (operator == "=")
    if operator == "begins":
        return bool(left.startswith(right))
    if operator in (">", ">="):
        left, right = right, left
    return bool(left < right or (operator in ("<=", ">=") and left == right))


def _value(attribute: dict[str, Any]) -> Any:
    return int(attribute["N"]) if "N" in attribute else attribute["S"]


_ACTIONS = {
    "SET": r"(?P<name>\w+) = (?:(?P<added>\w+) \+ )?(?P<value>:\w+)",
    "ADD": r"(?P<name>\w+) (?P<value>:\w+)",
    "REMOVE": r"(?P<name>\w+)",
}


def _actions(expression: str) -> list[tuple[str, str]]:
    """Return the actions of an update expression, each with its kind."""
    found = re.findall(r"(SET|ADD|REMOVE) (.+?)(?= ADD |$)", expression)
    return [(kind, action) for kind, actions in found for action in actions.split(", ")]


class DynamoDB:
    """Tables named as in `KEYS`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def _key(self, table: str, item: Item) -> Key:
        return tuple(item[name]["S"] for name in KEYS[table])

    def _place(self, request: dict[str, Any]) -> tuple[str, Key]:
        return request["TableName"], self._key(
            request["TableName"], request.get("Item") or request["Key"]
        )

    def put_item(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            require(fits(request["Item"]), "PutItem")
            if reason := self._refusal(request):
                found = {"Item": reason["Item"]} if "Item" in reason else {}
                raise client_error("ConditionalCheckFailedException", "PutItem", **found)
            self._apply(request)
            return {}

        return self._cloud.asked("PutItem", request, effect)

    def update_item(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            require(keys_fit(request["Key"]), "UpdateItem")
            if self._refusal(request):
                raise client_error("ConditionalCheckFailedException", "UpdateItem")
            updated = self._updated(request)
            self._apply(updated)
            shown = request.get("ReturnValues") == "ALL_NEW"
            return {"Attributes": dict(updated["Item"])} if shown else {}

        return self._cloud.asked("UpdateItem", request, effect)

    def _updated(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the put of an item as an update leaves it."""
        table, key = self._place(request)
        values, item = (
            request.get("ExpressionAttributeValues", {}),
            dict(self._cloud.tables[table].get(key, request["Key"])),
        )
        for kind, action in _actions(request["UpdateExpression"]):
            match = re.fullmatch(_ACTIONS[kind], action)
            assert match, f"the cloud in memory does not know the update {action!r}"
            if kind == "REMOVE":
                item.pop(match["name"], None)
                continue
            name, added, value = (
                match["name"],
                match.groupdict().get("added"),
                values[match["value"]],
            )
            if kind == "ADD" and name in item:
                added = name
            require(added is None or added in item, "UpdateItem")
            item[name] = (
                {"N": str(_value(item[added]) + _value(value))} if added is not None else value
            )
        return {"TableName": table, "Item": item}

    def _refusal(self, request: dict[str, Any]) -> dict[str, Any] | None:
        table, key = self._place(request)
        item = self._cloud.tables[table].get(key)
        values, names = (
            request.get("ExpressionAttributeValues", {}),
            request.get("ExpressionAttributeNames", {}),
        )
        if holds(request.get("ConditionExpression"), item, values, names):
            return None
        reason: dict[str, Any] = {"Code": "ConditionalCheckFailed"}
        if item is not None and request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
            reason["Item"] = {name: dict(value) for name, value in item.items()}
        return reason

    def _apply(self, request: dict[str, Any]) -> None:
        """Put the request's item in its place; a request without one is to delete."""
        new = (
            {name: dict(value) for name, value in request["Item"].items()}
            if "Item" in request
            else None
        )
        table, key = self._place(request)
        old = self._cloud.tables[table].pop(key, None)
        if new is not None:
            self._cloud.tables[table][key] = new
        self._cloud.written(table, key, old, new)

    def delete_item(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            require(keys_fit(request["Key"]), "DeleteItem")
            if self._refusal(request):
                raise client_error("ConditionalCheckFailedException", "DeleteItem")
            self._apply(request)
            return {}

        return self._cloud.asked("DeleteItem", request, effect)

    def transact_write_items(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            writes = [next(iter(write.values())) for write in request["TransactItems"]]
            places = {self._place(write) for write in writes}
            is_valid = len(places) == len(writes) <= 100 and all(
                fits(write.get("Item") or write["Key"]) for write in writes
            )
            require(is_valid, "TransactWriteItems")
            refusals = [self._refusal(write) for write in writes]
            if any(refusals):
                reasons = [refusal or {"Code": "None"} for refusal in refusals]
                raise client_error(
                    "TransactionCanceledException",
                    "TransactWriteItems",
                    CancellationReasons=reasons,
                )
            for item in request["TransactItems"]:
                for kind, write in item.items():
                    if kind != "ConditionCheck":
                        self._apply(self._updated(write) if kind == "Update" else write)
            return {}

        return self._cloud.asked("TransactWriteItems", request, effect)

    def get_item(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            require(keys_fit(request["Key"]), "GetItem")
            table, key = self._place(request)
            item = self._cloud.tables[table].get(key)
            return {"Item": item} if item else {}

        return self._cloud.asked("GetItem", request, effect)

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            asked = [
                (table, key)
                for table, wanted in request["RequestItems"].items()
                for key in wanted["Keys"]
            ]
            places = {(table, self._key(table, key)) for table, key in asked}
            require(
                len(places) == len(asked) <= 100 and all(keys_fit(key) for _, key in asked),
                "BatchGetItem",
            )
            found: dict[str, list[Item]] = {}
            for table, wanted in request["RequestItems"].items():
                items = (
                    self._cloud.tables[table].get(self._key(table, key)) for key in wanted["Keys"]
                )
                found[table] = [item for item in items if item]
            return {"Responses": found, "UnprocessedKeys": {}}

        return self._cloud.asked("BatchGetItem", request, effect)

    def query(self, **request: Any) -> dict[str, Any]:
        return self._cloud.asked("Query", request, lambda: self._query(request))

    def _query(self, request: dict[str, Any]) -> dict[str, Any]:
        table, index = request["TableName"], request.get("IndexName")
        require(not (index and request.get("ConsistentRead")), "Query")
        order = (*INDEXES[index], *KEYS[table]) if index else KEYS[table]
        condition, values = request["KeyConditionExpression"], request["ExpressionAttributeValues"]
        seen = (
            self._cloud.items(table, index).values()
            if index
            else self._partition(table, condition, values)
        )
        # A key condition does not hold for an item without the key, and so not for one that a
        # sparse index leaves out.
        items = [
            item
            for item in seen
            if holds(condition, item, values, request.get("ExpressionAttributeNames", {}))
        ]
        if index:
            items = [
                {name: item[name] for name in order}
                for item in items
                if all(name in item for name in order)
            ]
        forward = request.get("ScanIndexForward", True)

        def place(item: Item) -> tuple[Any, ...]:
            return tuple(_value(item[name]) for name in order)

        items.sort(key=place, reverse=not forward)
        start = request.get("ExclusiveStartKey")
        if start:
            items = [
                item
                for item in items
                if (place(item) > place(start) if forward else place(item) < place(start))
            ]
        limit = request.get("Limit")
        page = first_page(items[:limit])
        # A count reads what it counts, but does not send it.
        answer: dict[str, Any] = (
            {"Count": len(page)} if request.get("Select") == "COUNT" else {"Items": page}
        )
        if len(page) == limit or len(page) < len(items):
            answer["LastEvaluatedKey"] = {name: page[-1][name] for name in order}
        return answer

    def scan(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            table, start = request["TableName"], request.get("ExclusiveStartKey")
            items = sorted(self._cloud.tables[table].items())
            found = [item for key, item in items if start is None or key > self._key(table, start)]
            page = first_page(found)
            more = (
                {"LastEvaluatedKey": {name: page[-1][name] for name in KEYS[table]}}
                if len(page) < len(found)
                else {}
            )
            return {"Items": page, **more}

        return self._cloud.asked("Scan", request, effect)

    def _partition(self, table: str, condition: str, values: Item) -> list[Item]:
        operator, attribute, value = _clauses(condition)[0][0]
        assert (operator, attribute) == ("=", KEYS[table][0]), (
            f"the cloud in memory does not know the key condition {condition!r}"
        )
        return self._cloud.tables[table].partition(values[value]["S"])


class KMS:
    """One key.

    What it makes of a text says nothing to a test's eye, and is good only in its own context.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def encrypt(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            require(1 <= len(request["Plaintext"]) <= 4096, "Encrypt")
            return {
                "CiphertextBlob": bytes(
                    byte ^ 0x5A for byte in _sealed(request) + request["Plaintext"]
                )
            }

        return self._cloud.asked("Encrypt", request, effect)

    def decrypt(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            sealed, blob = (
                _sealed(request),
                bytes(byte ^ 0x5A for byte in request["CiphertextBlob"]),
            )
            require(blob.startswith(sealed), "Decrypt", "InvalidCiphertextException")
            return {"Plaintext": blob[len(sealed) :]}

        return self._cloud.asked("Decrypt", request, effect)


def _sealed(request: dict[str, Any]) -> bytes:
    return json.dumps([request["KeyId"], request["EncryptionContext"]], sort_keys=True).encode()


class SQS:
    """One queue."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            entries = request["Entries"]
            ids = {entry["Id"] for entry in entries}
            require(bool(entries), "SendMessageBatch", "AWS.SimpleQueueService.EmptyBatchRequest")
            require(
                len(entries) <= 10,
                "SendMessageBatch",
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            )
            require(
                len(ids) == len(entries),
                "SendMessageBatch",
                "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            )
            taken = [entry for entry in entries if entry["DelaySeconds"] <= 900]
            for entry in taken:
                visible_at = self._cloud.clock() + timedelta(seconds=entry["DelaySeconds"])
                message = Message(entry["MessageBody"], entry["MessageGroupId"], visible_at)
                self._cloud.messages[f"m{next(self._cloud.ids)}"] = message
            failed = [
                {"Id": entry["Id"], "Code": "InvalidParameterValue", "SenderFault": True}
                for entry in entries
                if entry not in taken
            ]
            return {"Successful": [{"Id": entry["Id"]} for entry in taken], "Failed": failed}

        return self._cloud.asked("SendMessageBatch", request, effect)


class SNS:
    """One topic, `TOPIC`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def publish(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            subject, message = request["Subject"], request["Message"]
            if request["TopicArn"] != TOPIC:
                raise client_error("NotFound", "Publish", 404)
            # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
            fits = subject.isascii() and subject.isprintable() and 0 < len(subject) < 100
            size = len(message.encode())
            require(fits and 0 < size <= 256 * 1024, "Publish", "InvalidParameter")
            self._cloud.published.append(request)
            identifier = f"00000000-0000-0000-0000-{len(self._cloud.published):012}"
            return {"MessageId": identifier, "ResponseMetadata": {"HTTPStatusCode": 200}}

        return self._cloud.asked("Publish", request, effect)


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

        return self._cloud.asked("CreateSchedule", request, effect)

    def delete_schedule(self, **request: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            if self._cloud.schedules.pop(request["Name"], None) is None:
                raise client_error("ResourceNotFoundException", "DeleteSchedule", 404)
            return {}

        return self._cloud.asked("DeleteSchedule", request, effect)
