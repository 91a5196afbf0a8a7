"""Read what a call asks of a pause, and who asks."""

from __future__ import annotations

from chalicelib.api.json_body import parse_if_any
from chalicelib.api.models.pause_requests import read_pause
from chalicelib.api.routing import Call, raw_body
from chalicelib.domain.pauses import Asked


def read_asked(call: Call) -> Asked:
    """Return what a call asks of a pause; without a body only who asks.

    Raises InvalidInput, NotJson, and Refusal if the body is not application/json.
    """
    caller = call.request.context.get("authorizer") or {}
    by = caller.get("key_id")
    if parse_if_any(raw_body(call.request)) is None:
        return Asked(by)
    until, reason = read_pause(call.document(), call.scheduling.clock())
    return Asked(by, until, reason, replaces=True)
