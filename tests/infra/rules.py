"""What must hold for infra/template.yaml, and for the functions' policies in .chalice.

Each rule returns what breaks it, one sentence each. A template is as `infra.template.load` returns
it: short forms written out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

Template = Mapping[str, Any]

# Resources with a `*`, by how they end, and what is about everything, by where it stands; the
# reason is why nothing narrower will do.
WIDE_RESOURCES = {
    "schedule/resona-prod/*": (
        "a schedule's name is its job's and a token; all of a group are Resona's"
    ),
    "key/*": "a key has no name in its ARN; the statement's condition names its alias",
    ":*": "Lambda names the log streams of a group",
}
DEAD_LETTER_QUEUES = {
    "DueDeadLetterQueue": (
        "it is the dead-letter queue of the due queue; what lies in it is an alarm, and was armed "
        "again by the sweeper"
    ),
    "FailedQueue": (
        "it is where Lambda puts what it gives up on; what lies in it is an alarm, and was armed "
        "again by the sweeper"
    ),
}
MANAGED_POLICIES = {
    "service-role/AmazonAPIGatewayPushToCloudWatchLogs": (
        "API Gateway takes no role for an account's logs that may do less"
    ),
}
_LOOKS_SECRET = re.compile(
    r"SECRET|PASSWORD|PASSWD|TOKEN|CREDENTIAL|PRIVATE|KEY|AUTH", re.IGNORECASE
)
# A secret of ours, an access key of AWS's, or 24 characters and more that no name or ARN has in a
# row.
_IS_SECRET = re.compile(r"rsn_|whsec_|(?:AKIA|ASIA)[0-9A-Z]{16}|[A-Za-z0-9+=]{24,}")

# A policy's file names neither the region nor the account: IAM lets a role have no other account's
# resources by it.
_WHEREVER = re.compile(r"^arn:aws:[a-z]+:\*?:\*:")


def resources(template: Template, kind: str) -> dict[str, Any]:
    """Return the properties of all resources of a type, by their logical names."""
    found = (
        (name, resource)
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    )
    return {name: resource.get("Properties", {}) for name, resource in found}


def statements(value: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (logical name, statement) for each statement of each policy, wherever in the template
    it stands.
    """
    if isinstance(value, dict):
        if "Effect" in value and ("Action" in value or "NotAction" in value):
            yield place, value
        for name, inner in value.items():
            yield from statements(inner, place or name)
    elif isinstance(value, list):
        for inner in value:
            yield from statements(inner, place)


def wide_actions(template: Template) -> list[str]:
    """No statement allows an action with a `*`, or all actions but some."""
    found = []
    for place, statement in statements(template["Resources"]):
        actions = _listed(statement.get("Action", ["*"]))
        found += [f"{place} allows {action}" for action in actions if "*" in action]
    return found


def wide_resources(template: Template) -> list[str]:
    """No statement is about every resource, or names one with a `*`, unless the reason is on the
    list.
    """
    found = []
    for place, statement in statements(template["Resources"]):
        if "NotResource" in statement or "NotPrincipal" in statement:
            found.append(f"{place} allows all but something")
        for resource in _listed(statement.get("Resource", [])):
            named = f"{place}: {_WHEREVER.sub('', text(resource))}"
            if "*" in named and not named.endswith(tuple(WIDE_RESOURCES)):
                found.append(f"{named} is too wide")
        if "*" in json.dumps(statement.get("Principal", "")):
            found.append(f"{place} is for everybody")
    return found


def managed_policies(template: Template) -> list[str]:
    """No role has a policy that AWS may widen, unless the reason is on the list."""
    found = []
    for name, role in resources(template, "AWS::IAM::Role").items():
        attached = map(text, role.get("ManagedPolicyArns", []))
        found += [
            f"{name} has {arn}" for arn in attached if not arn.endswith(tuple(MANAGED_POLICIES))
        ]
    return found


