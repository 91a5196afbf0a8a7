"""What the observer knows of lines: who waits, who looks at them, and whose exchanges are out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chalicelib.domain.flows import flow_of
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition
from chalicelib.domain.lines import FAILED_PROBE
from chalicelib.domain.state import SKEW, UnfinishedRun
from tests.cloud import Item
from tests.simulation.cloud import Write
from tests.simulation.virtual_time import Process, VirtualTime

_FLOWS, _LINE = "flows#local", "flow#local#"
# In seconds: on a fine day a free slot has no longer a line before it.
_SOON = 3.0
# In seconds: a slot is free so long after its end, whatever the clocks say.
_FREE = 20.0
Hold = Callable[..., None]


@dataclass(frozen=True)
class Bound:
    """What a flow allows: how many exchanges may be out, None for any number; none if paused."""

    concurrency: int | None = None
    paused: bool = False
    opened_at: str = ""
    """When its breaker opened it; empty while it is closed."""
    probed_from: float = 0.0
    """When the first attempt may be sent while it is open, in seconds of the simulation."""

    def most_out(self, now: float) -> int | None:
        if not self.opened_at:
            return self.concurrency
        return 1 if now >= self.probed_from else 0


@dataclass(frozen=True)
class Waiting:
    """A run in line: the token of its hold, its name as the holder of a slot, and since when."""

    token: str
    name: str
    since: float


@dataclass
class Line:
    """A line as it is: its gate, the runs in it, the holders of its slots, and who took them."""

    gate: Item | None = None
    waiting: dict[str, Waiting] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    takers: dict[str, Process] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    idle_since: float | None = None

    def ahead(self, since: float, part: str | None = None) -> list[str]:
        """Return who is in line since before a time, and before `part`, without a slot of its own:
        None stands for the end of the line.
        """
        return [
            one
            for one, waits in self.waiting.items()
            if (part is None or one < part)
            and waits.since < since
            and waits.name not in self.holders.values()
        ]


class Lines:
    """Holds every write of a line, every claim and every request against the flows."""

    def __init__(self, hold: Hold, virtual_time: VirtualTime) -> None:
        self._hold = hold
        self._virtual_time = virtual_time
        self._bounds: list[tuple[float, dict[str, Bound]]] = [(0.0, {})]
        self._lines: defaultdict[str, Line] = defaultdict(Line)
        self._entered: dict[str, str] = {}
        # The runs that waited when a process took a slot of a flow, by the holder of the slot.
        self._passed: defaultdict[tuple[Process, str], dict[str, list[str]]] = defaultdict(dict)
        self._claimed_in: dict[tuple[str, RunKey, int], str | None] = {}
        self._out: defaultdict[str, list[Any]] = defaultdict(list)

    def saw(self, writes: list[Write], *, is_fine: bool) -> None:
        """Take in changes of flows and of their lines."""
        touched = set[str]()
        for table, key, old, new in writes:
            if table != "jobs":
                continue
            if key[0] == _FLOWS:
                self._changed(key[1], new)
                touched.add(key[1])
            elif key[0].startswith(_LINE):
                name = key[0].removeprefix(_LINE)
                touched.add(name)
                if key[1].startswith("out#") and new is not None:
                    self._taken(name, key[1], old, new, is_fine=is_fine)
                else:
                    self._take_in(self._lines[name], key[1], new)
                if key[1].startswith("wait#") and new is not None:
                    self._entered[new["token"]["S"]] = name
        for name in touched:
            self._is_watched(name)
        if is_fine:
            for name, line in self._lines.items():
                self._is_busy(name, line)

    def _changed(self, name: str, new: Item | None) -> None:
        bounds = dict(self._bounds[-1][1])
        bounds.pop(name, None)
        flow = json.loads(new["flow"]["S"]) if new is not None else {}
        opened_at, probed_from = flow.get("opened_at") or "", 0.0
        if opened_at:
            seconds = self._virtual_time.seconds(datetime.fromisoformat(opened_at))
            probed_from = seconds + flow["breaker"][1]
        if flow.get("paused") or flow.get("concurrency") or opened_at:
            bounds[name] = Bound(flow["concurrency"], flow["paused"], opened_at, probed_from)
        self._bounds.append((self._virtual_time.time, bounds))

    def _take_in(self, line: Line, part: str, new: Item | None) -> None:
        if part == "gate":
            line.gate = new
        elif part.startswith("wait#") and new is not None:
            name = f"{new['job_id']['S']}/{new['key']['S']}"
            line.waiting[part] = Waiting(new["token"]["S"], name, self._virtual_time.time)
        elif part.startswith("wait#"):
            line.waiting.pop(part, None)

    def _taken(self, name: str, part: str, old: Item | None, new: Item, *, is_fine: bool) -> None:
        """Nobody takes a slot that an attempt has not given back."""
        line, process = self._lines[name], self._virtual_time.current
        holder, before = new["holder"]["S"], line.holders.get(part, "")
        is_longer = _is_attempt(before) and line.takers.get(part) is process
        if holder and not is_longer:
            is_given_back = not is_fine or not _is_attempt(before)
            self._hold(is_given_back, "a slot is given back", name, before)
        if _is_attempt(holder) and not is_longer:
            until = int(old["until"]["N"]) / 1_000_000 if old is not None else 0.0
            is_over = self._virtual_time.now.timestamp() > until + _FREE
            if is_over or not _is_reserved(before):
                ahead = [line.waiting[one].name for one in line.ahead(process.begun_at)]
                if ahead:
                    self._passed[process, name][holder] = ahead
        self._passed[process, name].pop(before, None)
        line.holders[part], line.takers[part] = holder, process
        line.ends[part] = int(new["until"]["N"])

    def _is_watched(self, name: str) -> None:
        """Whoever waits is let go when the pause ends, or by the sweeper at the latest."""
        line, bound = self._lines[name], self._bounds[-1][1].get(name, Bound())
        if line.waiting:
            self._hold(line.gate is not None, "a line has a gate", name)
            is_watched = line.gate is not None and "watch_at" in line.gate
            self._hold(bound.paused or is_watched, "somebody looks at a line", name)

    def _is_busy(self, name: str, line: Line) -> None:
        """On a fine day no run waits for a slot that nobody has."""
        now, bound = self._virtual_time.time, self._bounds[-1][1].get(name, Bound())
        held = sum(
            holder != "" and (holder != FAILED_PROBE or not self._is_over(line.ends[part]))
            for part, holder in line.holders.items()
        )
        most = bound.most_out(now)
        is_idle = (
            bool(line.waiting) and not bound.paused and held < (1_000 if most is None else most)
        )
        if not is_idle:
            line.idle_since = None
        elif line.idle_since is None:
            line.idle_since = now
        else:
            waits = now - line.idle_since
            self._hold(waits < _SOON, "nobody waits for a slot that is free", name, waits)

    def _is_over(self, until: int) -> bool:
        """Return whether a slot ends by itself before now. `until` is as it is stored."""
        return until / 1e6 + SKEW.total_seconds() <= self._virtual_time.now.timestamp()

    def _possible(self, name: str | None) -> set[Bound]:
        """Return what a flow allowed at each time since the current process began."""
        since = self._virtual_time.current.begun_at
        begun = [at for at, _ in self._bounds if at <= since]
        return {bounds.get(name or "", Bound()) for at, bounds in self._bounds if at >= begun[-1]}

    def held(self, job: Definition, before: UnfinishedRun | None, run: UnfinishedRun) -> None:
        """A run that waits in line is in it, and no attempt is spent."""
        name = flow_of(job)
        assert name is not None and run.line is not None
        is_limited = any(one != Bound() for one in self._possible(name))
        self._hold(is_limited, "only a flow with limits holds a run", run.key, name)
        spent = run.attempt - (before.attempt if before else 0)
        self._hold(not spent and run.owner is None, "no attempt is spent by waiting", run.key)
        waits = self._lines[name].waiting.get(run.line.part)
        is_there = waits is not None and waits.token == run.line.token
        self._hold(is_there, "who waits in line is in it", run.key, run.line)
        bound = self._bounds[-1][1].get(name, Bound())
        is_so = {"pause": bound.paused, "breaker": bound.opened_at != ""}
        is_held = is_so.get(str(run.waits_for), True)
        self._hold(is_held, "a run waits for what is so", run.key, run.waits_for, bound)

    def left(self, before: UnfinishedRun) -> None:
        """A run that has left its line is in it no more, and left nobody behind who was there
        before it.
        """
        assert before.line is not None
        # The job may have another flow since.
        line, part = self._lines[self._entered[before.line.token]], before.line.part
        waits = line.waiting.get(part)
        is_gone = waits is None or waits.token != before.line.token
        self._hold(is_gone, "who leaves a line is in it no more", before.key)
        ahead = line.ahead(self._virtual_time.current.begun_at, part)
        self._hold(not ahead, "nobody overtakes a line", before.key, ahead)

    def claimed(self, job: Definition, run: UnfinishedRun) -> None:
        """Nothing of a paused flow is claimed, and no run by a slot for which another waited."""
        name = self._claimed_in[job.id, run.key, run.attempt] = flow_of(job)
        passed = self._passed[self._virtual_time.current, name or ""]
        own = next((one for one, runs in passed.items() if f"{job.id}/{run.key}" in runs), None)
        is_own = own is not None and passed.pop(own)
        self._hold(is_own or not passed, "nobody overtakes a line", run.key, passed)
        is_paused = all(one.paused for one in self._possible(name))
        self._hold(not is_paused, "nothing of a paused flow is sent", run.key, name)

    def sends(self, sent: Any) -> None:
        """No more exchanges are out than the flow allows in which they were claimed. One of a dead
        executor is out until its timeout.
        """
        name, now = self._claimed_in[sent.job_id, sent.key, sent.attempt], self._virtual_time.time
        limits = [one.concurrency for one in self._possible(name)]
        most = [limit for limit in limits if limit is not None]
        if name is None or len(most) < len(limits):
            # Of a flow that has just got its limit one cannot tell who has to keep it.
            return
        out = [one for one in self._out[name] if one.result is None and now < one.until]
        self._out[name] = [*out, sent]
        self._hold(len(out) < max(most), "never more out than the concurrency", name, len(out) + 1)

    def known(self) -> list[str]:
        """Return the names of flows that have, or had, lines."""
        return [*self._lines]

    def is_any_paused(self) -> bool:
        """Return whether a flow is paused now."""
        return any(bound.paused for bound in self._bounds[-1][1].values())

    def rest(self) -> list[str]:
        """Return what is left of lines: runs, and gates of flows that are gone."""
        bounds = self._bounds[-1][1]
        return [
            f"{name} has {'a line' if line.waiting else 'a gate'}"
            for name, line in self._lines.items()
            if line.waiting or (line.gate is not None and name not in bounds)
        ]

    def ended(self, *, is_fine: bool) -> None:
        """On a fine day every exchange has given its slot back. Those of runs that were to come,
        and did not, end by themselves.
        """
        for name, line in self._lines.items():
            left = [holder for holder in line.holders.values() if _is_attempt(holder)]
            self._hold(not is_fine or not left, "a slot is given back", name, left)


def _is_reserved(holder: str) -> bool:
    """Return whether a slot is reserved for a run: that is named after its job."""
    return "/" in holder


def _is_attempt(holder: str) -> bool:
    """Return whether an attempt has a slot."""
    return holder not in ("", FAILED_PROBE) and not _is_reserved(holder)
