"""Read one HTTP/1 answer from a connection, by RFC 9112.

http.client drops every header after a malformed line and has its own limits (100 header lines,
65,536 bytes a line), and so has urllib3. Here only the malformed line is dropped, as in browsers.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from urllib3 import HTTPHeaderDict

from chalicelib.domain.run import Outcome
from chalicelib.outbound.address_guard import Failure

# Limit of all bytes of an answer: interim answers, headers and chunk framing included.
RECEIVE_AT_MOST = 1024 * 1024
# Limit of the bytes of a body, without chunk framing.
READ_AT_MOST = 64 * 1024
# Limit of the bytes of headers held in memory; `send` decides which of them are recorded.
HOLD_AT_MOST = 32 * 1024
# Credentials of the target's users, which are never kept.
NOT_HELD = frozenset({"set-cookie", "set-cookie2", "www-authenticate", "proxy-authenticate"})

_PIECE = 8192
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VERSION = re.compile(rb"HTTP/1\.[0-9](?:[ \t]|$)")
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9][ \t]+([0-9]{3})(?:[ \t].*)?", re.DOTALL)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)[ \t]*(?:;.*)?", re.DOTALL)
_ELEMENT = re.compile(rb"[^,]+")
# RFC 9110 5.5: a recipient may replace each with a space.
_TO_SPACE = bytes.maketrans(b"\0\r", b"  ")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer.

    `headers` has up to `HOLD_AT_MOST` bytes of headers, and the first `Retry-After` and
    `Resona-Retry` even beyond that. `has_all_headers` is False if others were dropped. `body` has
    at most `READ_AT_MOST` bytes, without chunk framing. `is_whole` is False if the body was longer,
    or may have been: only the close of the connection marked its end, and TLS ended without
    close_notify.
    """

    status: int
    headers: HTTPHeaderDict
    has_all_headers: bool
    body: bytes
    is_whole: bool


class Received:
    """The bytes received over a connection, at most `RECEIVE_AT_MOST`.

    `receive` is a socket's `recv`; `check_time` raises Failure when the time is over. Every method
    that receives raises the errors of both, and Failure for more than `RECEIVE_AT_MOST` bytes.
    """

    def __init__(self, receive: Callable[[int], bytes], check_time: Callable[[], None]) -> None:
        self._receive = receive
        self._check_time = check_time
        self._waiting = bytearray()
        self._left = RECEIVE_AT_MOST
        # True if TLS ended without close_notify, so that bytes may be missing. Python's ssl reports
        # a connection reset in the same way.
        self.is_torn = False

    @property
    def waiting(self) -> bytes:
        """Return the bytes that were received and not taken yet."""
        return bytes(self._waiting)

    def begins_with(self, text: bytes) -> bool:
        """Return whether the next bytes are `text`. Takes none; receives only as many as needed."""
        while len(self._waiting) < len(text) and text.startswith(self._waiting) and self._more():
            pass
        return self._waiting.startswith(text)

    def line(self) -> bytes | None:
        """Take the next line, without its end; None if the connection was closed within it."""
        searched = 0
        while (end := self._waiting.find(b"\n", searched)) < 0:
            searched = len(self._waiting)
            if not self._more():
                return None
        return self._take(end + 1).rstrip(b"\r\n")

    def some(self, most: int) -> bytes:
        """Take the next bytes, at most `most`; none if the connection was closed."""
        if not self._waiting:
            self._more()
        return self._take(min(most, _PIECE))

    def _take(self, count: int) -> bytes:
        taken = bytes(self._waiting[:count])
        del self._waiting[:count]
        return taken

    def _more(self) -> bool:
        """Receive more bytes; return False if the connection was closed."""
        try:
            # At the limit, receive one byte more: an answer may end exactly there.
            piece = self._receive(min(_PIECE, self._left) or 1)
        except ssl.SSLEOFError:
            self.is_torn = True
            piece = b""
        self._check_time()
        if len(piece) > self._left:
            raise _broken("the answer's headers, or what frames its body, are longer than 1 MiB")
        self._left -= len(piece)
        self._waiting += piece
        return bool(piece)


class Head:
    """The header fields of an answer, and the framing of its body that they state."""

    def __init__(self) -> None:
        self.headers = HTTPHeaderDict()
        self.has_all = True
        self._size = 0
        self._lengths: set[bytes] = set()
        # The last transfer coding, empty if there is none.
        self._coding = b""

    def add(self, name: bytes, value: bytes) -> None:
        """Add a field; `value` has no surrounding spaces."""
        lower = name.lower().decode("ascii")
        if lower == "transfer-encoding":
            for coding in _elements(value.lower()):
                # `identity` is no coding: RFC 2616 3.6 had it, RFC 9112 has removed it.
                self._coding = self._coding if coding == b"identity" else coding
        elif lower == "content-length":
            lengths = _elements(value)
            for length in chain([next(lengths, b"")], lengths):
                # Two different lengths are an error already: keep no more, a server may send many.
                if len(self._lengths) < 2:
                    self._lengths.add(length)
        if lower in NOT_HELD:
            return
        self._size += len(name) + len(value) + len(": \r\n")
        # These decide whether and when a run is retried, so keep them beyond the limit.
        is_needed = lower in ("retry-after", "resona-retry") and lower not in self.headers
        if self._size <= HOLD_AT_MOST or is_needed:
            self.headers.add(name.decode("ascii"), value.decode("latin-1"))
        else:
            self.has_all = False

    @property
    def is_chunked(self) -> bool:
        """Return whether the body is chunked: `chunked` is the last transfer coding."""
        return self._coding == b"chunked"

    @property
    def length(self) -> int | None:
        """Return the body's length in bytes; None if the close of the connection ends it.

        Raises Failure for an invalid Content-Length. `2, 2` is 2: RFC 9112 6.3, 5.
        """
        if self._coding or not self._lengths:
            return None
        length, *others = self._lengths
        if others or not length.isdigit() or len(length.lstrip(b"0")) > 18:
            sentence = "the answer's Content-Length is malformed, absurdly large or contradictory"
            raise _broken(sentence)
        return int(length.lstrip(b"0") or b"0")


