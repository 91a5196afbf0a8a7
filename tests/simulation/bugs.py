"""Planted bugs: each a small patch to a copy of the code, each to be caught. One that survives is a
hole in the suite.

`python -m tests.simulation bugs` hunts them all and prints, for each, what caught it first: a
script, one of the first seeds, a script with a fault, or another seed.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.scenarios import SCRIPTS, play
from tests.simulation.simulation import simulate

ROOT = Path(__file__).parent.parent.parent
FIRST_SEEDS, SHARED_SEEDS, SEEDS = 200, 100, 5000
RUN_TRANSITIONS, JOB_TRANSITIONS = "domain/run_transitions.py", "domain/job_transitions.py"
STATE, RUN_ENDS = "domain/state.py", "domain/run_ends.py"
MENDING, RETRY_FAILED = "usecases/mending.py", "usecases/retry_failed.py"
FIRING, SCHEDULING = "usecases/firing.py", "usecases/scheduling.py"
FOLLOWING = "usecases/following.py"
COMPLETING, WORDS = "usecases/completing.py", "domain/completing.py"
STORE = "aws/job_store.py"
LOOKS, SWEEPING = "domain/looks.py", "usecases/sweeping.py"
ATTEMPT, ARMING = "usecases/attempt.py", "usecases/arming.py"
TELLING, FAILURES = "usecases/telling.py", "domain/failures.py"
CHANNELS, DIGESTS = "domain/channels.py", "domain/digests.py"
WAKING = "usecases/waking.py"
FAIRNESS, SHARES = "domain/fairness.py", "usecases/fairness.py"
FLOW_STORE, HOLDING = "aws/flow_store.py", "domain/admission.py"
ADMISSION, FLOWS, HELD = "usecases/admission.py", "domain/flows.py", "domain/holding.py"
LINES, LINE_STORE = "domain/lines.py", "aws/line_store.py"
QUEUEING, DRAINING = "usecases/queueing.py", "usecases/lines.py"
BREAKERS = "usecases/breakers.py"
DIGEST_STORE = "aws/digest_store.py"
INTERVAL, MISFIRES = "domain/interval.py", "domain/misfires.py"
CRON, SPREAD = "domain/cron.py", "domain/spread.py"
BACKFILL, BACKFILL_TRANSITIONS = "domain/backfill.py", "domain/backfill_transitions.py"
BACKFILLING = "usecases/backfilling.py"
PAUSES, UNSENT = "domain/pauses.py", "domain/unsent.py"
ITEMS, RUNS, QUEUE = "aws/job_items.py", "aws/run_store.py", "aws/due_queue.py"


@dataclass(frozen=True)
class Bug:
    """A name, and texts of files under chalicelib with what stands in their place."""

    name: str
    patches: tuple[tuple[str, str, str], ...]


def bug(name: str, *patches: tuple[str, str, str]) -> Bug:
    return Bug(name, patches)


BUGS = (
    bug(
        "a share that is as many as are there",
        (FAIRNESS, "self.share * (self.executors - others)", "self.executors - others"),
    ),
    bug(
        "invocations that all count one another",
        (FAIRNESS, "one < (began, ticket) for one in before", "bool(one) for one in before"),
    ),
    bug(
        "invocations of the same microsecond that are all the first",
        (FAIRNESS, "one < (began, ticket) for one in before", "one[0] < began for one in before"),
    ),
    bug(
        "a ticket that counts for ever",
        (FAIRNESS, "return now < ticket + LIFETIME", "return bool(now)"),
    ),
    bug(
        "a ticket that nobody removes",
        (SHARES, "[turn.ticket, *turn.dead.get(tenant, ())]", '["busy_0"]'),
    ),
    bug(
        "a share that is not asked for a job that has changed",
        (
            FIRING,
            "self.fairness.ask(tried.turn, definition, tried.latest.tickets)",
            "pass",
        ),
    ),
    bug(
        "a batch beyond the share that is sent",
        (
            "usecases/ahead.py",
            "fairness.ask(turn, definitions[0], prepared[definitions[0].id].tickets)",
            "turn and turn.places.setdefault(tenant, None)",
        ),
    ),
    bug(
        "a run that is held and that nobody sends",
        (SHARES, "send_together(list(held.values())", "send_together(list(held.values())[:0]"),
    ),
    bug(
        "messages of held runs that are forgotten",
        (
            SHARES,
            "of_tenant[definition.id, run.key] = step.arm[-1]",
            "of_tenant.setdefault((definition.tenant, run.key), step.arm[-1])",
        ),
    ),
    bug(
        "a run of a flow that loses its place to the share",
        (SHARES, "definition.tenant not in turn.full", "False"),
    ),
    bug(
        "runs of flows that no share holds",
        (SHARES, "definition.tenant not in turn.full", "True"),
    ),
    bug(
        "a run that is held beyond its grace",
        (SHARES, "at = last_asked(latest, at, now)", "last_asked(latest, at, now)"),
    ),
    bug(
        "a run that is held beyond its share and spends an attempt",
        (SHARES, "return replace(step, arm=step.arm[:-1])", "return replace(claim, arm=step.arm)"),
    ),
    bug(
        "a place of a flow that is not idle",
        (
            FLOW_STORE,
            '"series = :series AND arrival < :from"',
            '"series = :series"',
        ),
    ),
    bug(
        "a busy flow that sends at once",
        (FLOW_STORE, "places(rate, moved - steps, arrival, count)", "[arrival] * count"),
    ),
    bug(
        "a burst of one more",
        (FLOW_STORE, "- rate.tolerance", "- rate.tolerance - rate.step"),
        ("domain/flows.py", "self.step * (self.burst - 1)", "self.step * self.burst"),
    ),
    bug(
        "places of one invocation that are all the first",
        (ADMISSION, "_place(flow, name[1], place, at)", "_place(flow, name[1], taken[0], at)"),
    ),
    bug(
        "a held run that is sent at once",
        (HOLDING, "next_attempt_at=place.at,", "next_attempt_at=now,"),
    ),
    bug(
        "a hold that spends an attempt",
        (HOLDING, "attempt=run.attempt - 1,", "attempt=run.attempt,"),
    ),
    bug(
        "a hold without a message",
        (HOLDING, "send=None, arm=(*claim.arm, *arm)", "send=None, arm=claim.arm"),
    ),
    bug(
        "a wait that counts as being late",
        (HOLDING, "waited=run.waited + place.wait if is_first else", "waited="),
    ),
    bug(
        "a retry that asks for no place",
        (
            ADMISSION,
            "if run is None or flow.rate is None:",
            "if run is None or flow.rate is None or state.find(run.key):",
        ),
        (ADMISSION, "flow.rate, 1, now", "flow.rate or run, 1, now"),
    ),
    bug(
        "a held run that asks again",
        (ADMISSION, "(place_of(state.find(run.key)), tried.place)", "(tried.place,)"),
    ),
    bug(
        "a held run that loses its place to one taken meanwhile",
        (
            ADMISSION,
            "(place_of(state.find(run.key)), tried.place)",
            "(tried.place, place_of(state.find(run.key)))",
        ),
    ),
    bug(
        "places that an outage let pass and that are used at once",
        (FLOWS, "series == flow.series and now <= at + LATEST", "series == flow.series"),
    ),
    bug(
        "a held run that keeps the place of an earlier rate",
        (FLOWS, "series == flow.series and now <= at + LATEST", "now <= at + LATEST"),
    ),
    bug(
        "a place of a rate that has changed",
        (FLOW_STORE, '"series = :series AND arrival < :from"', '"arrival < :from"'),
        (FLOW_STORE, '"series = :series AND arrival <= :most', '"arrival <= :most'),
    ),
    bug(
        "a rate that has changed and gives no place",
        (FLOW_STORE, 'if now is None or now["series"] != flow.series:', "if now is None:"),
    ),
    bug(
        "a pause that ends a held run which was never sent",
        (
            JOB_TRANSITIONS,
            "state = holding.unbegun(definition.trigger, state)",
            "state = holding.unbegun(definition.retry, state)",
        ),
    ),
    bug(
        "a held run that is superseded and has failed",
        (
            RUN_TRANSITIONS,
            "RunStatus.SKIPPED if is_unsent else RunStatus.FAILED",
            "RunStatus.FAILED if is_unsent else RunStatus.FAILED",
        ),
    ),
    bug(
        "an occurrence that its flow misses and that is claimed",
        (HOLDING, "claim.state.without_run(run).with_end(", "claim.state.with_end("),
    ),
    bug(
        "a place after the grace",
        (
            ADMISSION,
            "latest_start(definition, claim.state, run.key) if run.attempt == 1 else None",
            "None",
        ),
    ),
    bug(
        "a held run that is sent after its grace",
        (RUN_TRANSITIONS, "if holding.is_too_late(definition, state, run, now):", "if not now:"),
    ),
    bug(
        "flows that are read once and for all",
        (
            FLOW_STORE,
            "        if (tenant, token) not in self._known:\n",
            '        token = ""\n        if (tenant, token) not in self._known:\n',
        ),
    ),
    bug(
        "a slot that is never freed",
        (LINE_STORE, "return self.take(line, slot, slot.freed)", "return True"),
    ),
    bug(
        "a slot that another one has",
        (LINE_STORE, "if self._table.put(item, unchanged):", "if self._table.put(item):"),
    ),
    bug(
        "a slot that is taken by a write which comes twice, and forgotten",
        (LINE_STORE, "return now is not None and _slot(now) == after", "return now is None"),
    ),
    bug(
        "a slot that ends before its attempt",
        (QUEUEING, "slot = Slot(index, holder, until + _SPARE)", "slot = Slot(index, holder, now)"),
    ),
    bug(
        "a slot that never ends by itself",
        (LINES, "return now < self.until + SKEW", "return self.holder != ''"),
    ),
    bug(
        "a slot too many",
        (LINES, "for number in range(limit + 1)", "for number in range(limit + 2)"),
        (LINES, "for index in live) <= limit", "for index in live) <= limit + 1"),
    ),
    bug(
        "an attempt without a slot",
        (QUEUEING, "if self.lines.store.take(line, own, slot):", "if slot:"),
    ),
    bug(
        "a slot of another flow",
        (QUEUEING, "tried.gated.name != flow.name:", "tried.gated.name == '':"),
    ),
    bug(
        "a reserved slot beyond a limit that was lowered",
        (QUEUEING, "elif own.index in indices:", "elif own is not None:"),
    ),
    bug(
        "a slot that is kept while its run waits for a place",
        (
            FIRING,
            "        if claimed is None:\n            self.admission.lines.leave(tried)\n",
            "        if claimed is None:\n            return\n",
        ),
    ),
    bug(
        "a paused flow that sends",
        (
            QUEUEING,
            "        if flow.paused:\n            gate",
            "        if flow.paused and run.attempt > 1:\n            gate",
        ),
        (ADMISSION, "if flow.is_gated and (", "if flow.concurrency and ("),
    ),
    bug(
        "a line that nobody looks at when its pause ends",
        (LINE_STORE, "None if flow.paused else watch_at", "None"),
    ),
    bug(
        "a line that nobody looks at while its slots are taken",
        (QUEUEING, "needed = min(ends, default=now + RESERVED)", "needed = None"),
    ),
    bug(
        "a run that waits for the end of a pause which is over",
        (QUEUEING, "if gate is None or not gate.is_of(flow):", "if gate is None:"),
    ),
    bug(
        "a line that the sweeper passes over",
        (SWEEPING, "            self.parts.lines.look_again(line)\n", "            pass\n"),
    ),
    bug(
        "an entry of a line that is gone",
        (
            LINE_STORE,
            ", Check(self._table.name, key, _is(gate))]",
            "]",
        ),
    ),
    bug(
        "a line that is closed without a second look",
        (DRAINING, "if self.store.look(gate.line).waiting:", "if not gate:"),
    ),
    bug(
        "a run that overtakes a line",
        (QUEUEING, "if others or not indices:", "if not indices:"),
    ),
    bug(
        "a line whose last run goes first",
        (DRAINING, "for entry in look.waiting:", "for entry in reversed(look.waiting):"),
    ),
    bug(
        "a line whose head is gone and that stays",
        (DRAINING, "                self.store.forget(line, entry)\n", ""),
    ),
    bug(
        "a run that leaves its line and is due as before",
        (
            LINES,
            "due = replace(run, next_attempt_at=now, covered=True,",
            "due = replace(run, covered=True,",
        ),
    ),
    bug(
        "a run that leaves its line and stays in it",
        (
            DRAINING,
            "self.jobs.save(step.state, [self.store.leave(line, entry)], now=now)",
            "self.jobs.save(step.state, [], now=now)",
        ),
    ),
    bug(
        "no generation check",
        (RUN_TRANSITIONS, " or key.generation != state.generation", ""),
        (
            RUN_TRANSITIONS,
            "UnfinishedRun(RunKey(due_at, state.generation), state.generation, attempt=0)",
            "UnfinishedRun(key, key.generation, attempt=0)",
        ),
    ),
    bug(
        "a pause that does not hold",
        (
            RUN_TRANSITIONS,
            "state.status is not Status.ACTIVE or key.generation != state.generation",
            "key.generation > state.generation",
        ),
    ),
    bug(
        "a retry's claim that advances",
        (
            RUN_TRANSITIONS,
            "    return Transition(written_by_claim(state.with_run(claimed), now), send=claimed)",
            "    following = definition.trigger.next_after(state.next_due_at) if state.next_due_at else None\n"
            "    return Transition(written(replace(state, next_due_at=following).with_run(claimed), now), send=claimed)",
        ),
    ),
    bug(
        "a finish that completes a newer generation",
        (
            RUN_ENDS,
            "not run.key.is_requested and run.generation == state.generation",
            "not run.key.is_requested",
        ),
    ),
    bug(
        "claim before the sleep",
        (
            FIRING,
            "        while (wait := at - self.clock()) > timedelta(0):\n            self.sleep(wait.total_seconds())\n",
            "        return\n",
        ),
        (
            FIRING,
            "now, owner, tried.beside = self.clock(), tried.owner(), []",
            "now, owner, tried.beside = max(self.clock(), due.at), tried.owner(), []",
        ),
        (
            FIRING,
            "        if claimed is not None:\n            self._attempt(claimed, tried)",
            "        if claimed is not None:\n            self.sleep(max(0.0, (due.at - self.clock()).total_seconds()))\n            self._attempt(claimed, tried)",
        ),
    ),
    bug(
        "a wake that arms next_run_time",
        (
            "domain/wakes.py",
            "    minute = scheduled_at + WAKE_AHEAD\n    due_at = trigger.next_after(minute - timedelta(seconds=1))\n    if due_at is None or due_at - minute >= timedelta(minutes=1):\n        return None\n",
            "    due_at = state.next_due_at\n    if due_at is None:\n        return None\n",
        ),
    ),
    bug(
        "a wake that knows nothing of the offset",
        (CRON, "return (cron.offset // 60 - 2) * _MINUTE", "return -2 * _MINUTE"),
    ),
    bug(
        "a wake that looks for a whole minute",
        ("domain/wakes.py", "due_at - minute >= timedelta(minutes=1)", "due_at != minute"),
    ),
    bug(
        "an offset that is not the job's",
        (SPREAD, "hashlib.sha256(job_id.encode())", 'hashlib.sha256(b"")'),
    ),
    bug(
        "calendars that are not read at the claim",
        (FIRING, "definition = with_calendars(self.calendars, definition)", "pass"),
    ),
    bug(
        "calendars that are read before the occurrence is due",
        (FIRING, "definition = with_calendars(self.calendars, definition)", "pass"),
        (
            FIRING,
            "        tried.ahead = self.arming.arm_ahead(",
            "        if loaded is not None:\n            loaded = with_calendars(self.calendars, loaded[0]), loaded[1]\n        tried.ahead = self.arming.arm_ahead(",
        ),
    ),
    bug(
        "a promised occurrence that is passed over in silence",
        (UNSENT, "() if state.passed_over else (end,)", "()"),
    ),
    bug(
        "an excluded occurrence that is recorded all the same",
        (UNSENT, "() if state.passed_over else (end,)", "(end,)"),
    ),
    bug(
        "an excluded occurrence that counts",
        (
            UNSENT,
            "import following\n",
            "import counted, following\n",
        ),
        (
            UNSENT,
            "    opens_at = next_open(definition.trigger, due_at)\n",
            "    opens_at = next_open(definition.trigger, due_at)\n    state = counted(state, definition.trigger, 1)\n",
        ),
    ),
    bug(
        "days that are passed over before they come",
        (UNSENT, "opens_at is not None and opens_at <= now", "opens_at is not None"),
    ),
    bug(
        "a next time on a day that is excluded",
        (STATE, "passed = passed_over(trigger, due_at)", "passed = None"),
    ),
    bug(
        "a resume that knows no calendars",
        (SCHEDULING, "        definition = with_calendars(self.calendars, definition)\n", ""),
    ),
    bug(
        "a job that is not known to name a calendar",
        (STORE, "        writes += uses(self._table.name, definition)\n", ""),
    ),
    bug(
        "a changed job that still names a calendar",
        (STORE, "[*self.pair(definition, state), *beside]", "self.pair(definition, state)"),
    ),
    bug(
        "a deleted job that still names a calendar",
        (STORE, "*uses(table, None, definition)", "*()"),
    ),
    bug(
        "a calendar that is deleted whoever names it",
        ("usecases/calendars.py", "    if users:\n", "    if False:\n"),
    ),
    bug(
        "an orphaned schedule that deletes the live schedule",
        (
            WAKING,
            "self.schedules.delete(job_id, token)",
            "self.schedules.delete(job_id, (loaded[1].token if loaded else None) or token)",
        ),
    ),
    bug(
        "an orphaned schedule that stays",
        (
            WAKING,
            "                self.schedules.delete(job_id, token)\n",
            "                pass\n",
        ),
    ),
    bug(
        "the pointer cleared by a new generation",
        (
            JOB_TRANSITIONS,
            "generation=generation, defined_in=generation,",
            "generation=generation, last_run=None, defined_in=generation,",
        ),
    ),
    bug(
        "the pointer moves backward",
        (
            RUN_ENDS,
            "is_newer = state.last_run is None or last.place >= state.last_run.place",
            "is_newer = True",
        ),
    ),
    bug(
        "no sweeper",
        (
            "handlers/executor.py",
            "    return use_cases.sweep(use_cases.clock() + _SWEEP_TIME)",
            "    return 0",
        ),
    ),
    bug(
        "a look that never comes again",
        (LOOKS, "next_look(first, since) <= until", "since < first"),
    ),
    bug(
        "what has become overdue shortly before a sweep is left out",
        (
            LOOKS,
            "next_look(first, since) <= until",
            "next_look(first, since) <= until - 10 * SETTLED",
        ),
    ),
    bug(
        "a mark that moves though a message was not sent",
        (SWEEPING, "return sent, sent < len(dues)", "return sent, False"),
    ),
    bug(
        "a mark that moves though states were not read",
        (SWEEPING, "            return 0, True", "            return 0, False"),
    ),
    bug(
        "a mark that moves though a shard was not read",
        (
            SWEEPING,
            "            if page is None:\n                return mark",
            "            if page is None:\n                return Mark(self.now)",
        ),
    ),
    bug(
        "a mark of the time at which a sweep ends",
        (
            LOOKS,
            "Mark(self.since if failed else part.until - SETTLED)",
            "Mark(self.since if failed else part.until + 9 * SETTLED)",
        ),
    ),
    bug(
        "states that are read only at the looks of their watch",
        (LOOKS, "until - YOUNG < watch_at <= until or has_look", "has_look"),
    ),
    bug(
        "what nothing covers is armed once, and never again",
        (
            RUN_TRANSITIONS,
            "if has_look(again, since, until) or (",
            "if (step.first == step.again and has_look(again, since, until)) or (",
        ),
    ),
    bug(
        "a claim that leaves a watch too late",
        (
            STATE,
            "else replace(step, watch_at=left)\n",
            "else replace(step, watch_at=left + 4 * GRACE)\n",
        ),
    ),
    bug(
        "a watch that is only ever moved later",
        (
            STATE,
            "watch_at = max(now, min(waits)) if waits else None",
            "watch_at = max(now, min(waits), state.watch_at or waits[0]) if waits else None",
        ),
    ),
    bug(
        "a watch that is only ever moved earlier",
        (
            STATE,
            "watch_at = max(now, min(waits)) if waits else None",
            "watch_at = min(*waits, state.watch_at or waits[0]) if waits else None",
        ),
    ),
    bug(
        "no read-back of an own write",
        (
            STORE,
            '        if item and ours and item.get("write_token") == ours:\n            return\n',
            "",
        ),
    ),
    bug(
        "a retry recorded but not armed",
        (
            RUN_TRANSITIONS,
            "arm=(run_due(state, run, at),) if near else (), update",
            "arm=(), update",
        ),
        (
            RUN_TRANSITIONS,
            "    for run in state.runs:\n        at = run.next_attempt_at\n",
            "    for run in (one for one in state.runs if one.owner):\n        at = run.next_attempt_at\n",
        ),
    ),
    bug(
        "steal of a live lease",
        (
            RUN_TRANSITIONS,
            'Settle(run) if now >= run.lease_until + SKEW else NoChange("the attempt is under way")',
            "Settle(run)",
        ),
    ),
    bug(
        "no allowance for skewed clocks",
        (STATE, "SKEW = timedelta(seconds=10)", "SKEW = timedelta(0)"),
    ),
    bug(
        "acknowledgement before the write",
        (
            SCHEDULING,
            "        try:\n            write()\n",
            "        try:\n            write()\n        except Unavailable:\n            return True\n",
        ),
    ),
    bug(
        "acknowledgement of a write that lost",
        (
            SCHEDULING,
            "                raise JobNotFound from changed\n            return False\n",
            "                raise JobNotFound from changed\n            return True\n",
        ),
    ),
    bug(
        "state before record",
        (
            FIRING,
            "                if not self._record(definition, attempt, record, state, now):\n"
            "                    return None\n"
            "                attempt = replace(attempt, recorded=record)\n"
            "                decision, notices = self._ends.write(definition, state, decision, record, now, save)\n",
            "                decision, notices = self._ends.write(definition, state, decision, record, now, save)\n"
            "                self.runs.record(state.tenant, record, state.revision)\n",
        ),
    ),
    bug(
        "an attempt that waits as the one before it did",
        (
            RUN_TRANSITIONS,
            "    if run is None or not _is_same(run, owned):",
            "    if run is None or run.owner != owned.owner:",
        ),
    ),
    bug(
        "no compare and swap",
        (
            ITEMS,
            '        before = Condition("revision = :read", {":read": state.revision - 1})',
            "        before = None",
        ),
    ),
    bug(
        "no owner check in the finish",
        (RUN_TRANSITIONS, "(run.attempt, run.owner) == (owned.attempt, owned.owner)", "True"),
    ),
    bug(
        "a record without an owner",
        (
            RUNS,
            "self._table.put(item, absent_or_own_and_earlier)",
            "self._table.put(item)",
        ),
    ),
    bug("a late record undoes the later one", (RUNS, " AND revision <= :revision", "")),
    bug(
        "a definition left behind by a delete",
        (
            STORE,
            '            Delete(table, {"id": job_id, "part": "definition"}),\n',
            "",
        ),
    ),
    bug(
        "the answer kept beside the transaction",
        (
            STORE,
            "        if idempotency:\n            writes.append(put_answer(self._table.name, idempotency, now))\n        try:\n            self._write(writes, key=definition.key, once=True)",
            "        try:\n            self._write(writes, key=definition.key, once=True)\n            if idempotency:\n                self._write([put_answer(self._table.name, idempotency, now)])",
        ),
    ),
    bug(
        "a run's answer kept beside the transaction",
        (
            STORE,
            "        self._write([put_state(self._table.name, state), *beside, *answer])",
            "        self._write([put_state(self._table.name, state), *beside])\n        if answer:\n            self._write(answer)",
        ),
    ),
    bug(
        "an ending written after its state",
        (
            FIRING,
            "            self.jobs.save(step.state, [*ends, *beside, *tried.beside], now=now)",
            "            self.jobs.save(step.state, [*beside, *tried.beside], now=now)\n            if ends:\n                self.jobs._table.write(*ends)",
        ),
    ),
    bug(
        "no look at the lease before sending",
        (
            ATTEMPT,
            "run.lease_until is None or run.lease_until - started_at < definition.timeout + _LEASE_TO_SPARE",
            "run.lease_until is None",
        ),
    ),
    bug(
        "settled without a look at the record",
        (FIRING, "found = self.runs.attempt(definition.id, run.key, run.attempt)", "found = None"),
    ),
    bug(
        "an end on record that is judged again",
        (
            RUN_TRANSITIONS,
            "update is not None and update.is_end",
            "False",
        ),
        (RUN_TRANSITIONS, "definition.generation <= run.generation and run.attempt", "run.attempt"),
    ),
    bug(
        "a lost claim sends what came later",
        (
            FIRING,
            "                return won\n",
            "                return replace(won, prepared=self.sender.prepare(definition))\n",
        ),
    ),
    bug(
        "missed occurrences miscounted",
        (RUN_TRANSITIONS, "missed_count=count, last", "missed_count=count + 1, last"),
    ),
    bug(
        "missed occurrences passed over in silence",
        (
            RUN_TRANSITIONS,
            "following(state, definition.trigger, due_at), now)\n    fresh",
            "following(state, definition.trigger, now), now)\n    fresh",
        ),
    ),
    bug(
        "overlap is not looked at",
        (RUN_TRANSITIONS, "definition.overlap is Overlap.SKIP and unfinished", "False"),
    ),
    bug(
        "grace is not looked at",
        (MISFIRES, "        return now - due_at > grace\n", "        return False\n"),
    ),
    bug(
        "a resume that makes up for the pause",
        (
            PAUSES,
            "    return following(state, definition.trigger, after)",
            "    return state.next_due_at",
        ),
        (PAUSES, "due_at if due_at is not None and due_at > after else None", "due_at"),
    ),
    bug(
        "the end of a pause that comes too soon",
        (STATE, "(occurrence_due(state, until),)", "(occurrence_due(state, until - SKEW),)"),
    ),
    bug(
        "the end of a pause without a message",
        (STATE, "(occurrence_due(state, until),)", "()"),
    ),
    bug(
        "the end of a pause that is not watched",
        (
            STATE,
            "    if state.step_at is not None:\n        yield occurrence_watch_at(state.step_at,",
            "    if state.next_run_time is not None:\n        yield occurrence_watch_at(state.next_run_time,",
        ),
    ),
    bug(
        "a far end of a pause that counts as covered",
        (STATE, "covered=until is None", "covered=True"),
    ),
    bug(
        "the end of a pause that the sweeper does not arm",
        (
            RUN_TRANSITIONS,
            "    due_at = state.step_at\n    if due_at is not None:\n        first",
            "    due_at = state.next_run_time\n    if due_at is not None:\n        first",
        ),
    ),
    bug(
        "a change that forgets the end of the pause",
        (STATE, "        return await_end_of_pause(waits, now)", "        return waits, ()"),
    ),
    bug(
        "a pause that ends when that is handled",
        (
            PAUSES,
            "after = state.paused_until - _SECOND if state.paused_until and is_over(state, now) else now",
            "after = now",
        ),
    ),
    bug(
        "a pause that takes the occurrence at its end",
        (PAUSES, "state.paused_until - _SECOND", "state.paused_until"),
    ),
    bug(
        "wakes within a pause that are relied on",
        (PAUSES, "now + WAKE_AHEAD if state.token is not None else None", "None"),
    ),
    bug(
        "a cron without a schedule after a pause",
        (JOB_TRANSITIONS, "keeps = wanted.until and", "keeps = not wanted.until and"),
    ),
    bug(
        "the end of a pause that counts as promised",
        (
            RUN_TRANSITIONS,
            "active = replace(active, passed_over=passed_over(trigger, due_at))",
            "active = replace(active, passed_over=None)",
        ),
    ),
    bug(
        "a date that passes within a pause without a record",
        (
            RUN_TRANSITIONS,
            "passed = state.next_due_at if isinstance(trigger, OneTime) and due_at is None else None",
            "passed: datetime | None = None",
        ),
    ),
    bug(
        "a pause that is asked for when another has just ended, and does not hold",
        (JOB_TRANSITIONS, " and not pauses.is_over(state, now)", ""),
    ),
    bug(
        "a pause that cannot be changed",
        (JOB_TRANSITIONS, "if is_paused and not asked.replaces:", "if is_paused:"),
    ),
    bug(
        "skips without an end",
        (UNSENT, "skips=state.skips - len(ends)", "skips=state.skips"),
    ),
    bug(
        "one skip too few",
        (
            RUN_TRANSITIONS,
            "    if state.skips:\n        return skip(definition, state, due_at, now)",
            "    if state.skips > 1:\n        return skip(definition, state, due_at, now)",
        ),
    ),
    bug(
        "skips before they are due",
        (UNSENT, "while at is not None and at <= now and", "while at is not None and"),
    ),
    bug(
        "skips that count for max_runs",
        (
            UNSENT,
            "import following\n",
            "import counted, following\n",
        ),
        (
            UNSENT,
            "    rest = replace(state, skips=state.skips - len(ends))",
            "    rest = counted(replace(state, skips=state.skips - len(ends)), definition.trigger, len(ends))",
        ),
    ),
    bug(
        "missed occurrences that come before skips",
        (
            RUN_TRANSITIONS,
            "    if state.skips:\n        return skip(definition, state, due_at, now)",
            "    if state.skips and not missed(definition, state, due_at, now)[0]:\n        return skip(definition, state, due_at, now)",
        ),
    ),
    bug(
        "a new trigger that keeps the skips",
        (JOB_TRANSITIONS, "status=status, counted=0, skips=0", "status=status, counted=0"),
    ),
    bug(
        "an end that keeps the skips",
        (
            UNSENT,
            "status=status_at_the_end(trigger, state, ends), skips=0)",
            "status=status_at_the_end(trigger, state, ends))",
        ),
    ),
    bug(
        "a date that fails because it is skipped",
        (
            RUN_ENDS,
            "is_asked = ends[-1].reason is Reason.ASKED or not isinstance(trigger, OneTime)",
            "is_asked = not isinstance(trigger, OneTime)",
        ),
    ),
    bug(
        "a pause that is no new generation",
        (
            JOB_TRANSITIONS,
            "generation = state.generation if is_paused else state.generation + 1",
            "generation = state.generation",
        ),
    ),
    bug(
        "a change of the request that is no new generation",
        (
            JOB_TRANSITIONS,
            "has_new_meaning = is_new_trigger or new.meaning != old.meaning",
            "has_new_meaning = is_new_trigger",
        ),
    ),
    bug(
        "a change that begins the trigger anew",
        (
            JOB_TRANSITIONS,
            "state.status, state.next_due_at, state.token",
            "state.status, first_due_at(new.trigger, now), state.token",
        ),
    ),
    bug(
        "one attempt too many",
        (RUN_TRANSITIONS, "run.attempt >= retry.max_attempts", "run.attempt > retry.max_attempts"),
    ),
    bug(
        "one attempt too few",
        (
            RUN_TRANSITIONS,
            "run.attempt >= retry.max_attempts",
            "run.attempt + 1 >= retry.max_attempts",
        ),
    ),
    bug(
        "a retry that does not wait",
        (
            RUN_TRANSITIONS,
            '    if run.next_attempt_at is not None and now < run.next_attempt_at:\n        return NoChange("not yet")\n',
            "",
        ),
    ),
    bug(
        "a torn read is believed",
        (
            STORE,
            "            if definition.edition == state.edition:\n                return definition, state",
            "            return definition, state",
        ),
    ),
    bug(
        "what is superseded is never closed",
        (
            RUN_TRANSITIONS,
            "        rest, end = closed(state, run, status, Reason.SUPERSEDED, now)\n        return Transition(written(rest, now), ended=(end,))\n",
            '        return NoChange("superseded")\n',
        ),
    ),
    bug(
        "what is superseded is sent",
        (
            RUN_TRANSITIONS,
            "    if state.supersedes(run):\n        is_unsent",
            "    if not now:\n        is_unsent",
        ),
    ),
    bug(
        "a job registered although nothing was written",
        (
            SCHEDULING,
            "        except (KeyIsTaken, AlreadyAnswered):\n",
            "        except Unavailable:\n            pass\n        except (KeyIsTaken, AlreadyAnswered):\n",
        ),
    ),
    bug(
        "a schedule that could not be made is counted on",
        (
            ARMING,
            '        log.warning("schedule.create_failed", extra={"job_id": job_id}, exc_info=True)\n        return False\n',
            '        log.warning("schedule.create_failed", extra={"job_id": job_id}, exc_info=True)\n',
        ),
    ),
    bug(
        "messages that multiply when they come twice",
        (RUN_TRANSITIONS, "if due.by is None or due.by != state.armed_by:", "if due.by is None:"),
    ),
    bug(
        "a claim that counts on a message sent ahead which was not",
        (ATTEMPT, "message for message in step.arm if message != self.ahead", ""),
    ),
    bug(
        "a lost message that is missed too late",
        (STATE, "return due_at + GRACE if covered", "return due_at + 3 * GRACE if covered"),
    ),
    bug(
        "a self-arming cron that gets a schedule with its new name",
        (JOB_TRANSITIONS, " or arms_itself(trigger)", ""),
    ),
    bug(
        "a cron that no longer arms itself and gets no schedule",
        (
            JOB_TRANSITIONS,
            "kept is None and _takes_schedule(state, new.trigger,",
            "kept is None and _takes_schedule(state, old.trigger,",
        ),
    ),
    bug(
        "a cron that rests at night and takes no schedule",
        (
            CRON,
            "return self.fields.every_hour and self.fields.every_day",
            "return self.fields.every_day",
        ),
    ),
    bug(
        "a cron of every hour that takes a schedule",
        (
            STATE,
            "isinstance(trigger, Interval) or (isinstance(trigger, Cron) and trigger.recurs_hourly)",
            "isinstance(trigger, Interval)",
        ),
    ),
    bug(
        "a sweeper that waits for too long before it sends",
        (
            SWEEPING,
            "self.parts.queue.send_in_time(some, self.parts.clock, self.parts.sleep)",
            "self.parts.sleep(130)\n                    self.parts.queue.send(some, self.parts.clock())",
        ),
    ),
    bug(
        "messages come a second late",
        (
            QUEUE,
            "    delay = int((due.at - now).total_seconds() - _EARLY - lead)",
            "    delay = int((due.at - now).total_seconds()) + 2",
        ),
    ),
    bug(
        "a wake that sleeps past the due time",
        (
            QUEUE,
            "max(0.0, ahead % 1 - (_SLACK_AHEAD if due.by else _SLACK))",
            "max(0.0, ahead % 1 - _SLACK) + ahead + 2",
        ),
    ),
    bug(
        "a job that was deleted before the due time is claimed",
        (
            ITEMS,
            'before = Condition("revision = :read", {":read": state.revision - 1})',
            'before = Condition("attribute_not_exists(id) OR revision = :read", {":read": state.revision - 1})',
        ),
    ),
    bug(
        "an attempt of a batch that is sent with another job's request",
        (
            "usecases/ahead.py",
            "{one.id: prepare(one, read) for one in definitions}",
            "{one.id: prepare(definitions[0], read) for one in definitions}",
        ),
    ),
    bug(
        "a state that is written before its definition",
        (
            STORE,
            "        self._table.put(put_definition(self._table.name, definition).item, ABSENT)\n",
            "",
        ),
        (
            STORE,
            "            self._write(writes, key=definition.key, once=True)",
            "            self._write(writes, key=definition.key, once=True)\n"
            "            self._table.put(put_definition(self._table.name, definition).item, ABSENT)",
        ),
    ),
    bug(
        "a list that deletes the definition of a job which is just being written",
        (
            STORE,
            "            elif definition and job_id < left_before:",
            "            elif definition:",
        ),
    ),
    bug(
        "a page that leaves a job out",
        (
            "api/routes/job_list.py",
            "with_results.get(job.definition.id, job), position\n",
            "with_results.get(job.definition.id, job), job.definition.id\n",
        ),
    ),
    bug(
        "uncovering a state that may not stand there",
        (
            ARMING,
            '        try:\n            self._queue.send([due for step in steps for due in step.arm], self._clock())\n        except Unavailable:\n            log.warning("message.send_failed", extra={"job_id": steps[0].state.job_id})\n',
            "        for step in steps:\n            self.arm(step.state, step.arm)\n",
        ),
    ),
    bug(
        "a run that does not wait for its target",
        (RUN_TRANSITIONS, "run.awaited is not None and not attempt.is_final and", "False and"),
    ),
    bug(
        "a lost executor's attempt that is sent again",
        (RUN_TRANSITIONS, "(Outcome.SUCCESS, Outcome.UNKNOWN)", "(Outcome.SUCCESS,)"),
    ),
    bug(
        "a deadline that nobody keeps",
        (RUN_TRANSITIONS, "is_over = now >= run.awaited.until", "is_over = False"),
    ),
    bug(
        "a deadline that is kept too early",
        (RUN_TRANSITIONS, "is_over = now >= run.awaited.until", "is_over = True"),
    ),
    bug(
        "a waiting run that is sent again at its deadline",
        (
            RUN_TRANSITIONS,
            '        return Settle(run) if is_over else NoChange("the run waits for its callback")',
            "        run = replace(run, awaited=None)",
        ),
    ),
    bug(
        "a change that ends a waiting run",
        (JOB_TRANSITIONS, "and not run.is_waiting and", "and"),
        (
            RUN_TRANSITIONS,
            "    if run.awaited is not None:\n",
            "    if run.awaited and not state.supersedes(run):\n",
        ),
    ),
    bug(
        "a superseded run whose target is at work and does not overlap",
        (RUN_TRANSITIONS, "(run.owner or run.awaited or not", "(run.owner or not"),
    ),
    bug(
        "a word that counts after the deadline",
        (COMPLETING, "now >= awaited.until", "False"),
    ),
    bug(
        "a deadline that is read before the clock",
        (COMPLETING, "now >= awaited.until", "scheduling.clock() >= awaited.until"),
    ),
    bug(
        "a word for an older attempt",
        (
            COMPLETING,
            "awaited = run.awaited if run and run.attempt == token.attempt else None",
            "awaited = run.awaited if run else None",
        ),
        (COMPLETING, "awaited is not None and not token.opens(awaited.digest)", "False"),
        (
            COMPLETING,
            "scheduling.runs.attempt_as_read(token.job_id, token.key, token.attempt)",
            "scheduling.runs.attempt_as_read(token.job_id, token.key, run.attempt if run else token.attempt)",
        ),
    ),
    bug(
        "a token that is not compared",
        (COMPLETING, "awaited is not None and not token.opens(awaited.digest)", "False"),
    ),
    bug(
        "a word for a recorded end",
        (
            COMPLETING,
            "recorded is not None and recorded.update.status is not RunStatus.WAITING",
            "False",
        ),
    ),
    bug(
        "a word without a condition on the record",
        (
            RUNS,
            "self._recorded(tenant, record, revision, now), unchanged)",
            "self._recorded(tenant, record, revision, now))",
        ),
    ),
    bug(
        "a word with the owner of the answer",
        (
            COMPLETING,
            "ended_by(word, run, found.recorded, owner_token(), now)",
            "ended_by(word, run, found.recorded, run.owner or owner_token(), now)",
        ),
        (FOLLOWING, "revision = told.state.revision", "revision = state.revision"),
    ),
    bug(
        "a word that is not told",
        (
            FOLLOWING,
            "self.write(definition, state, step, record, now, save)",
            "(save(step, []), (step, Notices()))[1]",
        ),
    ),
    bug(
        "a record beside its word",
        (
            FOLLOWING,
            "            self.jobs.save(told.state, [put, *beside], now=now)",
            "            self.jobs._table.write(put)\n            self.jobs.save(told.state, beside, now=now)",
        ),
    ),
    bug(
        "a failure that is retried although its target forbids it",
        (WORDS, "forbids_retry=not word.retries", "forbids_retry=False"),
    ),
    bug(
        "a failure that succeeds",
        (
            WORDS,
            "outcome=Outcome.SUCCESS if word.succeeded else Outcome.UNEXPECTED",
            "outcome=Outcome.SUCCESS",
        ),
    ),
    bug(
        "a deadline that moves backward",
        (WORDS, "    if until <= run.awaited.until:\n        return None\n", ""),
    ),
    bug(
        "an extension that nobody arms",
        (WORDS, "next_attempt_at=until, covered=near)", "covered=True)"),
    ),
    bug(
        "an extension in flight that is forgotten",
        (
            WORDS,
            "    if run.owner is not None:\n        return Transition(written(state.with_run(moved), now))\n",
            "    if run.owner is not None:\n        return Transition(written(state, now))\n",
        ),
    ),
    bug(
        "an extension without end",
        (WORDS, "    if until > latest:", "    if until > latest + LONGEST * 9:"),
    ),
    bug(
        "a claim that awaits nothing",
        (ATTEMPT, "step = awaiting(step, completion, digest, now)", "pass"),
    ),
    bug(
        "a deadline that counts from the end of the lease",
        (
            WORDS,
            "Awaited(digest, now, now + completion.deadline)",
            "Awaited(digest, now, now + 2 * completion.deadline)",
        ),
    ),
    bug(
        "a word whose retry nobody sends",
        (FOLLOWING, "        self.arm(step, notices)\n", ""),
    ),
    bug(
        "a retry of what is retried",
        (
            MENDING,
            "        if run.is_retried:\n            return job_id, run_of(scheduling, state, key.retried_by)\n",
            "",
        ),
    ),
    bug(
        "a retry that looks at the records before the state",
        (
            MENDING,
            "        run = run_of(scheduling, state, key, responses=False)\n",
            "        run = run_of(scheduling, state, key, responses=False)\n        _, state = scheduling.jobs.get(tenant, job_id)\n",
        ),
    ),
    bug(
        "a retry of a run that is not over",
        (
            MENDING,
            "state.find(key) is not None or not run.may_be_retried",
            "not run.may_be_retried",
        ),
    ),
    bug(
        "a retry acknowledged although another write won",
        (
            MENDING,
            '                raise JobNotFound from changed\n            continue\n        log.info("run.queued"',
            '                raise JobNotFound from changed\n            return job_id, queued\n        log.info("run.queued"',
        ),
    ),
    bug(
        "a retry that a pause supersedes",
        (
            STATE,
            "self.defined_in if run.key.is_requested else",
            "self.defined_in if run.key.manual else",
        ),
    ),
    bug(
        "a retry that overlaps",
        (RUN_TRANSITIONS, "if not run.key.is_requested and", "if not run.key.manual and"),
    ),
    bug(
        "a retry that ends its one-time job",
        (RUN_ENDS, "not run.key.is_requested and", "not run.key.manual and"),
    ),
    bug(
        "a retry that has its old place among the results",
        (
            STATE,
            "return self.planned_at or self.key.asked_at, self.key.sort",
            "return self.key.asked_at, self.key.sort",
        ),
    ),
    bug(
        "all that failed, also what is retried",
        (RETRY_FAILED, "run is not None and not run.is_retried and", "run is not None and"),
    ),
    bug(
        "all that failed, also what is retried meanwhile",
        (
            RETRY_FAILED,
            "            plan = {key: at for key, at in plan.items() if _is_open(scheduling, state, key)}\n",
            "",
        ),
    ),
    bug(
        "all that failed, on a state read after the records",
        (
            RETRY_FAILED,
            "        if tries:\n            current = scheduling.jobs.state(state.job_id)\n            if current is None:\n                return 0, 0\n            state = current\n            plan",
            "        current = scheduling.jobs.state(state.job_id)\n        if current is None:\n            return 0, 0\n        state = current\n        if tries:\n            plan",
        ),
    ),
    bug(
        "all that failed, also what is not over",
        (
            RETRY_FAILED,
            "ended = [key for key in plan if state.find(key) is None]",
            "ended = list(plan)",
        ),
    ),
    bug(
        "a cancel of what is in flight",
        (
            JOB_TRANSITIONS,
            "    if run.owner is not None:\n        raise AttemptInFlight(run.attempt)\n",
            "",
        ),
    ),
    bug(
        "a cancel without a record",
        (
            MENDING,
            "scheduling.jobs.save(step.state, [*ends, *notices.writes(scheduling.jobs)], now=now)",
            "scheduling.jobs.save(step.state, notices.writes(scheduling.jobs), now=now)",
        ),
    ),
    bug(
        "a cancel acknowledged although another write won",
        (
            MENDING,
            "        return False\n    for end in step.ended:",
            "        pass\n    for end in step.ended:",
        ),
    ),
    bug(
        "a cancelled run that is not closed",
        (
            JOB_TRANSITIONS,
            "return Transition(written(with_outcome(rest, run, status), now), ended=(end,), arm=arm)",
            "return Transition(written(state, now), ended=(end,))",
        ),
    ),
    bug(
        "a backfill that ends with its first run",
        (
            BACKFILL_TRANSITIONS,
            "if backfill is None or not backfill.has(ended):",
            "if True:",
        ),
    ),
    bug(
        "a backfill that a failure ends",
        (
            RUN_TRANSITIONS,
            "    ended, arm = goes_on(definition.trigger, ended, run.key, now)",
            "    ended, arm = goes_on(definition.trigger, ended, run.key, now) if update.status is RunStatus.SUCCEEDED else (replace(ended, backfill=None), ())",
        ),
    ),
    bug(
        "a backfill that leaves out its first occurrence",
        (
            BACKFILL,
            "next_open(trigger, since - _SECOND, until)",
            "next_open(trigger, since, until)",
        ),
    ),
    bug(
        "a backfill that leaves out its last occurrence",
        (
            BACKFILL,
            "if due_at is not None else None",
            "if due_at is not None and due_at < self.until else None",
        ),
    ),
    bug(
        "a backfill that leaves out every other occurrence",
        (
            BACKFILL,
            "due_at = next_open(trigger, key.due_at, self.until)",
            "due_at = next_open(trigger, next_open(trigger, key.due_at) or key.due_at, self.until)",
        ),
    ),
    bug(
        "a backfill that does not count what is left",
        (BACKFILL_TRANSITIONS, "left=max(1, backfill.left - 1)", "left=backfill.left"),
    ),
    bug(
        "a run of a backfill with the id of the scheduled one",
        (BACKFILL, "RunKey(due_at, backfill=self.token)", "RunKey(due_at, 1)"),
    ),
    bug(
        "backfills whose runs have the same ids",
        (
            "domain/ids.py",
            "str(ULID.from_datetime(now))[-12:]",
            "str(ULID.from_datetime(now))[:0] + 12 * '0'",
        ),
    ),
    bug(
        "two backfills of a job",
        (BACKFILL_TRANSITIONS, "if state.backfill is not None:", "if False:"),
    ),
    bug(
        "a backfill of a paused job",
        (BACKFILL_TRANSITIONS, "if state.status is Status.PAUSED:", "if False:"),
    ),
    bug(
        "a backfill that goes on after a pause",
        (
            JOB_TRANSITIONS,
            "        pause=wanted,\n        backfill=None,\n",
            "        pause=wanted,\n",
        ),
    ),
    bug(
        "a backfill that goes on after a change",
        (JOB_TRANSITIONS, "defined_in=generation, backfill=None)", "defined_in=generation)"),
    ),
    bug(
        "a run of a backfill that outlives it",
        (
            STATE,
            "return self.backfill is None or not self.backfill.has(run.key)",
            "return run.generation != self.defined_in",
        ),
    ),
    bug(
        "a run of a backfill on an excluded day",
        (BACKFILL_TRANSITIONS, "return run.key.is_backfilled and not run.attempt", "return False"),
    ),
    bug(
        "a backfill without a message",
        (
            BACKFILLING,
            "        scheduling.arming.arm(step.state, step.arm)\n        return runs",
            "        return runs",
        ),
    ),
    bug(
        "a backfill whose next run has no message",
        (
            RUN_TRANSITIONS,
            "return Transition(written(ended, now), arm=arm, update=update)",
            "return Transition(written(ended, now), update=update)",
        ),
    ),
    bug(
        "a backfill that a cancel of its run stops",
        (
            JOB_TRANSITIONS,
            "    rest, arm = backfill_transitions.goes_on(trigger, rest, run.key, now)\n",
            "    arm = ()\n",
        ),
    ),
    bug(
        "a cancel of a run whose next one has no message",
        (
            MENDING,
            "    scheduling.arming.arm(step.state, step.arm)\n    for notice",
            "    for notice",
        ),
    ),
    bug(
        "an end of a backfill that lets its run wait",
        (BACKFILL_TRANSITIONS, "if run.owner is not None:", "if True:"),
    ),
    bug(
        "an end of a backfill that drops its run in flight",
        (BACKFILL_TRANSITIONS, "if run.owner is not None:", "if False:"),
    ),
    bug(
        "an end of a backfill acknowledged although another write won",
        (
            BACKFILLING,
            "        if save_ends(scheduling, definition, state, step, now):\n",
            "        if save_ends(scheduling, definition, state, step, now) or True:\n",
        ),
    ),
    bug(
        "a backfill acknowledged although another write won",
        (
            BACKFILLING,
            "                raise JobNotFound from changed\n            continue\n",
            "                raise JobNotFound from changed\n            return runs\n",
        ),
    ),
    bug(
        "a backfill that begins again for its Idempotency-Key",
        (BACKFILLING, "record = answer(runs) if answer else None", "record = None"),
    ),
    bug(
        "a run of a backfill that counts among failures",
        (FAILURES, "run.key.is_requested or", "run.key.manual or run.key.retry or"),
    ),
    bug(
        "a run of a backfill that overlaps",
        (
            RUN_TRANSITIONS,
            "if not run.key.is_requested and (",
            "if not (run.key.manual or run.key.retry) and (",
        ),
    ),
    bug(
        "a notice written after the end",
        (
            FIRING,
            "            self.jobs.save(step.state, beside, now=now)",
            "            self.jobs.save(step.state, now=now)\n            for write in beside:\n                self.jobs._table.write(write)",
        ),
    ),
    bug(
        "a superseded run that is not told",
        (FIRING, "[*ends, *beside, *tried.beside]", "[*ends, *tried.beside]"),
    ),
    bug(
        "a notice of an attempt that is to be retried",
        (
            TELLING,
            "yield record.key, step.update.status, None",
            "yield record.key, (RunStatus.FAILED if step.update.next_attempt_at else step.update.status), None",
        ),
    ),
    bug(
        "a callback that is no longer in force",
        (FIRING, "if state.edition != definition.edition:", "if False:"),
    ),
    bug(
        "a notice without a message",
        (
            FOLLOWING,
            "            self.arming.arm(notice.state, notice.arm)\n",
            "            pass\n",
        ),
    ),
    bug(
        "a notice that stays for ever",
        (FIRING, "definition.kind is Kind.NOTICE and step.state.is_over", "False"),
    ),
    bug(
        "a notice that expires before it has ended",
        (
            FIRING,
            "definition.kind is Kind.NOTICE and step.state.is_over",
            "definition.kind is Kind.NOTICE",
        ),
    ),
    bug(
        "a notice among the jobs",
        (ITEMS, "return tenant if kind is Kind.JOB else", "return tenant if kind else"),
    ),
    bug(
        "a manual run that counts",
        (FAILURES, "run.key.is_requested or state.supersedes(run)", "state.supersedes(run)"),
    ),
    bug(
        "a superseded run that counts",
        (FAILURES, "run.key.is_requested or state.supersedes(run)", "run.key.is_requested"),
    ),
    bug(
        "a success that ends no row",
        (FAILURES, "return replace(state, failing=None)", "return state"),
    ),
    bug(
        "a resume that counts on",
        (PAUSES, "failing=failures.anew(state.failing),", "failing=state.failing,"),
    ),
    bug("a failing job that goes on", (FAILURES, "failing.count >= most", "failing.count > most")),
    bug(
        "a failure that is told again and again",
        (
            CHANNELS,
            "            if not is_long or channel.token in after.failing.told:",
            "            if not is_long:",
        ),
    ),
    bug(
        "a failure that is told too early",
        (CHANNELS, "failing.count >= channel.after", "failing.count >= 1"),
    ),
    bug(
        "a recovery of a failure that was not told",
        (CHANNELS, "one.token in tokens and event in one.events", "event in one.events"),
    ),
    bug(
        "a recovery that asks for the label",
        (
            CHANNELS,
            "one.token in tokens and event in one.events",
            "one.token in tokens and one.wants(event, labels)",
        ),
    ),
    bug(
        "who was told is forgotten",
        (
            CHANNELS,
            "    kept = (*(token for token in failing.told if token in living), *new)",
            "    kept = tuple(new)",
        ),
    ),
    bug(
        "who was told is forgotten at a resume",
        (
            FAILURES,
            "replace(failing, count=0) if failing is not None and failing.told else None",
            "None",
        ),
    ),
    bug(
        "missed occurrences that are not told",
        (CHANNELS, "end.status is RunStatus.MISSED", "False"),
    ),
    bug(
        "a pause that is not told",
        (CHANNELS, "after.pause is not None and before.pause is None", "False"),
    ),
    bug(
        "a claim that goes on from a state without what was told",
        (
            FIRING,
            "(definition, written.state), written.again.key",
            "(definition, decision.state), written.again.key",
        ),
    ),
    bug(
        "a channel of every label",
        (
            CHANNELS,
            "event in self.events and (self.label is None or self.label in labels.items())",
            "event in self.events",
        ),
    ),
    bug(
        "a digest that is not closed",
        (TELLING, "            digests.close(notice.id, now)\n", "            pass\n"),
        (
            DIGEST_STORE,
            'len(shards) < _SHARDS or not all("is_closed" in shard for shard in shards)',
            "False",
        ),
    ),
    bug(
        "an event for a window that is closed",
        (DIGEST_STORE, "attribute_not_exists(is_closed)", "attribute_not_exists(no_such_name)"),
    ),
    bug(
        "a window that is found closed and tried again",
        (FOLLOWING, "closed |= changed.closed", "closed |= frozenset()"),
    ),
    bug(
        "an event that is not counted",
        (
            DIGEST_STORE,
            "return counted, self._event(window, part, ended)",
            "return (self._event(window, part, ended),)",
        ),
    ),
    bug(
        "an event that is only counted",
        (DIGEST_STORE, "return counted, self._event(window, part, ended)", "return (counted,)"),
    ),
    bug(
        "a first event that is not counted",
        (DIGEST_STORE, "first[event] + sum(", "sum("),
    ),
    bug(
        "a window of a deleted notice",
        (STORE, "if is_open(definition) else []", "if False else []"),
    ),
    bug(
        "a window that goes elsewhere",
        (DIGESTS, "return is_same and is_short and", "return is_short and"),
    ),
    bug(
        "a window that is too long for the channel",
        (DIGESTS, "return is_same and is_short and", "return is_same and"),
    ),
    bug("a window that ends late", (DIGESTS, "(now + length)", "(now + 3 * length)")),
    bug(
        "two windows at once",
        (
            "aws/channel_store.py",
            "return Put(self._table.name, item, unchanged)",
            "return Put(self._table.name, item)",
        ),
    ),
    bug("a digest of one", (DIGESTS, "if total < 2 or", "if total < 1 or")),
    bug(
        "a digest that tells its first event only",
        (
            FIRING,
            "sent = self.telling.composed(definition, now, is_closed=bool(state.runs))",
            "sent = definition",
        ),
    ),
    bug(
        "a digest that is prepared before its window ends",
        (
            RUN_TRANSITIONS,
            "    if definition.kind is Kind.NOTICE:\n        return False\n    if",
            "    if",
        ),
    ),
    bug(
        "a digest that is shown as it began",
        (
            FIRING,
            "sent = self.telling.composed(definition, now, is_closed=True)",
            "sent = definition",
        ),
    ),
    bug(
        "an interval that begins anew when it is resumed",
        (
            INTERVAL,
            "self.starts_at + ((after - self.starts_at) // self.every + 1) * self.every",
            "after + self.every",
        ),
    ),
    bug(
        "an interval whose latest occurrence is missed",
        (
            MISFIRES,
            "late -= grace is None and late > 0",
            "late -= 0",
        ),
    ),
    bug(
        "occurrences that max_runs does not count",
        (RUN_TRANSITIONS, "    state = counted(state, definition.trigger, 1)\n", ""),
    ),
    bug(
        "missed occurrences that count as one",
        (
            RUN_TRANSITIONS,
            "counted(state, definition.trigger, count)",
            "counted(state, definition.trigger, 1)",
        ),
    ),
    bug(
        "skipped occurrences that count",
        (
            RUN_TRANSITIONS,
            "        end = RunEnd(RunKey(due_at, state.generation), RunStatus.SKIPPED, now, reason)",
            "        state = counted(state, definition.trigger, 1)\n"
            "        end = RunEnd(RunKey(due_at, state.generation), RunStatus.SKIPPED, now, reason)",
        ),
    ),
    bug(
        "an end that is passed",
        ("domain/limits.py", "at > self.ends_at", "False"),
    ),
    bug(
        "an earlier run that ends its job",
        (RUN_ENDS, "other.key.due_at > run.key.due_at", "False"),
    ),
    bug(
        "a new trigger that counts on",
        (JOB_TRANSITIONS, "status=status, counted=0, skips=0", "status=status, skips=0"),
    ),
    bug(
        "a job that fails because its last run is skipped",
        (
            RUN_ENDS,
            "is_done = ends[-1].status is RunStatus.SKIPPED and is_asked",
            "is_done = False",
        ),
    ),
    bug(
        "an interval that nobody arms",
        (STATE, "return replace(waits, covered=False), ()", "return waits, ()"),
    ),
    bug(
        "a success that ends no row of failures",
        (BREAKERS, "                flows.end_failures(flow)", "                pass"),
    ),
    bug(
        "a failure that is counted again when the SDK repeats it",
        (
            FLOW_STORE,
            "attribute_not_exists(attempt) OR attempt <> :attempt",
            "attribute_not_exists(id) OR attempt <> :one OR failures >= :one",
        ),
    ),
    bug(
        "a flow that opens after one failure less",
        (
            BREAKERS,
            "count >= flow.breaker.failures",
            "count >= flow.breaker.failures - 1",
        ),
        (FLOW_STORE, "flow.breaker.failures if", "flow.breaker.failures - 1 if"),
    ),
    bug(
        "a flow that opens after a success came between",
        (
            FLOW_STORE,
            '{":least": least}) if opened_at else None',
            '{":least": least}) if least > 999 else None',
        ),
    ),
    bug(
        "a flow that never opens",
        (BREAKERS, ">= flow.breaker.failures\n", "> 999\n"),
    ),
    bug(
        "a probe at once",
        (FLOWS, "return 1 if now >= self.probed_from else 0", "return 1"),
    ),
    bug(
        "no probe at all",
        (FLOWS, "return 1 if now >= self.probed_from else 0", "return 0"),
    ),
    bug(
        "one probe after the other",
        (QUEUEING, "if slot and flow.opened_at and", "if slot and not flow.opened_at and"),
    ),
    bug(
        "a flow that stays open",
        (BREAKERS, "if not down and", "if down is None and"),
    ),
    bug(
        "a flow that closes though its probe failed",
        (BREAKERS, "if not down and", "if down is not None and"),
    ),
    bug(
        "a flow that opens untold",
        (
            BREAKERS,
            "beside = notices.writes(self.lines.jobs)",
            "beside = notices.writes(self.lines.jobs)[:0]",
        ),
    ),
    bug(
        "executors that do not learn that a flow is open",
        (
            FLOW_STORE,
            "write(forgotten, put, changes, gate, *beside)",
            "write(forgotten, put, gate, *beside)",
        ),
    ),
    bug(
        "a run that waits for a flow which is closed",
        (
            LINE_STORE,
            "(self.paused, self.open) == (flow.paused, flow.opened_at is not None)",
            "self.paused == flow.paused",
        ),
    ),
    bug(
        "a line whose flow closes and nobody looks",
        (
            FLOW_STORE,
            "line_id(flow.tenant, flow.name), made.probed_from or now",
            "line_id(flow.tenant, flow.name), now + timedelta(days=1)",
        ),
    ),
    bug(
        "a flow that opens by an error that is not the target's",
        (
            FLOWS,
            "is_error = result.outcome is not Outcome.SUCCESS and (result.status_code or 0) >= 500",
            "is_error = result.outcome is not Outcome.SUCCESS",
        ),
    ),
    bug(
        "an error that does not open a flow",
        (FLOWS, "(result.status_code or 0) >= 500", "(result.status_code or 0) >= 600"),
    ),
)


def planted(code: str, old: str, new: str) -> str:
    """Return code with `new` in every place of `old`, however its lines are broken.

    Raises ValueError when the old text is not there any more, or what results is no Python or means
    the same.
    """
    tokens = re.findall(r"\w+|[^\w\s]", old)
    pattern = r"\s*".join((",?" if one in ")]}" else "") + re.escape(one) for one in tokens)
    pattern = pattern.replace(r"\s*,?", r",?\s*")
    first = len(new) - len(new.lstrip(" "))

    def replacement(match: re.Match[str]) -> str:
        line = code[code.rfind("\n", 0, match.start()) + 1 : match.start()]
        margin = " " * (len(line) - len(line.lstrip()) if first else 0)
        return new.strip().replace("\n" + " " * first, "\n" + margin)

    result, count = re.subn(pattern, replacement, code)
    if not count:
        raise ValueError(f"the code no longer has the text {old!r}")
    try:
        if ast.dump(ast.parse(result)) == ast.dump(ast.parse(code)):
            raise ValueError(f"{new!r} in the place of {old!r} changes nothing")
    except SyntaxError as error:
        raise ValueError(f"{new!r} in the place of {old!r} is no Python") from error
    return result


def plant(found: Bug, folder: Path) -> None:
    """Copy the code into a folder, with the bug in it.

    Raises ValueError when its text is not there any more.
    """
    for name in ("chalicelib", "infra", "tests", "app.py", ".chalice"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for name, old, new in found.patches:
        path = folder / "chalicelib" / name
        path.write_text(planted(path.read_text(), old, new))


def runs() -> Iterator[tuple[str, str | None]]:
    """Yield runs, as `replay` takes them, each with its violation: the cheapest kind first."""
    for script in SCRIPTS:
        yield script.__name__, play(script, {})[0].violation
    for seed in range(FIRST_SEEDS):
        yield str(seed), simulate(seed).violation
    for seed in range(SHARED_SEEDS):
        yield f"{seed} shared", simulate(seed, is_shared=True).violation
    for script in SCRIPTS:
        for number, fault in play(script, {})[1]:
            violation = play(script, {number: fault})[0].violation
            yield f"{script.__name__} {number}={fault.name}", violation
    for seed in range(FIRST_SEEDS, SEEDS):
        yield str(seed), simulate(seed).violation


def hunt() -> str | None:
    """Return what shows that this code is wrong; None if nothing does."""
    return next((f"{run}: {violation}" for run, violation in runs() if violation), None)


def hunt_in_copy(found: Bug) -> str:
    """Return what caught a bug, or an empty text if it survived."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plant(found, folder)
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "hunt"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode not in (0, 1):
        # It does not even run: that is caught too, by anything.
        return f"fails: {done.stderr.strip().splitlines()[-1]}"
    return done.stdout.strip()


def hunt_all(names: list[str]) -> int:
    """Hunt every bug, or those named, and print what caught it. Return how many survived."""
    wanted = [found for found in BUGS if not names or found.name in names]
    survived = 0
    with ThreadPoolExecutor(2) as threads:
        for found, caught in zip(wanted, threads.map(hunt_in_copy, wanted), strict=True):
            survived += not caught
            print(f"{found.name}\n    {caught or 'SURVIVED'}", flush=True)
    print(f"{len(wanted)} bugs, {survived} survived")
    return survived
