"""GET /jobs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.trigger import OneTime
from tests.api.conftest import Answer, Api
from tests.environment import START


def next_path(answer: Answer) -> str:
    link = re.fullmatch(r'<http://localhost:8000(.*)>; rel="next"', answer.headers.get("Link", ""))
    return link[1] if link else ""


def test_jobs_come_newest_first(api: Api) -> None:
    made = []
    for n in range(5):
        made.append(api.register(name=f"job {n}"))
        api.env.advance(seconds=0.01)
    answer = api.get("/jobs")
    assert answer.json == list(reversed(made))
    assert "Link" not in answer.headers


def test_no_jobs_are_an_empty_list(api: Api) -> None:
    answer = api.get("/jobs")
    assert (answer.status, answer.text) == (200, "[]")


def test_pages_follow_each_other_without_gap_or_repeat(api: Api) -> None:
    made = []
    for n in range(10):
        made.append(api.register(name=f"job {n}")["id"])
        api.env.advance(seconds=0.01)
    for limit, pages in ((3, 4), (5, 2), (10, 1), (100, 1)):
        paged: list[str] = []
        path, count = f"/jobs?limit={limit}", 0
        while path:
            answer = api.get(path)
            count += 1
            paged += [job["id"] for job in answer.json]
            path = next_path(answer)
        assert paged == list(reversed(made))
        assert count == pages


def test_a_list_without_limit_ends_at_1000_jobs(api: Api) -> None:
    for _ in range(1005):
        api.env.create(OneTime(START + timedelta(hours=5)))
        api.env.now = api.env.now.replace(microsecond=(api.env.now.microsecond + 1000) % 1_000_000)
    parts = api.env.cloud.tables["jobs"]
    for key, item in list(parts.items()):
        if key[1] == "definition":
            item["tenant"] = {"S": "local"}
            item["definition"] = {
                "S": item["definition"]["S"].replace('"tenant":"tenant"', '"tenant":"local"')
            }
    first = api.get("/jobs")
    assert len(first.json) == 1000
    assert len(api.get(next_path(first)).json) == 5


def test_a_list_without_limit_ends_at_2_mb(api: Api) -> None:
    for _ in range(40):
        api.register(request={"url": "https://example.com/", "body": "x" * 60_000})
        api.env.advance(seconds=0.01)
    answer = api.get("/jobs")
    assert len(answer.text) < 2 * 1024 * 1024 + 1000
    rest = api.get(next_path(answer))
    assert len(answer.json) + len(rest.json) == 40
    assert not next_path(rest)


def test_filters(api: Api) -> None:
    api.register(name="nightly report", labels={"team": "billing"})
    api.register(name="nightly sync", labels={"team": "data", "a": "b:c"})
    paused = api.register(name="weekly", labels={"team": "billing", "tier": ""})
    api.post(f"/jobs/{paused['id']}/pause")

    def names(query: str) -> list[str]:
        return sorted(job["name"] for job in api.get(f"/jobs?{query}").json)

    assert names("status=paused") == ["weekly"]
    assert names("name=nightly") == ["nightly report", "nightly sync"]
    assert names("label=team:billing") == ["nightly report", "weekly"]
    assert names("label=tier:") == ["weekly"]
    assert names("label=a:b:c") == ["nightly sync"]
    assert names("label=team:billing&status=active") == ["nightly report"]
    assert names("name=none") == []


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_label_from_before_whose_key_has_a_colon_stays_and_no_new_one_comes(
    api: Api, method: str
) -> None:
    """What was read can be sent back; `label=a:b:c` means the label `a` all the same."""
    made = api.register(key="old", labels={"a?b": "c", "a": "b:d"}, trigger={"cron": "0 9 * * *"})
    table = api.env.cloud.tables["jobs"]
    definition = table[made["id"], "definition"]
    definition["definition"] = {"S": definition["definition"]["S"].replace("a?b", "a:b")}
    shown = api.get("/jobs/key:old").json
    assert shown["labels"] == {"a:b": "c", "a": "b:d"}
    sent = {name: shown[name] for name in ("name", "request", "trigger", "labels")}
    answer = api.call(method, "/jobs/key:old", {**sent, "name": "Renamed"})
    assert (answer.status, answer.json["labels"]) == (200, shown["labels"])
    more = {**sent, "labels": {**shown["labels"], "x:y": "z"}}
    assert api.call(method, "/jobs/key:old", more).fields == ["labels.x:y"]
    assert api.get("/jobs?label=a:b:c").json == []
    assert len(api.get("/jobs?label=a:b:d").json) == 1


@pytest.mark.parametrize(
    ("query", "reads"),
    [
        ("", 3),
        ("?limit=2", 2),
        ("?name=no", 0),
        ("?name=job+1", 1),
        ("?status=completed&limit=1", 1),
    ],
)
def test_a_list_reads_the_results_of_what_it_shows_and_no_others(
    api: Api, query: str, reads: int
) -> None:
    for n in range(3):
        api.register(name=f"job {n}")
    api.env.advance(seconds=30)
    asked: list[Any] = []

    def before(operation: str, request: dict[str, Any]) -> None:
        if operation == "BatchGetItem":
            asked.extend(request["RequestItems"].get("runs", {"Keys": []})["Keys"])

    api.env.cloud.before = before
    shown = api.get(f"/jobs{query}").json
    assert len(shown) == len(asked) == reads
    assert all(job["result"]["body"] == "ok" for job in shown)


def test_a_filtered_page_leads_on_with_its_filter(api: Api) -> None:
    for n in range(6):
        api.register(name=f"{'even' if n % 2 == 0 else 'odd'} {n}")
        api.env.advance(seconds=0.01)
    first = api.get("/jobs?name=even&limit=2")
    assert [job["name"] for job in first.json] == ["even 4", "even 2"]
    second = api.get(next_path(first))
    assert [job["name"] for job in second.json] == ["even 0"]


def test_every_wrong_parameter_is_named(api: Api) -> None:
    answer = api.get("/jobs?limit=0&status=gone&label=team&nome=x&name=a&name=b")
    assert answer.fields == ["label", "limit", "name", "nome", "status"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "status=gone", "label=team", "label=:x", "nome=x"]
)
def test_a_wrong_query_is_refused(api: Api, query: str) -> None:
    answer = api.get(f"/jobs?{query}")
    assert answer.fields == [query.partition("=")[0]]


def test_a_cursor_that_is_not_ours_is_refused(api: Api) -> None:
    for n in range(3):
        api.register(name=f"job {n}")
        api.env.advance(seconds=0.01)
    path = next_path(api.get("/jobs?limit=1"))
    cursor = re.search(r"cursor=([^&]+)", path)
    assert cursor
    for wrong in (
        "x",
        "",
        "AAAA",
        cursor[1][:-1] + ("A" if cursor[1][-1] != "A" else "B"),
        # The same bytes: the last bits of the base64 mean nothing.
        cursor[1][:-1] + chr(ord(cursor[1][-1]) + 1),
        cursor[1] + "A",
        "%00",
        "ü",
    ):
        answer = api.get(f"/jobs?limit=1&cursor={wrong}")
        assert answer.status == 400, wrong
        assert answer.problem["title"] == "Bad Request"
    assert api.get(f"/jobs?status=active&cursor={cursor[1]}").status == 400
