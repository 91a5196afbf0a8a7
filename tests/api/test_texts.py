"""Texts that people write and read: the same rule in every body that takes one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.api.models.texts import NO_CONTROL, TEXT
from tests.api.conftest import Answer, Api, job

BLANK = [" ", "   ", "\N{NO-BREAK SPACE}", "\N{IDEOGRAPHIC SPACE}\N{EM SPACE}"]
CONTROLS = ["\0", "a\0b", "two\nlines", "a\rb", "tab\t", "\n", "\x1b[31mred", "\x7f", "\x85"]
READABLE = ["x", " x ", "naïve café", "\N{GRINNING FACE}", "a\N{NO-BREAK SPACE}b", "{{run.id}}"]


def sent(api: Api, field: str, text: str) -> list[Answer]:
    """Send a text in every body that has this field."""
    if field == "reason":
        job_id = api.register(trigger={"cron": "0 9 * * *"})["id"]
        return [api.post(f"/jobs/{job_id}/pause", {"reason": text})]
    change: Any = {"name": text}
    if field == "label":
        change = {"labels": {text: "value"}}
    if field == "value":
        change = {"labels": {"name": text}}
    job_id = api.register()["id"]
    return [
        api.post("/jobs", job(**change)),
        api.put("/jobs/key:nightly", job(**change)),
        api.patch(f"/jobs/{job_id}", change),
        api.post(f"/jobs/{job_id}", change),
    ]


@pytest.mark.parametrize("text", CONTROLS)
@pytest.mark.parametrize("field", ["name", "label", "value", "reason"])
def test_a_text_is_one_line(api: Api, field: str, text: str) -> None:
    for answer in sent(api, field, text):
        (named,) = answer.fields
        assert named.split(".")[0] in (field, "labels")
        assert "must be one line: write spaces for" in answer.problem["detail"]


@pytest.mark.parametrize("text", BLANK)
@pytest.mark.parametrize("field", ["name", "label", "reason"])
def test_a_text_is_not_blank(api: Api, field: str, text: str) -> None:
    for answer in sent(api, field, text):
        assert len(answer.fields) == 1
        assert "must not be blank" in answer.problem["detail"]


@pytest.mark.parametrize("text", READABLE)
@pytest.mark.parametrize("field", ["name", "label", "value", "reason"])
def test_other_texts_are_kept_as_they_are(api: Api, field: str, text: str) -> None:
    for answer in sent(api, field, text):
        assert answer.status in (200, 201), answer.text
        shown = answer.json["pause"] if field == "reason" else answer.json
        shown = shown.get(field) or next(iter(shown["labels"].items()))[field == "value"]
        assert shown == text


@pytest.mark.parametrize("value", ["", *BLANK])
def test_the_value_of_a_label_may_be_blank(api: Api, value: str) -> None:
    assert api.register(labels={"is-nightly": value})["labels"] == {"is-nightly": value}


def test_openapi_says_the_same() -> None:
    # In Python `$` also matches before a line end.
    text_of, value_of = (pattern.removesuffix("$") for pattern in (TEXT, NO_CONTROL))
    assert all(re.fullmatch(text_of, text) for text in READABLE)
    assert not any(re.fullmatch(text_of, text) for text in (*BLANK, *CONTROLS, ""))
    assert all(re.fullmatch(value_of, text) for text in (*READABLE, *BLANK, ""))
    assert not any(re.fullmatch(value_of, text) for text in CONTROLS)


def test_a_job_keeps_the_texts_that_an_earlier_release_took(api: Api) -> None:
    """Clients send back what they read."""
    shown = api.register(labels={"a": "b"})
    jobs = api.env.scheduling.jobs
    tenant, job_id = "local", shown["id"]
    definition, state = jobs.get(tenant, job_id)
    old = replace(definition, name="two\nlines", labels={"a\t": "b\0"}, edition=2)
    jobs.replace(old, replace(state, revision=state.revision + 1, edition=2))
    read = api.get(f"/jobs/{job_id}").json
    assert (read["name"], read["labels"]) == ("two\nlines", {"a\t": "b\0"})
    for answer in (
        api.patch(f"/jobs/{job_id}", read),
        api.patch(f"/jobs/{job_id}", {"timeout": 9}),
    ):
        assert answer.status == 200, answer.text
    assert api.patch(f"/jobs/{job_id}", {"name": "two\nmore"}).fields == ["name"]
    assert api.patch(f"/jobs/{job_id}", {"labels": {"a\t": "c\0"}}).fields == ["labels.a\t"]


def test_the_errors_of_all_fields_are_told_at_once(api: Api) -> None:
    """Also those that only a field's own rule finds, beside those that the schema finds."""
    body = job(
        name="\0",
        labels={"a:b": ""},
        callbacks={"succeeded": {"url": "ftp://example.com/"}},
        flow="no flow",
        retry={"max_attempts": 1, "delays": [5]},
        success={"status": ["299-200"]},
        completion="callback",
        overlap="sometimes",
        trigger={"cron": "bogus"},
        request={"url": "gopher://example.com/", "method": 5},
        more=1,
    )
    named = [
        "callbacks.succeeded.url",
        *("deadline", "flow", "labels.a:b", "more", "name", "overlap", "request.method"),
        *("request.url", "retry.delays", "success.status.0", "trigger.cron"),
    ]
    assert api.post("/jobs", body).fields == named
    job_id = api.register()["id"]
    assert api.patch(f"/jobs/{job_id}", body).fields == named
    # Nothing is said of a field because another one is wrong.
    body = job(completion=5, deadline=90, success=7, retry={"never": [200]}, callbacks="none")
    assert api.post("/jobs", body).fields == ["callbacks", "completion", "success"]
