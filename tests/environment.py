"""Resona's real parts on a cloud in memory, with a clock that a test moves.

Nothing waits: `advance_to` goes from event to event (a message becomes visible, a schedule wakes,
the sweeper's minute) and calls the executor's use cases as AWS would. Targets answer what `target`
returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any

from chalicelib.aws.due_queue import load_dues
from chalicelib.aws.serialization import sortable
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.fairness import Sharing
from chalicelib.domain.job import Definition
from chalicelib.domain.request import Request
from chalicelib.domain.run import AttemptResult, Outcome, Response
from chalicelib.domain.secrets import Credentials
from chalicelib.domain.trigger import Trigger
from chalicelib.usecases.job_runs import runs_page
from infra.local import eventbridge
from tests.cloud import Cloud
from tests.parts import ALONE, Parts, compose

START = datetime(2026, 11, 23, 10, 0, 0, 250_000, tzinfo=UTC)
VISIBILITY = timedelta(seconds=720)
# It is asked again at every event.
_next_fire = cache(eventbridge.next_fire)


@dataclass(frozen=True)
class Sent:
    """A request as a target saw it."""

    at: datetime
    request: Request
    headers: Mapping[str, str]
    credentials: Credentials


def ok(body: str = "ok") -> AttemptResult:
    return AttemptResult(
        Outcome.SUCCESS,
        timedelta(milliseconds=40),
        200,
        Response({"content-type": "text/plain"}, body, truncated=False),
    )


def status(code: int, **members: Any) -> AttemptResult:
    return AttemptResult(
        Outcome.HTTP_ERROR,
        timedelta(milliseconds=40),
        code,
        Response({}, "", truncated=False),
        error=f"{code}",
        **members,
    )


def in_turn(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """Make calls one after the other, so that a test is the same every time, and what each costs
    can be counted by itself.
    """
    return [call() for call in calls]


class Environment:
    """One deployment.

    `target` is called with each request and returns what came of it; `make_cloud` makes the cloud
    it runs on.
    """

    def __init__(
        self,
        start: datetime = START,
        make_cloud: Callable[[Callable[[], datetime]], Cloud] = Cloud,
        sharing: Sharing = ALONE,
    ) -> None:
        self._sharing = sharing
        self.now = start
        self.sent: list[Sent] = []
        self.target: Callable[[Sent], AttemptResult] = lambda sent: ok()
        self.sweeps = True
        self.sweeps_in_vain = False
        self.wakes = True
        self.cloud = make_cloud(self.clock)
        parts = self.parts()
        self.jobs, self.runs, self.secrets = parts.jobs, parts.runs, parts.secrets
        self.schedules, self.queue, self.arming = parts.schedules, parts.queue, parts.arming
        self.scheduling, self.firing = parts.scheduling, parts.firing
        self._swept_at = start
        self._woken: dict[str, datetime] = {}

    def parts(
        self, sleep: Callable[[float], None] | None = None, sharing: Sharing | None = None
    ) -> Parts:
        """Return new parts on this cloud, as another process has. `sleep` None moves the clock."""
        sleep = sleep or self._sleep
        return compose(
            self.cloud, self._send, self.clock, sleep, in_turn, sharing=sharing or self._sharing
        )

    def clock(self) -> datetime:
        return self.now

    def _sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def _send(
        self,
        request: Request,
        *,
        run_headers: Mapping[str, str],
        timeout: timedelta,
        credentials: Credentials,
    ) -> AttemptResult:
        sent = Sent(self.now, request, run_headers, credentials)
        self.sent.append(sent)
        result = self.target(sent)
        self.now += result.duration
        return result

    def create(self, trigger: Trigger, **fields: Any) -> str:
        """Register a job and return its id."""
        request = fields.pop("request", Request("https://example.com/hook", "POST", {}, {"n": 1}))
        draft = Definition("", "tenant", 1, "job", self.now, trigger, request, **fields)
        return self.scheduling.create(draft).definition.id

    def advance(self, **duration: float) -> None:
        """Let time pass."""
        self.advance_to(self.now + timedelta(**duration))

    def advance_to(self, until: datetime) -> None:
        """Let time pass, and everything happen that is due until then."""
        while True:
            at, event = self._next_event()
            if at > until:
                break
            self.now = max(self.now, at)
            event()
        self.now = max(self.now, until)

    def _next_event(self) -> tuple[datetime, Callable[[], None]]:
        events: list[tuple[datetime, int, Callable[[], None]]] = [
            (self._swept_at + timedelta(minutes=1), 2, self.sweep)
        ]
        for name, message in self.cloud.messages.items():
            events.append((message.visible_at, 1, partial(self.deliver, name)))
        if self.wakes:
            for name, schedule in self.cloud.schedules.items():
                after = self._woken.get(name, schedule["made_at"])
                at = _next_fire(
                    schedule["ScheduleExpression"], schedule["ScheduleExpressionTimezone"], after
                )
                if at is not None:
                    events.append((at, 0, partial(self.wake, name, at)))
        at, _, event = min(events, key=lambda event: event[:2])
        return at, event

    def sweep(self) -> None:
        """Let the sweeper look once, if it would find something or looks `sweeps_in_vain`: these
        looks take most of the time in which days pass.
        """
        self._swept_at = max(self.now, self._swept_at + timedelta(minutes=1))
        is_overdue = any(
            item["watch_at"]["S"] <= sortable(self.now)
            for item in self.cloud.tables["jobs"].values()
            if "watch_at" in item
        )
        if self.sweeps and (is_overdue or self.sweeps_in_vain):
            self.firing.sweep(self.now + timedelta(seconds=45))

    def deliver(self, name: str) -> None:
        """Deliver one message, and delete it unless its handling failed, since something did not
        answer: then it comes again.
        """
        message = self.cloud.messages[name]
        message.visible_at = self.now + VISIBILITY
        message.count += 1
        try:
            for due in load_dues(message.body):
                self.firing.fire(due)
        except Unavailable:
            return
        self.cloud.messages.pop(name, None)

    def wake(self, name: str, at: datetime) -> None:
        """Let a schedule wake the executor for its time `at`."""
        self._woken[name] = at
        if self.cloud.schedules[name]["ActionAfterCompletion"] == "DELETE":
            del self.cloud.schedules[name]
        self.firing.wake(name, at)

    def job(self, job_id: str) -> Any:
        return self.scheduling.get("tenant", job_id)

    def state(self, job_id: str) -> Any:
        return self.jobs.state(job_id)

    def run_list(self, job_id: str) -> Any:
        return runs_page(self.scheduling, "tenant", job_id, None, 100)[1]
