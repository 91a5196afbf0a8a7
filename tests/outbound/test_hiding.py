"""Recorded parts of real answers with secrets: cut or whole, text or binary, in every framing."""

from __future__ import annotations

import base64
import gzip
import socket
import ssl
from collections.abc import Callable
from datetime import timedelta

import pytest

from chalicelib.domain.request import Request
from chalicelib.domain.run import AttemptResult, Response
from chalicelib.domain.secrets import Credentials
from chalicelib.outbound.send import KEEP_BODY, KEEP_HEADERS, send
from tests.outbound.servers import AUTHORITY, LOOPBACK, serving

RUN = {"Resona-Run-Id": "run_1"}
SECRET = "a+b/c=d&e"


def with_length(body: bytes, headers: str = "") -> bytes:
    head = f"HTTP/1.1 200 OK\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def chunked(body: bytes, headers: str = "") -> bytes:
    chunks = [body[start : start + 7] for start in range(0, len(body), 7)]
    frames = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])
    return f"HTTP/1.1 200 OK\r\n{headers}Transfer-Encoding: chunked\r\n\r\n".encode() + frames


def closed(body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\n{headers}Connection: close\r\n\r\n".encode() + body


def answered(
    answer: bytes, *secrets: str, context: ssl.SSLContext | None = None, after: float = 2
) -> AttemptResult:
    """Return what comes of a request whose target answers with these bytes."""

    def play(sock: socket.socket) -> None:
        sock.sendall(answer)

    with serving(play, context) as server:
        scheme, host = ("https", "localhost") if context else ("http", "127.0.0.1")
        request = Request(f"{scheme}://{host}:{server.port}/", "POST", {})
        credentials = Credentials(("whsec_dGVzdA==",), secrets)
        timeout = timedelta(seconds=after)
        return send(
            request, run_headers=RUN, timeout=timeout, credentials=credentials, guard=LOOPBACK
        )


def kept(answer: bytes, *secrets: str) -> Response:
    result = answered(answer, *secrets)
    assert result.outcome == "success", result.error
    assert result.response is not None
    return result.response


WRITTEN = [
    "a+b/c=d&e",
    r"a\u002Bb/c=d\u0026e",
    r"a+b\/c\u003dd\u0026e",
    "a&#43;b/c=d&amp;e",
    "a%2Bb%2Fc%3Dd%26e",
    "a%252Bb%252Fc%253Dd%2526e",
    r"a\\u002Bb/c=d\\u0026e",
    base64.b64encode(b"user:" + SECRET.encode()).decode(),
    base64.b64encode(b"a user:" + SECRET.encode() + b" and more").decode(),
    base64.b64encode(b"the user:" + SECRET.encode() + b" and more").decode(),
]


@pytest.mark.parametrize("framed", [with_length, chunked, closed])
@pytest.mark.parametrize("written", WRITTEN)
def test_a_secret_is_in_no_body_and_no_header(
    framed: Callable[[bytes, str], bytes], written: str
) -> None:
    answer = framed(f'{{"echo":"{written}"}}'.encode(), f"X-Echo: is {written}\r\n")
    response = kept(answer, SECRET, "other")
    for text in (response.body, response.headers["x-echo"]):
        assert "***" in text
        assert written not in text
    assert response.body.startswith('{"echo":"')
    assert (response.truncated, response.encoding) == (False, None)


def test_a_secret_is_hidden_in_what_comes_over_tls() -> None:
    result = answered(
        with_length(rb'"a\u002Bb/c=d\u0026e"'), SECRET, context=AUTHORITY.context("localhost")
    )
    assert result.response is not None
    assert result.response.body == '"***"'


def test_a_secret_is_hidden_that_is_split_over_two_headers_of_one_name() -> None:
    response = kept(with_length(b"", "X-Echo: is a+b/c\r\nX-Other: 1\r\nx-echo: =d&e!\r\n"), SECRET)
    assert response.headers["x-echo"] == "is ***, ***!"
    assert response.headers["x-other"] == "1"


def test_a_secret_is_hidden_in_retry_after_and_in_names_of_headers() -> None:
    result = answered(
        with_length(b"", "Retry-After: a+b/c=d&e\r\nX-S3cr3t: 1\r\n"), SECRET, "S3cr3t"
    )
    assert result.retry_after == "***"
    assert result.response is not None
    assert result.response.headers["x-***"] == "1"


@pytest.mark.parametrize("framed", [with_length, chunked, closed])
def test_cut_or_whole_is_decided_by_what_is_left_of_the_body(
    framed: Callable[[bytes], bytes],
) -> None:
    # The secret is shorter than what stands for it.
    grown = "xy " * 1000 + "ö" * ((KEEP_BODY - 3000) // 2)
    response = kept(framed(grown.encode()), "xy")
    assert len(grown.encode()) == KEEP_BODY
    assert (response.truncated, response.encoding) == (True, None)
    assert response.body == ("*** " * 1000 + "ö" * ((KEEP_BODY - 4000) // 2))
    # And longer.
    shrunk = "0123456789" * 3000
    response = kept(framed(shrunk.encode()), "0123456789")
    assert (response.body, response.truncated) == ("***", False)
    # A body that ends in the middle of a character is no text.
    response = kept(framed("xy ö".encode()[:-1]), "xy")
    assert (base64.b64decode(response.body), response.encoding) == (b"*** \xc3", "base64")


def test_cut_or_whole_is_decided_by_what_is_left_of_the_headers() -> None:
    fields = "".join(f"X-{number}: {'0123456789' * 10}\r\n" for number in range(90))
    response = kept(with_length(b"", fields), "0123456789")
    assert len(fields) > KEEP_HEADERS
    assert (response.headers["x-89"], response.truncated) == ("***", False)
    response = kept(
        with_length(b"", "X-Two: xy" + " xy" * (KEEP_HEADERS // 3 - 100) + "\r\n"), "xy"
    )
    assert ("x-two" in response.headers, response.truncated) == (False, True)


@pytest.mark.parametrize(("name", "is_all"), [("X-Ab", True), ("X-Abc", False)])
def test_headers_are_searched_for_secrets_up_to_twice_what_is_kept_of_them(
    name: str, is_all: bool
) -> None:
    value = "0123456789" * (2 * KEEP_HEADERS // 10)
    assert len("X-Ab") + len(value) == 2 * KEEP_HEADERS
    response = kept(with_length(b"", f"{name}: {value}\r\n"), "0123456789")
    rest = {"content-length": "0"} if is_all else {}
    assert response.headers == {name.lower(): "***", **rest}
    assert response.truncated is not is_all


@pytest.mark.parametrize("framed", [with_length, chunked, closed])
@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "identity, br", "deflate"])
def test_an_encoded_body_of_a_job_that_names_secrets_is_not_kept(
    framed: Callable[[bytes, str], bytes], encoding: str
) -> None:
    body = gzip.compress(SECRET.encode())
    answer = framed(body, f"Content-Encoding: {encoding}\r\n")
    response = kept(answer, SECRET)
    assert (response.body, response.encoding, response.truncated) == ("", None, True)
    assert response.headers["content-encoding"] == encoding
    response = kept(answer)
    assert base64.b64decode(response.body) == body
    assert not response.truncated


@pytest.mark.parametrize(
    "body", [gzip.compress(SECRET.encode(), mtime=0), b"\x28\xb5\x2f\xfd" + b"x" * 9]
)
def test_a_body_that_is_compressed_without_saying_so_is_not_kept(body: bytes) -> None:
    response = kept(with_length(body, ""), SECRET)
    assert (response.body, response.encoding, response.truncated) == ("", None, True)
    assert base64.b64decode(kept(with_length(body, "")).body) == body


def test_a_body_that_says_that_it_is_not_encoded_is_kept() -> None:
    response = kept(with_length(b"plain", "Content-Encoding: identity\r\n"), SECRET)
    assert (response.body, response.truncated) == ("plain", False)
