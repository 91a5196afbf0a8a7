"""What a plain `requests.post(url, timeout=1)` does where Resona's send() is careful: `python -m
tests.bench.plain`.

Prints a table of both, measured here and now. All servers are on loopback. Each plain call is a
process of its own, which is killed when it is not over after four seconds; no server sends more
than 200 MB.
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from chalicelib.domain.request import Request
from chalicelib.domain.secrets import Credentials
from chalicelib.outbound.address_guard import PUBLIC, Guard
from chalicelib.outbound.send import send
from tests.outbound.servers import LOOPBACK, Authority, Server, serving

PATIENCE = 4
MEGABYTE = 1_000_000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SIGNED = Credentials(("whsec_dGVzdA==",))

# What a plain call is: the body of a process that tells when it begins, and at its end what came of
# it.
PLAIN = """
import json, socket, sys, time, requests
given = json.load(sys.stdin)
if given["addresses"]:
    places = [(address, given["port"]) for address in given["addresses"]]
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]
    socket.getaddrinfo = lambda *_, **__: entries
session = requests.Session()
post = session.post if given["twice"] else requests.post
print("go", flush=True)
began = time.monotonic()
try:
    for _ in range(1 + given["twice"]):
        answer = post(given["url"], headers=given["headers"], timeout=1)
    said = f"{answer.status_code}, {len(answer.content):,} bytes of body"
except Exception as error:
    said = type(error).__name__
took = time.monotonic() - began
print(said + (f" after {took:.1f} s" if took > 0.3 else ""))
"""


@dataclass
class Situation:
    """One row.

    `url` has `{port}` for the server's; `guard` is what send() is held to; `tells` adds what the
    server saw.
    """

    name: str
    answers: Callable[[socket.socket], None]
    url: str = "http://127.0.0.1:{port}/"
    guard: Guard = LOOPBACK
    headers: dict[str, str] = field(default_factory=dict)
    environment: Callable[[int, Path], dict[str, str]] = lambda port, folder: {}
    addresses: tuple[str, ...] = ()
    twice: bool = False
    tls: Any = None
    tells: Callable[[list[bytes]], str] = lambda seen: ""


def says(*pieces: bytes, every: float = 0, times: int = 1) -> Callable[[socket.socket], None]:
    """Return a server that sends the pieces one after the other, the last so many times, and waits
    so long before each repetition.
    """

    def answer(sock: socket.socket) -> None:
        for piece in pieces:
            sock.sendall(piece)
        for _ in range(times - 1):
            time.sleep(every)
            sock.sendall(pieces[-1])
        if times > 1:
            time.sleep(PATIENCE + 2)

    return answer


def header(name: str, value: str = "") -> Callable[[list[bytes]], str]:
    """Return what tells whether the last request had a header."""

    def tells(seen: list[bytes]) -> str:
        lines = seen[-1].split(b"\r\n\r\n")[0].lower().split(b"\r\n")[1:] if seen else []
        return (
            f"; sent `{name}`"
            if any(line.startswith(f"{name}:{value}".lower().encode()) for line in lines)
            else ""
        )

    return tells


def reached(seen: list[bytes]) -> str:
    """Tell whether a request came to loopback."""
    return "; loopback was called" if seen else "; nothing was called"


def named_host(seen: list[bytes]) -> str:
    """Tell which host a request was for."""
    lines = (
        [line for line in seen[-1].split(b"\r\n") if line.lower().startswith(b"host:")]
        if seen
        else []
    )
    return f"; sent `{lines[0].decode()}`" if lines else ""


def both_lengths(seen: list[bytes]) -> str:
    """Tell whether a request has two ways to say how long it is."""
    head = seen[-1].lower() if seen else b""
    return "; sent both" if b"transfer-encoding" in head and b"content-length" in head else ""


def proxy(port: int, folder: Path) -> dict[str, str]:
    return {"HTTP_PROXY": f"http://127.0.0.1:{port}", "http_proxy": f"http://127.0.0.1:{port}"}


def netrc(port: int, folder: Path) -> dict[str, str]:
    (folder / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    return {"NETRC": str(folder / "netrc")}


def situations(target: Server) -> Iterator[Situation]:
    """Yield the rows; `target` is a private server that no one is to be led to."""
    head, hundred = b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"
    yield Situation("a header, a byte every half second", says(head, b"a", every=0.5, times=20))
    yield Situation(
        "a body, a byte every half second",
        says(head + b"Content-Length: 1000\r\n\r\n", b"a", every=0.5, times=20),
    )
    yield Situation(
        "a body without an end (here: of 200 MB)",
        says(head + b"\r\n", b"x" * MEGABYTE, every=0.005, times=200),
    )
    bomb = gzip.compress(bytes(200 * MEGABYTE))
    zipped = (
        head + b"Content-Encoding: gzip\r\nContent-Length: " + str(len(bomb)).encode() + b"\r\n\r\n"
    )
    yield Situation("200 MB of zeros in 0.2 MB of gzip", says(zipped + bomb))
    yield Situation("`100 Continue` without an end", says(hundred, hundred, every=0.5, times=20))
    yield Situation("200 headers", says(head + b"X: y\r\n" * 200 + b"Content-Length: 0\r\n\r\n"))
    yield Situation("an end within the headers", says(head + b"X-A: b\r\n"))
    yield Situation("status 000", says(b"HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n"))
    yield Situation("status 999", says(b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"))
    yield Situation("`Content-Length: -5`", says(head + b"Content-Length: -5\r\n\r\nok"))
    yield Situation(
        "two lengths, 2 and 3", says(head + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok")
    )
    yield Situation(
        "a chunk of length -1",
        says(head + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nok\r\n0\r\n\r\n"),
    )
    away = (
        f"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:{target.port}/\r\nContent-Length: 0\r\n\r\n"
    )
    yield Situation(
        "a redirect to a private address",
        says(away.encode()),
        tells=lambda seen: reached(target.seen),
    )
    for host in ("0x7f.1", "127.1", "2130706433", "[::ffff:127.0.0.1]", "localhost"):
        yield Situation(
            f"`http://{host}/`", says(OK), f"http://{host}:{{port}}/", PUBLIC, tells=reached
        )
    names = replace(
        PUBLIC, resolve=lambda host, port: [ip_address("93.184.215.14"), ip_address("127.0.0.1")]
    )
    two = "a name with two addresses, one of them private"
    # For the plain call, 127.0.0.2, where nobody listens, stands for a public address that is down.
    yield Situation(
        two,
        says(OK),
        "http://api.example.com:{port}/",
        names,
        addresses=("127.0.0.2", "127.0.0.1"),
        tells=reached,
    )
    yield Situation(
        "`http://user:word@host/`",
        says(OK),
        "http://user:word@127.0.0.1:{port}/",
        tells=header("Authorization"),
    )
    backslash = "http://example.com\\@127.0.0.1:{port}/"
    yield Situation(
        "`http://example.com\\@127.0.0.1/`",
        says(OK),
        backslash,
        addresses=("127.0.0.1",),
        tells=named_host,
    )
    yield Situation(
        "`HTTP_PROXY` is set",
        says(OK),
        "http://127.0.0.1:{other}/",
        environment=proxy,
        tells=proxied,
    )
    yield Situation(
        "a netrc names the host", says(OK), environment=netrc, tells=header("Authorization")
    )
    cookie = says(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n")
    yield Situation(
        "a cookie is set, and called again (plain: a `Session`)",
        cookie,
        twice=True,
        tells=header("Cookie"),
    )
    yield Situation(
        "a header with CR LF", says(OK), headers={"X-A": "b\r\nX-C: d"}, tells=header("X-C")
    )
    yield Situation("a header with NUL", says(OK), headers={"X-A": "b\0c"}, tells=header("X-A"))
    yield Situation(
        "`Transfer-Encoding` of the user's own",
        says(OK),
        headers={"Transfer-Encoding": "chunked"},
        tells=both_lengths,
    )
    signed = Authority().context("127.0.0.1", self_signed=True)
    yield Situation("a self-signed certificate", says(OK), "https://127.0.0.1:{port}/", tls=signed)


def proxied(seen: list[bytes]) -> str:
    """Tell whether the proxy got what was meant for another."""
    return "; the proxy got it" if seen else ""


def main() -> None:
    """Print the table."""
    print("| | `requests.post(url, timeout=1)` | Resona, timeout 1 s |")
    print("|---|---|---|")
    with serving(says(OK)) as target:
        for situation in situations(target):
            both = [measured(situation, target, way) for way in (plain, ours)]
            print(f"| {situation.name} | {both[0]} | {both[1]} |", flush=True)


def measured(
    situation: Situation, target: Server, way: Callable[[Situation, int, Mapping[str, str]], str]
) -> str:
    """Return what came of a call, made in one of the two ways, and what the servers saw of it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(serving(situation.answers, situation.tls))
        other = stack.enter_context(serving(says(OK)))
        target.seen.clear()
        url = situation.url.format(port=server.port, other=other.port)
        environment = situation.environment(server.port, folder)
        return way(replace(situation, url=url), server.port, environment) + situation.tells(
            server.seen
        )


