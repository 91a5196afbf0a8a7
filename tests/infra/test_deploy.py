"""Whole deploys with the real Chalice and the real app, in an account that moto emulates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.api.openapi.gateway_responses import gateway_responses
from infra.deploy.finish import ASYNCHRONOUS, BURST, FORMAT, RATE
from tests.infra.account import Account
from tests.infra.cloudformation import ACCOUNT, REGION
from tests.permissions import TOPIC
from tests.soak import only_in_soak

FAILED_QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:resona-dev-failed"
# Which differ from one deploy to the next, and say nothing.
PASSING = (
    "LastModified",
    "RevisionId",
    "deploymentId",
    "lastUpdatedDate",
    "CodeSha256",
    "CodeSize",
    "ResponseMetadata",
    "createdDate",
)


def told(value: Any) -> Any:
    """Return an answer of AWS's without what passes."""
    if isinstance(value, dict):
        return {name: told(one) for name, one in value.items() if name not in PASSING}
    return [told(one) for one in value] if isinstance(value, list) else value


def deployed(account: Account) -> dict[str, Any]:
    """Return all that is there of a stage beside its stack."""
    functions, gateway = account.client("lambda"), account.client("apigateway")
    (api,) = account.apis
    names = sorted(one["FunctionName"] for one in functions.list_functions()["Functions"])
    mappings = functions.list_event_source_mappings()["EventSourceMappings"]
    return {
        "api": api,
        "functions": [
            told(functions.get_function_configuration(FunctionName=name)) for name in names
        ],
        "asynchronous": [
            told(functions.get_function_event_invoke_config(FunctionName=f"resona-dev-{part}"))
            for part in ASYNCHRONOUS
        ],
        "loops": dict(account.loops.allowed),
        "mappings": [
            {key: one[key] for key in ("UUID", "EventSourceArn", "FunctionArn", "BatchSize")}
            for one in mappings
        ],
        "stage": told(gateway.get_stage(restApiId=api, stageName="api")),
        "answers": sorted(
            one["responseType"] for one in gateway.get_gateway_responses(restApiId=api)["items"]
        ),
        "roles": sorted(role["RoleName"] for role in account.client("iam").list_roles()["Roles"]),
        "rules": [told(rule) for rule in account.client("events").list_rules()["Rules"]],
    }


def noted(account: Account) -> dict[str, Any]:
    """Return what Chalice remembers, by its names."""
    notes = json.loads((account.checkout / ".chalice" / "deployed" / "dev.json").read_text())
    return {one["name"]: one for one in notes["resources"]}


def policy_of(account: Account, part: str) -> Any:
    """Return the policy that a function has."""
    name = f"resona-dev-{part}"
    asked = account.client("iam").get_role_policy(RoleName=name, PolicyName=name)
    return asked["PolicyDocument"]


def written_policy(account: Account, part: str) -> Any:
    return json.loads((account.checkout / ".chalice" / "dev" / f"{part}.json").read_text())


def test_three_commands_make_all_of_a_stage_and_a_second_time_they_change_nothing(
    account: Account,
) -> None:
    path = account.checkout / ".chalice" / "config.json"
    config, allowed = json.loads(path.read_text()), {"RESONA_NOTICE_TOPICS": TOPIC}
    config["stages"]["dev"]["environment_variables"] |= allowed
    path.write_text(json.dumps(config))
    account.deploys()
    found = deployed(account)
    settings = found["stage"]["methodSettings"]["*/*"]
    assert (settings["throttlingRateLimit"], settings["throttlingBurstLimit"]) == (RATE, BURST)
    logs = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/apigateway/resona-dev"
    assert found["stage"]["accessLogSettings"] == {"destinationArn": logs, "format": FORMAT}
    assert found["answers"] == sorted(gateway_responses(frozenset()))
    role = account.client("apigateway").get_account()["cloudwatchRoleArn"]
    assert role.startswith(f"arn:aws:iam::{ACCOUNT}:role/resona-dev-GatewayLogsRole")
    for (part, expected), config in zip(ASYNCHRONOUS.items(), found["asynchronous"], strict=True):
        assert part in config["FunctionArn"]
        assert expected.items() <= config.items()
        assert config["DestinationConfig"]["OnFailure"] == {"Destination": FAILED_QUEUE}
    # A run may have 20 attempts, each sent again by the one before it; Lambda would take the 16th
    # for a loop.
    assert found["loops"] == {"resona-dev-deliver": "Allow"}
    # One setting, from which the functions know all names, and how many executors there are.
    environments = [function["Environment"]["Variables"] for function in found["functions"]]
    known = {"RESONA_STAGE": "dev", "RESONA_CONCURRENCY": "800", **allowed}
    assert environments == [known] * 5
    assert policy_of(account, "wake") == written_policy(account, "wake")
    # And the right to what a setting names.
    publish = {"Effect": "Allow", "Action": ["sns:Publish"], "Resource": [TOPIC]}
    statements = written_policy(account, "deliver")["Statement"]
    assert policy_of(account, "deliver")["Statement"] == [
        *statements,
        {"Sid": "Notices", **publish},
    ]
    assert noted(account)["rest_api"]["rest_api_id"] == found["api"]
    assert f"https://{found['api']}.execute-api.{REGION}.amazonaws.com/api\n" in account.out
    assert ".venv/bin/python -m infra.keys create --stage dev" in account.out

    # From a clone that knows nothing of the first deploy.
    (account.checkout / ".chalice" / "deployed" / "dev.json").unlink()
    account.recorded()
    account.deploys()
    assert deployed(account) == found
    assert not [
        call
        for call in account.written()
        if " Create" in call and not call.endswith((" CreateDeployment", " CreateResource"))
    ]
    assert account.cloudformation.calls == ["CREATE"]
    assert account.types("smoke --stage dev") == 0, account.err
    assert "the jobs and the key of the test are gone" in account.out


