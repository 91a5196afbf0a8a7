"""Make notices, which are written in the transaction of what they tell."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from chalicelib.aws.channel_store import ChannelStore, Delivery
from chalicelib.aws.digest_store import Ended
from chalicelib.aws.job_store import JobStore
from chalicelib.aws.run_store import RunStore
from chalicelib.aws.table import Write
from chalicelib.domain.channels import Channel, may_tell, tell
from chalicelib.domain.digests import Window, composed, is_open, opened
from chalicelib.domain.flows import Flow
from chalicelib.domain.ids import RunKey, run_id
from chalicelib.domain.job import Definition, Kind
from chalicelib.domain.messages import body_of, example_of
from chalicelib.domain.notices import Event, Told, callback, to_channel
from chalicelib.domain.run import Attempt, RunEnd, RunStatus
from chalicelib.domain.run_history import Run, recorded
from chalicelib.domain.state import State, Transition

log = logging.getLogger("resona")

_EVENTS = {RunStatus.SUCCEEDED: Event.RUN_SUCCEEDED, RunStatus.FAILED: Event.RUN_FAILED}


@dataclass(frozen=True, slots=True)
class Notices:
    """What is told with a write of a state: new notices, and events that are added to others.

    `beside` are the writes of windows (`domain.digests`). `added` has the id of the notice of each
    event that a window takes.
    """

    made: tuple[Transition, ...] = ()
    beside: tuple[Write, ...] = ()
    added: tuple[tuple[str, Event], ...] = ()

    def __add__(self, other: Notices) -> Notices:
        beside, added = self.beside + other.beside, self.added + other.added
        return Notices(self.made + other.made, beside, added)

    def writes(self, jobs: JobStore) -> list[Write]:
        """Return what is written in the transaction of the state."""
        pairs = [
            write
            for notice in self.made
            if notice.definition
            for write in jobs.pair(notice.definition, notice.state)
        ]
        return [*pairs, *self.beside]

    def log(self, job_id: str) -> None:
        """Log what was written."""
        for notice in self.made:
            event = notice.definition.labels["event"] if notice.definition else None
            fields = {"job_id": job_id, "notice_id": notice.state.job_id, "event": event}
            log.info("notice.created", extra=fields)
        for notice_id, event in self.added:
            fields = {"job_id": job_id, "notice_id": notice_id, "event": event}
            log.info("notice.extended", extra=fields)


@dataclass(frozen=True, slots=True)
class Telling:
    """Makes notices. It reads nothing if there is nothing to tell."""

    runs: RunStore
    channels: ChannelStore

    def notices(
        self,
        definition: Definition,
        before: State,
        step: Transition,
        record: Attempt | None,
        now: datetime,
        closed: Collection[str] = (),
    ) -> tuple[Transition, Notices]:
        """Return a transition of this job with what it tells in its state, and its notices.

        `definition` is the one in force, `before` the state from which the transition was decided.
        `record` is that of the attempt that the transition finishes, None if it finishes none.
        `closed` are the ids of notices that take no more events. Raises Unavailable.
        """
        if definition.kind is Kind.NOTICE:
            return step, Notices()
        notices = Notices(tuple(self._callbacks(definition, step, record, now)))
        if may_tell(before, step):
            channels = self.channels.with_windows(definition.tenant)
            step, found = tell([one for one, _ in channels], definition.labels, before, step)
            told = {
                event: self._told(event, definition, before, step, record, now)
                for event in dict.fromkeys(event for event, _ in found)
            }
            for channel, window in channels:
                events = [told[event] for event, one in found if one == channel]
                if events:
                    notices += self._to(channel, _open(window, closed, now), events, now)
        return step, notices

    def of_flow(
        self,
        event: Event,
        flow: Flow,
        definition: Definition,
        record: Attempt,
        now: datetime,
        closed: Collection[str] = (),
    ) -> Notices:
        """Return the notices of a flow that an attempt of this job has opened or closed, to all
        channels that ask for the event, whatever label they ask for.

        `flow` is as it was before; `closed` is as in `notices`. Raises Unavailable.
        """
        wanting = [
            (channel, window)
            for channel, window in self.channels.with_windows(definition.tenant)
            if event in channel.events
        ]
        if not wanting:
            return Notices()
        run, notices = self._run(definition.id, record.key, record, None, now), Notices()
        told = replace(_told(event, definition, run, now), at=record.finished_at, flow=flow)
        for channel, window in wanting:
            notices += self._to(channel, _open(window, closed, now), [told], now)
        return notices

    def _callbacks(
        self, definition: Definition, step: Transition, record: Attempt | None, now: datetime
    ) -> Iterator[Transition]:
        for key, status, end in _ends(step, record):
            url = definition.callbacks.url(status)
            if url is not None:
                run = self._run(definition.id, key, record, end, now)
                yield callback(_told(_EVENTS[status], definition, run, now), url, now)

    def _told(
        self,
        event: Event,
        definition: Definition,
        before: State,
        step: Transition,
        record: Attempt | None,
        now: datetime,
    ) -> Told:
        key, _, end = next(
            (key, status, end)
            for key, status, end in _ends(step, record)
            if event is not Event.RUN_MISSED or status is RunStatus.MISSED
        )
        run = self._run(definition.id, key, record, end, now)
        told = _told(event, definition, run, now)
        if event is Event.RUN_MISSED:
            return told
        failing = before.failing if event is Event.JOB_RECOVERED else step.state.failing
        return replace(told, failing=failing)

    def _to(
        self, channel: Channel, before: Window | None, told: Sequence[Told], now: datetime
    ) -> Notices:
        """Return what a channel is told of the events of one end. `before` is its last window."""
        if channel.digest is None:
            return Notices(tuple(_usual(one, channel, now) for one in told))
        first, digests = told[0], self.channels.digests
        identifier = run_id(first.job.id, first.run.key)
        if first.flow is not None:
            # The end of this run may be an event of its own.
            identifier = f"{first.event}#{identifier}"
        ended = Ended(identifier, first.at, [(one.event, example_of(one, channel)) for one in told])
        if before is not None and before.takes(channel, now):
            added = tuple((before.notice_id, one.event) for one in told)
            return Notices(beside=digests.added(before, ended), added=added)
        window, notice = opened(_usual(first, channel, now), channel, now)
        opening = self.channels.opening(channel, window, before)
        return Notices((notice,), (opening, digests.first(window, ended)))

    def composed(self, notice: Definition, now: datetime, *, is_closed: bool) -> Definition:
        """Return a notice as it is sent; that of a window has all its events, and takes no more.

        `is_closed` says that this was called before. The result is the same every time. Raises
        Unavailable.
        """
        if not is_open(notice):
            return notice
        digests = self.channels.digests
        found = digests.closed(notice.id) if is_closed else None
        if found is None:
            digests.close(notice.id, now)
            found = digests.closed(notice.id)
            assert found  # noqa: S101  it was just closed
        return composed(notice, *found)

    def _run(
        self, job_id: str, key: RunKey, record: Attempt | None, end: RunEnd | None, now: datetime
    ) -> Run:
        """Return an ended run. Its earlier attempts are read only if it has some."""
        attempts = {record.number: record} if record else {}
        if (record and record.number > 1) or (end and end.started_at):
            stored = self.runs.run(job_id, key, now, responses=False)
            attempts = {one.number: one for one in (stored.attempts if stored else ())} | attempts
        return recorded(key, tuple(attempts[number] for number in sorted(attempts)), end)

    def delivered(self, notice: Definition, record: Attempt) -> None:
        """Store how a notice ended, if it is a channel's. Raises Unavailable."""
        channel = notice.labels.get("channel")
        if channel is None:
            return
        delivery = Delivery(
            notice.id,
            notice.labels["event"],
            record.update.status,
            record.finished_at,
            record.result.status_code,
            record.result.error,
        )
        expires_at = record.finished_at + self.runs.retention
        self.channels.delivered(notice.tenant, channel, delivery, expires_at)


def _open(window: Window | None, closed: Collection[str], now: datetime) -> Window | None:
    """Return a window, as one that has ended if it is known that it was closed."""
    is_closed = window is not None and window.notice_id in closed
    return replace(window, ends_at=now) if window and is_closed else window


def _told(event: Event, definition: Definition, run: Run, now: datetime) -> Told:
    response = run.attempts[-1].result.response if run.attempts else None
    return Told(event, definition, run, response, run.finished_at or now)


def _ends(
    step: Transition, record: Attempt | None
) -> Iterator[tuple[RunKey, RunStatus, RunEnd | None]]:
    """Yield key and status of each run that a transition ends; the end if it had no attempt."""
    if record is not None and step.update is not None:
        yield record.key, step.update.status, None
    for end in step.ended:
        yield end.key, end.status, end


def _usual(told: Told, channel: Channel, now: datetime) -> Transition:
    """Return the notice of an event by itself."""
    return to_channel(told, channel.name, channel.url, body_of(told, channel), now)
