"""Attempts: what they carry, and what happens when their secrets cannot be had."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.request import Request
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import RunStatus
from chalicelib.domain.trigger import OneTime
from tests.cloud import client_error
from tests.world import START, World


def at(seconds: float) -> OneTime:
    return OneTime(START.replace(microsecond=0) + timedelta(seconds=seconds))


def unavailable_until(world: World, seconds: float) -> None:
    """Have the key of secrets fail until some time has passed."""

    def fail(operation: str, request: dict[str, Any]) -> None:
        if operation in ("Encrypt", "Decrypt") and (world.now - START).total_seconds() < seconds:
            raise client_error("KMSInternalException", operation, 500)

    world.cloud.before = fail


def test_an_attempt_waits_a_little_for_the_key() -> None:
    world = World()
    job_id = world.create(at(5))
    unavailable_until(world, 12)
    world.advance(seconds=30)
    assert len(world.sent) == 1
    assert world.sent[0].headers["Resona-Attempt"] == "1"
    assert world.run_list(job_id)[0].status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("outage", [60, 3600])
def test_no_attempt_is_spent_while_there_is_no_key_and_none_is_sent_unsigned(outage: int) -> None:
    world = World()
    job_id = world.create(at(5), retry=RetryPolicy(max_attempts=1))
    unavailable_until(world, outage)
    world.advance(seconds=outage + 360)
    assert [sent.headers["Resona-Attempt"] for sent in world.sent] == ["1"]
    assert (world.sent[0].at - START).total_seconds() >= outage
    assert world.sent[0].credentials.signing
    (run,) = world.run_list(job_id)
    assert (run.status, [attempt.exchange.outcome for attempt in run.attempts]) == (RunStatus.SUCCEEDED, ["success"])


@pytest.mark.parametrize("what", ["deleted", "paused"])
def test_what_is_deleted_or_paused_while_an_attempt_waits_for_the_key_is_not_sent(what: str) -> None:
    world = World()
    job_id = world.create(at(5))

    def fail(operation: str, request: dict[str, Any]) -> None:
        if operation in ("Encrypt", "Decrypt") and world.now < at(8).date:
            if world.now > at(6).date and not asked:
                asked.append(what)
                (world.scheduling.delete if what == "deleted" else world.scheduling.pause)("tenant", job_id)
            raise client_error("KMSInternalException", operation, 500)

    asked: list[str] = []
    world.cloud.before = fail
    world.advance(minutes=6)
    assert (asked, world.sent) == ([what], [])


def test_a_secret_that_is_longer_than_what_a_header_may_hold_is_told_and_not_shown() -> None:
    world = World()
    world.secrets.put("tenant", "long", "x" * 4096, world.now)
    request = Request("https://example.com/", "POST", {"Authorization": "Bearer {{secret:long}}"}, None)
    world.create(at(5), request=request)
    world.advance(seconds=10)
    # The wire's own check refuses it; here it is enough that it gets there whole.
    assert len(world.sent[0].request.headers["Authorization"]) == 4096 + len("Bearer ")
