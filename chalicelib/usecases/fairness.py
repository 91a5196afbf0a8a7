"""Hold the runs of a tenant that uses more than its share of the executors."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chalicelib.aws.busy_store import BusyStore
from chalicelib.aws.secret_store import SecretStore
from chalicelib.domain import admission
from chalicelib.domain.admission import Place
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.fairness import FARTHEST, SOONEST, Sharing, expected, step
from chalicelib.domain.flows import Wait
from chalicelib.domain.holding import latest_start
from chalicelib.domain.ids import run_id
from chalicelib.domain.job import Definition, Kind
from chalicelib.domain.state import DueMessage, Transition

log = logging.getLogger("resona")

# Tickets are read so long before the due time: those of invocations that began at the same time
# are there by then.
_BEFORE = timedelta(seconds=0.07)
# A message for a place comes so long before it.
_BEFORE_PLACE = timedelta(seconds=0.15)
_REMEMBERED = timedelta(seconds=1)
_NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Turn:
    """An invocation that uses an executor: how many messages it has of each tenant, the tickets it
    has left, and the places of the tenants that were asked: None for one within its share.
    """

    began: datetime
    messages: Counter[str] = field(default_factory=Counter)
    tickets: dict[str, str] = field(default_factory=dict)
    of_all: set[str] = field(default_factory=set)
    places: dict[str, datetime | None] = field(default_factory=dict)


class Fairness:
    """Counts the executors of each tenant by samples, and holds what is beyond its share.

    Never raises Unavailable: what cannot be asked is sent. `draw` returns numbers in [0, 1).
    """

    def __init__(
        self,
        store: BusyStore,
        secrets: SecretStore,
        sharing: Sharing,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.store = store
        self.secrets = secrets
        self.sharing = sharing
        self.clock = clock
        self.sleep = sleep
        self.draw = draw
        self._others: list[tuple[datetime, str]] = []
        self._read_at: datetime | None = None

    def enter(self, dues: Sequence[DueMessage]) -> Turn:
        """Begin an invocation with these messages: leave a ticket for one in so many."""
        now = self.clock()
        turn = Turn(now, Counter(due.tenant for due in dues))
        for tenant in turn.messages:
            if self.draw() * self.sharing.one_in < 1:
                self._enter(turn, tenant, now)
        return turn

    def _enter(self, turn: Turn, tenant: str, now: datetime) -> None:
        with suppress(Unavailable):
            ticket = self.store.enter(tenant, now)
            if ticket is None:
                # The tenant is new.
                self.secrets.signing(tenant, now)
                ticket = self.store.enter(tenant, now)
            if ticket is not None:
                turn.tickets[tenant] = ticket

    def leave(self, turn: Turn) -> None:
        """End an invocation: remove its tickets."""
        for tenant, ticket in turn.tickets.items():
            with suppress(Unavailable):
                self.store.leave(tenant, ticket, of_all=tenant in turn.of_all)

    def ask(self, turn: Turn, tenant: str, seen: Sequence[datetime], due_at: datetime) -> None:
        """Decide whether an invocation is within its tenant's share, once for all its messages.

        `seen` are the tickets that were read with the signing secrets. They are read again if that
        was early, and there may be others: there are tickets, or several messages.
        """
        if tenant in turn.places:
            return
        turn.places[tenant] = None
        with suppress(Unavailable):
            if self.clock() < due_at - _BEFORE:
                is_alone = turn.messages[tenant] < 2
                if is_alone and not self.sharing.ahead(seen, turn.began, self.clock()):
                    return
                self.await_others(due_at)
                seen = self.store.tickets(tenant)
            turn.places[tenant] = self._place(turn, tenant, seen)

    def await_others(self, due_at: datetime) -> None:
        """Sleep until shortly before the due time: who began at the same time has left its ticket
        by then.
        """
        pause = due_at - _BEFORE - self.clock()
        if pause > timedelta(0):
            self.sleep(pause.total_seconds())

    def _place(self, turn: Turn, tenant: str, tickets: Sequence[datetime]) -> datetime | None:
        now = self.clock()
        ahead = self.sharing.ahead(tickets, turn.began, now)
        if ahead < self.sharing.least:
            return None
        allowed = self.sharing.allowed(self._in_use_by_others(tenant, now))
        if ahead < allowed:
            if tenant in turn.tickets:
                turn.of_all.add(tenant)
                self.store.enter_all(tenant, turn.tickets[tenant], turn.began)
            return None
        steps = step(expected(tickets, now), allowed) * turn.messages[tenant]
        place = self.store.take(tenant, steps, now + SOONEST, FARTHEST)
        return place or now + random.uniform(0.5, 1) * FARTHEST

    def _in_use_by_others(self, tenant: str, now: datetime) -> int:
        if self._read_at is None or now - self._read_at > _REMEMBERED:
            self._others, self._read_at = self.store.others(), now
        return self.sharing.in_use([at for at, other in self._others if other != tenant], now)

    def held(self, turn: Turn | None, definition: Definition, claim: Transition) -> Transition:
        """Return a claim as its tenant's share allows it: as it is, or as the transition that holds
        the run.
        """
        run, now = claim.send, self.clock()
        at = turn.places.get(definition.tenant) if turn else None
        if run is None or at is None or definition.kind is Kind.NOTICE:
            return claim
        # A message whose delay SQS need not round comes shortly before the place.
        whole = max(SOONEST, -((_BEFORE_PLACE - (at - now)) // SOONEST) * SOONEST)
        at = now + whole + _BEFORE_PLACE
        latest = latest_start(definition, claim.state, run.key) if run.attempt == 1 else None
        if latest is not None and latest < at:
            # It asks for the last time, and is missed if that comes too late.
            at = latest
        fields = {"job_id": definition.id, "run_id": run_id(definition.id, run.key)}
        log.debug("run.held", extra={**fields, "waits_for": Wait.SHARE})
        return admission.held(claim, Place("", run.key, at, max(at - now, _NONE)), now, Wait.SHARE)
