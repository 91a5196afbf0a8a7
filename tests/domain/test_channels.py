"""What channels are told, for random rows of ends and random changes of channels in between."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain import failures
from chalicelib.domain.channels import Channel, may_tell, tell
from chalicelib.domain.ids import RunKey
from chalicelib.domain.notices import Event
from chalicelib.domain.run import Reason, RunEnd, RunStatus, RunUpdate
from chalicelib.domain.state import State, Status, Transition, UnfinishedRun
from chalicelib.domain.state_parts import FAILING, Failing, Pause

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
STATE = State("job_x", "tenant", 1, 1, 1, Status.ACTIVE, NOW)
RUN = UnfinishedRun(RunKey(NOW, 1), 1, 1)
ALL = frozenset(Event) - {Event.TEST}
LABELS = {"team": "billing"}


def channel(token: str, **fields: Any) -> Channel:
    return replace(
        Channel("tenant", token[0], token, "https://example.com/", ALL, NOW, NOW), **fields
    )


def ended(state: State, status: RunStatus, at: datetime = NOW) -> Transition:
    return Transition(failures.counted(state, RUN, status, at), update=RunUpdate(status))


def told(
    state: State, status: RunStatus, *channels: Channel, labels: dict[str, str] = LABELS
) -> tuple[State, list[tuple[Event, str]]]:
    step, found = tell(channels, labels, state, ended(state, status))
    return step.state, [(event, one.token) for event, one in found]


FAILED, SUCCEEDED = RunStatus.FAILED, RunStatus.SUCCEEDED


def test_two_failures_a_success_and_a_failure() -> None:
    state, heard = STATE, list[list[tuple[Event, str]]]()
    for status in (FAILED, FAILED, SUCCEEDED, FAILED):
        state, events = told(state, status, channel("a"))
        heard.append(events)
    failed = [(Event.RUN_FAILED, "a")]
    assert heard == [failed, [], [(Event.JOB_RECOVERED, "a")], failed]


def test_a_channel_hears_only_of_a_row_of_its_length() -> None:
    state = STATE
    heard = []
    for status in (FAILED, FAILED, SUCCEEDED, FAILED, FAILED, FAILED, SUCCEEDED):
        state, events = told(state, status, channel("a", after=3))
        heard += events
    assert heard == [(Event.RUN_FAILED, "a"), (Event.JOB_RECOVERED, "a")]


@pytest.mark.parametrize("seed", range(200))
def test_each_row_is_told_at_most_once_and_its_recovery_exactly_if_it_was(seed: int) -> None:
    """Whatever channels there are: made, changed, deleted and made anew at any time."""
    chance = random.Random(seed)
    state, channels, open_rows, made = STATE, dict[str, Channel](), set[str](), 0
    for minute in range(60):
        act = chance.randrange(8)
        if act == 0:
            name = chance.choice("ab")
            made += name not in channels
            token = channels[name].token if name in channels else f"{name}{made}"
            channels[name] = channel(
                token,
                after=chance.choice((1, 2, 3)),
                events=ALL if chance.random() < 0.8 else frozenset({Event.RUN_MISSED}),
                label=chance.choice((None, ("team", "billing"), ("team", "sales"))),
            )
        elif act == 1:
            channels.pop(chance.choice("ab"), None)
        elif act == 2:
            state = replace(state, failing=failures.anew(state.failing))
        else:
            status = SUCCEEDED if act == 3 else FAILED
            labels = chance.choice((LABELS, {}))
            before, step = state, ended(state, status, NOW + timedelta(minutes=minute))
            living = {one.token: one for one in channels.values()}
            if not may_tell(before, step):
                assert not open_rows & living.keys()
                state = step.state
                continue
            step, found = tell(channels.values(), labels, before, step)
            state = step.state
            for event, one in found:
                if event is Event.RUN_FAILED:
                    assert one.token not in open_rows
                    assert one.wants(event, labels)
                    assert state.failing is not None
                    assert state.failing.count >= one.after
                    open_rows.add(one.token)
            if status is FAILED:
                due = {
                    one.token
                    for one in living.values()
                    if state.failing
                    and state.failing.count >= one.after
                    and one.wants(Event.RUN_FAILED, labels)
                }
                assert due <= open_rows
                continue
            recovered = {one.token for event, one in found if event is Event.JOB_RECOVERED}
            asking = {token for token, one in living.items() if Event.JOB_RECOVERED in one.events}
            assert recovered == open_rows & asking
            assert state.failing is None
            open_rows.clear()


def test_nothing_is_looked_up_while_all_goes_well() -> None:
    assert not may_tell(STATE, ended(STATE, SUCCEEDED))
    failing = replace(STATE, failing=Failing(1, NOW))
    assert not may_tell(failing, ended(failing, SUCCEEDED))
    assert not may_tell(STATE, Transition(STATE, send=RUN))
    assert may_tell(STATE, ended(STATE, FAILED))


def test_a_pause_and_missed_occurrences_are_told_to_who_asks() -> None:
    asks, other = channel("a"), channel("b", events=frozenset({Event.RUN_FAILED}), after=9)
    paused = replace(ended(STATE, FAILED).state, pause=Pause(NOW, FAILING))
    step = Transition(paused, update=RunUpdate(FAILED))
    _, found = tell((asks, other), LABELS, STATE, step)
    assert found == ((Event.RUN_FAILED, asks), (Event.JOB_PAUSED, asks))
    end = RunEnd(RUN.key, RunStatus.MISSED, NOW, Reason.MISFIRE, missed_count=1, last_due_at=NOW)
    _, found = tell((asks, other), LABELS, STATE, Transition(STATE, ended=(end,)))
    assert found == ((Event.RUN_MISSED, asks),)
    skipped = replace(end, status=RunStatus.SKIPPED)
    assert not may_tell(STATE, Transition(STATE, ended=(skipped,)))


def test_who_is_deleted_is_forgotten() -> None:
    state, _ = told(STATE, FAILED, channel("a1"), channel("b1"))
    state, events = told(state, FAILED, channel("a2"), channel("b1"))
    assert events == [(Event.RUN_FAILED, "a2")]
    assert state.failing == Failing(2, NOW, ("b1", "a2"))
