"""infra/template.yaml: a laptop can read it, it fits the code, and it keeps its rules."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local.access import Endpoint
from infra.local.run import environment
from infra.local.template import read_template
from infra.template import TEMPLATE, load
from tests.cloud import INDEXES, KEYS
from tests.infra import rules
from tests.infra.functions import function_names

ROOT = Path(__file__).parent.parent.parent
# The deliver function's timeout: an attempt may take 600 s.
LONGEST_DELIVERY = 660


def keys(description: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        key["AttributeName"]
        for key in sorted(description["KeySchema"], key=lambda key: key["KeyType"] == "RANGE")
    )


@pytest.mark.parametrize("stage", ["local", "dev", "prod"])
def test_names_carry_the_stage(stage: str) -> None:
    template = read_template(stage)
    assert [table["TableName"] for table in template.tables] == [
        f"resona-{stage}-{name}" for name in ("jobs", "runs", "secrets", "keys")
    ]
    assert [queue["QueueName"] for queue in template.queues] == [
        f"resona-{stage}-{name}" for name in ("due", "due-dead", "failed")
    ]
    assert template.group == f"resona-{stage}"
    assert template.key_alias == f"alias/resona-{stage}-secrets"
    assert template.redrives == {f"resona-{stage}-due": (f"resona-{stage}-due-dead", 5)}


def test_nothing_of_the_template_s_own_language_is_left_over() -> None:
    template = read_template("local")
    assert "${" not in repr((template.tables, template.group, template.redrives))
    assert all("${" not in queue["QueueName"] for queue in template.queues)


def test_tables_and_indexes_have_the_keys_that_the_code_asks_by() -> None:
    tables = {
        str(table["TableName"]).removeprefix("resona-local-"): table
        for table in read_template("local").tables
    }
    assert {name: keys(table) for name, table in tables.items()} == KEYS
    found = {
        name: {index["IndexName"]: index for index in table.get("GlobalSecondaryIndexes", [])}
        for name, table in tables.items()
    }
    indexes = found["jobs"] | found["runs"]
    assert {name: keys(index) for name, index in indexes.items()} == INDEXES
    # A claim must not touch the tenants' index, and no index may hold what a user wrote.
    assert all(index["Projection"] == {"ProjectionType": "KEYS_ONLY"} for index in indexes.values())
    assert list(found["runs"]) == ["by_wrong"]
    assert not any(found[name] for name in found.keys() - {"jobs", "runs"})


def test_every_key_is_described_and_nothing_else_is() -> None:
    for table in read_template("local").tables:
        described = {
            attribute["AttributeName"]: attribute["AttributeType"]
            for attribute in table["AttributeDefinitions"]
        }
        used = {
            name for one in [table, *table.get("GlobalSecondaryIndexes", [])] for name in keys(one)
        }
        assert described == dict.fromkeys(used, "S")


def test_tables_forget_by_the_attribute_that_the_code_writes_and_are_not_lost_by_accident() -> None:
    for table in read_template("prod").tables:
        if not table["TableName"].endswith(("-secrets", "-keys")):
            assert table["TimeToLiveSpecification"] == {
                "AttributeName": "expires_at",
                "Enabled": True,
            }
        assert table["DeletionProtectionEnabled"] is True
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_a_message_stays_hidden_for_as_long_as_its_delivery_may_take() -> None:
    due, dead, _ = read_template("prod").queues
    assert due["VisibilityTimeout"] >= LONGEST_DELIVERY
    # A message may wait for 15 minutes, and be received five times, before it is given up.
    assert due["MessageRetentionPeriod"] > 900 + 5 * due["VisibilityTimeout"]
    assert dead["MessageRetentionPeriod"] > due["MessageRetentionPeriod"]


def test_the_laptop_s_settings_name_what_the_template_makes() -> None:
    template, settings = (
        read_template("local"),
        environment(Endpoint("http://127.0.0.1:1", "token")),
    )
    named = [settings[f"RESONA_{name}_TABLE"] for name in ("JOBS", "RUNS", "SECRETS", "KEYS")]
    assert named == [table["TableName"] for table in template.tables]
    assert settings["RESONA_SECRETS_KEY"] == template.key_alias
    assert settings["RESONA_DUE_QUEUE_URL"].rpartition("/")[2] == template.queues[0]["QueueName"]
    assert settings["RESONA_SCHEDULE_GROUP"] == template.group


def test_the_template_can_be_read_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert TEMPLATE.is_absolute()
    assert read_template("local").group == "resona-local"


def test_other_readers_of_yaml_do_not_take_the_template_s_tags() -> None:
    """The tags are read by a loader of our own; the library's is left as it was."""
    with pytest.raises(yaml.constructor.ConstructorError):
        yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))


