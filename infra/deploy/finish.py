"""Configure what Chalice cannot: retries, recursive invocation, Lambda's own log lines, the API's
limits and access log.

Every call sets a whole value, so `finish` can be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import click
from botocore.exceptions import ClientError

from chalicelib.aws.clients import code_of
from infra.deploy.cloud import GATEWAY_STAGE, CliError, Cloud, Names
from infra.deploy.hook import limit_of
from infra.deploy.tenants import tell_of_tenants

# Lambda retries a wake after one and two minutes. Drop it after five: the sweeper has armed the job
# by then. Do not retry a sweep: the next one starts within a minute.
ASYNCHRONOUS = {
    "wake": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 300},
    "sweep": {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60},
}
# The functions without Lambda's own lines (START, END, REPORT), which cost as much as Resona's:
# $0.32 a million firings. Lambda's metrics have durations and errors. WARN keeps the
# lines of failed invocations, TRACE all of Resona's, whose level is a setting.
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
QUIET = ("wake", "deliver", "sweep")
LOGGING = {"LogFormat": "JSON", "ApplicationLogLevel": "TRACE", "SystemLogLevel": "WARN"}
# The API's limits: calls a second, and calls at once; more get a 429. The account's limit for all
# its APIs together is 10,000 a second.
RATE, BURST = 1000, 2000
# The fields of an access log line. Left out: the path, which may contain a job's key, the query
# string, the caller's address and headers.
_LINE = """time=requestTimeEpoch request_id=requestId method=httpMethod route=resourcePath
status=status tenant=authorizer.tenant key_id=authorizer.key_id ms=responseLatency
integration_ms=integrationLatency authorizer_ms=authorizer.latency bytes=responseLength
refused=error.responseType"""
_FIELDS = dict(field.split("=") for field in _LINE.split())
FORMAT = json.dumps({name: f"$context.{value}" for name, value in _FIELDS.items()})
_USUAL_EXECUTIONS = 1000
# Errors while AWS does not know a new function or permission everywhere yet.
_PASSING = ("ResourceConflictException", "InvalidParameterValueException", "BadRequestException")
_TRIES, _SECONDS = 12, 5


def finish(cloud: Cloud, names: Names, outputs: Mapping[str, str]) -> str:
    """Set what Chalice does not, and return the stage's URL. Raises CliError, ClientError."""
    api = cloud.api(names)
    if api is None:
        first = f"type `.venv/bin/chalice deploy --stage {names.stage}` first"
        raise CliError(f"the stage {names.stage} has no functions in {cloud.region} yet: {first}")
    functions = cloud.client("lambda")
    failed = {"OnFailure": {"Destination": cloud.arn("sqs", names.of("failed"))}}
    for part, settings in ASYNCHRONOUS.items():
        given = {"FunctionName": names.of(part), "DestinationConfig": failed, **settings}
        _until_settled(cloud, functions.put_function_event_invoke_config, **given)
    # Lambda drops what a function sends to itself, through a queue, about the 16th time. A run has
    # up to 20 attempts: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
    allowed = {"FunctionName": names.of("deliver"), "RecursiveLoop": "Allow"}
    _until_settled(cloud, functions.put_function_recursion_config, **allowed)
    for part in QUIET:
        change = {"FunctionName": names.of(part), "LoggingConfig": LOGGING}
        _until_settled(cloud, functions.update_function_configuration, **change)
    if (limit := limit_of(cloud)) < _USUAL_EXECUTIONS:
        click.echo(
            f"Lambda runs at most {limit} functions at once for this account: jobs that are due "
            "together wait for each other. To ask for more: `aws service-quotas "
            f"request-service-quota-increase --region {cloud.region} --service-code lambda "
            f"--quota-code L-B99A9384 --desired-value {_USUAL_EXECUTIONS}`"
        )
    tell_of_tenants(cloud.client("dynamodb"), names)
    _give_logs_role(cloud, outputs["GatewayLogsRoleArn"])
    group = cloud.arn("logs", f"log-group:/aws/apigateway/{names.stack}")
    wanted = {
        "/*/*/throttling/rateLimit": str(RATE),
        "/*/*/throttling/burstLimit": str(BURST),
        "/accessLogSettings/destinationArn": group,
        "/accessLogSettings/format": FORMAT,
    }
    stage = {"restApiId": api, "stageName": GATEWAY_STAGE, "patchOperations": _patch(wanted)}
    _until_settled(cloud, cloud.client("apigateway").update_stage, **stage)
    return cloud.url(api)


def _give_logs_role(cloud: Cloud, role: str) -> None:
    """Let API Gateway write logs in this region.

    If no role is set, set this one. The setting is the account's, for all its APIs, so another role
    is left in place.
    """
    gateway = cloud.client("apigateway")
    if gateway.get_account().get("cloudwatchRoleArn"):
        return
    patch = _patch({"/cloudwatchRoleArn": role})
    _until_settled(cloud, gateway.update_account, patchOperations=patch)
    click.echo(f"API Gateway had no role for logs in this account and region; it has {role} now")


def _patch(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"op": "replace", "path": path, "value": value} for path, value in values.items()]


def _until_settled(cloud: Cloud, call: Callable[..., object], **request: Any) -> None:
    """Make a call; repeat it for a minute while its resource is not ready. Raises ClientError."""
    for left in range(_TRIES, 0, -1):
        try:
            call(**request)
            return
        except ClientError as error:
            if left == 1 or code_of(error) not in _PASSING:
                raise
        cloud.sleep(_SECONDS)