def plain(situation: Situation, port: int, environment: Mapping[str, str]) -> str:
    asked = {
        "url": situation.url,
        "headers": situation.headers,
        "twice": situation.twice,
        "addresses": situation.addresses,
        "port": port,
    }
    quiet = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "ignore", **environment}
    with subprocess.Popen(
        [sys.executable, "-c", PLAIN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=quiet,
    ) as child:
        assert child.stdin and child.stdout
        child.stdin.write(json.dumps(asked))
        child.stdin.close()
        assert child.stdout.readline() == "go\n"
        before = resident(child.pid)
        peak = [before]
        over = threading.Event()

        def watch() -> None:
            until = time.monotonic() + PATIENCE
            while not over.wait(0.02):
                peak.append(resident(child.pid))
                if time.monotonic() > until:
                    child.kill()
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        said = child.stdout.read().strip()
        over.set()
        watcher.join()
    grown = round((max(peak) - before) / MEGABYTE)
    return (said or f"**not over after {PATIENCE} s**") + (
        f", {grown} MB of memory" if grown > 20 else ""
    )


def resident(process: int) -> int:
    """Return the peak of a process's resident memory in bytes, 0 if it has ended."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    return 0


@contextmanager
def set_in_the_environment(changed: Mapping[str, str]) -> Iterator[None]:
    kept = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def ours(situation: Situation, port: int, environment: Mapping[str, str]) -> str:
    request = Request(situation.url, "POST", situation.headers)
    with set_in_the_environment(environment):
        for _ in range(1 + situation.twice):
            done = send(
                request,
                run_headers={"Resona-Run-Id": "run_1"},
                timeout=timedelta(seconds=1),
                credentials=SIGNED,
                guard=situation.guard,
            )
    told = f"{done.outcome}" if done.status_code is None else f"{done.outcome} {done.status_code}"
    size = (
        f", {len(done.response.body):,} characters kept"
        if done.response and done.response.truncated
        else ""
    )
    took = done.duration.total_seconds()
    return told + size + (f" after {took:.1f} s" if took > 0.3 else "")


if __name__ == "__main__":
    main()
