"""Convert a stage's CloudFormation template, infra/template.yaml, to JSON.

The file uses YAML anchors, which CloudFormation does not accept. `python -m infra.template` prints
the JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).parent / "template.yaml"
# PyYAML's C parser, where it is installed, is five times as fast.
_Safe: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):  # type: ignore[valid-type,misc]  # either of the two
    """Reads CloudFormation's short forms: `!Sub`, `!GetAtt` and the like."""


def _intrinsic(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    """Return a short form as JSON."""
    value: Any
    if isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_scalar(node)  # type: ignore[arg-type]  # refuses a mapping
        value = value.split(".", 1) if name == "GetAtt" else value
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def load() -> dict[str, Any]:
    """Return the template without its anchors."""
    # `_Loader` is PyYAML's SafeLoader, with CloudFormation's tags added.
    template = yaml.load(TEMPLATE.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506
    return {name: part for name, part in template.items() if name != "Anchors"}


if __name__ == "__main__":
    print(json.dumps(load()))
