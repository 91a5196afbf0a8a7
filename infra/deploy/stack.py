"""Deploy the CloudFormation stack of a stage (infra/template.yaml), or remove the stage."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any, NamedTuple

import click
from botocore.exceptions import ClientError

from chalicelib.aws.clients import code_of
from infra.deploy.cloud import CliError, Cloud, Names
from infra.template import load

_POLL_SECONDS, _MOST_POLLS = 5, 720
# Statuses of a stack whose creation has succeeded.
_COMPLETE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
_RESUMABLE = (None, *_COMPLETE, "CREATE_FAILED", "UPDATE_FAILED")
_GONE = ("ResourceNotFoundException", "NotFoundException", "NoSuchEntity")
_CONSEQUENCE = re.compile(r"(creation|update|delet\w+) cancelled", re.I)


class Stack(NamedTuple):
    """A stage's stack. `status` is None if it does not exist."""

    status: str | None
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]

    @property
    def is_complete(self) -> bool:
        """Return whether all its resources exist, so that functions can be deployed."""
        return self.status in _COMPLETE and self.parameters.get("Running") != "false"


def look(cloud: Cloud, names: Names) -> Stack:
    """Return the stack of a stage."""
    try:
        (found,) = cloud.client("cloudformation").describe_stacks(StackName=names.stack)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return Stack(None, {}, {})
        raise
    outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}
    given = {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}
    return Stack(found["StackStatus"], outputs, given)


def deploy(cloud: Cloud, names: Names, given: Mapping[str, str]) -> bool:
    """Create or update the stack with these parameters; other parameters keep their values.

    Return whether anything changed. Raises CliError.
    """
    template, stack, client = load(), _settled(cloud, names), cloud.client("cloudformation")
    _check(cloud, names, stack)
    _check_key(names, stack, given)
    given = {**given, "Stage": names.stage}
    kept = (template["Parameters"].keys() & stack.parameters.keys()) - given.keys()
    parameters: list[dict[str, Any]] = [
        *({"ParameterKey": name, "ParameterValue": value} for name, value in given.items()),
        *({"ParameterKey": name, "UsePreviousValue": True} for name in sorted(kept)),
    ]
    try:
        (client.create_stack if stack.status is None else client.update_stack)(
            StackName=names.stack,
            TemplateBody=json.dumps(template),
            Parameters=parameters,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            # Do not roll back a first creation that fails; the next deploy continues it. The tables
            # outlive a rollback, and their names would be taken for the next stack.
            DisableRollback=stack.status not in _COMPLETE,
        )
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            return False
        raise
    ended = _settled(cloud, names)
    if ended.status not in _COMPLETE or "ROLLBACK" in ended.status:
        raise CliError(
            f"the stack {names.stack} is {ended.status}: mend the cause in the first line, then "
            f"repeat the command\n{_failures(cloud, names)}"
        )
    return True


def remove(cloud: Cloud, names: Names) -> None:
    """Delete functions, API, and all of the stack but the data. Raises CliError, ClientError."""
    # The order: event sources, then the API, then the functions, then their roles.
    rule = names.of("sweep-event")
    events, functions, iam = cloud.client("events"), cloud.client("lambda"), cloud.client("iam")
    # "1" is the id that Chalice gives the target.
    _unless_gone(events.remove_targets, Rule=rule, Ids=["1"])
    _unless_gone(events.delete_rule, Name=rule)
    if mapping := cloud.mapping(names):
        _unless_gone(functions.delete_event_source_mapping, UUID=mapping["UUID"])
    if api := cloud.api(names):
        _unless_gone(cloud.client("apigateway").delete_rest_api, restApiId=api)
    for name in names.functions.values():
        _unless_gone(functions.delete_function, FunctionName=name)
    for name in map(names.of, names.functions):
        _unless_gone(iam.delete_role_policy, RoleName=name, PolicyName=name)
        _unless_gone(iam.delete_role, RoleName=name)
    if look(cloud, names).status is not None:
        deploy(cloud, names, {"Running": "false"})


def _check(cloud: Cloud, names: Names, stack: Stack) -> None:
    """Raise CliError if the stack cannot be updated, or if a new one cannot use existing data."""
    if stack.status not in _RESUMABLE:
        raise CliError(
            f"the stack {names.stack} is {stack.status}, and cannot be updated: docs/deploy.md, "
            f"under Failures, has what to do\n{_failures(cloud, names)}"
        )
    if "RestAPIId" in stack.outputs:
        raise CliError(
            f"the stack {names.stack} has the functions and the API in it, by the former `make "
            "package`: an update would delete them; docs/upgrade.md says what to do"
        )
    if stack.status is not None:
        return
    dynamodb = cloud.client("dynamodb")
    try:
        dynamodb.describe_table(TableName=names.of("jobs"))
    except dynamodb.exceptions.ResourceNotFoundException:
        return
    # A new stack would have a new KMS key, which cannot decrypt the secrets in the tables.
    raise CliError(
        f"there is no stack {names.stack} in {cloud.region}, but there is its table "
        f"{names.of('jobs')}: docs/deploy.md, under Failures, says how to adopt it"
    )


def _check_key(names: Names, stack: Stack, given: Mapping[str, str]) -> None:
    """Raise CliError if another key of secrets is given than the one that has encrypted them."""
    if stack.status in (None, "CREATE_FAILED"):
        # No function has run yet, so there are no secrets.
        return
    is_now = stack.parameters.get("SecretsKeyId", "")
    if given.get("SecretsKeyId", is_now) != is_now:
        raise CliError(
            f"SecretsKeyId: the stack {names.stack} encrypts secrets with "
            f"{is_now or 'a key of its own'}, and no other key can decrypt them: leave the "
            "parameter out"
        )


def _settled(cloud: Cloud, names: Names) -> Stack:
    """Wait until no operation is in progress, then return the stack. Raises CliError after 1 h."""
    for poll in range(_MOST_POLLS):
        stack = look(cloud, names)
        # A change set in review is not in progress.
        if stack.status in (None, "REVIEW_IN_PROGRESS") or not stack.status.endswith("_PROGRESS"):
            return stack
        if poll == 0:
            click.echo(f"The stack {names.stack} is {stack.status}: waiting")
        cloud.sleep(_POLL_SECONDS)
    raise CliError(f"the stack {names.stack} is busy for an hour: see the CloudFormation console")


def _failures(cloud: Cloud, names: Names) -> str:
    """Return the last operation's failed resources, one a line, in the order of failing."""
    pages = cloud.client("cloudformation").get_paginator("describe_stack_events")
    events = (one for page in pages.paginate(StackName=names.stack) for one in page["StackEvents"])
    last = takewhile(lambda one: one.get("ResourceStatusReason") != "User Initiated", events)
    failed = [
        f"  {one['LogicalResourceId']} ({one['ResourceType']}): {reason}"
        for one in last
        if one["ResourceStatus"].endswith("_FAILED")
        and not _CONSEQUENCE.search(reason := one.get("ResourceStatusReason", ""))
    ]
    return "\n".join(reversed(failed))


def _unless_gone(call: Callable[..., Any], **request: Any) -> None:
    """Make a call that deletes a resource; succeed if the resource does not exist."""
    try:
        call(**request)
    except ClientError as error:
        if code_of(error) not in _GONE:
            raise
