"""`make deploy`, from the first to the last call, in an account that moto plays, with the real
Chalice and the real app.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.deploy import answers, asynchronous, functions, gateway
from tests.infra.account import Account
from tests.infra.cloudformation import ACCOUNT, REGION
from tests.soak import only_in_soak

# The key is made, and revoked; the switch is set on, and off.
SMOKE = [
    "dynamodb PutItem",
    "dynamodb PutItem",
    "lambda UpdateFunctionConfiguration",
    "lambda UpdateFunctionConfiguration",
]
FAILED_QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:resona-dev-failed"


def deployed(account: Account) -> dict[str, Any]:
    """Return what Chalice remembers, by its names."""
    noted = json.loads(account.checkout.deployed("dev").read_text())
    return {one["name"]: one for one in noted["resources"]}


def nothing_of_the_test_is_left(account: Account) -> None:
    assert "RESONA_SMOKE" not in account.environment
    records = list(account.stage.keys.all())
    assert records
    assert all(record.revoked_at is not None for record in records)
    jobs = account.stage.env.cloud.tables["jobs"]
    assert not [item for item in jobs.values() if item.get("part") == {"S": "definition"}]


def test_a_first_deploy_makes_all_of_a_stage_and_tests_it(account: Account) -> None:
    assert account.types("deploy --stage dev") == 0, account.err
    (api,) = account.apis
    client = account.client("apigateway")
    stage = client.get_stage(restApiId=api, stageName="api")
    settings = stage["methodSettings"]["*/*"]
    assert (settings["throttlingRateLimit"], settings["throttlingBurstLimit"]) == (
        gateway.RATE,
        gateway.BURST,
    )
    logs = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/apigateway/resona-dev"
    assert stage["accessLogSettings"] == {"destinationArn": logs, "format": gateway.FORMAT}
    responses = client.get_gateway_responses(restApiId=api)["items"]
    assert {one["responseType"] for one in responses} == answers.wanted(frozenset()).keys()
    # What is served was deployed after the last change of what API Gateway answers.
    assert client.get_deployment(restApiId=api, deploymentId=stage["deploymentId"])[
        "description"
    ].startswith("Resona answers ")
    assert client.get_account()["cloudwatchRoleArn"].startswith(
        f"arn:aws:iam::{ACCOUNT}:role/resona-dev-GatewayLogsRole"
    )
    for part, expected in asynchronous.SETTINGS.items():
        found = account.client("lambda").get_function_event_invoke_config(
            FunctionName=f"resona-dev-{part}"
        )
        assert expected.items() <= found.items()
        assert found["DestinationConfig"]["OnFailure"] == {"Destination": FAILED_QUEUE}
    # A run may have 20 attempts, each sent again by the one before it; Lambda would take the 16th
    # for a loop.
    assert account.loops.allowed == {"resona-dev-deliver": "Allow"}
    assert deployed(account)["rest_api"]["rest_api_id"] == api
    assert deployed(account)["deliver-sqs-event-source"]["queue"] == "resona-dev-due"
    assert account.environment["RESONA_JOBS_TABLE"] == "resona-dev-jobs"
    assert account.stage.env.sent, "no job has fired"
    nothing_of_the_test_is_left(account)
    assert f"https://{api}.execute-api.{REGION}.amazonaws.com/api\n" in account.out
    assert ".venv/bin/python -m infra.keys create --stage dev" in account.out
    assert "is not answered" not in account.out
    assert (
        "The dashboard: https://eu-central-1.console.aws.amazon.com/cloudwatch/home" in account.out
    )
    assert (
        'Alarms reach nobody yet: make deploy STAGE=dev PARAMETERS="AlarmEmail=you@example.com"'
        in account.out
    )
    assert account.types("deploy --stage dev --parameter AlarmEmail=you@example.com") == 0, (
        account.err
    )
    assert "Alarms" not in account.out
    topic = account.client("sns").list_topics()["Topics"][0]["TopicArn"]
    for one in account.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]:
        account.client("sns").unsubscribe(SubscriptionArn=one["SubscriptionArn"])
    assert account.types("deploy --stage dev") == 0, account.err
    assert "Alarms do not reach you@example.com" in account.out
    assert f"aws sns subscribe --region {REGION} --topic-arn {topic}" in account.out
    assert account.chalice.runs == 1


@only_in_soak
def test_what_is_noted_of_a_deploy_is_what_chalice_notes_itself(account: Account) -> None:
    """The file is written from the account before each deploy; Chalice, when it ends well, writes
    it as it would have.
    """
    noted: list[dict[str, Any]] = []
    run = account.chalice.__call__

    def noting(*given: Any) -> functions.Done:
        done = run(*given)
        noted.append(deployed(account))
        return done

    object.__setattr__(account.checkout, "run", noting)
    assert account.types("deploy --stage dev") == 0, account.err
    assert deployed(account) == noted[0]


def test_a_second_deploy_changes_nothing_and_says_so_and_what_was_changed_by_hand_is_put_back(
    account: Account,
) -> None:
    assert account.types("deploy --stage dev") == 0, account.err
    (api,) = account.apis
    account.recorded()
    assert account.types("deploy --stage dev") == 0, account.err
    assert "Nothing had to be changed." in account.out
    assert account.chalice.runs == 1
    changes = [call for call in account.written() if not call.startswith("cloudformation")]
    assert sorted(changes) == SMOKE
    assert [call for call in account.cloudformation.calls if call.startswith("execute")] == [
        "execute_change_set CREATE"
    ]
    account.client("lambda").update_function_configuration(
        FunctionName="resona-dev-sweep", Timeout=3
    )
    assert account.types("deploy --stage dev") == 0, account.err
    assert account.chalice.runs == 2
    assert (
        account.client("lambda").get_function_configuration(FunctionName="resona-dev-sweep")[
            "Timeout"
        ]
        == 60
    )
    assert account.apis == [api]


@only_in_soak
def test_another_clone_of_the_project_deploys_to_the_same_api(account: Account) -> None:
    assert account.types("deploy --stage dev") == 0, account.err
    before = account.apis
    account.checkout.deployed("dev").unlink()
    (account.checkout.root / "chalicelib" / "version.py").write_text('VERSION = "9.9.9"\n')
    assert account.types("deploy --stage dev") == 0, account.err
    assert account.chalice.runs == 2
    assert account.apis == before
    assert "Nothing had to be changed." not in account.out


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("create_lambda_event_source", marks=only_in_soak),
        pytest.param("update_rest_api", marks=only_in_soak),
        "deploy_rest_api",
    ],
)
def test_a_deploy_that_was_killed_half_way_goes_on_from_what_is_there(
    account: Account, method: str
) -> None:
    """The API is made before `update_rest_api`, and Chalice has noted nothing of it."""
    account.chalice.dies_before = method
    assert account.types("deploy --stage dev") == 1
    assert "Chalice could not deploy the functions and the API" in account.err
    assert "What to do: " in account.err
    made = account.apis
    account.chalice.dies_before = ""
    assert account.types("deploy --stage dev") == 0, account.err
    assert len(account.apis) == 1
    assert made in ([], account.apis)
    (mapping,) = account.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert deployed(account)["deliver-sqs-event-source"]["event_uuid"] == mapping["UUID"]
    nothing_of_the_test_is_left(account)


@only_in_soak
def test_a_deploy_that_was_killed_and_then_taken_back_is_deployed_once_more(
    account: Account,
) -> None:
    """The roles have the other version's policies by then, though every function is as it was."""
    assert account.types("deploy --stage dev") == 0, account.err
    policy = account.checkout.root / ".chalice" / "policy-wake.json"
    before = policy.read_text()
    policy.write_text(before.replace("sqs:SendMessage", "sqs:ReceiveMessage"))
    account.chalice.dies_before = "update_function"
    assert account.types("deploy --stage dev") == 1
    role = {"RoleName": "resona-dev-wake", "PolicyName": "resona-dev-wake"}
    assert "ReceiveMessage" in json.dumps(
        account.client("iam").get_role_policy(**role)["PolicyDocument"]
    )
    policy.write_text(before)
    account.chalice.dies_before = ""
    assert account.types("deploy --stage dev") == 0, account.err
    assert account.chalice.runs == 3
    assert "ReceiveMessage" not in json.dumps(
        account.client("iam").get_role_policy(**role)["PolicyDocument"]
    )


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        (
            'Traceback (most recent call last):\n  File "deployer.py", line 1, in deploy\n    return 1\n\nDuring handling …\n\n'
            "chalice.deploy.deployer.ChaliceDeploymentError: ERROR - While sending your chalice handler code to Lambda to\n"
            'create_function function "resona-dev", received the following error:\n\n Connection aborted.\n\n',
            "  ERROR - While sending your chalice handler code to Lambda to\n"
            '  create_function function "resona-dev", received the following error:\n  Connection aborted.',
        ),
        (
            'Traceback (most recent call last):\n  File "x", line 1\n    x()\nNameError: no\n',
            "  NameError: no",
        ),
        ("", "  (it does not say why)"),
    ],
)
def test_of_a_stack_trace_of_chalice_s_its_sentence_is_left(errors: str, told: str) -> None:
    assert functions._told(errors) == told


