"""Make and read the ids of jobs and runs and the names of schedules.

A job's id is `job_` and a ULID. A run's id is a function of its job and its key: `run_<ULID of the
job>-<key>`, where the key is `<generation>-<due time>` for an occurrence and a ULID for a manual
run. Every attempt of an occurrence has the same run id, whichever process makes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from ulid import ULID

JOB_ID = re.compile(r"job_[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)
JOB_KEY = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_SCHEDULED = re.compile(r"([1-9][0-9]{0,9})-([0-9]{8}T[0-9]{6}Z)", re.ASCII)
_MANUAL = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)


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
    0.
    """

    due_at: datetime
    generation: int = 0
    manual: str | None = None

    @classmethod
    def for_manual(cls, now: datetime) -> RunKey:
        """Make the key of a new manual run."""
        return cls.parse(str(ULID.from_datetime(now)))

    @classmethod
    def parse(cls, text: str) -> RunKey:
        """Read a key from the text that `str` makes of it. Raises ValueError for other texts."""
        if _MANUAL.fullmatch(text):
            return cls(due_at=token_time(text).replace(microsecond=0), manual=text)
        match = _SCHEDULED.fullmatch(text)
        if not match:
            raise ValueError("not a run key")
        return cls(due_at=datetime.fromisoformat(match[2]), generation=int(match[1]))

    def __str__(self) -> str:
        return self.manual or f"{self.generation}-{_compact(self.due_at)}"

    @property
    def asked_at(self) -> datetime:
        """Return the time from which lateness is counted.

        It is the due time; for a manual run, the time of the request, to the millisecond.
        """
        return token_time(self.manual) if self.manual else self.due_at

    @property
    def sort(self) -> str:
        """Return the sort key of the run within its job.

        Runs sort by due time, those of the same second by generation, manual ones last.
        """
        return f"{_compact(self.due_at)}#{self.manual or format(self.generation, '010d')}"

    @classmethod
    def from_sort(cls, text: str) -> RunKey:
        """Read a key from its `sort`. Raises ValueError for other texts."""
        due, _, rest = text.partition("#")
        return cls.parse(rest if _MANUAL.fullmatch(rest) else f"{int(rest)}-{due}")


def run_id(job_id: str, key: RunKey) -> str:
    """Return the id of a run, the same in every attempt."""
    return f"run_{job_id.removeprefix('job_')}-{key}"


def run_key(job_id: str, identifier: str) -> RunKey:
    """Return the key in a run's id. Raises ValueError if it is not an id of a run of this job."""
    prefix = f"run_{job_id.removeprefix('job_')}-"
    if not identifier.startswith(prefix):
        raise ValueError("not a run of this job")
    return RunKey.parse(identifier.removeprefix(prefix))
