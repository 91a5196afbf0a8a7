"""What is handed to Chalice: the app, its configuration and its policies for one stage."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from chalice.app import SQSEventConfig
from chalice.config import Config
from chalice.deploy.validate import validate_configuration

from app import app
from chalicelib.config import read_api_key_settings, read_settings
from chalicelib.handlers.authorizer import REMEMBERED_SECONDS
from infra import project
from infra.local.template import read_template
from infra.project import API, OutputMissing, environment, environment_to_merge, references, render
from infra.template import load
from tests.infra.functions import STAGE, functions

ARN = "arn:aws:made:eu-central-1:123456789012:"
OUTPUTS = {name: f"{ARN}{name}" for name in references()}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of what a rendered project is made from."""
    made = tmp_path / "checkout"
    ignore = shutil.ignore_patterns("__pycache__", "deployed", "deployments")
    for name in (".chalice", "chalicelib"):
        shutil.copytree(project.ROOT / name, made / name, ignore=ignore)
    for name in ("app.py", "requirements.txt"):
        shutil.copy(project.ROOT / name, made / name)
    return made


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / ".chalice" / name).read_text(encoding="utf-8"))


def test_a_project_holds_what_chalice_needs_and_nothing_else(
    checkout: Path, tmp_path: Path
) -> None:
    render("dev", OUTPUTS, tmp_path / "build", checkout)
    assert {path.name for path in (tmp_path / "build").iterdir()} == {
        ".chalice",
        "app.py",
        "chalicelib",
        "requirements.txt",
    }
    policies = {f"policy-{name}.json" for name in ("api", "wake", "deliver", "sweep", "authorizer")}
    assert {path.name for path in (tmp_path / "build" / ".chalice").iterdir()} == {
        "config.json",
        "deployed",
        *policies,
    }
    assert (tmp_path / "build" / "chalicelib" / "executor.py").read_bytes() == (
        checkout / "chalicelib" / "executor.py"
    ).read_bytes()


def test_to_be_deployed_everything_is_filled_in(checkout: Path, tmp_path: Path) -> None:
    render("dev", OUTPUTS, tmp_path / "build", checkout)
    for path in (tmp_path / "build" / ".chalice").glob("*.json"):
        assert "${" not in path.read_text(encoding="utf-8")
    (statement,) = [
        one
        for one in read(tmp_path / "build", "policy-api.json")["Statement"]
        if one["Sid"] == "Lists"
    ]
    assert statement["Resource"] == [f"{ARN}JobsTableArn/index/by_tenant"]


def test_to_be_packaged_policies_and_environments_refer_to_the_template(
    checkout: Path, tmp_path: Path
) -> None:
    render("dev", references(), tmp_path / "build", checkout)
    (statement,) = [
        one
        for one in read(tmp_path / "build", "policy-api.json")["Statement"]
        if one["Sid"] == "Lists"
    ]
    assert statement["Resource"] == [{"Fn::Sub": "${JobsTable.Arn}/index/by_tenant"}]
    merged = environment_to_merge("dev")
    assert merged["wake"]["RESONA_JOBS_TABLE"] == {"Fn::Sub": "${JobsTable}"}
    assert merged["wake"]["RESONA_STAGE"] == "dev"
    written = json.dumps(
        [
            merged,
            *(
                read(tmp_path / "build", path.name)
                for path in (checkout / ".chalice").glob("policy-*.json")
            ),
        ]
    )
    named = {name.split(".")[0] for name in re.findall(r"\$\{([\w.:]+)\}", written)}
    assert named <= {
        *load()["Resources"],
        "Stage",
        "AWS::Partition",
        "AWS::Region",
        "AWS::AccountId",
    }


def test_an_output_that_the_stack_has_not_is_named(checkout: Path, tmp_path: Path) -> None:
    old = {name: value for name, value in OUTPUTS.items() if name != "FailedQueueArn"}
    with pytest.raises(OutputMissing, match="FailedQueueArn"):
        render("dev", old, tmp_path / "build", checkout)


def test_every_function_has_the_settings_that_it_reads_and_the_authorizer_alone_knows_the_keys() -> (
    None
):
    given = environment("dev", OUTPUTS)
    assert given.keys() == functions().keys()
    for function in given.keys() - {"authorizer"}:
        settings = read_settings(given[function])
        assert (settings.stage, settings.secrets_key) == ("dev", f"{ARN}SecretsKeyArn")
        assert "RESONA_KEYS_TABLE" not in given[function]
    keys = read_api_key_settings(given["authorizer"])
    assert given["authorizer"] == {"RESONA_STAGE": keys.stage, "RESONA_KEYS_TABLE": keys.keys_table}


