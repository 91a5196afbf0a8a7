"""Check every write, every sent request and the end of a simulation against the promises.

The observer sees the tables' writes as they take effect, with the process that made them; it
decides nothing and changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from chalicelib.aws.job_items import read_definition, read_state
from chalicelib.aws.packing import load_response, unpacked
from chalicelib.aws.serialization import load_attempt, load_ending
from chalicelib.aws.table import plain
from chalicelib.domain.cron import Cron
from chalicelib.domain.fairness import Sharing
from chalicelib.domain.flows import Wait
from chalicelib.domain.ids import RunKey, run_id
from chalicelib.domain.interval import Interval
from chalicelib.domain.job import Definition, Kind, Overlap
from chalicelib.domain.retry import is_retried
from chalicelib.domain.run import (
    Attempt,
    AttemptResult,
    Outcome,
    Reason,
    Response,
    RunEnd,
    RunStatus,
)
from chalicelib.domain.state import GRACE, MAX_UNFINISHED_RUNS, SKEW, State, Status, UnfinishedRun
from chalicelib.domain.state_parts import FAILING, RESONA
from chalicelib.domain.trigger import WAKE_AHEAD, OneTime, Trigger
from tests.cloud import Item
from tests.simulation.backfills import BackfillWatch
from tests.simulation.breakers import Breakers
from tests.simulation.calendars import CalendarHistory
from tests.simulation.cloud import Write
from tests.simulation.flows import Flows
from tests.simulation.lines import Lines
from tests.simulation.looks import LookWatch
from tests.simulation.pauses import PauseWatch
from tests.simulation.sharing import Executors
from tests.simulation.virtual_time import Process, VirtualTime
from tests.simulation.words import Words

ENDED = (RunStatus.SUCCEEDED, RunStatus.FAILED)
# The clocks of two processes are wrong by up to five seconds each.
_SKEWS = timedelta(seconds=11)


class Violation(BaseException):
    """A promise is broken. Nothing of what is watched may catch it."""


@dataclass
class Sent:
    """A request that went out."""

    job_id: str
    key: RunKey
    attempt: int
    at: float
    until: float
    result: AttemptResult | None = None


@dataclass
class Claim:
    """An attempt that a process owns, when it was due, and when the lease ends by the true time."""

    process: Process
    run: UnfinishedRun
    due_at: datetime
    lease_ends: float


@dataclass
class JobHistory:
    """What is known of one job."""

    states: list[State] = field(default_factory=list)
    definitions: list[tuple[int, Definition]] = field(default_factory=list)
    claims: dict[tuple[RunKey, int], Claim] = field(default_factory=dict)
    records: dict[tuple[RunKey, int], Attempt] = field(default_factory=dict)
    ends: dict[RunKey, RunEnd] = field(default_factory=dict)
    begun: set[RunKey] = field(default_factory=set)
    failed_in_a_row: int = 0
    counted: int = 0
    """Occurrences since the trigger began that count for its `max_runs`."""
    told_tokens: set[str] = field(default_factory=set)
    is_deleted: bool = False

    def defined(self, generation: int) -> Definition:
        """Return the definition that was in force in a generation."""
        return next(
            definition for begins, definition in reversed(self.definitions) if begins <= generation
        )

    def has_ended(self, key: RunKey, number: int) -> bool:
        """Return whether an attempt has ended, or its run."""
        record = self.records.get((key, number))
        waits = record is None or record.update.status is RunStatus.WAITING
        return not waits or self.end_of(key) is not None

    def has_dropped(self, key: RunKey) -> bool:
        """Return whether nothing is known of a run."""
        is_recorded = any(of == key for of, _ in self.records)
        return self.states[-1].find(key) is None and self.end_of(key) is None and not is_recorded

    def end_of(self, key: RunKey) -> RunStatus | None:
        """Return how a run has ended, None if it has not."""
        if key in self.ends:
            return self.ends[key].status
        records = [record for (of, _), record in self.records.items() if of == key]
        return next(
            (record.update.status for record in records if record.update.status in ENDED), None
        )


@dataclass
class WindowHistory:
    """What is known of a digest's window: what it tells, as (event, run), and what was sent."""

    notice: Definition
    token: str
    is_closed: bool = False
    told: list[tuple[str, str]] = field(default_factory=list)
    body: str | None = None

    def is_told_by(self, body: str) -> bool:
        """Say whether a body tells what happened in this window."""
        if len(self.told) == 1:
            return body == self.notice.request.body
        document = json.loads(body)
        if "text" in document:
            return str(document["text"]).startswith(f"*{len(self.told)} events* ")
        shown = [(one["event"], one["run"]["id"]) for one in document.get("examples", ())]
        counts = Counter(event for event, _ in self.told)
        is_whole = (document.get("counts"), document.get("count")) == (counts, len(self.told))
        return is_whole and len(shown) == min(20, len(self.told)) and set(shown) <= set(self.told)


def first_watch_at(state: State) -> datetime | None:
    """Return when the first step of a state must be armed if nothing has by then, None if it waits
    for nothing.
    """
    steps = [(run.next_attempt_at, run.covered) for run in state.runs]
    until = state.pause.until if state.pause else None
    steps.append((until if state.status is Status.PAUSED else state.next_run_time, state.covered))
    times = [at + GRACE if covered else at - WAKE_AHEAD for at, covered in steps if at is not None]
    times += [run.lease_until + SKEW for run in state.runs if run.lease_until is not None]
    return min(times, default=None)


@cache
def comes_again_soon(expression: str) -> bool:
    """Return whether each occurrence is followed by another within an hour, by a walk over a day:
    the simulation has no cron of some days only.
    """
    at = begun = datetime(2026, 11, 23, tzinfo=UTC)
    cron = Cron(expression, "UTC")
    while at < begun + timedelta(hours=25):
        following = cron.next_after(at)
        if following is None or following - at > timedelta(hours=1):
            return False
        at = following
    return True


def next_occurrence(trigger: Trigger, at: datetime) -> datetime | None:
    """Return the occurrence of a trigger that follows one of its occurrences."""
    if not isinstance(trigger, Interval):
        return trigger.next_after(at)
    ends_at, following = trigger.limits.ends_at, at + trigger.every
    return following if ends_at is None or following <= ends_at else None


