"""What Chalice cannot set: API Gateway's own answers, the stage's settings, what happens to failed
invocations; and what must hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from app import app
from chalicelib.api.problems import NO_ROUTE, problem
from infra.deploy import answers, asynchronous, checks, found, gateway, pollers, recursion
from infra.deploy.cloud import Cloud, Names
from infra.deploy.trouble import Trouble
from tests.api.described import validator
from tests.cloud import client_error
from tests.infra.account import Account
from tests.infra.cloudformation import ACCOUNT, REGION
from tests.infra.loops import ALLOWED

APP, ADMIN = "https://app.example.com", "https://admin.example.com"
NAMES = Names("dev")
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/apigateway/resona-dev"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/resona-dev-GatewayLogsRole"
KINDS = (
    botocore.session.get_session()
    .get_service_model("apigateway")
    .shape_for("GatewayResponseType")
    .enum
)
# What each says by itself: the status is to be another only where a reason stands in
# `infra/deploy/answers.py`.
USUAL = {
    "UNAUTHORIZED": 401,
    "ACCESS_DENIED": 403,
    "REQUEST_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "THROTTLED": 429,
    "QUOTA_EXCEEDED": 429,
}


@dataclass
class Desk:
    """An account with the API and the functions of a stage, as Chalice leaves them."""

    client: Any
    api: str
    told: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cloud = Cloud(
            self.client, ACCOUNT, REGION, say=self.told.append, sleep=self.slept.append
        )
        self.gateway = self.client("apigateway")

    def arrange(self) -> list[str]:
        return gateway.arrange(self.cloud, NAMES, self.api, f"{LOGS}:*", ROLE)

    def deployment(self) -> str:
        return str(self.gateway.get_stage(restApiId=self.api, stageName="api")["deploymentId"])


def make_api(client: Any, name: str = "resona-dev", function: str = "resona-dev") -> str:
    gateway = client("apigateway")
    api: str = gateway.create_rest_api(name=name)["id"]
    root = gateway.get_resources(restApiId=api)["items"][0]["id"]
    gateway.put_method(restApiId=api, resourceId=root, httpMethod="GET", authorizationType="NONE")
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}/invocations"
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
def desk(account: Account) -> Iterator[Desk]:
    make_function(account.client, "resona-dev")
    yield Desk(account.client, make_api(account.client))


def test_every_answer_that_api_gateway_gives_is_written() -> None:
    assert answers.wanted(frozenset()).keys() == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_api_gateway_answers_itself_is_a_problem_of_the_api_s(kind: str) -> None:
    response = answers.wanted(frozenset())[kind]
    (body,) = response["responseTemplates"].values()
    document = json.loads(body)
    validator(json.dumps({"$ref": "#/components/schemas/Problem"})).validate(document)
    assert response["statusCode"] == str(document["status"])
    assert (
        response["responseParameters"]["gatewayresponse.header.Content-Type"]
        == "'application/problem+json'"
    )
    assert document["status"] == USUAL.get(kind, document["status"])
    # Its own way of putting values into texts.
    assert "$" not in body


def test_a_401_a_429_and_a_503_say_what_the_api_s_own_do() -> None:
    wanted = {kind: one["responseParameters"] for kind, one in answers.wanted(frozenset()).items()}
    assert wanted["UNAUTHORIZED"]["gatewayresponse.header.WWW-Authenticate"] == "'Bearer'"
    for kind in ("THROTTLED", "AUTHORIZER_FAILURE", "INTEGRATION_TIMEOUT", "DEFAULT_5XX"):
        assert wanted[kind]["gatewayresponse.header.Retry-After"] == "'1'"


@pytest.mark.parametrize(
    "kind", ["INTEGRATION_TIMEOUT", "INTEGRATION_FAILURE", "API_CONFIGURATION_ERROR", "DEFAULT_5XX"]
)
def test_when_the_function_may_have_done_it_the_answer_says_that_nobody_knows(kind: str) -> None:
    document = json.loads(
        answers.wanted(frozenset())[kind]["responseTemplates"]["application/json"]
    )
    assert (document["status"], document["unknown"]) == (503, True)


@pytest.mark.parametrize("kind", ["AUTHORIZER_FAILURE", "AUTHORIZER_CONFIGURATION_ERROR"])
def test_when_the_authorizer_failed_nothing_was_done(kind: str) -> None:
    document = json.loads(
        answers.wanted(frozenset())[kind]["responseTemplates"]["application/json"]
    )
    assert document["status"] == 503
    assert "unknown" not in document


@pytest.mark.parametrize(
    "kind", ["MISSING_AUTHENTICATION_TOKEN", "INVALID_SIGNATURE", "RESOURCE_NOT_FOUND"]
)
def test_a_path_that_is_not_there_is_a_404_in_the_very_bytes_of_the_laptop(kind: str) -> None:
    response = answers.wanted(frozenset())[kind]
    assert response["responseTemplates"]["application/json"] == problem(404, NO_ROUTE).body


def test_answers_are_readable_for_configured_pages() -> None:
    def headers(*origins: str) -> dict[str, str]:
        parameters: dict[str, str] = answers.wanted(frozenset(origins))["UNAUTHORIZED"][
            "responseParameters"
        ]
        return {
            name.removeprefix("gatewayresponse.header."): value
            for name, value in parameters.items()
        }

    assert not {"Vary", "Access-Control-Allow-Origin"} & headers().keys()
    one = headers(APP)
    assert (one["Access-Control-Allow-Origin"], one["Vary"]) == (f"'{APP}'", "'Origin'")
    assert "WWW-Authenticate" in one["Access-Control-Expose-Headers"]
    assert headers(APP, ADMIN)["Access-Control-Allow-Origin"] == "method.request.header.Origin"


def test_the_origins_are_those_of_the_api_s_function(desk: Desk) -> None:
    def configure(origins: str) -> None:
        variables = {"Variables": {"RESONA_CORS_ORIGINS": origins}}
        desk.client("lambda").update_function_configuration(
            FunctionName="resona-dev", Environment=variables
        )

    configure(f"{APP}, {ADMIN}")
    assert gateway.origins_of(desk.cloud, NAMES) == {APP, ADMIN}
    configure("app.example.com")
    with pytest.raises(Trouble, match="RESONA_CORS_ORIGINS must hold origins"):
        gateway.origins_of(desk.cloud, NAMES)


def test_a_stage_as_chalice_leaves_it_is_arranged_once(desk: Desk) -> None:
    first = desk.deployment()
    assert desk.arrange() == [
        "what API Gateway answers itself",
        "the stage's throttling and access logs",
    ]
    second = desk.deployment()
    assert second != first
    assert desk.arrange() == []
    assert desk.deployment() == second


def test_answers_that_were_put_and_not_deployed_are_deployed(desk: Desk) -> None:
    """A deploy that broke off between the two."""
    answers.put(desk.cloud, desk.api, answers.wanted(frozenset()))
    before = desk.deployment()
    assert "what API Gateway answers itself" in desk.arrange()
    assert desk.deployment() != before


def test_a_deployment_of_chalice_s_is_followed_by_one_with_the_answers(desk: Desk) -> None:
    desk.arrange()
    desk.gateway.create_deployment(restApiId=desk.api, stageName="api")
    before = desk.deployment()
    assert "what API Gateway answers itself" in desk.arrange()
    assert desk.deployment() != before


def test_a_setting_changed_by_hand_is_put_back(desk: Desk) -> None:
    desk.arrange()
    patch = [{"op": "replace", "path": "/*/*/throttling/rateLimit", "value": "1"}]
    desk.gateway.update_stage(restApiId=desk.api, stageName="api", patchOperations=patch)
    assert desk.arrange() == ["the stage's throttling and access logs"]
    settings = desk.gateway.get_stage(restApiId=desk.api, stageName="api")["methodSettings"]["*/*"]
    assert settings["throttlingRateLimit"] == gateway.RATE


def test_a_line_of_the_access_log_is_json_whatever_it_holds_and_holds_nothing_that_a_client_wrote() -> (
    None
):
    line = json.loads(gateway.FORMAT)
    assert all(isinstance(value, str) and value.startswith("$context.") for value in line.values())
    told = gateway.FORMAT.lower()
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


def test_a_role_for_logs_that_the_account_has_is_left_alone(desk: Desk) -> None:
    other = "arn:aws:iam::1:role/other"
    desk.gateway.update_account(
        patchOperations=[{"op": "replace", "path": "/cloudwatchRoleArn", "value": other}]
    )
    desk.arrange()
    assert desk.gateway.get_account()["cloudwatchRoleArn"] == other
    assert desk.told == []


class Refusing:
    """A client that refuses one operation so many times, and passes everything else on."""

    def __init__(self, client: Any, operation: str, error: Exception, times: int) -> None:
        self._client, self._operation, self._error, self.left = client, operation, error, times

    def __getattr__(self, name: str) -> Any:
        if name != self._operation or not self.left:
            return getattr(self._client, name)
        self.left -= 1

        def refuse(**request: Any) -> Any:
            raise self._error

        return refuse


def refusing(
    desk: Desk,
    service: str,
    operation: str,
    code: str,
    times: int,
    message: str = "the role is not there yet",
) -> Refusing:
    error = client_error(code, operation)
    error.response["Error"]["Message"] = message
    client = Refusing(desk.client(service), operation, error, times)
    desk.cloud._clients[service] = client
    return client


def test_a_role_that_is_not_seen_at_once_is_waited_for(desk: Desk) -> None:
    refusing(desk, "apigateway", "update_account", "BadRequestException", 3)
    desk.arrange()
    assert len(desk.slept) == 3
    assert desk.gateway.get_account()["cloudwatchRoleArn"] == ROLE


@pytest.mark.parametrize(
    ("code", "waits"), [("BadRequestException", 11), ("AccessDeniedException", 0)]
)
def test_where_no_role_can_be_given_the_stage_is_deployed_without_access_logs_and_that_is_told(
    desk: Desk, code: str, waits: int
) -> None:
    refusing(desk, "apigateway", "update_account", code, 99)
    assert "what API Gateway answers itself" in desk.arrange()
    stage = desk.gateway.get_stage(restApiId=desk.api, stageName="api")
    assert not stage.get("accessLogSettings")
    assert len(desk.slept) == waits
    assert (
        f"aws apigateway update-account --region {REGION} --patch-operations op=replace,path=/cloudwatchRoleArn,value={ROLE}"
        in desk.told[0]
    )


def test_access_logs_wait_for_the_role_too(desk: Desk) -> None:
    refusing(
        desk,
        "apigateway",
        "update_stage",
        "BadRequestException",
        2,
        "CloudWatch Logs role ARN must be set",
    )
    desk.arrange()
    assert len(desk.slept) == 2
    refusing(
        desk, "apigateway", "update_stage", "BadRequestException", 1, "Invalid method setting path"
    )
    desk.gateway.update_stage(
        restApiId=desk.api,
        stageName="api",
        patchOperations=[{"op": "replace", "path": "/*/*/throttling/rateLimit", "value": "1"}],
    )
    with pytest.raises(ClientError, match="BadRequestException"):
        desk.arrange()


class Limited:
    """Lambda's client for the one call that moto does not know."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def get_account_settings(self) -> dict[str, Any]:
        return {"AccountLimit": {"ConcurrentExecutions": self._limit}}


