"""What is looked at before a deploy changes anything, and what is said when it will not do."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from infra.deploy import __main__ as command
from infra.deploy import preflight
from infra.deploy.cloud import GATEWAY_STAGE, Cloud, Names
from infra.deploy.trouble import Trouble, explained
from infra.project import ROOT
from tests.cloud import client_error
from tests.infra.account import Account
from tests.infra.cloudformation import ACCOUNT, REGION

CONFIG = ROOT / ".chalice" / "config.json"


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
    ("stage", "why"),
    [
        ("", "is no name of a stage"),
        ("Dev", "is no name of a stage"),
        ("dev-1", "is no name of a stage"),
        ("local", "is the laptop's"),
        ("staging", "there is no stage staging in .chalice/config.json; it has dev and prod"),
    ],
)
def test_a_stage_that_cannot_be_deployed_is_told_before_aws_is_asked(
    stage: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def connect() -> Cloud:
        raise AssertionError("AWS was asked")

    assert command.main(["deploy", "--stage", stage], connect=connect) == 1
    told = capsys.readouterr().err
    assert why in told
    assert "What to do: " in told


@pytest.mark.parametrize("text", ["{", "{}", '{"stages": {"dev": {}},}'])
def test_a_configuration_that_cannot_be_read_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(Trouble, match=r"\.chalice/config\.json cannot be read"):
        preflight.check_stage("dev", tmp_path / "config.json")


def test_the_stage_of_api_gateway_is_the_configuration_s() -> None:
    assert json.loads(CONFIG.read_text())["api_gateway_stage"] == GATEWAY_STAGE


@pytest.fixture
def stops() -> Iterator[None]:
    before = {one: signal.getsignal(one) for one in command._STOPS}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whatever_stops_a_deploy_interrupts_it_once_so_that_it_cleans_up(
    stops: None, sent: signal.Signals
) -> None:
    # A shell's background jobs are begun with SIGINT ignored, and the suite may be one.
    signal.signal(sent, signal.SIG_DFL)
    command.stop_tidily()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), sent)
    for again in command._STOPS:
        os.kill(os.getpid(), again)


def test_what_was_to_be_ignored_is_ignored_as_nohup_has_it(stops: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    command.stop_tidily()
    os.kill(os.getpid(), signal.SIGHUP)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_the_stages_of_the_configuration_can_be_deployed(stage: str) -> None:
    preflight.check_stage(stage, CONFIG)


@pytest.mark.parametrize("python", [(3, 11), (3, 12), (3, 14)])
def test_what_lambda_runs_may_deploy(python: tuple[int, int]) -> None:
    preflight.check_tools(python)


@pytest.mark.parametrize("python", [(3, 10), (3, 15)])
def test_what_lambda_does_not_run_may_not(python: tuple[int, int]) -> None:
    with pytest.raises(Trouble, match=f"does not run Python 3.{python[1]}"):
        preflight.check_tools(python)


def missing(name: str) -> str:
    raise metadata.PackageNotFoundError(name)


@pytest.mark.parametrize(
    ("version", "found"), [(lambda name: "1.31.4", "1.31.4"), (missing, "none")]
)
def test_another_chalice_or_none_is_told(version: Callable[[str], str], found: str) -> None:
    with pytest.raises(Trouble, match=f"Chalice 1.34.0 is needed; here is {found}"):
        preflight.check_tools(version=version)


@pytest.mark.parametrize(
    ("environ", "configured", "region"),
    [
        ({"AWS_REGION": "eu-west-1"}, None, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, None, "eu-west-1"),
        ({"AWS_REGION": "eu-west-1"}, "us-east-1", "eu-west-1"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}, None, "eu-west-1"),
        ({}, "us-east-1", "us-east-1"),
    ],
)
def test_the_region_is_the_one_that_is_named(
    environ: dict[str, str], configured: str | None, region: str
) -> None:
    assert preflight.region_of(environ, configured) == region


def test_no_region_and_two_are_told() -> None:
    with pytest.raises(Trouble, match="no region is named"):
        preflight.region_of({}, None)
    with pytest.raises(
        Trouble, match="AWS_REGION says eu-west-1, AWS_DEFAULT_REGION says us-east-1"
    ):
        preflight.region_of({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}, None)


def said(code: str, message: str) -> ClientError:
    error = client_error(code, "CreateFunction", 403)
    error.response["Error"]["Message"] = message
    return error


@pytest.mark.parametrize(
    ("error", "why", "next_step"),
    [
        (
            said("ExpiredTokenException", "The security token included in the request is expired"),
            "have expired",
            "aws sso login",
        ),
        (
            TokenRetrievalError(provider="sso", error_msg="expired"),
            "cannot be used any more",
            "aws sso login",
        ),
        (UnauthorizedSSOTokenError(), "cannot be used any more", "aws sso login"),
        (NoCredentialsError(), "cannot be used any more", "aws configure"),
        (
            said("InvalidSignatureException", "Signature expired: 1 is now earlier than 2"),
            "the clock of this computer",
            "set it",
        ),
        (
            said("SignatureDoesNotMatch", "Signature not yet current: 2 is still later than 1"),
            "the clock of this computer",
            "set it",
        ),
        (EndpointConnectionError(endpoint_url="https://x/"), "cannot be reached", "the network"),
    ],
)
def test_credentials_and_clocks_that_fail_on_the_way_are_told_with_what_to_do(
    error: Any, why: str, next_step: str
) -> None:
    trouble = explained(error)
    assert why in trouble.why
    assert next_step in trouble.next_step
    assert "run the same command again" in trouble.next_step


def test_a_clock_that_is_wrong_is_not_taken_for_credentials_that_are() -> None:
    error = said(
        "SignatureDoesNotMatch", "Signature expired: 20261124T1 is now earlier than 20261124T2"
    )
    with pytest.raises(Trouble, match="the clock of this computer is not right"):
        preflight.identify(Services(error), "eu-central-1")


@pytest.mark.parametrize(
    ("error", "why", "next_step"),
    [
        (NoCredentialsError(), "there are no AWS credentials", "aws configure"),
        (
            PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
            "AWS_SECRET_ACCESS_KEY",
            "aws configure",
        ),
        (ProfileNotFound(profile="nobody"), "nobody", "aws configure list-profiles"),
        (UnauthorizedSSOTokenError(), "the single sign-on is over", "aws sso login"),
        (SSOTokenLoadError(error_msg="gone"), "the single sign-on is over", "aws sso login"),
        (
            TokenRetrievalError(provider="sso", error_msg="expired"),
            "the single sign-on is over",
            "aws sso login",
        ),
        (
            EndpointConnectionError(endpoint_url="https://sts.eu-cental-1.amazonaws.com/"),
            "does not answer in eu-cental-1",
            "region's name",
        ),
        (client_error("ExpiredToken", "GetCallerIdentity", 403), "have expired", "aws sso login"),
        (
            client_error("InvalidClientTokenId", "GetCallerIdentity", 403),
            "does not take the credentials",
            "has not switched on",
        ),
        (
            client_error("SignatureDoesNotMatch", "GetCallerIdentity", 403),
            "does not take the credentials",
            "aws configure",
        ),
        (
            client_error("AccessDenied", "GetCallerIdentity", 403),
            "AWS refused GetCallerIdentity",
            "infra/deploy/policy.json",
        ),
    ],
)
def test_credentials_that_will_not_do_are_told_with_what_to_do(
    error: Exception, why: str, next_step: str
) -> None:
    with pytest.raises(Trouble) as trouble:
        preflight.identify(Services(error), "eu-cental-1")
    assert why in trouble.value.why
    assert next_step in trouble.value.next_step


def test_wrong_credentials_end_a_deploy_before_anything_is_changed(account: Account) -> None:
    def connect() -> Cloud:
        preflight.identify(
            Services(client_error("InvalidClientTokenId", "GetCallerIdentity", 403)), REGION
        )
        raise AssertionError

    object.__setattr__(account, "connect", connect)
    assert account.types("deploy --stage dev") == 1
    assert "does not take the credentials" in account.err
    assert "Traceback" not in account.err
    assert account.recorded() == []
    assert account.cloudformation.calls == []


def test_the_real_connection_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (
        "AWS_PROFILE",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_ENDPOINT_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert command.main(["deploy", "--stage", "dev"]) == 1
    assert "no region is named" in capsys.readouterr().err
    monkeypatch.setenv("AWS_REGION", REGION)
    assert command.main(["deploy", "--stage", "dev"]) == 1
    assert "there are no AWS credentials" in capsys.readouterr().err
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert command.main(["deploy", "--stage", "dev"]) == 1
    assert "The config profile (nobody) could not be found" in capsys.readouterr().err


def test_the_real_connection_finds_account_region_and_partition(
    moto_server: str, monkeypatch: pytest.MonkeyPatch, account: Account
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server)
    cloud = command.reach({"AWS_REGION": "eu-west-1"})
    assert (cloud.account, cloud.region, cloud.partition) == (ACCOUNT, "eu-west-1", "aws")
    assert cloud("iam").list_roles()["Roles"] == []
    assert cloud("iam") is cloud("iam")


def lives_in(region: str) -> Services:
    trust = {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "scheduler.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "ArnEquals": {
                        "aws:SourceArn": f"arn:aws:scheduler:{region}:{ACCOUNT}:schedule-group/resona-dev"
                    }
                },
            }
        ]
    }
    return Services({"Role": {"AssumeRolePolicyDocument": trust}})


def test_a_stage_that_lives_in_another_region_is_not_deployed_a_second_time(tmp_path: Path) -> None:
    cloud = Cloud(lives_in("us-east-1"), ACCOUNT, REGION)
    with pytest.raises(
        Trouble, match=f"lives in us-east-1, and you are about to deploy it to {REGION}"
    ) as trouble:
        preflight.check_home(cloud, Names("dev"), tmp_path / "dev.json")
    assert "AWS_REGION=us-east-1" in trouble.value.next_step
    preflight.check_home(
        Cloud(lives_in(REGION), ACCOUNT, REGION), Names("dev"), tmp_path / "dev.json"
    )
    absent = client_error("NoSuchEntity", "GetRole", 404)
    preflight.check_home(
        Cloud(Services(absent), ACCOUNT, REGION), Names("dev"), tmp_path / "dev.json"
    )


def test_an_error_that_says_nothing_of_the_role_is_not_taken_for_its_absence(
    tmp_path: Path,
) -> None:
    cloud = Cloud(Services(client_error("AccessDenied", "GetRole", 403)), ACCOUNT, REGION)
    with pytest.raises(ClientError):
        preflight.check_home(cloud, Names("dev"), tmp_path / "dev.json")


def test_a_deployed_stage_is_known_in_every_region(account: Account) -> None:
    """By the trust of the scheduler's role, as the template has it: roles are the account's, not a
    region's.
    """
    assert account.types("deploy --stage dev") == 0, account.err
    connect = account.connect

    def elsewhere() -> Cloud:
        here = connect()
        return Cloud(here.client, here.account, "us-east-1", sleep=here.sleep, now=here.now)

    object.__setattr__(account, "connect", elsewhere)
    account.recorded()
    for line in ("deploy --stage dev", "destroy --stage dev --yes"):
        assert account.types(line) == 1
        assert f"lives in {REGION}, and you are about to deploy it to us-east-1" in account.err
    assert account.written() == []


def test_another_account_than_the_checkout_s_is_told(tmp_path: Path) -> None:
    deployed = tmp_path / "dev.json"
    arn = f"arn:aws:lambda:{REGION}:999999999999:function:resona-dev"
    deployed.write_text(json.dumps({"resources": [{"name": "api_handler", "lambda_arn": arn}]}))
    absent = Services(client_error("NoSuchEntity", "GetRole", 404))
    with pytest.raises(
        Trouble, match=f"to the account 999999999999, and your credentials are {ACCOUNT}'s"
    ):
        preflight.check_home(Cloud(absent, ACCOUNT, REGION), Names("dev"), deployed)
    deployed.write_text(json.dumps({"resources": []}))
    preflight.check_home(Cloud(absent, ACCOUNT, REGION), Names("dev"), deployed)


def test_a_failure_that_nobody_thought_of_is_told_without_its_stack_trace_which_is_kept(
    account: Account,
) -> None:
    def connect() -> Cloud:
        raise ZeroDivisionError("planted")

    object.__setattr__(account, "connect", connect)
    assert account.types("deploy --stage dev") == 1
    assert "ZeroDivisionError: planted" in account.err
    assert "Traceback" not in account.err
    log = account.checkout.root / ".build" / "failure.log"
    assert str(log) in account.err
    assert "Traceback" in log.read_text()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (client_error("AccessDenied", "CreateTable", 403), "infra/deploy/policy.json"),
        (client_error("ThrottlingException", "UpdateStage", 429), "run the same command again"),
        (EndpointConnectionError(endpoint_url="https://x"), "AWS cannot be reached"),
    ],
)
def test_what_aws_refuses_is_told_with_what_to_do(
    account: Account, error: Exception, told: str
) -> None:
    def connect() -> Cloud:
        return Cloud(Services(error), ACCOUNT, REGION)

    object.__setattr__(account, "connect", connect)
    assert account.types("deploy --stage dev") == 1
    assert told in account.err
    assert "What to do: " in account.err


@pytest.mark.parametrize(
    "line",
    [
        "deploy --stage dev --parameter Stage=x",
        "deploy --stage dev --parameter x",
        "deploy --stage dev --parameter =x",
    ],
)
def test_a_parameter_that_is_none_is_refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        command.main(line.split())
    assert left.value.code == 2
    assert "give Name=value" in capsys.readouterr().err
