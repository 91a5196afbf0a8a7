"""Channels: where a tenant is told of events of its jobs, and the rules of what is told.

A row is the failed runs of a job since its last success. A channel is told of a row's failure once,
when the row is `after` long, and of the recovery exactly if it was told of the failure. What was
told is in the state (`Failing.told`), so both hold also when channels change in between.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from chalicelib.domain.notices import Event
from chalicelib.domain.run import RunStatus
from chalicelib.domain.state import State, Transition

CHANNEL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
# The notices of one end are written in one transaction, which takes 100 items: up to four each.
MOST_CHANNELS = 20


class Format(StrEnum):
    """The form of a channel's notices: Resona's own document, a message for a chat, or plain text
    for e-mail, which only a topic of SNS takes.
    """

    RESONA = "resona"
    SLACK = "slack"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as the user wrote it.

    `token` tells it from an earlier channel of the same name. `label` is the key and the value that
    a job must have, None for all jobs. `digest` is the length of its windows, None for a notice of
    each event by itself (`domain.digests`).
    """

    tenant: str
    name: str
    token: str
    url: str
    events: frozenset[Event]
    created_at: datetime
    updated_at: datetime
    format: Format = Format.RESONA
    label: tuple[str, str] | None = None
    after: int = 1
    digest: timedelta | None = None

    def wants(self, event: Event, labels: Mapping[str, str]) -> bool:
        """Return whether the channel is to be told of this event of a job with these labels."""
        return event in self.events and (self.label is None or self.label in labels.items())


def may_tell(before: State, step: Transition) -> bool:
    """Return whether a transition has something that channels may be told of."""
    return bool(_happened(before, step))


def _happened(before: State, step: Transition) -> list[Event]:
    after, events = step.state, list[Event]()
    if step.update is not None and after.failing != before.failing:
        if after.failing is not None:
            events.append(Event.RUN_FAILED)
        elif before.failing is not None and before.failing.told:
            events.append(Event.JOB_RECOVERED)
    if after.pause is not None and before.pause is None:
        events.append(Event.JOB_PAUSED)
    if any(end.status is RunStatus.MISSED for end in step.ended):
        events.append(Event.RUN_MISSED)
    return events


def tell(
    channels: Collection[Channel], labels: Mapping[str, str], before: State, step: Transition
) -> tuple[Transition, tuple[tuple[Event, Channel], ...]]:
    """Return the transition with what was told in its state, and what each channel is to be told.

    `before` is the state from which the transition was decided.
    """
    told = tuple(
        (event, channel)
        for event in _happened(before, step)
        for channel in _told(event, channels, labels, before, step.state)
    )
    failing = step.state.failing
    if failing is None:
        return step, told
    living = {channel.token for channel in channels}
    new = [channel.token for event, channel in told if event is Event.RUN_FAILED]
    kept = (*(token for token in failing.told if token in living), *new)
    state = replace(step.state, failing=replace(failing, told=kept))
    return replace(step, state=state), told


def _told(
    event: Event,
    channels: Iterable[Channel],
    labels: Mapping[str, str],
    before: State,
    after: State,
) -> Iterator[Channel]:
    if event is Event.JOB_RECOVERED:
        tokens = before.failing.told if before.failing else ()
        # Who was told of the failure hears of its end, whatever labels the job has now.
        yield from (one for one in channels if one.token in tokens and event in one.events)
        return
    for channel in channels:
        if not channel.wants(event, labels):
            continue
        if event is Event.RUN_FAILED and after.failing is not None:
            is_long = after.failing.count >= channel.after
            if not is_long or channel.token in after.failing.told:
                continue
        yield channel
