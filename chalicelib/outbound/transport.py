"""The connection of one attempt: pinned to a checked address, with a deadline and a byte limit."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import certifi
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from chalicelib.domain.run import Outcome
from chalicelib.outbound.address_guard import Failure, Guard, connect
from chalicelib.outbound.answer import Answer, Received, read_answer
from chalicelib.outbound.watchdog import Watchdog

_WATCHDOG = Watchdog()


class Wire:
    """The connection of one attempt, its deadline, and the watchdog that shuts it down."""

    def __init__(self, guard: Guard, timeout: timedelta, target: str) -> None:
        self.target = target
        self._guard = guard
        self._timeout = timeout
        self._began = time.monotonic()
        self._until = self._began + timeout.total_seconds()
        self._cut: socket.socket | None = None
        self._lock = threading.Lock()
        self._ended: float | None = None
        self.is_over = False
        # True after the TLS handshake.
        self.is_secured = False
        self._answer: Answer | None = None

    @property
    def elapsed(self) -> timedelta:
        """Return the time from the start until the answer was read, or until now."""
        return timedelta(seconds=(self._ended or time.monotonic()) - self._began)

    @property
    def remaining(self) -> float:
        return max(0.001, self._until - time.monotonic())

    def connect(self, host: str, port: int) -> socket.socket:
        """Return a connected socket. Raises Failure.

        Keeps a duplicate of its file descriptor to shut the connection down with: wrapping the
        socket in TLS detaches the original.
        """
        sock = connect(self._guard, host, port, self._until)
        with self._lock:
            self._cut = socket.socket(sock.family, sock.type, fileno=os.dup(sock.fileno()))
        return sock

    def read(self, sock: socket.socket, method: str) -> None:
        """Read and keep the answer to a request of this method, and stop the clock.

        Raises Failure, OSError.
        """
        if isinstance(sock, ssl.SSLSocket):
            # By default ssl reports an end of file without close_notify as an orderly end.
            sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]  # it has no stub
        answer = read_answer(Received(sock.recv, self.check_time), method)
        with self._lock:
            if self.is_over:
                # The watchdog shut the connection down, which looks like the end of the body.
                raise self.late()
            self._answer, self._ended = answer, time.monotonic()

    @property
    def answer(self) -> Answer:
        """Return the answer that was read."""
        if self._answer is None:
            raise RuntimeError("no answer was read")
        return self._answer

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Shut the connection down at the deadline.

        The timeout of requests restarts with every byte received.
        """
        try:
            with _WATCHDOG.watching(self._until, self._end):
                yield
        finally:
            with self._lock:
                if self._cut is not None:
                    self._cut.close()
                    self._cut = None

    def check_time(self) -> None:
        """Raise Failure after the deadline.

        Bytes received before the connection was shut down could otherwise still be read.
        """
        if time.monotonic() >= self._until:
            self.is_over = True
            raise self.late()

    def late(self) -> Failure:
        """Return the Failure of an attempt that ran into its timeout."""
        seconds = f"{self._timeout.total_seconds():g}"
        unit = "second" if seconds == "1" else "seconds"
        return Failure(Outcome.TIMEOUT, f"no whole answer within {seconds} {unit}")

    def _end(self) -> None:
        with self._lock:
            if self._answer is not None:
                return
            self.is_over = True
            if self._cut is not None:
                with contextlib.suppress(OSError):
                    self._cut.shutdown(socket.SHUT_RDWR)


class Plain(HTTPConnection):
    """urllib3's connection, which connects and reads the answer through a `Wire`."""

    def __init__(self, *args: Any, wire: Wire, **members: Any) -> None:
        super().__init__(*args, **members)
        self.wire = wire
        self._asked_by = ""

    def request(self, method: str, url: str, *args: Any, **members: Any) -> None:
        """Send the path and query exactly as registered; urllib3 would escape them again."""
        self._asked_by = method
        # A server may answer and close before it has read the whole request; its answer counts.
        # urllib3 ignores BrokenPipeError for this reason. TLS reports it as these two errors.
        with contextlib.suppress(ssl.SSLEOFError, ssl.SSLZeroReturnError):
            super().request(method, self.wire.target or url, *args, **members)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 does
        """Read the answer through the wire, and return an empty response.

        Given the headers, urllib3 would check the framing again.
        """
        self.sock.settimeout(self.wire.remaining)
        self.wire.read(self.sock, self._asked_by)
        return HTTPResponse()

    def _new_conn(self) -> socket.socket:
        return self.wire.connect(self._dns_host, self.port)


class Secure(Plain, HTTPSConnection):
    """The same connection over TLS."""

    def connect(self) -> None:
        super().connect()
        self.wire.is_secured = True


class PlainPool(HTTPConnectionPool):
    ConnectionCls = Plain


class SecurePool(HTTPSConnectionPool):
    ConnectionCls = Secure


class TlsSocket(ssl.SSLSocket):
    """A TLS socket that closes itself if the peer disconnects before the handshake.

    `ssl` would leak it.
    """

    def getpeername(self) -> Any:
        """Return the peer's address. Closes, and raises ConnectionResetError, if it is gone."""
        try:
            return super().getpeername()
        except OSError:
            self.close()
            raise ConnectionResetError from None


@cache
def tls() -> ssl.SSLContext:
    """Return the context of all TLS connections.

    Cached, because loading the certificates takes longer than most requests.
    """
    context = create_urllib3_context()
    context.load_verify_locations(certifi.where())
    context.sslsocket_class = TlsSocket
    return context


class Adapter(HTTPAdapter):
    """An adapter of requests that has one connection, through the wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._pool: HTTPConnectionPool | None = None
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **members: Any) -> None:
        """Create no pool manager: there is one connection."""

    def get_connection_with_tls_context(
        self, request: Any, *_: Any, **__: Any
    ) -> HTTPConnectionPool:
        """Return the wire's pool. Proxies and other certificates are not supported."""
        url = urlsplit(request.url)
        # Always with a port: without one, http.client would take what follows the last colon of an
        # IPv6 address for the port.
        if url.scheme == "https":
            self._pool = SecurePool(
                str(url.hostname),
                url.port or 443,
                ssl_context=tls(),
                cert_reqs="CERT_REQUIRED",
                wire=self._wire,
            )
        else:
            self._pool = PlainPool(str(url.hostname), url.port or 80, wire=self._wire)
        return self._pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the TLS context verifies certificates."""

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
