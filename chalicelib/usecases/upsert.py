"""Create the job with a key, or replace it whole (PUT /jobs/key:{key})."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from chalicelib.domain.errors import JobNotFound, KeyIsTaken, Unavailable
from chalicelib.domain.job import Definition
from chalicelib.usecases.scheduling import Edit, Job, Scheduling


def put(
    scheduling: Scheduling,
    tenant: str,
    reference: str,
    make: Callable[[datetime], Definition],
    edit: Callable[[Job, datetime], Edit],
) -> tuple[Job, bool]:
    """Create or replace the job with the key; return it, and whether it was created.

    `reference` is `key:<key>`. `make` reads the request's body as a new job, `edit` as a change of
    the existing one. If another client creates or deletes the job between read and write, try
    again. Raises Unavailable, and the errors of `make`, `edit` and `Scheduling.change`.
    """
    for _ in scheduling.tries():
        try:
            return scheduling.change(tenant, reference, edit), False
        except JobNotFound:
            draft = make(scheduling.clock())
        try:
            return scheduling.create(draft), True
        except KeyIsTaken:
            continue
    raise Unavailable("the job")
