"""The bodies of channels' notices, in each format."""

from __future__ import annotations

from datetime import datetime

from chalicelib.domain import mail, slack
from chalicelib.domain.channels import Channel, Format
from chalicelib.domain.ids import run_id
from chalicelib.domain.instant import format_instant, format_measured
from chalicelib.domain.notices import Event, Told, document


def body_of(told: Told, channel: Channel) -> object:
    """Return the body of a channel's notice."""
    if channel.format is Format.RESONA:
        return {**document(told), "channel": channel.name}
    if channel.format is Format.TEXT:
        return mail.message(_what(told), _headline(told), told, channel.name)
    last = told.run.attempts[-1] if told.run.attempts else None
    identifier = run_id(told.job.id, told.run.key)
    return slack.message(_headline(told), told.job, last, told.response, identifier)


def trial_body(channel: Channel, now: datetime) -> object:
    """Return the body of a notice that tries a channel."""
    if channel.format is Format.RESONA:
        return {"event": Event.TEST, "at": format_measured(now), "channel": channel.name}
    if channel.format is Format.TEXT:
        return mail.trial(channel.name)
    return slack.message(f"A test of the channel {channel.name}", None, None, None, "")


def _headline(told: Told) -> str:
    """Return a sentence about the job, without its name and the full stop."""
    what, count = _what(told), told.failing.count if told.failing else 0
    since = format_instant(told.failing.since if told.failing else told.at)
    row = f"failed {count} times in a row since {since}" if count > 1 else f"failed at {since}"
    match told.event:
        case Event.JOB_RECOVERED:
            return f"{what}; it {row}"
        case Event.JOB_PAUSED:
            return f"{what}: it {row}"
        case Event.RUN_MISSED:
            due = format_instant(told.run.key.due_at)
            if (told.run.missed_count or 1) == 1:
                return f"{what}: it was due at {due} and came too late to be sent"
            return f"{what}: the first was due at {due}, and they came too late to be sent"
        case _:
            return row


def _what(told: Told) -> str:
    """Return in a few words what happened to the job."""
    count = told.failing.count if told.failing else 0
    missed = told.run.missed_count or 1
    match told.event:
        case Event.JOB_RECOVERED:
            return "works again"
        case Event.JOB_PAUSED:
            return "is paused"
        case Event.RUN_MISSED:
            return "missed a run" if missed == 1 else f"missed {missed} runs"
        case _:
            return f"failed {count} times in a row" if count > 1 else "failed"
