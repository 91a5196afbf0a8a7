"""The types of a question to a stage, its answer, and what is needed to ask it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.acceptance.questions.account import Account
from tests.acceptance.receivers import Receiving
from tests.acceptance.remote import Remote


class AnswerStatus(StrEnum):
    """What an answer means for what was built."""

    AS_ASSUMED = "as assumed"
    NOT_AS_ASSUMED = "not as assumed"
    NOT_ASKED = "not asked"
    FAILED = "could not be asked"
    OPEN = "open"


@dataclass(frozen=True)
class Sizes:
    """How much is asked: how many jobs, calls, rounds."""

    calls: int
    burst: int
    spread: int
    spread_seconds: int
    before_due: tuple[float, ...]
    rounds: int
    twins: int
    schedules: int | None
    """How many zones and how many crons the account's Scheduler is asked for; None is all of them.
    """
    watched_seconds: int
    """How long a schedule in the past is waited for."""
    ahead: int
    """Jobs that are waited for 16 minutes; 0 leaves them out."""


FULL = Sizes(60, 100, 120, 60, (0.2, 0.5, 1.0, 2.0), 3, 10, None, 150, 0)
SHORT = Sizes(3, 5, 4, 1, (1.0,), 1, 2, 8, 1, 0)


@dataclass(frozen=True)
class Answer:
    """What came of a question: measured values by name, a sentence, and what to change if it is not
    as assumed.
    """

    status: AnswerStatus
    says: str
    found: dict[str, Any] = field(default_factory=dict)
    change: str = ""


@dataclass(frozen=True)
class Asking:
    """Whom to ask, how much, and with what. `account` is None without credentials for it."""

    stage: Remote
    receiver: Receiving
    account: Account | None
    sizes: Sizes

    @property
    def request(self) -> dict[str, Any]:
        """Return a request that every receiver answers with 200, the stage's own API included."""
        return {"url": self.receiver.address("/question"), "method": "GET"}

    def register(self, trigger: dict[str, Any]) -> Any:
        """Register a job that calls the receiver, and return it."""
        answer = self.stage.post(
            "/jobs", {"name": "A question", "request": self.request, "trigger": trigger}
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    @property
    def patience(self) -> int:
        """Return how many times as long as a stage a laptop may take: it does other things, too."""
        return 10 if self.stage.stage == "local" else 1


@dataclass(frozen=True)
class Question:
    """`why` names the promise that stands on the answer.

    `jobs` and `seconds` are what it costs; `ask` raises whatever goes wrong.
    """

    name: str
    text: str
    why: str
    ask: Callable[[Asking], Answer]
    jobs: Callable[[Sizes], int] = lambda sizes: 0
    seconds: Callable[[Sizes], float] = lambda sizes: 5
    needs_account: bool = False


def judged(is_as_assumed: bool, says: str, found: dict[str, Any], change: str) -> Answer:
    """Make an answer; `change` is told only if it is needed."""
    if is_as_assumed:
        return Answer(AnswerStatus.AS_ASSUMED, says, found)
    return Answer(AnswerStatus.NOT_AS_ASSUMED, says, found, change)


def quantiles(values: Sequence[float], digits: int = 0) -> dict[str, float]:
    """Return the median, the 99th percentile and the largest, each a value that was measured."""
    ordered = sorted(values)
    count = len(ordered)
    at = {"p50": count // 2, "p99": min(count - 1, count * 99 // 100), "max": count - 1}
    return {
        "count": count,
        **{name: round(ordered[index], digits or None) for name, index in at.items()},
    }


def told(values: dict[str, float], unit: str) -> str:
    """Put quantiles into words."""
    return (
        f"p50 {values['p50']} {unit}, p99 {values['p99']} {unit}, max {values['max']} {unit} of "
        f"{values['count']}"
    )
