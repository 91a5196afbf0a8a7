"""The clients of AWS, and what their errors mean."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sqs import SQSClient

_Answer = TypeVar("_Answer")

# API Gateway cuts the integration at 29 s, so the SDK's time is bounded: 3 tries of at most 4 s.
_CONFIG = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=64,
    tcp_keepalive=True,
    parameter_validation=False,
)

# Refused before any effect, and worth another try.
_CONFLICTS = frozenset(
    {"TransactionConflictException", "TransactionConflict", "TransactionInProgressException"}
)
_THROTTLES = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "ThrottlingException",
        "ThrottlingError",
        "Throttling",
        "RequestThrottled",
        "TooManyRequestsException",
    }
)
_TRIES = 6
_early: dict[str, Any] = {}


def make_early(*services: str) -> None:
    """Make clients while Lambda initialises a function: that time has more CPU than an invocation
    of a small function.

    The functions below return them. Elsewhere than on Lambda, do nothing.
    """
    if "AWS_LAMBDA_FUNCTION_NAME" not in os.environ:
        return
    make: Any = boto3.client
    for service in services:
        if service not in _early:
            _early[service] = make(service, config=_CONFIG)


def dynamodb() -> DynamoDBClient:
    """Make the client of the tables."""
    return _early.get("dynamodb") or boto3.client("dynamodb", config=_CONFIG)


def sqs() -> SQSClient:
    """Make the client of the due queue."""
    return _early.get("sqs") or boto3.client("sqs", config=_CONFIG)


def scheduler() -> EventBridgeSchedulerClient:
    """Make the client of the schedules."""
    return _early.get("scheduler") or boto3.client("scheduler", config=_CONFIG)


def kms() -> KMSClient:
    """Make the client of the key of secrets."""
    return _early.get("kms") or boto3.client("kms", config=_CONFIG)


def code_of(error: ClientError) -> str:
    """Return the code of a service's error, such as `ConditionalCheckFailedException`."""
    return error.response.get("Error", {}).get("Code", "")


def cancellation_reasons(error: ClientError) -> list[dict[str, Any]]:
    """Return why a transaction was cancelled, one entry an item, in order; empty for any other
    error.
    """
    reasons: Any = error.response.get("CancellationReasons", [])
    return list(reasons)


def call(
    part: str,
    request: Callable[[], _Answer],
    *,
    writes: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> _Answer:
    """Make a request, again if it met a conflict or a throttle, and translate what is left over.

    Raises ClientError for a failed condition and for anything else that the caller must decide;
    Unavailable(part) when the service does not answer, with `unknown` when a write may have taken
    effect.
    """
    unknown = False
    for attempt in range(_TRIES):
        try:
            return request()
        except ClientError as error:
            metadata = error.response.get("ResponseMetadata", {})
            if not _is_passing(error):
                if metadata.get("HTTPStatusCode", 0) >= 500:
                    raise Unavailable(part, unknown=writes) from error
                raise
            # The SDK's earlier tries, inside this one, may have timed out after their effect.
            unknown = unknown or (writes and metadata.get("RetryAttempts", 0) > 0)
        except BotoCoreError as error:
            raise Unavailable(part, unknown=writes) from error
        if attempt < _TRIES - 1:
            sleep(random.uniform(0.5, 1) * 0.02 * 2**attempt)
    raise Unavailable(part, unknown=unknown)


class Caller:
    """`call` for one part; `sleep` takes seconds."""

    def __init__(self, part: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._part = part
        self._sleep = sleep

    def __call__(self, request: Callable[[], _Answer], *, writes: bool = False) -> _Answer:
        return call(self._part, request, writes=writes, sleep=self._sleep)


def _is_passing(error: ClientError) -> bool:
    """Say whether the request was refused for load or conflict alone: a failed condition beside it
    is an answer.
    """
    if code_of(error) in _CONFLICTS | _THROTTLES:
        return True
    codes = {reason.get("Code") for reason in cancellation_reasons(error)}
    return bool(codes & (_CONFLICTS | _THROTTLES)) and "ConditionalCheckFailed" not in codes
