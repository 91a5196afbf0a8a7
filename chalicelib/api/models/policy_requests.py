"""Read from request bodies how a job is retried, and what counts as success."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints
from pydantic.config import JsonDict

from chalicelib.api.models.validation import Errors, Strict, whole
from chalicelib.domain.completion import Completion
from chalicelib.domain.exact_json import write
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import Outcome
from chalicelib.domain.secrets import has_placeholder
from chalicelib.domain.success import OK, SuccessRule, is_pointer

Seconds = Annotated[int, BeforeValidator(whole)]

_MOST_ATTEMPTS = 20
_MOST_ENTRIES = 20
_LONGEST_POINTER = 500
_LONGEST_TEXT = 1_000
# Of `json` as JSON text, in bytes.
_LARGEST_VALUES = 4096
_NEVER = tuple(outcome for outcome in Outcome if outcome is not Outcome.SUCCESS)
_STATUS: JsonDict = {"type": "integer", "minimum": 100, "maximum": 599}
_RANGE = re.compile("([1-5][0-9]{2})-([1-5][0-9]{2})")
_DEFAULT = RetryPolicy()


class RetryIn(Strict):
    """How a failed run is retried."""

    max_attempts: Annotated[int, Field(ge=1, le=_MOST_ATTEMPTS), BeforeValidator(whole)] | None = (
        Field(
            None,
            description="Counts the first; 1 is no retry. Default: 3, or one more than `delays`.",
        )
    )
    initial_delay: Annotated[int, Field(ge=1, le=3600), BeforeValidator(whole)] | None = Field(
        None, description="Seconds to the second attempt. Default: 10."
    )
    max_delay: Annotated[int, Field(ge=1, le=86_400), BeforeValidator(whole)] | None = Field(
        None, description="Seconds; delays double up to it. Default: 3600."
    )
    delays: (
        Annotated[
            list[Annotated[int, Field(ge=1, le=86_400), BeforeValidator(whole)]],
            Field(min_length=1, max_length=_MOST_ENTRIES),
        ]
        | None
    ) = Field(
        None,
        description="Seconds after each attempt, instead of `initial_delay` and `max_delay`; the "
        "last one is repeated.",
    )
    never: list[Any] | None = Field(
        None,
        max_length=_MOST_ENTRIES,
        description="Outcomes and statuses that are not retried.",
        json_schema_extra={"items": {"anyOf": [{"enum": list(_NEVER)}, _STATUS]}},
    )


class SuccessIn(Strict):
    """What counts as success. Every condition given must hold."""

    status: list[Any] | None = Field(
        None,
        min_length=1,
        max_length=_MOST_ENTRIES,
        description="Statuses, and ranges of statuses as a text. Default: 200-299.",
        json_schema_extra={
            "items": {"anyOf": [_STATUS, {"type": "string", "pattern": f"^{_RANGE.pattern}$"}]}
        },
    )
    body_contains: (
        Annotated[str, StringConstraints(min_length=1, max_length=_LONGEST_TEXT)] | None
    ) = Field(None, description="A text that the kept part of the body contains.")
    # Pydantic's models have an attribute `json`.
    values: dict[str, Any] | None = Field(
        None,
        alias="json",
        min_length=1,
        max_length=_MOST_ENTRIES,
        description="JSON Pointers (RFC 6901), and the values that the kept part of the body has "
        f"there. At most {_LARGEST_VALUES} bytes.",
        json_schema_extra={
            "propertyNames": {"pattern": "^(/([^~/]|~[01])*)*$", "maxLength": _LONGEST_POINTER}
        },
    )


def retry_policy(errors: Errors, sent: RetryIn) -> RetryPolicy:
    """Return the policy that was sent; collect what is wrong with it."""
    most, initial, longest = sent.max_attempts, sent.initial_delay, sent.max_delay
    if sent.delays and not initial is longest is None:
        errors.add("retry.delays", "give either delays, or initial_delay and max_delay")
        initial = longest = None
    default = min(len(sent.delays) + 1, _MOST_ATTEMPTS) if sent.delays else _DEFAULT.max_attempts
    policy = RetryPolicy(
        max_attempts=default if most is None else most,
        initial_delay=_DEFAULT.initial_delay if initial is None else timedelta(seconds=initial),
        max_delay=_DEFAULT.max_delay if longest is None else timedelta(seconds=longest),
        delays=tuple(timedelta(seconds=delay) for delay in sent.delays or ()),
        never=tuple(dict.fromkeys(_never(errors, sent.never or ()))),
    )
    for name in ("delays", "never"):
        if most == 1 and getattr(sent, name):
            errors.add(
                f"retry.{name}", "is for retries: leave it out, or give max_attempts of 2 or more"
            )
    if policy.max_delay < policy.initial_delay:
        errors.add("retry.max_delay", "must not be less than initial_delay")
    return policy


def _never(errors: Errors, given: Iterable[object]) -> Iterable[Outcome | int]:
    for place, one in enumerate(given):
        status = _status(one)
        if status is not None:
            yield status
        elif isinstance(one, str) and one in _NEVER:
            yield Outcome(one)
        else:
            errors.add(
                f"retry.never.{place}", f"must be a status from 100 to 599, or {', '.join(_NEVER)}"
            )


def success_rule(errors: Errors, sent: SuccessIn | None) -> SuccessRule | None:
    """Return the rule that was sent, None for none; collect what is wrong with it."""
    if sent is None:
        return None
    if sent.status is None and sent.body_contains is None and sent.values is None:
        errors.add("success", "give status, body_contains or json, or leave success out")
    statuses = OK if sent.status is None else tuple(dict.fromkeys(_ranges(errors, sent.status)))
    values = sent.values or {}
    for pointer in values:
        fault = _pointer_fault(pointer)
        if fault:
            errors.add(f"success.json.{pointer}", fault)
    if len(write(values).encode("utf-8", "surrogatepass")) > _LARGEST_VALUES:
        errors.add("success.json", f"must have at most {_LARGEST_VALUES} bytes as JSON")
    if has_placeholder(sent.body_contains) or has_placeholder(values):
        errors.add("success", "takes no placeholders: the answer is compared with it as it stands")
    return SuccessRule(statuses, sent.body_contains, values)


def check_meaning(
    errors: Errors, retry: RetryPolicy, rule: SuccessRule | None, completion: Completion | None
) -> None:
    """Add an error for each status that is never retried because it always is a success.

    With a callback, or conditions on the body, a run with such a status may fail.
    """
    if completion or (rule and (rule.contains is not None or rule.json)):
        return
    for status in retry.never:
        ranges = rule.statuses if rule else OK
        if isinstance(status, int) and any(first <= status <= last for first, last in ranges):
            errors.add(
                "retry.never",
                f"{status} is a success, which is never retried: leave it out, or say in success "
                "what is one",
            )


def _ranges(errors: Errors, given: Iterable[object]) -> Iterable[tuple[int, int]]:
    for place, one in enumerate(given):
        status = _status(one)
        match = _RANGE.fullmatch(one) if isinstance(one, str) else None
        if status is not None:
            yield status, status
        elif match and int(match[1]) <= int(match[2]):
            yield int(match[1]), int(match[2])
        else:
            errors.add(
                f"success.status.{place}",
                'must be a status from 100 to 599, or a range of them as "200-299"',
            )


def _pointer_fault(pointer: str) -> str | None:
    if len(pointer) > _LONGEST_POINTER:
        return f"a JSON Pointer must have at most {_LONGEST_POINTER} characters"
    if not is_pointer(pointer):
        return "must be a JSON Pointer, such as /state or /items/0/id, with ~0 for ~ and ~1 for /"
    return None


def _status(value: object) -> int | None:
    """Return a status, None for any other value."""
    number = whole(value)
    if isinstance(number, int) and not isinstance(number, bool) and 100 <= number <= 599:
        return number
    return None
