"""What the Lambda functions say of themselves: their lines, and once for each invocation their
metrics.

Everywhere else in `chalicelib` an event is a call of the standard library's logger `resona`, with
ids as `extra`. Only the lambda_handlers, where Lambda calls, come here. Off Lambda nothing here
does anything: whoever runs Resona there shows its events as it likes.

docs/logs.md has every event, field and metric, and why this is not Powertools for AWS Lambda.
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
from chalicelib.telemetry.lines import EVENTS, Line, Lines, is_told, note_told
from chalicelib.telemetry.metrics import Tally

log = logging.getLogger(EVENTS)


class InvocationFailed(Exception):
    """What Lambda is told when a function fails: it would write down, and hand on, the text of any
    other exception.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"{type(error).__name__}; where and why stands in the log, in the line that has exception_name"
        )


class _Process:
    """The logging of a Lambda function's process."""

    def __init__(self) -> None:
        """Take the place of Lambda's own logging, which would write each event a second time, as
        text.
        """
        self._line = Line()
        self._lines = Lines(self._line)
        self._tally = Tally()
        root = logging.getLogger()
        for handler in list(root.handlers):
            root.removeHandler(handler)
        root.addHandler(self._lines)
        # Never less: what libraries say at DEBUG is made of requests and answers.
        root.setLevel(logging.WARNING)
        log.addHandler(self._tally)
        # Metrics are counted whatever is written.
        log.setLevel(logging.DEBUG)

    def begin(self, keys: dict[str, str | None]) -> None:
        """Begin an invocation: `keys` go into every line of it."""
        self._line.keys = keys
        self._tally.begin()

    def write_from(self, level: int) -> None:
        """Write lines of this level, and of higher ones."""
        self._lines.setLevel(level)

    def flush(self, function: str) -> None:
        """Write the metrics of the invocation. Never raises: what it has done, is done."""
        try:
            stage = os.environ.get("RESONA_STAGE") or "unknown"
            documents = self._tally.documents(stage, function, time.time_ns() // 1_000_000)
            self._lines.stream.writelines(
                json.dumps(document, separators=(",", ":")) + "\n" for document in documents
            )
            self._lines.flush()
        except Exception:
            # What the function did is done, and must not be done again because it could not be
            # counted.
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
    """Be invoked as a Lambda function: `keys` go into every line, metrics are written at the end,
    however it ends.

    What raises is told in one line, unless one has told it already, and raised on as
    InvocationFailed; a `refusal` is an answer of the function, and raised as it is.
    """
    # Lambda sets it, and refuses to have it set by anybody else.
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
        # Lambda would write down, and hand on, the text of whatever it is.
        if refusal is not None and isinstance(error, refusal):
            raise
        if not is_told(error):
            log.log(
                logging.WARNING if isinstance(error, Unavailable) else logging.ERROR,
                "invocation.failed",
                exc_info=error,
            )
        failed = InvocationFailed(error)
        note_told(failed)
        raise failed from None
    finally:
        begun.flush(function)


def _trace_id() -> str | None:
    """Return the id of the trace that X-Ray keeps of this invocation, None if it keeps none."""
    parts = dict(
        part.partition("=")[::2] for part in os.environ.get("_X_AMZN_TRACE_ID", "").split(";")
    )
    return parts.get("Root") if parts.get("Sampled") == "1" else None