@pytest.mark.parametrize(("limit", "told"), [(10, 1), (999, 1), (1000, 0), (5000, 0)])
def test_an_account_that_runs_few_functions_at_once_is_told_so(
    desk: Desk, limit: int, told: int
) -> None:
    desk.cloud._clients["lambda"] = Limited(limit)
    checks.warn(desk.cloud)
    assert len(desk.told) == told
    assert all(
        f"at most {limit} functions" in line and "--service-code lambda" in line
        for line in desk.told
    )


class Mapped(Limited):
    """Lambda's client for a mapping that has been made with 800, and settles after some tries."""

    def __init__(self, limit: int, settles_after: int = 0) -> None:
        super().__init__(limit)
        self.most, self._settles_after = 800, settles_after

    def get_event_source_mapping(self, UUID: str) -> dict[str, Any]:  # noqa: N803
        return {"ScalingConfig": {"MaximumConcurrency": self.most}}

    def update_event_source_mapping(self, UUID: str, ScalingConfig: dict[str, int]) -> None:  # noqa: N803
        if self._settles_after:
            self._settles_after -= 1
            raise client_error("ResourceInUseException", "UpdateEventSourceMapping")
        self.most = ScalingConfig["MaximumConcurrency"]


@pytest.mark.parametrize(("limit", "most"), [(1, 2), (10, 8), (100, 80), (1000, 800), (5000, 800)])
def test_the_queue_starts_no_more_at_once_than_the_account_may_run(
    desk: Desk, limit: int, most: int
) -> None:
    mapped = desk.cloud._clients["lambda"] = Mapped(limit, settles_after=2)
    assert pollers.bound(desk.cloud, "1") == (most if most != 800 else None)
    assert mapped.most == most
    assert len(desk.slept) == (2 if most != 800 else 0)
    assert pollers.bound(desk.cloud, "1") is None


