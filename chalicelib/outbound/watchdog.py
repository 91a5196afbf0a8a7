"""Call a function when a block of code exceeds its deadline: one thread for all blocks.

A thread for each request would cost more than most requests do.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class _Watch:
    until: float
    end: Callable[[], None]


class Watchdog:
    """Watches the deadlines of any number of code blocks.

    The thread starts at first use, and again if it has died (after a fork).
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: set[_Watch] = set()
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watching(self, until: float, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` if the block still runs at `until`, a time of the monotonic clock.

        `end` must return at once and not raise. It may be called just after the block if the block
        ends at that moment.
        """
        watch = _Watch(until, end)
        with self._changed:
            self._watched.add(watch)
            self._wake_by(until)
        try:
            yield
        finally:
            with self._changed:
                self._watched.discard(watch)

    def _wake_by(self, until: float) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._wakes_at = until
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()
        elif until < self._wakes_at:
            self._wakes_at = until
            self._changed.notify()

    def _watch(self) -> None:
        while True:
            with self._changed:
                due = self._due()
            for watch in due:
                watch.end()

    def _due(self) -> list[_Watch]:
        """Remove and return the blocks past their deadline; wait for the next if there are none."""
        now = time.monotonic()
        due = [watch for watch in self._watched if watch.until <= now]
        self._watched.difference_update(due)
        if not due:
            # A block that ends early does not notify this thread: it wakes at the old deadline and
            # finds nothing due.
            self._wakes_at = min((watch.until for watch in self._watched), default=math.inf)
            self._changed.wait(None if self._wakes_at == math.inf else self._wakes_at - now)
        return due
