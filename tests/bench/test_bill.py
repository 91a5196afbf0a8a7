"""The bill, its parts, and the tables of costs and limits in README and docs/."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.bill import (
    ASSUMED,
    CPU,
    MEGABYTES_OF_A_CPU,
    MEMORIES,
    MILLION,
    Step,
    at_rest,
    bill,
    cron,
    memory,
    month,
    often,
    one_time,
    others,
    slower,
)
from tests.bench.docs import COSTS, LIMITS, README, written
from tests.bench.limits import RATES, Limit, limits


@pytest.mark.parametrize("page", [README, COSTS, LIMITS], ids=lambda page: page.name)
def test_the_tables_in_the_docs_are_those_that_are_counted(page: Path) -> None:
    """If not: `python -m tests.bench.docs`."""
    assert written(page) == page.read_text(encoding="utf-8")


def test_the_page_of_costs_says_what_is_assumed() -> None:
    costs = " ".join(COSTS.read_text(encoding="utf-8").split())
    assert f"answers in {ASSUMED.target / 1000:g} s" in costs
    assert f"{ASSUMED.aws_call} ms for each call of AWS" in costs
    assert f"{ASSUMED.waiting / 1000:g} s of waiting" in costs
    assert f"{ASSUMED.wake_waiting / 1000:g} s in `wake`" in costs
    assert f"a cold start of {ASSUMED.init / 1000:g} s" in costs
    assert f"{CPU['deliver']:g} ms for a firing" in costs
    assert f"{CPU['api_handler']:g} ms for a create" in costs
    assert f"{CPU['wake']:g} ms for a wake" in costs


def test_less_memory_takes_longer_and_costs_less() -> None:
    (_, deliver) = cron()
    times = [deliver.seconds_at(megabytes) for megabytes in MEMORIES]
    costs = [deliver.gb_seconds_at(megabytes) for megabytes in MEMORIES]
    assert times == sorted(times, reverse=True)
    assert costs == sorted(costs)
    assert deliver.seconds_at(MEGABYTES_OF_A_CPU) == deliver.seconds_at(2 * MEGABYTES_OF_A_CPU)


@pytest.mark.parametrize("counted", [one_time, cron, often])
def test_a_month_is_rest_and_so_many_firings(counted: Callable[[], list[Step]]) -> None:
    steps = counted()
    assert month(steps, 2 * MILLION) - month(steps, MILLION) == pytest.approx(
        bill(steps, MILLION).total()
    )
    assert month(steps, 0) >= at_rest().total()


def test_a_month_at_rest_costs_less_than_three_dollars_and_than_one_without_alarms_and_key() -> (
    None
):
    rest = at_rest()
    assert rest.total() < 3
    can_be_left_out = rest["CloudWatch, alarms"] + rest["KMS, the key of secrets"]
    assert rest.total() - can_be_left_out < 1


def test_each_invocation_is_paid_for_by_its_memory_and_its_time() -> None:
    (_, deliver) = cron()
    cold = ASSUMED.cold * ASSUMED.init / 1000
    assert deliver.gb_seconds == pytest.approx((deliver.seconds + cold) * memory("deliver") / 1024)
    late = replace(deliver, waits=deliver.waits + 1_000)
    assert bill([late], MILLION)["Lambda"] - bill([deliver], MILLION)["Lambda"] == pytest.approx(
        slower()
    )


def test_what_others_ask_grows_with_the_firings() -> None:
    qstash, tasks, scheduler, by_hand = others(MILLION)
    assert (qstash, tasks) == (10.0, 0.80)
    # 1,389 crons, of 720 firings each.
    assert scheduler == pytest.approx(138.90)
    assert 1.20 < by_hand < 5


def test_what_is_too_much_is_bold() -> None:
    limit = Limit("calls", 2, 2_000, "ask")
    assert [limit.at(rate) for rate in RATES] == ["20", "**2,000**", "**200,000**"]
    assert Limit("calls", 0.1, 1_000, "ask", most=2).at(1_000) == "**100 to 2,000**"


def test_ten_firings_a_second_need_no_quota_to_be_raised() -> None:
    assert [limit.what for limit in limits() if "**" in limit.at(RATES[0])] == []
