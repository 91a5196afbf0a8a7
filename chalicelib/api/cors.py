"""Browsers: which pages may call, by the Fetch standard's CORS protocol.

Chalice knows one origin for all of an app, and API Gateway answers preflights with it alone. Here
every path has a route OPTIONS of its own, and every answer names the caller's origin if it is one
of those that are allowed.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from chalice.app import Chalice, Response

from chalicelib.api.cors_headers import shared
from chalicelib.api.routing import backend, defect

_SENT = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match"
# Browsers ask again after so many seconds.
_REMEMBERED_SECONDS = 600


def serve_preflights(app: Chalice) -> None:
    """Answer OPTIONS at every path that the app has.

    It needs no key: browsers send none with a preflight.
    """
    for path, methods in list(app.routes.items()):
        _serve(app, path, ", ".join(sorted([*methods, "OPTIONS"])))


def _serve(app: Chalice, path: str, methods: str) -> None:
    def preflight(**names: str) -> Response:
        del names
        request = app.current_request
        origin = request.headers.get("origin") if request else None
        try:
            return answer_preflight(origin, methods, backend.origins)
        except Exception:
            # Chalice would make a 500 of its own of it.
            return defect()

    app.route(path, methods=["OPTIONS"], name=f"{__name__}.{path}", content_types=[])(preflight)


def answer_preflight(origin: str | None, methods: str, allowed: AbstractSet[str]) -> Response:
    """Say which methods a path has, and to an allowed origin what its pages may send."""
    headers = {"Allow": methods, **shared(origin, allowed)}
    if "Access-Control-Allow-Origin" in headers:
        headers |= {
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": _SENT,
            "Access-Control-Max-Age": str(_REMEMBERED_SECONDS),
        }
    return Response(body="", status_code=204, headers=dict(headers))
