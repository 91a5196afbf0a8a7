"""CloudFormation, as far as a deploy uses it: moto knows neither all that the template makes, nor
rollbacks or failures.

What it makes that others look at (tables, keys, log groups, roles, queues) it makes in moto, so
that the rest of a deploy finds it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from tests.infra.sessions import shared_client
from tests.infra.tables import make_table

ACCOUNT, REGION = "123456789012", "eu-central-1"
_PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::NoValue": "",
}


@dataclass
class Stack:
    """A stack, and the states that it goes through one look after the other."""

    name: str
    states: list[str]
    template: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    physical: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, str]] = field(default_factory=list)

    @property
    def status(self) -> str:
        return self.states[0]

    def tell(self, logical: str, kind: str, status: str, reason: str = "") -> None:
        self.events.insert(
            0,
            {
                "LogicalResourceId": logical,
                "ResourceType": kind,
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
            },
        )


def refused(message: str) -> ClientError:
    """Return CloudFormation's error for a request that it does not take."""
    return ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "UpdateStack")


class CloudFormation:
    """The client. `fails` maps a logical name to the reason why it cannot be made."""

    def __init__(self) -> None:
        self.stacks: dict[str, Stack] = {}
        self.fails: dict[str, str] = {}
        self.calls: list[str] = []

    def client(self, service: str) -> Any:
        """Return moto's client of a service."""
        return shared_client(service, REGION)

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        stack = self._stack(StackName)
        shown = {
            "StackStatus": stack.status,
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in stack.parameters.items()
            ],
            "Outputs": [
                {"OutputKey": name, "OutputValue": self._resolved(output["Value"], stack)}
                for name, output in stack.template.get("Outputs", {}).items()
                if stack.status.endswith("_COMPLETE") and stack.status != "ROLLBACK_COMPLETE"
            ],
        }
        if len(stack.states) > 1:
            stack.states.pop(0)
            if stack.status == "DELETE_COMPLETE":
                del self.stacks[StackName]
        return {"Stacks": [shown]}

    def create_stack(self, **request: Any) -> None:
        assert request["StackName"] not in self.stacks
        self.stacks[request["StackName"]] = Stack(request["StackName"], ["CREATE_IN_PROGRESS"])
        self._deploy("CREATE", **request)

    def update_stack(self, **request: Any) -> None:
        assert self._stack(request["StackName"]).status.endswith(("_COMPLETE", "_FAILED"))
        self._deploy("UPDATE", **request)

    def _deploy(
        self,
        kind: str,
        *,
        StackName: str,  # noqa: N803
        TemplateBody: str,  # noqa: N803
        Parameters: list[dict[str, Any]],  # noqa: N803
        Capabilities: list[str],  # noqa: N803
        DisableRollback: bool,  # noqa: N803
    ) -> None:
        assert Capabilities == ["CAPABILITY_NAMED_IAM"]
        assert len(TemplateBody.encode()) <= 51_200
        stack, template = self._stack(StackName), json.loads(TemplateBody)
        given = {one["ParameterKey"]: one for one in Parameters}
        if unknown := given.keys() - template["Parameters"].keys():
            raise refused(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
        values = {
            name: stack.parameters[name]
            if given.get(name, {}).get("UsePreviousValue")
            else given.get(name, {}).get("ParameterValue")
            for name in template["Parameters"]
        }
        parameters = {
            name: str(described["Default"] if values[name] is None else values[name])
            for name, described in template["Parameters"].items()
        }
        if (stack.template, stack.parameters) == (template, parameters) and stack.status.endswith(
            "_COMPLETE"
        ):
            raise refused("No updates are to be performed.")
        self.calls.append(kind)
        stack.tell(
            stack.name, "AWS::CloudFormation::Stack", f"{kind}_IN_PROGRESS", "User Initiated"
        )
        before, there = (stack.template, stack.parameters), set(stack.physical)
        wanted = {
            name
            for name in stack.physical
            if self._is_wanted(template["Resources"].get(name), parameters)
        }
        self._unmake(stack, keep=wanted)
        stack.template, stack.parameters = template, parameters
        if self._make(stack):
            ended = f"{kind}_COMPLETE"
            self._show_to_others(stack)
        elif DisableRollback:
            ended = f"{kind}_FAILED"
        else:
            # What this update has made goes, or, if it is retained, is no longer the stack's.
            self._unmake(stack, keep=there)
            stack.template, stack.parameters = before
            ended = "UPDATE_ROLLBACK_COMPLETE"
        stack.states = [f"{kind}_IN_PROGRESS", ended]

    def _show_to_others(self, stack: Stack) -> None:
        """Have moto, whom other processes ask, show a stack of the same name and parameters."""
        client = self.client("cloudformation")
        template = {
            "Parameters": stack.template["Parameters"],
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        }
        given = [
            {"ParameterKey": name, "ParameterValue": value}
            for name, value in stack.parameters.items()
        ]
        shown = {"StackName": stack.name, "TemplateBody": json.dumps(template), "Parameters": given}
        try:
            client.create_stack(**shown)
        except ClientError:
            client.update_stack(**shown)

    @staticmethod
    def _is_wanted(body: dict[str, Any] | None, parameters: dict[str, str]) -> bool:
        is_running = parameters["Running"] == "true"
        has_alarms = is_running and parameters["Alarms"] == "on"
        conditions = {
            "IsRunning": is_running,
            "HasAlarms": has_alarms,
            "HasOwnKey": not parameters["SecretsKeyId"],
            "HasAlarmEmail": has_alarms and bool(parameters["AlarmEmail"]),
        }
        return body is not None and ("Condition" not in body or conditions[body["Condition"]])

    def get_paginator(self, operation: str) -> Any:
        assert operation == "describe_stack_events"
        return _Pages(self)

    def _stack(self, name: str) -> Stack:
        if name not in self.stacks:
            raise refused(f"Stack with id {name} does not exist")
        return self.stacks[name]

    def _make(self, stack: Stack) -> bool:
        for logical, body in stack.template["Resources"].items():
            if logical in stack.physical or not self._is_wanted(body, stack.parameters):
                continue
            try:
                if logical in self.fails:
                    raise ValueError(self.fails[logical])
                stack.physical[logical] = self._made(
                    logical, body["Type"], self._resolved(body.get("Properties", {}), stack)
                )
            except (ValueError, ClientError) as error:
                stack.tell(logical, body["Type"], "CREATE_FAILED", str(error))
                stack.tell(
                    "FailedQueue",
                    "AWS::SQS::Queue",
                    "CREATE_FAILED",
                    "Resource creation cancelled",
                )
                return False
        return True

    def _made(self, logical: str, kind: str, properties: dict[str, Any]) -> str:
        match kind:
            case "AWS::DynamoDB::Table":
                make_table(self.client("dynamodb"), properties)
                return str(properties["TableName"])
            case "AWS::KMS::Key":
                return str(
                    self.client("kms").create_key(Description=properties["Description"])[
                        "KeyMetadata"
                    ]["KeyId"]
                )
            case "AWS::KMS::Alias":
                self.client("kms").create_alias(
                    AliasName=properties["AliasName"], TargetKeyId=properties["TargetKeyId"]
                )
                return str(properties["AliasName"])
            case "AWS::Logs::LogGroup":
                name, days = properties["LogGroupName"], int(properties["RetentionInDays"])
                self.client("logs").create_log_group(logGroupName=name)
                self.client("logs").put_retention_policy(logGroupName=name, retentionInDays=days)
                return str(name)
            case "AWS::IAM::Role":
                name = properties.get("RoleName", f"resona-dev-{logical}-1A2B3C")
                document = json.dumps(properties["AssumeRolePolicyDocument"])
                try:
                    self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document)
                except ClientError as error:
                    # One that is retained and has a name that nobody chose gets another one.
                    if "RoleName" in properties or "EntityAlreadyExists" not in str(error):
                        raise
                return str(name)
            case "AWS::SQS::Queue":
                return str(
                    self.client("sqs").create_queue(QueueName=properties["QueueName"])["QueueUrl"]
                )
            case "AWS::SNS::Topic":
                return str(
                    self.client("sns").create_topic(Name=properties["TopicName"])["TopicArn"]
                )
            case "AWS::SNS::Subscription":
                self.client("sns").subscribe(**properties)
        return str(properties.get("Name", logical))

    def _unmake(self, stack: Stack, keep: Set[str] = frozenset()) -> None:
        for logical, physical in reversed(list(stack.physical.items())):
            if logical in keep:
                continue
            body = stack.template["Resources"][logical]
            del stack.physical[logical]
            if body.get("DeletionPolicy") == "Retain":
                continue
            match body["Type"]:
                case "AWS::KMS::Alias":
                    self.client("kms").delete_alias(AliasName=physical)
                case "AWS::Logs::LogGroup":
                    self.client("logs").delete_log_group(logGroupName=physical)
                case "AWS::IAM::Role":
                    self.client("iam").delete_role(RoleName=physical)
                case "AWS::SQS::Queue":
                    self.client("sqs").delete_queue(QueueUrl=physical)

    def _resolved(self, value: Any, stack: Stack) -> Any:
        if isinstance(value, list):
            return [self._resolved(one, stack) for one in value]
        if not isinstance(value, dict):
            return value
        match value:
            case {"Fn::If": [str(condition), yes, no]}:
                return self._resolved(
                    yes if self._is_wanted({"Condition": condition}, stack.parameters) else no,
                    stack,
                )
            case {"Ref": name}:
                return self._value(name, stack)
            case {"Fn::GetAtt": [name, attribute]}:
                return self._value(f"{name}.{attribute}", stack)
            case {"Fn::Sub": str(text)}:
                return re.sub(
                    r"\$\{([\w:.]+)\}", lambda match: str(self._value(match[1], stack)), text
                )
            case {"Fn::Sub": [text, own]}:
                own = {name: self._resolved(one, stack) for name, one in own.items()}
                return re.sub(
                    r"\$\{([\w:.]+)\}",
                    lambda match: str(own.get(match[1]) or self._value(match[1], stack)),
                    text,
                )
        return {name: self._resolved(one, stack) for name, one in value.items()}

    def _value(self, name: str, stack: Stack) -> str:
        if name in _PSEUDO:
            return _PSEUDO[name]
        if name in stack.parameters:
            return stack.parameters[name]
        logical, _, attribute = name.partition(".")
        kind: str = stack.template["Resources"][logical]["Type"]
        physical = stack.physical.get(logical, logical)
        if not attribute:
            return physical
        make: dict[str, Callable[[str], str]] = {
            "AWS::DynamoDB::Table": lambda name: (
                f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"
            ),
            "AWS::KMS::Key": lambda name: f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{name}",
            "AWS::SQS::Queue": lambda url: (
                f"arn:aws:sqs:{REGION}:{ACCOUNT}:{url.rpartition('/')[2]}"
            ),
            "AWS::IAM::Role": lambda name: f"arn:aws:iam::{ACCOUNT}:role/{name}",
            "AWS::Logs::LogGroup": lambda name: (
                f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*"
            ),
            "AWS::Scheduler::ScheduleGroup": lambda name: (
                f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/{name}"
            ),
        }
        if attribute.endswith("Name"):
            return physical.rpartition("/")[2]
        if kind not in make:
            return f"arn:aws:any:{REGION}:{ACCOUNT}:{physical}"
        return make[kind](physical)


class _Pages:
    def __init__(self, cloudformation: CloudFormation) -> None:
        self._cloudformation = cloudformation

    def paginate(self, StackName: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        for event in self._cloudformation._stack(StackName).events:
            yield {"StackEvents": [event]}
