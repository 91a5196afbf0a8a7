"""The routes that describe the API."""

from __future__ import annotations

from chalice.app import Blueprint, Response

from chalicelib.api.routing import Call, answer, route

routes = Blueprint(__name__)


@route(routes, "/openapi.json", "GET", answers={200: "OpenApi"}, open_to_all=True)
def get_openapi(call: Call) -> Response:
    """Describe the API as OpenAPI 3.1."""
    # Here, so that no other call pays for what it loads.
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
    """Show the API's description as a page to read."""
    from chalicelib.api.openapi.docs_page import POLICY, page

    return Response(
        body=page(),
        status_code=200,
        headers={"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": POLICY},
    )
