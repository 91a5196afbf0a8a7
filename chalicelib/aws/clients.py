"""Create the boto3 clients, retry their requests, and translate their errors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.errors import Unavailable
from chalicelib.runtime.backoff import tries

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sqs import SQSClient

_Answer = TypeVar("_Answer")

# API Gateway ends an integration after 29 s: the SDK makes 3 tries of at most 4 s each. With a
# `user_agent` the SDK does not put one together for each request, an eighth of its CPU time.
_CONFIG = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=64,
    tcp_keepalive=True,
    parameter_validation=False,
    user_agent="Resona",
)
# The five roots that Amazon Trust Services advises to trust, https://www.amazontrust.com/repository.
# The SDK loads its certificates for each new connection: 25 ms of CPU for all of certifi's roots,
# less than 1 ms for these.
AMAZON_ROOTS = Path(__file__).parent / "amazon_roots.pem"

# Codes of requests that were refused without effect because of a concurrent one.
_CONFLICTS = frozenset(
    {"TransactionConflictException", "TransactionConflict", "TransactionInProgressException"}
)
THROTTLES = frozenset(
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
    """Create clients while Lambda initializes a function, when it has more CPU than later.

    The functions below return these clients. Does nothing outside Lambda.
    """
    if "AWS_LAMBDA_FUNCTION_NAME" not in os.environ:
        return
    for service in services:
        if service not in _early:
            _early[service] = _make(service)


def connect_early(table: str, count: int) -> None:
    """Open connections to DynamoDB while Lambda initializes a function: each read of an item that
    is not there, half a unit, opens one. Waits for a second at most, and raises nothing.

    The connections trust Amazon's roots alone. If DynamoDB does not answer over them, because it
    has another root, somebody else answers for it or it is down, the SDK's choice stays. Does
    nothing outside Lambda, nor where a function is initialized long before it is invoked.
    """
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "on-demand":
        return
    client = _make("dynamodb", verify=str(AMAZON_ROOTS))

    def is_answered() -> bool:
        try:
            client.get_item(TableName=table, Key={"id": {"S": "none"}, "part": {"S": "none"}})
        except ClientError:
            return True
        except BotoCoreError:
            return False
        return True

    threads = ThreadPoolExecutor(count)
    done, _ = wait([threads.submit(is_answered) for _ in range(count)], timeout=1)
    threads.shutdown(wait=False)
    if any(asked.result() for asked in done):
        _early["dynamodb"] = client


def _make(service: str, **options: Any) -> Any:
    make: Any = boto3.client
    return make(service, config=_CONFIG, **options)


def dynamodb() -> DynamoDBClient:
    """Return the client of the tables."""
    client: DynamoDBClient = _early.get("dynamodb") or _make("dynamodb")
    return client


def sqs() -> SQSClient:
    """Return the client of the due queue."""
    client: SQSClient = _early.get("sqs") or _make("sqs")
    return client


def scheduler() -> EventBridgeSchedulerClient:
    """Return the client of EventBridge Scheduler."""
    client: EventBridgeSchedulerClient = _early.get("scheduler") or _make("scheduler")
    return client


def kms() -> KMSClient:
    """Return the client of KMS."""
    client: KMSClient = _early.get("kms") or _make("kms")
    return client


def sns(region: str) -> Any:
    """Return a client of SNS in a region: a topic is published to in its own."""
    make: Any = boto3.client
    return make("sns", region_name=region, config=_CONFIG)


def code_of(error: ClientError) -> str:
    """Return the code of a service's error, such as `ConditionalCheckFailedException`."""
    return error.response.get("Error", {}).get("Code", "")


def cancellation_reasons(error: ClientError) -> list[dict[str, Any]]:
    """Return why a transaction was cancelled: one reason per write, in order.

    Empty for any other error.
    """
    reasons: Any = error.response.get("CancellationReasons", [])
    return list(reasons)


class Caller:
    """Makes requests to one service. `part` is its name in errors; `sleep` takes seconds."""

    def __init__(self, part: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self.part = part
        self._sleep = sleep

    def __call__(self, request: Callable[[], _Answer], *, writes: bool = False) -> _Answer:
        """Make a request, and retry it with backoff after a conflict or a throttle.

        Raises ClientError for a failed condition and any other refusal, for the caller to handle.
        Raises Unavailable if the service does not answer, with `unknown` if a write may have taken
        effect.
        """
        unknown = False
        # Half of the pause is fixed: a throttled request must wait.
        for _ in tries(self._sleep, _TRIES, jitter=0.5):
            try:
                return request()
            except ClientError as error:
                metadata = error.response.get("ResponseMetadata", {})
                if not _is_passing(error):
                    if metadata.get("HTTPStatusCode", 0) >= 500:
                        raise Unavailable(self.part, unknown=writes) from error
                    raise
                # Within this try the SDK may have tried before, and timed out after the write.
                unknown = unknown or (writes and metadata.get("RetryAttempts", 0) > 0)
            except BotoCoreError as error:
                raise Unavailable(self.part, unknown=writes) from error
        raise Unavailable(self.part, unknown=unknown)


def _is_passing(error: ClientError) -> bool:
    """Return whether the refusal is temporary: load or conflicts only, no failed condition."""
    if code_of(error) in _CONFLICTS | THROTTLES:
        return True
    codes = {reason.get("Code") for reason in cancellation_reasons(error)}
    return bool(codes & (_CONFLICTS | THROTTLES)) and "ConditionalCheckFailed" not in codes
