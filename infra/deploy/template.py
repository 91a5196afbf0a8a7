"""infra/template.yaml as CloudFormation is given it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.deploy.trouble import Trouble
from infra.template import TEMPLATE, load

# CreateChangeSet takes no longer one in its request.
_LONGEST = 51_200


@dataclass(frozen=True, slots=True)
class Template:
    """`text` is what CloudFormation is given, `parsed` what it says, short forms written out."""

    text: str
    parsed: dict[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters by name."""
        found: dict[str, Any] = self.parsed.get("Parameters", {})
        return found

    def resources(self, stage: str) -> dict[str, dict[str, Any]]:
        """Return the resources by logical name, with the stage's name wherever a `Sub` or `Ref`
        asks for it.
        """
        return {name: _filled(body, stage) for name, body in self.parsed["Resources"].items()}


def read(path: Path = TEMPLATE) -> Template:
    """Read the template; if it is too long for a request, without what only people read.

    Raises Trouble if it still is.
    """
    text = path.read_text(encoding="utf-8")
    parsed = load(path)
    if len(text.encode()) > _LONGEST:
        text = json.dumps(parsed, separators=(",", ":"), default=str)
    if len(text.encode()) > _LONGEST:
        raise Trouble(
            f"{path.name} is longer than the {_LONGEST:,} bytes that CloudFormation takes",
            "shorten it, the dashboard above all.",
        )
    return Template(text, parsed)


def _filled(value: Any, stage: str) -> Any:
    if isinstance(value, dict):
        if value == {"Ref": "Stage"}:
            return stage
        if value.keys() == {"Fn::Sub"} and isinstance(value["Fn::Sub"], str):
            text = value["Fn::Sub"].replace("${Stage}", stage)
            return {"Fn::Sub": text} if "${" in text else text
        return {key: _filled(member, stage) for key, member in value.items()}
    if isinstance(value, list):
        return [_filled(member, stage) for member in value]
    return value
