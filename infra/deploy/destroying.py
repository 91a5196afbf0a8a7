"""The end of a stage: all of it goes but what it keeps, its tables and the key of its secrets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from botocore.exceptions import ClientError

from infra.deploy import adopting, found, stack
from infra.deploy.cloud import Cloud, Names
from infra.deploy.template import Template
from infra.deploy.trouble import Trouble, code_of

Ask = Callable[[str], str]


def confirm(names: Names, ask: Ask) -> None:
    """Raise Trouble unless whoever destroys the stage types its name."""
    question = (
        f"This deletes the stage {names.stage}: its URL for good, and what calls its jobs. Its tables and its key stay.\n"
        f"Type {names.stage} to go on: "
    )
    if ask(question).strip() != names.stage:
        raise Trouble("nothing was deleted", f"type {names.stage} when you are asked, or give YES=1.")


def destroy(cloud: Cloud, names: Names, template: Template, deployed: Path) -> bool:
    """Delete what Chalice made and the stack, and say what stays; return whether anything was there. Raises Trouble."""
    existing = found.find(cloud, names)
    delete_functions(cloud, names, existing)
    was_there = stack.look(cloud, names.stack).status is not None
    if was_there:
        stack.settle(cloud, names.stack)
        cloud.say(f"Deleting the stack {names.stack}")
        stack.delete(cloud, names.stack)
    deployed.unlink(missing_ok=True)
    for line in remains(cloud, names, template):
        cloud.say(line)
    return was_there or not existing.is_nothing


def delete_functions(cloud: Cloud, names: Names, existing: found.Found) -> None:
    """Delete what Chalice made: first what starts anything, then what can be called, then what runs, then what it runs as."""
    if existing.has_rule:
        cloud.say(f"Deleting the rule {names.rule}")
        events = cloud("events")
        targets = [target["Id"] for target in events.list_targets_by_rule(Rule=names.rule)["Targets"]]
        if targets:
            events.remove_targets(Rule=names.rule, Ids=targets)
        events.delete_rule(Name=names.rule)
    if existing.mapping:
        _unless_gone(lambda uuid: cloud("lambda").delete_event_source_mapping(UUID=uuid), existing.mapping[0])
    if existing.api:
        cloud.say(f"Deleting the API {existing.api}")
        _unless_gone(lambda api: cloud("apigateway").delete_rest_api(restApiId=api), existing.api)
    for key in existing.functions:
        cloud.say(f"Deleting the function {names.functions[key]}")
        _unless_gone(lambda name: cloud("lambda").delete_function(FunctionName=name), names.functions[key])
    for key in existing.roles:
        _delete_role(cloud, names.roles[key])


def remains(cloud: Cloud, names: Names, template: Template) -> list[str]:
    """Return what stays of the stage, and how that would be deleted, a line each."""
    resources = template.resources(names.stage)
    try:
        there = adopting.find(cloud, template, names.stage)
    except Trouble as trouble:
        return [f"What stays: the tables of the stage; and {trouble}"]
    tables, keys = (
        [identifier for logical, identifier in there.items() if resources[logical]["Type"] == kind]
        for kind in ("AWS::DynamoDB::Table", "AWS::KMS::Key")
    )
    if not tables:
        return [f"Nothing of the stage {names.stage} holds data any more."]
    return [
        f"What stays: the tables {', '.join(tables)}, and the key of secrets {', '.join(keys)}.",
        f"`make deploy STAGE={names.stage}` takes them over, and its jobs go on: what came due meanwhile is late, or missed.",
        "To delete a table for good: `aws dynamodb update-table --no-deletion-protection-enabled --table-name …`, then `aws dynamodb "
        f"delete-table --table-name …`; the key: `aws kms schedule-key-deletion --key-id {''.join(keys)}`, and no secret can be read then.",
    ]


def _delete_role(cloud: Cloud, name: str) -> None:
    iam = cloud("iam")
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    iam.delete_role(RoleName=name)


def _unless_gone(delete: Callable[[str], object], name: str) -> None:
    try:
        delete(name)
    except ClientError as error:
        if code_of(error) not in ("ResourceNotFoundException", "NotFoundException"):
            raise
