"""One thread that ends whatever is not over in time: a thread for each exchange would cost more
than most exchanges do.
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
    """Watches any number of things at once.

    Its thread is made when it is first needed, and made anew should it be gone.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: set[_Watch] = set()
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watching(self, until: float, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` if the block is not over by `until`, on the monotonic clock. It must return at
        once, and not raise.

        It may be called just after the block if that ends in the same moment.
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
        """Return what is over its time and watch it no more; wait if there is none, for as long as
        the next has.
        """
        now = time.monotonic()
        due = [watch for watch in self._watched if watch.until <= now]
        self._watched.difference_update(due)
        if not due:
            # It does not wake for what is over before its time: what it waited for may be gone when
            # it wakes.
            self._wakes_at = min((watch.until for watch in self._watched), default=math.inf)
            self._changed.wait(None if self._wakes_at == math.inf else self._wakes_at - now)
        return due
