"""Forty canaries, planted wherever a user, a target or a stranger can put a secret, and looked for
everywhere else.

Each has the places where it belongs. After a pass over every route, with good calls and bad ones,
it must be in all of those and in no other: not in a log line of any library, a message, a schedule,
an item, or an answer that is not its own.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import traceback
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest

from chalicelib.api.routing import backend
from chalicelib.aws.packing import unpacked
from chalicelib.handlers import executor
from chalicelib.outbound.send import send
from chalicelib.telemetry.invocation import InvocationFailed
from infra.local.clock import wake_event
from tests.api.conftest import ROUTES, Answer, Api, job
from tests.environment import Environment
from tests.invocations import Context, sweep_event
from tests.outbound.servers import LOOPBACK, Server, serving
from tests.telemetry.process import InvokedEnvironment, Written, deliver, lambda_process

JOB, TABLES, RUNS, SIGNING = (
    "answers about jobs",
    "tables",
    "answers about runs",
    "the answer of /signing-secret",
)
DEFINED, ANSWERED, NOWHERE = {JOB, TABLES}, {JOB, RUNS, TABLES}, set[str]()
CHANNEL = "channels"

# Name → where it belongs. What is on the wire to the target is looked at by itself.
PLACES: dict[str, set[str]] = {
    # What a job is made of, as its owner wrote it.
    # Lists of runs name their jobs.
    "name": ANSWERED,
    "key": DEFINED,
    "label-name": DEFINED,
    "label-value": DEFINED,
    "url-path": DEFINED,
    "url-query": DEFINED,
    "header-value": DEFINED,
    "body-value": DEFINED,
    "body-name": DEFINED,
    "refused-url-query": DEFINED,
    # The job is resumed afterwards.
    "pause-reason": {JOB},
    "unresolved-url-query": DEFINED,
    "channel-url-query": {CHANNEL, TABLES},
    # Values of secrets: in requests on the wire, and nowhere else.
    "secret-path": NOWHERE,
    "secret-query": NOWHERE,
    "secret-header": NOWHERE,
    "secret-body": NOWHERE,
    "secret-replaced": NOWHERE,
    "secret-deleted": NOWHERE,
    "secret-unused": NOWHERE,
    "signing-current": {SIGNING},
    "signing-previous": {SIGNING},
    # What a target answered.
    "answer-body": ANSWERED,
    "answer-header": ANSWERED,
    "answer-retry-after": ANSWERED,
    "answer-cookie": NOWHERE,
    "answer-challenge": NOWHERE,
    "answer-reason": NOWHERE,
    "answer-behind-16-kib": NOWHERE,
    # What it said by callback.
    "word-message": {RUNS, TABLES},
    "word-body": ANSWERED,
    # What came with calls and is kept by nobody, or as a digest.
    "bearer": NOWHERE,
    "other-header": NOWHERE,
    "idempotency-create": NOWHERE,
    "idempotency-run": NOWHERE,
    # What was refused.
    "refused-header-value": NOWHERE,
    "refused-password": NOWHERE,
    "refused-secret": NOWHERE,
    "refused-body": NOWHERE,
    "refused-json": NOWHERE,
    "refused-cursor": NOWHERE,
    "refused-if-match": NOWHERE,
    "refused-idempotency-key": NOWHERE,
    "refused-bearer": NOWHERE,
}


def canary(name: str) -> str:
    """Return a text that nothing else says."""
    assert name in PLACES, name
    return f"canary-{name}-7f3d"


@dataclass
class CanaryStage:
    """The places, and what was seen in them. `sender` gets what was sent to targets."""

    api: Api
    seen: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    called: set[tuple[str, str]] = field(default_factory=set)

    def call(
        self, place: str, route: tuple[str, str], path: str, body: object = None, **options: Any
    ) -> Answer:
        """Call a route and keep the answer under a place."""
        self.called.add(route)
        headers = {
            "Authorization": f"Bearer {canary('bearer')}",
            "X-Other": canary("other-header"),
            **options.pop("headers", {}),
        }
        answer = self.api.call(route[0], path, body, headers, **options)
        self.seen[place].append(f"{answer.headers} {answer.text}")
        if route[0] == "GET":
            # HEAD goes with it, and may say no more.
            self.called.add(("HEAD", route[1]))
            head = self.api.call("HEAD", path, body, headers, **options)
            self.seen[place].append(f"{head.headers} {head.text}")
        return answer


@contextmanager
def canary_stage_of(env: Environment) -> Iterator[CanaryStage]:
    sender = replace(env.firing.sender, send=partial(send, guard=LOOPBACK))
    env.firing = replace(env.firing, sender=sender)
    backend.use(env.scheduling, stage="local")
    yield CanaryStage(Api(env))
    backend.use(env.scheduling, stage="")


def answer_of_the_target(sock: socket.socket) -> None:
    """Answer with canaries, and repeat all of the request that came."""
    body = f"{canary('answer-body')} {'x' * 20_000} {canary('answer-behind-16-kib')}"
    sock.sendall(
        f"HTTP/1.1 503 {canary('answer-reason')}\r\nX-Answer: {canary('answer-header')}\r\n"
        f"Retry-After: {canary('answer-retry-after')}\r\n"
        f"Set-Cookie: {canary('answer-cookie')}\r\nWWW-Authenticate: "
        f"{canary('answer-challenge')}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
    )


def test_no_secret_is_anywhere_but_where_it_belongs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with canary_stage_of(Environment()) as canary_stage:
        sent = fly(canary_stage)
    canary_stage.seen["logs"] = [
        f"{record.getMessage()} {vars(record)}" for record in caplog.records
    ] + [caplog.text]
    look_through(canary_stage, sent)
    assert len(caplog.records) > 20


def test_on_lambda_no_secret_is_in_any_line_or_metric(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As above, every function called as Lambda calls it, and then each with a defect whose text is
    all that the cloud holds.
    """
    monkeypatch.setenv("RESONA_LOG_LEVEL", "DEBUG")
    env = InvokedEnvironment()
    monkeypatch.setattr(executor.firing, "get", lambda _arn="": env.firing)
    written = Written(capsys)
    with lambda_process(monkeypatch), canary_stage_of(env) as canary_stage:
        sent = fly(canary_stage)
        assert {"Lateness", "Attempts", "Runs", "Overdue"} <= {
            name for name, *_ in written.read().sums
        }
        assert {"attempt.ended", "run.ended", "job.created", "secret.put", "sweep.ended"} <= set(
            written.names
        )
        fail_everywhere(canary_stage, env)
        canary_stage.seen["logs"] = [written.read().text]
    # The API's, for GET and for HEAD, and those of three functions.
    assert [event["exception_name"] for event in written.events if "exception_name" in event] == [
        "RuntimeError"
    ] * 5
    look_through(canary_stage, sent)


