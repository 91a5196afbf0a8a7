"""Read a tenant's jobs page by page, newest or soonest due first, with filters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from chalicelib.api.paging import NotACursor, read_cursor
from chalicelib.api.query import Rule
from chalicelib.api.routing import Call
from chalicelib.aws.job_items import Watched
from chalicelib.domain.ids import JOB_ID
from chalicelib.domain.job import Kind
from chalicelib.domain.state import State
from chalicelib.usecases import due_jobs
from chalicelib.usecases.scheduling import Job

# A page ends after reading this many jobs, shown or not.
MOST_READ = 1000
_PAGE = 100
# Positions in the list of jobs that are due again.
_DUE = re.compile(rf"due#([0-9T:+-]{{25}})#({JOB_ID.pattern})", re.ASCII)
_WATCHED = re.compile(rf"watch#([0-9TZ:.-]{{27}})#([0-9]{{1,2}})#({JOB_ID.pattern})", re.ASCII)


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
        size = min(_PAGE, most - read)
        jobs, before = call.scheduling.page(call.tenant, before, size, wanted.kind)
        matching = [job for job in jobs if wanted.matches(job)]
        with_results = _with_results(call, matching[:results])
        results -= len(with_results)
        for job in jobs:
            if wanted.matches(job):
                yield with_results.get(job.definition.id, job), position
            position = job.definition.id
        if before is None:
            return
    yield None, before


def _with_results(call: Call, jobs: Sequence[Job]) -> dict[str, Job]:
    """Return the jobs with their results, by id."""
    return {job.definition.id: job for job in call.scheduling.with_results(jobs)}


def read_due_jobs(
    call: Call, size: int, wanted: Filter, *, results: int
) -> Iterator[tuple[Job | None, str | None]]:
    """Read the jobs that are due again from the call's cursor on, soonest first, `size` at a time.

    Yield as `read_jobs` does. If the tenant has more than MOST_READ jobs, they come in the order of
    the index on `watch_at`: some may be up to WAKE_AHEAD and GRACE earlier than their due time
    says, and those with an unfinished run by more.
    """
    position = read_cursor(call)
    read, size = 0, min(size, _PAGE)
    for group in _groups_of_due(call, position, size):
        states = [state for _, state in group if state is not None]
        jobs = {
            pair[0].id: Job(*pair)
            for pair in call.scheduling.jobs.with_definitions(states)
            if due_jobs.is_due(pair[1])
        }
        matching = [job for job in jobs.values() if wanted.matches(job)]
        with_results = _with_results(call, matching[:results])
        results -= len(with_results)
        for following, state in group:
            job = jobs.get(state.job_id) if state else None
            if job is not None and wanted.matches(job):
                yield with_results.get(job.definition.id, job), position
            position = following
        read += len(group)
    if read >= due_jobs.MOST_READ and _WATCHED.fullmatch(position or ""):
        yield None, position


def _groups_of_due(
    call: Call, position: str | None, size: int
) -> Iterator[list[tuple[str, State | None]]]:
    """Yield the jobs after a position, each with its own position. Raises NotACursor."""
    due = _DUE.fullmatch(position or "")
    entry = _WATCHED.fullmatch(position or "")
    if position is not None and not due and not entry:
        raise NotACursor
    states = None if entry else due_jobs.all_due(call.scheduling, call.tenant)
    if states is not None:
        after = due.groups() if due else ("", "")
        left = [state for state in states if due_jobs.place(state) > after]
        for start in range(0, len(left), size):
            yield [
                ("due#" + "#".join(due_jobs.place(state)), state)
                for state in left[start : start + size]
            ]
        return
    if due:
        # The tenant has more than MOST_READ jobs by now, and its list is read in another way.
        raise NotACursor
    begin = Watched(entry[1], int(entry[2]), entry[3]) if entry else None
    for group in due_jobs.watched(call.scheduling, call.tenant, begin, size):
        yield [(f"watch#{one.watch_at}#{one.shard}#{one.job_id}", state) for one, state in group]


class Filter:
    """The filters of a list of jobs."""

    def __init__(self, call: Call) -> None:
        self.filters = [name for name in ("status", "name", "label") if name in call.query]
        self.kind = Kind(call.query.get("kind", Kind.JOB))
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
