"""Lines have the format of Powertools' Logger, and no text of an exception or a library."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

import pytest
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from botocore.exceptions import ClientError

from chalicelib.config import SettingMissing
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.run import Outcome
from chalicelib.telemetry.invocation import invocation
from chalicelib.telemetry.lines import Line
from tests.invocations import Context
from tests.telemetry.process import Written

log = logging.getLogger("resona")
SECRET = "hunter2-secret"


def record(
    name: str = "resona",
    level: int = logging.INFO,
    text: str = "attempt.ended",
    *args: object,
    **fields: Any,
) -> logging.LogRecord:
    made = logging.LogRecord(
        name, level, "/var/task/chalicelib/usecases/attempt.py", 80, text, args or None, None
    )
    vars(made).update(fields)
    return made


def line_of(error: BaseException) -> Any:
    made = record(text="message.failed", level=logging.ERROR)
    made.exc_info = (type(error), error, error.__traceback__)
    return json.loads(Line().format(made))


def raised(act: Any) -> BaseException:
    with pytest.raises(Exception) as caught:
        act()
    return caught.value


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"job_id": "job_01", "attempt": 1, "outcome": Outcome.SUCCESS, "status_code": None},
        {"host": "bücher.example", "duration_ms": 12, "manual": True},
    ],
)
def test_a_line_is_what_powertools_would_write(fields: dict[str, Any]) -> None:
    line, made = Line(), record(**fields)
    line.keys = {"function_request_id": "r-1", "correlation_id": None}
    keys: dict[str, Any] = line.keys
    powertools = LambdaPowertoolsFormatter(
        service="resona", location=None, utc=True, use_rfc3339=True, **keys
    )
    ours, theirs = json.loads(line.format(made)), json.loads(powertools.format(made))
    assert list(ours.items()) == list(theirs.items())


def test_a_line_is_one_line_of_ascii_whatever_is_in_it() -> None:
    text = Line().format(record(host="a\nb\r\u2028\ud800é", why='"}'))
    assert text.isascii() and len(text.splitlines()) == 1
    assert json.loads(text)["host"] == "a\nb\r\u2028\ud800é"


def test_an_exception_has_its_class_and_its_place_and_not_its_text() -> None:
    def fail() -> None:
        secret = SECRET
        try:
            int(secret)
        except ValueError as error:
            error.add_note(secret)
            raise KeyError(secret) from error

    told = line_of(raised(fail))
    assert (told["exception_name"], told["causes"]) == (
        "KeyError",
        [{"exception_name": "ValueError"}],
    )
    assert told["stack_trace"][-1].startswith(f"{__file__}:") and told["stack_trace"][-1].endswith(
        ".fail"
    )
    assert SECRET not in json.dumps(told)


def test_what_aws_refuses_is_told_by_code_and_operation() -> None:
    refused = ClientError(
        {"Error": {"Code": "AccessDeniedException", "Message": f"not authorized: {SECRET}"}},
        "PutItem",
    )

    def fail() -> None:
        raise RuntimeError(SECRET) from refused

    told = line_of(raised(fail))
    assert told["causes"] == [
        {"exception_name": "ClientError", "code": "AccessDeniedException", "operation": "PutItem"}
    ]
    assert SECRET not in json.dumps(told)


def test_what_does_not_answer_is_told_with_its_part_and_cause_and_without_a_place() -> None:
    def fail() -> None:
        raise Unavailable("the due queue") from ClientError(
            {"Error": {"Code": "InternalFailure"}}, "SendMessageBatch"
        )

    told = line_of(raised(fail))
    assert told["why"] == "the due queue is unavailable; nothing was changed: try again"
    assert told["causes"][0]["operation"] == "SendMessageBatch"
    assert "stack_trace" not in told


def test_a_setting_that_is_missing_is_named() -> None:
    assert line_of(SettingMissing("the environment variable RESONA_STAGE is not set"))[
        "why"
    ].endswith("RESONA_STAGE is not set")


def test_a_recursion_without_end_fits_into_a_line() -> None:
    def again() -> None:
        again()

    text = json.dumps(line_of(raised(again)))
    assert len(text) < 10_000
    assert "test_a_recursion_without_end_fits_into_a_line" in text


def test_of_what_libraries_say_there_is_the_place_alone(written: Written) -> None:
    with invocation("deliver"):
        logging.getLogger("urllib3.util").warning("Failed to parse %s", SECRET)
        logging.getLogger("botocore").error(f"Retrying {SECRET}")
        # Chalice's own logger has the app's name.
        log.error("Caught exception for path %s", SECRET)
        logging.getLogger("botocore").info(SECRET)
        log.debug("Path: %s", SECRET)
    assert written.read().names == ["library.warned"] * 3
    assert [event["logger"] for event in written.events] == ["urllib3.util", "botocore", "resona"]
    assert written.events[0]["place"].startswith(f"{__file__}:")
    assert SECRET not in written.text


def test_no_level_lets_libraries_say_what_they_are_asked(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESONA_LOG_LEVEL", "DEBUG")
    with invocation("deliver"):
        logging.getLogger("botocore.endpoint").debug(SECRET)
        logging.getLogger("botocore.endpoint").info(SECRET)
        log.debug("a route %s", SECRET)
        log.debug("sweep.ended")
    assert written.read().names == ["sweep.ended"]
    assert SECRET not in written.text


@pytest.mark.parametrize(
    ("level", "names"),
    [
        ("", ["b.info", "c.warning"]),
        ("WARNING", ["c.warning"]),
        ("DEBUG", ["a.debug", "b.info", "c.warning"]),
    ],
)
def test_lines_are_written_from_a_level_on(
    level: str, names: list[str], written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESONA_LOG_LEVEL", level)
    with invocation("deliver"):
        log.debug("a.debug")
        log.info("b.info")
        log.warning("c.warning")
    assert written.read().names == names


def test_an_exception_is_told_of_once_however_often_it_is_caught(written: Written) -> None:
    with invocation("api"):
        try:
            raise RuntimeError(SECRET)
        except RuntimeError:
            log.exception("request.failed")
            log.error("Caught exception for path %s", SECRET, exc_info=True)
    assert written.read().names == ["request.failed"]
    assert written.sums == {("Failures", "dev", "api"): 1}


def test_threads_write_whole_lines_and_nothing_twice(written: Written) -> None:
    together = threading.Barrier(10)

    def say(thread: int) -> None:
        together.wait(timeout=10)
        for number in range(100):
            log.info(
                "attempt.ended",
                extra={
                    "attempt": 1,
                    "outcome": "success",
                    "lateness_ms": 1,
                    "job_id": f"{thread}-{number}" + "x" * 500,
                },
            )

    with invocation("deliver", Context()):
        threads = [threading.Thread(target=say, args=(thread,)) for thread in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({event["job_id"] for event in written.read().events}) == len(written.events) == 1000
    assert written.sums == {("Lateness", "dev"): 1000}


def test_a_line_that_cannot_be_made_does_not_show_what_it_was_made_of(written: Written) -> None:
    class Bad:
        def __init__(self) -> None:
            self.secret = SECRET

        def __repr__(self) -> str:
            return self.secret

    circle: list[Any] = [Bad()]
    circle.append(circle)
    with invocation("deliver"):
        log.info("attempt.ended", extra={"attempt": 2, "outcome": "success", "job_id": circle})
        log.info("run.queued", extra={"job_id": Bad()})
    assert written.read().names == ["log_line.failed", "run.queued"]
    assert written.events[1]["job_id"] == "Bad"
    assert SECRET not in written.text
