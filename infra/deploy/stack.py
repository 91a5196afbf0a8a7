"""The CloudFormation stack of a stage: infra/template.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.aws.clients import code_of
from infra.deploy.cloud import Cloud, Names, Trouble, message_of
from infra.template import TEMPLATE, load

_POLL_SECONDS, _MOST_POLLS = 5, 720
# A stack in these states was complete once. The first creation is in none of them until it is.
_COMPLETE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
_RESUMABLE = (*_COMPLETE, "CREATE_FAILED", "UPDATE_FAILED")
_CONSEQUENCE = re.compile(r"(creation|update|delet\w+) cancelled", re.I)


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack; `status` None: there is none."""

    status: str | None
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]

    @property
    def is_complete(self) -> bool:
        """Say whether functions can be deployed beside it."""
        return self.status in _COMPLETE and self.parameters.get("Running") != "false"


def look(cloud: Cloud, names: Names) -> Stack:
    """Return the stack of a stage."""
    try:
        (found,) = cloud("cloudformation").describe_stacks(StackName=names.stack)["Stacks"]
    except ClientError as error:
        if code_of(error) == "ValidationError" and "does not exist" in message_of(error):
            return Stack(None, {}, {})
        raise
    outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}
    given = {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}
    return Stack(found["StackStatus"], outputs, given)


def deploy(cloud: Cloud, names: Names, given: Mapping[str, str]) -> bool:
    """Create or update the stack with these parameters; the others keep their values.

    Return whether anything changed. Raises Trouble.
    """
    stack, known = _settled(cloud, names), load()["Parameters"].keys()
    if unknown := given.keys() - known:
        has = ", ".join(sorted(known - {"Stage", "Running"}))
        raise Trouble(
            f"infra/template.yaml has no parameter {', '.join(sorted(unknown))}: it has {has}"
        )
    if stack.status is None:
        _check_nothing_is_left(cloud, names)
    elif stack.status not in _RESUMABLE:
        raise Trouble(
            f"the stack {names.stack} is {stack.status}, and cannot be updated: docs/deploy.md, "
            f"under Failures, has what to do\n{_failures(cloud, names)}"
        )
    if "RestAPIId" in stack.outputs:
        raise Trouble(
            f"the stack {names.stack} has the functions and the API in it, by the former `make package`: "
            "an update would delete them; docs/deploy.md, under Upgrade, has what to do"
        )
    given = {**given, "Stage": names.stage}
    parameters: list[dict[str, Any]] = [
        {"ParameterKey": name, "ParameterValue": value} for name, value in given.items()
    ]
    kept = sorted((known & stack.parameters.keys()) - given.keys())
    parameters += [{"ParameterKey": name, "UsePreviousValue": True} for name in kept]
    request = {
        "StackName": names.stack,
        "TemplateBody": TEMPLATE.read_text(encoding="utf-8"),
        "Parameters": parameters,
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        # A first creation that fails keeps what it made, and the next deploy continues it: after a
        # rollback the tables would be there without a stack, and their names taken.
        "DisableRollback": stack.status not in _COMPLETE,
    }
    client = cloud("cloudformation")
    try:
        (client.create_stack if stack.status is None else client.update_stack)(**request)
    except ClientError as error:
        if code_of(error) != "ValidationError":
            raise
        if "No updates are to be performed" in message_of(error):
            return False
        raise Trouble(
            f"CloudFormation refuses the template or a parameter: {message_of(error)}"
        ) from error
    ended = _settled(cloud, names)
    if ended.status not in _COMPLETE or "ROLLBACK" in ended.status:
        raise Trouble(
            f"the stack {names.stack} is {ended.status}: mend the cause in the first line, then "
            f"repeat the command\n{_failures(cloud, names)}"
        )
    return True


def _check_nothing_is_left(cloud: Cloud, names: Names) -> None:
    """Raise Trouble if a deleted stack has left its tables: a new one could not read the secrets in
    them.
    """
    try:
        cloud("dynamodb").describe_table(TableName=names.of("jobs"))
    except ClientError as error:
        if code_of(error) != "ResourceNotFoundException":
            raise
    else:
        raise Trouble(
            f"there is no stack {names.stack} in {cloud.region}, but there is its table {names.of('jobs')}: "
            "docs/deploy.md, under Failures, says how a new stack takes it over"
        )


def _settled(cloud: Cloud, names: Names) -> Stack:
    """Return the stack when no operation is under way. Raises Trouble after an hour."""
    for poll in range(_MOST_POLLS):
        stack = look(cloud, names)
        # A stack in review has a change set that nobody executed.
        if (
            not (stack.status or "").endswith("_IN_PROGRESS")
            or stack.status == "REVIEW_IN_PROGRESS"
        ):
            return stack
        if poll == 0:
            cloud.say(f"The stack {names.stack} is {stack.status}: waiting")
        cloud.sleep(_POLL_SECONDS)
    raise Trouble(f"the stack {names.stack} is busy for an hour: see the CloudFormation console")


def _failures(cloud: Cloud, names: Names) -> str:
    """Return the failed resources of the last operation, the first to fail first, a line each."""
    pages, lines = (
        cloud("cloudformation")
        .get_paginator("describe_stack_events")
        .paginate(StackName=names.stack),
        [],
    )
    for event in (event for page in pages for event in page["StackEvents"]):
        reason = event.get("ResourceStatusReason", "")
        if reason == "User Initiated":
            break
        if event["ResourceStatus"].endswith("_FAILED") and not _CONSEQUENCE.search(reason):
            lines.append(f"  {event['LogicalResourceId']} ({event['ResourceType']}): {reason}")
    return "\n".join(reversed(lines))
