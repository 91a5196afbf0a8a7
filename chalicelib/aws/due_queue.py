"""The due queue: each message names a run and the time of its next step."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Container, Sequence
from datetime import datetime, timedelta
from itertools import groupby, islice
from threading import Lock
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.aws.clients import Caller
from chalicelib.aws.serialization import dump_due, load_due
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.ids import RunKey
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
# In a burst messages are sent without a pause and come `_LEAD` seconds earlier, one of `_VANGUARD`
# another second, or `_LEAD_AHEAD` if they are sent before a claim: so pollers and functions start
# before the due time. A message belongs to a burst if its process has sent `_BURST` for the same
# second, among the last `_REMEMBERED`.
_BURST, _REMEMBERED = 3, 20
_LEAD, _LEAD_AHEAD, _VANGUARD = 1.0, 0.75, 3
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
        self._total = 0
        self._lock = Lock()

    def send(
        self, dues: Sequence[DueMessage], now: datetime, spaced: Container[RunKey] = ()
    ) -> None:
        """Send messages that arrive 0.1 to 1.1 s before their times: SQS waits whole seconds.

        Those of a burst arrive up to two seconds earlier, but not those of `spaced` runs, which a
        flow keeps apart. Those that are due later than in 15 minutes arrive after 15. Idempotent.
        Raises Unavailable if any was not sent; the sweeper sends it again, from the state that was
        written before.
        """
        for start in range(0, len(dues), 10):
            some = dues[start : start + 10]
            leads = [0.0 if due.key in spaced else self._lead(due) for due in some]
            self._send([_entry(index, due, now, leads[index]) for index, due in enumerate(some)])

    def send_together(self, dues: Sequence[DueMessage], now: datetime) -> None:
        """Send messages that are due at about the same time, up to ten of a tenant as one: each is
        a line of it.

        It arrives 0.1 to 1.1 s before the first one's time. Raises Unavailable, as `send` does.
        """
        ordered = sorted(dues, key=lambda due: (due.tenant, due.at))
        for _, of_tenant in groupby(ordered, lambda due: due.tenant):
            while group := list(islice(of_tenant, _TOGETHER)):
                entry = _entry(0, group[0], now, lead=0.0)
                entry["MessageBody"] = "\n".join(map(dump_due, group))
                self._send([entry])

    def send_in_time(
        self,
        dues: Sequence[DueMessage],
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        before: datetime | None = None,
    ) -> None:
        """Send up to ten messages after a pause of less than a second, so that they arrive shortly
        before their times: 0.15 s, or 0.4 s if sent before a claim. In a burst, send them at once.

        If their fractions of a second differ, the shortest pause counts. A pause that would end
        after `before` is left out. Raises Unavailable, as `send` does.
        """
        now = clock()
        leads = [self._lead(due) for due in dues]
        pause = 0.0 if any(leads) else min(_pause(due, now) for due in dues)
        if before is None or now + timedelta(seconds=pause) < before:
            sleep(pause)
        now = clock()
        self._send(
            [
                _entry(index, due, now, lead)
                for index, (due, lead) in enumerate(zip(dues, leads, strict=True))
            ]
        )

    def _lead(self, due: DueMessage) -> float:
        """Return how many seconds earlier a message comes than by itself, 0 unless it belongs to a
        burst. Call it once for each message: it counts.
        """
        second = int(due.at.timestamp())
        with self._lock:
            before = self._sent.count(second)
            self._sent.append(second)
            self._total += 1
            is_first = self._total % _VANGUARD == 0
        if before < _BURST:
            return 0.0
        return _LEAD_AHEAD if due.by else _LEAD + is_first

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
    index: int, due: DueMessage, now: datetime, lead: float
) -> SendMessageBatchRequestEntryTypeDef:
    delay = int((due.at - now).total_seconds() - _EARLY - lead)
    return {
        "Id": str(index),
        "MessageBody": dump_due(due),
        "DelaySeconds": max(0, min(delay, _LONGEST_DELAY)),
        "MessageGroupId": due.tenant,
    }
