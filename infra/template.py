"""Read a CloudFormation template, its short forms (`!Sub`, `!GetAtt` …) written out as they are in JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

try:
    # The same by libyaml, in an eighth of the time.
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

TEMPLATE = Path(__file__).parent / "template.yaml"
_BARE = ("Ref", "Condition")


class _Loader(SafeLoader):
    """Knows the short forms too."""


def _intrinsic(loader: SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)  # noqa: S101  YAML has no fourth kind
        value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in _BARE else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def load(path: Path = TEMPLATE) -> dict[str, Any]:
    """Return a template as CloudFormation reads it."""
    template: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  a SafeLoader that knows more tags
    return template
