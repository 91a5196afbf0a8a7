"""Make and read the ids of jobs and runs and the names of schedules.

A job's id is `job_` and a ULID. A run's id is a function of its job and its key: `run_<ULID of the
job>-<key>`, where the key is `<generation>-<due time>` for an occurrence and a ULID for a manual
run. Every attempt of an occurrence has the same run id, whichever process makes it. A run of a
backfill has `B<token of the backfill>-<due time>`. The retry of a run has the run's key and `-r1`,
the retry of that `-r2`: it is a function of the run it retries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from ulid import ULID

JOB_ID = re.compile(r"job_[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)
RUN_ID = re.compile(
    r"run_[0-7][0-9A-HJKMNP-TV-Z]{25}-[0-9A-Z-]{1,30}(-r[1-9][0-9]{0,5})?", re.ASCII
)
JOB_KEY = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_SCHEDULED = re.compile(r"([1-9][0-9]{0,9})-([0-9]{8}T[0-9]{6}Z)", re.ASCII)
_MANUAL = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)
_BACKFILLED = re.compile(r"B([0-9A-HJKMNP-TV-Z]{12})-([0-9]{8}T[0-9]{6}Z)", re.ASCII)
_RETRY = re.compile(r"(.+)-r([1-9][0-9]{0,5})", re.ASCII)


def new_job_id(now: datetime) -> str:
    """Return a new id. Ids sort by the time of creation, in milliseconds."""
    return f"job_{ULID.from_datetime(now)}"


def least_job_id(at: datetime) -> str:
    """Return the lowest possible id of a job created at `at`, to the millisecond.

    It sorts after the ids of all jobs created before.
    """
    return f"job_{ULID.from_bytes(ULID.from_datetime(at).bytes[:6] + bytes(10))}"


def new_token(now: datetime) -> str:
    """Return a new token for a schedule; `token_time` reads `now` back from it."""
    return str(ULID.from_datetime(now))


def key_in(reference: str) -> str | None:
    """Return the client's key in the reference `key:<key>` to a job, None for any other text."""
    return reference.removeprefix("key:") if reference.startswith("key:") else None


def new_backfill_token(now: datetime) -> str:
    """Return a new token for a backfill: 60 random bits."""
    return str(ULID.from_datetime(now))[-12:]


@lru_cache(1024)
def token_time(token: str) -> datetime:
    """Return when a token was made, in UTC, to the millisecond."""
    return ULID.from_str(token).datetime


def schedule_name(job_id: str, token: str) -> str:
    """Return the name of a job's schedule: 57 characters, within EventBridge Scheduler's 64."""
    return f"{job_id}-{token}"


def split_schedule_name(name: str) -> tuple[str, str]:
    """Return (job id, token) of a schedule's name."""
    job_id, _, token = name.partition("-")
    return job_id, token


def _compact(at: datetime) -> str:
    # strftime takes three times as long, and this is called a dozen times for each attempt.
    return f"{at.year:04}{at.month:02}{at.day:02}T{at.hour:02}{at.minute:02}{at.second:02}Z"


@dataclass(frozen=True, slots=True)
class RunKey:
    """Identifies a run within its job.

    The run of an occurrence is identified by `generation` and `due_at`, a manual run by `manual`, a
    ULID. For a manual run `due_at` is the time of the request in whole seconds, and `generation` is
    0. The run of a backfill is identified by its token, `backfill`, and `due_at`. A run that
    retries another has these from it, and `retry` one higher.
    """

    due_at: datetime
    generation: int = 0
    manual: str | None = None
    retry: int = 0
    backfill: str | None = None

    @classmethod
    def for_manual(cls, now: datetime) -> RunKey:
        """Make the key of a new manual run."""
        return cls.parse(str(ULID.from_datetime(now)))

    @classmethod
    def parse(cls, text: str) -> RunKey:
        """Read a key from the text that `str` makes of it. Raises ValueError for other texts."""
        if match := _RETRY.fullmatch(text):
            return replace(cls._parse(match[1]), retry=int(match[2]))
        return cls._parse(text)

    @classmethod
    def _parse(cls, text: str) -> RunKey:
        if _MANUAL.fullmatch(text):
            return cls(due_at=token_time(text).replace(microsecond=0), manual=text)
        if match := _BACKFILLED.fullmatch(text):
            return cls(due_at=datetime.fromisoformat(match[2]), backfill=match[1])
        match = _SCHEDULED.fullmatch(text)
        if not match:
            raise ValueError("not a run key")
        return cls(due_at=datetime.fromisoformat(match[2]), generation=int(match[1]))

    def __str__(self) -> str:
        if self.backfill:
            first = f"B{self.backfill}-{_compact(self.due_at)}"
        else:
            first = self.manual or f"{self.generation}-{_compact(self.due_at)}"
        return f"{first}-r{self.retry}" if self.retry else first

    @property
    def is_requested(self) -> bool:
        """Return whether a user asked for the run: a manual run, a retry or one of a backfill."""
        return self.manual is not None or self.retry > 0 or self.backfill is not None

    @property
    def is_backfilled(self) -> bool:
        """Return whether the run is one of a backfill; the retry of such a run is not."""
        return self.backfill is not None and not self.retry

    @property
    def retried_by(self) -> RunKey:
        """Return the key of the run that retries this one, if any does."""
        return replace(self, retry=self.retry + 1)

    @property
    def retry_of(self) -> RunKey | None:
        """Return the key of the run that this one retries, None if it is no retry."""
        return replace(self, retry=self.retry - 1) if self.retry else None

    @property
    def asked_at(self) -> datetime:
        """Return the time from which lateness is counted, unless the run was planned for another.

        It is the due time; for a manual run, the time of the request, to the millisecond.
        """
        return token_time(self.manual) if self.manual else self.due_at

    @property
    def sort(self) -> str:
        """Return the sort key of the run within its job.

        Runs sort by due time, those of the same second by generation, others last. A retry comes
        directly after the run it retries.
        """
        rest = f"B{self.backfill}" if self.backfill else self.manual or f"{self.generation:010d}"
        first = f"{_compact(self.due_at)}#{rest}"
        return f"{first}~{self.retry:06d}" if self.retry else first

    @classmethod
    def from_sort(cls, text: str) -> RunKey:
        """Read a key from its `sort`. Raises ValueError for other texts."""
        first, _, retry = text.partition("~")
        due, _, rest = first.partition("#")
        if rest.startswith("B"):
            key = cls._parse(f"{rest}-{due}")
        else:
            key = cls._parse(rest if _MANUAL.fullmatch(rest) else f"{int(rest)}-{due}")
        return replace(key, retry=int(retry)) if retry else key


def run_id(job_id: str, key: RunKey) -> str:
    """Return the id of a run, the same in every attempt."""
    return f"run_{job_id.removeprefix('job_')}-{key}"


def run_key(job_id: str, identifier: str) -> RunKey:
    """Return the key in a run's id. Raises ValueError if it is not an id of a run of this job."""
    prefix = f"run_{job_id.removeprefix('job_')}-"
    if not identifier.startswith(prefix):
        raise ValueError("not a run of this job")
    return RunKey.parse(identifier.removeprefix(prefix))
