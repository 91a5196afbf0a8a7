"""The errors that Resona raises, as one tree, with their HTTP statuses.

    ResonaError
    ├── InvalidInput          one or more fields, parameters or headers have wrong values (422)
    ├── NotFound              (404)
    │   ├── JobNotFound
    │   ├── RunNotFound
    │   ├── CompletionNotFound    completion by a URL that no attempt has
    │   ├── SecretNotFound
    │   ├── CalendarNotFound
    │   ├── FlowNotFound
    │   └── BackfillNotFound
    ├── Refused               the state of the job does not allow it (409)
    │   ├── JobHasEnded           pause or change of a job whose last run has begun or ended
    │   ├── IsNotice              a change of a notice
    │   ├── DateHasPassed         resume of a job that is not due again
    │   ├── TooManyRuns           run-now or retry while 32 runs are unfinished
    │   ├── NothingToRetry        retry of a run that has not failed
    │   ├── AttemptInFlight       cancel of a run that is just being sent
    │   ├── RunHasEnded           cancel of a run that is over
    │   ├── OccursOnce            backfill of a one-time job
    │   ├── JobIsPaused           backfill of a paused job
    │   ├── BackfillUnderWay      backfill of a job that has one already
    │   ├── KeyIsTaken            a job with this key exists
    │   ├── CalendarInUse         a delete of a calendar that jobs name
    │   ├── RotatedTooOften       a rotation would drop a signing secret that is still in force
    │   └── RequestUnderWay       the first request with this Idempotency-Key has no answer yet
    ├── CompletionOver        completion of an attempt that has ended (410)
    ├── NotCurrent            If-Match or If-None-Match does not hold (412)
    ├── QuotaExceeded         the tenant has too many jobs, secrets or registrations (429)
    └── Unavailable           an AWS service does not answer; the change may be made or not (503)

A failing target is data (`domain.run.Outcome`), never an exception.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from chalicelib.domain.instant import format_instant


class ResonaError(Exception):
    """The base class of every error that Resona raises on purpose."""


# Field names and messages are cut to these lengths, because clients choose the names. The longest
# header name fits.
_LONGEST_FIELD, _LONGEST_MESSAGE = 160, 400
# The sentence of an InvalidInput lists at most this many errors, and no more once it is longer than
# this many characters.
_MOST_LISTED, _LONG_SENTENCE = 10, 400


def shortened(text: str, most: int) -> str:
    """Cut a text to `most` characters; the last one of a cut text is an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


@dataclass(frozen=True, slots=True)
class FieldError:
    """A wrong value: `field` is a dotted path (`trigger.cron`), `message` says what is allowed."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message

    def shortened(self) -> FieldError:
        """Return the error with `field` and `message` cut to the lengths that are shown."""
        return FieldError(
            shortened(self.field, _LONGEST_FIELD), shortened(self.message, _LONGEST_MESSAGE)
        )


class InvalidInput(ResonaError):
    """One or more fields have wrong values.

    `errors` has all of them and is never empty; the sentence lists the first few.
    """

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(self._listed()))

    def _listed(self) -> Iterator[str]:
        size = 0
        for place, error in enumerate(self.errors):
            if place == _MOST_LISTED or size > _LONG_SENTENCE:
                yield f"and {len(self.errors) - place} more"
                return
            text = str(error.shortened())
            size += len(text)
            yield text

    @classmethod
    def of(cls, field: str, message: str) -> InvalidInput:
        """Make the error for a single field."""
        return cls([FieldError(field, message)])


class NotFound(ResonaError):
    """The job, run, secret, channel or flow does not exist, or belongs to another tenant."""


class JobNotFound(NotFound):
    def __init__(self) -> None:
        # Leave out the id: another tenant's job and a job that does not exist get the same answer.
        super().__init__("there is no such job")


class RunNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("there is no such run")


class CompletionNotFound(NotFound):
    def __init__(self) -> None:
        # A wrong token, and one of a job that was deleted, get the same answer.
        super().__init__(
            "no attempt has this URL; call the one in the header Resona-Complete-Url of a request"
        )


class CompletionOver(ResonaError):
    """The attempt that a callback names has ended; `why` says how. Nothing was changed."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}, so nothing was changed; do not call this URL again")


class SecretNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("there is no such secret")


class ChannelNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("there is no such channel of notices")


class BackfillNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("no backfill of this job is under way")


class CalendarNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("there is no such calendar")


class FlowNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("there is no such flow")


class Refused(ResonaError):
    """The present state of the job, or of the tenant's secrets, does not allow the request."""


class JobHasEnded(Refused):
    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: the last run of this job has begun or ended; give it a new trigger"
        )


