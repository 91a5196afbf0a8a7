"""The policy of whoever deploys allows a deploy and a destroy, and nothing else."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chalicelib.aws.api_key_store import ApiKeyStore
from infra.deploy.cloud import Names
from infra.deploy.tenants import tell_of_tenants
from infra.template import load
from tests.infra.account import Account
from tests.infra.cloudformation import ACCOUNT, REGION
from tests.infra.registry import schema
from tests.soak import only_in_soak

POLICY = json.loads(
    (Path(__file__).parent.parent.parent / "infra" / "deploy" / "policy.json").read_text()
)
# What IAM takes of a managed policy, white space not counted.
LARGEST = 6_144

# CloudFormation works with the permissions of whoever deploys, and says what each type may need. Of
# that, the template needs none for what it does not use, nor for what it never does: tables and the
# key are retained.
UNUSED = re.compile(
    r"(kinesis|s3|firehose):.*"
    r"|dynamodb:(.*Replica|ImportTable|DescribeImport|.*KinesisStreamingDestination"
    r"|UpdateContributorInsights|(Put|Delete)ResourcePolicy"
    r"|Scan|Query|(Update|Put|Get|Delete|BatchWrite)Item|DeleteTable)"
    r"|iam:(CreateServiceLinkedRole|PassRole|(Delete|Put)RolePermissionsBoundary)"
    r"|kms:(CreateGrant|RevokeGrant|Decrypt|Encrypt|DisableKey|DisableKeyRotation|EnableKey"
    r"|ScheduleKeyDeletion)"
    r"|logs:(CreateLogStream|DescribeLogStreams|PutLogEvents|CreateLogDelivery"
    r"|(Put|Delete)(DataProtection|Resource|Index)Policy"
    r"|(Dis)?[Aa]ssociateKmsKey|PutLogGroupDeletionProtection|PutBearerTokenAuthentication)"
    r"|sns:PutDataProtectionPolicy"
)
# What the read of a type always asks, whether it is used or not.
READ = {"dynamodb:DescribeKinesisStreamingDestination"}
# SNS knows no resource for a single subscription: a statement that names one, or the topic, allows
# none of these.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html
OF_NO_RESOURCE = {
    *("sns:GetSubscriptionAttributes", "sns:SetSubscriptionAttributes", "sns:Unsubscribe"),
    *("kms:CreateKey", "kms:ListAliases", "kms:ListKeys", "cloudwatch:DescribeAlarms"),
    *("logs:DescribeLogGroups", "logs:DescribeIndexPolicies", "logs:DescribeResourcePolicies"),
}
EVERYWHERE = {
    "NewKey": "a key has no name before it is made",
    "QueueToFunction": "a mapping has no name; the condition names its function",
    "Listing": (
        "listing takes no resource, nor do the account's settings; CloudFormation describes log "
        "groups by forms of ARN that differ from call to call"
    ),
    "AlarmsSubscription": "SNS knows no resource for a subscription",
}
# What the request says beside action and resource; those of the stage.
CONTEXT = {
    "kms:ResourceAliases": ["alias/resona-dev-secrets"],
    "lambda:FunctionArn": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:resona-dev-deliver"],
    "iam:PassedToService": ["lambda.amazonaws.com"],
}


def allows(action: str, resource: str, context: dict[str, list[str]] = CONTEXT) -> str | None:
    """Return the statement by which it is allowed."""
    for statement in POLICY["Statement"]:
        is_meant = any(fnmatch.fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        if (
            action in statement["Action"]
            and is_meant
            and _hold(statement.get("Condition", {}), context)
        ):
            return str(statement["Sid"])
    return None


def _hold(conditions: dict[str, dict[str, list[str]]], context: dict[str, list[str]]) -> bool:
    for operator, keys in conditions.items():
        quantifier = all if operator.startswith("ForAllValues:") else any
        assert operator.rpartition(":")[2] in ("StringEquals", "StringLike", "ArnLike"), operator
        for key, patterns in keys.items():
            values = context.get(key, [])
            if not quantifier(
                any(fnmatch.fnmatchcase(value, pattern) for pattern in patterns) for value in values
            ):
                return False
    return True


def needed(service: str, operation: str, params: dict[str, Any]) -> tuple[str, str]:
    """Return the permission that a call takes: an action, on a resource."""
    place = f"{REGION}:{ACCOUNT}"
    match service:
        case "apigateway":
            path = re.sub(
                r"\{(\w+)\}",
                lambda match: str(params.get(match[1].replace("restapi_id", "restApiId"), "x")),
                params["_path"],
            )
            return f"apigateway:{params['_method']}", f"arn:aws:apigateway:{REGION}::{path}"
        case "cloudformation":
            return (
                f"cloudformation:{operation}",
                f"arn:aws:cloudformation:{place}:stack/{params['StackName']}/1",
            )
        case "dynamodb":
            return f"dynamodb:{operation}", f"arn:aws:dynamodb:{place}:table/{params['TableName']}"
        case "iam":
            return f"iam:{operation}", f"arn:aws:iam::{ACCOUNT}:role/{params['RoleName']}"
        case "lambda":
            name = params.get("FunctionName") or params.get("Resource") or "*"
            return f"lambda:{operation}", name if name.startswith(
                "arn:"
            ) or name == "*" else f"arn:aws:lambda:{place}:function:{name}"
        case "events":
            name = params.get("Name") or params["Rule"]
            return f"events:{operation}", f"arn:aws:events:{place}:rule/{name}"
        case "kms":
            name = params.get("KeyId", "*")
            return (
                f"kms:{operation}",
                f"arn:aws:kms:{place}:{name if name.startswith('alias/') else f'key/{name}'}",
            )
        case "sns":
            return f"sns:{operation}", params["TopicArn"]
        case _:
            return f"{service}:{operation}", "*"


def asked_of_aws(account: Account) -> Iterator[tuple[str, str]]:
    """Yield the permissions that each call takes, from a first deploy to the second destroy."""
    account.deploys()
    account.deploys()
    assert account.types("smoke --stage dev") == 0, account.err
    assert account.types("destroy --stage dev --yes") == 0, account.err
    account.deploys("stack --stage dev --parameter AlarmEmail=you@example.com")
    # What `python -m infra.keys` asks for beside what a smoke test's own key takes.
    assert list(ApiKeyStore(account.client("dynamodb"), "resona-dev-keys").all())
    tell_of_tenants(account.client("dynamodb"), Names("dev"), "a", "b")
    # A stack that fails, too.
    account.cloudformation.fails = {"AlarmsSubscription": "no"}
    assert account.types(
        "stack --stage dev --parameter AlarmEmail=me@example.com --parameter LogRetentionDays=7"
    ) in (0, 1)
    account.cloudformation.stacks["resona-dev"].states = ["UPDATE_ROLLBACK_FAILED"]
    assert account.types("stack --stage dev") == 1
    # Chalice's stand-in makes the API of moto's calls; in their place come those two.
    stands_in = (
        "CreateRestApi",
        "CreateResource",
        "PutMethod",
        "PutIntegration",
        "DeleteGatewayResponse",
    )
    for service, operation, params in account.recorded():
        if service != "apigateway" or operation not in stands_in:
            yield needed(service, operation, params)
    yield "apigateway:POST", f"arn:aws:apigateway:{REGION}::/restapis"
    yield "apigateway:PUT", f"arn:aws:apigateway:{REGION}::/restapis/x"
    # To create a function with tags takes both; moto's functions are active at once, and Chalice
    # waits for those of AWS. Another version of Chalice has another tag, and older versions of
    # Resona had tags of their own.
    for action in ("TagResource", "UntagResource", "GetFunctionConfiguration"):
        yield f"lambda:{action}", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:resona-dev"
    # An alias takes its permissions twice, on itself and on its key.
    for action in ("CreateAlias", "UpdateAlias", "DeleteAlias"):
        yield f"kms:{action}", f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/resona-dev-secrets"
    # With a function its role is passed, and with the account's role for logs that one.
    yield "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/resona-dev-wake"


def asked_by_cloudformation() -> Iterator[tuple[str, str]]:
    named = {
        "dynamodb": "table/resona-dev-jobs",
        "iam": "role/resona-dev-scheduler",
        "kms": "key/1",
        "sqs": "resona-dev-due",
        "sns": "resona-dev-alarms",
        "logs": "log-group:/aws/lambda/resona-dev-wake",
        "cloudwatch": "alarm:resona-dev-failed",
        "scheduler": "schedule-group/resona-dev",
    }
    for kind in {body["Type"] for body in load()["Resources"].values()}:
        handlers = schema(kind)["handlers"]
        for handler in ("create", "read", "update", "delete"):
            for action in handlers.get(handler, {}).get("permissions", []):
                service = action.partition(":")[0]
                if not UNUSED.fullmatch(action) or action in READ:
                    place = f"arn:aws:{service}:{'' if service == 'iam' else REGION}:{ACCOUNT}:"
                    resource = f"{place}{named[service]}"
                    yield action, "*" if action in OF_NO_RESOURCE else resource


@only_in_soak
def test_whoever_deploys_needs_what_the_policy_has_and_the_policy_has_no_more(
    account: Account,
) -> None:
    asked = {*asked_of_aws(account), *asked_by_cloudformation()}
    # STS answers who somebody is to everybody.
    asked = {one for one in asked if not one[0].startswith("sts:")}
    assert sorted(one for one in asked if allows(*one) is None) == []
    allowed = {
        (statement["Sid"], action)
        for statement in POLICY["Statement"]
        for action in statement["Action"]
    }
    used = {(allows(*one), one[0]) for one in asked}
    assert [f"{one[0]} {one[1]}" for one in sorted(allowed - used)] == []


def test_no_statement_allows_everything_and_where_it_is_everywhere_there_is_a_reason() -> None:
    for statement in POLICY["Statement"]:
        assert not [action for action in statement["Action"] if "*" in action]
        assert ("*" in statement["Resource"]) == (statement["Sid"] in EVERYWHERE)
        assert statement["Action"] == sorted(statement["Action"])


def test_nothing_of_others_can_be_changed_by_what_has_no_name() -> None:
    """Another key, log group, alarm or mapping of the account."""
    key, mapping = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1", "lambda:{}EventSourceMapping"
    for aliases, is_ours in (
        ([], True),
        (["alias/resona-dev-secrets"], True),
        (["alias/payroll"], False),
        (["alias/resona-x", "alias/payroll"], False),
    ):
        for action in ("kms:PutKeyPolicy", "kms:CreateAlias", "kms:EnableKeyRotation"):
            assert (allows(action, key, {"kms:ResourceAliases": aliases}) is not None) == is_ours
    assert allows("kms:CreateAlias", f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/payroll") is None
    for verb in ("Create", "Update", "Delete"):
        assert allows(mapping.format(verb), "*")
        assert not allows(
            mapping.format(verb),
            "*",
            {"lambda:FunctionArn": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:payroll"]},
        )
        assert not allows(mapping.format(verb), "*", {})
    for action, name in (
        ("logs:DeleteLogGroup", "logs:{}:log-group:/aws/lambda/{}"),
        ("logs:PutRetentionPolicy", "logs:{}:log-group:/aws/apigateway/{}"),
        ("cloudwatch:DeleteAlarms", "cloudwatch:{}:alarm:{}"),
    ):
        place = f"{REGION}:{ACCOUNT}"
        assert allows(action, f"arn:aws:{name.format(place, 'resona-dev')}")
        assert not allows(action, f"arn:aws:{name.format(place, 'payroll')}")
    assert (
        allows(
            "iam:PassRole",
            f"arn:aws:iam::{ACCOUNT}:role/resona-dev-wake",
            {"iam:PassedToService": ["ec2.amazonaws.com"]},
        )
        is None
    )


def test_a_role_is_passed_to_lambda_and_api_gateway_alone() -> None:
    (statement,) = [one for one in POLICY["Statement"] if "iam:PassRole" in one["Action"]]
    assert statement["Condition"] == {
        "StringEquals": {
            "iam:PassedToService": ["lambda.amazonaws.com", "apigateway.amazonaws.com"]
        }
    }


def test_iam_takes_it_as_a_managed_policy() -> None:
    assert len(re.sub(r"\s", "", json.dumps(POLICY))) <= LARGEST
