"""Targets that call back, and what is held of their words: one end for each attempt, by its own
word, in time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

from chalicelib.domain.completion import LONGEST
from chalicelib.domain.ids import RunKey
from chalicelib.domain.run import ENDED, Attempt, Outcome, RunStatus
from chalicelib.domain.state import UnfinishedRun
from tests.simulation.virtual_time import Process, VirtualTime

Answer = tuple[int, dict[str, str], Any]
# What a target says so many seconds after it was called: `{"status": …}` or `{"extend": …}`.
Said = tuple[float, dict[str, Any]]
_TRIES = 4


class Asker(Protocol):
    """A deployment, as a target sees it."""

    virtual_time: VirtualTime

    def ask(self, method: str, path: str, body: object = None) -> tuple[Answer | None, Process]: ...

    def begin(self, kind: str, work: Callable[[], None]) -> None: ...


Place = tuple[str, RunKey, int]


@dataclass
class Words:
    """The words that targets say, by their messages: each has one of its own."""

    virtual_time: VirtualTime
    hold: Callable[..., None]
    said: dict[str, tuple[Place, dict[str, Any]]] = field(default_factory=dict)
    records: dict[Place, Attempt] = field(default_factory=dict)
    """The ends of attempts that awaited a word."""
    has_ended: Callable[[Place], bool] = lambda place: False
    untils: dict[Place, datetime] = field(default_factory=dict)
    deleted: Callable[[str], bool] = lambda job_id: False
    is_fine: Callable[[], bool] = lambda: False

    # What targets say

    def plan(self, asker: Asker, place: Place, url: str, plan: list[Said], body: str) -> None:
        """Have the target of an attempt say what is planned. `body` is that of the request."""
        path = urlsplit(url).path
        for after, said in plan:
            if "status" in said:
                message = f"word {len(self.said)}"
                said = {**said, "message": message, "body": body}
                self.said[message] = place, said
            say = partial(self._say, asker, place, path, said)
            self.virtual_time.at(
                self.virtual_time.time + after, partial(asker.begin, "target", say)
            )

    def _say(self, asker: Asker, place: Place, path: str, said: dict[str, Any]) -> None:
        """Say it until there is an answer, and hold the answer against what is stored."""
        for _ in range(_TRIES):
            asked_at = self.virtual_time.now
            answer, process = asker.ask("POST", path, said)
            if answer is not None and answer[0] != 503:
                break
            self.virtual_time.wait(1)
        else:
            return
        status = answer[0]
        record, job_id = self.records.get(place), place[0]
        if status == 204:
            is_stored = record is not None and record.result.message == said["message"]
            self.hold(is_stored, "an acknowledged word ends its attempt", place, said, record)
        elif status == 200:
            until = datetime.fromisoformat(answer[2]["deadline"])
            self.hold(until <= self.untils[place], "an acknowledged extension is stored", place)
            wanted = asked_at + timedelta(seconds=said["extend"] - abs(process.skew) - 0.001)
            self.hold(until >= wanted, "an acknowledged extension is as long as asked", place)
        elif status == 404:
            self.hold(self.deleted(job_id), "an attempt has its URL", place)
        elif status == 410:
            late = timedelta(seconds=abs(process.skew))
            is_over = self.virtual_time.now + late >= self.untils[place]
            self.hold(self.has_ended(place) or is_over, "a word in time is taken", place, said)
        else:
            self.hold(status == 422 and "extend" in said, "an answer that is documented", answer)
        forged, process = asker.ask("POST", f"{path[:-4]}AAAA", said)
        is_refused = forged is None or forged[0] in (404, 503)
        self.hold(is_refused and not process.committed, "a forged URL opens nothing", place)

    # What is held of them

    def is_end(self, run: UnfinishedRun, record: Attempt) -> bool:
        """Return whether a record is that of an end by callback, or by its deadline."""
        return run.awaited is not None and (
            record.result.message is not None or "did not call back" in (record.result.error or "")
        )

    def ended(
        self, place: Place, before: Attempt | None, record: Attempt, process: Process
    ) -> None:
        """An attempt ends once, by its own word before its deadline, or by the deadline."""
        result, ended = record.result, self.records.get(place)
        if ended is not None:
            # Another executor settles it again; a change may have superseded its retry.
            is_same = (ended.owner, ended.result) == (record.owner, result)
            is_final = ended.update.status in ENDED
            is_same = is_same and (not is_final or ended.update == record.update)
            self.hold(is_same, "an attempt has one end", place, ended, record)
            self.records[place] = record
            return
        waits = before is None or before.update.status is RunStatus.WAITING
        self.hold(waits, "what has ended is not ended again", place, before)
        self.hold(record.digest is not None, "a record has the digest of its token", place)
        self.records[place] = record
        late, until = timedelta(seconds=abs(process.skew) + 0.001), self.untils[place]
        if result.message is None:
            self.hold(result.outcome is Outcome.TIMEOUT, "a deadline is a timeout", place)
            is_over = self.virtual_time.now >= until - late
            self.hold(is_over, "no attempt is given up before its deadline", place, until)
            self.hold(record.finished_at == until, "it ends at its deadline", place, until)
            is_soon = self.virtual_time.now - until < timedelta(seconds=3)
            self.hold(is_soon or not self.is_fine(), "on a fine day it ends in time", place, until)
            return
        of, said = self.said[result.message]
        self.hold(of == place, "no attempt is ended by another one's word", place, of)
        wanted = Outcome.SUCCESS if said["status"] == "succeeded" else Outcome.UNEXPECTED
        self.hold(result.outcome is wanted, "an attempt ends as its target says", place, said)
        # The word was checked before throttles and conflicts.
        in_time = record.finished_at < until + late or process.was_slow
        self.hold(in_time, "no word counts after the deadline", place, until)
        if said["status"] == "failed" and not said.get("retry", True):
            failed = record.update.status is RunStatus.FAILED
            self.hold(failed, "what must not be retried is not", place, record.update)

    def changed(self, place: Place, before: UnfinishedRun, after: UnfinishedRun | None) -> None:
        """A deadline moves forward, up to 24 hours from the start, while its attempt goes on."""
        old, new = before.awaited, after.awaited if after else None
        if after is not None and old is not None and new is None:
            record = self.records.get(place)
            was_answered = before.owner is not None and record is None
            is_as_recorded = record is not None and record.update.status is RunStatus.RETRYING
            self.hold(was_answered or is_as_recorded, "what no longer waits has ended", place)
        if old is None or new is None or after is None:
            return
        if after.attempt != before.attempt:
            self.hold(False, "nothing is sent while a run waits", place)
        self.hold((new.digest, new.since) == (old.digest, old.since), "a token stays", place)
        self.hold(new.until >= old.until, "a deadline moves forward only", place)
        self.hold(new.until <= new.since + LONGEST, "24 hours are the most", place)
        self.untils[place] = new.until

    def retries(self, record: Attempt) -> bool:
        """Return whether the target allows a retry."""
        said = self.said.get(record.result.message or "")
        return said is None or bool(said[1].get("retry", True))


def random_plan(chance: random.Random) -> list[Said]:
    """Return what a target says by chance: early, late, twice, never, or with more time."""
    word: dict[str, Any] = chance.choice(
        (
            {"status": "succeeded"},
            {"status": "succeeded"},
            {"status": "failed"},
            {"status": "failed", "retry": False},
        )
    )
    return list(_said(chance, word))


def _said(chance: random.Random, word: dict[str, Any]) -> Iterator[Said]:
    kind = chance.choice(("early", "soon", "soon", "late", "never", "twice", "extended"))
    at = {"early": 0.2, "late": 130.0}.get(kind, 65.0) * chance.random()
    if kind == "never":
        return
    if kind == "extended":
        yield at / 2, {"extend": chance.choice((1, 60, 90, 86_400))}
    yield at, word
    if kind == "twice":
        yield at + chance.choice((0, 0.01, 5)), chance.choice((word, {"status": "failed"}))


def prompt_plan() -> list[Said]:
    """Return what a target says that has done its work at once."""
    return [(0.5, {"status": "succeeded"})]
