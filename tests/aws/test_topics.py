"""Publishing to a topic: what each answer of SNS means."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from moto import mock_aws

from chalicelib.aws import clients
from chalicelib.aws.topics import Topics
from chalicelib.domain.retry import RetryPolicy, is_retried
from chalicelib.domain.run import AttemptResult, Outcome
from tests.cloud import SNS, Cloud, client_error
from tests.environment import START
from tests.infra.sessions import new_core
from tests.permissions import TOPIC

MESSAGE = json.dumps({"Subject": "Resona: job failed", "Message": "job failed.\n"})
GONE = "arn:aws:sns:eu-west-1:123456789012:gone"


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        boto3.setup_default_session(botocore_session=new_core())
        clients.sns("eu-central-1").create_topic(Name="resona-notices")
        yield


def test_a_message_is_published_in_the_region_of_its_topic(moto: None) -> None:
    """The cloud in memory answers the same."""
    memory = Topics(lambda region: SNS(Cloud(lambda: START)), {TOPIC, GONE})
    for topics in (Topics(clients.sns, {TOPIC, GONE}), memory):
        done = topics.publish(TOPIC, MESSAGE)
        assert (done.outcome, done.status_code, done.error) == (Outcome.SUCCESS, 200, None)
        assert done.response
        assert len(json.loads(done.response.body)["MessageId"]) == 36
        gone = topics.publish(GONE, MESSAGE)
        assert (gone.outcome, gone.status_code) == (Outcome.HTTP_ERROR, 404)
        assert "create it" in str(gone.error)


def test_a_topic_that_the_stage_allows_no_longer_is_not_asked(moto: None) -> None:
    blocked = Topics(clients.sns, frozenset()).publish(TOPIC, MESSAGE)
    assert (blocked.outcome, blocked.status_code) == (Outcome.BLOCKED, None)
    assert "RESONA_NOTICE_TOPICS" in str(blocked.error)


def answering(error: Exception) -> Callable[[str], Any]:
    class Client:
        def publish(self, **request: Any) -> None:
            raise error

    return lambda region: Client()


def retried(result: AttemptResult) -> bool:
    return is_retried(RetryPolicy(), result)


@pytest.mark.parametrize(
    ("code", "status", "shown", "again"),
    [
        ("Throttled", 429, 429, True),
        ("Throttling", 400, 429, True),
        ("KMSThrottling", 400, 429, True),
        ("InternalError", 500, 500, True),
        ("ServiceUnavailable", 503, 503, True),
        ("AuthorizationError", 403, 403, False),
        ("KMSAccessDenied", 400, 400, False),
        ("NotFound", 404, 404, False),
        ("InvalidParameter", 400, 400, False),
    ],
)
def test_a_refusal_has_its_status_and_is_retried_if_it_passes(
    code: str, status: int, shown: int, again: bool
) -> None:
    error: ClientError = client_error(code, "Publish", status)
    error.response["Error"]["Message"] = "User: arn:aws:sts::1:assumed-role/x is not authorized"
    result = Topics(answering(error), {TOPIC}).publish(TOPIC, MESSAGE)
    assert (result.outcome, result.status_code, retried(result)) == (
        Outcome.HTTP_ERROR,
        shown,
        again,
    )
    assert str(result.error).startswith(f"SNS answered {shown}, {code}")
    assert "assumed-role" not in str(result.error)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ReadTimeoutError(endpoint_url="https://sns"), Outcome.TIMEOUT),
        (EndpointConnectionError(endpoint_url="https://sns"), Outcome.CONNECTION_FAILED),
        (NoCredentialsError(), Outcome.CONNECTION_FAILED),
    ],
)
def test_without_an_answer_it_is_tried_again(error: BotoCoreError, outcome: Outcome) -> None:
    result = Topics(answering(error), {TOPIC}).publish(TOPIC, MESSAGE)
    assert (result.outcome, result.status_code, retried(result)) == (outcome, None, True)
    assert "https" not in str(result.error)
