"""The stack of a stage: infra/template.yaml, deployed by change sets."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from infra.deploy.cloud import Cloud
from infra.deploy.template import Template
from infra.deploy.trouble import Trouble, code_of, message_of

_POLL_SECONDS = 5
_MOST_POLLS = 720
_CAPABILITIES = ["CAPABILITY_NAMED_IAM"]
# What holds data: never replaced or removed by a deploy.
DATA = frozenset({"AWS::DynamoDB::Table", "AWS::KMS::Key"})
# What can be taken over when it is there before the stack is: type → what CloudFormation identifies
# one by.
IDENTIFIERS = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::KMS::Key": "KeyId",
    "AWS::KMS::Alias": "AliasName",
    "AWS::Logs::LogGroup": "LogGroupName",
}
# What only a packaged template has in the stack.
_PACKAGED = frozenset({"AWS::Lambda::Function", "AWS::ApiGateway::RestApi"})
_SETTLED = frozenset(
    "CREATE_COMPLETE UPDATE_COMPLETE UPDATE_ROLLBACK_COMPLETE IMPORT_COMPLETE IMPORT_ROLLBACK_COMPLETE".split()
)  # a change set may follow
_DONE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})
# The stack's first creation failed: nothing of it is left but what is retained, and it can only be
# deleted.
_STILLBORN = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"})
_BACK = frozenset({"IMPORT_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"})
_CONSEQUENCE = re.compile(r"(creation|update|delet\w+) cancelled", re.IGNORECASE)
_ADVICE = (
    (
        re.compile(r"wait 60 seconds|being deleted|DELETING", re.IGNORECASE),
        "AWS is not done yet with deleting what had that name: wait some minutes, then run the same command again.",
    ),
    (
        re.compile(r"already exists|AlreadyExists", re.IGNORECASE),
        "something of that name is there that is not the stack's: if a stage of that name was destroyed, run the same command again, which "
        "takes its tables and its key over; else delete or rename what is there.",
    ),
    (
        re.compile(
            r"not authorized|AccessDenied|Access Denied|UnauthorizedTaggingOperation", re.IGNORECASE
        ),
        "whoever deploys needs the permissions in infra/deploy/policy.json; have them attached, then run the same command again.",
    ),
    (
        re.compile(r"LimitExceeded|quota|Maximum number", re.IGNORECASE),
        "the account has reached a quota: raise it (Service Quotas in the console), then run the same command again.",
    ),
)
_REFUSED = (
    (
        re.compile(r"_IN_PROGRESS state"),
        "somebody deploys this stage now: wait until that is done, then run the same command again.",
    ),
    (
        re.compile(r"Unrecognized resource types"),
        "AWS does not have these in this region: deploy to another region, with AWS_REGION=, one that has EventBridge Scheduler.",
    ),
)
_NO_CHANGE = re.compile(r"didn't contain changes|No updates are to be performed", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Stack:
    """The stack as it is; `status` None: there is none."""

    status: str | None
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]

    @property
    def is_there(self) -> bool:
        """Say whether there is anything to update: a stack of which only a change set was made is
        none yet.
        """
        return self.status not in (None, "REVIEW_IN_PROGRESS")


def look(cloud: Cloud, name: str) -> Stack:
    """Return the stack as it is."""
    try:
        (found,) = cloud("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if code_of(error) == "ValidationError" and "does not exist" in message_of(error):
            return Stack(None, {}, {})
        raise
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    parameters = {
        parameter["ParameterKey"]: parameter.get("ParameterValue", "")
        for parameter in found.get("Parameters", [])
    }
    return Stack(found["StackStatus"], outputs, parameters)


def settle(cloud: Cloud, name: str) -> Stack:
    """Return the stack once it can be deployed to: wait for what is under way, clear away what
    never came to be. Raises Trouble.
    """
    stack = _waited(cloud, name)
    if stack.status == "UPDATE_ROLLBACK_FAILED":
        raise Trouble(
            f"the stack {name} has failed to update, and to go back\n{failures(cloud, name)}",
            "put right what the first line says, then `aws cloudformation continue-update-rollback "
            f"--stack-name {name} --region {cloud.region}`; when it says UPDATE_ROLLBACK_COMPLETE, run the same command again.",
        )
    if stack.status in _STILLBORN or (stack.status in _BACK and not _has_come_to_be(cloud, name)):
        cloud.say(
            f"The stack {name} never came to be ({stack.status}): deleting what is left of it; tables and key stay"
        )
        delete(cloud, name)
        return look(cloud, name)
    if stack.is_there and stack.status not in _SETTLED:
        raise Trouble(
            f"the stack {name} is in the state {stack.status}",
            "look at it in the console, under CloudFormation.",
        )
    return stack


def _has_come_to_be(cloud: Cloud, name: str) -> bool:
    """Say whether the stack has more than was taken over, all of which stays when it goes.

    What the first update after that made and retained is not the stack's once that has gone back; a
    new stack takes it over, too.
    """
    resources = cloud("cloudformation").list_stack_resources(StackName=name)[
        "StackResourceSummaries"
    ]
    return any(
        one["ResourceStatus"] != "DELETE_COMPLETE" and one["ResourceType"] not in IDENTIFIERS
        for one in resources
    )


def apply(cloud: Cloud, name: str, template: Template, parameters: Mapping[str, str]) -> bool:
    """Make the stack what the template says; return whether anything was to be changed.

    Raises Trouble. The stack has settled.
    """
    stack = look(cloud, name)
    unknown = parameters.keys() - template.parameters.keys()
    if unknown:
        known = ", ".join(sorted(template.parameters.keys() - {"Stage"})) or "none"
        raise Trouble(
            f"the template has no parameter {', '.join(sorted(unknown))}",
            f"those that can be given are: {known}.",
        )
    kept = [
        key
        for key in template.parameters
        if key in stack.parameters and key not in parameters and stack.is_there
    ]
    given: list[dict[str, Any]] = [
        {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
    ]
    given += [{"ParameterKey": key, "UsePreviousValue": True} for key in kept]
    change_set = _proposed(
        cloud,
        name,
        ChangeSetType="UPDATE" if stack.is_there else "CREATE",
        TemplateBody=template.text,
        Parameters=given,
        Capabilities=_CAPABILITIES,
    )
    if change_set is None:
        return False
    _spare(cloud, name, change_set)
    execute(cloud, name, change_set)
    return True


def bring_in(
    cloud: Cloud, name: str, template: str, stage: str, resources: list[dict[str, Any]]
) -> None:
    """Make a new stack of resources that are there already. Raises Trouble."""
    change_set = _proposed(
        cloud,
        name,
        ChangeSetType="IMPORT",
        TemplateBody=template,
        Parameters=[{"ParameterKey": "Stage", "ParameterValue": stage}],
        Capabilities=_CAPABILITIES,
        ResourcesToImport=resources,
    )
    if change_set is not None:
        execute(cloud, name, change_set)


def execute(cloud: Cloud, name: str, change_set: str) -> None:
    """Carry a change set out, and wait for it. Raises Trouble with what failed."""
    cloud("cloudformation").execute_change_set(StackName=name, ChangeSetName=change_set)
    # The stack's status may need a moment to say so.
    stack = _waited(cloud, name)
    for _ in range(3):
        if stack.status != "REVIEW_IN_PROGRESS":
            break
        cloud.sleep(_POLL_SECONDS)
        stack = _waited(cloud, name)
    if stack.status not in _DONE:
        found = failures(cloud, name)
        advice = next((text for pattern, text in _ADVICE if pattern.search(found)), None)
        raise Trouble(
            f"the stack {name} could not be deployed; it is now {stack.status}\n{found}",
            advice
            or "put right what the first line says, then run the same command again. What worked before still works.",
        )


def delete(cloud: Cloud, name: str) -> bool:
    """Delete the stack, but for what is retained; return whether there was one. Raises Trouble."""
    if look(cloud, name).status is None:
        return False
    cloud("cloudformation").delete_stack(StackName=name)
    stack = _waited(cloud, name)
    if stack.status not in (None, "DELETE_COMPLETE"):
        raise Trouble(
            f"the stack {name} could not be deleted; it is now {stack.status}\n{failures(cloud, name)}",
            "put right what the first line says, then run the same command again.",
        )
    return True


def failures(cloud: Cloud, name: str) -> str:
    """Return the events of the last operation that say what failed, the first one first, a line
    each.
    """
    lines = []
    for page in (
        cloud("cloudformation").get_paginator("describe_stack_events").paginate(StackName=name)
    ):
        for event in page["StackEvents"]:
            reason = event.get("ResourceStatusReason", "")
            if event["ResourceStatus"].endswith("_FAILED") and not _CONSEQUENCE.search(reason):
                lines.append(
                    f"  {event['LogicalResourceId']} ({event['ResourceType']}) {event['ResourceStatus']}: {reason}"
                )
            if reason == "User Initiated":
                return "\n".join(reversed(lines)) or "  (no event says why)"
    return "\n".join(reversed(lines)) or "  (no event says why)"


def _proposed(cloud: Cloud, name: str, **request: Any) -> str | None:
    """Make a change set and return its name, or None when it would change nothing.

    Raises Trouble.
    """
    cloudformation = cloud("cloudformation")
    change_set = f"resona-{cloud.now():%Y%m%d%H%M%S}-{secrets.token_hex(4)}"
    try:
        cloudformation.create_change_set(StackName=name, ChangeSetName=change_set, **request)
    except ClientError as error:
        if code_of(error) != "ValidationError":
            raise
        advice = next(
            (text for pattern, text in _REFUSED if pattern.search(message_of(error))),
            "put right what it says.",
        )
        raise Trouble(
            f"CloudFormation does not take the template, or a parameter: {message_of(error)}",
            advice,
        ) from error
    for _ in range(_MOST_POLLS):
        made = cloudformation.describe_change_set(StackName=name, ChangeSetName=change_set)
        if made["Status"] == "CREATE_COMPLETE":
            return change_set
        if made["Status"] == "FAILED":
            reason = made.get("StatusReason", "")
            cloudformation.delete_change_set(StackName=name, ChangeSetName=change_set)
            if _NO_CHANGE.search(reason):
                return None
            raise Trouble(
                f"CloudFormation cannot make the change set: {reason}",
                "put right what it says, then run the same command again.",
            )
        cloud.sleep(_POLL_SECONDS)
    raise Trouble(
        f"the change set {change_set} is not ready after an hour",
        "look at it in the console, under CloudFormation.",
    )


def _spare(cloud: Cloud, name: str, change_set: str) -> None:
    """Raise Trouble, and withdraw the change set, if it would replace or remove what holds data, or
    remove the functions.
    """
    harmed, functions = [], []
    for change in _changes(cloud, name, change_set):
        is_removed = change.get("Action") == "Remove"
        is_replaced = change.get("Action") == "Modify" and change.get("Replacement") == "True"
        if change.get("ResourceType") in DATA and (is_removed or is_replaced):
            harmed.append(change["LogicalResourceId"])
        if change.get("ResourceType") in _PACKAGED and is_removed:
            functions.append(change["LogicalResourceId"])
    if not harmed and not functions:
        return
    cloud("cloudformation").delete_change_set(StackName=name, ChangeSetName=change_set)
    if functions:
        raise Trouble(
            f"the stack {name} has the functions in it ({', '.join(functions)}): it was deployed by a packaged template, by `make package`",
            "go on deploying it that way; `make deploy` would delete its API, and with it its URL. Nothing was changed.",
        )
    raise Trouble(
        f"this would replace or remove what holds data: {', '.join(harmed)}",
        "keep their keys, names and logical names in infra/template.yaml as they are deployed; nothing was changed.",
    )


def _changes(cloud: Cloud, name: str, change_set: str) -> Iterator[dict[str, Any]]:
    token: dict[str, str] = {}
    while True:
        page = cloud("cloudformation").describe_change_set(
            StackName=name, ChangeSetName=change_set, **token
        )
        yield from (entry.get("ResourceChange", {}) for entry in page.get("Changes", []))
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def _waited(cloud: Cloud, name: str) -> Stack:
    """Return the stack once nothing is under way. Raises Trouble after an hour."""
    told = None
    for _ in range(_MOST_POLLS):
        stack = look(cloud, name)
        if (
            stack.status is None
            or not stack.status.endswith("_IN_PROGRESS")
            or stack.status == "REVIEW_IN_PROGRESS"
        ):
            return stack
        if stack.status != told:
            cloud.say(f"The stack {name} is in {stack.status}: waiting")
            told = stack.status
        cloud.sleep(_POLL_SECONDS)
    raise Trouble(
        f"the stack {name} is still in {told} after an hour",
        "look at it in the console, under CloudFormation.",
    )
