"""The use case of a deployment that registers its jobs: create a job under its key, or replace it
whole.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from chalicelib.domain.errors import JobNotFound, KeyIsTaken, Unavailable
from chalicelib.domain.job import Definition
from chalicelib.usecases.scheduling import Edit, Job, Scheduling


def put(
    scheduling: Scheduling,
    tenant: str,
    key: str,
    make: Callable[[datetime], Definition],
    edit: Callable[[Job, datetime], Edit],
) -> tuple[Job, bool]:
    """Make sure that the tenant's job with this key is the one described; return it, and whether it
    was created.

    `make` and `edit` read what was sent, as a new job or as a change of the one there is. A job
    that somebody else creates between our look and our write is changed, and one that somebody
    deletes is created anew. Raises Unavailable, and what `make`, `edit` and a change raise.
    """
    for _ in scheduling.tries():
        try:
            return scheduling.change(tenant, f"key:{key}", edit), False
        except JobNotFound:
            draft = make(scheduling.clock())
        try:
            return scheduling.create(draft), True
        except KeyIsTaken:
            continue
    raise Unavailable("the job")
