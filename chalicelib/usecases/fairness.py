"""Hold the runs of a tenant that uses more than its share of the executors."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from chalicelib.aws.busy_store import BusyStore, new_ticket
from chalicelib.aws.due_queue import DueQueue
from chalicelib.aws.secret_store import SecretStore
from chalicelib.domain import admission
from chalicelib.domain.admission import Place
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.fairness import FARTHEST, SOONEST, Sharing, expected, last_asked, step
from chalicelib.domain.flows import Wait
from chalicelib.domain.holding import latest_start
from chalicelib.domain.ids import RunKey, run_id
from chalicelib.domain.job import Definition, Kind
from chalicelib.domain.state import DueMessage, State, Transition

log = logging.getLogger("resona")

# A ticket is written so long after its invocation began: one that reads tickets then sees those of
# all that began before it.
_WRITTEN = timedelta(seconds=0.05)
# So long before its due time a message reads them at the latest.
_READ = timedelta(seconds=0.03)
# A message for a place comes so long before it.
_BEFORE_PLACE = timedelta(seconds=0.15)
_REMEMBERED = timedelta(seconds=1)
# It is looked up so often whether a stage that had one tenant has several.
_ALONE_REMEMBERED = timedelta(seconds=60)
# Who gets no place because too many ask at once, asks again within this time.
_CROWDED = timedelta(seconds=60)
_NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Turn:
    """One invocation of the executor, and what it knows of its tenants.

    `messages` counts its messages by tenant, `undecided` are those of which it is not decided yet
    whether they are sent. `ticket` is the name of its tickets: it leaves one for each tenant in
    `ticketed`, and a second one, among those of all tenants, for each in `listed`. `dead` are the
    tickets, by tenant, that it has seen whose executors died. `places` has the tenants that were
    asked, with the time at which what they hold comes again: None for one within its share. Those
    in `full` hold also what a flow has held before. `held` are the messages of the runs that it
    holds, by tenant.
    """

    began: datetime
    ticket: str
    messages: Counter[str]
    undecided: set[tuple[str, str, RunKey]]
    ticketed: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)
    dead: dict[str, Sequence[str]] = field(default_factory=dict)
    places: dict[str, datetime | None] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)
    held: dict[str, dict[tuple[str, RunKey], DueMessage]] = field(default_factory=dict)


class Fairness:
    """Counts the executors of each tenant by samples, and holds what is beyond its share.

    It counts nothing on a stage with one tenant. Never raises Unavailable: what cannot be asked is
    sent. `draw` returns numbers in [0, 1).
    """

    def __init__(
        self,
        store: BusyStore,
        secrets: SecretStore,
        queue: DueQueue,
        sharing: Sharing,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._queue = queue
        self._sharing = sharing
        self._clock = clock
        self._sleep = sleep
        self._draw = draw
        self._all: Mapping[str, tuple[datetime, str]] = {}
        self._has_several = False
        self._read_at: datetime | None = None

    def enter(self, dues: Sequence[DueMessage]) -> Turn | None:
        """Begin an invocation with these messages: leave a ticket for one in so many.

        None if executors are not shared.
        """
        if not self._sharing.is_limited:
            return None
        now = self._clock()
        messages = {(due.tenant, due.job_id, due.key) for due in dues}
        turn = Turn(now, new_ticket(), Counter(due.tenant for due in dues), messages)
        for tenant in turn.messages:
            if self._draw() * self._sharing.one_in < 1:
                with suppress(Unavailable):
                    if self._is_shared(now):
                        turn.ticketed.add(tenant)
                        self._enter(tenant, turn.ticket, now)
        return turn

    def _is_shared(self, now: datetime) -> bool:
        """Return whether the stage has several tenants."""
        if not self._has_several:
            self._read_all(now, _ALONE_REMEMBERED)
        return self._has_several

    def _enter(self, tenant: str, ticket: str, now: datetime) -> None:
        if not self._store.enter(tenant, ticket, now):
            # The tenant is new.
            self._secrets.signing(tenant, now)
            self._store.enter(tenant, ticket, now)

    def leave(self, turn: Turn | None) -> None:
        """End an invocation: remove its tickets, and those that it has seen to be over."""
        if turn is None:
            return
        for tenant in turn.ticketed:
            with suppress(Unavailable):
                self._store.leave(tenant, [turn.ticket, *turn.dead.get(tenant, ())])
            if tenant in turn.listed:
                dead = self._sharing.dead(
                    {name: at for name, (at, _) in self._all.items()}, self._clock()
                )
                with suppress(Unavailable):
                    self._store.leave_all([turn.ticket, *dead])

    def await_others(self, turn: Turn | None, until: datetime) -> None:
        """Sleep until the tickets of those that began before are written, or until shortly before
        something is due.
        """
        if turn is not None:
            pause = min(turn.began + _WRITTEN, until - _READ) - self._clock()
            if pause > _NONE:
                self._sleep(pause.total_seconds())

    def ask(
        self, turn: Turn | None, definition: Definition, tickets: Mapping[str, datetime]
    ) -> None:
        """Decide whether an invocation is within a job's tenant's share, once for all its messages.

        `tickets` are those that were read with the signing secrets. Notices need no share.
        """
        tenant = definition.tenant
        if turn is None or tenant in turn.places or definition.kind is Kind.NOTICE:
            return
        turn.dead[tenant] = self._sharing.dead(tickets, self._clock())
        place = None
        with suppress(Unavailable):
            place = self._place(turn, definition, tickets)
        turn.places.setdefault(tenant, place)

    def _place(
        self, turn: Turn, definition: Definition, tickets: Mapping[str, datetime]
    ) -> datetime | None:
        now, sharing, tenant = self._clock(), self._sharing, definition.tenant
        ahead = sharing.ahead(tickets, turn.began, turn.ticket, now)
        if ahead < sharing.least:
            return None
        others = self._in_use_by_others(tenant, now)
        allowed = sharing.allowed(others)
        if ahead < allowed:
            if tenant in turn.ticketed:
                turn.listed.add(tenant)
                self._store.enter_all(tenant, turn.ticket, turn.began)
            return None
        if ahead >= sharing.allowed_in_turn(others):
            turn.full.add(tenant)
        lasts = expected(tickets.values(), definition.timeout, now)
        steps = step(lasts, allowed) * turn.messages[tenant]
        try:
            place = self._store.take(tenant, steps, now + SOONEST, FARTHEST)
        except Unavailable:
            return now + SOONEST + random.random() * _CROWDED
        return place or now + random.uniform(0.5, 1) * FARTHEST

    def _in_use_by_others(self, tenant: str, now: datetime) -> int:
        self._read_all(now, _REMEMBERED)
        return self._sharing.in_use([at for at, of in self._all.values() if of != tenant], now)

    def _read_all(self, now: datetime, remembered: timedelta) -> None:
        if self._read_at is None or now - self._read_at > remembered:
            self._has_several, self._all = self._store.all()
            self._read_at = now

    def held(
        self, turn: Turn | None, definition: Definition, state: State, claim: Transition
    ) -> Transition:
        """Return a claim of this state as its tenant's share allows it: as it is, or a transition
        that holds the run or ends it as missed. `decided` sends the message of a run that is held.
        """
        run, now = claim.send, self._clock()
        at = turn.places.get(definition.tenant) if turn else None
        if turn is None or run is None or at is None or definition.kind is Kind.NOTICE:
            return claim
        before = state.find(run.key)
        has_waited = before is not None and before.waits_for not in (None, Wait.SHARE)
        if has_waited and definition.tenant not in turn.full:
            return claim
        # A message whose delay SQS need not round comes shortly before the place.
        whole = max(SOONEST, -((_BEFORE_PLACE - (at - now)) // SOONEST) * SOONEST)
        at = now + whole + _BEFORE_PLACE
        latest = latest_start(definition, claim.state, run.key) if run.attempt == 1 else None
        if latest is not None and latest <= now:
            return admission.missed(definition, state, claim, now)
        at = last_asked(latest, at, now)
        fields = {"job_id": definition.id, "run_id": run_id(definition.id, run.key)}
        log.debug("run.held", extra={**fields, "waits_for": Wait.SHARE})
        place = Place("", run.key, at, at - now)
        step = admission.held(claim, place, now, Wait.SHARE)
        of_tenant = turn.held.setdefault(definition.tenant, {})
        of_tenant[definition.id, run.key] = step.arm[-1]
        return replace(step, arm=step.arm[:-1])

    def decided(self, turn: Turn | None, due: DueMessage) -> None:
        """Say that it is decided whether the run of a message is sent. With the last one of its
        tenant send the messages of the runs that are held: as one, so that one executor gets them.
        """
        if turn is None:
            return
        turn.undecided.discard((due.tenant, due.job_id, due.key))
        if any(tenant == due.tenant for tenant, *_ in [*turn.undecided]):
            return
        held = turn.held.pop(due.tenant, {})
        try:
            self._queue.send_together(list(held.values()), self._clock())
        except Unavailable:
            # The sweeper sends them.
            log.warning("message.send_failed", extra={"job_id": due.job_id}, exc_info=True)
