"""Read the calendars that triggers name."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from chalicelib.aws.calendar_store import CalendarStore
from chalicelib.domain.errors import FieldError, InvalidInput, Unavailable
from chalicelib.domain.exclusion import bound
from chalicelib.domain.job import Definition
from chalicelib.domain.state import UnfinishedRun
from chalicelib.domain.trigger import Trigger


def with_calendars(calendars: CalendarStore, definition: Definition) -> Definition:
    """Return a job that knows the calendars that its trigger names, as they are now.

    One that does not exist excludes nothing. Nothing is read for a trigger that names none. Raises
    Unavailable.
    """
    names = definition.trigger.limits.exclude
    if not names:
        return definition
    found = calendars.named(definition.tenant, names)
    return replace(definition, trigger=bound(definition.trigger, found))


def for_following(
    calendars: CalendarStore, definition: Definition, run: UnfinishedRun
) -> Definition:
    """Return a job with its calendars, if a run of a backfill ends: they decide which one follows.

    Without them if they cannot be read: then the claim of the one that follows asks them.
    """
    if run.key.is_backfilled:
        with suppress(Unavailable):
            return with_calendars(calendars, definition)
    return definition


def all_with_calendars(
    calendars: CalendarStore, definitions: Sequence[Definition]
) -> list[Definition]:
    """Return what `with_calendars` does for jobs of one tenant; each calendar is read once."""
    names = {name for one in definitions for name in one.trigger.limits.exclude}
    if not names:
        return list(definitions)
    found = calendars.named(definitions[0].tenant, sorted(names))
    return [
        replace(one, trigger=bound(one.trigger, found)) if one.trigger.limits.exclude else one
        for one in definitions
    ]


def checked(calendars: CalendarStore, tenant: str, trigger: Trigger) -> Trigger:
    """Return a trigger that knows the calendars that it names.

    Raises InvalidInput if one does not exist, Unavailable.
    """
    names = trigger.limits.exclude
    if not names:
        return trigger
    found = calendars.named(tenant, names)
    known = {calendar.name for calendar in found}
    wrong = [
        FieldError(
            f"trigger.exclude.{place}",
            f"there is no calendar {name}: PUT /calendars/{name} first, or leave it out",
        )
        for place, name in enumerate(names)
        if name not in known
    ]
    if wrong:
        raise InvalidInput(wrong)
    return bound(trigger, found)
