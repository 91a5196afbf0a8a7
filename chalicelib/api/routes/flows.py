"""Routes of flows: limits on how jobs, all together, call a target."""

from __future__ import annotations

import logging

from chalice.app import Blueprint, Response

from chalicelib.api.models.flow_models import Flow, flow_view, read_flow
from chalicelib.api.routing import Call, answer, route
from chalicelib.domain import flows
from chalicelib.domain.lines import line_id

log = logging.getLogger("resona")
routes = Blueprint(__name__)


@route(routes, "/flows", "GET", answers={200: "Flows"})
def list_flows(call: Call) -> Response:
    """List the flows, by name, each with what waits. There are at most 50."""
    found = call.scheduling.flows.all(call.tenant)
    queues = call.scheduling.flows.queues(found, call.scheduling.clock())
    return answer(200, [flow_view(flow, *queues[flow.name]) for flow in found])


@route(routes, "/flows/{flow}", "GET", answers={200: "Flow"})
def get_flow(call: Call, flow: str) -> Response:
    """Return a flow, with what waits."""
    return answer(200, _view(call, call.scheduling.flows.get(call.tenant, flow)))


@route(routes, "/flows/{flow}", "PUT", body="FlowIn", answers={200: "Flow"}, refuses=(429,))
def put_flow(call: Call, flow: str) -> Response:
    """Create or replace a flow whole: attempts that are claimed from now on keep to it."""
    scheduling = call.scheduling
    known = {one.name: flow_view(one) for one in scheduling.flows.all(call.tenant)}
    now = scheduling.clock()
    sent = read_flow(call.tenant, known.get(flow, {"name": flow}), call.document(), now)
    put = scheduling.flows.put(sent, scheduling.secrets.new_flows(call.tenant, now))
    log.info("flow.put")
    _drain(call, flow)
    return answer(200, _view(call, put))


@route(routes, "/flows/{flow}", "DELETE", answers={204: None})
def delete_flow(call: Call, flow: str) -> Response:
    """Delete a flow. Runs that wait for a place are sent then."""
    scheduling = call.scheduling
    now = scheduling.clock()
    changes = scheduling.secrets.new_flows(call.tenant, now)
    scheduling.flows.delete(call.tenant, flow, changes, now)
    log.info("flow.deleted")
    _drain(call, flow)
    return answer(204, None)


def _drain(call: Call, flow: str) -> None:
    """Have the runs that wait in line ask again, if the flow has a line."""
    lines = call.scheduling.lines
    line = line_id(call.tenant, flow)
    if lines.store.gate(line) is not None:
        lines.wake(line, call.scheduling.clock())


def _view(call: Call, flow: flows.Flow) -> Flow:
    queues = call.scheduling.flows.queues([flow], call.scheduling.clock())
    return flow_view(flow, *queues[flow.name])
