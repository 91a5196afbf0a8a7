"""Ask the flows of jobs before their attempts are claimed."""

from __future__ import annotations

import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.aws.flow_store import FlowStore
from chalicelib.aws.job_items import FlowChanged
from chalicelib.domain.admission import Place, held, missed, place_of, waited
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.flows import Flow, Wait, flow_of, is_kept
from chalicelib.domain.holding import latest_start
from chalicelib.domain.ids import RunKey, run_id
from chalicelib.domain.job import Definition
from chalicelib.domain.state import DueMessage, State, Transition
from chalicelib.usecases.ahead import Ahead
from chalicelib.usecases.attempt import Tried
from chalicelib.usecases.queueing import Queueing

# The id of a job and the key of one of its runs.
RunName = tuple[str, RunKey]

log = logging.getLogger("resona")

# To wait so long for a place costs less than to hold the run: two writes and a message.
_SHORT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Admission:
    """Decides whether an attempt may be sent now. `sleep` takes seconds."""

    flows: FlowStore
    lines: Queueing
    sleep: Callable[[float], None]

    def admitted(
        self, definition: Definition, state: State, claim: Transition, tried: Tried, now: datetime
    ) -> Transition | None:
        """Return a claim of this state as the job's flow allows it: as it is, or a transition that
        holds the run or ends it as missed.

        None after a short wait for the place, or if the flow has changed: decide again. The attempt
        is prepared. Raises Unavailable; no attempt is used up then.
        """
        run = claim.send
        flow = self._flow(definition, tried.latest.flows if tried.latest else None)
        tried.flow = flow
        if run is None or flow is None:
            return claim
        try:
            if flow.is_gated and (waits := self.lines.gated(definition, claim, flow, tried, now)):
                return waits
            return self._spaced(definition, state, claim, flow, tried, now)
        except FlowChanged:
            tried.prepared_for = None
            return None

    def _spaced(
        self,
        definition: Definition,
        state: State,
        claim: Transition,
        flow: Flow,
        tried: Tried,
        now: datetime,
    ) -> Transition | None:
        """Return a claim as the rate of its flow allows it, None after a short wait.

        Raises FlowChanged, Unavailable.
        """
        run = claim.send
        if run is None or flow.rate is None:
            return claim
        # That of the run is first: another executor may have held it since this one took its own.
        for place in filter(None, (place_of(state.find(run.key)), tried.place)):
            if place.key == run.key and is_kept(place.series, place.at, flow, now):
                break
        else:
            latest = latest_start(definition, claim.state, run.key) if run.attempt == 1 else None
            taken = self.flows.take(flow, flow.rate, 1, now, latest)
            if taken is None:
                return missed(definition, state, claim, now)
            place = tried.place = _place(flow, run.key, taken[0], now)
        if place.at <= now:
            return waited(claim, place)
        if place.at - now <= _SHORT:
            self.sleep((place.at - now).total_seconds())
            return None
        fields = {"job_id": definition.id, "run_id": run_id(definition.id, run.key)}
        log.debug("run.held", extra={**fields, "waits_for": Wait.RATE})
        return held(claim, place, now)

    def places_ahead(
        self, dues: Sequence[DueMessage], ahead: Ahead, now: datetime
    ) -> Mapping[RunName, Place]:
        """Take places for messages of one invocation whose runs are due at the same time, in one
        write for each flow and time. `ahead` is what was read for them.

        Never raises Unavailable. What is missing is asked for by its message alone.
        """
        alike: defaultdict[tuple[Flow, datetime], dict[RunName, DueMessage]] = defaultdict(dict)
        found: dict[RunName, Place] = {}
        with contextlib.suppress(FlowChanged, Unavailable):
            for due in dues:
                flow = self._asked(due, ahead)
                if flow is not None:
                    alike[flow, due.at][due.job_id, due.key] = due
            for (flow, at), group in alike.items():
                if len(group) > 1:
                    found |= self._together(flow, max(now, at), group, ahead)
        return found

    def _asked(self, due: DueMessage, ahead: Ahead) -> Flow | None:
        """Return the flow that a message needs a place of, None if it needs none."""
        prepared = ahead.prepared.get(due.job_id)
        if prepared is None or prepared.flows is None:
            return None
        definition, state = ahead.jobs[due.job_id]
        flow, run = self._flow(definition, prepared.flows), state.find(due.key)
        if flow is None or flow.is_gated or (run and run.waits_for):
            return None
        return flow if flow.rate else None

    def _together(
        self, flow: Flow, at: datetime, group: Mapping[RunName, DueMessage], ahead: Ahead
    ) -> dict[RunName, Place]:
        """Take places for some runs, all or none: none if one would come too late."""
        assert flow.rate  # noqa: S101  only then places are asked for
        latest = None
        for job_id, key in group:
            definition, state = ahead.jobs[job_id]
            run = state.find(key)
            until = latest_start(definition, state, key) if not (run and run.attempt) else None
            latest = min(latest or until, until) if until else latest
        taken = self.flows.take(flow, flow.rate, len(group), at, latest)
        return {
            name: _place(flow, name[1], place, at)
            for name, place in zip(group, taken or (), strict=False)
        }

    def _flow(self, definition: Definition, token: str | None) -> Flow | None:
        """Return the flow of a job, None if it has no limits. `token` is that of the flows."""
        name = flow_of(definition) if token else None
        return self.flows.known(definition.tenant, token).get(name) if token and name else None


def _place(flow: Flow, key: RunKey, at: datetime, now: datetime) -> Place:
    return Place(flow.series, key, at, max(at - now, timedelta(0)))