class Observer:
    """Raises Violation."""

    def __init__(self, virtual_time: VirtualTime, sharing: Sharing) -> None:
        self.virtual_time = virtual_time
        self.job_histories: dict[str, JobHistory] = {}
        self.begun: dict[str, Definition] = {}
        """Definitions whose jobs are not there yet, because they have no state."""
        self.sent: dict[tuple[str, RunKey, int], Sent] = {}
        self.responses: dict[tuple[str, str], Response] = {}
        self.cancelled: set[tuple[str, RunKey]] = set()
        """Runs whose cancel was acknowledged."""
        self.told: set[tuple[str, ...]] = set()
        self.channels: list[tuple[float, dict[str, dict[str, Any]]]] = [(0.0, {})]
        """The channels by name, each time they changed."""
        self.pauses = PauseWatch(virtual_time, self.hold)
        self.calendars = CalendarHistory()
        self.looks = LookWatch(virtual_time, self.hold)
        self.backfills = BackfillWatch(virtual_time, self.calendars, self.hold)
        self.flows = Flows(self.hold, virtual_time)
        self.lines = Lines(self.hold, virtual_time)
        self.breakers = Breakers(self.hold, virtual_time)
        self.executors = Executors(self.hold, virtual_time, sharing)
        self.windows: dict[str, WindowHistory] = {}
        """The windows of digests by the ids of their notices."""
        self.words = Words(
            virtual_time,
            self.hold,
            has_ended=lambda place: self.job_history(place[0]).has_ended(*place[1:]),
            deleted=lambda job_id: self.job_history(job_id).is_deleted,
            is_fine=lambda: self.is_fine,
        )
        self.commits = 0
        self.is_fine = False
        """Nothing goes wrong that a user might notice: then nothing may be late, or lost and found
        again.
        """

    def job_history(self, job_id: str) -> JobHistory:
        return self.job_histories.setdefault(job_id, JobHistory())

    def hold(self, holds: bool, promise: str, *facts: object) -> None:
        if not holds:
            raise Violation(
                f"{promise}: {', '.join(map(str, facts))} at {self.virtual_time.time:.3f} by "
                f"{self.virtual_time.current.name}"
            )

    def saw(self, writes: list[Write]) -> None:
        """Take the writes of one effect, all or nothing, in.

        An error of the observer's own is a violation too: the code under test would catch it.
        """
        try:
            self._saw(writes)
        except Exception as error:  # whatever it is: else the code takes it for a failed call
            raise Violation(f"the observer failed at {traceback.format_exc()}") from error

    def _saw(self, writes: list[Write]) -> None:
        self.flows.saw(writes)
        self.executors.saw(writes)
        self.looks.saw(writes)
        self.lines.saw(writes, is_fine=self.is_fine)
        states: list[tuple[str, State | None]] = []
        notices: list[Definition] = []
        with_state = {key[0] for table, key, *_ in writes if table == "jobs" and key[1] == "state"}
        for table, key, _, new in writes:
            if table == "jobs" and key[1] == "definition" and key[0] not in with_state:
                self._alone(key[0], new)
            elif table == "jobs" and key[1] == "definition" and new is not None:
                definition = read_definition(plain(new))
                if definition.kind is Kind.NOTICE and definition.id not in self.job_histories:
                    notices.append(definition)
                    if "digest" in definition.labels:
                        self._opened(definition)
                job_history = self.job_history(definition.id)
                if job_history.definitions:
                    before = job_history.definitions[-1][1]
                    self.virtual_time.current.redefined.append((before, definition))
                    if definition.trigger != before.trigger:
                        job_history.counted = 0
                job_history.definitions.append((definition.generation, definition))
            elif table == "jobs" and key[1] == "state":
                if new is not None and key[0] in self.begun:
                    definition = self.begun.pop(key[0])
                    begins = (definition.generation, definition)
                    self.job_history(key[0]).definitions.append(begins)
                states.append((key[0], read_state(plain(new)) if new is not None else None))
        ends = [
            self._record(key, new)
            for table, key, _, new in writes
            if table == "runs" and new is not None
        ]
        self._expiries(writes)
        ended = [
            told
            for job_id, state in states
            if state is not None
            for told in self._callbacks(self.job_history(job_id), state)
        ]
        self._notices(ended, [notice for notice in notices if "channel" not in notice.labels])
        told = [
            (notice.labels["event"], notice.labels["run"], notice.labels["channel"], False)
            for notice in notices
            if "channel" in notice.labels and not {"digest", "test"} & set(notice.labels)
        ]
        told += [
            one
            for table, key, _, new in writes
            if table == "jobs" and key[0].startswith("digest#") and new is not None
            for one in self._added(key, new)
        ]
        of_flows = [one for one in told if one[0].startswith("flow.")]
        told = [one for one in told if one not in of_flows]
        possible = self._possible_channels()
        self.breakers.saw(writes, of_flows, possible, is_fine=self.is_fine)
        for job_id, state in states:
            if state is None:
                self.job_history(job_id).is_deleted = True
                if self.is_fine:
                    self.pauses.deleted(self.job_history(job_id).states[-1])
            else:
                prefix = f"run_{job_id.removeprefix('job_')}-"
                self._state(
                    self.job_history(job_id),
                    state,
                    [end for end in ends if end is not None],
                    sorted(one for one in told if one[1].startswith(prefix)),
                )
        for table, key, _, new in writes:
            if table == "jobs" and key[0].startswith("calendars#"):
                self.calendars.saw(key[1], new, self.virtual_time.time)
            if table == "jobs" and key[0].startswith("notices#") and "#" not in key[1]:
                channels = dict(self.channels[-1][1])
                channels.pop(key[1], None)
                if new is not None:
                    channels[key[1]] = json.loads(new["channel"]["S"])
                self.channels.append((self.virtual_time.time, channels))

    def _alone(self, job_id: str, item: Item | None) -> None:
        """A definition is written or deleted by itself only while its job is not there."""
        job_history = self.job_histories.get(job_id)
        is_there = job_history is not None and not job_history.is_deleted
        self.hold(not is_there, "a definition changes with its state", job_id)
        self.begun.pop(job_id, None)
        if item is not None:
            self.hold("expires_at" not in item, "a new job does not expire", job_id)
            self.begun[job_id] = read_definition(plain(item))

    def _opened(self, notice: Definition) -> None:
        """A channel has one window at a time, unless it is changed meanwhile."""
        name, possible = notice.labels["channel"], self._possible_channels()
        token = next(one[name]["token"] for one in reversed(possible) if name in one)
        of_channel = [
            window
            for window in self.windows.values()
            if (window.notice.labels["channel"], window.token) == (name, token)
        ]
        if of_channel and isinstance(of_channel[-1].notice.trigger, OneTime):
            last = of_channel[-1]
            is_over = of_channel[-1].notice.trigger.date < self.virtual_time.now + _SKEWS
            is_kept = all(self._is_asked_for(last, one) for one in possible)
            self.hold(last.is_closed or is_over or not is_kept, "one window at a time", notice.id)
        self.windows[notice.id] = WindowHistory(notice, token)

    def _added(self, key: tuple[str, ...], item: Item) -> Iterator[tuple[str, str, str, bool]]:
        """Take in what is added to a window: it is not lost, and not told too late."""
        notice_id = key[0].removeprefix("digest#")
        if not key[1].startswith("event#"):
            self.windows[notice_id].is_closed |= "is_closed" in item
            return
        window, is_first = self.windows[notice_id], key[1] == "event#0"
        labels = window.notice.labels
        self.hold(window.body is None, "nothing is added to a digest that is sent", *key)
        self.hold(not self.job_history(notice_id).is_deleted, "a digest is there", *key)
        self.hold(is_first == (not window.told), "the first event opens a window", *key)
        self.hold(
            any(self._is_asked_for(window, one) for one in self._possible_channels()),
            "a digest is where and when the channel asks for it",
            *key,
        )
        run = labels["run"] if is_first else key[1].rpartition("#")[2]
        for event, _ in json.loads(unpacked(item["packed"]["B"])):
            window.told.append((event, run))
            yield event, run, labels["channel"], True

    def _is_asked_for(self, window: WindowHistory, channels: dict[str, dict[str, Any]]) -> bool:
        labels, trigger = window.notice.labels, window.notice.trigger
        assert isinstance(trigger, OneTime)
        channel = channels.get(labels["channel"])
        if channel is None or "digest" not in channel:
            return False
        length = (trigger.date - window.notice.created_at).total_seconds()
        is_same = (channel["url"], channel["format"]) == (
            window.notice.request.url,
            labels["digest"],
        )
        # Both times are rounded down.
        return is_same and length <= channel["digest"] + 1

    def _possible_channels(self) -> list[dict[str, dict[str, Any]]]:
        """Return the channels at each time since the current process began."""
        since = self.virtual_time.current.begun_at
        begun = [at for at, _ in self.channels if at <= since]
        return [channels for at, channels in self.channels if at >= (begun[-1] if begun else 0.0)]

    def _expiries(self, writes: list[Write]) -> None:
        """A notice expires from its end on, whole, and nothing else of the table of jobs does."""
        for table, key, _, new in writes:
            if table != "jobs" or key[1] not in ("definition", "state") or new is None:
                continue
            job_history = self.job_histories.get(key[0])
            if job_history is None or not job_history.definitions:
                # No job yet, or one without a definition: `_state` tells.
                continue
            state = next(
                (
                    read_state(plain(item))
                    for _, other, _, item in writes
                    if other == (key[0], "state") and item is not None
                ),
                None,
            )
            definition = job_history.definitions[-1][1]
            is_notice = definition.kind is Kind.NOTICE
            if key[0] in self.windows and state is not None and state.is_over:
                is_as_sent = definition.request.body == self.windows[key[0]].body
                self.hold(is_as_sent, "an ended digest shows what was sent", key)
                self.hold("digest" not in definition.labels, "an ended digest is one", key)
            ends = is_notice and state is not None and state.is_over
            self.hold(
                ("expires_at" in new) == ends, "an ended notice expires, and nothing else", key
            )
            parts = [other for _, other, _, _ in writes if other[0] == key[0]]
            self.hold(not ends or len(parts) == 2, "a notice expires whole", key)

    def _callbacks(self, job_history: JobHistory, new: State) -> Iterator[tuple[str, ...]]:
        """Yield what is to be told of the runs that this write of a state ends."""
        if not job_history.states or not job_history.definitions:
            return
        definition = job_history.definitions[-1][1]
        for run in job_history.states[-1].runs:
            status = job_history.end_of(run.key) if new.find(run.key) is None else None
            if status is not None and (url := definition.callbacks.url(status)) is not None:
                yield url, f"run.{status}", new.job_id, run_id(new.job_id, run.key)

    def _notices(self, ended: list[tuple[str, ...]], notices: list[Definition]) -> None:
        made = [
            (notice.request.url, *(notice.labels[name] for name in ("event", "job", "run")))
            for notice in notices
        ]
        self.hold(
            sorted(made) == sorted(ended), "what must be told is told with the end", made, ended
        )
        self.hold(self.told.isdisjoint(made), "nothing is told twice", made)
        self.told |= set(made)

    def _record(self, key: tuple[str, ...], item: Item) -> RunEnd | None:
        job_id, sort = key
        if job_id.endswith("#responses"):
            self.responses[job_id, sort] = load_response(item["response"]["S"])
            return None
        run_key = RunKey.from_sort(sort.rpartition("#")[0])
        job_history = self.job_history(job_id)
        number = int(sort.rpartition("#")[2])
        if number == 99:
            end = load_ending(run_key, item["record"]["S"])
            self.hold(job_history.end_of(run_key) is None, "a run ends once", run_key)
            job_history.ends[run_key] = end
            return end
        record = load_attempt(job_id, run_key, number, item["owner"]["S"], item["record"]["S"])
        if "packed" in item:
            response = load_response(unpacked(item["packed"]["B"]))
            record = replace(record, result=replace(record.result, response=response))
        if "apart" in item:
            place = f"{job_id}#responses", f"{sort}#{record.owner}"
            self.hold(place in self.responses, "a long response is there before its record", *place)
            result = replace(record.result, response=self.responses[place])
            record = replace(record, result=result)
        self._attempt(job_history, record)
        job_history.records[run_key, number] = record
        return None

    def _attempt(self, job_history: JobHistory, record: Attempt) -> None:
        before = job_history.records.get((record.key, record.number))
        self.hold(
            (record.key, record.number) in job_history.claims,
            "what is on record was claimed",
            record.key,
            record.number,
        )
        claim = job_history.claims[record.key, record.number]
        if self.words.is_end(claim.run, record):
            place = record.job_id, record.key, record.number
            self.words.ended(place, before, record, self.virtual_time.current)
            return
        is_at_work = record.result.outcome in (Outcome.SUCCESS, Outcome.UNKNOWN)
        waits = claim.run.awaited is not None and is_at_work
        self.hold(
            (record.update.status is RunStatus.WAITING) == waits,
            "what may be at work is waited for",
            record.key,
            record.update,
        )
        if before is not None:
            self.hold(
                before.owner == record.owner and before.result == record.result,
                "a record is its owner's",
                record.key,
            )
            if before.update.status in ENDED:
                self.hold(
                    record.update == before.update,
                    "a run has one end",
                    record.key,
                    before.update,
                    record.update,
                )
        if record.result.outcome is Outcome.UNKNOWN:
            self.hold(
                not self.is_fine,
                "on a fine day every attempt is answered",
                record.key,
                record.number,
            )
            self.hold(
                self.virtual_time.time >= claim.lease_ends,
                "an attempt is given up only after its lease",
                record.key,
                record.number,
            )
        else:
            self.hold(
                record.owner == claim.run.owner,
                "only the owner records an answer",
                record.key,
                record.number,
            )
            sent = self.sent.get((record.job_id, record.key, record.number))
            self.hold(
                sent is not None and sent.result == record.result,
                "what is on record is what was answered",
                record.key,
            )

    def _state(
        self,
        job_history: JobHistory,
        new: State,
        ends: list[RunEnd],
        told: list[tuple[str, str, str, bool]],
    ) -> None:
        self.commits += 1
        old = job_history.states[-1] if job_history.states else None
        self.hold(not job_history.is_deleted, "nothing is written after a delete", new.job_id)
        self.hold(
            new.revision == (old.revision + 1 if old else 1),
            "a write follows what it read",
            new.job_id,
            new.revision,
        )
        go_together = (
            bool(job_history.definitions) and job_history.definitions[-1][1].edition == new.edition
        )
        self.hold(
            go_together and job_history.definitions[-1][0] == new.defined_in,
            "definition and state go together",
            new.job_id,
        )
        is_over = new.status in (Status.COMPLETED, Status.FAILED)
        self.hold(
            not is_over or new.next_due_at is None,
            "what is over is not due",
            new.job_id,
            new.status,
            new.next_due_at,
        )
        self.hold(
            len(new.runs) <= MAX_UNFINISHED_RUNS, "at most 32 runs are unfinished", new.job_id
        )
        self._watch(old, new)
        self._scheduled(job_history.defined(new.generation).trigger, new)
        self._within_bounds(job_history, new)
        self._promised(job_history.definitions[-1][1].trigger, old, new)
        if old is not None:
            self.hold(new.generation - old.generation in (0, 1), "generations count up", new.job_id)
            old = self._resumed(job_history, old, new, ends)
            self._occurrence(job_history, old, new, ends)
            self._ended(job_history, old, new)
            happened = self._failing(job_history, old, new)
            happened += [("run.missed", end.key) for end in ends if end.status is RunStatus.MISSED]
            self._told_by_channels(job_history, new, happened, told)
            for run in old.runs:
                self._run(job_history, old, run, new.find(run.key), new, ends)
        known = {run.key for run in old.runs} if old else set()
        for run in new.runs:
            if run.key not in known:
                self._begun(job_history, old, run, new)
        trigger = job_history.definitions[-1][1].trigger
        self.backfills.saw(trigger, old, new, job_history.end_of)
        job_history.states.append(new)
        self.virtual_time.current.committed.append(new)

    def _resumed(
        self, job_history: JobHistory, old: State, new: State, ends: list[RunEnd]
    ) -> State:
        """Return the state before a write, without its pause if the write is the end of that."""
        trigger = job_history.defined(old.generation).trigger
        most = trigger.limits.max_runs
        left = None if most is None else most - job_history.counted
        resumed = self.pauses.resumed(trigger, old, new, left=left, is_fine=self.is_fine)
        self.pauses.ended(trigger, old, new, ends)
        asked = self.virtual_time.current.asked
        is_change = asked.startswith(("POST", "PATCH", "PUT")) and asked.count("/") == 2
        # The same trigger begins anew too.
        is_new = job_history.defined(new.generation).trigger != trigger or (
            is_change and new.skips == 0 and new.defined_in == new.generation
        )
        self.pauses.skipped(resumed, new, ends, is_new_trigger=is_new)
        if resumed is not old:
            job_history.failed_in_a_row = 0
        return resumed

    def _watch(self, old: State | None, new: State) -> None:
        """Whatever waits is watched in time."""
        needed = first_watch_at(new)
        self.hold(
            (new.watch_at is None) == (needed is None), "whatever waits is watched", new.job_id
        )
        if new.watch_at is None or needed is None:
            return
        if old is not None and self.virtual_time.current.name.startswith("sweep"):
            self.hold(not self.is_fine, "on a fine day the sweeper writes no state", new.job_id)
            self.looks.moved(old, new)
            return
        # Every sweep reads what became overdue in the last 15 minutes. A write may take a while.
        age = self.virtual_time.now - new.watch_at
        self.hold(
            age < timedelta(minutes=12) or self.virtual_time.current.was_slow,
            "no watch is left where it passed long ago",
            new.job_id,
            age,
        )
        # What is overdue when it is written is watched from then on.
        self.hold(
            new.watch_at <= max(needed, self.virtual_time.now + _SKEWS),
            "nothing is watched too late",
            new.job_id,
            needed,
        )

    def _scheduled(self, trigger: Trigger, new: State) -> None:
        """A cron has a schedule if it does not always come again within an hour."""
        if not isinstance(trigger, Cron) or new.next_run_time is None:
            return
        if comes_again_soon(trigger.expression):
            self.hold(new.token is None, "a cron that arms itself has no schedule", new.job_id)
        else:
            is_scheduled = new.token is not None or not self.is_fine
            self.hold(is_scheduled, "on a fine day a cron has a schedule", new.job_id)

    def _occurrence(
        self, job_history: JobHistory, old: State, new: State, ends: list[RunEnd]
    ) -> None:
        """An occurrence is kept, consumed, or given up with the trigger that made it."""
        due_at = old.next_due_at
        if due_at is None or new.next_due_at == due_at:
            return
        trigger = job_history.defined(old.generation).trigger
        if new.generation != old.generation:
            is_users = (
                new.status is not old.status
                or job_history.defined(new.generation).trigger != trigger
            )
            anew = isinstance(trigger, OneTime) or is_users
            self.hold(
                anew,
                "a change of the request keeps the occurrence",
                new.job_id,
                due_at,
                new.next_due_at,
            )
            if (
                new.next_run_time is not None
                and job_history.defined(new.generation).trigger == trigger
            ):
                begins = self.virtual_time.now - timedelta(
                    seconds=abs(self.virtual_time.current.skew) + 2
                )
                # A pause that has ended by itself, which nobody had handled.
                begins = min(begins, (old.paused_until or begins) - timedelta(seconds=1))
                is_now = self.virtual_time.current.was_slow or new.next_run_time > begins
                self.hold(is_now, "what is resumed begins now", new.job_id, new.next_run_time)
            return
        key = RunKey(due_at, old.generation)
        end = next((end for end in ends if end.key == key), None)
        if trigger.limits.exclude and self._excluded(trigger, old, new, key, end):
            return
        self.hold(
            new.find(key) is not None or end is not None,
            "no occurrence is passed over in silence",
            new.job_id,
            due_at,
        )
        is_asked = end is not None and end.reason is Reason.ASKED
        self.hold(is_asked or not old.skips, "the next occurrences are skipped", new.job_id, due_at)
        if end is not None and end.reason is Reason.OVERLAP:
            others = [run for run in old.runs if not run.key.is_requested]
            self.hold(bool(others), "what is skipped would overlap", new.job_id, due_at)
        last = end.last_due_at if end is not None and end.last_due_at else due_at
        asked = [one.key.due_at for one in ends if one.reason is Reason.ASKED]
        for number, at in enumerate(asked[1:]):
            is_next = at == next_occurrence(trigger, asked[number])
            self.hold(is_next, "what is skipped are the next occurrences", new.job_id, at)
        last = max([last, *asked])
        if end is not None and end.missed_count is not None:
            row = 1
            while (due_at := next_occurrence(trigger, due_at) or last) < last:
                row += 1
            row += end.key.due_at < last
            self.hold(
                row == end.missed_count,
                "missed occurrences are counted",
                new.job_id,
                row,
                end.missed_count,
            )
            grace = job_history.defined(old.generation).misfire_grace
            too_late = last + grace if grace is not None else next_occurrence(trigger, last)
            skew = timedelta(seconds=abs(self.virtual_time.current.skew))
            is_late = too_late is not None and too_late <= self.virtual_time.now + skew
            is_late |= end.reason is Reason.PAUSED
            job = job_history.definitions[-1][1]
            is_late |= too_late is not None and self.flows.refuses(job, too_late)
            self.hold(is_late, "what is missed was too late", new.job_id, last)
        if end is None or end.status is RunStatus.MISSED:
            job_history.counted += end.missed_count or 0 if end is not None else 1
        most = trigger.limits.max_runs
        is_used_up = most is not None and job_history.counted >= most
        self.hold(
            most is None or job_history.counted <= most, "at most max_runs occur", new.job_id, most
        )
        self.hold(
            new.next_due_at == (None if is_used_up else next_occurrence(trigger, last)),
            "occurrences follow each other",
            new.job_id,
            last,
            new.next_due_at,
        )

    def _excluded(
        self, trigger: Trigger, old: State, new: State, key: RunKey, end: RunEnd | None
    ) -> bool:
        """Return whether a calendar decided an occurrence. A change before it was due counts."""
        process = self.virtual_time.current
        due = self.virtual_time.seconds(key.due_at) - abs(process.skew)
        verdicts = self.calendars.verdicts(trigger.limits.exclude, max(process.begun_at, due))
        is_passed = new.find(key) is None and (end is None or end.reason is Reason.CALENDAR)
        self.hold(
            is_passed or None in verdicts, "nothing is sent on an excluded day", new.job_id, key
        )
        if not is_passed:
            return False
        self.hold(verdicts != {None}, "only what is excluded is passed over", new.job_id, key)
        is_told = end is None or end.calendar in verdicts
        self.hold(is_told, "a skipped run names its calendar", new.job_id, key)
        is_promised = old.passed_over is None
        self.hold(
            is_promised == (end is not None), "what was promised is recorded", new.job_id, key
        )
        at, skew = next_occurrence(trigger, key.due_at), timedelta(seconds=abs(process.skew))
        while at is not None and at != new.next_due_at:
            is_past = at <= self.virtual_time.now + skew
            self.hold(is_past, "only what has come due is passed over", new.job_id, at)
            at = next_occurrence(trigger, at)
        self.hold(at == new.next_due_at, "occurrences follow each other", new.job_id, at)
        return True

    def _promised(self, trigger: Trigger, old: State | None, new: State) -> None:
        """What clients see as the next time is not on a day that calendars exclude."""
        is_same = old is not None and old.next_due_at == new.next_due_at
        if not trigger.limits.exclude or new.next_due_at is None or is_same:
            return
        verdicts = self.calendars.verdicts(
            trigger.limits.exclude, self.virtual_time.current.begun_at
        )
        is_open = new.passed_over is None
        self.hold(
            None in verdicts if is_open else verdicts != {None},
            "what is promised is not excluded",
            new.job_id,
            new.passed_over,
        )
        until = new.passed_over.until if new.passed_over else None
        self.hold(until is None or until.weekday() == 1, "Monday is passed over", new.job_id, until)

    def _ended(self, job_history: JobHistory, old: State, new: State) -> None:
        """A job is over when its last run is, and ends as that did."""
        if old.status is not Status.ACTIVE or new.status not in (Status.COMPLETED, Status.FAILED):
            return
        keys = {key for key in {*job_history.begun, *job_history.ends} if not key.is_requested}
        present = [key for key in keys if key.generation == new.generation]
        if old.next_due_at is None and not present:
            self.hold(new.status is Status.COMPLETED, "what ends within a pause is completed")
            return
        last = max(present, key=lambda key: key.due_at)
        trigger, end = job_history.definitions[-1][1].trigger, job_history.end_of(last)
        self.hold(end is not None, "a job is over when its last run is", new.job_id, last)
        is_used_up = job_history.counted == trigger.limits.max_runs
        ends_at = (end and job_history.ends.get(last) and job_history.ends[last].last_due_at) or (
            last.due_at
        )
        is_last = is_used_up or next_occurrence(trigger, ends_at) is None
        self.hold(is_last, "a job is over after its last occurrence", new.job_id, last)
        is_asked = last in job_history.ends and job_history.ends[last].reason is Reason.ASKED
        is_skipped = end is RunStatus.SKIPPED and (is_asked or not isinstance(trigger, OneTime))
        is_skipped &= last not in job_history.ends or (
            job_history.ends[last].reason is not Reason.CANCELLED
        )
        is_done = end is RunStatus.SUCCEEDED or is_skipped
        wanted = Status.COMPLETED if is_done else Status.FAILED
        self.hold(new.status is wanted, "a job ends as its last run", new.job_id, new.status, end)

    def _within_bounds(self, job_history: JobHistory, new: State) -> None:
        """What is due is within the bounds, and a whole number of intervals after their start, or
        a job's own offset after a whole minute.
        """
        trigger = job_history.definitions[-1][1].trigger
        ends_at = trigger.limits.ends_at
        if ends_at is not None and new.next_due_at is not None:
            self.hold(new.next_due_at <= ends_at, "nothing is due after its end", new.job_id)
        if isinstance(trigger, Cron) and new.next_due_at is not None:
            share = int(hashlib.sha256(new.job_id.encode()).hexdigest()[:16], 16)
            offset = timedelta(seconds=share * trigger.spread // 2**64)
            is_own = (new.next_due_at - offset).second == 0
            self.hold(is_own, "a job has its own offset", new.job_id, new.next_due_at, offset)
        if isinstance(trigger, Interval) and new.next_due_at is not None:
            behind = (new.next_due_at - trigger.starts_at).total_seconds()
            is_on_grid = behind >= 0 and behind % trigger.every.total_seconds() == 0
            self.hold(is_on_grid, "an interval keeps its seconds", new.job_id, new.next_due_at)

    def _failing(self, job_history: JobHistory, old: State, new: State) -> list[tuple[str, RunKey]]:
        """Failures in a row are counted, and pause a job that has too many.

        Return what channels may be told of.
        """
        job = job_history.definitions[-1][1]
        happened = []
        for run in old.runs:
            end = job_history.ends.get(run.key)
            is_unsent = end is not None and end.reason in (Reason.CANCELLED, Reason.MISFIRE)
            if new.find(run.key) is not None or run.key.is_requested or is_unsent:
                continue
            # `_unbegun` holds what becomes of a date whose run was never sent.
            is_unbegun = end is None and run.waits_for is not None and not run.attempt
            if old.supersedes(run) or is_unbegun:
                continue
            has_failed = job_history.end_of(run.key) is RunStatus.FAILED
            job_history.failed_in_a_row = job_history.failed_in_a_row + 1 if has_failed else 0
            happened.append(("run.failed" if has_failed else "job.recovered", run.key))
            if old.status is Status.ACTIVE and new.status is Status.PAUSED:
                happened.append(("job.paused", run.key))
        row = job_history.failed_in_a_row
        is_paused = old.status is Status.ACTIVE and new.status is Status.PAUSED
        must = job.pause_after is not None and row >= job.pause_after
        if not self.virtual_time.current.name.startswith("api"):
            has_failed = any(event == "run.failed" for event, _ in happened)
            is_active = new.status in (Status.ACTIVE, Status.PAUSED)
            must = must and has_failed and is_active and old.status is Status.ACTIVE
            self.hold(is_paused == must, "a job is paused when it fails too often", new.job_id, row)
            said = (new.pause.reason, new.pause.by) if new.pause else ()
            is_said = said == (FAILING, RESONA)
            self.hold(not must or is_said, "a pause by Resona has its reason", new.job_id)
        elif old.status is Status.PAUSED and new.status is Status.ACTIVE:
            row = job_history.failed_in_a_row = 0
            self.hold(new.pause is None, "what is resumed is not paused", new.job_id)
        shown = new.failing.count if new.failing else 0
        self.hold(shown == row, "failures in a row are counted", new.job_id, shown, row)
        return happened

    def _told_by_channels(
        self,
        job_history: JobHistory,
        new: State,
        happened: list[tuple[str, RunKey]],
        made: list[tuple[str, str, str, bool]],
    ) -> None:
        """Channels are told what they ask for, as they were at some time while this was decided."""
        job = job_history.definitions[-1][1]
        if job.kind is Kind.NOTICE:
            self.hold(not made, "no notice tells of a notice", job.id)
            return
        new_ones = {one[:3] for one in made}
        self.hold(self.told.isdisjoint(new_ones), "nothing is told twice", made)
        self.told |= new_ones
        possible = self._possible_channels()
        is_as_asked = any(
            made == sorted(self._to_be_told(job_history, happened, channels))
            for channels in possible
        )
        self.hold(is_as_asked, "channels are told what they ask for", made, happened)
        now = set(new.failing.told) if new.failing else set()
        added, lost = now - job_history.told_tokens, job_history.told_tokens - now
        names = sorted(name for event, _, name, _ in made if event == "run.failed")
        known = {
            channel["token"]: name for channels in possible for name, channel in channels.items()
        }
        self.hold(
            sorted(known.get(token, token) for token in added) == names,
            "who was told is known",
            made,
            now,
        )
        is_over = any(event == "job.recovered" for event, _ in happened)
        living = [{one["token"] for one in channels.values()} for channels in possible]
        self.hold(
            is_over or not any(all(token in some for some in living) for token in lost),
            "who was told stays told",
            lost,
        )
        job_history.told_tokens = now

    def _to_be_told(
        self,
        job_history: JobHistory,
        happened: list[tuple[str, RunKey]],
        channels: dict[str, dict[str, Any]],
    ) -> Iterator[tuple[str, str, str, bool]]:
        job = job_history.definitions[-1][1]
        for event, key in happened:
            for name, channel in channels.items():
                was_told = channel["token"] in job_history.told_tokens
                is_meant = not channel["label"] or tuple(channel["label"]) in job.labels.items()
                is_long = job_history.failed_in_a_row >= channel["after"]
                if event in channel["events"] and {
                    "run.failed": is_meant and is_long and not was_told,
                    "job.recovered": was_told,
                }.get(event, is_meant):
                    yield event, run_id(job.id, key), name, "digest" in channel

    def _begun(
        self, job_history: JobHistory, old: State | None, run: UnfinishedRun, new: State
    ) -> None:
        self.hold(run.key not in job_history.begun, "a run begins once", run.key)
        job_history.begun.add(run.key)
        if run.key.is_requested:
            self.hold(run.attempt == 0, "a requested run is queued first", run.key)
            self.virtual_time.current.queued.append(run.key)
            self._retried(job_history, run.key, new)
            return
        self.hold(
            old is not None and old.status is Status.ACTIVE, "only an active job fires", run.key
        )
        assert old is not None
        self.hold(
            run.key.generation == old.generation == new.generation,
            "only the present generation fires",
            run.key,
            new.generation,
        )
        self.hold(
            run.key.due_at == old.next_due_at,
            "what fires is what is due next",
            run.key,
            old.next_due_at,
        )
        self.hold(
            self.virtual_time.now
            >= run.key.due_at - timedelta(seconds=abs(self.virtual_time.current.skew)),
            "nothing fires early",
            run.key,
        )
        is_held = run.waits_for is not None
        self.hold(is_held or run.attempt == 1, "a run begins with its first attempt", run.key)
        self.hold(old.skips == 0, "nothing is sent that is to be skipped", run.key, old.skips)
        definition = job_history.defined(new.generation)
        if definition.misfire_grace is not None:
            late = (
                self.virtual_time.now
                - run.key.due_at
                - timedelta(seconds=abs(self.virtual_time.current.skew) + 1)
            )
            self.hold(
                late <= definition.misfire_grace or self.virtual_time.current.was_slow,
                "nothing is sent after its grace",
                run.key,
                late,
            )
        if definition.overlap is Overlap.SKIP:
            others = [
                other
                for other in old.runs
                if not other.key.is_requested and (other.awaited or not old.supersedes(other))
            ]
            self.hold(not others, "what must not overlap does not", run.key, others)
        if is_held:
            self._held(job_history, None, run, new)
        else:
            self.flows.claimed(job_history.definitions[-1][1], run)
            self.lines.claimed(job_history.definitions[-1][1], run)
            self.executors.claimed(job_history.definitions[-1][1], None, run)
            self._claimed(job_history, run, run.key.due_at + run.waited, new)

    def _retried(self, job_history: JobHistory, key: RunKey, new: State) -> None:
        """A retry begins when the run that it retries is over, and went wrong or was cancelled."""
        origin = key.retry_of
        if origin is None:
            return
        end = job_history.ends.get(origin)
        went_wrong = job_history.end_of(origin) in (RunStatus.FAILED, RunStatus.MISSED)
        is_cancelled = end is not None and end.reason is Reason.CANCELLED
        self.hold(went_wrong or is_cancelled, "what is retried went wrong", key)
        self.hold(new.find(origin) is None, "what is retried is over", key)

    def _claimed(
        self, job_history: JobHistory, run: UnfinishedRun, due_at: datetime, new: State
    ) -> None:
        self.hold(
            (run.key, run.attempt) not in job_history.claims,
            "an attempt is claimed once",
            run.key,
            run.attempt,
        )
        self.hold(
            job_history.end_of(run.key) is None, "a run that has ended is not claimed", run.key
        )
        policy = job_history.defined(run.generation).retry
        self.hold(
            run.attempt <= policy.max_attempts,
            "at most max_attempts attempts",
            run.key,
            run.attempt,
        )
        assert run.lease_until is not None
        process = self.virtual_time.current
        job_history.claims[run.key, run.attempt] = Claim(
            process, run, due_at, self.virtual_time.seconds(run.lease_until) - process.skew
        )
        process.owns.add((new.job_id, str(run.key), run.attempt))
        completion, awaited = job_history.defined(run.generation).completion, run.awaited
        wanted = completion.deadline if completion else None
        is_awaited = (awaited.until - awaited.since if awaited else None) == wanted
        self.hold(is_awaited, "a claim awaits what its job asks for", run.key, awaited)
        if awaited is not None:
            self.words.untils[new.job_id, run.key, run.attempt] = awaited.until

    def _run(
        self,
        job_history: JobHistory,
        old: State,
        before: UnfinishedRun,
        after: UnfinishedRun | None,
        new: State,
        ends: list[RunEnd],
    ) -> None:
        is_users = new.generation == old.generation + 1 and before.generation == old.generation
        is_date = isinstance(job_history.defined(before.generation).trigger, OneTime)
        is_unsent = before.waits_for is not None and not before.attempt
        if is_users and is_date and is_unsent and not before.key.is_requested:
            self.hold(after is None, "what was not sent is due again", before.key)
        if after == before:
            return
        self.words.changed((new.job_id, before.key, before.attempt), before, after)
        if before.owner is not None and (after is None or after.owner != before.owner):
            self._left(job_history, before, after, new)
        if after is None:
            self._gone(job_history, old, before, new, ends)
        elif after.owner is not None and after.owner != before.owner:
            self.hold(before.owner is None, "a claim never takes what another owns", before.key)
            self.hold(after.attempt == before.attempt + 1, "attempts count up", before.key)
            self.hold(
                not old.supersedes(before), "nothing superseded is sent", before.key, old.generation
            )
            self.hold(
                old.status is not Status.PAUSED or before.key.is_requested,
                "nothing of a paused job is sent",
                before.key,
            )
            trigger = job_history.defined(old.generation).trigger
            self.backfills.claimed(trigger, before, old)
            self.hold(
                new.next_due_at == old.next_due_at, "a retry's claim advances nothing", before.key
            )
            wait = before.next_attempt_at
            early = timedelta(seconds=abs(self.virtual_time.current.skew) + 0.001)
            self.hold(
                wait is not None and self.virtual_time.now >= wait - early,
                "a retry waits its pause",
                before.key,
                wait,
            )
            assert wait is not None
            self.flows.claimed(job_history.definitions[-1][1], after)
            self.lines.claimed(job_history.definitions[-1][1], after)
            self._within_grace(job_history, before, new)
            self.executors.claimed(job_history.definitions[-1][1], before, after)
            self._claimed(job_history, after, wait, new)
        elif after.waits_for is not None and not new.supersedes(after):
            self._held(job_history, before, after, new)

    def _left(
        self,
        job_history: JobHistory,
        before: UnfinishedRun,
        after: UnfinishedRun | None,
        new: State,
    ) -> None:
        """An attempt was finished: by its owner, or by whoever came after its lease."""
        claim = job_history.claims[before.key, before.attempt]
        is_owner = claim.process is self.virtual_time.current
        has_word = (new.job_id, before.key, before.attempt) in self.words.records
        is_over = self.virtual_time.time >= claim.lease_ends
        self.hold(
            is_owner or is_over or has_word,
            "nobody else finishes before the lease is over",
            before.key,
            before.attempt,
        )
        record = job_history.records.get((before.key, before.attempt))
        self.hold(
            record is not None, "the record comes before the finish", before.key, before.attempt
        )
        assert record is not None
        late = self.virtual_time.now - record.finished_at
        is_soon = not self.is_fine or late < timedelta(seconds=3)
        self.hold(is_soon, "on a fine day an end is stored soon", before.key, late)
        if after is not None:
            self.hold(
                record.update.status
                is (RunStatus.WAITING if after.is_waiting else RunStatus.RETRYING),
                "state and record agree",
                before.key,
                record.update,
            )

    def _gone(
        self,
        job_history: JobHistory,
        old: State,
        run: UnfinishedRun,
        new: State,
        ends: list[RunEnd],
    ) -> None:
        end = next((end for end in ends if end.key == run.key), None)
        if end is not None and end.reason is Reason.CALENDAR:
            trigger = job_history.defined(old.generation).trigger
            self.backfills.excluded(trigger, run, end)
            return
        if end is not None:
            self._closed(job_history, old, run, end)
            return
        if run.waits_for is not None and not run.attempt and old.next_due_at is None:
            self._unbegun(job_history, old, run, new)
            return
        record = job_history.records.get((run.key, run.attempt))
        self.hold(
            record is not None and record.update.status in ENDED,
            "a run that goes has its end on record",
            run.key,
        )
        assert record is not None
        self._judge(job_history, old, run, record)

    def _unbegun(self, job_history: JobHistory, old: State, run: UnfinishedRun, new: State) -> None:
        """A date whose run was never sent is due again for a change or a pause of the job."""
        is_users = new.generation == old.generation + 1 and run.generation == old.generation
        trigger = job_history.defined(new.generation).trigger
        is_due = new.next_due_at is not None and (
            new.next_due_at == run.key.due_at
            or trigger != job_history.defined(old.generation).trigger
        )
        self.hold(is_users and is_due, "what was not sent is due again", run.key, new.next_due_at)

    def _closed(self, job_history: JobHistory, old: State, run: UnfinishedRun, end: RunEnd) -> None:
        self.hold(run.owner is None, "no run is closed that is in flight", run.key)
        if end.reason is Reason.CANCELLED:
            status = RunStatus.FAILED if run.attempt else RunStatus.SKIPPED
            self.hold(end.status is status, "a cancelled run ends as it stood", run.key, end.status)
            return
        if end.reason is Reason.MISFIRE:
            self._missed_its_place(job_history, old, run)
            return
        self.hold(end.reason is Reason.SUPERSEDED, "only what is superseded is closed", run.key)
        was_sent = run.attempt or run.waits_for is None
        is_skipped = end.status is RunStatus.SKIPPED
        self.hold(is_skipped != bool(was_sent), "what was held is skipped", run.key, end.status)
        if run.key.is_backfilled:
            is_over = old.backfill is None or old.backfill.token != run.key.backfill
            self.hold(is_over, "what is closed was superseded", run.key)
            return
        present = old.defined_in if run.key.is_requested else old.generation
        self.hold(run.generation != present, "what is closed was superseded", run.key)

    def _held(
        self,
        job_history: JobHistory,
        before: UnfinishedRun | None,
        run: UnfinishedRun,
        new: State,
    ) -> None:
        """A run is held for a place that is not too late for it, and again if it lost that: by a
        change of the flow, or by an outage.
        """
        job = job_history.definitions[-1][1]
        if run.line is not None:
            if before is None or before.line != run.line:
                self.lines.held(job, before, run)
            return
        if before is not None and before.line is not None and not run.series:
            self.lines.left(before)
            self._released(before, run)
            return
        was_held = before is not None and before.waits_for is not None
        if was_held and before and before.next_attempt_at == run.next_attempt_at:
            return
        is_lost = (
            before is None
            or Wait.SHARE in (before.waits_for, run.waits_for)
            or self.flows.is_lost(before, job_history.definitions[-1][1])
        )
        self.hold(not was_held or is_lost, "what has its place is sent then", run.key)
        self.flows.held(job_history.definitions[-1][1], before, run)
        if run.waits_for is Wait.SHARE:
            self.executors.held(before, run)
        too_late = self._too_late(job_history, run, new)
        assert run.next_attempt_at is not None
        is_in_time = run.attempt or too_late is None or run.next_attempt_at <= too_late
        self.hold(bool(is_in_time), "what is held is sent within its grace", run.key)
        self.hold(bool(run.attempt or run.waited), "a wait is counted", run.key)

    def _released(self, before: UnfinishedRun, run: UnfinishedRun) -> None:
        """A run that leaves its line is due at once, and nothing else of it changes."""
        at, now = run.next_attempt_at, self.virtual_time.now
        skew = timedelta(seconds=abs(self.virtual_time.current.skew) + 1)
        is_at_once = at is not None and (at - now <= skew or self.virtual_time.current.was_slow)
        self.hold(is_at_once, "who leaves a line is due at once", run.key, at)
        self.hold(run.attempt == before.attempt, "no attempt is spent by waiting", run.key)

    def _within_grace(self, job_history: JobHistory, before: UnfinishedRun, new: State) -> None:
        if before.waits_for is None or before.attempt:
            return
        too_late = self._too_late(job_history, before, new)
        skew = timedelta(seconds=abs(self.virtual_time.current.skew) + 1)
        is_in_time = too_late is None or self.virtual_time.now - skew <= too_late
        is_slow = self.virtual_time.current.was_slow
        self.hold(is_in_time or is_slow, "nothing is sent after its grace", before.key)

    def _too_late(
        self, job_history: JobHistory, run: UnfinishedRun, state: State
    ) -> datetime | None:
        """Return from when on a run is missed that was never sent, None if it never is."""
        job = job_history.defined(run.generation)
        if run.key.is_requested:
            return None
        if job.misfire_grace is not None:
            return run.key.due_at + job.misfire_grace
        scheduled = [one.key.due_at for one in state.runs if not one.key.is_requested]
        is_last = (
            state.next_due_at is None and max(scheduled, default=run.key.due_at) <= run.key.due_at
        )
        return (
            None
            if is_last or isinstance(job.trigger, OneTime)
            else next_occurrence(job.trigger, run.key.due_at)
        )

    def _missed_its_place(self, job_history: JobHistory, old: State, run: UnfinishedRun) -> None:
        """A held run that was never sent is missed when it has waited too long."""
        is_held = run.waits_for is not None and not run.attempt and not run.key.is_requested
        self.hold(is_held, "only what was held is missed", run.key)
        too_late = self._too_late(job_history, run, old)
        now = self.virtual_time.now + timedelta(seconds=abs(self.virtual_time.current.skew))
        is_late = too_late is not None and too_late <= now
        # Its flow may have become slower since it got its place, which is given anew then.
        job = job_history.defined(run.generation)
        is_late |= too_late is not None and self.flows.refuses(job, too_late)
        self.hold(is_late, "what is missed was too late", run.key)

    def _judge(
        self, job_history: JobHistory, old: State, run: UnfinishedRun, record: Attempt
    ) -> None:
        """A run that failed has a reason to."""
        outcome, update = record.result.outcome, record.update
        if update.status is RunStatus.SUCCEEDED:
            self.hold(outcome is Outcome.SUCCESS, "success is what was answered", run.key)
            return
        self.hold(outcome is not Outcome.SUCCESS, "what succeeded has not failed", run.key)
        if update.reason is Reason.SUPERSEDED:
            self.hold(old.supersedes(run), "what is superseded was changed", run.key)
            return
        policy = job_history.defined(run.generation).retry
        if not is_retried(policy, record.result) or not self.words.retries(record):
            return
        self.hold(
            run.attempt >= policy.max_attempts,
            "retries are not given up early",
            run.key,
            run.attempt,
        )

    def sends(self, job_id: str, key: RunKey, attempt: int, marker: str, until: float) -> Sent:
        """Take in that a request goes out now."""
        job_history = self.job_history(job_id)
        process = self.virtual_time.current
        self.hold(
            (job_id, key, attempt) not in self.sent,
            "no attempt is sent twice",
            run_id(job_id, key),
            attempt,
        )
        self.hold(
            (job_id, str(key), attempt) in process.owns,
            "only the owner sends",
            run_id(job_id, key),
            attempt,
        )
        self.hold(
            (job_id, key) not in self.cancelled,
            "nothing of a cancelled run is sent",
            run_id(job_id, key),
        )
        claim = job_history.claims[key, attempt]
        self.hold(
            until <= claim.lease_ends,
            "an attempt is sent within its lease",
            run_id(job_id, key),
            attempt,
        )
        wanted = job_history.defined(claim.run.generation).request.body
        if (window := self.windows.get(job_id)) is not None:
            self.hold(window.body in (None, marker), "a digest stays as it was sent", job_id)
            self.hold(window.is_told_by(marker), "a digest tells all", job_id, window.told, marker)
            wanted = window.body = marker
        self.hold(
            wanted == marker,
            "request and run are of one generation",
            run_id(job_id, key),
            wanted,
            marker,
        )
        if self.is_fine:
            late = (self.virtual_time.now - claim.due_at).total_seconds()
            self.hold(
                late < 1.5, "on a fine day nothing is late", run_id(job_id, key), attempt, late
            )
        sent = Sent(job_id, key, attempt, self.virtual_time.time, until)
        self.sent[job_id, key, attempt] = sent
        self.lines.sends(sent)
        job = job_history.definitions[-1][1]
        self.breakers.sends(job, str(claim.run.owner), sent, is_fine=self.is_fine)
        return sent

    def rest(self, now: datetime) -> list[str]:
        """Return what is still to be settled: empty when everything has come to rest, and for the
        next seconds stays so.
        """
        found = self.lines.rest()
        for job_id, job_history in self.job_histories.items():
            if job_history.is_deleted or not job_history.states:
                continue
            state = job_history.states[-1]
            found += [f"{job_id} {run.key} is unfinished" for run in state.runs]
            if state.next_run_time is not None and state.next_run_time < now + timedelta(
                seconds=10
            ):
                found.append(f"{job_id} is due at {state.next_run_time}")
            if state.paused_until is not None and state.paused_until < now + timedelta(seconds=10):
                found.append(f"{job_id} is paused until {state.paused_until}")
        return found

    def ended(self, schedules: dict[str, Any], jobs: Iterable[tuple[str, ...]]) -> None:
        """Hold the end, when everything has come to rest, against the promises.

        `jobs` are the keys of the job table.
        """
        there = {key[0] for key in jobs}
        self.lines.ended(is_fine=self.is_fine)
        named = {key for key in jobs if key[0].startswith("calendar#")}
        naming = {
            (f"calendar#local#{name}", job_id)
            for job_id, job_history in self.job_histories.items()
            if job_history.states and not job_history.is_deleted
            for name in job_history.definitions[-1][1].trigger.limits.exclude
        }
        self.hold(named == naming, "who names a calendar is known", named ^ naming)
        for job_id, window in self.windows.items():
            notice = self.job_history(job_id)
            waits = notice.is_deleted or notice.states[-1].next_run_time is not None
            self.hold(window.body is not None or waits, "a digest is sent", job_id)
        for job_id, job_history in self.job_histories.items():
            self.hold(
                not job_history.is_deleted or job_id not in there,
                "nothing is left of a deleted job",
                job_id,
            )
            if job_history.is_deleted or not job_history.states:
                continue
            for key, attempt in job_history.claims:
                self.hold(
                    (key, attempt) in job_history.records,
                    "every claimed attempt is on record",
                    job_id,
                    key,
                    attempt,
                )
                self.hold(job_history.end_of(key) is not None, "every run has ended", job_id, key)
            state = job_history.states[-1]
            self.backfills.ended(state)
            if state.status is Status.ACTIVE:
                self.hold(state.next_due_at is not None, "a job that is over has a status", job_id)
            step_at = state.next_run_time or state.paused_until
            is_far = step_at is not None and step_at - self.virtual_time.now > timedelta(minutes=4)
            if is_far and state.token is not None:
                self.hold(
                    f"{job_id}-{state.token}" in schedules,
                    "a job that carries a schedule has it",
                    job_id,
                )