class IsNotice(Refused):
    def __init__(self) -> None:
        super().__init__(
            "this job is a notice, which can only be read and deleted; change what it tells of"
        )


class DateHasPassed(Refused):
    def __init__(self) -> None:
        super().__init__(
            "the date, or the last occurrence, of this job has passed; give it a new trigger"
        )


class TooManyRuns(Refused):
    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} runs of this job are unfinished; wait until one has ended")


class NothingToRetry(Refused):
    def __init__(self, status: str) -> None:
        what = {
            "succeeded": "the run has succeeded; to send the request again, POST /jobs/{id}/run",
            "skipped": "the run was skipped; to send the request now, POST /jobs/{id}/run",
        }.get(status, "the run has not ended; wait for its end, or cancel it first")
        super().__init__(what)


class AttemptInFlight(Refused):
    def __init__(self, attempt: int) -> None:
        super().__init__(
            f"attempt {attempt} of this run is in flight and cannot be recalled; "
            "wait for its end, and cancel the run if it is retrying then"
        )


class RunHasEnded(Refused):
    def __init__(self, status: str) -> None:
        super().__init__(f"the run has ended as {status}, so there is nothing to cancel")


class OccursOnce(Refused):
    def __init__(self) -> None:
        super().__init__(
            "a one-time job has no past occurrences: POST /jobs/{id}/run sends its request now, "
            "and POST /jobs/{id}/runs/{run_id}/retry retries a run that failed or was missed"
        )


class JobIsPaused(Refused):
    def __init__(self) -> None:
        super().__init__(
            "the job is paused, and a pause ends a backfill: POST /jobs/{id}/resume first"
        )


class BackfillUnderWay(Refused):
    def __init__(self, since: datetime, until: datetime, left: int) -> None:
        super().__init__(
            f"a backfill from {format_instant(since)} to {format_instant(until)} is under way and "
            f"has {left} runs left: wait for its end, or DELETE /jobs/{{id}}/backfill first"
        )


class KeyIsTaken(Refused):
    def __init__(self, key: str) -> None:
        super().__init__(
            f"a job with the key {key!r} exists; "
            f"use another key, or change that job by PUT /jobs/key:{key}"
        )


class RequestUnderWay(Refused):
    def __init__(self) -> None:
        super().__init__(
            "the first request with this Idempotency-Key is still under way; repeat it in a moment"
        )


class CalendarInUse(Refused):
    """A calendar that jobs name is to be deleted. `count` may be all that were counted."""

    def __init__(self, count: int, *, are_all: bool) -> None:
        jobs = "1 job names" if count == 1 else f"{count}{'' if are_all else ' or more'} jobs name"
        it = "it" if count == 1 else "them"
        super().__init__(
            f"{jobs} this calendar in trigger.exclude: change or delete {it} first, or put the "
            "calendar with no days"
        )


class RotatedTooOften(Refused):
    def __init__(self, most: int, until: datetime) -> None:
        super().__init__(
            f"{most} earlier signing secrets are in force for 24 hours each; "
            f"rotate again at {format_instant(until)}"
        )


class NotCurrent(ResonaError):
    """A precondition of the request does not hold; `why` says which."""

    def __init__(
        self,
        why: str = "the job does not have the ETag that If-Match names: "
        "it has changed, or does not exist; read it, and send its ETag with the quotes",
    ) -> None:
        super().__init__(why)


class QuotaExceeded(ResonaError):
    """The tenant has reached a quota: `jobs`, `secrets` or `registrations`.

    `retry_after` is in seconds. `window` is the period of a quota of registrations in seconds, None
    for other quotas.
    """

    def __init__(
        self, quota: str, limit: int, *, retry_after: int, window: int | None = None
    ) -> None:
        self.quota = quota
        self.limit = limit
        self.retry_after = retry_after
        self.window = window
        if window:
            what = f"{limit} jobs may be registered in {window} seconds"
            when = f"try again in {retry_after} s"
        elif quota == "jobs":
            what = f"at most {limit} jobs are allowed: delete some"
            when = f"a deleted job may count for another {retry_after} s, so try again then"
        else:
            what = f"at most {limit} {quota} are allowed"
            when = "delete one, then try again"
        super().__init__(f"over the quota of {quota}: {what}; {when}")


class Unavailable(ResonaError):
    """An AWS service that Resona needs does not answer; `part` names it in words.

    `unknown` is True if the change may have been made, False if nothing was changed.
    """

    def __init__(self, part: str, *, unknown: bool = False) -> None:
        self.part = part
        self.unknown = unknown
        lost = "the change may or may not have been made: repeat with the same Idempotency-Key"
        super().__init__(
            f"{part} is unavailable; {lost if unknown else 'nothing was changed: try again'}"
        )
