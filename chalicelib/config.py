"""Settings, read from the environment once."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

# As browsers send it: in lower case, without a path, and without the port that the scheme has
# anyway.
_ORIGIN = re.compile(
    r"(?!http:.*:80$|https:.*:443$)https?://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::[0-9]{1,5})?",
    re.ASCII,
)


_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingMissing(Exception):
    """A setting is absent or has a wrong value; the sentence names the variable."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What differs from one deployment to another.

    Each field is the variable `RESONA_<FIELD IN UPPER CASE>`.
    """

    stage: str
    """`local`, `dev`, `prod` or a name of your own; `local` alone needs no keys."""
    jobs_table: str
    """The DynamoDB table of definitions and states."""
    runs_table: str
    """The DynamoDB table of run records."""
    due_queue_url: str
    """The SQS queue of what is due."""
    secrets_table: str
    """The DynamoDB table of secrets, encrypted."""
    secrets_key: str
    """The KMS key, its ARN or an alias, with which they are encrypted."""
    schedule_group: str
    """The EventBridge Scheduler group of the jobs' schedules."""
    wake_function_arn: str
    """The Lambda function that schedules invoke."""
    scheduler_role_arn: str
    """The role with which EventBridge Scheduler invokes it."""
    run_retention: timedelta = timedelta(days=30)
    """`RESONA_RUN_RETENTION` in days, 1 to 365: how long runs are kept."""
    jobs_quota: int = 100_000
    """How many jobs a tenant may have, ended ones included; 0 is no quota."""
    registrations_per_minute: int = 6_000
    """How many jobs a tenant may register in a minute; 0 is no quota."""
    secrets_quota: int = 1_000
    """How many secrets a tenant may have; 0 is no quota."""
    require_https: bool = False
    """`RESONA_REQUIRE_HTTPS`, `true` or `false`: whether `http:` URLs are refused, when a job is
    written and when it is sent.
    """


@dataclass(frozen=True, slots=True)
class ApiKeySettings:
    """What the authorizer needs, and it alone: no other function knows the table of keys."""

    stage: str
    """The stage's name, as it stands in every key."""
    keys_table: str
    """The DynamoDB table of keys."""


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings of the API and the executor.

    Raises SettingMissing, naming the variable and what it should hold.
    """
    return Settings(
        stage=_text(environ, "RESONA_STAGE"),
        jobs_table=_text(environ, "RESONA_JOBS_TABLE"),
        runs_table=_text(environ, "RESONA_RUNS_TABLE"),
        due_queue_url=_text(environ, "RESONA_DUE_QUEUE_URL"),
        secrets_table=_text(environ, "RESONA_SECRETS_TABLE"),
        secrets_key=_text(environ, "RESONA_SECRETS_KEY"),
        schedule_group=_text(environ, "RESONA_SCHEDULE_GROUP"),
        wake_function_arn=_text(environ, "RESONA_WAKE_FUNCTION_ARN"),
        scheduler_role_arn=_text(environ, "RESONA_SCHEDULER_ROLE_ARN"),
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
    )


def read_api_key_settings(environ: Mapping[str, str] = os.environ) -> ApiKeySettings:
    """Read the authorizer's settings. Raises SettingMissing, naming the variable."""
    return ApiKeySettings(
        stage=_text(environ, "RESONA_STAGE"), keys_table=_text(environ, "RESONA_KEYS_TABLE")
    )


def read_origins(environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Read the origins whose pages may call the API; none unless set.

    Raises SettingMissing for what is no origin.
    """
    origins = [
        text.strip() for text in environ.get("RESONA_CORS_ORIGINS", "").split(",") if text.strip()
    ]
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise SettingMissing(
                f"the environment variable RESONA_CORS_ORIGINS must hold origins, such as https://app.example.com, not {origin!r}"
            )
    return frozenset(origins)


def read_log_level(environ: Mapping[str, str] = os.environ) -> int:
    """Read from which level on events are written, `RESONA_LOG_LEVEL`: INFO unless set.

    Raises SettingMissing for what is no level.
    """
    name = environ.get("RESONA_LOG_LEVEL", "") or "INFO"
    if name not in _LEVELS:
        raise SettingMissing(
            f"the environment variable RESONA_LOG_LEVEL must be one of {', '.join(_LEVELS)}, not {name!r}"
        )
    return logging.getLevelNamesMapping()[name]


def _text(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise SettingMissing(f"the environment variable {name} is not set")
    return value


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
            f"the environment variable {name} must be a whole number from {least} to {most}, not {text!r}"
        )
    return int(text)
