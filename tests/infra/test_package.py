"""What `make package` makes: the zip as Lambda gets it, and a template with all that `make deploy`
sets by calls.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chalicelib.domain.api_keys import STAGE
from infra.deploy import answers, asynchronous, recursion
from infra.deploy.cloud import Names
from infra.deploy.gateway import BURST, FORMAT, RATE
from infra.package import TEMPLATE, ZIP, command, main, package, to_merge
from infra.project import API, environment_to_merge
from infra.template import load
from tests.infra import rules
from tests.soak import only_in_soak

# It is built once.
pytestmark = pytest.mark.xdist_group("package")

LARGEST = 5_000_000
LOGICAL = {
    API: "APIHandler",
    "wake": "Wake",
    "deliver": "Deliver",
    "sweep": "Sweep",
    "authorizer": "Authorizer",
}


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the package of the stage `prod`.

    What it needs comes from the package registry, for Lambda's architecture.
    """
    folder = tmp_path_factory.mktemp("package")
    package("prod", folder, say=lambda text: None)
    return folder


@pytest.fixture(scope="module")
def template(packaged: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((packaged / TEMPLATE).read_text())
    return made


def functions(template: Mapping[str, Any]) -> dict[str, Any]:
    return rules.resources(template, "AWS::Serverless::Function")


def test_a_package_is_a_zip_and_a_template_and_nothing_else(packaged: Path) -> None:
    assert {path.name for path in packaged.iterdir()} == {TEMPLATE, ZIP}


def test_the_zip_is_small(packaged: Path) -> None:
    assert (packaged / ZIP).stat().st_size <= LARGEST


def test_the_zip_holds_what_is_required_compiled_for_arm(packaged: Path) -> None:
    with zipfile.ZipFile(packaged / ZIP) as made:
        names = made.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert tops >= {
        "app.py",
        "chalicelib",
        "chalice",
        "requests",
        "urllib3",
        "pydantic",
        "pydantic_core",
        "ulid",
        "tzdata",
        "certifi",
    }
    # Lambda has these; the laptop's cloud and the tests are no business of it.
    assert not tops & {"boto3", "botocore", "infra", "tests", ".chalice", "moto"}
    compiled = [name for name in names if name.endswith(".so")]
    assert any(name.startswith("pydantic_core/") for name in compiled)
    assert all(
        f"cpython-3{sys.version_info.minor}-aarch64-linux-gnu" in name for name in compiled
    ), compiled


@only_in_soak
def test_the_same_makes_the_same_bytes_whenever_it_was_checked_out_and_by_whom(
    packaged: Path, tmp_path: Path
) -> None:
    """Else every run of a pipeline would deploy."""
    package("prod", tmp_path, say=lambda text: None)
    assert (tmp_path / TEMPLATE).read_bytes() == (packaged / TEMPLATE).read_bytes()
    assert (tmp_path / ZIP).read_bytes() == (packaged / ZIP).read_bytes()
    with zipfile.ZipFile(packaged / ZIP) as made:
        assert {(entry.date_time, entry.external_attr >> 16) for entry in made.infolist()} == {
            ((1980, 1, 1, 0, 0, 0), 0o644)
        }


def test_cfn_lint_finds_nothing_in_the_template(packaged: Path) -> None:
    lint = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", packaged / TEMPLATE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (lint.returncode, lint.stdout) == (0, "")


@pytest.mark.parametrize(
    "rule",
    [
        "wide_actions",
        "wide_resources",
        "managed_policies",
        "open_queues",
        "careless_tables",
        "unwatched",
    ],
)
def test_the_template_keeps_the_rules_of_ours(template: dict[str, Any], rule: str) -> None:
    assert getattr(rules, rule)(template) == []
    assert len(list(rules.statements(template))) > 25


def test_every_function_has_its_log_group_and_none_a_secret(template: dict[str, Any]) -> None:
    names = [
        made["FunctionName"].replace("resona-prod", "resona-${Stage}")
        for made in functions(template).values()
    ]
    assert rules.unkept_logs(template, names) == []
    assert rules.secrets_in_environments(rules.environments(template)) == []


def test_all_of_our_template_is_in_it(template: dict[str, Any]) -> None:
    ours = load()
    for name, resource in ours["Resources"].items():
        assert template["Resources"][name] == resource, name
    for name, output in ours["Outputs"].items():
        assert template["Outputs"][name] == output, name
    for name in ours["Parameters"].keys() - {"Stage"}:
        assert template["Parameters"][name] == ours["Parameters"][name], name


def test_functions_are_named_and_set_as_a_deploy_does_it(template: dict[str, Any]) -> None:
    names, variables = Names("prod"), environment_to_merge("prod")
    assert functions(template).keys() == set(LOGICAL.values())
    for function, logical in LOGICAL.items():
        properties = functions(template)[logical]
        assert properties["FunctionName"] == names.functions[function]
        assert properties["Environment"]["Variables"] == variables[function]
        assert properties["Architectures"] == ["arm64"]
        assert properties["Role"] == {
            "Fn::GetAtt": [(role := logical.replace("API", "Api") + "Role"), "Arn"]
        }
        assert template["Resources"][role]["Properties"]["RoleName"] == names.roles[function]
        # The group is there before anything can be called.
        logs = template["Resources"][template["Resources"][logical]["DependsOn"]]
        assert (
            logs["Properties"]["LogGroupName"]["Fn::Sub"].replace("${Stage}", "prod")
            == f"/aws/lambda/{names.functions[function]}"
        )


def test_what_fires_may_be_invoked_by_what_it_wrote_as_a_deploy_has_it(
    template: dict[str, Any],
) -> None:
    found = {
        logical: made["RecursiveLoop"]
        for logical, made in functions(template).items()
        if "RecursiveLoop" in made
    }
    assert found == {LOGICAL[recursion.PART]: recursion.ALLOW}


def test_what_nobody_waits_for_is_repeated_and_given_up_as_a_deploy_does_it(
    template: dict[str, Any],
) -> None:
    found = {
        logical: made["EventInvokeConfig"]
        for logical, made in functions(template).items()
        if "EventInvokeConfig" in made
    }
    failed = {"OnFailure": {"Type": "SQS", "Destination": {"Fn::GetAtt": ["FailedQueue", "Arn"]}}}
    assert found == {
        LOGICAL[name]: {**settings, "DestinationConfig": failed}
        for name, settings in asynchronous.SETTINGS.items()
    }


def test_the_sweeper_runs_every_minute_and_the_due_queue_is_delivered(
    template: dict[str, Any],
) -> None:
    (sweep,) = functions(template)["Sweep"]["Events"].values()
    assert sweep == {
        "Type": "Schedule",
        "Properties": {"Schedule": "rate(1 minute)", "Name": Names("prod").rule},
    }
    (deliver,) = functions(template)["Deliver"]["Events"].values()
    assert deliver["Type"] == "SQS"
    assert deliver["Properties"]["Queue"]["Fn::Sub"].endswith(":${DueQueue.QueueName}")


def test_the_api_answers_throttles_and_logs_as_a_deploy_has_it(template: dict[str, Any]) -> None:
    (api,) = rules.resources(template, "AWS::Serverless::Api").values()
    body = api["DefinitionBody"]
    assert body["x-amazon-apigateway-gateway-responses"] == answers.wanted(frozenset())
    assert body["info"]["title"] == Names("prod").api
    (settings,) = api["MethodSettings"]
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == (RATE, BURST)
    assert api["AccessLogSetting"]["Format"] == FORMAT
    assert api["AccessLogSetting"]["DestinationArn"]["Fn::Sub"].endswith(":log-group:${AccessLogs}")
    assert (api["StageName"], api["EndpointConfiguration"]) == ("api", "REGIONAL")


def test_pages_may_read_what_the_gateway_answers_if_their_origin_may_call() -> None:
    origins = frozenset({"https://app.example.com"})
    made = to_merge("dev", origins)["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    assert made["x-amazon-apigateway-gateway-responses"] == answers.wanted(origins)


def test_a_template_is_of_one_stage(template: dict[str, Any]) -> None:
    assert template["Parameters"]["Stage"]["AllowedValues"] == ["prod"]
    assert template["Parameters"]["Stage"]["Default"] == "prod"
    # Too large to be sent as it is: it goes by a bucket.
    assert "--stack-name resona-prod" in command("prod", Path("sam.json"))
    assert command("prod", Path("sam.json")).count("--s3-bucket") == 2


@pytest.mark.parametrize("stage", ["local", "Prod", "", "a-b", "x" * 17])
def test_what_is_no_stage_is_refused_before_anything_is_built(
    stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stage == "local" or not STAGE.fullmatch(stage)
    with pytest.raises(SystemExit):
        main(["--stage", stage])
    assert "cannot be deployed" in capsys.readouterr().err
