"""Routes of calendars: days on which jobs that name them are not sent."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalice.app import Blueprint, Response

from chalicelib.api.models.calendar_models import calendar_view, read_calendar
from chalicelib.api.models.validation import Errors
from chalicelib.api.paging import NotACursor, cursor, limit_of, link_to, page_size, read_cursor
from chalicelib.api.problems import Refusal
from chalicelib.api.query import any_text
from chalicelib.api.routing import Call, answer, raw_body, route
from chalicelib.domain.calendars import CALENDAR_NAME, Calendar
from chalicelib.domain.errors import CalendarNotFound
from chalicelib.usecases import calendars

log = logging.getLogger("resona")
routes = Blueprint(__name__)

# A calendar has up to 24 KB.
_DEFAULT_LIMIT = 50
FEED = "text/calendar"


@route(
    routes,
    "/calendars",
    "GET",
    answers={200: "Calendars"},
    query={"limit": page_size, "cursor": cursor},
)
def list_calendars(call: Call) -> Response:
    """List the calendars, by name, 50 on a page without a limit. There are at most 100."""
    after = read_cursor(call)
    if after is not None and not CALENDAR_NAME.fullmatch(after):
        raise NotACursor
    limit = limit_of(call, default=_DEFAULT_LIMIT)
    # Read one more than is shown: it tells whether there is a next page.
    found = call.scheduling.calendars.page(call.tenant, after or "", limit + 1)
    following = found[limit - 1].name if len(found) > limit else None
    return answer(200, [calendar_view(one) for one in found[:limit]], link_to(call, following))


@route(routes, "/calendars/{name}", "GET", answers={200: "Calendar"})
def get_calendar(call: Call, name: str) -> Response:
    """Return a calendar."""
    if not CALENDAR_NAME.fullmatch(name):
        raise CalendarNotFound
    return answer(200, calendar_view(call.scheduling.calendars.get(call.tenant, name)))


@route(
    routes,
    "/calendars/{name}",
    "PUT",
    body="CalendarIn",
    text_body=FEED,
    answers={200: "Calendar"},
    query={"timezone": any_text("The time zone of an iCalendar feed, instead of the feed's own.")},
    refuses=(429,),
)
def put_calendar(call: Call, name: str) -> Response:
    """Create or replace a calendar whole: it holds for everything that comes due from now on.

    As text/calendar it takes the all-day events of a holiday feed (iCalendar), recurring ones for
    ten years. The feed's X-WR-TIMEZONE, or `timezone`, is the calendar's zone.
    """
    store, errors, known = call.scheduling.calendars, Errors(), list[Calendar]()
    if CALENDAR_NAME.fullmatch(name):
        known = store.named(call.tenant, [name])
    else:
        errors.add("name", "must be 1 to 64 of A-Z a-z 0-9 _ -")
    shown = calendar_view(known[0]) if known else {"name": name}
    sent = errors.collect(lambda: _read(call, shown, errors))
    errors.raise_if_any()
    assert sent  # noqa: S101  raise_if_any() has not raised
    calendar = store.put(sent)
    log.info("calendar.put")
    return answer(200, calendar_view(calendar))


def _read(call: Call, shown: Mapping[str, Any], errors: Errors) -> Calendar:
    """Read the calendar in the body, and collect what is wrong with the query.

    Raises Refusal, and InvalidInput for what is wrong with the body.
    """
    now = call.scheduling.clock()
    return read_calendar(call.tenant, shown, _document(call, now, errors), now)


def _document(call: Call, now: datetime, errors: Errors) -> object:
    """Return the body, or what a feed in the body has. Raises Refusal, InvalidInput."""
    timezone = call.query.get("timezone")
    if call.media_type == FEED:
        # Loaded for feeds only.
        from chalicelib.api.holiday_feed import read_feed

        return read_feed(raw_body(call.request), now.date(), timezone)
    if call.media_type != "application/json":
        raise Refusal(415, f"send the body as application/json or {FEED}")
    if timezone is not None:
        errors.add("timezone", f"as a query parameter it is for {FEED}: write it in the body")
    return call.document()


@route(routes, "/calendars/{name}", "DELETE", answers={204: None}, refuses=(409,))
def delete_calendar(call: Call, name: str) -> Response:
    """Delete a calendar that no job names."""
    if not CALENDAR_NAME.fullmatch(name):
        raise CalendarNotFound
    calendars.delete(call.scheduling, call.tenant, name)
    log.info("calendar.deleted")
    return answer(204, None)
