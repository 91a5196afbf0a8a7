"""The use cases of channels: put one, and send a test notice to one."""

from __future__ import annotations

from dataclasses import replace

from chalicelib.domain.channels import Channel
from chalicelib.domain.errors import InvalidInput
from chalicelib.domain.messages import trial_body
from chalicelib.domain.notices import trial
from chalicelib.domain.request import Request
from chalicelib.usecases.scheduling import Job, NewJob, Scheduling


def put(scheduling: Scheduling, channel: Channel) -> Channel:
    """Create or replace a channel. Raises QuotaExceeded, Unavailable, and InvalidInput if a secret
    does not exist.
    """
    try:
        scheduling.secrets.check(channel.tenant, Request(channel.url, "POST", {}))
    except InvalidInput as error:
        raise InvalidInput(replace(one, field="url") for one in error.errors) from error
    return scheduling.channels.put(channel)


def test(scheduling: Scheduling, tenant: str, name: str) -> Job:
    """Send a notice to a channel, whatever its events, and return the notice.

    It counts as a registration. Raises ChannelNotFound, QuotaExceeded, Unavailable.
    """
    channel, _ = scheduling.channels.get(tenant, name)
    now = scheduling.clock()
    if scheduling.quotas:
        scheduling.quotas.take(tenant, now)
    step = trial(tenant, name, channel.url, trial_body(channel, now), now)
    assert step.definition  # noqa: S101  a new job has one
    return scheduling.register(NewJob(Job(step.definition, step.state), step))
