"""Run calls concurrently, so that together they take as long as the slowest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

_Answer = TypeVar("_Answer")


class RunAll(Protocol):
    """Run the calls concurrently, and return their results in order once all are done.

    Raises the exception of the first call that failed, by the same order.
    """

    def __call__(self, calls: Sequence[Callable[[], _Answer]]) -> list[_Answer]: ...


def in_threads(calls: Sequence[Callable[[], _Answer]]) -> list[_Answer]:
    """Run the calls in threads, one for each."""
    if len(calls) < 2:
        return [call() for call in calls]
    with ThreadPoolExecutor(len(calls)) as threads:
        return [done.result() for done in [threads.submit(call) for call in calls]]
