"""Messages for e-mail: SNS takes them, and foreign text in them cannot pass for Resona's."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.channels import Channel, Format
from chalicelib.domain.mail import LONGEST_SUBJECT
from chalicelib.domain.messages import body_of, trial_body
from chalicelib.domain.notices import Event, Told, to_channel
from chalicelib.domain.run import Response
from chalicelib.domain.secrets import names_in
from chalicelib.domain.state_parts import Failing
from tests.domain.test_notices import JOB, NOW, told
from tests.permissions import TOPIC

CHANNEL = Channel(
    "tenant", "mail", "token", f"sns:{TOPIC}", frozenset(Event), NOW, NOW, format=Format.TEXT
)
NOTHING = Response({}, "", truncated=False)
ROW = Failing(3, NOW - timedelta(hours=2))


def mail(what: Told) -> tuple[str, str]:
    made = body_of(what, CHANNEL)
    assert isinstance(made, dict)
    assert made.keys() == {"Subject", "Message"}
    return made["Subject"], made["Message"]


def test_a_failure_says_all_that_somebody_on_call_asks() -> None:
    job = replace(JOB, name="Nightly report", labels={"team": "billing"})
    response = Response({}, "no disk\nleft", truncated=True)
    failed = replace(told(job, 2, response), failing=ROW)
    assert mail(failed) == (
        "Resona: Nightly report failed 3 times in a row",
        f"""\
Nightly report failed 3 times in a row since 2026-11-23T08:00:00Z.

Request  POST https://example.com/
Due      2026-11-23T10:00:00Z
Ended    2026-11-23T10:00:00.400Z, after 2 attempts
Status   500
Error    {"x" * 500}
Labels   team:billing

The answer began:

> no disk
> left
> …

At your stage's URL:

Console  /console#/jobs/{JOB.id}/runs/run_{JOB.id[4:]}-1-20261123T100000Z
Run      /jobs/{JOB.id}/runs/run_{JOB.id[4:]}-1-20261123T100000Z
Job      /jobs/{JOB.id}

Resona sent this to its channel mail.
""",
    )


@pytest.mark.parametrize(
    ("event", "failing", "missed", "subject", "sentence"),
    [
        (Event.RUN_FAILED, None, None, "failed", "failed at 2026-11-23T10:00:00Z"),
        (
            Event.JOB_RECOVERED,
            ROW,
            None,
            "works again",
            "works again; it failed 3 times in a row since 2026-11-23T08:00:00Z",
        ),
        (
            Event.JOB_PAUSED,
            ROW,
            None,
            "is paused",
            "is paused: it failed 3 times in a row since 2026-11-23T08:00:00Z",
        ),
        (
            Event.RUN_MISSED,
            None,
            1,
            "missed a run",
            "missed a run: it was due at 2026-11-23T10:00:00Z and came too late to be sent",
        ),
        (
            Event.RUN_MISSED,
            None,
            7,
            "missed 7 runs",
            "missed 7 runs: the first was due at 2026-11-23T10:00:00Z, "
            "and they came too late to be sent",
        ),
    ],
)
def test_each_event_has_its_words(
    event: Event, failing: Failing | None, missed: int | None, subject: str, sentence: str
) -> None:
    what = told(JOB, 1, NOTHING)
    what = replace(what, event=event, failing=failing, run=replace(what.run, missed_count=missed))
    assert mail(what)[0] == f"Resona: job {subject}"
    assert mail(what)[1].startswith(f"job {sentence}.\n")


@given(st.text(min_size=1, max_size=200), st.text(max_size=1_200))
def test_sns_takes_every_subject_and_message(name: str, body: str) -> None:
    failed = told(replace(JOB, name=name), 1, Response({}, body, truncated=False))
    subject, text = mail(replace(failed, failing=Failing(100, NOW)))
    assert subject.isascii()
    assert subject.isprintable()
    assert len(subject) <= LONGEST_SUBJECT
    assert subject.endswith(" failed 100 times in a row")
    # No line of theirs can pass for one of Resona's.
    assert text.count("\nConsole  ") == 1
    assert text.splitlines()[0].endswith(" failed 100 times in a row since 2026-11-23T10:00:00Z.")


def test_the_largest_message_is_far_below_what_sns_takes() -> None:
    job = replace(
        JOB,
        name="\U0001f600" * 200,
        labels={f"{number:02}" + "é" * 61: "\U0001f600" * 255 for number in range(20)},
        request=replace(JOB.request, url="https://example.com/" + "a" * 2_028),
    )
    _, text = mail(told(job, 20, Response({}, "\n" * 16_384, truncated=True)))
    assert len(text.encode()) < 64 * 1024


def test_letters_that_are_not_ascii_keep_their_form() -> None:
    assert mail(told(replace(JOB, name="Tägliche Größe\n水"), 1, NOTHING))[0] == (
        "Resona: Tagliche Gro?e ? failed"
    )


def test_a_placeholder_in_the_text_is_text() -> None:
    text = "{{secret:token}}"
    failed = told(replace(JOB, name=text), 1, Response({}, text, truncated=False))
    body = body_of(failed, CHANNEL)
    notice = to_channel(failed, CHANNEL.name, CHANNEL.url, body, NOW).definition
    assert notice
    assert names_in(notice.request) == frozenset()


def test_a_test_names_the_channel() -> None:
    made = trial_body(CHANNEL, NOW)
    assert isinstance(made, dict)
    assert made["Subject"] == "Resona: a test of mail"
