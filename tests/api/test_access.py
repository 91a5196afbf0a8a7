"""Who may call: every route of the app with every kind of key, on a laptop's server that asks for
keys.

The routes are those of the app: a new one without a row in `ROWS` fails here.
"""

from __future__ import annotations

import functools
import http.client
import itertools
import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from chalice.config import Config
from chalice.deploy.swagger import CFNSwaggerGenerator

from app import app
from chalicelib.api.console.files import version
from chalicelib.api.routing import backend, operations
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.domain.api_keys import Key, Scope, StoredApiKey, new_key
from chalicelib.handlers import authorizer
from chalicelib.handlers.authorizer import Authenticator
from infra.local.gateway import Handler, Server
from tests.api.conftest import ROUTES as API_ROUTES
from tests.api.conftest import job
from tests.api.described import UNDESCRIBED
from tests.cloud import DynamoDB, client_error
from tests.environment import Environment, ok, status
from tests.soak import IS_SOAK

UNKNOWN_JOB = "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K"
UNKNOWN_RUN = "run_01JD9V8M0Q4Q6T5W0H9C1Y3B7K-1-20261201T100000Z"

# Of each of three tenants.
JOBS = 50 if IS_SOAK else 15
PAST = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}


@dataclass(frozen=True)
class Row:
    """What a route answers to its own tenant, and a body that it takes.

    `at`: what is called where the path alone is not enough. `of`: which run of the job, if not the
    one that has succeeded.
    """

    status: int
    body: Any = None
    at: str | None = None
    of: str = ""


