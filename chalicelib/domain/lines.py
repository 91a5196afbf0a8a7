"""Lines: runs that wait in order of their due times until their flow takes them again.

A run waits in line while its flow is paused, or while as many exchanges are out as it allows. A
slot is one of the exchanges that may be out. Whoever frees a slot reserves it for the first run in
line, and releases that run: it is due at once, and asks its flow again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from chalicelib.domain.flows import Wait
from chalicelib.domain.ids import RunKey
from chalicelib.domain.state import NEAR, SKEW, State, Transition, UnfinishedRun, run_due, written
from chalicelib.domain.state_parts import InLine

# A slot that was reserved for a run is given to another one if the run has not come by then.
RESERVED = timedelta(seconds=60)
# Who holds the slot of a probe that failed: nobody, until the next one.
FAILED_PROBE = "probe"
# A run that may be sent at any time waits in line for so long at most.
_FAR = timedelta(days=3_650)
_OF_FLOW = "flow#"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the exchanges that a flow may have out: whose it is, until when at most."""

    index: int
    holder: str
    until: datetime

    def is_live(self, now: datetime) -> bool:
        """Return whether the slot may still be in use."""
        return now < self.until + SKEW

    @property
    def is_out(self) -> bool:
        """Return whether it is, or was, that of an exchange, or reserved for one."""
        return self.holder != FAILED_PROBE

    def kept(self, until: datetime) -> Slot:
        """Return the slot of a probe that failed, as nobody's before a time."""
        return Slot(self.index, FAILED_PROBE, until - SKEW)

    @property
    def freed(self) -> Slot:
        """Return the slot as nobody's."""
        return Slot(self.index, "", _NEVER)


@dataclass(frozen=True, slots=True)
class Entry:
    """A run that waits in line. `part` says where, `token` is that of its hold."""

    part: str
    token: str
    job_id: str
    key: RunKey

    @property
    def name(self) -> str:
        """Return what a slot that is reserved for the run has as its holder."""
        return run_name(self.job_id, self.key)


def run_name(job_id: str, key: RunKey) -> str:
    """Return how a run is named as the holder of a slot."""
    return f"{job_id}/{key}"


def line_id(tenant: str, flow: str) -> str:
    """Return the id of a flow's line, which a message has in the place of a job's."""
    return f"{_OF_FLOW}{tenant}#{flow}"


def is_line(identifier: str) -> bool:
    """Return whether this is the id of a line, not of a job."""
    return identifier.startswith(_OF_FLOW)


def flow_in(identifier: str) -> tuple[str, str]:
    """Return tenant and flow of a line."""
    tenant, _, flow = identifier.removeprefix(_OF_FLOW).partition("#")
    return tenant, flow


def free(limit: int, slots: Iterable[Slot], now: datetime) -> list[int]:
    """Return the indices of the slots that may be taken now.

    After the limit was lowered, slots beyond it may still be in use. So only slots below a number
    are taken: it and the slots from it on that are in use are together within the limit. As those
    are never taken again, two who look at different times do not exceed it either.
    """
    live = {slot.index for slot in slots if slot.is_live(now)}
    below = [
        number
        for number in range(limit + 1)
        if number + sum(index >= number for index in live) <= limit
    ]
    return [index for index in range(max(below, default=0)) if index not in live]


def lined_up(
    claim: Transition,
    waits_for: Wait,
    entry: Entry,
    latest: datetime | None,
    now: datetime,
) -> Transition:
    """Return a claim as the transition that has its run wait in line, without an attempt.

    After `latest` the run is missed; None if it never is.
    """
    run = claim.send
    assert run is not None  # noqa: S101  a claim sends
    until = latest + timedelta.resolution if latest is not None else now + _FAR
    waits = replace(
        run,
        attempt=run.attempt - 1,
        owner=None,
        lease_until=None,
        next_attempt_at=until,
        started_at=None if run.attempt == 1 else run.started_at,
        covered=until - now <= NEAR,
        waits_for=waits_for,
        line=InLine(entry.part, entry.token, now),
    )
    state = claim.state.with_run(waits)
    state = written(replace(state, revision=state.revision - 1), now)
    arm = (run_due(state, waits, until),) if waits.covered else ()
    return replace(claim, state=state, send=None, arm=(*claim.arm, *arm))


def released(state: State, entry: Entry, now: datetime) -> Transition | None:
    """Return the transition that lets a run leave the line; None if it is not there any more."""
    run = state.find(entry.key)
    if run is None or run.line is None or run.line.token != entry.token:
        return None
    waited = max(now - run.line.since, timedelta(0)) if not run.attempt else timedelta(0)
    due = replace(run, next_attempt_at=now, covered=True, line=None, waited=run.waited + waited)
    state = state.with_run(due)
    return Transition(written(state, now), arm=(run_due(state, due, now),))


def due_time(run: UnfinishedRun) -> datetime:
    """Return the time by which runs are ordered in a line."""
    return run.planned_at or run.key.asked_at
