"""An event as one line of JSON, as Powertools for AWS Lambda's Logger writes it, but for what may
hold a secret.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from chalicelib.config import SettingMissing
from chalicelib.domain.errors import Unavailable

EVENTS = "resona"
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Of a recursion without end, what led into it and what it came to.
_OUTER, _INNER, _CAUSES = 10, 20, 5
_IS_TOLD = "is_told"


def is_told(error: BaseException | None) -> bool:
    """Say whether a line has told of this very exception: whoever catches it later need not."""
    return error is not None and _IS_TOLD in vars(error)


def note_told(error: BaseException) -> None:
    """Remember that a line has told of an exception."""
    vars(error)[_IS_TOLD] = True


class Line(logging.Formatter):
    """Make lines. `keys` are what every line of the present invocation says; fields that are None
    are left out.

    Events are what the logger `resona` is given with fields, and without arguments. Of everything
    else, what libraries say, a line has the place alone: their texts hold URLs, headers and values.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keys: Mapping[str, str | None] = {}

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "level": record.levelname,
            "message": record.msg,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(
                timespec="milliseconds"
            ),
            "service": EVENTS,
            **self.keys,
        }
        if is_event(record):
            fields |= {name: value for name, value in vars(record).items() if name not in _OWN}
        else:
            fields |= {
                "message": "library.warned",
                "logger": record.name,
                "place": f"{record.pathname}:{record.lineno}",
            }
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            fields |= told_of(error)
        # ASCII, so that no text can break a line or fail to be written.
        return json.dumps(
            {name: value for name, value in fields.items() if value is not None},
            separators=(",", ":"),
            default=_kind,
        )


def is_event(record: logging.LogRecord) -> bool:
    """Say whether a record is an event of Resona's own.

    Chalice's logger has the app's name, `resona-<stage>`.
    """
    return record.name == EVENTS and not record.args


def _kind(value: object) -> str:
    return type(value).__name__


def told_of(error: BaseException) -> dict[str, Any]:
    """Return what may be told of an exception: of which class it and its causes are, and where it
    was raised.

    Never its text, its arguments or a local variable: a KeyError is made of a header, a ValueError
    of a body.
    """
    causes = [_named(cause) for cause in _causes(error)]
    # Not to be reached is no defect: it has a cause, but no place worth a look.
    place = [] if isinstance(error, Unavailable) else _stack(error.__traceback__)
    return {**_named(error), "causes": causes or None, "stack_trace": place or None}


def _named(error: BaseException) -> dict[str, str]:
    named = {"exception_name": type(error).__name__}
    if isinstance(error, Unavailable | SettingMissing):
        # Sentences of ours, made of names of parts and settings.
        named["why"] = str(error)
    # What AWS refuses, in botocore's form: the error's code and the operation say what a role
    # lacks; its text has values in it.
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        named |= {
            "code": str(response.get("Error", {}).get("Code", "")),
            "operation": str(getattr(error, "operation_name", "")),
        }
    return named


def _causes(error: BaseException) -> Iterator[BaseException]:
    for _ in range(_CAUSES):
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None:
            return
        yield cause
        error = cause


def _stack(traceback: TracebackType | None) -> list[str]:
    places = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_qualname}")
        traceback = traceback.tb_next
    return places if len(places) <= _OUTER + _INNER else [*places[:_OUTER], "…", *places[-_INNER:]]


class Lines(logging.StreamHandler[TextIO]):
    """Write lines, each whole: threads may log side by side. An exception is told of once."""

    def __init__(self, line: Line) -> None:
        super().__init__(sys.stdout)
        self.setFormatter(line)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if is_told(error) or (record.levelno < logging.WARNING and not is_event(record)):
            return
        super().emit(record)
        if error is not None:
            note_told(error)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        # logging would print what it could not write, arguments and all.
        failed = {
            "name": EVENTS,
            "msg": "log_line.failed",
            "levelname": "ERROR",
            "place": f"{record.pathname}:{record.lineno}",
        }
        # Where nothing can be written, whoever logs goes on.
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(self.format(logging.makeLogRecord(failed)) + self.terminator)
