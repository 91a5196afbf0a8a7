"""What a request says of its run, escaped for where it stands."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.cron import parse
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition
from chalicelib.domain.request import Request, check
from chalicelib.domain.run_values import RUN_VALUES, filled, for_header, run_values
from chalicelib.domain.secrets import names_in, resolved, wrong_placeholders
from chalicelib.domain.trigger import OneTime

DUE = datetime(2026, 12, 31, 23, 30, 5, tzinfo=UTC)
JOB = Definition(
    id="job_01M83XJ8FT4M0W3SN0ZVSJQG0X",
    tenant="tenant",
    generation=2,
    name="Nightly report",
    created_at=DUE,
    trigger=parse("30 0 * * *", "Europe/Berlin"),
    request=Request("https://example.com/", "POST", {}),
    key="reports.nightly",
)
VALUES = {
    "run.id": "run_01M83XJ8FT4M0W3SN0ZVSJQG0X-2-20261231T233005Z",
    "run.attempt": "3",
    "run.scheduled_time": "2026-12-31T23:30:05Z",
    "run.scheduled_date": "2027-01-01",
    "run.scheduled_unix": "1798759805",
    "job.id": "job_01M83XJ8FT4M0W3SN0ZVSJQG0X",
    "job.key": "reports.nightly",
    "job.name": "Nightly report",
}


def made(value: str, **request: Any) -> Request:
    """Return a request as it is sent with this name of its job."""
    values = run_values(replace(JOB, name=value), RunKey(DUE, 2), 1)
    return resolved(
        Request(**{"url": "https://example.com/", "method": "POST", "headers": {}, **request}),
        {},
        values,
    )


def test_each_name_has_its_value() -> None:
    assert run_values(JOB, RunKey(DUE, 2), 3) == VALUES
    assert tuple(VALUES) == RUN_VALUES
    others = run_values(replace(JOB, trigger=OneTime(DUE), key=None), RunKey(DUE, 2), 1)
    assert (others["run.scheduled_date"], others["job.key"]) == ("2026-12-31", "")


@settings(max_examples=60)
@given(
    st.text(min_size=1, max_size=20)
    | st.sampled_from(
        ["../..", "a/b?c#d&e=f", " a ", "{{job.id}}", "{{secret:a}}", "é\r\nX: 1", "%"]
    )
)
def test_whatever_a_value_is_it_stays_where_it_stands(value: str) -> None:
    mark = "{{job.name}}"
    request = made(
        value,
        url=f"https://example.com/a/{mark}/b?x=1&name={mark}",
        headers={"X-Job": mark, "X-In": f"<{mark}>"},
        body={"text": f"[{mark}]"},
    )
    parts = urlsplit(request.url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "example.com", "")
    in_url = re.sub("[\\x00-\\x1f\\x7f]", " ", value)
    assert [unquote(one) for one in parts.path.split("/")] == ["", "a", in_url, "b"]
    assert parse_qs(parts.query, keep_blank_values=True) == {"x": ["1"], "name": [in_url]}
    assert request.body == {"text": f"[{value}]"}
    assert set(request.headers) == {"X-Job", "X-In"}
    for header in request.headers.values():
        assert re.fullmatch("[!-~]([ -~]*[!-~])?", header)
    assert unquote(request.headers["X-Job"]) == value
    check(request)


def test_a_header_keeps_what_it_can_carry() -> None:
    assert for_header("Nightly report: 50 EUR") == "Nightly report: 50 EUR"
    assert for_header(" größer\n50%\x7f ") == "%20gr%C3%B6%C3%9Fer%0A50%25%7F%20"


@pytest.mark.parametrize(
    "text", ["{{run.ID}}", "{{run.}}", "{{job.title}}", "{{run.id }}", "{{job.name.x}}"]
)
def test_a_name_that_is_not_known_is_refused_and_is_text_in_a_job_that_has_it(text: str) -> None:
    (wrong,) = wrong_placeholders(Request("https://example.com/", "POST", {}, text))
    assert (wrong.field, "run.scheduled_time" in wrong.message) == ("request.body", True)
    assert made("x", body=text).body == text


@pytest.mark.parametrize("text", ["{{run}}", "{{ run.id }}", "{run.id}", "{{runs.id}}", "{{id}}"])
def test_what_is_no_placeholder_is_text(text: str) -> None:
    assert list(wrong_placeholders(Request("https://example.com/", "POST", {}, text))) == []
    assert made("x", body=text).body == text


def test_none_stands_in_the_host_and_none_names_a_secret() -> None:
    request = Request("https://{{job.key}}.example.com/", "POST", {}, "{{run.id}}")
    assert [one.field for one in wrong_placeholders(request)] == ["request.url"]
    assert names_in(request) == frozenset()


def test_a_url_is_filled_by_itself() -> None:
    url = "https://example.com/{{job.name}}?run={{run.id}}&t={{secret:token}}&x={{run.x}}"
    assert filled(url, VALUES) == (
        "https://example.com/Nightly%20report?run=run_01M83XJ8FT4M0W3SN0ZVSJQG0X-2-20261231T233005Z"
        "&t={{secret:token}}&x={{run.x}}"
    )
