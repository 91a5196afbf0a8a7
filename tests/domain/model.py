"""Enumerate every state of a small model, reached by every order of events.

The model has at most 2 generations, 3 occurrences, 2 attempts and 2 owners, or a backfill of 2 runs
in place of occurrences. A node is a state with the attempts in flight and the runs that have ended.
`explore` visits all nodes breadth first and passes each step to the invariants.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from chalicelib.domain import backfill_transitions, job_transitions, run_transitions
from chalicelib.domain.cron import Cron
from chalicelib.domain.errors import Refused
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition, Overlap
from chalicelib.domain.pauses import NOTHING_ASKED, Asked
from chalicelib.domain.request import Request
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import AttemptResult, FinishedAttempt, Outcome, RunStatus
from chalicelib.domain.run_transitions import Look, Settle
from chalicelib.domain.state import (
    MAX_UNFINISHED_RUNS,
    SKEW,
    NoChange,
    State,
    Status,
    Transition,
    UnfinishedRun,
)
from chalicelib.domain.trigger import OneTime, Trigger

START = datetime(2026, 11, 23, 10, 0, 30, tzinfo=UTC)
# Before, at and between occurrences; past a retry's pause; past a lease and past its skew.
TIMES = tuple(
    START + timedelta(seconds=seconds) for seconds in (0, 30, 31, 45, 60, 75, 90, 120, 150)
)
TIMEOUT = timedelta(seconds=5)
MANUAL = RunKey.for_manual(START)
TOKEN = "0123456789AB"
# Two minutes before the first occurrence.
_MINUTE = timedelta(minutes=1)
PAST = (START.replace(second=0) - 2 * _MINUTE, START.replace(second=0) - _MINUTE)
BACKFILLED = tuple(RunKey(at, backfill=TOKEN) for at in PAST)
OWNERS = ("a", "b")
# What users do, beside retries, cancels and deletes.
USERS = ("pause", "resume", "request", "trigger", "run")
PAUSES = ("pause until", "pause", "skip", "resume", "request")


@dataclass(frozen=True)
class Out:
    """An attempt that somebody has claimed and not concluded."""

    run: UnfinishedRun
    generation: int


@dataclass(frozen=True)
class Node:
    """A state of the env. `state` is None when the job is deleted."""

    state: State | None
    now: int
    changes: int = 0
    out: frozenset[Out] = frozenset()
    claimed: frozenset[tuple[RunKey, int]] = frozenset()
    ended: frozenset[RunKey] = frozenset()
    stale: frozenset[Out] = frozenset()

    def has_begun(self, key: RunKey) -> bool:
        """Return whether a run has begun, whatever became of it."""
        is_there = self.state is not None and self.state.find(key) is not None
        return is_there or key in self.ended or (key, 1) in self.claimed


@dataclass(frozen=True)
class Event:
    """What happened between two nodes."""

    name: str
    before: Node
    after: Node
    step: Transition | None = None
    key: RunKey | None = None


@cache
def definition(kind: str, generation: int, overlap: Overlap) -> Definition:
    triggers: dict[str, Trigger] = {
        "one-time": OneTime(START + timedelta(seconds=30)),
        "cron": Cron("* * * * *", "UTC"),
        # Due again only after the last of the times.
        "backfill": Cron("57-59 * * * *", "UTC"),
    }
    retry = RetryPolicy(2, timedelta(seconds=15), timedelta(seconds=15))
    request = Request(f"https://example.com/{generation}", "POST", {}, None)
    return Definition(
        "job_x", "t", generation, "n", START, triggers[kind], request, TIMEOUT, retry, overlap
    )


class Model:
    """The events of one kind of job."""

    def __init__(
        self, kind: str, overlap: Overlap, *, changes: int = 2, users: Sequence[str] = USERS
    ) -> None:
        self.kind = kind
        self.overlap = overlap
        self.changes = changes
        self.users = users

    def first(self) -> Node:
        return Node(
            job_transitions.create(definition(self.kind, 1, self.overlap), None, START).state, 0
        )

    def explore(self, limit: int) -> Iterator[Event]:
        """Yield every event of every reachable node once, up to so many nodes."""
        first = self.first()
        seen = {first}
        waiting = deque([first])
        while waiting:
            for event in self.events(waiting.popleft()):
                yield event
                after = _without_recent(event.after)
                if after not in seen and len(seen) < limit:
                    seen.add(after)
                    waiting.append(after)

    def events(self, node: Node) -> Iterator[Event]:
        if node.now + 1 < len(TIMES):
            yield Event("time", node, replace(node, now=node.now + 1))
        if node.state is None:
            return
        yield from self._claims(node, node.state)
        yield from self._finishes(node, node.state)
        yield from self._sweeps(node, node.state)
        yield from self._users(node, node.state)

    def _definition(self, state: State) -> Definition:
        return definition(self.kind, state.defined_in, self.overlap)

    def _keys(self, state: State) -> set[RunKey]:
        dues = [START.replace(second=0) + timedelta(minutes=minute) for minute in (1, 2)]
        return {run.key for run in state.runs} | {
            RunKey(due, generation) for due in dues for generation in range(1, state.generation + 1)
        }

    def _retries(self, node: Node, state: State) -> list[RunKey]:
        """Return the keys of retries that may be asked for, each once."""
        known = node.ended | {key for key, _ in node.claimed} | {run.key for run in state.runs}
        keys = {key.retried_by for key in node.ended if not key.retry} - known
        return sorted(keys, key=lambda key: key.sort)

    def _claims(self, node: Node, state: State) -> Iterator[Event]:
        now = TIMES[node.now]
        # A message of a run that has ended may still come.
        for key in self._keys(state) | node.ended:
            for owner in OWNERS:
                if any(out.run.owner == owner for out in node.out | node.stale):
                    continue
                decision = run_transitions.claim(self._definition(state), state, key, owner, now)
                if isinstance(decision, Transition):
                    yield self._stepped("claim", node, decision, key)
                elif isinstance(decision, Settle):
                    yield from self._settled(node, state, decision.run, now)
                break

    def _settled(
        self, node: Node, state: State, run: UnfinishedRun, now: datetime
    ) -> Iterator[Event]:
        decision = run_transitions.finish(
            self._definition(state), state, run, _finished(Outcome.UNKNOWN, now), 0, now
        )
        if isinstance(decision, Transition):
            lost = frozenset(
                out for out in node.out if out.run.key == run.key and out.run.attempt == run.attempt
            )
            left = replace(node, out=node.out - lost, stale=node.stale | lost)
            yield self._stepped("settle", left, decision, run.key)

    def _finishes(self, node: Node, state: State) -> Iterator[Event]:
        now = TIMES[node.now]
        for out in node.out | node.stale:
            for outcome, status in (
                (Outcome.SUCCESS, 200),
                (Outcome.TIMEOUT, None),
                (Outcome.HTTP_ERROR, 404),
            ):
                decision = run_transitions.finish(
                    self._definition(state),
                    state,
                    out.run,
                    _finished(outcome, now, status),
                    0,
                    now,
                )
                rest = replace(node, out=node.out - {out}, stale=node.stale - {out})
                if isinstance(decision, NoChange):
                    yield Event(
                        "late finish" if out in node.stale else "refused finish",
                        node,
                        rest,
                        key=out.run.key,
                    )
                else:
                    yield self._stepped("finish", rest, decision, out.run.key, before=node)

    def _sweeps(self, node: Node, state: State) -> Iterator[Event]:
        look = run_transitions.sweep(state, None, TIMES[node.now])
        if isinstance(look, Look) and look.moved is not None:
            yield self._stepped("sweep", node, Transition(look.moved, arm=look.arm), None)
        elif isinstance(look, Look):
            yield Event("sweep", node, node)

    def _users(self, node: Node, state: State) -> Iterator[Event]:
        if node.changes >= self.changes:
            return
        now, old = TIMES[node.now], self._definition(state)
        node = replace(node, changes=node.changes + 1)
        steps: dict[str, Transition | None] = {}
        for name in self.users:
            try:
                steps[name] = self._user_step(name, old, state, now)
            except Refused:
                continue
        for name, step in steps.items():
            if name == "run" and (MANUAL in node.ended or (MANUAL, 1) in node.claimed):
                continue  # every manual run has a key of its own
            if step is not None:
                yield self._stepped(name, node, step, None)
        for key in self._retries(node, state):
            yield self._stepped("retry", node, job_transitions.retry(state, {key: now}, now), None)
        for run in state.runs:
            if run.owner is None:
                step = job_transitions.cancel(old.trigger, state, run, now)
                yield self._stepped("cancel", node, step, None)
        if self.kind == "backfill" and not node.has_begun(BACKFILLED[0]):
            with suppress(Refused):
                trigger = old.trigger
                step = backfill_transitions.begin(trigger, state, TOKEN, *PAST, now)
                yield self._stepped("backfill", node, step, None)
        ended = backfill_transitions.end(state, now)
        if ended is not None:
            yield self._stepped("end of backfill", node, ended, None)
        yield Event("delete", node, replace(node, state=None))

    def _user_step(
        self, name: str, old: Definition, state: State, now: datetime
    ) -> Transition | None:
        if name == "pause":
            return job_transitions.pause(old, state, NOTHING_ASKED, None, now)
        if name == "pause until":
            asked = Asked(until=now + timedelta(seconds=30), replaces=True)
            return job_transitions.pause(old, state, asked, None, now)
        if name == "skip":
            return job_transitions.skip(state, 1 - state.skips, now)
        if name == "resume":
            return job_transitions.resume(old, state, None, now)
        if name == "run":
            return (
                job_transitions.run_now(state, MANUAL, now) if state.find(MANUAL) is None else None
            )
        new = replace(
            old, request=Request("https://example.com/new", "POST", {}, str(state.generation))
        )
        return job_transitions.change(old, new, state, None, now, anew=name == "trigger")

    def _stepped(
        self,
        name: str,
        node: Node,
        step: Transition,
        key: RunKey | None,
        before: Node | None = None,
    ) -> Event:
        # The number of failed runs has no bound, and no rule depends on when a pause began.
        pause = step.state.pause and replace(step.state.pause, since=START)
        state = replace(step.state, failing=None, pause=pause)
        after = replace(node, state=state, ended=node.ended | {end.key for end in step.ended})
        if step.send is not None:
            out = Out(step.send, step.state.generation)
            after = replace(
                after,
                out=after.out | {out},
                claimed=after.claimed | {(step.send.key, step.send.attempt)},
            )
        if (
            step.update is not None
            and key is not None
            and step.update.status is not RunStatus.RETRYING
        ):
            after = replace(after, ended=after.ended | {key})
        return Event(name, before or node, after, step, key)


def _without_recent(node: Node) -> Node:
    """Return a node without the ends it remembers: no rule depends on them."""
    return replace(node, state=replace(node.state, recent=())) if node.state else node


def check(event: Event) -> None:
    """Hold an event against what must always be so."""
    before, after, step = event.before.state, event.after.state, event.step
    assert before is not None or event.name in ("time", "late finish", "refused finish")
    if step is not None and step.send is not None:
        _check_claim(event, step.send)
    if event.name in ("late finish", "refused finish"):
        assert after == before
    if step is not None and before is not None:
        assert step.state.revision == before.revision + 1
        assert step.state.generation in (before.generation, before.generation + 1)
        for end in step.ended:
            assert end.key not in event.before.ended, "a run ends once"
        assert before.recent == ()
        ended = [end.status for end in step.ended]
        if step.update is not None and step.update.status is not RunStatus.RETRYING:
            ended.append(step.update.status)
        assert list(step.state.recent) == ended, "an end is remembered, and nothing else is"
    if after is not None:
        _check_state(after, event)


def _check_claim(event: Event, run: UnfinishedRun) -> None:
    before = event.before.state
    assert before is not None
    assert run.lease_until is not None
    now = TIMES[event.before.now]
    assert (run.key, run.attempt) not in event.before.claimed, "an attempt is claimed once"
    assert run.attempt <= 2, "at most max_attempts"
    assert run.key not in event.before.ended, "a run that has ended is not claimed again"
    for out in event.before.out:
        if out.run.key == run.key:
            assert out.run.lease_until is not None
            assert out.run.lease_until + SKEW <= now, "live leases of one run never overlap"
    if run.key.is_backfilled:
        assert before.backfill is not None, "nothing of a backfill that is over is claimed"
        assert before.status is not Status.PAUSED
        assert run.generation == before.generation
    elif run.key.is_requested:
        assert run.generation == before.defined_in
    else:
        is_over = before.paused_until is not None and before.paused_until <= now
        assert before.status is Status.ACTIVE or is_over, "nothing of a paused job is claimed"
        present = before.generation + is_over
        assert run.generation == present, "nothing of an old generation is claimed"
        assert not before.skips, "nothing is claimed that is to be skipped"
        assert run.key.due_at <= now, "nothing is claimed before it is due"
    if run.attempt == 2:
        assert event.step is not None
        assert event.step.state.next_due_at == before.next_due_at, (
            "a retry's claim never advances anything"
        )


def _must_be_watched_at(state: State) -> Iterator[datetime]:
    """Yield by when the sweeper must look after each step, as docs/model.md has it: 30 s after one
    for which a message was sent, two minutes before another, 10 s after a lease.
    """
    late, ahead, skew = (timedelta(seconds=seconds) for seconds in (30, -120, 10))
    until = state.pause.until if state.pause else None
    step_at = state.next_due_at if state.status is Status.ACTIVE else until
    if step_at is not None:
        yield step_at + (late if state.covered else ahead)
    for run in state.runs:
        if run.lease_until is not None:
            yield run.lease_until + skew
        elif run.next_attempt_at is not None:
            yield run.next_attempt_at + (late if run.covered else ahead)


def _check_state(state: State, event: Event) -> None:
    waits = bool(state.runs) or bool(state.next_run_time or state.paused_until)
    assert (state.watch_at is not None) == waits, "whatever waits is watched"
    needed = min(_must_be_watched_at(state), default=None)
    now = TIMES[event.after.now]
    assert not needed or not state.watch_at or state.watch_at <= max(needed, now), (
        "nothing is watched too late"
    )
    assert len(state.runs) <= MAX_UNFINISHED_RUNS
    assert len({run.key for run in state.runs}) == len(state.runs)
    for run in state.runs:
        assert (run.owner is None) == (run.lease_until is None)
        assert (run.owner is None) != (run.next_attempt_at is None), "a run is out or it waits"
        assert run.key not in event.after.ended, "a run that has ended is not unfinished"
    assert state.pause is None or state.status is Status.PAUSED
    if state.status in (Status.COMPLETED, Status.FAILED):
        assert state.next_due_at is None
        assert state.skips == 0
    _check_backfill(state, event)


def _check_backfill(state: State, event: Event) -> None:
    runs = [run.key for run in state.runs if run.key in BACKFILLED]
    assert len(runs) <= 1, "two runs of a backfill are never under way"
    begun = [key for key in BACKFILLED if event.after.has_begun(key)]
    assert begun == [*BACKFILLED[: len(begun)]], "a backfill goes in order"
    assert set(begun[:-1]) <= event.after.ended, "a run follows the end of the one before"
    before = event.before.state
    if state.backfill is not None:
        assert (state.backfill.runs, state.backfill.left) == (2, 3 - len(begun))
        assert runs == begun[-1:], "a backfill has its place"
    elif before is not None and before.backfill is not None:
        is_whole = set(BACKFILLED) <= event.after.ended
        assert is_whole or event.name in ("pause", "request", "trigger", "end of backfill"), (
            "a backfill goes on to its end"
        )


def _finished(outcome: Outcome, at: datetime, status_code: int | None = None) -> FinishedAttempt:
    return FinishedAttempt("owner", at, AttemptResult(outcome, timedelta(0), status_code))