def fail_everywhere(canary_stage: CanaryStage, env: Environment) -> None:
    """Have the API and the three functions of the executor meet a defect.

    What Lambda is told, it writes down.
    """
    job_id = canary_stage.call(
        JOB, ("POST", "/jobs"), "/jobs", job(trigger={"cron": "0 9 * * *"})
    ).json["id"]
    ((name, schedule),) = [one for one in env.cloud.schedules.items() if one[0].startswith(job_id)]
    canary_stage.call("rest", ("POST", "/jobs/{job_id}/run"), f"/jobs/{job_id}/run")
    body = next(iter(env.cloud.messages.values())).body
    tables = stored(env)

    def crash(operation: str, request: dict[str, Any]) -> None:
        raise RuntimeError(tables) from ValueError(tables)

    env.cloud.before = crash
    assert canary_stage.call("rest", ("GET", "/jobs"), "/jobs").status == 500
    for invoke in (
        lambda: deliver([body]),
        lambda: executor.wake(wake_event({**schedule, "Arn": name}, env.now), Context()),
        lambda: executor.sweep(sweep_event(env.now), Context()),
    ):
        with pytest.raises(InvocationFailed) as raised:
            invoke()
        canary_stage.seen["what Lambda is told"].append(
            "".join(traceback.format_exception(raised.value))
        )
    env.cloud.before = lambda operation, request: None


def fly(canary_stage: CanaryStage) -> str:
    """Pass over every route, and return what was sent to targets."""
    with serving(answer_of_the_target) as target, serving(repeat := _Repeater()) as mirror:
        repeat.server = mirror
        pass_over_every_route(canary_stage, target, mirror)
        return b"".join([*target.seen, *mirror.seen]).decode()


