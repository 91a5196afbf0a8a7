"""The laptop's HTTP server over real sockets: it answers every request, and never mixes two."""

from __future__ import annotations

import functools
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import pytest
from chalice.config import Config

from app import app
from chalicelib.api.console.files import version
from chalicelib.api.routing import backend
from chalicelib.domain.ids import run_id
from chalicelib.usecases.job_runs import run_now
from infra.local.gateway import Handler, Server
from tests.api.conftest import job
from tests.environment import Environment

BODY = json.dumps(job()).encode()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
HOST = b"\r\nHost: localhost\r\n\r\n"
CHUNK = b"%x\r\n" % len(BODY) + BODY + b"\r\n"
START = b"POST /jobs HTTP/1.1\r\nHost: localhost:8000\r\nContent-Type: application/json\r\n"


@dataclass
class Answer:
    """What came back before the server closed the connection."""

    raw: bytes

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def head(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[0]

    @property
    def json(self) -> Any:
        return json.loads(self.raw.partition(b"\r\n\r\n")[2])


class Gateway:
    """A server on a cloud in memory, and a client that sends it bytes."""

    def __init__(self) -> None:
        self.env = Environment()
        self.server = Server(
            ("127.0.0.1", 0), functools.partial(Handler, app_object=app, config=Config.create())
        )

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.server_address[1]), timeout=10)

    def send(self, request: bytes) -> Answer:
        """Send bytes, say that there will be no more, and read to the end."""
        with self.connect() as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            received = bytearray()
            while piece := connection.recv(65536):
                received += piece
        return Answer(bytes(received))

    @property
    def jobs(self) -> int:
        return len(self.env.scheduling.page("local", None, 100)[0])


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    backend.use(gateway.env.scheduling, stage="local")
    thread = threading.Thread(target=gateway.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield gateway
    gateway.server.shutdown()
    thread.join()
    gateway.server.server_close()
    backend.use(gateway.env.scheduling, stage="")


def test_a_body_may_come_with_its_length_or_in_chunks(gateway: Gateway) -> None:
    chunks = b"".join(b"1;an=extension\r\n%c\r\n" % byte for byte in BODY)
    assert gateway.send(START + LENGTH + b"\r\n" + BODY).status == 201
    assert gateway.send(START + LENGTH + LENGTH + b"\r\n" + BODY).status == 201
    assert (
        gateway.send(
            START + b"Transfer-Encoding: Chunked\r\n\r\n" + chunks + b"0\r\nA: trailer\r\n\r\n"
        ).status
        == 201
    )


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: -1\r\n\r\n" + BODY,
        b"Content-Length: +5\r\n\r\n" + BODY,
        b"Content-Length: \r\n\r\n" + BODY,
        LENGTH + b"Content-Length: 3\r\n\r\n" + BODY,
        b"Content-Length: 3\r\n" + LENGTH + b"\r\n" + BODY,
        LENGTH + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + b"0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNK + b"0\r\n\r\n",
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK + b"0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0x" + CHUNK + b"0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-" + CHUNK + b"0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BODY) + BODY + b"more\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n%x;%s\r\n" % (len(BODY), b"x" * 2000)
        + BODY
        + b"\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n"
        + CHUNK
        + b"0\r\n"
        + b"A: trailer\r\n" * 200
        + b"\r\n",
        b"no header\r\n" + LENGTH + b"\r\n" + BODY,
        LENGTH.replace(b":", b" :") + b"\r\n" + BODY,
        b"X-Forwarded-Proto: https\r\n folded\r\n" + LENGTH + b"\r\n" + BODY,
        b"Authorization: Bearer a\0b\r\n" + LENGTH + b"\r\n" + BODY,
    ],
)
def test_what_two_readers_could_read_as_two_requests_is_refused(
    gateway: Gateway, rest: bytes
) -> None:
    answer = gateway.send(START + rest)
    assert (answer.status, answer.json["status"]) == (400, 400)
    assert b"Content-Type: application/problem+json" in answer.head
    assert gateway.jobs == 0


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: %d\r\n\r\n" % (len(BODY) + 1) + BODY,
        b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK,
    ],
)
def test_a_request_that_breaks_off_registers_nothing_though_it_reads_as_a_whole_document(
    gateway: Gateway, rest: bytes
) -> None:
    assert gateway.send(START + rest).status == 400
    assert gateway.jobs == 0


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /health HTTP/2.0", 505),
        (b"GET /health HTTP/9.9.9", 400),
        (b"GET /he alth HTTP/1.1", 400),
        (b"GET", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1", 414),
        (b"GET /health HTTP/1.1\r\nA: " + b"x" * 70_000, 431),
        (b"GET /health HTTP/1.1" + b"\r\nA: b" * 200, 431),
        (b"TRACE /jobs HTTP/1.1", 405),
        (b"BREW /jobs HTTP/1.1", 405),
        (b"BREW /coffee HTTP/1.1", 404),
        (b"GET /jobs;of=mine HTTP/1.1", 404),
    ],
)
def test_a_line_that_is_no_request_of_ours_is_answered_with_a_status_and_a_problem(
    gateway: Gateway, line: bytes, status: int
) -> None:
    answer = gateway.send(line + HOST)
    assert answer.raw.startswith(b"HTTP/1.1 ")
    assert (answer.status, answer.json["status"]) == (status, status)
    assert "None" not in answer.json["detail"]


