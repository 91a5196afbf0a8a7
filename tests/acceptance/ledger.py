"""Record what the API acknowledged for each job, and compare it with the requests that arrived."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.acceptance.laptop import Laptop
from tests.acceptance.receivers import Got, Receiver

ON_THE_WIRE = timedelta(seconds=2)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Said:
    """What a job is, as far as its client was told. Its URL ends with the version."""

    version: int = 1
    paused: bool = False
    deleted: bool = False


@dataclass
class Stop:
    """Nothing scheduled of these versions may be sent between the two instants."""

    versions_to: int
    since: datetime
    until: datetime | None = None
    is_pause: bool = False

    def forbids(self, version: int, at: datetime) -> bool:
        return (
            version <= self.versions_to
            and self.since + ON_THE_WIRE < at
            and (self.until is None or at < self.until)
        )


@dataclass
class Entry:
    """A job that was acknowledged.

    `doubt` is what it may be instead, when the answer to a change did not come.
    """

    id: str
    path: str
    is_cron: bool
    created: Any
    said: Said
    said_at: datetime
    asked_at: datetime
    doubt: Said | None = None
    stops: list[Stop] = field(default_factory=list)
    manual_runs: list[str] = field(default_factory=list)

    def note(self, after: Said) -> None:
        """Take what was acknowledged just now."""
        before, now = self.said, datetime.now(UTC)
        if after.version > before.version or after.deleted:
            self.stops.append(Stop(before.version, now))
        if after.paused and after != before:
            self.stops.append(Stop(after.version, now, is_pause=True))
        if before.paused and not after.paused:
            for stop in self.stops:
                stop.until = self.asked_at if stop.is_pause and stop.until is None else stop.until
        self.said, self.said_at, self.doubt = after, now, None

    def found_in(self, shown: Any) -> Said:
        """Return what the job is by what its path shows: itself, or that there is none."""
        if shown["status"] == 404:
            return Said(self.said.version, self.said.paused, deleted=True)
        return Said(
            int(shown["request"]["url"].rpartition("/")[2]), paused=shown["status"] == "paused"
        )


@dataclass
class Outcome:
    """What came of it all. `wrong` has a sentence for each broken promise."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def judge(entries: Iterable[Entry], laptop: Laptop, receiver: Receiver, seconds: float) -> Outcome:
    """Compare every entry with what is kept and with what the receiver got, once all is quiet or so
    many seconds have passed.
    """
    outcome = Outcome()
    until = time.monotonic() + seconds
    by_job: dict[str, list[Got]] = defaultdict(list)
    known = {entry.id: entry for entry in entries}
    shown = {entry.id: _when_quiet(entry, laptop, until) for entry in known.values()}
    for got in list(receiver.got):
        by_job[got.headers["Resona-Job-Id"]].append(got)
    for stranger in by_job.keys() - known.keys():
        outcome.wrong.append(f"{stranger} was sent, and nobody was told of it")
    for entry in known.values():
        outcome.counts["jobs"] += 1
        _judge_kept(entry, *shown[entry.id], by_job[entry.id], outcome)
        _judge_sent(entry, by_job[entry.id], outcome)
    return outcome


def _when_quiet(entry: Entry, laptop: Laptop, until: float) -> tuple[Any, list[Any]]:
    while True:
        job, runs = laptop.get(f"/jobs/{entry.id}"), laptop.get(f"/jobs/{entry.id}/runs?limit=100")
        if job["status"] == 404:
            return job, []
        due_at = job["next_run_time"]
        # An active job that is not due any more was read while its run was out, though the runs,
        # read later, have all ended.
        is_due = job["status"] == "active" and (
            due_at is None or datetime.fromisoformat(due_at) <= datetime.now(UTC)
        )
        if (not is_due and all(run["finished_at"] for run in runs)) or time.monotonic() > until:
            return job, runs
        time.sleep(0.2)