def stored(env: Environment) -> str:
    """Return all that the tables hold, packed responses included."""
    items = [item for table in env.cloud.tables.values() for item in table.values()]
    return repr([items, [unpacked(item["packed"]["B"]) for item in items if "packed" in item]])


def look_through(canary_stage: CanaryStage, sent: str) -> None:
    """Hold where the canaries are against where they belong."""
    assert canary_stage.called == {
        (method, path) for path, methods in ROUTES.items() for method in methods
    }
    env = canary_stage.api.env
    canary_stage.seen[TABLES].append(stored(env))
    canary_stage.seen["messages and schedules"] = [
        *canary_stage.seen.pop("armed"),
        repr(env.cloud.messages),
        repr(env.cloud.schedules),
    ]
    found = {
        name: {
            place
            for place, texts in canary_stage.seen.items()
            if any(text(name) in one for one in texts)
        }
        for name in PLACES
    }
    assert found == PLACES
    assert len(PLACES) == 44
    (token,) = {match[1] for match in re.finditer(r"/complete/\S+\.1\.(\S{32})", sent)}
    assert not any(token in text for texts in canary_stage.seen.values() for text in texts)
    for name in (
        "secret-path",
        "secret-query",
        "secret-header",
        "secret-body",
        "header-value",
        "url-query",
        "body-value",
    ):
        assert canary(name) in sent, f"{name} was not planted"


signing: dict[str, str] = {}


def text(name: str) -> str:
    """Return what is looked for: the canary, or for what Resona made itself, what it made."""
    return signing.get(name) or canary(name)


class _Repeater:
    """A target that answers with all that it was asked."""

    server: Server

    def __call__(self, sock: socket.socket) -> None:
        asked = self.server.seen[-1]
        sock.sendall(
            b"HTTP/1.1 200 OK\r\nX-Asked: "
            + asked.split(b"\r\n")[0]
            + b"\r\nContent-Length: %d\r\n\r\n" % len(asked)
            + asked
        )


def pass_over_every_route(canary_stage: CanaryStage, target: Server, mirror: Server) -> None:
    call = canary_stage.call
    for name in ("path", "query", "header", "body", "deleted", "unused"):
        assert (
            call(
                "rest",
                ("PUT", "/secrets/{name}"),
                f"/secrets/{name}",
                {"value": canary(f"secret-{name}")},
            ).status
            == 204
        )
    call("rest", ("PUT", "/secrets/{name}"), "/secrets/again", {"value": canary("secret-replaced")})
    call("rest", ("PUT", "/secrets/{name}"), "/secrets/again", {"value": "something else"})
    signing["signing-previous"] = call(SIGNING, ("GET", "/signing-secret"), "/signing-secret").json[
        "secret"
    ]
    signing["signing-current"] = call(
        SIGNING, ("POST", "/signing-secret/rotate"), "/signing-secret/rotate"
    ).json["secret"]
    query = f"q={canary('channel-url-query')}&s={{{{secret:query}}}}"
    channel = {"url": f"http://127.0.0.1:{target.port}/?{query}"}
    call(CHANNEL, ("PUT", "/notices/{name}"), "/notices/ops", channel)
    call(CHANNEL, ("POST", "/notices/{name}/test"), "/notices/ops/test")
    job_id = call(
        JOB,
        ("POST", "/jobs"),
        "/jobs",
        _full(target),
        headers={"Idempotency-Key": canary("idempotency-create")},
    ).json["id"]
    mirrored = call(
        JOB, ("POST", "/jobs"), "/jobs", job(trigger={"delay": 2}, request=_secretive(mirror))
    ).json["id"]
    for host, name in (
        ("nobody.invalid", "unresolved-url-query"),
        ("127.0.0.1:9999", "refused-url-query"),
    ):
        request = {"url": f"http://{host}/?q={canary(name)}", "method": "GET"}
        assert (
            call(JOB, ("POST", "/jobs"), "/jobs", job(trigger={"delay": 2}, request=request)).status
            == 201
        )
    call("rest", ("DELETE", "/secrets/{name}"), "/secrets/deleted")
    canary_stage.seen["armed"].append(
        repr((canary_stage.api.env.cloud.messages, canary_stage.api.env.cloud.schedules))
    )
    canary_stage.api.env.advance(minutes=20)
    _look(canary_stage, job_id)
    _look(canary_stage, mirrored)
    _look(canary_stage, _complete(canary_stage, mirror))
    call(CHANNEL, ("GET", "/notices"), "/notices")
    call(CHANNEL, ("GET", "/notices/{name}"), "/notices/ops")
    call(CHANNEL, ("DELETE", "/notices/{name}"), "/notices/ops")
    _be_refused(canary_stage, job_id)
    _change(canary_stage, job_id)


