"""Problem documents: their size, and whether they say what to do."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import app
from chalicelib.api.json_body import NotJson
from chalicelib.api.problems import (
    LARGEST_PROBLEM,
    MOST_ERRORS,
    NO_KEY,
    NO_ROUTE,
    NoKey,
    Refusal,
    answer_to,
    problem,
)
from chalicelib.domain.errors import (
    DateHasPassed,
    FieldError,
    InvalidInput,
    JobNotFound,
    NotCurrent,
    QuotaExceeded,
    ResonaError,
    Unavailable,
)
from chalicelib.domain.request import BodyTooLarge
from tests.api.conftest import Api, job

KIB = 1024
# Lambda answers at most so much, with the body as a string in JSON.
LAMBDA_ANSWERS = 6 * 1000 * 1000

texts = st.builds(
    lambda text, times: text * times, st.text(max_size=8), st.sampled_from([1, 30, 3000])
)
errors = st.builds(
    lambda found, times: found * times,
    st.lists(st.builds(FieldError, texts, texts), min_size=1, max_size=8),
    st.sampled_from([1, 10, 400]),
)


WRONG = InvalidInput.of("name", "must be text")
ANSWERED: list[tuple[ResonaError, int, str, dict[str, Any]]] = [
    (Refusal(415, "send JSON"), 415, "Unsupported Media Type", {}),
    (NoKey(), 401, "Unauthorized", {}),
    (WRONG, 422, "Unprocessable Content", {"errors": [asdict(WRONG.errors[0])]}),
    (NotJson("no JSON"), 400, "Bad Request", {}),
    (JobNotFound(), 404, "Not Found", {}),
    (DateHasPassed(), 409, "Conflict", {}),
    (NotCurrent(), 412, "Precondition Failed", {}),
    (BodyTooLarge(70_000), 413, "Content Too Large", {}),
    (QuotaExceeded("jobs", 5, retry_after=9), 429, "Too Many Requests", {}),
    (Unavailable("the table"), 503, "Service Unavailable", {}),
    (Unavailable("the table", unknown=True), 503, "Service Unavailable", {"unknown": True}),
]


@pytest.mark.parametrize(("error", "status", "title", "more"), ANSWERED)
def test_a_problem_has_the_status_of_its_error_the_sentence_and_nothing_else(
    error: ResonaError, status: int, title: str, more: dict[str, Any]
) -> None:
    answer = answer_to(error)
    assert answer.status_code == status
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": str(error),
        **more,
    }


@given(errors, st.sampled_from([16 * KIB, LARGEST_PROBLEM]))
def test_a_problem_has_a_bound_and_counts_what_it_does_not_show(
    found: list[FieldError], most: int
) -> None:
    body = answer_to(InvalidInput(found), most).body
    assert len(body.encode()) <= most
    document = json.loads(body)
    shown = document["errors"]
    assert 1 <= len(shown) <= min(MOST_ERRORS, len(found))
    for error, told in zip(found, shown, strict=False):
        for whole, part in ((error.field, told["field"]), (error.message, told["message"])):
            assert part == whole or (part.endswith("…") and whole.startswith(part[:-1]))
    assert document["detail"].endswith(f"; errors has the first {len(shown)}") == (
        len(shown) < len(found)
    )


@given(
    st.lists(
        st.builds(FieldError, st.text(max_size=9), st.text(max_size=9)), min_size=1, max_size=120
    )
)
def test_few_and_short_errors_are_shown_as_they_are(found: list[FieldError]) -> None:
    document = json.loads(answer_to(InvalidInput(found)).body)
    assert document["errors"] == [
        {"field": e.field, "message": e.message} for e in found[:MOST_ERRORS]
    ]


@given(texts)
def test_a_sentence_has_a_bound_too(detail: str) -> None:
    assert len(json.loads(problem(404, detail).body)["detail"]) <= 1000


PLACEHOLDER = "{{secret:}}"
MANY = 4000
# Bodies that are wrong in thousands of ways, or in few that are long.
HUGE: dict[str, dict[str, Any]] = {
    "one name with many placeholders": job(
        request={"url": "http://example.com/", "headers": {"n" * 20_000: PLACEHOLDER * 1800}}
    ),
    "headers": job(
        request={"url": "http://example.com/", "headers": {f"x-{n}": 1 for n in range(MANY)}}
    ),
    "names of headers": job(
        request={"url": "http://example.com/", "headers": {f"é{n}": "" for n in range(MANY)}}
    ),
    "fields": {**job(), **{f"field{n}": 1 for n in range(MANY)}},
    "long fields": {**job(), **{f"{n}" + "x" * 5000: 1 for n in range(40)}},
    "control characters": {**job(), **{f"{n}" + "\x01" * 160: 1 for n in range(200)}},
    "names beyond ASCII": {**job(), **{f"{n}" + "😀" * 200: 1 for n in range(90)}},
    "fields of the trigger": job(trigger={f"cron{n}": 1 for n in range(MANY)}),
    "fields beside type": job(trigger={"type": "cron", **{f"{n}": 1 for n in range(MANY)}}),
    "labels": job(labels={f"{n}" * 64: 1 for n in range(500)}),
    "url": job(request={"url": "http://" + "x." * 60_000}),
    "placeholders in the url": job(request={"url": "http://example.com/" + PLACEHOLDER * 5000}),
    "cron": job(trigger={"cron": "x," * 60_000 + "* * * *"}),
    "zone": job(trigger={"cron": "0 9 * * *", "timezone": "x" * 120_000}),
    "method": job(request={"url": "http://example.com/", "method": "é" * 30_000}),
    "key": job(key="k" * 120_000),
}


@pytest.mark.parametrize("name", HUGE)
def test_whatever_is_wrong_the_answer_is_small_by_every_route(api: Api, name: str) -> None:
    made = api.register(key="kept")
    for method, path in (
        ("POST", "/jobs"),
        ("PATCH", f"/jobs/{made['id']}"),
        ("PUT", "/jobs/key:new"),
    ):
        answer = api.call(method, path, HUGE[name])
        assert answer.status == 422
        assert len(answer.text.encode()) <= LARGEST_PROBLEM
        assert 1 <= len(answer.problem["errors"]) <= MOST_ERRORS
    results = api.post("/jobs/batch", {"jobs": [HUGE[name]]}).json["results"]
    assert [result["status"] for result in results] == [422]
    assert len(json.dumps(results[0]["problem"], ensure_ascii=False).encode()) <= 16 * KIB


def test_a_batch_of_a_hundred_wrong_jobs_fits_into_what_lambda_answers(api: Api) -> None:
    wrong = {f"\x01{n}": 1 for n in range(150)}
    answer = api.post("/jobs/batch", {"jobs": [wrong] * 100})
    results = answer.json["results"]
    assert [result["status"] for result in results] == [422] * 100
    assert all(len(result["problem"]["errors"]) >= 10 for result in results)
    assert len(json.dumps({"body": answer.text})) < LAMBDA_ANSWERS


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/jobs/batch", {f"{n}": 1 for n in range(MANY)}),
        ("/triggers/preview", {f"{n}": 1 for n in range(MANY)}),
        ("/triggers/preview", {"trigger": {f"{n}": 1 for n in range(MANY)}}),
        ("/jobs/delete?" + "&".join(f"q{n}=1" for n in range(MANY)), None),
    ],
    ids=["batch", "preview", "trigger", "query"],
)
def test_what_is_no_job_is_answered_as_shortly(api: Api, path: str, body: Any) -> None:
    answer = api.post(path, body)
    assert answer.status == 422
    assert len(answer.problem["errors"]) == 50
    assert len(answer.text.encode()) <= LARGEST_PROBLEM


# Where a field is misspelt, and what was meant.
MISSPELT: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("POST", "/jobs", job(nmae="x"), "nmae", "name"),
    ("POST", "/jobs", job(TIMEOUT=5), "TIMEOUT", "timeout"),
    ("POST", "/jobs", job(misfireGrace=5), "misfireGrace", "misfire_grace"),
    (
        "POST",
        "/jobs",
        job(request={"url": "http://example.com/", "header": {}}),
        "request.header",
        "headers",
    ),
    ("POST", "/jobs", job(request={"uri": "http://example.com/"}), "request.uri", "url"),
    ("POST", "/jobs", job(retry={"maxAttempts": 3}), "retry.maxAttempts", "max_attempts"),
    ("POST", "/jobs", job(trigger={"corn": "* * * * *"}), "trigger.corn", "cron"),
    (
        "POST",
        "/jobs",
        job(trigger={"cron": "* * * * *", "time_zone": "UTC"}),
        "trigger.time_zone",
        "timezone",
    ),
    ("POST", "/jobs", job(trigger={"type": "cron", "field": {}}), "trigger.field", "fields"),
    (
        "POST",
        "/jobs",
        job(trigger={"type": "cron", "fields": {"cron": "* * * * *", "timezon": "UTC"}}),
        "trigger.fields.timezon",
        "timezone",
    ),
    ("PUT", "/jobs/key:new", job(label={}), "label", "labels"),
    ("POST", "/jobs/batch", {"job": []}, "job", "jobs"),
    (
        "POST",
        "/triggers/preview",
        {"trigger": {"cron": "* * * * *"}, "counts": 5},
        "counts",
        "count",
    ),
    ("PUT", "/secrets/token", {"valeu": "x"}, "valeu", "value"),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "meant"), MISSPELT, ids=[case[3] for case in MISSPELT]
)
def test_a_misspelt_field_is_told_which_was_meant(
    api: Api, method: str, path: str, body: dict[str, Any], field: str, meant: str
) -> None:
    errors = {
        error["field"]: error["message"] for error in api.call(method, path, body).problem["errors"]
    }
    assert errors[field] == f"unknown field; did you mean {meant}?"


@pytest.mark.parametrize(
    ("path", "body", "field", "around"),
    [
        ("/triggers/preview", {"cron": "* * * * *"}, "cron", "trigger"),
        ("/triggers/preview", {"count": 3, "timezone": "UTC"}, "timezone", "trigger"),
        ("/jobs", job(trigger=None, delay=5), "delay", "trigger"),
        ("/jobs", job(request=None, url="https://example.com/"), "url", "request"),
        ("/jobs", job(max_attempts=5), "max_attempts", "retry"),
    ],
)
def test_a_field_that_is_written_too_high_is_told_where_it_belongs(
    api: Api, path: str, body: dict[str, Any], field: str, around: str
) -> None:
    errors = {error["field"]: error["message"] for error in api.post(path, body).problem["errors"]}
    wanted = f'unknown field; write it within {around}: {{"{around}": {{"{field}": …}}}}'
    assert errors[field] == wanted


@pytest.mark.parametrize("name", ["colour", "", "x" * 20_000, "é"])
def test_a_field_that_is_like_none_is_told_which_there_are(api: Api, name: str) -> None:
    [error] = api.post("/jobs", job(**{name: 1})).problem["errors"]
    start, _, known = error["message"].partition("known: ")
    assert start == "unknown field; "
    assert {"name", "request", "trigger", "labels"} <= set(known.split(", "))


def test_a_misspelt_query_parameter_is_told_too(api: Api) -> None:
    [error] = api.get("/jobs?labels=a:b").problem["errors"]
    assert error["message"] == "unknown query parameter; did you mean label?"
    [error] = api.get("/health?verbose=1").problem["errors"]
    assert error["message"] == "unknown query parameter; known: none"


def test_what_is_said_of_an_unknown_route_names_a_route_that_there_is() -> None:
    named = re.search(r"GET (/\S+)", NO_ROUTE)
    assert named
    assert "GET" in app.routes[named[1]]


def test_who_sends_no_valid_key_is_told_the_header_its_scheme_and_what_is_not_read() -> None:
    assert "Authorization: Bearer rsn_" in NO_KEY
    assert "without Bearer" in NO_KEY
    assert "X-Api-Key" in NO_KEY
