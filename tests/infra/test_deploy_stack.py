"""The stack: every state that CloudFormation may have it in, and what a deploy does or says then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from infra.deploy import adopting, destroying, stack, template
from infra.deploy.cloud import Cloud, Names
from infra.deploy.template import Template
from infra.deploy.trouble import Trouble
from infra.template import load
from tests.cloud import client_error
from tests.infra.account import Account
from tests.infra.cloudformation import ACCOUNT, REGION, CloudFormation, Stack
from tests.infra.registry import schema

NAME = "resona-dev"


@dataclass
class Desk:
    """Who deploys: the cloud, and what was told."""

    cloudformation: CloudFormation
    cloud: Cloud
    told: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def has(self, *states: str, **physical: str) -> Stack:
        made = Stack(NAME, list(states), template.read().parsed, {"Stage": "dev"}, physical)
        made.tell(NAME, "AWS::CloudFormation::Stack", "UPDATE_IN_PROGRESS", "User Initiated")
        self.cloudformation.stacks[NAME] = made
        return made

    def apply(self, **parameters: str) -> bool:
        return stack.apply(self.cloud, NAME, template.read(), {"Stage": "dev", **parameters})


@pytest.fixture
def desk(account: Account) -> Iterator[Desk]:
    cloudformation = CloudFormation()
    told, slept = list[str](), list[float]()

    def client(service: str) -> Any:
        return cloudformation if service == "cloudformation" else account.client(service)

    yield Desk(
        cloudformation,
        Cloud(client, ACCOUNT, REGION, say=told.append, sleep=slept.append),
        told,
        slept,
    )


@pytest.mark.parametrize(
    "state", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"]
)
def test_a_stack_that_has_settled_is_deployed_to(desk: Desk, state: str) -> None:
    desk.has(state, DueQueue="resona-dev-due")
    assert stack.settle(desk.cloud, NAME).status == state
    assert desk.told == desk.slept == []


@pytest.mark.parametrize(
    "state",
    [
        "CREATE_IN_PROGRESS",
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
    ],
)
def test_what_is_under_way_is_waited_for(desk: Desk, state: str) -> None:
    desk.has(state, state, "UPDATE_COMPLETE")
    assert stack.settle(desk.cloud, NAME).status == "UPDATE_COMPLETE"
    assert desk.told == [f"The stack {NAME} is in {state}: waiting"]
    assert len(desk.slept) == 2


def test_what_never_ends_is_given_up_after_an_hour(desk: Desk) -> None:
    desk.has("UPDATE_IN_PROGRESS")
    with pytest.raises(Trouble, match="still in UPDATE_IN_PROGRESS after an hour"):
        stack.settle(desk.cloud, NAME)
    assert sum(desk.slept) == 3600


def test_a_change_set_that_was_never_carried_out_is_no_stack_yet(desk: Desk) -> None:
    desk.has("REVIEW_IN_PROGRESS")
    assert not stack.settle(desk.cloud, NAME).is_there
    assert desk.apply()
    assert desk.cloudformation.calls == ["create_change_set CREATE", "execute_change_set CREATE"]


@pytest.mark.parametrize(
    "state",
    [
        "ROLLBACK_COMPLETE",
        "ROLLBACK_FAILED",
        "CREATE_FAILED",
        "DELETE_FAILED",
        "IMPORT_ROLLBACK_COMPLETE",
    ],
)
def test_what_never_came_to_be_is_deleted_and_made_anew(desk: Desk, state: str) -> None:
    desk.has(state)
    assert not stack.settle(desk.cloud, NAME).is_there
    assert desk.cloudformation.calls == ["delete_stack"]
    assert "tables and key stay" in desk.told[0]


def test_an_import_that_failed_into_a_stack_that_has_something_is_no_reason_to_delete_it(
    desk: Desk,
) -> None:
    desk.has("IMPORT_ROLLBACK_COMPLETE", JobsTable="resona-dev-jobs", DueQueue="resona-dev-due")
    assert stack.settle(desk.cloud, NAME).is_there
    assert desk.cloudformation.calls == []


def test_a_stack_that_has_only_what_it_took_over_is_made_anew_when_the_update_after_that_went_back(
    desk: Desk,
) -> None:
    desk.has("UPDATE_ROLLBACK_COMPLETE", JobsTable="resona-dev-jobs", SecretsKey="1")
    assert not stack.settle(desk.cloud, NAME).is_there
    assert desk.cloudformation.calls == ["delete_stack"]


def test_a_stack_that_could_not_go_back_is_for_a_person_who_is_told_how(desk: Desk) -> None:
    desk.has("UPDATE_ROLLBACK_FAILED").tell(
        "DueQueue", "AWS::SQS::Queue", "UPDATE_FAILED", "the queue is gone"
    )
    with pytest.raises(Trouble) as trouble:
        stack.settle(desk.cloud, NAME)
    assert "DueQueue (AWS::SQS::Queue) UPDATE_FAILED: the queue is gone" in trouble.value.why
    assert (
        f"aws cloudformation continue-update-rollback --stack-name {NAME} --region {REGION}"
        in trouble.value.next_step
    )


def test_a_state_that_is_not_known_is_not_guessed_at(desk: Desk) -> None:
    desk.has("UPDATE_FAILED")
    with pytest.raises(Trouble, match="is in the state UPDATE_FAILED"):
        stack.settle(desk.cloud, NAME)


def test_parameters_stay_as_they_were_given_until_they_are_given_again(desk: Desk) -> None:
    assert desk.apply(AlarmEmail="you@example.com")
    desk.cloudformation.stacks[NAME].states = ["CREATE_COMPLETE"]
    assert not desk.apply()
    assert desk.apply(LogRetentionDays="90")
    assert desk.cloudformation.stacks[NAME].parameters == {
        "Stage": "dev",
        "AlarmEmail": "you@example.com",
        "LogRetentionDays": "90",
    }


def test_a_parameter_that_the_template_has_not_is_named_with_those_it_has(desk: Desk) -> None:
    with pytest.raises(Trouble, match="no parameter AlarmMail") as trouble:
        desk.apply(AlarmMail="you@example.com")
    assert trouble.value.next_step == "those that can be given are: AlarmEmail, LogRetentionDays."


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"Action": "Modify", "Replacement": "True", "ResourceType": "AWS::DynamoDB::Table"},
            "holds data: X",
        ),
        ({"Action": "Remove", "ResourceType": "AWS::DynamoDB::Table"}, "holds data: X"),
        ({"Action": "Remove", "ResourceType": "AWS::KMS::Key"}, "holds data: X"),
        (
            {"Action": "Remove", "ResourceType": "AWS::Lambda::Function"},
            "deployed by a packaged template",
        ),
    ],
)
def test_a_change_that_would_lose_data_or_the_api_is_not_carried_out(
    desk: Desk, change: dict[str, str], told: str
) -> None:
    desk.has("UPDATE_COMPLETE").parameters["Stage"] = "before"
    desk.cloudformation.changes = [{"LogicalResourceId": "X", **change}]
    with pytest.raises(Trouble, match=told):
        desk.apply()
    assert desk.cloudformation.calls == ["create_change_set UPDATE"]
    assert desk.cloudformation.change_sets == {}


@pytest.mark.parametrize(
    "change",
    [
        {"Action": "Modify", "Replacement": "False", "ResourceType": "AWS::DynamoDB::Table"},
        {"Action": "Modify", "Replacement": "True", "ResourceType": "AWS::CloudWatch::Alarm"},
        {"Action": "Remove", "ResourceType": "AWS::CloudWatch::Alarm"},
    ],
)
def test_other_changes_are(desk: Desk, change: dict[str, str]) -> None:
    desk.has("UPDATE_COMPLETE").parameters["Stage"] = "before"
    desk.cloudformation.changes = [{"LogicalResourceId": "X", **change}]
    assert desk.apply()


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (
            "User: arn:aws:iam::1:user/x is not authorized to perform: sqs:createqueue",
            "infra/deploy/policy.json",
        ),
        ("resona-dev-due already exists in stack another", "something of that name is there"),
        ("Resource limit exceeded: LimitExceeded for tables", "raise it"),
        (
            "You must wait 60 seconds after deleting a queue before you can create another with the same name",
            "wait some minutes",
        ),
        ("Schedule group resona-dev is being deleted", "wait some minutes"),
        ("Internal Failure", "put right what the first line says"),
    ],
)
def test_what_failed_is_told_with_what_to_do_about_it(desk: Desk, reason: str, advice: str) -> None:
    desk.cloudformation.fails = {"DueQueue": reason}
    with pytest.raises(Trouble) as trouble:
        desk.apply()
    assert f"DueQueue (AWS::SQS::Queue) CREATE_FAILED: {reason}" in trouble.value.why
    assert "cancelled" not in trouble.value.why
    assert advice in trouble.value.next_step


class Refusing(CloudFormation):
    """Takes no change set, and says why."""

    why = ""

    def create_change_set(self, *given: Any, **params: Any) -> None:
        error = client_error("ValidationError", "CreateChangeSet")
        error.response["Error"]["Message"] = self.why
        raise error


@pytest.mark.parametrize(
    ("why", "advice"),
    [
        (
            "Stack:arn:aws:x is in UPDATE_IN_PROGRESS state and can not be updated.",
            "wait until that is done",
        ),
        (
            "Template format error: Unrecognized resource types: [AWS::Scheduler::ScheduleGroup]",
            "another region",
        ),
        ("Parameter 'LogRetentionDays' must be one of AllowedValues", "put right what it says"),
    ],
)
def test_what_cloudformation_does_not_take_is_told_with_what_to_do_about_it(
    why: str, advice: str
) -> None:
    refusing = Refusing()
    refusing.why = why
    with pytest.raises(Trouble) as trouble:
        stack.apply(
            Cloud(lambda service: refusing, ACCOUNT, REGION),
            NAME,
            template.read(),
            {"Stage": "dev"},
        )
    assert why in trouble.value.why
    assert advice in trouble.value.next_step


def test_only_the_last_operation_s_failures_are_told(desk: Desk) -> None:
    made = desk.has("UPDATE_COMPLETE")
    made.events.clear()
    made.tell("Old", "AWS::SQS::Queue", "CREATE_FAILED", "long ago")
    made.tell(NAME, "AWS::CloudFormation::Stack", "UPDATE_IN_PROGRESS", "User Initiated")
    made.tell("First", "AWS::SQS::Queue", "UPDATE_FAILED", "no")
    made.tell("Then", "AWS::SQS::Queue", "UPDATE_FAILED", "Resource update cancelled")
    made.tell("Second", "AWS::SQS::Queue", "UPDATE_FAILED", "nor this")
    lines = stack.failures(desk.cloud, NAME).splitlines()
    assert [line.split()[0] for line in lines] == ["First", "Second"]


def test_a_stack_that_cannot_be_deleted_says_why(desk: Desk) -> None:
    desk.has("UPDATE_COMPLETE", AlarmsTopic="x")
    desk.cloudformation.fails = {"AlarmsTopic": "it is in use"}
    with pytest.raises(Trouble, match=r"now DELETE_FAILED(.|\n)*AlarmsTopic .* it is in use"):
        stack.delete(desk.cloud, NAME)


def test_nothing_is_taken_over_where_nothing_is(desk: Desk) -> None:
    assert adopting.adopt(desk.cloud, NAME, template.read(), "dev") == []
    assert desk.cloudformation.calls == []


def test_an_import_that_fails_is_told(desk: Desk) -> None:
    desk.cloud("logs").create_log_group(logGroupName="/aws/lambda/resona-dev-wake")
    desk.cloudformation.fails = {"WakeLogs": "it is another stack's"}
    with pytest.raises(Trouble, match=r"WakeLogs .* IMPORT_FAILED: it is another stack's"):
        adopting.adopt(desk.cloud, NAME, template.read(), "dev")


def test_of_a_name_s_beginning_nothing_is_taken_over(desk: Desk) -> None:
    desk.cloud("logs").create_log_group(logGroupName="/aws/lambda/resona-devil")
    assert adopting.adopt(desk.cloud, NAME, template.read(), "dev") == []


def test_the_key_of_secrets_is_found_by_its_alias_before_its_description(desk: Desk) -> None:
    kms = desk.cloud("kms")
    keys = [
        kms.create_key(Description="The values of resona-dev-secrets")["KeyMetadata"]["KeyId"]
        for _ in range(2)
    ]
    with pytest.raises(Trouble, match="several keys") as trouble:
        adopting.adopt(desk.cloud, NAME, template.read(), "dev")
    assert "aws kms create-alias --alias-name alias/resona-dev-secrets" in trouble.value.next_step
    kms.create_alias(AliasName="alias/resona-dev-secrets", TargetKeyId=keys[1])
    assert adopting.adopt(desk.cloud, NAME, template.read(), "dev") == [
        "SecretsKey",
        "SecretsKeyAlias",
    ]
    assert desk.cloudformation.stacks[NAME].physical == {
        "SecretsKey": keys[1],
        "SecretsKeyAlias": "alias/resona-dev-secrets",
    }


def test_a_key_that_is_to_be_deleted_is_not_given_up_silently(desk: Desk) -> None:
    key = desk.cloud("kms").create_key(Description="The values of resona-dev-secrets")[
        "KeyMetadata"
    ]["KeyId"]
    desk.cloud("kms").schedule_key_deletion(KeyId=key)
    with pytest.raises(Trouble, match="PendingDeletion") as trouble:
        adopting.adopt(desk.cloud, NAME, template.read(), "dev")
    assert f"aws kms cancel-key-deletion --key-id {key}" in trouble.value.next_step


def test_what_stays_of_a_destroyed_stage_is_told_also_when_its_key_goes(desk: Desk) -> None:
    names = Names("dev")
    assert destroying.remains(desk.cloud, names, template.read()) == [
        "Nothing of the stage dev holds data any more."
    ]
    key = desk.cloud("kms").create_key(Description="The values of resona-dev-secrets")[
        "KeyMetadata"
    ]["KeyId"]
    (line,) = destroying.remains(desk.cloud, names, template.read())
    assert line.startswith(f"What stays: the key of secrets {key}, at about $1 a month")
    desk.cloud("kms").schedule_key_deletion(KeyId=key)
    (line,) = destroying.remains(desk.cloud, names, template.read())
    assert f"aws kms cancel-key-deletion --key-id {key}" in line


def test_where_nobody_can_be_asked_nothing_is_deleted_and_it_says_what_to_give() -> None:
    def nobody(question: str) -> str:
        raise EOFError

    with pytest.raises(Trouble, match="nothing was deleted") as trouble:
        destroying.confirm(Names("dev"), nobody)
    assert "YES=1" in trouble.value.next_step


@pytest.mark.xdist_group("registry")
@pytest.mark.parametrize("kind", adopting.IDENTIFIERS)
def test_what_is_taken_over_is_identified_as_cloudformation_has_it(kind: str) -> None:
    described = schema(kind)
    assert described["primaryIdentifier"] == [f"/properties/{adopting.IDENTIFIERS[kind]}"]
    assert {"read", "list"} <= described["handlers"].keys()


def test_all_that_the_template_keeps_is_taken_over() -> None:
    """But for the role of API Gateway's logs, whose name nobody chose: another one is made."""
    kept = {
        name: body["Type"]
        for name, body in load()["Resources"].items()
        if body.get("DeletionPolicy") == "Retain"
    }
    assert {kind for name, kind in kept.items() if name != "GatewayLogsRole"} == stack.DATA
    assert adopting.IDENTIFIERS.keys() >= stack.DATA


