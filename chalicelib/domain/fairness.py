"""Rules of how many executors a tenant may use at once, so that the others find some free.

Executors in use are counted by samples: one invocation in 20, by chance, leaves a ticket for its
tenant and removes it at its end, so that a ticket counts for 20 executors. The estimate has no bias
for short or for long attempts; of `n` executors its standard deviation is sqrt(n * one_in).

Who is beyond the share follows from the order in which invocations began, and not from their
number: of 800 that begin at once the first ones are admitted and the rest is held, whatever each
of them sees of those that began after it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

# One invocation of 20 leaves a ticket on a stage of 800 executors or more; one of 19 on one of 760,
# and so on.
_ONE_IN, _EXECUTORS = 20, 40
# A ticket whose executor died counts until Lambda would have ended it.
LIFETIME = timedelta(seconds=660)
# A held run comes again after this time at least, and at most: what was known when it was held may
# be over by then. SQS delays a message by at most 900 s.
SOONEST, FARTHEST = timedelta(seconds=1), timedelta(seconds=840)
# How many attempts an executor makes at once: the batch size of the due queue.
ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Sharing:
    """How executors are shared.

    A tenant may use up to `share` of those that the other tenants leave, and `least` on average in
    any case. One invocation in `one_in` leaves a ticket.
    """

    executors: int = 800
    share: float = 0.5
    least: int = 20
    one_in: int = 20

    @classmethod
    def of_stage(cls, executors: int, share: float, least: int) -> Sharing:
        """Return how a stage with so many executors shares them: `least` is at most a quarter."""
        one_in = max(1, min(_ONE_IN, executors // _EXECUTORS))
        return cls(executors, share, min(least, max(1, executors // 4)), one_in)

    @property
    def is_limited(self) -> bool:
        """Return whether executors are counted: not if a tenant may use all of them."""
        return self.share < 1

    def allowed(self, others: int) -> float:
        """Return how many executors a tenant may use while the others use so many.

        With own use `q` this is the equilibrium of the dynamic threshold of Choudhury and Hahne,
        q <= a * (executors - others - q), for a = share / (1 - share). It does not depend on `q`,
        so invocations that decide at once do not all find the threshold exceeded by one another.
        """
        return max(self.least, self.share * (self.executors - others))

    def allowed_in_turn(self, others: int) -> float:
        """Return how many executors a tenant may use for runs that a flow has already held: half
        way from `allowed` to all. Held once more they would lose their places.
        """
        return max(self.least, (1 + self.share) / 2 * (self.executors - others))

    def in_use(self, tickets: Collection[datetime], now: datetime) -> int:
        """Return the estimate of executors in use, from when the ticketed ones began."""
        return self.one_in * sum(_is_live(at, now) for at in tickets)

    def dead(self, tickets: Mapping[str, datetime], now: datetime) -> list[str]:
        """Return the names of the tickets whose executors died."""
        return [name for name, at in tickets.items() if not _is_live(at, now)]

    def ahead(
        self, tickets: Mapping[str, datetime], began: datetime, ticket: str, now: datetime
    ) -> int:
        """Return the estimate of a tenant's executors that began before this one.

        `ticket` is the name that its ticket has or would have: names order those that began in the
        same microsecond.
        """
        before = [(at, name) for name, at in tickets.items() if _is_live(at, now)]
        return self.one_in * sum(one < (began, ticket) for one in before)


def _is_live(ticket: datetime, now: datetime) -> bool:
    return now < ticket + LIFETIME


def expected(tickets: Collection[datetime], timeout: timedelta, now: datetime) -> timedelta:
    """Return for how long executors of a tenant are expected to be in use: twice the mean age of
    those that are, at least a second, and at most the timeout of its job.
    """
    ages = [max(now - ticket, timedelta(0)) for ticket in tickets if _is_live(ticket, now)]
    mean = sum(ages, timedelta(0)) / len(ages) if ages else timedelta(0)
    return max(min(2 * mean, timeout), SOONEST)


def step(duration: timedelta, allowed: float) -> timedelta:
    """Return the time from one place to the next by Little's law: so many executors make
    `allowed * ATTEMPTS` attempts in this duration.
    """
    return max(duration / (allowed * ATTEMPTS), timedelta(microseconds=1))


def last_asked(latest: datetime | None, at: datetime, now: datetime) -> datetime:
    """Return when a held run asks again that may be sent until `latest` and has a place `at`.

    Before it is missed it asks once more, unless it has just asked.
    """
    if latest is None or at <= latest:
        return at
    return latest - SOONEST if now + SOONEST < latest - SOONEST else latest