@pytest.mark.parametrize(
    "content_type",
    [b"multipart/form-data; boundary=x", b"multipart/form-data", b"message/rfc822", b"text/plain"],
)
def test_a_body_of_another_type_is_refused_for_its_type_and_not_for_its_headers(
    gateway: Gateway, content_type: bytes
) -> None:
    request = START.replace(b"application/json", content_type) + LENGTH
    assert gateway.send(request + b"\r\n" + BODY).status == 415
    assert gateway.send(request + b"no header\r\n\r\n" + BODY).status == 400


def test_a_method_that_a_path_has_not_is_told_those_that_it_has(gateway: Gateway) -> None:
    answer = gateway.send(b"PUT /jobs HTTP/1.1" + HOST)
    assert answer.json["detail"] == "PUT is not possible here: use GET, HEAD, OPTIONS, POST"
    assert "Allow: GET, HEAD, OPTIONS, POST" in answer.raw.decode()


def test_a_path_that_is_not_there_is_told_where_the_routes_are_listed(gateway: Gateway) -> None:
    answer = gateway.send(b"GET /job HTTP/1.1" + HOST)
    assert (answer.status, answer.json["detail"]) == (
        404,
        "there is no such route: GET /docs shows all; a key or a name in a path has no slash",
    )
    assert gateway.send(b"GET /docs HTTP/1.1" + HOST).status == 200


def test_a_method_that_is_not_possible_is_told_which_are(gateway: Gateway) -> None:
    for method in (b"PUT", b"TRACE", b"BREW"):
        assert (
            b"\r\nAllow: GET, HEAD, OPTIONS, POST\r\n"
            in gateway.send(method + b" /jobs HTTP/1.1" + HOST).head
        )


@pytest.mark.parametrize(
    "path", [path for path, methods in sorted(app.routes.items()) if "GET" in methods]
)
@pytest.mark.parametrize("key", ["nightly", "absent"])
def test_head_is_answered_as_get_is_without_the_body(gateway: Gateway, path: str, key: str) -> None:
    """On one kept-alive connection: a body sent all the same would be read as the next answer."""
    document = json.dumps(job(key="nightly", trigger={"cron": "0 3 * * *"})).encode()
    gateway.send(START + b"Content-Length: %d\r\n\r\n" % len(document) + document)
    run = run_now(gateway.env.scheduling, "local", "key:nightly")[1].key
    job_id = gateway.env.scheduling.resolve("local", "key:nightly")
    at = path.replace("{job_id}", f"key:{key}").replace("{run_id}", run_id(job_id, run))
    at = at.replace("{build}", version())
    # Of the routes with a name, one serves files, the other channels: there are none.
    at = at.replace("{name}", "app.js" if at.startswith("/console") else key)
    at = at.replace("{flow}", key)
    host, port = gateway.server.server_address[:2]
    connection = HTTPConnection(str(host), port, timeout=10)
    answers = []
    for method in ("GET", "HEAD", "HEAD", "GET"):
        connection.request(method, at)
        answer = connection.getresponse()
        headers = {name: value for name, value in answer.getheaders() if name != "Date"}
        answers.append((answer.status, headers, answer.read()))
    connection.close()
    (status, headers, body), *heads, last = answers
    assert heads == [(status, headers, b"")] * 2
    assert last == (status, headers, body)
    has_none = path.startswith(("/notices/", "/calendars/", "/flows/"))
    is_absent = (key == "absent" and "{job_id}" in path) or has_none
    expected = 404 if is_absent else 200
    assert (status, int(headers["Content-Length"])) == (expected, len(body))


