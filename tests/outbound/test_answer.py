"""The reader of answers: its limits, its errors, and that packet boundaries do not matter."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.run import Outcome
from chalicelib.outbound.address_guard import Failure
from chalicelib.outbound.answer import (
    HOLD_AT_MOST,
    READ_AT_MOST,
    RECEIVE_AT_MOST,
    Answer,
    Received,
    read_answer,
)
from tests.outbound import answers

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
# All that end with a close; the longest take too long byte by byte.
CLOSED = [one for one in answers.load()["answers"] if one["then"] == "close"]
CLOSED = [one for one in CLOSED if len(answers.bytes_of(one)) < 2000]


def coming(data: bytes, pieces: Callable[[], int] = lambda: 65_536) -> Received:
    """Return what receives these bytes in such pieces, and then a close."""
    left = memoryview(data)

    def receive(most: int) -> bytes:
        nonlocal left
        count = min(most, pieces())
        piece, left = bytes(left[:count]), left[count:]
        return piece

    return Received(receive, lambda: None)


def read(data: bytes, method: str = "GET") -> Answer:
    return read_answer(coming(data), method)


def why_not(data: bytes) -> str:
    with pytest.raises(Failure) as raised:
        read(data)
    assert raised.value.outcome is Outcome.PROTOCOL_ERROR
    return raised.value.sentence


def result(received: Received, method: str) -> Any:
    try:
        return read_answer(received, method)
    except Failure as failure:
        return failure.outcome, failure.sentence


# Pieces


def test_it_makes_no_difference_that_an_answer_comes_byte_by_byte() -> None:
    for answer in CLOSED:
        data, method = answers.bytes_of(answer), answer.get("method", "GET")
        whole = result(coming(data), method)
        assert result(coming(data, lambda: 1), method) == whole, answer["name"]


@settings(max_examples=200)
@given(st.data())
def test_it_makes_no_difference_in_which_pieces_an_answer_comes(data: st.DataObject) -> None:
    answer = data.draw(st.sampled_from(CLOSED))
    sizes = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=8))
    sent, at = answers.bytes_of(answer), -1

    def next_size() -> int:
        nonlocal at
        at += 1
        return sizes[at % len(sizes)]

    method = answer.get("method", "GET")
    assert result(coming(sent, next_size), method) == result(coming(sent), method)


@settings(max_examples=300)
@given(st.binary(max_size=400), st.sampled_from(["GET", "HEAD"]))
def test_whatever_comes_is_an_answer_or_a_failure(data: bytes, method: str) -> None:
    for head in (b"", b"HTTP/1.1 ", OK, OK + b"Transfer-Encoding: chunked\r\n\r\n"):
        result(coming(head + data), method)


# Header lines


@pytest.mark.parametrize("line", [b"My Param: x", b"nonsense", b": v", b"X\0Y: z", b"X@: y"])
def test_a_malformed_header_line_is_left_out_alone(line: bytes) -> None:
    after = b"\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nhello and more"
    for before in (b"", b"X-A: 1\r\n"):
        found = read(OK + before + line + after)
        kept = {"X-A": "1"} if before else {}
        assert dict(found.headers) == {**kept, "Retry-After": "7", "Content-Length": "5"}
        assert (found.body, found.is_whole, found.has_all_headers) == (b"hello", True, True)


def test_what_continues_a_malformed_line_is_left_out_with_it() -> None:
    found = read(OK + b" v\r\nMy Param: a\r\n b\r\n\tc\r\nX-A: 1\r\n d\r\n\r\n")
    assert dict(found.headers) == {"X-A": "1 d"}


def test_a_value_is_kept_without_the_spaces_around_it() -> None:
    found = read(OK + b"X-A:a\r\nX-B: \t b c \t\r\nX-C:\r\nX-D \t: d\r\nX-E: a\rb\0c\r\n\r\n")
    values = {"X-A": "a", "X-B": "b c", "X-C": "", "X-D": "d", "X-E": "a b c"}
    assert dict(found.headers) == values


def test_credentials_of_the_targets_users_are_not_held() -> None:
    lines = b"Set-Cookie: a\r\nset-cookie2: b\r\nWWW-Authenticate: c\r\nProxy-authenticate: d\r\n"
    found = read(OK + lines + b"X-A: 1\r\n\r\n")
    assert (dict(found.headers), found.has_all_headers) == ({"X-A": "1"}, True)


# Exact limits


def test_headers_are_held_up_to_32_kib_and_what_decides_a_retry_wherever_it_stands() -> None:
    one = b"X-A: " + b"v" * (HOLD_AT_MOST - len(b"X-A: \r\n")) + b"\r\n"
    found = read(OK + one + b"\r\n")
    assert (len(found.headers["x-a"]), found.has_all_headers) == (HOLD_AT_MOST - 7, True)
    found = read(OK + one[:-2] + b"v\r\n\r\n")
    assert (dict(found.headers), found.has_all_headers) == ({}, False)
    after = b"X-B: 1\r\nRetry-After: 7\r\nresona-retry: no\r\nretry-after: 8\r\n\r\n"
    found = read(OK + one + after)
    assert list(found.headers) == ["X-A", "Retry-After", "resona-retry"]
    assert (found.headers["Retry-After"], found.has_all_headers) == ("7", False)


@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
def test_64_kib_of_a_body_are_read(framing: str) -> None:
    for size in (READ_AT_MOST, READ_AT_MOST + 1):
        body = b"x" * size
        head, body = {
            "length": (b"Content-Length: %d\r\n\r\n" % size, body),
            "chunks": (b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % size, body + b"\r\n0\r\n\r\n"),
            "close": (b"\r\n", body),
        }[framing]
        found = read(OK + head + body)
        assert (len(found.body), found.is_whole) == (READ_AT_MOST, size == READ_AT_MOST)


def test_a_body_of_64_kib_is_whole_only_with_its_end() -> None:
    body = b"x" * READ_AT_MOST
    assert "before all 65537 bytes" in why_not(OK + b"Content-Length: 65537\r\n\r\n" + body)
    assert "before the last chunk" in why_not(CHUNKED + b"10000\r\n" + body + b"\r\n")


def test_one_mebibyte_is_received_and_no_byte_more() -> None:
    head = OK + b"X-A: "
    for end in (b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\nok"):
        fill = b"v" * (RECEIVE_AT_MOST - len(head) - len(end))
        assert len(head + fill + end) == RECEIVE_AT_MOST == 1024 * 1024
        assert read(head + fill + end).is_whole
        assert "longer than 1 MiB" in why_not(head + fill + b"v" + end)


def test_what_comes_after_a_whole_answer_is_not_received() -> None:
    asked = []
    answer = OK + b"Content-Length: 2\r\n\r\nok"

    def receive(most: int) -> bytes:
        asked.append(most)
        assert len(asked) == 1, "more was waited for"
        return answer

    assert read_answer(Received(receive, lambda: None), "GET").body == b"ok"


@pytest.mark.parametrize("digits", ["9" * 18, "0" * 20 + "9" * 18])
def test_a_length_of_18_digits_is_one(digits: str) -> None:
    sent = OK + f"Content-Length: {digits}\r\n\r\n".encode()
    assert why_not(sent + b"hello") == (
        f"the connection was closed before all {'9' * 18} bytes of the body had come"
    )
    assert not read(sent + b"x" * (READ_AT_MOST + 1)).is_whole
    assert "absurdly large" in why_not(sent.replace(b"9\r\n", b"99\r\n"))


@pytest.mark.parametrize("line", [b"", b",", b" , ,", b"2, 3", b"2,2,3", b"-1", b"2 2", b"\xb2"])
def test_a_length_that_is_none_is_named(line: bytes) -> None:
    sentence = "the answer's Content-Length is malformed, absurdly large or contradictory"
    assert why_not(OK + b"Content-Length: " + line + b"\r\n\r\nok") == sentence
    # Where there is no body, there is nothing to measure.
    assert read(OK + b"Content-Length: " + line + b"\r\n\r\nok", "HEAD").body == b""


def test_every_status_of_100_to_599_is_one_and_no_other() -> None:
    for status in [*range(101, 102), *range(200, 600)]:
        assert read(b"HTTP/1.1 %03d\r\n\r\n" % status).status == status
    for status in [*range(100), *range(600, 1000)]:
        sentence = why_not(b"HTTP/1.1 %03d\r\n\r\n" % status)
        assert sentence == "the answer has a status outside 100 to 599"
    for status in [100, *range(102, 200)]:
        assert read(b"HTTP/1.1 %d\r\n\r\nHTTP/1.1 204\r\n\r\n" % status).status == 204


# What ends it


@pytest.mark.parametrize(
    ("sent", "is_whole"),
    [
        (OK + b"\r\nok", False),
        (OK + b"Content-Length: 2\r\n\r\nok", True),
        (CHUNKED + b"2\r\nok\r\n0\r\n", True),
    ],
    ids=["close", "length", "chunks"],
)
def test_without_close_notify_a_body_that_ends_with_the_close_may_be_cut(
    sent: bytes, is_whole: bool
) -> None:
    pieces = iter([sent])

    def receive(most: int) -> bytes:
        for piece in pieces:
            return piece
        raise ssl.SSLEOFError

    found = read_answer(Received(receive, lambda: None), "GET")
    assert (found.body, found.is_whole) == (b"ok", is_whole)


def test_the_time_is_looked_at_after_each_piece() -> None:
    def check_time() -> None:
        raise Failure(Outcome.TIMEOUT, "late")

    received = Received(lambda most: OK + b"Content-Length: 0\r\n\r\n", check_time)
    assert result(received, "GET") == (Outcome.TIMEOUT, "late")


# Error sentences


SENTENCES = {
    b"HTT": "the connection was closed within the answer's status line",
    b"HTTP/1.1 200 O": "the connection was closed within the answer's status line",
    b"SSH-2.0": "what the target answered is not HTTP",
    b"HTTP/2 200\r\n\r\n": "what the target answered is not HTTP/1.1 or HTTP/1.0",
    b"HTTP/1.1 20\r\n\r\n": "the answer has no status of three digits",
    OK: "the connection was closed within the answer's headers",
    OK + b"X-A: b\r\n": "the connection was closed within the answer's headers",
    OK + b"Content-Length: 50\r\n\r\nhello": (
        "the connection was closed before all 50 bytes of the body had come"
    ),
    CHUNKED: "the connection was closed before the last chunk of the body had come",
    CHUNKED + b"5\r\nhel": "the connection was closed before the last chunk of the body had come",
    CHUNKED + b"2\r\nok\r": "the connection was closed before the last chunk of the body had come",
    CHUNKED + b"2\r\nokay\r\n": "the answer has a chunk that is longer than it says",
    CHUNKED + b"-2\r\nok\r\n": "the answer has a chunk without a valid length",
}


@pytest.mark.parametrize("sent", SENTENCES, ids=lambda sent: ascii(sent[-20:]))
def test_a_broken_answer_is_told_as_what_it_is(sent: bytes) -> None:
    assert why_not(sent) == SENTENCES[sent]


def test_nothing_at_all_is_a_connection_that_failed() -> None:
    sentence = "the connection was closed before the answer came"
    for sent in (b"", b"HTTP/1.1 100 Continue\r\n\r\n"):
        assert result(coming(sent), "GET") == (Outcome.CONNECTION_FAILED, sentence)


# Framing


@pytest.mark.parametrize("status", [101, 204, 304])
@pytest.mark.parametrize("framing", [b"", b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_some_statuses_and_head_end_at_the_empty_line(status: int, framing: bytes) -> None:
    sent = b"HTTP/1.1 %d\r\n" + (framing and framing + b"\r\n") + b"\r\nhello"
    assert (read(sent % status).body, read(sent % 200, "HEAD").body) == (b"", b"")
    assert read(sent % status).is_whole


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"chunked", b"ok"),
        (b"CHUNKED", b"ok"),
        (b"gzip, chunked", b"ok"),
        (b"chunked, identity", b"ok"),
        (b"chunked ,, ", b"ok"),
        (b"gzip", b"2\r\nok\r\n0\r\n\r\n"),
        (b"chunked, gzip", b"2\r\nok\r\n0\r\n\r\n"),
        (b"identity", b"2\r\n"),
        (b"", b"2\r\n"),
    ],
)
def test_the_last_transfer_coding_frames_the_body(coding: bytes, body: bytes) -> None:
    sent = b"Content-Length: 3\r\nTransfer-Encoding: " + coding + b"\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    found = read(OK + sent)
    assert (found.body, found.is_whole) == (body, True)
