"""Delete a stage, except its data: the stack stays, with the tables, the key and the logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.aws.clients import code_of
from infra.deploy import stack
from infra.deploy.cloud import Cloud, Names

_GONE = ("ResourceNotFoundException", "NotFoundException", "NoSuchEntity")


def destroy(cloud: Cloud, names: Names) -> None:
    """Delete the functions and the API, then the rest of the stack. Raises Trouble, ClientError."""
    # First what invokes functions, then what can be called, then the functions, then their roles.
    events, functions, iam = cloud("events"), cloud("lambda"), cloud("iam")
    targets = _unless_gone(events.list_targets_by_rule, Rule=names.rule).get("Targets", [])
    if targets:
        _unless_gone(
            events.remove_targets, Rule=names.rule, Ids=[target["Id"] for target in targets]
        )
    _unless_gone(events.delete_rule, Name=names.rule)
    if mapping := cloud.mapping(names):
        _unless_gone(functions.delete_event_source_mapping, UUID=mapping["UUID"])
    if api := cloud.api(names):
        _unless_gone(cloud("apigateway").delete_rest_api, restApiId=api)
    for name in names.functions.values():
        _unless_gone(functions.delete_function, FunctionName=name)
    for name in names.roles.values():
        _unless_gone(iam.delete_role_policy, RoleName=name, PolicyName=name)
        _unless_gone(iam.delete_role, RoleName=name)
    if stack.look(cloud, names).status is not None:
        stack.deploy(cloud, names, {"Running": "false"})


def _unless_gone(call: Callable[..., Any], **request: Any) -> Any:
    """Make a call and return its answer; empty if there is nothing of that name."""
    try:
        return call(**request)
    except ClientError as error:
        if code_of(error) not in _GONE:
            raise
        return {}