def read_answer(received: Received, method: str) -> Answer:
    """Return the answer to a request of this method, after any interim answers (1xx but 101).

    Raises Failure if it is not HTTP/1, is cut by a close, or has invalid framing.
    """
    status = _status(received)
    while 100 <= status < 200 and status != 101:
        for _ in _fields(received):
            pass
        status = _status(received)
    head = Head()
    for name, value in _fields(received):
        head.add(name, value)
    body = bytearray()
    # These answers end after their headers, whatever the headers say: RFC 9112 6.3, 1.
    has_body = method != "HEAD" and status >= 200 and status not in (204, 304)
    for piece in _pieces(received, head) if has_body else ():
        body += piece
        if len(body) > READ_AT_MOST:
            break
    # A body that was cut within its length or its chunks has raised Failure above. Otherwise only a
    # body that ends with the connection may lack bytes.
    is_whole = len(body) <= READ_AT_MOST and (head.is_chunked or not received.is_torn)
    return Answer(status, head.headers, head.has_all, bytes(body[:READ_AT_MOST]), is_whole)


def _elements(value: bytes) -> Iterator[bytes]:
    """Yield the elements of a list, without empty ones (RFC 9110 5.6.1).

    A generator, because a hostile list may have a million elements.
    """
    for found in _ELEMENT.finditer(value):
        if element := found[0].strip(b" \t"):
            yield element


def _broken(sentence: str) -> Failure:
    return Failure(Outcome.PROTOCOL_ERROR, sentence)


def _status(received: Received) -> int:
    """Take a status line and return its status, 100 to 599."""
    if not received.begins_with(b"HTTP/"):
        if not received.waiting:
            sentence = "the connection was closed before the answer came"
            raise Failure(Outcome.CONNECTION_FAILED, sentence)
        if not b"HTTP/".startswith(received.waiting):
            raise _broken("what the target answered is not HTTP")
    line = received.line()
    if line is None:
        raise _broken("the connection was closed within the answer's status line")
    if not _VERSION.match(line):
        raise _broken("what the target answered is not HTTP/1.1 or HTTP/1.0")
    found = _STATUS_LINE.fullmatch(line)
    if not found:
        raise _broken("the answer has no status of three digits")
    status = int(found[1])
    if not 100 <= status <= 599:
        raise _broken("the answer has a status outside 100 to 599")
    return status


def _fields(received: Received) -> Iterator[tuple[bytes, bytes]]:
    """Yield the fields up to the empty line, each with its continuation lines (RFC 9112 5.2).

    A malformed line is skipped together with its continuation lines; so are continuation lines
    before the first field (RFC 9112 2.2). Spaces before the colon are ignored (RFC 9112 5.1).
    """
    name, value = b"", bytearray()
    while line := received.line():
        line = line.translate(_TO_SPACE)
        if line[:1] in (b" ", b"\t"):
            value += b" " + line.strip(b" \t")
            continue
        if name:
            yield name, bytes(value.strip(b" \t"))
        name, colon, rest = line.partition(b":")
        name = name.rstrip(b" \t")
        if not colon or not _TOKEN.fullmatch(name):
            name = b""
        value = bytearray(rest)
    if line is None:
        raise _broken("the connection was closed within the answer's headers")
    if name:
        yield name, bytes(value.strip(b" \t"))


def _pieces(received: Received, head: Head) -> Iterator[bytes]:
    """Yield the bytes of a body as they are received, without chunk framing."""
    if head.is_chunked:
        yield from _chunks(received)
    elif (length := head.length) is not None:
        cut = "the connection was closed before all {} bytes of the body had come"
        yield from _counted(received, length, cut.format(length))
    else:
        while piece := received.some(_PIECE):
            yield piece


def _chunks(received: Received) -> Iterator[bytes]:
    """Yield the bytes of chunks, and skip the trailer fields after the last one.

    A close within the trailer is no error: the chunk of length zero was received (RFC 9112 8).
    """
    cut = "the connection was closed before the last chunk of the body had come"
    while True:
        line = received.line()
        if line is None:
            raise _broken(cut)
        found = _CHUNK_LINE.fullmatch(line)
        if not found:
            raise _broken("the answer has a chunk without a valid length")
        size = int(found[1], 16)
        if not size:
            break
        yield from _counted(received, size, cut)
        # Do not use `line`: if the chunk is longer than its stated length, the line end that it
        # waits for may never come.
        if not received.begins_with(b"\r\n") and not received.begins_with(b"\n"):
            if received.waiting in (b"", b"\r"):
                raise _broken(cut)
            raise _broken("the answer has a chunk that is longer than it says")
        received.line()
    while received.line():
        pass


def _counted(received: Received, count: int, cut: str) -> Iterator[bytes]:
    """Yield `count` bytes. Raises Failure with the sentence `cut` if the connection is closed."""
    while count:
        piece = received.some(count)
        if not piece:
            raise _broken(cut)
        count -= len(piece)
        yield piece
