"""The routes that describe the API."""

from __future__ import annotations

from chalice.app import Blueprint, Response

from chalicelib.api.routing import Call, answer, route

routes = Blueprint(__name__)


@route(routes, "/openapi.json", "GET", answers={200: "OpenApi"}, open_to_all=True)
def get_openapi(call: Call) -> Response:
    """Describe the API as OpenAPI 3.1."""
    # Here, so that no other call pays for what it loads.
    from chalicelib.api.description import described

    return answer(200, described(call.url.removesuffix("/openapi.json") or "/"))
