"""POST /jobs."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import pytest

from chalicelib.aws.job_items import Answered
from tests.api.conftest import Answer, Api, job


def test_a_registered_job_is_answered_key_by_key(api: Api) -> None:
    answer = api.post("/jobs", job())
    assert answer.status == 201
    body = answer.json
    assert re.fullmatch(r"job_[0-7][0-9A-HJKMNP-TV-Z]{25}", body["id"])
    assert answer.headers["Location"] == f"http://localhost:8000/jobs/{body['id']}"
    assert body == {
        "id": body["id"],
        "name": "My Job",
        "created_at": "2026-11-23T10:00:00Z",
        "updated_at": "2026-11-23T10:00:00Z",
        "next_run_time": "2026-11-23T10:00:06Z",
        "status": "active",
        "trigger": {"type": "one-time", "fields": {"date": "2026-11-23T10:00:06Z"}},
        "request": {
            "url": "http://example.com/endpoint",
            "method": "POST",
            "headers": {"Authorization": "Bearer token"},
            "body": {"key": "value"},
        },
        "timeout": 30,
        "retry": {"max_attempts": 3, "initial_delay": 10, "max_delay": 3600},
        "overlap": "allow",
        "misfire_grace": None,
        "labels": {},
        "key": None,
        "callbacks": None,
        "pause_after": None,
        "pause": None,
        "skips": 0,
        "backfill": None,
        "success": None,
        "flow": None,
        "result": None,
    }


def test_a_date_trigger_is_shown_in_utc(api: Api) -> None:
    body = api.register(trigger={"date": "2026-12-01T11:00:00+01:00"})
    assert body["trigger"] == {"type": "one-time", "fields": {"date": "2026-12-01T10:00:00Z"}}
    assert body["next_run_time"] == "2026-12-01T10:00:00Z"


def test_a_cron_trigger_is_shown_with_its_zone(api: Api) -> None:
    body = api.register(trigger={"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"})
    assert body["trigger"] == {
        "type": "cron",
        "fields": {"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"},
    }
    assert body["next_run_time"] == "2026-11-24T08:00:00Z"


def test_a_trigger_is_taken_in_the_form_in_which_it_is_shown(api: Api) -> None:
    for trigger in (
        {"cron": "0 9 * * *", "timezone": "Asia/Kolkata"},
        {"date": "2026-12-01T10:00:00Z"},
    ):
        shown = api.register(trigger=trigger)["trigger"]
        assert api.register(trigger=shown)["trigger"] == shown


def test_every_policy_is_kept(api: Api) -> None:
    policies: dict[str, Any] = {
        "timeout": 60,
        "retry": {"max_attempts": 5, "initial_delay": 2, "max_delay": 10},
        "overlap": "skip",
        "misfire_grace": 300,
        "labels": {"team": "billing"},
        "key": "nightly.report_1",
    }
    body = api.register(**policies)
    assert {name: body[name] for name in policies} == policies


def test_a_method_is_taken_in_any_case(api: Api) -> None:
    assert (
        api.register(request={"url": "https://example.com/", "method": "put"})["request"]["method"]
        == "PUT"
    )


@pytest.mark.parametrize(
    "body", [0, "text", 1.5, True, [1], {"": {"": []}}, {"deep": [[[[1e300]]]]}, "ünï"]
)
def test_any_json_value_is_a_body(api: Api, body: Any) -> None:
    made = api.register(request={"url": "https://example.com/", "body": body})
    assert api.get(f"/jobs/{made['id']}").json["request"]["body"] == body


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": None}, ["name"]),
    ({"name": ""}, ["name"]),
    ({"name": "x" * 201}, ["name"]),
    ({"name": 5}, ["name"]),
    ({"request": None}, ["request"]),
    ({"request": "http://example.com"}, ["request"]),
    ({"request": {}}, ["request.url"]),
    ({"request": {"url": 5}}, ["request.url"]),
    ({"request": {"url": "https://example.com/", "method": "BREW"}}, ["request.method"]),
    ({"request": {"url": "https://example.com/", "verify": False}}, ["request.verify"]),
    ({"request": {"url": "https://example.com/", "headers": {"X": 1}}}, ["request.headers.X"]),
    ({"request": {"url": "https://example.com/", "headers": []}}, ["request.headers"]),
    ({"trigger": None}, ["trigger"]),
    ({"trigger": {}}, ["trigger"]),
    ({"trigger": []}, ["trigger"]),
    ({"trigger": {"delay": 5, "cron": "* * * * *"}}, ["trigger"]),
    ({"trigger": {"delay": "5"}}, ["trigger.delay"]),
    ({"trigger": {"delay": True}}, ["trigger.delay"]),
    ({"trigger": {"delay": -1}}, ["trigger.delay"]),
    ({"trigger": {"delay": 31_536_001}}, ["trigger.delay"]),
    ({"trigger": {"delay": 5, "timezone": "UTC"}}, ["trigger.timezone"]),
    ({"trigger": {"date": 5}}, ["trigger.date"]),
    ({"trigger": {"date": "tomorrow"}}, ["trigger.date"]),
    ({"trigger": {"date": "2026-11-23T09:00:00Z"}}, ["trigger.date"]),
    ({"trigger": {"date": "2036-11-24T09:00:00Z"}}, ["trigger.date"]),
    ({"trigger": {"cron": "* * * *"}}, ["trigger.cron"]),
    ({"trigger": {"cron": "0 9 * * *", "timezone": "Mars/Olympus"}}, ["trigger.timezone"]),
    ({"trigger": {"cron": "0 9 * * *", "timezone": 1}}, ["trigger.timezone"]),
    ({"trigger": {"delay": 5, "dst": {"gap": "next"}}}, ["trigger.dst"]),
    ({"trigger": {"cron": "0 9 * * *", "dst": "next"}}, ["trigger.dst"]),
    (
        {"trigger": {"cron": "x", "dst": {"gap": "both", "fold": [], "gaps": "next"}}},
        ["trigger.cron", "trigger.dst.fold", "trigger.dst.gap", "trigger.dst.gaps"],
    ),
    (
        {"trigger": {"type": "one-time", "fields": {"date": "2026-12-01T10:00:00Z", "dst": {}}}},
        ["trigger.fields.dst"],
    ),
    ({"trigger": {"at": 5}}, ["trigger.at"]),
    ({"trigger": {"type": "never", "fields": {}}}, ["trigger.type"]),
    ({"trigger": {"type": "cron", "fields": {"date": "2026-12-01T10:00:00Z"}}}, ["trigger.fields"]),
    ({"timeout": 0}, ["timeout"]),
    ({"timeout": 601}, ["timeout"]),
    ({"timeout": "30"}, ["timeout"]),
    ({"timeout": True}, ["timeout"]),
    ({"retry": {"max_attempts": 21}}, ["retry.max_attempts"]),
    ({"retry": {"initial_delay": 20, "max_delay": 10}}, ["retry.max_delay"]),
    ({"retry": {"tries": 3}}, ["retry.tries"]),
    ({"overlap": "queue"}, ["overlap"]),
    ({"misfire_grace": 0}, ["misfire_grace"]),
    ({"labels": {"": "x"}}, ["labels."]),
    ({"labels": {"x": "y" * 256}}, ["labels.x"]),
    ({"labels": {"a:b": "c"}}, ["labels.a:b"]),
    ({"labels": {":": "c"}}, ["labels.:"]),
    ({"labels": {str(n): "" for n in range(21)}}, ["labels"]),
    ({"key": "with space"}, ["key"]),
    ({"key": "new\nline"}, ["key"]),
    ({"key": "line\n"}, ["key"]),
    ({"colour": "red"}, ["colour"]),
    ({"id": "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K"}, ["id"]),
    ({"status": "active"}, ["status"]),
    (
        {"name": 5, "colour": 1, "trigger": {"delay": "x"}, "request": {"url": "ftp://x"}},
        ["colour", "name", "request.url", "trigger.delay"],
    ),
    (
        {"request": {"url": "ftp://x", "method": 5, "headers": {"Host": "x"}, "verify": False}},
        ["request.headers.Host", "request.method", "request.url", "request.verify"],
    ),
    ({"request": {"method": "GET", "body": 1}}, ["request.body", "request.url"]),
    (
        {"trigger": {"cron": "bad", "timezone": "Nowhere", "at": 5}},
        ["trigger.at", "trigger.cron", "trigger.timezone"],
    ),
    ({"trigger": {"cron": 5, "timezone": 5}}, ["trigger.cron", "trigger.timezone"]),
    ({"trigger": {"date": "bad", "timezone": "Nowhere"}}, ["trigger.date", "trigger.timezone"]),
    ({"trigger": {"date": "2026-11-23T09:00:00", "timezone": 5}}, ["trigger.timezone"]),
    ({"trigger": {"delay": -1, "timezone": "UTC"}}, ["trigger.delay", "trigger.timezone"]),
    ({"trigger": {"date": "2026-12-01T10:00:00+10:99"}}, ["trigger.date"]),
]


@pytest.mark.parametrize(
    ("changes", "fields"), WRONG, ids=[str(changes)[:60] for changes, _ in WRONG]
)
def test_a_wrong_body_is_refused_and_every_wrong_field_named(
    api: Api, changes: dict[str, Any], fields: list[str]
) -> None:
    answer = api.post("/jobs", job(**changes))
    assert answer.fields == fields
    assert all(error["message"] for error in answer.problem["errors"])
    assert api.env.cloud.tables == {}
    assert api.env.cloud.schedules == {}


SENTENCES: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "name: is required"),
    ({"name": 5}, "name: must be a string"),
    ({"name": ""}, "name: must have at least 1 character"),
    ({"name": "x" * 201}, "name: must have at most 200 characters"),
    ({"request": 5}, "request: must be an object"),
    ({"labels": []}, "labels: must be an object"),
    ({"labels": {str(n): "" for n in range(21)}}, "labels: must have at most 20 entries"),
    ({"timeout": "30"}, "timeout: must be a whole number"),
    ({"timeout": 0}, "timeout: must be at least 1"),
    ({"timeout": 601}, "timeout: must be at most 600"),
    ({"overlap": "queue"}, "overlap: must be 'allow' or 'skip'"),
    ({"key": "with space"}, "key: must be 1 to 128 of A-Z a-z 0-9 . _ -"),
]


@pytest.mark.parametrize(("changes", "sentence"), SENTENCES, ids=[case[1] for case in SENTENCES])
def test_a_wrong_field_is_told_what_is_allowed(
    api: Api, changes: dict[str, Any], sentence: str
) -> None:
    assert api.post("/jobs", job(**changes)).problem["detail"] == sentence


def test_an_explicit_null_is_not_a_missing_field(api: Api) -> None:
    for name in ("name", "request", "trigger", "timeout", "retry", "overlap", "labels"):
        body = job()
        body[name] = None
        assert name in api.post("/jobs", body).fields
    body = job()
    body["misfire_grace"] = body["key"] = None
    assert api.post("/jobs", body).status == 201


BAD_JSON = [
    b"",
    b"{",
    b"nul",
    b"{'a': 1}",
    b'{"name": "a", "name": "b"}',
    b"[NaN]",
    b"[Infinity]",
    b"[1e400]",
    b'"\\ud800"',
    b"\xff\xfe",
    b"[" * 33 + b"]" * 33,
]
BAD_JSON += [b"[" * 100_000, b'{"a":' * 50_000, b"1" * 5000, b'"\x00"']


@pytest.mark.parametrize("raw", BAD_JSON, ids=[repr(raw[:24]) for raw in BAD_JSON])
def test_what_is_not_json_is_refused(api: Api, raw: bytes) -> None:
    answer = api.post("/jobs", raw=raw)
    assert answer.status == 400
    assert answer.problem["title"] == "Bad Request"


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"text"', b"5", b"[" * 32 + b"]" * 32])
def test_json_that_is_no_object_is_refused(api: Api, raw: bytes) -> None:
    assert api.post("/jobs", raw=raw).fields == [""]


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "",
        "multipart/form-data",
    ],
)
def test_only_json_is_taken(api: Api, content_type: str) -> None:
    answer = api.post("/jobs", job(), headers={"Content-Type": content_type})
    assert answer.status == 415
    assert answer.problem["title"] == "Unsupported Media Type"


def test_json_with_a_charset_is_taken(api: Api) -> None:
    assert (
        api.post("/jobs", job(), headers={"Content-Type": "Application/JSON; charset=utf-8"}).status
        == 201
    )


def test_a_request_over_256_kib_is_too_large(api: Api) -> None:
    answer = api.post("/jobs", raw=b'"' + b"x" * 300_000 + b'"')
    assert answer.status == 413
    assert answer.problem["title"] == "Content Too Large"


def test_a_body_over_64_kib_is_too_large(api: Api) -> None:
    request = {"url": "https://example.com/", "body": "x" * 65_537}
    assert api.post("/jobs", job(request=request)).status == 413
    request["body"] = "x" * 65_536
    assert api.post("/jobs", job(request=request)).status == 201


def test_a_key_that_exists_is_a_conflict(api: Api) -> None:
    api.register(key="nightly")
    answer = api.post("/jobs", job(key="nightly"))
    assert answer.status == 409
    assert len(api.get("/jobs").json) == 1


def test_a_key_is_free_again_when_its_job_is_deleted(api: Api) -> None:
    made = api.register(key="nightly")
    api.delete(f"/jobs/{made['id']}")
    api.register(key="nightly")


def test_the_same_idempotency_key_gives_the_first_answer_again(api: Api) -> None:
    headers = {"Idempotency-Key": "order-1"}
    first = api.post("/jobs", job(), headers=headers)
    api.env.advance(seconds=30)
    second = api.post("/jobs", dict(reversed(job().items())), headers=headers)
    assert (second.status, second.text) == (201, first.text)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert [second.headers[name] for name in ("Location", "ETag")] == [
        first.headers[name] for name in ("Location", "ETag")
    ]
    assert len(api.get("/jobs").json) == 1


@pytest.mark.parametrize("character", ["\x7f", '"', "ü", "\N{GRINNING FACE}"])
def test_the_largest_body_is_answered_again_whatever_it_is_made_of(
    api: Api, character: str
) -> None:
    text = character * (65_536 // len(character.encode()))
    body = job(
        request={"url": "http://example.com/endpoint", "body": text},
        # A label has no control character.
        labels={f"{number}": character.replace("\x7f", '"') * 255 for number in range(20)},
    )
    first, second = (
        api.post(
            "/jobs",
            raw=json.dumps(body, ensure_ascii=False).encode(),
            headers={"Idempotency-Key": "x"},
        )
        for _ in "12"
    )
    assert (first.status, first.json["request"]["body"] == text) == (201, True)
    assert (second.headers.get("Idempotency-Replayed"), second.text) == ("true", first.text)


def test_a_repeat_gets_its_first_answer_though_its_date_has_passed_since(api: Api) -> None:
    headers, body = {"Idempotency-Key": "order-1"}, job(trigger={"date": "2026-11-23T10:00:30Z"})
    first = api.post("/jobs", body, headers=headers)
    api.env.advance(minutes=5)
    second = api.post("/jobs", body, headers=headers)
    assert (second.status, second.text) == (201, first.text)


def test_a_repeat_may_write_its_numbers_in_another_way(api: Api) -> None:
    headers = {"Idempotency-Key": "order-1"}
    for number in (b"60", b"60.0", b"6e1"):
        raw = json.dumps(job(trigger={"delay": 12345})).encode().replace(b"12345", number)
        assert api.post("/jobs", headers=headers, raw=raw).status == 201
    assert len(api.get("/jobs").json) == 1


def test_a_request_that_comes_twice_at_once_with_both_its_keys_gets_one_answer(api: Api) -> None:
    headers, body = {"Idempotency-Key": "order-1"}, job(key="nightly")
    jobs, others = api.env.scheduling.jobs, list[Answer]()
    look = jobs.answered

    def look_too_early(name: str, now: datetime) -> Answered | None:
        found = look(name, now)
        jobs.answered = look  # type: ignore[method-assign]
        others.append(api.post("/jobs", body, headers=headers))
        return found

    jobs.answered = look_too_early  # type: ignore[method-assign]
    answer = api.post("/jobs", body, headers=headers)
    assert (answer.status, answer.json) == (201, others[0].json)


def test_a_key_that_another_job_has_is_refused_with_an_idempotency_key_too(api: Api) -> None:
    api.register(key="nightly")
    assert (
        api.post("/jobs", job(key="nightly"), headers={"Idempotency-Key": "order-1"}).status == 409
    )


@pytest.mark.parametrize(
    ("said", "scheme"),
    [("https", "https"), ("http", "http"), ("https\r\n X-Evil: 1", "http"), ("javascript", "http")],
)
def test_the_location_has_no_scheme_but_http_and_https(api: Api, said: str, scheme: str) -> None:
    answer = api.post("/jobs", job(), headers={"X-Forwarded-Proto": said})
    assert answer.headers["Location"] == f"{scheme}://localhost:8000/jobs/{answer.json['id']}"


def test_the_location_is_right_whether_or_not_the_path_ends_in_a_slash(api: Api) -> None:
    answer = api.post("/jobs/", job())
    assert answer.headers["Location"] == f"http://localhost:8000/jobs/{answer.json['id']}"


def test_the_sentence_about_thousands_of_wrong_fields_is_short(api: Api) -> None:
    problem = api.post("/jobs", {**job(), **{f"field{n}": 1 for n in range(5000)}}).problem
    assert [error["field"] for error in problem["errors"]] == [
        f"field{number}" for number in range(50)
    ]
    assert len(problem["detail"]) < 600
    detail = re.fullmatch(r"(.*); and (\d+) more; errors has the first 50", problem["detail"])
    assert detail is not None
    told, more = detail.groups()
    assert told.count("unknown field") + int(more) == 5000


def test_the_same_idempotency_key_with_another_value_is_refused(api: Api) -> None:
    headers = {"Idempotency-Key": "order-1"}
    api.post("/jobs", job(), headers=headers)
    assert api.post("/jobs", job(name="Another"), headers=headers).fields == ["Idempotency-Key"]


def test_a_refused_request_does_not_use_its_idempotency_key_up(api: Api) -> None:
    headers = {"Idempotency-Key": "order-1"}
    assert api.post("/jobs", job(name=""), headers=headers).status == 422
    assert api.post("/jobs", job(), headers=headers).status == 201


def test_an_idempotency_key_is_forgotten_after_a_day(api: Api) -> None:
    headers = {"Idempotency-Key": "order-1"}
    first = api.post("/jobs", job(), headers=headers)
    api.env.advance(hours=25)
    second = api.post("/jobs", job(), headers=headers)
    assert second.json["id"] != first.json["id"]


@pytest.mark.parametrize("key", ["", "with space", "x" * 256, "ünï"])
def test_a_malformed_idempotency_key_is_refused(api: Api, key: str) -> None:
    assert api.post("/jobs", job(), headers={"Idempotency-Key": key}).fields == ["Idempotency-Key"]


def test_a_request_whose_first_has_no_answer_yet_is_refused(api: Api) -> None:
    """The first one writes its answer after this one has looked for it, and it is gone again."""
    headers, table = {"Idempotency-Key": "once"}, api.env.cloud.tables["jobs"]
    api.post("/jobs", job(), headers=headers)
    ((name, answered),) = [entry for entry in table.items() if "fingerprint" in entry[1]]
    before = {**table}
    del before[name], table[name]

    def come_and_go(operation: str, request: dict[str, Any]) -> None:
        if operation == "TransactWriteItems":
            table[name] = answered
        else:
            table.pop(name, None)

    api.env.cloud.before = come_and_go
    answer = api.post("/jobs", job(), headers=headers)
    assert (answer.status, answer.problem["title"]) == (409, "Conflict")
    assert "still under way" in answer.problem["detail"]
    assert table == before
