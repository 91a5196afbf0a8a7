"""The cloud that infra/template.yaml describes, as far as a laptop needs it: names, tables, queues, the schedule group, the key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).parent.parent / "template.yaml"


@dataclass(frozen=True, slots=True)
class Template:
    """`tables` and `queues` are the properties of each, names filled in; `redrives` maps a queue to (dead-letter queue, count)."""

    tables: tuple[dict[str, Any], ...]
    queues: tuple[dict[str, Any], ...]
    redrives: dict[str, tuple[str, int]]
    group: str
    key_alias: str

    def table(self, name: str) -> str:
        """Return the name of the table that ends so, such as `jobs`."""
        return next(str(table["TableName"]) for table in self.tables if table["TableName"].endswith(f"-{name}"))


class _Loader(yaml.SafeLoader):
    """Reads `!Sub`, `!Ref` and `!GetAtt` as (tag, text)."""


def _intrinsic(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> tuple[str, Any]:
    assert isinstance(node, yaml.ScalarNode)  # noqa: S101  the template uses no other form
    return suffix, loader.construct_scalar(node)


_Loader.add_multi_constructor("!", _intrinsic)


def read_template(stage: str) -> Template:
    """Read the template for a stage."""
    raw = yaml.load(TEMPLATE.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  a SafeLoader with three tags more
    resources: dict[str, Any] = raw["Resources"]

    def properties(kind: str) -> dict[str, dict[str, Any]]:
        found = {name: resource["Properties"] for name, resource in resources.items() if resource["Type"] == kind}
        return {name: {key: _filled(value, stage) for key, value in body.items()} for name, body in found.items()}

    queues = properties("AWS::SQS::Queue")
    redrives = {}
    for queue in queues.values():
        policy = queue.get("RedrivePolicy")
        if policy:
            dead = policy["deadLetterTargetArn"][1].removesuffix(".Arn")
            redrives[queue["QueueName"]] = (queues[dead]["QueueName"], policy["maxReceiveCount"])
    (group,) = properties("AWS::Scheduler::ScheduleGroup").values()
    (alias,) = properties("AWS::KMS::Alias").values()
    return Template(tuple(properties("AWS::DynamoDB::Table").values()), tuple(queues.values()), redrives, group["Name"], alias["AliasName"])


def _filled(value: Any, stage: str) -> Any:
    if isinstance(value, tuple) and value[0] == "Sub":
        return value[1].replace("${Stage}", stage)
    return value