ROWS = {
    ("POST", "/jobs"): Row(201, job()),
    ("GET", "/jobs"): Row(200),
    ("GET", "/jobs/{job_id}"): Row(200),
    ("POST", "/jobs/{job_id}"): Row(200, {"name": "Changed"}),
    ("PATCH", "/jobs/{job_id}"): Row(200, {"name": "Changed"}),
    ("DELETE", "/jobs/{job_id}"): Row(204),
    ("PUT", "/jobs/{job_id}"): Row(201, job(), at="/jobs/key:mine"),
    ("POST", "/jobs/batch"): Row(200, {"jobs": [job()]}),
    ("POST", "/jobs/pause"): Row(200, at="/jobs/pause?label=team:mine"),
    ("POST", "/jobs/resume"): Row(200, at="/jobs/resume?label=team:mine"),
    ("POST", "/jobs/delete"): Row(200, at="/jobs/delete?label=team:mine"),
    ("GET", "/runs"): Row(200),
    ("GET", "/runs/hours"): Row(200),
    ("GET", "/upcoming"): Row(200),
    ("POST", "/jobs/{job_id}/pause"): Row(200),
    ("POST", "/jobs/{job_id}/resume"): Row(200),
    ("POST", "/jobs/{job_id}/skip"): Row(200, {"count": 2}),
    ("POST", "/jobs/{job_id}/run"): Row(202),
    # One is under way.
    ("POST", "/jobs/{job_id}/backfill"): Row(409, PAST),
    ("DELETE", "/jobs/{job_id}/backfill"): Row(204),
    ("GET", "/jobs/{job_id}/runs"): Row(200),
    ("GET", "/jobs/{job_id}/runs/{run_id}"): Row(200),
    ("POST", "/jobs/{job_id}/runs/{run_id}/retry"): Row(202, of="cancelled"),
    ("DELETE", "/jobs/{job_id}/runs/{run_id}"): Row(200, of="queued"),
    ("POST", "/runs/retry"): Row(200),
    ("POST", "/complete/{token}"): Row(404, {"status": "succeeded"}),
    ("POST", "/triggers/preview"): Row(200, {"trigger": {"cron": "0 9 * * *"}}),
    ("GET", "/secrets"): Row(200),
    ("PUT", "/secrets/{name}"): Row(204, {"value": "another"}),
    ("DELETE", "/secrets/{name}"): Row(204),
    ("GET", "/flows"): Row(200),
    ("PUT", "/flows/{flow}"): Row(200, {"rate": {"requests": 1}}),
    ("GET", "/flows/{flow}"): Row(200),
    ("DELETE", "/flows/{flow}"): Row(204),
    ("GET", "/notices"): Row(200),
    ("PUT", "/notices/{name}"): Row(200, {"url": "http://example.com/told"}),
    ("GET", "/notices/{name}"): Row(200),
    ("DELETE", "/notices/{name}"): Row(204),
    ("POST", "/notices/{name}/test"): Row(202),
    ("GET", "/calendars"): Row(200),
    ("PUT", "/calendars/{name}"): Row(200, {"days": ["2026-12-25"]}),
    ("GET", "/calendars/{name}"): Row(200),
    ("DELETE", "/calendars/{name}"): Row(204),
    ("GET", "/signing-secret"): Row(200),
    ("POST", "/signing-secret/rotate"): Row(200),
    ("GET", "/"): Row(200),
    ("GET", "/health"): Row(200),
    ("GET", "/openapi.json"): Row(200),
    ("GET", "/docs"): Row(200),
    ("GET", "/console"): Row(200),
    ("GET", "/console/{build}/{name}"): Row(200, at=f"/console/{version()}/app.js"),
}
# What OPTIONS answers at every path, `test_cors` says: it is the same to everybody.
ROUTES = sorted(
    (method, path)
    for path, methods in API_ROUTES.items()
    for method in methods
    if method != "OPTIONS"
)
scopes = {route: operation.scope for route, operation in operations.items()}
scopes |= {("GET", path): None for path in UNDESCRIBED}
# HEAD is served wherever GET is, to the same keys and with the same status.
ROWS |= {("HEAD", path): row for (method, path), row in ROWS.items() if method == "GET"}
scopes |= {("HEAD", path): scope for (method, path), scope in scopes.items() if method == "GET"}
OPEN = [route for route in ROUTES if scopes[route] is None]
CLOSED = [route for route in ROUTES if scopes[route] is not None]
LISTS = [path for method, path in CLOSED if method == "GET" and "{" not in path]
OF_ONE_JOB = [route for route in ROUTES if "{job_id}" in route[1] and ROWS[route].at is None]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def bytes(self) -> tuple[int, dict[str, str], Any]:
        """All of it but the time of day."""
        return (
            self.status,
            {name: value for name, value in self.headers.items() if name != "Date"},
            self.body,
        )

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Stage:
    """A laptop's server that asks for keys, on a cloud in memory."""

    env: Environment = field(default_factory=Environment)
    # By the run that has succeeded: other runs of its job.
    others: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        client: Any = DynamoDB(self.env.cloud)
        self.keys = ApiKeyStore(client, "keys", sleep=lambda seconds: None)
        self.server = Server(
            ("127.0.0.1", 0), functools.partial(Handler, app_object=app, config=Config.create())
        )
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", self.server.server_address[1], timeout=10
        )

    def make(self, tenant: str, *granted: Scope, **fields: Any) -> Key:
        """Make a key; without scopes named it has both."""
        key = new_key("local")
        self.keys.add(
            replace(
                StoredApiKey(key.id, key.digest, tenant, frozenset(granted or Scope), self.env.now),
                **fields,
            )
        )
        return key

    def call(
        self, method: str, path: str, key: Key | str | None, body: Any = None, **headers: str
    ) -> Answer:
        """Call with a key; a text is sent as it is."""
        if key is not None:
            headers["Authorization"] = key if isinstance(key, str) else f"Bearer {key.text}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        self._connection.request(
            method, path, json.dumps(body) if body is not None else None, headers
        )
        got = self._connection.getresponse()
        return Answer(got.status, dict(got.getheaders()), got.read())

    def register(self, by: Key, /, **fields: Any) -> dict[str, str]:
        """Register a job that has run once, and a secret; return what a path may name of them.

        The job has a cancelled and a queued run too, and a backfill is under way.
        """
        made = self.call("POST", "/jobs", by, job(trigger={"cron": "0 9 1 1 *"}, **fields))
        assert made.status == 201, made.body
        job_id = made.json["id"]
        run = self.call("POST", f"/jobs/{job_id}/run", by)
        self.env.advance(seconds=2)
        cancelled, queued = (
            self.call("POST", f"/jobs/{job_id}/run", by).json["id"] for _ in range(2)
        )
        assert self.call("DELETE", f"/jobs/{job_id}/runs/{cancelled}", by).status == 200
        assert self.call("POST", f"/jobs/{job_id}/backfill", by, PAST).status == 202
        self.others[run.json["id"]] = {"cancelled": cancelled, "queued": queued}
        assert self.call("PUT", "/secrets/token", by, {"value": "s3cr3t"}).status == 204
        channel = {"url": "http://example.com/told"}
        assert self.call("PUT", "/notices/token", by, channel).status == 200
        days = {"days": ["2026-12-26"]}
        assert self.call("PUT", "/calendars/token", by, days).status == 200
        assert self.call("PUT", "/flows/host:a.example", by, {}).status == 200
        names = {"name": "token", "token": "unknown", "flow": "host:a.example"}
        return {"job_id": job_id, "run_id": run.json["id"], **names}

    def seen(self, by: Key) -> list[Any]:
        """Return what every list shows to a key."""
        return [self.call("GET", path, by).bytes for path in LISTS]

    def try_route(
        self, route: tuple[str, str], names: dict[str, str], key: Key | str | None
    ) -> Answer:
        """Call a route as its row says."""
        row = ROWS[route]
        run = names["run_id"]
        names = {**names, "run_id": self.others.get(run, {}).get(row.of, run)}
        return self.call(route[0], (row.at or route[1]).format(**names), key, row.body)


