"""The receiver that a stage offers for its own smoke test; it is there only while the API's
environment holds `RESONA_SMOKE`, a token.

Without that, and for whoever does not name the token, it answers as a path that is not there. It
keeps nothing and reads nothing: what it was sent is in its answer, and so in the record of the run
that sent it. It is no part of the API, and OpenAPI does not describe it.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
from collections.abc import Mapping
from typing import Any

from chalice.app import Blueprint, Request, Response

from chalicelib.api.cors_headers import shared
from chalicelib.api.problems import NO_ROUTE, problem
from chalicelib.api.routing import defect, parts

routes = Blueprint(__name__)

PATH = "/smoke"
METHODS = ("POST", "PUT", "PATCH", "GET", "HEAD", "DELETE")
# A shorter token could be guessed: with one the receiver stays off.
_SHORTEST = 16
_LARGEST = 64 * 1024


def receive() -> Response:
    """Echo what was sent, with `status` while the attempt is not later than the `fail`-th."""
    request = routes.current_request
    response = _answer(request, os.environ.get("RESONA_SMOKE", ""))
    try:
        response.headers.update(shared(request.headers.get("origin"), parts.origins))
    except Exception:
        # Chalice would make a 500 of its own of it.
        return defect()
    return response


# No OPTIONS: a page has no business here, and a path that is not there has no preflight either.
routes.route(PATH, methods=list(METHODS), name=f"{__name__}.receive", content_types=[])(receive)


def _answer(request: Request, token: str) -> Response:
    given: Mapping[str, str] = request.query_params or {}
    if len(token) < _SHORTEST or not hmac.compare_digest(
        given.get("token", "").encode(), token.encode()
    ):
        return problem(404, NO_ROUTE)
    raw = request.raw_body
    body = raw if isinstance(raw, bytes) else (raw or "").encode("utf-8", "surrogatepass")
    if len(body) > _LARGEST:
        return problem(413, "the body is larger than 64 KiB")
    failures, status = (
        _number(given.get("fail", "0"), 0, 99),
        _number(given.get("status", "500"), 200, 599),
    )
    if failures is None or status is None:
        return problem(422, "fail is a number from 0 to 99, status one from 200 to 599")
    attempt = _number(request.headers.get("resona-attempt", "1"), 1, 99) or 1
    return Response(
        body=json.dumps(_echo(request, body), ensure_ascii=False),
        status_code=status if attempt <= failures else 200,
        headers={"Content-Type": "application/json"},
    )


def _echo(request: Request, body: bytes) -> dict[str, Any]:
    echo: dict[str, Any] = {
        "method": request.method,
        "headers": {name.lower(): value for name, value in request.headers.items()},
    }
    try:
        return {**echo, "body": body.decode()}
    except UnicodeDecodeError:
        return {**echo, "body": base64.b64encode(body).decode(), "encoding": "base64"}


def _number(text: str, least: int, most: int) -> int | None:
    """Return the number if it is one from least to most, else None."""
    is_number = text.isascii() and text.isdigit() and len(text) <= 3
    return int(text) if is_number and least <= int(text) <= most else None