def test_what_is_still_the_same_is_answered_without_body_or_its_length(gateway: Gateway) -> None:
    """If-None-Match may come in several lines, which are one list."""
    location = re.search(
        rb"Location: http://localhost:8000(\S+)", gateway.send(START + LENGTH + b"\r\n" + BODY).head
    )
    assert location
    for method in (b"GET ", b"HEAD "):
        request = method + location[1] + b" HTTP/1.1" + HOST.removesuffix(b"\r\n")
        tag = re.search(rb"ETag: (\S+)", gateway.send(request + b"\r\n").head)
        assert tag
        answer = gateway.send(
            request + b'If-None-Match: "other"\r\nIf-None-Match: ' + tag[1] + b"\r\n\r\n"
        )
        assert answer.status == 304
        assert answer.raw.endswith(b"\r\n\r\n")
        assert b"Content-Length" not in answer.head
        assert b"ETag: " + tag[1] in answer.head


def test_a_precondition_that_fails_changes_nothing(gateway: Gateway) -> None:
    request = (
        START.replace(b"POST /jobs", b"PUT /jobs/key:nightly")
        + b"If-None-Match: *\r\n"
        + LENGTH
        + b"\r\n"
        + BODY
    )
    assert [gateway.send(request).status for _ in "12"] == [201, 412]
    assert gateway.jobs == 1


def test_a_body_over_10_mb_is_answered_and_not_cut_off(gateway: Gateway) -> None:
    answer = gateway.send(START + b"Content-Length: 20000000\r\n\r\n" + b" " * 20_000_000)
    assert (answer.status, answer.json["title"]) == (413, "Content Too Large")


def test_empty_lines_before_a_request_are_overlooked(gateway: Gateway) -> None:
    answer = gateway.send(
        b"GET /health HTTP/1.1" + HOST + b"\r\n  \r\nGET /nowhere HTTP/1.1" + HOST
    )
    assert answer.raw.count(b"HTTP/1.1 200") == 1
    assert answer.raw.count(b"HTTP/1.1 404") == 1


def test_a_target_in_absolute_form_is_that_path(gateway: Gateway) -> None:
    request = START.replace(b"/jobs", b"http://localhost:8000/jobs") + LENGTH + b"\r\n" + BODY
    answer = gateway.send(request)
    assert (
        f"\r\nLocation: http://localhost:8000/jobs/{answer.json['id']}\r\n".encode() in answer.head
    )


