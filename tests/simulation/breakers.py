"""What the observer knows of breakers: which attempts failed, and what opened and closed flows."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chalicelib.domain.flows import flow_of
from chalicelib.domain.job import Definition
from chalicelib.domain.run import AttemptResult
from tests.cloud import Item
from tests.simulation.cloud import Write
from tests.simulation.virtual_time import VirtualTime

_FLOWS, _LINE = "flows#local", "flow#local#"
_DOWN = {"timeout", "connection_failed", "dns_failed", "tls_failed"}
# In seconds: by then, on a fine day, what an attempt has shown has become of the flow.
_SOON = 2.0
# So much clocks may differ.
_SKEW = 10.0
Hold = Callable[..., None]


@dataclass(frozen=True)
class Known:
    """A flow's breaker, as it was written: failures in a row, seconds between probes, when it was
    opened (empty while it is closed), and since when it has been so.
    """

    failures: int
    probe: float
    opened_at: str
    since: float


@dataclass
class Flow:
    """The attempts of a flow, in the order in which they were sent, those that were sent while it
    was open, those of a process that may have known it open, and the owners of those that were
    counted since the count began, and before.
    """

    sent: list[Any] = field(default_factory=list)
    probes: list[tuple[str, Any]] = field(default_factory=list)
    perhaps: list[tuple[str, Any]] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
    row: list[str] = field(default_factory=list)


class Breakers:
    """Holds what opens and closes flows, and what is sent while they are open."""

    def __init__(self, hold: Hold, virtual_time: VirtualTime) -> None:
        self._hold = hold
        self._time = virtual_time
        self._known: list[tuple[float, dict[str, Known]]] = [(0.0, {})]
        self._flows: defaultdict[str, Flow] = defaultdict(Flow)
        self._owners: dict[str, Any] = {}
        self._told: set[tuple[str, ...]] = set()

    def saw(
        self,
        writes: list[Write],
        told: Iterable[tuple[str, str, str, bool]],
        channels: list[dict[str, dict[str, Any]]],
        *,
        is_fine: bool,
    ) -> None:
        """Take in changes of flows, and what is told with them. `channels` are those that may be
        known.
        """
        made, happened = sorted(told), list[tuple[str, str]]()
        for table, key, old, new in writes:
            if table == "jobs" and key[0].startswith(_LINE) and key[1] == "breaker":
                self._counted(key[0].removeprefix(_LINE), old, new)
        for table, key, _, new in writes:
            if table == "jobs" and key[0] == _FLOWS:
                happened += self._changed(key[1], new, writes, is_fine=is_fine)
        events = {
            tuple(
                sorted(
                    (event, name, "digest" in channel)
                    for event, _ in happened
                    for name, channel in some.items()
                    if event in channel["events"]
                )
            )
            for some in channels
        }
        shown = tuple(sorted((event, name, digest) for event, _, name, digest in made))
        self._hold(shown in events or not (shown or happened), "a flow is told of", made, happened)
        for event, opened_at in happened:
            for _, _, name, _ in made:
                one = (event, opened_at, name)
                self._hold(one not in self._told, "a flow is told of once", one)
                self._told.add(one)
        if is_fine:
            self._closes()

    def _counted(self, name: str, old: Item | None, new: Item | None) -> None:
        flow = self._flows[name]
        if new is None:
            flow.row, flow.counted = flow.counted, []
            return
        before = int(old["failures"]["N"]) if old else 0
        owner, count = new["attempt"]["S"], int(new["failures"]["N"])
        sent = self._owners.get(owner)
        is_down = sent is not None and sent.result is not None and _is_down(sent.result)
        self._hold(bool(is_down), "what is counted has failed", name, owner)
        is_new = not flow.counted or flow.counted[-1] != owner
        self._hold(count == before + 1 and is_new, "a failure is counted once", name, owner)
        flow.counted.append(owner)

    def _are_in_a_row(self, name: str) -> None:
        """On a fine day a success ends the failures that were there before."""
        flow, now = self._flows[name], self._time.time
        worked = [
            one.at
            for one in flow.sent
            if one.result is not None and not _is_down(one.result) and one.until < now - _SOON
        ]
        before = [owner for owner in flow.row if self._owners[owner].until < max(worked, default=0)]
        self._hold(not before, "a success ends a row", name, before)

    def _changed(
        self, name: str, new: Item | None, writes: list[Write], *, is_fine: bool
    ) -> list[tuple[str, str]]:
        """Take in a flow as it is now; return whether it was opened or closed, and when opened."""
        before = self._known[-1][1].get(name)
        now, known = self._time.time, dict(self._known[-1][1])
        raw = json.loads(new["flow"]["S"]) if new is not None else {}
        known.pop(name, None)
        is_by_user = self._time.current.function not in ("deliver", "sweep")
        after = None
        if raw.get("breaker"):
            opened_at = raw.get("opened_at") or ""
            failures, probe = raw["breaker"]
            wanted = (failures, probe, opened_at)
            is_same = before and (before.failures, before.probe, before.opened_at) == wanted
            since = before.since if before and is_same else now
            after = known[name] = Known(failures, probe, opened_at, since)
        self._known.append((now, known))
        if is_by_user:
            return []
        assert before is not None
        assert after is not None
        self._hold(before.opened_at != after.opened_at, "an executor opens or closes", name)
        if after.opened_at:
            forgotten = [old for _, key, old, _ in writes if key == (_LINE + name, "breaker")]
            count = int(forgotten[0]["failures"]["N"]) if forgotten and forgotten[0] else 0
            self._hold(count >= after.failures, "a flow opens after its failures", name, count)
            if is_fine:
                self._are_in_a_row(name)
            return [("flow.opened", after.opened_at)]
        shows = [
            sent
            for opened_at, sent in self._flows[name].probes + self._flows[name].perhaps
            if opened_at == before.opened_at and sent.result and _is_down(sent.result) is False
        ]
        self._hold(bool(shows), "a flow closes after a success", name)
        return [("flow.closed", before.opened_at)]

    def sends(self, job: Definition, owner: str, sent: Any, *, is_fine: bool) -> None:
        """Take in that an attempt is sent: while its flow is open, one in each time between probes.
        On a fine day a flow is open when so many have failed.
        """
        name, now = flow_of(job), self._time.time
        if name is None:
            return
        flow, since = self._flows[name], self._time.current.begun_at
        begun = [at for at, _ in self._known if at <= since]
        possible = [known.get(name) for at, known in self._known if at >= begun[-1]]
        self._owners[owner] = sent
        if is_fine:
            self._is_open_in_time(name, flow)
        flow.sent.append(sent)
        if not all(one is not None and one.opened_at for one in possible):
            # It may have been prepared before the flow was opened, or as a probe.
            flow.perhaps += [(one.opened_at, sent) for one in possible if one and one.opened_at]
            return
        skew = 0.05 if is_fine else _SKEW
        for one in possible:
            assert one is not None
            opened_at = self._time.seconds(datetime.fromisoformat(one.opened_at))
            self._hold(now >= opened_at + one.probe - skew, "an open flow is left alone", name, now)
        opened_at_last = possible[-1].opened_at if possible[-1] else ""
        probe = min(one.probe for one in possible if one)
        for opened_at_then, earlier in flow.probes:
            has_failed = earlier.result is not None and _is_down(earlier.result)
            is_soon = now < earlier.at + probe - skew
            is_same = opened_at_then == opened_at_last
            self._hold(not (has_failed and is_soon and is_same), "one probe at a time", name, now)
        flow.probes.append((opened_at_last, sent))

    def _is_open_in_time(self, name: str, flow: Flow) -> None:
        now, known = self._time.time, self._known[-1][1].get(name)
        if known is None or known.opened_at:
            return
        ended = [one for one in flow.sent if one.result is not None]
        worked = [one.until for one in ended if not _is_down(one.result)]
        since = max([known.since, *worked]) + _SOON
        failed = [
            one
            for one in ended
            if _is_down(one.result) and one.at > since and one.until < now - _SOON
        ]
        self._hold(len(failed) < known.failures, "a flow opens in time", name, len(failed))

    def _closes(self) -> None:
        """On a fine day a flow closes when an attempt shows that the target works."""
        for name, known in self._known[-1][1].items():
            if known.opened_at:
                for opened_at, sent in self._flows[name].probes:
                    shows = sent.result is not None and _is_down(sent.result) is False
                    is_over = shows and sent.until < self._time.time - _SOON
                    is_still = opened_at == known.opened_at
                    self._hold(not (is_over and is_still), "a flow closes in time", name)


def _is_down(result: AttemptResult) -> bool | None:
    if result.outcome in ("blocked", "unknown"):
        return None
    is_error = result.outcome != "success" and (result.status_code or 0) // 100 == 5
    return result.outcome in _DOWN or is_error
