"""Gathers everything that is wrong with a body, so that one answer names all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from chalicelib.domain.errors import FieldError, InvalidInput

READ_ONLY = ("id", "created_at", "updated_at", "status", "result", "next_run_time")

_Model = TypeVar("_Model", bound=BaseModel)
_Value = TypeVar("_Value")


class Errors:
    """Gathers what is wrong with a body, so that one answer names everything."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []

    def add(self, field: str, message: str) -> None:
        self._errors.append(FieldError(field, message))

    def extend(self, errors: Iterable[FieldError]) -> None:
        self._errors += errors

    def require_object(self, body: object) -> dict[str, Any]:
        if not isinstance(body, dict):
            raise InvalidInput.of("", "the body must be a JSON object")
        return body

    def forbid_read_only(self, document: Mapping[str, Any], view: Mapping[str, Any]) -> None:
        for name in READ_ONLY:
            if name in document and (name not in view or document[name] != view[name]):
                self.add(name, "is read-only")

    def validate(self, model: type[_Model], document: Mapping[str, Any]) -> _Model | None:
        """Return the document as the model reads it, or None and gather what is wrong."""
        known = {name: value for name, value in document.items() if name not in READ_ONLY}
        try:
            sent = model.model_validate(known)
        except ValidationError as error:
            self._errors += [_field_error(wrong) for wrong in error.errors(include_url=False)]
            return None
        return sent

    def collect(self, read: Callable[[], _Value]) -> _Value | None:
        """Return what `read` returns, or None and gather what it refuses."""
        try:
            return read()
        except InvalidInput as error:
            self._errors += error.errors
            return None

    def raise_if_any(self) -> None:
        if self._errors:
            raise InvalidInput(self._errors)


def _field_error(wrong: ErrorDetails) -> FieldError:
    """Say in a sentence of ours what pydantic found."""
    context = wrong.get("ctx", {})
    # A path may end in what pydantic calls a part of the type; what the client wrote has only
    # names.
    field = ".".join(str(part) for part in wrong["loc"] if part != "[key]")
    sentences = {
        "missing": "is required",
        "extra_forbidden": "unknown field",
        "string_type": "must be a string",
        "int_type": "must be a whole number",
        "dict_type": "must be an object",
        "model_type": "must be an object",
        "string_too_short": f"must have at least {context.get('min_length')} character",
        "string_too_long": f"must have at most {context.get('max_length')} characters",
        "too_long": f"must have at most {context.get('max_length')} entries",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than_equal": f"must be at most {context.get('le')}",
        "literal_error": f"must be {context.get('expected')}",
        "string_pattern_mismatch": "must be 1 to 128 of A-Z a-z 0-9 . _ -",
    }
    return FieldError(field, sentences.get(wrong["type"], wrong["msg"]))
