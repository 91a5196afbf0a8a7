"""The use case of the sweeper: arm overdue jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from chalicelib.aws.due_queue import DueQueue
from chalicelib.aws.job_items import WATCH_SHARDS, read_state
from chalicelib.aws.job_store import JobStore, StateChanged
from chalicelib.aws.sweep_store import SweepStore
from chalicelib.aws.table import Item
from chalicelib.domain import run_transitions
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.lines import is_line
from chalicelib.domain.looks import Mark, Part, Place, is_read
from chalicelib.domain.run_transitions import Look
from chalicelib.domain.state import DueMessage, NoChange, State
from chalicelib.runtime.concurrency import RunAll
from chalicelib.usecases.lines import Lines

log = logging.getLogger("resona")

_MESSAGES = 10


@dataclass(frozen=True, slots=True)
class Sweeping:
    """Arms overdue jobs. `clock` returns aware UTC, `sleep` takes seconds; `page` jobs are read at
    once.
    """

    jobs: JobStore
    store: SweepStore
    queue: DueQueue
    lines: Lines
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    run_all: RunAll
    page: int = 100

    def sweep(self, until: datetime) -> int:
        """Arm overdue jobs, all shards concurrently, until `until`; return how many were armed.

        If a call fails, arm the others first, then raise Unavailable: the next sweep makes the
        looks that failed. If nothing is overdue the marks stay: there were no looks since then.
        """
        now, armed, failures = self.clock(), list[str](), list[Unavailable]()
        shards = [_Shard(self, shard, until, now, armed, failures) for shard in range(WATCH_SHARDS)]
        pages = self.run_all([partial(shard.page, Part(now)) for shard in shards])
        if any(page is None or page[0] for page in pages):
            marks = self._marks(failures)
            after = self.run_all(
                [
                    partial(shard.sweep, marks.get(shard.number, Mark()), page)
                    for shard, page in zip(shards, pages, strict=True)
                ]
            )
            try:
                self.store.keep(after)
            except Unavailable as error:
                failures.append(error)
        if failures:
            raise failures[0]
        log.debug("sweep.ended", extra={"armed": len(armed)})
        return len(armed)

    def _marks(self, failures: list[Unavailable]) -> dict[int, Mark]:
        try:
            return self.store.marks()
        except Unavailable as error:
            # Without a mark everything that is overdue is looked at.
            failures.append(error)
            return {}


# Entries of the index, and the one after which the next page begins; None if they cannot be read.
_Page = tuple[list[Place], Place | None] | None


@dataclass(frozen=True, slots=True)
class _Shard:
    """A sweep of one shard. Nothing here raises Unavailable: it is added to `failures`."""

    parts: Sweeping
    number: int
    until: datetime
    now: datetime
    armed: list[str]
    failures: list[Unavailable]

    def page(self, part: Part) -> _Page:
        """Read a page of what is overdue."""
        try:
            return self.parts.store.overdue(self.number, part.until, self.parts.page, part.place)
        except Unavailable as error:
            self.failures.append(error)
            return None

    def sweep(self, mark: Mark, first: _Page) -> Mark:
        """Make the looks since a mark, as long as there is time; return the mark after it.

        `first` is the first page.
        """
        mark = mark.trusted(self.now)
        while self._has_time() and (mark.since is None or mark.since < self.now):
            part = mark.part or Part(self.now)
            page = first if part == Part(self.now) else self.page(part)
            if page is None:
                return mark
            sent, failed = self._look(page, mark.since, part.until)
            mark = mark.after(part, page[1], failed=failed)
            is_over = mark.part is None and part.until == self.now
            # If nothing was sent, the queue or the table is down.
            if is_over or (failed and not sent):
                break
        return mark

    def _look(
        self,
        page: tuple[Sequence[Place], Place | None],
        since: datetime | None,
        until: datetime,
    ) -> tuple[int, bool]:
        """Make the looks at a page of overdue jobs. Return how many messages were sent, and whether
        a look failed.
        """
        places, following = page
        ids = [place.job_id for place in places if is_read(place.watch_at, since, until)]
        lines = [one for one in ids if is_line(one)]
        looked = [self._look_at_line(line) for line in lines]
        ids = [one for one in ids if one not in lines]
        try:
            items = self.parts.store.states(ids) if ids else []
        except Unavailable as error:
            self.failures.append(error)
            return 0, True
        decided = (_decided(item, since, until) for item in items)
        looks = [one for one in decided if one is not None]
        for job_id, look in looks:
            self._log_armed(job_id, look.arm)
        dues = [due for _, look in looks for due in look.arm]
        sent, failed = self._send(dues, is_last=following is None)
        moved = [self._move(look.moved) for _, look in looks if look.moved is not None]
        return sent, failed or not all((*moved, *looked))

    def _look_at_line(self, line: str) -> bool:
        """Have an overdue line drained; return False if that failed."""
        try:
            self.parts.lines.look_again(line)
        except Unavailable as error:
            self.failures.append(error)
            return False
        return True

    def _send(self, dues: Sequence[DueMessage], *, is_last: bool) -> tuple[int, bool]:
        """Send the messages of a page; return how many were sent, and whether any may be lost.

        Those of the last page are sent in time, if they are few: a pause costs less here than
        waiting in `deliver`. So a sweep pauses once for each shard at most.
        """
        sent = 0
        for start in range(0, len(dues), _MESSAGES):
            if not self._has_time():
                break
            some = dues[start : start + _MESSAGES]
            try:
                if is_last and len(dues) <= _MESSAGES:
                    self.parts.queue.send_in_time(some, self.parts.clock, self.parts.sleep)
                else:
                    self.parts.queue.send(some, self.parts.clock())
                sent += len(some)
            except Unavailable as error:
                self.failures.append(error)
        return sent, sent < len(dues)

    def _move(self, state: State) -> bool:
        """Write a state with its later `watch_at`; return False if that failed."""
        try:
            self.parts.jobs.save(state, now=self.parts.clock())
        except StateChanged:
            # Whoever changed it has set when it is overdue.
            return True
        except Unavailable as error:
            self.failures.append(error)
            return False
        return True

    def _log_armed(self, job_id: str, arm: Sequence[DueMessage]) -> None:
        if not arm:
            return
        self.armed.append(job_id)
        fields = {"job_id": job_id, "messages": len(arm)}
        if any(due.at <= self.now for due in arm):
            log.warning("job.overdue", extra=fields)
        else:
            # Not overdue, but no message covers it: for example, a retry that is further away than
            # SQS can delay.
            log.debug("job.armed", extra=fields)

    def _has_time(self) -> bool:
        return self.parts.clock() < self.until


def _decided(item: Item, since: datetime | None, until: datetime) -> tuple[str, Look] | None:
    """Return what a job needs; None if it is not overdue, or cannot be read."""
    try:
        look = run_transitions.sweep(read_state(item), since, until)
    except Exception:
        # A defect that concerns one job must not keep the others from being armed, nor the mark
        # from moving.
        log.exception("sweep.failed", extra={"job_id": item["id"]})
        return None
    return None if isinstance(look, NoChange) else (item["id"], look)
