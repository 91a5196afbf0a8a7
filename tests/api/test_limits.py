"""Every limit of a request, at its edge: the last value is accepted, the next one refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.usecases.bulk import MOST_JOBS
from tests.api.conftest import Api, job

DAY, YEAR = 86_400, 31_536_000
AT = "2026-11-23T10:00:00Z"


def url(length: int) -> dict[str, Any]:
    start = "https://example.com/"
    return {"request": {"url": start + "x" * (length - len(start))}}


def headers(sent: dict[str, str]) -> dict[str, Any]:
    return {"request": {"url": "https://example.com/", "headers": sent}}


def large_headers(size: int) -> dict[str, Any]:
    """Return four headers whose names and values have so many bytes in all."""
    return headers(
        {
            f"x-{number}": "v" * (size // 4 - 3 + (size % 4 if number == 0 else 0))
            for number in range(4)
        }
    )


def body(size: int) -> dict[str, Any]:
    """Return a JSON body of so many bytes; its letters have two each."""
    text = "é" * ((size - len('{"a":""}')) // 2)
    return {
        "request": {
            "url": "https://example.com/",
            "body": {"a": text + "x" * (size - len(f'{{"a":"{text}"}}'.encode()))},
        }
    }


def labels(count: int) -> dict[str, Any]:
    return {"labels": {str(number): "" for number in range(count)}}


# What is changed, the field that is named, the values at the edges, and those beyond them.
LIMITS: list[tuple[Any, str, list[Any], list[Any]]] = [
    (lambda n: {"name": "n" * n}, "name", [1, 200], [0, 201]),
    (url, "request.url", [2048], [2049]),
    (lambda n: headers({f"x-{number}": "" for number in range(n)}), "request.headers", [50], [51]),
    (lambda n: headers({"x" * n: ""}), "request.headers.?", [1, 128], [129]),
    (lambda n: headers({"x": "v" * n}), "request.headers.x", [0, 4096], [4097]),
    (large_headers, "request.headers", [16_383, 16_384], [16_385, 16_386]),
    (lambda n: {"timeout": n}, "timeout", [1, 600], [0, 601]),
    (lambda n: {"retry": {"max_attempts": n}}, "retry.max_attempts", [1, 20], [-1, 0, 21]),
    (lambda n: {"retry": {"initial_delay": n}}, "retry.initial_delay", [1, 3600], [0, 3601]),
    (
        lambda n: {"retry": {"initial_delay": 1, "max_delay": n}},
        "retry.max_delay",
        [1, DAY],
        [0, DAY + 1],
    ),
    (lambda n: {"retry": {"initial_delay": 9, "max_delay": n}}, "retry.max_delay", [9, 10], [8]),
    (lambda n: {"misfire_grace": n}, "misfire_grace", [1, DAY], [0, DAY + 1]),
    (labels, "labels", [0, 20], [21]),
    (lambda n: {"labels": {"k" * n: "v"}}, "labels.*", [1, 63], [0, 64]),
    (lambda n: {"labels": {"k": "v" * n}}, "labels.k", [0, 255], [256]),
    (lambda n: {"key": "k" * n}, "key", [1, 128], [0, 129]),
    (lambda n: {"trigger": {"delay": n}}, "trigger.delay", [0, YEAR], [-1, YEAR + 1]),
    (
        lambda n: {"trigger": {"cron": "0 9 * * *", "timezone": "UTC"[:n]}},
        "trigger.timezone",
        [3],
        [0, 2],
    ),
]
TAKEN = [(change, value) for change, _, values, _ in LIMITS for value in values]
REFUSED = [(change, field, value) for change, field, _, values in LIMITS for value in values]


@pytest.mark.parametrize(("change", "value"), TAKEN)
def test_what_lies_at_the_edge_is_taken_and_shown_as_it_was_sent(
    api: Api, change: Any, value: int
) -> None:
    sent = change(value)
    made = api.post("/jobs", job(**sent))
    assert made.status == 201, made.text
    for name in sent.keys() - {"trigger"}:
        shown = made.json[name]
        assert (
            shown if not isinstance(shown, dict) else {part: shown[part] for part in sent[name]}
        ) == sent[name]


@pytest.mark.parametrize(("change", "field", "value"), REFUSED)
def test_what_lies_beyond_is_refused_by_its_name(
    api: Api, change: Any, field: str, value: int
) -> None:
    [named] = api.post("/jobs", job(**change(value))).fields
    assert named == field or (field.endswith("*") and named.startswith(field[:-1]))
    assert api.get("/jobs").json == []


def test_a_body_may_have_64_kib_and_no_byte_more(api: Api) -> None:
    assert [api.post("/jobs", job(**body(size))).status for size in (65_535, 65_536, 65_537)] == [
        201,
        201,
        413,
    ]


def test_a_request_may_have_256_kib_and_no_byte_more(api: Api) -> None:
    sent = json.dumps(job()).encode()
    assert [
        api.post("/jobs", raw=sent.ljust(size)).status for size in (262_143, 262_144, 262_145)
    ] == [201, 201, 413]


def test_a_batch_may_have_a_hundred_jobs_and_no_more(api: Api) -> None:
    results = api.post("/jobs/batch", {"jobs": [job()] * MOST_JOBS}).json["results"]
    assert [result["status"] for result in results] == [201] * 100
    assert api.post("/jobs/batch", {"jobs": [job()] * 101}).fields == ["jobs"]


@pytest.mark.parametrize("depth", [31, 32, 33])
def test_a_request_may_nest_32_levels(api: Api, depth: int) -> None:
    """The body of the job is the third level."""
    nested = "[" * (depth - 2) + "]" * (depth - 2)
    sent = json.dumps(job(request={"url": "https://example.com/", "body": 0}))
    answer = api.post("/jobs", raw=sent.replace(": 0", f": {nested}").encode())
    assert answer.status == (201 if depth <= 32 else 400)


@pytest.mark.parametrize(("length", "status"), [(0, 422), (1, 201), (255, 201), (256, 422)])
def test_an_idempotency_key_may_have_255_characters(api: Api, length: int, status: int) -> None:
    assert api.post("/jobs", job(), headers={"Idempotency-Key": "k" * length}).status == status


@pytest.mark.parametrize(("count", "status"), [(0, 422), (1, 200), (100, 200), (101, 422)])
def test_a_preview_shows_a_hundred_times(api: Api, count: int, status: int) -> None:
    answer = api.post(
        "/triggers/preview", {"trigger": {"cron": "* * * * *"}, "after": AT, "count": count}
    )
    assert answer.status == status
    assert status == 422 or len(answer.json["next_run_times"]) == count


@pytest.mark.parametrize(
    ("size", "status"),
    [
        ("0", 422),
        ("1", 200),
        ("100", 200),
        ("101", 422),
        ("-1", 422),
        ("", 422),
        ("1.0", 422),
        ("000000100", 200),
        ("²", 422),
    ],
)
def test_a_page_shows_a_hundred_jobs(api: Api, size: str, status: int) -> None:
    assert api.get(f"/jobs?limit={size}").status == status


@pytest.mark.parametrize("kind", ["cron", "one-time"])
@pytest.mark.parametrize("name", ["delay", "date", "cron", "timezone", "field", "Type", ""])
def test_a_trigger_with_type_and_fields_has_nothing_beside_them(
    api: Api, kind: str, name: str
) -> None:
    """What stands beside them would otherwise be lost without a word."""
    fields = {"cron": "0 9 * * *"} if kind == "cron" else {"date": "2026-12-01T10:00:00Z"}
    shown = {"type": kind, "fields": fields}
    assert api.post("/jobs", job(trigger=shown)).status == 201
    assert api.post("/jobs", job(trigger={**shown, name: "0 10 * * *"})).fields == [
        f"trigger.{name}"
    ]
    assert api.post("/triggers/preview", {"trigger": {**shown, name: 1}}).fields == [
        f"trigger.{name}"
    ]
    [made] = api.get("/jobs").json
    assert api.patch(f"/jobs/{made['id']}", {"trigger": {**shown, name: None}}).fields == [
        f"trigger.{name}"
    ]


@pytest.mark.parametrize(
    ("kind", "fields", "wrong"),
    [
        ("cron", {"cron": "0 9 * * *", "date": "2026-12-01T10:00:00Z"}, "date"),
        ("cron", {"cron": "0 9 * * *", "delay": 5}, "delay"),
        ("one-time", {"date": "2026-12-01T10:00:00Z", "cron": "0 9 * * *"}, "cron"),
        ("one-time", {"date": "2026-12-01T10:00:00Z", "type": "one-time"}, "type"),
    ],
)
def test_nor_do_its_fields_hold_another_kind_s(
    api: Api, kind: str, fields: dict[str, Any], wrong: str
) -> None:
    assert api.post("/jobs", job(trigger={"type": kind, "fields": fields})).fields == [
        f"trigger.fields.{wrong}"
    ]
