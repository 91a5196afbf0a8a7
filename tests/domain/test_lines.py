"""Slots of a flow, and runs that wait in its line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.cron import parse
from chalicelib.domain.flows import MOST_OUT, Wait
from chalicelib.domain.holding import latest_start
from chalicelib.domain.ids import RunKey, new_token
from chalicelib.domain.interval import Interval
from chalicelib.domain.job import Definition
from chalicelib.domain.job_transitions import create
from chalicelib.domain.lines import (
    Entry,
    Slot,
    flow_in,
    free,
    is_line,
    line_id,
    lined_up,
    released,
)
from chalicelib.domain.request import Request
from chalicelib.domain.run import RunStatus
from chalicelib.domain.run_transitions import claim
from chalicelib.domain.state import SKEW, State, Transition
from chalicelib.domain.trigger import OneTime, Trigger

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
DUE = NOW + timedelta(seconds=60)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
ONCE, EVERY, CRON = OneTime(DUE), Interval(MINUTE, DUE), parse("* * * * *")
ENTRY = Entry("wait#…", "token", "job_x", RunKey(DUE, 1))
SETS = st.sets(st.integers(0, 9))


def claimed(
    trigger: Trigger, grace: timedelta | None = None
) -> tuple[Definition, State, Transition]:
    """Return a job, its state and the claim of its first occurrence."""
    request = Request("https://example.com/", "POST", {})
    job = Definition("job_x", "tenant", 1, "job", NOW, trigger, request, misfire_grace=grace)
    state = create(job, new_token(NOW - MINUTE), NOW).state
    step = claim(job, state, RunKey(DUE, 1), "owner", DUE)
    assert isinstance(step, Transition)
    return job, state, step


def in_line(trigger: Trigger, grace: timedelta | None = None) -> tuple[Definition, Transition]:
    job, _, step = claimed(trigger, grace)
    latest = latest_start(job, step.state, RunKey(DUE, 1))
    return job, lined_up(step, Wait.CONCURRENCY, ENTRY, latest, DUE)


def slots(indices: set[int]) -> list[Slot]:
    return [Slot(index, "holder", NOW + SECOND) for index in indices]


@given(limit=st.integers(1, 8), live=SETS)
def test_with_the_slots_that_are_free_no_more_are_out_than_the_limit(
    limit: int, live: set[int]
) -> None:
    taken = free(limit, slots(live), NOW)
    assert not set(taken) & live
    assert not taken or len(live) + len(taken) <= limit


@given(limit=st.integers(1, MOST_OUT), live=SETS)
def test_all_slots_below_the_limit_are_free_but_those_in_use(limit: int, live: set[int]) -> None:
    live = {index for index in live if index < limit}
    assert free(limit, slots(live), NOW) == [one for one in range(limit) if one not in live]


@given(limit=st.integers(1, 8), live=SETS, over=SETS)
def test_two_who_look_at_different_times_are_together_within_the_limit(
    limit: int, live: set[int], over: set[int]
) -> None:
    """Slots end between the two looks; the first has taken a slot that the second has not seen."""
    first = set(free(limit, slots(live), NOW))
    second = set(free(limit, slots(live - over), NOW))
    assert len((live - over) | first | second) <= max(limit, len(live - over))


@pytest.mark.parametrize(("after", "is_live"), [(-1, True), (0, True), (1, False)])
def test_a_slot_ends_by_itself_when_its_time_is_over_by_every_clock(
    after: int, is_live: bool
) -> None:
    slot = Slot(0, "holder", NOW)
    assert slot.is_live(NOW + SKEW + after * timedelta.resolution - SECOND * is_live) == is_live
    assert not slot.freed.is_live(NOW)


@given(tenant=st.from_regex(r"[a-z0-9-]{1,9}", fullmatch=True), name=st.text("a:.#-", min_size=1))
def test_a_line_names_its_flow(tenant: str, name: str) -> None:
    assert flow_in(line_id(tenant, name)) == (tenant, name)
    assert is_line(line_id(tenant, name))
    assert not is_line("job_x")


@pytest.mark.parametrize("trigger", [ONCE, EVERY, CRON])
def test_a_run_in_line_spends_no_attempt_and_the_trigger_goes_on(trigger: Trigger) -> None:
    _, before, step = claimed(trigger)
    _, made = in_line(trigger)
    (run,) = made.state.runs
    assert (run.attempt, run.owner, run.lease_until, run.started_at) == (0, None, None, None)
    assert (run.waits_for, made.send) == (Wait.CONCURRENCY, None)
    assert run.line is not None
    assert (run.line.part, run.line.token, run.line.since) == ("wait#…", "token", DUE)
    assert made.state.revision == before.revision + 1
    assert made.state.next_due_at == step.state.next_due_at
    assert made.arm[: len(step.arm)] == step.arm


@pytest.mark.parametrize(
    ("trigger", "grace", "missed_after"),
    [
        (EVERY, None, MINUTE - timedelta.resolution),
        (CRON, 20 * SECOND, 20 * SECOND),
        (ONCE, 20 * SECOND, 20 * SECOND),
    ],
)
def test_a_run_in_line_is_missed_once_it_is_too_late(
    trigger: Trigger, grace: timedelta | None, missed_after: timedelta
) -> None:
    job, made = in_line(trigger, grace)
    (run,) = made.state.runs
    at = DUE + missed_after + timedelta.resolution
    assert run.next_attempt_at == at
    assert at in [message.at for message in made.arm]
    step = claim(job, made.state, run.key, "owner", at)
    assert isinstance(step, Transition)
    assert [end.status for end in step.ended] == [RunStatus.MISSED]


def test_a_run_that_may_be_sent_at_any_time_waits_for_years_without_a_message() -> None:
    _, made = in_line(ONCE)
    (run,) = made.state.runs
    assert run.next_attempt_at is not None
    assert run.next_attempt_at > DUE + timedelta(days=3600)
    assert not made.arm


@given(wait=st.timedeltas(timedelta(0), timedelta(days=9)))
def test_a_released_run_is_due_at_once_and_its_wait_is_counted(wait: timedelta) -> None:
    job, made = in_line(ONCE)
    step = released(made.state, ENTRY, DUE + wait)
    assert step is not None
    (run,) = step.state.runs
    assert (run.next_attempt_at, run.line, run.waited) == (DUE + wait, None, wait)
    assert [message.at for message in step.arm] == [DUE + wait]
    again = claim(job, step.state, run.key, "owner", DUE + wait)
    assert isinstance(again, Transition)
    assert again.send is not None
    assert again.send.attempt == 1


def test_a_run_that_has_left_its_line_is_not_released_again() -> None:
    _, made = in_line(ONCE)
    step = released(made.state, ENTRY, DUE)
    assert step is not None
    assert released(step.state, ENTRY, DUE) is None
    assert released(made.state, replace(ENTRY, token="another"), DUE) is None
    assert released(replace(made.state, runs=()), ENTRY, DUE) is None


def test_the_wait_of_a_later_attempt_is_not_counted() -> None:
    _, _, step = claimed(ONCE)
    assert step.send is not None
    later = replace(step.send, attempt=2)
    step = replace(step, send=later, state=step.state.with_run(later))
    made = lined_up(step, Wait.PAUSE, ENTRY, None, DUE)
    done = released(made.state, ENTRY, DUE + MINUTE)
    assert done is not None
    (run,) = done.state.runs
    assert (run.attempt, run.waited, run.started_at) == (1, timedelta(0), DUE)
