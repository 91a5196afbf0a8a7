"""Read from infra/template.yaml what a laptop creates: tables, queues, schedule group, key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.template import load


@dataclass(frozen=True, slots=True)
class Template:
    """A stage's resources. `tables` and `queues` are their properties in the template.

    `redrives` maps a queue's name to its dead-letter queue's name and maxReceiveCount.
    """

    tables: tuple[dict[str, Any], ...]
    queues: tuple[dict[str, Any], ...]
    redrives: dict[str, tuple[str, int]]
    group: str
    key_alias: str

    def table(self, name: str) -> str:
        """Return the full name of a table such as `jobs`."""
        return next(
            str(table["TableName"])
            for table in self.tables
            if table["TableName"].endswith(f"-{name}")
        )


def read_template(stage: str) -> Template:
    """Read the template, with the stage's name in the resources' names."""
    resources: dict[str, Any] = load()["Resources"]

    def properties(kind: str) -> dict[str, dict[str, Any]]:
        found = {
            name: resource["Properties"]
            for name, resource in resources.items()
            if resource["Type"] == kind
        }
        return {
            name: {key: _filled(value, stage) for key, value in body.items()}
            for name, body in found.items()
        }

    queues = properties("AWS::SQS::Queue")
    redrives = {}
    for queue in queues.values():
        policy = queue.get("RedrivePolicy")
        if policy:
            dead, _ = policy["deadLetterTargetArn"]["Fn::GetAtt"]
            redrives[queue["QueueName"]] = (queues[dead]["QueueName"], policy["maxReceiveCount"])
    (group,) = properties("AWS::Scheduler::ScheduleGroup").values()
    (alias,) = properties("AWS::KMS::Alias").values()
    return Template(
        tuple(properties("AWS::DynamoDB::Table").values()),
        tuple(queues.values()),
        redrives,
        group["Name"],
        alias["AliasName"],
    )


def _filled(value: Any, stage: str) -> Any:
    if isinstance(value, dict) and "Fn::Sub" in value:
        return value["Fn::Sub"].replace("${Stage}", stage)
    return value
