"""Prepare `chalice deploy` when Chalice imports the app, or exit with a sentence.

Chalice finds roles and functions by their names. It finds the API and the queue's event source
mapping only in .chalice/deployed/<stage>.json, which it writes at the end of a deploy. In another
clone, or after an interrupted deploy, it would create a second API. So it is given both here, as
they are found in the account.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from types import SimpleNamespace
from typing import Any

import chalice.cli
import click
from botocore.exceptions import BotoCoreError, ClientError
from chalice.config import Config, DeployedResources
from chalice.deploy.deployer import PolicyGenerator
from chalice.deploy.swagger import SwaggerGenerator

from chalicelib.api.openapi.gateway_responses import gateway_responses
from chalicelib.config import SettingMissing, read_concurrency, read_origins, read_topics
from infra.deploy import stack
from infra.deploy.cloud import CliError, Cloud, Names, enter, explained, in_words, reach
from infra.deploy.topics import with_topics


def before_deploy(context: click.Context) -> None:
    """Prepare a `chalice deploy`. Raises CliError."""
    stage, profile = context.params["stage"], context.params.get("profile")
    with in_words():
        cloud, names = enter(stage, lambda: reach(profile))
        if not stack.look(cloud, names).is_complete:
            raise CliError(
                f"there is no complete stack {names.stack} in {cloud.region}: type "
                f"`.venv/bin/python -m infra.deploy stack --stage {stage}` first"
            )
        os.environ.setdefault("RESONA_CONCURRENCY", str(concurrency(limit_of(cloud))))
        find_by_name(cloud, names)
    try:
        tell_functions({"RESONA_CONCURRENCY": str(read_concurrency())})
        answer_as_the_api(read_origins())
        allow_topics(read_topics())
    except SettingMissing as error:
        raise CliError(f"{error}: correct it in .chalice/config.json") from error
    _say_what_failed()


def limit_of(cloud: Cloud) -> int:
    """Return the account's limit of concurrent Lambda executions; a new account has 10."""
    account = cloud.client("lambda").get_account_settings()
    return int(account["AccountLimit"]["ConcurrentExecutions"])


def concurrency(limit: int) -> int:
    """Return how many batches of the due queue may run at once: four fifths of the account's limit.

    Lambda accepts 2 to 1,000. The rest of the limit keeps Lambda from throttling batches: their
    messages are invisible for 12 minutes, and after five times are in the dead-letter queue.
    """
    return max(2, min(800, limit * 4 // 5))


def tell_functions(variables: Mapping[str, str]) -> None:
    """Make Chalice set environment variables of the functions beside those of config.json.

    `deliver` shares its executors between tenants, and must know how many there are.
    """
    config: Any = Config
    read = config.environment_variables.fget
    config.environment_variables = property(lambda self: {**variables, **read(self)})


def find_by_name(cloud: Cloud, names: Names) -> None:
    """Make Chalice use the account's API and mapping instead of those in its deployed file."""
    found = dict[str, dict[str, str]]()
    if api := cloud.api(names):
        found["rest_api"] = {"resource_type": "rest_api", "rest_api_id": api}
    if mapping := cloud.mapping(names):
        found["deliver-sqs-event-source"] = {
            "resource_type": "sqs_event",
            "queue": names.of("due"),
            "queue_arn": mapping["EventSourceArn"],
            "lambda_arn": mapping["FunctionArn"],
            "event_uuid": mapping["UUID"],
        }

    def values_of(_notes: object, name: str) -> dict[str, str]:
        if name not in found:
            raise ValueError(f"{name} has to be looked up or made")
        return found[name]

    notes: Any = DeployedResources
    notes.resource_names, notes.resource_values = lambda _notes: list(found), values_of


def answer_as_the_api(origins: AbstractSet[str]) -> None:
    """Make Chalice import the gateway responses together with the API: it has no option for them.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-gateway-responses.html
    """
    generator: Any = SwaggerGenerator
    describe, responses = generator.generate_swagger, gateway_responses(origins)

    def describe_with_responses(self: Any, app: Any, rest_api: Any = None) -> Any:
        return {**describe(self, app, rest_api), "x-amazon-apigateway-gateway-responses": responses}

    generator.generate_swagger = describe_with_responses


def allow_topics(topics: AbstractSet[str]) -> None:
    """Make Chalice add the right to publish to deliver's policy: it has no option for it."""
    generator: Any = PolicyGenerator
    read = generator._read_document_from_file

    def read_with_topics(self: Any, filename: str) -> Any:
        return with_topics(read(self, filename), filename, topics)

    generator._read_document_from_file = read_with_topics


def _say_what_failed() -> None:
    """Make Chalice print our sentence instead of a stack trace when AWS refuses a call."""

    def told() -> str:
        error: Any = sys.exc_info()[1]
        # Chalice wraps errors of AWS, some of them twice.
        while hasattr(error, "original_error"):
            error = error.original_error
        is_of_aws = isinstance(error, ClientError | BotoCoreError)
        return str(explained(error)) if is_of_aws else traceback.format_exc()

    command_line: Any = chalice.cli
    command_line.traceback = SimpleNamespace(format_exc=told)
