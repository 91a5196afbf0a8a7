"""Fixtures and settings of all tests."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Real sockets, processes and clocks: on a busy machine one of these may miss its time without a
# fault. One that fails twice has one.
ON_A_REAL_CLOCK = ("acceptance", "console", "outbound", "infra/test_emulator.py")


def pytest_collection_finish() -> None:
    """Let the garbage collector leave what was imported alone: a tenth of all processor time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test on a real clock a second try, which pytest shows as an R."""
    for item in items:
        if any(item.path.is_relative_to(HERE / place) for place in ON_A_REAL_CLOCK):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test of a group that several workers may share: each would make anew what the group
    has, and nobody would notice.
    """
    # Only a worker has this option. pytest-xdist's scheduler knows a group by the end of the test's
    # id.
    if (
        item.config.getoption("loadgroup", default=False)
        and item.get_closest_marker("xdist_group")
        and "@" not in item.nodeid
    ):
        pytest.fail(
            "pytest-xdist does not see the test's group: does it go with this pytest?",
            pytrace=False,
        )
