"""Query parameters: which values each may have, and which go together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chalice.app import MultiDict

from chalicelib.api.models.validation import hint
from chalicelib.domain.errors import FieldError

# Returns why a query parameter's value is wrong, None if it is valid.
Judge = Callable[[str], str | None]
# Yields the errors in query parameters that do not go together. Their rules allow their values.
JudgeTogether = Callable[[Mapping[str, str]], Iterable[FieldError]]


def _no_error(value: str) -> None:
    """Accept every value of a query parameter."""
    del value


def no_errors(query: Mapping[str, str]) -> tuple[FieldError, ...]:
    """Accept every query parameter beside every other."""
    del query
    return ()


@dataclass(frozen=True, slots=True)
class Rule:
    """The allowed values of a query parameter: as a check, and as a JSON schema with a description.

    The view refuses what only `judge_beside` finds wrong, with a status of its own: it is told here
    beside other errors.
    """

    judge: Judge
    schema: Mapping[str, Any]
    is_required: bool = False
    judge_beside: Judge = _no_error


def read_query(
    sent: MultiDict | None, known: Mapping[str, Rule], together: JudgeTogether
) -> tuple[dict[str, str], list[FieldError]]:
    """Return the query parameters with an allowed value, and what is wrong with the others."""
    given = sent or MultiDict({})
    errors: list[FieldError] = []
    allowed: dict[str, str] = {}
    for name in given:
        values = given.getlist(name)
        if name not in known:
            errors.append(FieldError(name, f"unknown query parameter; {hint(name, known)}"))
        elif len(values) != 1:
            errors.append(FieldError(name, "give it once"))
        elif why := known[name].judge(values[0]):
            errors.append(FieldError(name, why))
        else:
            allowed[name] = values[0]
    errors += [
        FieldError(name, f"is required, such as {rule.schema['examples'][0]}")
        for name, rule in known.items()
        if rule.is_required and name not in given
    ]
    return allowed, [*errors, *together(allowed)]


def any_text(description: str) -> Rule:
    """Return a rule that allows every text, for parameters that the view checks."""
    return Rule(_no_error, {"type": "string", "description": description})


def one_of(values: Iterable[str], description: str) -> Rule:
    """Return a rule that allows only these values."""
    known = tuple(str(value) for value in values)
    return Rule(
        lambda value: None if value in known else f"must be one of {', '.join(known)}",
        {"type": "string", "enum": list(known), "description": description},
    )
