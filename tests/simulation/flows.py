"""What the observer knows of flows: their limits over time, and the places that they have given."""

from __future__ import annotations

import json
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.domain.flows import flow_of
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition
from chalicelib.domain.state import UnfinishedRun
from tests.cloud import Item
from tests.simulation.cloud import Write
from tests.simulation.virtual_time import VirtualTime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACES = "flow#local#"
Hold = Callable[..., None]


@dataclass(frozen=True)
class Limit:
    """A rate: microseconds from one place to the next, and how many may go at once."""

    step: int
    burst: int

    @property
    def tolerance(self) -> int:
        return self.step * (self.burst - 1)


class Flows:
    """Holds every place and every claim against the limits that a process may know."""

    def __init__(self, hold: Hold, virtual_time: VirtualTime) -> None:
        self._hold = hold
        self._virtual_time = virtual_time
        self._limits: list[tuple[float, dict[str, Limit]]] = [(0.0, {})]
        self._all: defaultdict[str, set[Limit]] = defaultdict(set)
        self._arrivals: dict[str, int] = {}
        self._given: defaultdict[str, list[int]] = defaultdict(list)
        self._used: defaultdict[str, list[int]] = defaultdict(list)
        self._held: dict[tuple[str, RunKey], str] = {}

    def saw(self, writes: list[Write]) -> None:
        """Take in changes of flows."""
        for table, key, _, new in writes:
            if table != "jobs" or key[0] != "flows#local":
                continue
            limits = dict(self._limits[-1][1])
            limits.pop(key[1], None)
            rate = json.loads(new["flow"]["S"])["rate"] if new is not None else None
            if rate:
                requests, seconds, burst = rate
                limits[key[1]] = Limit(-(-seconds * 1_000_000 // requests), burst)
                self._all[key[1]].add(limits[key[1]])
            self._limits.append((self._virtual_time.time, limits))

    def took(self, request: dict[str, Any], old: Item | None, new: Item) -> None:
        """Take in places that are given: each follows the one before by a step of the rate."""
        name = request["Key"]["id"]["S"].removeprefix(_PLACES)
        values = {
            key: int(value["N"]) for key, value in request["ExpressionAttributeValues"].items()
        }
        arrival = values[":from"]
        steps = values.get(":steps") or values[":to"] - arrival
        limit = next((one for one in self._possible(name) if one and not steps % one.step), None)
        self._hold(limit is not None, "a place is a step of its flow's rate", name, steps)
        assert limit is not None
        before = max(int(old["arrival"]["N"]) if old else 0, arrival)
        self._arrivals[name] = int(new["arrival"]["N"])
        self._hold(self._arrivals[name] == before + steps, "places follow each other", name)
        for number in range(steps // limit.step):
            at = max(arrival, before + number * limit.step - limit.tolerance)
            insort(self._given[name], at)
        self._keeps_to_rate(name)

    def _keeps_to_rate(self, name: str) -> None:
        """However many places there are in however long a time, they are no more than the fastest
        rate of the flow allows, beyond its burst.
        """
        step = min(limit.step for limit in self._all[name])
        burst = max(limit.burst for limit in self._all[name])
        given = self._given[name]
        is_slow = all(
            last - first >= step * (more + 1 - burst)
            for number, first in enumerate(given)
            for more, last in enumerate(given[number:])
        )
        self._hold(is_slow, "never faster than the rate, beyond its burst", name, given[-3:])

    def _possible(self, name: str) -> list[Limit | None]:
        """Return the limits of a flow at each time since the current process began."""
        since = self._virtual_time.current.begun_at
        begun = [at for at, _ in self._limits if at <= since]
        return [limits.get(name) for at, limits in self._limits if at >= begun[-1]]

    def held(self, job: Definition, before: UnfinishedRun | None, run: UnfinishedRun) -> None:
        """A run is held until a place that its flow has given, and no attempt is spent."""
        name = flow_of(job)
        assert name is not None and run.next_attempt_at is not None
        self._hold(any(self._possible(name)), "only a flow with limits holds a run", run.key, name)
        spent = run.attempt - (before.attempt if before else 0)
        self._hold(not spent and run.owner is None, "no attempt is spent by waiting", run.key)
        is_given = _micros(run.next_attempt_at) in self._given[name]
        self._hold(is_given, "a held run has a place", run.key, run.next_attempt_at)
        self._held[job.id, run.key] = name

    def claimed(self, job: Definition, before: UnfinishedRun | None, run: UnfinishedRun) -> None:
        """Each attempt has a place of its own, which has come by the clock of who claims it."""
        name = flow_of(job)
        if before is not None and before.waits_for is not None:
            name = self._held[job.id, run.key]
        elif name is None or not all(self._possible(name)):
            return
        used, given = self._used[name], self._given[name]
        now = self._virtual_time.now + timedelta(seconds=self._virtual_time.current.skew)
        insort(used, _micros(now) + 1_000)
        has_come = all(
            number <= bisect_right(given, claimed_at)
            for number, claimed_at in enumerate(used, start=1)
        )
        self._hold(has_come, "each attempt has a place of its own", run.key, run.attempt, name)

    def refuses(self, job: Definition, latest: datetime) -> bool:
        """Return whether a flow of the job has no place until then."""
        name = flow_of(job)
        if name is None or name not in self._arrivals:
            return False
        arrival = self._arrivals[name]
        return any(
            limit and arrival - limit.tolerance >= _micros(latest) for limit in self._possible(name)
        )


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
