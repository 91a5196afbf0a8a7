"""What calendars cost: docs/design.md says it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bench.meter import Usage
from tests.bench.operations import bench

ALL_DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def used(trigger: dict[str, Any], weekdays: list[str]) -> Usage:
    """Return what two hours of a job use, after its first one."""
    with bench(1_024) as made:
        made.call("PUT", "/calendars/a", {"weekdays": []})
        made.create(trigger)
        made.call("PUT", "/calendars/a", {"weekdays": weekdays})
        made.advance(minutes=60)
        return made.used(lambda: made.advance(minutes=120))


@pytest.mark.parametrize(
    ("trigger", "occurrences"), [({"cron": "10 0-22 * * *"}, 2), ({"every": 600}, 12)]
)
def test_a_calendar_costs_a_read_and_an_excluded_occurrence_half_a_firing(
    trigger: dict[str, Any], occurrences: int
) -> None:
    plain = used(trigger, [])
    excluding = used({**trigger, "exclude": ["a"]}, [])
    passed = used({**trigger, "exclude": ["a"]}, ALL_DAYS)
    assert (plain.writes, excluding.writes) == (6 * occurrences, 6 * occurrences)
    assert excluding.reads == plain.reads + occurrences
    assert passed.writes == 3 * occurrences
    assert passed.reads <= plain.reads
