"""The watchdog ends every overdue block at its own deadline, and no other block."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import pytest

from chalicelib.outbound.watchdog import Watchdog


def ended(log: list[str], name: str, then: threading.Event | None = None) -> Callable[[], None]:
    def end() -> None:
        log.append(name)
        if then:
            then.set()

    return end


def test_each_is_ended_in_its_own_time_whatever_the_order_they_came_in() -> None:
    watchdog, log, last, now = Watchdog(), list[str](), threading.Event(), time.monotonic()
    with ExitStack() as blocks:
        # A later one first: the thread waits for it, and must be told that an earlier one has come.
        for name, after in [("third", 0.15), ("first", 0.05), ("second", 0.1), ("never", 600)]:
            blocks.enter_context(
                watchdog.watching(now + after, ended(log, name, last if name == "third" else None))
            )
        assert last.wait(5)
        assert log == ["first", "second", "third"]
        assert time.monotonic() - now < 0.15 + 0.25
    assert log == ["first", "second", "third"]


def test_what_is_over_before_its_time_is_not_ended() -> None:
    watchdog, log, later, now = Watchdog(), list[str](), threading.Event(), time.monotonic()
    with watchdog.watching(now + 0.05, ended(log, "over")):
        pass
    with watchdog.watching(now + 0.1, ended(log, "late", later)):
        assert later.wait(5)
    assert log == ["late"]


def test_what_has_no_time_at_all_is_ended_at_once() -> None:
    watchdog, done = Watchdog(), threading.Event()
    with watchdog.watching(time.monotonic() - 1, done.set):
        assert done.wait(5)


def test_an_exception_in_the_block_comes_through_and_ends_the_watch() -> None:
    watchdog, log, later, now = Watchdog(), list[str](), threading.Event(), time.monotonic()
    with pytest.raises(KeyError), watchdog.watching(now + 0.05, ended(log, "gone")):
        raise KeyError
    with watchdog.watching(now + 0.1, later.set):
        assert later.wait(5)
    assert log == []


def test_a_thousand_at_once_from_many_threads_are_each_ended_once_or_not_at_all() -> None:
    watchdog, log, now = Watchdog(), list[int](), time.monotonic()

    def end(number: int, done: threading.Event) -> None:
        log.append(number)
        done.set()

    def watch(first: int) -> None:
        for number in range(first, first + 50):
            if number % 2:
                with watchdog.watching(now + 600, partial(log.append, number)):
                    pass
            else:
                done = threading.Event()
                with watchdog.watching(time.monotonic() + 0.001, partial(end, number, done)):
                    assert done.wait(5)

    before, threads = (
        threading.active_count(),
        [threading.Thread(target=watch, args=(first,)) for first in range(0, 1000, 50)],
    )
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(log) == list(range(0, 1000, 2))
    assert threading.active_count() <= before + 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_is_gone_is_made_anew() -> None:
    watchdog, done, others = Watchdog(), threading.Event(), set(threading.enumerate())
    with watchdog.watching(time.monotonic() + 0.01, sys.exit):
        (thread,) = set(threading.enumerate()) - others
        thread.join(5)
        assert not thread.is_alive()
    with watchdog.watching(time.monotonic() + 0.01, done.set):
        assert done.wait(5)
