"""What calls of AWS are billed as: a cloud in memory that keeps count, by the rules of the
documentation.

Sizes of items      https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
Reads and writes    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
Failed conditions   https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html
Transactions        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
Indexes             https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html
SQS                 https://aws.amazon.com/sqs/pricing/: each action is a request for every 64 KB;
                    a batch of up to 10 is one action
Scheduler           https://aws.amazon.com/eventbridge/pricing/: invocations are billed; making and
                    deleting schedules is not

Three things the documentation leaves open. What a transaction does to an index is taken as one
write of the index, not two: the doubling is the table's prepare and commit, and what is committed
reaches the index later, as any write does. A condition check is taken as a write of its item, which
the transaction prepares too. What a cancelled transaction consumes is taken as what it would
have consumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.aws.clients import code_of
from infra.local.template import read_template
from tests.cloud import KEYS, Answer, Cloud, DynamoDB, Item
from tests.environment import START, Environment

WRITE_UNIT, READ_UNIT, CHUNK = 1024, 4096, 64 * 1024


@dataclass
class Usage:
    """What was used: DynamoDB's units, and requests of everything else."""

    writes: float = 0
    reads: float = 0
    sqs: int = 0
    schedules_made: int = 0
    schedules_deleted: int = 0
    schedules_woken: int = 0
    lambdas: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            **{
                field.name: getattr(self, field.name) + getattr(other, field.name)
                for field in fields(self)
            }
        )

    def __mul__(self, times: float) -> Usage:
        return Usage(**{field.name: getattr(self, field.name) * times for field in fields(self)})


@dataclass(frozen=True)
class Write:
    """One item written: `units` in its table and `index_units` in the indexes, for so many bytes of
    the larger of old and new.
    """

    what: str
    bytes: int
    units: int
    index_units: int


def size(item: Item | None) -> int:
    """Return the bytes of an item: UTF-8 of names and texts; of a number, one byte for two
    significant digits and one more.
    """
    return sum(len(name.encode()) + _size_of_value(value) for name, value in (item or {}).items())


def _size_of_value(value: dict[str, str | bytes]) -> int:
    ((kind, text),) = value.items()
    if isinstance(text, bytes):
        return len(text)
    if kind == "S":
        return len(text.encode())
    assert kind == "N", f"the meter does not know the size of type {kind}"
    digits = text.lstrip("-").replace(".", "").strip("0")
    return (len(digits) + 1) // 2 + 1 + text.startswith("-")


