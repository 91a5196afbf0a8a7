"""Digests: what happens to the jobs of a channel within a window is told by one notice.

The first event opens a window. Its notice is written at once, like any other, but is due when the
window ends, so a digest is never later than that. Later events are added until the notice is due;
then the window is closed, and the notice tells all of it. An event that finds its window closed
opens the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.domain import job_transitions, messages
from chalicelib.domain.channels import Channel, Format
from chalicelib.domain.job import Definition, Kind
from chalicelib.domain.notices import Event, as_text
from chalicelib.domain.request import LARGEST_BODY
from chalicelib.domain.state import Transition
from chalicelib.domain.trigger import OneTime

SHORTEST, LONGEST = timedelta(seconds=10), timedelta(hours=1)
MOST_EXAMPLES = 20
# The label of the notice of a window until it is sent; its value is the format.
OPEN = "digest"
# An example as it is stored: its event, and its part of the body.
Example = tuple[Event, object]


@dataclass(frozen=True, slots=True)
class Window:
    """A window of a channel: the id of its notice, and when it ends.

    `token`, `url`, `format` and `length` are those of the channel when the window was opened.
    """

    notice_id: str
    ends_at: datetime
    token: str
    url: str
    format: Format
    length: timedelta

    def takes(self, channel: Channel, now: datetime) -> bool:
        """Return whether an event that the channel is told of now belongs to this window.

        A window is not for a channel that was changed so that its notice would go elsewhere, would
        have another form, or would be later than the channel allows.
        """
        is_same = (self.token, self.url, self.format) == (
            channel.token,
            channel.url,
            channel.format,
        )
        is_short = channel.digest is not None and self.length <= channel.digest
        return is_same and is_short and now < self.ends_at


def is_open(notice: Definition) -> bool:
    """Return whether this is the notice of a window that may still take events."""
    return notice.kind is Kind.NOTICE and OPEN in notice.labels


def opened(usual: Transition, channel: Channel, now: datetime) -> tuple[Window, Transition]:
    """Return the window that an event opens, and the transition that creates its notice.

    `usual` creates the notice of the event alone.
    """
    notice, length = usual.definition, channel.digest
    assert notice and length  # noqa: S101  a new job has one, a channel with windows too
    # Rounded down: the first event is never told later than the channel allows.
    ends_at = (now + length).replace(microsecond=0)
    window = Window(notice.id, ends_at, channel.token, channel.url, channel.format, length)
    labels = {**notice.labels, OPEN: channel.format.value}
    waiting = replace(notice, labels=labels, trigger=OneTime(ends_at))
    return window, job_transitions.create(waiting, None, now)


def composed(
    notice: Definition, counts: Mapping[Event, int], examples: Sequence[Example]
) -> Definition:
    """Return the notice of a closed window as it is sent.

    `counts` has every event of the window, `examples` the first of them. A window with one event is
    told as the event alone would be.
    """
    labels, total = dict(notice.labels), sum(counts.values())
    form = Format(labels.pop(OPEN))
    if total < 2 or not isinstance(notice.trigger, OneTime):
        return replace(notice, labels=labels)
    channel, since, until = labels["channel"], notice.created_at, notice.trigger.date
    if form is not Format.RESONA:
        lines = [str(example) for _, example in examples[:MOST_EXAMPLES]]
        body = messages.digest_message(channel, form, counts, lines, since)
    else:
        document = messages.digest_document(channel, counts, since, until)
        room = LARGEST_BODY - len(as_text(document).encode())
        shown = [example for _, example in examples[:MOST_EXAMPLES]]
        body = {**document, "examples": list(_fitting(shown, room))}
    return replace(
        notice,
        name=f"{Event.DIGEST}: {total} events",
        labels={"event": Event.DIGEST.value, "channel": channel},
        request=replace(notice.request, body=as_text(body)),
    )


def _fitting(examples: Iterable[object], room: int) -> Iterator[object]:
    """Yield examples as long as they fit into so many bytes of the body."""
    for example in examples:
        room -= len(as_text(example).encode()) + 1
        if room < 0:
            return
        yield example
