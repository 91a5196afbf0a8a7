"""Send one HTTP request and return its result. A failing target is data, never an exception."""

from __future__ import annotations

import base64
import codecs
import contextlib
import logging
import re
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.util import parse_url

from chalicelib.domain.errors import ResonaError
from chalicelib.domain.hiding import Mask
from chalicelib.domain.request import Request, check, payload
from chalicelib.domain.run import AttemptResult, Outcome, Response
from chalicelib.domain.secrets import Credentials
from chalicelib.outbound import signing
from chalicelib.outbound.address_guard import PUBLIC, Failure, Guard
from chalicelib.outbound.answer import Answer
from chalicelib.outbound.transport import Adapter, Wire
from chalicelib.version import VERSION

log = logging.getLogger("resona")

# These loggers write URLs with their query strings.
for _talkative in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_talkative).setLevel(logging.CRITICAL + 1)

KEEP_BODY = 16 * 1024
KEEP_HEADERS = 8 * 1024
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
    """Send a request and return the result. Never raises.

    `run_headers` are added to the request's own headers, which may replace only `Idempotency-Key`;
    the request is signed with `Resona-Run-Id` as its message id. `timeout` is wall-clock time, from
    the DNS query to the end of the answer.
    """
    wire = Wire(guard, timeout, _target_of(request.url))
    try:
        check(request, refuse_host=guard.refuse_host, https_only=https_only)
        host = (parse_url(request.url).host or "").strip("[]").lower()
        if host != urlsplit(request.url).hostname:
            raise Failure(Outcome.BLOCKED, "the URL is read differently by different readers")
        with wire.watched():
            answer = _exchange(request, _headers(request, run_headers), wire, credentials)
        # The clock has stopped: the time to hide secrets does not count.
        return _result(answer, wire.elapsed, Mask(credentials.hidden))
    except ResonaError as refused:
        # The message contains names of fields and rules, no values.
        return AttemptResult(
            Outcome.BLOCKED, wire.elapsed, error=f"the request may not be sent: {refused}"[:500]
        )
    except Exception as error:
        # Hostile answers make libraries raise nearly any exception. Judge it by its class: its text
        # may contain addresses.
        failure = next(
            (cause for cause in _causes(error) if isinstance(cause, Failure)), None
        ) or _meaning(error, wire)
        if not isinstance(error, Failure):
            fields = {"run_id": run_headers.get("Resona-Run-Id"), "error": type(error).__name__}
            known = failure.outcome is not Outcome.UNKNOWN
            log.log(
                logging.INFO if known else logging.ERROR,
                "exchange.failed",
                extra=fields,
                exc_info=not known,
            )
        return AttemptResult(failure.outcome, wire.elapsed, error=failure.sentence)


def _target_of(url: str) -> str:
    """Return path and query as registered; empty for an invalid URL, which is refused later."""
    rest = url.partition("://")[2]
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    target = rest[len(authority) :]
    return target if target.startswith("/") or not rest else f"/{target}"


def _headers(request: Request, run_headers: Mapping[str, str]) -> CaseInsensitiveDict[str]:
    headers = CaseInsensitiveDict({"Accept": "*/*", **run_headers, **request.headers})
    headers["User-Agent"] = f"{headers.get('User-Agent', '')} {_AGENT}".lstrip()
    # Ask for `identity`: answers are not decompressed.
    headers["Accept-Encoding"] = "identity"
    return headers


def _exchange(
    request: Request, headers: CaseInsensitiveDict[str], wire: Wire, credentials: Credentials
) -> Answer:
    body, content_type = payload(request)
    headers.update(
        signing.headers(
            credentials.signing, headers["Resona-Run-Id"], datetime.now(UTC), body or b""
        )
    )
    if content_type:
        headers.setdefault("Content-Type", content_type)
    prepared = requests.PreparedRequest()
    prepared.prepare(method=request.method, url=request.url, headers=headers, data=body)
    # Set the URL as registered: `prepare` would unescape and escape it again.
    prepared.url = request.url
    with contextlib.closing(Adapter(wire)) as adapter:
        adapter.send(prepared, stream=True, timeout=wire.remaining, verify=True, proxies={}).close()
    return wire.answer