def _judge_kept(entry: Entry, job: Any, runs: list[Any], sent: list[Got], outcome: Outcome) -> None:
    found = entry.found_in(job)
    if found != entry.said:
        outcome.counts["lost"] += 1
        outcome.wrong.append(
            f"{entry.path}: {entry.said} was acknowledged at {entry.said_at}, and it is {found}"
        )
        return
    if found.deleted:
        outcome.counts["deleted"] += 1
        return
    outcome.counts["unknown attempts"] += sum(
        attempt["outcome"] == "unknown" for run in runs for attempt in run["attempts"]
    )
    outcome.wrong += [
        f"{entry.path}: {run['id']} is still {run['status']}"
        for run in runs
        if not run["finished_at"]
    ]
    on_record = {run["id"]: run for run in runs}
    ids_sent = {got.headers["Resona-Run-Id"] for got in sent}
    for run_id in entry.manual_runs:
        _judge_fired(
            entry,
            "manual run",
            run_id if run_id in ids_sent else None,
            on_record.get(run_id),
            outcome,
        )
    scheduled = [run for run in runs if run["cause"] == "schedule"]
    if found.paused:
        outcome.counts["paused"] += 1
    elif entry.is_cron:
        _judge_cron(entry, job, scheduled, outcome)
    elif job["status"] == "active":
        is_waiting = job["next_run_time"] is not None and datetime.fromisoformat(
            job["next_run_time"]
        ) > datetime.now(UTC)
        outcome.counts["not due yet"] += 1
        outcome.wrong += (
            []
            if is_waiting
            else [f"{entry.path}: was due at {job['next_run_time']}, and nothing came of it"]
        )
    else:
        path = f"{entry.path}/{found.version}"
        ids = {
            got.headers["Resona-Run-Id"] for got in sent if got.path == path and not _is_manual(got)
        }
        newest = scheduled[0] if scheduled else None
        _judge_fired(entry, "job", next(iter(ids), None), newest, outcome)


def _judge_fired(entry: Entry, what: str, run_id: str | None, run: Any, outcome: Outcome) -> None:
    if run_id is not None:
        outcome.counts[f"{what}s fired"] += 1
    elif run is not None and run["status"] != "succeeded":
        outcome.counts[
            f"{what}s with a record that says why not: {run['status']} {run['reason']}"
        ] += 1
    else:
        outcome.counts["lost"] += 1
        outcome.wrong.append(
            f"{entry.path}: a {what} was acknowledged, and it neither fired nor says why: {run}"
        )


def _judge_cron(entry: Entry, job: Any, runs: list[Any], outcome: Outcome) -> None:
    covered = set()
    for run in runs:
        at, last = (
            datetime.fromisoformat(run.get(name, run["scheduled_time"]))
            for name in ("scheduled_time", "last_scheduled_time")
        )
        while at <= last:
            covered.add(at)
            at += MINUTE
    at = datetime.fromisoformat(entry.created["next_run_time"])
    while at < datetime.fromisoformat(job["next_run_time"]):
        outcome.counts["occurrences of crons on record"] += 1
        if at not in covered:
            outcome.counts["lost"] += 1
            outcome.wrong.append(f"{entry.path}: its occurrence at {at} is not on record")
        at += MINUTE


def _judge_sent(entry: Entry, sent: list[Got], outcome: Outcome) -> None:
    by_run: dict[str, list[Got]] = defaultdict(list)
    by_occurrence: dict[tuple[str, str], set[str]] = defaultdict(set)
    for got in sent:
        run_id = got.headers["Resona-Run-Id"]
        by_run[run_id].append(got)
        if got.headers["Idempotency-Key"] != run_id:
            outcome.wrong.append(
                f"{run_id} was sent with the Idempotency-Key {got.headers['Idempotency-Key']}"
            )
        if _is_manual(got):
            continue
        occurrence = got.headers["Resona-Scheduled-Time"] if entry.is_cron else got.path
        by_occurrence[(entry.path, occurrence)].add(run_id)
        version = int(got.path.rpartition("/")[2])
        if any(stop.forbids(version, got.at) for stop in entry.stops):
            outcome.wrong.append(f"{entry.path}: {run_id} came at {got.at} against {entry.stops}")
    outcome.wrong += [
        f"{where}: one occurrence, two runs: {ids}"
        for where, ids in by_occurrence.items()
        if len(ids) > 1
    ]
    for run_id, requests in by_run.items():
        attempts = Counter(got.headers["Resona-Attempt"] for got in requests)
        outcome.counts["requests received"] += len(requests)
        outcome.counts["runs received"] += 1
        outcome.counts["runs doubled: answered 200 more than once"] += (
            sum(got.status == 200 for got in requests) > 1
        )
        outcome.wrong += [
            f"{run_id}: attempt {number} came {count} times"
            for number, count in attempts.items()
            if count > 1
        ]


def _is_manual(got: Got) -> bool:
    # A run's id is run_<job>-<ULID> if somebody asked for it, else run_<job>-<generation>-<time>.
    return got.headers["Resona-Run-Id"].count("-") == 1
