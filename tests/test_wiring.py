"""`handlers.composition` gives every part the resource of its own setting, on moto.

Everything that a setting names is there once, under a name that no other has, so two swapped
arguments reach nothing.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from moto import mock_aws

from chalicelib.api.routing import backend
from chalicelib.aws import clients
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.domain.api_keys import Scope, StoredApiKey, new_key
from chalicelib.domain.cron import parse
from chalicelib.domain.ids import new_job_id, new_token, schedule_name
from chalicelib.handlers import composition, executor
from chalicelib.handlers.authorizer import Unauthorized
from infra.local.clock import wake_event
from infra.local.guard import LOCAL
from infra.local.template import read_template
from tests.api.conftest import Api, job
from tests.handlers.test_executor import event_of
from tests.infra.sessions import new_core
from tests.infra.tables import make_tables
from tests.test_config import ENVIRON

REGION = "us-east-1"
TEMPLATE = read_template("dev")
QUOTAS = {"RESONA_JOBS_QUOTA": "50", "RESONA_REGISTRATIONS_PER_MINUTE": "3"}
RETENTION = {"RESONA_RUN_RETENTION": "7"}
KEYS = {"RESONA_KEYS_TABLE": "resona-dev-keys"}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything that the settings of a stage name."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    credentials = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    region = {"AWS_DEFAULT_REGION": REGION}
    for name, value in {**ENVIRON, **KEYS, **QUOTAS, **RETENTION, **credentials, **region}.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        boto3.setup_default_session(botocore_session=new_core())
        make_tables(clients.dynamodb(), "dev")
        queue = clients.sqs().create_queue(QueueName="resona-dev-due")["QueueUrl"]
        monkeypatch.setenv("RESONA_DUE_QUEUE_URL", queue)
        clients.scheduler().create_schedule_group(Name="resona-dev")
        kms = clients.kms()
        kms.create_alias(
            AliasName="alias/resona-dev-secrets",
            TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"],
        )
        yield


@dataclass
class Target:
    """A server that notes the headers of what it is sent, and when."""

    url: str
    got: list[tuple[datetime, dict[str, str]]]


@pytest.fixture
def target() -> Iterator[Target]:
    got: list[tuple[datetime, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((datetime.now(UTC), dict(self.headers.items())))
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"done")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=functools.partial(server.serve_forever, 0.01))
    thread.start()
    yield Target(f"http://127.0.0.1:{server.server_port}/hook", got)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def api(stage: None) -> Iterator[Api]:
    """The routes as the environment puts them together; a laptop's guard, since the target is on
    this machine.
    """
    assembled: Any = composition.scheduling(refuse_host=LOCAL.refuse_host)
    backend.use(assembled, stage="local")
    no_env: Any = None
    yield Api(no_env)
    backend.use(assembled, stage="")


def queue_url() -> str:
    return clients.sqs().get_queue_url(QueueName="resona-dev-due")["QueueUrl"]


def waiting() -> list[str]:
    """Return the bodies of the messages in the due queue, waiting for one if it is delayed: a delay
    is rounded up to a whole second, so that the queue may hold it for one.
    """
    answer = clients.sqs().receive_message(
        QueueUrl=queue_url(), MaxNumberOfMessages=10, WaitTimeSeconds=10
    )
    return [message["Body"] for message in answer.get("Messages", [])]


def queued() -> int:
    """Return how many messages there are, delayed and received ones included."""
    attributes = clients.sqs().get_queue_attributes(QueueUrl=queue_url(), AttributeNames=["All"])[
        "Attributes"
    ]
    return sum(
        int(value) for name, value in attributes.items() if name.startswith("ApproximateNumber")
    )


def items(table: str) -> list[dict[str, Any]]:
    return clients.dynamodb().scan(TableName=f"resona-dev-{table}")["Items"]


def test_a_job_goes_its_whole_way_through_what_the_settings_name(api: Api, target: Target) -> None:
    assert api.put("/secrets/token", {"value": "word"}).status == 204
    request = {"url": target.url, "headers": {"Authorization": "Bearer {{secret:token}}"}}
    # DueMessage within the second: the executor sleeps until then.
    made = api.register(request=request, trigger={"delay": 0.2})
    due_at = datetime.fromisoformat(made["next_run_time"])
    (message,) = waiting()
    firing = composition.firing(guard=LOCAL)
    executor.on_messages(event_of(message), firing)

    ((arrived_at, headers),) = target.got
    assert headers["Authorization"] == "Bearer word"
    assert headers["webhook-signature"].startswith("v1,")
    assert due_at <= arrived_at < due_at + timedelta(seconds=5)
    shown = api.get(f"/jobs/{made['id']}").json
    assert (shown["status"], shown["result"]["body"]) == ("completed", "done")
    started_at = datetime.fromisoformat(shown["result"]["started_at"])
    assert due_at <= started_at <= arrived_at + timedelta(milliseconds=1)
    (record,) = items("runs")
    kept = int(record["expires_at"]["N"]) - arrived_at.timestamp()
    assert kept == pytest.approx(timedelta(days=7).total_seconds(), abs=5)
    assert {item["id"]["S"] for item in items("jobs") if "definition" in item} == {made["id"]}
    assert {item["name"]["S"] for item in items("secrets")} == {"secret#token", "signing"}


def test_a_schedule_is_made_in_its_group_and_wakes_the_executor(api: Api) -> None:
    made = api.register(trigger={"cron": "0 0 1 1 *"})
    (listed,) = clients.scheduler().list_schedules(GroupName="resona-dev")["Schedules"]
    name = listed["Name"]
    schedule = clients.scheduler().get_schedule(GroupName="resona-dev", Name=name)
    assert schedule["Target"]["Arn"] == ENVIRON["RESONA_WAKE_FUNCTION_ARN"]
    assert schedule["Target"]["RoleArn"] == ENVIRON["RESONA_SCHEDULER_ROLE_ARN"]
    next_at = datetime.fromisoformat(made["next_run_time"])
    executor.on_wake(
        wake_event(dict(schedule), next_at - timedelta(minutes=2)), composition.firing()
    )
    assert queued() == 1
    assert api.delete(f"/jobs/{made['id']}").status == 204
    assert clients.scheduler().list_schedules(GroupName="resona-dev")["Schedules"] == []


def test_the_executor_has_schedules_wake_the_same_function_in_the_same_role(stage: None) -> None:
    """It only deletes schedules today."""
    now = datetime.now(UTC)
    job_id, token = new_job_id(now), new_token(now)
    composition.firing().schedules.create(job_id, token, parse("0 9 * * *"))
    name = schedule_name(job_id, token)
    target = clients.scheduler().get_schedule(GroupName="resona-dev", Name=name)["Target"]
    assert target["Arn"] == ENVIRON["RESONA_WAKE_FUNCTION_ARN"]
    assert target["RoleArn"] == ENVIRON["RESONA_SCHEDULER_ROLE_ARN"]


def test_each_quota_is_its_own(api: Api) -> None:
    # A minute may end in between.
    answers = [api.post("/jobs", job()) for _ in range(7)]
    answer = next(answer for answer in answers if answer.status == 429)
    assert answer.headers["RateLimit-Policy"] == '"registrations";q=3;w=60'


def test_a_notice_reaches_those_who_subscribed_to_an_allowed_topic(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    region, name = "eu-central-1", "resona-notices"
    sns, sqs = clients.sns(region), boto3.client("sqs", region_name=region)
    topic = sns.create_topic(Name=name)["TopicArn"]
    inbox = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    arn = f"arn:aws:sqs:{region}:123456789012:inbox"
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    assert api.put("/notices/mail", {"url": f"sns:{topic}"}).fields == ["url"]

    monkeypatch.setenv("RESONA_NOTICE_TOPICS", f"arn:aws:sns:us-east-1:123456789012:a,{topic}")
    backend.use(composition.scheduling(), stage="local")
    assert api.put("/notices/mail", {"url": f"sns:{topic}"}).status == 200
    assert api.post("/notices/mail/test").status == 202
    (message,) = waiting()
    executor.on_messages(event_of(message), composition.firing())
    (mail,) = sqs.receive_message(QueueUrl=inbox)["Messages"]
    assert json.loads(mail["Body"])["Subject"] == "Resona: a test of mail"
    last = api.get("/notices/mail").json["last_delivery"]
    assert (last["status"], last["status_code"]) == ("succeeded", 200)


def test_the_authorizer_asks_the_table_of_keys_of_its_own_stage(stage: None) -> None:
    store = ApiKeyStore(clients.dynamodb(), "resona-dev-keys")
    made = {name: new_key(name) for name in ("dev", "prod")}
    for key in made.values():
        store.add(
            StoredApiKey(key.id, key.digest, "acme", frozenset({Scope.READ}), datetime.now(UTC))
        )
    gate = composition.authenticator()
    assert gate.admit(f"Bearer {made['dev'].text}").tenant == "acme"
    with pytest.raises(Unauthorized):
        gate.admit(f"Bearer {made['prod'].text}")
