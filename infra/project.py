"""Render the Chalice project of a stage: the app, and `.chalice` with every `${Name}` in it filled
in.

`.chalice/config.json` and the policies beside it name what infra/template.yaml makes by the names
of its outputs. What stands for them comes from one of two places: `chalice deploy` needs the
outputs of the stack that is deployed, as they are; `chalice package` needs `references()`, since
the template that it makes is merged with ours and looks them up itself, when it is deployed.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.template import load

ROOT = Path(__file__).parent.parent
API = "api_handler"
"""What Chalice calls the function of the API.

Its environment is also that in which Chalice imports the app.
"""

_NAME = re.compile(r"\$\{(\w+)\}", re.ASCII)
_SHIPPED = ("app.py", "chalicelib", "requirements.txt")

_SETTINGS = {
    "RESONA_STAGE": "${Stage}",
    "RESONA_JOBS_TABLE": "${JobsTable}",
    "RESONA_RUNS_TABLE": "${RunsTable}",
    "RESONA_DUE_QUEUE_URL": "${DueQueueUrl}",
    "RESONA_SECRETS_TABLE": "${SecretsTable}",
    "RESONA_SECRETS_KEY": "${SecretsKeyArn}",
    "RESONA_SCHEDULE_GROUP": "${ScheduleGroup}",
    "RESONA_WAKE_FUNCTION_ARN": "${WakeFunctionArn}",
    "RESONA_SCHEDULER_ROLE_ARN": "${SchedulerRoleArn}",
}
# Only the authorizer knows the table of keys, and it knows nothing else.
_ENVIRONMENT = {
    API: {**_SETTINGS, "RESONA_DUE_QUEUE": "${DueQueueName}"},
    "wake": _SETTINGS,
    "deliver": _SETTINGS,
    "sweep": _SETTINGS,
    "authorizer": {"RESONA_STAGE": "${Stage}", "RESONA_KEYS_TABLE": "${KeysTable}"},
}

# For a stage whose configuration says `"xray": true`. What writes traces can be held to nothing
# narrower: X-Ray knows no resource for them.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
_TRACES = {
    "Sid": "Traces",
    "Effect": "Allow",
    "Action": ["xray:PutTelemetryRecords", "xray:PutTraceSegments"],
    "Resource": ["*"],
}


class OutputMissing(Exception):
    """The stack has no such output: it is older than this checkout."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"infra/template.yaml, as it is deployed, has no output {name}: deploy it first"
        )


def references() -> dict[str, str]:
    """Return, for each output of the template, what it refers to, written as it stands inside
    `Fn::Sub`.
    """
    return {name: _written(output["Value"]) for name, output in load()["Outputs"].items()}


def environment(stage: str, outputs: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the environment of each function, by Chalice's name for it. Raises OutputMissing."""
    values = {**outputs, "Stage": stage}
    return {
        function: {name: _filled(text, values) for name, text in own.items()}
        for function, own in _ENVIRONMENT.items()
    }


def environment_to_merge(stage: str) -> dict[str, dict[str, Any]]:
    """Return the environment of each function as it must stand in a template that is merged with
    ours.
    """
    return {
        function: {name: substituted(text) for name, text in variables.items()}
        for function, variables in environment(stage, references()).items()
    }


def substituted(text: str) -> str | dict[str, str]:
    """Return a text as it must stand in a template: in `Fn::Sub` if it holds references."""
    return {"Fn::Sub": text} if "${" in text else text


def render(stage: str, outputs: Mapping[str, str], into: Path, checkout: Path = ROOT) -> None:
    """Write the project of a stage into a folder, in the place of whatever is there. Raises
    OutputMissing.

    What Chalice remembers of its deploys stays in the checkout: the folder has a link to it. In
    policies, references become `Fn::Sub`. Chalice takes nothing but texts in environments, so there
    they stay as they are: whoever packages merges `environment_to_merge(stage)` over them.
    """
    shutil.rmtree(into, ignore_errors=True)
    (into / ".chalice").mkdir(parents=True)
    for name in _SHIPPED:
        if (checkout / name).is_dir():
            shutil.copytree(
                checkout / name, into / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy2(checkout / name, into / name)
    values = {**outputs, "Stage": stage}
    config = _config(checkout, stage, values)
    _write(into / ".chalice" / "config.json", config)
    for policy in (checkout / ".chalice").glob("policy-*.json"):
        document = resolved(json.loads(policy.read_text(encoding="utf-8")), values)
        if config["stages"][stage].get("xray", config.get("xray")):
            document["Statement"].append(_TRACES)
        _write(into / ".chalice" / policy.name, document)
    deployed = checkout / ".chalice" / "deployed"
    deployed.mkdir(exist_ok=True)
    (into / ".chalice" / "deployed").symlink_to(deployed.resolve())


def _config(checkout: Path, stage: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the configuration with this stage alone, one of which it need not know, and each
    function's environment in it.
    """
    config: dict[str, Any] = json.loads(
        (checkout / ".chalice" / "config.json").read_text(encoding="utf-8")
    )
    own: dict[str, Any] = config["stages"].get(stage, {})
    functions: dict[str, Any] = own.setdefault("lambda_functions", {})
    for function, variables in environment(stage, values).items():
        mine = functions.setdefault(function, {})
        mine["environment_variables"] = {**variables, **mine.get("environment_variables", {})}
    return {**config, "stages": {stage: own}}


def resolved(value: Any, values: Mapping[str, str]) -> Any:
    """Return a policy, or a part of one, with its names filled in, and in `Fn::Sub` what still
    holds references. Raises OutputMissing.
    """
    if isinstance(value, dict):
        return {name: resolved(inner, values) for name, inner in value.items()}
    if isinstance(value, list):
        return [resolved(inner, values) for inner in value]
    return substituted(_filled(value, values)) if isinstance(value, str) else value


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise OutputMissing(match[1])
        return values[match[1]]

    return _NAME.sub(value, text)


def _written(value: dict[str, Any]) -> str:
    match value:
        case {"Ref": str(name)}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Sub": str(text)}:
            return text
    raise ValueError(f"an output may be Ref, Fn::GetAtt or Fn::Sub, not {value}")


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
