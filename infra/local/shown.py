"""Print a laptop's log: a readable line per event, or with `RESONA_LOG=json` the lines of a stage.

    12:07:48 ✓ Report  POST localhost:9000/cron  200  3 ms

Log records have no job names, methods or paths. They are taken here from the attempt that the
logging thread has just made, or read from the table by the thread that writes. No line has query
strings, headers, bodies or the texts of exceptions.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from logging.handlers import QueueHandler, QueueListener
from typing import Any, TextIO
from urllib.parse import urlsplit

from chalicelib.config import read_log_level
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.run import AttemptResult, Outcome
from chalicelib.domain.state import DueMessage, UnfinishedRun
from chalicelib.domain.state_parts import FAILING
from chalicelib.telemetry.lines import Line, is_logged, mark_logged
from chalicelib.usecases.ahead import NOTHING, Ahead
from chalicelib.usecases.attempt import AttemptSender, PreparedAttempt
from chalicelib.usecases.firing import Firing
from infra.local.shown_words import DIM, GREEN, OF_RUN, RED, SHOWN, UNSHOWN, WORDS, YELLOW

LATE = timedelta(seconds=1)
_LONGEST = 80

# The end of a retry's id.
_RETRY = re.compile(r"-r[0-9]+$", re.ASCII)
_REASONS = {
    "overlap": "the run before was not over",
    "too_many_runs": "too many runs are unfinished",
    "superseded": "the job was changed",
    "cancelled": "it was cancelled",
    "asked": "it was asked to be skipped",
    "paused": "its date passed during a pause",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to print. `lateness` is None except for a run's first attempt."""

    job_id: str
    name: str
    method: str
    url: str
    number: int
    exchange: AttemptResult
    lateness: timedelta | None


class Underway(threading.local):
    """The attempt that this thread has made and that is not printed yet."""

    attempt: Attempt | None = None

    def take(self, job_id: str) -> Attempt | None:
        """Return the attempt if it belongs to this job, else None. Forget it either way."""
        attempt, self.attempt = self.attempt, None
        return attempt if attempt is not None and attempt.job_id == job_id else None


underway = Underway()


@dataclass(frozen=True)
class ShownSender(AttemptSender):
    """A sender that keeps its latest attempt in `underway`, for the line to print."""

    def attempt(
        self, ready: PreparedAttempt, run: UnfinishedRun
    ) -> tuple[datetime, AttemptResult] | None:
        """Send the attempt, as `AttemptSender` does, and keep it for the line to print."""
        sent = super().attempt(ready, run)
        if sent is not None:
            started_at, exchange = sent
            definition, request = ready.definition, ready.definition.request
            lateness = started_at - run.asked_at if run.attempt == 1 else None
            underway.attempt = Attempt(
                definition.id,
                definition.name,
                request.method,
                request.url,
                run.attempt,
                exchange,
                lateness,
            )
        return sent


@dataclass(frozen=True)
class ShownFiring(Firing):
    """The executor; also prints an attempt whose run another invocation has settled."""

    def fire(self, due: DueMessage, ahead: Ahead = NOTHING) -> None:
        """Fire, as `Firing` does, and print an attempt that no event has reported."""
        underway.attempt = None
        try:
            super().fire(due, ahead)
        finally:
            if underway.attempt is not None:
                logging.getLogger("resona").info("run.ended", extra={"job_id": due.job_id})


def shown(firing: Firing) -> Firing:
    """Return the executor with a sender that keeps its attempts for the lines to print."""
    sender = ShownSender(
        **{name: getattr(firing.sender, name) for name in AttemptSender.__dataclass_fields__}
    )
    return ShownFiring(
        **{name: getattr(firing, name) for name in Firing.__dataclass_fields__} | {"sender": sender}
    )


