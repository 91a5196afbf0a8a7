"""Answer the Query and BatchGetItem requests that a firing makes, fast.

moto sorts the whole table for each, or copies every item several times, which would make firings
late.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing.key_condition_expression import parse_expression

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


Attributes = Mapping[str, DynamoType]


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


def query(table: Table, sent: dict[str, Any]) -> dict[str, Any]:
    """Answer a Query."""
    index = next(
        (index for index in table.all_indexes() if index.name == sent.get("IndexName")), None
    )
    schema: Any = index.schema if index else table.schema
    names = list(dict.fromkeys(key["AttributeName"] for key in [*schema, *table.schema]))
    matching = _matching(table, sent, schema, names, whole=index is not None)
    found = _ordered(matching, names, sent)
    limit = sent.get("Limit", len(found) + 1)
    keys_only = index is not None and index.projection.get("ProjectionType") == "KEYS_ONLY"
    items = [
        _to_json(attributes, names if keys_only else attributes) for attributes in found[:limit]
    ]
    answer: dict[str, Any] = {"Count": len(items), "ScannedCount": len(items)}
    if sent.get("Select") != "COUNT":
        answer["Items"] = items
    if len(found) >= limit:
        answer["LastEvaluatedKey"] = _to_json(found[limit - 1], names)
    return answer


def _matching(
    table: Table, sent: dict[str, Any], schema: Any, names: list[str], *, whole: bool
) -> Sequence[Attributes]:
    """Return the items that have all these attributes and meet the key condition, unordered."""
    (hash_condition,), ranges, *_ = parse_expression(
        key_condition_expression=sent["KeyConditionExpression"],
        expression_attribute_names=sent.get("ExpressionAttributeNames", {}),
        expression_attribute_values=sent.get("ExpressionAttributeValues", {}),
        schema=schema,
    )
    hash_name, hash_value = hash_condition[0], _typed(hash_condition[1])
    found: Sequence[Attributes] = [
        item.attrs
        for item in _partition(table, hash_value, whole=whole)
        if all(name in item.attrs for name in names) and item.attrs[hash_name] == hash_value
    ]
    for name, comparison, values in ranges:
        wanted = [_typed(value) for value in values]
        found = [attributes for attributes in found if attributes[name].compare(comparison, wanted)]
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


def _partition(table: Table, hash_value: DynamoType, *, whole: bool) -> list[Item]:
    partitions: Any = table.items.values() if whole else [table.items.get(hash_value, {})]
    return [item for partition in partitions for item in partition.values()]


def _place(attributes: Attributes, names: list[str]) -> tuple[Any, ...]:
    return tuple(
        Decimal(attributes[name].value) if attributes[name].type == "N" else attributes[name].value
        for name in names
    )
