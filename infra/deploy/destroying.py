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
    try:
        answer = ask(question).strip()
    except EOFError:
        answer = ""
    if answer != names.stage:
        raise Trouble(
            "nothing was deleted", f"type {names.stage} when you are asked, or give YES=1."
        )


def destroy(cloud: Cloud, names: Names, template: Template, deployed: Path) -> bool:
    """Delete what Chalice made and the stack, and say what stays; return whether anything was
    there. Raises Trouble.
    """
    existing = found.find(cloud, names)
    delete_functions(cloud, names, existing)
    was_there = stack.look(cloud, names.stack).status is not None
    if was_there:
        stack.settle(cloud, names.stack)
        cloud.say(f"Deleting the stack {names.stack}")
        stack.delete(cloud, names.stack)
    deployed.unlink(missing_ok=True)
    if was_there:
        cloud.say(
            f"A role {names.of('GatewayLogsRole')}-… stays, at no cost: if the account had none, API Gateway writes the logs of every API "
            f"with it. `aws apigateway get-account --region {cloud.region}` names the one that is in use."
        )
    for line in remains(cloud, names, template):
        cloud.say(line)
    return was_there or not existing.is_nothing


def delete_functions(cloud: Cloud, names: Names, existing: found.Found) -> None:
    """Delete what Chalice made: first what starts anything, then what can be called, then what
    runs, then what it runs as.
    """
    if existing.has_rule:
        cloud.say(f"Deleting the rule {names.rule}")
        events = cloud("events")
        targets = [
            target["Id"] for target in events.list_targets_by_rule(Rule=names.rule)["Targets"]
        ]
        if targets:
            events.remove_targets(Rule=names.rule, Ids=targets)
        events.delete_rule(Name=names.rule)
    if existing.mapping:
        _unless_gone(
            lambda uuid: cloud("lambda").delete_event_source_mapping(UUID=uuid), existing.mapping[0]
        )
    if existing.api:
        cloud.say(f"Deleting the API {existing.api}")
        _unless_gone(lambda api: cloud("apigateway").delete_rest_api(restApiId=api), existing.api)
    for key in existing.functions:
        cloud.say(f"Deleting the function {names.functions[key]}")
        _unless_gone(
            lambda name: cloud("lambda").delete_function(FunctionName=name), names.functions[key]
        )
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
    if not tables and not keys:
        return [f"Nothing of the stage {names.stage} holds data any more."]
    delete_key = f"`aws kms schedule-key-deletion --region {cloud.region} --key-id {''.join(keys)}`"
    if not tables:
        return [
            f"What stays: the key of secrets {', '.join(keys)}, at about $1 a month; without a table it opens nothing: {delete_key}."
        ]
    return [
        f"What stays: the tables {', '.join(tables)}, and the key of secrets {', '.join(keys)}.",
        "They go on costing what they store, backups included, and about $1 a month for the key.",
        f"`make deploy STAGE={names.stage}` takes them over, and its jobs go on: what came due meanwhile is late, or missed. Their "
        "schedules are gone, so that the sweeper alone brings them, up to two minutes late, and its alarm rings, until each is paused "
        "and resumed.",
        f"To delete a table for good: `aws dynamodb update-table --region {cloud.region} --no-deletion-protection-enabled --table-name …`, "
        f"then `aws dynamodb delete-table --region {cloud.region} --table-name …`; the key: {delete_key}, and no secret can be read then.",
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
