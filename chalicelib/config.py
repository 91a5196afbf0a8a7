"""Read the settings of a stage from environment variables."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

# Browsers send origins in lower case, without a path and without the scheme's default port.
_ORIGIN = re.compile(
    r"(?!http:.*:80$|https:.*:443$)https?://"
    r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::[0-9]{1,5})?",
    re.ASCII,
)
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html#awslambda-resources-for-iam-policies
_FUNCTION_ARN = re.compile(
    r"arn:(?P<partition>[a-z-]+):lambda:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):function:",
    re.ASCII,
)
# https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html: only FIFO topics have a dot.
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}", re.ASCII)
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingMissing(Exception):
    """A setting is absent or has a wrong value; the message names the variable."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the API and the executor; each field is `RESONA_<FIELD IN UPPER CASE>`.

    Only RESONA_STAGE must be set: the names of resources are derived from it, as
    infra/template.yaml derives them.
    """

    stage: str
    """`local`, `dev`, `prod` or a name of your own; only `local` needs no keys."""
    jobs_table: str
    """The DynamoDB table of definitions and states."""
    runs_table: str
    """The DynamoDB table of runs and attempts."""
    due_queue_url: str
    """The SQS queue of due runs."""
    secrets_table: str
    """The DynamoDB table of secrets, encrypted."""
    secrets_key: str
    """The KMS key that encrypts secrets: its ARN or an alias."""
    schedule_group: str
    """The EventBridge Scheduler group of the jobs' schedules."""
    wake_function_arn: str
    """The Lambda function that schedules invoke."""
    scheduler_role_arn: str
    """The role that EventBridge Scheduler assumes to invoke it."""
    run_retention: timedelta = timedelta(days=30)
    """`RESONA_RUN_RETENTION` in days, 1 to 365: how long runs are kept."""
    jobs_quota: int = 100_000
    """How many jobs a tenant may have, ended jobs included; 0 is no quota."""
    registrations_per_minute: int = 6_000
    """How many jobs a tenant may register in a minute; 0 is no quota."""
    secrets_quota: int = 1_000
    """How many secrets a tenant may have; 0 is no quota."""
    require_https: bool = False
    """`RESONA_REQUIRE_HTTPS`, `true` or `false`: refuse `http:` URLs when a job is written and when
    its request is sent.
    """
    notice_topics: frozenset[str] = frozenset()
    """`RESONA_NOTICE_TOPICS`, separated by commas: ARNs of SNS topics that channels may name."""
    tenant_share: int = 50
    """How many percent of the executors that other tenants leave a tenant may use, 5 to 100; with
    100 nothing is counted.
    """
    tenant_least: int = 20
    """How many executors a tenant may use in any case, 1 to 1,000."""


@dataclass(frozen=True, slots=True)
class ApiKeySettings:
    """The settings of the authorizer, the only function that reads the table of API keys."""

    stage: str
    """The stage's name, which is part of every key."""
    keys_table: str
    """The DynamoDB table of keys."""


def read_settings(environ: Mapping[str, str] = os.environ, function_arn: str = "") -> Settings:
    """Read the settings of the API and the executor. Raises SettingMissing, naming the variable.

    `function_arn` is the ARN of the running Lambda function, from its invocation's context. It
    completes the ARNs and the queue's URL: they contain the account's id, which is in no
    environment variable of Lambda. It may be empty if those settings are set.
    """
    stage = _stage(environ)
    here = _Here(environ, function_arn)
    return Settings(
        stage=stage,
        jobs_table=read_jobs_table(environ),
        runs_table=environ.get("RESONA_RUNS_TABLE") or f"resona-{stage}-runs",
        due_queue_url=here.queue_url("RESONA_DUE_QUEUE_URL", f"resona-{stage}-due"),
        secrets_table=environ.get("RESONA_SECRETS_TABLE") or f"resona-{stage}-secrets",
        secrets_key=environ.get("RESONA_SECRETS_KEY") or f"alias/resona-{stage}-secrets",
        schedule_group=environ.get("RESONA_SCHEDULE_GROUP") or f"resona-{stage}",
        wake_function_arn=here.function("RESONA_WAKE_FUNCTION_ARN", f"resona-{stage}-wake"),
        scheduler_role_arn=here.role("RESONA_SCHEDULER_ROLE_ARN", f"resona-{stage}-scheduler"),
        run_retention=timedelta(
            days=_number(environ, "RESONA_RUN_RETENTION", default=30, least=1, most=365)
        ),
        jobs_quota=_number(
            environ, "RESONA_JOBS_QUOTA", default=100_000, least=0, most=100_000_000
        ),
        registrations_per_minute=_number(
            environ, "RESONA_REGISTRATIONS_PER_MINUTE", default=6_000, least=0, most=60_000
        ),
        secrets_quota=_number(
            environ, "RESONA_SECRETS_QUOTA", default=1_000, least=0, most=100_000
        ),
        require_https=_flag(environ, "RESONA_REQUIRE_HTTPS"),
        notice_topics=read_topics(environ),
        tenant_share=_number(environ, "RESONA_TENANT_SHARE", default=50, least=5, most=100),
        tenant_least=_number(environ, "RESONA_TENANT_LEAST", default=20, least=1, most=1000),
    )


