"""What must hold of a deployed stage, and is looked at rather than believed."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from infra.deploy.cloud import Cloud, Names
from infra.deploy.trouble import Trouble, code_of

_USUAL_EXECUTIONS = 1000


def check(cloud: Cloud, names: Names) -> None:
    """Raise Trouble if the scheduler's role is not there, a function's log is kept for ever, or
    what starts a function is switched off.
    """
    role = names.of("scheduler")
    try:
        cloud("iam").get_role(RoleName=role)
    except ClientError as error:
        if code_of(error) != "NoSuchEntity":
            raise
        raise Trouble(
            f"the role {role}, by which schedules wake Resona, is not there: somebody has deleted it",
            f"`aws cloudformation detect-stack-drift --stack-name {names.stack}` shows what else is gone. To have it made again, take "
            "SchedulerRole out of infra/template.yaml, deploy, put it back and deploy. Until then the sweeper alone keeps jobs on time.",
        ) from error
    kept = [
        group
        for group in (f"/aws/lambda/{name}" for name in names.functions.values())
        if not _ends(cloud, group)
    ]
    if kept:
        raise Trouble(
            f"these logs are kept for ever, or are not there: {', '.join(kept)}",
            f"the stack sets their retention, so somebody has changed it: `aws logs put-retention-policy --region {cloud.region} "
            f"--retention-in-days 30 --log-group-name {kept[0]}`, and the others; `aws logs create-log-group` before, if one is gone.",
        )
    for what, command in _switched_off(cloud, names):
        raise Trouble(
            f"{what} is switched off, so that jobs do not fire in time, or at all: somebody has done that",
            f"`aws {command} --region {cloud.region}` switches it on; then run the same command again.",
        )


def warn(cloud: Cloud) -> None:
    """Tell if the account runs few functions at once: new ones have 10, and jobs that come due
    together then wait for each other.
    """
    try:
        limit = cloud("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    except ClientError:
        # It is no reason to stop that this cannot be known.
        return
    if limit < _USUAL_EXECUTIONS:
        cloud.say(
            f"Lambda runs at most {limit} functions at once for this account here; {_USUAL_EXECUTIONS} is usual. Jobs due at once "
            f"wait for each other then.\n  What to do: `aws service-quotas request-service-quota-increase --region {cloud.region} "
            f"--service-code lambda --quota-code L-B99A9384 --desired-value {_USUAL_EXECUTIONS}`."
        )


def hears(cloud: Cloud, topic: str, email: str) -> bool:
    """Say whether an address has confirmed that it wants what the topic sends; until then, or once
    it has unsubscribed, it gets nothing.
    """
    try:
        pages = cloud("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        found = [one for page in pages for one in page["Subscriptions"] if one["Endpoint"] == email]
    except ClientError:
        # It is no reason to stop that this cannot be known.
        return True
    return any(one["SubscriptionArn"].startswith("arn:") for one in found)


def _switched_off(cloud: Cloud, names: Names) -> Iterator[tuple[str, str]]:
    """Yield what starts functions and is switched off, and the command that switches it on.

    No deploy does, where nothing else changes.
    """
    deliver = cloud.arn("lambda", f"function:{names.functions['deliver']}")
    for mapping in cloud("lambda").list_event_source_mappings(FunctionName=deliver)[
        "EventSourceMappings"
    ]:
        if mapping["State"] in ("Disabled", "Disabling") and mapping["EventSourceArn"].endswith(
            f":{names.of('due')}"
        ):
            yield (
                f"what the queue {names.of('due')} starts",
                f"lambda update-event-source-mapping --uuid {mapping['UUID']} --enabled",
            )
    if cloud("events").describe_rule(Name=names.rule)["State"] == "DISABLED":
        yield (
            f"the rule {names.rule}, which starts the sweeper,",
            f"events enable-rule --name {names.rule}",
        )


def _ends(cloud: Cloud, name: str) -> bool:
    groups = cloud("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return any(group["logGroupName"] == name and group.get("retentionInDays") for group in groups)
