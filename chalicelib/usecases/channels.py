"""The use cases of channels: check where one sends, and send a test notice to one."""

from __future__ import annotations

from functools import partial

from chalicelib.domain.errors import FieldError, InvalidInput
from chalicelib.domain.messages import trial_body
from chalicelib.domain.notices import trial
from chalicelib.domain.request import Request
from chalicelib.usecases.scheduling import Job, NewJob, Scheduling


def check_request(scheduling: Scheduling, tenant: str, request: Request) -> None:
    """Check that a channel's request may be sent, and that the secrets that it names exist.

    Raises Unavailable, and InvalidInput with every place that is wrong.
    """
    wrong: list[FieldError] = []
    for check in (scheduling.check_request, partial(scheduling.secrets.check, tenant)):
        try:
            check(request)
        except InvalidInput as error:
            wrong += error.errors
    if wrong:
        raise InvalidInput(wrong)


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
