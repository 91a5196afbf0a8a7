"""Every operation on jobs, each once, on an environment that counts what it uses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from chalicelib.api.routing import LOCAL_TENANT, backend
from chalicelib.domain.run import AttemptResult, Outcome, Response
from tests.api.conftest import Answer, Api
from tests.bench.meter import MeteredCloud, MeteredEnvironment, Usage
from tests.cloud import Item
from tests.parts import quota_store

KB = 1024
SIZES = (KB, 64 * KB)
# The first does not come again within an hour at night: it has a schedule.
HOURLY, MINUTELY = {"cron": "0 0-22 * * *"}, {"cron": "* * * * *"}
EVERY_HOUR = {"cron": "0 * * * *"}
# What a sweep that finds something uses more, however many jobs it arms.
MARK = Usage(writes=1, reads=1)
NEAR, FAR = {"delay": 60}, {"delay": 3600}


# A kilobyte of JSON that compresses as such JSON does, with the headers that come with one.
ANSWER = (
    '{"id":"ord_01JD8Q4Z7M3T9WX5K2","status":"accepted","created_at":"2026-11-23T11:00:00.214Z",'
    '"customer":{"id":"cus_9fKq27LmXw","email":"j.meyer@example.com","name":"Jana Meyer"},'
    '"currency":"EUR","lines":['
    '{"sku":"C-29772","title":"Notebook A5","count":1,"price":14.89,'
    '"warehouse":"9531985d-5d9d-c9f8-1818-e811892f902b"},'
    '{"sku":"A-76510","title":"Wool blanket","count":1,"price":17.3,'
    '"warehouse":"1738f7d9-3d9c-1724-11e2-0b8f6b0d549b"},'
    '{"sku":"E-65642","title":"Desk lamp, brass","count":2,"price":170.65,'
    '"warehouse":"f29d0da9-953f-48f1-a09f-76b5a170b338"},'
    '{"sku":"A-85642","title":"Steel bottle 0.7 l","count":7,"price":10.83,'
    '"warehouse":"dbc496cb-8e81-973e-0bec-d7b03898d190"},'
    '{"sku":"B-47959","title":"Coffee grinder","count":3,"price":98.24,'
    '"warehouse":"d0eda82f-8f6d-0558-4ef8-aa3892276658"}],'
    '"total":723.26,"shipping":{"carrier":"DHL","service":"standard",'
    '"tracking":"00340434292135100186","deliver_by":"2026-11-26"},'
    '"note":"Please leave it at the back door if nobody opens, and ring twice."}'
)
ANSWER += " " * (KB - len(ANSWER))
HEADERS = {
    "date": "Mon, 23 Nov 2026 11:00:00 GMT",
    "content-type": "application/json; charset=utf-8",
    "content-length": str(KB),
    "connection": "keep-alive",
    "server": "nginx",
    "cache-control": "no-store",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "x-content-type-options": "nosniff",
    "x-request-id": "4f0c2b6e-6c41-4a55-9d0e-3c1d5a7d9b10",
}


def _exchange(outcome: Outcome, code: int, error: str | None = None) -> AttemptResult:
    return AttemptResult(
        outcome, timedelta(milliseconds=40), code, Response(HEADERS, ANSWER, truncated=False), error
    )


ANSWERED = _exchange(Outcome.SUCCESS, 200)
REFUSED = _exchange(Outcome.HTTP_ERROR, 503, "the target answered with status 503")


class Bench:
    """A deployment whose jobs send bodies of one size, and whose target answers with a kilobyte.

    The sweeper is counted by itself.
    """

    def __init__(self, body: int, make_cloud: type[MeteredCloud] = MeteredCloud) -> None:
        self.body = body
        self.env = MeteredEnvironment(make_cloud)
        self.env.sweeps = False
        self.env.target = lambda sent: ANSWERED
        # The tenant is not new: what its requests are signed with has been made.
        self.env.secrets.signing(LOCAL_TENANT, self.env.now)
        self._api = Api(self.env)

    def call(
        self, method: str, path: str, document: object = None, key: str | None = None
    ) -> Answer:
        """Call a route, as one invocation of the API's function."""
        self.env.cloud.usage.lambdas += 1
        answer = self._api.call(method, path, document, {"Idempotency-Key": key} if key else None)
        assert answer.status < 300, answer.text
        return answer

    def request(self, sign: str = "x") -> dict[str, Any]:
        """Return a request whose body has the bench's size as it is sent."""
        frame = '{"text":""}'
        return {
            "url": "https://api.example.com/v1/orders/hook",
            "method": "POST",
            "body": {"text": sign * (self.body - len(frame))},
        }

    def create(self, trigger: dict[str, Any], key: str | None = None) -> str:
        """Register a job and return its path."""
        body = {"name": "nightly order export", "request": self.request(), "trigger": trigger}
        return f"/jobs/{self.call('POST', '/jobs', body, key).json['id']}"

    def advance(self, **duration: float) -> None:
        """Let time pass."""
        self.env.advance(**duration)

    def used(self, act: Callable[[], object]) -> Usage:
        """Return what something uses."""
        self.env.cloud.taken()
        act()
        return self.env.cloud.taken()

    def fired(self, **duration: float) -> Usage:
        """Return what is used in a time in which one attempt is sent."""
        before = len(self.env.sent)
        used = self.used(lambda: self.advance(**duration))
        assert len(self.env.sent) == before + 1
        return used

    def settled(self) -> str:
        """Register an hourly job, let it fire once, and return its path: it is 11:30 then."""
        path = self.create(HOURLY)
        self.advance(minutes=90)
        assert len(self.env.sent) == 1
        return path


