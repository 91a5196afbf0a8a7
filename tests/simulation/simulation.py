"""Simulate one deployment from a seed: random clients and faults, then quiet, then checks."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

from tests.parts import ALONE
from tests.simulation.clients import Clients, heal, run_clients
from tests.simulation.deployment import Deployment, deployed
from tests.simulation.faults import FaultRates, Plan, of_seed
from tests.simulation.observer import Violation
from tests.simulation.sharing import FEW

# A lease, the longest pause of a process, a retry, a deadline that was extended, and two looks of a
# sweeper that has doubled its step to the full.
REST = timedelta(seconds=25 + 700 + 66 + 300 + 2 * 8 * 60 + 60)


@dataclass(frozen=True)
class SimulationRun:
    """What came of it. `violation` is None when every promise was kept."""

    seed: int
    digest: str
    calls: int
    faults: int
    kills: int
    sent: int
    commits: int
    violation: str | None
    trace: tuple[str, ...] = ()


def simulate(seed: int, *, is_verbose: bool = False, is_shared: bool = False) -> SimulationRun:
    """Simulate a deployment with the clients and faults of a seed. If it `is_shared`, its tenant
    may use only some of its few executors.
    """
    plan, fault_rates = of_seed(seed)
    with deployed(plan, fault_rates, seed, FEW if is_shared else ALONE) as deployment:
        deployment.cloud.is_verbose = is_verbose
        clients = Clients(deployment)
        violation = None
        try:
            _simulate(deployment, clients, random.Random(f"length {seed}"))
        except Violation as broken:
            violation = str(broken)
        return told(deployment, seed, violation)


def _simulate(deployment: Deployment, clients: Clients, chance: random.Random) -> None:
    until = chance.choice((60.0, 130.0, 250.0))
    run_clients(deployment, clients, until)
    deployment.virtual_time.run_until(until + 60)
    finish(deployment, clients)


def finish(deployment: Deployment, clients: Clients) -> None:
    """Heal, wait for rest, and hold the end against the promises."""
    heal(deployment, REST)
    deployment.observer.ended(deployment.cloud.schedules, deployment.cloud.tables.get("jobs", {}))
    ended: list[bool] = []

    def look() -> None:
        clients.end()
        ended.append(True)

    deployment.begin("client", look)
    while not ended:
        deployment.virtual_time.run_until(deployment.virtual_time.time + 5)
    deployment.sweep_of_orphans()


def told(deployment: Deployment, seed: int, violation: str | None) -> SimulationRun:
    """Return the summary of a run."""
    cloud = deployment.cloud
    kills = sum(fault.name.startswith("KILL") for _, fault in cloud.met)
    sent = len(deployment.observer.sent)
    digest = cloud.digest.hexdigest()
    return SimulationRun(
        seed,
        digest,
        cloud.made,
        len(cloud.met),
        kills,
        sent,
        deployment.observer.commits,
        violation,
        tuple(cloud.trace),
    )


__all__ = ["FaultRates", "Plan", "SimulationRun", "finish", "simulate", "told"]
