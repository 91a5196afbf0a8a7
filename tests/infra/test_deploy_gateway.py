"""The settings that Chalice lacks: API Gateway's responses, limits, failed invocations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError
from chalice.deploy.swagger import SwaggerGenerator, TemplatedSwaggerGenerator

from app import app
from chalicelib.api.openapi.gateway_responses import gateway_responses
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.aws.busy_store import BusyStore
from chalicelib.domain.api_keys import Scope, StoredApiKey, new_key
from chalicelib.runtime.clock import utc_now
from infra.deploy import finish, hook
from infra.deploy.cloud import CliError, Cloud, Names
from tests.cloud import client_error
from tests.infra.account import Account
from tests.infra.cloudformation import ACCOUNT, REGION
from tests.infra.loops import Loops
from tests.infra.tables import make_tables

APP = "https://app.example.com"
NAMES = Names("dev")
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/apigateway/resona-dev"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/resona-dev-GatewayLogsRole"


@dataclass
class Deployer:
    """Finishes the deployment of a stage as Chalice leaves it."""

    client: Any
    api: str
    loops: Loops
    capture: pytest.CaptureFixture[str]
    slept: list[float] = field(default_factory=list)
    replaced: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cloud = Cloud(self.client_of, ACCOUNT, REGION, sleep=self.slept.append)
        self.gateway = self.client("apigateway")

    def client_of(self, service: str) -> Any:
        return self.replaced.get(service) or self.client(service)

    @property
    def told(self) -> list[str]:
        return self.capture.readouterr().out.splitlines()

    def finish(self) -> str:
        return finish.finish(self.cloud, NAMES, {"GatewayLogsRoleArn": ROLE})

    @property
    def stage(self) -> Any:
        return self.gateway.get_stage(restApiId=self.api, stageName="api")


def make_api(client: Any, name: str = "resona-dev", function: str = "resona-dev") -> str:
    gateway = client("apigateway")
    api: str = gateway.create_rest_api(name=name)["id"]
    root = gateway.get_resources(restApiId=api)["items"][0]["id"]
    gateway.put_method(restApiId=api, resourceId=root, httpMethod="GET", authorizationType="NONE")
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{arn}/invocations"
    gateway.put_integration(
        restApiId=api,
        resourceId=root,
        httpMethod="GET",
        type="AWS_PROXY",
        integrationHttpMethod="POST",
        uri=uri,
    )
    gateway.create_deployment(restApiId=api, stageName="api")
    return api


def make_function(client: Any, name: str, **environment: str) -> None:
    role = client("iam").create_role(RoleName=f"{name}-role", AssumeRolePolicyDocument="{}")[
        "Role"
    ]["Arn"]
    client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role,
        Handler="app.app",
        Code={"ZipFile": b"x"},
        Environment={"Variables": environment},
    )


@pytest.fixture
def deployer(account: Account, capsys: pytest.CaptureFixture[str]) -> Iterator[Deployer]:
    for name in NAMES.functions.values():
        make_function(account.client, name)
    make_tables(account.client("dynamodb"), "dev")
    yield Deployer(account.client, make_api(account.client), account.loops, capsys)


@pytest.fixture
def describing() -> Iterator[None]:
    """Let Chalice describe APIs as it does, afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SwaggerGenerator, "generate_swagger", SwaggerGenerator.generate_swagger)
        yield


def test_chalice_imports_them_together_with_the_api(describing: None) -> None:
    before = TemplatedSwaggerGenerator().generate_swagger(app)
    hook.answer_as_the_api(frozenset({APP}))
    after = TemplatedSwaggerGenerator().generate_swagger(app)
    assert after.pop("x-amazon-apigateway-gateway-responses") == gateway_responses(frozenset({APP}))
    assert after == before


def test_what_chalice_leaves_is_finished_and_a_second_time_it_changes_nothing(
    deployer: Deployer,
) -> None:
    assert deployer.finish() == f"https://{deployer.api}.execute-api.{REGION}.amazonaws.com/api"
    found = deployer.stage
    assert found["methodSettings"]["*/*"]["throttlingBurstLimit"] == finish.BURST
    assert found["accessLogSettings"] == {"destinationArn": LOGS, "format": finish.FORMAT}
    assert deployer.loops.allowed == {"resona-dev-deliver": "Allow"}
    deployer.finish()
    assert {**deployer.stage, "ResponseMetadata": 0} == {**found, "ResponseMetadata": 0}
    assert [line.partition(" had ")[0] for line in deployer.told] == ["API Gateway"]


def test_a_stage_is_told_if_it_has_several_tenants(deployer: Deployer) -> None:
    client = deployer.client("dynamodb")
    busy = BusyStore(client, NAMES.of("jobs"), NAMES.of("secrets"))
    for tenant, several in (("a", False), ("b", True)):
        key = new_key("dev")
        record = StoredApiKey(key.id, key.digest, tenant, frozenset(Scope), utc_now(), None)
        ApiKeyStore(client, NAMES.of("keys")).add(record)
        deployer.finish()
        assert busy.all() == (several, {})


