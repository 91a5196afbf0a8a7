"""Clients that call the routes of jobs without a pause, and record every answer they get."""

from __future__ import annotations

import random
import threading
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from tests.acceptance.laptop import Laptop
from tests.acceptance.ledger import Entry, Said
from tests.acceptance.receivers import Receiver

_RECENT = timedelta(seconds=5)
_LONGEST_DELAY = 3.0


@dataclass
class _Repeatable:
    """A request that an Idempotency-Key makes safe to repeat until it is answered."""

    path: str
    body: Any
    key: str
    entry: Entry | None = None


class Client:
    """One of several, each with jobs of its own, so that it knows what they must be."""

    def __init__(self, name: str, seed: int, laptop: Laptop, receiver: Receiver) -> None:
        self._name = name
        self._chance = random.Random(f"{seed} {name}")
        self._laptop = laptop
        self._receiver = receiver
        self._unanswered: _Repeatable | None = None
        self._session = requests.Session()
        self.entries: list[Entry] = []
        self.changes = 0
        self.failed_at: datetime | None = None
        self.wrong: list[str] = []
        # How long before a kill those acknowledgements came that were looked for after it.
        self.checked: list[timedelta] = []

    def work(self, stopped: threading.Event) -> None:
        """Do one thing after the other until told to stop, or until an answer does not come."""
        self.failed_at = None
        while not stopped.is_set() and self.failed_at is None:
            self._step()
            stopped.wait(self._chance.uniform(0, 0.06))

    def recover(self, killed_at: datetime) -> None:
        """Repeat unanswered requests; look for what was acknowledged shortly before the kill."""
        if self._unanswered is not None:
            self._repeat(self._unanswered)
        for entry in self.entries:
            if entry.doubt is None and entry.said_at < killed_at - _RECENT:
                continue
            found = entry.found_in(self._laptop.get(f"/jobs/{entry.id}"))
            if found == entry.said:
                self.checked.append(killed_at - entry.said_at)
                entry.doubt = None
            elif found == entry.doubt:
                entry.note(found)
            else:
                age = killed_at - entry.said_at
                self.wrong.append(
                    f"{entry.path}: {entry.said} was acknowledged {age} before the kill, and it is "
                    f"{found}"
                )

    def _send(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> requests.Response | None:
        headers = {"Idempotency-Key": key} if key else {}
        try:
            answer = self._session.request(
                method, f"{self._laptop.url}{path}", json=body, headers=headers, timeout=10
            )
        except requests.RequestException:
            answer = None
        if answer is None or answer.status_code >= 500:
            self.failed_at = datetime.now(UTC)
            return None
        return answer

    def _step(self) -> None:
        # Of its jobs the latest are those that may not have fired yet.
        latest = [entry for entry in self.entries[-12:] if not entry.said.deleted]
        if len(latest) < 4 or self._chance.random() < 0.45:
            self._create()
            return
        entry = self._chance.choice(latest)
        ways = (
            [self._run]
            if entry.is_cron
            else [
                self._update,
                self._update,
                self._pause,
                self._resume,
                self._resume,
                self._run,
                self._delete,
            ]
        )
        self._chance.choice(ways)(entry)

    def _create(self) -> None:
        name = f"/{self._name}/{len(self.entries)}"
        kind = self._chance.choices(["delay", "date", "far", "cron"], [70, 15, 10, 5])[0]
        delay = self._chance.uniform(0, _LONGEST_DELAY)
        date = (datetime.now(UTC) + timedelta(seconds=delay)).replace(microsecond=0)
        triggers = {
            "delay": {"delay": delay},
            "date": {"date": date.isoformat()},
            "far": {"delay": 3600},
            "cron": {"cron": "* * * * *"},
        }
        if self._chance.random() < 0.2:
            self._receiver.answers[f"{name}/1"] = [500]
        body = {
            "name": name,
            "request": self._request(name, 1),
            "trigger": triggers[kind],
            "timeout": 2,
            "retry": {"max_attempts": 5, "initial_delay": 1, "max_delay": 2},
        }
        self._repeat(_Repeatable("/jobs", body, uuid.uuid4().hex))

    def _request(self, name: str, version: int) -> dict[str, Any]:
        return {
            "url": f"{self._receiver.url}{name}/{version}",
            "method": "POST",
            "body": {"key": "value"},
        }

    def _repeat(self, wanted: _Repeatable) -> None:
        self._unanswered = wanted
        asked_at = datetime.now(UTC)
        answer = self._send("POST", wanted.path, wanted.body, wanted.key)
        if answer is None:
            return
        self._unanswered = None
        if answer.status_code not in (201, 202):
            self.wrong.append(f"{wanted.path} was answered with {answer.text}")
        elif wanted.entry is not None:
            self.changes += 1
            wanted.entry.manual_runs.append(answer.json()["id"])
        else:
            shown, path = answer.json(), wanted.body["name"]
            is_cron = "cron" in wanted.body["trigger"]
            self.entries.append(
                Entry(shown["id"], path, is_cron, shown, Said(), datetime.now(UTC), asked_at)
            )

    def _change(
        self, entry: Entry, after: Said, method: str, path: str = "", body: Any = None
    ) -> None:
        entry.doubt, entry.asked_at = after, datetime.now(UTC)
        answer = self._send(method, f"/jobs/{entry.id}{path}", body)
        if answer is None:
            return
        entry.doubt = None
        if answer.status_code in (200, 204):
            self.changes += 1
            entry.note(after)
        elif answer.status_code != 409:
            self.wrong.append(f"{method} {entry.path}{path} was answered with {answer.text}")

    def _update(self, entry: Entry) -> None:
        version = entry.said.version + 1
        body = {
            "request": self._request(entry.path, version),
            "trigger": {"delay": self._chance.uniform(0, _LONGEST_DELAY)},
        }
        self._change(entry, replace(entry.said, version=version), "POST", body=body)

    def _pause(self, entry: Entry) -> None:
        self._change(entry, replace(entry.said, paused=True), "POST", "/pause")

    def _resume(self, entry: Entry) -> None:
        self._change(entry, replace(entry.said, paused=False), "POST", "/resume")

    def _delete(self, entry: Entry) -> None:
        self._change(entry, replace(entry.said, deleted=True), "DELETE")

    def _run(self, entry: Entry) -> None:
        self._repeat(_Repeatable(f"/jobs/{entry.id}/run", None, uuid.uuid4().hex, entry))