@contextmanager
def bench(body: int, make_cloud: type[MeteredCloud] = MeteredCloud) -> Iterator[Bench]:
    """Make a bench, which serves the API until the end."""
    made = Bench(body, make_cloud)
    # Under quotas, as a deployed stage is, and not the first registration of a minute.
    made.env.scheduling.quotas = quota_store(made.env.cloud, 100_000, 6_000)
    made.env.scheduling.quotas.take(LOCAL_TENANT, made.env.now)
    backend.use(made.env.scheduling, stage="local")
    try:
        yield made
    finally:
        backend.use(made.env.scheduling, stage="")


Costs = dict[str, Usage]


def create(body: int) -> Costs:
    """Count the ways to register a job."""
    costs = {}
    for name, trigger in (
        ("one-time, due soon", NEAR),
        ("one-time, due later", FAR),
        ("cron", HOURLY),
    ):
        for key in (None, "order-4711"):
            with bench(body) as made:
                label = f"create {name}{', with Idempotency-Key' if key else ''}"
                costs[label] = made.used(partial(made.create, trigger, key))
    with bench(body) as made:
        made.create(HOURLY, "order-4711")
        costs["the same again, replayed"] = made.used(lambda: made.create(HOURLY, "order-4711"))
    return costs


def change(body: int) -> Costs:
    """Count what users do to a cron job that has fired."""
    with bench(body) as made:
        path = made.settled()
        costs = {
            "update of the request": made.used(
                lambda: made.call("PATCH", path, {"request": made.request("y")})
            )
        }
        costs["pause"] = made.used(lambda: made.call("POST", f"{path}/pause"))
        costs["resume"] = made.used(lambda: made.call("POST", f"{path}/resume"))
        costs["run now"] = made.used(lambda: made.call("POST", f"{path}/run"))
        costs["run now: its firing"] = made.fired(seconds=5)
        costs["run now, with Idempotency-Key"] = made.used(
            lambda: made.call("POST", f"{path}/run", key="order-4711")
        )
        made.advance(seconds=5)
        costs["delete"] = made.used(lambda: made.call("DELETE", path))
    return costs


