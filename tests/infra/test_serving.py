"""The emulator's HTTP server: requests of one connection, one after the other, never mixed."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from infra.local.serving import Server
from infra.local.wire import Reply, Request


def answer(request: Request) -> Reply:
    """Say what came, except at /broken."""
    if request.path == "/broken":
        raise ValueError("broken")
    environ = {name: value for name, value in request.environ.items() if isinstance(value, str)}
    shown = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "body": request.body.decode(),
        **environ,
    }
    return Reply(
        200, json.dumps(shown).encode(), {"Content-Type": "application/json", "X-Own": "yes"}
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server(answer)
    made.start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def connection(server: Server) -> Iterator[HTTPConnection]:
    made = HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    yield made
    made.close()


def test_a_connection_is_kept_for_one_request_after_the_other(connection: HTTPConnection) -> None:
    for number, method in enumerate(["POST", "PUT", "DELETE", "GET"] * 5):
        connection.request(
            method,
            f"/a%20b/{number}?x=1%262&y=3",
            body=f"body {number}".encode(),
            headers={"X-Amz-Target": "A.B"},
        )
        if number == 0:
            kept = connection.sock
        reply = connection.getresponse()
        shown = json.loads(reply.read())
        assert (reply.status, reply.headers["X-Own"], connection.sock) == (200, "yes", kept)
        assert (shown["method"], shown["path"], shown["query"], shown["body"]) == (
            method,
            f"/a b/{number}",
            {"x": "1&2", "y": "3"},
            f"body {number}",
        )
        assert (shown["REQUEST_METHOD"], shown["QUERY_STRING"], shown["HTTP_X_AMZ_TARGET"]) == (
            method,
            "x=1%262&y=3",
            "A.B",
        )


def test_an_answer_that_fails_is_a_500_and_the_next_one_is_not(connection: HTTPConnection) -> None:
    for path, status in (("/broken", 500), ("/whole", 200)):
        connection.request("POST", path, body=b"POST / HTTP/1.1\r\n\r\n" * 1000)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == status


@pytest.mark.parametrize(
    "headers",
    [
        "Transfer-Encoding: chunked",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: -1",
        "Content-Length: \xb2",
    ],
)
def test_a_body_whose_length_is_not_said_closes_the_connection(
    server: Server, headers: str
) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as sent:
        sent.sendall(
            (
                f"POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\nGET /second HTTP/1.1\r\nHost: "
                "x\r\n\r\n"
            ).encode("latin-1")
        )
        received = sent.makefile("rb").read()
    assert received.startswith(b"HTTP/1.1 411 ")
    assert received.count(b"HTTP/1.1") == 1


def test_a_request_that_breaks_off_is_not_answered(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as sent:
        sent.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        sent.shutdown(socket.SHUT_WR)
        assert sent.makefile("rb").read() == b""
