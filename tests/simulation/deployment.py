"""A deployment of Resona in virtual time: the real app and handlers on the cloud in memory.

The event sources behave as AWS's do: messages become visible and are polled in batches, schedules
wake up to a minute late, the sweeper comes every minute, a function that raised is called again.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import logging
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import ulid
from chalice.app import SQSEvent

from app import app
from chalicelib.api.routing import backend
from chalicelib.aws.due_queue import load_dues
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.fairness import Sharing
from chalicelib.domain.ids import run_key
from chalicelib.domain.request import Request
from chalicelib.domain.run import AttemptResult, Outcome, Response
from chalicelib.domain.secrets import Credentials
from chalicelib.handlers import executor
from infra.local import eventbridge
from infra.local.clock import queue_event, wake_event
from tests.parts import ALONE, compose
from tests.simulation.cloud import SimulatedCloud, Write
from tests.simulation.faults import Fault, FaultRates, Plan
from tests.simulation.observer import Observer, Violation
from tests.simulation.sharing import reads_at
from tests.simulation.virtual_time import Killed, Process, VirtualTime
from tests.simulation.words import Said, random_plan

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
VISIBILITY = 720.0
DELIVER_TIMEOUT = 660.0
API_TIMEOUT = 60.0
RECEIVED_AT_MOST = 5
_ORPHAN = "orphan"
_GRANTED: dict[str, Any] = {"edition": 1, "covered": True, "labels": {}}
Answer = tuple[int, dict[str, str], Any]


class Deployment:
    """Everything that runs. `answer` is None where the client got none."""

    def __init__(
        self, plan: Plan, fault_rates: FaultRates, chance: random.Random, sharing: Sharing
    ) -> None:
        self.chance = chance
        self.fault_rates = fault_rates
        self.virtual_time = virtual_time = VirtualTime(START)
        self.cloud = SimulatedCloud(virtual_time, chance, plan, fault_rates)
        self.cloud.observe = self._observe
        self.observer = Observer(virtual_time, sharing)
        stale = {*plan.rates, *plan.chosen.values()} & {Fault.STALE_INDEX}
        self.observer.looks.lags = bool(stale)
        self.target: Callable[[Request, Mapping[str, str]], tuple[float, AttemptResult]] = (
            self._random_target
        )
        parts = compose(
            self.cloud,
            self._send,
            virtual_time.clock,
            virtual_time.wait,
            virtual_time.run_all,
            sharing=sharing,
        )
        self.scheduling, self.firing = parts.scheduling, parts.firing
        self.skew = 0.0
        """How many seconds the clocks of new processes are ahead."""
        self.processes = 0
        self.killed = 0
        self.says: Callable[[], list[Said]] = partial(random_plan, chance)
        """What the target of the next request says by callback, and when."""
        self.arrives: Callable[[str], None] | None = None
        """What takes messages as they become visible, in the place of pollers that take some of
        them some time.
        """
        self.runs_in: Callable[[str, Callable[[], None]], Callable[[], None]] = lambda kind, work: (
            work
        )
        """What has a process of this kind do its work in an execution environment."""
        virtual_time.at(chance.uniform(0, 60), self._sweep)

    def begin(self, kind: str, work: Callable[[], None]) -> None:
        """Begin a process, with a clock of its own."""
        self.virtual_time.begin(self._process(kind), self.runs_in(kind, work))

    def _process(self, kind: str) -> Process:
        self.processes += 1
        skew = (
            self.chance.uniform(-self.fault_rates.skew, self.fault_rates.skew)
            if self.fault_rates.skew
            else self.skew
        )
        begun_at = self.virtual_time.time
        return Process(f"{kind}#{self.processes}", skew, begun_at=begun_at)

    def _happens(self, rate: float) -> bool:
        return bool(rate) and self.chance.random() < rate

    # The targets

    def _send(
        self,
        request: Request,
        *,
        run_headers: Mapping[str, str],
        timeout: timedelta,
        credentials: Credentials,
    ) -> AttemptResult:
        job_id = run_headers["Resona-Job-Id"]
        key, attempt = (
            run_key(job_id, run_headers["Resona-Run-Id"]),
            int(run_headers["Resona-Attempt"]),
        )
        took, result = self.target(request, run_headers)
        if (url := run_headers.get("Resona-Complete-Url")) is not None:
            plan, place = self.says(), (job_id, key, attempt)
            self.observer.words.plan(self, place, url, plan, str(request.body))
        until = self.virtual_time.time + min(took, timeout.total_seconds())
        sent = self.observer.sends(job_id, key, attempt, str(request.body), until)
        self.cloud.tell(f"sends {run_headers['Resona-Run-Id']} attempt {attempt}")
        if self._happens(self.fault_rates.killed_in_flight):
            self.virtual_time.wait((until - self.virtual_time.time) / 2)
            self.virtual_time.kill()
        self.virtual_time.wait(until - self.virtual_time.time)
        sent.result = result
        self.cloud.tell(f"was answered {result.outcome} {result.status_code or ''}")
        return result

    def _random_target(
        self, request: Request, headers: Mapping[str, str]
    ) -> tuple[float, AttemptResult]:
        del headers
        body = Response({}, str(request.body), truncated=False)
        took = self.chance.uniform(0.02, 0.3)
        if not self._happens(self.fault_rates.failing_targets):
            return took, AttemptResult(Outcome.SUCCESS, timedelta(seconds=took), 200, body)
        kind = self.chance.randrange(4)
        if kind == 0:
            return took, AttemptResult(
                Outcome.HTTP_ERROR, timedelta(seconds=took), 404, body, "the target answered 404"
            )
        if kind == 1:
            return 100.0, AttemptResult(Outcome.TIMEOUT, timedelta(seconds=5), error="too late")
        after = self.chance.choice((None, "1", "40"))
        return took, AttemptResult(
            Outcome.HTTP_ERROR,
            timedelta(seconds=took),
            503,
            body,
            "the target answered 503",
            retry_after=after,
        )

    # What AWS does

    def _observe(self, operation: str, writes: list[Write], request: dict[str, Any]) -> None:
        self.observer.saw(writes)
        if operation == "UpdateItem" and _has_places(request["Key"]):
            ((_, _, old, new),) = writes
            assert new is not None
            self.observer.flows.took(request, old, new)
        if operation == "SendMessageBatch":
            if self.virtual_time.current.name == _ORPHAN:
                raise Violation("an orphaned schedule fires something")
            self.observer.looks.sends(request)
            for name in list(
                itertools.islice(reversed(self.cloud.messages), len(request["Entries"]))
            ):
                self._sent(name)
        elif operation == "CreateSchedule":
            self._plan_wake(request["Name"], request, self.virtual_time.now)

    def _sent(self, name: str) -> None:
        message = self.cloud.messages[name]
        if self._happens(self.fault_rates.lost_message):
            self.cloud.tell("the message is lost")
            del self.cloud.messages[name]
            return
        if self._happens(self.fault_rates.late_message):
            message.visible_at += timedelta(seconds=self.chance.choice((3, 40, 200, 86_400)))
        if self.arrives is not None:
            arrives = self.arrives
            self.virtual_time.at(
                self.virtual_time.seconds(message.visible_at), lambda: arrives(name)
            )
            return
        self._poll_at(self.virtual_time.seconds(message.visible_at), name)

    def _poll_at(self, time: float, name: str) -> None:
        self.virtual_time.at(time + self.chance.uniform(0.005, 0.4), lambda: self._poll(name))

    def _poll(self, name: str) -> None:
        if (
            name not in self.cloud.messages
            or self.cloud.messages[name].visible_at > self.virtual_time.now
        ):
            return
        visible = [
            other
            for other, message in self.cloud.messages.items()
            if message.visible_at <= self.virtual_time.now and other != name
        ]
        names = [name, *visible[: self.chance.randrange(10)]]
        for received in names:
            message = self.cloud.messages[received]
            message.count += 1
            message.visible_at = self.virtual_time.now + timedelta(seconds=VISIBILITY)
            if message.count > RECEIVED_AT_MOST:
                del self.cloud.messages[received]
            else:
                self._poll_at(self.virtual_time.time + VISIBILITY, received)
        names = [received for received in names if received in self.cloud.messages]
        for _ in range(2 if self._happens(self.fault_rates.doubled_message) else 1):
            self.virtual_time.at(
                self.virtual_time.time + self.chance.uniform(0, 0.1), lambda: self.deliver(names)
            )

    def deliver(self, names: list[str]) -> None:
        """Deliver messages as one batch."""
        messages = [
            {"MessageId": name, "ReceiptHandle": name, "Body": self.cloud.messages[name].body}
            for name in names
            if name in self.cloud.messages
        ]
        if not messages:
            return

        def deliver() -> None:
            process = self.virtual_time.current
            dues = [due for one in messages for due in load_dues(one["Body"])]
            process.reads_at = reads_at(
                process.begun_at, process.skew, [due.at for due in dues], self.virtual_time.start
            )
            self.virtual_time.at(
                self.virtual_time.time + DELIVER_TIMEOUT, lambda: setattr(process, "is_dead", True)
            )
            try:
                executor.on_messages(
                    SQSEvent(queue_event(messages, "arn:queue"), None), self.firing
                )
            except Unavailable:
                self.cloud.tell("the batch will come again")
                return
            self.observer.executors.left()
            for name in names:
                self.cloud.messages.pop(name, None)

        self.begin("deliver", deliver)

    def _plan_wake(self, name: str, schedule: dict[str, Any], after: datetime) -> None:
        at = eventbridge.next_fire(
            schedule["ScheduleExpression"], schedule["ScheduleExpressionTimezone"], after
        )
        if at is None:
            return
        late = self.chance.uniform(0, 59)
        self.virtual_time.at(
            self.virtual_time.seconds(at) + late, lambda: self._wake(name, schedule, at)
        )

    def _wake(self, name: str, schedule: dict[str, Any], at: datetime) -> None:
        is_there = name in self.cloud.schedules
        if is_there and schedule["ActionAfterCompletion"] == "DELETE":
            del self.cloud.schedules[name]
        elif is_there:
            self._plan_wake(name, schedule, at)
        if not is_there and not self._happens(self.fault_rates.deleted_schedule_fires):
            return
        if self._happens(self.fault_rates.lost_wake):
            return
        event = wake_event({**schedule, "Arn": name}, at)
        late = (
            self.chance.choice((90, 600, 86_400))
            if self._happens(self.fault_rates.late_wake)
            else 0
        )
        for _ in range(2 if self._happens(self.fault_rates.doubled_wake) else 1):
            self.virtual_time.at(
                self.virtual_time.time + late + self.chance.uniform(0, 0.2),
                lambda: self._invoke_wake(event, (60.0, 120.0)),
            )

    def _invoke_wake(self, event: dict[str, Any], again: tuple[float, ...]) -> None:
        ended: list[bool] = []

        def wake() -> None:
            try:
                executor.on_wake(event, self.firing)
            except (Unavailable, Killed) as error:
                # Lambda calls a function that raised, or died, twice more.
                if again:
                    self.virtual_time.at(
                        self.virtual_time.time + again[0],
                        lambda: self._invoke_wake(event, again[1:]),
                    )
                if isinstance(error, Killed):
                    raise
            ended.append(True)

        self.begin("wake", wake)

    def _sweep(self) -> None:
        self.virtual_time.at(self.virtual_time.time + 60, self._sweep)
        if self._happens(self.fault_rates.old_records):
            self._age()
        if self._happens(self.fault_rates.lost_sweep):
            return
        for _ in range(2 if self._happens(self.fault_rates.second_sweeper) else 1):
            self.virtual_time.at(
                self.virtual_time.time + self.chance.uniform(0, 0.02),
                lambda: self.begin("sweep", self._swept),
            )

    def _age(self) -> None:
        """Have another release write every record anew: without what it takes for granted, and with
        what this one does not know.
        """
        self.cloud.tell("another release has written the records")
        table = self.cloud.tables["jobs"]
        for key, item in list(table.items()):
            part = next((part for part in ("state", "definition") if part in item), None)
            if part is not None:
                record = {
                    name: value
                    for name, value in json.loads(item[part]["S"]).items()
                    if _GRANTED.get(name) != value
                }
                table[key] = {
                    **item,
                    part: {"S": json.dumps({**record, "of_another_release": [1]})},
                }

    def _swept(self) -> None:
        with contextlib.suppress(Unavailable):
            executor.on_sweep(self.firing)

    def sweep_of_orphans(self) -> None:
        """Let every schedule wake that no state carries: it must send nothing, and be gone."""
        carried = {
            f"{job_history.states[-1].job_id}-{job_history.states[-1].token}"
            for job_history in self.observer.job_histories.values()
            if not job_history.is_deleted
        }
        for name in [name for name in self.cloud.schedules if name not in carried]:
            # A quarter of an hour later, by this process's clock.
            process = Process(_ORPHAN, skew=16 * 60)
            self.virtual_time.begin(process, partial(self._wake_now, name))
            self.virtual_time.run_until(self.virtual_time.time + 1)
            if name in self.cloud.schedules:
                raise Violation(f"an orphaned schedule does not delete itself: {name}")

    def _wake_now(self, name: str) -> None:
        self.firing.wake(name, self.virtual_time.now)

    # Clients

    def ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[Answer | None, Process]:
        """Call the API as a client: its Lambda is a process of its own.

        The answer is None if that died.
        """
        answers: list[Answer] = []
        process = self._process("api")
        process.asked = f"{method} {path}"
        self.virtual_time.at(
            self.virtual_time.time + API_TIMEOUT, lambda: setattr(process, "is_dead", True)
        )
        self.virtual_time.invoke(
            process, lambda: answers.append(self._serve(method, path, body, headers))
        )
        return (answers[0] if answers else None), process

    def _serve(
        self, method: str, path: str, body: object, headers: dict[str, str] | None
    ) -> Answer:
        path, _, query = path.partition("?")
        event = gateway_event(method, path, query, body, headers or {})
        answer = app(event, None)
        status = answer["statusCode"]
        self.cloud.tell(f"{method} {path} is answered {status}")
        if status == 500:
            raise Violation(f"{method} {path}: a 500")
        text = answer.get("body")
        flat = {
            name: value[0] for name, value in answer.get("multiValueHeaders", {}).items()
        } | answer.get("headers", {})
        return status, flat, json.loads(text) if text else None


def _has_places(key: dict[str, Any]) -> bool:
    """Return whether an item has the places of a flow."""
    return "id" in key and key["id"]["S"].startswith("flow#") and key["part"]["S"] == "places"


_RESOURCES = {
    1: "/jobs",
    2: "/jobs/{job_id}",
    3: "/jobs/{job_id}/%s",
    4: "/jobs/{job_id}/runs/{run_id}",
    5: "/jobs/{job_id}/runs/{run_id}/retry",
}


def gateway_event(
    method: str, path: str, query: str, body: object, headers: dict[str, str]
) -> dict[str, Any]:
    """Return the event that API Gateway would make."""
    segments = path.strip("/").split("/")
    resource = path if segments[0] == "runs" else _RESOURCES[len(segments)]
    if segments[0] in ("notices", "calendars"):
        resource = f"/{segments[0]}/{{name}}"
    elif segments[0] == "flows":
        resource = "/flows/{flow}"
    elif segments[0] == "complete":
        resource = "/complete/{token}"
    elif len(segments) == 3:
        resource = resource % segments[2]
    names = dict.fromkeys(("name", "token", "flow"), segments[-1])
    if not re.search("{(name|token|flow)}", resource):
        names = (
            dict(zip(("job_id", "", "run_id"), segments[1:], strict=False))
            if "{job_id}" in resource
            else {}
        )
    pairs = [pair.split("=", 1) for pair in query.split("&") if pair]
    return {
        "requestContext": {
            "httpMethod": method,
            "resourcePath": resource,
            "path": path,
            "identity": {"sourceIp": "127.0.0.1"},
        },
        "headers": {"host": "localhost:8000", "content-type": "application/json", **headers},
        "multiValueQueryStringParameters": {name: [value] for name, value in pairs} or None,
        "pathParameters": {name: value for name, value in names.items() if name},
        "stageVariables": None,
        "body": json.dumps(body) if body is not None else None,
        "isBase64Encoded": False,
    }


@contextlib.contextmanager
def deployed(
    plan: Plan, fault_rates: FaultRates, seed: object, sharing: Sharing = ALONE
) -> Iterator[Deployment]:
    """Deploy, with every source of chance seeded: owner tokens and ids come from `os.urandom`,
    jitter from `random`.
    """
    # A run leaves some 500 objects in cycles; collecting every 700 objects takes a third of its
    # time.
    gc.set_threshold(200_000)
    chance = random.Random(str(seed))
    entropy, urandom, state = random.Random(f"entropy {seed}"), os.urandom, random.getstate()
    generator = ulid.default_generator
    log = logging.getLogger("resona")
    os.urandom = entropy.randbytes
    ulid.default_generator = ulid.ULIDGenerator(policy=ulid.LaxMonotonicPolicy())
    random.seed(str(seed))
    log.disabled = True
    deployment = Deployment(plan, fault_rates, chance, sharing)
    backend.use(deployment.scheduling, stage="local")
    try:
        yield deployment
    finally:
        deployment.virtual_time.close()
        os.urandom, ulid.default_generator = urandom, generator
        random.setstate(state)
        log.disabled = False
        # What is left in a circle waits for the collector, which takes as long for it as for all
        # the rest of its work.
        vars(deployment.cloud).clear()
        vars(deployment).clear()