@only_in_soak
def test_a_second_chalice_deploy_alone_leaves_what_the_finish_has_set_and_the_api_s_own_answers(
    account: Account,
) -> None:
    """Whatever its notes say: one clone may deploy to two accounts in turn."""
    account.deploys()
    found, path = deployed(account), account.checkout / ".chalice" / "deployed" / "dev.json"
    account.client("lambda").update_function_configuration(
        FunctionName="resona-dev-sweep", Timeout=3
    )
    path.write_text(path.read_text().replace(ACCOUNT, "999999999999"))
    assert account.types("chalice deploy --stage dev") == 0, account.err
    assert deployed(account) == found


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("create_lambda_event_source", marks=only_in_soak),
        pytest.param("update_rest_api", marks=only_in_soak),
        "deploy_rest_api",
    ],
)
@only_in_soak
def test_a_first_deploy_that_was_killed_half_way_goes_on_from_what_is_there(
    account: Account, method: str
) -> None:
    """The API is made before `update_rest_api`, and Chalice has noted nothing of it."""
    assert account.types("stack --stage dev") == 0, account.err
    account.chalice.dies_before = method
    assert account.types("chalice deploy --stage dev") == 9
    made = account.apis
    account.chalice.dies_before = ""
    account.deploys()
    assert len(account.apis) == 1
    assert made in ([], account.apis)
    (mapping,) = account.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert noted(account)["deliver-sqs-event-source"]["event_uuid"] == mapping["UUID"]


@only_in_soak
def test_an_account_that_runs_ten_functions_at_once_gets_eight_deliveries_at_once(
    account: Account,
) -> None:
    account.chalice.limit = account.loops.limit = 10
    account.deploys()
    asked = [params for _, name, params in account.recorded() if name == "CreateEventSourceMapping"]
    assert [one["ScalingConfig"] for one in asked] == [{"MaximumConcurrency": 8}]
    assert "Lambda runs at most 10 functions at once" in account.out
    assert "--service-code lambda --quota-code L-B99A9384" in account.out
    account.chalice.limit = 1000
    assert account.types("chalice deploy --stage dev") == 0, account.err
    asked = [params for _, name, params in account.recorded() if name == "UpdateEventSourceMapping"]
    assert [one["ScalingConfig"] for one in asked] == [{"MaximumConcurrency": 800}]


@only_in_soak
def test_a_destroyed_stage_keeps_its_data_and_goes_on_with_the_next_deploy(
    account: Account,
) -> None:
    account.deploys()
    kept = account.cloudformation.stacks["resona-dev"].physical.copy()
    account.answers = ["prod"]
    assert account.types("destroy --stage dev") == 1
    assert "nothing was deleted: type dev when asked, or give --yes" in account.err
    account.answers = ["dev"]
    assert account.types("destroy --stage dev") == 0, account.err
    assert account.apis == []
    assert account.client("lambda").list_functions()["Functions"] == []
    assert account.client("events").list_rules()["Rules"] == []
    assert account.client("lambda").list_event_source_mappings()["EventSourceMappings"] == []
    assert [role["RoleName"] for role in account.client("iam").list_roles()["Roles"]] == [
        "resona-dev-GatewayLogsRole-1A2B3C"
    ]
    left = account.cloudformation.stacks["resona-dev"].physical
    logs = {"ApiLogs", "WakeLogs", "DeliverLogs", "SweepLogs", "AuthorizerLogs", "AccessLogs"}
    tables = {"JobsTable", "RunsTable", "SecretsTable", "KeysTable"}
    assert left.keys() == {*tables, *logs, "SecretsKey", "SecretsKeyAlias", "GatewayLogsRole"}
    assert "goes on with them" in account.out
    assert account.types("destroy --stage dev --yes") == 0, account.err
    # It is no stage to deploy functions to, until its stack is whole again.
    assert account.types("chalice deploy --stage dev") == 1
    assert "type `.venv/bin/python -m infra.deploy stack --stage dev` first" in account.err
    account.deploys()
    again = account.cloudformation.stacks["resona-dev"].physical
    assert again.keys() == kept.keys()
    # The key above all: with another one, no secret in the table could be read.
    assert {name: again[name] for name in left} == {name: kept[name] for name in left}
    assert account.types("smoke --stage dev") == 0, account.err


@only_in_soak
def test_a_stage_that_was_half_destroyed_is_destroyed_by_the_next_try(account: Account) -> None:
    account.deploys()
    account.client("lambda").delete_function(FunctionName="resona-dev-wake")
    account.client("iam").delete_role_policy(
        RoleName="resona-dev-wake", PolicyName="resona-dev-wake"
    )
    assert account.types("destroy --stage dev --yes") == 0, account.err
    assert account.client("lambda").list_functions()["Functions"] == []
    assert len(account.client("iam").list_roles()["Roles"]) == 1


def test_what_aws_refuses_chalice_is_told_in_its_sentence_and_not_in_a_stack_trace(
    account: Account,
) -> None:
    assert account.types("stack --stage dev") == 0, account.err
    account.chalice.refused = "create_function"
    assert account.types("chalice deploy --stage dev") == 2
    assert "whoever deploys needs those of infra/deploy/policy.json" in account.err
    assert "Traceback" not in account.err
    # Of what nobody thought of, the stack trace is what can be reported.
    path = account.checkout / "chalicelib" / "version.py"
    path.write_text("VERSION = unknown\n")
    assert account.types("chalice deploy --stage dev") == 2
    assert "name 'unknown' is not defined" in account.err
