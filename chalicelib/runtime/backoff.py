"""Retry a call with exponential backoff and jitter."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

# Some four seconds in all.
TRIES = 20
_LONGEST_PAUSE_SECONDS = 0.4


def pause_after(tries: int, sleep: Callable[[float], None], *, jitter: float = 1) -> None:
    """Sleep for up to 0.01 s * 2^tries, at most 0.4 s; `tries` counts from 1.

    `jitter` is the share of the pause that is random, 0 to 1: it keeps processes that collided from
    retrying at the same time.
    """
    longest = min(_LONGEST_PAUSE_SECONDS, 0.01 * 2**tries)
    sleep(random.uniform(1 - jitter, 1) * longest)


def tries(sleep: Callable[[float], None], most: int = TRIES, *, jitter: float = 1) -> Iterator[int]:
    """Yield 0, 1, … for each of up to `most` tries, and pause before each but the first."""
    for number in range(most):
        if number:
            pause_after(number, sleep, jitter=jitter)
        yield number