def test_what_chalice_bounds_the_queue_to_is_for_a_usual_account() -> None:
    (source,) = [source for source in app.event_sources if source.name == "deliver"]
    assert source.maximum_concurrency == pollers.USUAL


def test_where_that_cannot_be_known_nothing_is_said(desk: Desk) -> None:
    refusing(desk, "lambda", "get_account_settings", "AccessDeniedException", 9)
    checks.warn(desk.cloud)
    assert desk.told == []
    assert pollers.bound(desk.cloud, "1") is None


def test_two_apis_of_one_stage_are_told_and_neither_is_chosen(desk: Desk) -> None:
    other = make_api(desk.client)
    with pytest.raises(Trouble, match="2 APIs serve the stage dev") as trouble:
        found.find(desk.cloud, NAMES)
    assert desk.api in trouble.value.why
    assert other in trouble.value.why
    assert "aws apigateway delete-rest-api" in trouble.value.next_step


@pytest.mark.parametrize(
    ("name", "function"),
    [("another", "resona-dev"), ("resona-dev", "resona-devil"), ("resona-dev", "another")],
)
def test_another_s_api_is_not_the_stage_s(desk: Desk, name: str, function: str) -> None:
    make_api(desk.client, name, function)
    assert found.find(desk.cloud, NAMES).api == desk.api


