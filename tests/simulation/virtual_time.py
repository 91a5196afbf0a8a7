"""Virtual time, and processes that take turns in it.

A process is one Lambda invocation or one client, and runs as a greenlet until it waits: for an
answer from outside, for a time to come. Everything happens in one thread, in the order of a heap of
events, so the same choices give the same history.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from greenlet import getcurrent, greenlet


class Killed(BaseException):
    """The process has died where it stood."""


@dataclass(eq=False)
class Process:
    """Something that runs.

    `skew` is how many seconds its clock is ahead; `owns` holds the (run, attempt)s that it has
    claimed.
    """

    name: str
    skew: float = 0.0
    is_dead: bool = False
    function: str | None = None
    """Which Lambda function it is an invocation of; None before its first call of the cloud."""
    was_slow: bool = False
    """It has been held up: what it decides may be late by then."""
    begun_at: float = 0.0
    """When it began, in seconds of the simulation."""
    met_fault: bool = False
    """A call of the cloud has gone wrong for it."""
    reads_at: float = 0.0
    """Of an executor: from when on it may read who else uses some."""
    asked: str = ""
    """Of the API: what it was called with, method and path."""
    owns: set[tuple[str, str, int]] = field(default_factory=set)
    committed: list[Any] = field(default_factory=list)
    queued: list[Any] = field(default_factory=list)
    redefined: list[tuple[Any, Any]] = field(default_factory=list)


class VirtualTime:
    """The heap of events, and the time: seconds since `start`."""

    def __init__(self, start: datetime) -> None:
        self.start = start
        self.time = 0.0
        self.current = Process("nobody")
        self._nobody = self.current
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._until = 0.0
        self._left: set[greenlet] = set()
        self._idle: list[greenlet] = []
        self._ties = itertools.count()
        self._main = getcurrent()

    @property
    def now(self) -> datetime:
        """The true time."""
        return self.start + timedelta(seconds=self.time)

    def clock(self) -> datetime:
        """Return the time as the current process's clock shows it."""
        return self.start + timedelta(seconds=self.time + self.current.skew)

    def seconds(self, at: datetime) -> float:
        """Return an instant in seconds since the start."""
        return (at - self.start).total_seconds()

    def at(self, time: float, act: Callable[[], None]) -> None:
        """Have something happen at a time; now, if that has passed."""
        heapq.heappush(self._events, (max(time, self.time), next(self._ties), act))

    def begin(self, process: Process, work: Callable[[], None]) -> None:
        """Begin a process now.

        Its death is its own affair; whatever else it raises stops the simulation.
        """

        def run() -> None:
            try:
                work()
            except Killed:
                process.is_dead = True

        self._start(run, process)

    def invoke(self, process: Process, work: Callable[[], None]) -> None:
        """Run another process from the current one, and wait until it has ended or died."""
        caller = self.current
        self._let_pass(0)
        self.current = process
        try:
            work()
        except Killed:
            process.is_dead = True
        self.current = caller
        self._let_pass(0)

    def _start(self, work: Callable[[], None], process: Process) -> None:
        # To make a greenlet takes longer than much of what is done in one.
        green = self._idle.pop() if self._idle else greenlet(self._work, self._main)
        self._run(green, process, work)

    def _work(self, work: Callable[[], None]) -> None:
        while True:
            work()
            self._idle.append(getcurrent())
            work = self._leave()

    def _run(self, green: greenlet, process: Process, *work: Callable[[], None]) -> None:
        before, self.current = self.current, process
        try:
            green.switch(*work)
        finally:
            self.current = before

    def _leave(self) -> Any:
        """Let others run until somebody runs the current greenlet again.

        Return what it is given to do, if it is idle.
        """
        green = getcurrent()
        self._left.add(green)
        work = self._main.switch()
        self._left.discard(green)
        return work

    def wait(self, seconds: float) -> None:
        """Let time pass for the current process. Raises Killed if it was killed meanwhile."""
        process = self.current
        self._let_pass(seconds)
        if process.is_dead:
            raise Killed

    def _let_pass(self, seconds: float) -> None:
        green, process, time = getcurrent(), self.current, max(self.time, self.time + seconds)
        if time <= self._until and (not self._events or time < self._events[0][0]):
            # Nothing happens until then.
            self.time = time
        else:
            self.at(time, lambda: self._run(green, process))
            self._leave()

    def kill(self) -> None:
        """Kill the current process here."""
        self.current.is_dead = True
        raise Killed

    def run_all(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """Make calls side by side, as threads of one process."""
        if len(calls) < 2:
            return [call() for call in calls]
        green, process = getcurrent(), self.current
        answers: list[Any] = [None] * len(calls)
        errors: dict[int, Exception] = {}
        waiting, running = list(reversed(range(len(calls)))), set(range(len(calls)))

        def work() -> None:
            """Make calls until one has to wait: those that are left are another's."""
            while waiting:
                index = waiting.pop()
                try:
                    if not process.is_dead:
                        answers[index] = calls[index]()
                except Killed:
                    process.is_dead = True
                except Exception as error:
                    # Whatever it is, it is raised where the calls were made side by side, once all
                    # others have ended.
                    errors[index] = error
                running.discard(index)
            if not running:
                self.at(self.time, lambda: self._run(green, process))

        def begin() -> None:
            # All begin now, so none of them may go ahead of those that have not yet begun.
            until, self._until = self._until, self.time
            while waiting:
                self._start(work, process)
            self._until = until

        self.at(self.time, begin)
        self._leave()
        if process.is_dead:
            raise Killed
        if errors:
            raise errors[min(errors)]
        return answers

    def run_until(self, until: float) -> None:
        """Let everything happen that is to happen until a time."""
        self._until = until
        while self._events and self._events[0][0] <= until:
            self.time, _, act = heapq.heappop(self._events)
            act()
        self.time = max(self.time, until)

    def close(self) -> None:
        """End whatever still waits: a greenlet that is in the middle of something is never
        collected.
        """
        self._events.clear()
        # No wait holds it up on its way out.
        self._until = math.inf
        while self._left:
            self._left.pop().throw()
