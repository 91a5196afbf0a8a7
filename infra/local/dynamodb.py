"""DynamoDB on a laptop: moto's tables with one lock, atomic transactions, and a journal of writes.

moto's own TransactWriteItems restores a copy of the whole table when a transaction is cancelled,
which undoes concurrent writes.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends

from infra.local.indexes import Index
from infra.local.journal import Journal
from infra.local.query import index_of, is_simple, is_simple_batch, query
from infra.local.wire import ACCOUNT, REGION, Forward, Reply, Request, json_error

_KIND = "item"
_LARGEST_ITEM = 400 * 1024
_TOKEN_LIFE_SECONDS = 600
_WRITES = {"PutItem", "UpdateItem", "DeleteItem"}


class DynamoDB:
    """Answers DynamoDB's requests, and leaves most of them to moto."""

    def __init__(self, forward: Forward, journal: Journal) -> None:
        self._forward = forward
        self._journal = journal
        self._lock = threading.Lock()
        self._tokens: dict[str, float] = {}
        # By table and name, those that were asked for.
        self._indexes: dict[tuple[str, str], Index] = {}

    @property
    def _backend(self) -> DynamoDBBackend:
        return dynamodb_backends[ACCOUNT][REGION]

    def restore(self) -> None:
        """Put the journal's items into the tables, except expired ones."""
        now = time.time()
        gone = []
        for name, item in self._journal.read(_KIND):
            table = name.partition("/")[0]
            expires_at = item.get("expires_at", {}).get("N")
            if expires_at is not None and float(expires_at) < now:
                gone.append((_KIND, name, None))
            else:
                self._backend.put_item(table, item)
        self._journal.write(gone)

    def answer(self, request: Request, operation: str) -> Reply:
        """Answer a request for `operation`, such as PutItem."""
        with self._lock:
            sent = json.loads(request.body)
            if operation == "TransactWriteItems":
                return self._transact(sent)
            if operation == "BatchGetItem" and is_simple_batch(sent, self._backend.tables):
                return self._batch(sent["RequestItems"])
            if sent.get("TableName") in self._backend.tables and is_simple(operation, sent):
                return self._answer_simple(operation, sent)
            # moto may change any item of the table, or of all if it has no name here.
            self._indexes = {
                at: index
                for at, index in self._indexes.items()
                if at[0] != sent.get("TableName", at[0])
            }
            reply = self._forward(request)
            if operation in _WRITES and reply.status == 200:
                self._journal.write(
                    [self._change(sent["TableName"], sent.get("Item") or sent["Key"])]
                )
            return reply

    def _answer_simple(self, operation: str, sent: dict[str, Any]) -> Reply:
        """Answer the requests of a firing without moto's HTTP layers, which are slow."""
        table = sent["TableName"]
        if operation == "Query":
            return _json(query(self._backend.get_table(table), sent, self._index(sent)))
        if operation == "GetItem":
            item = self._current(table, sent["Key"])
            return _json({"Item": item} if item else {})
        key = self._key(table, sent.get("Item") or sent["Key"])
        if "Item" in sent and _is_too_large(sent["Item"]):
            return json_error(
                "ValidationException", "Item size has exceeded the maximum allowed size"
            )
        reason = self._reason(sent, table, key)
        if reason["Code"] != "None":
            found = {"Item": reason["Item"]} if "Item" in reason else {}
            return json_error("ConditionalCheckFailedException", reason["Message"], **found)
        self._apply("Put" if operation == "PutItem" else "Delete", sent, table, key)
        self._journal.write([self._change(table, key)])
        return _json({})

    def _index(self, sent: dict[str, Any]) -> Index | None:
        """Return the index that a Query asks, None if it asks the table."""
        name = sent.get("IndexName")
        if name is None:
            return None
        at = sent["TableName"], name
        if at not in self._indexes:
            self._indexes[at] = index_of(self._backend.get_table(at[0]), name)
        return self._indexes[at]

    def _batch(self, asked: dict[str, Any]) -> Reply:
        found = {
            table: [self._current(table, key) for key in wanted["Keys"]]
            for table, wanted in asked.items()
        }
        return _json(
            {
                "Responses": {
                    table: [item for item in items if item] for table, items in found.items()
                },
                "UnprocessedKeys": {},
            }
        )

    def _change(self, table: str, keyed: dict[str, Any]) -> tuple[str, str, Any]:
        key = self._key(table, keyed)
        name = "/".join([table, *(str(next(iter(value.values()))) for value in key.values())])
        return _KIND, name, self._current(table, key)

    def _key(self, table: str, keyed: dict[str, Any]) -> dict[str, Any]:
        names = self._backend.get_table(table)
        return {name: keyed[name] for name in (names.hash_key_attr, names.range_key_attr) if name}

    def _current(self, table: str, key: dict[str, Any]) -> dict[str, Any] | None:
        item = self._backend.get_item(table, key)
        attributes: dict[str, Any] | None = item.to_json()["Attributes"] if item else None
        return attributes

    def _transact(self, sent: dict[str, Any]) -> Reply:
        token, now = sent.get("ClientRequestToken"), time.monotonic()
        self._tokens = {
            known: at for known, at in self._tokens.items() if now - at < _TOKEN_LIFE_SECONDS
        }
        if token in self._tokens:
            return _json({})
        reply = self._write_all([next(iter(write.items())) for write in sent["TransactItems"]])
        if token and reply.status == 200:
            self._tokens[token] = now
        return reply

    def _write_all(self, writes: list[tuple[str, dict[str, Any]]]) -> Reply:
        keys = [
            (write["TableName"], self._key(write["TableName"], write.get("Item") or write["Key"]))
            for _, write in writes
        ]
        refusal = self._validate(writes, keys)
        if refusal:
            return json_error("ValidationException", refusal)
        reasons = [self._reason(write, *key) for (_, write), key in zip(writes, keys, strict=True)]
        if any(reason["Code"] != "None" for reason in reasons):
            codes = ", ".join(reason["Code"] for reason in reasons)
            why = "please refer cancellation reasons for specific reasons"
            sentence = f"Transaction cancelled, {why} [{codes}]"
            return json_error("TransactionCanceledException", sentence, CancellationReasons=reasons)
        for (kind, write), (table, key) in zip(writes, keys, strict=True):
            self._apply(kind, write, table, key)
        self._journal.write(
            [
                self._change(table, key)
                for (kind, _), (table, key) in zip(writes, keys, strict=True)
                if kind != "ConditionCheck"
            ]
        )
        return _json({})

    def _validate(
        self, writes: list[tuple[str, dict[str, Any]]], keys: list[tuple[str, dict[str, Any]]]
    ) -> str | None:
        if not 1 <= len(writes) <= 100:
            return "Member must have length between 1 and 100"
        if any(one in keys[:index] for index, one in enumerate(keys)):
            return "Transaction request cannot include multiple operations on one item"
        if any("Item" in write and _is_too_large(write["Item"]) for _, write in writes):
            return "Item size has exceeded the maximum allowed size"
        return None

    def _reason(self, write: dict[str, Any], table: str, key: dict[str, Any]) -> dict[str, Any]:
        condition = write.get("ConditionExpression")
        if condition is None:
            return {"Code": "None"}
        names, values = (
            write.get("ExpressionAttributeNames"),
            write.get("ExpressionAttributeValues"),
        )
        item = self._backend.get_item(table, key)
        if get_filter_expression(condition, names, values).expr(item):
            return {"Code": "None"}
        reason: dict[str, Any] = {
            "Code": "ConditionalCheckFailed",
            "Message": "The conditional request failed",
        }
        if item is not None and write.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
            reason["Item"] = item.to_json()["Attributes"]
        return reason

    def _apply(self, kind: str, write: dict[str, Any], table: str, key: dict[str, Any]) -> None:
        found = self._backend.get_item(table, key)
        # moto updates an item in its place.
        old = dict(found.attrs) if found else None
        self._write(kind, write, table, key)
        new = self._backend.get_item(table, key)
        for (indexed, _), index in self._indexes.items():
            if indexed == table:
                index.change(old, new.attrs if new else None)

    def _write(self, kind: str, write: dict[str, Any], table: str, key: dict[str, Any]) -> None:
        if kind == "Put":
            self._backend.put_item(table, write["Item"])
        elif kind == "Delete":
            self._backend.delete_item(table, key)
        elif kind == "Update":
            self._backend.update_item(
                table,
                key,
                update_expression=write["UpdateExpression"],
                expression_attribute_names=write.get("ExpressionAttributeNames", {}),
                expression_attribute_values=write.get("ExpressionAttributeValues", {}),
            )


def _json(body: dict[str, Any]) -> Reply:
    return Reply(200, json.dumps(body, ensure_ascii=False).encode())


def _is_too_large(item: dict[str, Any]) -> bool:
    return len(json.dumps(item, ensure_ascii=False).encode()) > _LARGEST_ITEM