def test_what_a_stage_is_given_by_hand_stays(checkout: Path, tmp_path: Path) -> None:
    config = read(checkout, "config.json")
    own = {"RESONA_JOBS_QUOTA": "5"}
    config["stages"]["mine"] = {
        "environment_variables": own,
        "lambda_functions": {"deliver": {"lambda_memory_size": 2048}},
    }
    (checkout / ".chalice" / "config.json").write_text(json.dumps(config))
    render("mine", OUTPUTS, tmp_path / "build", checkout)
    rendered = Config(
        chalice_stage="mine",
        function_name="deliver",
        config_from_disk=read(tmp_path / "build", "config.json"),
    )
    assert rendered.environment_variables == {**environment("mine", OUTPUTS)["deliver"], **own}
    assert (rendered.lambda_memory_size, rendered.lambda_timeout) == (2048, 660)


def test_a_stage_is_traced_if_it_is_to_be(checkout: Path, tmp_path: Path) -> None:
    config = read(checkout, "config.json")
    config["stages"]["dev"]["xray"] = True
    (checkout / ".chalice" / "config.json").write_text(json.dumps(config))
    for stage, sids in (("dev", ["Keys", "Logs", "Traces"]), ("prod", ["Keys", "Logs"])):
        render(stage, OUTPUTS, tmp_path / "build", checkout)
        assert [
            statement["Sid"]
            for statement in read(tmp_path / "build", "policy-authorizer.json")["Statement"]
        ] == sids
        rendered = Config(
            chalice_stage=stage,
            function_name="authorizer",
            config_from_disk=read(tmp_path / "build", "config.json"),
        )
        assert bool(rendered.xray_enabled) == ("Traces" in sids)


@pytest.mark.parametrize("stage", ["dev", "prod", "mine"])
@pytest.mark.parametrize("outputs", [OUTPUTS, references()], ids=["deployed", "packaged"])
def test_chalice_takes_what_is_rendered_for_any_stage(
    stage: str, outputs: dict[str, str], checkout: Path, tmp_path: Path
) -> None:
    render(stage, outputs, tmp_path / "build", checkout)
    given = {"chalice_app": app, "project_dir": str(tmp_path / "build")}
    validate_configuration(
        Config(
            stage,
            user_provided_params=given,
            config_from_disk=read(tmp_path / "build", "config.json"),
        )
    )


def test_what_chalice_remembers_of_its_deploys_stays_in_the_checkout(
    checkout: Path, tmp_path: Path
) -> None:
    for answer in ("first", "second"):
        render("dev", OUTPUTS, tmp_path / "build", checkout)
        (tmp_path / "build" / ".chalice" / "deployed" / f"{answer}.json").write_text(answer)
    assert {path.name for path in (checkout / ".chalice" / "deployed").iterdir()} == {
        "first.json",
        "second.json",
    }


def test_nothing_of_an_earlier_rendering_is_left(checkout: Path, tmp_path: Path) -> None:
    render("dev", OUTPUTS, tmp_path / "build", checkout)
    (tmp_path / "build" / "chalicelib" / "removed_since.py").write_text("")
    render("dev", OUTPUTS, tmp_path / "build", checkout)
    assert not (tmp_path / "build" / "chalicelib" / "removed_since.py").exists()


# What was chosen for the functions; docs/design.md has the reasons.


def test_functions_run_on_arm_behind_a_regional_api() -> None:
    config = read(project.ROOT, "config.json")
    assert {function.architecture for function in functions().values()} == {"arm64"}
    assert config["api_gateway_endpoint_type"] == "REGIONAL"
    assert functions()[API].function_name == f"resona-{STAGE}"


def test_no_function_is_given_less_time_than_it_may_need() -> None:
    timeouts = {name: function.timeout for name, function in functions().items()}
    # API Gateway answers 504 after 29 s, whatever is still under way.
    assert timeouts[API] == 29
    # The longest attempt, and what is around it.
    assert timeouts["deliver"] == 660 <= read_template(STAGE).queues[0]["VisibilityTimeout"]
    # A sweep stops of itself after 45 s, and the next comes after 60.
    assert 45 < timeouts["sweep"] <= 60
    assert timeouts["authorizer"] < 29 < REMEMBERED_SECONDS


def test_no_function_has_the_memory_that_chalice_gives_or_a_concurrency_reserved() -> None:
    assert all(function.memory_size >= 512 for function in functions().values())
    assert {function.reserved_concurrency for function in functions().values()} == {None}


def test_the_queue_s_batches_and_their_number_are_bounded() -> None:
    (source,) = [source for source in app.event_sources if isinstance(source, SQSEventConfig)]
    assert (
        source.batch_size,
        source.maximum_batching_window_in_seconds,
        source.maximum_concurrency,
    ) == (10, 0, 800)
