"""Package a stage for those whose pipeline deploys CloudFormation: `python -m infra.package --stage dev`, or `make package STAGE=dev`.

One zip, and one template: what `chalice package` makes of the functions and the API, with infra/template.yaml in it, and with all that
`make deploy` sets by calls: names, environments, retries and their ends, the gateway's own answers, throttling, access logs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from chalicelib.domain.keys import STAGE
from infra.project import API, ROOT, environment, references, render, substituted
from infra.template import load

# Chalice's name of a function → its logical name in the template that Chalice makes.
_LOGICAL = {API: "APIHandler", "wake": "Wake", "deliver": "Deliver", "sweep": "Sweep", "authorizer": "Authorizer"}
_LOGS = {API: "ApiLogs", "wake": "WakeLogs", "deliver": "DeliverLogs", "sweep": "SweepLogs", "authorizer": "AuthorizerLogs"}
ARCHITECTURES = ("arm64", "x86_64")


class NotPackaged(Exception):
    """Chalice did not package; its own words say why."""


def package(stage: str, into: Path, architecture: str = "arm64") -> Path:
    """Write deployment.zip and sam.json into a folder, in the place of whatever is there; return the template's path.

    The zip is for the Python version that runs this. Raises NotPackaged.
    """
    shutil.rmtree(into, ignore_errors=True)
    project = into / "project"
    render(stage, references(), project)
    _set(project / ".chalice" / "config.json", {"lambda_architecture": architecture})
    merged = project / "merged.json"
    merged.write_text(json.dumps(overlaid(stage)), encoding="utf-8")
    command = [str(Path(sys.executable).parent / "chalice"), "--project-dir", str(project), "package", "--stage", stage]
    # What it makes is the same for every region; it asks for one all the same.
    environ = {"AWS_DEFAULT_REGION": "us-east-1", **os.environ}
    done = subprocess.run([*command, "--merge-template", str(merged), str(into)], env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotPackaged(done.stdout + done.stderr)
    shutil.rmtree(project)
    return into / "sam.json"


def overlaid(stage: str) -> dict[str, Any]:
    """Return what Chalice merges into its template: ours, and over its functions and API what it cannot say."""
    template = load()
    # One package is of one stage: the API's name and the authorizer's keys have it in them.
    template["Parameters"]["Stage"] |= {"Default": stage, "AllowedValues": [stage]}
    variables = environment(stage, references())
    for function, logical in _LOGICAL.items():
        name = f"resona-{stage}" if function == API else f"resona-{stage}-{function}"
        values = {variable: substituted(text) for variable, text in variables[function].items()}
        template["Resources"][logical] = {
            # Else Lambda makes the group itself, at the first call, and keeps what is in it for ever.
            "DependsOn": _LOGS[function],
            "Properties": {"FunctionName": name, "Environment": {"Variables": values}},
        }
    return template


def _set(path: Path, values: dict[str, object]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **values}, indent=2), encoding="utf-8")


def command(stage: str, template: Path) -> str:
    """Return what deploys a package. The template is too large to be sent without a bucket."""
    packaged = template.with_name("packaged.yaml")
    return (
        f"aws cloudformation package --template-file {template} --s3-bucket BUCKET --output-template-file {packaged} && "
        f"aws cloudformation deploy --template-file {packaged} --s3-bucket BUCKET --stack-name resona-{stage} "
        "--capabilities CAPABILITY_NAMED_IAM CAPABILITY_AUTO_EXPAND"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.package", description="Package a stage for CloudFormation.")
    parser.add_argument("--stage", required=True)
    parser.add_argument("--architecture", choices=ARCHITECTURES, default=ARCHITECTURES[0])
    given = parser.parse_args(arguments)
    if not STAGE.fullmatch(given.stage) or given.stage == "local":
        parser.error(f"{given.stage!r} is no stage that can be deployed: give 1 to 16 lower-case letters and digits, a letter first, not local")
    try:
        template = package(given.stage, ROOT / ".build" / given.stage / "package", given.architecture)
    except NotPackaged as error:
        print(error, file=sys.stderr)
        return 1
    shown = template.relative_to(ROOT)
    size = template.with_name("deployment.zip").stat().st_size
    print(f"{shown} and {shown.with_name('deployment.zip')} ({size / 1e6:.2f} MB). With a bucket of yours in the stage's region, deploy them with:")
    print(command(given.stage, shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
