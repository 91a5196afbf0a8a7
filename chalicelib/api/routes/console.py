"""Routes of the console: a page that shows jobs and runs, and the files that it loads."""

from __future__ import annotations

from chalice.app import Blueprint, Response

from chalicelib.api.console.files import File, asset, page, version
from chalicelib.api.problems import Refusal
from chalicelib.api.routing import Call, answer, route

routes = Blueprint(__name__)

_TAKES = ("If-None-Match",)


@route(routes, "/console", "GET", answers={}, takes=_TAKES, open_to_all=True, is_described=False)
def get_console(call: Call) -> Response:
    """Show the console. It asks the API by the key that its user gives it."""
    return shown(call, page("index.html"))


@route(
    routes,
    "/console/{build}/{name}",
    "GET",
    answers={},
    takes=_TAKES,
    open_to_all=True,
    is_described=False,
)
def get_console_file(call: Call, build: str, name: str) -> Response:
    """Return a file that the console loads."""
    found = asset(name) if build == version() else None
    if found is None:
        raise Refusal(404, "the console has no such file; reload GET /console")
    return shown(call, found)


def shown(call: Call, file: File) -> Response:
    """Answer with a file, or with 304 if the client has it.

    A page's addresses are relative, so a slash at the end of its own is led away from.
    """
    if call.request.context.get("path", "").endswith("/"):
        return answer(303, None, {**file.headers, "Location": call.path})
    named = call.preconditions.none_match
    if named is not None and named.weakly_name(file.headers["ETag"]):
        return answer(304, None, file.headers)
    return Response(body=file.text, status_code=200, headers=dict(file.headers))
