"""The definition of a job: what the user wrote, and nothing about where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from chalicelib.domain.exact_json import SORTED, write
from chalicelib.domain.request import Request
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.trigger import Trigger


class Overlap(StrEnum):
    """What to do when a job comes due while its previous run is unfinished."""

    ALLOW = "allow"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Definition:
    """A job as the user wrote it.

    `generation` is the one in which this definition began to count; `State.defined_in` names the
    same one. `edition` counts what the user has written, names and labels too: the state that goes
    with this definition has the same. `misfire_grace` None: a one-time job is always sent, a cron
    job when its next occurrence has not come due. `key` is the client's own name for the job, None
    if it gave none.
    """

    id: str
    tenant: str
    generation: int
    name: str
    created_at: datetime
    trigger: Trigger
    request: Request
    timeout: timedelta = timedelta(seconds=30)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    overlap: Overlap = Overlap.ALLOW
    misfire_grace: timedelta | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    edition: int = 1

    @property
    def meaning(self) -> tuple[object, ...]:
        """Return what would be sent, when, and how: a change of any of it is a new generation, a
        name or label is not.
        """
        request = self.request
        # As JSON: to Python false is 0 and true is 1. With the digits of its numbers: 1.0 instead
        # of 1 is another body.
        sent = (request.url, request.method, dict(request.headers), write(request.body, SORTED))
        return (self.trigger, sent, self.timeout, self.retry, self.overlap, self.misfire_grace)

    def says_the_same_as(self, other: Definition) -> bool:
        """Say whether the user has written nothing else in another definition."""
        return self.meaning == other.meaning and (self.name, self.labels) == (
            other.name,
            other.labels,
        )
