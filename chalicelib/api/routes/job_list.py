"""Read a tenant's jobs page by page, newest first, with filters."""

from __future__ import annotations

from collections.abc import Iterator

from chalicelib.api.paging import NotACursor, read_cursor
from chalicelib.api.routing import Call, Rule
from chalicelib.domain.ids import JOB_ID
from chalicelib.usecases.scheduling import Job

# A page ends after reading this many jobs, shown or not.
MOST_READ = 1000
_PAGE = 100


def _why_not_label(value: str) -> str | None:
    return None if value.find(":") > 0 else "must be key:value; the first colon divides them"


label = Rule(
    _why_not_label,
    {
        "type": "string",
        "pattern": "^[^:]+:",
        "examples": ["team:billing"],
        "description": "Only jobs with this label, as key:value; the first colon divides them.",
    },
)


def label_of(call: Call) -> tuple[str, str] | None:
    """Return the key and the value of the label that the call asks for, None if it does not."""
    if "label" not in call.query:
        return None
    # A label's key has no colon; its value may have some.
    key, _, value = call.query["label"].partition(":")
    return key, value


def _position(call: Call) -> str | None:
    """Return the last job's id of the previous page, None on the first. Raises NotACursor."""
    position = read_cursor(call)
    if position is not None and not JOB_ID.fullmatch(position):
        raise NotACursor
    return position


def read_jobs(
    call: Call, most: int, wanted: Filter, *, results: int = 0
) -> Iterator[tuple[Job | None, str | None]]:
    """Read up to `most` jobs from the call's cursor on, newest first; yield those that match.

    With each job comes the position of a page that begins with it. At the end comes None, with the
    position of the rest, if there are more. The first `results` jobs have their results.
    """
    before = position = _position(call)
    for read in range(0, most, _PAGE):
        jobs, before = call.scheduling.page(call.tenant, before, min(_PAGE, most - read))
        shown = [job for job in jobs if wanted.matches(job)][:results]
        results -= len(shown)
        whole = {job.definition.id: job for job in call.scheduling.with_results(shown)}
        for job in jobs:
            if wanted.matches(job):
                yield whole.get(job.definition.id, job), position
            position = job.definition.id
        if before is None:
            return
    yield None, before


class Filter:
    """The filters of a list of jobs."""

    def __init__(self, call: Call) -> None:
        self.filters = [name for name in ("status", "name", "label") if name in call.query]
        self._status = call.query.get("status")
        self._name = call.query.get("name", "")
        self._label = label_of(call)

    def matches(self, job: Job) -> bool:
        """Return whether a job matches every filter."""
        definition = job.definition
        if self._status is not None and job.state.status != self._status:
            return False
        if self._label is not None and self._label not in definition.labels.items():
            return False
        return definition.name.startswith(self._name)
