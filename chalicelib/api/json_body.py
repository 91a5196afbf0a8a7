"""Parse request bodies, more strictly than `json.loads`, so that no later step fails on a value."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from chalicelib.domain.errors import FieldError, ResonaError, shortened
from chalicelib.domain.exact_json import Number, integer, real, write

MAX_DEPTH = 32


class NotJson(ResonaError):
    """The body is not JSON that Resona accepts (400)."""


def parse(raw: bytes) -> object:
    """Read a document; its numbers keep their digits (`exact_json`).

    Raises NotJson for invalid UTF-8 or syntax, duplicate names, NaN and infinities, lone
    surrogates, more than 32 levels, and numbers that many parsers refuse (beyond the range of a
    double, or integers of more than 4,300 digits).
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJson(f"the body is not UTF-8 (byte {error.start})") from error
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_int=integer,
            parse_float=_finite,
        )
    except RecursionError as error:
        raise NotJson(f"the body nests deeper than {MAX_DEPTH} levels") from error
    except json.JSONDecodeError as error:
        raise NotJson(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except ValueError as error:
        sentence = "the body holds a whole number of more than 4,300 digits; send it as a string"
        raise NotJson(sentence) from error
    if _nests_deeper_than(MAX_DEPTH, document):
        raise NotJson(f"the body nests deeper than {MAX_DEPTH} levels")
    try:
        write(document).encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotJson("the body holds half of a surrogate pair, which is no character") from error
    return document


def forbidden_fields(raw: bytes, query: Iterable[str]) -> list[FieldError]:
    """Return an error for each field in the body of a call that takes none.

    `{}` and `null` are allowed: some clients send them. `query` are the parameters that the call
    takes.
    """
    document = parse_if_any(raw)
    if document is None:
        return []
    names = ", ".join(name for name in query if name != "cursor")
    instead = f"; give {names} in the query" if names else ""
    if not isinstance(document, dict):
        return [FieldError("", f"this call takes no body{instead}")]
    why = f"unknown field; this call takes no body{instead}"
    return [FieldError(name, why) for name in document]


def parse_if_any(raw: bytes) -> object:
    """Return the document of a body; the bytes if it is not JSON; None for no body.

    `{}` and `null` are no body either: some clients send them.
    """
    try:
        document = parse(raw) if raw.strip() else None
    except NotJson:
        return raw
    return None if document == {} else document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise NotJson(f"the name {shortened(twice, 64)!r} stands twice in one object")
    return document


def _refuse_constant(name: str) -> float:
    raise NotJson(f"{name} is not JSON")


def _finite(text: str) -> float | Number:
    number = real(text)
    if math.isinf(float(number)):
        raise NotJson(
            f"the number {shortened(text, 40)} is too large: at most 1.79e308 is possible; "
            "send it as a string"
        )
    return number


def _nests_deeper_than(most: int, document: object) -> bool:
    level = [document]
    for _ in range(most):
        level = [member for value in level for member in _members(value)]
    return any(isinstance(value, dict | list) for value in level)


def _members(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
