"""Ask the flows of jobs before their attempts are claimed."""

from __future__ import annotations

import contextlib
import logging
import random
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
from chalicelib.usecases.ahead import Ahead, Alike, RunName
from chalicelib.usecases.attempt import Tried
from chalicelib.usecases.queueing import Queueing

log = logging.getLogger("resona")

# To wait so long for a place costs less than to hold the run: two writes and a message.
_SHORT = timedelta(seconds=1)
# In seconds before the due time: when places are taken together, and when the other runs look. Not
# all at once: each taking is a write of the same item.
_TAKES, _LOOKS = (0.2, 0.5), (0.0, 0.2)
# After how many seconds they look again.
_LOOKS_AGAIN = 0.02


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

    def alike(self, dues: Sequence[DueMessage], ahead: Ahead) -> Mapping[RunName, Alike]:
        """Return which messages of one invocation need places of the same flow at the same time,
        for each of their runs. `ahead` is what was read for them. Never raises Unavailable.
        """
        groups: defaultdict[tuple[Flow, datetime], dict[RunName, None]] = defaultdict(dict)
        with contextlib.suppress(Unavailable):
            for due in dues:
                flow = self._asked(due, ahead)
                if flow is not None:
                    groups[flow, due.at][due.job_id, due.key] = None
        alike = [Alike(flow, at, tuple(names)) for (flow, at), names in groups.items()]
        return {name: group for group in alike if len(group.runs) > 1 for name in group.runs}

    def place_ahead(
        self, due: DueMessage, ahead: Ahead, clock: Callable[[], datetime]
    ) -> Place | None:
        """Return the place of a message's run, if others of the invocation need places as it does.

        The first of them takes places for all, in one write, shortly before they are due: taken
        earlier, they would come before those of runs that are due earlier. Never raises
        Unavailable. A run that gets none here asks for one by itself.
        """
        name = due.job_id, due.key
        group = ahead.alike.get(name)
        if group is None:
            return None
        takes = name == group.runs[0]
        before = random.uniform(*(_TAKES if takes else _LOOKS))
        self.sleep(max((group.at - clock()).total_seconds() - before, 0))
        if takes and not group.taken:
            # Its message may have come twice.
            places: Mapping[RunName, Place] = {}
            with contextlib.suppress(FlowChanged, Unavailable):
                places = self._together(group, max(clock(), group.at), ahead)
            group.taken.append(places)
        until = max(clock(), group.at) + _SHORT
        while not group.taken and clock() < until:
            self.sleep(_LOOKS_AGAIN)
        return next((places[name] for places in group.taken if name in places), None)

    def _asked(self, due: DueMessage, ahead: Ahead) -> Flow | None:
        """Return the flow that a message needs a place of, None if it needs none."""
        prepared = ahead.prepared.get(due.job_id)
        is_held = ahead.turn is not None and ahead.turn.places.get(due.tenant) is not None
        if prepared is None or prepared.flows is None or is_held:
            return None
        definition, state = ahead.jobs[due.job_id]
        flow, run = self._flow(definition, prepared.flows), state.find(due.key)
        if flow is None or flow.is_gated or (run and run.waits_for):
            return None
        return flow if flow.rate else None

    def _together(self, group: Alike, at: datetime, ahead: Ahead) -> Mapping[RunName, Place]:
        """Take places for some runs, all or none: none if one would come too late."""
        flow, latest = group.flow, None
        assert flow.rate  # noqa: S101  only then places are asked for
        for job_id, key in group.runs:
            definition, state = ahead.jobs[job_id]
            run = state.find(key)
            until = latest_start(definition, state, key) if not (run and run.attempt) else None
            latest = min(latest or until, until) if until else latest
        taken = self.flows.take(flow, flow.rate, len(group.runs), at, latest)
        return {
            name: _place(flow, name[1], place, at)
            for name, place in zip(group.runs, taken or (), strict=False)
        }

    def _flow(self, definition: Definition, token: str | None) -> Flow | None:
        """Return the flow of a job, None if it has no limits. `token` is that of the flows."""
        name = flow_of(definition) if token else None
        return self.flows.known(definition.tenant, token).get(name) if token and name else None


def _place(flow: Flow, key: RunKey, at: datetime, now: datetime) -> Place:
    return Place(flow.series, key, at, max(at - now, timedelta(0)))