class ReadableLine(logging.Formatter):
    """Formats records as readable lines.

    `name_of` returns a job's name, None if it is not known. It is called once per job.
    """

    def __init__(self, name_of: Callable[[str], str | None], *, colours: bool = False) -> None:
        super().__init__()
        self._name_of = name_of
        self._names: dict[str, str] = {}
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record; an unexpected exception adds the lines of its traceback."""
        fields = vars(record)
        attempt: Attempt | None = fields.get("attempt_made")
        if attempt is not None:
            self._remember(attempt.job_id, attempt.name)
            mark, colour, words = _of_attempt(attempt, record.msg, fields)
        else:
            mark, colour, words = self._words(record)
        if self._colours:
            mark = f"\x1b[{colour}m{mark}\x1b[0m"
        line = f"{self.formatTime(record, '%H:%M:%S')} {mark} {words}"
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Unavailable):
            return f"{line}: {error}"
        if error is None or is_logged(error):
            return line
        mark_logged(error)
        return "\n".join([line, *(f"    {place}" for place in _places(error))])

    def _words(self, record: logging.LogRecord) -> tuple[str, str, str]:
        fields = vars(record)
        if record.name == "resona" and record.msg in OF_RUN:
            mark, colour, words = _of_run(record.msg, fields)
        elif record.name == "resona" and record.msg in WORDS:
            mark, colour, words = WORDS[record.msg]
            words = (_why(record.msg, fields) or words).format_map(fields)
        elif record.name.startswith("resona") and not record.args:
            mark, colour, words = (
                "!",
                RED if record.levelno >= logging.ERROR else YELLOW,
                str(record.msg).replace(".", " "),
            )
        else:
            # Leave out the message: libraries' messages contain URLs, headers and values.
            mark, colour, words = (
                "!",
                YELLOW,
                f"{record.name} gave a warning ({record.pathname}:{record.lineno})",
            )
        job_id = fields.get("job_id")
        return mark, colour, f"{self._name(job_id, record.msg)}  {words}" if job_id else words

    def _name(self, job_id: str, event: str) -> str:
        if event == "job.changed":
            self._names.pop(job_id, None)
        name = self._names.get(job_id) or self._name_of(job_id)
        if name is None:
            return job_id
        self._remember(job_id, name)
        return plain(name)

    def _remember(self, job_id: str, name: str) -> None:
        if len(self._names) >= 10_000:
            self._names.clear()
        self._names[job_id] = name


def _why(event: str, fields: Mapping[str, Any]) -> str | None:
    """Return the text of an event that has another cause than usual, None for the usual text."""
    if event == "job.paused" and fields.get("reason") == FAILING:
        return "paused: too many of its runs failed in a row"
    if event == "run.queued" and _RETRY.search(fields["run_id"]):
        return "asked to retry a run"
    return None


def _of_attempt(attempt: Attempt, event: str, fields: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return mark, colour and text of an attempt and of what it means for its run."""
    status, words = fields.get("status"), _words_of(attempt)
    if event == "run.retrying":
        return "↻", YELLOW, "  ".join([*words, f"attempt {attempt.number}, will be tried again"])
    if event == "run.waiting":
        return "·", DIM, "  ".join([*words, "waits for its callback"])
    if status == "succeeded":
        which = [f"at attempt {attempt.number}"] if attempt.number > 1 else []
        return "✓", GREEN, "  ".join([*words, *which])
    if status is None:
        return (
            "·",
            DIM,
            "  ".join([*words, "its job was changed or deleted, or called back, meanwhile"]),
        )
    reason = _REASONS.get(str(fields.get("reason")))
    failed = "failed" if attempt.number == 1 else f"failed after {attempt.number} attempts"
    return "✗", RED, "  ".join([*words, f"{failed}: {reason}" if reason else failed])


def _words_of(attempt: Attempt) -> list[str]:
    """Return the job's name, the request, its outcome, its duration, and how late it was."""
    exchange = attempt.exchange
    words = [plain(attempt.name), f"{attempt.method} {plain(_target(attempt.url))}"]
    if exchange.status_code is not None:
        words.append(str(exchange.status_code))
    is_plain = exchange.outcome in (Outcome.SUCCESS, Outcome.HTTP_ERROR)
    if exchange.status_code is None or not is_plain:
        words.append(plain(exchange.error or exchange.outcome.value.replace("_", " ")))
    words.append(_length(exchange.duration))
    if attempt.lateness is not None and attempt.lateness > LATE:
        words.append(f"late by {_length(attempt.lateness)}")
    return words


