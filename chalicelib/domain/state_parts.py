"""Parts of a job's state: its failed runs in a row, and its pause."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Failing:
    """The failed runs in a row of a job: their number, and when the first of them ended.

    `told` are the tokens of the channels that were told of the row. A resume sets `count` to 0; who
    was told stays told until the next success.
    """

    count: int
    since: datetime
    told: tuple[str, ...] = ()


# The reason of a pause that `pause_after` made, and who made it.
FAILING, RESONA = "failing", "resona"


@dataclass(frozen=True, slots=True)
class PassedOver:
    """The next occurrence is on a day that a calendar excludes.

    `until` is the first one that is not, None if there is none within ten years.
    """

    until: datetime | None


@dataclass(frozen=True, slots=True)
class InLine:
    """The place of a run in its flow's line, the token of its hold, and since when it waits."""

    part: str
    token: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause: since when, why, until when, and who made it or changed it last.

    `until` is None if only a resume ends it. `reason` is None if none was given. `by` is the id of
    an API key, RESONA, or None for a caller without a key.
    """

    since: datetime
    reason: str | None = None
    until: datetime | None = None
    by: str | None = None
