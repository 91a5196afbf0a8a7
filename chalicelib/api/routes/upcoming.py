"""The route of what comes due."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from chalice.app import Blueprint, Response

from chalicelib.api.models.overview_models import upcoming_view
from chalicelib.api.paging import NotACursor, cursor, limit_of, link_to, page_size, read_cursor
from chalicelib.api.query import Rule
from chalicelib.api.routes.job_list import label, label_of
from chalicelib.api.routing import Call, answer, route
from chalicelib.domain.ids import JOB_ID
from chalicelib.domain.instant import format_instant, read_instant
from chalicelib.domain.occurrences import Place
from chalicelib.usecases.upcoming import Wanted, upcoming

routes = Blueprint(__name__)

MOST_HOURS = 168
_HOURS = frozenset(map(str, range(1, MOST_HOURS + 1)))
# The last occurrence of the page before, and the end of the list.
_POSITION = re.compile(rf"([0-9TZ:-]{{20}})#({JOB_ID.pattern})#([0-9TZ:-]{{20}})", re.ASCII)

_hours = Rule(
    lambda value: (
        None if value.lstrip("0") in _HOURS else f"must be a whole number from 1 to {MOST_HOURS}"
    ),
    {
        "type": "integer",
        "minimum": 1,
        "maximum": MOST_HOURS,
        "description": "How many hours ahead; 24 without it.",
    },
)


@route(
    routes,
    "/upcoming",
    "GET",
    answers={200: "Upcoming"},
    query={"hours": _hours, "label": label, "limit": page_size, "cursor": cursor},
)
def list_upcoming(call: Call) -> Response:
    """List what comes due, in time order: the occurrences of all active jobs.

    A job's first occurrence is its `next_run_time`: it is overdue if it has passed.
    """
    after, until = _position(call)
    wanted = Wanted(after, until, label_of(call), limit_of(call, default=50))
    found = upcoming(call.scheduling, call.tenant, wanted)
    following = None
    if found.has_more:
        last = found.occurrences[-1]
        following = f"{format_instant(last.due_at)}#{last.definition.id}#{format_instant(until)}"
    return answer(200, upcoming_view(found, until), link_to(call, following))


def _position(call: Call) -> tuple[Place | None, datetime]:
    """Return the occurrence to list from, None on the first page, and the end of the list.

    Raises NotACursor.
    """
    position = read_cursor(call)
    if position is None:
        now = call.scheduling.clock().replace(microsecond=0)
        return None, now + timedelta(hours=int(call.query.get("hours", 24)))
    parts = _POSITION.fullmatch(position)
    at, until = (read_instant(parts[number]) if parts else None for number in (1, 3))
    if parts is None or at is None or until is None:
        raise NotACursor
    return (at, parts[2]), until
