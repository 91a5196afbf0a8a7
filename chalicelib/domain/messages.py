"""The bodies of channels' notices, in each format."""

from __future__ import annotations

from datetime import datetime

from chalicelib.domain import slack
from chalicelib.domain.channels import Channel, Format
from chalicelib.domain.ids import run_id
from chalicelib.domain.instant import format_instant, format_measured
from chalicelib.domain.notices import Event, Told, document


def body_of(told: Told, channel: Channel) -> object:
    """Return the body of a channel's notice."""
    if channel.format is Format.RESONA:
        return {**document(told), "channel": channel.name}
    last = told.run.attempts[-1] if told.run.attempts else None
    identifier = run_id(told.job.id, told.run.key)
    return slack.message(_headline(told), told.job, last, told.response, identifier)


def trial_body(channel: Channel, now: datetime) -> object:
    """Return the body of a notice that tries a channel."""
    if channel.format is Format.RESONA:
        return {"event": Event.TEST, "at": format_measured(now), "channel": channel.name}
    return slack.message(f"A test of the channel {channel.name}", None, None, None, "")


def _headline(told: Told) -> str:
    """Return a sentence about the job, without its name."""
    count = told.failing.count if told.failing else 0
    since = f" since {format_instant(told.failing.since)}" if told.failing else ""
    first = told.failing.since if told.failing else told.at
    row = f"{count} times in a row{since}" if count > 1 else f"at {format_instant(first)}"
    match told.event:
        case Event.JOB_RECOVERED:
            return f"works again; it failed {row}"
        case Event.JOB_PAUSED:
            return f"is paused: it failed {row}"
        case Event.RUN_MISSED:
            missed = told.run.missed_count or 1
            times = "a time" if missed == 1 else f"{missed} times"
            return f"missed {times} from {format_instant(told.run.key.due_at)} on"
        case _:
            return f"failed {row}"
