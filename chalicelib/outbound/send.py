"""Make one HTTP exchange, whatever the other side does: a target that fails is data, never an exception."""

from __future__ import annotations

import base64
import codecs
import contextlib
import http.client
import io
import logging
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url
from urllib3.util.ssl_ import create_urllib3_context

from chalicelib.domain.errors import ResonaError
from chalicelib.domain.request import Request, check, payload
from chalicelib.domain.run import Exchange, Outcome, Response
from chalicelib.outbound.address_guard import PUBLIC, Failure, Guard, connect
from chalicelib.version import VERSION

log = logging.getLogger("resona")

# They write URLs, query strings included, at DEBUG, and at WARNING when a header of the answer is malformed.
for _talkative in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_talkative).setLevel(logging.CRITICAL + 1)

READ_AT_MOST = 64 * 1024
# All bytes of an answer: headers, interim answers and the frames of chunks included, which the libraries read without an end.
RECEIVE_AT_MOST = 1024 * 1024
KEEP_BODY = 16 * 1024
KEEP_HEADERS = 8 * 1024
_NOT_KEPT = frozenset({"set-cookie", "set-cookie2", "www-authenticate", "proxy-authenticate"})
_AGENT = f"Resona/{VERSION}"


def send(request: Request, *, run_headers: Mapping[str, str], timeout: timedelta, guard: Guard = PUBLIC) -> Exchange:
    """Send a request and return what came of it.

    `run_headers` are set beside the request's own, which may set only `Idempotency-Key` themselves. `timeout` is for the whole
    exchange, by the wall clock.
    """
    wire = _Wire(guard, timeout, _target_of(request.url))
    try:
        check(request, refuse_host=guard.refuse_host)
        if (parse_url(request.url).host or "").lower() != _host_of(request.url):
            raise Failure(Outcome.BLOCKED, "the URL is read differently by different readers")
        with wire.watched():
            found = _exchange(request, _headers(request, run_headers), wire)
    except ResonaError as refused:
        # Its sentence is ours: names of fields and rules, no values.
        found = Exchange(Outcome.BLOCKED, wire.elapsed, error=f"the request may not be sent: {refused}"[:500])
    except Failure as failure:
        found = Exchange(failure.outcome, wire.elapsed, error=failure.sentence)
    except Exception as error:
        # Libraries raise nearly anything at what strangers send: which kind says what it was, its text would name addresses.
        known = isinstance(error, requests.RequestException | HTTPError | http.client.HTTPException | OSError)
        log.log(logging.INFO if known else logging.ERROR, "exchange.broke", extra={"error": type(error).__name__})
        found = _failed(error, wire)
    if wire.is_over:
        # What was parsed after the connection was cut means nothing: http.client may call it 200 with an empty body.
        return Exchange(Outcome.TIMEOUT, wire.elapsed, error=f"no whole answer within {timeout.total_seconds():g} seconds")
    return found


def _host_of(url: str) -> str:
    authority = url.split("://", 1)[1].split("/", 1)[0].split("?", 1)[0]
    return (authority if authority.endswith("]") else authority.rsplit(":", 1)[0] if ":" in authority else authority).lower()


def _target_of(url: str) -> str:
    """Return path and query as they were registered; empty for what is no URL, which is refused anyway."""
    rest = url.partition("://")[2]
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    target = rest[len(authority) :]
    return target if target.startswith("/") or not rest else f"/{target}"