def test_what_chalice_says_is_told_without_its_stack_trace(account: Account) -> None:
    (account.checkout.root / "chalicelib" / "version.py").write_text("VERSION = unknown\n")
    assert account.types("deploy --stage dev") == 1
    assert "name 'unknown' is not defined" in account.err
    assert "Traceback" not in account.err + account.out
    assert account.apis == []


@only_in_soak
def test_a_destroyed_stage_keeps_its_data_and_is_deployed_again_onto_it(account: Account) -> None:
    assert account.types("deploy --stage dev") == 0, account.err
    kept = account.cloudformation.stacks["resona-dev"].physical.copy()
    account.answers = ["prod"]
    assert account.types("destroy --stage dev") == 1
    assert "nothing was deleted" in account.err
    account.answers = ["dev"]
    assert account.types("destroy --stage dev") == 0, account.err
    assert account.apis == []
    assert account.client("lambda").list_functions()["Functions"] == []
    assert account.client("events").list_rules()["Rules"] == []
    assert account.client("lambda").list_event_source_mappings()["EventSourceMappings"] == []
    assert [role["RoleName"] for role in account.client("iam").list_roles()["Roles"]] == [
        "resona-dev-GatewayLogsRole-1A2B3C"
    ]
    assert account.cloudformation.stacks == {}
    assert not account.checkout.deployed("dev").exists()
    tables = [f"resona-dev-{name}" for name in ("jobs", "keys", "runs", "secrets")]
    assert sorted(account.client("dynamodb").list_tables()["TableNames"]) == tables
    assert (
        "What stays: the tables resona-dev-jobs, resona-dev-runs, resona-dev-secrets, resona-dev-keys"
        in account.out
    )
    assert f"and the key of secrets {kept['SecretsKey']}." in account.out
    assert "They go on costing what they store" in account.out
    assert "A role resona-dev-GatewayLogsRole-… stays" in account.out
    assert account.types("destroy --stage dev --yes") == 0
    assert "There was nothing to delete" in account.out
    assert "What stays: the tables" in account.out
    assert account.types("deploy --stage dev") == 0, account.err
    assert (
        "Taking over what is there of the stage dev: JobsTable, RunsTable, SecretsTable, SecretsKey, KeysTable"
        in account.out
    )
    again = account.cloudformation.stacks["resona-dev"].physical
    # The key above all: with another one, no secret in the table could be read.
    assert again["SecretsKey"] == kept["SecretsKey"]
    assert len(account.client("kms").list_keys()["Keys"]) == 1
    assert [call for call in account.cloudformation.calls if call.startswith("execute")][1:] == [
        "execute_change_set IMPORT",
        "execute_change_set UPDATE",
    ]


