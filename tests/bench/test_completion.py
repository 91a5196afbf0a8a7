"""Long work that is completed by callback holds no executor, and costs what docs/design.md says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from chalicelib.domain.state import DueMessage
from chalicelib.usecases.ahead import NOTHING, Ahead
from chalicelib.usecases.firing import Firing
from tests.bench.meter import Usage
from tests.bench.operations import HOURLY, KB, Bench, bench

WORK = {"completion": "callback", "deadline": 600, "retry": {"max_attempts": 1}}


class Timed(Firing):
    """An executor that notes how long each of its messages held it, from the due time on."""

    def fire(self, due: DueMessage, ahead: Ahead = NOTHING) -> None:
        begun = self.clock()
        super().fire(due, ahead)
        HELD.append(self.clock() - max(begun, due.at))


HELD: list[timedelta] = []


def begin(made: Bench) -> tuple[str, str]:
    """Register a job, let it be sent, and return its path and that of its callback."""
    firing = made.env.firing
    HELD.clear()
    made.env.firing = Timed(**{name: getattr(firing, name) for name in Firing.__dataclass_fields__})
    request = {"name": "work", "request": made.request(), "trigger": {"delay": 60}}
    path = f"/jobs/{made.call('POST', '/jobs', {**request, **WORK}).json['id']}"
    made.advance(seconds=70)
    (sent,) = made.env.sent
    return path, urlsplit(sent.headers["Resona-Complete-Url"]).path


def shown(made: Bench, path: str) -> Any:
    (run,) = made.call("GET", f"{path}/runs").json
    return run


def test_half_an_hour_of_work_that_is_extended_twice_holds_an_executor_for_a_second() -> None:
    with bench(KB) as made:
        path, url = begin(made)
        for _ in range(2):
            made.advance(minutes=9)
            made.call("POST", url, {"extend": 1200})
        made.advance(minutes=12)
        made.call("POST", url, {"status": "succeeded"})
        run = shown(made, path)
        made.advance(hours=2)
        assert (run["status"], shown(made, path)) == ("succeeded", run)
        assert run["attempts"][0]["duration_ms"] > 30 * 60 * 1000
        assert sum(HELD, timedelta(0)) < timedelta(seconds=1)


def test_so_does_work_that_ends_at_its_deadline() -> None:
    with bench(KB) as made:
        made.env.sweeps = True
        path, url = begin(made)
        for _ in range(2):
            made.advance(minutes=9)
            made.call("POST", url, {"extend": 720})
        made.advance(hours=1)
        run = shown(made, path)
        assert (run["status"], run["attempts"][0]["outcome"]) == ("failed", "timeout")
        assert 29 < run["attempts"][0]["duration_ms"] / 60_000 < 32
        assert sum(HELD, timedelta(0)) < timedelta(seconds=1)


def test_a_callback_costs_what_is_documented() -> None:
    with bench(KB) as made:
        fired = made.create(HOURLY)
        made.advance(minutes=30)
        plain = made.fired(minutes=60)
        made.call("DELETE", fired)
        request = {"name": "work", "request": made.request(), "trigger": HOURLY}
        made.call("POST", "/jobs", {**request, **WORK, "deadline": 7200})
        made.advance(minutes=20)
        waiting = made.fired(minutes=20)
        url = urlsplit(made.env.sent[-1].headers["Resona-Complete-Url"]).path
        extended = made.used(lambda: made.call("POST", url, {"extend": 7200}))
        word = made.used(lambda: made.call("POST", url, {"status": "succeeded"}))
        assert waiting + word == plain + Usage(writes=6, reads=2, lambdas=1)
        assert extended == Usage(writes=1, reads=2, lambdas=1)