class _Wire:
    """One exchange's connection, its deadline, and the watchdog that cuts it."""

    def __init__(self, guard: Guard, timeout: timedelta, target: str) -> None:
        self.target = target
        self._guard = guard
        self._began = time.monotonic()
        self._until = self._began + timeout.total_seconds()
        self._cut: socket.socket | None = None
        self._lock = threading.Lock()
        self.is_over = False

    @property
    def elapsed(self) -> timedelta:
        return timedelta(seconds=time.monotonic() - self._began)

    @property
    def remaining(self) -> float:
        return max(0.001, self._until - time.monotonic())

    def connect(self, host: str, port: int) -> socket.socket:
        """Return a connected socket, and keep a second handle of it: TLS takes the first one's away. Raises Failure."""
        sock = connect(self._guard, host, port, self._until)
        with self._lock:
            self._cut = socket.socket(sock.family, sock.type, fileno=os.dup(sock.fileno()))
        return sock

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Cut the connection when the time is over; requests' own timeout begins anew with every byte."""
        watchdog = threading.Timer(self.remaining, self._end)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()
            with self._lock:
                if self._cut is not None:
                    self._cut.close()
                    self._cut = None

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            if self._cut is not None:
                with contextlib.suppress(OSError):
                    self._cut.shutdown(socket.SHUT_RDWR)


class _Bounded(io.RawIOBase):
    """What comes over a connection, and no more of it than an answer may have."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self._left = RECEIVE_AT_MOST

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        count = self._raw.readinto(buffer)
        self._left -= count or 0
        if self._left < 0:
            raise Failure(Outcome.PROTOCOL_ERROR, "the answer's headers, or what frames its body, have no end")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """http.client's answer, read within bounds, and after every interim answer: http.client passes over 100 only."""

    def __init__(self, sock: socket.socket, *args: Any, **members: Any) -> None:
        super().__init__(sock, *args, **members)
        self.fp = io.BufferedReader(_Bounded(self.fp.detach()))

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 101 < status < 200:
                return version, status, reason
            while self.fp.readline(65_537).strip():
                pass


class _Plain(HTTPConnection):
    wire: _Wire
    response_class = _Answer

    def request(self, method: str, url: str, *args: Any, **members: Any) -> None:
        """Ask for what was registered, to the letter: urllib3 would escape it anew."""
        super().request(method, self.wire.target or url, *args, **members)

    def _new_conn(self) -> socket.socket:
        return self.wire.connect(self._dns_host, self.port)


class _Secure(HTTPSConnection):
    wire: _Wire
    response_class = _Answer

    def request(self, method: str, url: str, *args: Any, **members: Any) -> None:
        """Ask for what was registered, to the letter: urllib3 would escape it anew."""
        super().request(method, self.wire.target or url, *args, **members)

    def _new_conn(self) -> socket.socket:
        return self.wire.connect(self._dns_host, self.port or 443)


@cache
def _tls() -> ssl.SSLContext:
    """Return the context of every TLS connection: reading the certificates takes longer than most exchanges."""
    context = create_urllib3_context()
    context.load_verify_locations(certifi.where())
    return context


class _Adapter(HTTPAdapter):
    """requests' adapter, whose connections are the wire's."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:  # noqa: ARG002
        plain = type("Plain", (_Plain,), {"wire": self._wire})
        secure = type("Secure", (_Secure,), {"wire": self._wire})
        self.poolmanager = PoolManager(num_pools=1, maxsize=1, block=block, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> tuple[Any, Any]:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": _tls(), "cert_reqs": "CERT_REQUIRED"} if host["scheme"] == "https" else {}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave it to the context, which verifies."""


def _headers(request: Request, run_headers: Mapping[str, str]) -> dict[str, str]:
    own = {name.lower(): name for name in request.headers}
    headers = {"Accept": "*/*", **run_headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in own}
    headers |= {name: value for name, value in request.headers.items() if name.lower() != "user-agent"}
    agent = request.headers[own["user-agent"]] + " " if "user-agent" in own else ""
    # `identity`, since nothing is decoded.
    return {**headers, "User-Agent": f"{agent}{_AGENT}", "Accept-Encoding": "identity"}


