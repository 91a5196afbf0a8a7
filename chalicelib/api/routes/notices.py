"""Routes of channels: where notices of events are sent."""

from __future__ import annotations

import logging
from functools import partial

from chalice.app import Blueprint, Response

from chalicelib.api.models.channel_models import channel_view, read_channel
from chalicelib.api.models.response_models import job_view
from chalicelib.api.routing import Call, answer, route
from chalicelib.usecases import channels

log = logging.getLogger("resona")
routes = Blueprint(__name__)


@route(routes, "/notices", "GET", answers={200: "Channels"})
def list_channels(call: Call) -> Response:
    """List the channels, by name, each with how its last notice ended. There are at most 20."""
    found = call.scheduling.channels.with_deliveries(call.tenant)
    return answer(200, [channel_view(*one) for one in found])


@route(routes, "/notices/{name}", "GET", answers={200: "Channel"})
def get_channel(call: Call, name: str) -> Response:
    """Return a channel, with how its last notice ended."""
    return answer(200, channel_view(*call.scheduling.channels.get(call.tenant, name)))


@route(
    routes,
    "/notices/{name}",
    "PUT",
    body="ChannelIn",
    answers={200: "Channel"},
    refuses=(429,),
)
def put_channel(call: Call, name: str) -> Response:
    """Create or replace a channel whole: it is told of events from now on."""
    scheduling = call.scheduling
    known = {
        one.name: (one, last) for one, last in scheduling.channels.with_deliveries(call.tenant)
    }
    sent = read_channel(
        call.tenant,
        channel_view(*known[name]) if name in known else {"name": name},
        call.document(),
        scheduling.clock(),
        partial(channels.check_request, scheduling, call.tenant),
        scheduling.channels.topics,
    )
    channel = scheduling.channels.put(sent)
    log.info("channel.put")
    return answer(200, channel_view(channel, known[name][1] if name in known else None))


@route(routes, "/notices/{name}", "DELETE", answers={204: None})
def delete_channel(call: Call, name: str) -> Response:
    """Delete a channel. Notices that were made for it are sent still."""
    call.scheduling.channels.delete(call.tenant, name)
    log.info("channel.deleted")
    return answer(204, None)


@route(routes, "/notices/{name}/test", "POST", answers={202: "Job"}, refuses=(429,))
def test_channel(call: Call, name: str) -> Response:
    """Send a test notice to a channel now, and return it: its runs say what came back."""
    return answer(202, job_view(channels.test(call.scheduling, call.tenant, name)))
