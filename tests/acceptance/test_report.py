"""The report of an acceptance run: its contents, and when it counts as good."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.questions.asking import Answer, AnswerStatus, Question
from tests.acceptance.report import Report

QUESTION = Question(
    "speed", "How fast is it?", "Somebody waits.", lambda asking: Answer(AnswerStatus.OPEN, "")
)
GOOD = Answer(AnswerStatus.AS_ASSUMED, "fast", {"ms": 3})


def made(folder: Path, *answers: Answer) -> Report:
    report = Report(
        "dev", "https://example.com/api", "20261124T120000-abcd", folder, "0.2.0", ended="complete"
    )
    report.tests["passed"] = 3
    report.skipped_tests["test_kill"] = "for laptops alone: it kills"
    report.answers = [(QUESTION, answer) for answer in answers]
    return report


def test_a_complete_report_of_what_is_as_assumed_is_good(tmp_path: Path) -> None:
    assert made(
        tmp_path,
        GOOD,
        Answer(AnswerStatus.OPEN, "in autumn"),
        Answer(AnswerStatus.NOT_ASKED, "no account"),
    ).is_good


@pytest.mark.parametrize("status", [AnswerStatus.NOT_AS_ASSUMED, AnswerStatus.FAILED])
def test_a_report_with_another_answer_is_not_good(tmp_path: Path, status: AnswerStatus) -> None:
    assert not made(tmp_path, GOOD, Answer(status, "slow")).is_good


def test_a_report_is_not_good_if_a_test_failed_or_was_left_out_or_it_is_not_complete(
    tmp_path: Path,
) -> None:
    failed, left_out, interrupted = (made(tmp_path, GOOD) for _ in range(3))
    failed.failed_tests.append("test_firing")
    left_out.skipped_tests["test_firing"] = "nothing shows what jobs send"
    interrupted.ended = "interrupted"
    assert not any(report.is_good for report in (failed, left_out, interrupted))


def test_its_files_say_what_was_asked_why_and_what_to_change(tmp_path: Path) -> None:
    report = made(
        tmp_path / "answers",
        GOOD,
        Answer(AnswerStatus.NOT_AS_ASSUMED, "a | b\nslow", {"ms": 3000}, "More memory."),
    )
    report.write()
    text, document = (
        report.path.read_text(),
        json.loads(report.path.with_suffix(".json").read_text()),
    )
    assert report.path.name.startswith("dev-20")
    assert "| speed | **not as assumed** | a \\| b slow |" in text
    assert "To change: More memory." in text
    assert "- 1 skipped, for laptops alone: it kills" in text
    assert [answer["status"] for answer in document["answers"]] == ["as assumed", "not as assumed"]
    assert document["answers"][1]["found"] == {"ms": 3000}
    assert (document["answers"][0]["why"], document["tests"]["passed"]) == ("Somebody waits.", 3)
