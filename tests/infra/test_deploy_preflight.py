"""Errors that end a deploy before it begins: a wrong stage, credentials, region or stack.

Each is told in a sentence that says what to type, by `chalice deploy` and by our own commands.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from botocore.exceptions import (
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from chalice.config import Config
from chalice.deploy.validate import validate_configuration

from app import app
from infra.command import before_chalice
from infra.deploy.cloud import GATEWAY_STAGE, ROOT, CliError, Cloud, enter, explained, reach
from tests.cloud import client_error
from tests.infra.account import Account
from tests.infra.cloudformation import ACCOUNT, REGION
from tests.infra.test_project import config
from tests.soak import only_in_soak


class Services:
    """Makes clients whose every call raises an error, or returns an answer."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.asked: list[str] = []

    def __call__(self, service: str) -> Any:
        self.asked.append(service)
        return self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            if isinstance(self.outcome, Exception):
                raise self.outcome
            return self.outcome

        return call


@pytest.mark.parametrize(
    ("environment", "region"),
    [
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}, "eu-west-1"),
    ],
)
def test_the_region_is_the_one_that_the_aws_cli_takes(
    environment: dict[str, str], region: str, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    cloud = reach()
    assert (cloud.account, cloud.region, cloud.partition) == (ACCOUNT, region, "aws")
    assert cloud.client("sqs").meta.region_name == region
    assert cloud.client("sqs") is cloud.client("sqs")
    # Chalice reads this one alone.
    assert os.environ["AWS_DEFAULT_REGION"] == region


def said(code: str, message: str) -> Any:
    error = client_error(code, "GetCallerIdentity", 403)
    error.args = (message,)
    return error


@pytest.mark.parametrize(
    ("error", "why", "command"),
    [
        (NoCredentialsError(), "no valid AWS credentials", "aws configure"),
        (
            PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
            "AWS_SECRET_ACCESS_KEY",
            "aws configure",
        ),
        (UnauthorizedSSOTokenError(), "no valid AWS credentials", "aws sso login"),
        (
            TokenRetrievalError(provider="sso", error_msg="expired"),
            "no valid AWS credentials",
            "aws sso login",
        ),
        (ProfileNotFound(profile="nobody"), "nobody", "aws configure"),
        (
            EndpointConnectionError(endpoint_url="https://sts.eu-cental-1.amazonaws.com/"),
            "eu-cental-1",
            "check region and network",
        ),
        (said("ExpiredToken", "expired"), "no valid AWS credentials", "aws sso login"),
        (said("InvalidClientTokenId", "invalid"), "no valid AWS credentials", "has not enabled"),
        (
            said("SignatureDoesNotMatch", "Signature expired: 1 is now earlier than 2"),
            "the clock of this computer",
            "set it",
        ),
        (said("AccessDenied", "no"), "AWS denied a permission", "infra/deploy/policy.json"),
        (said("ThrottlingException", "slow down"), "slow down", "repeat the command"),
        (
            said("ValidationError", "Parameters: [Email]"),
            "[Email]",
            "refuses the template or a param",
        ),
    ],
)
def test_what_aws_refuses_is_told_with_what_to_do(
    account: Account, error: Any, why: str, command: str
) -> None:
    told = str(explained(error))
    assert why in told
    assert command in told

    def connect() -> Cloud:
        raise error

    object.__setattr__(account, "connect", connect)
    assert account.types("stack --stage dev") == 1
    assert told in account.err
    assert account.cloudformation.calls == []


def chalice(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Type a command of Chalice's, with no AWS but what the environment names."""
    made = {
        "PATH": os.environ["PATH"],
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        "AWS_EC2_METADATA_DISABLED": "true",
        **environment,
    }
    command = [
        sys.executable,
        "-c",
        "import sys; from chalice.cli import main; sys.exit(main())",
        *arguments,
    ]
    return subprocess.run(
        command, cwd=folder, env=made, capture_output=True, text=True, check=False
    )


KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


@pytest.mark.parametrize(
    ("line", "environment", "sentence"),
    [
        (
            "deploy --stage dev",
            {},
            "no AWS region is set: `export AWS_REGION=…`, or `aws configure set region …`, first (",
        ),
        (
            "deploy --stage dev",
            {"AWS_REGION": REGION},
            "there are no valid AWS credentials: log in first, with `aws configure` for keys",
        ),
        pytest.param(
            "deploy --stage dev --profile nobody",
            {},
            "there are no valid AWS credentials: log in first, with `aws configure` for keys",
            marks=only_in_soak,
        ),
        pytest.param(
            "deploy --stage staging",
            {},
            "there is no stage 'staging' to deploy: .chalice/config.json has dev, prod (stages",
            marks=only_in_soak,
        ),
        pytest.param(
            "deploy --stage local",
            {},
            "there is no stage 'local' to deploy: .chalice/config.json has dev, prod (stages",
            marks=only_in_soak,
        ),
        ("package --stage dev out", {}, "Resona has no package: "),
    ],
)
def test_chalice_as_typed_ends_with_one_sentence(
    line: str, environment: dict[str, str], sentence: str
) -> None:
    done = chalice(ROOT, *line.split(), **environment)
    assert done.returncode == 1
    assert done.stderr.removeprefix("Error: ").startswith(sentence)
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stdout + done.stderr


def test_without_the_stack_and_in_the_wrong_region_the_command_that_comes_first_is_told(
    account: Account,
) -> None:
    assert account.types("chalice deploy --stage dev") == 1
    first = "type `.venv/bin/python -m infra.deploy stack --stage dev` first\n"
    assert account.err == f"Error: there is no complete stack resona-dev in {REGION}: {first}"
    assert account.types("stack --stage dev") == 0
    done = account.chalice(
        account.checkout, "deploy", "--stage", "dev", AWS_DEFAULT_REGION="us-east-1"
    )
    assert done.returncode == 1
    told = (
        f"the stage dev is in {REGION}, not in us-east-1: set AWS_REGION={REGION}, or add a stage "
        "of another name"
    )
    assert done.stderr == f"Error: {told}; role names are the account's, not a region's\n"
    account.recorded()
    here = account.connect

    def elsewhere() -> Cloud:
        return Cloud(here().client, ACCOUNT, "us-east-1")

    object.__setattr__(account, "connect", elsewhere)
    for line in (
        "stack --stage dev",
        "finish --stage dev",
        "smoke --stage dev",
        "destroy --stage dev --yes",
    ):
        assert account.types(line) == 1
        assert f"the stage dev is in {REGION}, not in us-east-1" in account.err
    assert account.written() == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("CORS_ORIGINS", "must hold origins"),
        pytest.param("CONCURRENCY", "must be a whole number from 2 to 1000", marks=only_in_soak),
    ],
)
def test_a_setting_that_cannot_be_read_is_told(account: Account, name: str, sentence: str) -> None:
    assert account.types("stack --stage dev") == 0
    path = account.checkout / ".chalice" / "config.json"
    wrong = f'{{"RESONA_STAGE": "dev", "RESONA_{name}": "x"}}'
    path.write_text(path.read_text().replace('{"RESONA_STAGE": "dev"}', wrong))
    assert account.types("chalice deploy --stage dev") == 1
    assert f"RESONA_{name} {sentence}" in account.err
    assert account.err.endswith(": correct it in .chalice/config.json\n")
    assert account.err.count("\n") == 1


