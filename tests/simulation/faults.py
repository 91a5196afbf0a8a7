"""The faults that can occur at and around a call, and the plans that choose them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """What goes wrong at one call of a cloud's service."""

    ERROR_BEFORE = "error before the effect"
    ERROR_AFTER = "error after the effect"
    LATE_EFFECT = "timeout, and the effect comes before it"
    LATER_EFFECT = "timeout, and the effect comes after it"
    THROTTLE = "throttled"
    CONFLICT = "transaction conflict"
    SDK_RETRY = "the SDK repeats it in silence"
    STALE_INDEX = "the index lags"
    TORN_READ = "one item is read before a write and the other after it"
    KILL_BEFORE = "killed before the effect"
    KILL_AFTER = "killed after the effect"
    PAUSE_BEFORE = "paused longer than a lease before the effect"
    PAUSE_AFTER = "paused longer than a lease after the effect"


UNNOTICED = frozenset({Fault.SDK_RETRY, Fault.THROTTLE, Fault.CONFLICT})
"""What the code makes good within the call, so that nobody who waits for a firing may notice."""
_WRITES = frozenset(
    {"PutItem", "UpdateItem", "TransactWriteItems", "SendMessageBatch"}
    | {"CreateSchedule", "DeleteSchedule"}
)
_TABLES = frozenset({"PutItem", "TransactWriteItems"})
_OF_WRITES = frozenset(
    {
        Fault.ERROR_AFTER,
        Fault.LATE_EFFECT,
        Fault.LATER_EFFECT,
        Fault.SDK_RETRY,
        Fault.KILL_AFTER,
        Fault.PAUSE_AFTER,
    }
)


def possible(operation: str, request: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the faults that this call can meet, and that differ from each other there."""
    for fault in Fault:
        if fault is Fault.STALE_INDEX:
            if "IndexName" in request:
                yield fault
        elif fault is Fault.TORN_READ:
            if (
                operation == "Query"
                and request["TableName"] == "jobs"
                and "IndexName" not in request
            ):
                yield fault
        elif fault is Fault.CONFLICT:
            if operation in _TABLES:
                yield fault
        elif fault not in _OF_WRITES or operation in _WRITES:
            yield fault


@dataclass
class FaultRates:
    """How likely things go wrong around the calls, from 0 to 1; 0 is a fine day."""

    lost_message: float = 0
    doubled_message: float = 0
    late_message: float = 0
    lost_wake: float = 0
    doubled_wake: float = 0
    late_wake: float = 0
    second_sweeper: float = 0
    lost_sweep: float = 0
    deleted_schedule_fires: float = 0
    killed_in_flight: float = 0
    old_records: float = 0
    skew: float = 0
    """By how many seconds a clock may be wrong, either way."""
    slow_calls: float = 0
    """How many calls take up to two seconds instead of milliseconds."""
    failing_targets: float = 0

    def is_fine(self) -> bool:
        """Say whether nothing is to go wrong but at the targets."""
        return not any(rate for name, rate in vars(self).items() if name != "failing_targets")


@dataclass
class Plan:
    """Which call meets which fault.

    `chosen` names calls by their number; `rates` lets chance decide. The operations that are `down`
    fail before their effect. `coming` are faults of calls to come: each of the next call of its
    operation that has a text in its request.
    """

    chosen: Mapping[int, Fault] = field(default_factory=dict)
    rates: Mapping[Fault, float] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    coming: list[tuple[Fault, str, str]] = field(default_factory=list)

    def is_fine(self, fault_rates: FaultRates) -> bool:
        """Say whether nothing is to go wrong that a user might notice."""
        return (
            UNNOTICED.issuperset(self.chosen.values())
            and UNNOTICED.issuperset(self.rates)
            and fault_rates.is_fine()
        )

    def fault(
        self, number: int, operation: str, request: Mapping[str, Any], chance: random.Random
    ) -> Fault | None:
        """Return the fault of the call with this number, None if it goes well."""
        if operation in self.down:
            return Fault.ERROR_BEFORE
        for one in self.coming:
            if one[1] == operation and one[2] in str(request):
                self.coming.remove(one)
                return one[0]
        fault = self.chosen.get(number) or self._by_chance(chance)
        return fault if fault is not None and fault in possible(operation, request) else None

    def _by_chance(self, chance: random.Random) -> Fault | None:
        for fault, rate in self.rates.items():
            if chance.random() < rate:
                return fault
        return None


def of_seed(seed: int) -> tuple[Plan, FaultRates]:
    """Return the faults and the fault_rates of a seed.

    Each seed has a few kinds and not the others, so that none hides another.
    """
    chance = random.Random(f"faults {seed}")
    rates = {fault: chance.choice((0.01, 0.03, 0.1)) for fault in Fault if chance.random() < 0.25}
    fault_rates = FaultRates()
    for name in vars(fault_rates):
        if chance.random() < 0.25:
            setattr(fault_rates, name, chance.choice((0.02, 0.1, 0.3)))
    if fault_rates.skew:
        fault_rates.skew = chance.choice((1, 5))
    if chance.random() < 0.6:
        fault_rates.failing_targets = chance.choice((0.2, 0.5))
    return Plan(rates=rates), fault_rates
