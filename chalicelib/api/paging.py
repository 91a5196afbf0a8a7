"""Pages of lists: their size, and the cursor to the next page."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from urllib.parse import unquote

from chalicelib.api.problems import Refusal
from chalicelib.api.routing import Call, Rule, any_text

MOST_SHOWN = 100


_SIZES = frozenset(map(str, range(1, MOST_SHOWN + 1)))


def _why_not_size(value: str) -> str | None:
    return None if value.lstrip("0") in _SIZES else f"must be a whole number from 1 to {MOST_SHOWN}"


page_size = Rule(
    _why_not_size,
    {
        "type": "integer",
        "minimum": 1,
        "maximum": MOST_SHOWN,
        "description": "The largest number of entries on the page.",
    },
)
cursor = any_text("The start of the page, from the `next` Link of the previous page.")


def limit_of(call: Call, default: int) -> int:
    """Return the call's `limit`, which the route's rule has checked, or the default."""
    return int(call.query.get("limit", default))


class NotACursor(Refusal):
    """A cursor that Resona did not give out for this list (400)."""

    def __init__(self) -> None:
        super().__init__(
            400, "the cursor is not one of Resona's for this list; begin without a cursor"
        )


def write_cursor(call: Call, position: str) -> str:
    """Return an opaque cursor for a position, bound to tenant, path and filters."""
    mark = _mark(call, position)
    return base64.urlsafe_b64encode(f"{mark}{position}".encode()).decode().rstrip("=")


def link_to(call: Call, position: str | None) -> dict[str, str]:
    """Return the Link header to the page after a position; no headers if it is None."""
    return {} if position is None else {"Link": call.next_link(write_cursor(call, position))}


def read_cursor(call: Call) -> str | None:
    """Return the position in the call's cursor, None if it has no cursor.

    Raises NotACursor.
    """
    cursor = call.query.get("cursor")
    if cursor is None:
        return None
    try:
        text = base64.b64decode(
            cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True
        ).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    mark, position = text[:16], text[16:]
    if not position or _mark(call, position) != mark or write_cursor(call, position) != cursor:
        raise NotACursor
    return position


def _mark(call: Call, position: str) -> str:
    # Not a secret: every page is read under the caller's own tenant.
    filters = sorted(
        (name, value) for name, value in call.query.items() if name not in ("cursor", "limit")
    )
    # Decode the path: `key:a` and `key%3Aa` are the same.
    bound = json.dumps([call.tenant, unquote(call.path), filters, position])
    return hashlib.sha256(bound.encode()).hexdigest()[:16]
