"""The lines that a laptop prints: readable ones, or with RESONA_LOG=json those of a stage."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from chalicelib.domain.errors import Unavailable
from chalicelib.domain.run import AttemptResult, Outcome
from infra.local import shown, shown_words
from tests.telemetry.test_documented import documented

URL = "http://localhost:9000/cron?token=secret"
OK = AttemptResult(Outcome.SUCCESS, timedelta(milliseconds=3), 200)
NOT_FOUND = AttemptResult(
    Outcome.HTTP_ERROR, timedelta(seconds=1.24), 404, error="the target answered 404"
)
REFUSED = AttemptResult(
    Outcome.CONNECTION_FAILED, timedelta(0), error="the host could not be connected"
)
CUT = AttemptResult(
    Outcome.TIMEOUT, timedelta(seconds=30), 200, error="no whole answer within 30 seconds"
)
NAMES = {"job_1": "Report", "job_2": "Rot\x1b[2J\n12:00:00 ✓ Payroll"}
log = logging.getLogger("resona")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Screen:
    """What a stream shows of the events that are logged."""

    def __init__(self, stream: io.StringIO) -> None:
        self.stream = stream
        self.asked: list[str] = []
        self.listener = shown.show(self.name_of, stream)

    def name_of(self, job_id: str) -> str | None:
        self.asked.append(job_id)
        return NAMES.get(job_id)

    def text(self) -> str:
        self.listener.stop()
        text = self.stream.getvalue()
        self.listener.start()
        self.stream.seek(0)
        self.stream.truncate()
        return text

    def says(self) -> str:
        """Return the lines without their times, of which each has one."""
        lines = self.text().splitlines()
        assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines), lines
        return "\n".join(line[9:] for line in lines)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level, log.level, logging.getLogger("urllib3").level
    # pytest's own handlers are closed by what puts ours in their place.
    root.handlers[:] = []
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    log.setLevel(before[2])
    logging.getLogger("urllib3").setLevel(before[3])


@pytest.fixture
def screen(logging_as_before: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    monkeypatch.delenv("RESONA_LOG", raising=False)
    screen = Screen(io.StringIO())
    yield screen
    screen.listener.stop()


def attempted(
    exchange: AttemptResult,
    *,
    number: int = 1,
    late: float | None = 0.1,
    url: str = "http://localhost:9000/cron?token=secret",
) -> None:
    lateness = None if late is None else timedelta(seconds=late)
    shown.underway.attempt = shown.Attempt(
        "job_1", "Report", "POST", url, number, exchange, lateness
    )


@pytest.mark.parametrize(
    ("exchange", "number", "late", "event", "fields", "line"),
    [
        (
            OK,
            1,
            0.1,
            "run.ended",
            {"status": "succeeded"},
            "✓ Report  POST localhost:9000/cron  200  3 ms",
        ),
        (
            OK,
            1,
            1.0,
            "run.ended",
            {"status": "succeeded"},
            "✓ Report  POST localhost:9000/cron  200  3 ms",
        ),
        (
            OK,
            1,
            4.21,
            "run.ended",
            {"status": "succeeded"},
            "✓ Report  POST localhost:9000/cron  200  3 ms  late by 4.2 s",
        ),
        (
            OK,
            1,
            7384,
            "run.ended",
            {"status": "succeeded"},
            "✓ Report  POST localhost:9000/cron  200  3 ms  late by 2:03:04",
        ),
        (
            OK,
            2,
            None,
            "run.ended",
            {"status": "succeeded"},
            "✓ Report  POST localhost:9000/cron  200  3 ms  at attempt 2",
        ),
        (
            NOT_FOUND,
            1,
            0.1,
            "run.ended",
            {"status": "failed"},
            "✗ Report  POST localhost:9000/cron  404  1.2 s  failed",
        ),
        (
            NOT_FOUND,
            3,
            None,
            "run.ended",
            {"status": "failed"},
            "✗ Report  POST localhost:9000/cron  404  1.2 s  failed after 3 attempts",
        ),
        (
            REFUSED,
            1,
            0.1,
            "run.retrying",
            {"attempts": 1},
            (
                "↻ Report  POST localhost:9000/cron  the host could not be connected  0 ms  "
                "attempt 1, will be tried again"
            ),
        ),
        (
            CUT,
            1,
            0.1,
            "run.ended",
            {"status": "failed"},
            (
                "✗ Report  POST localhost:9000/cron  200  no whole answer within 30 seconds  30 s  "
                "failed"
            ),
        ),
        (
            NOT_FOUND,
            1,
            0.1,
            "run.ended",
            {"status": "failed", "reason": "superseded"},
            "✗ Report  POST localhost:9000/cron  404  1.2 s  failed: the job was changed",
        ),
    ],
)
def test_a_run_is_one_line_with_its_attempt(
    screen: Screen,
    exchange: AttemptResult,
    number: int,
    late: float | None,
    event: str,
    fields: dict[str, object],
    line: str,
) -> None:
    attempted(exchange, number=number, late=late)
    log.info("attempt.ended", extra={"job_id": "job_1", "host": "localhost"})
    log.info(event, extra={"job_id": "job_1", "run_id": "run_1", **fields})
    assert screen.says() == line
    assert screen.asked == []


@pytest.mark.parametrize(
    ("event", "fields", "line"),
    [
        ("run.ended", {"status": "missed"}, "✗ Report  missed a run: it was too late for it"),
        (
            "run.ended",
            {"status": "missed", "occurrences": 3},
            "✗ Report  missed 3 runs: it was too late for them",
        ),
        (
            "run.ended",
            {"status": "skipped", "reason": "overlap"},
            "- Report  skipped: the run before was not over",
        ),
        (
            "run.ended",
            {"status": "skipped", "reason": "too_many_runs"},
            "- Report  skipped: too many runs are unfinished",
        ),
        (
            "run.ended",
            {"status": "failed", "reason": "superseded"},
            "✗ Report  failed: the job was changed",
        ),
        ("job.created", {}, "+ Report  created"),
        ("run.queued", {"run_id": "run_1-m20261201T100000Z"}, "· Report  asked to run now"),
        ("run.queued", {"run_id": "run_1-1-x-r2"}, "· Report  asked to retry a run"),
        ("job.paused", {}, "· Report  paused"),
        (
            "job.paused",
            {"reason": "failing"},
            "· Report  paused: too many of its runs failed in a row",
        ),
        ("job.overdue", {"messages": 1}, "! Report  came due unnoticed and runs now"),
    ],
)
def test_what_happens_to_a_job_is_told_by_its_name(
    screen: Screen, event: str, fields: dict[str, object], line: str
) -> None:
    for _ in range(2):
        log.info(event, extra={"job_id": "job_1", **fields})
        assert screen.says() == line
    assert screen.asked == ["job_1"]


def test_a_changed_job_has_its_new_name_and_a_job_that_is_gone_its_id(screen: Screen) -> None:
    for event in ("job.created", "job.changed"):
        log.info(event, extra={"job_id": "job_1"})
    log.info("job.deleted", extra={"job_id": "job_gone"})
    screen.says()
    assert screen.asked == ["job_1", "job_1", "job_gone"]
    log.info("job.deleted", extra={"job_id": "job_gone"})
    assert screen.says() == "- job_gone  deleted"


def test_an_attempt_that_somebody_else_has_settled_is_not_told_as_another_job_s(
    screen: Screen,
) -> None:
    attempted(OK)
    log.info("run.ended", extra={"job_id": "job_3", "status": "missed"})
    assert screen.says() == "✗ job_3  missed a run: it was too late for it"


def test_no_name_of_a_caller_s_writes_to_the_terminal(screen: Screen) -> None:
    log.info("job.created", extra={"job_id": "job_2"})
    shown.underway.attempt = shown.Attempt(
        "job_2", NAMES["job_2"], "GET", "http://a\x1b]0;x\x07/" + "b" * 500, 1, OK, None
    )
    log.info("run.ended", extra={"job_id": "job_2", "status": "succeeded"})
    text = screen.says()
    assert not set("\x1b\x07\r\x9b") & set(text)
    assert len(text.splitlines()) == 2
    assert all(len(line) < 250 for line in text.splitlines())


def test_a_library_s_words_and_an_exception_s_are_not_shown_but_their_places(
    screen: Screen,
) -> None:
    logging.getLogger("urllib3.connection").error("sent %s", "secret")
    logging.getLogger("botocore").warning("token=%s", "secret")
    logging.getLogger("botocore").info("token=%s", "secret")
    try:
        raise KeyError("secret")
    except KeyError as error:
        defect = error
    for event in ("message.failed", "invocation.failed"):
        log.error(event, exc_info=defect, extra={"job_id": "job_1"})
    text = screen.text()
    assert "secret" not in text
    assert text.count("botocore gave a warning (") == 1
    assert text.count(f"    {__file__}:") == 1, "a defect is told once"
    assert text.count("    KeyError\n") == 1


def test_what_does_not_answer_is_told_without_a_place(screen: Screen) -> None:
    unavailable = Unavailable("the job")
    log.warning("message.failed", exc_info=unavailable, extra={"job_id": "job_1"})
    assert screen.says() == f"! Report  could not be run; it will be tried again: {unavailable}"


def test_a_record_that_cannot_be_told_does_not_end_the_lines(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    log.info("job.created", extra={"job_id": ["no", "id"]})
    log.info("job.created", extra={"job_id": "job_1"})
    assert screen.says() == "+ Report  created"
    capsys.readouterr()


def test_every_event_is_shown_or_said_to_be_none_for_a_person(screen: Screen) -> None:
    assert not shown_words.SHOWN & shown_words.UNSHOWN
    assert documented().keys() == shown_words.SHOWN | shown_words.UNSHOWN
    for event in sorted(shown_words.UNSHOWN):
        log.info(event, extra={"job_id": "job_1"})
    assert screen.says() == ""


@pytest.mark.parametrize(
    ("stream", "environ", "coloured"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_a_terminal_has_colours_unless_nobody_wants_them(
    stream: io.StringIO, environ: dict[str, str], coloured: bool
) -> None:
    assert shown.has_colours(stream, environ) is coloured


def test_a_mark_is_coloured_and_nothing_else(
    logging_as_before: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen(Terminal())
    attempted(OK)
    log.info("run.ended", extra={"job_id": "job_1", "status": "succeeded"})
    assert screen.says() == "\x1b[32m✓\x1b[0m Report  POST localhost:9000/cron  200  3 ms"
    screen.listener.stop()


def test_json_is_what_a_stage_writes_of_every_event(
    logging_as_before: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESONA_LOG", "json")
    screen = Screen(Terminal())
    log.info("message.ignored", extra={"job_id": "job_1", "why": "a duplicate"})
    log.info("run.ended", extra={"job_id": "job_1", "status": "succeeded"})
    left, ended = map(json.loads, screen.text().splitlines())
    assert (left["message"], left["why"]) == ("message.ignored", "a duplicate")
    assert ended.keys() == {"level", "message", "timestamp", "service", "job_id", "status"}
    assert screen.asked == []
    screen.listener.stop()


def test_another_value_of_resona_log_is_refused_in_a_sentence() -> None:
    assert (
        shown.is_json({}),
        shown.is_json({"RESONA_LOG": ""}),
        shown.is_json({"RESONA_LOG": "json"}),
    ) == (False, False, True)
    with pytest.raises(
        SystemExit, match="RESONA_LOG can only be `json`, or not be set; it is 'yes'"
    ):
        shown.is_json({"RESONA_LOG": "yes"})
