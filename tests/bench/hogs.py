"""How late a tenant is while the jobs of another one hold their executors for ten minutes.
`python -m tests.bench.hogs [jobs …]`

One tenant has so many jobs that are due in the same second and whose target never answers: each
attempt ends by its timeout of 600 s. Another tenant has ten jobs each minute, from that second on,
whose target answers. The model is that of `tests.bench.bursts`. "Hot" begins with all pollers and
warm functions, and all messages of the first tenant become visible in the same instant.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from chalicelib.domain.fairness import Sharing
from chalicelib.domain.job import Definition
from chalicelib.domain.request import Request
from chalicelib.domain.run import AttemptResult, Outcome
from chalicelib.domain.trigger import OneTime
from tests.bench.bill import memory
from tests.bench.bursts import (
    DUE_AFTER_SECONDS,
    FROM_IDLE,
    MAXIMUM_CONCURRENCY,
    SEND_MILLISECONDS,
    WARM,
    Cpu,
    EventSource,
    answer,
)
from tests.parts import ALONE
from tests.simulation.deployment import START, Deployment, deployed
from tests.simulation.faults import FaultRates, Plan

TIMEOUT_SECONDS = 600
QUIET = 10
# So long all messages of the hot start come before their time.
EARLY_SECONDS = 0.15
HOG, QUICK = "https://hog.example.com/", "https://example.com/"


def answer_of(
    cpu: Cpu, request: Request, headers: Mapping[str, str]
) -> tuple[float, AttemptResult]:
    """Answer a request of the second tenant; let one of the first run into its timeout."""
    if request.url != HOG:
        return answer(cpu, request, headers)
    cpu.take(SEND_MILLISECONDS)
    took = timedelta(seconds=TIMEOUT_SECONDS)
    return TIMEOUT_SECONDS, AttemptResult(Outcome.TIMEOUT, took, error="no answer")


class Hogs:
    """A deployment with the jobs of both tenants; `minutes` says how often the second one has ten
    jobs.
    """

    def __init__(
        self,
        deployment: Deployment,
        jobs: int,
        minutes: int,
        pollers: int,
        warm: int,
    ) -> None:
        self._deployment = deployment
        self.minutes = minutes
        cpu = Cpu(deployment.virtual_time, memory("deliver"))
        self._source = EventSource(deployment, cpu, pollers, warm)
        self._due: dict[str, float] = {}
        for tenant in ("noisy", "quiet"):
            # Neither is new.
            deployment.firing.sender.secrets.signing(tenant, START)
        deployment.cloud.works = partial(cpu.take, 1.3)
        deployment.target = partial(answer_of, cpu)
        deployment.arrives = self._source.arrives
        for _ in range(jobs):
            self._register("noisy", HOG, 0)
        for minute in range(minutes):
            for _ in range(QUIET):
                self._register("quiet", QUICK, 60 * minute)

    def gather(self) -> None:
        """Let the messages become visible in the same instant."""
        virtual_time, arrives = self._deployment.virtual_time, self._source.arrives

        def later(name: str) -> None:
            virtual_time.at(DUE_AFTER_SECONDS - EARLY_SECONDS, lambda: arrives(name))

        self._deployment.arrives = later

    def _register(self, tenant: str, url: str, after: float) -> None:
        deployment = self._deployment
        at = DUE_AFTER_SECONDS + after
        trigger = OneTime(START + timedelta(seconds=at))
        draft = Definition(
            "",
            tenant,
            1,
            "job",
            START,
            trigger,
            Request(url, "POST", {}, "m"),
            timeout=timedelta(seconds=TIMEOUT_SECONDS),
        )

        def create() -> None:
            job_id = deployment.scheduling.create(draft).definition.id
            if tenant == "quiet":
                self._due[job_id] = at

        deployment.virtual_time.at(
            deployment.chance.uniform(0, DUE_AFTER_SECONDS / 3),
            partial(deployment.begin, "api", create),
        )

    def run(self) -> None:
        self._deployment.virtual_time.run_until(DUE_AFTER_SECONDS + 60 * self.minutes + 400)

    def late(self) -> list[float]:
        """Return how late the ten of each minute were at most; infinity if one was never sent."""
        sent = {
            sent.job_id: sent.at
            for sent in self._deployment.observer.sent.values()
            if sent.job_id in self._due
        }
        worst: dict[float, float] = {}
        for job_id, at in self._due.items():
            late = sent.get(job_id, float("inf")) - at
            worst[at] = max(worst.get(at, 0), late)
        return [worst[at] for at in sorted(worst)]

    def in_flight(self) -> int:
        """Return how many of the first tenant's attempts were sent."""
        return len(self._deployment.observer.sent) - len(self._due)


def once(
    jobs: int, minutes: int, pollers: int, warm: int, sharing: Sharing, *, gathers: bool
) -> str:
    """Return how late the second tenant is."""
    with deployed(Plan(), FaultRates(), f"hogs {jobs}", sharing) as deployment:
        made = Hogs(deployment, jobs, minutes, pollers, warm)
        if gathers:
            made.gather()
        made.run()
        late = made.late()
        text = " ".join(f"{each:.1f}" for each in late)
        return f"late {max(late):6.1f}   by minute: {text}   sent {made.in_flight()}"


def main(sizes: list[int]) -> None:
    print("seconds late, the last of ten jobs of each minute")
    for jobs in sizes:
        for name, pollers, warm, gathers in (
            ("from idle", FROM_IDLE, 0, False),
            ("warm", WARM, WARM, False),
            ("hot", MAXIMUM_CONCURRENCY, MAXIMUM_CONCURRENCY, True),
        ):
            for rule, sharing in (("before", ALONE), ("shared", Sharing())):
                text = once(jobs, 12, pollers, warm, sharing, gathers=gathers)
                print(f"{jobs:7} that never answer, {name:9} {rule}: {text}", flush=True)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [9_000])
