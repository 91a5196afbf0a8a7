"""`GET /docs`: a page that shows every operation and loads nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from chalicelib.api.openapi import docs_page
from chalicelib.api.openapi.document import document
from chalicelib.api.routing import operations
from tests.api.conftest import Api


class Reader(HTMLParser):
    """Reads a page as a browser does: its text, the rows of its tables, the attributes of its
    elements, and which elements were left open.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.attributes, self.tags, self.open = (
            "",
            list[tuple[str, str]](),
            set[str](),
            list[str](),
        )
        self.rows: list[list[str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if "td" in self.open:
            self.rows[-1][-1] += data


@pytest.fixture
def page(api: Api) -> Reader:
    # A test that asked before, in a thread, had it made where no line is counted.
    docs_page.page.cache_clear()
    answer = api.get("/docs")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    read = Reader(answer.text)
    assert read.open == []
    return read


def test_it_shows_every_operation_with_its_parameters_and_every_document(page: Reader) -> None:
    text = " ".join(page.text.split())
    for method, path in operations:
        assert f"{method}{path}" in text
        for parameter in document()["paths"][path][method.lower()]["parameters"]:
            assert f"{parameter['name']} in the {parameter['in']}" in text
    for name in document()["components"]["schemas"]:
        assert ("id", name) in page.attributes


ROWS = [
    [
        "job_id in the path required",
        "string",
        "A job's id, or key: and the key that it was registered with. "
        "Such as job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K",
    ],
    [
        "status in the query",
        "active or paused or completed or failed",
        "Only jobs with this status.",
    ],
    [
        "timeout",
        "integer, at least 1, at most 600",
        "Seconds for one attempt, the whole HTTP exchange. Default: 30",
    ],
    [
        "jobs required",
        "array of JobIn or JsonValue, at most 100",
        "The jobs. Give each a key, so that a repeat registers only those that are missing.",
    ],
    [
        "next_run_time",
        "date-time or null",
        "The next due time; null if the job is not due again. "
        "Read-only: only the current value is accepted.",
    ],
    ["304", "The job still has the ETag in If-None-Match. Headers: ETag"],
    ["401", "The request has no valid key."],
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_says_what_it_is_of_then_its_type_then_what_it_means(
    page: Reader, row: list[str]
) -> None:
    assert row in page.rows


def test_it_loads_nothing_and_leads_to_no_other_host(page: Reader) -> None:
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    assert {
        value
        for name, value in page.attributes
        if name in ("href", "src") and not value.startswith("#")
    } == {"openapi.json"}
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"]


def test_every_link_within_it_leads_somewhere(page: Reader) -> None:
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    assert {
        value[1:] for name, value in page.attributes if name == "href" and value.startswith("#")
    } <= set(ids)


def test_its_policy_forbids_everything_but_its_own_style(api: Api) -> None:
    policy = api.get("/docs").headers["Content-Security-Policy"]
    assert re.fullmatch(
        (
            "default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        ),
        policy,
    )
