"""The notice of a callback: its id, its size, and its text."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from chalicelib.domain.ids import JOB_ID, RunKey
from chalicelib.domain.job import Definition
from chalicelib.domain.notices import Event, Told, callback, notice_id
from chalicelib.domain.request import LARGEST_BODY, Request, payload
from chalicelib.domain.run import (
    Attempt,
    AttemptResult,
    Outcome,
    Response,
    RunStatus,
    RunUpdate,
)
from chalicelib.domain.run_history import recorded
from chalicelib.domain.secrets import names_in
from chalicelib.domain.trigger import OneTime

NOW = datetime(2026, 11, 23, 10, 0, 0, 400_000, tzinfo=UTC)
KEY = RunKey(NOW.replace(microsecond=0), 1)
JOB = Definition(
    "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K",
    "tenant",
    1,
    "job",
    NOW,
    OneTime(NOW),
    Request("https://example.com/", "POST", {"Authorization": "Bearer token"}, {"a": 1}),
)


def told(job: Definition, attempts: int, response: Response) -> Told:
    result = AttemptResult(Outcome.HTTP_ERROR, timedelta(seconds=599.999), 500, response, "x" * 500)
    update = RunUpdate(RunStatus.FAILED)
    run = recorded(
        KEY,
        tuple(
            Attempt(JOB.id, KEY, number, "owner", NOW, NOW, result, update)
            for number in range(1, attempts + 1)
        ),
        None,
    )
    return Told(Event.RUN_FAILED, job, run, response, NOW)


def test_the_id_is_a_function_of_what_is_told() -> None:
    made = notice_id(JOB.id, KEY, Event.RUN_FAILED)
    assert JOB_ID.fullmatch(made)
    assert made == notice_id(JOB.id, RunKey.parse(str(KEY)), Event("run.failed"))
    other = "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7M"
    others = {
        notice_id(other, KEY, Event.RUN_FAILED),
        notice_id(JOB.id, replace(KEY, generation=2), Event.RUN_FAILED),
        notice_id(JOB.id, KEY, Event.RUN_SUCCEEDED),
        notice_id(JOB.id, KEY, Event.RUN_FAILED, "channel"),
    }
    assert len(others | {made}) == 5


def test_the_largest_notice_may_be_sent() -> None:
    """Most of its characters take six bytes each in JSON."""
    job = replace(
        JOB,
        name="\x01" * 200,
        labels={f"{number:02}" + "\x01" * 61: "\x01" * 255 for number in range(20)},
        request=replace(JOB.request, url="https://example.com/" + "a" * 2_028),
    )
    largest = told(job, 20, Response({}, "\x01" * 16_384, truncated=True))
    notice = callback(largest, "https://example.com/told", NOW).definition
    assert notice
    assert len(payload(notice.request)[0] or b"") <= LARGEST_BODY


def test_a_placeholder_in_the_text_is_text() -> None:
    text = "{{{{secret:token}}}} {{secret:token}}"
    document = told(replace(JOB, name=text), 1, Response({}, text, truncated=False))
    notice = callback(document, "https://example.com/{{secret:own}}", NOW).definition
    assert notice
    assert names_in(notice.request) == {"own"}
    sent = json.loads(str(notice.request.body))
    assert (sent["job"]["name"], sent["response"]["body"]) == (text, text)


def test_no_header_of_the_request_is_told() -> None:
    notice = callback(told(JOB, 1, Response({}, "", truncated=False)), "https://a/", NOW)
    assert notice.definition
    assert "Bearer" not in str(notice.definition.request)
