"""Digests: which window an event belongs to, for every short row of events, and what is sent."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain import messages
from chalicelib.domain.channels import Channel, Format
from chalicelib.domain.digests import (
    MOST_EXAMPLES,
    OPEN,
    Example,
    Window,
    composed,
    is_open,
    opened,
)
from chalicelib.domain.job import Definition
from chalicelib.domain.notices import Event, to_channel
from chalicelib.domain.request import LARGEST_BODY, payload
from chalicelib.domain.run import Response
from chalicelib.domain.slack import LONGEST
from chalicelib.domain.state import Transition
from tests.domain.test_notices import JOB, NOW, told
from tests.soak import IS_SOAK

EVENTS = frozenset({Event.RUN_FAILED, Event.JOB_RECOVERED})
SHORT, LONG = timedelta(seconds=10), timedelta(seconds=60)
CHANNEL = Channel("tenant", "ops", "t1", "https://example.com/", EVENTS, NOW, NOW, digest=SHORT)
CHANNELS = (
    CHANNEL,
    replace(CHANNEL, digest=LONG),
    replace(CHANNEL, url="https://example.com/other"),
    replace(CHANNEL, token="t2", format=Format.SLACK),
)
SECONDS = (0, 0.7, 4, 9.9, 11) if IS_SOAK else (4, 11)
GAPS = tuple(timedelta(seconds=seconds) for seconds in SECONDS)
FAILED = told(JOB, 1, Response({}, "no", truncated=False))


def usual(channel: Channel, name: str = "job") -> Transition:
    one = replace(FAILED, job=replace(JOB, name=name))
    return to_channel(one, channel.name, channel.url, messages.body_of(one, channel), NOW)


@pytest.mark.parametrize("length", range(1, 5 if IS_SOAK else 4))
def test_each_event_is_in_one_window_that_ends_in_time(length: int) -> None:
    """Whatever is changed in between. An event is told at the end of its window: not later than the
    channel allows, and with all that happened since the window was opened.
    """
    for gaps in itertools.product(GAPS, repeat=length):
        for channels in itertools.product(CHANNELS, repeat=length):
            window: Window | None = None
            now, opened_at = NOW, NOW
            for gap, channel in zip(gaps, channels, strict=True):
                now += gap
                before = window
                if window is None or not window.takes(channel, now):
                    window, _ = opened(usual_of[channel], channel, now)
                    opened_at = now
                assert channel.digest
                assert now < window.ends_at <= now + channel.digest
                assert (window.url, window.format) == (channel.url, channel.format)
                assert window.token == channel.token
                assert window.ends_at > opened_at + window.length - timedelta(seconds=1)
                if window is not before and before and now < before.ends_at:
                    is_kept = (before.token, before.url) == (channel.token, channel.url)
                    assert not is_kept or before.length > channel.digest


usual_of = {channel: usual(channel) for channel in CHANNELS}


def test_the_notice_of_a_window_is_the_usual_one_but_waits() -> None:
    one = usual(CHANNEL).definition
    window, step = opened(usual(CHANNEL), CHANNEL, NOW)
    waiting = step.definition
    assert one
    assert waiting
    assert (window.notice_id, step.state.next_run_time) == (one.id, window.ends_at)
    assert is_open(waiting)
    assert not is_open(one)
    assert not is_open(replace(JOB, labels={OPEN: "a label of the user's"}))
    sent = composed(waiting, {Event.RUN_FAILED: 1}, [(Event.RUN_FAILED, {})])
    assert replace(sent, trigger=one.trigger) == one


def closed(channel: Channel, examples: list[Example], more: int = 0) -> Definition:
    """Return the notice of a window with these events, and more of the same kinds."""
    counts = Counter(event for event, _ in examples)
    counts[examples[0][0]] += more
    waiting = opened(usual(channel), channel, NOW)[1].definition
    assert waiting
    sent = composed(waiting, counts, examples)
    assert not is_open(sent)
    assert sent.id == waiting.id
    assert sent == composed(waiting, counts, examples)
    return sent


def test_a_digest_has_counts_and_the_first_events() -> None:
    failed = messages.example_of(FAILED, CHANNEL)
    recovered = messages.example_of(replace(FAILED, event=Event.JOB_RECOVERED), CHANNEL)
    found: list[Example] = [(Event.RUN_FAILED, failed)] * 19
    found += [(Event.JOB_RECOVERED, recovered)] * 5
    sent = closed(CHANNEL, found, more=76)
    document = json.loads(str(sent.request.body))
    examples = document.pop("examples")
    assert document == {
        "event": "digest",
        "at": "2026-11-23T10:00:10.000Z",
        "channel": "ops",
        "since": "2026-11-23T10:00:00.000Z",
        "count": 100,
        "counts": {"run.failed": 95, "job.recovered": 5},
    }
    assert [one["event"] for one in examples] == ["run.failed"] * 19 + ["job.recovered"]
    assert examples[0]["run"]["attempts"][0]["status_code"] == 500
    assert "channel" not in examples[0]
    assert sent.labels == {"event": "digest", "channel": "ops"}
    assert sent.name == "digest: 100 events"


def test_a_digest_has_as_many_examples_as_fit() -> None:
    """A character may take six bytes, and a brace seven: no `{{` is a placeholder."""
    job = replace(JOB, name="{" * 200, labels={"a": "\x01" * 255})
    one = messages.example_of(told(job, 1, Response({}, "{" * 1_000, truncated=False)), CHANNEL)
    sent = closed(CHANNEL, [(Event.RUN_FAILED, one)] * MOST_EXAMPLES)
    text, _ = payload(sent.request)
    assert text
    assert LARGEST_BODY - 7_000 < len(text) <= LARGEST_BODY
    assert b"{{" not in text
    assert 5 < len(json.loads(text)["examples"]) < MOST_EXAMPLES


SLACK = replace(CHANNEL, format=Format.SLACK)


def line(name: str) -> Example:
    return Event.RUN_FAILED, messages.example_of(
        replace(FAILED, job=replace(JOB, name=name)), SLACK
    )


def text_of(sent: Definition) -> str:
    return str(json.loads(str(sent.request.body))["text"])


def test_a_chat_gets_a_line_for_each_of_the_first_events() -> None:
    names = [f"{number} <!channel> @everyone `x` *b*" for number in range(MOST_EXAMPLES)]
    text = text_of(closed(SLACK, [line(name) for name in names], more=30))
    first, *lines, last = text.split("\n")
    assert first == "*50 events* since 2026-11-23T10:00:00Z: 50 run.failed"
    assert len(lines) == MOST_EXAMPLES
    assert lines[0].startswith("• *0 &lt;!channel&gt; @\u200beveryone")
    assert lines[0].endswith("failed at 2026-11-23T10:00:00Z answered 500")
    assert last == "and 30 more"


def test_a_message_for_a_chat_is_never_too_long() -> None:
    for name in ("x" * 200, "\U0001f525" * 100, "<" * 200):
        for more in (0, 10_000):
            text = text_of(closed(SLACK, [line(name)] * MOST_EXAMPLES, more))
            assert len(text.encode("utf-16-le")) // 2 <= LONGEST
            left = MOST_EXAMPLES + more - text.count("•")
            assert text.count("•") > 15
            assert text.endswith(f"and {left} more") == (left > 0)


def test_a_mail_has_a_paragraph_for_each_of_the_first_events() -> None:
    text = replace(CHANNEL, format=Format.TEXT)
    one = Event.RUN_FAILED, messages.example_of(FAILED, text)
    body = json.loads(str(closed(text, [one] * MOST_EXAMPLES, more=30).request.body))
    assert body["Subject"] == "Resona: 50 events for ops"
    summary, *paragraphs, more, end = body["Message"].split("\n\n")
    assert summary == "50 events since 2026-11-23T10:00:00Z: 50 run.failed."
    assert len(paragraphs) == MOST_EXAMPLES
    run = f"/jobs/{JOB.id}/runs/run_{JOB.id.removeprefix('job_')}-1-20261123T100000Z"
    assert paragraphs[0] == f"job failed at 2026-11-23T10:00:00Z, status 500\n  {run}"
    assert (more, end) == ("And 30 more.", "Resona sent this to its channel ops.\n")


def test_a_digest_ends_in_a_whole_second() -> None:
    window, _ = opened(usual(CHANNEL), CHANNEL, datetime(2026, 1, 1, 0, 0, 0, 999_999, UTC))
    assert window.ends_at == datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC)
