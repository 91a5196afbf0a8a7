"""What must hold before a job is written or changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from chalicelib.aws.calendar_store import CalendarStore
from chalicelib.aws.secret_store import SecretStore
from chalicelib.domain.errors import FieldError, InvalidInput, IsNotice
from chalicelib.domain.job import Definition, Kind
from chalicelib.domain.state import State
from chalicelib.domain.trigger import Trigger
from chalicelib.usecases.excluding import checked

# Raises if the state does not meet the caller's preconditions.
Check = Callable[[State], None]


def any_state(state: State) -> None:
    """Accept every state."""
    del state


def refuse_notice(definition: Definition) -> None:
    """Raise IsNotice if the job is a notice."""
    if definition.kind is Kind.NOTICE:
        raise IsNotice


def checked_names(
    secrets: SecretStore | None, calendars: CalendarStore, definition: Definition
) -> Trigger:
    """Return the trigger of a job with the calendars that it names.

    Checks that these and the job's secrets exist; `secrets` is None if they need no check. Raises
    Unavailable, and InvalidInput with every place that is wrong.
    """
    wrong: list[FieldError] = []
    if secrets is not None:
        try:
            check_secrets(secrets, definition)
        except InvalidInput as error:
            wrong += error.errors
    try:
        trigger = checked(calendars, definition.tenant, definition.trigger)
    except InvalidInput as error:
        raise InvalidInput([*wrong, *error.errors]) from error
    if wrong:
        raise InvalidInput(wrong)
    return trigger


def check_secrets(secrets: SecretStore, definition: Definition) -> None:
    """Check the secrets that a job and its callbacks name.

    Raises Unavailable, and InvalidInput with every place that is wrong.
    """
    wrong: list[FieldError] = []
    try:
        secrets.check(definition.tenant, definition.request)
    except InvalidInput as error:
        wrong += error.errors
    for field, request in definition.callbacks.requests():
        try:
            secrets.check(definition.tenant, request)
        except InvalidInput as error:
            wrong += [replace(one, field=f"{field}.url") for one in error.errors]
    if wrong:
        raise InvalidInput(wrong)
