"""What Chalice has made of a stage, as it is found in the account.

Chalice remembers what it made in .chalice/deployed/<stage>.json, and writes that file when all is
done. After an interrupted deploy, or in another clone, it would make a second API and fail at the
queue; so the file is written anew, from the account, before every deploy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.deploy.cloud import GATEWAY_STAGE, Cloud, Names
from infra.deploy.trouble import Trouble, code_of

_API_IN_ARN = re.compile(r":execute-api:[^:]*:[^:]*:([a-z0-9]+)/")
_API, _MAPPING, _RULE = "rest_api", "deliver-sqs-event-source", "sweep-event"


@dataclass(frozen=True, slots=True)
class Found:
    """What is there: functions (name in Chalice → ARN), roles (the same), the API, the queue's
    mapping (id, the queue's ARN), the rule.
    """

    functions: dict[str, str]
    roles: dict[str, str]
    api: str | None
    mapping: tuple[str, str] | None
    has_rule: bool

    @property
    def is_nothing(self) -> bool:
        """Say whether nothing is there."""
        return not (self.functions or self.roles or self.api or self.mapping or self.has_rule)


def find(cloud: Cloud, names: Names) -> Found:
    """Look for what Chalice has made. Raises Trouble if two APIs serve the stage."""
    functions = {
        key: arn for key, name in names.functions.items() if (arn := _function(cloud, name))
    }
    roles = {key: arn for key, name in names.roles.items() if (arn := _role(cloud, name))}
    mapping = _mapping(cloud, names, functions["deliver"]) if "deliver" in functions else None
    return Found(functions, roles, _api(cloud, names), mapping, _has_rule(cloud, names.rule))


def note(found: Found, cloud: Cloud, names: Names, path: Path) -> None:
    """Write what was found where Chalice looks for it.

    What the file has of names that are no longer used stays, if it is there.
    """
    known = (
        set(names.functions) | {f"{name}_role" for name in names.roles} | {_API, _MAPPING, _RULE}
    )
    former = json.loads(path.read_text(encoding="utf-8"))["resources"] if path.exists() else []
    resources = [
        *_resources(found, cloud, names),
        *(one for one in former if one["name"] not in known and _is_there(cloud, one)),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"resources": resources, "schema_version": "2.0", "backend": "api"}, indent=2)
        + "\n",
        encoding="utf-8",
    )


def url_of(cloud: Cloud, api: str) -> str:
    """Return the URL of the API's stage, without a slash at its end."""
    suffix = "amazonaws.com.cn" if cloud.partition == "aws-cn" else "amazonaws.com"
    return f"https://{api}.execute-api.{cloud.region}.{suffix}/{GATEWAY_STAGE}"


def _resources(found: Found, cloud: Cloud, names: Names) -> Iterator[dict[str, str]]:
    for key, arn in found.roles.items():
        yield {
            "name": f"{key}_role",
            "resource_type": "iam_role",
            "role_arn": arn,
            "role_name": names.roles[key],
        }
    for key, arn in found.functions.items():
        yield {"name": key, "resource_type": "lambda_function", "lambda_arn": arn}
    if found.mapping:
        uuid, queue = found.mapping
        yield {
            "name": _MAPPING,
            "resource_type": "sqs_event",
            "queue_arn": queue,
            "event_uuid": uuid,
            "queue": queue.rpartition(":")[2],
            "lambda_arn": found.functions["deliver"],
        }
    if found.has_rule:
        yield {"name": _RULE, "resource_type": "cloudwatch_event", "rule_name": names.rule}
    if found.api:
        yield {
            "name": _API,
            "resource_type": "rest_api",
            "rest_api_id": found.api,
            "rest_api_url": f"{url_of(cloud, found.api)}/",
        }


def _function(cloud: Cloud, name: str) -> str | None:
    try:
        arn: str = cloud("lambda").get_function_configuration(FunctionName=name)["FunctionArn"]
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return None
        raise
    return arn


def _role(cloud: Cloud, name: str) -> str | None:
    try:
        arn: str = cloud("iam").get_role(RoleName=name)["Role"]["Arn"]
    except ClientError as error:
        if code_of(error) == "NoSuchEntity":
            return None
        raise
    return arn


def _mapping(cloud: Cloud, names: Names, function: str) -> tuple[str, str] | None:
    mappings = cloud("lambda").list_event_source_mappings(FunctionName=function)[
        "EventSourceMappings"
    ]
    found = [
        (one["UUID"], one["EventSourceArn"]) for one in mappings if one.get("State") != "Deleting"
    ]
    return next((one for one in found if one[1].endswith(f":{names.of('due')}")), None)


def _has_rule(cloud: Cloud, name: str) -> bool:
    try:
        cloud("events").describe_rule(Name=name)
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return False
        raise
    return True


def _api(cloud: Cloud, names: Names) -> str | None:
    """Return the API of the stage's name that calls the stage's function, or may: a name is
    nobody's alone. Raises Trouble for two.
    """
    gateway = cloud("apigateway")
    apis = [
        api["id"]
        for page in gateway.get_paginator("get_rest_apis").paginate()
        for api in page["items"]
        if api["name"] == names.stack
    ]
    # Chalice gives the permission some steps after it has made the API.
    permitted = _permitted(cloud, names.api) if apis else frozenset()
    serving = [api for api in apis if api in permitted or _serves(gateway, api, names.api)]
    if len(serving) > 1:
        raise Trouble(
            f"{len(serving)} APIs serve the stage {names.stage}: {', '.join(serving)}",
            f"keep the one that your clients call: `aws apigateway delete-rest-api --region {cloud.region} --rest-api-id …` deletes one.",
        )
    return serving[0] if serving else None


def _permitted(cloud: Cloud, function: str) -> frozenset[str]:
    """Return the ids of the APIs that may call a function."""
    try:
        policy: str = cloud("lambda").get_policy(FunctionName=function)["Policy"]
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return frozenset()
        raise
    return frozenset(_API_IN_ARN.findall(policy))


def _serves(gateway: Any, api: str, function: str) -> bool:
    for page in gateway.get_paginator("get_resources").paginate(restApiId=api, embed=["methods"]):
        for resource in page["items"]:
            for method in resource.get("resourceMethods", {}).values():
                if f":function:{function}/invocations" in method.get("methodIntegration", {}).get(
                    "uri", ""
                ):
                    return True
    return False


def _is_there(cloud: Cloud, resource: dict[str, str]) -> bool:
    match resource["resource_type"]:
        case "lambda_function":
            return _function(cloud, resource["lambda_arn"]) is not None
        case "iam_role":
            return _role(cloud, resource["role_name"]) is not None
        case _:
            return False
