"""The due queue: one message each, at its time less a fraction, ten at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.aws.due_queue import DueQueue, load_dues
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


class Sleeper:
    """A clock that goes on while somebody sleeps."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now
        self.slept = 0.0

    def clock(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept = seconds
        self.now += timedelta(seconds=seconds)


@pytest.mark.parametrize("seconds", [120.0, 119.96, 77.4, 1.05, 0.45, 0.1, 0.0, -3.0])
@pytest.mark.parametrize(("by", "most"), [(None, 0.15), ("owner", 0.4)])
def test_a_message_that_is_sent_after_a_pause_comes_just_before_its_time(
    cloud: Cloud, seconds: float, by: str | None, most: float
) -> None:
    time = Sleeper()
    queue(cloud).send_in_time([replace(due(seconds), by=by)], time.clock, time.sleep)
    assert 0 <= time.slept < 1
    (delay,) = delays(cloud)
    early = seconds - time.slept - delay
    assert 0.0999 <= early <= most + 0.0001 if seconds > most else time.slept == 0


def test_a_pause_that_would_end_too_late_is_left_out(cloud: Cloud) -> None:
    made, time = queue(cloud), Sleeper()
    made.send_in_time([due(77.6)], time.clock, time.sleep, before=NOW + timedelta(seconds=0.45))
    assert time.slept == 0
    made.send_in_time([due(77.6)], time.clock, time.sleep, before=NOW + timedelta(seconds=0.46))
    assert time.slept == pytest.approx(0.45)


def test_the_shortest_pause_counts_for_several(cloud: Cloud) -> None:
    time = Sleeper()
    queue(cloud).send_in_time([due(77.6), due(30.4), due(50.75)], time.clock, time.sleep)
    assert time.slept == pytest.approx(0.25)
    assert delays(cloud) == [77, 30, 50]


@pytest.mark.parametrize("by", [None, "owner"])
def test_messages_of_a_burst_are_sent_at_once_and_come_earlier_from_the_fourth_on(
    cloud: Cloud, by: str | None
) -> None:
    """Whichever way the process sends them."""
    made, slept = queue(cloud), []
    for _ in range(4):
        time = Sleeper()
        made.send_in_time([replace(due(77.6), by=by)], time.clock, time.sleep)
        made.send([replace(due(78.88), by=by)], NOW)
        slept.append(time.slept)
    pause = 0.2 if by else 0.45
    assert slept == pytest.approx([pause] * 3 + [0])
    assert delays(cloud) == [77, 78] * 3 + [76, 78 if by else 77]


def test_one_of_three_messages_of_a_burst_comes_another_second_earlier(cloud: Cloud) -> None:
    """Unless a claim sends them."""
    made = queue(cloud)
    made.send([due(78.95)] * 12, NOW)
    assert delays(cloud) == [78] * 3 + [77, 77, 76] * 3
    cloud.messages.clear()
    made.send([replace(due(78.95), by="owner")] * 12, NOW)
    assert delays(cloud) == [78] * 12


def test_messages_of_runs_that_a_flow_spaces_come_no_earlier_in_a_burst(cloud: Cloud) -> None:
    made, spaced = queue(cloud), due(78.95)
    for _ in range(8):
        made.send([spaced], NOW, {spaced.key})
    assert delays(cloud) == [78] * 8


def test_messages_for_many_different_seconds_are_no_burst(cloud: Cloud) -> None:
    made = queue(cloud)
    for _ in range(10):
        made.send([due(seconds + 0.5) for seconds in range(60)], NOW)
    assert delays(cloud) == [*range(60)] * 10


def test_messages_that_claims_send_ahead_wait_a_third_of_a_second_on_average(cloud: Cloud) -> None:
    """40 ms lie between the arrival of a message and that of the next one at the queue."""
    made, early, waited = queue(cloud), timedelta(seconds=0.4), []
    for number in range(200):
        waited.append(early.total_seconds())
        at = NOW + timedelta(minutes=5 * number)
        message = replace(due(0), by="owner", at=at + timedelta(minutes=5))
        time = Sleeper(at - early + timedelta(milliseconds=40))
        cloud.messages.clear()
        made.send_in_time([message], time.clock, time.sleep, before=at)
        (seconds,) = delays(cloud)
        early = message.at - time.now - timedelta(seconds=seconds)
        assert timedelta(seconds=0.0999) <= early <= timedelta(seconds=1.1001)
    assert 0.3 < sum(waited) / len(waited) < 0.42


def test_a_message_says_what_is_due_and_is_fair_by_tenant(cloud: Cloud) -> None:
    sent = [due(1, "one"), due(2, "other")]
    queue(cloud).send(sent, NOW)
    assert [load_due(message.body) for message in cloud.messages.values()] == sent
    assert [message.group for message in cloud.messages.values()] == ["one", "other"]


def test_up_to_ten_of_a_tenant_are_sent_as_one_message(cloud: Cloud) -> None:
    of_one = [replace(due(number, "one"), at=NOW + timedelta(seconds=60)) for number in range(12)]
    other = due(90, "other")
    queue(cloud).send_together([*of_one[:6], other, *of_one[6:]], NOW)
    messages = list(cloud.messages.values())
    assert [message.group for message in messages] == ["one", "one", "other"]
    assert [load_dues(message.body) for message in messages] == [of_one[:10], of_one[10:], [other]]
    assert len(delays(cloud)) == 3
    assert max(delays(cloud)[:2]) <= 59


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
