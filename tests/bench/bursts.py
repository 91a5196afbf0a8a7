"""How late a burst is: many jobs of one tenant and ten of another, all due in the same second.
`python -m tests.bench.bursts [jobs …]`

The real code runs in virtual time on the simulation's cloud, a call of which takes 1 to 12 ms;
targets take 100 ms. What feeds it is a model of Lambda's event source for SQS, by AWS's
documentation: so many batches at once, up to 300 more each minute (5 a second), at most
MAXIMUM_CONCURRENCY; up to ten messages a batch, taken fairly from the tenants (message groups). A
function that has not run before takes COLD_START_SECONDS more. The pollers at the start are an
assumption: FROM_IDLE or WARM. A burst of crons comes every five minutes, so that each claim sends
the next message; in one of hourly crons the sweeper sends them. Wakes come evenly over a minute, as
EventBridge Scheduler may. A process knows only what it has sent itself: each execution environment
has a due queue of its own.
"""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from statistics import quantiles
from typing import Any

from chalice.app import SQSEvent

from chalicelib.aws.due_queue import DueQueue
from chalicelib.domain.cron import Cron
from chalicelib.domain.job import Definition
from chalicelib.domain.request import Request
from chalicelib.domain.run import AttemptResult, Outcome, Response
from chalicelib.domain.trigger import OneTime, Trigger
from chalicelib.handlers import executor
from chalicelib.usecases.arming import Arming
from infra.local.clock import queue_event
from tests.bench.bill import MEGABYTES_OF_A_CPU, memory
from tests.cloud import SQS
from tests.simulation.deployment import START, Deployment, deployed
from tests.simulation.faults import FaultRates, Plan
from tests.simulation.virtual_time import Process, VirtualTime

MAXIMUM_CONCURRENCY = 800
MORE_A_SECOND = 5
COLD_START_SECONDS = 0.65
FROM_IDLE, WARM = 5, 100
DUE_AFTER_SECONDS = 1500
# A burst of up to 100 jobs is repeated with other ids, times of calls and of wakes. One of crons
# comes seven times in each round.
ROUNDS, ROUNDS_OF_CRONS = 8, 3
OFTEN, HOURLY, OCCURRENCES = Cron("*/5 * * * *", "UTC"), Cron("0 * * * *", "UTC"), range(3, 10)
TARGET_SECONDS = 0.1
# Of CPU, by tests.bench.cpu: a firing of five calls takes 9 ms, 2.5 of these for a request. A
# connection to AWS takes 3 ms; a cold function opens as many as a batch has messages while it is
# initialized, a warm one has the one of its last firing.
CALL_MILLISECONDS, SEND_MILLISECONDS, CONNECT_MILLISECONDS = 1.3, 2.5, 3
BATCH = 10


class Cpu:
    """The CPU of each execution environment, which all attempts of its batch share: `share` of one.

    Without it, work takes no time.
    """

    def __init__(self, virtual_time: VirtualTime, megabytes: float) -> None:
        self._virtual_time = virtual_time
        self._share = min(1.0, megabytes / MEGABYTES_OF_A_CPU)
        self._free_at: dict[Process, float] = {}

    def take(self, milliseconds: float) -> None:
        """Work for so long on a whole CPU, after the others of this environment."""
        process, now = self._virtual_time.current, self._virtual_time.time
        if not process.name.startswith("deliver"):
            return
        begins = max(now, self._free_at.get(process, 0.0))
        self._free_at[process] = begins + milliseconds / 1000 / self._share
        self._virtual_time.wait(self._free_at[process] - now)


