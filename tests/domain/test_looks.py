"""When the sweeper looks at what is overdue, and until when it has looked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.looks import SETTLED, YOUNG, Mark, Part, Place, has_look, is_read, next_look

FIRST = datetime(2026, 11, 23, 10, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
# By hand, for two hours.
LOOKS = [FIRST + minute * MINUTE for minute in (0, 1, 3, 7, *range(15, 130, 8))]
PLACE = Place(FIRST, "job_x")
instants = st.integers(-600, 7000).map(lambda seconds: FIRST + seconds * SECOND)


@given(since=instants, until=instants)
def test_a_sweep_has_a_look_if_one_lies_in_its_time(since: datetime, until: datetime) -> None:
    assert has_look(FIRST, since, until) == any(since < look <= until for look in LOOKS)
    assert has_look(FIRST, None, until) == (until >= FIRST)


@given(after=instants)
def test_the_next_look_is_the_first_after_an_instant(after: datetime) -> None:
    assert next_look(FIRST, after) == next(look for look in LOOKS if look > after)


@given(since=instants, until=instants)
def test_a_state_is_read_by_every_sweep_at_first_and_at_its_looks_later(
    since: datetime, until: datetime
) -> None:
    read = is_read(FIRST, since, until)
    assert read == (FIRST <= until < FIRST + YOUNG or has_look(FIRST, since, until))
    assert is_read(FIRST, None, until) == (until >= FIRST)


def test_a_mark_moves_when_all_of_a_sweep_is_done() -> None:
    mark, part = Mark(FIRST), Part(FIRST + MINUTE)
    under_way = mark.after(part, PLACE, failed=False)
    assert under_way == Mark(FIRST, Part(FIRST + MINUTE, PLACE))
    assert under_way.part is not None
    assert under_way.after(under_way.part, None, failed=False) == Mark(FIRST + MINUTE - SETTLED)
    assert Mark().after(part, None, failed=False) == Mark(FIRST + MINUTE - SETTLED)


@pytest.mark.parametrize("fails", range(3))
def test_a_mark_stays_if_a_look_failed(fails: int) -> None:
    mark = Mark(FIRST)
    for page in range(3):
        place = PLACE if page < 2 else None
        mark = mark.after(mark.part or Part(FIRST + MINUTE), place, failed=page == fails)
    assert mark == Mark(FIRST)


def test_a_mark_of_a_clock_that_was_wrong_is_not_trusted() -> None:
    part = Part(FIRST + HOUR, PLACE)
    assert Mark(FIRST + HOUR, part).trusted(FIRST) == Mark()
    assert Mark(FIRST, part).trusted(FIRST) == Mark(FIRST)
    near = Mark(FIRST + MINUTE, Part(FIRST + MINUTE, PLACE))
    assert near.trusted(FIRST) == near
