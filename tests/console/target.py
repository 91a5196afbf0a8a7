"""What jobs call: it answers by the path, /slow only at the end, and keeps what it received."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Invisible signs, one of which turns the order of those after it, and 16 KiB without a space.
HOSTILE = "<script>window.hit=1</script></textarea>\u202ejavascript:window.hit=1//" + "A" * 16_384
JSON = "application/json"
ANSWERS = {
    "/fails": (500, JSON, b'{"error": "database is locked"}'),
    "/gone": (404, JSON, b'{"error": "gone"}'),
    "/hostile": (500, "text/html", HOSTILE.encode()),
    "/bytes": (200, "application/octet-stream", bytes(range(256))),
}


@dataclass(frozen=True)
class Received:
    """A request that was received."""

    method: str
    path: str
    headers: Message
    body: bytes


class Target(str):
    """Its URL, and what was received there."""

    received: list[Received]


@contextmanager
def called() -> Iterator[Target]:
    """Serve a target until the context ends."""
    received: list[Received] = []
    ends = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            received.append(Received(self.command, self.path, self.headers, body))
            if self.path == "/slow":
                # Nobody waits any more when it ends.
                ends.wait(300)
                self.close_connection = True
                return
            status, kind, text = ANSWERS.get(
                self.path, (200, JSON, b'{"ok": true, "amount": 1.10}')
            )
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            if self.path == "/hostile":
                self.send_header("X-Sent", "<img src=x onerror=window.hit=1>")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        # http.server looks for these names.
        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _answer  # noqa: N815  http.server's

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = Target(f"http://localhost:{server.server_port}")
    url.received = received
    yield url
    ends.set()
    server.shutdown()
    server.server_close()
