"""The response models of attempts."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from chalicelib.api.models.response_fields import Encoding, Measured, described
from chalicelib.domain.run import Outcome


@described
class KeptResponse(TypedDict):
    """The target's response: the first 16 KiB of its body, 8 KiB of its headers."""

    headers: dict[str, str]
    """The response's headers by name."""
    body: str
    """The response's body; as base64 if `encoding` says so."""
    truncated: bool
    """Whether the body or the headers were longer than what is kept."""
    encoding: NotRequired[Encoding]


@described
class Attempt(TypedDict):
    """One HTTP exchange with the target."""

    number: int
    """1 for the first attempt of the run."""
    started_at: Measured
    """When it began."""
    duration_ms: int
    """How long it took, in milliseconds."""
    outcome: Outcome
    status_code: int | None
    """The target's status; null if it did not answer."""
    response: NotRequired[KeptResponse | None]
    """Absent in lists."""
    error: str | None
    """Why it failed; null if it did not."""
    message: NotRequired[str]
    """What the target said by callback, if it said something."""
