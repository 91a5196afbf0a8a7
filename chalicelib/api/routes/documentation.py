"""Routes that describe the API: an index, the OpenAPI document, and the page to read it."""

from __future__ import annotations

from chalice.app import Blueprint, Response

from chalicelib.api.console.files import page
from chalicelib.api.models.answer_models import Index
from chalicelib.api.routes.console import shown
from chalicelib.api.routing import Call, answer, route
from chalicelib.version import VERSION

routes = Blueprint(__name__)


@route(
    routes,
    "/",
    "GET",
    answers={200: "Index", 303: None},
    gives=("Location", "X-Content-Type-Options"),
    open_to_all=True,
)
def get_index(call: Call) -> Response:
    """Return where to begin; a browser is led to the console.

    A client whose Accept prefers text/html to application/json is answered with 303.
    """
    # Caches must not answer a program with what a browser got.
    headers = {"Vary": "Accept", "X-Content-Type-Options": "nosniff"}
    accepted = call.header("accept") or "*/*"
    if _quality(accepted, "text/html") > _quality(accepted, "application/json"):
        # The path alone: the host is whatever the client says that it called.
        return answer(303, None, {**headers, "Location": f"{call.path}/console"})
    index = Index(
        name="Resona",
        version=VERSION,
        console=f"{call.url}/console",
        docs=f"{call.url}/docs",
        openapi=f"{call.url}/openapi.json",
        health=f"{call.url}/health",
        jobs=f"{call.url}/jobs",
    )
    return answer(200, index, headers)


def _quality(accepted: str, media_type: str) -> float:
    """Return how much an Accept header wants a type, from 0 to 1 (RFC 9110, 12.5.1)."""
    ranges = {}
    for part in accepted.lower().split(","):
        name, *parameters = (word.strip() for word in part.split(";"))
        weights = [word[2:] for word in parameters if word.startswith("q=")]
        try:
            ranges[name] = float(weights[0]) if weights else 1.0
        except ValueError:
            ranges[name] = 0.0
    kind = media_type.partition("/")[0]
    return next((ranges[name] for name in (media_type, f"{kind}/*", "*/*") if name in ranges), 0.0)


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
    answers={200: "Page", 303: None, 304: None},
    takes=("If-None-Match",),
    gives=(
        "Location",
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
