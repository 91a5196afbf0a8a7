"""Fixtures and settings of all tests."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadGroupScheduling

# How long an example takes says more of what else the machine does.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
HERE = Path(__file__).parent
# Real sockets, processes and clocks: on a busy machine one of these may miss its time without a
# fault. One that fails twice has one.
PLACES = ("acceptance/", "console/", "outbound/", "infra/test_emulator.py")
ON_A_REAL_CLOCK = tuple(f"{HERE}/{place}" for place in PLACES)


# pytest-xdist has no types.
class Scheduling(LoadGroupScheduling):  # type: ignore[misc]
    """Groups, and beside them all cases of a test together.

    Whenever a test ends, pytest-xdist looks at every unit that its worker ever got. With each of
    9,000 cases a unit of its own, that took a twentieth of all processor time.
    """

    def _split_scope(self, nodeid: str) -> str:
        group: str = super()._split_scope(nodeid)
        return group.partition("[")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling | None:
    return Scheduling(config, log) if config.getoption("dist") == "loadgroup" else None


def pytest_collection_finish() -> None:
    """Let the garbage collector leave what was imported alone: a tenth of all processor time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test on a real clock a second try, which pytest shows as an R."""
    for item in items:
        if str(item.path).startswith(ON_A_REAL_CLOCK):
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