def open_queues(template: Template) -> list[str]:
    """Every queue is encrypted, and has a dead-letter queue or is one."""
    found = []
    queues = resources(template, "AWS::SQS::Queue")
    for name, queue in queues.items():
        if queue.get("SqsManagedSseEnabled") is not True and "KmsMasterKeyId" not in queue:
            found.append(f"{name} is not encrypted")
        target = queue.get("RedrivePolicy", {}).get("deadLetterTargetArn")
        if target is None and name not in DEAD_LETTER_QUEUES:
            found.append(f"{name} has no dead-letter queue")
        if target is not None and target["Fn::GetAtt"][0] not in queues:
            found.append(f"{name} has a dead-letter queue that is not there")
    return found


def careless_tables(template: Template) -> list[str]:
    """Every table is encrypted with a key of KMS's, can be restored, and outlives a slip of the
    hand and its stack.
    """
    found = []
    for name, table in resources(template, "AWS::DynamoDB::Table").items():
        resource = template["Resources"][name]
        wanted = {
            "is encrypted by KMS": table.get("SSESpecification")
            == {"SSEEnabled": True, "SSEType": "KMS"},
            "can be restored": table.get("PointInTimeRecoverySpecification")
            == {"PointInTimeRecoveryEnabled": True},
            "is protected from deletion": table.get("DeletionProtectionEnabled") is True,
            "is kept when the stack goes": resource.get("DeletionPolicy") == "Retain",
            "is kept when it is replaced": resource.get("UpdateReplacePolicy") == "Retain",
        }
        found += [f"{name}: not so: {what}" for what, holds in wanted.items() if not holds]
    return found


def unkept_logs(template: Template, functions: Collection[str]) -> list[str]:
    """Every function, by its full name, has a log group of that very name, and every log group
    forgets.

    Names are compared with `${Stage}` in them.
    """
    groups = resources(template, "AWS::Logs::LogGroup")
    names = {text(group.get("LogGroupName", "")) for group in groups.values()}
    found = [
        f"{function} has no log group"
        for function in functions
        if f"/aws/lambda/{function}" not in names
    ]
    found += [
        f"{name} is a log group of no function"
        for name in names
        if name.startswith("/aws/lambda/") and name[12:] not in functions
    ]
    return found + [
        f"{name} keeps logs for ever"
        for name, group in groups.items()
        if "RetentionInDays" not in group
    ]


def secrets_in_environments(environments: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """No variable of any function, by function, looks like a secret by its name or its value."""
    found = []
    for function, variables in environments.items():
        for name, value in variables.items():
            if _LOOKS_SECRET.search(name):
                found.append(f"{function}: {name} sounds like a secret")
            if _IS_SECRET.search(re.sub(r"\$\{.*?\}", "", text(value))):
                found.append(f"{function}: {name} holds what looks like one")
    return found


def unwatched(template: Template) -> list[str]:
    """Every alarm says what it means, tells the topic when it comes and goes, and says what no
    data means.
    """
    found = []
    for name, alarm in resources(template, "AWS::CloudWatch::Alarm").items():
        wanted = {
            "has a name with the stage in it": text(alarm["AlarmName"]).startswith(
                "resona-${Stage}-"
            ),
            "has a description": bool(alarm.get("AlarmDescription")),
            "tells when it comes": alarm.get("AlarmActions") == [{"Ref": "AlarmsTopic"}],
            "tells when it goes": alarm.get("OKActions") == [{"Ref": "AlarmsTopic"}],
            "says what no data means": alarm.get("TreatMissingData")
            in ("notBreaching", "breaching"),
        }
        found += [f"{name}: not so: {what}" for what, holds in wanted.items() if not holds]
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str:
    """Return a text, or what stands for one, as it is written inside Fn::Sub."""
    match value:
        case {"Fn::Sub": str(written)}:
            return written
        case {"Ref": str(name)}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return f"${{{name}.{attribute}}}"
    return value if isinstance(value, str) else json.dumps(value)