@contextmanager
def serving() -> Iterator[Stage]:
    stage = Stage()
    thread = threading.Thread(target=stage.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield stage
    stage._connection.close()
    stage.server.shutdown()
    thread.join()
    stage.server.server_close()


@contextmanager
def called(stage: Stage) -> Iterator[None]:
    """Have the app serve a stage."""
    backend.use(stage.env.scheduling, stage="local", needs_keys=True)
    authorizer.authenticator.use(Authenticator(stage.keys, "local", stage.env.clock))
    yield
    backend.use(stage.env.scheduling, stage="")
    authorizer.authenticator.use(None)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with serving() as stage, called(stage):
        yield stage


@dataclass
class Filled:
    """A stage with what a tenant has, its key, and what its lists show."""

    stage: Stage
    key: Key
    names: dict[str, str]
    seen: list[Any]


@pytest.fixture(scope="module")
def registered() -> Iterator[Filled]:
    with serving() as stage:
        with called(stage):
            key = stage.make("acme")
            names = stage.register(key)
            seen = stage.seen(key)
        yield Filled(stage, key, names, seen)


@pytest.fixture
def unchanged(registered: Filled) -> Iterator[Filled]:
    """A stage for calls that change nothing: one for all tests, each of which fails if any did."""
    with called(registered.stage):
        yield registered
        assert registered.stage.seen(registered.key) == registered.seen


def test_every_route_of_the_app_has_a_row_here() -> None:
    assert set(ROWS) == set(ROUTES) == set(scopes)


def test_these_routes_are_open_and_no_others() -> None:
    assert set(OPEN) == {
        (method, path)
        for method in ("GET", "HEAD")
        for path in ("/", "/health", "/openapi.json", "/docs", *UNDESCRIBED)
    } | {("POST", "/complete/{token}")}


def test_a_get_needs_the_scope_read_and_everything_else_write_but_for_these() -> None:
    usual = {route: Scope.READ if route[0] in ("GET", "HEAD") else Scope.WRITE for route in CLOSED}
    others = {("POST", "/triggers/preview"): Scope.READ}
    others |= {(method, "/signing-secret"): Scope.WRITE for method in ("GET", "HEAD")}
    assert {route: scopes[route] for route in CLOSED} == usual | {
        route: scope for route, scope in others.items() if route in scopes
    }


def test_what_is_deployed_asks_the_authorizer_on_every_route_that_is_not_open() -> None:
    deployed: Any = CFNSwaggerGenerator().generate_swagger(app, None)
    asked = {
        (method.upper(), path): operation.get("security")
        for path, operations in deployed["paths"].items()
        for method, operation in operations.items()
    }
    preflights = {("OPTIONS", path): None for path in API_ROUTES}
    # And HEAD wherever GET is, which API Gateway would else answer with 403 by itself.
    assert {path for method, path in asked if method == "GET"} == {
        path for method, path in asked if method == "HEAD"
    }
    assert (
        asked
        == {route: None if route in OPEN else [{"authorizer": []}] for route in ROUTES} | preflights
    )
    (definition,) = deployed["securityDefinitions"].values()
    assert definition["name"] == "Authorization"
    assert definition["x-amazon-apigateway-authorizer"]["authorizerResultTtlInSeconds"] == 60
    (function,) = app.builtin_auth_handlers
    assert function.handler_string == "chalicelib.handlers.authorizer.authorize"


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_a_tenant_s_own_key_opens_what_is_the_tenant_s(
    stage: Stage, route: tuple[str, str]
) -> None:
    key = stage.make("acme")
    answer = stage.try_route(route, stage.register(key), key)
    assert answer.status == ROWS[route].status, answer.body


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_without_a_valid_key_every_closed_route_answers_the_same_401_and_nothing_happens(
    unchanged: Filled, route: tuple[str, str]
) -> None:
    stage, key = unchanged.stage, unchanged.key
    revoked, expired = stage.make("acme"), stage.make("acme", expires_at=stage.env.now)
    stage.keys.revoke(revoked.id, stage.env.now)
    slip = key.text[:-1] + ("0" if key.text[-1] != "0" else "1")
    stranger = new_key("local")
    useless = {
        "none": None,
        "empty": "",
        "malformed": "Bearer rsn_local_",
        "another scheme": f"Basic {key.text}",
        "no scheme": key.text,
        "two": f"Bearer {key.text},Bearer {key.text}",
        "wrong checksum": f"Bearer {slip}",
        "unknown": stranger,
        "another's secret": replace(key, secret=stranger.secret),
        "revoked": revoked,
        "expired": expired,
        "of another stage": replace(key, stage="dev"),
    }
    answers = {
        kind: stage.try_route(route, unchanged.names, sent) for kind, sent in useless.items()
    }
    if route in OPEN:
        assert {answer.status for answer in answers.values()} == {ROWS[route].status}
        return
    first = answers["none"]
    assert (first.status, first.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert first.headers["Content-Type"] == "application/problem+json"
    if route[0] != "HEAD":
        assert (first.json["status"], first.json["title"]) == (401, "Unauthorized")
    assert {kind: answer.bytes for kind, answer in answers.items()} == dict.fromkeys(
        useless, first.bytes
    )


@pytest.mark.parametrize("route", CLOSED, ids=" ".join)
def test_a_key_with_the_scope_of_a_route_alone_opens_it(
    stage: Stage, route: tuple[str, str]
) -> None:
    scope = scopes[route]
    assert scope is not None
    answer = stage.try_route(route, stage.register(stage.make("acme")), stage.make("acme", scope))
    assert answer.status == ROWS[route].status, answer.body


@pytest.mark.parametrize("route", CLOSED, ids=" ".join)
def test_a_key_with_another_scope_is_told_which_a_route_needs_and_nothing_happens(
    unchanged: Filled, route: tuple[str, str]
) -> None:
    (scope,) = set(Scope) - {scopes[route]}
    key = unchanged.stage.make("acme", scope)
    answer = unchanged.stage.try_route(route, unchanged.names, key)
    assert (answer.status, answer.headers["Content-Type"]) == (403, "application/problem+json")
    if route[0] == "HEAD":
        return
    assert answer.json["status"] == 403
    assert (
        answer.json["detail"]
        == f"this needs a key with the scope {scopes[route]}; this key has {scope}"
    )


@pytest.mark.parametrize("route", CLOSED, ids=" ".join)
def test_a_key_without_any_scope_that_is_known_opens_nothing(
    unchanged: Filled, route: tuple[str, str]
) -> None:
    key = unchanged.stage.make("acme", scopes=frozenset())
    assert unchanged.stage.try_route(route, unchanged.names, key).status == 403


@pytest.mark.parametrize("route", OF_ONE_JOB, ids=" ".join)
def test_what_is_another_tenant_s_is_not_there_to_the_byte(
    stage: Stage, route: tuple[str, str]
) -> None:
    own, other = stage.make("acme"), stage.make("other")
    foreign, mine = stage.register(other, key="theirs"), stage.register(own)
    unknown = {**foreign, "job_id": UNKNOWN_JOB, "run_id": UNKNOWN_RUN}
    before = [
        stage.call("GET", f"/jobs/{foreign['job_id']}{rest}", other).bytes for rest in ("", "/runs")
    ]
    not_there = stage.try_route(route, unknown, own)
    assert not_there.status == 404
    assert stage.try_route(route, foreign, own).bytes == not_there.bytes
    assert stage.try_route(route, {**foreign, "job_id": "key:theirs"}, own).bytes == not_there.bytes
    assert (
        stage.try_route(route, {**unknown, "job_id": "key:nobody-s"}, own).bytes == not_there.bytes
    )
    if "{run_id}" in route[1]:
        of_mine = stage.try_route(route, {**mine, "run_id": UNKNOWN_RUN}, own)
        assert of_mine.status == 404
        assert (
            stage.try_route(route, {**mine, "run_id": foreign["run_id"]}, own).bytes
            == of_mine.bytes
        )
        assert (
            stage.try_route(route, {**foreign, "run_id": mine["run_id"]}, own).bytes
            == not_there.bytes
        )
    assert [
        stage.call("GET", f"/jobs/{foreign['job_id']}{rest}", other).bytes for rest in ("", "/runs")
    ] == before


@pytest.mark.parametrize("key", [None, "Bearer rsn_local_"])
def test_a_completion_needs_no_key_but_its_token(stage: Stage, key: str | None) -> None:
    own = stage.make("acme")
    made = stage.call("POST", "/jobs", own, job(completion="callback", deadline=60))
    stage.env.advance(seconds=6)
    path = urlsplit(stage.env.sent[0].headers["Resona-Complete-Url"]).path
    other = path[:-1] + ("-" if path.endswith("_") else "_")
    assert stage.call("POST", other, key, {"status": "succeeded"}).status == 404
    assert stage.call("POST", path, key, {"status": "succeeded"}).status == 204
    (run,) = stage.call("GET", f"/jobs/{made.json['id']}/runs", own).json
    assert run["status"] == "succeeded"


def test_a_tenant_retries_all_of_its_own_failed_runs_and_no_others(stage: Stage) -> None:
    own, other = stage.make("acme"), stage.make("other")
    stage.env.target = lambda sent: status(404)
    paths = {
        key: f"/jobs/{stage.call('POST', '/jobs', key, job()).json['id']}/runs"
        for key in (own, other)
    }
    stage.env.advance(seconds=10)
    assert stage.call("POST", "/runs/retry", own).json == {"retried": 1, "left": 0}
    retried = {
        key: [run["cause"] for run in stage.call("GET", path, key).json]
        for key, path in paths.items()
    }
    assert retried == {own: ["retry", "schedule"], other: ["schedule"]}
    assert stage.call("POST", "/runs/retry", own).json["retried"] == 0


def test_three_tenants_with_many_jobs_each_never_see_anything_of_each_other(stage: Stage) -> None:
    tenants = {name: stage.make(name) for name in ("acme", "bcme", "ccme")}
    canary = {name: f"canary-of-{name}" for name in tenants}
    stage.env.target = lambda sent: ok(f"answered {sent.request.body}")
    ids: dict[str, list[str]] = {name: [] for name in tenants}
    for number, (name, key) in itertools.product(range(JOBS), tenants.items()):
        sign = canary[name]
        made = stage.call(
            "POST",
            "/jobs",
            key,
            job(
                name=f"{sign} {number}",
                request={
                    "url": f"http://example.com/{sign}",
                    "headers": {"X-Canary": sign},
                    "body": {"canary": sign},
                },
                trigger={"delay": number % 2},
                labels={"canary": sign, "parity": str(number % 2)},
                # The same in every tenant: a job's key is the tenant's own.
                key=f"job-{number}",
                callbacks={"succeeded": {"url": f"http://example.com/{sign}"}},
            ),
            **{"Idempotency-Key": f"request-{number}"},
        )
        assert made.status == 201, made.body
        ids[name].append(made.json["id"])
    stage.env.advance(seconds=5)
    for name, key in tenants.items():
        assert (
            stage.call("PUT", f"/secrets/{canary[name]}", key, {"value": canary[name]}).status
            == 204
        )
        assert (
            stage.call(
                "PUT",
                f"/notices/{canary[name]}",
                key,
                {"url": f"http://example.com/{canary[name]}"},
            ).status
            == 200
        )
        calendar = stage.call("PUT", f"/calendars/{canary[name]}", key, {"weekdays": ["sat"]})
        assert calendar.status == 200
    for name, key in tenants.items():
        others = [other for other in tenants if other != name]
        foreign = re.compile(
            "|".join(
                [
                    *(canary[other] for other in others),
                    *(one for other in others for one in ids[other]),
                ]
            )
        )
        answers = list(everything_to_read(stage, key, itertools.chain(*ids.values())))
        assert sum(canary[name] in answer.body.decode() for answer in answers) > 3 * JOBS
        assert len(stage.call("GET", "/jobs?kind=notice", key).json) == JOBS
        for answer in answers:
            assert answer.status in (200, 404)
            assert not foreign.search(answer.body.decode() + repr(answer.headers)), name
    first = stage.call("GET", "/jobs?limit=10", tenants["acme"])
    following = urlsplit(first.headers["Link"].split(";")[0].strip("<>"))
    assert stage.call("GET", f"/jobs?{following.query}", tenants["acme"]).status == 200
    assert stage.call("GET", f"/jobs?{following.query}", tenants["bcme"]).status == 400


def everything_to_read(stage: Stage, key: Key, ids: Iterator[str]) -> Iterator[Answer]:
    """Yield what every route that reads answers to a key: every list to its end, and whatever ids
    and keys there are.
    """
    for path in LISTS:
        following: str | None = path
        while following:
            answer = stage.call("GET", following, key)
            yield answer
            link = answer.headers.get("Link")
            following = (
                None
                if link is None
                else link.split(";")[0]
                .strip("<>")
                .removeprefix(f"http://127.0.0.1:{stage.server.server_port}")
            )
    notices = f"kind=notice&label={quote('event:run.succeeded')}"
    for query in (
        "limit=7",
        "name=canary",
        f"label={quote('parity:1')}",
        "status=completed",
        notices,
    ):
        yield stage.call("GET", f"/jobs?{query}", key)
    for path in ("/runs?status=any&limit=100", "/jobs?sort=next_run_time&include=recent_runs"):
        yield stage.call("GET", path, key)
    for reference in [*ids, *(f"key:job-{number}" for number in range(50))]:
        yield stage.call("GET", f"/jobs/{reference}", key)
        runs = stage.call("GET", f"/jobs/{reference}/runs", key)
        yield runs
        for run in runs.json if runs.status == 200 else []:
            yield stage.call("GET", f"/jobs/{reference}/runs/{run['id']}", key)


def test_a_secret_of_another_tenant_is_not_there_and_one_of_the_same_name_is_another(
    stage: Stage,
) -> None:
    own, other = stage.make("acme"), stage.make("other")
    assert stage.call("PUT", "/secrets/theirs", other, {"value": "canary"}).status == 204
    before = stage.seen(other)
    assert (
        stage.call("DELETE", "/secrets/theirs", own).bytes
        == stage.call("DELETE", "/secrets/nobody_s", own).bytes
    )
    assert stage.call("DELETE", "/secrets/theirs", own).status == 404
    refused = stage.call(
        "POST", "/jobs", own, job(request={"url": "http://example.com/{{secret:theirs}}"})
    )
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "request.url")
    assert stage.call("PUT", "/secrets/theirs", own, {"value": "mine"}).status == 204
    assert stage.call("DELETE", "/secrets/theirs", own).status == 204
    assert stage.seen(other) == before
    signing = [stage.call("GET", "/signing-secret", key).json["secret"] for key in (own, other)]
    assert signing[0] != signing[1]


def test_a_pause_says_by_which_key_it_was_made(stage: Stage) -> None:
    key, other = stage.make("acme"), stage.make("acme")
    path = f"/jobs/{stage.register(key)['job_id']}"
    assert stage.call("POST", f"{path}/pause", key).json["pause"]["by"] == key.id
    changed = stage.call("POST", f"{path}/pause", other, {"reason": "holidays"}).json
    assert changed["pause"]["by"] == other.id
    assert stage.call("POST", f"{path}/resume", key).json["pause"] is None
    stage.call("PATCH", path, key, {"labels": {"team": "mine"}})
    assert stage.call("POST", "/jobs/pause?label=team:mine", key).json == {"changed": 1}
    assert stage.call("GET", path, key).json["pause"]["by"] == key.id


def test_an_idempotency_key_is_the_tenant_s_own(stage: Stage) -> None:
    answers = [
        stage.call("POST", "/jobs", stage.make(name), job(), **{"Idempotency-Key": "one"})
        for name in ("acme", "other", "acme")
    ]
    assert [answer.status for answer in answers] == [201, 201, 201]
    assert answers[0].json["id"] == answers[2].json["id"] != answers[1].json["id"]


@pytest.mark.parametrize(
    "sent", [{"X-Api-Key": "{}"}, {"Authorization": "{}"}, {"Authorization": "Token {}"}]
)
def test_a_key_sent_in_another_way_is_told_how(stage: Stage, sent: dict[str, str]) -> None:
    key = stage.make("acme")
    answer = stage.call(
        "GET", "/jobs", None, **{name: form.format(key.text) for name, form in sent.items()}
    )
    assert answer.status == 401
    assert "in the header Authorization: Bearer rsn_…" in answer.json["detail"]
    assert (
        "without Bearer, or in another header such as X-Api-Key, none is read"
        in answer.json["detail"]
    )
    assert stage.call("GET", "/jobs", None, Authorization=f"Bearer {key.text}").status == 200


def test_a_revoked_key_is_dead_at_once_on_a_laptop_which_remembers_nothing(stage: Stage) -> None:
    key = stage.make("acme")
    assert stage.call("GET", "/jobs", key).status == 200
    stage.keys.revoke(key.id, stage.env.now)
    assert stage.call("GET", "/jobs", key).status == 401


def test_a_table_of_keys_that_does_not_answer_is_503_and_opens_nothing(stage: Stage) -> None:
    key = stage.make("acme")

    def fail(operation: str, request: dict[str, Any]) -> None:
        if request.get("TableName") == "keys":
            raise client_error("InternalServerError", operation, 500)

    stage.env.cloud.before = fail
    answer = stage.call("GET", "/jobs", key)
    assert (answer.status, answer.json["status"], answer.headers["Retry-After"]) == (503, 503, "1")
    assert stage.call("GET", "/health", None).status == 200


def test_a_caller_cannot_say_who_it_is(stage: Stage) -> None:
    """The authorizer names the caller's tenant; a deployment without an authorizer refuses all."""
    claim = {"tenant": "acme", "authorizer": '{"tenant": "acme"}', "x-amzn-tenant": "acme"}
    assert stage.call("GET", "/jobs", None, **claim).status == 401
    backend.use(stage.env.scheduling, stage="prod")
    event = {
        "requestContext": {
            "httpMethod": "GET",
            "resourcePath": "/jobs",
            "path": "/jobs",
            "identity": {},
            "authorizer": None,
        },
        "headers": claim,
        "multiValueQueryStringParameters": None,
        "pathParameters": {},
        "stageVariables": {"tenant": "acme"},
        "body": None,
        "isBase64Encoded": False,
    }
    answer = app(event, None)
    assert (answer["statusCode"], answer["headers"]["WWW-Authenticate"]) == (401, "Bearer")


def test_no_key_and_no_digest_is_in_any_log_or_answer(
    stage: Stage, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    keys = [
        stage.make("acme"),
        stage.make("acme", Scope.READ),
        stage.make("acme"),
        new_key("local"),
        new_key("dev"),
    ]
    stage.keys.revoke(keys[2].id, stage.env.now)
    names = stage.register(keys[0])
    shown = ""
    for route, key in itertools.product(CLOSED, keys[1:]):
        answer = stage.try_route(route, names, key)
        shown += answer.body.decode() + repr(answer.headers)

    def crash(operation: str, request: dict[str, Any]) -> None:
        if request.get("TableName") != "keys":
            raise RuntimeError("planted")

    stage.env.cloud.before = crash
    assert stage.call("GET", f"/jobs/{names['job_id']}", keys[0]).status == 500
    printed = capfd.readouterr()
    shown += (
        caplog.text + repr([vars(record) for record in caplog.records]) + printed.out + printed.err
    )
    assert "request.failed" in shown
    for key in keys:
        assert key.secret not in shown
        assert key.digest not in shown
