"""Resona's real parts in virtual time, cheap enough for a year of many jobs.

What AWS does is done to it as it does its worst on a fine day: each wake comes up to a minute late
and comes twice, each message is delivered twice, sometimes minutes after it was done, and now and
then two sweepers come at once. Handlers are greenlets that take turns: a slow target holds up
nobody but its own process.

Two things make it cheap. The tables answer the queries that a firing makes by key, not by looking
at every item; now and then they are answered both ways and must agree. And the sweeper does not
begin in a minute in which no item of the table has a `watch_at` that has come: its sixteen queries
would find nothing, and it would write nothing.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import math
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from chalice.app import SQSEvent

from chalicelib.domain.job import Definition
from chalicelib.domain.request import Request
from chalicelib.domain.run import AttemptResult, Outcome, Response
from chalicelib.domain.secrets import Credentials
from chalicelib.domain.trigger import Trigger
from chalicelib.handlers import executor
from infra.local import eventbridge
from infra.local.clock import queue_event, wake_event
from tests.cloud import Answer, Cloud, Item, Message, client_error
from tests.parts import compose
from tests.simulation.virtual_time import Process, VirtualTime

_KEPT = timedelta(hours=12)
_EVERY_SO_MANY = 997
_ANSWER = Response({}, "ok", truncated=False)


class LongRunCloud(Cloud):
    """The cloud in memory, whose calls take milliseconds.

    With `is_down`, EventBridge Scheduler makes no schedule.
    """

    def __init__(self, virtual_time: VirtualTime, chance: random.Random, *, is_down: bool) -> None:
        super().__init__(lambda: virtual_time.now)
        self.virtual_time = virtual_time
        self.chance = chance
        self.is_down = is_down
        self.called_after: dict[str, Callable[[dict[str, Any]], None]] = {}
        self.recorded: Callable[[Item], None] = lambda item: None
        self.watched: Callable[[float], None] = lambda at: None
        self._queries = 0
        self._watch: dict[str, dict[tuple[str, ...], str]] = defaultdict(dict)
        self._soonest: list[tuple[str, str, tuple[str, ...]]] = []
        self._expiring: deque[tuple[int, tuple[str, ...]]] = deque()

    def called(
        self, operation: str, request: dict[str, Any], effect: Callable[[], Answer]
    ) -> Answer:
        if (
            operation == "Query"
            and request.get("IndexName") == "by_watch"
            and not self._overdue(request)
        ):
            # Nothing is written between this call and the next of the shard's: the answer of now is
            # as good as one in some milliseconds.
            return {"Items": []}
        self._wait()
        if self.is_down and operation == "CreateSchedule":
            raise client_error("InternalServerException", operation, 500)
        answer = self._answer(request, effect) if operation == "Query" else effect()
        if operation in self.called_after:
            self.called_after[operation](request)
        self._wait()
        return answer

    def _wait(self) -> None:
        self.virtual_time.wait(0.001 + 0.011 * self.chance.random())

    def _answer(self, request: dict[str, Any], effect: Callable[[], Answer]) -> Answer:
        if request.get("IndexName") == "by_watch":
            items = self._overdue(request)[: request["Limit"]]
        elif request["KeyConditionExpression"] == "id = :id":
            name, table = request["ExpressionAttributeValues"][":id"]["S"], self.tables["jobs"]
            items = [table[name, part] for part in ("definition", "state") if (name, part) in table]
        else:
            return effect()
        self._queries += 1
        if self._queries % _EVERY_SO_MANY == 0:
            assert effect()["Items"] == items
        return {"Items": items}

    def _overdue(self, request: dict[str, Any]) -> list[Item]:
        values = request["ExpressionAttributeValues"]
        shard, now = values[":shard"]["S"], values[":until"]["S"]
        found = sorted((at, key) for key, at in self._watch[shard].items() if at <= now)
        return [
            {
                "watch_shard": {"S": shard},
                "watch_at": {"S": at},
                "id": {"S": job_id},
                "part": {"S": part},
            }
            for at, (job_id, part) in found
        ]

    def written(self, table: str, key: tuple[str, ...], old: Item | None, new: Item | None) -> None:
        if table == "runs" and new is not None:
            self.recorded(new)
            self._forget(int(new["expires_at"]["N"]), key)
            return
        if old is not None and "watch_shard" in old:
            del self._watch[old["watch_shard"]["S"]][key]
        if new is not None and "watch_shard" in new:
            shard, at = new["watch_shard"]["S"], new["watch_at"]["S"]
            self._watch[shard][key] = at
            heapq.heappush(self._soonest, (at, shard, key))
            self.watched(self.virtual_time.seconds(datetime.fromisoformat(at)))

    def _forget(self, expires_at: int, key: tuple[str, ...]) -> None:
        """Let records go whose time to live is over, as DynamoDB does."""
        self._expiring.append((expires_at, key))
        while self._expiring[0][0] < self.clock().timestamp():
            self.tables["runs"].pop(self._expiring.popleft()[1], None)

    def something_is_overdue(self) -> bool:
        """Say whether any item's `watch_at` has come."""
        while self._soonest:
            at, shard, key = self._soonest[0]
            if self._watch[shard].get(key) == at:
                return datetime.fromisoformat(at) <= self.clock()
            heapq.heappop(self._soonest)
        return False


