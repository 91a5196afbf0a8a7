"""Sending a request: whatever the target does, it ends in time, within limits, with an outcome."""

from __future__ import annotations

import base64
import gc
import ipaddress
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chalicelib.domain.request import Request
from chalicelib.domain.run import AttemptResult, Outcome
from chalicelib.domain.secrets import Credentials
from chalicelib.outbound.address_guard import PUBLIC, Failure, Guard, resolve
from chalicelib.outbound.answer import Received
from chalicelib.outbound.send import send
from chalicelib.outbound.transport import Wire, tls
from tests.outbound import answers, attacks
from tests.outbound.servers import AUTHORITY, LOOPBACK, Authority, Server, hostile, serving

ROOT = Path(__file__).parent.parent.parent
RUN, SIGNED = {"Resona-Run-Id": "run_1"}, Credentials(("whsec_dGVzdA==",))
TIMEOUT = timedelta(seconds=0.7)
LEEWAY = timedelta(milliseconds=250)
OK = [{"send": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}]


def addresses(*written: str) -> list[Any]:
    return [ipaddress.ip_address(one) for one in written]


def call(
    port: int,
    path: str = "/",
    *,
    guard: Guard = LOOPBACK,
    host: str = "127.0.0.1",
    scheme: str = "http",
    **members: Any,
) -> AttemptResult:
    timeout = members.pop("timeout", TIMEOUT)
    run_headers = members.pop("run_headers", {})
    request = Request(
        f"{scheme}://{host}:{port}{path}", **{"method": "POST", "headers": {}, **members}
    )
    return send(
        request,
        run_headers={**RUN, **run_headers},
        timeout=timeout,
        credentials=SIGNED,
        guard=guard,
    )


def seen_by(server: Server) -> tuple[str, dict[str, str], bytes]:
    """Return the request line, the headers and the body that a server saw."""
    head, _, body = server.seen[-1].partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    pairs = [one.split(": ", 1) for one in lines]
    headers = {name.lower(): value for name, value in pairs}
    assert len(headers) == len(pairs), "a header was sent twice"
    return line, headers, body


# What servers answer


