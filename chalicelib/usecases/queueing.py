"""Take slots of flows for attempts, and put runs in line that get none."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.aws.job_items import FlowChanged
from chalicelib.aws.line_store import Gate, Look, changed
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.flows import Flow, Wait, is_down
from chalicelib.domain.holding import latest_start
from chalicelib.domain.ids import run_id
from chalicelib.domain.job import Definition
from chalicelib.domain.lines import RESERVED, Slot, free, line_id, lined_up, run_name
from chalicelib.domain.run import AttemptResult
from chalicelib.domain.state import SKEW, Transition, UnfinishedRun
from chalicelib.usecases.attempt import Tried, owner_token
from chalicelib.usecases.lines import Lines

log = logging.getLogger("resona")

# A slot is taken for so much longer than the lease of its attempt, which is claimed a little later.
_SPARE = timedelta(seconds=5)
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Queueing:
    """Decides whether an attempt gets a slot of its flow or waits in line."""

    lines: Lines

    def gated(
        self, definition: Definition, claim: Transition, flow: Flow, tried: Tried, now: datetime
    ) -> Transition | None:
        """Return the transition that puts a claim's run in line; None if it has a slot, or the flow
        needs none. Raises FlowChanged, Unavailable.
        """
        run, line = claim.send, line_id(flow.tenant, flow.name)
        assert run is not None  # noqa: S101  a claim sends
        if tried.gated is not None and tried.gated.name != flow.name:
            # The job has changed its flow since: its slot is one of the other flow.
            self.leave(tried)
        tried.gated = flow
        if flow.paused:
            gate, wait, needed = self.lines.store.gate(line), Wait.PAUSE, None
        else:
            look = self._take(line, definition.id, run, flow, tried, now)
            if look is None:
                return None
            gate, wait = look.gate, Wait.BREAKER if flow.opened_at else Wait.CONCURRENCY
            ends = [slot.until + SKEW for slot in look.slots if slot.is_live(now)]
            needed = min(ends, default=now + RESERVED)
            if flow.probed_from is not None and now < flow.probed_from:
                needed = flow.probed_from
        if gate is None or not gate.is_of(flow):
            raise FlowChanged
        gate, before = self._watched(gate, needed), gate
        if flow.opened_at is not None and needed is not None and gate != before:
            self.lines.wake(line, needed)
        latest = latest_start(definition, claim.state, run.key) if run.attempt == 1 else None
        entry = self.lines.store.entry(definition.id, run)
        tried.beside = self.lines.store.enter(entry, gate)
        fields = {"job_id": definition.id, "run_id": run_id(definition.id, run.key)}
        log.debug("run.held", extra={**fields, "waits_for": wait})
        return lined_up(claim, wait, entry, latest, now)

    def _take(
        self,
        line: str,
        job_id: str,
        run: UnfinishedRun,
        flow: Flow,
        tried: Tried,
        now: datetime,
    ) -> Look | None:
        """Take a slot for an attempt. Return the line as it was read if it gets none.

        Nobody overtakes a run that waits in line, except the one for which a slot is reserved.
        """
        limit, until = flow.most_out(now), run.lease_until
        assert limit is not None and until is not None  # noqa: S101  a claim has a lease
        if tried.slot is not None and until <= tried.slot.until:
            return None
        name, holder = run_name(job_id, run.key), owner_token()
        for _ in range(_TRIES):
            look = self.lines.store.look(line, most=2)
            own = look.reserved(tried.slot.holder if tried.slot is not None else name)
            indices = free(limit, [slot for slot in look.slots if slot is not own], now)
            if own is None or not own.is_live(now):
                others = [entry for entry in look.waiting if entry.name != name]
                if others or not indices:
                    return look
                index = random.choice(indices)
                own = next((slot for slot in look.slots if slot.index == index), None)
            elif own.index in indices:
                index = own.index
            else:
                # The limit was lowered after the slot was reserved.
                self.lines.store.free(line, own)
                continue
            slot = Slot(index, holder, until + _SPARE)
            if self.lines.store.take(line, own, slot):
                tried.slot = slot
                return None
        return look

    def _watched(self, gate: Gate, needed: datetime | None) -> Gate:
        """Return a gate that somebody looks at by the time that is needed, None for no time.

        Raises FlowChanged if it is not as it was any more.
        """
        is_late = needed is not None and (gate.watch_at is None or gate.watch_at > needed)
        if not gate.closing and not is_late:
            return gate
        watched = changed(gate, needed if is_late else gate.watch_at)
        if not self.lines.store.set(watched, gate):
            raise FlowChanged
        return watched

    def leave(self, tried: Tried, sent: tuple[datetime, AttemptResult] | None = None) -> None:
        """Free the slot of an attempt that is over, or was not made, and let runs that wait in line
        have what is free. Never raises Unavailable: a slot ends by itself.

        `sent` is when it was sent, and its result. The slot of a probe that failed is free when it
        is time for the next one.
        """
        flow, slot = tried.gated, tried.slot
        if flow is None:
            return
        tried.gated = tried.slot = None
        line = line_id(flow.tenant, flow.name)
        try:
            if slot and flow.opened_at and flow.breaker and sent and is_down(sent[1]):
                next_at = sent[0] + flow.breaker.probe
                if self.lines.store.take(line, slot, slot.kept(next_at)):
                    self.lines.wake(line, next_at)
                return
            if slot is not None:
                self.lines.store.free(line, slot)
            most = flow.most_out(self.lines.clock())
            if flow.paused or most is None:
                return
            while (look := self.lines.store.look(line)).waiting:
                is_open = look.gate is not None and not look.gate.paused
                if not is_open or not self.lines.pass_on(line, most, look):
                    break
        except Unavailable:
            log.warning("line.failed", exc_info=True)
