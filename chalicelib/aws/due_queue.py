"""The due queue: each message names a run and the time of its next step."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.aws.clients import Caller
from chalicelib.aws.serialization import dump_due
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.state import DueMessage

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_PART = "the due queue"
_LONGEST_DELAY = 900
# A message arrives at least this much before its time, in seconds: most of a cold start.
_EARLY = 0.35
# Messages of one job of so many are sent without a pause. In a burst they come up to a second
# before the others, and start the pollers and the functions for these.
_VANGUARD = 8
# `pause_before_sending` ends this much before a whole second, because a pause may take longer.
_SLACK = 0.05


class DueQueue:
    """An SQS fair queue: a burst of one tenant does not delay the messages of the others."""

    def __init__(
        self, client: SQSClient, url: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._call = Caller(_PART, sleep)
        self._url = url

    def send(self, dues: Sequence[DueMessage], now: datetime) -> None:
        """Send messages that arrive 0.35 to 1.35 s before their times: SQS waits whole seconds.

        Messages that are due later than in 15 minutes arrive after 15. Idempotent. Raises
        Unavailable if any was not sent; the sweeper sends it again, from the state that was written
        before.
        """
        for start in range(0, len(dues), 10):
            self._send(
                [_entry(index, due, now) for index, due in enumerate(dues[start : start + 10])]
            )

    def _send(self, entries: list[SendMessageBatchRequestEntryTypeDef]) -> None:
        try:
            answer = self._call(
                lambda: self._client.send_message_batch(QueueUrl=self._url, Entries=entries),
                writes=True,
            )
        except ClientError as error:
            # The queue does not exist, or a policy forbids it.
            raise Unavailable(_PART, unknown=True) from error
        if answer.get("Failed"):
            raise Unavailable(_PART, unknown=True)


def pause_before_sending(due: DueMessage, now: datetime) -> float:
    """Return for how many seconds to wait before sending, so that a message arrives 0.4 s before
    its time, where to wait is cheaper than in `deliver`. 0 for one job of eight.
    """
    if zlib.crc32(due.job_id.encode()) % _VANGUARD == 0:
        return 0.0
    ahead = (due.at - now).total_seconds() - _EARLY
    return max(0.0, ahead % 1 - _SLACK) if ahead > 0 else 0.0


def _entry(index: int, due: DueMessage, now: datetime) -> SendMessageBatchRequestEntryTypeDef:
    delay = int((due.at - now).total_seconds() - _EARLY)
    return {
        "Id": str(index),
        "MessageBody": dump_due(due),
        "DelaySeconds": max(0, min(delay, _LONGEST_DELAY)),
        "MessageGroupId": due.tenant,
    }