def test_only_commands_that_deploy_are_looked_at() -> None:
    """Another command of Chalice's, and a program that imports the app, go on."""
    before_chalice()
    with click.Context(click.Command("logs"), info_name="logs"):
        before_chalice()


@pytest.mark.parametrize("parameter", ["Stage=x", "Running=false", "AlarmEmail"])
def test_a_parameter_that_is_none_is_refused(parameter: str, account: Account) -> None:
    assert account.types(f"stack --stage dev --parameter {parameter}") == 1
    assert "give Name=value" in account.err
    assert account.cloudformation.calls == []


def test_a_parameter_of_another_command_is_refused(account: Account) -> None:
    assert account.types("finish --stage dev --parameter AlarmEmail=you@example.com") == 2
    assert "No such option" in account.err


@pytest.mark.parametrize("stage", ["", "local", "Dev", "dev-1", "staging"])
def test_a_stage_that_cannot_be_deployed_is_told_before_aws_is_asked(stage: str) -> None:
    def connect() -> Cloud:
        raise AssertionError("AWS was asked")

    with pytest.raises(CliError) as trouble:
        enter(stage, connect)
    told = f"there is no stage {stage!r} to deploy: .chalice/config.json has dev, prod (stages"
    assert str(trouble.value).startswith(told)


def test_the_stage_of_api_gateway_is_the_configuration_s() -> None:
    assert config()["api_gateway_stage"] == GATEWAY_STAGE


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_the_stages_of_the_configuration_can_be_deployed(stage: str) -> None:
    enter(stage, lambda: Cloud(Services(client_error("NoSuchEntity", "GetRole")), ACCOUNT, REGION))
    validate_configuration(
        Config(
            stage,
            user_provided_params={"chalice_app": app, "project_dir": str(ROOT)},
            config_from_disk=config(),
        )
    )


@pytest.mark.parametrize("code", ["NoSuchEntity", "AccessDenied"])
def test_the_region_of_a_stage_is_unknown_where_there_is_no_role_to_look_at(code: str) -> None:
    services = Services(client_error(code, "GetRole", 404))
    enter("dev", lambda: Cloud(services, ACCOUNT, REGION))
    assert services.asked == ["iam"]


def test_the_region_of_a_stage_is_the_one_of_its_scheduler_s_role() -> None:
    arn = f"arn:aws:scheduler:us-east-1:{ACCOUNT}:schedule-group/resona-dev"
    policy = {"Condition": {"StringEquals": {"aws:SourceArn": arn}}}
    services = Services({"Role": {"AssumeRolePolicyDocument": policy}})
    enter("dev", lambda: Cloud(services, ACCOUNT, "us-east-1"))
    with pytest.raises(
        CliError,
        match="the stage dev is in us-east-1, not in eu-central-1: set AWS_REGION=us-east-1",
    ):
        enter("dev", lambda: Cloud(services, ACCOUNT, REGION))
