"""The laptop's indexes have what a sort of the whole table has, whatever is written meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from moto.dynamodb.models.dynamo_type import DynamoType

from infra.local.indexes import Attributes, Index

letters = st.sampled_from("abc")
# An item's id, and its hash and range keys in the index, if it is in it.
items = st.tuples(letters, st.none() | st.tuples(letters, letters))
COMPARE: dict[str, Any] = {
    "=": lambda at, value: at == value,
    "<": lambda at, value: at < value,
    "<=": lambda at, value: at <= value,
    ">": lambda at, value: at > value,
    ">=": lambda at, value: at >= value,
    "BETWEEN": lambda at, first, last: first <= at <= last,
}


def attributes(item: tuple[str, tuple[str, str] | None]) -> Attributes:
    name, keys = item
    values = {"id": name, **(dict(zip(("hash", "range"), keys, strict=True)) if keys else {})}
    return {key: DynamoType({"S": value}) for key, value in values.items()}


@given(
    st.lists(items, max_size=4),
    st.lists(st.tuples(st.booleans(), items), max_size=8),
    letters,
    st.sampled_from(sorted(COMPARE)),
    st.tuples(letters, letters),
    st.none() | st.tuples(letters, letters),
    st.integers(1, 4),
    st.booleans(),
)
def test_an_index_has_what_a_sort_of_the_table_has(
    first: list[tuple[str, tuple[str, str] | None]],
    written: list[tuple[bool, tuple[str, tuple[str, str] | None]]],
    hash_value: str,
    comparison: str,
    values: tuple[str, str],
    start: tuple[str, str] | None,
    limit: int,
    forward: bool,
) -> None:
    there = {name: (name, keys) for name, keys in first}
    rows = {name: SimpleNamespace(attrs=attributes(item)) for name, item in there.items()}
    table: Any = SimpleNamespace(schema=[{"AttributeName": "id"}], items={"all": rows})
    index = Index(table, [{"AttributeName": "hash"}, {"AttributeName": "range"}])
    for is_put, item in written:
        old = there.pop(item[0], None)
        if is_put:
            there[item[0]] = item
        index.change(attributes(old) if old else None, attributes(item) if is_put else None)
    given_values = values if comparison == "BETWEEN" else values[:1]
    found, is_limited = index.within(
        hash_value, [(comparison, given_values)], start, limit, forward=forward
    )
    expected = sorted(
        (
            (keys[1], name)
            for name, keys in there.values()
            if keys and keys[0] == hash_value and COMPARE[comparison](keys[1], *given_values)
        ),
        reverse=not forward,
    )
    if start is not None:
        expected = [at for at in expected if (at > start if forward else at < start)]
    assert [index.place(one) for one in found] == expected[:limit]
    assert is_limited == (len(expected) >= limit)