def test_lambda_writes_no_lines_of_its_own_into_the_logs_of_a_firing(deployer: Deployer) -> None:
    asked: list[dict[str, Any]] = []
    deployer.client("lambda").meta.events.register(
        "provide-client-params.lambda.UpdateFunctionConfiguration",
        lambda params, **_: asked.append(dict(params)),
    )
    deployer.finish()
    assert [one.pop("FunctionName") for one in asked] == [
        "resona-dev-wake",
        "resona-dev-deliver",
        "resona-dev-sweep",
    ]
    assert all(one == {"LoggingConfig": finish.LOGGING} for one in asked)


def test_without_functions_the_command_that_comes_first_is_told(account: Account) -> None:
    with pytest.raises(CliError, match=r"type `\.venv/bin/chalice deploy --stage dev` first"):
        finish.finish(Cloud(account.client, ACCOUNT, REGION), NAMES, {})


def test_a_line_of_the_access_log_is_json_and_holds_nothing_that_a_client_wrote() -> None:
    line = json.loads(finish.FORMAT)
    assert all(isinstance(value, str) and value.startswith("$context.") for value in line.values())
    told = finish.FORMAT.lower()
    for secret in (
        "query",
        "header",
        "$context.path",
        "body",
        "message",
        "sourceip",
        "useragent",
        "requestoverride",
    ):
        assert secret not in told
    assert {"$context.requestId", "$context.status", "$context.resourcePath"} <= set(line.values())


def test_a_role_for_logs_that_the_account_has_is_left_alone(deployer: Deployer) -> None:
    other = "arn:aws:iam::1:role/other"
    deployer.gateway.update_account(
        patchOperations=[{"op": "replace", "path": "/cloudwatchRoleArn", "value": other}]
    )
    deployer.finish()
    assert deployer.gateway.get_account()["cloudwatchRoleArn"] == other
    assert deployer.told == []


class Refusing:
    """A client that refuses one operation so many times, and passes everything else on."""

    def __init__(self, client: Any, operation: str, error: Exception, times: int) -> None:
        self._client, self._operation, self._error, self.left = client, operation, error, times

    def __getattr__(self, name: str) -> Any:
        passed_on = getattr(self._client, name)

        def refuse(**request: Any) -> Any:
            if not self.left:
                return passed_on(**request)
            self.left -= 1
            raise self._error

        return refuse if name == self._operation else passed_on


def refusing(
    deployer: Deployer,
    service: str,
    operation: str,
    code: str,
    times: int,
    message: str = "the role is not there yet",
) -> Refusing:
    error = client_error(code, operation)
    error.response["Error"]["Message"] = message
    client = Refusing(deployer.client(service), operation, error, times)
    deployer.replaced[service] = client
    return client


def test_a_role_that_is_not_seen_at_once_is_waited_for(deployer: Deployer) -> None:
    refusing(deployer, "apigateway", "update_account", "BadRequestException", 3)
    deployer.finish()
    assert len(deployer.slept) == 3
    assert deployer.gateway.get_account()["cloudwatchRoleArn"] == ROLE


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("apigateway", "update_stage", "BadRequestException"),
        ("lambda", "put_function_event_invoke_config", "InvalidParameterValueException"),
        ("lambda", "put_function_recursion_config", "ResourceConflictException"),
        ("lambda", "update_function_configuration", "ResourceConflictException"),
    ],
)
def test_what_was_just_made_is_waited_for_a_minute_and_no_longer(
    deployer: Deployer, service: str, operation: str, code: str
) -> None:
    refusing(deployer, service, operation, code, 2)
    deployer.finish()
    assert len(deployer.slept) == 2
    refusing(deployer, service, operation, code, 99)
    with pytest.raises(ClientError, match=code):
        deployer.finish()
    assert sum(deployer.slept[2:]) == 55


@pytest.mark.parametrize(("limit", "told"), [(10, 1), (999, 1), (1000, 0), (5000, 0)])
def test_an_account_that_runs_few_functions_at_once_is_told_so(
    deployer: Deployer, limit: int, told: int
) -> None:
    deployer.loops.limit = limit
    deployer.finish()
    lines = [
        line
        for line in deployer.told
        if f"at most {limit} functions" in line and "--service-code lambda" in line
    ]
    assert len(lines) == told


@pytest.mark.parametrize(("limit", "most"), [(1, 2), (10, 8), (100, 80), (1000, 800), (5000, 800)])
def test_the_queue_starts_no_more_at_once_than_the_account_may_run(limit: int, most: int) -> None:
    assert hook.concurrency(limit) == most


def test_two_apis_of_one_stage_are_told_and_neither_is_chosen(deployer: Deployer) -> None:
    other = make_api(deployer.client)
    with pytest.raises(CliError, match="2 APIs are named resona-dev") as trouble:
        deployer.cloud.api(NAMES)
    assert deployer.api in str(trouble.value)
    assert other in str(trouble.value)
    assert "aws apigateway delete-rest-api" in str(trouble.value)
    make_api(deployer.client, "resona-devil")
    deployer.gateway.delete_rest_api(restApiId=other)
    assert deployer.cloud.api(NAMES) == deployer.api
