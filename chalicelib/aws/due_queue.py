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
# A message arrives at least this much before its time, in seconds: what a warm function takes to
# receive it and to read the job and its secrets.
_EARLY = 0.1
# Messages of one job of so many come earlier by `_LEAD` seconds, and are sent without a pause. In a
# burst they come before the others, and start the pollers and the functions for these.
_VANGUARD, _LEAD = 7, 1.25
# `pause_before_sending` ends this much before a whole second, because a pause may take longer.
_SLACK = 0.05
# The same for what is sent before a claim. Such a message comes closer to its time than the one
# before it, by what lies between; when less than `_EARLY` is left, it comes a second earlier.
_SLACK_AHEAD = 0.3


class DueQueue:
    """An SQS fair queue: a burst of one tenant does not delay the messages of the others."""

    def __init__(
        self, client: SQSClient, url: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._call = Caller(_PART, sleep)
        self._url = url

    def send(self, dues: Sequence[DueMessage], now: datetime) -> None:
        """Send messages that arrive 0.1 to 1.1 s before their times: SQS waits whole seconds.

        Those of one job of seven arrive 1.25 s earlier, those that are due later than in 15 minutes
        after 15. Idempotent. Raises Unavailable if any was not sent; the sweeper sends it again,
        from the state that was written before.
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
    """Return for how many seconds to wait before sending, so that a message arrives shortly before
    its time: 0.15 s, or 0.4 s if it is sent before a claim. 0 for one job of seven.
    """
    if _leads(due):
        return 0.0
    ahead = (due.at - now).total_seconds() - _EARLY
    return max(0.0, ahead % 1 - (_SLACK_AHEAD if due.by else _SLACK)) if ahead > 0 else 0.0


def _leads(due: DueMessage) -> bool:
    """Return whether a message is to come before the others. None does that a claim sends: some of
    these come a second before the others in any case.
    """
    return due.by is None and zlib.crc32(due.job_id.encode()) % _VANGUARD == 0


def _entry(index: int, due: DueMessage, now: datetime) -> SendMessageBatchRequestEntryTypeDef:
    delay = int((due.at - now).total_seconds() - _EARLY - (_LEAD if _leads(due) else 0))
    return {
        "Id": str(index),
        "MessageBody": dump_due(due),
        "DelaySeconds": max(0, min(delay, _LONGEST_DELAY)),
        "MessageGroupId": due.tenant,
    }
