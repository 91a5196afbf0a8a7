"""The API's stage: what API Gateway answers itself, how often it may be called, its access logs.
Chalice sets none of these.

Chalice replaces the API whole, and with it what API Gateway answers; so that is put back, and the
stage deployed once more, when the description of its deployment does not say that it has been.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.config import SettingMissing, read_origins
from infra.deploy import answers
from infra.deploy.cloud import GATEWAY_STAGE, Cloud, Names
from infra.deploy.trouble import Trouble, code_of, message_of

# Calls a second, and at once; what is more gets 429. The account's own limit, for all its APIs, is
# 10,000.
RATE, BURST = 1000, 2000
# A line of the access log. No query string, no path (it holds names that users gave), no address,
# no header.
_LINE = {
    "time": "$context.requestTimeEpoch",
    "request_id": "$context.requestId",
    "method": "$context.httpMethod",
    "route": "$context.resourcePath",
    "status": "$context.status",
    "tenant": "$context.authorizer.tenant",
    "key_id": "$context.authorizer.key_id",
    "ms": "$context.responseLatency",
    "integration_ms": "$context.integrationLatency",
    "authorizer_ms": "$context.authorizer.latency",
    "bytes": "$context.responseLength",
    "refused": "$context.error.responseType",
}
FORMAT = json.dumps(_LINE, separators=(",", ":"))
_TRIES = 12
_SECONDS = 5


def arrange(cloud: Cloud, names: Names, api: str, access_logs: str, logs_role: str) -> list[str]:
    """Let the stage be as it should; return what was changed, in words. Raises Trouble."""
    changed = []
    if _answer(cloud, api, origins_of(cloud, names)):
        changed.append("what API Gateway answers itself")
    stage = cloud("apigateway").get_stage(restApiId=api, stageName=GATEWAY_STAGE)
    patches = _throttling(stage)
    if _may_log(cloud, logs_role):
        patches += _access_logs(stage, access_logs)
    if patches:
        _patch(cloud, api, patches)
        changed.append("the stage's throttling and access logs")
    return changed


def origins_of(cloud: Cloud, names: Names) -> frozenset[str]:
    """Return the origins whose pages may call, as the API's function has them.

    Raises Trouble for what is no origin.
    """
    variables = (
        cloud("lambda")
        .get_function_configuration(FunctionName=names.api)
        .get("Environment", {})
        .get("Variables", {})
    )
    try:
        return read_origins(variables)
    except SettingMissing as error:
        raise Trouble(
            str(error), "correct it in .chalice/config.json, then run the same command again."
        ) from error


def _answer(cloud: Cloud, api: str, origins: frozenset[str]) -> bool:
    """Put what API Gateway answers, and deploy it unless the stage has it; return whether the stage
    was deployed.
    """
    gateway = cloud("apigateway")
    responses = answers.wanted(origins)
    label = f"Resona answers {hashlib.sha256(json.dumps(responses, sort_keys=True).encode()).hexdigest()[:16]}"
    is_changed = answers.put(cloud, api, responses)
    stage = gateway.get_stage(restApiId=api, stageName=GATEWAY_STAGE)
    if (
        not is_changed
        and gateway.get_deployment(restApiId=api, deploymentId=stage["deploymentId"]).get(
            "description"
        )
        == label
    ):
        return False
    # A deployment says anew whether the stage is traced; that is Chalice's to say.
    is_traced = bool(stage.get("tracingEnabled"))
    gateway.create_deployment(
        restApiId=api, stageName=GATEWAY_STAGE, description=label, tracingEnabled=is_traced
    )
    return True


def _throttling(stage: dict[str, Any]) -> list[dict[str, str]]:
    settings = stage.get("methodSettings", {}).get("*/*", {})
    wanted = {"rateLimit": RATE, "burstLimit": BURST}
    have = {
        "rateLimit": settings.get("throttlingRateLimit"),
        "burstLimit": settings.get("throttlingBurstLimit"),
    }
    return [
        {"op": "replace", "path": f"/*/*/throttling/{key}", "value": str(value)}
        for key, value in wanted.items()
        if have[key] != value
    ]


def _access_logs(stage: dict[str, Any], group: str) -> list[dict[str, str]]:
    wanted = {"destinationArn": group.removesuffix(":*"), "format": FORMAT}
    have = stage.get("accessLogSettings") or {}
    return [
        {"op": "replace", "path": f"/accessLogSettings/{key}", "value": value}
        for key, value in wanted.items()
        if have.get(key) != value
    ]


def _may_log(cloud: Cloud, role: str) -> bool:
    """Say whether API Gateway may write logs in this region; give it the stack's role if the
    account has given it none.
    """
    gateway = cloud("apigateway")
    if gateway.get_account().get("cloudwatchRoleArn"):
        return True
    patch = [{"op": "replace", "path": "/cloudwatchRoleArn", "value": role}]
    for left in range(_TRIES, 0, -1):
        try:
            gateway.update_account(patchOperations=patch)
            cloud.say(
                f"API Gateway had no role for logs in this account and region; it has {role} now"
            )
            return True
        except ClientError as error:
            # A role made a moment ago is not seen at once.
            if left > 1 and code_of(error) == "BadRequestException":
                cloud.sleep(_SECONDS)
                continue
            cloud.say(
                f"There are no access logs: API Gateway has no role for logs in this account and region, and giving it one failed: "
                f"{message_of(error)}\n  What to do: have somebody who may run `aws apigateway update-account --region {cloud.region} "
                f"--patch-operations op=replace,path=/cloudwatchRoleArn,value={role}`, then deploy again."
            )
            return False
    return False


def _patch(cloud: Cloud, api: str, patches: list[dict[str, str]]) -> None:
    for left in range(_TRIES, 0, -1):
        try:
            cloud("apigateway").update_stage(
                restApiId=api, stageName=GATEWAY_STAGE, patchOperations=patches
            )
            return
        except ClientError as error:
            # The role was given a moment ago.
            if (
                left == 1
                or code_of(error) != "BadRequestException"
                or "role" not in message_of(error).lower()
            ):
                raise
        cloud.sleep(_SECONDS)
