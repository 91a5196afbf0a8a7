"""All questions, in the order in which they are asked."""

from __future__ import annotations

import traceback
from collections.abc import Iterable

from tests.acceptance.questions import firing, gateway, scheduler, speed
from tests.acceptance.questions.asking import Answer, AnswerStatus, Asking, Question, Sizes

# Before anything else has warmed the functions up.
FIRST = speed.FIRST
QUESTIONS = [
    *speed.QUESTIONS,
    *firing.QUESTIONS,
    *gateway.QUESTIONS,
    *scheduler.QUESTIONS,
    *scheduler.OPEN,
]
# Asked beside the others, since it takes as long as all of them.
AHEAD = firing.AHEAD
ALL = [FIRST, *QUESTIONS, AHEAD]


def ask(question: Question, asking: Asking, why_no_account: str) -> Answer:
    """Ask one question. What goes wrong is an answer, too: the others are asked all the same."""
    if question is AHEAD and not asking.sizes.ahead:
        return Answer(AnswerStatus.NOT_ASKED, "it takes 19 minutes: set RESONA_LONG=1")
    if question.needs_account and asking.account is None:
        return Answer(
            AnswerStatus.NOT_ASKED,
            f"it needs AWS credentials for the stage's account: {why_no_account}",
        )
    try:
        return question.ask(asking)
    except Exception as error:
        # Whatever it is, such as an answer that no stage of ours gives: the file says it, and
        # where.
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Answer(
            AnswerStatus.FAILED,
            f"{type(error).__name__}: {error} ({place.name}, line {place.lineno})",
        )


def cost(questions: Iterable[Question], sizes: Sizes, *, has_account: bool) -> tuple[int, float]:
    """Return how many jobs questions register, and about how many seconds they take."""
    asked = [question for question in questions if has_account or not question.needs_account]
    return sum(question.jobs(sizes) for question in asked), sum(
        question.seconds(sizes) for question in asked
    )
