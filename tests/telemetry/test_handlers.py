"""The lines that the Lambda functions log for firings, API calls, keys and failures."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from chalice.config import Config
from chalice.local import LocalGateway

from app import app
from chalicelib.api.routing import backend
from chalicelib.domain.api_keys import new_key
from chalicelib.domain.cron import parse
from chalicelib.domain.run import AttemptResult, Outcome
from chalicelib.domain.trigger import OneTime
from chalicelib.handlers import authorizer, executor
from chalicelib.handlers.authorizer import Unauthorized
from chalicelib.runtime.concurrency import in_threads
from chalicelib.telemetry.invocation import InvocationFailed
from chalicelib.usecases.job_runs import run_now
from infra.local.clock import wake_event
from tests.api.conftest import Api, job
from tests.cloud import client_error
from tests.environment import START, Environment, ok, status
from tests.handlers.test_authorizer import Stage
from tests.invocations import Context, sweep_event
from tests.telemetry.process import Written, deliver
from tests.telemetry.test_metrics import hold

SECRET = "hunter2-secret"
DUE = START.replace(microsecond=0) + timedelta(seconds=6)


@pytest.fixture
def env(written: Written, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """A env whose firings are what the functions find put together."""
    env = Environment()
    monkeypatch.setattr(executor.firing, "get", lambda _arn="": env.firing)
    return env


def deliver_all(env: Environment, *bodies: str) -> str:
    """Deliver what is in the queue as one batch, at the due time or later, and return Lambda's id
    of the invocation.
    """
    env.now = max(env.now, DUE)
    waiting = bodies or [one.body for one in env.cloud.messages.values()]
    env.cloud.messages.clear()
    return deliver(waiting)


def test_a_firing_is_one_line_and_one_document(env: Environment, written: Written) -> None:
    job_id = env.create(OneTime(DUE))
    written.read().events.clear()
    env.now = DUE + timedelta(milliseconds=70)
    request_id = deliver_all(env)
    (ended,) = written.read().events
    identity = {
        "service": "resona",
        "level": "INFO",
        "function_request_id": request_id,
        "job_id": job_id,
    }
    identity["run_id"] = f"run_{job_id[4:]}-1-20261123T100006Z"
    told = {
        "attempt": 1,
        "outcome": "success",
        "status_code": 200,
        "duration_ms": 40,
        "lateness_ms": 70,
        "host": "example.com",
    }
    assert ended == {
        **identity,
        "message": "attempt.ended",
        "timestamp": ended["timestamp"],
        **told,
    }
    assert len(written.metrics) == 1
    # They are paid for: 0.7 KB, and Lambda's own 0.3, are 0.5 dollars a million.
    assert sum(map(len, written.text.splitlines()[-2:])) <= 720
    assert written.sums == {("Lateness", "dev"): 70}


def test_ten_messages_side_by_side_are_counted_each_once(
    env: Environment, written: Written
) -> None:
    jobs = [env.create(OneTime(DUE)) for _ in range(10)]
    together = threading.Barrier(10)

    def target(sent: Any) -> AttemptResult:
        together.wait(timeout=10)
        return ok() if jobs.index(sent.headers["Resona-Job-Id"]) % 2 else status(500)

    env.target, env.firing = target, replace(env.firing, run_all=in_threads)
    written.read().events.clear()
    deliver_all(env)
    assert sorted(written.read().names) == ["attempt.ended"] * 10 + ["run.retrying"] * 5
    assert {event["job_id"] for event in written.events} == set(jobs)
    sums = written.sums
    assert sums["Attempts", "dev", "http_error"] == 5
    assert (
        len([value for document in written.metrics for value in document.get("Lateness", [])]) == 10
    )
    for document in written.metrics:
        hold(document)


def test_a_retry_is_counted_as_one_and_says_no_lateness(env: Environment, written: Written) -> None:
    env.target = lambda sent: ok() if sent.headers["Resona-Attempt"] == "2" else status(500)
    env.create(OneTime(DUE))
    deliver_all(env)
    (again,) = env.cloud.messages.values()
    env.now = again.visible_at + timedelta(seconds=1)
    deliver_all(env)
    attempts = [event for event in written.read().events if event["message"] == "attempt.ended"]
    assert [event.get("lateness_ms") for event in attempts] == [0, None]
    sums = written.sums
    assert (sums["Attempts", "dev", "http_error"], sums["Retries", "dev"]) == (1, 1)


def test_a_manual_run_that_succeeds_is_no_occurrence(env: Environment, written: Written) -> None:
    job_id = env.create(parse("0 9 * * *"))
    run_now(env.scheduling, "tenant", job_id)
    deliver_all(env)
    assert written.read().sums == {}
    assert [
        event.get("manual") for event in written.events if event["message"] == "attempt.ended"
    ] == [True]


def test_missed_occurrences_are_unsent_and_one_run(env: Environment, written: Written) -> None:
    env.create(parse("* * * * *"))
    bodies = [one.body for one in env.cloud.messages.values()]
    env.now += timedelta(minutes=5)
    deliver_all(env, *bodies)
    sums = written.read().sums
    assert (sums["Runs", "dev", "missed"], sums["Unsent", "dev"]) == (1, 4)
    (missed,) = [event for event in written.events if event.get("status") == "missed"]
    assert missed["occurrences"] == 4


def test_a_lost_attempt_is_an_outcome(env: Environment, written: Written) -> None:
    class Dead(BaseException):
        """What a killed process does not come back from."""

    def die(sent: Any) -> AttemptResult:
        raise Dead

    env.create(OneTime(DUE))
    bodies = [one.body for one in env.cloud.messages.values()]
    env.target = die
    with pytest.raises(Dead):
        deliver_all(env)
    assert written.read().sums == {}
    env.target = lambda sent: ok()
    env.now += timedelta(minutes=2)
    deliver_all(env, *bodies)
    assert written.read().sums["Attempts", "dev", "unknown"] == 1
    assert "attempt.unknown" in written.names


def test_a_sweep_says_what_was_overdue_and_zero_when_nothing_was(
    env: Environment, written: Written
) -> None:
    executor.sweep(sweep_event(env.now), Context())
    assert written.read().sums == {("Overdue", "dev"): 0}
    env.create(OneTime(DUE))
    env.cloud.messages.clear()
    env.now += timedelta(minutes=2)
    executor.sweep(sweep_event(env.now), Context())
    assert written.read().sums == {("Overdue", "dev"): 1}
    assert written.names == ["job.created", "job.overdue"]


def test_a_sweep_that_cannot_send_says_that_there_was_something_to_send(
    env: Environment, written: Written
) -> None:
    env.create(OneTime(DUE))
    env.cloud.messages.clear()
    env.now += timedelta(minutes=2)
    env.cloud.before = fail_at(
        "SendMessageBatch", client_error("InternalFailure", "SendMessageBatch", 500)
    )
    with pytest.raises(InvocationFailed):
        executor.sweep(sweep_event(env.now), Context())
    assert written.read().sums == {("Overdue", "dev"): 1}
    assert written.names == ["job.overdue", "invocation.failed"]


def fail_at(operation: str, error: Exception) -> Callable[[str, dict[str, Any]], None]:
    def before(called: str, request: dict[str, Any]) -> None:
        if called == operation:
            raise error

    return before


def test_a_sweep_that_cannot_look_counts_nothing(env: Environment, written: Written) -> None:
    env.cloud.before = fail_at("Query", client_error("InternalServerError", "Query", 500))
    with pytest.raises(InvocationFailed):
        executor.sweep(sweep_event(env.now), Context())
    assert written.read().metrics == []
    (failed,) = written.events
    assert (failed["message"], failed["level"], failed["exception_name"]) == (
        "invocation.failed",
        "WARNING",
        "Unavailable",
    )


def test_a_batch_of_which_some_fail_tells_of_each_and_counts_the_others(
    env: Environment, written: Written
) -> None:
    jobs = [env.create(OneTime(DUE)) for _ in range(4)]
    secret = SECRET

    def target(sent: Any) -> AttemptResult:
        if sent.headers["Resona-Job-Id"] in jobs[:2]:
            raise ValueError(f"a defect with {secret}")
        return ok()

    env.target, env.firing = target, replace(env.firing, run_all=in_threads)
    written.read().events.clear()
    with pytest.raises(InvocationFailed) as raised:
        deliver_all(env)
    failures = [event for event in written.read().events if event["message"] == "message.failed"]
    assert {event["job_id"] for event in failures} == set(jobs[:2])
    assert all(
        event["stack_trace"][-1].endswith(".target") and event["exception_name"] == "ValueError"
        for event in failures
    )
    assert "invocation.failed" not in written.names
    sums = written.sums
    assert sums["Failures", "dev", "deliver"] == 2
    # What Lambda writes down, and hands on to destinations: the text, and the places.
    assert str(raised.value) == "ValueError; the log's line with exception_name says where and why"
    assert (raised.value.__cause__, raised.value.__suppress_context__) == (None, True)
    assert SECRET not in written.text


def test_a_role_that_lacks_a_permission_is_told_by_what_it_lacks(
    env: Environment, written: Written
) -> None:
    env.create(OneTime(DUE))
    denied = ClientError(
        {"Error": {"Code": "AccessDeniedException", "Message": f"User: arn:… {SECRET}"}}, "Query"
    )
    env.cloud.before = fail_at("Query", denied)
    with pytest.raises(InvocationFailed):
        deliver_all(env)
    failed = written.read().events[-1]
    assert (failed["message"], failed["code"], failed["operation"]) == (
        "message.failed",
        "AccessDeniedException",
        "Query",
    )
    assert SECRET not in written.text


def test_a_wake_that_fails_names_the_job(env: Environment, written: Written) -> None:
    job_id = env.create(parse("0 11 * * *"))
    ((_, schedule),) = env.cloud.schedules.items()
    env.cloud.before = fail_at("Query", client_error("InternalServerError", "Query", 500))
    written.read().events.clear()
    with pytest.raises(InvocationFailed):
        executor.wake(
            wake_event({**schedule, "Arn": "arn"}, START.replace(hour=10, minute=58)),
            Context(),
        )
    (failed,) = written.read().events
    assert (failed["message"], failed["job_id"]) == ("invocation.failed", job_id)
    assert failed["causes"] == [
        {"exception_name": "ClientError", "code": "InternalServerError", "operation": "Query"}
    ]


def test_a_setting_that_cannot_be_read_fails_the_invocation_and_is_named(
    env: Environment, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESONA_LOG_LEVEL", "LOUD")
    with pytest.raises(InvocationFailed):
        executor.sweep(sweep_event(env.now), Context())
    (failed,) = written.read().events
    assert failed["why"].startswith("the environment variable RESONA_LOG_LEVEL must be one of")


def test_metrics_of_one_invocation_are_not_the_next_one_s(
    env: Environment, written: Written
) -> None:
    env.create(OneTime(DUE))
    deliver_all(env)
    written.read().metrics.clear()
    executor.sweep(sweep_event(env.now), Context())
    assert written.read().sums == {("Overdue", "dev"): 0}


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        ("Root=1-5e-7;Parent=5;Sampled=1;Lineage=a", "1-5e-7"),
        ("Root=1-5e-7;Sampled=0", None),
        ("", None),
    ],
)
def test_lines_carry_the_trace_that_is_kept(
    trace: str,
    expected: str | None,
    env: Environment,
    written: Written,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)
    env.create(OneTime(DUE))
    written.read().events.clear()
    deliver_all(env)
    assert {event.get("xray_trace_id") for event in written.read().events} == {expected}


@pytest.fixture
def api(env: Environment) -> Iterator[Api]:
    backend.use(env.scheduling, stage="local")
    yield Api(env)
    backend.use(env.scheduling, stage="")


def test_what_users_do_is_an_event_each_with_the_call_s_id(api: Api, written: Written) -> None:
    made = api.post("/jobs", job(trigger={"cron": "0 9 * * *"})).json["id"]
    for method, path, body in (
        ("PATCH", f"/jobs/{made}", {"name": "other"}),
        ("PATCH", f"/jobs/{made}", {"name": "other"}),
        ("POST", f"/jobs/{made}/pause", None),
        ("POST", f"/jobs/{made}/pause", None),
        ("POST", f"/jobs/{made}/resume", None),
        ("POST", f"/jobs/{made}/run", None),
        ("GET", f"/jobs/{made}", None),
        ("DELETE", f"/jobs/{made}", None),
        ("PUT", "/secrets/token", {"value": SECRET}),
        ("DELETE", "/secrets/token", None),
        ("POST", "/signing-secret/rotate", None),
    ):
        assert api.call(method, path, body).status < 300
    names = (
        "job.created job.changed job.paused job.resumed run.queued job.deleted secret.put "
        "secret.deleted signing_secret.rotated"
    )
    assert written.read().names == names.split()
    assert {
        event["job_id"] for event in written.events if event["message"].startswith(("job.", "run."))
    } == {made}
    assert written.metrics == []
    assert SECRET not in written.text


def test_a_call_of_the_api_has_its_ids_in_every_line(api: Api, written: Written) -> None:
    """As API Gateway makes it, with what the authorizer said."""
    backend.use(api.env.scheduling, stage="dev")
    body = json.dumps(job(trigger={"delay": 5})).encode()
    headers = {"Content-Type": "application/json"}
    event = LocalGateway(app, Config.create()).event_converter.create_lambda_event(
        "POST", "/jobs", headers, body
    )
    event["requestContext"] |= {
        "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        "authorizer": {"tenant": "acme", "scopes": "write", "key_id": "K7", "principalId": "K7"},
    }
    context = Context()
    assert app(event, context)["statusCode"] == 201
    (created,) = written.read().events
    ids = {
        name: created[name]
        for name in ("function_request_id", "correlation_id", "tenant", "key_id")
    }
    assert ids == {
        "function_request_id": context.aws_request_id,
        "correlation_id": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        "tenant": "acme",
        "key_id": "K7",
    }


def test_a_defect_of_the_api_is_told_once_with_its_place_and_counted(
    api: Api, written: Written
) -> None:
    def crash(operation: str, request: dict[str, Any]) -> None:
        raise LookupError(SECRET)

    api.env.cloud.before = crash
    assert api.get("/jobs").status == 500
    (failed,) = written.read().events
    assert (failed["message"], failed["exception_name"], failed["level"]) == (
        "request.failed",
        "LookupError",
        "ERROR",
    )
    assert failed["stack_trace"][-1].endswith(".crash")
    assert written.sums == {("Failures", "dev", "api"): 1}
    assert SECRET not in written.text


def test_what_does_not_answer_the_api_is_told_and_no_defect(api: Api, written: Written) -> None:
    api.env.cloud.before = fail_at("Query", client_error("InternalServerError", "Query", 500))
    assert api.get("/jobs").status == 503
    assert api.post("/jobs/batch", {"jobs": []}).status == 200
    (event,) = written.read().events
    assert (event["message"], event["level"], event["causes"][0]["operation"]) == (
        "request.unavailable",
        "WARNING",
        "Query",
    )
    assert written.metrics == []


def test_a_preflight_that_fails_is_told_as_any_call_is(
    api: Api, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESONA_CORS_ORIGINS", "nonsense")
    backend.use(api.env.scheduling, stage="local", origins=None)
    answer = api.call("OPTIONS", "/jobs", headers={"Origin": "https://a.example"})
    assert answer.status == 500
    (event,) = written.read().events
    assert (event["message"], event["exception_name"]) == ("request.failed", "SettingMissing")


@pytest.fixture
def gate() -> Iterator[Stage]:
    yield Stage()
    authorizer.authenticator.use(None)


def test_a_refused_key_is_told_by_its_id_and_is_no_failure(gate: Stage, written: Written) -> None:
    known, unknown = gate.make(), new_key("prod")
    assert gate.ask(f"Bearer {known.text}")["principalId"] == known.id
    for header in (f"Bearer {unknown.text}", "Bearer nonsense", SECRET):
        # API Gateway goes by the very text.
        with pytest.raises(Unauthorized, match=r"^Unauthorized$"):
            gate.ask(header)
    (event,) = written.read().events
    assert (event["message"], event["key_id"], event["level"]) == (
        "key.refused",
        unknown.id,
        "INFO",
    )
    assert written.metrics == []
    assert unknown.secret not in written.text and SECRET not in written.text


def test_an_authorizer_that_cannot_look_fails_without_the_key(
    gate: Stage, written: Written
) -> None:
    key = gate.make()
    gate.cloud.before = fail_at("GetItem", RuntimeError(key.text))
    with pytest.raises(InvocationFailed) as raised:
        gate.ask(f"Bearer {key.text}")
    assert written.read().names == ["invocation.failed"]
    assert written.sums == {("Failures", "dev", "authorizer"): 1}
    assert key.secret not in written.text + str(raised.value)


class Broken(io.StringIO):
    """A standard output that nobody reads any more."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_firing_goes_well_where_nothing_can_be_written(
    env: Environment, written: Written
) -> None:
    job_id = env.create(OneTime(DUE))
    with contextlib.redirect_stdout(Broken()):
        deliver_all(env)
    assert [run.status for run in env.run_list(job_id)] == ["succeeded"]


