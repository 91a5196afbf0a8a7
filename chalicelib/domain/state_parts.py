"""Parts of a job's state: its failed runs in a row, and its pause."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Failing:
    """The failed runs in a row of a job: their number, and when the first of them ended.

    `told` are the tokens of the channels that were told of the row. A resume sets `count` to 0; who
    was told stays told until the next success.
    """

    count: int
    since: datetime
    told: tuple[str, ...] = ()


class PauseReason(StrEnum):
    """Why Resona paused a job."""

    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause by Resona: since when, and why."""

    since: datetime
    reason: PauseReason
