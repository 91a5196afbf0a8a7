"""The indexes of a table on a laptop, kept in order: moto sorts the whole table for each query."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table

Attributes = Mapping[str, DynamoType]
# The range key and the table's keys of an entry.
Place = tuple[str, ...]
_Entry = tuple[Place, Attributes]


def _place_of(entry: _Entry) -> Place:
    return entry[0]


class Index:
    """An index of keys alone, all of which are texts."""

    def __init__(self, table: Table, schema: Sequence[dict[str, Any]]) -> None:
        keys = [key["AttributeName"] for key in [*schema, *table.schema]]
        self.names = list(dict.fromkeys(keys))
        self._partitions: dict[str, list[_Entry]] = {}
        partitions: Any = table.items.values()
        for attributes in (item.attrs for items in partitions for item in items.values()):
            if self._has(attributes):
                entries = self._partitions.setdefault(self._hash(attributes), [])
                entries.append((self.place(attributes), attributes))
        for entries in self._partitions.values():
            entries.sort(key=_place_of)

    def _has(self, attributes: Attributes) -> bool:
        return all(name in attributes for name in self.names)

    def _hash(self, attributes: Attributes) -> str:
        return str(attributes[self.names[0]].value)

    def place(self, attributes: Attributes) -> Place:
        """Return the place of an entry within its partition."""
        return tuple(str(attributes[name].value) for name in self.names[1:])

    def change(self, old: Attributes | None, new: Attributes | None) -> None:
        """Take out an item as it was, and put it in as it is; None for one that is not there."""
        if old is not None and self._has(old):
            entries, place = self._partitions[self._hash(old)], self.place(old)
            del entries[bisect_left(entries, place, key=_place_of)]
        if new is not None and self._has(new):
            entries, place = self._partitions.setdefault(self._hash(new), []), self.place(new)
            entries.insert(bisect_left(entries, place, key=_place_of), (place, new))

    def within(
        self,
        hash_value: str,
        ranges: Sequence[tuple[str, Sequence[str]]],
        start: Place | None,
        limit: int,
        *,
        forward: bool,
    ) -> tuple[list[Attributes], bool]:
        """Return up to `limit` entries of a partition in the requested order.

        Also return whether the limit was reached. `ranges` has conditions on the range key;
        `start` is the place after which to begin, None for the first.
        """
        entries = self._partitions.get(hash_value, [])
        low, high = 0, len(entries)
        for comparison, values in ranges:
            first, last = _bounds(entries, comparison, values)
            low, high = max(low, first), min(high, last)
        if start is not None and forward:
            low = max(low, bisect_right(entries, start, key=_place_of))
        elif start is not None:
            high = min(high, bisect_left(entries, start, key=_place_of))
        found = entries[low:high][:limit] if forward else entries[low:high][::-1][:limit]
        return [attributes for _, attributes in found], high - low >= limit


def _bounds(entries: list[_Entry], comparison: str, values: Sequence[str]) -> tuple[int, int]:
    """Return from where to where the entries meet a condition on the range key."""

    def key(entry: _Entry) -> str:
        return entry[0][0]

    if comparison == "BETWEEN":
        return bisect_left(entries, values[0], key=key), bisect_right(entries, values[1], key=key)
    if comparison == "=":
        return bisect_left(entries, values[0], key=key), bisect_right(entries, values[0], key=key)
    if comparison in ("<", "<="):
        find = bisect_left if comparison == "<" else bisect_right
        return 0, find(entries, values[0], key=key)
    if comparison in (">", ">="):
        find = bisect_right if comparison == ">" else bisect_left
        return find(entries, values[0], key=key), len(entries)
    raise NotImplementedError(f"the laptop has no {comparison} for an index; add it here")
