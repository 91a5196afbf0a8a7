"""Hold the sweeper against its promise: a part of the observer.

A mark says until when a shard was swept. It moves past a look only if that was made: if a step is
overdue for the first time, its message was sent. A `watch_at` that the sweeper moves is not later
than the next look of any step.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from chalicelib.aws.due_queue import load_dues
from chalicelib.aws.job_items import read_state
from chalicelib.aws.table import plain
from chalicelib.domain.ids import RunKey
from chalicelib.domain.state import State
from tests.simulation.cloud import Write
from tests.simulation.virtual_time import VirtualTime

_LOOKS = [timedelta(minutes=minutes) for minutes in (0, 1, 3, 7, *range(15, 60 * 24 * 3, 8))]
_LATE, _AHEAD, _SKEW = (timedelta(seconds=seconds) for seconds in (30, 120, 10))


def steps(state: State) -> Iterator[tuple[RunKey, datetime, datetime]]:
    """Yield the steps that wait: key, first look, and from when on looks follow each other."""
    at = state.next_run_time or state.paused_until
    if at is not None:
        key = RunKey(at, state.generation)
        yield key, at + _LATE if state.covered else at - _AHEAD, at + _LATE
    for run in state.runs:
        at = run.next_attempt_at
        if run.lease_until is not None:
            yield run.key, run.lease_until + _SKEW, run.lease_until + _SKEW
        elif at is not None:
            yield run.key, at + _LATE if run.covered else at - _AHEAD, at + _LATE


class LookWatch:
    """Raises what `hold` raises."""

    def __init__(self, virtual_time: VirtualTime, hold: Callable[..., None]) -> None:
        self.virtual_time = virtual_time
        self.hold = hold
        self.lags = False
        """The index may lag for longer than a moment: then a sweep may see nothing of a job."""
        self.states: dict[str, tuple[float, State]] = {}
        self.marks: list[tuple[float, list[dict[str, Any]]]] = [(-1.0, [{}] * 16)]
        self.sent: defaultdict[str, set[tuple[str, RunKey]]] = defaultdict(set)

    def sends(self, request: dict[str, Any]) -> None:
        """Take in which steps a process arms."""
        for entry in request["Entries"]:
            for due in load_dues(entry["MessageBody"]):
                self.sent[self.virtual_time.current.name].add((due.job_id, due.key))

    def saw(self, writes: list[Write]) -> None:
        """Take writes in."""
        for table, key, _, new in writes:
            if table != "jobs":
                continue
            if key == ("sweeper", "marks"):
                assert new is not None
                self._marked(json.loads(new["marks"]["S"]))
            elif key[1] == "state" and new is None:
                self.states.pop(key[0], None)
            elif key[1] == "state" and new is not None:
                self.states[key[0]] = self.virtual_time.time, read_state(plain(new))

    def _marked(self, marks: list[dict[str, Any]]) -> None:
        """A mark moves past a look only if that was made."""
        process = self.virtual_time.current
        last = max(number for number, (at, _) in enumerate(self.marks) if at <= process.begun_at)
        known = [one for _, one in self.marks[last:]]
        self.marks.append((self.virtual_time.time, marks))
        if self.lags:
            return
        for job_id, (written_at, state) in self.states.items():
            shard = zlib.crc32(job_id.encode()) % 16
            since, watch_at = marks[shard].get("since"), state.watch_at
            if since is None or watch_at is None or written_at >= process.begun_at:
                continue
            before = max((one[shard].get("since") or "" for one in known), default="")
            for key, first, _ in steps(state):
                looked = max(first, watch_at)
                if before < looked.isoformat() and looked <= datetime.fromisoformat(since):
                    is_made = (job_id, key) in self.sent[process.name]
                    self.hold(is_made, "no mark passes a look that was not made", job_id, key)

    def moved(self, old: State, new: State) -> None:
        """The sweeper has moved `watch_at` of a state."""
        assert old.watch_at is not None
        assert new.watch_at is not None
        self.hold(old.watch_at < new.watch_at, "the sweeper moves on", new.job_id, new.watch_at)
        skew = timedelta(seconds=abs(self.virtual_time.current.skew) + 1)
        now, following = self.virtual_time.now + skew, []
        for _, first, again in steps(old):
            first, again = max(first, old.watch_at), max(again, old.watch_at)
            following += [first] if first > now else []
            following.append(next(again + look for look in _LOOKS if again + look > now))
        self.hold(new.watch_at <= min(following), "no watch is moved too far", new.job_id)
