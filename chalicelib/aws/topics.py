"""Publish notices to topics of Amazon SNS, which mails them to the topics' subscribers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    ReadTimeoutError,
)

from chalicelib.aws.clients import THROTTLES, code_of
from chalicelib.domain.exact_json import write
from chalicelib.domain.run import AttemptResult, Outcome, Response

# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors
_THROTTLES = THROTTLES | {"Throttled", "KMSThrottling"}
_KEY = "the topic is encrypted, and its key's policy must let the function `deliver` use it"
_REMEDIES = {
    "NotFound": "there is no such topic: create it, or put the channel with another one",
    "AuthorizationError": "the function `deliver` may not publish to the topic: deploy the stage "
    "again, and look for a denial in the topic's policy",
    "KMSAccessDenied": _KEY,
    "KMSDisabled": "the topic's key is disabled: enable it",
    "KMSNotFound": "the topic's key does not exist: give the topic another",
}


class Topics:
    """The topics that the stage allows. `make_client` returns a client of SNS in a region; it is
    called when a notice is first published there.
    """

    def __init__(self, make_client: Callable[[str], Any], allowed: AbstractSet[str]) -> None:
        self._make_client = make_client
        self._allowed = allowed
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def publish(self, topic: str, message: str) -> AttemptResult:
        """Publish a notice and return the result. Never raises for an error of SNS.

        `message` is a JSON object with `Subject` and `Message`. The result has the status of SNS's
        answer, and 429 for every throttle: SNS answers some of them with 400.
        """
        if topic not in self._allowed:
            return AttemptResult(
                Outcome.BLOCKED,
                timedelta(0),
                error="the stage allows the topic no longer: add it to RESONA_NOTICE_TOPICS and "
                "deploy, or put the channel with another one",
            )
        began = time.monotonic()
        try:
            answer = self._sns(topic.split(":")[3]).publish(TopicArn=topic, **json.loads(message))
        except ClientError as error:
            return _refused(error, _since(began))
        except (ConnectTimeoutError, ReadTimeoutError):
            return AttemptResult(Outcome.TIMEOUT, _since(began), error="SNS did not answer in time")
        except BotoCoreError:
            sentence = "SNS could not be reached"
            return AttemptResult(Outcome.CONNECTION_FAILED, _since(began), error=sentence)
        body = write({"MessageId": answer["MessageId"]})
        return AttemptResult(
            Outcome.SUCCESS,
            _since(began),
            status_code=answer["ResponseMetadata"]["HTTPStatusCode"],
            response=Response({"content-type": "application/json"}, body, truncated=False),
        )

    def _sns(self, region: str) -> Any:
        # A batch publishes from several threads, and boto3 makes clients in one at a time only.
        with self._lock:
            if region not in self._clients:
                self._clients[region] = self._make_client(region)
            return self._clients[region]


def _since(began: float) -> timedelta:
    return timedelta(seconds=time.monotonic() - began)


def _refused(error: ClientError, duration: timedelta) -> AttemptResult:
    """Return the result for an error that SNS answered with. Its text names roles: leave it out."""
    code = code_of(error)
    answered = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    status = 429 if code in _THROTTLES else answered
    remedy = f": {_REMEDIES[code]}" if code in _REMEDIES else ""
    return AttemptResult(
        Outcome.HTTP_ERROR,
        duration,
        status_code=status,
        error=f"SNS answered {status}, {code}{remedy}",
    )
