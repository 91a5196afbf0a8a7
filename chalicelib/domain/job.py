"""The definition of a job: what the user wrote. Its progress is in `domain.state`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from chalicelib.domain.completion import Completion
from chalicelib.domain.cron import Cron
from chalicelib.domain.exact_json import SORTED, write
from chalicelib.domain.request import Request
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import RunStatus
from chalicelib.domain.spread import placed
from chalicelib.domain.success import SuccessRule
from chalicelib.domain.trigger import Trigger


class Overlap(StrEnum):
    """What to do when a job comes due while its previous run is unfinished."""

    ALLOW = "allow"
    SKIP = "skip"


class Kind(StrEnum):
    """What a job is: a user's, or a notice that Resona made (`domain.notices`)."""

    JOB = "job"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Callbacks:
    """The URLs to which a notice of each run that succeeded or failed is posted; None for none."""

    succeeded: str | None = None
    failed: str | None = None

    def url(self, status: RunStatus) -> str | None:
        """Return the URL for a run that ended with this status."""
        return {RunStatus.SUCCEEDED: self.succeeded, RunStatus.FAILED: self.failed}.get(status)

    def requests(self) -> Iterator[tuple[str, Request]]:
        """Yield the callbacks as requests without a body, each with the name of its field."""
        for name, url in (("succeeded", self.succeeded), ("failed", self.failed)):
            if url is not None:
                yield f"callbacks.{name}", Request(url, "POST", {})


@dataclass(frozen=True, slots=True)
class Definition:
    """A job as the user wrote it.

    `generation` is the generation that began with this definition; `State.defined_in` is the same.
    `edition` counts changes by the user, also of name and labels; the state that belongs to this
    definition has the same edition. With `misfire_grace` None, a one-time job is sent however late
    it is, another until its next occurrence is due. `key` is the client's own name for the job,
    None if it gave none. After `pause_after` failed runs in a row the job is paused; None is never.
    With `success` None, any status of 200 to 299 is a success. With `completion` None, the answer
    of the target ends an attempt. A cron has the offset of the job's id (`domain.spread`).
    `flow` is the name of its flow, None for that of its host (`domain.flows`).
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
    callbacks: Callbacks = Callbacks()
    pause_after: int | None = None
    kind: Kind = Kind.JOB
    success: SuccessRule | None = None
    completion: Completion | None = None
    flow: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.trigger, Cron) and self.trigger.spread and self.id:
            object.__setattr__(self, "trigger", placed(self.trigger, self.id))

    @property
    def meaning(self) -> tuple[object, ...]:
        """Return the parts of the definition whose change starts a new generation.

        Name, labels, callbacks, `pause_after` and `flow` are left out: they decide neither what is
        sent nor when it is due.
        """
        request = self.request
        # Compare JSON values as text: Python takes False for 0, and 1.0 for 1.
        sent = (request.url, request.method, dict(request.headers), write(request.body, SORTED))
        rule = self.success
        success = rule and (rule.statuses, rule.contains, write(dict(rule.json), SORTED))
        deadline = self.completion and self.completion.deadline
        policies = (self.retry, self.overlap, self.misfire_grace, success, deadline)
        return (self.trigger, sent, self.timeout, policies)

    def says_the_same_as(self, other: Definition) -> bool:
        """Return whether another definition has the same contents, apart from ids and times."""
        return self.meaning == other.meaning and self._beside == other._beside

    @property
    def _beside(self) -> tuple[object, ...]:
        base_url = self.completion and self.completion.base_url
        return (self.name, dict(self.labels), self.callbacks, self.pause_after, self.flow, base_url)
