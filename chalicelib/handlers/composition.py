"""The composition root: build each Lambda function's use cases and stores from the settings.

Imports are inside the functions, because a cold start pays for every import: the authorizer does
not load the job stores, and the API does not load the code that sends requests.

`function_arn` is the ARN of the running Lambda function, from its invocation. It may be empty if
the settings contain every ARN and URL. All functions raise SettingMissing.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from chalicelib.aws import clients
from chalicelib.config import (
    Settings,
    read_api_key_settings,
    read_concurrency,
    read_jobs_table,
    read_settings,
)
from chalicelib.runtime.clock import utc_now

if TYPE_CHECKING:
    from chalicelib.aws.schedules import Schedules
    from chalicelib.aws.secret_store import SecretStore
    from chalicelib.domain.fairness import Sharing
    from chalicelib.domain.request import HostRule
    from chalicelib.handlers.authorizer import Authenticator
    from chalicelib.outbound.address_guard import Guard
    from chalicelib.usecases.attempt import AttemptSender
    from chalicelib.usecases.firing import Firing
    from chalicelib.usecases.scheduling import Scheduling


def scheduling(function_arn: str = "", refuse_host: HostRule | None = None) -> Scheduling:
    """Return the use cases of the API. With `refuse_host` None, private hosts are refused."""
    from chalicelib.aws.calendar_store import CalendarStore
    from chalicelib.aws.channel_store import ChannelStore
    from chalicelib.aws.due_queue import DueQueue
    from chalicelib.aws.flow_store import FlowStore
    from chalicelib.aws.job_store import JobStore
    from chalicelib.aws.quota_store import QuotaStore
    from chalicelib.aws.run_store import RunStore
    from chalicelib.aws.secret_store import SecretStore
    from chalicelib.domain.quota import Quotas
    from chalicelib.domain.request import check, refuse_private_host
    from chalicelib.usecases.arming import Arming
    from chalicelib.usecases.scheduling import Scheduling

    settings = read_settings(function_arn=function_arn)
    dynamodb = clients.dynamodb()
    jobs = JobStore(dynamodb, settings.jobs_table)
    queue = DueQueue(clients.sqs(), settings.due_queue_url)
    quotas = Quotas(settings.jobs_quota, settings.registrations_per_minute)
    return Scheduling(
        jobs=jobs,
        runs=RunStore(dynamodb, settings.runs_table, settings.run_retention),
        secrets=SecretStore(
            dynamodb,
            settings.secrets_table,
            clients.kms,
            settings.secrets_key,
            quota=settings.secrets_quota,
        ),
        channels=ChannelStore(dynamodb, settings.jobs_table, topics=settings.notice_topics),
        calendars=CalendarStore(dynamodb, settings.jobs_table),
        flows=FlowStore(dynamodb, settings.jobs_table),
        schedules=_schedules(settings),
        arming=Arming(jobs, queue, utc_now),
        clock=utc_now,
        check_request=partial(
            check,
            refuse_host=refuse_host or refuse_private_host,
            https_only=settings.require_https,
        ),
        quotas=QuotaStore(dynamodb, settings.jobs_table, quotas)
        if quotas != Quotas(0, 0)
        else None,
    )


def _sharing(settings: Settings) -> Sharing:
    """Return how executors are shared: not at all on a laptop, which has one tenant."""
    from chalicelib.domain.fairness import Sharing

    share = 1 if settings.stage == "local" else settings.tenant_share / 100
    return Sharing.of_stage(read_concurrency(), share, settings.tenant_least)


def firing(function_arn: str = "", guard: Guard | None = None) -> Firing:
    """Return the use cases of the executor. With `guard` None, it calls only public addresses."""
    from chalicelib.aws.busy_store import BusyStore
    from chalicelib.aws.calendar_store import CalendarStore
    from chalicelib.aws.channel_store import ChannelStore
    from chalicelib.aws.due_queue import DueQueue
    from chalicelib.aws.flow_store import FlowStore
    from chalicelib.aws.job_store import JobStore
    from chalicelib.aws.run_store import RunStore
    from chalicelib.aws.secret_store import SecretStore
    from chalicelib.aws.sweep_store import SweepStore
    from chalicelib.runtime.concurrency import in_threads
    from chalicelib.usecases.admission import Admission
    from chalicelib.usecases.arming import Arming
    from chalicelib.usecases.breakers import Breakers
    from chalicelib.usecases.fairness import Fairness
    from chalicelib.usecases.firing import Firing
    from chalicelib.usecases.lines import Lines
    from chalicelib.usecases.queueing import Queueing
    from chalicelib.usecases.telling import Telling

    settings = read_settings(function_arn=function_arn)
    dynamodb = clients.dynamodb()
    jobs = JobStore(dynamodb, settings.jobs_table)
    runs = RunStore(dynamodb, settings.runs_table, settings.run_retention)
    queue = DueQueue(clients.sqs(), settings.due_queue_url)
    secrets = SecretStore(
        dynamodb, settings.secrets_table, clients.kms, settings.secrets_key, run_all=in_threads
    )
    arming, flows = Arming(jobs, queue, utc_now), FlowStore(dynamodb, settings.jobs_table)
    lines = Lines(jobs, flows, arming, utc_now)
    telling = Telling(runs, ChannelStore(dynamodb, settings.jobs_table))
    busy = BusyStore(dynamodb, settings.jobs_table, settings.secrets_table)
    return Firing(
        jobs=jobs,
        runs=runs,
        schedules=_schedules(settings),
        queue=queue,
        arming=arming,
        telling=telling,
        calendars=CalendarStore(dynamodb, settings.jobs_table),
        sweeps=SweepStore(dynamodb, settings.jobs_table),
        sender=_sender(settings, secrets, guard),
        admission=Admission(flows, Queueing(lines), time.sleep),
        breakers=Breakers(lines, secrets, telling, utc_now),
        clock=utc_now,
        sleep=time.sleep,
        fairness=Fairness(busy, secrets, queue, _sharing(settings), utc_now, time.sleep),
    )


def _sender(settings: Settings, secrets: SecretStore, guard: Guard | None) -> AttemptSender:
    from chalicelib.aws.topics import Topics
    from chalicelib.outbound.address_guard import PUBLIC
    from chalicelib.outbound.send import send
    from chalicelib.usecases.attempt import AttemptSender

    outbound = partial(send, guard=guard or PUBLIC, https_only=settings.require_https)
    publish = Topics(clients.sns, settings.notice_topics).publish
    return AttemptSender(secrets, outbound, publish, utc_now, time.sleep)


def prepare(function: str, batch: int) -> None:
    """Load what sends requests, while Lambda initializes a function: later it has less CPU.

    For `deliver` also load the certificates that targets are verified with, and open a connection
    to DynamoDB for each message of a batch.
    """
    from chalicelib.outbound import send, transport

    del send
    if function.endswith("-deliver"):
        clients.make_early("kms")
        transport.tls()
        clients.connect_early(read_jobs_table(), batch)


def authenticator(function_arn: str = "") -> Authenticator:
    """Return the authenticator of the stage's API keys. `function_arn` is not used."""
    from chalicelib.aws.api_key_store import ApiKeyStore
    from chalicelib.handlers.authorizer import Authenticator

    del function_arn
    settings = read_api_key_settings()
    return Authenticator(ApiKeyStore(clients.dynamodb(), settings.keys_table), settings.stage)


def _schedules(settings: Settings) -> Schedules:
    from chalicelib.aws.schedules import Schedules, Target

    target = Target(settings.wake_function_arn, settings.scheduler_role_arn)
    return Schedules(clients.scheduler(), settings.schedule_group, target)
