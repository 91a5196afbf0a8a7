"""Clients that act at random, and check answers against what was acknowledged before."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from chalicelib.domain.errors import RunNotFound
from chalicelib.domain.ids import run_id, run_key
from chalicelib.domain.job import Kind
from chalicelib.domain.run import Reason
from chalicelib.domain.state import State, Status
from tests.simulation import calendars
from tests.simulation.deployment import Answer, Deployment
from tests.simulation.observer import Violation
from tests.simulation.virtual_time import Process
from tests.simulation.words import prompt_plan

MOST_JOBS = 4
# The statuses of runs that may be retried, and of those that may be cancelled.
WRONG, WAITING = ("failed", "missed"), ("queued", "retrying", "waiting")
FLOWS = ("slow", "host:example.com")
CALLBACKS = {status: {"url": f"https://example.com/{status}"} for status in ("succeeded", "failed")}


@dataclass
class Acknowledged:
    """What a client has been told: which jobs there are, which were deleted, and when."""

    created_at: dict[str, float] = field(default_factory=dict)
    delete_begun: dict[str, float] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    by_key: dict[str, set[str]] = field(default_factory=dict)
    runs_by_key: dict[str, set[str]] = field(default_factory=dict)
    backfills_by_key: dict[str, set[str]] = field(default_factory=dict)
    retries: dict[str, set[str]] = field(default_factory=dict)
    """By job: the runs that retry others."""
    runners: dict[str, list[Process]] = field(default_factory=dict)
    """By key: the processes that were asked for a run under it.

    A request without a key has one of its own.
    """


class Clients:
    """Clients of one deployment. Each step of each is held against what was acknowledged."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.virtual_time = deployment.virtual_time
        self.acknowledged = Acknowledged()
        self._bodies = 0

    def hold(self, holds: bool, promise: str, *facts: object) -> None:
        if not holds:
            raise Violation(
                f"{promise}: {', '.join(map(str, facts))} at {self.virtual_time.time:.3f}"
            )

    def body(self) -> str:
        """Return a request body that no other request has: it tells which definition was sent."""
        self._bodies += 1
        return f"m{self._bodies}"

    def draft(self, trigger: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """Return a job to register."""
        request = {"url": "https://example.com/hook", "body": self.body()}
        return {"name": "job", "request": request, "trigger": trigger, "timeout": 5, **fields}

    def create(self, draft: dict[str, Any], key: str | None = None) -> str | None:
        """Register a job and return its id; with a key, ask until there is an answer."""
        headers = {"idempotency-key": key} if key else {}
        for _ in range(6 if key else 1):
            answer, process = self.deployment.ask("POST", "/jobs", draft, headers)
            if answer is not None and answer[0] == 201:
                return self._created(answer, process, key)
            # The end may have come meanwhile.
            # Or the calendar is not there.
            is_sure = {"ends_at", "exclude"}.isdisjoint(draft["trigger"])
            may_fail = (503, 409) if is_sure else (503, 409, 422)
            self.hold(answer is None or answer[0] in may_fail, "a job can be registered", answer)
            self.virtual_time.wait(1)
        return None

    def _created(self, answer: Answer, process: Process, key: str | None) -> str:
        job_id = str(answer[2]["id"])
        self.acknowledged.created_at.setdefault(job_id, self.virtual_time.time)
        is_replay = answer[1].get("Idempotency-Replayed") == "true"
        job_history = self.deployment.observer.job_histories.get(job_id)
        self.hold(
            job_history is not None and bool(job_history.states),
            "a job that was acknowledged is stored",
            job_id,
        )
        self.hold(
            is_replay or any(state.job_id == job_id for state in process.committed),
            "an acknowledgement comes after the write",
            job_id,
        )
        if key:
            self.acknowledged.by_key.setdefault(key, set()).add(job_id)
            self.hold(
                len(self.acknowledged.by_key[key]) == 1,
                "one Idempotency-Key is one job",
                key,
                self.acknowledged.by_key[key],
            )
        return job_id

    def ask(
        self,
        method: str,
        job_id: str,
        action: str = "",
        body: object = None,
        key: str | None = None,
    ) -> Answer | None:
        """Do something to a job, and hold what is acknowledged against what is stored."""
        begun = self.virtual_time.now
        job_history = self.deployment.observer.job_history(job_id)
        before = len(job_history.states)
        if method == "DELETE" and not action:
            self.acknowledged.delete_begun.setdefault(job_id, self.virtual_time.time)
        path = f"/jobs/{job_id}{action}"
        answer, process = self.deployment.ask(
            method, path, body, {"idempotency-key": key} if key else {}
        )
        if action == "/run":
            self.acknowledged.runners.setdefault(f"{job_id} {key or process.name}", []).append(
                process
            )
        if answer is None:
            return None
        status = answer[0]
        # The end of a pause may have come meanwhile.
        may_be_late = (422,) if action == "/pause" and body else ()
        self.hold(
            status in (200, 201, 202, 204, 404, 409, 503, *may_be_late),
            "an answer that is documented",
            path,
            answer,
        )
        if status == 404:
            # A run that was not sent goes with its trigger.
            is_run = action.startswith("/runs/") and answer[2]["detail"] == str(RunNotFound())
            self.hold(
                job_id in self.acknowledged.delete_begun
                or (is_run and job_history.has_dropped(run_key(job_id, action.split("/")[2]))),
                "an acknowledged job is not lost",
                job_id,
            )
        if method == "DELETE" and status == 204:
            self.acknowledged.deleted.add(job_id)
            self.hold(job_history.is_deleted, "an acknowledged delete is done", job_id)
        for old, new in process.redefined:
            fields = [
                name
                for name in ("name", "request", "trigger", "retry")
                if not isinstance(body, dict) or name not in body
            ]
            lost = [name for name in fields if getattr(old, name) != getattr(new, name)]
            self.hold(not lost, "no update undoes another", job_id, lost)
        since = job_history.states[max(0, before - 1) :]
        if status == 200 and method in ("POST", "PATCH"):
            self._changed(action, since, answer, body)
        if status == 200 and action == "/pause":
            skew = timedelta(seconds=abs(process.skew))
            ends = [state.paused_until for state in since if state.status is Status.PAUSED]
            holds = any(end is None or end > begun - skew for end in ends)
            self.hold(holds, "an acknowledged pause has not ended before", job_id, ends)
        if status == 202:
            self._queued(answer, job_id, key)
        return answer

    def _changed(self, action: str, since: list[State], answer: Answer, body: object) -> None:
        job_id = since[0].job_id
        stored = {f'"{job_id.removeprefix("job_")}-{state.revision}"' for state in since}
        self.hold(
            answer[1]["ETag"] in stored,
            "what is acknowledged is stored",
            job_id,
            action,
            answer[1]["ETag"],
        )
        wanted = {"/pause": Status.PAUSED, "/resume": Status.ACTIVE}.get(action)
        if wanted is not None:
            self.hold(
                any(state.status is wanted for state in since),
                "an acknowledged pause or resume is stored",
                job_id,
                action,
            )
            self._paused_as_asked(since, body)
            return
        if action == "/skip" and isinstance(body, dict):
            is_stored = any(state.skips == body["count"] for state in since)
            self.hold(is_stored, "an acknowledged skip is stored", job_id, body)
            return
        if isinstance(body, dict) and "request" in body:
            bodies = [
                definition.request.body
                for _, definition in self.deployment.observer.job_history(job_id).definitions
            ]
            self.hold(
                body["request"]["body"] in bodies, "an acknowledged request is stored", job_id
            )

    def _paused_as_asked(self, since: list[State], body: object) -> None:
        if not isinstance(body, dict):
            return
        until = datetime.fromisoformat(body["until"]) if body.get("until") else None
        wanted = (until, body.get("reason"))
        pauses = [(one.pause.until, one.pause.reason) for one in since if one.pause]
        self.hold(wanted in pauses, "an acknowledged pause is stored", since[0].job_id, wanted)

    def ends_in(self, seconds: float) -> str:
        """Return the end of a pause that is so many seconds long, rounded down to a second."""
        until = self.virtual_time.now + timedelta(seconds=seconds)
        return until.replace(microsecond=0).isoformat()

    def _queued(self, answer: Answer, job_id: str, key: str | None) -> None:
        identifier = str(answer[2]["id"])
        if key:
            self.acknowledged.runs_by_key.setdefault(key, set()).add(identifier)
            self.hold(
                len(self.acknowledged.runs_by_key[key]) == 1, "one Idempotency-Key is one run", key
            )
        if answer[1].get("Idempotency-Replayed") != "true":
            begun = self.deployment.observer.job_history(job_id).begun
            self.hold(
                run_key(job_id, identifier) in begun, "an acknowledged run is stored", identifier
            )

    def runs(self, job_id: str, statuses: Sequence[str]) -> list[str]:
        """Return the ids of a job's newest runs with these statuses; none without an answer."""
        answer = self.ask("GET", job_id, "/runs")
        listed = answer[2] if answer is not None and answer[0] == 200 else []
        return [run["id"] for run in listed if run["status"] in statuses]

    def retry(self, job_id: str, identifier: str, key: str | None = None) -> Answer | None:
        """Retry a run: what is acknowledged is the one run that retries it."""
        answer = self.ask("POST", job_id, f"/runs/{identifier}/retry", key=key)
        if answer is not None and answer[0] == 202:
            wanted = run_id(job_id, run_key(job_id, identifier).retried_by)
            self.hold(answer[2]["id"] == wanted, "a run has one retry", answer[2]["id"], wanted)
            self.acknowledged.retries.setdefault(job_id, set()).add(wanted)
        return answer

    def backfill(
        self,
        job_id: str,
        minutes: int = 3,
        key: str | None = None,
        until: datetime | None = None,
    ) -> Answer | None:
        """Backfill the minutes until a time, by default now.

        What is acknowledged has begun, with so many runs.
        """
        end = (until or self.virtual_time.now).replace(microsecond=0)
        past = {"from": (end - timedelta(minutes=minutes)).isoformat(), "to": end.isoformat()}
        known = (202, 404, 409, 422, 503)
        answer, process = self._of_backfill("POST", job_id, past, key, known)
        if key:
            tokens = self.acknowledged.backfills_by_key.setdefault(key, set())
            tokens |= {state.backfill.token for state in process.committed if state.backfill}
            self.hold(len(tokens) <= 1, "one Idempotency-Key is one backfill", key, tokens)
        if answer is not None and answer[0] == 202:
            is_replay = answer[1].get("Idempotency-Replayed") == "true"
            begun = [state.backfill for state in process.committed if state.backfill]
            self.hold(
                is_replay or any(one.runs == answer[2]["runs"] for one in begun),
                "an acknowledgement comes after the write",
                job_id,
                answer[2],
            )
        return answer

    def end_backfill(self, job_id: str) -> Answer | None:
        """End a backfill: after the answer nothing of it is sent."""
        states = self.deployment.observer.job_history(job_id).states
        before = states[-1].backfill
        answer, _ = self._of_backfill("DELETE", job_id, None, None, (204, 404, 409, 503))
        if answer is not None and answer[0] == 204 and before is not None:
            now = states[-1].backfill
            is_over = now is None or now.token != before.token
            self.hold(is_over, "an acknowledged end of a backfill is done", job_id)
            self.deployment.observer.backfills.over.add((job_id, before.token))
        return answer

    def _of_backfill(
        self, method: str, job_id: str, body: object, key: str | None, known: tuple[int, ...]
    ) -> tuple[Answer | None, Process]:
        path, headers = f"/jobs/{job_id}/backfill", {"idempotency-key": key} if key else {}
        answer, process = self.deployment.ask(method, path, body, headers)
        self.hold(
            answer is None or answer[0] in known, "an answer that is documented", path, answer
        )
        return answer, process

    def cancel(self, job_id: str, identifier: str) -> Answer | None:
        """Cancel a run: from the acknowledgement on nothing of it is sent."""
        answer = self.ask("DELETE", job_id, f"/runs/{identifier}")
        if answer is not None and answer[0] == 200:
            observer, key = self.deployment.observer, run_key(job_id, identifier)
            end = observer.job_history(job_id).ends.get(key)
            is_stored = end is not None and end.reason is Reason.CANCELLED
            self.hold(is_stored, "an acknowledged cancel is stored", identifier)
            observer.cancelled.add((job_id, key))
        return answer

    def retry_all(self, tries: int = 1) -> bool:
        """Retry all that failed, page by page; return whether none was left.

        A page without an answer is asked for again, up to so many tries in all.
        """
        path: str | None = "/runs/retry"
        left = 0
        while path:
            answer, process = self.deployment.ask("POST", path)
            if answer is None or answer[0] == 503:
                tries -= 1
                if tries <= 0:
                    return False
                self.virtual_time.wait(1)
                continue
            self.hold(answer[0] == 200, "an answer that is documented", path, answer)
            counted, queued = answer[2]["retried"], [key for key in process.queued if key.retry]
            self.hold(counted <= len(queued), "what is counted was retried", counted, queued)
            left += answer[2]["left"]
            link = answer[1].get("Link", "")
            path = link[link.index("/runs") : link.index(">")] if link else None
        return left == 0

    def list_all(self, limit: int) -> None:
        """Go through all pages, and find every job that was there all along, once."""
        begun = self.virtual_time.time
        path: str | None = f"/jobs?limit={limit}"
        seen: list[str] = []
        while path:
            answer, _ = self.deployment.ask("GET", path)
            if answer is None or answer[0] != 200:
                return
            seen += [job["id"] for job in answer[2]]
            link = answer[1].get("Link", "")
            path = link[link.index("/jobs") : link.index(">")] if link else None
        self.hold(len(seen) == len(set(seen)), "no job is on two pages", seen)
        histories = self.deployment.observer.job_histories
        self.hold(
            all(histories[job_id].definitions[-1][1].kind is Kind.JOB for job_id in seen),
            "no notice is among the jobs",
            seen,
        )
        there = {
            job_id
            for job_id, at in self.acknowledged.created_at.items()
            if at < begun - 5 and job_id not in self.acknowledged.delete_begun
        }
        self.hold(there <= set(seen), "no job is on no page", there - set(seen))

    def look(self, job_id: str) -> None:
        """Read a job and its runs, and hold them against each other."""
        answer = self.ask("GET", job_id)
        if answer is None or answer[0] != 200:
            return
        result = answer[2]["result"]
        if result and result["body"]:
            job_history = self.deployment.observer.job_history(job_id)
            bodies = {definition.request.body for _, definition in job_history.definitions}
            self.hold(
                result["body"] in bodies, "a result is an answer to a request of this job", job_id
            )

    def end(self) -> None:
        """Hold what clients see at the end against what they were told: each job, its runs page by
        page, its result.
        """
        for key, processes in self.acknowledged.runners.items():
            queued = {run for process in processes for run in process.queued}
            self.hold(len(queued) <= 1, "one request is one run", key, queued)
        firsts = [
            job_history.definitions[0][1].request.body
            for job_history in self.deployment.observer.job_histories.values()
            if job_history.definitions and job_history.definitions[0][1].kind is Kind.JOB
        ]
        self.hold(len(firsts) == len(set(firsts)), "one request is one job", firsts)
        for job_id in list(self.acknowledged.created_at):
            if job_id in self.acknowledged.delete_begun:
                if job_id in self.acknowledged.deleted:
                    answer, _ = self.deployment.ask("GET", f"/jobs/{job_id}")
                    self.hold(
                        answer is not None and answer[0] == 404, "a deleted job is gone", job_id
                    )
                continue
            answer, _ = self.deployment.ask("GET", f"/jobs/{job_id}")
            self.hold(
                answer is not None and answer[0] == 200,
                "an acknowledged job is there",
                job_id,
                answer,
            )
            assert answer is not None
            self._runs_at_the_end(job_id, answer[2])

    def _runs_at_the_end(self, job_id: str, job: dict[str, Any]) -> None:
        job_history = self.deployment.observer.job_history(job_id)
        runs: list[dict[str, Any]] = []
        path: str | None = f"/jobs/{job_id}/runs?limit=7"
        while path:
            answer, _ = self.deployment.ask("GET", path)
            assert answer is not None
            self.hold(answer[0] == 200, "runs are listed", path, answer)
            runs += answer[2]
            link = answer[1].get("Link", "")
            path = link[link.index("/jobs") : link.index(">")] if link else None
        shown = [run["id"] for run in runs]
        self.hold(len(shown) == len(set(shown)), "no run is on two pages", job_id)
        keys = {str(key) for key, _ in job_history.claims} | {str(key) for key in job_history.ends}
        self.hold(
            {identifier.split("-", 1)[1] for identifier in shown} == keys,
            "every run is on a page",
            job_id,
        )
        statuses = {run["id"]: run["status"] for run in runs}
        self.hold(
            set(statuses.values()) <= {"succeeded", "failed", "missed", "skipped"},
            "every run has ended",
            job_id,
            statuses,
        )
        self._retries_at_the_end(job_id, runs)
        sent = [run for run in runs if run["attempts"]]
        self.hold((job["result"] is None) == (not sent), "a job that was sent has a result", job_id)
        if job["result"]:
            self.hold(
                job["result"]["status"] == statuses[job["result"]["run_id"]],
                "result and run agree",
                job_id,
            )
            self.hold(
                job["result"]["run_id"] == self._latest(job_id, sent),
                "the result is that of the latest run",
                job_id,
                job["result"]["run_id"],
            )

    def _retries_at_the_end(self, job_id: str, runs: list[dict[str, Any]]) -> None:
        ids = {run["id"] for run in runs}
        lost = self.acknowledged.retries.get(job_id, set()) - ids
        self.hold(not lost, "no acknowledged retry is lost", lost)
        for run in runs:
            retry = run_id(job_id, run_key(job_id, run["id"]).retried_by)
            wanted = retry if retry in ids else None
            self.hold(run.get("retried_by") == wanted, "a run says what retries it", run["id"])

    def _latest(self, job_id: str, sent: list[dict[str, Any]]) -> str:
        """Return the id of the run that came last: by when it was due, asked for or planned."""
        claims = self.deployment.observer.job_history(job_id).claims

        def place(run: dict[str, Any]) -> tuple[Any, ...]:
            key = run_key(job_id, run["id"])
            return claims[key, 1].run.planned_at or key.asked_at, key.sort

        return str(max(sent, key=place)["id"])


class Someone:
    """A client that does something by chance, again and again."""

    def __init__(self, clients: Clients, chance: random.Random, until: float) -> None:
        self._clients = clients
        self._chance = chance
        self._until = until
        self._keys = 0

    def work(self) -> None:
        """Go on until the time is over."""
        virtual_time = self._clients.virtual_time
        acts: list[tuple[int, Callable[[], object]]] = [
            (4, self._create),
            (10, self._act),
            (2, self._look),
            (1, self._list),
            (1, self._channel),
            (1, self._calendar),
            (1, self._flow),
        ]
        kinds = [act for weight, act in acts for _ in range(weight)]
        self._create()
        while virtual_time.time < self._until:
            # Now at once, now around the full minute, when occurrences come due.
            wait = self._chance.choice(
                (0.0, 0.05, 1, 10, 60 - virtual_time.time % 60 + self._chance.uniform(-1, 1))
            )
            virtual_time.wait(max(0.0, wait))
            self._chance.choice(kinds)()

    def _create(self) -> None:
        clients, chance = self._clients, self._chance
        if len(clients.acknowledged.created_at) >= MOST_JOBS:
            return
        trigger: dict[str, Any] = chance.choice(
            (
                {"delay": 0},
                {"delay": 3},
                {"delay": 45},
                {"delay": 1000},
                {"cron": "* * * * *"},
                {"cron": "0-40 0-22 * * *"},
                {"cron": "0-40/2 0-22 * * *"},
                {"cron": "1,2,18,19 * * * *"},
                {"cron": "*/2 * * * *", "spread": 90},
                {"cron": "0-40/2 0-22 * * *", "spread": 90},
                {"cron": "1-40/3 0-22 * * *"},
                {"every": 45, "max_runs": chance.choice((None, 2, 3))},
                {"every": 30, "ends_at": self._in(chance.choice((40, 75)))},
                {"cron": "* * * * *", "max_runs": chance.choice((1, 2))},
                {"every": 960},
                {"cron": "* * * * *", "exclude": ["a"]},
                {"every": 45, "exclude": ["a", "b"], "max_runs": chance.choice((None, 4))},
            )
        )
        if "exclude" in trigger:
            for name in trigger["exclude"]:
                calendars.change(clients, name, calendars.NOTHING)
        fields: dict[str, Any] = {
            "retry": {
                "max_attempts": chance.choice((1, 2, 3)),
                "initial_delay": chance.choice((1, 20)),
                "max_delay": 60,
            },
            "overlap": chance.choice(("allow", "skip")),
            "misfire_grace": chance.choice((None, None, 30, 600)),
            "callbacks": chance.choice((None, None, None, CALLBACKS)),
            "pause_after": chance.choice((None, None, 1, 2)),
            "labels": chance.choice(({}, {"team": "billing"})),
            "flow": chance.choice((None, None, "slow")),
        }
        if chance.random() < 0.25:
            fields |= {"completion": "callback", "deadline": chance.choice((60, 60, 200))}
        clients.create(clients.draft(trigger, **fields), self._key())

    def _in(self, seconds: float) -> str:
        return (self._clients.virtual_time.now + timedelta(seconds=seconds)).isoformat()

    def _key(self) -> str | None:
        self._keys += 1
        return (
            f"key-{self._chance.randrange(10**12)}-{self._keys}"
            if self._chance.random() < 0.5
            else None
        )

    def _some_job(self) -> str | None:
        known = list(self._clients.acknowledged.created_at)
        return self._chance.choice(known) if known else None

    def _act(self) -> None:
        job_id = self._some_job()
        if job_id is None:
            return
        clients, chance = self._clients, self._chance
        kind = chance.choice(
            (
                "pause",
                "resume",
                "run",
                "request",
                "trigger",
                "name",
                "callbacks",
                "retry",
                "pause",
                "resume",
                "delete",
                "mend",
                "mend",
                "backfill",
                "backfill",
                "pause until",
                "pause until",
                "skip",
                "skip",
            )
        )
        if kind == "delete" and chance.random() < 0.5:
            clients.ask("DELETE", job_id)
        elif kind == "mend":
            self._mend(job_id)
        elif kind == "backfill":
            self._backfill(job_id)
        elif kind in ("pause", "resume"):
            clients.ask("POST", job_id, f"/{kind}")
        elif kind == "pause until":
            until = clients.ends_in(chance.choice((8, 30, 60, 70, 1000)))
            # At a full minute crons are due.
            until = f"{until[:17]}00{until[19:]}" if chance.random() < 0.3 else until
            clients.ask("POST", job_id, "/pause", {"until": until, "reason": "by chance"})
        elif kind == "skip":
            clients.ask("POST", job_id, "/skip", {"count": chance.choice((0, 1, 1, 3))})
        elif kind == "run":
            clients.ask("POST", job_id, "/run", key=self._key())
        elif kind == "request":
            clients.ask(
                "PATCH",
                job_id,
                body={"request": {"url": "https://example.com/other", "body": clients.body()}},
            )
        elif kind == "trigger":
            trigger = chance.choice(
                (
                    {"delay": 0},
                    {"delay": 20},
                    {"delay": 1200},
                    {"cron": "* * * * *"},
                    {"cron": "0-40 0-22 * * *"},
                    {"cron": "1-5,21-25 * * * *"},
                    {"every": 25},
                )
            )
            clients.ask("POST", job_id, body={"trigger": trigger})
        elif kind == "name":
            clients.ask("PATCH", job_id, body={"name": f"name {chance.random()}"})
        elif kind == "callbacks":
            callbacks = chance.choice((None, CALLBACKS, {"failed": CALLBACKS["failed"]}))
            clients.ask("PATCH", job_id, body={"callbacks": callbacks})
        elif kind == "retry":
            clients.ask(
                "PATCH",
                job_id,
                body={
                    "retry": {
                        "max_attempts": chance.choice((1, 4)),
                        "initial_delay": 5,
                        "max_delay": 5,
                    }
                },
            )

    def _mend(self, job_id: str) -> None:
        """Retry or cancel a run, now and then twice, or retry all that failed."""
        clients, chance = self._clients, self._chance
        kind = chance.choice(("retry", "cancel", "all"))
        if kind == "all":
            clients.retry_all()
            return
        found = clients.runs(job_id, WRONG if kind == "retry" else WAITING)
        if not found:
            return
        identifier, key = chance.choice(found), self._key()
        for _ in range(chance.choice((1, 1, 2))):
            if kind == "retry":
                clients.retry(job_id, identifier, key)
            else:
                clients.cancel(job_id, identifier)

    def _backfill(self, job_id: str) -> None:
        """Backfill a job, and now and then do something to it while that is under way."""
        clients, chance = self._clients, self._chance
        clients.backfill(job_id, chance.choice((1, 3, 9)), self._key())
        clients.virtual_time.wait(chance.choice((0.0, 0.3, 1)))
        kind = chance.choice(("end", "end", "pause", "cancel", "again", "nothing", "nothing"))
        if kind == "end":
            clients.end_backfill(job_id)
        elif kind == "pause":
            clients.ask("POST", job_id, "/pause")
        elif kind == "again":
            clients.backfill(job_id, 2)
        elif kind == "cancel":
            for identifier in clients.runs(job_id, WAITING)[-1:]:
                clients.cancel(job_id, identifier)

    def _look(self) -> None:
        job_id = self._some_job()
        if job_id is not None:
            self._clients.look(job_id)

    def _channel(self) -> None:
        chance = self._chance
        path = f"/notices/{chance.choice('ab')}"
        if chance.random() < 0.2:
            self._clients.deployment.ask("DELETE", path)
            return
        events = ["run.failed", "job.recovered", "run.missed", "job.paused"]
        of_flows = ["flow.opened", "flow.closed"][: chance.choice((0, 1, 2))]
        channel = {
            "url": "https://example.com/channel",
            "events": events[: chance.choice((1, 2, 4, 4))] + of_flows,
            "after": chance.choice((1, 1, 2)),
            "label": chance.choice((None, None, "team:billing")),
            "format": chance.choice(("resona", "slack")),
            "digest": chance.choice((None, None, 10, 40)),
        }
        self._clients.deployment.ask("PUT", path, channel)

    def _calendar(self) -> None:
        name = self._chance.choice("ab")
        if self._chance.random() < 0.1:
            calendars.delete(self._clients, name)
            return
        days = self._chance.choice((calendars.MONDAYS, calendars.NOTHING))
        calendars.change(self._clients, name, days)

    def _flow(self) -> None:
        """Limit a flow, lift its limit, or have a job belong to another one."""
        clients, chance = self._clients, self._chance
        path = f"/flows/{chance.choice(FLOWS)}"
        kind, job_id = chance.randrange(6), self._some_job()
        if kind == 0:
            clients.deployment.ask("DELETE", path)
        elif kind == 1 and job_id is not None:
            clients.ask("PATCH", job_id, body={"flow": chance.choice((None, "slow"))})
        else:
            rate = chance.choice(((1, 5), (1, 12), (1, 20), (2, 30, 2), (3, 40, 3), (20, 1)))
            fields = zip(("requests", "seconds", "burst"), rate, strict=False)
            limits: dict[str, Any] = {"rate": dict(fields)} if chance.random() < 0.6 else {}
            if chance.random() < 0.5:
                limits["concurrency"] = chance.choice((1, 1, 2, 3))
            if chance.random() < 0.2:
                limits["paused"] = True
            if chance.random() < 0.3:
                failures, seconds = chance.choice(((1, 3), (1, 20), (2, 8), (3, 30)))
                limits["breaker"] = {"failures": failures, "probe_seconds": seconds}
            clients.deployment.ask("PUT", path, limits)

    def _list(self) -> None:
        self._clients.list_all(self._chance.choice((1, 2, 100)))


def run_clients(deployment: Deployment, clients: Clients, until: float) -> None:
    """Run some clients until a time."""
    for _ in range(deployment.chance.choice((1, 2, 3))):
        someone = Someone(clients, random.Random(deployment.chance.random()), until)
        deployment.virtual_time.at(
            deployment.chance.uniform(0, 5),
            partial(deployment.begin, "client", someone.work),
        )


def heal(deployment: Deployment, within: timedelta) -> None:
    """Have everything go well from now on, lift all limits, and wait until all has come to rest.

    Raises Violation when it does not in time.
    """
    virtual_time = deployment.virtual_time
    deployment.cloud.plan.rates, deployment.cloud.plan.chosen = {}, {}
    deployment.says = prompt_plan
    fault_rates = deployment.fault_rates
    for name in vars(fault_rates):
        if name != "skew":
            setattr(fault_rates, name, 0)
    until = virtual_time.time + within.total_seconds()
    lines = deployment.observer.lines

    def lift() -> None:
        for name in FLOWS:
            if name in lines.known():
                # Slots that the dead have left do not hold a line for ever.
                deployment.ask("PUT", f"/flows/{name}", {"concurrency": 1})
            else:
                deployment.ask("DELETE", f"/flows/{name}")

    def delete() -> None:
        for name in lines.known():
            deployment.ask("DELETE", f"/flows/{name}")

    def rest() -> None:
        # Half way between two minutes, when no cron is under way.
        virtual_time.run_until(virtual_time.time - virtual_time.time % 60 + 90)
        while left := deployment.observer.rest(virtual_time.now):
            is_late = virtual_time.time > until
            if virtual_time.time > until + 120:
                raise Violation(f"what was healed has not come to rest: {left}")
            if lines.is_any_paused():
                # By a client that was held up.
                deployment.begin("client", lift)
            # Not at the same second of each minute, when an interval may have just been told of.
            virtual_time.run_until(virtual_time.time + (7 if is_late else 63))

    deployment.begin("client", lift)
    rest()
    if lines.known():
        until += 180
        deployment.begin("client", delete)
        rest()
