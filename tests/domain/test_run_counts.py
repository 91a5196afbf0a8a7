"""Counts of runs: sums, and percentiles of lateness."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.run import ENDED, RunStatus
from chalicelib.domain.run_counts import RunCounts, counted, two_digits

MEDIAN = Fraction(1, 2)
runs = st.lists(st.tuples(st.sampled_from(ENDED), st.none() | st.integers(0, 10**7)), max_size=12)


@pytest.mark.parametrize(
    ("number", "rounded"),
    [
        (-3, 0),
        (0, 0),
        (7, 7),
        (99, 99),
        (104, 100),
        (105, 110),
        (146, 150),
        (995, 1000),
        (4_149, 4_100),
        (86_400_000, 86_000_000),
    ],
)
def test_lateness_has_two_significant_digits(number: int, rounded: int) -> None:
    assert two_digits(number) == rounded


@given(runs, runs)
def test_the_sum_of_counts_is_the_count_of_all(
    some: list[tuple[RunStatus, int | None]], others: list[tuple[RunStatus, int | None]]
) -> None:
    assert counted(some) + counted(others) == counted(some + others)
    assert counted(some).statuses.total() == len(some)


@given(st.lists(st.integers(0, 10**6), min_size=1), st.fractions(Fraction(1, 100), 1))
def test_a_percentile_is_the_value_of_the_nearest_rank(late: list[int], part: Fraction) -> None:
    counts = counted((RunStatus.SUCCEEDED, one) for one in late)
    nearest = sorted(late)[math.ceil(part * len(late)) - 1]
    assert counts.late(part) == two_digits(nearest)


def test_without_lateness_there_is_no_percentile() -> None:
    assert RunCounts().late(MEDIAN) is None
    assert counted([(RunStatus.MISSED, None)]).late(MEDIAN) is None