def _target(url: str) -> str:
    """Return host, port and path of a URL, without its query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a malformed URL"
    return parts.netloc.rpartition("@")[2] + (parts.path or "/")


def _of_run(event: str, fields: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return mark, colour and text of a run's event without an attempt in this thread."""
    status, reason = str(fields.get("status", "")), _REASONS.get(str(fields.get("reason")))
    if event == "run.retrying":
        return "↻", YELLOW, "will be tried again"
    if event == "run.waiting":
        return "·", DIM, "waits for its callback"
    if status == "missed":
        count = fields.get("occurrences") or 1
        return (
            "✗",
            RED,
            f"missed a run: {reason or 'it was too late for it'}"
            if count == 1
            else f"missed {count} runs: it was too late for them",
        )
    if status == "succeeded":
        return "✓", GREEN, "succeeded"
    if status == "skipped":
        return "-", YELLOW, f"skipped: {reason}" if reason else "skipped"
    return "✗", RED, f"{status or 'ended'}: {reason or 'all attempts'}"


def _length(time: timedelta) -> str:
    seconds = time.total_seconds()
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    return (
        f"{seconds:.1f} s"
        if seconds < 10
        else str(timedelta(seconds=round(seconds)))
        if seconds >= 120
        else f"{round(seconds)} s"
    )


def plain(text: str) -> str:
    """Return a user's text made safe for a terminal: at most 80 printable characters."""
    safe = "".join(sign if sign.isprintable() else "�" for sign in text)
    return safe if len(safe) <= _LONGEST else f"{safe[: _LONGEST - 1]}…"


def _places(error: BaseException) -> list[str]:
    """Return an exception's traceback and the classes of it and its cause, without their texts."""
    places = [
        f"{frame.filename}:{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-12:]
    ]
    cause = error.__cause__ or error.__context__
    return [
        *places,
        type(error).__name__ + (f", caused by {type(cause).__name__}" if cause else ""),
    ]


class _Writing(QueueHandler):
    """Queues records for the thread that writes, so logging waits for no table or terminal."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Add the attempt to the record: only the logging thread has it."""
        if record.name == "resona" and record.msg in OF_RUN:
            vars(record)["attempt_made"] = underway.take(vars(record)["job_id"])
        return record


def is_shown(record: logging.LogRecord) -> bool:
    """Return whether a record is printed for people."""
    if record.levelno >= logging.ERROR:
        return True
    if record.name != "resona":
        return record.levelno >= logging.WARNING
    return record.msg not in UNSHOWN and (
        record.levelno >= logging.WARNING or record.msg in SHOWN - {"exchange.failed"}
    )


def has_colours(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether a stream is a terminal with colours and NO_COLOR is unset (https://no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def is_json(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether RESONA_LOG is `json`. Exits with a sentence for another value."""
    text = environ.get("RESONA_LOG", "")
    if text not in ("", "json"):
        sys.exit(f"RESONA_LOG can only be `json`, or not be set; it is {text!r}")
    return text == "json"


def show(name_of: Callable[[str], str | None], stream: TextIO = sys.stdout) -> QueueListener:
    """Print events and libraries' warnings on a stream. Stop the returned listener to flush them.

    Exits with a sentence for an invalid RESONA_LOG. Raises SettingMissing for an invalid
    RESONA_LOG_LEVEL.
    """
    handler: logging.Handler = logging.StreamHandler(stream)
    events = logging.getLogger("resona")
    # A run that succeeded is told at DEBUG. `is_shown` leaves out what people need not see.
    events.setLevel(logging.DEBUG)
    if is_json():
        handler.setFormatter(Line())
        events.setLevel(read_log_level())
    else:
        handler.setFormatter(ReadableLine(name_of, colours=has_colours(stream)))
        handler.addFilter(is_shown)
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    logging.basicConfig(handlers=[_Writing(waiting)], level=logging.WARNING, force=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    listener = QueueListener(waiting, handler)
    listener.start()
    return listener