def units(size: int, unit: int) -> int:
    """Return how many units hold so many bytes: whole ones, and at least one."""
    return max(1, -(-size // unit))


@cache
def indexes(table: str) -> list[tuple[str, ...]]:
    """Return the keys of each index of a table, as the template describes them."""
    found = next(
        each
        for each in read_template("bench").tables
        if each["TableName"] == f"resona-bench-{table}"
    )
    described = found.get("GlobalSecondaryIndexes", [])
    assert all(index["Projection"] == {"ProjectionType": "KEYS_ONLY"} for index in described), (
        "the meter knows only indexes of keys"
    )
    return [tuple(key["AttributeName"] for key in index["KeySchema"]) for index in described]


def index_units(table: str, old: Item | None, new: Item | None) -> int:
    """Return what a write of an item costs in the indexes: an entry appears or disappears for 1, is
    moved for 2, stays for 0.
    """
    total = 0
    for keys in indexes(table):
        before, after = (_entry(item, (*keys, *KEYS[table])) for item in (old, new))
        if before != after:
            total += sum(units(size(entry), WRITE_UNIT) for entry in (before, after) if entry)
    return total


def entries(table: str, item: Item) -> Iterator[Item]:
    """Yield the entries of an item in the indexes of its table."""
    for keys in indexes(table):
        entry = _entry(item, (*keys, *KEYS[table]))
        if entry is not None:
            yield entry


def _entry(item: Item | None, names: tuple[str, ...]) -> Item | None:
    return (
        {name: item[name] for name in names}
        if item and all(name in item for name in names)
        else None
    )


class MeteredCloud(Cloud):
    """Counts what calls use; what nobody calls for, receives and invocations, its env counts."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self.usage = Usage()
        self.request: dict[str, Any] = {}
        self.writes: list[Write] = []
        self._changes: list[tuple[str, str, Item | None, Item | None]] = []

    def taken(self) -> Usage:
        """Return what was used since this was last asked."""
        used, self.usage = self.usage, Usage()
        return used

    def written(self, table: str, key: tuple[str, ...], old: Item | None, new: Item | None) -> None:
        self._changes.append(
            (table, {"jobs": key[1], "runs": "record"}.get(table, table), old, new)
        )

    def called(
        self, operation: str, request: dict[str, Any], effect: Callable[[], Answer]
    ) -> Answer:
        self._changes, self.request = [], request
        factor = 2 if operation == "TransactWriteItems" else 1
        try:
            answer = super().called(operation, request, effect)
        except ClientError as error:
            if code_of(error) in (
                "ConditionalCheckFailedException",
                "TransactionCanceledException",
            ):
                self.usage.writes += factor * sum(self._refused(operation, request))
            raise
        for table, what, old, new in self._changes:
            larger = max(size(old), size(new))
            write = Write(
                what, larger, factor * units(larger, WRITE_UNIT), index_units(table, old, new)
            )
            self.usage.writes += write.units + write.index_units
            self.writes.append(write)
        for item in request.get("TransactItems", ()):
            if check := item.get("ConditionCheck"):
                self._checked(check)
        self._count(operation, request, answer)
        return answer

    def _checked(self, check: dict[str, Any]) -> None:
        """Count a condition check of a transaction."""
        table = check["TableName"]
        key = tuple(check["Key"][name]["S"] for name in KEYS[table])
        bytes_ = size(self.tables[table][key])
        write = Write(key[-1], bytes_, 2 * units(bytes_, WRITE_UNIT), 0)
        self.usage.writes += write.units
        self.writes.append(write)

    def _refused(self, operation: str, request: dict[str, Any]) -> Iterator[int]:
        """Yield what a refused write consumes: by the item that is there; in a transaction, by the
        larger of that and the new one.
        """
        cancels = operation == "TransactWriteItems"
        for write in (
            [next(iter(each.values())) for each in request["TransactItems"]]
            if cancels
            else [request]
        ):
            keyed = write.get("Item") or write["Key"]
            there = self.tables[write["TableName"]].get(
                tuple(keyed[name]["S"] for name in KEYS[write["TableName"]])
            )
            yield units(max(size(there), size(write.get("Item")) if cancels else 0), WRITE_UNIT)

    def _count(self, operation: str, request: dict[str, Any], answer: dict[str, Any]) -> None:
        match operation:
            case "GetItem":
                self.usage.reads += _reads(size(answer.get("Item")), request)
            case "Query":
                # What is read is added up before it is rounded; to find nothing costs the least
                # there is.
                self.usage.reads += _reads(
                    sum(size(item) for item in self._read(request, answer)), request
                )
            case "BatchGetItem":
                self.usage.reads += sum(
                    self._batch_reads(request["RequestItems"], answer["Responses"])
                )
            case "SendMessageBatch":
                self.usage.sqs += units(
                    sum(len(entry["MessageBody"].encode()) for entry in request["Entries"]), CHUNK
                )
            case "CreateSchedule":
                self.usage.schedules_made += 1
            case "DeleteSchedule":
                self.usage.schedules_deleted += 1
            case "Encrypt" | "Decrypt":
                # A process decrypts a signing secret once, however much it signs with it.
                pass
            case _:
                assert operation in ("PutItem", "UpdateItem", "TransactWriteItems"), (
                    f"the meter does not know what {operation} costs"
                )

    def _read(self, request: dict[str, Any], answer: dict[str, Any]) -> list[Item]:
        """Return the items that a query read: a count reads what it does not send."""
        if request.get("Select") != "COUNT":
            return list(answer["Items"])
        asked = {name: value for name, value in request.items() if name != "Select"}
        return list(DynamoDB(Cloud(self.clock, self.tables)).query(**asked)["Items"])

    def _batch_reads(self, wanted: dict[str, Any], found: dict[str, list[Item]]) -> Iterator[float]:
        """Yield what each item of a batch costs: each is read by itself, also one that is not
        there.
        """
        for table, request in wanted.items():
            items = found.get(table, [])
            yield from (_reads(size(item), request) for item in items)
            yield (len(request["Keys"]) - len(items)) * _reads(0, request)


def _reads(size: int, request: dict[str, Any]) -> float:
    return units(size, READ_UNIT) * (1 if request.get("ConsistentRead") else 0.5)


class MeteredEnvironment(Environment):
    """A env that counts.

    A message comes alone: one that comes in a batch shares its receive, its delete and its
    invocation.
    """

    cloud: MeteredCloud

    def __init__(
        self, make_cloud: Callable[[Callable[[], datetime]], MeteredCloud] = MeteredCloud
    ) -> None:
        super().__init__(START, make_cloud)
        self.sweeps_in_vain = True

    def deliver(self, name: str) -> None:
        usage, chunks = self.cloud.usage, units(len(self.cloud.messages[name].body.encode()), CHUNK)
        usage.sqs += chunks
        usage.lambdas += 1
        super().deliver(name)
        usage.sqs += 1

    def wake(self, name: str, at: datetime) -> None:
        self.cloud.usage.schedules_woken += 1
        self.cloud.usage.lambdas += 1
        super().wake(name, at)

    def sweep(self) -> None:
        if self.sweeps:
            self.cloud.usage.lambdas += 1
        super().sweep()
