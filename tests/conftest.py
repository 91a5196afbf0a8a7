"""What holds for all tests."""

from __future__ import annotations

import pytest


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
