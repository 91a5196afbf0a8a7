"""The HTTP server of `chalice local`, corrected to behave like API Gateway.

Chalice's own server closes the connection on requests that it cannot parse, does not read chunked
bodies, answers unknown paths with 403, and accepts at most five connections at once.

Incomplete requests are refused, and so are ambiguous ones, which two parsers could read as
different requests (RFC 9112, 6.3 and 11.2).
"""

from __future__ import annotations

import logging
import re
import socket
import sys
import time
from collections.abc import Sequence
from email import errors
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from chalice.local import ChaliceRequestHandler, NotAuthorizedError, ThreadedHTTPServer

from chalicelib.api.cors_headers import shared
from chalicelib.api.problems import NO_ROUTE, NoKey, answer_to, problem
from chalicelib.api.routing import backend
from chalicelib.domain.errors import ResonaError
from chalicelib.handlers.authorizer import Unauthorized
from infra.local.visitors import Visitor, refusal

log = logging.getLogger("resona.laptop")

_LARGEST_BODY = 10 * 1024 * 1024
_LONGEST_CHUNK_LINE = 1024
_MOST_TRAILERS = 100
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,12}")
# How long to keep the connection open after refusing a request before its end, so that the client
# can read the answer.
_LINGER_SECONDS = 2
# Defects to ignore: the parser is made for mail and expects a multipart body with the headers, but
# here the body is read later.
_OF_THE_BODY = (
    errors.NoBoundaryInMultipartDefect,
    errors.StartBoundaryNotFoundDefect,
    errors.CloseBoundaryNotFoundDefect,
    errors.MultipartInvariantViolationDefect,
    errors.InvalidMultipartContentTransferEncodingDefect,
)


class BadRequest(Exception):
    """The request cannot be read; `status` is the status of the answer."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        super().__init__(detail)


class Server(ThreadedHTTPServer):
    """A server that accepts up to 1,024 connections at once."""

    request_queue_size = 1024
    # The allowed host names besides localhost, in lower case.
    hosts: frozenset[str] = frozenset()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the exception, except when the client closed the connection or was too slow."""
        del request, client_address
        if not isinstance(sys.exc_info()[1], TimeoutError | ConnectionError):
            log.exception("connection failed")