def _exchange(request: Request, headers: dict[str, str], wire: _Wire) -> Exchange:
    body, content_type = payload(request)
    if content_type and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = content_type
    prepared = requests.PreparedRequest()
    prepared.prepare(method=request.method, url=request.url, headers=headers, data=body)
    # As it was registered: requests would unescape and escape anew.
    prepared.url = request.url
    with contextlib.closing(_Adapter(wire)) as adapter:
        answer = adapter.send(prepared, stream=True, timeout=wire.remaining, verify=True, proxies={})
        with contextlib.closing(answer):
            return _read(answer.raw, wire)


def _read(raw: HTTPResponse, wire: _Wire) -> Exchange:
    _check_framing(raw)
    read = b""
    for piece in raw.stream(8192, decode_content=False):
        read += piece
        if len(read) > READ_AT_MOST:
            break
    headers, has_more_headers = _kept_headers(raw)
    text, encoding = _kept_body(read)
    response = Response(headers, text, truncated=len(read) > KEEP_BODY or has_more_headers, encoding=encoding)
    is_success = 200 <= raw.status <= 299
    return Exchange(
        Outcome.SUCCESS if is_success else Outcome.HTTP_ERROR,
        wire.elapsed,
        status_code=raw.status,
        response=response,
        error=None if is_success else f"the target answered {raw.status}",
        retry_after=raw.headers.get("Retry-After", "")[:100] or None,
    )


def _check_framing(raw: HTTPResponse) -> None:
    lengths = raw.headers.getlist("content-length")
    if not 100 <= raw.status <= 599:
        raise Failure(Outcome.PROTOCOL_ERROR, "the answer has a status outside 100 to 599")
    if len(lengths) > 1 or not all(length.isascii() and length.isdigit() and len(length) <= 18 for length in lengths):
        raise Failure(Outcome.PROTOCOL_ERROR, "the answer has a malformed, absurd or repeated Content-Length")


def _kept_headers(raw: HTTPResponse) -> tuple[dict[str, str], bool]:
    """Return the headers that are kept, and whether there were more than fit."""
    kept: dict[str, str] = {}
    size = 0
    for name in raw.headers:
        lower, value = name.lower(), raw.headers[name]
        if lower in _NOT_KEPT:
            continue
        size += len(lower) + len(value.encode("utf-8", "replace"))
        if size > KEEP_HEADERS:
            return kept, True
        kept[lower] = value
    return kept, False


def _kept_body(read: bytes) -> tuple[str, str | None]:
    """Return the first 16 KiB as text, or as base64 if they are not UTF-8; a character that the cut divides is left out."""
    kept = read[:KEEP_BODY]
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(kept, final=len(read) <= KEEP_BODY), None
    except UnicodeDecodeError:
        return base64.b64encode(kept).decode("ascii"), "base64"


def _failed(error: BaseException, wire: _Wire) -> Exchange:
    """Say what a library's exception means, by what lies at its root."""
    causes = list(_causes(error))
    failure = next((cause for cause in causes if isinstance(cause, Failure)), None)
    if failure is not None:
        return Exchange(failure.outcome, wire.elapsed, error=failure.sentence)
    if any(isinstance(cause, TimeoutError | requests.Timeout) for cause in causes):
        return Exchange(Outcome.TIMEOUT, wire.elapsed, error="no whole answer in time")
    if any(isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError) for cause in causes):
        # Nothing is wrong with its TLS: it went away in the middle of it, and may be back.
        return Exchange(Outcome.CONNECTION_FAILED, wire.elapsed, error="the connection was closed while TLS was being set up")
    if any(isinstance(cause, ssl.SSLError | ssl.CertificateError) for cause in causes):
        return Exchange(
            Outcome.TLS_FAILED, wire.elapsed, error="the TLS connection could not be made: the certificate or the protocol is refused"
        )
    if any(isinstance(cause, ConnectionError) for cause in causes):
        return Exchange(Outcome.CONNECTION_FAILED, wire.elapsed, error="the connection was closed before there was a whole answer")
    return Exchange(Outcome.PROTOCOL_ERROR, wire.elapsed, error="what the target answered is not HTTP")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
