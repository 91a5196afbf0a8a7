"""Run the acceptance tests and the questions against a deployed stage, and write a report.

`make acceptance RESONA_URL=… RESONA_KEY=…` calls this.

`tests/acceptance/remote.py` says what else can be set. RESONA_LONG=1 asks what takes 19 minutes,
too, and RESONA_SHORT=1 asks little of each; RESONA_ANSWERS names the folder of the file, `answers`
unless set. Ends with 0 if all is as assumed, 1 if not, 2 if the suite cannot run. Whatever it
registers goes again.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance import remote
from tests.acceptance.laptop import ROOT
from tests.acceptance.questions import catalogue
from tests.acceptance.questions.account import Account, NoAccount, account_of
from tests.acceptance.questions.asking import FULL, SHORT, Answer, Asking, Question
from tests.acceptance.receivers import Receiving
from tests.acceptance.remote import Refused, Remote
from tests.acceptance.report import Report

# What the tests register, and about how long they take.
TEST_JOBS, TEST_SECONDS = 230, 150
_AHEAD_JOBS = 10
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, _interrupt)
    try:
        stage = remote.of_environment()
        with closing(remote.receiver_of_environment(stage)) as receiver:
            report = _begun(stage, receiver)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 2
    try:
        _run(stage, report)
        report.ended = "complete"
    except KeyboardInterrupt:
        print(
            "\nInterrupted, or stopped after too long a time; deleting what was registered.",
            file=sys.stderr,
        )
    except Refused as refused:
        report.ended = str(refused)
        print(refused, file=sys.stderr)
    finally:
        _clean(stage, report)
        report.write()
        print(f"\nThe answers are in {report.path}, and beside it as JSON.", flush=True)
    return 0 if report.is_good else 1


def _begun(stage: Remote, receiver: Receiving) -> Report:
    version = str(stage.get("/health").get("version"))
    folder = Path(os.environ.get("RESONA_ANSWERS") or ROOT / "answers")
    errors = (round(stage.ahead.total_seconds(), 3), round(stage.clock_error.total_seconds(), 3))
    report = Report(
        stage.stage, stage.url, stage.run, folder, version, *errors, type(receiver).__name__
    )
    report.write()
    return report


def _run(stage: Remote, report: Report) -> None:
    sizes = SHORT if _is_on("RESONA_SHORT") else FULL
    sizes = replace(sizes, ahead=_AHEAD_JOBS if _is_on("RESONA_LONG") else 0)
    account, why_not = _account(stage)
    jobs, seconds = catalogue.cost(catalogue.QUESTIONS, sizes, has_account=account is not None)
    seconds = max(TEST_SECONDS + seconds, catalogue.AHEAD.seconds(sizes) if sizes.ahead else 0)
    # Each wait has its end; this is for the sum of them.
    signal.alarm(int(2 * seconds) + 60)
    stage.is_cleaned_by_tests = False
    print(
        f"Resona {report.version} at {stage.url}, stage {stage.stage}, run {stage.run}.\n"
        f"This takes at most about {seconds / 60:.0f} minutes, and is stopped after twice that; it "
        f"registers about {jobs + TEST_JOBS + sizes.ahead} jobs, labelled acceptance:{stage.run}; "
        "they are deleted at the end, also after Ctrl-C.\n"
        f"AWS account: {why_not or 'the one of the stage, by the credentials here'}.\n",
        flush=True,
    )

    def ask(question: Question, receiver: Receiving) -> Answer:
        return catalogue.ask(question, Asking(stage, receiver, account, sizes), why_not)

    with closing(remote.receiver_of_environment(stage)) as receiver:
        _note(report, catalogue.FIRST, ask(catalogue.FIRST, receiver))
        ahead = _beside(partial(ask, catalogue.AHEAD, receiver))
    _test(report)
    with closing(remote.receiver_of_environment(stage)) as receiver:
        report.receiver = type(receiver).__name__
        for question in catalogue.QUESTIONS:
            _note(report, question, ask(question, receiver))
        _note(report, catalogue.AHEAD, ahead.result())


def _beside(ask: Callable[[], Answer]) -> Future[Answer]:
    """Ask in a thread that nobody waits for when all else is interrupted."""
    future: Future[Answer] = Future()
    threading.Thread(target=lambda: future.set_result(ask()), daemon=True).start()
    return future


def _note(report: Report, question: Question, answer: Answer) -> None:
    report.answers.append((question, answer))
    report.write()
    print(f"{answer.status}: {question.text}\n    {answer.says}", flush=True)
    if answer.change:
        print(f"    To change: {answer.change}", flush=True)


class Tally:
    """Counts for the report what pytest says of each test."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A test is one that was called, or that failed or was skipped before or after it.
        if report.when == "call" or report.outcome != "passed":
            self._report.tests[report.outcome] += 1
        if report.failed:
            self._report.failed_tests.append(report.nodeid)
        if report.skipped and isinstance(report.longrepr, tuple):
            self._report.skipped_tests[report.nodeid] = report.longrepr[2].removeprefix("Skipped: ")


def _test(report: Report) -> None:
    arguments = [
        "--no-cov",
        "-p",
        "no:cacheprovider",
        "-rs",
        "--rootdir",
        str(ROOT),
        str(Path(__file__).parent),
    ]
    code = pytest.main(arguments, plugins=[Tally(report)])
    report.write()
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise Refused(f"the tests could not run: {code!r}")


def _account(stage: Remote) -> tuple[Account | None, str]:
    try:
        return account_of(stage), ""
    except NoAccount as reason:
        return None, str(reason)


def _clean(stage: Remote, report: Report) -> None:
    with _undisturbed():
        try:
            stage.clean()
        except Refused as refused:
            report.ended = f"{report.ended}; {refused}"
            print(refused, file=sys.stderr)
    report.counts = {
        "jobs registered": stage.registered,
        "calls that were one too many": stage.throttled,
    }


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a second Ctrl-C wait until what was registered is deleted."""
    before = [signal.signal(number, signal.SIG_IGN) for number in _ENDS]
    try:
        yield
    finally:
        for number, handler in zip(_ENDS, before, strict=True):
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _is_on(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0", "false", "off", "no")


if __name__ == "__main__":
    sys.exit(main())
