"""The due queue: one message each, at its time less a fraction, ten at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.aws.due_queue import DueQueue, pause_before_sending
from chalicelib.aws.serialization import load_due
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.ids import RunKey
from chalicelib.domain.state import DueMessage
from tests.cloud import SQS, Cloud, client_error

NOW = datetime(2026, 11, 23, 10, 0, 0, 250_000, tzinfo=UTC)


class OneRefused(SQS):
    """Takes all messages of a batch but one, with an answer that is a success."""

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        *taken, refused = request["Entries"]
        answer = super().send_message_batch(**{**request, "Entries": taken})
        return {
            **answer,
            "Failed": [{"Id": refused["Id"], "Code": "InternalError", "SenderFault": False}],
        }


@pytest.fixture
def cloud() -> Cloud:
    return Cloud(lambda: NOW)


def queue(cloud: Cloud, client: type[SQS] = SQS) -> DueQueue:
    made: Any = client(cloud)
    return DueQueue(made, "https://sqs.example.com/due", lambda seconds: None)


def due(seconds: float, tenant: str = "tenant") -> DueMessage:
    return DueMessage(
        "job_x", tenant, RunKey(NOW.replace(microsecond=0), 1), NOW + timedelta(seconds=seconds)
    )


def delays(cloud: Cloud) -> list[float]:
    return [(message.visible_at - NOW).total_seconds() for message in cloud.messages.values()]


@pytest.mark.parametrize(
    ("seconds", "delay"),
    [
        (0, 0),
        (0.999, 0),
        (1, 0),
        (1.1, 1),
        (5.75, 5),
        (6.05, 5),
        (899.999, 899),
        (900, 899),
        (900.5, 900),
        (901.5, 900),
        (86_400 * 365, 900),
        (-0.5, 0),
        (-1, 0),
        (-86_400, 0),
    ],
)
def test_a_message_comes_a_tenth_of_a_second_before_its_time_and_at_most_a_second_more(
    cloud: Cloud, seconds: float, delay: int
) -> None:
    """The executor sleeps the rest.

    What is further away than SQS can wait comes early, and goes back to the queue.
    """
    queue(cloud).send([due(seconds)], NOW)
    assert delays(cloud) == [delay]


@pytest.mark.parametrize("seconds", [120.0, 119.96, 77.4, 1.05, 0.45, 0.1, 0.0, -3.0])
@pytest.mark.parametrize(("by", "most"), [(None, 0.15), ("owner", 0.4)])
def test_a_message_that_is_sent_after_a_pause_comes_just_before_its_time(
    cloud: Cloud, seconds: float, by: str | None, most: float
) -> None:
    message = replace(due(seconds), by=by)
    pause = pause_before_sending(message, NOW)
    assert 0 <= pause < 1
    queue(cloud).send([message], NOW + timedelta(seconds=pause))
    (delay,) = delays(cloud)
    early = seconds - pause - delay
    assert 0.0999 <= early <= most + 0.0001 if seconds > most else pause == 0


def test_those_of_one_job_of_seven_come_earlier_and_do_not_pause(cloud: Cloud) -> None:
    """Unless a claim sends them: these come at different times before theirs in any case."""
    messages = [replace(due(77.4), job_id=f"job_{number}") for number in range(700)]
    leading = [message for message in messages if not pause_before_sending(message, NOW)]
    assert 70 < len(leading) < 130
    queue(cloud).send(leading[:1], NOW)
    assert delays(cloud) == [76]
    claims = [replace(message, by="owner") for message in messages]
    assert {round(pause_before_sending(message, NOW), 3) for message in claims} == {0.0}
    later = NOW - timedelta(seconds=0.5)
    assert {round(pause_before_sending(message, later), 3) for message in claims} == {0.5}


def test_messages_that_claims_send_ahead_wait_a_third_of_a_second_on_average(cloud: Cloud) -> None:
    """40 ms lie between the arrival of a message and that of the next one at the queue."""
    made, early, waited = queue(cloud), timedelta(seconds=0.4), []
    for number in range(200):
        waited.append(early.total_seconds())
        at = NOW + timedelta(minutes=5 * number)
        message = replace(due(0), by="owner", at=at + timedelta(minutes=5))
        now = at - early + timedelta(milliseconds=40)
        pause = timedelta(seconds=pause_before_sending(message, now))
        now += pause if now + pause < at else timedelta(0)
        cloud.messages.clear()
        made.send([message], now)
        (seconds,) = delays(cloud)
        early = message.at - now - timedelta(seconds=seconds)
        assert timedelta(seconds=0.0999) <= early <= timedelta(seconds=1.1001)
    assert 0.3 < sum(waited) / len(waited) < 0.42


def test_a_message_says_what_is_due_and_is_fair_by_tenant(cloud: Cloud) -> None:
    sent = [due(1, "one"), due(2, "other")]
    queue(cloud).send(sent, NOW)
    assert [load_due(message.body) for message in cloud.messages.values()] == sent
    assert [message.group for message in cloud.messages.values()] == ["one", "other"]


def test_nothing_to_send_asks_for_nothing(cloud: Cloud) -> None:
    queue(cloud).send([], NOW)
    assert cloud.calls == []


def test_more_than_ten_go_in_batches_of_ten(cloud: Cloud) -> None:
    sizes = []

    def count(operation: str, request: dict[str, Any]) -> None:
        sizes.append(len(request["Entries"]))
        assert request["QueueUrl"] == "https://sqs.example.com/due"
        assert len({entry["Id"] for entry in request["Entries"]}) == len(request["Entries"])

    cloud.before = count
    queue(cloud).send([due(seconds) for seconds in range(33)], NOW)
    assert sizes == [10, 10, 10, 3]
    assert delays(cloud) == [0, *range(32)]


def test_a_batch_of_which_one_was_not_taken_has_failed(cloud: Cloud) -> None:
    with pytest.raises(Unavailable, match=r"^the due queue is unavailable") as raised:
        queue(cloud, OneRefused).send([due(1), due(2), due(3)], NOW)
    assert raised.value.unknown
    assert delays(cloud) == [0, 1]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("InternalError", 500),
        ("InternalError", 503),
        ("AccessDenied", 403),
        ("QueueDoesNotExist", 400),
    ],
)
def test_a_queue_that_does_not_answer_or_refuses_is_unavailable(
    cloud: Cloud, code: str, status: int
) -> None:
    def fail(operation: str, request: dict[str, Any]) -> None:
        raise client_error(code, operation, status)

    cloud.before = fail
    with pytest.raises(Unavailable, match=r"^the due queue is unavailable") as raised:
        queue(cloud).send([due(1)], NOW)
    assert raised.value.unknown


def test_a_throttled_batch_is_sent_again(cloud: Cloud) -> None:
    def throttle(operation: str, request: dict[str, Any]) -> None:
        cloud.before = lambda operation, request: None
        raise client_error("RequestThrottled", operation, 403)

    cloud.before = throttle
    queue(cloud).send([due(1)], NOW)
    assert delays(cloud) == [0]