def read_jobs_table(environ: Mapping[str, str] = os.environ) -> str:
    """Return the name of the table of jobs. Raises SettingMissing."""
    return environ.get("RESONA_JOBS_TABLE") or f"resona-{_stage(environ)}-jobs"


def read_api_key_settings(environ: Mapping[str, str] = os.environ) -> ApiKeySettings:
    """Read the authorizer's settings. Raises SettingMissing, naming the variable."""
    stage = _stage(environ)
    return ApiKeySettings(stage, environ.get("RESONA_KEYS_TABLE") or f"resona-{stage}-keys")


def due_queue_name(environ: Mapping[str, str] = os.environ) -> str:
    """Return the name of the queue that invokes `deliver`: RESONA_DUE_QUEUE, if that is set."""
    return environ.get("RESONA_DUE_QUEUE") or f"resona-{environ.get('RESONA_STAGE') or 'local'}-due"


def read_concurrency(environ: Mapping[str, str] = os.environ) -> int:
    """Read RESONA_CONCURRENCY, the maximum concurrency of the due queue's poller, 2 to 1,000.

    Unless set it is 800; `chalice deploy` sets less if the account's limit is lower. Raises
    SettingMissing.
    """
    return _number(environ, "RESONA_CONCURRENCY", default=800, least=2, most=1000)


@dataclass(frozen=True, slots=True)
class _Here:
    """Derives names that contain the account and the region, unless their variable is set."""

    environ: Mapping[str, str]
    function_arn: str

    def queue_url(self, variable: str, name: str) -> str:
        """Return the URL of a queue. https://docs.aws.amazon.com/general/latest/gr/sqs-service.html"""
        return self._named(variable, "https://sqs.{region}.{suffix}/{account}/" + name)

    def function(self, variable: str, name: str) -> str:
        """Return the ARN of a function."""
        return self._named(variable, "arn:{partition}:lambda:{region}:{account}:function:" + name)

    def role(self, variable: str, name: str) -> str:
        """Return the ARN of a role."""
        return self._named(variable, "arn:{partition}:iam::{account}:role/" + name)

    def _named(self, variable: str, pattern: str) -> str:
        if value := self.environ.get(variable, ""):
            return value
        arn = _FUNCTION_ARN.match(self.function_arn)
        if arn is None:
            raise SettingMissing(
                f"the environment variable {variable} is not set, and the Lambda function's ARN is "
                "unknown"
            )
        suffix = "amazonaws.com.cn" if arn["partition"] == "aws-cn" else "amazonaws.com"
        return pattern.format(**arn.groupdict(), suffix=suffix)


def _stage(environ: Mapping[str, str]) -> str:
    value = environ.get("RESONA_STAGE", "")
    if not value:
        raise SettingMissing("the environment variable RESONA_STAGE is not set")
    return value


def read_origins(environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Read RESONA_CORS_ORIGINS, the origins whose pages may call the API; none unless set.

    Raises SettingMissing for an invalid origin.
    """
    origins = _listed(environ, "RESONA_CORS_ORIGINS")
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise SettingMissing(
                "the environment variable RESONA_CORS_ORIGINS must hold origins, such as "
                f"https://app.example.com, not {origin!r}"
            )
    return frozenset(origins)


def read_topics(environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Read RESONA_NOTICE_TOPICS, the SNS topics that channels may name; none unless set.

    Raises SettingMissing for what is not the ARN of a topic, and for a FIFO topic: SNS sends no
    e-mail from one.
    """
    topics = _listed(environ, "RESONA_NOTICE_TOPICS")
    for topic in topics:
        if not _TOPIC.fullmatch(topic):
            raise SettingMissing(
                "the environment variable RESONA_NOTICE_TOPICS must hold ARNs of standard SNS "
                "topics, such as arn:aws:sns:eu-central-1:123456789012:resona-notices, separated "
                f"by commas, not {topic!r}"
            )
    return frozenset(topics)


def read_log_level(environ: Mapping[str, str] = os.environ) -> int:
    """Read RESONA_LOG_LEVEL, the lowest level of the events that are logged; INFO unless set.

    Raises SettingMissing for an unknown level.
    """
    name = environ.get("RESONA_LOG_LEVEL", "") or "INFO"
    if name not in _LEVELS:
        raise SettingMissing(
            f"the environment variable RESONA_LOG_LEVEL must be one of {', '.join(_LEVELS)}, not "
            f"{name!r}"
        )
    return logging.getLevelNamesMapping()[name]


def _listed(environ: Mapping[str, str], name: str) -> list[str]:
    """Return the parts of a variable between commas, without spaces around them."""
    return [text.strip() for text in environ.get(name, "").split(",") if text.strip()]


def _flag(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name, "") or "false"
    if text not in ("true", "false"):
        raise SettingMissing(f"the environment variable {name} must be true or false, not {text!r}")
    return text == "true"


def _number(environ: Mapping[str, str], name: str, *, default: int, least: int, most: int) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise SettingMissing(
            f"the environment variable {name} must be a whole number from {least} to {most}, not "
            f"{text!r}"
        )
    return int(text)