# The rules of tests/infra/rules.py.


def policies() -> Any:
    """Return the functions' policies, as a template in which they stand would have them."""
    paths = sorted((ROOT / ".chalice" / "prod").glob("*.json"))
    return {
        "Resources": {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    }


def test_cloudformation_takes_the_template_without_a_bucket() -> None:
    """CreateStack takes 51,200 bytes in its request."""
    assert len(json.dumps(load()).encode()) < 51_200


def test_the_anchors_are_no_part_of_the_template() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.template"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == load()
    sections = ["AWSTemplateFormatVersion", "Description", "Parameters", "Conditions"]
    assert list(load()) == [*sections, "Resources", "Outputs"]


def test_no_statement_allows_an_action_with_a_star() -> None:
    assert rules.wide_actions(load()) == []
    assert rules.wide_actions(policies()) == []
    assert len(list(rules.statements(policies()))) > 25


def test_no_statement_is_about_more_than_it_must_be() -> None:
    assert rules.wide_resources(load()) == []
    assert rules.wide_resources(policies()) == []
    assert rules.managed_policies(load()) == []
    written = json.dumps([load()["Resources"], policies()])
    assert all(known in written for known in [*rules.WIDE_RESOURCES, *rules.MANAGED_POLICIES])


def test_every_queue_is_encrypted_and_has_a_dead_letter_queue_or_is_one() -> None:
    assert rules.open_queues(load()) == []
    assert rules.DEAD_LETTER_QUEUES.keys() < rules.resources(load(), "AWS::SQS::Queue").keys()


def test_every_table_is_encrypted_can_be_restored_and_outlives_its_stack() -> None:
    assert rules.careless_tables(load()) == []
    assert len(rules.resources(load(), "AWS::DynamoDB::Table")) == 4


def test_the_key_of_secrets_outlives_its_stack_and_turns() -> None:
    key = load()["Resources"]["SecretsKey"]
    assert (
        key["DeletionPolicy"],
        key["UpdateReplacePolicy"],
        key["Properties"]["EnableKeyRotation"],
    ) == ("Retain", "Retain", True)


def test_every_function_has_a_log_group_of_its_very_name() -> None:
    assert function_names() == {
        "resona-${Stage}",
        *(f"resona-${{Stage}}-{name}" for name in ("wake", "deliver", "sweep", "authorizer")),
    }
    assert rules.unkept_logs(load(), function_names()) == []


def test_no_environment_holds_a_secret() -> None:
    stages = json.loads((ROOT / ".chalice" / "config.json").read_text(encoding="utf-8"))["stages"]
    environments = {name: stage["environment_variables"] for name, stage in stages.items()}
    assert environments.keys() >= {"dev", "prod"}
    assert rules.secrets_in_environments(environments) == []


def test_only_the_scheduler_may_take_the_scheduler_s_role_and_only_for_this_group() -> None:
    role = rules.resources(load(), "AWS::IAM::Role")["SchedulerRole"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {
            "aws:SourceAccount": {"Ref": "AWS::AccountId"},
            "aws:SourceArn": {"Fn::GetAtt": ["ScheduleGroup", "Arn"]},
        }
    }
    ((_, allowed),) = rules.statements(role["Policies"])
    assert (allowed["Action"], rules.text(allowed["Resource"])) == (
        "lambda:InvokeFunction",
        "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}"
        ":function:resona-${Stage}-wake",
    )
    assert rules.text(allowed["Resource"]).rpartition(":")[2] in function_names()


# The rules themselves: each is broken once, and says so.

BROKEN = {
    "SchedulerRole allows lambda:*": (
        "wide_actions",
        "SchedulerRole.Properties.Policies.0.PolicyDocument.Statement.0.Action",
        "lambda:*",
    ),
    "SchedulerRole: * is too wide": (
        "wide_resources",
        "SchedulerRole.Properties.Policies.0.PolicyDocument.Statement.0.Resource",
        "*",
    ),
    "GatewayLogsRole is for everybody": (
        "wide_resources",
        "GatewayLogsRole.Properties.AssumeRolePolicyDocument.Statement.0.Principal",
        {"AWS": "*"},
    ),
    "GatewayLogsRole has arn:aws:iam::aws:policy/AdministratorAccess": (
        "managed_policies",
        "GatewayLogsRole.Properties.ManagedPolicyArns.0",
        "arn:aws:iam::aws:policy/AdministratorAccess",
    ),
    "FailedQueue is not encrypted": (
        "open_queues",
        "FailedQueue.Properties.SqsManagedSseEnabled",
        False,
    ),
    "DueQueue has no dead-letter queue": ("open_queues", "DueQueue.Properties.RedrivePolicy", {}),
    "KeysTable: not so: is encrypted by KMS": (
        "careless_tables",
        "KeysTable.Properties.SSESpecification",
        {},
    ),
    "JobsTable: not so: can be restored": (
        "careless_tables",
        "JobsTable.Properties.PointInTimeRecoverySpecification",
        {},
    ),
    "RunsTable: not so: is protected from deletion": (
        "careless_tables",
        "RunsTable.Properties.DeletionProtectionEnabled",
        False,
    ),
    "RunsTable: not so: is kept when the stack goes": (
        "careless_tables",
        "RunsTable.DeletionPolicy",
        "Delete",
    ),
    "RunsTable: not so: is kept when it is replaced": (
        "careless_tables",
        "RunsTable.UpdateReplacePolicy",
        "Delete",
    ),
    "AgeAlarm: not so: says what no data means": (
        "unwatched",
        "AgeAlarm.Properties.TreatMissingData",
        "missing",
    ),
    "AgeAlarm: not so: tells when it comes": ("unwatched", "AgeAlarm.Properties.AlarmActions", []),
}


@pytest.mark.parametrize("sentence", BROKEN)
def test_a_template_that_breaks_a_rule_is_told_so(sentence: str) -> None:
    rule, path, value = BROKEN[sentence]
    template = load()
    *places, last = path.split(".")
    part: Any = template["Resources"]
    for place in places:
        part = part[int(place)] if isinstance(part, list) else part[place]
    part[int(last) if isinstance(part, list) else last] = value
    assert getattr(rules, rule)(template) == [sentence]


def test_a_function_without_its_log_group_is_told_and_a_group_without_its_function() -> None:
    names = {*function_names() - {"resona-${Stage}-wake"}, "resona-${Stage}-awake"}
    assert rules.unkept_logs(load(), names) == [
        "resona-${Stage}-awake has no log group",
        "/aws/lambda/resona-${Stage}-wake is a log group of no function",
    ]
    template = load()
    del template["Resources"]["AccessLogs"]["Properties"]["RetentionInDays"]
    assert rules.unkept_logs(template, function_names()) == ["AccessLogs keeps logs for ever"]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("RESONA_SMOKE_TOKEN", "x", "sounds like a secret"),
        ("API_KEY", "x", "sounds like a secret"),
        ("RESONA_STAGE", "rsn_prod_0123", "holds what looks like one"),
        ("RESONA_STAGE", "AKIAIOSFODNN7EXAMPLE", "holds what looks like one"),
        (
            "RESONA_STAGE",
            {"Fn::Sub": "${JobsTable}wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"},
            "holds what looks like one",
        ),
    ],
)
def test_a_secret_in_an_environment_is_told(name: str, value: Any, sentence: str) -> None:
    (found,) = rules.secrets_in_environments({"api": {name: value}})
    assert found == f"api: {name} {sentence}"
    assert "IOSFODNN" not in found