def test_a_template_too_long_for_a_request_is_sent_without_what_only_people_read(
    tmp_path: Any,
) -> None:
    path = tmp_path / "template.yaml"
    text = template.TEMPLATE.read_text()
    path.write_text(text + "# a comment\n" * 4000)
    found = template.read(path)
    assert found.parsed == load()
    assert len(found.text) < 51_200
    path.write_text(
        text.replace("Resources:\n", f"Metadata: {{Long: {'x' * 52_000}}}\nResources:\n", 1)
    )
    with pytest.raises(Trouble, match="longer than the 51,200 bytes"):
        template.read(path)


def test_what_an_import_holds_has_nothing_that_it_may_not_have(desk: Desk) -> None:
    parsed = {
        "Parameters": {"Stage": {"Type": "String"}},
        "Conditions": {"Always": {"Fn::Equals": ["a", "a"]}},
        "Resources": {
            "Logs": {
                "Type": "AWS::Logs::LogGroup",
                "Condition": "Always",
                "DependsOn": "Other",
                "Properties": {
                    "LogGroupName": {"Fn::Sub": "/resona-${Stage}"},
                    "RetentionInDays": 30,
                },
            },
            "Other": {"Type": "AWS::SNS::Topic"},
        },
        "Outputs": {"Name": {"Value": {"Ref": "Logs"}}},
    }
    desk.cloud("logs").create_log_group(logGroupName="/resona-dev")
    assert adopting.adopt(desk.cloud, NAME, Template("", parsed), "dev") == ["Logs"]
    imported = desk.cloudformation.stacks[NAME].template
    assert imported.keys() == {"AWSTemplateFormatVersion", "Parameters", "Conditions", "Resources"}
    assert imported["Resources"]["Logs"].keys() == {
        "Type",
        "DeletionPolicy",
        "UpdateReplacePolicy",
        "Properties",
    }
