"""The AWS account of a stage, for the questions that its API alone cannot answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.aws.clients import code_of
from chalicelib.domain.api_keys import read_key
from chalicelib.domain.errors import Unavailable
from infra.deploy.cloud import Cloud, Names
from infra.local import access, run
from tests.acceptance.remote import Remote

_REGION = re.compile(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.com")
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=15,
    retries={"mode": "standard", "total_max_attempts": 6},
    parameter_validation=False,
)


class NoAccount(Exception):
    """The account cannot be asked; the sentence says why."""


@dataclass(frozen=True)
class Account:
    """What the questions need of it: its Scheduler, with what schedules invoke, and the table of
    keys.
    """

    scheduler: Any
    keys: ApiKeyStore
    group: str
    function_arn: str
    role_arn: str
    # None for a laptop's.
    cloud: Cloud | None = None

    def create(self, name: str, expression: str, timezone: str, *, enabled: bool = False) -> str:
        """Make a schedule in the stage's group, disabled unless asked for; return the code of the
        refusal, or an empty string.

        It invokes the wake function in vain: with the name of a schedule that no job has.
        """
        try:
            self.scheduler.create_schedule(
                Name=name,
                GroupName=self.group,
                ClientToken=name,
                ScheduleExpression=expression,
                ScheduleExpressionTimezone=timezone,
                State="ENABLED" if enabled else "DISABLED",
                FlexibleTimeWindow={"Mode": "OFF"},
                ActionAfterCompletion="DELETE" if expression.startswith("at(") else "NONE",
                Target={
                    "Arn": self.function_arn,
                    "RoleArn": self.role_arn,
                    "Input": json.dumps(
                        {"schedule": name, "scheduled_time": "<aws.scheduler.scheduled-time>"}
                    ),
                    "RetryPolicy": {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0},
                },
            )
        except ClientError as error:
            return f"{code_of(error)}: {error.response.get('Error', {}).get('Message', '')}"
        return ""

    def exists(self, name: str) -> bool:
        """Say whether a schedule is there."""
        try:
            self.scheduler.get_schedule(Name=name, GroupName=self.group)
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":
                return False
            raise
        return True

    def delete(self, name: str) -> None:
        """Delete a schedule; one that is gone is a success."""
        try:
            self.scheduler.delete_schedule(Name=name, GroupName=self.group)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise


def account_of(stage: Remote) -> Account:
    """Return the account that a stage is deployed in, by AWS's usual credentials.

    Raises NoAccount, also if they are another account's.
    """
    try:
        found = _laptop() if stage.stage == "local" else deployed(stage)
        key = read_key(stage.key(), stage.stage)
        record = found.keys.get(key.id) if key is not None else None
        is_its = record is not None and key is not None and record.digest == key.digest
    except (BotoCoreError, ClientError, Unavailable) as error:
        raise NoAccount(f"AWS cannot be asked: {error}") from error
    if not is_its:
        raise NoAccount(
            "the credentials are of an account or region whose table of keys does not know "
            "RESONA_KEY"
        )
    return found


def deployed(stage: Remote) -> Account:
    """Return the account that AWS's usual credentials are of.

    Raises NoAccount, BotoCoreError, ClientError.
    """
    match = _REGION.search(urlsplit(stage.url).hostname or "")
    session = boto3.Session(region_name=match[1]) if match else boto3.Session()
    if session.get_credentials() is None:
        raise NoAccount("there are no AWS credentials")
    if session.region_name is None:
        raise NoAccount("there is no region: set AWS_REGION to the stage's")
    identity = session.client("sts", config=_CONFIG).get_caller_identity()
    names = Names(stage.stage)
    cloud = Cloud(
        partial(session.client, config=_CONFIG),
        identity["Account"],
        session.region_name,
        identity["Arn"].split(":")[1],
    )
    return Account(
        cloud.client("scheduler"),
        ApiKeyStore(cloud.client("dynamodb"), names.of("keys")),
        names.stack,
        cloud.arn("lambda", f"function:{names.of('wake')}"),
        f"arn:{cloud.partition}:iam::{cloud.account}:role/{names.of('scheduler')}",
        cloud,
    )


def _laptop() -> Account:
    """Return the cloud of the laptop in the folder that RESONA_HOME names."""
    endpoint = access.noted_endpoint(run.home())
    if endpoint is None:
        raise NoAccount("RESONA_HOME is not the folder of a laptop that runs")
    environment = run.environment(endpoint)
    session = boto3.Session(endpoint.token, "laptop", region_name=environment["AWS_DEFAULT_REGION"])
    return Account(
        session.client("scheduler", endpoint_url=endpoint.url, config=_CONFIG),
        ApiKeyStore(
            session.client("dynamodb", endpoint_url=endpoint.url, config=_CONFIG),
            environment["RESONA_KEYS_TABLE"],
        ),
        environment["RESONA_SCHEDULE_GROUP"],
        environment["RESONA_WAKE_FUNCTION_ARN"],
        environment["RESONA_SCHEDULER_ROLE_ARN"],
    )
