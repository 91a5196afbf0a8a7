"""Attempts: their secrets and signature, and what happens if secrets cannot be read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.request import Request
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import Outcome, RunStatus
from chalicelib.domain.trigger import OneTime
from tests.cloud import client_error
from tests.environment import START, Environment


def at(seconds: float) -> OneTime:
    return OneTime(START.replace(microsecond=0) + timedelta(seconds=seconds))


def unavailable_until(env: Environment, seconds: float) -> None:
    """Have the key of secrets fail until some time has passed."""

    def fail(operation: str, request: dict[str, Any]) -> None:
        if operation in ("Encrypt", "Decrypt") and (env.now - START).total_seconds() < seconds:
            raise client_error("KMSInternalException", operation, 500)

    env.cloud.before = fail


def test_an_attempt_waits_a_little_for_the_key() -> None:
    env = Environment()
    job_id = env.create(at(5))
    unavailable_until(env, 12)
    env.advance(seconds=30)
    assert len(env.sent) == 1
    assert env.sent[0].headers["Resona-Attempt"] == "1"
    assert env.run_list(job_id)[0].status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("outage", [60, 3600])
def test_no_attempt_is_spent_while_there_is_no_key_and_none_is_sent_unsigned(outage: int) -> None:
    env = Environment()
    job_id = env.create(at(5), retry=RetryPolicy(max_attempts=1))
    unavailable_until(env, outage)
    env.advance(seconds=outage + 360)
    assert [sent.headers["Resona-Attempt"] for sent in env.sent] == ["1"]
    assert (env.sent[0].at - START).total_seconds() >= outage
    assert env.sent[0].credentials.signing
    (run,) = env.run_list(job_id)
    assert (run.status, [attempt.result.outcome for attempt in run.attempts]) == (
        RunStatus.SUCCEEDED,
        ["success"],
    )


@pytest.mark.parametrize("what", ["deleted", "paused"])
def test_what_is_deleted_or_paused_while_an_attempt_waits_for_the_key_is_not_sent(
    what: str,
) -> None:
    env = Environment()
    job_id = env.create(at(5))

    def fail(operation: str, request: dict[str, Any]) -> None:
        if operation in ("Encrypt", "Decrypt") and env.now < at(8).date:
            if env.now > at(6).date and not asked:
                asked.append(what)
                (env.scheduling.delete if what == "deleted" else env.scheduling.pause)(
                    "tenant", job_id
                )
            raise client_error("KMSInternalException", operation, 500)

    asked: list[str] = []
    env.cloud.before = fail
    env.advance(minutes=6)
    assert (asked, env.sent) == ([what], [])


def test_a_secret_that_is_longer_than_what_a_header_may_hold_is_told_and_not_shown() -> None:
    env = Environment()
    env.secrets.put("tenant", "long", "x" * 4096, env.now)
    request = Request(
        "https://example.com/", "POST", {"Authorization": "Bearer {{secret:long}}"}, None
    )
    env.create(at(5), request=request)
    env.advance(seconds=10)
    # The wire's own check refuses it; here it is enough that it gets there whole.
    assert len(env.sent[0].request.headers["Authorization"]) == 4096 + len("Bearer ")


@pytest.mark.parametrize("named", [20, 21])
def test_a_job_that_names_more_than_20_secrets_is_not_sent_and_nothing_is_decrypted_for_it(
    named: int,
) -> None:
    """One that was written before there was a limit: the door refuses it now."""
    env = Environment()
    for number in range(named):
        env.secrets.put("tenant", f"n{number}", "s3cr3t", env.now)
    request = Request(
        "https://example.com/", "POST", {}, [f"{{{{secret:n{number}}}}}" for number in range(named)]
    )
    job_id = env.create(at(5), request=request)
    env.advance(seconds=30)
    (run,) = env.run_list(job_id)
    assert len(env.sent) == (1 if named == 20 else 0)
    assert run.status is (RunStatus.SUCCEEDED if named == 20 else RunStatus.FAILED)
    assert env.cloud.calls.count("Decrypt") == (named if named == 20 else 0)
    if named > 20:
        assert [attempt.result.outcome for attempt in run.attempts] == [Outcome.BLOCKED]


@pytest.mark.parametrize(("milliseconds", "is_sent"), [(0, True), (1, False)])
def test_an_attempt_is_sent_only_if_its_lease_outlasts_its_timeout_by_two_seconds(
    milliseconds: int, is_sent: bool
) -> None:
    """Its executor may have stood still since the claim."""
    env = Environment()
    job_id = env.create(at(5), timeout=timedelta(seconds=30))

    def stand_still(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and request["TableName"] == "jobs":
            env.cloud.after = lambda operation, request: None
            (run,) = env.state(job_id).runs
            env.now = run.lease_until - timedelta(seconds=32) + timedelta(milliseconds=milliseconds)

    env.cloud.after = stand_still
    ((name, message),) = env.cloud.messages.items()
    env.now = message.visible_at
    env.deliver(name)
    assert len(env.sent) == is_sent
