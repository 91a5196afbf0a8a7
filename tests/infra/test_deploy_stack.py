"""The stack: what a deploy does in every status of CloudFormation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.deploy import stack
from infra.deploy.cloud import CliError, Cloud, Names
from infra.template import load
from tests.infra.account import Account
from tests.infra.cloudformation import ACCOUNT, REGION, CloudFormation, Stack

NAMES = Names("dev")
NAME = NAMES.stack


@dataclass
class Deployer:
    """Deploys the stack."""

    cloudformation: CloudFormation
    cloud: Cloud
    slept: list[float] = field(default_factory=list)

    def has(self, *states: str) -> Stack:
        made = Stack(
            NAME,
            list(states),
            load(),
            {
                "Stage": "dev",
                "Running": "true",
                "Alarms": "on",
                "AlarmEmail": "",
                "LogRetentionDays": "30",
            },
        )
        made.tell(NAME, "AWS::CloudFormation::Stack", "UPDATE_IN_PROGRESS", "User Initiated")
        self.cloudformation.stacks[NAME] = made
        return made

    def deploy(self, **parameters: str) -> bool:
        return stack.deploy(self.cloud, NAMES, parameters)


@pytest.fixture
def deployer(account: Account) -> Iterator[Deployer]:
    cloudformation = CloudFormation()
    slept = list[float]()

    def client(service: str) -> Any:
        return cloudformation if service == "cloudformation" else account.client(service)

    yield Deployer(
        cloudformation,
        Cloud(client, ACCOUNT, REGION, sleep=slept.append),
        slept,
    )


def test_the_first_deploy_creates_and_the_next_changes_nothing(deployer: Deployer) -> None:
    assert deployer.deploy()
    assert deployer.cloudformation.stacks[NAME].template == load()
    assert not deployer.deploy()
    assert deployer.cloudformation.calls == ["CREATE"]
    assert stack.look(deployer.cloud, NAMES).is_complete


def test_parameters_keep_their_values_until_they_are_given_again(deployer: Deployer) -> None:
    deployer.deploy(AlarmEmail="you@example.com")
    deployer.deploy(LogRetentionDays="7")
    found = deployer.cloudformation.stacks[NAME].parameters
    assert found == {
        "Stage": "dev",
        "Running": "true",
        "Alarms": "on",
        "AlarmEmail": "you@example.com",
        "LogRetentionDays": "7",
        "SecretsKeyId": "",
    }
    with pytest.raises(ClientError, match=r"Parameters: \[Email\] do not exist in the template"):
        deployer.deploy(Email="x")


def test_a_stage_without_alarms_has_none_and_no_topic_for_them(deployer: Deployer) -> None:
    deployer.deploy(AlarmEmail="you@example.com")
    with_alarms = {*deployer.cloudformation.stacks[NAME].physical}
    deployer.deploy(Alarms="off")
    resources = load()["Resources"]
    gone = with_alarms - deployer.cloudformation.stacks[NAME].physical.keys()
    kinds = ("AWS::CloudWatch::", "AWS::SNS::")
    assert gone == {name for name in with_alarms if resources[name]["Type"].startswith(kinds)}
    assert len(gone) == 12


def test_a_stage_can_use_a_key_that_the_account_has(deployer: Deployer) -> None:
    kms = deployer.cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    deployer.deploy(SecretsKeyId=key)
    assert "SecretsKey" not in deployer.cloudformation.stacks[NAME].physical
    (alias,) = kms.list_aliases(KeyId=key)["Aliases"]
    assert alias["AliasName"] == "alias/resona-dev-secrets"
    assert not deployer.deploy(SecretsKeyId=key)
    assert not deployer.deploy()


@pytest.mark.parametrize(("first", "then"), [("", "another"), ("one", ""), ("one", "another")])
def test_the_key_that_has_encrypted_secrets_cannot_be_left(
    deployer: Deployer, first: str, then: str
) -> None:
    make = deployer.cloud.client("kms").create_key
    keys = {"": "", **{name: make()["KeyMetadata"]["KeyId"] for name in ("one", "another")}}
    deployer.deploy(SecretsKeyId=keys[first])
    with pytest.raises(CliError, match="no other key can decrypt them"):
        deployer.deploy(SecretsKeyId=keys[then])
    assert deployer.cloudformation.calls == ["CREATE"]


def test_a_key_that_does_not_exist_is_replaced_in_the_next_deploy(deployer: Deployer) -> None:
    with pytest.raises(CliError, match="SecretsKeyAlias"):
        deployer.deploy(SecretsKeyId="11111111-2222-3333-4444-555555555555")
    assert deployer.deploy(SecretsKeyId="")
    assert stack.look(deployer.cloud, NAMES).is_complete


def test_a_stack_of_before_the_parameter_keeps_its_key(deployer: Deployer) -> None:
    deployer.deploy()
    found = deployer.cloudformation.stacks[NAME]
    del found.parameters["SecretsKeyId"]
    key = found.physical["SecretsKey"]
    deployer.deploy(LogRetentionDays="7")
    assert found.parameters["SecretsKeyId"] == ""
    assert deployer.cloudformation.stacks[NAME].physical["SecretsKey"] == key


@pytest.mark.parametrize(
    "state",
    [
        "CREATE_IN_PROGRESS",
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
    ],
)
def test_an_operation_that_is_under_way_is_waited_for(
    deployer: Deployer, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """That of a deploy that was interrupted, or of somebody else."""
    deployer.has(state, state, "UPDATE_COMPLETE")
    assert deployer.deploy(LogRetentionDays="7")
    assert capsys.readouterr().out.startswith(f"The stack {NAME} is {state}: waiting\n")


def test_an_operation_that_never_ends_is_given_up_after_an_hour(deployer: Deployer) -> None:
    deployer.has("UPDATE_IN_PROGRESS")
    with pytest.raises(CliError, match="is busy for an hour"):
        deployer.deploy()
    assert sum(deployer.slept) == 3600


def test_a_first_creation_that_failed_keeps_its_tables_and_is_continued_by_the_next(
    deployer: Deployer,
) -> None:
    """Rolled back, the tables would stay without a stack, and the next creation would find their
    names taken.
    """
    deployer.cloudformation.fails = {"DueQueue": "You must wait 60 seconds after deleting a queue"}
    for _ in range(2):
        with pytest.raises(CliError) as trouble:
            deployer.deploy()
        assert "DueQueue (AWS::SQS::Queue): You must wait 60 seconds" in str(trouble.value)
        assert "cancelled" not in str(trouble.value)
        assert "JobsTable" in deployer.cloudformation.stacks[NAME].physical
    deployer.cloudformation.fails = {}
    assert deployer.deploy()
    assert stack.look(deployer.cloud, NAMES).is_complete


def test_a_failed_update_of_a_stack_that_was_complete_goes_back(deployer: Deployer) -> None:
    deployer.deploy()
    before = deployer.cloudformation.stacks[NAME].parameters
    deployer.cloudformation.fails = {"AlarmsSubscription": "no"}
    with pytest.raises(CliError, match="is UPDATE_ROLLBACK_COMPLETE"):
        deployer.deploy(AlarmEmail="you@example.com")
    assert deployer.cloudformation.stacks[NAME].parameters == before
    assert stack.look(deployer.cloud, NAMES).is_complete


@pytest.mark.parametrize(
    "state", ["ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS"]
)
def test_a_stack_that_cannot_be_updated_is_left_alone_and_where_help_stands_is_told(
    deployer: Deployer, state: str
) -> None:
    deployer.has(state).tell("DueQueue", "AWS::SQS::Queue", "UPDATE_FAILED", "the queue is gone")
    with pytest.raises(
        CliError, match=f"is {state}, and cannot be updated: docs/deploy.md, under Failures"
    ) as trouble:
        deployer.deploy()
    assert "DueQueue (AWS::SQS::Queue): the queue is gone" in str(trouble.value)
    assert deployer.cloudformation.calls == []


def test_only_failures_of_the_last_operation_are_told_the_first_one_first(
    deployer: Deployer,
) -> None:
    made = deployer.has("UPDATE_ROLLBACK_FAILED")
    made.events.clear()
    made.tell("Old", "AWS::SQS::Queue", "CREATE_FAILED", "long ago")
    made.tell(NAME, "AWS::CloudFormation::Stack", "UPDATE_IN_PROGRESS", "User Initiated")
    made.tell("First", "AWS::SQS::Queue", "UPDATE_FAILED", "no")
    made.tell("Then", "AWS::SQS::Queue", "UPDATE_FAILED", "Resource update cancelled")
    made.tell("Second", "AWS::SQS::Queue", "UPDATE_FAILED", "nor this")
    lines = stack._failures(deployer.cloud, NAMES).splitlines()
    assert [line.split()[0] for line in lines] == ["First", "Second"]


def test_tables_that_a_deleted_stack_has_left_are_told_and_nothing_is_made(
    deployer: Deployer,
) -> None:
    """A new stack would make another key, and could not read the secrets in the tables."""
    deployer.deploy()
    del deployer.cloudformation.stacks[NAME]
    deployer.cloudformation.calls.clear()
    with pytest.raises(
        CliError,
        match=(
            r"there is no stack resona-dev in .*, but there is its table resona-dev-jobs: "
            r"docs/deploy.md"
        ),
    ):
        deployer.deploy()
    assert deployer.cloudformation.calls == []


def test_a_stack_that_holds_the_functions_is_left_alone(deployer: Deployer) -> None:
    """Chalice's own template, which `make package` made, has this output: an update without the
    functions would delete them.
    """
    deployer.has("UPDATE_COMPLETE").template["Outputs"]["RestAPIId"] = {"Value": "abc"}
    with pytest.raises(CliError, match=r"an update would delete them; docs/upgrade.md says"):
        deployer.deploy(LogRetentionDays="7")
    assert deployer.cloudformation.calls == []


def test_all_data_outlives_a_destroyed_stage_and_all_that_costs_goes() -> None:
    resources = load()["Resources"]
    kept = {
        name: body["Type"]
        for name, body in resources.items()
        if body.get("Condition") in (None, "HasOwnKey")
    }
    kinds = {"AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::KMS::Alias", "AWS::Logs::LogGroup"}
    assert {kind for name, kind in kept.items() if name != "GatewayLogsRole"} == kinds
    assert not [
        name for name, body in resources.items() if body["Type"] in kinds and name not in kept
    ]
    data = [
        body
        for body in resources.values()
        if body["Type"] in ("AWS::DynamoDB::Table", "AWS::KMS::Key")
    ]
    assert all(body["DeletionPolicy"] == body["UpdateReplacePolicy"] == "Retain" for body in data)