def _full(target: Server) -> dict[str, Any]:
    url = f"http://127.0.0.1:{target.port}/{canary('url-path')}?q={canary('url-query')}"
    request = {
        "url": url,
        "headers": {"X-Key": canary("header-value")},
        "body": {canary("body-name"): canary("body-value")},
    }
    labels = {canary("label-name"): canary("label-value")}
    return job(
        name=canary("name"),
        key=canary("key"),
        labels=labels,
        request=request,
        trigger={"delay": 2},
        retry={"max_attempts": 1},
    )


def _secretive(mirror: Server) -> dict[str, Any]:
    return {
        "url": f"http://127.0.0.1:{mirror.port}/{{{{secret:path}}}}?q={{{{secret:query}}}}",
        "headers": {"Authorization": "Bearer {{secret:header}}"},
        "body": {"deep": ["{{secret:body}}"]},
    }


def _complete(canary_stage: CanaryStage, mirror: Server) -> str:
    """Have a job complete by callback, whose target repeats the URL; return the job's id."""
    request = {"url": f"http://127.0.0.1:{mirror.port}/work"}
    work = job(trigger={"delay": 0}, request=request, completion="callback", deadline=60)
    job_id = canary_stage.call(JOB, ("POST", "/jobs"), "/jobs", work).json["id"]
    canary_stage.api.env.advance(seconds=3)
    (url,) = re.findall(rb"http://localhost:8000(/complete/\S+)", b"".join(mirror.seen))
    said = {"message": canary("word-message"), "body": canary("word-body")}
    call = partial(canary_stage.call, "rest", ("POST", "/complete/{token}"), url.decode())
    answers = [call({"extend": 90}), call({"status": "succeeded", **said}), call({"extend": 90})]
    assert [answer.status for answer in answers] == [200, 204, 410]
    return str(job_id)


def _look(canary_stage: CanaryStage, job_id: str) -> None:
    call = canary_stage.call
    call(JOB, ("GET", "/jobs/{job_id}"), f"/jobs/{job_id}")
    call(JOB, ("GET", "/jobs"), "/jobs")
    runs = call(RUNS, ("GET", "/jobs/{job_id}/runs"), f"/jobs/{job_id}/runs").json
    assert runs
    assert (
        call(
            RUNS, ("GET", "/jobs/{job_id}/runs/{run_id}"), f"/jobs/{job_id}/runs/{runs[0]['id']}"
        ).status
        == 200
    )
    for path in ("/runs", "/runs/hours", "/upcoming"):
        call(RUNS, ("GET", path), path)
    run = f"/jobs/{job_id}/runs/{runs[0]['id']}"
    call(RUNS, ("POST", "/jobs/{job_id}/runs/{run_id}/retry"), f"{run}/retry")
    call(RUNS, ("DELETE", "/jobs/{job_id}/runs/{run_id}"), f"{run}-r1")
    past = {"from": "2026-11-20T00:00:00Z", "to": "2026-11-23T10:00:00Z"}
    for method, body in (("POST", past), ("DELETE", None)):
        of_job = f"/jobs/{job_id}/backfill"
        call(RUNS, (method, "/jobs/{job_id}/backfill"), of_job, body)
    call("rest", ("POST", "/runs/retry"), f"/runs/retry?label={canary('label-name')}:a")
    for path in ("/secrets", "/health", "/", "/openapi.json", "/docs", "/console"):
        call("rest", ("GET", path), path)
    call("rest", ("GET", "/console/{build}/{name}"), "/console/1/app.js")
    for path in ROUTES:
        call(
            "rest",
            ("OPTIONS", path),
            re.sub(r"\{\w+\}", "1", path),
            headers={"Origin": "https://a.example"},
        )


