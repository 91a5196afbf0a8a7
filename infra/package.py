"""Package a stage for those whose pipeline deploys CloudFormation: `make package STAGE=dev`.

One zip, and one template: what `chalice package` makes of the functions and the API, with
infra/template.yaml merged in, and with what `make deploy` sets by calls: names, retries and their
ends, what API Gateway answers itself, throttling, access logs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from chalicelib.config import SettingMissing, read_origins
from chalicelib.domain.api_keys import STAGE
from infra.deploy import answers, asynchronous, recursion
from infra.deploy.cloud import Names
from infra.deploy.gateway import BURST, FORMAT, RATE
from infra.project import API, ROOT, environment_to_merge, references, render, substituted
from infra.template import load

ARCHITECTURES = ("arm64", "x86_64")
TEMPLATE, ZIP = "sam.json", "deployment.zip"

# What Chalice's template calls a function, and its role; what ours calls its log group.
_LOGICAL = {
    API: ("APIHandler", "ApiHandlerRole", "ApiLogs"),
    "wake": ("Wake", "WakeRole", "WakeLogs"),
    "deliver": ("Deliver", "DeliverRole", "DeliverLogs"),
    "sweep": ("Sweep", "SweepRole", "SweepLogs"),
    "authorizer": ("Authorizer", "AuthorizerRole", "AuthorizerLogs"),
}
_ROLE, _HAS_ROLE = "GatewayLogsRoleOfAccount", "HasGatewayLogsRole"


class NotPackaged(Exception):
    """Chalice did not package; its own words say why."""


def package(
    stage: str, into: Path, architecture: str = "arm64", say: Callable[[str], None] = print
) -> Path:
    """Write the zip and the template into a folder, in the place of whatever is there; return the
    template's path.

    The zip is for the version of Python that runs this. Raises NotPackaged, and SettingMissing for
    what is no origin.
    """
    shutil.rmtree(into, ignore_errors=True)
    project = into / "project"
    render(stage, references(), project)
    config = project / ".chalice" / "config.json"
    settings = {
        **json.loads(config.read_text(encoding="utf-8")),
        "lambda_architecture": architecture,
    }
    config.write_text(json.dumps(settings), encoding="utf-8")
    merged = project / "merged.json"
    merged.write_text(json.dumps(to_merge(stage, _origins(settings, stage))), encoding="utf-8")
    say(
        f"Packaging {stage} for Python {sys.version_info.major}.{sys.version_info.minor} on {architecture}"
    )
    chalice = [
        sys.executable,
        "-c",
        "import sys; from chalice.cli import main; sys.exit(main())",
        "--project-dir",
        str(project),
    ]
    arguments = ["package", "--stage", stage, "--merge-template", str(merged), str(into)]
    # What it makes is the same for every region; it asks for one all the same.
    environment = {"AWS_DEFAULT_REGION": "us-east-1", **os.environ}
    done = subprocess.run(  # noqa: S603
        [*chalice, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise NotPackaged(done.stdout + done.stderr)
    shutil.rmtree(project)
    _forget_times(into / ZIP)
    return into / TEMPLATE


def to_merge(stage: str, origins: frozenset[str]) -> dict[str, Any]:
    """Return what Chalice merges into its template: ours, and over its functions and its API what
    it cannot say.
    """
    template = load()
    # The zip is for any stage; the API's name is not.
    template["Parameters"]["Stage"] |= {"Default": stage, "AllowedValues": [stage]}
    template["Parameters"][_ROLE] = {
        "Type": "String",
        "Default": "",
        "Description": "The role that API Gateway has for logs in this account and region (aws apigateway get-account); empty for none.",
    }
    template["Conditions"][_HAS_ROLE] = {"Fn::Not": [{"Fn::Equals": [{"Ref": _ROLE}, ""]}]}
    resources: dict[str, Any] = template["Resources"]
    resources |= _functions(Names(stage)) | _api(origins)
    return template


def _forget_times(path: Path) -> None:
    """Write a zip anew, without what a checkout and a user's umask add: the same commit makes the
    same bytes, which are deployed once.
    """
    with ZipFile(path) as made:
        contents = {name: made.read(name) for name in sorted(made.namelist())}
    with ZipFile(path, "w") as again:
        for name, content in contents.items():
            entry = ZipInfo(name)
            entry.compress_type, entry.external_attr = ZIP_DEFLATED, 0o644 << 16
            again.writestr(entry, content)


def command(stage: str, template: Path) -> str:
    """Return what deploys a package.

    The template is larger than what can be sent without a bucket.
    """
    packaged = template.with_name("packaged.yaml")
    return (
        f"aws cloudformation package --template-file {template} --s3-bucket BUCKET --output-template-file {packaged} && "
        f"aws cloudformation deploy --template-file {packaged} --s3-bucket BUCKET --stack-name {Names(stage).stack} "
        "--capabilities CAPABILITY_NAMED_IAM CAPABILITY_AUTO_EXPAND"
    )


def _functions(names: Names) -> dict[str, Any]:
    variables = environment_to_merge(names.stage)
    made: dict[str, Any] = {}
    for function, (logical, role, logs) in _LOGICAL.items():
        properties: dict[str, Any] = {
            "FunctionName": names.functions[function],
            "Environment": {"Variables": variables[function]},
        }
        if function in asynchronous.SETTINGS:
            failed = {"Type": "SQS", "Destination": {"Fn::GetAtt": ["FailedQueue", "Arn"]}}
            properties["EventInvokeConfig"] = {
                **asynchronous.SETTINGS[function],
                "DestinationConfig": {"OnFailure": failed},
            }
        if function == recursion.PART:
            properties["RecursiveLoop"] = recursion.ALLOW
        # Else a first call makes the group, before the template does, and what is in it is kept for
        # ever.
        made[logical] = {"DependsOn": logs, "Properties": properties}
        made[role] = {"Properties": {"RoleName": names.roles[function]}}
    made["Sweep"]["Properties"]["Events"] = {"SweepEvent": {"Properties": {"Name": names.rule}}}
    return made


def _api(origins: frozenset[str]) -> dict[str, Any]:
    throttling = {
        "HttpMethod": "*",
        "ResourcePath": "/*",
        "ThrottlingRateLimit": RATE,
        "ThrottlingBurstLimit": BURST,
    }
    properties = {
        "DefinitionBody": {"x-amazon-apigateway-gateway-responses": answers.wanted(origins)},
        # Without it SAM makes a second stage, called Stage.
        "OpenApiVersion": "2.0",
        "MethodSettings": [throttling],
        "AccessLogSetting": {
            "DestinationArn": substituted(references()["AccessLogsArn"]),
            "Format": FORMAT,
        },
    }
    # A template cannot see whether the account has one; to set the one it has changes nothing.
    role = {"Fn::If": [_HAS_ROLE, {"Ref": _ROLE}, {"Fn::GetAtt": ["GatewayLogsRole", "Arn"]}]}
    kept = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
    account = {
        "Type": "AWS::ApiGateway::Account",
        **kept,
        "Properties": {"CloudWatchRoleArn": role},
    }
    return {
        "GatewayAccount": account,
        "RestAPI": {"DependsOn": "GatewayAccount", "Properties": properties},
    }


def _origins(settings: dict[str, Any], stage: str) -> frozenset[str]:
    """Return the origins of the API's environment, which Chalice puts together from what is said
    for all, for a stage, for a function.
    """
    own = settings["stages"][stage]
    function = own.get("lambda_functions", {}).get(API, {})
    return read_origins(
        {
            name: text
            for part in (settings, own, function)
            for name, text in part.get("environment_variables", {}).items()
        }
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m infra.package", description="Package a stage for CloudFormation."
    )
    parser.add_argument("--stage", required=True)
    parser.add_argument("--architecture", choices=ARCHITECTURES, default=ARCHITECTURES[0])
    given = parser.parse_args(arguments)
    if not STAGE.fullmatch(given.stage) or given.stage == "local":
        parser.error(
            f"{given.stage!r} cannot be deployed: give 1 to 16 lower-case letters and digits, a letter first, and not local"
        )
    try:
        template = package(
            given.stage, ROOT / ".build" / f"package-{given.stage}", given.architecture
        ).relative_to(ROOT)
    except (NotPackaged, SettingMissing) as error:
        print(error, file=sys.stderr)
        return 1
    size = (ROOT / template).with_name(ZIP).stat().st_size
    print(
        f"{template} and {template.with_name(ZIP)} ({size / 1e6:.2f} MB): deploy them with a bucket of yours in the stage's region,"
    )
    print(command(given.stage, template))
    return 0


if __name__ == "__main__":
    sys.exit(main())
