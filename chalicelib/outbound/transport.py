"""One exchange's connection: pinned to a judged address, bounded in bytes, cut by the wall clock."""

from __future__ import annotations

import contextlib
import errno
import http.client
import io
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import cache, partial
from typing import Any
from urllib.parse import urlsplit

import certifi
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from chalicelib.domain.run import Outcome
from chalicelib.outbound.address_guard import Failure, Guard, connect
from chalicelib.outbound.watchdog import Watchdog

# All bytes of an answer: headers, interim answers and the frames of chunks included, which the
# libraries read without an end.
RECEIVE_AT_MOST = 1024 * 1024
_WATCHDOG = Watchdog()
_STATUS_LINE = re.compile(rb"HTTP/\S+[ \t]+[0-9]{3}\s")


class Wire:
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
        """Return a connected socket, and keep a second handle of it: TLS takes the first one's
        away. Raises Failure.
        """
        sock = connect(self._guard, host, port, self._until)
        with self._lock:
            self._cut = socket.socket(sock.family, sock.type, fileno=os.dup(sock.fileno()))
        return sock

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Cut the connection when the time is over; requests' own timeout begins anew with every
        byte.
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
        """Raise Failure when the time is over: of a connection that is cut, what had come before
        can be read all the same.
        """
        if time.monotonic() >= self._until:
            self.is_over = True
            raise Failure(Outcome.TIMEOUT, "no whole answer in time")

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            if self._cut is not None:
                with contextlib.suppress(OSError):
                    self._cut.shutdown(socket.SHUT_RDWR)


class Bounded(io.RawIOBase):
    """What comes over a connection, no more of it than an answer may have, and nothing when the
    time is over.
    """

    def __init__(self, raw: io.RawIOBase, wire: Wire) -> None:
        self._raw = raw
        self._wire = wire
        self._left = RECEIVE_AT_MOST

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        count = self._raw.readinto(buffer)
        self._wire.check_time()
        self._left -= count or 0
        if self._left < 0:
            raise Failure(
                Outcome.PROTOCOL_ERROR, "the answer's headers, or what frames its body, have no end"
            )
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class Lines(io.BufferedReader):
    """What is read line by line; `last` is the last line, empty if there was none any more."""

    last = b""

    def readline(self, size: int | None = -1, /) -> bytes:
        self.last = super().readline(size)
        return self.last

    def read(self, size: int | None = -1, /) -> bytes:
        """Read so many bytes.

        Raises Failure without a number: nothing is read to its end, and a chunk may say that it has
        -5.
        """
        if size is None or size < 0:
            raise Failure(Outcome.PROTOCOL_ERROR, "a part of the answer has a negative length")
        return super().read(size)


class Answer(http.client.HTTPResponse):
    """http.client's answer, read within bounds, and after every interim answer: http.client passes
    over 100 only.
    """

    def __init__(self, sock: socket.socket, *args: Any, wire: Wire, **members: Any) -> None:
        super().__init__(sock, *args, **members)
        self._lines = self.fp = Lines(Bounded(self.fp.detach(), wire))

    def begin(self) -> None:
        """Read the head.

        Raises Failure for one that was cut, which http.client takes for a whole one.
        """
        super().begin()
        if not self._lines.last:
            raise Failure(Outcome.PROTOCOL_ERROR, "the answer ended within its headers")

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            # To Python +200 and 2_00 are numbers too.
            if not _STATUS_LINE.match(self._lines.last):
                raise Failure(Outcome.PROTOCOL_ERROR, "the answer has no status of three digits")
            if not 101 < status < 200:
                return version, status, reason
            while self.fp.readline(65_537).strip():
                pass


class Plain(HTTPConnection):
    def __init__(self, *args: Any, wire: Wire, **members: Any) -> None:
        super().__init__(*args, **members)
        self.wire = wire
        # # it is only called
        self.response_class = partial(Answer, wire=wire)  # type: ignore[assignment]

    def request(self, method: str, url: str, *args: Any, **members: Any) -> None:
        """Ask for what was registered, to the letter: urllib3 would escape it anew."""
        super().request(method, self.wire.target or url, *args, **members)

    def _new_conn(self) -> socket.socket:
        return self.wire.connect(self._dns_host, self.port)


class Secure(HTTPSConnection):
    def __init__(self, *args: Any, wire: Wire, **members: Any) -> None:
        super().__init__(*args, **members)
        self.wire = wire
        # # it is only called
        self.response_class = partial(Answer, wire=wire)  # type: ignore[assignment]

    def request(self, method: str, url: str, *args: Any, **members: Any) -> None:
        """Ask for what was registered, to the letter: urllib3 would escape it anew."""
        super().request(method, self.wire.target or url, *args, **members)

    def _new_conn(self) -> socket.socket:
        return self.wire.connect(self._dns_host, self.port or 443)


class PlainPool(HTTPConnectionPool):
    ConnectionCls = Plain


class SecurePool(HTTPSConnectionPool):
    ConnectionCls = Secure


class TlsSocket(ssl.SSLSocket):
    """A socket that does not stay open when the other side is gone before the handshake: `ssl`
    hands it to nobody who could close it.
    """

    def getpeername(self) -> Any:
        """Return the other side's address.

        Raises ConnectionResetError, and closes, when there is none any more.
        """
        try:
            return super().getpeername()
        except OSError:
            self.close()
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from None


@cache
def tls() -> ssl.SSLContext:
    """Return the context of every TLS connection: reading the certificates takes longer than most
    exchanges.
    """
    context = create_urllib3_context()
    context.load_verify_locations(certifi.where())
    context.sslsocket_class = TlsSocket
    return context


class Adapter(HTTPAdapter):
    """requests' adapter, with one connection, which is the wire's."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._pool: HTTPConnectionPool | None = None
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **members: Any) -> None:
        """Make no manager of pools: there is but one connection."""

    def get_connection_with_tls_context(
        self, request: Any, *_: Any, **__: Any
    ) -> HTTPConnectionPool:
        """Return the wire's own pool, whatever else is asked for: no proxy and no other
        certificates.
        """
        url = urlsplit(request.url)
        # With its port always: http.client would look for one behind the last colon of an IPv6
        # address.
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
        """Leave it to the context, which verifies."""

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