def test_an_api_is_also_known_by_the_permission_to_call_the_function(desk: Desk) -> None:
    """Whatever API Gateway says of its methods: not to find the API would be to make another one."""
    bare = str(desk.gateway.create_rest_api(name="resona-dev")["id"])
    desk.gateway.delete_rest_api(restApiId=desk.api)
    assert found.find(desk.cloud, NAMES).api is None
    desk.client("lambda").add_permission(
        FunctionName="resona-dev",
        StatementId="1",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn=f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{bare}/*",
    )
    assert found.find(desk.cloud, NAMES).api == bare


def test_what_chalice_noted_of_names_that_are_no_longer_used_stays_noted_while_it_is_there(
    desk: Desk, tmp_path: Path
) -> None:
    """So that Chalice takes it away; what is gone already would stop it."""
    make_function(desk.client, "resona-dev-former")
    path = tmp_path / "deployed" / "dev.json"
    existing = found.find(desk.cloud, NAMES)
    found.note(existing, desk.cloud, NAMES, path)
    assert [one["name"] for one in json.loads(path.read_text())["resources"]] == [
        "api_handler",
        "rest_api",
    ]
    former = [
        {"name": "former", "resource_type": "lambda_function", "lambda_arn": "resona-dev-former"},
        {"name": "gone", "resource_type": "lambda_function", "lambda_arn": "resona-dev-gone"},
        {
            "name": "gone_role",
            "resource_type": "iam_role",
            "role_name": "resona-dev-gone",
            "role_arn": "x",
        },
        {
            "name": "former_role",
            "resource_type": "iam_role",
            "role_name": "resona-dev-former-role",
            "role_arn": "x",
        },
        {
            "name": "rest_api",
            "resource_type": "rest_api",
            "rest_api_id": "another",
            "rest_api_url": "x",
        },
    ]
    path.write_text(json.dumps({"resources": former, "schema_version": "2.0"}))
    found.note(existing, desk.cloud, NAMES, path)
    noted = {one["name"]: one for one in json.loads(path.read_text())["resources"]}
    assert list(noted) == ["api_handler", "rest_api", "former", "former_role"]
    assert noted["rest_api"]["rest_api_id"] == desk.api


def test_a_function_s_new_permission_is_waited_for(desk: Desk) -> None:
    for part in asynchronous.SETTINGS:
        make_function(desk.client, NAMES.of(part))
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:resona-dev-failed"
    desk.client("sqs").create_queue(QueueName="resona-dev-failed")
    message = "The function execution role does not have permissions to call SendMessage on SQS"
    refusing(
        desk,
        "lambda",
        "put_function_event_invoke_config",
        "InvalidParameterValueException",
        2,
        message,
    )
    assert asynchronous.arrange(desk.cloud, NAMES, queue) == ["resona-dev-wake", "resona-dev-sweep"]
    assert len(desk.slept) == 2
    assert asynchronous.arrange(desk.cloud, NAMES, queue) == []
    desk.client("lambda").delete_function_event_invoke_config(FunctionName="resona-dev-wake")
    desk.client("lambda").put_function_event_invoke_config(
        FunctionName="resona-dev-wake", MaximumRetryAttempts=1
    )
    assert asynchronous.arrange(desk.cloud, NAMES, queue) == ["resona-dev-wake"]


def test_the_function_that_fires_may_be_invoked_by_what_it_wrote(
    desk: Desk, account: Account
) -> None:
    account.loops.settles_after = 2
    assert recursion.allow(desk.cloud, NAMES)
    assert len(desk.slept) == 2
    assert account.loops.allowed == {"resona-dev-deliver": ALLOWED}
    assert not recursion.allow(desk.cloud, NAMES)


def test_a_wake_is_not_repeated_later_than_it_could_help() -> None:
    """It comes two minutes early; the sweeper's grace begins at the due time."""
    assert asynchronous.SETTINGS["wake"]["MaximumEventAgeInSeconds"] <= 300
    assert asynchronous.SETTINGS["sweep"] == {
        "MaximumRetryAttempts": 0,
        "MaximumEventAgeInSeconds": 60,
    }
    asked = {function.name for function in app.pure_lambda_functions} | {
        source.name for source in app.event_sources
    }
    assert asynchronous.SETTINGS.keys() <= asked


def test_the_scheduler_s_role_and_the_logs_retention_are_looked_at(desk: Desk) -> None:
    with pytest.raises(
        Trouble, match="the role resona-dev-scheduler, by which schedules wake Resona, is not there"
    ):
        checks.check(desk.cloud, NAMES)
    desk.client("iam").create_role(RoleName="resona-dev-scheduler", AssumeRolePolicyDocument="{}")
    for name in NAMES.functions.values():
        desk.client("logs").create_log_group(logGroupName=f"/aws/lambda/{name}")
        if name != "resona-dev-deliver":
            desk.client("logs").put_retention_policy(
                logGroupName=f"/aws/lambda/{name}", retentionInDays=30
            )
    with pytest.raises(
        Trouble, match="kept for ever, or are not there: /aws/lambda/resona-dev-deliver\n"
    ):
        checks.check(desk.cloud, NAMES)
    desk.client("logs").put_retention_policy(
        logGroupName="/aws/lambda/resona-dev-deliver", retentionInDays=30
    )
    desk.client("events").put_rule(Name=NAMES.rule, ScheduleExpression="rate(1 minute)")
    checks.check(desk.cloud, NAMES)


class Topic:
    """A topic whose subscriptions are these, by address."""

    def __init__(self, **subscriptions: str) -> None:
        self._subscriptions = [
            {"Endpoint": f"{name}@example.com", "SubscriptionArn": arn}
            for name, arn in subscriptions.items()
        ]

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_subscriptions_by_topic"
        return self

    def paginate(self, TopicArn: str) -> Any:  # noqa: N803
        return iter([{"Subscriptions": []}, {"Subscriptions": self._subscriptions}])


@pytest.mark.parametrize(
    ("name", "hears"), [("you", True), ("late", False), ("gone", False), ("nobody", False)]
)
def test_an_address_hears_of_alarms_once_it_has_confirmed(name: str, hears: bool) -> None:
    topic = Topic(
        you=f"arn:aws:sns:{REGION}:{ACCOUNT}:resona-dev-alarms:1",
        late="PendingConfirmation",
        gone="Deleted",
    )
    cloud = Cloud(lambda service: {"sns": topic}[service], ACCOUNT, REGION)
    assert checks.hears(cloud, "arn", f"{name}@example.com") is hears
