"""Count ended runs by status, and how late they started."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from chalicelib.domain.run import RunStatus


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How many runs ended with each status, and how many succeeded ones started how late.

    `lateness` counts by milliseconds, rounded to two significant digits.
    """

    statuses: Counter[RunStatus] = field(default_factory=Counter)
    lateness: Counter[int] = field(default_factory=Counter)

    def __add__(self, other: RunCounts) -> RunCounts:
        return RunCounts(self.statuses + other.statuses, self.lateness + other.lateness)

    def late(self, part: Fraction) -> int | None:
        """Return the lateness that this part of the runs does not exceed, in milliseconds.

        It is that of the nearest rank; None if no lateness is known.
        """
        rank, seen = math.ceil(part * self.lateness.total()), 0
        for milliseconds in sorted(self.lateness):
            seen += self.lateness[milliseconds]
            if seen >= rank:
                return milliseconds
        return None


def counted(runs: Iterable[tuple[RunStatus, int | None]]) -> RunCounts:
    """Count runs, each given by its status and its lateness in milliseconds, None if unknown."""
    counts = RunCounts()
    for status, lateness in runs:
        counts.statuses[status] += 1
        if lateness is not None:
            counts.lateness[two_digits(lateness)] += 1
    return counts


def two_digits(number: int) -> int:
    """Round a number to two significant digits. Less than 0 counts as 0."""
    if number < 100:
        return max(0, number)
    unit: int = 10 ** (len(str(number)) - 2)
    return (number + unit // 2) // unit * unit
