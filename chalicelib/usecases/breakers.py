"""Open a flow whose attempts fail, and close it again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from chalicelib.aws.digest_store import WindowChanged
from chalicelib.aws.secret_store import SecretStore
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.flows import Flow, is_down
from chalicelib.domain.job import Definition
from chalicelib.domain.lines import line_id
from chalicelib.domain.notices import Event
from chalicelib.domain.run import Attempt
from chalicelib.runtime.backoff import TRIES
from chalicelib.usecases.lines import Lines
from chalicelib.usecases.telling import Telling

log = logging.getLogger("resona")


@dataclass(frozen=True, slots=True)
class Breakers:
    """Learns from attempts whether the targets of flows work. `clock` returns aware UTC."""

    lines: Lines
    secrets: SecretStore
    telling: Telling
    clock: Callable[[], datetime]

    def learn(self, flow: Flow, definition: Definition, record: Attempt) -> None:
        """Take in the result of an attempt, which was sent with the flow as given.

        Never raises Unavailable: an attempt is then not counted, or the next one opens or closes
        the flow.
        """
        down, flows = is_down(record.result), self.lines.flows
        fields = {"flow": flow.name, "job_id": definition.id}
        if flow.breaker is None or down is None:
            return
        try:
            if flow.opened_at is not None:
                if not down and self._turn(Event.FLOW_CLOSED, flow, definition, record):
                    log.warning("flow.closed", extra=fields)
            elif not down:
                flows.end_failures(flow)
            else:
                count = flows.count_failure(flow, record.owner)
                is_enough = count >= flow.breaker.failures
                if is_enough and self._turn(Event.FLOW_OPENED, flow, definition, record):
                    log.warning("flow.opened", extra=fields)
        except Unavailable:
            log.warning("flow.failed", extra=fields, exc_info=True)

    def _turn(self, event: Event, flow: Flow, definition: Definition, record: Attempt) -> bool:
        """Open or close a flow, and tell it in the same transaction. Return whether it was done."""
        closed, now, arming = frozenset[str](), self.clock(), self.lines.arming
        opened_at = now if event is Event.FLOW_OPENED else None
        for _ in range(TRIES):
            notices = self.telling.of_flow(event, flow, definition, record, now, closed)
            changes = self.secrets.new_flows(flow.tenant, now)
            beside = notices.writes(self.lines.jobs)
            try:
                is_done = self.lines.flows.turn(flow, opened_at, now, changes, beside)
            except WindowChanged as changed:
                closed |= changed.closed
                continue
            except Unavailable as error:
                if error.unknown and notices.made:
                    arming.arm_unconfirmed(*notices.made)
                raise
            if is_done:
                notices.log(definition.id)
                for notice in notices.made:
                    arming.arm(notice.state, notice.arm)
                at = replace(flow, opened_at=opened_at).probed_from or now
                self.lines.wake(line_id(flow.tenant, flow.name), at)
            return is_done
        raise Unavailable("the windows of digests")
