"""Answer the Query and BatchGetItem requests that a firing makes, fast.

moto sorts the whole table for each, or copies every item several times, which would make firings
late.
"""

from __future__ import annotations

import json
import operator
import sys
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing.key_condition_expression import parse_expression

from infra.local.indexes import Attributes, Index

_WRITE = frozenset(
    "TableName Item Key ConditionExpression ExpressionAttributeValues ExpressionAttributeNames "
    "ReturnValuesOnConditionCheckFailure".split()
)
_KNOWN = {
    "Query": frozenset(
        "TableName IndexName KeyConditionExpression ExpressionAttributeValues "
        "ExpressionAttributeNames ScanIndexForward Limit ExclusiveStartKey ConsistentRead "
        "Select".split()
    ),
    "GetItem": frozenset({"TableName", "Key", "ConsistentRead"}),
    "PutItem": _WRITE,
    "DeleteItem": _WRITE,
}


def is_simple(operation: str, sent: dict[str, Any]) -> bool:
    """Return whether this module can answer a request. moto answers all others."""
    return operation in _KNOWN and sent.keys() <= _KNOWN[operation]


def is_simple_batch(sent: dict[str, Any], tables: Mapping[str, Table]) -> bool:
    """Return whether a BatchGetItem gets up to 100 distinct keys, without any other option."""
    asked: dict[str, Any] = sent["RequestItems"]
    if any(
        table not in tables or not wanted.keys() <= {"Keys", "ConsistentRead"}
        for table, wanted in asked.items()
    ):
        return False
    keys = [(table, key) for table, wanted in asked.items() for key in wanted.get("Keys", [])]
    are_whole = all(
        key.keys() == {name["AttributeName"] for name in tables[table].schema}
        for table, key in keys
    )
    return (
        are_whole
        and len({(table, json.dumps(key, sort_keys=True)) for table, key in keys}) == len(keys)
        and 1 <= len(keys) <= 100
    )


def query(table: Table, sent: dict[str, Any], index: Index | None) -> dict[str, Any]:
    """Answer a Query of a table, or of its index."""
    (hash_condition,), ranges, *_ = parse_expression(
        key_condition_expression=sent["KeyConditionExpression"],
        expression_attribute_names=sent.get("ExpressionAttributeNames", {}),
        expression_attribute_values=sent.get("ExpressionAttributeValues", {}),
        schema=_schema(table, sent.get("IndexName")),
    )
    hash_value = _typed(hash_condition[1])
    names = index.names if index else [key["AttributeName"] for key in table.schema]
    conditions = [
        (name, word, [_typed(value) for value in values]) for name, word, values in ranges
    ]
    if index is None:
        matching = _matching(table, hash_value, conditions)
        found = _ordered(matching, names, sent)
        limit = sent.get("Limit", len(found) + 1)
        page, is_limited = found[:limit], len(found) >= limit
    else:
        page, is_limited = _from_index(index, sent, hash_value, conditions)
    # Only an index has fewer attributes than its items.
    items = [_to_json(attributes, names if index else attributes) for attributes in page]
    answer: dict[str, Any] = {"Count": len(items), "ScannedCount": len(items)}
    if sent.get("Select") != "COUNT":
        answer["Items"] = items
    if is_limited:
        answer["LastEvaluatedKey"] = _to_json(page[-1], names)
    return answer


def _schema(table: Table, index: str | None) -> Any:
    return next((one.schema for one in table.all_indexes() if one.name == index), table.schema)


def index_of(table: Table, name: str) -> Index:
    """Return an index of a table, made from its items."""
    return Index(table, _schema(table, name))


_Condition = tuple[str, str, list[DynamoType]]


def _from_index(
    index: Index, sent: dict[str, Any], hash_value: DynamoType, conditions: list[_Condition]
) -> tuple[list[Attributes], bool]:
    start = sent.get("ExclusiveStartKey")
    return index.within(
        str(hash_value.value),
        [(word, [str(value.value) for value in values]) for _, word, values in conditions],
        index.place({name: DynamoType(value) for name, value in start.items()}) if start else None,
        sent.get("Limit", sys.maxsize),
        forward=sent.get("ScanIndexForward", True),
    )


def _matching(
    table: Table, hash_value: DynamoType, conditions: list[_Condition]
) -> list[Attributes]:
    """Return the items of a partition that meet the key condition, unordered."""
    items: Any = table.items.get(hash_value, {})
    found: list[Attributes] = [item.attrs for item in items.values()]
    for name, word, values in conditions:
        found = [attributes for attributes in found if attributes[name].compare(word, values)]
    return found


def _ordered(
    found: Sequence[Attributes], names: list[str], sent: dict[str, Any]
) -> list[Attributes]:
    """Return the items in the requested order, starting after ExclusiveStartKey."""
    forward, start = sent.get("ScanIndexForward", True), sent.get("ExclusiveStartKey")
    if start is not None:
        after = _place({name: DynamoType(value) for name, value in start.items()}, names)
        is_later = operator.gt if forward else operator.lt
        found = [attributes for attributes in found if is_later(_place(attributes, names), after)]
    return sorted(found, key=lambda attributes: _place(attributes, names), reverse=not forward)


def _to_json(attributes: Attributes, names: Iterable[str]) -> dict[str, Any]:
    return {name: attributes[name].to_json() for name in names}


def _typed(value: Any) -> DynamoType:
    return value if isinstance(value, DynamoType) else DynamoType(value)


def _place(attributes: Attributes, names: list[str]) -> tuple[Any, ...]:
    return tuple(
        Decimal(attributes[name].value) if attributes[name].type == "N" else attributes[name].value
        for name in names
    )
