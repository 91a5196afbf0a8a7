"""Routes that describe the API: the OpenAPI document and the page to read it."""

from __future__ import annotations

from chalice.app import Blueprint, Response

from chalicelib.api.console.files import page
from chalicelib.api.routes.console import shown
from chalicelib.api.routing import Call, answer, route

routes = Blueprint(__name__)


@route(routes, "/openapi.json", "GET", answers={200: "OpenApi"}, open_to_all=True)
def get_openapi(call: Call) -> Response:
    """Return the OpenAPI 3.1 document."""
    # Imported here, because it loads modules that other calls do not need.
    from chalicelib.api.openapi.document import described

    return answer(200, described(call.url.removesuffix("/openapi.json") or "/"))


@route(
    routes,
    "/docs",
    "GET",
    answers={200: "Page", 304: None},
    takes=("If-None-Match",),
    gives=(
        "Content-Security-Policy",
        "Referrer-Policy",
        "Cross-Origin-Opener-Policy",
        "X-Content-Type-Options",
        "Cache-Control",
        "ETag",
    ),
    open_to_all=True,
)
def get_docs(call: Call) -> Response:
    """Show the OpenAPI document as a page, which can also send requests."""
    return shown(call, page("docs.html"))