class LongRun:
    """One deployment. `slow` tells for each job how many seconds its target takes; others take some
    milliseconds.

    `sent` holds, for each job, the due time of each request as it was sent, and how late that was.
    Whatever is not a first attempt that succeeds is a failure at once.
    """

    def __init__(self, start: datetime, seed: object, *, is_down: bool) -> None:
        self.chance = random.Random(str(seed))
        self.virtual_time = virtual_time = VirtualTime(start)
        self.cloud = LongRunCloud(virtual_time, self.chance, is_down=is_down)
        self.cloud.called_after = {
            "SendMessageBatch": self._arrived,
            "CreateSchedule": self._scheduled,
        }
        self.cloud.recorded = self._recorded
        self.cloud.watched = self._watched
        self.slow: dict[str, float] = {}
        self.sent: dict[str, list[tuple[datetime, float]]] = defaultdict(list)
        self.succeeded: dict[str, int] = defaultdict(int)
        self.sweeps = 0
        self.wakes = 0
        self.deliveries = 0
        parts = compose(
            self.cloud,
            self._send,
            virtual_time.clock,
            virtual_time.wait,
            virtual_time.run_all,
            _KEPT,
        )
        self.jobs = parts.jobs
        self.scheduling, self.firing = parts.scheduling, parts.firing
        self._sweeper_begins = self.chance.uniform(0, 60)
        self._looks: set[int] = set()
        self._ready: list[Message] = []

    # What a test does

    def at(self, at: datetime, work: Callable[[], None]) -> None:
        """Have a client do something at an instant."""
        self.virtual_time.at(self.virtual_time.seconds(at), lambda: self._begin("client", work))

    def create(self, trigger: Trigger, takes: float = 0) -> str:
        """Register a job whose target takes so many seconds, and return its id."""
        timeout = timedelta(seconds=max(30, math.ceil(takes) + 10))
        request = Request("https://example.com/hook", "POST", {}, None)
        job_id = self.scheduling.create(
            Definition("", "tenant", 1, "job", self.virtual_time.now, trigger, request, timeout)
        ).definition.id
        self.slow[job_id] = takes
        return job_id

    def pause(self, job_id: str) -> None:
        self.scheduling.pause("tenant", job_id)

    def resume(self, job_id: str) -> None:
        self.scheduling.resume("tenant", job_id)

    def run_until(self, until: datetime) -> None:
        """Let everything happen that is to happen until then."""
        self.virtual_time.run_until(self.virtual_time.seconds(until))

    # The targets, and what is written down of them

    def _send(
        self,
        request: Request,
        *,
        run_headers: Mapping[str, str],
        timeout: timedelta,
        credentials: Credentials,
    ) -> AttemptResult:
        job_id, due_at = (
            run_headers["Resona-Job-Id"],
            datetime.fromisoformat(run_headers["Resona-Scheduled-Time"]),
        )
        assert run_headers["Resona-Attempt"] == "1", run_headers
        self.sent[job_id].append((due_at, (self.virtual_time.now - due_at).total_seconds()))
        took = self.slow.get(job_id, 0.0) + self.chance.uniform(0.02, 0.3)
        self.virtual_time.wait(took)
        return AttemptResult(Outcome.SUCCESS, timedelta(seconds=took), 200, _ANSWER)

    def _recorded(self, item: Item) -> None:
        assert item["sort"]["S"].endswith("#01"), item
        assert '"status":"succeeded"' in item["record"]["S"], item
        self.succeeded[item["job_id"]["S"]] += 1

    # What AWS does

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        self.virtual_time.begin(Process(name), work)

    def _arrived(self, request: dict[str, Any]) -> None:
        for name in list(self.cloud.messages):
            message = self.cloud.messages.pop(name)
            self.virtual_time.at(
                self.virtual_time.seconds(message.visible_at),
                partial(self._visible, message),
            )

    def _visible(self, message: Message) -> None:
        self._ready.append(message)
        if len(self._ready) == 1:
            self.virtual_time.at(
                self.virtual_time.time + self.chance.uniform(0.005, 0.4), self._poll
            )

    def _poll(self) -> None:
        ready, self._ready = self._ready, []
        self.chance.shuffle(ready)
        while ready:
            size = self.chance.randint(1, 10)
            batch, ready = ready[:size], ready[size:]
            event = queue_event(
                [
                    {"MessageId": "m", "ReceiptHandle": "m", "Body": message.body}
                    for message in batch
                ],
                "arn:queue",
            )
            again = self.chance.choice(
                (
                    self.chance.uniform(0, 0.1),
                    self.chance.uniform(0, 1),
                    self.chance.uniform(0, 900),
                )
            )
            for wait in (self.chance.uniform(0, 0.1), again):
                self.virtual_time.at(
                    self.virtual_time.time + wait,
                    partial(self._begin, "deliver", partial(self._deliver, event)),
                )

    def _deliver(self, event: dict[str, Any]) -> None:
        self.deliveries += len(event["Records"])
        executor.on_messages(SQSEvent(event, None), self.firing)

    def _scheduled(self, request: dict[str, Any]) -> None:
        self._plan_wake(request["Name"], request, self.virtual_time.now)

    def _plan_wake(self, name: str, schedule: dict[str, Any], after: datetime) -> None:
        zone = schedule["ScheduleExpressionTimezone"]
        at = eventbridge.next_fire(schedule["ScheduleExpression"], zone, after)
        if at is None:
            return
        comes_at = self.virtual_time.seconds(at)
        self.virtual_time.at(
            comes_at,
            lambda: self._plan_wake(name, schedule, at) if name in self.cloud.schedules else None,
        )
        # Of a time that is repeated, AWS does not say at which passing it wakes.
        first, second = (
            at.astimezone(eventbridge.zone(zone)).replace(fold=fold).utcoffset() for fold in (0, 1)
        )
        assert first is not None and second is not None
        if first > second and self.chance.random() < 0.5:
            comes_at += (first - second).total_seconds()
            at += first - second
        self.virtual_time.at(
            comes_at + 60 * self.chance.random(), lambda: self._wake(name, schedule, at)
        )

    def _wake(self, name: str, schedule: dict[str, Any], at: datetime) -> None:
        if name not in self.cloud.schedules:
            return
        if schedule["ActionAfterCompletion"] == "DELETE":
            del self.cloud.schedules[name]
        event = wake_event({**schedule, "Arn": name}, at)
        # The first may meet a cold start.
        first = (
            self.chance.uniform(2, 6) if self.chance.random() < 0.1 else self.chance.uniform(0, 0.2)
        )
        again = first + self.chance.choice(
            (self.chance.uniform(0, 0.2), self.chance.uniform(0, 300))
        )
        for wait in (first, again):
            self.virtual_time.at(
                self.virtual_time.time + wait,
                lambda: self._begin("wake", lambda: self._woken(event)),
            )

    def _woken(self, event: dict[str, Any]) -> None:
        self.wakes += 1
        executor.on_wake(event, self.firing)

    def _watched(self, at: float) -> None:
        """Have the sweeper look in the first of its minutes in which something will be overdue."""
        minute = math.ceil((max(at, self.virtual_time.time) - self._sweeper_begins) / 60)
        if minute not in self._looks:
            self._looks.add(minute)
            self.virtual_time.at(self._sweeper_begins + 60 * minute, lambda: self._look(minute))

    def _look(self, minute: int) -> None:
        self._looks.discard(minute)
        if not self.cloud.something_is_overdue():
            return
        # What is overdue now and stays so is looked at again in the next minute.
        self._watched(self.virtual_time.time + 1)
        self.sweeps += 1
        for _ in range(self.chance.choice((1, 1, 1, 1, 2))):
            self.virtual_time.at(
                self.virtual_time.time + self.chance.uniform(0, 0.02),
                lambda: self._begin("sweep", self._sweep),
            )

    def _sweep(self) -> None:
        executor.on_sweep(self.firing)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep the log from being written: a year of it is long."""
    log = logging.getLogger("resona")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)
