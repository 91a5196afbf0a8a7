"""A firing costs no more than documented, and idle jobs do not raise the cost of a day at rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.bench.costs import PRICES, dollars
from tests.bench.meter import Usage
from tests.bench.operations import KB, NEAR, SIZES, Costs, bench, change, create, fire, sweep

MOST_WRITES_OF_A_CRON_FIRING = 7


@pytest.fixture(scope="module")
def firings() -> dict[int, Costs]:
    return {size: fire(size) for size in SIZES}


@pytest.mark.parametrize("size", SIZES)
def test_a_cron_firing_with_its_wake_costs_at_most_7_write_units(
    firings: dict[int, Costs], size: int
) -> None:
    costs = firings[size]
    assert (costs["cron: its wake"] + costs["cron firing"]).writes <= MOST_WRITES_OF_A_CRON_FIRING
    assert costs["cron of every minute: firing"].writes <= MOST_WRITES_OF_A_CRON_FIRING


def test_what_arms_itself_costs_less_than_a_cron_that_is_woken(firings: dict[int, Costs]) -> None:
    costs = firings[KB]
    woken = dollars(costs["cron: its wake"] + costs["cron firing"]).total
    for name in ("cron of every minute: firing", "interval of a minute: firing"):
        assert costs[name] == Usage(writes=6, reads=2, sqs=3, lambdas=1)
        assert dollars(costs[name]).total < woken - 1
    assert costs["cron of every hour: its sweeps"] == Usage(reads=2, sqs=1)
    assert costs["cron of every hour: firing"] == costs["cron firing"]


def test_only_a_flow_with_a_rate_costs_something_and_waiting_for_it_more() -> None:
    with bench(KB) as made:

        def cost(jobs: int = 1) -> Usage:
            """Return what is used when so many jobs come due in one second."""
            for _ in range(jobs):
                made.create(NEAR)
            used = made.used(lambda: made.advance(seconds=200))
            assert not made.env.cloud.messages
            return used

        plain = cost()
        # The flow of another host, and one without limits.
        made.call("PUT", "/flows/host:example.com", {"rate": {"requests": 1}})
        made.call("PUT", "/flows/host:api.example.com", {})
        cost()
        assert cost() == plain
        made.call("PUT", "/flows/host:api.example.com", {"rate": {"requests": 1, "seconds": 30}})
        cost()
        place = Usage(writes=1)
        assert cost() == plain + place
        held = Usage(writes=3, reads=2, sqs=3, lambdas=1)
        assert cost(3) == (plain + place) * 3 + held * 2


def test_what_a_slot_costs_and_what_a_line_costs() -> None:
    with bench(KB) as made:

        def cost(jobs: int = 1) -> Usage:
            """Return what is used when so many jobs come due in one second."""
            for _ in range(jobs):
                made.create(NEAR)
            return made.used(lambda: made.advance(seconds=100))

        def in_line(jobs: int, **limits: int) -> tuple[Usage, int]:
            """Return what is used when so many jobs come due in a paused flow, and afterwards with
            these limits. How many write units are in the line's own partition?
            """
            made.call("PUT", "/flows/host:api.example.com", {"paused": True})
            made.env.cloud.writes.clear()
            waited = cost(jobs)
            made.call("PUT", "/flows/host:api.example.com", limits)
            used = waited + made.used(lambda: made.advance(seconds=100))
            of_line = ("gate", "wait#", "out#")
            writes = [one for one in made.env.cloud.writes if one.what.startswith(of_line)]
            return used, sum(one.units for one in writes)

        plain = cost()
        made.call("PUT", "/flows/host:api.example.com", {"concurrency": 1})
        cost()
        assert cost() == plain + Usage(writes=2, reads=2)
        for limits, line, in_partition in (
            ({}, Usage(writes=15, reads=4, sqs=3, lambdas=1), 6),
            ({"concurrency": 1}, Usage(writes=18, reads=7, sqs=3, lambdas=1), 9),
        ):
            (two, before), (four, after) = in_line(2, **limits), in_line(4, **limits)
            assert four == two + (plain + line) * 2
            # DynamoDB takes 1,000 a second of one partition.
            assert after - before == in_partition * 2


def test_a_breaker_costs_a_read_while_the_target_works() -> None:
    with bench(KB) as made:

        def cost() -> Usage:
            made.create(NEAR)
            return made.used(lambda: made.advance(seconds=100))

        plain = cost()
        made.call("PUT", "/flows/host:api.example.com", {"breaker": {"failures": 3}})
        cost()
        assert cost() == plain + Usage(reads=1)


def test_the_size_of_the_request_changes_only_what_a_firing_reads(
    firings: dict[int, Costs],
) -> None:
    small, large = (
        {name: replace(used, reads=0) for name, used in costs.items()} for costs in firings.values()
    )
    assert small == large


def test_a_firing_is_armed_by_one_message(firings: dict[int, Costs]) -> None:
    assert firings[KB]["cron: its wake"] == Usage(reads=1, sqs=1, schedules_woken=1, lambdas=1)
    assert firings[KB]["cron firing"] == Usage(writes=6, reads=2, sqs=2, lambdas=1)


@pytest.mark.parametrize("count", [create, change])
def test_the_size_of_the_request_changes_only_units_of_what_users_do(
    count: Callable[[int], Costs],
) -> None:
    small, large = (
        {name: replace(used, reads=0, writes=0) for name, used in count(size).items()}
        for size in SIZES
    )
    assert small == large


def test_what_does_not_touch_the_definition_does_not_pay_for_its_size() -> None:
    small, large = (change(size) for size in SIZES)
    for name in ("pause", "resume", "run now"):
        assert small[name].writes == large[name].writes


@pytest.mark.parametrize("jobs", [300, 20_000])
def test_rest_costs_the_same_however_many_jobs_are_resting(jobs: int) -> None:
    assert sweep(jobs, most=300) == sweep(0) == Usage(reads=8, lambdas=1)


def test_at_rest_nothing_is_used_but_by_the_sweeper() -> None:
    with bench(KB) as made:
        for _ in range(20):
            made.create({"cron": "0 * * * *"})
        made.env.sweeps = True
        assert made.used(lambda: made.advance(minutes=50)) == sweep(0) * 50


def test_every_price_has_its_source() -> None:
    for group in (
        "dollars_per_million",
        "dollars_per_gb",
        "dollars_per_gb_month",
        "dollars_a_month",
        "others",
    ):
        assert all(
            entry["source"].startswith("https://") and entry["price"] > 0
            for entry in PRICES[group].values()
        )
    assert PRICES["checked"]


def test_a_million_of_everything_costs_the_sum_of_the_list_prices() -> None:
    priced = dollars(
        Usage(
            writes=1,
            reads=1,
            sqs=1,
            schedules_made=1,
            schedules_deleted=1,
            schedules_woken=1,
            lambdas=1,
        )
    )
    assert priced.total == pytest.approx(0.625 + 0.125 + 0.40 + 1.00 + 0.20)
