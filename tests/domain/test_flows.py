"""Flows: which flow a job belongs to, and the places that a rate gives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.flows import FLOW_NAME, Rate, begun, flow_of, is_name, places, waiting
from chalicelib.domain.job import Definition, Kind
from chalicelib.domain.request import Request
from chalicelib.domain.trigger import OneTime
from tests.soak import IS_SOAK

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
VALUES = 5_000 if IS_SOAK else 60


def job(url: str, flow: str | None = None) -> Definition:
    request = Request(url, "POST", {})
    return Definition("job", "tenant", 1, "job", START, OneTime(START), request, flow=flow)


def test_a_job_belongs_to_the_flow_it_names_or_to_that_of_its_host() -> None:
    assert flow_of(job("https://API.example.com:8443/a?b")) == "host:api.example.com"
    assert flow_of(job("http://[::1]/")) == "host:::1"
    assert flow_of(job("http://[2606:4700:0:0::0A11]/")) == "host:2606:4700::a11"
    assert flow_of(job("https://api.example.com/", "billing")) == "billing"
    assert flow_of(job("https://[example/")) is None
    notice = replace(job("https://api.example.com/", "billing"), kind=Kind.NOTICE)
    assert flow_of(notice) is None


def test_changing_a_flow_starts_no_new_generation() -> None:
    old, new = job("https://example.com/"), job("https://example.com/", "billing")
    assert old.meaning == new.meaning
    assert not old.says_the_same_as(new)


@pytest.mark.parametrize("name", ["a", "A.b_c-1", "host:localhost", "host:::1", "x" * 64])
def test_a_name_of_a_flow(name: str) -> None:
    assert FLOW_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "a:b", "host:", "host:API", "a/b", "x" * 65, "ä", "a\n"])
def test_what_is_no_name_of_a_flow(name: str) -> None:
    assert not FLOW_NAME.fullmatch(name)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("host:api.example.com", True),
        ("host:192.0.2.1", True),
        ("host:2606:4700::a11", True),
        ("host:2606:4700:0::a11", False),
        ("host:a:80", False),
        ("host:example.com:80", False),
        ("host:.", False),
        ("host:a..b", False),
        ("host:-a.com", False),
        ("host:127.1", False),
        ("billing", True),
    ],
)
def test_the_name_of_a_host_is_one_that_a_job_can_have(name: str, is_one: bool) -> None:
    assert is_name(name) == is_one


RATES = st.builds(
    lambda requests, seconds, burst: Rate(requests, seconds, min(burst, requests)),
    st.integers(1, 40),
    st.integers(1, 7),
    st.integers(1, 5),
)


class Taken:
    """A flow whose places are taken one after the other, as the store takes them."""

    def __init__(self, rate: Rate) -> None:
        self.rate, self.arrival_time, self.given = rate, START - timedelta(days=1), list[datetime]()

    def take(self, arrival: datetime, count: int = 1) -> list[datetime]:
        before = max(self.arrival_time, arrival)
        self.arrival_time = before + count * self.rate.step
        taken = list(places(self.rate, before, arrival, count))
        self.given += taken
        return taken


def bucket(rate: Rate, arrivals: list[int]) -> list[int]:
    """The oracle: a leaky bucket that leaks a unit a microsecond, looked at every microsecond that
    matters. An attempt adds the time of a step, and may be sent once it fits.
    """
    step = rate.step // MICROSECOND
    level, at, sent = 0, 0, []
    for arrival in arrivals:
        ready = max(arrival, at)
        level = max(0, level - (ready - at))
        surplus = level + step - step * rate.burst
        ready += max(0, surplus)
        level = max(0, level - max(0, surplus))
        sent.append(ready)
        at, level = ready, level + step
    return sent


@settings(max_examples=VALUES)
@given(RATES, st.lists(st.integers(0, 3_000_000), max_size=30))
def test_places_are_those_of_a_leaky_bucket(rate: Rate, gaps: list[int]) -> None:
    arrivals, now = list[int](), 0
    for gap in gaps:
        now += gap if gap % 3 else 0
        arrivals.append(now)
    flow = Taken(rate)
    taken = [flow.take(START + at * MICROSECOND)[0] for at in arrivals]
    assert [(at - START) // MICROSECOND for at in taken] == bucket(rate, arrivals)


@settings(max_examples=VALUES)
@given(RATES, st.lists(st.tuples(st.integers(-2_000, 9_000), st.integers(1, 10)), max_size=20))
def test_however_they_are_asked_for_places_keep_to_the_rate(
    rate: Rate, asked: list[tuple[int, int]]
) -> None:
    """Clocks differ, messages come early, and several places are taken at once."""
    flow = Taken(rate)
    for milliseconds, count in asked:
        arrival = START + timedelta(milliseconds=milliseconds)
        taken = flow.take(arrival, count)
        assert taken == sorted(taken)
        assert taken[0] >= arrival
    given_ = sorted(flow.given)
    for number, first in enumerate(given_):
        for more, last in enumerate(given_[number:]):
            # The burst apart, each attempt after the first takes a step.
            assert last - first >= rate.step * (more + 1 - rate.burst)


@settings(max_examples=VALUES)
@given(RATES, st.integers(1, 50))
def test_what_waits_are_the_places_that_are_still_to_come(rate: Rate, count: int) -> None:
    flow = Taken(rate)
    taken = flow.take(START, count)
    for now in (START, START + timedelta(seconds=1)):
        still = sum(at > now for at in taken)
        assert waiting(rate, flow.arrival_time, now) == still


@settings(max_examples=VALUES)
@given(RATES, RATES, st.integers(1, 20), st.integers(0, 30), st.integers(1, 20))
def test_a_new_rate_begins_where_the_old_one_was(
    old: Rate, new: Rate, count: int, seconds: int, more: int
) -> None:
    """Given back are the places to come; what was sent counts, as so much of the new burst."""
    flow, now = Taken(old), START + timedelta(seconds=seconds)
    flow.take(START, count)
    sent = [at for at in flow.given if at <= now]
    changed = Taken(new)
    changed.arrival_time = begun(new, old, flow.arrival_time, now)
    # Never later than a step: the new rate does not wait for what the old one had promised.
    assert now <= changed.take(now, more)[0] <= now + new.step
    # The last `new.burst` that were sent leave so much less of it.
    recent = sum(at > now - old.step for at in sent)
    at_once = sum(at == now for at in changed.given)
    assert at_once <= max(new.burst - recent + 1, 0)


def test_a_first_rate_begins_at_once() -> None:
    assert begun(Rate(1, 60), None, None, START) == START
    assert begun(Rate(1, 60), Rate(2, 1), None, START) == START


@pytest.mark.parametrize("rate", [Rate(20, 1), Rate(3, 7), Rate(500, 1), Rate(1, 3600)])
def test_many_that_are_due_at_once_are_spaced_evenly(rate: Rate) -> None:
    taken = Taken(rate).take(START, 200)
    gaps = {after - before for before, after in pairwise(taken)}
    assert (taken[0], gaps) == (START, {rate.step})
    assert rate.step * rate.requests >= timedelta(seconds=rate.seconds)


def test_a_burst_goes_at_once_and_the_rest_is_spaced() -> None:
    taken = Taken(Rate(2, 1, burst=3)).take(START, 5)
    assert [(at - START).total_seconds() for at in taken] == [0, 0, 0, 0.5, 1]
    assert waiting(Rate(2, 1, burst=3), START + timedelta(seconds=2.5), START) == 2
