"""The cloud in memory, on virtual time, with faults at its calls."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from tests import permissions
from tests.cloud import Answer, Cloud, Item, client_error
from tests.simulation.faults import Fault, FaultRates, Plan
from tests.simulation.virtual_time import VirtualTime

Write = tuple[str, tuple[str, ...], Item | None, Item | None]
LONG = 700.0
TIMEOUT = 9.0
# Seconds from a call that times out to its effect. The first one is that of a chosen fault: it
# comes before all that happens while the caller waits, or after the caller's next try.
_EFFECTS = {Fault.LATE_EFFECT: (0.01, 1, 5, 8.9), Fault.LATER_EFFECT: (12, 40)}


class SimulatedCloud(Cloud):
    """A cloud whose calls take time and may fail.

    `observe` is given the writes of each effect, with who made them.
    """

    def __init__(
        self, virtual_time: VirtualTime, chance: random.Random, plan: Plan, fault_rates: FaultRates
    ) -> None:
        super().__init__(lambda: virtual_time.now)
        self.virtual_time = virtual_time
        self.chance = chance
        self.plan = plan
        self.fault_rates = fault_rates
        self.made = 0
        self.met: list[tuple[int, Fault]] = []
        self.trace: list[str] = []
        self.digest = hashlib.blake2b(digest_size=16)
        self.observe: Callable[[str, list[Write], dict[str, Any]], None] = (
            lambda operation, writes, request: None
        )
        self.told: list[tuple[int, str, dict[str, Any]]] = []
        self.works: Callable[[], None] = lambda: None
        """What a call takes of its caller before it is made: nothing, unless CPU is modelled."""
        self.is_verbose = False
        self.remembers_calls = False
        self.effects: dict[Fault, tuple[float, ...]] = {**_EFFECTS}
        self.pauses = 30.0, LONG
        """Between how many seconds an executor is held up."""
        self.api_pauses = 2.0, 50.0
        self._writes: list[Write] = []
        self._past: list[tuple[float, Write]] = []
        self._watched: dict[str, set[tuple[str, ...]]] = {}
        self._lag = 0.0

    def tell(self, what: str) -> None:
        """Add a line to the history."""
        line = f"{self.virtual_time.time:12.6f} {self.virtual_time.current.name:14} {what}"
        self.digest.update(line.encode())
        if self.is_verbose:
            self.trace.append(line)

    def asked(
        self, operation: str, request: dict[str, Any], effect: Callable[[], Answer]
    ) -> Answer:
        """Be asked by a process.

        It is one invocation of one function: of which, is seen at its first call.
        """
        process = self.virtual_time.current
        process.function = process.function or permissions.caller()
        permissions.check_of(process.function, operation, request)
        self.works()
        return self.called(operation, request, effect)

    def called(
        self, operation: str, request: dict[str, Any], effect: Callable[[], Answer]
    ) -> Answer:
        number, self.made = self.made, self.made + 1
        fault = self.plan.fault(number, operation, request, self.chance)
        if fault is None and request.get("IndexName") == "by_watch":
            shard = request["ExpressionAttributeValues"][":shard"]["S"]
            if (
                not self._watched.get(shard)
                or not self._effect(operation, request, effect)["Items"]
            ):
                # Nothing is overdue in this shard, so nothing that comes between this call and the
                # next makes a difference.
                return {"Items": []}
        if self.remembers_calls:
            self.told.append((number, operation, request))
        if fault is not None:
            self.met.append((number, fault))
            self.virtual_time.current.met_fault = True
        self.tell(f"{number} {operation}{f' [{fault}]' if fault else ''}")
        self._wait()
        if fault is not None:
            return self._go_wrong(fault, operation, request, effect)
        return self._go_well(operation, request, effect)

    def _go_well(
        self, operation: str, request: dict[str, Any], effect: Callable[[], Answer]
    ) -> Answer:
        try:
            return self._effect(operation, request, effect)
        finally:
            self._wait()

    def _wait(self) -> None:
        is_slow = self.fault_rates.slow_calls and self.chance.random() < self.fault_rates.slow_calls
        self.virtual_time.current.was_slow |= bool(is_slow)
        self.virtual_time.wait(
            self.chance.uniform(0.05, 2) if is_slow else self.chance.uniform(0.001, 0.012)
        )

    def _pause(self) -> None:
        """Hold the process up: an executor for longer than a lease, the API for as long as it has.

        A longer pause would kill the API.
        """
        process = self.virtual_time.current
        process.was_slow = True
        is_api = process.name.startswith("api")
        self.virtual_time.wait(self.chance.uniform(*(self.api_pauses if is_api else self.pauses)))

    def _go_wrong(
        self, fault: Fault, operation: str, request: dict[str, Any], effect: Callable[[], Answer]
    ) -> Answer:
        if fault is Fault.STALE_INDEX:
            self._lag = self.chance.uniform(0.1, 3)
            return self._go_well(operation, request, effect)
        if fault is Fault.TORN_READ:
            return self._torn(operation, request, effect)
        if fault is Fault.PAUSE_BEFORE:
            self._pause()
            return self._go_well(operation, request, effect)
        if fault is Fault.KILL_BEFORE:
            self.virtual_time.kill()
        if fault is Fault.ERROR_BEFORE:
            raise client_error("InternalServerError", operation, 500)
        if fault is Fault.THROTTLE:
            raise client_error("ThrottlingException", operation, 400)
        if fault is Fault.CONFLICT:
            raise _conflict(operation, request)
        if fault in self.effects:
            self.virtual_time.current.was_slow = True
            effects = self.effects[fault]
            after = self.chance.choice(effects) if self.plan.rates else effects[0]
            self._later(operation, request, effect, after)
            self.virtual_time.wait(TIMEOUT)
            raise ReadTimeoutError(endpoint_url="https://cloud.example")
        return self._go_wrong_after(fault, operation, request, effect)

    def _go_wrong_after(
        self, fault: Fault, operation: str, request: dict[str, Any], effect: Callable[[], Answer]
    ) -> Answer:
        answer = self._effect(operation, request, effect)
        self._wait()
        if fault is Fault.KILL_AFTER:
            self.virtual_time.kill()
        if fault is Fault.ERROR_AFTER:
            raise client_error("InternalServerError", operation, 500)
        if fault is Fault.PAUSE_AFTER:
            self._pause()
            return answer
        # The SDK did not hear the answer and asks again. A transaction carries a token of the SDK's
        # own, and is done once.
        if operation == "TransactWriteItems":
            return answer
        return self._go_well(operation, request, effect)

    def _torn(
        self, operation: str, request: dict[str, Any], effect: Callable[[], Answer]
    ) -> Answer:
        """Read the definition before the state: a query of two items is no transaction."""
        first = self._effect(operation, request, effect)["Items"]
        self.virtual_time.wait(self.chance.choice((0.02, 0.1, 1, 3)) if self.plan.rates else 0.1)
        second = self._effect(operation, request, effect)["Items"]
        definitions = [item for item in first if item["part"]["S"] == "definition"]
        return {
            "Items": [*definitions, *(item for item in second if item["part"]["S"] != "definition")]
        }

    def _later(
        self,
        operation: str,
        request: dict[str, Any],
        effect: Callable[[], Answer],
        after: float,
    ) -> None:
        process = self.virtual_time.current

        def act() -> None:
            self.virtual_time.current, before = process, self.virtual_time.current
            try:
                self.tell(f"{operation} takes effect late")
                self._effect(operation, request, effect)
            except ClientError:
                self.tell("and is refused")
            finally:
                self.virtual_time.current = before

        self.virtual_time.at(self.virtual_time.time + after, act)

    def _effect(
        self, operation: str, request: dict[str, Any], effect: Callable[[], Answer]
    ) -> Answer:
        self._writes = []
        try:
            answer = effect()
        except ClientError as error:
            self.tell(f"refused: {error.response['Error']['Code']}")
            raise
        finally:
            self._lag = 0.0
        self.observe(operation, self._writes, request)
        return answer

    def written(self, table: str, key: tuple[str, ...], old: Item | None, new: Item | None) -> None:
        write = (table, key, old, new)
        self._writes.append(write)
        self._past.append((self.virtual_time.time, write))
        if old is not None and "watch_shard" in old:
            self._watched[old["watch_shard"]["S"]].discard(key)
        if new is not None and "watch_shard" in new:
            self._watched.setdefault(new["watch_shard"]["S"], set()).add(key)
        if len(self._past) > 200:
            del self._past[:100]

    def items(self, table: str, index: str | None) -> dict[tuple[str, ...], Item]:
        current = super().items(table, index)
        if index is None or not self._lag:
            return current
        stale = dict(current)
        for at, (written, key, old, _) in reversed(self._past):
            if at <= self.virtual_time.time - self._lag:
                break
            if written == table:
                stale.pop(key, None)
                if old is not None:
                    stale[key] = old
        return stale


def _conflict(operation: str, request: dict[str, Any]) -> ClientError:
    if operation == "PutItem":
        return client_error("TransactionConflictException", operation)
    reasons = [
        {"Code": "TransactionConflict"},
        *({"Code": "None"} for _ in request["TransactItems"][1:]),
    ]
    return client_error("TransactionCanceledException", operation, CancellationReasons=reasons)