class _Lines:
    """Reads the request line and headers, and notes a CR that is not at the end of a line.

    Python's parser, which is made for mail, ends a line at a CR; other HTTP parsers do not
    (RFC 9112, 2.2).
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.has_bare_cr = False

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._raw.readline(size)
        self.has_bare_cr = self.has_bare_cr or _has_bare_cr(line)
        return line


def _length(lengths: Sequence[str]) -> int:
    """Return the length in the Content-Length headers, 0 without one. Raises BadRequest."""
    if len({length.strip() for length in lengths}) > 1:
        raise BadRequest(400, "Content-Length stands twice, with different values")
    text = lengths[0].strip() if lengths else "0"
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(400, "Content-Length is not a number")
    if len(text) > 12 or int(text) > _LARGEST_BODY:
        raise BadRequest(413, "the request is larger than 10 MB")
    return int(text)


def _has_bare_cr(line: bytes) -> bool:
    return b"\r" in line.removesuffix(b"\r\n")


class Handler(ChaliceRequestHandler):
    """Answers requests by the app; errors of HTTP become problem documents."""

    disable_nagle_algorithm = True
    # Close a connection after this many seconds without data.
    timeout = 60
    raw_requestline: bytes
    rfile: Any
    server: Server
    _is_unread = False

    def parse_request(self) -> bool:
        """Read the request line and the headers; return False if they were refused."""
        # RFC 9112, 2.2: ignore empty lines before a request.
        while self.raw_requestline.isspace():
            self.raw_requestline = self.rfile.readline(65537)
        rest, self.rfile = self.rfile, _Lines(self.rfile)
        try:
            is_parsed, has_bare_cr = super().parse_request(), self.rfile.has_bare_cr
        finally:
            self.rfile = rest
        if not is_parsed:
            return False
        if _CONTROL.search(self.raw_requestline.removesuffix(b"\n").removesuffix(b"\r")):
            self.send_error(400, "a control character stands in the request line")
            return False
        # Refuse what parsers read in different ways: a malformed line, after which Python's parser
        # takes the rest for the body; a folded value, which contains a line end; and a NUL, at
        # which some parsers end the value (RFC 9110, 5.5).
        unsafe = any(sign in value for value in self.headers.values() for sign in "\n\r\0")
        malformed = any(not isinstance(defect, _OF_THE_BODY) for defect in self.headers.defects)
        if has_bare_cr or malformed or unsafe or any(name != name.strip() for name in self.headers):
            self.send_error(400, "a header is malformed")
            return False
        # http.server calls `do_<method>`: define it for any method, so that the app answers unknown
        # ones with 404 or 405.
        setattr(self, f"do_{self.command}", self._generic_handle)
        return True

    def finish(self) -> None:
        """Close the connection; read the rest of a refused request before.

        The client might lose the answer otherwise: a socket that is closed with unread data resets
        the connection.
        """
        super().finish()
        if not self._is_unread:
            return
        try:
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER_SECONDS)
            until = time.monotonic() + _LINGER_SECONDS
            while time.monotonic() < until and self.connection.recv(1 << 16):
                continue
        except OSError:
            log.debug("a client went away")

    def _generic_handle(self) -> None:
        try:
            self._handle()
        except ConnectionError:
            self.close_connection = True
        except TimeoutError:
            self.close_connection = True
            self._problem(408, f"the request did not arrive within {self.timeout} seconds")
        except BadRequest as error:
            # The rest of the body would be read as the next request: close the connection.
            self.close_connection = self._is_unread = True
            self._problem(error.status, str(error))
        except Exception:
            log.exception("request failed")
            self.close_connection = True
            self._problem(500, "Resona failed; the failure is in its log")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with a problem document where http.server refuses a request."""
        del explain
        self.close_connection = self._is_unread = True
        # http.server assumes HTTP/0.9, whose answers have no status line, until it has parsed the
        # request line.
        self.request_version = self.protocol_version
        status = code if code in list(HTTPStatus) else 400
        self._problem(status, f"the request cannot be read: {message or HTTPStatus(status).phrase}")

    def _handle(self) -> None:
        self._check_visitor()
        body = self._read_body()
        headers = {name.lower(): ",".join(self.headers.get_all(name, [])) for name in self.headers}
        event = self._event(headers, body)
        if event is None:
            return
        context = self.local_gateway._generate_lambda_context()
        try:
            if backend.needs_keys:
                event, context = self._authorized(event, context)
        except ResonaError as error:
            self._send(answer_to(error).to_dict())
            return
        self._send(self.local_gateway._app_object(event, context))

    def _check_visitor(self) -> None:
        """Raise BadRequest for requests to other hosts, or sent by pages of other sites."""
        hosts, origins, sites = (
            self.headers.get_all(name, []) for name in ("Host", "Origin", "Sec-Fetch-Site")
        )
        visitor = Visitor(
            self.path, self.request_version, [host.strip() for host in hosts], origins, sites
        )
        refused = refusal(visitor, self.server.hosts, backend.origins)
        if refused is not None:
            raise BadRequest(*refused)

    def _authorized(self, event: dict[str, Any], context: Any) -> tuple[dict[str, Any], Any]:
        """Call the authorizer, and return the event and context with its result.

        Unlike API Gateway, it caches nothing. Raises NoKey, Unavailable.
        """
        try:
            authorized: tuple[dict[str, Any], Any] = self.local_gateway._authorizer.authorize(
                event["requestContext"]["path"], event, context
            )
        except (NotAuthorizedError, Unauthorized) as error:
            raise NoKey from error
        return authorized

    def _event(self, headers: dict[str, str], body: bytes | None) -> dict[str, Any] | None:
        """Return the event that API Gateway would send; or answer 404 or 405, and return None."""
        try:
            # Encode semicolons: Chalice drops them and the rest of the path.
            event: dict[str, Any] = self.local_gateway.event_converter.create_lambda_event(
                method=self.command, path=self.path.replace(";", "%3B"), headers=headers, body=body
            )
            # Keep only the path: clients that use a proxy send the whole URL.
            event["requestContext"]["path"] = urlsplit(self.path).path
        except ValueError:
            self._problem(404, NO_ROUTE)
            return None
        methods = self.local_gateway._app_object.routes[event["requestContext"]["resourcePath"]]
        if self.command not in methods:
            allowed = ", ".join(sorted(methods))
            self._problem(
                405, f"{self.command} is not possible here: use {allowed}", {"Allow": allowed}
            )
            return None
        return event

    def _read_body(self) -> bytes | None:
        codings = self.headers.get_all("Transfer-Encoding", [])
        lengths = self.headers.get_all("Content-Length", [])
        if not codings:
            length = _length(lengths)
            return self._read(length) if length else None
        if lengths or [coding.strip().lower() for coding in codings] != ["chunked"]:
            raise BadRequest(400, "give a Content-Length, or chunked as the only Transfer-Encoding")
        return self._read_chunks()

    def _read(self, size: int) -> bytes:
        data: bytes = self.rfile.read(size)
        if len(data) < size:
            raise BadRequest(400, "the request ended before its body did")
        return data

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while True:
            match = _CHUNK_SIZE.fullmatch(self._read_chunk_line().split(b";")[0].strip())
            if match is None:
                raise BadRequest(400, "the chunked body is malformed")
            size = int(match[0], 16)
            if len(body) + size > _LARGEST_BODY:
                raise BadRequest(413, "the request is larger than 10 MB")
            if size == 0:
                break
            body += self._read(size)
            if self._read_chunk_line():
                raise BadRequest(400, "the chunked body is malformed")
        for _ in range(_MOST_TRAILERS):
            if not self._read_chunk_line():
                return bytes(body)
        raise BadRequest(400, "the chunked body has too many trailers")

    def _read_chunk_line(self) -> bytes:
        line: bytes = self.rfile.readline(_LONGEST_CHUNK_LINE)
        if not line.endswith(b"\n"):
            raise BadRequest(400, "the chunked body is malformed")
        if _has_bare_cr(line):
            raise BadRequest(400, "the chunked body is malformed")
        return line.rstrip(b"\r\n")

    def _problem(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        self._send(problem(status, detail, headers).to_dict())

    def _send(self, answer: dict[str, Any]) -> None:
        headers = {
            **answer.get("headers", {}),
            **{
                name: ", ".join(values)
                for name, values in answer.get("multiValueHeaders", {}).items()
            },
        }
        body = answer.get("body") or ""
        self._write(
            answer["statusCode"], headers, body if isinstance(body, bytes) else body.encode()
        )

    def _write(self, status: int, headers: dict[str, str], body: bytes) -> None:
        # Add CORS headers to answers that do not come from the app, such as a 401: pages must be
        # able to read them, too.
        origin = self.headers.get("Origin") if hasattr(self, "headers") else None
        self.send_response(status)
        for name, value in {**shared(origin, backend.origins), **headers}.items():
            self.send_header(name, value)
        # RFC 9110, 8.6: the Content-Length of a 304 would have to be that of the 200 it replaces.
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if body and status not in (204, 304) and self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log no requests: the app logs its own events."""