def test_a_firing_goes_well_where_its_metrics_do_not(env: Environment, written: Written) -> None:
    def target(sent: Any) -> AttemptResult:
        # An event as a defect would make it.
        logging.getLogger("resona").info("attempt.ended", extra={"attempt": "first"})
        return ok()

    job_id = env.create(OneTime(DUE))
    env.target = target
    deliver_all(env)
    assert [run.status for run in env.run_list(job_id)] == ["succeeded"]
    (failed,) = [event for event in written.read().events if event["message"] == "metrics.failed"]
    assert failed["exception_name"] == "KeyError"
    sums = written.sums
    assert sums["Failures", "dev", "deliver"] == 1


def test_off_lambda_nothing_is_written_and_errors_are_what_they_are(
    env: Environment, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME")
    handlers = list(logging.getLogger().handlers)
    env.create(OneTime(DUE))
    env.cloud.before = fail_at("Query", RuntimeError("as it is"))
    with pytest.raises(RuntimeError, match="as it is"):
        deliver_all(env)
    assert logging.getLogger().handlers == handlers
    assert "_aws" not in json.dumps(written.capsys.readouterr().out)


def test_every_outcome_but_success_is_a_value_of_a_dimension(
    env: Environment, written: Written
) -> None:
    def ending(outcome: Outcome) -> Callable[[object], AttemptResult]:
        return lambda sent: AttemptResult(outcome, timedelta(milliseconds=5))

    for outcome in Outcome:
        env.target = ending(outcome)
        env.now = START
        env.create(OneTime(DUE))
        deliver_all(env)
    assert {key[2] for key in written.read().sums if key[0] == "Attempts" and len(key) == 3} == {
        *Outcome
    } - {Outcome.SUCCESS}
