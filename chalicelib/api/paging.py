"""Pages of lists: their size, and the cursor to the next page."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from urllib.parse import unquote

from chalicelib.api.problems import Refusal
from chalicelib.api.query import Rule, any_text
from chalicelib.api.routing import Call

MOST_SHOWN = 100
# The digest in a cursor, in hexadecimal digits.
_DIGEST = 16
_NOT_OURS = "is not one of Resona's for this list; begin without a cursor"
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


def _why_not_readable(value: str) -> str | None:
    return None if _position(value) else _NOT_OURS


# A cursor alone that cannot be read is refused with 400 by the view, as one of another list is.
cursor = replace(
    any_text("The start of the page, from the `next` Link of the previous page."),
    judge_beside=_why_not_readable,
)


def limit_of(call: Call, default: int) -> int:
    """Return the call's `limit`, which the route's rule has checked, or the default."""
    return int(call.query.get("limit", default))


class NotACursor(Refusal):
    """A cursor that Resona did not give out for this list (400)."""

    def __init__(self) -> None:
        super().__init__(400, f"the cursor {_NOT_OURS}")


def link_to(call: Call, position: str | None) -> dict[str, str]:
    """Return the Link header to the page after a position; no headers if it is None."""
    return {} if position is None else {"Link": call.next_link(_cursor(call, position))}


def read_cursor(call: Call) -> str | None:
    """Return the position in the call's cursor, None if it has no cursor.

    Raises NotACursor.
    """
    cursor = call.query.get("cursor")
    if cursor is None:
        return None
    position = _position(cursor)
    if not position or _cursor(call, position) != cursor:
        raise NotACursor
    return position


def _position(cursor: str) -> str:
    """Return the position in a cursor, an empty text if it has none."""
    try:
        # This ignores foreign characters.
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        return ""
    return text[_DIGEST:]


def _cursor(call: Call, position: str) -> str:
    """Return an opaque cursor for a position, bound to tenant, path and filters by a digest.

    The digest is not a secret: every page is read under the caller's own tenant.
    """
    filters = sorted(
        (name, value) for name, value in call.query.items() if name not in ("cursor", "limit")
    )
    # Decode the path: `key:a` and `key%3Aa` are the same.
    bound = json.dumps([call.tenant, unquote(call.path), filters, position])
    digest = hashlib.sha256(bound.encode()).hexdigest()[:_DIGEST]
    return base64.urlsafe_b64encode(f"{digest}{position}".encode()).decode().rstrip("=")
