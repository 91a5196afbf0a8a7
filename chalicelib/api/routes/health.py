"""The route of the health check."""

from __future__ import annotations

from chalice.app import Blueprint, Response

from chalicelib.api.models.answer_models import Health
from chalicelib.api.routing import Call, answer, route
from chalicelib.version import VERSION

routes = Blueprint(__name__)


@route(routes, "/health", "GET", answers={200: "Health"}, open_to_all=True)
def health(call: Call) -> Response:  # noqa: ARG001  every view takes a call
    """Say that the API is running. It reads no table."""
    return answer(200, Health(status="ok", version=VERSION))
