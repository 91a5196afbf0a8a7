"""Resona's parts on a cloud in memory: the one place where tests put them together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from chalicelib.aws.busy_store import BusyStore
from chalicelib.aws.calendar_store import CalendarStore
from chalicelib.aws.channel_store import ChannelStore
from chalicelib.aws.due_queue import DueQueue
from chalicelib.aws.flow_store import FlowStore
from chalicelib.aws.job_store import JobStore
from chalicelib.aws.quota_store import QuotaStore
from chalicelib.aws.run_store import RunStore
from chalicelib.aws.schedules import Schedules, Target
from chalicelib.aws.secret_store import SecretStore
from chalicelib.aws.sweep_store import SweepStore
from chalicelib.aws.topics import Topics
from chalicelib.domain.fairness import Sharing
from chalicelib.domain.quota import Quotas
from chalicelib.domain.request import check
from chalicelib.runtime.concurrency import RunAll
from chalicelib.usecases.admission import Admission
from chalicelib.usecases.arming import Arming
from chalicelib.usecases.attempt import AttemptSender, Send
from chalicelib.usecases.breakers import Breakers
from chalicelib.usecases.fairness import Fairness
from chalicelib.usecases.firing import Firing
from chalicelib.usecases.lines import Lines
from chalicelib.usecases.queueing import Queueing
from chalicelib.usecases.scheduling import Scheduling
from chalicelib.usecases.telling import Telling
from tests.cloud import KMS, SNS, SQS, Cloud, DynamoDB, Scheduler
from tests.permissions import TOPIC

# The check of requests, without the check of hosts.
ANY_HOST = partial(check, refuse_host=lambda host: None)
# With it no executors are counted.
ALONE = Sharing(share=1)


@dataclass(frozen=True)
class Parts:
    """The stores and use cases of one deployment."""

    jobs: JobStore
    runs: RunStore
    schedules: Schedules
    queue: DueQueue
    secrets: SecretStore
    arming: Arming
    scheduling: Scheduling
    firing: Firing


def compose(
    cloud: Cloud,
    send: Send,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
    run_all: RunAll,
    run_retention: timedelta = timedelta(days=30),
    sharing: Sharing = ALONE,
) -> Parts:
    """Put the parts together. `send` stands for the network; `sleep` takes seconds."""
    dynamodb: Any = DynamoDB(cloud)
    sqs: Any = SQS(cloud)
    scheduler: Any = Scheduler(cloud)
    jobs = JobStore(dynamodb, "jobs", sleep)
    runs = RunStore(dynamodb, "runs", run_retention, sleep)
    queue = DueQueue(sqs, "due", sleep)
    schedules = Schedules(scheduler, "group", Target("arn:function", "arn:role"), sleep)
    secrets = secret_store(cloud, sleep)
    arming = Arming(jobs, queue, clock)
    channels = ChannelStore(dynamodb, "jobs", sleep, {TOPIC})
    calendars = CalendarStore(dynamodb, "jobs", sleep)
    flows = FlowStore(dynamodb, "jobs", sleep)
    telling, lines = Telling(runs, channels), Lines(jobs, flows, arming, clock)
    topics = Topics(lambda region: SNS(cloud), {TOPIC})
    if sharing.is_limited:
        # What `BusyStore.share` writes.
        new = {"id": {"S": "busy"}, "part": {"S": "all"}}
        cloud.tables["jobs"].setdefault(("busy", "all"), new)["is_shared"] = {"N": "1"}
    return Parts(
        jobs,
        runs,
        schedules,
        queue,
        secrets,
        arming,
        Scheduling(
            jobs,
            runs,
            schedules,
            secrets,
            channels,
            calendars,
            flows,
            arming,
            clock,
            ANY_HOST,
            sleep,
            run_all,
        ),
        Firing(
            jobs,
            runs,
            schedules,
            queue,
            arming,
            telling,
            calendars,
            SweepStore(dynamodb, "jobs", sleep),
            AttemptSender(secrets, send, topics.publish, clock, sleep),
            Admission(flows, Queueing(lines), sleep),
            Breakers(lines, secrets, telling, clock),
            clock,
            sleep,
            Fairness(
                BusyStore(dynamodb, "jobs", "secrets", sleep), secrets, queue, sharing, clock, sleep
            ),
            run_all,
        ),
    )


def secret_store(
    cloud: Cloud, sleep: Callable[[float], None] = time.sleep, quota: int = 0
) -> SecretStore:
    """Return a store of secrets, as a new process has: without cached values. 0: no quota."""
    dynamodb: Any = DynamoDB(cloud)
    kms: Any = KMS(cloud)
    return SecretStore(dynamodb, "secrets", lambda: kms, "key", sleep, quota=quota)


def quota_store(cloud: Cloud, jobs: int, registrations_per_minute: int) -> QuotaStore:
    """Return the quotas of a deployed stage, which the API of `compose` does not have."""
    dynamodb: Any = DynamoDB(cloud)
    return QuotaStore(dynamodb, "jobs", Quotas(jobs, registrations_per_minute))