class Environments:
    """The execution environments of all functions, each with a due queue of its own, which counts
    what it sends. An invocation gets one that is idle, by chance, or else a new one.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._virtual_time = deployment.virtual_time
        self._chance = deployment.chance
        self._sqs: Any = SQS(deployment.cloud)
        self._idle: dict[str, list[DueQueue]] = {}
        self._used: dict[Process, DueQueue] = {}
        queue: Any = self
        arming = Arming(deployment.firing.jobs, queue, deployment.virtual_time.clock)
        deployment.firing = replace(deployment.firing, queue=queue, arming=arming)
        deployment.scheduling.arming = arming
        deployment.runs_in = self._runs_in

    def _runs_in(self, kind: str, work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            idle, process = self._idle.setdefault(kind, []), self._virtual_time.current
            self._used[process] = (
                idle.pop(self._chance.randrange(len(idle)))
                if idle
                else DueQueue(self._sqs, "due", self._virtual_time.wait)
            )
            work()
            idle.append(self._used.pop(process))

        return run

    def send(self, *what: Any) -> None:
        self._used[self._virtual_time.current].send(*what)

    def send_in_time(self, *what: Any, **how: Any) -> None:
        self._used[self._virtual_time.current].send_in_time(*what, **how)


class EventSource:
    """Lambda's pollers of the due queue."""

    def __init__(self, deployment: Deployment, cpu: Cpu, pollers: int, warm: int) -> None:
        self._deployment = deployment
        self._cpu = cpu
        self._virtual_time = deployment.virtual_time
        self._pollers = pollers
        self._environments = self._warm = warm
        self._connected = 0
        self._running = 0
        self._begun: float | None = None
        self._groups: dict[str, deque[str]] = {}
        self._turns: deque[str] = deque()

    def rest(self) -> None:
        """Be as at the beginning again."""
        self._begun, self._connected, self._environments = None, 0, self._warm

    def arrives(self, name: str) -> None:
        """Take in a message that has become visible."""
        group = self._deployment.cloud.messages[name].group
        if not self._groups.setdefault(group, deque()):
            self._turns.append(group)
        self._groups[group].append(name)
        if self._begun is None:
            self._begun = self._virtual_time.time
        self._deal()

    def _allowed(self) -> int:
        assert self._begun is not None
        return min(
            MAXIMUM_CONCURRENCY,
            self._pollers + int(MORE_A_SECOND * (self._virtual_time.time - self._begun)),
        )

    def _deal(self) -> None:
        while self._turns and self._running < self._allowed():
            batch: list[str] = []
            while self._turns and len(batch) < BATCH:
                group = self._turns.popleft()
                batch.append(self._groups[group].popleft())
                if self._groups[group]:
                    self._turns.append(group)
            self._running += 1
            is_cold = self._environments < self._running
            wait = COLD_START_SECONDS if is_cold else 0.02
            self._environments = max(self._environments, self._running)
            self._virtual_time.at(
                self._virtual_time.time + wait,
                partial(self._deployment.begin, "deliver", partial(self._handle, batch, is_cold)),
            )
        if self._turns and self._allowed() < MAXIMUM_CONCURRENCY:
            self._virtual_time.at(self._virtual_time.time + 1 / MORE_A_SECOND, self._deal)

    def _handle(self, batch: list[str], is_cold: bool) -> None:
        if not is_cold and self._connected < self._warm:
            self._connected += 1
            self._cpu.take(CONNECT_MILLISECONDS * (len(batch) - 1))
        messages = [
            {
                "MessageId": name,
                "ReceiptHandle": name,
                "Body": self._deployment.cloud.messages[name].body,
            }
            for name in batch
        ]
        executor.on_messages(
            SQSEvent(queue_event(messages, "arn:queue"), None), self._deployment.firing
        )
        for name in batch:
            del self._deployment.cloud.messages[name]
        self._running -= 1
        self._virtual_time.at(self._virtual_time.time, self._deal)


def answer(cpu: Cpu, request: Request, headers: Mapping[str, str]) -> tuple[float, AttemptResult]:
    """Answer a request, after what it takes to send it."""
    cpu.take(SEND_MILLISECONDS)
    took = timedelta(seconds=TARGET_SECONDS)
    return TARGET_SECONDS, AttemptResult(
        Outcome.SUCCESS, took, 200, Response({}, "ok", truncated=False)
    )


Late = dict[str, list[float]]


