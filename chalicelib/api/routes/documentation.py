"""Routes that describe the API: the OpenAPI document and the page to read it."""

from __future__ import annotations

from chalice.app import Blueprint, Response

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
    answers={200: "Page"},
    gives=("Content-Security-Policy",),
    open_to_all=True,
)
def get_docs(call: Call) -> Response:  # noqa: ARG001  every view takes a call
    """Show the OpenAPI document as an HTML page."""
    from chalicelib.api.openapi.docs_page import POLICY, page

    return Response(
        body=page(),
        status_code=200,
        headers={"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": POLICY},
    )
