"""The response model of a job's pause, as those in `response_models`."""

from __future__ import annotations

from typing_extensions import TypedDict

from chalicelib.api.models.response_fields import Due, described
from chalicelib.domain import state_parts
from chalicelib.domain.instant import format_instant


@described
class Pause(TypedDict):
    """Since when a job is paused, until when, why, and by whom."""

    since: Due
    """When it was paused."""
    until: Due | None
    """When it resumes by itself; null if it does not."""
    reason: str | None
    """Why; null if no reason was given. `failing`, by `resona`: `pause_after` runs in a row have
    failed."""
    by: str | None
    """The id of the API key that paused it or changed the pause last, `resona` for Resona itself;
    null on a laptop that asks for no keys."""


def pause_view(pause: state_parts.Pause | None) -> Pause | None:
    """Return the pause of a job."""
    if pause is None:
        return None
    return Pause(
        since=format_instant(pause.since),
        until=format_instant(pause.until) if pause.until else None,
        reason=pause.reason,
        by=pause.by,
    )
