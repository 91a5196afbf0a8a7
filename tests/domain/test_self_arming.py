"""Which crons take no schedule, because each claim of an occurrence arms the next."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain import job_transitions, run_transitions
from chalicelib.domain.cron import Cron
from chalicelib.domain.ids import RunKey, new_token
from chalicelib.domain.interval import Interval
from chalicelib.domain.job import Definition
from chalicelib.domain.limits import Limits
from chalicelib.domain.request import Request
from chalicelib.domain.state import State, Transition, arms_itself
from chalicelib.domain.trigger import OneTime, Trigger
from tests.domain.cron_oracle import occurrences
from tests.soak import IS_SOAK

NOW = datetime(2026, 11, 23, 10, 0, 0, 250_000, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LATER = NOW + timedelta(seconds=150)
OLD, TOKEN = new_token(NOW - timedelta(days=1)), new_token(LATER)
FIVE, FORTY = Cron("*/5 * * * *", "UTC"), Cron("0-40/5 0-22 * * *", "UTC")


def definition(trigger: Trigger) -> Definition:
    request = Request("https://example.com/", "POST", {}, None)
    return Definition("job_x", "tenant", 1, "job", NOW, trigger, request)


@pytest.mark.parametrize(
    ("cron", "arms"),
    [
        ("* * * * *", True),
        ("*/5 * * * *", True),
        ("*/15 * * * *", True),
        ("*/7 0-23 * 1-12 0-7", True),
        ("7,22,37,52 * */1 * *", True),
        # Any day, as Vixie cron reads it: a day of the month, or one of the week.
        ("*/5 * 1-31 * 5", True),
        ("2-46 * * * *", True),
        ("*/20 * * * *", True),
        ("0,1 * * * *", True),
        ("59 * * * *", True),
        ("@hourly", True),
        # A night, a weekend, a month.
        ("*/5 9-17 * * *", False),
        ("0 */2 * * *", False),
        ("* 0-22 * * *", False),
        ("*/5 * * * 1-5", False),
        ("*/5 * 1-30 * *", False),
        ("*/5 * */2 * *", False),
        ("*/5 * * 1-11 *", False),
        ("*/5 * 1-31 * */2", False),
        ("*/5 * L * *", False),
        ("*/5 * * * 1#2", False),
    ],
)
def test_a_cron_arms_itself_if_it_always_comes_again_within_an_hour(cron: str, arms: bool) -> None:
    assert arms_itself(Cron(cron, "Europe/Berlin")) is arms
    assert arms_itself(Cron(cron, "UTC", starts_at=NOW, limits=Limits(max_runs=3))) is arms


def test_an_interval_always_does_and_a_date_never() -> None:
    assert arms_itself(Interval(timedelta(days=1), NOW))
    assert not arms_itself(OneTime(NOW))


def test_the_longest_gap_of_a_year_decides() -> None:
    """By the oracle, which looks at every minute: in UTC, where no clock changes."""
    dice, found = random.Random(1), set()
    begin, end = datetime(2026, 12, 27, tzinfo=UTC), datetime(2027, 1, 5, tzinfo=UTC)
    for _ in range(600 if IS_SOAK else 25):
        minutes = dice.choice(
            ("*", f"*/{dice.randint(2, 59)}", f"{dice.randint(0, 59)}-59/{dice.randint(1, 16)}")
        )
        hours = dice.choice(("*", "*", "*/1", "0-22"))
        days = dice.choice(
            ("* * *", "* * *", "1-31 * 1", "* 12 *", "* * 0-6", "* * 1-5", "2-31 * *")
        )
        expression = f"{minutes} {hours} {days}"
        times = occurrences(expression, "UTC", begin, end)
        gaps = [after - before for before, after in itertools.pairwise([begin, *times, end])]
        arms = arms_itself(Cron(expression, "UTC"))
        assert arms == (max(gaps) <= HOUR), expression
        found.add(arms)
    assert found == {True, False}


def test_a_schedule_of_an_earlier_release_is_dropped_by_the_claim_that_arms_the_next() -> None:
    """It deletes itself at its next wake. Until then a wake of it sends nothing."""
    job = definition(FIVE)
    step = job_transitions.create(job, TOKEN, NOW)
    assert step.state.token is None
    due_at = step.state.next_due_at
    assert due_at is not None
    kept = replace(step.state, token=OLD)
    fired = run_transitions.claim(job, kept, RunKey(due_at, 1), "me", due_at)
    assert isinstance(fired, Transition)
    assert (fired.state.token, fired.state.armed_by) == (None, "me")
    (message,) = fired.arm
    assert (message.at, message.by) == (due_at + 5 * MINUTE, "me")


def test_a_change_of_the_request_drops_such_a_schedule_and_one_of_the_name_does_not() -> None:
    job = definition(FIVE)
    kept = replace(job_transitions.create(job, None, NOW).state, token=OLD)
    named = job_transitions.change(job, replace(job, name="x"), kept, TOKEN, NOW, anew=False)
    assert (named.state.token, named.arm) == (OLD, ())
    sends = replace(job, request=replace(job.request, method="PUT"))
    changed = job_transitions.change(job, sends, kept, TOKEN, NOW, anew=False)
    assert changed.state.token is None
    assert [due.key.generation for due in changed.arm] == [2]
    assert changed.state.doubted_until is None


def across(old: Cron, new: Cron) -> tuple[State, Transition]:
    job = definition(old)
    state = job_transitions.create(job, OLD, NOW).state
    changed = replace(job, trigger=new)
    return state, job_transitions.change(job, changed, state, TOKEN, LATER, anew=False)


def test_a_cron_that_begins_to_arm_itself_loses_its_schedule_and_has_a_message() -> None:
    before, step = across(FORTY, FIVE)
    assert (before.token, step.state.token) == (OLD, None)
    assert [due.at for due in step.arm] == [step.state.next_due_at]


def test_a_cron_that_no_longer_arms_itself_gets_a_schedule_and_has_a_message_until_it_wakes() -> (
    None
):
    before, step = across(FIVE, FORTY)
    assert (before.token, step.state.token) == (None, TOKEN)
    assert [due.at for due in step.arm] == [step.state.next_due_at]
    due_at = step.state.next_due_at
    assert due_at is not None
    job = replace(definition(FORTY), generation=2)
    fired = run_transitions.claim(job, step.state, RunKey(due_at, 2), "me", due_at)
    assert isinstance(fired, Transition)
    assert (fired.arm, fired.state.covered, fired.state.armed_by) == ((), True, None)


def test_what_is_due_later_than_sqs_can_delay_is_left_to_the_sweeper() -> None:
    """A cron of 15 and 45 minutes: the claims arm every second occurrence."""
    job = definition(Cron("0,15 * * * *", "UTC"))
    step: Transition = job_transitions.create(job, TOKEN, NOW)
    armed = []
    for _ in range(4):
        state = step.state
        due_at = state.next_due_at
        assert due_at is not None
        assert state.token is None
        assert state.covered is bool(step.arm)
        armed.append([due.at - due_at for due in step.arm])
        fired = run_transitions.claim(job, state, RunKey(due_at, 1), "me", due_at)
        assert isinstance(fired, Transition)
        step = fired
    assert armed == [[timedelta(0)], [], [timedelta(0)], []]


@pytest.mark.parametrize("cron", [FIVE, Cron("*/15 * * * *", "UTC")])
def test_only_the_message_of_the_last_claim_sends_the_next_one_before_its_claim(cron: Cron) -> None:
    job = definition(cron)
    first = job_transitions.create(job, None, NOW)
    (due,) = first.arm
    assert run_transitions.armed_ahead(job, first.state, due, "me") is None
    fired = run_transitions.claim(job, first.state, due.key, "me", due.at)
    assert isinstance(fired, Transition)
    (following,) = fired.arm
    ahead = run_transitions.armed_ahead(job, fired.state, following, "next")
    assert ahead is not None
    assert (ahead.at, ahead.by) == (cron.next_after(following.at), "next")
    for other in (None, "other"):
        stray = replace(following, by=other)
        assert run_transitions.armed_ahead(job, fired.state, stray, "next") is None
