"""What a laptop shows of events: for people."""

from __future__ import annotations

import io
import logging
import re

from chalicelib.domain.errors import Unavailable
from infra.local.run import EventLine


def shown(level: int, event: str, error: Exception | None = None, **fields: object) -> str:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(EventLine())
    record = logging.LogRecord(
        "resona", level, __file__, 1, event, None, (type(error), error, None) if error else None
    )
    vars(record).update(fields)
    handler.handle(record)
    return out.getvalue()


def test_an_event_is_its_name_and_its_fields_on_one_line() -> None:
    line = shown(logging.INFO, "attempt.ended", job_id="job_01", status_code=None, attempt=1)
    assert re.fullmatch(r"\d\d:\d\d:\d\d attempt.ended job_id=job_01 attempt=1\n", line)


def test_a_defect_is_told_with_its_traceback_once() -> None:
    defect = RuntimeError("a defect")
    assert shown(logging.ERROR, "message.failed", defect).endswith("RuntimeError: a defect\n")
    assert shown(logging.ERROR, "deliver failed", defect).endswith("deliver failed\n")


def test_what_does_not_answer_is_named_without_a_traceback() -> None:
    line = shown(logging.WARNING, "message.failed", Unavailable("the job"), job_id="job_01")
    assert line.endswith(
        "message.failed job_id=job_01 why='the job is unavailable; nothing was changed: try again'\n"
    )