def _result(answer: Answer, elapsed: timedelta, mask: Mask) -> AttemptResult:
    is_success = 200 <= answer.status <= 299
    return AttemptResult(
        Outcome.SUCCESS if is_success else Outcome.HTTP_ERROR,
        elapsed,
        status_code=answer.status,
        response=_kept(answer, mask),
        error=None if is_success else f"the target answered {answer.status}",
        retry_after=mask.header(answer.headers.get("Retry-After", ""))[:100] or None,
        received=answer.body[:KEEP_BODY],
        forbids_retry=answer.headers.get("Resona-Retry", "").strip().lower() == "no",
    )


def _kept(answer: Answer, mask: Mask) -> Response:
    """Return the part of an answer that is recorded, with secrets hidden."""
    headers, has_all_headers = _kept_headers(answer, mask)
    if mask and answer.body and _is_encoded(answer):
        # A compressed body cannot be searched for secrets.
        return Response(headers, "", truncated=True)
    kept, is_all = mask.body(answer.body, KEEP_BODY, is_whole=answer.is_whole)
    body, encoding = _text(kept, is_whole=is_all)
    return Response(headers, body, truncated=not (is_all and has_all_headers), encoding=encoding)


def _kept_headers(answer: Answer, mask: Mask) -> tuple[dict[str, str], bool]:
    """Return the recorded headers by lower-case name, and whether these are all headers."""
    fields, came, is_all = list[tuple[str, list[str]]](), 0, answer.has_all_headers
    for name in answer.headers:
        # Hiding secrets shortens headers: search twice as many bytes as are recorded.
        if came > 2 * KEEP_HEADERS:
            is_all = False
            break
        lines = answer.headers.getlist(name)
        fields.append((name, lines))
        came += len(name) + sum(map(len, lines))
    kept, size = dict[str, str](), 0
    for name, value in mask.headers(fields):
        size += len(name) + len(value.encode("utf-8", "replace"))
        if size > KEEP_HEADERS:
            return kept, False
        # Two names that contain secrets may become equal when these are hidden.
        lower = name.lower()
        kept[lower] = f"{kept[lower]}, {value}" if lower in kept else value
    return kept, is_all


def _text(kept: bytes, *, is_whole: bool) -> tuple[str, str | None]:
    """Return the bytes as text with None, or as base64 with "base64" if they are not UTF-8.

    If the body was cut within a character, the part of that character is dropped.
    """
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(kept, final=is_whole), None
    except UnicodeDecodeError:
        return base64.b64encode(kept).decode("ascii"), "base64"


def _is_encoded(answer: Answer) -> bool:
    """Return whether the body is compressed, although the request accepts only `identity`.

    Judged by its headers, and by the first bytes of gzip and Zstandard.
    """
    if answer.body.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        return True
    named = [answer.headers.get(name, "") for name in ("Content-Encoding", "Transfer-Encoding")]
    codings = {coding.strip() for coding in ",".join(named).lower().split(",")}
    return not codings <= {"", "identity", "chunked"}


def _meaning(error: Exception, wire: Wire) -> Failure:
    """Return the Failure that a library's exception means, judged by its causes."""
    causes = list(_causes(error))

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if wire.is_over or has(TimeoutError, requests.Timeout):
        # After the deadline any error is a consequence of the watchdog's shutdown.
        return wire.late()
    if has(ssl.SSLError) and wire.is_secured:
        return Failure(
            Outcome.TLS_FAILED, "the target broke off TLS with an error, or sent what is not TLS"
        )
    if has(ssl.SSLEOFError, ssl.SSLZeroReturnError):
        # The target closed the connection: no TLS failure, so the attempt is retried.
        return Failure(
            Outcome.CONNECTION_FAILED, "the connection was closed while TLS was being set up"
        )
    if has(ssl.SSLCertVerificationError):
        return Failure(
            Outcome.TLS_FAILED,
            "the certificate is expired, for another host or of an authority that is not trusted",
        )
    if has(ssl.SSLError):
        return Failure(
            Outcome.TLS_FAILED,
            "TLS could not be set up: the target speaks no TLS, no safe version, or refused it",
        )
    if has(ConnectionError):
        return Failure(
            Outcome.CONNECTION_FAILED, "the connection was closed before there was a whole answer"
        )
    if any(
        isinstance(cause, OSError) and not isinstance(cause, requests.RequestException)
        for cause in causes
    ):
        return Failure(
            Outcome.CONNECTION_FAILED, "the connection failed before there was a whole answer"
        )
    return Failure(
        Outcome.UNKNOWN,
        "Resona failed while it was sending; whether the target got the request is not known",
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
