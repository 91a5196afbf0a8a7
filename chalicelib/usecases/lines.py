"""Release runs that wait in line for their flow: when it changes, and when an exchange is over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.aws.flow_store import FlowStore
from chalicelib.aws.job_store import JobStore, StateChanged
from chalicelib.aws.line_store import Gate, LineStore, Look, changed
from chalicelib.domain.errors import FlowNotFound, Unavailable
from chalicelib.domain.flows import Flow
from chalicelib.domain.ids import RunKey
from chalicelib.domain.lines import RESERVED, Entry, Slot, flow_in, free, released
from chalicelib.domain.state import NEAR, SKEW, DueMessage
from chalicelib.runtime.backoff import TRIES
from chalicelib.usecases.arming import Arming

log = logging.getLogger("resona")

# So many runs are released before the line is read again.
_PAGE = 25
# A drain that has not ended by then goes on by another message.
_TIME = timedelta(seconds=30)
# The sweeper looks again after this time, unless a drain says when.
_AGAIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Lines:
    """Drains lines. `clock` returns aware UTC."""

    jobs: JobStore
    flows: FlowStore
    arming: Arming
    clock: Callable[[], datetime]

    @property
    def store(self) -> LineStore:
        """Return the store of lines."""
        return self.flows.lines

    def look_again(self, line: str) -> bool:
        """Send the message that drains an overdue line. Return whether it was overdue."""
        gate, now = self.store.gate(line), self.clock()
        if gate is None or gate.watch_at is None or now < gate.watch_at:
            return False
        if self.store.set(changed(gate, now + _AGAIN), gate):
            self.wake(line, now)
        return True

    def wake(self, line: str, at: datetime) -> None:
        """Send the message that drains a line at a time. If it is lost, or the time is too far away
        for one, the sweeper does it.
        """
        if at - self.clock() <= NEAR:
            tenant, _ = flow_in(line)
            key = RunKey(at.replace(microsecond=0), 1)
            self.arming.arm_line(DueMessage(line, tenant, key, at))

    def drain(self, line: str) -> None:
        """Release runs as their flow allows; if some are left, say when to look again.

        Raises Unavailable; the sweeper then sends the message again.
        """
        began = self.clock()
        gate = self._watched(line, began)
        while gate is not None:
            flow, look = self._flow(line), self.store.look(line, _PAGE)
            if flow is not None and flow.paused:
                # The change that ends the pause looks at the line.
                self.store.set(changed(gate, None), gate)
                return
            if not look.waiting:
                self._close(gate, flow)
                return
            now = self.clock()
            count = self.pass_on(line, flow.most_out(now) if flow else None, look)
            if count and self.clock() - began < _TIME:
                continue
            now = self.clock()
            ends = [slot.until + SKEW for slot in look.slots if slot.is_live(now)]
            if flow is not None and flow.probed_from is not None and now < flow.probed_from:
                ends = [flow.probed_from]
            later = now if count else max(now, min(ends, default=now + RESERVED))
            if self.store.set(changed(gate, later), gate) and count:
                self.wake(line, now)
            return

    def _watched(self, line: str, now: datetime) -> Gate | None:
        """Have the sweeper look again if this process dies. None if the line has no gate."""
        for _ in range(TRIES):
            before = self.store.gate(line)
            if before is None:
                return None
            gate = changed(before, now + _AGAIN)
            if self.store.set(gate, before):
                return gate
        raise Unavailable("the job table")

    def _flow(self, line: str) -> Flow | None:
        try:
            return self.flows.get(*flow_in(line))
        except FlowNotFound:
            return None

    def _close(self, gate: Gate, flow: Flow | None) -> None:
        """Stop watching an empty line.

        A run that was put in line before the gate is closing is found by another look; one that
        is put there later makes it a gate that is not.
        """
        now = self.clock()
        closing = changed(gate, now + _AGAIN, closing=True)
        if not self.store.set(closing, gate):
            return
        if self.store.look(gate.line).waiting:
            if self.store.set(changed(closing, now), closing):
                self.wake(gate.line, now)
        elif flow is not None and flow.is_gated:
            self.store.set(changed(closing, None), closing)
        else:
            self.store.close(closing)

    def pass_on(self, line: str, limit: int | None, look: Look) -> int:
        """Release the first runs in a line that was just read: as many as there are free slots, all
        without a limit. Return how many entries were handled. Raises Unavailable.
        """
        now, count = self.clock(), 0
        slots = {slot.index: slot for slot in look.slots}
        indices = free(limit, look.slots, now) if limit is not None else []
        for entry in look.waiting:
            reserved = look.reserved(entry.name)
            if limit is None or (reserved is not None and reserved.is_live(now)):
                self._release(line, entry)
            elif not indices:
                break
            else:
                slot = Slot(indices[0], entry.name, now + RESERVED)
                if not self.store.take(line, slots.get(slot.index), slot):
                    # Who took it looks at the line when it is free again.
                    break
                if self._release(line, entry):
                    indices.pop(0)
                elif self.store.free(line, slot):
                    slots[slot.index] = slot.freed
            count += 1
        return count

    def _release(self, line: str, entry: Entry) -> bool:
        """Let a run leave the line; return False if it had left it already."""
        for _ in range(TRIES):
            state, now = self.jobs.state(entry.job_id), self.clock()
            step = released(state, entry, now) if state is not None else None
            if step is None:
                self.store.forget(line, entry)
                return False
            try:
                self.jobs.save(step.state, [self.store.leave(line, entry)], now=now)
            except StateChanged:
                continue
            self.arming.arm(step.state, step.arm)
            return True
        raise Unavailable("the job")
