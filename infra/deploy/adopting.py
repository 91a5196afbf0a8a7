"""What a destroyed stage left, taken into the new stack: tables, the key of secrets, its alias, log
groups.

CloudFormation would refuse to make what is there already. An import makes a stack of that alone;
the rest is then an update of it.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-manually.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from infra.deploy import stack
from infra.deploy.cloud import Cloud
from infra.deploy.template import Template
from infra.deploy.trouble import Trouble, code_of

IDENTIFIERS = stack.IDENTIFIERS
# An import takes no outputs.
_VERSION = {"AWSTemplateFormatVersion": "2010-09-09"}
_NAMED_BY_RESOURCES = ("Parameters", "Mappings", "Conditions")


def find(cloud: Cloud, template: Template, stage: str) -> dict[str, str]:
    """Return what is there of the template's resources: logical name → what identifies it.

    Raises Trouble for a key that cannot be used.
    """
    resources = template.resources(stage)
    return {
        logical: identifier
        for logical, body in resources.items()
        if (identifier := _identifier(cloud, body, resources)) is not None
    }


def adopt(cloud: Cloud, name: str, template: Template, stage: str) -> list[str]:
    """Make a stack of what is there of the template's resources; return its logical names.

    There is no stack yet. Raises Trouble.
    """
    resources, found = template.resources(stage), find(cloud, template, stage)
    if not found:
        return []
    cloud.say(f"Taking over what is there of the stage {stage}: {', '.join(found)}")
    part = {
        **_VERSION,
        **{
            section: template.parsed[section]
            for section in _NAMED_BY_RESOURCES
            if section in template.parsed
        },
    }
    part["Resources"] = {logical: _importable(resources[logical]) for logical in found}
    stack.bring_in(
        cloud,
        name,
        json.dumps(part, default=str),
        stage,
        [_to_import(resources, *one) for one in found.items()],
    )
    return list(found)


def _importable(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource as an import takes it: with a DeletionPolicy, and without what may not be
    there.
    """
    body = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain", **resource}
    return {key: value for key, value in body.items() if key not in ("DependsOn", "Condition")}


def _to_import(
    resources: Mapping[str, dict[str, Any]], logical: str, identifier: str
) -> dict[str, Any]:
    kind = resources[logical]["Type"]
    return {
        "ResourceType": kind,
        "LogicalResourceId": logical,
        "ResourceIdentifier": {IDENTIFIERS[kind]: identifier},
    }


def _identifier(
    cloud: Cloud, body: dict[str, Any], resources: Mapping[str, dict[str, Any]]
) -> str | None:
    """Return how what is there is identified; None if it is not there, or is made anew without
    harm.
    """
    properties = body.get("Properties", {})
    match body["Type"]:
        case "AWS::DynamoDB::Table":
            name = properties["TableName"]
            return (
                name
                if _is_there(
                    lambda: cloud("dynamodb").describe_table(TableName=name),
                    "ResourceNotFoundException",
                )
                else None
            )
        case "AWS::KMS::Key":
            aliases = [
                other["Properties"]["AliasName"]
                for other in resources.values()
                if other["Type"] == "AWS::KMS::Alias"
            ]
            return _key(cloud, properties["Description"], aliases)
        case "AWS::KMS::Alias":
            alias = properties["AliasName"]
            return (
                alias
                if _is_there(lambda: cloud("kms").describe_key(KeyId=alias), "NotFoundException")
                else None
            )
        case "AWS::Logs::LogGroup":
            name = properties["LogGroupName"]
            groups = cloud("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
            return name if any(group["logGroupName"] == name for group in groups) else None
        case _:
            return None


def _key(cloud: Cloud, description: str, aliases: list[str]) -> str | None:
    """Return the id of the key: the one that the alias names, or when that is gone, the one that
    says it is. Raises Trouble.
    """
    found = [key for key in (_described(cloud, alias) for alias in aliases) if key]
    if not found:
        for page in cloud("kms").get_paginator("list_keys").paginate():
            keys = [_described(cloud, entry["KeyId"]) for entry in page["Keys"]]
            found += [key for key in keys if key.get("Description") == description]
    usable = [key for key in found if key["KeyState"] == "Enabled"]
    if found and not usable:
        states = ", ".join(f"{key['KeyId']} ({key['KeyState']})" for key in found)
        key_id = found[0]["KeyId"]
        raise Trouble(
            f"the key of the stage's secrets cannot be used: {states}",
            f"`aws kms cancel-key-deletion --key-id {key_id}`, then `aws kms enable-key --key-id {key_id}`: without it no secret in "
            "the table can be read. To begin without them, change the key's description, and remove its alias.",
        )
    if len(usable) > 1:
        raise Trouble(
            f"there are several keys of the stage's secrets: {', '.join(key['KeyId'] for key in usable)}",
            f"give the right one its alias: `aws kms create-alias --alias-name {aliases[0] if aliases else 'alias/…'} --target-key-id …`.",
        )
    return str(usable[0]["KeyId"]) if usable else None


def _described(cloud: Cloud, key_id: str) -> dict[str, Any]:
    """Return what a key, by its id or alias, says of itself; nothing if it is not there, or not to
    be looked at.
    """
    try:
        described: dict[str, Any] = cloud("kms").describe_key(KeyId=key_id)["KeyMetadata"]
    except ClientError as error:
        if code_of(error) not in ("AccessDeniedException", "NotFoundException"):
            raise
        return {}
    return described


def _is_there(look: Callable[[], object], missing: str) -> bool:
    try:
        look()
    except ClientError as error:
        if code_of(error) == missing:
            return False
        raise
    return True
