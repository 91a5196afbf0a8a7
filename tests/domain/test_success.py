"""What counts as success: statuses, texts and JSON values, each by itself and together."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.exact_json import read
from chalicelib.domain.run import AttemptResult, Outcome, Response
from chalicelib.domain.success import SuccessRule, judged

SECOND = timedelta(seconds=1)

keys = st.text(max_size=3) | st.sampled_from(["~", "/", "~1", "0", "-"])
documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=10,
)


def answer(status: int = 200, body: str | bytes = "", *, is_final: bool = False) -> AttemptResult:
    response = (
        Response({}, body, truncated=False)
        if isinstance(body, str)
        else Response({}, base64.b64encode(body).decode(), truncated=False, encoding="base64")
    )
    outcome = Outcome.SUCCESS if 200 <= status <= 299 else Outcome.HTTP_ERROR
    return AttemptResult(outcome, SECOND, status, response, forbids_retry=is_final)


def is_success(rule: SuccessRule, status: int = 200, body: str | bytes = "") -> bool:
    result = judged(answer(status, body), rule)
    assert (result.outcome is Outcome.SUCCESS) is (result.error is None)
    assert result.outcome in (Outcome.SUCCESS, Outcome.UNEXPECTED)
    return result.outcome is Outcome.SUCCESS


@pytest.mark.parametrize(
    ("status", "expected"), [(199, False), (200, True), (299, True), (300, False), (404, True)]
)
def test_a_status_is_in_one_of_the_ranges(status: int, expected: bool) -> None:
    assert is_success(SuccessRule(((200, 299), (404, 404))), status) is expected


def test_a_text_is_looked_for_in_the_kept_bytes() -> None:
    rule = SuccessRule(contains="fertig ✓")
    assert is_success(rule, body="ist fertig ✓ seit heute")
    assert is_success(rule, body=b"\xff" + "fertig ✓".encode())
    assert not is_success(rule, body="fertig")
    assert not is_success(rule, status=500, body="fertig ✓")
    assert not is_success(SuccessRule(contains="x"), body="")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"state": "done"}', True),
        ('{"state": "done", "more": [1]}', True),
        ('{"state": "failed"}', False),
        ('{"State": "done"}', False),
        ('["state", "done"]', False),
        ('"state"', False),
        ("", False),
        ("<html>", False),
        ('{"state": "done"', False),
        ("[" * 9000, False),
        ('{"state": Infinity}', False),
        ('{"state": 1e999999999}', False),
        (f'{{"state": {"[" * 900 + "]" * 900}}}', False),
        (b'\xff{"state": "done"}', False),
    ],
)
def test_a_value_stands_at_its_pointer(body: str | bytes, expected: bool) -> None:
    assert is_success(SuccessRule(json={"/state": "done"}), body=body) is expected


@pytest.mark.parametrize(
    ("value", "sent", "expected"),
    [
        ("1", "1", True),
        ("1", "1.0", True),
        ("1", "true", False),
        ("0", "false", False),
        ("0.1", "1e-1", True),
        ("null", "null", True),
        ("0.1", "0.10000000000000001", False),
        ('{"a": 1, "b": [2]}', '{"b": [2.0], "a": 1}', True),
        ("[1, 2]", "[2, 1]", False),
    ],
)
def test_values_are_compared_as_json(value: str, sent: str, expected: bool) -> None:
    rule = SuccessRule(json={"/a": read(value)})
    assert is_success(rule, body=f'{{"a": {sent}}}') is expected


def places(document: object, pointer: str = "") -> list[tuple[str, object]]:
    """Return every place of a document; shares no code with the rule."""
    found = [(pointer, document)]
    if isinstance(document, dict):
        for name, value in document.items():
            found += places(value, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(document, list):
        for number, value in enumerate(document):
            found += places(value, f"{pointer}/{number}")
    return found


@settings(max_examples=50)
@given(documents)
def test_every_place_of_a_document_is_found_and_no_other_has_its_value(document: object) -> None:
    body = json.dumps(document)
    for pointer, value in places(document):
        assert is_success(SuccessRule(json={pointer: value}), body=body)
        assert not is_success(SuccessRule(json={pointer: [value, "other"]}), body=body)
        assert not is_success(SuccessRule(json={f"{pointer}/-": value}), body=body) or isinstance(
            value, dict
        )


def test_secrets_that_are_hidden_in_what_is_kept_are_there_for_the_rule() -> None:
    came = replace(answer(body='{"state": "***"}'), received=b'{"state": "done"}')
    assert judged(came, SuccessRule(json={"/state": "done"})).outcome is Outcome.SUCCESS
    assert judged(came, SuccessRule(contains="***")).outcome is Outcome.UNEXPECTED


def test_every_condition_must_hold() -> None:
    rule = SuccessRule(((202, 202),), "queued", {"/id": 7})
    assert is_success(rule, 202, '{"id": 7, "state": "queued"}')
    assert not is_success(rule, 200, '{"id": 7, "state": "queued"}')
    assert not is_success(rule, 202, '{"id": 7, "state": "new"}')
    assert not is_success(rule, 202, '{"id": 8, "state": "queued"}')


@pytest.mark.parametrize("rule", [None, SuccessRule()])
def test_a_target_that_forbids_a_retry_has_failed_whatever_its_status(
    rule: SuccessRule | None,
) -> None:
    for status in (200, 404, 503):
        found = judged(answer(status, is_final=True), rule)
        assert found.outcome is not Outcome.SUCCESS
        assert found.error is not None
        assert found.error.endswith(", and Resona-Retry: no")


def test_without_a_rule_and_without_an_answer_a_result_stays_as_it_is() -> None:
    failed = AttemptResult(Outcome.TIMEOUT, SECOND, error="no whole answer within 30 seconds")
    assert judged(failed, SuccessRule(contains="x")) is failed
    for result in (answer(200), answer(500)):
        assert judged(result, None) is result