@pytest.mark.parametrize("attack", attacks.load("servers"), ids=lambda attack: attack["name"])
def test_whatever_a_server_answers_becomes_an_outcome_in_time_and_within_bounds(
    attack: Any,
) -> None:
    with hostile(attack) as request:
        began = time.monotonic()
        timeout = attacks.timeout(attack, TIMEOUT)
        result = send(request, run_headers=RUN, timeout=timeout, credentials=SIGNED, guard=LOOPBACK)
        took = timedelta(seconds=time.monotonic() - began)
    assert result.outcome == attack["outcome"], result.error
    assert took < timeout + LEEWAY
    assert timedelta(0) < result.duration <= took
    if attack["outcome"] in ("success", "http_error"):
        assert result.response is not None
        assert result.status_code == attack["status"]
        assert result.response.truncated == attack.get("truncated", result.response.truncated)
        assert result.response.body == attack.get("body", result.response.body)
        assert result.response.encoding == attack.get("encoding")
        assert len(result.response.body) <= 16_384 * 4 / 3 + 4
        assert (
            sum(len(name) + len(value) for name, value in result.response.headers.items()) <= 8192
        )
        assert not {"set-cookie", "www-authenticate"} & result.response.headers.keys()
    else:
        assert (result.status_code, result.response, result.retry_after) == (None, None, None)
    assert (result.error is None) == (result.outcome is Outcome.SUCCESS)
    if result.error:
        assert not any(
            told in result.error
            for told in (
                "127.0.0.1",
                request.url.split(":")[2],
                "Errno",
                "Error",
                "Exception",
                "urllib3",
                "object",
            )
        )


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of one call"
)
def test_no_hostile_server_takes_five_megabytes() -> None:
    """In a process that does nothing but call them, so that no server's memory is counted, and by
    the peak that the kernel has seen:
    what OpenSSL takes counts, and what was given back."""
    corpus = attacks.load("servers")
    with ExitStack() as servers:
        urls = [(servers.enter_context(hostile(attack)), attack["name"]) for attack in corpus]
        seconds = [attacks.timeout(attack, TIMEOUT).total_seconds() for attack in corpus]
        asked = [
            {"url": one.url, "method": one.method, "timeout": timeout}
            for (one, _), timeout in zip(urls, seconds, strict=True)
        ]
        given = json.dumps({"trusted": AUTHORITY.pem, "asked": asked})
        done = subprocess.run(
            [sys.executable, "-m", "tests.outbound.peaks"],
            input=given,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [outcome for outcome, _ in found] == [attack["outcome"] for attack in corpus]
    most = {
        name: grown for (_, name), (_, grown) in zip(urls, found, strict=True) if grown >= 5_000_000
    }
    assert most == {}


def test_a_hundred_different_hostile_servers_at_once_do_not_disturb_each_other() -> None:
    # All that hang or drip, and of the rest as many as make a hundred.
    corpus = sorted(attacks.load("servers"), key=lambda one: one["outcome"] != "timeout")[:100]
    timeouts = [attacks.timeout(attack, timedelta(seconds=3)) for attack in corpus]

    def called(request: Request, timeout: timedelta) -> AttemptResult:
        return send(request, run_headers=RUN, timeout=timeout, credentials=SIGNED, guard=LOOPBACK)

    with ExitStack() as servers, ThreadPoolExecutor(100) as threads:
        requests = [servers.enter_context(hostile(attack)) for attack in corpus]
        done = list(threads.map(called, requests, timeouts))
    assert [result.outcome for result in done] == [attack["outcome"] for attack in corpus]
    ends = zip(corpus, done, timeouts, strict=True)
    assert {
        attack["name"]: result.duration
        for attack, result, timeout in ends
        if result.duration > timeout + LEEWAY
    } == {}


def test_a_timeout_leaves_no_thread_and_no_socket_behind() -> None:
    def held() -> tuple[int, int]:
        return threading.active_count(), len(list(Path("/dev/fd").iterdir()))

    with serving([{"hang": True}]) as server:
        before = held()
        for _ in range(21):
            call(server.port, timeout=timedelta(seconds=0.02))
        # The server's own threads and sockets, one of each a call, end with it; a watchdog that has
        # fired takes a moment to.
        until = time.monotonic() + 5
        while (
            any(now > then + 21 for now, then in zip(held(), before, strict=True))
            and time.monotonic() < until
        ):
            time.sleep(0.01)
        assert all(now <= then + 21 for now, then in zip(held(), before, strict=True))


def test_what_came_before_the_cut_is_not_read_after_it() -> None:
    """A connection that is cut still gives what had come: a quick server's megabyte would be read
    long after the time is over.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        theirs.shutdown(socket.SHUT_WR)
        wire = Wire(LOOPBACK, timedelta(0), "/")
        with pytest.raises(Failure) as raised:
            Received(ours.recv, wire.check_time).line()
        assert (raised.value.outcome, wire.is_over) == (Outcome.TIMEOUT, True)


def test_the_clock_stops_when_the_answer_is_there() -> None:
    """What is done with it afterwards is no time of the target's, and no timeout."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        wire = Wire(LOOPBACK, timedelta(seconds=0.2), "/")
        with wire.watched():
            wire.read(ours, "GET")
            took = wire.elapsed
            time.sleep(0.3)
        assert (wire.answer.body, wire.is_over) == (b"ok", False)
        assert wire.elapsed == took < timedelta(seconds=0.2)


def test_to_hide_secrets_for_longer_than_the_timeout_makes_no_timeout() -> None:
    class Slow(tuple[str, ...]):
        def __iter__(self) -> Iterator[str]:
            time.sleep(1)
            return super().__iter__()

    with serving([{"send": "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret"}]) as server:
        request = Request(f"http://127.0.0.1:{server.port}/", "POST", {})
        credentials = Credentials(SIGNED.signing, Slow(["secret"]))
        result = send(
            request, run_headers=RUN, timeout=TIMEOUT, credentials=credentials, guard=LOOPBACK
        )
    assert (result.outcome, result.status_code) == ("success", 200)
    assert result.response is not None
    assert "secret" not in result.response.body
    assert result.duration < TIMEOUT


def test_a_duration_is_the_targets_time() -> None:
    slow: list[dict[str, Any]] = [
        {"wait_ms": 300},
        {"send": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
    ]
    with serving(slow) as server:
        assert timedelta(seconds=0.3) <= call(server.port).duration < TIMEOUT
    with serving([{"hang": True}]) as server:
        result = call(server.port, timeout=timedelta(seconds=0.25))
    assert (result.outcome, result.error) == ("timeout", "no whole answer within 0.25 seconds")
    assert timedelta(seconds=0.25) <= result.duration < timedelta(seconds=0.25) + LEEWAY


def test_8_kib_of_headers_are_kept_and_no_byte_more() -> None:
    whole = 8192 - len("content-length0") - len("x-a")
    for length in (whole, whole + 1):
        answer = f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: {'v' * length}\r\n\r\n"
        with serving([{"send": answer}]) as server:
            response = call(server.port).response
        assert response is not None
        kept = {"content-length": "0"} | ({"x-a": "v" * length} if length == whole else {})
        assert (response.headers, response.truncated) == (kept, length > whole)


@pytest.mark.parametrize("status", [200, 299, 300, 399])
def test_a_status_of_200_to_299_is_a_success_and_no_other(status: int) -> None:
    with serving([{"send": f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n"}]) as server:
        result = call(server.port)
    said = ("success", None) if status < 300 else ("http_error", f"the target answered {status}")
    assert (result.outcome, result.error) == said


def test_16_kib_that_end_within_a_character_are_no_text_unless_they_were_cut_there() -> None:
    for more, encoding in ((b"", "base64"), (b"\xa9", None)):
        body = b"x" * 16_383 + b"\xc3" + more
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        with serving([{"send": head}, {"send_hex": body.hex()}]) as server:
            response = call(server.port).response
        assert response is not None
        assert (response.encoding, response.truncated) == (encoding, bool(more))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("then", ["close", "open"])
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        ("Content-Length: 5", "hello"),
        ("Transfer-Encoding: chunked", "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
    ],
    ids=["length", "chunks"],
)
def test_a_malformed_header_line_takes_no_other_with_it(
    scheme: str, then: str, framing: str, body: str
) -> None:
    lines = ["HTTP/1.1 503 No", "My Param: x", "Retry-After: 7", framing, "nonsense", "X-A: b"]
    answer = {"answer": "\r\n".join(lines) + f"\r\n\r\n{body}", "then": then}
    with answers.answering(answer, scheme) as server:
        result = call(server.port, host=answers.HOST, scheme=scheme, timeout=timedelta(seconds=5))
    assert result.response is not None
    name, _, value = framing.lower().partition(": ")
    assert result.response.headers == {"retry-after": "7", name: value, "x-a": "b"}
    assert (result.status_code, result.retry_after) == (503, "7")
    assert (result.response.body, result.response.truncated) == ("hello", False)


def test_retry_after_is_handed_on_as_it_came_and_capped() -> None:
    for sent, kept in [
        ("7", "7"),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT"),
        ("9" * 5000, "9" * 100),
    ]:
        with serving(
            [{"send": f"HTTP/1.1 503 No\r\nRetry-After: {sent}\r\nContent-Length: 0\r\n\r\n"}]
        ) as server:
            assert call(server.port).retry_after == kept


def test_headers_are_kept_in_lower_case_without_secrets_of_the_connection() -> None:
    answer = (
        "HTTP/1.1 401 No\r\nX-One: 1\r\nx-one: 2\r\nSet-Cookie: a=b\r\nWWW-Authenticate: Basic\r\n"
        "Content-Length: 0\r\n\r\n"
    )
    with serving([{"send": answer}]) as server:
        result = call(server.port)
    assert result.response is not None
    assert result.response.headers == {"x-one": "1, 2", "content-length": "0"}


@pytest.mark.parametrize(
    ("header", "forbids"),
    [("Resona-Retry: No \r\n", True), ("Resona-Retry: yes\r\n", False), ("", False)],
)
def test_a_target_may_forbid_a_retry(header: str, forbids: bool) -> None:
    answer = f"HTTP/1.1 503 Down\r\n{header}Content-Length: 0\r\n\r\n"
    with serving([{"send": answer}]) as server:
        assert call(server.port).forbids_retry is forbids


def test_to_hide_secrets_takes_no_longer_than_the_answer_whatever_both_are() -> None:
    """Searched for together, at every place, these took minutes; and nothing else of the process
    ran meanwhile.
    """
    hidden = tuple("a" * 4090 + str(number) for number in range(10))
    headers = (
        "".join(f"Set-Cookie: {'a' * 60_000}\r\n" for _ in range(10))
        + f"X-Long: {'a' * 7000}\r\n"
        + f"X-Longer: {'a' * 60_000}\r\n"
    )
    script = [{"send": f"HTTP/1.1 200 OK\r\n{headers}Content-Length: 60000\r\n\r\n{'a' * 60_000}"}]
    with serving(script) as server:
        request = Request(f"http://127.0.0.1:{server.port}/", "POST", {})
        credentials = Credentials(SIGNED.signing, hidden)
        result = send(
            request, run_headers=RUN, timeout=TIMEOUT, credentials=credentials, guard=LOOPBACK
        )
    assert (result.outcome, result.status_code) == ("success", 200)
    assert result.response is not None
    assert result.response.headers == {"x-long": "a" * 7000}
    assert result.response.truncated


def test_a_compressed_body_is_kept_as_it_came() -> None:
    body = bytes.fromhex("1f8b0800000000000003cbcf0600")
    script = [
        {
            "send": (
                f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
            )
        },
        {"send_hex": body.hex()},
    ]
    with serving(script) as server:
        result = call(server.port)
    assert result.response is not None
    assert (base64.b64decode(result.response.body), result.response.encoding) == (
        body,
        "base64",
    )


def test_an_answer_before_the_whole_request_was_read_counts() -> None:
    def early(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with serving(early) as server:
        assert call(server.port, body="x" * 65_536).status_code == 413


def test_nothing_of_a_url_or_an_answer_gets_into_the_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for attack in attacks.load("servers"):
        if attack["outcome"] != "timeout":
            with serving(attack["script"]) as server:
                call(
                    server.port,
                    "/c4n4ry-path?q=c4n4ry-query",
                    headers={"X": "c4n4ry-header"} if "method" not in attack else {},
                )
    with serving([{"send": "HTTP/1.1 200 OK\r\nc4n4ry-line\r\nX: c4n4ry\r\n\r\nc4n4ry"}]) as server:
        call(server.port)
    text = "\n".join(
        f"{record.getMessage()} {record.exc_text} {record.__dict__}" for record in caplog.records
    )
    assert "c4n4ry" not in text


def test_an_exchange_that_failed_is_told_of_and_a_defect_with_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(address: object) -> str | None:
        raise ZeroDivisionError

    caplog.set_level(logging.INFO, "resona")
    defect = replace(LOOPBACK, refuse_address=fail)
    with serving(OK, AUTHORITY.context("other.example.com")) as server:
        assert secure(server).outcome == "tls_failed"
        assert secure(server, guard=defect).outcome == "unknown"
    assert [
        # Logging sets what `extra` names on a record; its type does not know them.
        (entry.levelname, entry.msg, entry.run_id, entry.error, bool(entry.exc_info))  # type: ignore[attr-defined]
        for entry in caplog.records
    ] == [
        ("INFO", "exchange.failed", "run_1", "SSLError", False),
        ("ERROR", "exchange.failed", "run_1", "ZeroDivisionError", True),
    ]


def test_an_error_that_is_its_own_cause_is_read_once() -> None:
    class Circular(Exception):
        seen = 0

        @property
        def reason(self) -> Circular:
            self.seen += 1
            assert self.seen < 10
            return self

    def fail(address: object) -> str | None:
        raise Circular

    result = call(80, guard=replace(LOOPBACK, refuse_address=fail))
    assert result.outcome is Outcome.UNKNOWN


# What is sent


def test_the_request_is_sent_as_it_was_registered() -> None:
    headers = {"X-Custom": "a  b", "Authorization": "Bearer t"}
    with serving(OK) as server:
        result = call(
            server.port,
            "/a/../b%20c/%7e?q=%0A&x[]=1",
            method="PUT",
            headers=headers,
            body={"n": [1, "é"]},
        )
    line, sent, body = seen_by(server)
    assert result.outcome is Outcome.SUCCESS
    assert line == "PUT /a/../b%20c/%7e?q=%0A&x[]=1 HTTP/1.1"
    assert body == '{"n":[1,"é"]}'.encode()
    assert sent["host"] == f"127.0.0.1:{server.port}"
    assert (sent["x-custom"], sent["authorization"], sent["content-type"]) == (
        "a  b",
        "Bearer t",
        "application/json",
    )
    assert (sent["content-length"], sent["accept-encoding"]) == (str(len(body)), "identity")
    assert sent["user-agent"] == "Resona/0.2.0"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "path",
    [
        "/?ids[]=1&x=%0a",
        "/a{b}|c",
        "/%7Euser/%c3%bc",
        "/a//b/../c",
        "?q=1",
        "/?",
        "/a;b=c?d^e`f",
        "",
    ],
)
def test_the_target_is_asked_for_to_the_letter(path: str, scheme: str) -> None:
    context = AUTHORITY.context("api.example.com") if scheme == "https" else None
    with serving(OK, context) as server:
        result = call(
            server.port, path, host="api.example.com", scheme=scheme, timeout=timedelta(seconds=5)
        )
    assert result.outcome is Outcome.SUCCESS
    asked = path if path.startswith("/") else f"/{path}"
    assert seen_by(server)[0] == f"POST {asked} HTTP/1.1"


def test_a_post_without_a_body_says_that_it_has_none() -> None:
    with serving(OK) as server:
        call(server.port)
    _, sent, body = seen_by(server)
    assert (sent["content-length"], body) == ("0", b"")
    assert "content-type" not in sent


def test_a_get_has_no_length_and_no_type() -> None:
    with serving(OK) as server:
        call(server.port, method="GET")
    assert not {"content-length", "content-type", "transfer-encoding"} & seen_by(server)[1].keys()


def test_a_string_is_sent_as_it_is_and_a_type_of_the_users_own_stays() -> None:
    with serving(OK) as server:
        call(server.port, body="a=b", headers={"content-TYPE": "application/x-www-form-urlencoded"})
        assert seen_by(server)[1]["content-type"] == "application/x-www-form-urlencoded"
        call(server.port, body={"a": 1}, headers={"Content-Type": "application/cloudevents+json"})
        assert seen_by(server)[1]["content-type"] == "application/cloudevents+json"
        call(server.port, body="a=b")
    _, sent, body = seen_by(server)
    assert body == b"a=b"
    assert "content-type" not in sent


def test_the_headers_of_the_run_are_sent_and_only_the_idempotency_key_is_the_users_to_change() -> (
    None
):
    run_headers = {"Idempotency-Key": "run_1", "Resona-Job-Id": "job_1", "webhook-id": "run_1"}
    with serving(OK) as server:
        call(server.port, run_headers=run_headers)
        sent = seen_by(server)[1]
        assert (sent["idempotency-key"], sent["resona-job-id"], sent["webhook-id"]) == (
            "run_1",
            "job_1",
            "run_1",
        )
        call(server.port, run_headers=run_headers, headers={"idempotency-key": "mine"})
        assert seen_by(server)[1]["idempotency-key"] == "mine"
        # A row from before the rule: it is not sent at all.
        assert (
            call(server.port, run_headers=run_headers, headers={"Resona-Job-Id": "forged"}).outcome
            is Outcome.BLOCKED
        )


def test_a_user_agent_of_the_users_own_gets_ours_appended() -> None:
    with serving(OK) as server:
        call(server.port, headers={"user-agent": "mine/2"})
        assert seen_by(server)[1]["user-agent"] == "mine/2 Resona/0.2.0"
        call(server.port, headers={"user-agent": ""})
    assert seen_by(server)[1]["user-agent"] == "Resona/0.2.0"


def test_neither_proxies_nor_netrc_nor_other_settings_of_the_environment_are_used(
    tmp_path: Path,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    dead = "http://127.0.0.1:1"
    changed = {
        "HTTP_PROXY": dead,
        "http_proxy": dead,
        "ALL_PROXY": dead,
        "NETRC": str(netrc),
        "REQUESTS_CA_BUNDLE": str(netrc),
    }
    kept = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        with serving(OK) as server:
            result = call(server.port)
    finally:
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    assert result.outcome is Outcome.SUCCESS
    assert "authorization" not in seen_by(server)[1]


def test_nothing_is_sent_twice_and_no_cookie_comes_back() -> None:
    cookie = (
        "HTTP/1.1 503 No\r\nSet-Cookie: a=b; Path=/\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
    )
    with serving([{"send": cookie}]) as server:
        call(server.port)
        assert len(server.seen) == 1
        call(server.port)
        assert "cookie" not in seen_by(server)[1]
    with serving([]) as server:
        call(server.port)
        assert len(server.seen) == 1


def test_a_redirect_is_not_followed() -> None:
    with (
        serving(OK) as target,
        serving(
            [{"send": f"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:{target.port}/\r\n\r\n"}]
        ) as server,
    ):
        result = call(server.port)
    assert (result.outcome, result.status_code, target.seen) == (Outcome.HTTP_ERROR, 307, [])


# To whom it is sent


@pytest.mark.parametrize(
    "attack", attacks.load("dns"), ids=lambda attack: ",".join(attack["answers"])
)
def test_one_address_that_is_not_public_refuses_them_all(attack: Any, opened: list[Any]) -> None:
    guard = replace(PUBLIC, resolve=lambda host, port: addresses(*attack["answers"]))
    if attack["accepted"]:
        assert set(guard.addresses("example.com", 80, time.monotonic() + 1)) == set(
            addresses(*attack["answers"])
        )
    else:
        result = send(
            Request("http://example.com/", "GET", {}),
            run_headers=RUN,
            timeout=TIMEOUT,
            credentials=SIGNED,
            guard=guard,
        )
        assert result.outcome is Outcome.BLOCKED
        assert not any(answer in str(result.error) for answer in attack["answers"])
    assert list(opened) == []


@pytest.mark.parametrize(
    "attack",
    [one for one in attacks.load("urls") if not one["accepted"]],
    ids=lambda attack: ascii(attack["url"])[:60],
)
def test_a_url_that_is_refused_when_written_is_refused_when_sent(
    attack: Any, opened: list[Any]
) -> None:
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[Any]:
        asked.append(host)
        return []

    guard = replace(PUBLIC, resolve=resolve)
    result = send(
        Request(attack["url"], "GET", {}),
        run_headers=RUN,
        timeout=TIMEOUT,
        credentials=SIGNED,
        guard=guard,
    )
    assert result.outcome is Outcome.BLOCKED
    assert (asked, list(opened)) == ([], [])
    assert attack["url"] == "" or attack["url"] not in str(result.error)


def test_the_connection_goes_to_the_address_that_was_judged_and_to_no_other(
    opened: list[Any],
) -> None:
    """A name that resolves to something else the second time is asked but once."""
    answers = iter([addresses("127.0.0.1"), addresses("169.254.169.254")])
    with serving(OK) as server:
        result = call(
            server.port,
            host="rebind.example.com",
            guard=replace(LOOPBACK, resolve=lambda host, port: next(answers)),
        )
    assert result.outcome is Outcome.SUCCESS
    assert list(opened) == addresses("127.0.0.1")
    assert seen_by(server)[1]["host"] == f"rebind.example.com:{server.port}"


def test_the_librarys_own_way_to_connect_is_never_taken(opened: list[Any]) -> None:
    """urllib3 would resolve `localhost` itself and reach the server; the guard's resolver knows of
    no address.
    """
    with serving(OK) as server:
        result = call(
            server.port, host="localhost", guard=replace(LOOPBACK, resolve=lambda host, port: [])
        )
    assert (result.outcome, server.seen, list(opened)) == (Outcome.DNS_FAILED, [], [])


def test_the_next_address_is_tried_when_the_first_does_not_answer() -> None:
    with serving(OK) as server:
        guard = replace(LOOPBACK, resolve=lambda host, port: addresses("127.0.0.9", "127.0.0.1"))
        assert call(server.port, host="two.example.com", guard=guard).outcome is Outcome.SUCCESS


def test_an_address_that_swallows_everything_leaves_time_for_the_next() -> None:
    with serving(OK) as server, _swallowing("127.0.0.3", server.port):
        guard = replace(LOOPBACK, resolve=lambda host, port: addresses("127.0.0.3", "127.0.0.1"))
        result = call(
            server.port, host="two.example.com", guard=guard, timeout=timedelta(seconds=2)
        )
    assert result.outcome is Outcome.SUCCESS


def _swallowing(host: str, port: int) -> Any:
    """Listen with a full backlog: whoever connects then waits for ever, as at a firewall that drops
    packets.
    """
    import contextlib

    @contextlib.contextmanager
    def full() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(0)
            for _ in range(4):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex((host, port))
            yield

    return full()


def test_an_ipv6_address_is_called_with_brackets_in_its_host_header() -> None:
    with serving(OK, host="::1") as server:
        result = call(
            server.port,
            host="[::1]",
            guard=replace(LOOPBACK, resolve=lambda host, port: addresses(host)),
        )
    assert result.outcome is Outcome.SUCCESS
    assert seen_by(server)[1]["host"] == f"[::1]:{server.port}"


def test_a_port_where_nobody_listens_is_a_connection_that_failed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert call(port).outcome is Outcome.CONNECTION_FAILED


def test_the_systems_resolver_is_asked_for_the_host_and_the_port() -> None:
    assert PUBLIC.resolve is resolve
    assert resolve("127.0.0.1", 443) == addresses("127.0.0.1")
    with serving(OK) as server:
        guard = replace(LOOPBACK, resolve=resolve)
        assert call(server.port, host="localhost", guard=guard).outcome is Outcome.SUCCESS


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://example.com/", "example.com", 80),
        ("https://example.com/", "example.com", 443),
        ("http://example.com:443/", "example.com", 443),
        ("https://example.com:80/", "example.com", 80),
        ("https://EXAMPLE.com?a", "example.com", 443),
        ("http://[2606:4700::1]:8080/", "2606:4700::1", 8080),
    ],
)
def test_the_port_is_the_urls_or_its_schemes(url: str, host: str, port: int) -> None:
    asked: list[tuple[str, int]] = []

    def no_address(host: str, port: int) -> list[Any]:
        asked.append((host, port))
        return []

    guard = replace(PUBLIC, resolve=no_address)
    result = send(
        Request(url, "GET", {}), run_headers=RUN, timeout=TIMEOUT, credentials=SIGNED, guard=guard
    )
    assert (result.outcome, result.error) == (Outcome.DNS_FAILED, "the host has no address")
    assert asked == [(host, port)]


def test_a_name_that_does_not_resolve_is_dns_failed() -> None:
    def fail(host: str, port: int) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    result = call(80, host="nobody.example.com", guard=replace(LOOPBACK, resolve=fail))
    assert (result.outcome, result.error) == (
        Outcome.DNS_FAILED,
        "the host's name could not be resolved",
    )


def test_a_resolver_that_hangs_is_not_waited_for() -> None:
    over = threading.Event()
    result = call(
        80,
        host="slow.example.com",
        guard=replace(LOOPBACK, resolve=lambda host, port: (over.wait(5) and []) or []),
    )
    over.set()
    assert result.outcome is Outcome.TIMEOUT
    assert result.duration < TIMEOUT + LEEWAY


# TLS


def secure(server: Server, host: str = "api.example.com", **members: Any) -> AttemptResult:
    return call(server.port, host=host, scheme="https", timeout=timedelta(seconds=2), **members)


def test_sni_host_and_certificate_are_the_urls_though_the_connection_is_to_an_address() -> None:
    with serving(OK, AUTHORITY.context("api.example.com")) as server:
        assert secure(server).outcome is Outcome.SUCCESS
    assert server.names == ["api.example.com"]
    assert seen_by(server)[1]["host"] == f"api.example.com:{server.port}"


def test_a_certificate_for_an_address_is_taken_for_the_address() -> None:
    with serving(OK, AUTHORITY.context("127.0.0.1")) as server:
        assert secure(server, "127.0.0.1").outcome is Outcome.SUCCESS


@pytest.mark.parametrize(
    "context",
    [
        AUTHORITY.context("other.example.com"),
        AUTHORITY.context("127.0.0.1"),
        AUTHORITY.context("*.com"),
        AUTHORITY.context("api.example.com", days=(-3, -1)),
        AUTHORITY.context("api.example.com", days=(1, 3)),
        AUTHORITY.context("api.example.com", self_signed=True),
        Authority().context("api.example.com"),
    ],
    ids=[
        "another name",
        "the address only",
        "too wide",
        "expired",
        "not yet valid",
        "self-signed",
        "unknown authority",
    ],
)
def test_a_certificate_that_does_not_hold_is_tls_failed_and_nothing_is_sent(context: Any) -> None:
    with serving(OK, context) as server:
        result = secure(server)
    assert result.outcome is Outcome.TLS_FAILED
    assert server.seen in ([], [b""])


def test_a_server_that_speaks_no_tls_is_tls_failed() -> None:
    with serving(lambda sock: None) as server:
        # It reads the greeting as a request that never ends: answer at once instead.
        pass
    with _banner(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert call(port, host="api.example.com", scheme="https").outcome is Outcome.TLS_FAILED
    assert server.seen == []


def test_a_handshake_that_hangs_ends_in_time() -> None:
    with serving(OK) as server:
        result = call(server.port, host="api.example.com", scheme="https")
    assert result.outcome is Outcome.TIMEOUT
    assert result.duration < TIMEOUT + LEEWAY


def test_a_handshake_that_is_cut_is_a_connection_that_failed() -> None:
    """A server that is just restarting: it is tried again, as no TLS failure is."""
    with _banner(b"") as port:
        assert (
            call(port, host="api.example.com", scheme="https").outcome is Outcome.CONNECTION_FAILED
        )


def test_a_connection_that_is_reset_before_its_handshake_is_closed() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as sock,
    ):
        gone, _ = listener.accept()
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()
        number = sock.fileno()
        with pytest.raises(ConnectionResetError):
            tls().wrap_socket(sock, server_hostname="api.example.com")
        assert not Path(f"/dev/fd/{number}").exists()
    # It would warn here.
    gc.collect()


def _banner(greeting: bytes) -> Any:
    import contextlib

    @contextlib.contextmanager
    def greeting_once() -> Iterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def greet() -> None:
                sock, _ = listener.accept()
                with sock:
                    sock.sendall(greeting)
                    sock.recv(65536)

            threading.Thread(target=greet, daemon=True).start()
            yield listener.getsockname()[1]

    return greeting_once()


def test_a_body_drip_through_tls_ends_in_time() -> None:
    script: list[dict[str, Any]] = [
        {"send": "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"},
        {"repeat": "a", "every_ms": 50},
    ]
    with serving(script, AUTHORITY.context("api.example.com")) as server:
        result = call(server.port, host="api.example.com", scheme="https")
    assert result.outcome is Outcome.TIMEOUT
    assert result.duration < TIMEOUT + LEEWAY


def test_what_is_no_tls_after_the_handshake_is_tls_failed() -> None:
    def break_off(sock: socket.socket) -> None:
        os.write(sock.fileno(), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        sock.recv(1)

    with serving(break_off, AUTHORITY.context("api.example.com")) as server:
        result = secure(server)
    sentence = "the target broke off TLS with an error, or sent what is not TLS"
    assert (result.outcome, result.error) == (Outcome.TLS_FAILED, sentence)


def test_an_early_answer_over_tls_counts() -> None:
    """The server closes before it has read the request: TLS calls that an error, for whoever still
    writes or reads.
    """

    def early(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        # Without it, the reset may come before the answer was read: some systems throw it away
        # then.
        time.sleep(0.1)

    with serving(early, AUTHORITY.context("api.example.com"), reads=False) as server:
        assert secure(server, body="x" * 65_536).status_code == 413


# Rows older than the rules


@pytest.mark.parametrize(
    "request_",
    [
        Request("http://127.0.0.1/", "TRACE", {}),
        Request("http://127.0.0.1/", "GET", {"Host": "x"}),
        Request("http://127.0.0.1/", "GET", {"X": "a\r\nb"}),
        Request("http://127.0.0.1/", "GET", {}, "body"),
        Request("http://127.0.0.1/", "POST", {}, float("nan")),
        Request("http://127.0.0.1/", "POST", {}, "x" * 65_537),
        Request("http://127.0.0.1/", "POST", {}, "\ud800"),
    ],
    ids=[
        "method",
        "reserved header",
        "split header",
        "body of GET",
        "NaN",
        "too large",
        "surrogate",
    ],
)
def test_what_would_be_refused_today_is_blocked(request_: Request, opened: list[Any]) -> None:
    result = send(request_, run_headers=RUN, timeout=TIMEOUT, credentials=SIGNED, guard=LOOPBACK)
    assert (result.outcome, list(opened)) == (Outcome.BLOCKED, [])