@pytest.mark.parametrize("sent", [b"", b"GET /he", START + b"Content-Length: 500\r\n\r\n{"])
def test_a_client_that_goes_away_leaves_no_trace(
    gateway: Gateway, sent: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with gateway.connect() as connection:
        connection.sendall(sent)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert gateway.send(b"GET /health HTTP/1.1" + HOST).status == 200
    assert capfd.readouterr().err == ""


def registered(
    *headers: bytes,
    target: bytes = b"/jobs",
    host: bytes = b"localhost:8000",
    kind: bytes = b"application/json",
) -> bytes:
    """Return a request for a job, with more headers; a page can send one of the kind text/plain
    without a preflight.
    """
    lines = [b"POST " + target + b" HTTP/1.1", b"Host: " + host, b"Content-Type: " + kind, *headers]
    return b"\r\n".join(lines) + b"\r\n" + LENGTH + b"\r\n" + BODY


@pytest.mark.parametrize(
    "host",
    [b"127.0.0.1:8000", b"[::1]:8000", b"LOCALHOST", b"localhost.", b"a.localhost:1", b"127.9.9.9"],
)
def test_the_names_of_this_machine_are_answered(gateway: Gateway, host: bytes) -> None:
    assert gateway.send(registered(host=host)).status == 201


@pytest.mark.parametrize(
    "host",
    [
        b"rebound.example:8000",
        b"localhost.rebound.example",
        b"127.0.0.1.rebound.example",
        b"192.168.1.7:8000",
        b"0.0.0.0:8000",
        b"[::ffff:192.168.1.7]",
        b"notlocalhost",
        b"localhost@rebound.example",
        b"laptop.example",
        b"",
    ],
)
def test_a_name_that_was_rebound_to_this_machine_is_not_answered(
    gateway: Gateway, host: bytes
) -> None:
    for request in (
        registered(host=host),
        b"GET /signing-secret HTTP/1.1\r\nHost: " + host + b"\r\n\r\n",
    ):
        answer = gateway.send(request)
        assert answer.status == answer.json["status"]
        assert answer.status in (400, 403)
        assert b"whsec_" not in answer.raw
    assert gateway.jobs == 0


def test_a_host_that_a_setting_names_is_answered(gateway: Gateway) -> None:
    gateway.server.hosts = frozenset({"laptop.example"})
    answer = gateway.send(registered(host=b"Laptop.Example:8000"))
    assert b"\r\nLocation: http://Laptop.Example:8000/jobs/" in answer.head
    assert gateway.send(registered(host=b"other.example")).status == 403


@pytest.mark.parametrize(
    "request_",
    [
        registered(target=b"http://rebound.example/jobs"),
        registered(target=b"http://rebound.example/jobs", host=b"rebound.example"),
        registered(target=b"http://localhost:8000@rebound.example/jobs"),
        registered(b"Host: rebound.example"),
        registered().replace(b"Host: localhost:8000\r\n", b""),
    ],
)
def test_no_location_names_a_host_that_is_not_this_machine(
    gateway: Gateway, request_: bytes
) -> None:
    answer = gateway.send(request_)
    assert answer.status in (400, 403)
    assert b"rebound" not in answer.raw
    assert gateway.jobs == 0


@pytest.mark.parametrize(
    "sent",
    [
        [b"Sec-Fetch-Site: cross-site"],
        [b"Sec-Fetch-Site: same-site"],
        [b"Origin: https://page.example"],
        [b"Origin: null"],
        [b"Origin: http://localhost:3000", b"Sec-Fetch-Site: same-site"],
        [b"Origin: http://localhost:8000", b"Sec-Fetch-Site: cross-site"],
        [b"Origin: http://localhost:8000", b"Origin: https://page.example"],
        [b"Sec-Fetch-Site: same-origin", b"Sec-Fetch-Site: cross-site"],
    ],
)
@pytest.mark.parametrize(
    "line", [b"POST /signing-secret/rotate", b"POST /jobs/delete?label=a:b", b"GET /signing-secret"]
)
def test_a_page_of_another_site_is_refused_before_anything_happens(
    gateway: Gateway, line: bytes, sent: list[bytes]
) -> None:
    before = gateway.send(b"GET /signing-secret HTTP/1.1" + HOST).json
    answer = gateway.send(
        b"\r\n".join(
            [line + b" HTTP/1.1", b"Host: localhost:8000", *sent, b"Content-Length: 0", b"", b""]
        )
    )
    assert (answer.status, answer.json["status"]) == (403, 403)
    assert "RESONA_CORS_ORIGINS" in answer.json["detail"]
    assert gateway.send(b"GET /signing-secret HTTP/1.1" + HOST).json == before
    assert gateway.send(registered(*sent, kind=b"text/plain")).status == 403
    assert gateway.jobs == 0


@pytest.mark.parametrize(
    "sent",
    [
        [b"Sec-Fetch-Site: none"],
        [b"Sec-Fetch-Site: same-origin", b"Origin: http://localhost:8000"],
        [b"Sec-Fetch-Site: cross-site", b"Origin: https://page.example"],
    ],
)
def test_the_address_bar_its_own_pages_and_an_allowed_origin_are_served(
    gateway: Gateway, sent: list[bytes]
) -> None:
    backend.use(gateway.env.scheduling, stage="local", origins=frozenset({"https://page.example"}))
    assert gateway.send(registered(*sent)).status == 201


@pytest.mark.parametrize(
    "request_",
    [
        registered(b"A: b\rContent-Length: 0"),
        registered(b"A: b\rHost: rebound.example"),
        registered(b"A: b\r\r"),
        registered(b"\rA: b"),
        registered(target=b"/jobs\rA: b"),
        registered(target=b"/jobs\x0b"),
        START
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + CHUNK.replace(b"\r\n", b"\r\r\n", 1)
        + b"0\r\n\r\n",
        START + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + b"0\r\nA: b\rC: d\r\n\r\n",
    ],
)
def test_a_cr_alone_ends_no_line_and_is_refused(gateway: Gateway, request_: bytes) -> None:
    answer = gateway.send(request_)
    assert (answer.status, answer.json["status"]) == (400, 400)
    assert gateway.jobs == 0


def test_a_holiday_feed_arrives_as_it_was_sent(gateway: Gateway) -> None:
    feed = (
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20270106\r\n"
        "SUMMARY:Heilige Drei K\u00f6nige\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    ).encode()
    answer = gateway.send(
        b"PUT /calendars/holidays HTTP/1.1\r\nHost: localhost:8000\r\n"
        + b"Content-Type: text/calendar\r\nContent-Length: %d\r\n\r\n" % len(feed)
        + feed
    )
    assert (answer.status, answer.json["days"]) == (200, ["2027-01-06"])