@only_in_soak
def test_a_stage_that_does_not_fire_fails_the_test_and_the_deploy_and_leaves_nothing(
    account: Account,
) -> None:
    account.stage.fires = False
    assert account.types("deploy --stage dev") == 1
    assert "the smoke test failed: its job has not fired" in account.err
    assert "What to do: look at its logs" in account.err
    nothing_of_the_test_is_left(account)
    account.stage.fires = True
    assert account.types("smoke --stage dev") == 0, account.err
    assert account.chalice.runs == 1
    interrupted_and_broken(account)


def interrupted_and_broken(account: Account) -> None:
    """Break off the test of a deployed stage at every call that it makes, and in other ways."""
    account.types("smoke --stage dev")
    calls = account.stage.called.copy()
    assert len(calls) > 8
    for number in range(len(calls)):
        counted = iter(range(len(calls)))

        def interrupt(method: str, path: str, number: int = number, counted: Any = counted) -> None:
            if next(counted) == number:
                raise KeyboardInterrupt

        account.stage.before = interrupt
        assert account.types("smoke --stage dev") == 130
        account.stage.before = None
        assert "Interrupted. Run the same command again" in account.err
        assert "RESONA_SMOKE" not in account.environment
        assert all(record.revoked_at for record in account.stage.keys.all())
    assert account.types("smoke --stage dev") == 0, account.err
    nothing_of_the_test_is_left(account)
    account.stage.is_up = False
    assert account.types("smoke --stage dev") == 1
    assert "it cannot be reached; GET /health answered: ConnectionError" in account.err
    assert "The smoke test's job could not be deleted" not in account.out
    account.stage.is_up = True
    # What a test that was killed has left is taken away by the next deploy, before it looks whether
    # anything has changed.
    variables = {**account.environment, "RESONA_SMOKE": "left by a test that was killed"}
    account.client("lambda").update_function_configuration(
        FunctionName="resona-dev", Environment={"Variables": variables}
    )
    assert account.types("deploy --stage dev") == 0, account.err
    assert "it is off" in account.out
    assert account.chalice.runs == 1
    nothing_of_the_test_is_left(account)


