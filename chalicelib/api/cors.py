"""CORS preflights: an OPTIONS route for every path of the app.

Chalice supports one origin per app. With these routes each answer repeats the caller's origin if it
is one of the allowed origins.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from chalice.app import Chalice, Response

from chalicelib.api.cors_headers import shared
from chalicelib.api.routing import backend, defect

_SENT = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match"
# Browsers repeat a preflight after this many seconds.
_REMEMBERED_SECONDS = 600


def serve_preflights(app: Chalice) -> None:
    """Add a route OPTIONS to every path of the app. It needs no key: preflights carry none."""
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
            # Answer here: Chalice's 500 would not be a problem document.
            return defect()

    app.route(path, methods=["OPTIONS"], name=f"{__name__}.{path}", content_types=[])(preflight)


def answer_preflight(origin: str | None, methods: str, allowed: AbstractSet[str]) -> Response:
    """Answer with the methods of a path, and for an allowed origin with the headers it may send.

    `methods` is the value of Allow, such as `GET, POST`.
    """
    headers = {"Allow": methods, **shared(origin, allowed)}
    if "Access-Control-Allow-Origin" in headers:
        headers |= {
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": _SENT,
            "Access-Control-Max-Age": str(_REMEMBERED_SECONDS),
        }
    return Response(body="", status_code=204, headers=dict(headers))
