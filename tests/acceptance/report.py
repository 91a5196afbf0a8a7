"""Write the report of an acceptance run: JSON for programs, Markdown for people."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.acceptance.questions.asking import Answer, AnswerStatus, Question

# How the reason begins for which a test is skipped that no stage can pass.
LAPTOPS_ALONE = "for laptops alone"


@dataclass
class Report:
    """Filled while the suite runs, and written after each step: what was known when it was
    interrupted is there.
    """

    stage: str
    url: str
    run: str
    folder: Path
    version: str = ""
    ahead_seconds: float = 0
    clock_error_seconds: float = 0
    receiver: str = ""
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: str = "interrupted"
    tests: Counter[str] = field(default_factory=Counter)
    failed_tests: list[str] = field(default_factory=list)
    skipped_tests: dict[str, str] = field(default_factory=dict)
    answers: list[tuple[Question, Answer]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Return where the Markdown is; the JSON is beside it."""
        return self.folder / f"{self.stage}-{self.began_at:%Y-%m-%d-%H%M%S}.md"

    @property
    def is_good(self) -> bool:
        """Say whether every test that a stage can pass has passed, and whatever was asked is as
        assumed.
        """
        statuses = {answer.status for _, answer in self.answers}
        is_tested = not self.failed_tests and all(
            reason.startswith(LAPTOPS_ALONE) for reason in self.skipped_tests.values()
        )
        return (
            self.ended == "complete"
            and is_tested
            and not statuses & {AnswerStatus.NOT_AS_ASSUMED, AnswerStatus.FAILED}
        )

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self._markdown(), encoding="utf-8")
        self.path.with_suffix(".json").write_text(
            json.dumps(self._document(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )

    def _document(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "url": self.url,
            "version": self.version,
            "run": self.run,
            "began_at": self.began_at.isoformat(timespec="seconds"),
            "ended": self.ended,
            "clock": {
                "ahead_seconds": self.ahead_seconds,
                "error_seconds": self.clock_error_seconds,
            },
            "receiver": self.receiver,
            "counts": self.counts,
            "tests": {
                **self.tests,
                "failed_tests": self.failed_tests,
                "skipped_tests": self.skipped_tests,
            },
            "answers": [
                {
                    "name": question.name,
                    "question": question.text,
                    "why": question.why,
                    **asdict(answer),
                }
                for question, answer in self.answers
            ],
        }

    def _markdown(self) -> str:
        statuses = Counter(str(answer.status) for _, answer in self.answers)
        counts = ", ".join(
            f"{count} {what}" for what, count in (self.counts | dict(statuses)).items()
        )
        lines = [
            f"# What the stage {self.stage} answers",
            "",
            (
                f"{self.began_at:%Y-%m-%d %H:%M} UTC, {self.url}, version {self.version}, run "
                f"{self.run}: {self.ended}."
            ),
            (
                f"Its clock is {self.ahead_seconds:+.3f} s ahead of the one here (± "
                f"{self.clock_error_seconds:.3f} s)."
            ),
            f"Receiver: {self.receiver}.",
            f"{counts}.",
            "",
            "## Tests",
            "",
            ", ".join(f"{count} {what}" for what, count in self.tests.items()) + ".",
            "",
            *(f"- failed: `{name}`" for name in self.failed_tests),
            *(
                f"- {count} skipped, {reason}"
                for reason, count in Counter(self.skipped_tests.values()).items()
            ),
            "",
            "## Questions",
            "",
            "| question | status | answer |",
            "|---|---|---|",
            *(
                f"| {question.name} | {_marked(answer.status)} | {_in_a_cell(answer.says)} |"
                for question, answer in self.answers
            ),
            "",
        ]
        for question, answer in self.answers:
            lines += [
                f"### {question.text}",
                "",
                f"Why: {question.why}",
                "",
                f"{_marked(answer.status)}: {answer.says}",
                "",
            ]
            lines += [f"To change: {answer.change}", ""] if answer.change else []
            lines += (
                ["```json", json.dumps(answer.found, indent=1, ensure_ascii=False), "```", ""]
                if answer.found
                else []
            )
        return "\n".join(lines)


def _marked(status: AnswerStatus) -> str:
    return (
        f"**{status}**"
        if status in (AnswerStatus.NOT_AS_ASSUMED, AnswerStatus.FAILED)
        else str(status)
    )


def _in_a_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
