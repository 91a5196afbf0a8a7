"""Processes of Lambda functions with their logging, and the lines that they wrote."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.handlers import executor
from chalicelib.telemetry.invocation import process
from infra.local.clock import queue_event, wake_event
from tests.environment import VISIBILITY, Environment
from tests.invocations import Context, sweep_event

QUEUE = "arn:aws:sqs:us-east-1:123456789012:resona-dev-due"

Document = dict[str, Any]


@dataclass
class Written:
    """What was written until it was asked for: events, and documents of metrics.

    Each line must be one or the other, whole.
    """

    capsys: pytest.CaptureFixture[str]
    events: list[Document] = field(default_factory=list)
    metrics: list[Document] = field(default_factory=list)
    text: str = ""

    def read(self) -> Written:
        """Take what has been written since."""
        printed = self.capsys.readouterr()
        assert printed.err == ""
        self.text += printed.out
        for line in printed.out.splitlines():
            document = json.loads(line)
            if "_aws" in document:
                self.metrics.append(document)
            else:
                assert {"level", "message", "timestamp", "service"} <= document.keys()
                self.events.append(document)
        return self

    @property
    def names(self) -> list[str]:
        """The names of the events, in order."""
        return [event["message"] for event in self.events]

    @property
    def sums(self) -> dict[tuple[str, ...], float]:
        """What CloudWatch makes of the metrics: (name, value of each dimension …) → the sum of the
        values.
        """
        sums: Counter[tuple[str, ...]] = Counter()
        for document in self.metrics:
            for directive in document["_aws"]["CloudWatchMetrics"]:
                for dimensions in directive["Dimensions"]:
                    under = tuple(document[name] for name in dimensions)
                    for metric in directive["Metrics"]:
                        values = document[metric["Name"]]
                        sums[metric["Name"], *under] += (
                            sum(values) if isinstance(values, list) else values
                        )
        return dict(sums)


@contextmanager
def lambda_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be a process of Lambda before its first invocation: its runtime has given the root logger a
    handler that writes text.
    """
    root, log = logging.getLogger(), logging.getLogger("resona")
    before = [(logger, list(logger.handlers), logger.level) for logger in (root, log)]
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "resona-dev-deliver")
    monkeypatch.setenv("RESONA_STAGE", "dev")
    process.cache_clear()
    root.addHandler(logging.StreamHandler(sys.stdout))
    try:
        yield
    finally:
        process.cache_clear()
        for logger, handlers, level in before:
            logger.handlers[:] = handlers
            logger.setLevel(level)


def deliver(bodies: Iterable[str]) -> str:
    """Deliver messages as one batch, and return Lambda's id of the invocation."""
    context = Context()
    messages = [
        {"MessageId": f"m-{number}", "ReceiptHandle": f"r-{number}", "Body": body}
        for number, body in enumerate(bodies)
    ]
    executor.deliver(queue_event(messages, QUEUE), context)
    return context.aws_request_id


class InvokedEnvironment(Environment):
    """A env in which the executor's functions are called as Lambda calls them.

    They must find it: `executor.firing` returns its.
    """

    def deliver(self, name: str) -> None:
        message = self.cloud.messages[name]
        message.visible_at = self.now + VISIBILITY
        deliver([message.body])
        self.cloud.messages.pop(name, None)

    def sweep(self) -> None:
        self._swept_at = max(self.now, self._swept_at + timedelta(minutes=1))
        if self.sweeps:
            executor.sweep(sweep_event(self.now), Context())

    def wake(self, name: str, at: datetime) -> None:
        self._woken[name] = at
        schedule = {**self.cloud.schedules[name], "Arn": name}
        if schedule["ActionAfterCompletion"] == "DELETE":
            del self.cloud.schedules[name]
        executor.wake(wake_event(schedule, at), Context())
