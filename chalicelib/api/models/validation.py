"""Collect every error in a request body, so that one answer names them all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from chalicelib.api.problems import MOST_ERRORS
from chalicelib.domain.errors import FieldError, InvalidInput
from chalicelib.domain.exact_json import is_same, plain

READ_ONLY = (
    "id",
    "created_at",
    "updated_at",
    "status",
    "kind",
    "pause",
    "failures",
    "skips",
    "backfill",
    "result",
    "next_run_time",
    "recent_runs",
)

_LONGEST_MISSPELT = 40
# Fields that are written one level too high, and where they belong.
_WITHIN = {
    "trigger": ("delay", "date", "cron", "timezone", "type", "fields"),
    "request": ("url", "method", "headers", "body"),
    "retry": ("max_attempts", "initial_delay", "max_delay"),
}

_Model = TypeVar("_Model", bound=BaseModel)
_Value = TypeVar("_Value")


class Strict(BaseModel):
    """A part of a request body: it converts nothing, and knows no other fields than its own."""

    model_config = ConfigDict(strict=True, extra="forbid")


def whole(value: object) -> object:
    """Return a whole number in any form as an int, every other value as it is.

    In JSON, 30, 30.0 and 3e1 are the same number.
    """
    number = plain(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


class Errors:
    """Collects the errors in a request body."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []
        # Paths of wrong fields, cut to their first two names.
        self.invalid: set[tuple[str | int, ...]] = set()

    def add(self, field: str, message: str) -> None:
        self._errors.append(FieldError(field, message))

    def extend(self, errors: Iterable[FieldError]) -> None:
        self._errors += errors

    def forbid_read_only(
        self,
        document: Mapping[str, Any],
        view: Mapping[str, Any],
        names: Collection[str] = READ_ONLY,
    ) -> None:
        """Add an error for each read-only field that has not the value that is shown."""
        for name in names:
            if name in document and not (name in view and is_same(document[name], view[name])):
                self.add(name, "is read-only: leave it out, or send its present value")

    def validate(
        self,
        model: type[_Model],
        document: Mapping[str, Any],
        read_only: Collection[str] = READ_ONLY,
    ) -> _Model | None:
        """Return the document as the model reads it, or None and collect the errors.

        Fields that are `read_only` are left out: `forbid_read_only` is for them.
        """
        known = {name: value for name, value in document.items() if name not in read_only}
        try:
            sent = model.model_validate(known)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            self.invalid |= {wrong["loc"][:2] for wrong in found}
            self._errors += [
                _field_error(wrong, model if place < MOST_ERRORS else None)
                for place, wrong in enumerate(found)
            ]
            return None
        return sent

    def valid_part(self, model: type[_Model], document: Mapping[str, Any]) -> _Model:
        """Return the fields that `validate` has not refused: rules beyond the model check them.

        They are as they stand in the document; others have their default, or no value if they are
        required. A list stays whole if only entries of it are wrong: their paths are in `invalid`.
        """
        valid = {
            name: value
            for name, value in document.items()
            if name in model.model_fields and (name,) not in self.invalid
        }
        return model.model_construct(**valid)

    def are_in(self, *fields: str) -> bool:
        """Return whether a model has found an error in one of these fields of the body."""
        return any(path[0] in fields for path in self.invalid if path)

    def collect(self, read: Callable[[], _Value]) -> _Value | None:
        """Return what `read` returns, or None and collect the errors that it raises."""
        try:
            return read()
        except InvalidInput as error:
            self._errors += error.errors
            return None

    def raise_if_any(self) -> None:
        if self._errors:
            raise InvalidInput(self._errors)


def require_object(body: object) -> dict[str, Any]:
    """Return the body if it is a JSON object. Raises InvalidInput."""
    if not isinstance(body, dict):
        raise InvalidInput.of("", "the body must be a JSON object")
    return body


def unknown_fields(
    given: Iterable[str], known: Collection[str], within: str = ""
) -> list[FieldError]:
    """Return an error for each unknown name, with the known one that was probably meant.

    `within` is the path before the names, such as `trigger.`.
    """
    wrong = [name for name in given if name not in known]
    # Suggest names only for the errors that are shown: the search is slow.
    hinted = [
        FieldError(within + name, f"unknown field; {hint(name, known)}")
        for name in wrong[:MOST_ERRORS]
    ]
    return hinted + [FieldError(within + name, "unknown field") for name in wrong[MOST_ERRORS:]]


def hint(name: str, known: Collection[str]) -> str:
    """Suggest the known name that was probably meant or is around it, or list the known names."""
    for around, names in _WITHIN.items():
        if around in known and name in names:
            return f'write it within {around}: {{"{around}": {{"{name}": …}}}}'
    # Do not search for long names: that is slow, and they are not misspellings.
    near = get_close_matches(name.lower(), known, n=1) if len(name) <= _LONGEST_MISSPELT else []
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known) or 'none'}"


def _known_at(model: type[BaseModel], path: Iterable[str]) -> Collection[str]:
    """Return the field names of the model that is nested in `model` at a path."""
    for name in path:
        # In a path of pydantic's, every name but the last is that of a field with a model as type,
        # or a model and None.
        kind = model.model_fields[name].annotation
        model = next(iter(get_args(kind)), kind)  # type: ignore[assignment]  # see above
    return [field.alias or name for name, field in model.model_fields.items()]


def _field_error(wrong: ErrorDetails, model: type[BaseModel] | None) -> FieldError:
    """Translate an error of pydantic.

    `model` is the model that was validated, None to suggest no names for misspelt ones.
    """
    if model is not None and wrong["type"] == "extra_forbidden":
        *path, name = map(str, wrong["loc"])
        return unknown_fields([name], _known_at(model, path), "".join(f"{part}." for part in path))[
            0
        ]
    context = wrong.get("ctx", {})
    # pydantic ends the path of a wrong key in "[key]".
    field = ".".join(str(part) for part in wrong["loc"] if part != "[key]")
    sentences = {
        "extra_forbidden": "unknown field",
        "missing": "is required",
        "string_type": "must be a string",
        "int_type": "must be a whole number",
        "bool_type": "must be true or false",
        "dict_type": "must be an object",
        "model_type": "must be an object",
        "list_type": "must be a list",
        "string_too_short": f"must have at least {context.get('min_length')} character",
        "string_too_long": f"must have at most {context.get('max_length')} characters",
        "too_short": f"must have at least {context.get('min_length')} entry",
        "too_long": f"must have at most {context.get('max_length')} entries",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than_equal": f"must be at most {context.get('le')}",
        "literal_error": f"must be {context.get('expected')}",
        "string_pattern_mismatch": "must be 1 to 128 of A-Z a-z 0-9 . _ -",
    }
    return FieldError(field, sentences.get(wrong["type"], wrong["msg"]))
