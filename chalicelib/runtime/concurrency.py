"""Calls side by side: what waits for others costs the longest wait, not the sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

_Answer = TypeVar("_Answer")


class SideBySide(Protocol):
    """Make calls side by side and return what they return, in order, once all are done; raise what
    the first of them raised.
    """

    def __call__(self, calls: Sequence[Callable[[], _Answer]]) -> list[_Answer]: ...


def in_threads(calls: Sequence[Callable[[], _Answer]]) -> list[_Answer]:
    """Make calls side by side in threads, one for each."""
    if len(calls) < 2:
        return [call() for call in calls]
    with ThreadPoolExecutor(len(calls)) as threads:
        return [done.result() for done in [threads.submit(call) for call in calls]]
