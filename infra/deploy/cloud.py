"""Reach a stage's AWS account and region, name its resources, and explain AWS's errors."""

from __future__ import annotations

import functools
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import click
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from chalicelib.aws.clients import code_of
from chalicelib.domain.errors import Unavailable

ROOT = Path(__file__).parent.parent.parent
# The name of API Gateway's stage, which is the first part of every URL's path.
GATEWAY_STAGE = "api"
# API Gateway throttles its management API at a few calls a second, and a deploy makes many.
_CONFIG = Config(
    connect_timeout=10, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 8}
)
# Pattern of `<a service's error code, or botocore's class name>: <message>` → a sentence that says
# what to do. The first pattern that matches counts.
_MEANINGS = {
    "Signature (expired|not yet current)|TooSkewed": "the clock of this computer is wrong: set it",
    "^NoRegionError": (
        "no AWS region is set: `export AWS_REGION=…`, or `aws configure set region …`, first"
    ),
    r"^\w*(Credential|ProfileNotFound|Token|SSO|PendingAuthorization|Expired|InvalidAccessKeyId"
    r"|Unrecognized|SignatureDoesNotMatch|AuthFailure)": (
        "there are no valid AWS credentials: log in first, with `aws configure` for keys or `aws "
        "sso login` for single sign-on; a region that your account has not enabled refuses valid "
        "ones"
    ),
    "^(EndpointConnectionError|InvalidRegion)": "AWS does not answer: check region and network",
    r"^\w*(AccessDenied|Unauthorized|AuthorizationError)": (
        "AWS denied a permission: whoever deploys needs those of infra/deploy/policy.json; have it "
        "attached, and repeat the command"
    ),
    "^ResourceNotFoundException": (
        "the stage is not in this account and region: deploy it, or set AWS_REGION to its region"
    ),
    "^ValidationError": "CloudFormation refuses the template or a parameter",
    "": "AWS refused: repeat the command; if it stays, the reason is in brackets",
}


class CliError(click.ClickException):
    """A command cannot continue; the message says why, and what to do next."""


@contextmanager
def in_words() -> Iterator[None]:
    """Raise CliError instead of an error of AWS."""
    try:
        yield
    except Unavailable as error:
        raise explained(error.__cause__ or error) from error
    except (ClientError, BotoCoreError) as error:
        raise explained(error) from error


def explained(error: BaseException) -> CliError:
    """Return an error of AWS as a CliError, with a sentence that says what to do."""
    code = code_of(error) if isinstance(error, ClientError) else type(error).__name__
    found = (why for what, why in _MEANINGS.items() if re.search(what, f"{code}: {error}"))
    return CliError(f"{next(found)} ({error})")


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a stage's resources, as infra/template.yaml and Chalice give them."""

    stage: str

    @property
    def stack(self) -> str:
        """Return the name of the stack, the schedule group, the API and the API's function."""
        return f"resona-{self.stage}"

    def of(self, part: str) -> str:
        """Return the name of a part, such as a function, table, role or queue."""
        return f"{self.stack}-{part}"

    @property
    def functions(self) -> dict[str, str]:
        """Return the names of the Lambda functions, by their names in Chalice's configuration."""
        named = ("wake", "deliver", "sweep", "authorizer")
        return {"api_handler": self.stack, **{name: self.of(name) for name in named}}


@dataclass(frozen=True, slots=True)
class Cloud:
    """A region of an AWS account. `client` returns a service's client; `sleep` takes seconds."""

    client: Callable[[str], Any]
    account: str
    region: str
    partition: str = "aws"
    sleep: Callable[[float], None] = time.sleep

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def url(self, api: str) -> str:
        """Return the URL of an API's stage, without a slash at its end."""
        suffix = "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"
        return f"https://{api}.execute-api.{self.region}.{suffix}/{GATEWAY_STAGE}"

    def api(self, names: Names) -> str | None:
        """Return the id of the stage's API, None if there is none. Raises CliError for two."""
        pages = self.client("apigateway").get_paginator("get_rest_apis").paginate()
        apis = [one["id"] for page in pages for one in page["items"] if one["name"] == names.stack]
        if len(apis) > 1:
            raise CliError(
                f"{len(apis)} APIs are named {names.stack} ({', '.join(apis)}): keep the one that "
                f"your clients call, and delete the other: `aws apigateway delete-rest-api "
                f"--region {self.region} --rest-api-id …`"
            )
        return apis[0] if apis else None

    def mapping(self, names: Names) -> dict[str, Any] | None:
        """Return the event source mapping from the due queue to `deliver`, None if missing."""
        queue = self.arn("sqs", names.of("due"))
        found = self.client("lambda").list_event_source_mappings(EventSourceArn=queue)
        usable = (one for one in found["EventSourceMappings"] if one.get("State") != "Deleting")
        return next(usable, None)


def reach(profile: str | None = None) -> Cloud:
    """Return the account of AWS's usual credentials. Raises BotoCoreError, ClientError."""
    # boto3 and Chalice read AWS_DEFAULT_REGION alone; Lambda and the AWS CLI prefer AWS_REGION.
    if region := os.environ.get("AWS_REGION"):
        os.environ["AWS_DEFAULT_REGION"] = region
    session: Any = boto3.Session(profile_name=profile)
    if not session.region_name:
        raise NoRegionError
    client = functools.cache(functools.partial(session.client, config=_CONFIG))
    caller = client("sts").get_caller_identity()
    return Cloud(client, caller["Account"], session.region_name, caller["Arn"].split(":")[1])


def enter(stage: str, connect: Callable[[], Cloud] | None) -> tuple[Cloud, Names]:
    """Check a stage, and return its account and names. `connect` is `reach` if None.

    Raises CliError if .chalice/config.json lacks the stage, or if it is in another region.
    """
    config = json.loads((ROOT / ".chalice" / "config.json").read_text(encoding="utf-8"))
    known = [
        name
        for name, one in config["stages"].items()
        if name == one.get("environment_variables", {}).get("RESONA_STAGE") != "local"
    ]
    if stage not in known:
        raise CliError(
            f"there is no stage {stage!r} to deploy: .chalice/config.json has {', '.join(known)} "
            "(stages whose RESONA_STAGE is their name); docs/deploy.md says how to add one"
        )
    cloud, names = (connect or reach)(), Names(stage)
    click.echo(f"Stage {stage}, account {cloud.account}, region {cloud.region}")
    try:
        role = cloud.client("iam").get_role(RoleName=names.of("scheduler"))["Role"]
    except ClientError:
        # The role does not exist, or the caller may not read it.
        return cloud, names
    # Its trust policy names the schedule group.
    home = re.search("arn:.*?:scheduler:(.*?):", json.dumps(role["AssumeRolePolicyDocument"]))
    if home and home[1] != cloud.region:
        raise CliError(
            f"the stage {stage} is in {home[1]}, not in {cloud.region}: set AWS_REGION={home[1]}, "
            "or add a stage of another name; role names are the account's, not a region's"
        )
    return cloud, names
