"""Format log records as lines of JSON, in the format of Powertools for AWS Lambda's Logger.

Unlike that, a line never contains the text of an exception, which may contain a secret.
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
# Of a long stack trace, keep the outermost and the innermost frames; of causes, the first five.
_OUTER, _INNER, _CAUSES = 10, 20, 5
_IS_LOGGED = "is_logged"


def is_logged(error: BaseException | None) -> bool:
    """Return whether this exception was already logged."""
    return error is not None and _IS_LOGGED in vars(error)


def mark_logged(error: BaseException) -> None:
    """Mark an exception as logged."""
    vars(error)[_IS_LOGGED] = True


class Line(logging.Formatter):
    """Formats a record as a line. `keys` are added to every line of the current invocation.

    Fields that are None are left out. Events are records of the logger `resona` without arguments.
    All other records come from libraries, and their texts contain URLs, headers and values: their
    lines have only the place in the code that logged them.
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
            fields |= exception_fields(error)
        # ASCII, so that no text can break the line or fail to be encoded.
        return json.dumps(
            {name: value for name, value in fields.items() if value is not None},
            separators=(",", ":"),
            default=_kind,
        )


def is_event(record: logging.LogRecord) -> bool:
    """Return whether a record is an event of Resona, not a message of a library.

    Chalice's logger has another name, that of the app: `resona-<stage>`.
    """
    return record.name == EVENTS and not record.args


def _kind(value: object) -> str:
    return type(value).__name__


def exception_fields(error: BaseException) -> dict[str, Any]:
    """Return the classes of an exception and of its causes, and its stack trace.

    Never its text, arguments or local variables: a KeyError may contain a header, a ValueError a
    body.
    """
    causes = [_named(cause) for cause in _causes(error)]
    # Unavailable is no defect of the code: a stack trace would not help.
    place = [] if isinstance(error, Unavailable) else _stack(error.__traceback__)
    return {**_named(error), "causes": causes or None, "stack_trace": place or None}


def _named(error: BaseException) -> dict[str, str]:
    named = {"exception_name": type(error).__name__}
    if isinstance(error, Unavailable | SettingMissing):
        # These messages contain only names of services and settings.
        named["why"] = str(error)
    # For an error of botocore, code and operation show which permission is missing. Its text
    # contains values.
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
    """Writes lines. Several threads may log; each exception is logged once."""

    def __init__(self, line: Line) -> None:
        super().__init__(sys.stdout)
        self.setFormatter(line)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if is_logged(error) or (record.levelno < logging.WARNING and not is_event(record)):
            return
        super().emit(record)
        if error is not None:
            mark_logged(error)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        # logging would print the record with its arguments.
        failed = {
            "name": EVENTS,
            "msg": "log_line.failed",
            "levelname": "ERROR",
            "place": f"{record.pathname}:{record.lineno}",
        }
        # If not even this can be written, go on without a line.
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(self.format(logging.makeLogRecord(failed)) + self.terminator)
