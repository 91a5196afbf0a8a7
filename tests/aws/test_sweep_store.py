"""What the sweeper reads: overdue jobs by shard, their states, and its marks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.aws.job_items import WATCH_SHARDS, read_state
from chalicelib.aws.job_store import JobStore
from chalicelib.aws.sweep_store import SweepStore
from chalicelib.domain import job_transitions
from chalicelib.domain.ids import new_job_id
from chalicelib.domain.job import Definition
from chalicelib.domain.looks import Mark, Part, Place
from chalicelib.domain.request import Request
from chalicelib.domain.state import State
from chalicelib.domain.trigger import OneTime
from tests.cloud import Cloud, DynamoDB

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
PLACE = Place(NOW + 7 * SECOND, "job_x")


@pytest.fixture
def client() -> DynamoDB:
    return DynamoDB(Cloud(lambda: NOW))


@pytest.fixture
def store(client: Any) -> SweepStore:
    return SweepStore(client, "jobs", sleep=lambda seconds: None)


def added(client: Any, date: datetime) -> State:
    job_id = new_job_id(NOW)
    request = Request("https://example.com/", "POST", {}, None)
    made = Definition(job_id, "tenant", 1, "job", NOW, OneTime(date), request)
    state = job_transitions.create(made, None, NOW).state
    JobStore(client, "jobs").add(made, state, None, NOW)
    return state


def test_what_is_overdue_is_found_by_its_shard_the_longest_overdue_first(
    store: SweepStore, client: DynamoDB
) -> None:
    states = [added(client, NOW + number * 7 % 40 * SECOND) for number in range(40)]
    at = NOW + 50 * SECOND
    found = [place for shard in range(WATCH_SHARDS) for place in store.overdue(shard, at, 100)[0]]
    expected = [
        (state.watch_at, state.job_id)
        for state in states
        if state.watch_at and state.watch_at <= at
    ]
    assert 0 < len(expected) < 40
    assert sorted((place.watch_at, place.job_id) for place in found) == sorted(expected)
    for shard in range(WATCH_SHARDS):
        whole, _ = store.overdue(shard, NOW + HOUR, 100)
        assert whole == sorted(whole, key=lambda place: place.watch_at)
        one_by_one: list[Place] = []
        after = None
        while (page := store.overdue(shard, NOW + HOUR, 1, after))[0]:
            one_by_one += page[0]
            after = page[1]
            if after is None:
                break
        assert one_by_one == whole


def test_a_state_that_waits_for_nothing_is_never_overdue(
    store: SweepStore, client: DynamoDB
) -> None:
    item = {"id": {"S": "job_y"}, "part": {"S": "state"}, "state": {"S": "{}"}}
    client.put_item(TableName="jobs", Item=item)
    later = NOW + timedelta(days=900)
    assert [store.overdue(shard, later, 100) for shard in range(16)] == [([], None)] * 16


def test_the_states_that_exist_are_read(store: SweepStore, client: DynamoDB) -> None:
    states = {state.job_id: state for state in (added(client, NOW + HOUR) for _ in range(101))}
    items = store.states([*states, "job_z"])
    assert {item["id"]: read_state(item) for item in items} == states


@pytest.mark.parametrize(
    "mark",
    [
        Mark(),
        Mark(NOW),
        Mark(NOW, Part(NOW + SECOND, PLACE)),
        Mark(None, Part(NOW + SECOND, PLACE, has_failed=True)),
        Mark(None, Part(NOW + SECOND)),
    ],
)
def test_a_mark_is_read_as_it_was_stored(store: SweepStore, mark: Mark) -> None:
    assert store.marks() == {}
    store.keep([mark, Mark(NOW)])
    assert store.marks() == {0: mark, 1: Mark(NOW)}
