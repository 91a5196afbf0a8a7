"""What `chalice local` serves with, mended where API Gateway behaves otherwise.

Chalice's server drops the connection on what it cannot parse, reads no chunked body, answers unknown paths with 403, leaves path
parameters percent-encoded, and accepts at most five connections at once.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from chalice.local import ChaliceRequestHandler, LocalGatewayException, ThreadedHTTPServer

log = logging.getLogger("resona.laptop")

_LARGEST_BODY = 10 * 1024 * 1024
_LONGEST_CHUNK_LINE = 1024


class BadRequest(Exception):
    """The request cannot be read; `status` is the answer's."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        super().__init__(detail)


class Server(ThreadedHTTPServer):
    """Accepts as many connections at once as a burst brings."""

    request_queue_size = 1024


class Handler(ChaliceRequestHandler):
    """Answers every request, whatever it is, with a JSON document."""

    disable_nagle_algorithm = True
    # An open connection that says nothing is closed after this many seconds.
    timeout = 60

    def _generic_handle(self) -> None:
        try:
            self._handle()
        except (TimeoutError, ConnectionError):
            self.close_connection = True
        except BadRequest as error:
            # What is left of the body cannot be told from the next request.
            self.close_connection = True
            self._problem(error.status, str(error))
        except Exception:
            log.exception("request failed")
            self.close_connection = True
            self._problem(500, "Resona failed; the failure is in its log")

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = _generic_handle  # noqa: N815  http.server's names

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what http.server itself refuses: a malformed request line, an unknown method, too many headers."""
        del explain
        self.close_connection = True
        known = code if code in list(HTTPStatus) else 400
        status = 405 if known == 501 else known
        self._problem(status, f"the request cannot be read: {message}" if status != 405 else "the method is not known")

    def _handle(self) -> None:
        body = self._read_body()
        headers = {name.lower(): ",".join(self.headers.get_all(name, [])) for name in self.headers}
        event = self._event(headers, body)
        if event is None:
            return
        context = self.local_gateway._generate_lambda_context()
        try:
            event, context = self.local_gateway._authorizer.authorize(self.path, event, context)
        except LocalGatewayException as error:
            self._problem(error.CODE, "send a valid key: Authorization: Bearer rsn_…")
            return
        self._send(self.local_gateway._app_object(event, context))

    def _event(self, headers: dict[str, str], body: bytes | None) -> dict[str, Any] | None:
        """Return the event that API Gateway would make, or answer 404 or 405 and return None."""
        try:
            event: dict[str, Any] = self.local_gateway.event_converter.create_lambda_event(
                method=self.command, path=self.path, headers=headers, body=body
            )
        except ValueError:
            self._problem(404, "there is no such route")
            return None
        methods = self.local_gateway._app_object.routes[event["requestContext"]["resourcePath"]]
        if self.command not in methods:
            self._problem(405, f"{self.command} is not possible here", {"Allow": ", ".join(sorted(methods))})
            return None
        event["pathParameters"] = {name: unquote(value) for name, value in event["pathParameters"].items()}
        return event

    def _read_body(self) -> bytes | None:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks()
        text = self.headers.get("Content-Length", "0").strip()
        if not (text.isascii() and text.isdigit()):
            raise BadRequest(400, "Content-Length is not a number")
        if len(text) > 12 or int(text) > _LARGEST_BODY:
            raise BadRequest(413, "the request is larger than 10 MB")
        return self.rfile.read(int(text)) if int(text) else None

    def _read_chunks(self) -> bytes:
        body = b""
        while True:
            line = self.rfile.readline(_LONGEST_CHUNK_LINE).split(b";")[0].strip()
            try:
                size = int(line, 16)
            except ValueError as error:
                raise BadRequest(400, "the chunked body is malformed") from error
            if size < 0 or len(body) + size > _LARGEST_BODY:
                raise BadRequest(413, "the request is larger than 10 MB")
            if size == 0:
                while self.rfile.readline(_LONGEST_CHUNK_LINE).strip():
                    continue
                return body
            body += self.rfile.read(size)
            self.rfile.readline(_LONGEST_CHUNK_LINE)

    def _problem(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
        all_headers = {"Content-Type": "application/problem+json", **(headers or {})}
        self._write(status, all_headers, json.dumps(document, ensure_ascii=False).encode())

    def _send(self, answer: dict[str, Any]) -> None:
        headers = {**answer.get("headers", {}), **{name: ", ".join(values) for name, values in answer.get("multiValueHeaders", {}).items()}}
        body = answer.get("body") or ""
        self._write(answer["statusCode"], headers, body if isinstance(body, bytes) else body.encode())

    def _write(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if body and status != 204 and self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: what happens to jobs is logged where it happens."""