def test_a_failed_stack_says_what_failed_and_what_to_do_and_the_next_deploy_goes_on(
    account: Account,
) -> None:
    account.cloudformation.fails = {
        "DueQueue": "You must wait 60 seconds after deleting a queue before you can create another"
    }
    assert account.types("deploy --stage dev") == 1
    assert "the stack resona-dev could not be deployed; it is now ROLLBACK_COMPLETE" in account.err
    assert "DueQueue (AWS::SQS::Queue) CREATE_FAILED: You must wait 60 seconds" in account.err
    assert "cancelled" not in account.err
    assert (
        "What to do: AWS is not done yet with deleting what had that name: wait some minutes"
        in account.err
    )
    assert account.chalice.runs == 0
    account.cloudformation.fails = {}
    # The tables stay when a stack goes back; the next stack is made of them.
    assert account.types("deploy --stage dev") == 0, account.err
    assert "never came to be (ROLLBACK_COMPLETE)" in account.out
    assert "Taking over what is there" in account.out


def test_a_stack_that_fails_again_at_another_place_is_deployed_at_last(account: Account) -> None:
    """What the second try has made and retained is nobody's: CloudFormation would refuse to make it
    once more.
    """
    account.cloudformation.fails = {"RunsTable": "not authorized to perform: dynamodb:CreateTable"}
    assert account.types("deploy --stage dev") == 1
    account.cloudformation.fails = {"DueQueue": "not authorized to perform: sqs:CreateQueue"}
    assert account.types("deploy --stage dev") == 1
    assert "it is now UPDATE_ROLLBACK_COMPLETE" in account.err
    account.cloudformation.fails = {}
    assert account.types("deploy --stage dev") == 0, account.err
    assert len(account.client("kms").list_keys()["Keys"]) == 1


def test_what_somebody_has_switched_off_is_told_where_a_deploy_changes_nothing(
    account: Account,
) -> None:
    assert account.types("deploy --stage dev") == 0, account.err
    events, lambdas = account.client("events"), account.client("lambda")
    events.disable_rule(Name="resona-dev-sweep-event")
    assert account.types("deploy --stage dev") == 1
    assert (
        "the rule resona-dev-sweep-event, which starts the sweeper, is switched off" in account.err
    )
    assert (
        f"`aws events enable-rule --name resona-dev-sweep-event --region {REGION}`" in account.err
    )
    events.enable_rule(Name="resona-dev-sweep-event")
    (mapping,) = lambdas.list_event_source_mappings()["EventSourceMappings"]
    lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    assert account.types("deploy --stage dev") == 1
    assert "what the queue resona-dev-due starts is switched off" in account.err
    assert (
        f"`aws lambda update-event-source-mapping --uuid {mapping['UUID']} --enabled --region {REGION}`"
        in account.err
    )
