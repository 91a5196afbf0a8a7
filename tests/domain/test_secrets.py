"""Names of secrets in requests, values in their places, and what is hidden of an answer."""

from __future__ import annotations

import base64
import html
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.request import Request
from chalicelib.domain.secrets import (
    MOST_PREVIOUS,
    OVERLAP,
    Mask,
    SecretMissing,
    SigningSecrets,
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
        "a secret may stand in the path and in the query, not in the host"
    ]


@pytest.mark.parametrize(
    "text",
    ["{{secret}}", "{secret:a}", "{{ secret:a }}", "{{secret:a}", "secret:a", "{{Secret:a}}"],
)
def test_whatever_is_no_placeholder_is_sent_as_it_is(text: str) -> None:
    request = post(body=text)
    assert list(wrong_placeholders(request)) == []
    assert resolved(request, {"a": "x"}) == request


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


SPELLINGS = {
    "as it is": str,
    "in a path": quote,
    "in a query": lambda value: quote(value, safe=""),
    "in a form": quote_plus,
    "with small hex digits": lambda value: (
        quote(value, safe="").replace("%2F", "%2f").replace("%3D", "%3d").replace("%2B", "%2b")
    ),
    "in JSON": lambda value: json.dumps(value)[1:-1],
    "in JSON as it is": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "in JSON of PHP": lambda value: json.dumps(value)[1:-1].replace("/", "\\/"),
    "in HTML": html.escape,
    "in base64": lambda value: base64.b64encode(value.encode()).decode(),
    "in base64 of URLs": lambda value: (
        base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    "value",
    ["s3cr3t", "a/b+c=d", 'say "x" & <y>', "grün €", "{{secret:other}}", "line\nline\ttab", "\\.*"],
)
def test_a_secret_is_hidden_however_it_is_spelt(spelling: str, value: str) -> None:
    written = SPELLINGS[spelling](value)
    assert Mask([value]).body(f"before {written} after".encode(), 1000) == b"before *** after"


@pytest.mark.parametrize("value", ["s3cr3t", "a/b+c=d", "grün €"])
def test_a_secret_is_hidden_in_a_header_as_it_was_received(value: str) -> None:
    received = f"Bearer {value}".encode().decode("latin-1")
    assert Mask([value]).header(received) == "Bearer ***"
    assert Mask([]).header(received) == received


def test_the_longer_of_two_secrets_is_hidden_whole() -> None:
    assert Mask(["abc", "abcdef"]).body(b"abcdef abc", 100) == b"*** ***"


@given(
    st.lists(st.text("ABCDEF", min_size=1, max_size=12), min_size=1, max_size=3),
    st.integers(0, 80),
    st.data(),
)
def test_nothing_of_a_secret_is_kept_wherever_the_cut_is(
    values: list[str], keep: int, data: st.DataObject
) -> None:
    pieces = data.draw(st.lists(st.sampled_from([*values, "x", " ", "ö", "\n"]), max_size=20))
    kept = Mask(values).body("-".join(pieces).encode(), keep)
    assert len(kept) <= keep
    assert not any(byte in kept for byte in b"ABCDEF")


@pytest.mark.parametrize("keep", range(40))
def test_a_secret_that_the_cut_divides_is_hidden_whole(keep: int) -> None:
    kept = Mask(["0123456789"]).body(b"beginning 0123456789 end of it", keep)
    assert not any(digit in kept for digit in (b"0", b"1", b"9"))


@given(
    st.lists(st.text("AB", min_size=1, max_size=5), min_size=1, max_size=4),
    st.text("AB-", max_size=40),
)
def test_no_secret_is_left_whole_though_secrets_overlap(values: list[str], text: str) -> None:
    kept = Mask(values).body(text.encode(), 1000).decode()
    assert not any(value in kept for value in values)


def test_a_header_that_is_cut_shows_nothing_of_a_secret_that_goes_on_behind_the_cut() -> None:
    assert Mask(["0123456789"]).header("in 0123456789", 8) == "in ***"
    assert Mask(["0123456789"]).header("in 0123456789 and more", 8) == "in ***"


def test_without_secrets_nothing_is_hidden() -> None:
    assert Mask([]).body(b"as it came", 5) == b"as it"


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
    for number in range(9):
        later = later.rotated(f"whsec_{number}", NOW + 2 * OVERLAP)
    assert len(later.previous) == MOST_PREVIOUS
