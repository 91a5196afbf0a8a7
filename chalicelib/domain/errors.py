"""What can go wrong, as one tree.

    ResonaError
    ├── InvalidInput          a field, parameter or header has a wrong value; names every one (422)
    ├── NotFound              (404)
    │   ├── JobNotFound
    │   ├── RunNotFound
    │   └── SecretNotFound
    ├── Refused               the state of the job does not allow it (409)
    │   ├── JobHasEnded           pause or change of a one-time job whose run has begun or ended
    │   ├── DateHasPassed         resume of a one-time job that is over
    │   ├── TooManyRuns           run-now while 32 runs are unfinished
    │   ├── KeyIsTaken            a job key that exists
    │   ├── RotatedTooOften       a rotation that would drop a signing secret before its 24 hours are over
    │   └── RequestUnderWay       the same Idempotency-Key, the first request not yet answered
    ├── NotCurrent            If-Match names another revision, If-None-Match this one (412)
    ├── QuotaExceeded         over the tenant's quota of jobs, of secrets or of registrations in a minute (429)
    └── Unavailable           a part Resona needs does not answer (503); `unknown` when nobody can tell whether it took effect

A target that fails is data (`domain.run.Outcome`), never an exception.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from chalicelib.domain.instant import format_instant


class ResonaError(Exception):
    """The root of every error that Resona raises on purpose."""


# Names are the client's: what is shown of one is cut. A header's longest name fits.
_LONGEST_FIELD, _LONGEST_MESSAGE = 160, 400
# So many wrong fields are told in an error's sentence, fewer if the sentence is longer than so many
# characters before.
_TOLD, _LONG = 10, 400


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` characters: what is cut off is an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong value: `field` is a dotted path (`trigger.cron`), `message` says what is allowed."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message

    def shortened(self) -> FieldError:
        """Return the error as it is shown: what a client wrote may have thousands of characters."""
        return FieldError(
            shortened(self.field, _LONGEST_FIELD), shortened(self.message, _LONGEST_MESSAGE)
        )


class InvalidInput(ResonaError):
    """One or more fields have wrong values.

    `errors` has all of them and is never empty; the sentence tells the first few.
    """

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(self._told()))

    def _told(self) -> Iterator[str]:
        size = 0
        for place, error in enumerate(self.errors):
            if place == _TOLD or size > _LONG:
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
    """There is no such thing for this tenant."""


class JobNotFound(NotFound):
    def __init__(self) -> None:
        # Without the id, so that a foreign, a deleted and a never given id answer with the same
        # bytes.
        super().__init__("there is no such job")


class RunNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("there is no such run")


class SecretNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("there is no such secret")


class Refused(ResonaError):
    """The state of the job does not allow it."""


class JobHasEnded(Refused):
    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: the run of this one-time job has begun or ended; give it a new trigger"
        )


class DateHasPassed(Refused):
    def __init__(self) -> None:
        super().__init__("the date of this one-time job has passed; give it a new trigger")


class TooManyRuns(Refused):
    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} runs of this job are unfinished; wait until one has ended")


class KeyIsTaken(Refused):
    def __init__(self, key: str) -> None:
        super().__init__(
            f"a job with the key {key!r} exists; change it, or use PUT /jobs/key:{key}"
        )


class RequestUnderWay(Refused):
    def __init__(self) -> None:
        super().__init__(
            "the first request with this Idempotency-Key is still under way; repeat it in a moment"
        )


class RotatedTooOften(Refused):
    def __init__(self, most: int, until: datetime) -> None:
        super().__init__(
            f"{most} earlier signing secrets are in force for 24 hours each; rotate again at {format_instant(until)}"
        )


class NotCurrent(ResonaError):
    """`why` says what the request asked for and is not so."""

    def __init__(
        self,
        why: str = "the job does not have the ETag that If-Match names: it has changed, or does not exist; "
        "read it, and send its ETag with the quotes",
    ) -> None:
        super().__init__(why)


class QuotaExceeded(ResonaError):
    """`quota` is `jobs`, `secrets` or `registrations`; `window` the seconds that a quota of
    registrations is for; `retry_after` seconds.
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
            what = f"there may be {limit} jobs: delete some"
            when = f"a deleted job may count for another {retry_after} s, so try again then"
        else:
            what = f"there may be {limit} {quota}: delete some"
            when = f"try again in {retry_after} s"
        super().__init__(f"over the quota of {quota}: {what}; {when}")


class Unavailable(ResonaError):
    """`part` names what does not answer; `unknown` is True when the change may have been made."""

    def __init__(self, part: str, *, unknown: bool = False) -> None:
        self.part = part
        self.unknown = unknown
        lost = "nobody can tell whether the change was made: repeat with the same Idempotency-Key"
        super().__init__(
            f"{part} is unavailable; {lost if unknown else 'nothing was changed: try again'}"
        )
