"""Walking through a tenant's jobs, newest first: positions, filters."""

from __future__ import annotations

from collections.abc import Iterator

from chalicelib.api.paging import NotACursor, read_cursor
from chalicelib.api.routing import Call, Rule, parts
from chalicelib.domain.ids import JOB_ID
from chalicelib.usecases.scheduling import Job

# A page ends when so many jobs are read, whether they are shown or not.
MOST_READ = 1000


def _why_not_label(value: str) -> str | None:
    return None if ":" in value[1:] else "must be key:value"


label = Rule(
    _why_not_label,
    {
        "type": "string",
        "pattern": "^[\\s\\S][\\s\\S]*:",
        "description": "Only those with this label, as key:value.",
    },
)


def read_position(call: Call) -> str | None:
    """Return the id of the job to go on after, None to begin with the newest. Raises NotACursor."""
    position = read_cursor(call)
    if position is not None and not JOB_ID.fullmatch(position):
        raise NotACursor
    return position


def read_jobs(tenant: str, before: str | None, most: int) -> Iterator[tuple[Job | None, str]]:
    """Yield up to `most` jobs, newest first, each with its id; (None, where to go on) if there are
    more.
    """
    read = 0
    while read < most:
        page = min(100, most - read)
        jobs, before = parts.scheduling.page(tenant, before, page)
        read += page
        for job in jobs:
            yield job, job.definition.id
        if before is None:
            return
    if before is not None:
        yield None, before


class Filter:
    """The filters of a list."""

    def __init__(self, call: Call) -> None:
        self.filters = [name for name in ("status", "name", "label") if name in call.query]
        self._status = call.query.get("status")
        self._name = call.query.get("name", "")
        self._label = call.query.get("label")

    def matches(self, job: Job) -> bool:
        """Say whether a job is one of those asked for."""
        definition = job.definition
        if self._status is not None and job.state.status != self._status:
            return False
        # A label's name may hold a colon, too.
        if self._label is not None and self._label not in (
            f"{name}:{value}" for name, value in definition.labels.items()
        ):
            return False
        return definition.name.startswith(self._name)
