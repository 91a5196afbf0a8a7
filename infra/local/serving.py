"""The emulator's HTTP server, which keeps connections open, as AWS does.

werkzeug's server closes the connection after each response. Each call would need a new connection
and a new thread, which take longer than most responses.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from infra.local.wire import Reply, Request

log = logging.getLogger("resona.laptop")

Answer = Callable[[Request], Reply]


class Server(ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1, with a thread for each connection."""

    request_queue_size = 1024

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(("127.0.0.1", 0), Handler)

    def start(self) -> None:
        """Serve until the process ends."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the exception, except when the client closed the connection."""
        del request, client_address
        if not isinstance(sys.exc_info()[1], ConnectionError):
            log.exception("connection failed")


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of a connection one after the other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # Buffer writes, so that head and body of an answer leave in one packet.
    wbufsize = -1
    server: Server

    def _answer(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            # SDKs always send a length. Without one the body would be read as the next request.
            self.close_connection = True
            self._write(Reply(411, b"a body needs a Content-Length"))
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return
        try:
            reply = self.server.answer(self._request(body))
        # moto may raise anything: answer this caller with 500, and keep serving.
        except Exception:
            log.exception("the laptop's cloud failed")
            reply = Reply(500, b"the laptop's cloud failed")
        self._write(reply)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815  http.server's names

    def _request(self, body: bytes) -> Request:
        quoted, _, query = self.path.partition("?")
        path = unquote_to_bytes(quoted)
        return Request(
            self.command,
            path.decode(errors="replace"),
            dict(parse_qsl(query)),
            body,
            self._environ(path, query),
        )

    def _environ(self, path: bytes, query: str) -> dict[str, Any]:
        """Return the request's WSGI environment (PEP 3333), which moto takes."""
        environ: dict[str, Any] = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": path.decode("latin-1"),
            "QUERY_STRING": query,
            "REMOTE_ADDR": self.client_address[0],
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.server.server_port),
            "SERVER_PROTOCOL": self.request_version,
        }
        for name, value in self.headers.items():
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
        environ["CONTENT_TYPE"] = self.headers.get("Content-Type", "")
        return environ

    def _write(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""
