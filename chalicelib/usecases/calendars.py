"""The use case of calendars that looks at jobs: delete one."""

from __future__ import annotations

from chalicelib.domain.errors import CalendarInUse
from chalicelib.usecases.scheduling import Scheduling

# Jobs that name a calendar are counted up to this number.
MOST_COUNTED = 1_000


def delete(scheduling: Scheduling, tenant: str, name: str) -> None:
    """Delete a calendar. Raises CalendarNotFound, CalendarInUse, Unavailable.

    A job that begins to name it in this moment excludes nothing by it.
    """
    store = scheduling.calendars
    store.get(tenant, name)
    ids = store.users(tenant, name, MOST_COUNTED + 1)
    users = {
        definition.id
        for definition, _ in scheduling.jobs.pairs(ids)
        if name in definition.trigger.limits.exclude
    }
    if users:
        raise CalendarInUse(min(len(users), MOST_COUNTED), are_all=len(ids) <= MOST_COUNTED)
    store.forget(tenant, name, ids)
    store.delete(tenant, name)
