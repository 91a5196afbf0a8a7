"""What sending costs: `python -m tests.bench.sending`. CPU time of our send() against a bare
requests.post to the same fast target.

The target is another process, so that the clock counts the client alone, its threads included. Ends
with 1 if the ratio is more than 1.3 anywhere.
"""

from __future__ import annotations

import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from socket import AF_INET, AF_INET6, create_server, socket

import requests

from chalicelib.domain.request import Request
from chalicelib.domain.secrets import Credentials
from chalicelib.outbound import transport
from chalicelib.outbound.send import send
from infra.local.guard import LOCAL
from tests.outbound.servers import Authority

ALLOWED = 1.3
ROUNDS = 15
CALLS = 100
ROOT = Path(__file__).parent.parent.parent
BODY = {"order": 17, "items": ["a", "b"], "note": "x" * 900}
ANSWER = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'
)
RUN_HEADERS = {
    "Idempotency-Key": "run_01JD9V8M0Q4Q6T5W0H9C1Y3B7K-1-20261201T100000Z",
    "Resona-Job-Id": "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K",
    "Resona-Run-Id": "run_01JD9V8M0Q4Q6T5W0H9C1Y3B7K-1-20261201T100000Z",
    "Resona-Attempt": "1",
    "Resona-Scheduled-Time": "2026-12-01T10:00:00Z",
}
SIGNED = Credentials(("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",))


def main() -> int:
    if sys.argv[1:]:
        serve(*sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        authority, trusted = Authority(), Path(folder, "trusted.pem")
        trusted.write_text(authority.pem)
        transport.tls().load_verify_locations(trusted)
        chain = Path(folder, "server.pem")
        chain.write_text(authority.chain("127.0.0.1", "localhost"))
        ratios = [
            measured("http, by address", "http://127.0.0.1:{}/hook", ""),
            measured("http, by name", "http://localhost:{}/hook", ""),
            # Trusting one certificate: by default requests reads some 140 of them at every call, so
            # the baseline is at its best.
            measured("https, by name", "https://localhost:{}/hook", str(chain), str(trusted)),
        ]
    print(f"allowed: {ALLOWED}")
    return 0 if all(ratio <= ALLOWED for ratio in ratios) else 1


def measured(name: str, url: str, chain: str, verify: str | bool = True) -> float:
    """Measure pair by pair, print the medians, and return the median of the pairs' ratios."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.sending", chain],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as target:
        try:
            assert target.stdout is not None
            at = url.format(target.stdout.readline().strip())
            request = Request(at, "POST", {"Authorization": "Bearer token"}, BODY)

            def ours() -> object:
                return send(
                    request,
                    run_headers=RUN_HEADERS,
                    timeout=timedelta(seconds=10),
                    credentials=SIGNED,
                    guard=LOCAL,
                ).status_code

            def bare() -> object:
                return requests.post(
                    at, json=BODY, timeout=10, verify=verify, headers=request.headers
                ).status_code

            pairs = [paired(ours, bare, turn) for turn in range(ROUNDS + 1)]
        finally:
            target.kill()
    # The first round imports and caches.
    ratio = statistics.median(mine / theirs for mine, theirs in pairs[1:])
    mine, theirs = (statistics.median(side) for side in zip(*pairs[1:], strict=True))
    print(
        (
            f"{name:20}  send() {mine * 1000:.2f} ms   requests.post() {theirs * 1000:.2f} ms   "
            f"ratio {ratio:.2f}"
        ),
        flush=True,
    )
    return ratio


def paired(
    ours: Callable[[], object], bare: Callable[[], object], turn: int
) -> tuple[float, float]:
    """Return what both cost, measured one right after the other, and by turns which is first."""
    if turn % 2:
        return cost(ours), cost(bare)
    theirs = cost(bare)
    return cost(ours), theirs


def cost(call: Callable[[], object]) -> float:
    """Return the CPU seconds of one call, of this process and all its threads."""
    began = time.process_time()
    for _ in range(CALLS):
        assert call() == 200
    return (time.process_time() - began) / CALLS


def serve(chain: str) -> None:
    """Answer every request at once, on both addresses of localhost, and print the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if chain else None
    if context:
        context.load_cert_chain(chain)
    selector = DefaultSelector()
    first = create_server(("127.0.0.1", 0), family=AF_INET, backlog=256)
    selector.register(first, EVENT_READ)
    with suppress(OSError):
        selector.register(
            create_server(("::1", first.getsockname()[1]), family=AF_INET6, backlog=256), EVENT_READ
        )
    print(first.getsockname()[1], flush=True)
    while True:
        for ready, _ in selector.select():
            sock, _ = ready.fileobj.accept()  # type: ignore[union-attr]
            with (
                suppress(OSError),
                context.wrap_socket(sock, server_side=True) if context else sock as wrapped,
            ):
                answer(wrapped)


def answer(sock: socket) -> None:
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += sock.recv(65_536)
    head, _, body = seen.partition(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )
    while len(body) < length:
        body += sock.recv(65_536)
    sock.sendall(ANSWER)


if __name__ == "__main__":
    sys.exit(main())
