"""Make notices, which are written in the transaction of what they tell."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from chalicelib.aws.channel_store import ChannelStore, Delivery
from chalicelib.aws.job_store import JobStore
from chalicelib.aws.run_store import RunStore
from chalicelib.aws.table import Put
from chalicelib.domain.channels import Channel, may_tell, tell
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition, Kind
from chalicelib.domain.messages import body_of
from chalicelib.domain.notices import Event, Told, callback, to_channel
from chalicelib.domain.run import Attempt, RunEnd, RunStatus
from chalicelib.domain.run_history import Run, recorded
from chalicelib.domain.state import State, Transition

log = logging.getLogger("resona")

_EVENTS = {RunStatus.SUCCEEDED: Event.RUN_SUCCEEDED, RunStatus.FAILED: Event.RUN_FAILED}


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
    ) -> tuple[Transition, tuple[Transition, ...]]:
        """Return a transition of this job with what it tells in its state, and its notices.

        `definition` is the one in force, `before` the state from which the transition was decided.
        `record` is that of the attempt that the transition finishes, None if it finishes none.
        Raises Unavailable.
        """
        if definition.kind is Kind.NOTICE:
            return step, ()
        made = list(self._callbacks(definition, step, record, now))
        if may_tell(before, step):
            channels = self.channels.all(definition.tenant)
            step, told = tell(channels, definition.labels, before, step)
            made += [
                self._to(channel, event, definition, before, step, record, now)
                for event, channel in told
            ]
        return step, tuple(made)

    def _callbacks(
        self, definition: Definition, step: Transition, record: Attempt | None, now: datetime
    ) -> Iterator[Transition]:
        for key, status, end in _ends(step, record):
            url = definition.callbacks.url(status)
            if url is not None:
                run = self._run(definition.id, key, record, end, now)
                yield callback(_told(_EVENTS[status], definition, run, now), url, now)

    def _to(
        self,
        channel: Channel,
        event: Event,
        definition: Definition,
        before: State,
        step: Transition,
        record: Attempt | None,
        now: datetime,
    ) -> Transition:
        key, _, end = next(
            (key, status, end)
            for key, status, end in _ends(step, record)
            if event is not Event.RUN_MISSED or status is RunStatus.MISSED
        )
        run = self._run(definition.id, key, record, end, now)
        told = _told(event, definition, run, now)
        if event is not Event.RUN_MISSED:
            failing = before.failing if event is Event.JOB_RECOVERED else step.state.failing
            told = replace(told, failing=failing)
        return to_channel(told, channel.name, channel.url, body_of(told, channel), now)

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


def pairs(jobs: JobStore, notices: tuple[Transition, ...]) -> list[Put]:
    """Return the writes of new notices."""
    return [
        write
        for notice in notices
        if notice.definition
        for write in jobs.pair(notice.definition, notice.state)
    ]


def log_notices(job_id: str, notices: tuple[Transition, ...]) -> None:
    """Log the notices that were written."""
    for notice in notices:
        event = notice.definition.labels["event"] if notice.definition else None
        fields = {"job_id": job_id, "notice_id": notice.state.job_id, "event": event}
        log.info("notice.created", extra=fields)