def fire(body: int) -> Costs:
    """Count firings, each apart from the wake that arms it."""
    costs = {}
    with bench(body) as made:
        made.create(NEAR)
        costs["one-time firing, due soon"] = made.fired(minutes=2)
    with bench(body) as made:
        made.create(FAR)
        costs["one-time: its wake"] = made.used(lambda: made.advance(minutes=59))
        costs["one-time firing, due later"] = made.fired(minutes=2)
    with bench(body) as made:
        made.settled()
        costs["cron: its wake"] = made.used(lambda: made.advance(minutes=29))
        costs["cron firing"] = made.fired(minutes=2)
    with bench(body) as made:
        made.settled()
        made.env.target = lambda sent: (
            REFUSED if sent.headers["Resona-Attempt"] == "1" else ANSWERED
        )
        made.advance(minutes=29)
        costs["cron firing whose attempt fails"] = made.fired(seconds=65)
        costs["its retry, which succeeds"] = made.fired(seconds=30)
    with bench(body) as made:
        made.create(MINUTELY)
        made.advance(minutes=10)
        costs["cron of every minute: firing"] = made.fired(minutes=1)
    with bench(body) as made:
        made.create({"every": 60})
        made.advance(minutes=10)
        costs["interval of a minute: firing"] = made.fired(minutes=1)
    with bench(body) as made:
        made.env.sweeps = True
        made.create(EVERY_HOUR)
        made.advance(minutes=117)
        costs["cron of every hour: its sweeps"] = swept(made) + (sweep(0) + MARK) * -2
        costs["cron of every hour: firing"] = made.fired(minutes=3)
    return costs


def swept(made: Bench) -> Usage:
    """Return what two sweeps use, of which the first comes two minutes before the full hour. It is
    a few minutes before, and the sweeper is left out from now on.
    """
    made.env.sweeps = False
    made.advance(seconds=70)

    def sweep() -> None:
        for _ in range(2):
            made.env.cloud.usage.lambdas += 1
            made.env.firing.sweep(made.env.now + timedelta(seconds=45))
            made.advance(seconds=50)

    return made.used(sweep)


def read(body: int) -> Costs:
    """Count reads of jobs that have fired."""
    with bench(body) as made:
        paths = [made.create(HOURLY) for _ in range(100)]
        made.advance(minutes=90)
        costs = {"GET a job": made.used(lambda: made.call("GET", paths[0]))}
        costs["GET a list of 100, to its end"] = made.used(lambda: _list(made, 100))
    return costs


def _list(made: Bench, expected: int) -> None:
    shown, path = 0, "/jobs?limit=100"
    while path:
        answer = made.call("GET", path)
        shown += len(answer.json)
        following = re.search(r"<https?://[^/]+(/[^>]*)>", answer.headers.get("Link", ""))
        path = following[1] if following else ""
    assert shown == expected


OPERATIONS = (create, change, fire, read)


def operations(body: int) -> Costs:
    """Count everything once, with requests of this size."""
    return {name: used for count in OPERATIONS for name, used in count(body).items()}


class CrowdedCloud(MeteredCloud):
    """A cloud whose index of what is watched holds many more jobs: `crowd` has its entries by
    shard.
    """

    crowd: dict[str, dict[tuple[str, ...], Item]] | None = None

    def items(self, table: str, index: str | None) -> dict[tuple[str, ...], Item]:
        if self.crowd is None or index != "by_watch":
            return super().items(table, index)
        return self.crowd.get(self.request["ExpressionAttributeValues"][":shard"]["S"], {})

    def gather(self, jobs: int) -> None:
        """Fill the index: each job that is there stands for as many more as it takes."""
        states = [(key, item) for key, item in self.tables["jobs"].items() if key[1] == "state"]
        self.crowd = {}
        for number in range(jobs):
            key, item = states[number % len(states)]
            name = f"{key[0]}{number // len(states)}"
            entry = {
                "id": {"S": name},
                "part": item["part"],
                "watch_shard": item["watch_shard"],
                "watch_at": item["watch_at"],
            }
            self.crowd.setdefault(item["watch_shard"]["S"], {})[name, key[1]] = entry


def sweep(jobs: int, most: int = 1_000) -> Usage:
    """Count one run of the sweeper over so many jobs, of which none is due.

    Up to `most` are really there, the others in the index.
    """
    with bench(KB, CrowdedCloud) as made:
        for _ in range(min(jobs, most)):
            made.create(HOURLY)
        cloud = made.env.cloud
        assert isinstance(cloud, CrowdedCloud)
        if jobs > most:
            cloud.gather(jobs)
        made.env.sweeps = True
        return made.used(made.env.sweep)
