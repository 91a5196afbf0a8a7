"""The definition of a job: what the user wrote. Its progress is in `domain.state`."""

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

    `generation` is the generation that began with this definition; `State.defined_in` is the same.
    `edition` counts changes by the user, also of name and labels; the state that belongs to this
    definition has the same edition. With `misfire_grace` None, a one-time job is sent however late
    it is, a cron job until its next occurrence is due. `key` is the client's own name for the job,
    None if it gave none.
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
        """Return the parts of the definition whose change starts a new generation.

        Name and labels are left out: they decide neither what is sent nor when.
        """
        request = self.request
        # Compare the body as JSON text: Python takes False for 0, and 1.0 for 1.
        sent = (request.url, request.method, dict(request.headers), write(request.body, SORTED))
        return (self.trigger, sent, self.timeout, self.retry, self.overlap, self.misfire_grace)

    def says_the_same_as(self, other: Definition) -> bool:
        """Return whether another definition has the same contents, apart from ids and times."""
        return self.meaning == other.meaning and (self.name, self.labels) == (
            other.name,
            other.labels,
        )
