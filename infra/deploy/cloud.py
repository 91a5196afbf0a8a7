"""Reach a stage's AWS account and region, name its resources, and explain AWS's errors."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
from botocore import exceptions as aws
from botocore.config import Config

from chalicelib.aws.clients import code_of
from chalicelib.runtime.clock import utc_now

ROOT = Path(__file__).parent.parent.parent
# The name of API Gateway's stage, which is the first part of every URL's path.
GATEWAY_STAGE = "api"
# API Gateway throttles its management API at a few calls a second, and a deploy makes many.
_CONFIG = Config(
    connect_timeout=10, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 8}
)
_SKEW = re.compile(r"Signature expired|Signature not yet current|RequestTimeTooSkewed", re.I)
# Error codes of AWS services and class names of botocore → a sentence that says what to do.
_MEANINGS = {
    "ProfileNotFound": "{error}: set AWS_PROFILE to one that `aws configure list-profiles` shows",
    """CredentialRetrievalError NoCredentialsError PartialCredentialsError SSOError
    SSOTokenLoadError UnauthorizedSSOTokenError PendingAuthorizationExpiredError
    TokenRetrievalError ExpiredToken ExpiredTokenException RequestExpired InvalidClientTokenId
    InvalidAccessKeyId UnrecognizedClientException SignatureDoesNotMatch AuthFailure""": (
        "there are no valid AWS credentials ({error}): log in first, with `aws configure` for "
        "keys or `aws sso login` for single sign-on; a region that your account has not "
        "enabled refuses valid ones"
    ),
    "EndpointConnectionError InvalidRegionError": (
        "AWS does not answer: check the region's name and the network ({error})"
    ),
    """AccessDenied AccessDeniedException UnauthorizedOperation AuthorizationError
    UnauthorizedException""": (
        "AWS denied a permission: whoever deploys needs those of infra/deploy/policy.json; have it "
        "attached, and repeat the command ({error})"
    ),
}


class Trouble(Exception):
    """A deploy cannot continue; the message says why, and what to do next."""


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
    """A region of an AWS account. `client` makes a boto3 client; `sleep` takes seconds."""

    client: Callable[[str], Any]
    account: str
    region: str
    partition: str = "aws"
    say: Callable[[str], None] = lambda line: print(line, flush=True)
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = utc_now
    _clients: dict[str, Any] = field(default_factory=dict)

    def __call__(self, service: str) -> Any:
        """Return the boto3 client of a service; it is created once."""
        if service not in self._clients:
            self._clients[service] = self.client(service)
        return self._clients[service]

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def url(self, api: str) -> str:
        """Return the URL of an API's stage, without a slash at its end."""
        suffix = "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"
        return f"https://{api}.execute-api.{self.region}.{suffix}/{GATEWAY_STAGE}"

    def api(self, names: Names) -> str | None:
        """Return the id of the stage's API, None if there is none. Raises Trouble for two."""
        pages = self("apigateway").get_paginator("get_rest_apis").paginate()
        apis = [one["id"] for page in pages for one in page["items"] if one["name"] == names.stack]
        if len(apis) > 1:
            raise Trouble(
                f"{len(apis)} APIs are named {names.stack} ({', '.join(apis)}): keep the one that "
                f"your clients call, and delete the other: `aws apigateway delete-rest-api "
                f"--region {self.region} --rest-api-id …`"
            )
        return apis[0] if apis else None

    def mapping(self, names: Names) -> dict[str, Any] | None:
        """Return the event source mapping from the due queue to `deliver`, None if missing."""
        queue = self.arn("sqs", names.of("due"))
        found = self("lambda").list_event_source_mappings(EventSourceArn=queue)
        usable = (one for one in found["EventSourceMappings"] if one.get("State") != "Deleting")
        return next(usable, None)


def reach(environ: Mapping[str, str] = os.environ, profile: str | None = None) -> Cloud:
    """Return the account of AWS's usual credentials. Raises Trouble if they are not accepted."""
    try:
        region = region_of(environ, boto3.Session(profile_name=profile).region_name)
        session: Any = boto3.Session(profile_name=profile, region_name=region)
        caller = session.client("sts", config=_CONFIG).get_caller_identity()
    except (aws.BotoCoreError, aws.ClientError) as error:
        raise explained(error) from error
    partition = caller["Arn"].split(":")[1]
    return Cloud(
        lambda name: session.client(name, config=_CONFIG), caller["Account"], region, partition
    )


def region_of(environ: Mapping[str, str], configured: str | None) -> str:
    """Return the region: AWS_REGION, AWS_DEFAULT_REGION or the profile's. Raises Trouble."""
    named = {
        environ[name]: name for name in ("AWS_DEFAULT_REGION", "AWS_REGION") if environ.get(name)
    }
    if len(named) > 1:
        said = " and ".join(f"{name} is {region}" for region, name in reversed(named.items()))
        raise Trouble(f"{said}: unset the wrong one")
    region = next(iter(named), configured)
    if not region:
        raise Trouble(
            "no AWS region is set: `export AWS_REGION=…`, or `aws configure set region …`, first"
        )
    return region


def message_of(error: aws.ClientError) -> str:
    """Return the message of a service's error."""
    return error.response.get("Error", {}).get("Message", "")


def explained(error: aws.ClientError | aws.BotoCoreError) -> Trouble:
    """Return an error of AWS as a Trouble, with a sentence that says what to do."""
    if _SKEW.search(str(error)):
        return Trouble(f"the clock of this computer is wrong: set it, and repeat ({error})")
    code = code_of(error) if isinstance(error, aws.ClientError) else type(error).__name__
    usual = "AWS refused: repeat the command; if it stays, this is why: {error}"
    found = (meaning for codes, meaning in _MEANINGS.items() if code in codes.split())
    return Trouble(next(found, usual).format(error=error))
