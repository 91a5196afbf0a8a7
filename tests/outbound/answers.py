"""Read answers.json: HTTP answers, what curl made of each, and where Resona differs, with why.

Each answer has a name, its bytes (as Latin-1; runs are written as in attacks.json), and what the
server does `then`: `close` the connection, keep it `open`, `reset` it, or `torn`: over TLS, close
it without TLS's close_notify. `method` is GET unless given. `curl` is recorded by record_curl.py.
`resona`, only where it differs, is what Resona makes of it, `over_tls` what it makes of it over TLS
if that differs, and `because` the name of a reason.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chalicelib.domain.run import AttemptResult, Outcome
from tests.outbound.attacks import unfold
from tests.outbound.servers import AUTHORITY, Server, serving

FILE = Path(__file__).parent / "answers.json"
HOST = "api.example.com"
_TLS = AUTHORITY.context(HOST)
_LONGEST_BODY = 200


def load() -> dict[str, Any]:
    """Return the file as it is, its runs not written out."""
    read: dict[str, Any] = json.loads(FILE.read_text())
    return read


def save(corpus: dict[str, Any]) -> None:
    """Write the file, each answer on one line."""
    lines = ",\n".join("    " + json.dumps(answer) for answer in corpus["answers"])
    reasons = json.dumps(corpus["reasons"], indent=4)[:-1] + "  }"
    FILE.write_text(f'{{\n  "reasons": {reasons},\n  "answers": [\n{lines}\n  ]\n}}\n')


def bytes_of(answer: dict[str, Any]) -> bytes:
    """Return an answer's bytes."""
    text = answer["answer"]
    written = text if isinstance(text, str) else unfold(text)
    return str(written).encode("latin-1")


def scheme_of(answer: dict[str, Any]) -> str:
    """Return https for an answer that only TLS can give."""
    return "https" if answer["then"] == "torn" else "http"


@contextlib.contextmanager
def answering(answer: dict[str, Any], scheme: str) -> Iterator[Server]:
    """Serve one of the answers on loopback. Over TLS, the certificate is for `HOST`."""

    def reply(sock: socket.socket) -> None:
        sock.sendall(bytes_of(answer))
        if answer["then"] == "reset":
            # What came before a reset counts only if it was read before it.
            time.sleep(0.1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif answer["then"] == "open":
            while sock.recv(65_536):
                pass
        elif answer["then"] == "close" and isinstance(sock, ssl.SSLSocket):
            sock.unwrap()

    with serving(reply, _TLS if scheme == "https" else None) as server:
        yield server


def by_curl(answer: dict[str, Any]) -> tuple[Any, ...]:
    """Return how curl ended, and of a whole answer its status and body."""
    found = answer["curl"]
    if found["exit"]:
        return ("waits",) if found["exit"] == 28 else ("broken",)
    return "whole", found["status"], found["body"]


def by_resona(result: AttemptResult) -> tuple[Any, ...]:
    """Return the same of an exchange; `cut` is an answer that is recorded as truncated."""
    if result.response is None:
        return ("waits",) if result.outcome is Outcome.TIMEOUT else ("broken",)
    body = result.response.body.encode()
    if result.response.encoding == "base64":
        body = base64.b64decode(body)
    ends = "cut" if result.response.truncated else "whole"
    return ends, result.status_code, told(body)


def told(body: bytes) -> str:
    """Return a body as text, or its size and hash if it is long."""
    if len(body) <= _LONGEST_BODY:
        return body.decode("latin-1")
    return f"{len(body)} bytes with SHA-256 {hashlib.sha256(body).hexdigest()}"
