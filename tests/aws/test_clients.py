"""Errors of AWS: temporary ones are retried, refusals are raised, and lost answers are unknown."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import certifi
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)

from chalicelib.aws import clients
from chalicelib.aws.clients import Caller, cancellation_reasons, code_of
from chalicelib.domain.errors import Unavailable
from tests.cloud import client_error

PASSING = [
    "TransactionConflictException",
    "TransactionInProgressException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "Throttling",
    "RequestThrottled",
    "TooManyRequestsException",
]


def cancelled(*codes: str) -> ClientError:
    reasons = [{"Code": code} for code in codes]
    return client_error(
        "TransactionCanceledException", "TransactWriteItems", CancellationReasons=reasons
    )


def retried_by_the_sdk(code: str, times: int) -> ClientError:
    error = client_error(code, "PutItem")
    error.response["ResponseMetadata"]["RetryAttempts"] = times
    return error


class Service:
    """Fails with these errors, one a request, and then answers "ok"."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.requests = 0

    def __call__(self) -> str:
        self.requests += 1
        if self._errors:
            raise self._errors.pop(0)
        return "ok"


class Pauses(list[float]):
    """Sleeps not at all, and remembers how long it was asked to."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def call(
    part: str,
    request: Callable[[], str],
    *,
    writes: bool = False,
    sleep: Callable[[float], None],
) -> str:
    return Caller(part, sleep)(request, writes=writes)


def unavailable(request: Callable[[], str], *, writes: bool) -> Unavailable:
    with pytest.raises(Unavailable) as raised:
        call("a part", request, writes=writes, sleep=Pauses())
    assert raised.value.part == "a part"
    assert raised.value.__cause__ is None or isinstance(
        raised.value.__cause__, (ClientError, BotoCoreError)
    )
    return raised.value


def test_an_answer_is_given_without_a_pause() -> None:
    pauses = Pauses()
    assert call("a part", Service(), sleep=pauses) == "ok"
    assert pauses == []


@pytest.mark.parametrize("code", PASSING)
def test_conflicts_and_throttles_are_tried_again(code: str) -> None:
    service, pauses = (
        Service(client_error(code, "PutItem"), client_error(code, "PutItem")),
        Pauses(),
    )
    assert call("a part", service, writes=True, sleep=pauses) == "ok"
    assert (service.requests, len(pauses)) == (3, 2)


@pytest.mark.parametrize(
    "codes",
    [
        ("TransactionConflict",),
        ("None", "TransactionConflict"),
        ("ThrottlingError", "None"),
        ("ProvisionedThroughputExceeded",),
    ],
)
def test_a_transaction_cancelled_by_conflicts_alone_is_tried_again(codes: tuple[str, ...]) -> None:
    service = Service(cancelled(*codes))
    assert call("a part", service, writes=True, sleep=Pauses()) == "ok"
    assert service.requests == 2


@pytest.mark.parametrize(
    "error",
    [
        client_error("ConditionalCheckFailedException", "PutItem"),
        cancelled("ConditionalCheckFailed", "None"),
        cancelled("TransactionConflict", "ConditionalCheckFailed"),
        cancelled("ValidationError", "None"),
        client_error("ValidationException", "PutItem"),
        client_error("AccessDeniedException", "PutItem"),
        client_error("ConflictException", "CreateSchedule", 409),
        client_error("ResourceNotFoundException", "DeleteSchedule", 404),
    ],
)
def test_what_was_decided_is_told_at_once(error: ClientError) -> None:
    service, pauses = Service(error), Pauses()
    with pytest.raises(ClientError) as raised:
        call("a part", service, writes=True, sleep=pauses)
    assert raised.value is error
    assert (service.requests, pauses) == (1, [])


def test_a_failed_condition_after_a_conflict_is_told() -> None:
    refused = client_error("ConditionalCheckFailedException", "PutItem")
    with pytest.raises(ClientError) as raised:
        call(
            "a part",
            Service(client_error("TransactionConflictException", "PutItem"), refused),
            writes=True,
            sleep=Pauses(),
        )
    assert raised.value is refused


def test_the_tries_end_and_nothing_has_been_written_then() -> None:
    service = Service(*[client_error("ThrottlingException", "PutItem")] * 100)
    assert not unavailable(service, writes=True).unknown
    assert service.requests == 6


def test_a_throttle_after_the_sdks_own_tries_may_hide_a_write() -> None:
    """One of the SDK's tries may have timed out after its effect, before the last one was
    throttled.
    """
    lost = [retried_by_the_sdk("ThrottlingException", 2)]
    plain = [client_error("ThrottlingException", "PutItem")]
    assert unavailable(Service(*lost * 6), writes=True).unknown
    assert unavailable(Service(*lost, *plain * 5), writes=True).unknown
    assert not unavailable(Service(*lost * 6), writes=False).unknown
    assert not unavailable(
        Service(*[retried_by_the_sdk("ThrottlingException", 0)] * 6), writes=True
    ).unknown


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        client_error("InternalServerError", "PutItem", 500),
        client_error("ServiceUnavailable", "PutItem", 503),
        EndpointConnectionError(endpoint_url="https://example.com"),
        ReadTimeoutError(endpoint_url="https://example.com"),
        NoCredentialsError(),
    ],
)
def test_a_service_that_does_not_answer_is_unavailable_and_a_write_to_it_unknown(
    error: Exception, writes: bool
) -> None:
    service = Service(error)
    raised = unavailable(service, writes=writes)
    assert raised.unknown is writes
    assert raised.__cause__ is error
    assert service.requests == 1


def test_what_is_no_error_of_aws_is_left_alone() -> None:
    with pytest.raises(ZeroDivisionError):
        call("a part", Service(ZeroDivisionError()), writes=True, sleep=Pauses())


def test_the_pauses_grow_and_stay_short() -> None:
    for _ in range(50):
        pauses = Pauses()
        with pytest.raises(Unavailable):
            call("a part", Service(*[client_error("Throttling", "Query")] * 6), sleep=pauses)
        assert len(pauses) == 5, "nobody waits after the last try"
        assert all(earlier <= later for earlier, later in pairwise(pauses))
        assert 0 < pauses[0] <= 0.02
        assert sum(pauses) <= 0.62


def test_the_pauses_of_two_callers_differ() -> None:
    first, second = Pauses(), Pauses()
    for pauses in (first, second):
        call("a part", Service(client_error("Throttling", "Query")), sleep=pauses)
    assert first != second


def test_a_caller_calls_for_its_part_and_sleeps_as_it_was_told() -> None:
    pauses = Pauses()
    caller = Caller("the part", pauses)
    assert caller(Service(client_error("Throttling", "Query"))) == "ok"
    assert len(pauses) == 1
    for writes in (True, False):
        with pytest.raises(Unavailable, match="the part") as raised:
            caller(Service(client_error("InternalServerError", "PutItem", 500)), writes=writes)
        assert raised.value.unknown is writes


def test_an_error_without_a_code_or_reasons_has_none() -> None:
    bare = ClientError({}, "PutItem")
    assert (code_of(bare), cancellation_reasons(bare)) == ("", [])
    assert cancellation_reasons(cancelled("None")) == [{"Code": "None"}]


@pytest.mark.parametrize("make", [clients.dynamodb, clients.sqs, clients.scheduler])
def test_a_client_gives_up_before_the_gateway_does(
    make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    config = make().meta.config
    assert (config.connect_timeout + config.read_timeout) * config.retries[
        "total_max_attempts"
    ] < 29 / 2


def test_the_shipped_roots_are_those_of_amazon_that_certifi_has_too() -> None:
    """If certifi leaves one out, it is no longer to be trusted: leave it out here, too."""
    shipped = clients.AMAZON_ROOTS.read_text().split("-----END CERTIFICATE-----\n")
    known = Path(certifi.where()).read_text()
    labels = []
    for label, certificate in (one.strip().split("\n", 1) for one in shipped if one.strip()):
        assert certificate in known
        assert f'Label: "{label.removeprefix("# ")}"\n' in known.split(certificate)[0][-700:]
        labels.append(label.removeprefix("# "))
    amazons = [f"Amazon Root CA {number}" for number in (1, 2, 3, 4)]
    assert labels == [*amazons, "Starfield Services Root Certificate Authority - G2"]
    assert ssl.create_default_context(cafile=str(clients.AMAZON_ROOTS)).get_ca_certs()


class Answering:
    """A client that waits until so many of its calls run at once, and fails each."""

    def __init__(self, together: int, error: Exception) -> None:
        self._all_there = threading.Barrier(together)
        self._error = error
        self.asked: list[dict[str, Any]] = []

    def get_item(self, **request: Any) -> None:
        self.asked.append(request)
        self._all_there.wait(10)
        raise self._error


@pytest.mark.parametrize(
    ("error", "is_kept"),
    [
        (client_error("AccessDeniedException", "GetItem"), True),
        (SSLError(endpoint_url="https://dynamodb", error=ssl.SSLError("unknown root")), False),
        (ConnectTimeoutError(endpoint_url="https://dynamodb"), False),
    ],
)
def test_connections_are_opened_side_by_side_and_kept_if_amazons_roots_verify_them(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_kept: bool
) -> None:
    client: Any = Answering(3, error)
    made = list[Any]()

    def make(service: str, **options: Any) -> Any:
        made.append((service, options["verify"]))
        return client

    monkeypatch.setattr("boto3.client", make)
    monkeypatch.setattr(clients, "_early", {"dynamodb": "the SDK's"})
    clients.connect_early("jobs", 3)
    assert made == []
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    clients.connect_early("jobs", 3)
    assert made == [("dynamodb", str(clients.AMAZON_ROOTS))]
    assert [request["TableName"] for request in client.asked] == ["jobs"] * 3
    found: Any = clients.dynamodb()
    assert found is (client if is_kept else "the SDK's")


def imported(module: str, **environment: str) -> list[str]:
    """Return the services whose clients are there once a module is imported."""
    code = (
        f"import {module}; from chalicelib.aws import clients; print(*clients._early); same = "
        "clients.dynamodb() is clients.dynamodb()"
    )
    made = {
        "PATH": os.environ["PATH"],
        "AWS_DEFAULT_REGION": "eu-central-1",
        "RESONA_STAGE": "dev",
        **environment,
    }
    root = Path(__file__).parent.parent.parent
    code += "; assert same == bool(clients._early)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=made, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("module", "function", "made"),
    [
        ("app", "resona-dev", "dynamodb sqs scheduler"),
        ("chalicelib.handlers.executor", "resona-dev-wake", "dynamodb sqs scheduler"),
        ("chalicelib.handlers.executor", "resona-dev-sweep", "dynamodb sqs scheduler"),
        ("chalicelib.handlers.executor", "resona-dev-deliver", "dynamodb sqs scheduler kms"),
        ("chalicelib.handlers.authorizer", "resona-dev-authorizer", "dynamodb"),
    ],
)
def test_clients_are_made_while_lambda_initialises_a_function(
    module: str, function: str, made: str
) -> None:
    assert imported(module, AWS_LAMBDA_FUNCTION_NAME=function) == made.split()


def test_elsewhere_no_client_is_made_before_it_is_asked_for() -> None:
    assert imported("chalicelib.handlers.executor") == []
