"""Set up logging and metrics for an invocation of a Lambda function.

The rest of `chalicelib` logs events to the standard library's logger `resona`, with ids as `extra`;
only the handlers use this module. Outside Lambda it does nothing.

docs/logs.md lists every event, field and metric, and why Powertools for AWS Lambda is not used.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from chalicelib.config import read_log_level
from chalicelib.domain.errors import Unavailable
from chalicelib.telemetry.lines import EVENTS, Line, Lines, is_logged, mark_logged
from chalicelib.telemetry.metrics import Tally

log = logging.getLogger(EVENTS)


class InvocationFailed(Exception):
    """Raised to Lambda instead of the original exception, whose text Lambda would log."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"{type(error).__name__}; the log's line with exception_name says where and why"
        )


class _Process:
    """The logging of a Lambda function's process."""

    def __init__(self) -> None:
        """Replace Lambda's log handler, which would write each event a second time, as text."""
        self._line = Line()
        self._lines = Lines(self._line)
        self._tally = Tally()
        root = logging.getLogger()
        for handler in list(root.handlers):
            root.removeHandler(handler)
        root.addHandler(self._lines)
        # Never DEBUG: messages of libraries contain requests and answers.
        root.setLevel(logging.WARNING)
        log.addHandler(self._tally)
        # Metrics are counted whatever the level of the written lines.
        log.setLevel(logging.DEBUG)

    def begin(self, keys: dict[str, str | None]) -> None:
        """Begin an invocation; `keys` are added to all its lines."""
        self._line.keys = keys
        self._tally.begin()

    def write_from(self, level: int) -> None:
        """Write lines of this level and above."""
        self._lines.setLevel(level)

    def flush(self, function: str) -> None:
        """Write the metrics of the invocation. Never raises."""
        try:
            stage = os.environ.get("RESONA_STAGE") or "unknown"
            documents = self._tally.documents(stage, function, time.time_ns() // 1_000_000)
            self._lines.stream.writelines(
                json.dumps(document, separators=(",", ":")) + "\n" for document in documents
            )
            self._lines.flush()
        except Exception:
            # An exception would make Lambda invoke the function again.
            log.exception("metrics.failed")


process = cache(_Process)


@contextmanager
def invocation(
    function: str,
    context: object = None,
    *,
    refusal: type[Exception] | None = None,
    **keys: str | None,
) -> Iterator[None]:
    """Log the body as an invocation of a Lambda function, and write its metrics at the end.

    `keys` are added to every line. An exception is logged once and replaced by InvocationFailed; an
    exception of the class `refusal` is a result of the function, and passes unchanged.
    """
    # Only Lambda can set this variable.
    if "AWS_LAMBDA_FUNCTION_NAME" not in os.environ:
        yield
        return
    begun = process()
    begun.begin(
        {
            "function_request_id": getattr(context, "aws_request_id", None),
            "xray_trace_id": _trace_id(),
            **keys,
        }
    )
    try:
        begun.write_from(read_log_level())
        yield
    except Exception as error:
        # Lambda would log the text of the original exception.
        if refusal is not None and isinstance(error, refusal):
            raise
        if not is_logged(error):
            log.log(
                logging.WARNING if isinstance(error, Unavailable) else logging.ERROR,
                "invocation.failed",
                exc_info=error,
            )
        failed = InvocationFailed(error)
        mark_logged(failed)
        raise failed from None
    finally:
        begun.flush(function)


def _trace_id() -> str | None:
    """Return the id of the invocation's X-Ray trace, None if it is not sampled."""
    parts = dict(
        part.partition("=")[::2] for part in os.environ.get("_X_AMZN_TRACE_ID", "").split(";")
    )
    return parts.get("Root") if parts.get("Sampled") == "1" else None
