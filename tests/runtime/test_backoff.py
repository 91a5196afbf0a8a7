"""The pauses between tries: they double up to a bound, and are random."""

from __future__ import annotations

import pytest

from chalicelib.runtime.backoff import TRIES, pause_after, tries


@pytest.mark.parametrize(
    ("number", "longest"), [(1, 0.02), (2, 0.04), (5, 0.32), (6, 0.4), (99, 0.4)]
)
@pytest.mark.parametrize("jitter", [0, 0.5, 1])
def test_a_pause_doubles_up_to_its_bound_and_is_random_by_its_jitter(
    number: int, longest: float, jitter: float
) -> None:
    pauses: list[float] = []
    for _ in range(200):
        pause_after(number, pauses.append, jitter=jitter)
    least = longest * (1 - jitter)
    assert least <= min(pauses) <= max(pauses) <= longest
    if jitter:
        assert max(pauses) - min(pauses) > 0.5 * (longest - least)


def test_there_is_no_pause_before_the_first_try_and_none_after_the_last() -> None:
    pauses: list[float] = []
    seen = [(number, len(pauses)) for number in tries(pauses.append, 3, jitter=0)]
    assert seen == [(0, 0), (1, 1), (2, 2)]
    assert pauses == [0.02, 0.04]
    assert len(list(tries(pauses.append))) == TRIES
