"""Placeholders of secrets in requests, their values, and rotation."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.errors import FieldError, RotatedTooOften
from chalicelib.domain.request import Request
from chalicelib.domain.secrets import (
    MOST_PREVIOUS,
    OVERLAP,
    SecretMissing,
    SigningSecrets,
    fits_header,
    missing_secrets,
    names_in,
    resolved,
    wrong_placeholders,
)

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
NAMES = st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z")
VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


def post(
    url: str = "https://example.com/", headers: dict[str, str] | None = None, body: object = None
) -> Request:
    return Request(url, "POST", headers or {}, body)


def test_names_are_found_in_url_header_values_and_body_wherever_they_stand() -> None:
    request = post(
        "https://example.com/{{secret:path}}?key={{secret:query}}",
        {"Authorization": "Bearer {{secret:token}}", "X-Two": "{{secret:a}}{{secret:b}}"},
        {"deep": [{"text": "before {{secret:body}} after"}], "{{secret:key}}": 1},
    )
    assert names_in(request) == {"path", "query", "token", "a", "b", "body", "key"}


@pytest.mark.parametrize(
    "text",
    [
        "{{secret:}}",
        "{{secret:a b}}",
        "{{secret: a}}",
        "{{secret:ä}}",
        "{{secret:" + "a" * 65 + "}}",
    ],
)
def test_a_name_of_another_form_is_refused_where_it_stands(text: str) -> None:
    for request, field in (
        (post(headers={"X-A": text}), "request.headers.X-A"),
        (post(body={"a": text}), "request.body"),
    ):
        assert [error.field for error in wrong_placeholders(request)] == [field]
        assert names_in(request) == frozenset()
        with pytest.raises(SecretMissing):
            resolved(request, {"a": "x"})


@pytest.mark.parametrize(
    "url",
    [
        "https://{{secret:host}}/",
        "https://{{secret:host}}.example.com/",
        "https://example.com:{{secret:port}}/",
        "{{secret:url}}",
    ],
)
def test_a_secret_cannot_be_a_host(url: str) -> None:
    assert [error.message for error in wrong_placeholders(post(url))] == [
        "a placeholder may stand in the path and in the query, not in the host"
    ]


@pytest.mark.parametrize(
    "text",
    ["{{secret}}", "{secret:a}", "{{ secret:a }}", "secret:a", "secret:a}}", "{{Secret:a}}"],
)
def test_whatever_is_no_placeholder_is_sent_as_it_is(text: str) -> None:
    request = post(body=text)
    assert list(wrong_placeholders(request)) == []
    assert resolved(request, {"a": "x"}) == request
    assert list(wrong_placeholders(post(body="{{sec{{secret:a}}ret:"))) == []


@pytest.mark.parametrize(
    "text",
    [
        *("{{secret:a", "{{secret:a}", "{{secret:a} }", "{{secret:{{secret:a}}", "{{secret:a{}}"),
        *("{{run.id", "{{run.id}", "{{job.{{job.id}}"),
    ],
)
def test_a_placeholder_that_is_not_closed_is_refused_where_it_stands(text: str) -> None:
    url, header, body = (
        post(f"https://example.com/?a={text}"),
        post(headers={"X-A": text}),
        post(body=[{text: 1}]),
    )
    for request, field in ((url, "url"), (header, "headers.X-A"), (body, "body")):
        (error,) = wrong_placeholders(request)
        assert error.field == f"request.{field}"
        assert re.search(r"write \{\{(secret:|run\.|job\.)NAME\}\}$", error.message)


def test_each_place_that_names_a_missing_secret_is_told_once() -> None:
    request = post(
        "https://example.com/{{secret:a}}",
        {"X-A": "{{secret:a}}{{secret:a}}", "X-B": "{{secret:b}}"},
    )
    errors = list(missing_secrets(request, {"a"}))
    assert [error.field for error in errors] == ["request.url", "request.headers.X-A"]
    assert errors[0].message == "the secret a does not exist; PUT /secrets/a first"


def test_a_missing_value_is_told_by_its_name() -> None:
    with pytest.raises(SecretMissing, match=r"^the secret gone does not exist$"):
        resolved(post(headers={"X-A": "{{secret:there}} {{secret:gone}}"}), {"there": "x"})


def test_a_request_of_an_old_job_with_values_that_are_no_text_is_left_as_it_is() -> None:
    stored: dict[str, Any] = {"url": None, "headers": []}
    request = Request(method="POST", **stored)
    assert resolved(request, {}) == request


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), st.data())
def test_a_value_arrives_as_it_was_put(values: dict[str, str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(values)))
    mark, value = f"{{{{secret:{name}}}}}", values[name]
    request = post(
        f"https://example.com/?a=1&key={mark}&b=2",
        {"X-A": f"<{mark}>"},
        {"list": [f"[{mark}]"], "n": 1, "ok": None},
    )
    made = resolved(request, values)
    assert parse_qs(urlsplit(made.url).query, keep_blank_values=True) == {
        "a": ["1"],
        "key": [value],
        "b": ["2"],
    }
    assert made.headers == {"X-A": f"<{value}>"}
    assert json.loads(json.dumps(made.body)) == {"list": [f"[{value}]"], "n": 1, "ok": None}
    assert resolved(post(body=f"a{mark}b"), values).body == f"a{value}b"
    assert (made.method, made.url.isascii()) == ("POST", True)


def test_in_a_path_slashes_stay_and_what_would_end_it_does_not() -> None:
    made = resolved(
        post("https://hooks.example.com/services/{{secret:hook}}?x={{secret:hook}}"),
        {"hook": "T0/B0/a?b#c d%"},
    )
    assert (
        made.url
        == "https://hooks.example.com/services/T0/B0/a%3Fb%23c%20d%25?x=T0%2FB0%2Fa%3Fb%23c%20d%25"
    )


def test_what_a_value_says_is_not_looked_into() -> None:
    values = {"a": "{{secret:b}}", "b": "never"}
    assert resolved(post(body=["{{secret:a}}", {"x": "{{secret:a}}"}]), values).body == [
        "{{secret:b}}",
        {"x": "{{secret:b}}"},
    ]


def test_a_question_mark_in_a_value_begins_no_query_and_a_slash_none_in_a_host() -> None:
    made = resolved(post("https://example.com/{{secret:a}}"), {"a": "//127.0.0.1/?@"})
    assert urlsplit(made.url).hostname == "example.com"
    assert urlsplit(made.url).query == ""


def test_a_rotation_keeps_the_old_secret_in_force_for_a_day() -> None:
    first = SigningSecrets("whsec_a")
    second = first.rotated("whsec_b", NOW)
    assert second.in_force(NOW) == ("whsec_b", "whsec_a")
    assert second.in_force(NOW + OVERLAP - timedelta(seconds=1)) == ("whsec_b", "whsec_a")
    assert second.in_force(NOW + OVERLAP) == ("whsec_b",)


def test_a_rotation_that_comes_twice_leaves_what_receivers_know_in_force() -> None:
    twice = (
        SigningSecrets("whsec_a")
        .rotated("whsec_lost", NOW)
        .rotated("whsec_b", NOW + timedelta(seconds=1))
    )
    assert twice.in_force(NOW + timedelta(hours=23)) == ("whsec_b", "whsec_lost", "whsec_a")
    later = twice.rotated("whsec_c", NOW + 2 * OVERLAP)
    assert later.previous == (("whsec_b", NOW + 3 * OVERLAP),)


def test_a_rotation_that_would_drop_a_secret_in_force_is_refused_until_the_first_is_over() -> None:
    signing = SigningSecrets("whsec_0")
    for number in range(1, MOST_PREVIOUS + 1):
        signing = signing.rotated(f"whsec_{number}", NOW + timedelta(hours=number))
    first_ends = NOW + timedelta(hours=1) + OVERLAP
    with pytest.raises(RotatedTooOften, match="rotate again at 2026-11-24T11:00:00Z"):
        signing.rotated("whsec_5", first_ends - timedelta(seconds=1))
    assert signing.in_force(first_ends - timedelta(seconds=1)) == tuple(
        f"whsec_{number}" for number in (4, 3, 2, 1, 0)
    )
    assert signing.rotated("whsec_5", first_ends).in_force(first_ends) == tuple(
        f"whsec_{number}" for number in (5, 4, 3, 2, 1)
    )


@pytest.mark.parametrize("named", [20, 21])
def test_a_request_may_name_20_secrets(named: int) -> None:
    body = ["{{secret:again}}" * 2, *(f"{{{{secret:n{number}}}}}" for number in range(named - 1))]
    errors = list(wrong_placeholders(post(body=body)))
    assert errors == (
        []
        if named == 20
        else [FieldError("request.body", "the request may name at most 20 secrets, and names 21")]
    )


@pytest.mark.parametrize("value", ["", " a", "a ", "a\n", "a\nb", "a\tb", "ä", "\x7f"])
def test_a_header_carries_visible_ascii_alone(value: str) -> None:
    assert not fits_header(value)


@pytest.mark.parametrize("value", ["a", "a b", "~", "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}"])
def test_a_header_carries_what_is_visible_ascii(value: str) -> None:
    assert fits_header(value)
