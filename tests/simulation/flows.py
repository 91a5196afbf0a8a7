"""What the observer knows of flows: their limits over time, and the places that they have given."""

from __future__ import annotations

import json
from bisect import insort
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.domain.flows import Wait, flow_of
from chalicelib.domain.job import Definition
from chalicelib.domain.run_transitions import LEASE_MARGIN
from chalicelib.domain.state import UnfinishedRun
from tests.cloud import Item
from tests.simulation.cloud import Write
from tests.simulation.virtual_time import VirtualTime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACES = "flow#local#"
# In microseconds: a place is lost that has passed by more.
_LATEST = 2_000_000
Hold = Callable[..., None]


@dataclass(frozen=True)
class Limit:
    """A rate: microseconds from one place to the next, and how many may go at once. `series` names
    the places that are given with it.
    """

    step: int
    burst: int
    series: tuple[str, str]

    @property
    def tolerance(self) -> int:
        return self.step * (self.burst - 1)


class Flows:
    """Holds every place and every claim against the limits that a process may know."""

    def __init__(self, hold: Hold, virtual_time: VirtualTime) -> None:
        self._hold = hold
        self._virtual_time = virtual_time
        self._limits: list[tuple[float, dict[str, Limit]]] = [(0.0, {})]
        self._arrivals: dict[tuple[str, str], int] = {}
        self._given: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self._used: defaultdict[tuple[str, str], list[int]] = defaultdict(list)

    def saw(self, writes: list[Write]) -> None:
        """Take in changes of flows."""
        for table, key, _, new in writes:
            if table == "jobs" and key[0].startswith(_PLACES) and key[1] == "places" and new:
                # A new rate begins behind the places that have come.
                series = key[0].removeprefix(_PLACES), new["series"]["S"]
                self._arrivals[series] = int(new["arrival"]["N"])
            if table != "jobs" or key[0] != "flows#local":
                continue
            limits = dict(self._limits[-1][1])
            limits.pop(key[1], None)
            flow = json.loads(new["flow"]["S"]) if new is not None else {}
            if flow.get("rate"):
                requests, seconds, burst = flow["rate"]
                series = key[1], flow["series"]
                limits[key[1]] = Limit(-(-seconds * 1_000_000 // requests), burst, series)
            self._limits.append((self._virtual_time.time, limits))

    def took(self, request: dict[str, Any], old: Item | None, new: Item) -> None:
        """Take in places that are given: each follows the one before by a step of the rate."""
        name = request["Key"]["id"]["S"].removeprefix(_PLACES)
        series = name, new["series"]["S"]
        values = {
            key: int(value["N"])
            for key, value in request["ExpressionAttributeValues"].items()
            if "N" in value
        }
        arrival = values[":from"]
        steps = values.get(":steps") or values[":to"] - arrival
        limit = next((one for one in self._possible(name) if one and one.series == series), None)
        is_known = limit is not None and not steps % limit.step
        self._hold(is_known, "a place is a step of its flow's rate", name, steps)
        assert limit is not None and old is not None
        before = max(int(old["arrival"]["N"]), arrival)
        self._arrivals[series] = int(new["arrival"]["N"])
        self._hold(self._arrivals[series] == before + steps, "places follow each other", name)
        for number in range(steps // limit.step):
            at = max(arrival, before + number * limit.step - limit.tolerance)
            insort(self._given[series], at)
        self._keeps_to_rate(limit)

    def _keeps_to_rate(self, limit: Limit) -> None:
        """However many places there are in however long a time, they are no more than the rate
        allows, beyond its burst.
        """
        given = self._given[limit.series]
        is_slow = all(
            last - first >= limit.step * (more + 1 - limit.burst)
            for number, first in enumerate(given)
            for more, last in enumerate(given[number:])
        )
        self._hold(is_slow, "never faster than the rate, beyond its burst", limit, given[-3:])

    def _possible(self, name: str) -> list[Limit | None]:
        """Return the limits of a flow at each time since the current process began."""
        since = self._virtual_time.current.begun_at
        begun = [at for at, _ in self._limits if at <= since]
        return [limits.get(name) for at, limits in self._limits if at >= begun[-1]]

    def held(self, job: Definition, before: UnfinishedRun | None, run: UnfinishedRun) -> None:
        """A run is held until a place that its flow has given, and no attempt is spent."""
        name = flow_of(job)
        assert name is not None and run.next_attempt_at is not None
        spent = run.attempt - (before.attempt if before else 0)
        self._hold(not spent and run.owner is None, "no attempt is spent by waiting", run.key)
        if run.waits_for is Wait.SHARE:
            return
        self._hold(any(self._possible(name)), "only a flow with limits holds a run", run.key, name)
        is_given = _micros(run.next_attempt_at) in self._given[name, run.series or ""]
        self._hold(is_given, "a held run has a place", run.key, run.next_attempt_at)

    def is_lost(self, run: UnfinishedRun, job: Definition) -> bool:
        """Return whether a held run has lost its place: its flow has changed, or it is too late."""
        name, at = flow_of(job), run.next_attempt_at
        assert name is not None and at is not None
        process = self._virtual_time.current
        now = self._virtual_time.now + timedelta(seconds=process.skew)
        is_other = any(
            limit is None or limit.series != (name, run.series) for limit in self._possible(name)
        )
        return is_other or _micros(now) > _micros(at) + _LATEST

    def claimed(self, job: Definition, run: UnfinishedRun) -> None:
        """Each attempt has a place of its own, which has come within the last two seconds by the
        clock of who claims it.
        """
        name = flow_of(job)
        possible = set(self._possible(name)) if name is not None else {None}
        limit = possible.pop()
        if limit is None or possible:
            # Of a flow that has just changed one cannot tell which place was used.
            return
        assert run.lease_until is not None
        used = self._used[limit.series]
        insort(used, _micros(run.lease_until - job.timeout - LEASE_MARGIN))
        places = iter(self._given[limit.series])
        has_come = all(
            next((place for place in places if place >= claimed_at - _LATEST), claimed_at + 1)
            <= claimed_at
            for claimed_at in used
        )
        self._hold(has_come, "each attempt has a place of its own", run.key, run.attempt, name)

    def refuses(self, job: Definition, latest: datetime) -> bool:
        """Return whether a flow of the job has no place until then."""
        name = flow_of(job)
        return name is not None and any(
            limit and self._arrivals.get(limit.series, 0) - limit.tolerance >= _micros(latest)
            for limit in self._possible(name)
        )


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
