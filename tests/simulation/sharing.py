"""Executors that tenants share, in the simulation: what the observer knows of them, and scripts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from chalicelib.aws.busy_store import tickets_in
from chalicelib.aws.table import plain
from chalicelib.domain.fairness import FARTHEST, SOONEST, Sharing
from chalicelib.domain.flows import Wait
from chalicelib.domain.job import Definition, Kind
from chalicelib.domain.state import UnfinishedRun
from tests.simulation.cloud import Write
from tests.simulation.virtual_time import Process, VirtualTime

if TYPE_CHECKING:
    from tests.simulation.scenarios import Stage

FEW = Sharing(executors=4, share=0.5, least=1, one_in=1)
"""Every invocation leaves a ticket."""
# Of four, half; and of runs that a flow has held before, three quarters.
_ALLOWED, _ALLOWED_IN_TURN = 2, 3
# A ticket counts for so long.
_LIFETIME = timedelta(seconds=660)
_SIGNING = ("local", "signing")
# An invocation waits so long before it reads the tickets of others, but not longer than so long
# before something is due.
_WAITS, _READS = 0.05, 0.03
# A place is rounded up to a whole second, and the message comes before it.
_ROUNDED = timedelta(seconds=2)
Hold = Callable[..., None]


class Executors:
    """Holds every run that is held for its tenant's share, and every claim, against the tickets
    that the invocation may have seen.
    """

    def __init__(self, hold: Hold, virtual_time: VirtualTime, sharing: Sharing) -> None:
        self._hold = hold
        self._virtual_time = virtual_time
        self._is_exact = sharing == FEW
        self._tickets: list[tuple[float, dict[str, datetime]]] = [(0.0, {})]
        self._owners: dict[str, Process] = {}

    def saw(self, writes: list[Write]) -> None:
        """Take in the tickets as they are now."""
        for table, key, _, new in writes:
            if table == "secrets" and key == _SIGNING and new is not None:
                tickets = tickets_in(plain(new))
                for name in tickets.keys() - self._tickets[-1][1].keys():
                    self._owners[name] = self._virtual_time.current
                self._tickets.append((self._virtual_time.time, tickets))

    def _ahead(self, unknown: str) -> list[int]:
        """Return how many executors the current invocation may have seen that began before it: as
        many as there were at each time since it could read them. Its own ticket is `unknown` if it
        could not be left.
        """
        process, start = self._virtual_time.current, self._virtual_time.start
        began = start + timedelta(seconds=process.begun_at + process.skew)
        own = next((name for name, of in self._owners.items() if of is process), unknown)
        times = [at for at, _ in self._tickets if at > process.reads_at]
        return [
            sum(
                ticket < (began, own)
                and start + timedelta(seconds=time + process.skew) < ticket[0] + _LIFETIME
                for ticket in self._at(time)
            )
            for time in (process.reads_at, *times, self._virtual_time.time)
        ]

    def _at(self, time: float) -> list[tuple[datetime, str]]:
        tickets = next(tickets for at, tickets in reversed(self._tickets) if at <= time)
        return [(began, name) for name, began in tickets.items()]

    def held(self, before: UnfinishedRun | None, run: UnfinishedRun) -> None:
        """A run is held only beyond the share, and not for long without another look."""
        if not self._is_exact:
            return
        ahead = self._ahead(unknown="~")
        is_beyond = any(count >= _allowed(before) for count in ahead)
        self._hold(is_beyond, "nothing is held within the share", run.key, ahead)
        assert run.next_attempt_at is not None
        now = self._virtual_time.now + timedelta(seconds=self._virtual_time.current.skew)
        is_soon = run.next_attempt_at <= now + SOONEST + FARTHEST + _ROUNDED
        self._hold(is_soon, "what is held asks again", run.key, run.next_attempt_at)

    def claimed(self, job: Definition, before: UnfinishedRun | None, run: UnfinishedRun) -> None:
        """Nothing is sent beyond the share, if it could be asked."""
        process = self._virtual_time.current
        if not self._is_exact or job.kind is Kind.NOTICE or process.met_fault:
            return
        ahead = self._ahead(unknown="")
        is_within = any(count < _allowed(before) for count in ahead)
        self._hold(is_within, "nothing is sent beyond the share", run.key, ahead)

    def left(self) -> None:
        """An invocation that ends leaves no ticket."""
        process = self._virtual_time.current
        left = [name for name in self._tickets[-1][1] if self._owners[name] is process]
        is_gone = not left or process.met_fault or not self._is_exact
        self._hold(is_gone, "no ticket is left", *left)


def _allowed(before: UnfinishedRun | None) -> int:
    has_waited = before is not None and before.waits_for not in (None, Wait.SHARE)
    return _ALLOWED_IN_TURN if has_waited else _ALLOWED


def _together(stage: Stage, batches: list[list[str]], before: float) -> None:
    """Deliver messages in batches, all at the same time, so many seconds before 10:00:12."""
    virtual_time = stage.deployment.virtual_time
    for batch in batches:
        virtual_time.at(12 - before, partial(stage.deployment.deliver, batch))


def _jobs(stage: Stage, count: int, **fields: Any) -> tuple[list[str], list[str]]:
    """Register jobs for 10:00:12; return them and the names of their messages, which do not come
    by themselves. An invocation has made the tenant's signing secrets before.
    """
    deployment = stage.deployment
    stage.job(trigger={"delay": 1})
    stage.wait(2)
    deployment.arrives = lambda name: None
    before = set(deployment.cloud.messages)
    date = {"date": "2026-11-23T10:00:12Z"}
    jobs = [stage.job(trigger=date, **fields) for _ in range(count)]
    names = [name for name in deployment.cloud.messages if name not in before]
    deployment.arrives = None
    return jobs, names


def more_than_the_share_at_once(stage: Stage) -> None:
    """Four invocations begin at once, each with one message. One that is held is cancelled."""
    stage.answers[:] = [0, 0]
    jobs, held = _jobs(stage, 4, retry={"max_attempts": 1})
    _together(stage, [[name] for name in held], 0.3)
    stage.wait(max(0, 12.5 - stage.deployment.virtual_time.time))
    stage.mend(jobs[-1], stage.clients.cancel)
    stage.wait(30)


def batches_beyond_the_share(stage: Stage) -> None:
    """What is held of a batch comes again as one message. One of the jobs is changed meanwhile."""
    stage.answers[:] = [0, 0, 0, 0]
    jobs, held = _jobs(stage, 8, retry={"max_attempts": 1})
    _together(stage, [held[start : start + 2] for start in range(0, len(held), 2)], 0.3)
    stage.wait(max(0, 13 - stage.deployment.virtual_time.time))
    bodies = [message.body for message in stage.deployment.cloud.messages.values()]
    is_together = sum("\n" in body for body in bodies) == 2
    is_hit = bool(stage.deployment.cloud.met)
    stage.clients.hold(is_together or is_hit, "what is held comes together", bodies)
    stage.ask("PATCH", jobs[-1], body={"timeout": 7})
    stage.wait(30)


def a_grace_that_ends_beyond_the_share(stage: Stage) -> None:
    """It is missed, and nothing else of its tenant."""
    stage.answers[:] = [0, 0]
    _, held = _jobs(stage, 4, misfire_grace=4, retry={"max_attempts": 1})
    _together(stage, [[name] for name in held], 0.3)
    stage.wait(30)


def a_flow_beyond_the_share(stage: Stage) -> None:
    """A run that waits for its tenant's share asks its flow afterwards."""
    stage.flow("slow", requests=1, seconds=2)
    stage.answers[:] = [0, 0]
    _, held = _jobs(stage, 5, flow="slow", retry={"max_attempts": 1})
    _together(stage, [[name] for name in held], 0.3)
    stage.wait(40)


def a_flow_whose_places_come_beyond_the_share(stage: Stage) -> None:
    """Two invocations use the share. Of the runs that have their places the next one is sent, and
    the one after that is held.
    """
    stage.flow("slow", requests=1, seconds=2)
    date = {"date": "2026-11-23T10:00:11Z"}
    for _ in range(3):
        stage.job(flow="slow", trigger=date, retry={"max_attempts": 1})
    stage.answers[:] = [200, 200, 0, 0, 0]
    _, held = _jobs(stage, 2, retry={"max_attempts": 1})
    _together(stage, [[name] for name in held], 0.3)
    stage.wait(60)


SCRIPTS: tuple[Callable[[Stage], None], ...] = (
    more_than_the_share_at_once,
    batches_beyond_the_share,
    a_grace_that_ends_beyond_the_share,
    a_flow_beyond_the_share,
    a_flow_whose_places_come_beyond_the_share,
)


def reads_at(began: float, skew: float, due: list[datetime], start: datetime) -> float:
    """Return from when on an invocation that begins then may read tickets."""
    first = min(((at - start).total_seconds() for at in due), default=began)
    return max(began, min(began + _WAITS, first - skew - _READS))
