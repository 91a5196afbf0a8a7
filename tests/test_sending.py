"""Attempts: what they carry, and what happens when their secrets cannot be had."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from chalicelib.domain.request import Request
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


def test_an_attempt_waits_for_the_key_as_long_as_its_lease_has_time_to_spare() -> None:
    world = World()
    job_id = world.create(at(5))
    unavailable_until(world, 12)
    world.advance(seconds=30)
    assert len(world.sent) == 1
    assert world.sent[0].headers["Resona-Attempt"] == "1"
    assert world.run_list(job_id)[0].status is RunStatus.SUCCEEDED


def test_an_attempt_without_its_key_is_given_up_and_made_again_not_sent_unsigned() -> None:
    world = World()
    job_id = world.create(at(5))
    unavailable_until(world, 60)
    world.advance(minutes=6)
    assert [sent.headers["Resona-Attempt"] for sent in world.sent] == ["2"]
    assert world.sent[0].credentials.signing
    (run,) = world.run_list(job_id)
    assert (run.status, [attempt.exchange.outcome for attempt in run.attempts]) == (RunStatus.SUCCEEDED, ["unknown", "success"])


def test_a_secret_that_is_longer_than_what_a_header_may_hold_is_told_and_not_shown() -> None:
    world = World()
    world.secrets.put("tenant", "long", "x" * 4096, world.now)
    request = Request("https://example.com/", "POST", {"Authorization": "Bearer {{secret:long}}"}, None)
    world.create(at(5), request=request)
    world.advance(seconds=10)
    # The wire's own check refuses it; here it is enough that it gets there whole.
    assert len(world.sent[0].request.headers["Authorization"]) == 4096 + len("Bearer ")
