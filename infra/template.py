"""The CloudFormation template of a stage, infra/template.yaml, as JSON: CloudFormation takes no
anchors. `python -m infra.template` prints it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).parent / "template.yaml"
# PyYAML's C parser is five times as fast, where it is installed.
_Safe: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):  # type: ignore[valid-type,misc]  # either of the two
    """Reads CloudFormation's short forms: `!Sub`, `!GetAtt` and the like."""


def _intrinsic(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    """Return a short form as it is in JSON. `!Sub` of a mapping is of the mapping's JSON."""
    value: Any
    if isinstance(node, yaml.MappingNode):
        value = json.dumps(loader.construct_mapping(node, deep=True), ensure_ascii=False)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101  YAML has no fourth kind
        value = loader.construct_scalar(node)
        value = value.split(".", 1) if name == "GetAtt" else value
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def load() -> dict[str, Any]:
    """Return the template as CloudFormation gets it."""
    # The loader is a safe one with CloudFormation's tags.
    template = yaml.load(TEMPLATE.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506
    return {name: part for name, part in template.items() if name != "Anchors"}


if __name__ == "__main__":
    print(json.dumps(load()))
