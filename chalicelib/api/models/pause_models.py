"""The response model of a job's pause, as those in `response_models`."""

from __future__ import annotations

from typing_extensions import TypedDict

from chalicelib.api.models.response_fields import Due, described
from chalicelib.domain import state_parts
from chalicelib.domain.instant import format_instant
from chalicelib.domain.state_parts import PauseReason


@described
class Pause(TypedDict):
    """Why Resona paused the job, and since when."""

    since: Due
    """When it was paused."""
    reason: PauseReason
    """`failing`: `pause_after` runs in a row have failed."""


def pause_view(pause: state_parts.Pause | None) -> Pause | None:
    """Return the pause of a job."""
    return Pause(since=format_instant(pause.since), reason=pause.reason) if pause else None
