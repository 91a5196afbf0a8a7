"""How many executors a tenant may use: the threshold, the estimate, and the order of admission."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import fmean, stdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.fairness import (
    ATTEMPTS,
    LIFETIME,
    SOONEST,
    Sharing,
    expected,
    last_asked,
    step,
)

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
SHARINGS = st.builds(
    Sharing,
    executors=st.integers(2, 1000),
    share=st.floats(0.05, 0.95),
    least=st.integers(1, 50),
    one_in=st.integers(1, 40),
)
TICKETS = st.dictionaries(
    st.text("abc", min_size=3, max_size=3),
    st.integers(-2_000_000, 0).map(lambda ms: START + ms * MILLISECOND),
    max_size=27,
)


@given(SHARINGS, st.integers(0, 1000), st.integers(0, 1000))
def test_a_tenant_may_use_less_as_others_use_more_and_never_less_than_the_least(
    sharing: Sharing, others: int, more: int
) -> None:
    before, after = sharing.allowed(others), sharing.allowed(others + more)
    assert sharing.least <= after <= before
    assert before <= max(sharing.least, sharing.share * sharing.executors)


@given(st.integers(2, 1000), st.floats(0.05, 0.95), st.integers(1, 1000), st.integers(0, 1000))
def test_a_stage_of_any_size_leaves_some_to_others(
    executors: int, share: float, least: int, others: int
) -> None:
    sharing = Sharing.of_stage(executors, share, least)
    assert 1 <= sharing.least <= max(1, executors // 4)
    assert sharing.allowed(others) <= sharing.allowed_in_turn(others) < executors
    # The standard deviation of the estimate of half of them is at most a quarter of that half.
    half = executors / 2
    assert executors < 8 or math.sqrt(half * (sharing.one_in - 1)) <= half / 4


@given(SHARINGS, st.integers(1, 12))
def test_greedy_tenants_settle_where_each_has_as_much_and_some_are_left(
    sharing: Sharing, tenants: int
) -> None:
    each = sharing.share * sharing.executors / (1 + sharing.share * (tenants - 1))
    if each > sharing.least:
        others = each * (tenants - 1)
        assert sharing.share * (sharing.executors - others) == pytest.approx(each)
        assert tenants * each < sharing.executors


@given(SHARINGS, TICKETS)
def test_only_those_that_began_before_and_are_not_dead_stand_ahead(
    sharing: Sharing, tickets: dict[str, datetime]
) -> None:
    began = START - timedelta(seconds=1)
    ahead = sharing.ahead(tickets, began, "b", START)
    in_use = sharing.in_use(tickets.values(), START)
    assert 0 <= ahead <= in_use <= sharing.one_in * len(tickets)
    assert sharing.ahead(tickets, began, "b", START + LIFETIME) == 0
    dead = sharing.dead(tickets, START)
    assert in_use == sharing.one_in * (len(tickets) - len(dead))
    of_same_time = {"a": began, "b": began, "c": began}
    assert sharing.ahead(of_same_time, began, "b", START) == sharing.one_in


@pytest.mark.parametrize(("count", "seconds"), [(40, 0.05), (400, 0.05), (400, 300.0)])
def test_the_estimate_has_no_bias_and_the_deviation_that_sampling_has(
    count: int, seconds: float
) -> None:
    sharing, chance = Sharing(), random.Random(7)
    found = []
    for _ in range(2000):
        tickets = [
            START - timedelta(seconds=chance.uniform(0, seconds))
            for _ in range(count)
            if chance.random() < 1 / sharing.one_in
        ]
        found.append(sharing.in_use(tickets, START))
    deviation = math.sqrt(count * (sharing.one_in - 1))
    assert fmean(found) == pytest.approx(count, abs=4 * deviation / math.sqrt(2000))
    assert stdev(found) == pytest.approx(deviation, rel=0.1)


def test_of_all_executors_at_once_about_the_share_is_admitted() -> None:
    sharing, chance = Sharing(), random.Random(11)
    counts = []
    for _ in range(2000):
        began = [START + n * timedelta(microseconds=50) for n in range(sharing.executors)]
        tickets = {str(at): at for at in began if chance.random() < 1 / sharing.one_in}
        allowed = sharing.allowed(0)
        ahead = partial(sharing.ahead, tickets, ticket="", now=START)
        counts.append(bisect_left(began, allowed, key=ahead))
    assert fmean(counts) == pytest.approx(400, abs=10)
    # In three of a thousand such bursts fewer than 20 others find an executor at once.
    assert sum(count > 780 for count in counts) <= 0.003 * len(counts)


@given(st.integers(0, 900_000), st.integers(1, 900_000))
def test_a_run_asks_once_more_before_its_grace_ends(place: int, grace: int) -> None:
    at, latest = START + place * MILLISECOND, START + grace * MILLISECOND
    asks = last_asked(latest, at, START)
    assert last_asked(None, at, START) == at
    assert asks <= latest
    if at <= latest:
        assert asks == at
    else:
        assert asks in (latest, latest - SOONEST)
        assert last_asked(latest, at, latest - SOONEST) == latest


@settings(max_examples=50)
@given(SHARINGS, st.integers(1, 5000), st.integers(20, 600_000))
def test_places_come_as_often_as_the_share_makes_attempts(
    sharing: Sharing, held: int, milliseconds: int
) -> None:
    duration, allowed = milliseconds * MILLISECOND, sharing.allowed(0)
    took = held * step(duration, allowed)
    attempts = allowed * ATTEMPTS * (took / duration)
    assert attempts == pytest.approx(held, rel=0.05, abs=1) or took / held <= MILLISECOND


def test_work_is_expected_to_last_as_long_again_as_it_has_lasted_up_to_its_timeout() -> None:
    minute, timeout = timedelta(minutes=1), timedelta(minutes=3)
    assert expected([], timeout, START) == SOONEST
    assert expected([START + MILLISECOND], timeout, START) == SOONEST
    assert expected([START - minute], timeout, START) == 2 * minute
    assert expected([START - 2 * minute], timeout, START) == timeout
    assert expected([START - 2 * LIFETIME], timeout, START) == SOONEST