class Burst:
    """So many jobs of one tenant and ten of another, of one trigger, all registered in a time."""

    def __init__(self, deployment: Deployment, jobs: int, source: EventSource, cpu: Cpu) -> None:
        self._deployment, self._tenants = deployment, dict[str, str]()
        self.everybody = ["noisy"] * jobs + ["quiet"] * 10
        random.Random(jobs).shuffle(self.everybody)
        Environments(deployment)
        deployment.cloud.works = partial(cpu.take, CALL_MILLISECONDS)
        deployment.target = partial(answer, cpu)
        deployment.arrives = source.arrives

    def register(self, trigger: Trigger, within: float) -> None:
        """Have clients register the jobs within so many seconds."""
        deployment, request = self._deployment, Request("https://example.com/", "POST", {}, "m")

        def create(tenant: str) -> None:
            draft = Definition("", tenant, 1, "job", START, trigger, request)
            self._tenants[deployment.scheduling.create(draft).definition.id] = tenant

        for tenant in self.everybody:
            deployment.virtual_time.at(
                deployment.virtual_time.time + deployment.chance.uniform(0, within),
                partial(deployment.begin, "api", partial(create, tenant)),
            )

    def late(self, due: Container[float]) -> Late:
        """Return by tenant how many seconds late its jobs were that were due at these times."""
        late: Late = {"noisy": [], "quiet": []}
        for sent in self._deployment.observer.sent.values():
            at = (sent.key.due_at - START).total_seconds()
            if at in due:
                late[self._tenants[sent.job_id]].append(sent.at - at)
        return late


def once(jobs: int, pollers: int, warm: int, megabytes: float, number: int) -> Late:
    """Return how late a burst of one-time jobs is."""
    with deployed(Plan(), FaultRates(), f"burst {jobs} {number}") as deployment:
        virtual_time = deployment.virtual_time
        cpu = Cpu(virtual_time, megabytes)
        made = Burst(deployment, jobs, EventSource(deployment, cpu, pollers, warm), cpu)
        date = OneTime(START + timedelta(seconds=DUE_AFTER_SECONDS))
        made.register(date, DUE_AFTER_SECONDS / 3)
        virtual_time.run_until(DUE_AFTER_SECONDS - 5)
        while len(deployment.observer.sent) < len(made.everybody):
            virtual_time.run_until(virtual_time.time + 1)
        return made.late((DUE_AFTER_SECONDS,))


def again(
    cron: Cron, seconds: int, jobs: int, pollers: int, warm: int, megabytes: float, number: int
) -> Late:
    """Return how late the bursts of crons are that come every so many seconds."""
    with deployed(Plan(), FaultRates(), f"crons {jobs} {number}") as deployment:
        virtual_time = deployment.virtual_time
        cpu = Cpu(virtual_time, megabytes)
        source = EventSource(deployment, cpu, pollers, warm)
        made = Burst(deployment, jobs, source, cpu)
        made.register(cron, 250)
        for occurrence in range(1, OCCURRENCES.stop):
            virtual_time.at(seconds * occurrence - 30, source.rest)
        virtual_time.run_until(seconds * OCCURRENCES.stop - 60)
        return made.late([seconds * occurrence for occurrence in OCCURRENCES])


def pooled(one: Callable[[int], Late], rounds: int) -> Late:
    """Return what so many rounds give, together."""
    found = [one(number) for number in range(rounds)]
    return {tenant: [late for each in found for late in each[tenant]] for tenant in found[0]}


def shown(late: list[float]) -> str:
    cuts = quantiles(late, n=100, method="inclusive")
    return f"p50 {cuts[49]:6.2f}  p99 {cuts[98]:6.2f}  last {max(late):6.2f}"


def main(sizes: list[int]) -> None:
    print(
        f"seconds late, with targets of {TARGET_SECONDS * 1000:.0f} ms and batches of {BATCH} sent "
        "side by side"
    )
    often, hourly = partial(again, OFTEN, 300), partial(again, HOURLY, 3600)
    made: Callable[..., Late]
    for name, made, pollers, warm in (
        ("from idle", once, FROM_IDLE, 0),
        ("warm", once, WARM, WARM),
        ("crons, from idle", often, FROM_IDLE, 0),
        ("crons, warm functions", often, FROM_IDLE, WARM),
        ("crons, warm", often, WARM, WARM),
        ("hourly crons, from idle", hourly, FROM_IDLE, 0),
        ("hourly crons, warm", hourly, WARM, WARM),
    ):
        for jobs in sizes:
            rounds = (ROUNDS if made is once else ROUNDS_OF_CRONS) if jobs <= 100 else 1
            late = pooled(partial(made, jobs, pollers, warm, memory("deliver")), rounds)
            print(
                (
                    f"{name:23} {jobs:7} of one tenant: {shown(late['noisy'])}   10 of another: "
                    f"{shown(late['quiet'])}"
                ),
                flush=True,
            )


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [100, 1000, 10_000])
