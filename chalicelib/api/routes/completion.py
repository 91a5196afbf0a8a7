"""The route that a job's target calls to complete an attempt."""

from __future__ import annotations

from chalice.app import Blueprint, Response

from chalicelib.api.models.completion_models import Extended, read_word
from chalicelib.api.routing import Call, answer, route
from chalicelib.domain.completion import PATH
from chalicelib.domain.instant import format_measured
from chalicelib.usecases import completing

routes = Blueprint(__name__)


@route(
    routes,
    f"{PATH}{{token}}",
    "POST",
    body="CompletionIn",
    answers={200: "Extended", 204: None},
    refuses=(410, 503),
    open_to_all=True,
)
def complete(call: Call, token: str) -> Response:
    """Complete an attempt of a job with `completion: callback`, or extend its deadline.

    The URL is that of the header `Resona-Complete-Url` of the attempt's request: it needs no key,
    works once, and until the deadline. 204: the attempt has ended so. 200: the deadline is this.
    410: the attempt ended before, so nothing was changed. An unknown URL, and one of a job that was
    deleted, is 404.
    """
    said = read_word(call.document(), token.rpartition(".")[2])
    if isinstance(said, int):
        until = completing.extend(call.scheduling, token, said)
        return answer(200, Extended(deadline=format_measured(until)))
    completing.complete(call.scheduling, token, said)
    return answer(204, None)