def _be_refused(canary_stage: CanaryStage, job_id: str) -> None:
    """Make calls that are refused, each with a canary in what is wrong."""
    refusals: list[tuple[int, tuple[str, str], str, Any, dict[str, Any]]] = [
        (
            422,
            ("POST", "/jobs"),
            "/jobs",
            _with(headers={"X-Key": f"{canary('refused-header-value')}\r\nX-Two: 2"}),
            {},
        ),
        (
            422,
            ("POST", "/jobs"),
            "/jobs",
            _with(url=f"https://user:{canary('refused-password')}@example.com/"),
            {},
        ),
        (422, ("POST", "/jobs"), "/jobs", _with(body=canary("refused-body"), method="GET"), {}),
        (
            422,
            ("PUT", "/secrets/{name}"),
            "/secrets/x",
            {"value": canary("refused-secret") + "x" * 5000},
            {},
        ),
        (
            400,
            ("POST", "/jobs"),
            "/jobs",
            None,
            {"raw": f'{{"name": "{canary("refused-json")}'.encode()},
        ),
        (400, ("GET", "/jobs"), f"/jobs?cursor={canary('refused-cursor')}", None, {}),
        (
            412,
            ("PATCH", "/jobs/{job_id}"),
            f"/jobs/{job_id}",
            {"name": "x"},
            {"headers": {"If-Match": f'"{canary("refused-if-match")}"'}},
        ),
        (
            422,
            ("POST", "/jobs"),
            "/jobs",
            job(),
            {"headers": {"Idempotency-Key": f"{canary('refused-idempotency-key')} with spaces"}},
        ),
        (
            404,
            ("GET", "/jobs/{job_id}"),
            "/jobs/unknown",
            None,
            {"headers": {"Authorization": f"Basic {canary('refused-bearer')}"}},
        ),
    ]
    for status, route, path, body, options in refusals:
        answer = canary_stage.call("refusals", route, path, body, **options)
        assert answer.status == status, answer.text


def _with(**request: Any) -> dict[str, Any]:
    return job(request={"url": "https://example.com/", "method": "POST", **request})


def _change(canary_stage: CanaryStage, job_id: str) -> None:
    """Call what is left: all that changes something."""
    call, of_job = canary_stage.call, f"/jobs/{job_id}"
    run = call(
        RUNS,
        ("POST", "/jobs/{job_id}/run"),
        f"{of_job}/run",
        headers={"Idempotency-Key": canary("idempotency-run")},
    )
    assert run.status == 202
    call(JOB, ("PATCH", "/jobs/{job_id}"), of_job, {"trigger": {"cron": "0 9 * * *"}})
    call(JOB, ("POST", "/jobs/{job_id}"), of_job, {"overlap": "skip"})
    call(JOB, ("POST", "/jobs/{job_id}/skip"), f"{of_job}/skip", {"count": 1})
    for act, why in (("pause", {"reason": canary("pause-reason")}), ("resume", None)):
        call(JOB, ("POST", f"/jobs/{{job_id}}/{act}"), f"{of_job}/{act}", why)
        call("rest", ("POST", f"/jobs/{act}"), f"/jobs/{act}?label=no:such")
    call("rest", ("POST", "/jobs/delete"), "/jobs/delete?label=no:such")
    for path, name, body in (
        ("/calendars", "{name}", {"weekdays": ["sat"]}),
        ("/flows", "{flow}", {"rate": {"requests": 1}}),
    ):
        assert call("rest", ("PUT", f"{path}/{name}"), f"{path}/a", body).status == 200
        for shown in (path, f"{path}/{name}"):
            call("rest", ("GET", shown), shown.replace(name, "a"))
        call("rest", ("DELETE", f"{path}/{name}"), f"{path}/a")
    call(
        "rest",
        ("POST", "/triggers/preview"),
        "/triggers/preview",
        {"trigger": {"cron": "0 9 * * *"}},
    )
    call(JOB, ("POST", "/jobs/batch"), "/jobs/batch", {"jobs": [job()]})
    call("rest", ("PUT", "/jobs/{job_id}"), "/jobs/key:another", job())
    canary_stage.api.env.advance(minutes=2)
    other = call("rest", ("POST", "/jobs"), "/jobs", job()).json["id"]
    call("rest", ("DELETE", "/jobs/{job_id}"), f"/jobs/{other}")
    assert json.loads(call(JOB, ("GET", "/jobs"), "/jobs").text)
