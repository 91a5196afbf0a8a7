"""Make one HTTP exchange, whatever the other side does: a target that fails is data, never an
exception.
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import http.client
import logging
import re
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import requests
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from chalicelib.domain.errors import ResonaError
from chalicelib.domain.request import Request, check, payload
from chalicelib.domain.run import AttemptResult, Outcome, Response
from chalicelib.domain.secrets import Credentials, Mask
from chalicelib.outbound import signing
from chalicelib.outbound.address_guard import PUBLIC, Failure, Guard
from chalicelib.outbound.transport import Adapter, Wire
from chalicelib.version import VERSION

log = logging.getLogger("resona")

# They write URLs, query strings included, at DEBUG, and at WARNING when a header of the answer is
# malformed.
for _talkative in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_talkative).setLevel(logging.CRITICAL + 1)

READ_AT_MOST = 64 * 1024
KEEP_BODY = 16 * 1024
KEEP_HEADERS = 8 * 1024
_NOT_KEPT = frozenset({"set-cookie", "set-cookie2", "www-authenticate", "proxy-authenticate"})
_AGENT = f"Resona/{VERSION}"


def send(
    request: Request,
    *,
    run_headers: Mapping[str, str],
    timeout: timedelta,
    credentials: Credentials,
    guard: Guard = PUBLIC,
    https_only: bool = False,
) -> AttemptResult:
    """Send a request and return what came of it.

    `run_headers` are set beside the request's own, which may set only `Idempotency-Key` themselves;
    `Resona-Run-Id` among them is what the request is signed as. `timeout` is for the whole
    exchange, by the wall clock.
    """
    wire = Wire(guard, timeout, _target_of(request.url))
    try:
        check(request, refuse_host=guard.refuse_host, https_only=https_only)
        if (parse_url(request.url).host or "").lower() != _host_of(request.url):
            raise Failure(Outcome.BLOCKED, "the URL is read differently by different readers")
        with wire.watched():
            found = _exchange(request, _headers(request, run_headers), wire, credentials)
    except ResonaError as refused:
        # Its sentence is ours: names of fields and rules, no values.
        found = AttemptResult(
            Outcome.BLOCKED, wire.elapsed, error=f"the request may not be sent: {refused}"[:500]
        )
    except Failure as failure:
        found = AttemptResult(failure.outcome, wire.elapsed, error=failure.sentence)
    except Exception as error:
        # Libraries raise nearly anything at what strangers send: which kind says what it was, its
        # text would name addresses.
        known = isinstance(
            error, requests.RequestException | HTTPError | http.client.HTTPException | OSError
        )
        fields = {"run_id": run_headers.get("Resona-Run-Id"), "error": type(error).__name__}
        log.log(
            logging.INFO if known else logging.ERROR,
            "exchange.failed",
            extra=fields,
            exc_info=not known,
        )
        found = _failed(error, wire)
    if wire.is_over:
        # What was parsed after the connection was cut means nothing: http.client may call it 200
        # with an empty body.
        return AttemptResult(
            Outcome.TIMEOUT,
            wire.elapsed,
            error=f"no whole answer within {timeout.total_seconds():g} seconds",
        )
    return found


def _host_of(url: str) -> str:
    authority = url.split("://", 1)[1].split("/", 1)[0].split("?", 1)[0]
    return (
        authority
        if authority.endswith("]")
        else authority.rsplit(":", 1)[0]
        if ":" in authority
        else authority
    ).lower()


def _target_of(url: str) -> str:
    """Return path and query as they were registered; empty for what is no URL, which is refused
    anyway.
    """
    rest = url.partition("://")[2]
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    target = rest[len(authority) :]
    return target if target.startswith("/") or not rest else f"/{target}"


def _headers(request: Request, run_headers: Mapping[str, str]) -> dict[str, str]:
    own = {name.lower(): name for name in request.headers}
    headers = {"Accept": "*/*", **run_headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in own}
    headers |= {
        name: value for name, value in request.headers.items() if name.lower() != "user-agent"
    }
    agent = request.headers[own["user-agent"]] + " " if "user-agent" in own else ""
    # `identity`, since nothing is decoded.
    return {**headers, "User-Agent": f"{agent}{_AGENT}", "Accept-Encoding": "identity"}


def _exchange(
    request: Request, headers: dict[str, str], wire: Wire, credentials: Credentials
) -> AttemptResult:
    body, content_type = payload(request)
    headers |= signing.headers(
        credentials.signing, headers["Resona-Run-Id"], datetime.now(UTC), body or b""
    )
    if content_type and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = content_type
    prepared = requests.PreparedRequest()
    prepared.prepare(method=request.method, url=request.url, headers=headers, data=body)
    # As it was registered: requests would unescape and escape anew.
    prepared.url = request.url
    with contextlib.closing(Adapter(wire)) as adapter:
        answer = adapter.send(
            prepared, stream=True, timeout=wire.remaining, verify=True, proxies={}
        )
        with contextlib.closing(answer):
            return _read(answer.raw, wire, Mask(credentials.hidden))


def _read(raw: HTTPResponse, wire: Wire, mask: Mask) -> AttemptResult:
    _check_framing(raw)
    read = bytearray()
    for piece in raw.stream(8192, decode_content=False):
        read += piece
        if len(read) > READ_AT_MOST:
            break
    headers, has_more_headers = _kept_headers(raw, mask)
    text, encoding = _kept_body(mask.body(bytes(read), KEEP_BODY), is_whole=len(read) <= KEEP_BODY)
    response = Response(
        headers, text, truncated=len(read) > KEEP_BODY or has_more_headers, encoding=encoding
    )
    is_success = 200 <= raw.status <= 299
    return AttemptResult(
        Outcome.SUCCESS if is_success else Outcome.HTTP_ERROR,
        wire.elapsed,
        status_code=raw.status,
        response=response,
        error=None if is_success else f"the target answered {raw.status}",
        retry_after=mask.header(raw.headers.get("Retry-After", ""), 100) or None,
    )


def _check_framing(raw: HTTPResponse) -> None:
    lengths = raw.headers.getlist("content-length")
    if not 100 <= raw.status <= 599:
        raise Failure(Outcome.PROTOCOL_ERROR, "the answer has a status outside 100 to 599")
    if len(lengths) > 1 or not all(
        length.isascii() and length.isdigit() and len(length) <= 18 for length in lengths
    ):
        raise Failure(
            Outcome.PROTOCOL_ERROR, "the answer has a malformed, absurd or repeated Content-Length"
        )


def _kept_headers(raw: HTTPResponse, mask: Mask) -> tuple[dict[str, str], bool]:
    """Return the headers that are kept, and whether there were more than fit."""
    kept: dict[str, str] = {}
    size = 0
    for name in raw.headers:
        if name.lower() in _NOT_KEPT:
            continue
        value = raw.headers[name]
        # As it came, too: what would not fit is not worth the search for secrets in it.
        came = len(name) + len(value)
        if size + came > KEEP_HEADERS:
            return kept, True
        lower, value = mask.header(name).lower(), mask.header(value)
        size += max(came, len(lower) + len(value.encode("utf-8", "replace")))
        if size > KEEP_HEADERS:
            return kept, True
        kept[lower] = value
    return kept, False


def _kept_body(kept: bytes, *, is_whole: bool) -> tuple[str, str | None]:
    """Return what is kept as text, or as base64 if it is not UTF-8; a character that the cut
    divides is left out.
    """
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(kept, final=is_whole), None
    except UnicodeDecodeError:
        return base64.b64encode(kept).decode("ascii"), "base64"


def _failed(error: BaseException, wire: Wire) -> AttemptResult:
    """Say what a library's exception means, by what lies at its root."""
    causes = list(_causes(error))
    failure = next((cause for cause in causes if isinstance(cause, Failure)), None)
    if failure is not None:
        return AttemptResult(failure.outcome, wire.elapsed, error=failure.sentence)
    if any(isinstance(cause, TimeoutError | requests.Timeout) for cause in causes):
        return AttemptResult(Outcome.TIMEOUT, wire.elapsed, error="no whole answer in time")
    if any(isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError) for cause in causes):
        # Nothing is wrong with its TLS: it went away in the middle of it, and may be back.
        return AttemptResult(
            Outcome.CONNECTION_FAILED,
            wire.elapsed,
            error="the connection was closed while TLS was being set up",
        )
    if any(isinstance(cause, ssl.SSLError | ssl.CertificateError) for cause in causes):
        return AttemptResult(
            Outcome.TLS_FAILED,
            wire.elapsed,
            error="the TLS connection could not be made: the certificate or the protocol is refused",
        )
    if any(isinstance(cause, ConnectionError) for cause in causes):
        return AttemptResult(
            Outcome.CONNECTION_FAILED,
            wire.elapsed,
            error="the connection was closed before there was a whole answer",
        )
    return AttemptResult(
        Outcome.PROTOCOL_ERROR, wire.elapsed, error="what the target answered is not HTTP"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [
                cause.__cause__,
                cause.__context__,
                getattr(cause, "reason", None),
                *cause.args,
            ]
