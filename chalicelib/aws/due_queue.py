"""The due queue: each message names a run and the time of its next step."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby, islice
from threading import Lock
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.aws.clients import Caller
from chalicelib.aws.serialization import dump_due, load_due
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.state import DueMessage

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_PART = "the due queue"
_LONGEST_DELAY = 900
# How many messages are sent as one at most: so many attempts an executor makes at once.
_TOGETHER = 10
# A message arrives at least this much before its time, in seconds: what a warm function takes to
# receive it and to read the job and its secrets.
_EARLY = 0.1
# In a burst messages are sent without a pause and come `_LEAD` seconds earlier, `_LEAD_AHEAD` if
# they are sent before a claim: so pollers and functions start before the due time. A message
# belongs to a burst if its process has sent `_BURST` for the same second, among the last
# `_REMEMBERED`.
_BURST, _REMEMBERED = 3, 20
_LEAD, _LEAD_AHEAD = 1.0, 0.75
# `send_in_time` pauses until this much before a whole second, because a pause may take longer.
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
        # The seconds for which this process has sent messages last.
        self._sent = deque[int](maxlen=_REMEMBERED)
        self._lock = Lock()

    def send(self, dues: Sequence[DueMessage], now: datetime) -> None:
        """Send messages that arrive 0.1 to 1.1 s before their times: SQS waits whole seconds.

        Those of a burst arrive up to a second earlier, those that are due later than in 15 minutes
        after 15. Idempotent. Raises Unavailable if any was not sent; the sweeper sends it again,
        from the state that was written before.
        """
        for start in range(0, len(dues), 10):
            some = dues[start : start + 10]
            self._send(
                [
                    _entry(index, due, now, is_burst=self._is_burst(due))
                    for index, due in enumerate(some)
                ]
            )

    def send_together(self, dues: Sequence[DueMessage], now: datetime) -> None:
        """Send messages that are due at about the same time, up to ten of a tenant as one: each is
        a line of it.

        It arrives 0.1 to 1.1 s before the first one's time. Raises Unavailable, as `send` does.
        """
        ordered = sorted(dues, key=lambda due: (due.tenant, due.at))
        for _, of_tenant in groupby(ordered, lambda due: due.tenant):
            while group := list(islice(of_tenant, _TOGETHER)):
                entry = _entry(0, group[0], now, is_burst=False)
                entry["MessageBody"] = "\n".join(map(dump_due, group))
                self._send([entry])

    def send_in_time(
        self,
        due: DueMessage,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        before: datetime | None = None,
    ) -> None:
        """Send a message after a pause of less than a second, so that it arrives shortly before its
        time: 0.15 s, or 0.4 s if it is sent before a claim. In a burst, send it at once.

        A pause that would end after `before` is left out. Raises Unavailable, as `send` does.
        """
        now, is_burst = clock(), self._is_burst(due)
        pause = 0.0 if is_burst else _pause(due, now)
        if before is None or now + timedelta(seconds=pause) < before:
            sleep(pause)
        self._send([_entry(0, due, clock(), is_burst=is_burst)])

    def _is_burst(self, due: DueMessage) -> bool:
        """Return whether a message belongs to a burst, and count it."""
        second = int(due.at.timestamp())
        with self._lock:
            count = self._sent.count(second)
            self._sent.append(second)
        return count >= _BURST

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


def load_dues(body: str) -> list[DueMessage]:
    """Read what a message of the queue is for. Raises ValueError, KeyError or TypeError."""
    return [load_due(line) for line in body.split("\n")]


def _pause(due: DueMessage, now: datetime) -> float:
    """Return how many seconds to wait before sending."""
    ahead = (due.at - now).total_seconds() - _EARLY
    return max(0.0, ahead % 1 - (_SLACK_AHEAD if due.by else _SLACK)) if ahead > 0 else 0.0


def _entry(
    index: int, due: DueMessage, now: datetime, *, is_burst: bool
) -> SendMessageBatchRequestEntryTypeDef:
    lead = (_LEAD_AHEAD if due.by else _LEAD) if is_burst else 0.0
    delay = int((due.at - now).total_seconds() - _EARLY - lead)
    return {
        "Id": str(index),
        "MessageBody": dump_due(due),
        "DelaySeconds": max(0, min(delay, _LONGEST_DELAY)),
        "MessageGroupId": due.tenant,
    }
