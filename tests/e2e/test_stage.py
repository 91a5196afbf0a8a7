"""The deployed stage is the checkout, is wired correctly, and logs no unexpected errors."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.api.openapi.gateway_responses import gateway_responses
from infra.deploy.cloud import Names
from infra.deploy.finish import ASYNCHRONOUS, BURST, RATE
from tests.acceptance.receivers import Receiver
from tests.acceptance.remote import Remote
from tests.e2e.inside import CHECKOUT, DELIVERIES, FOLDER, INWARD, STAGE, client

NAMES = Names(STAGE)
# A minutely cron's schedule is looked at every ten seconds, the sweeper's rule too.
MINUTES = 150


@pytest.fixture
def job(stage: Remote) -> Iterator[Any]:
    """A cron that is woken for in each of the next minutes, but not in every hour's."""
    now = datetime.now(UTC).minute
    minutes = ",".join(str((now + ahead) % 60) for ahead in range(6))
    made = stage.post(
        "/jobs",
        {
            "name": "Woken",
            "request": {"url": "http://example.com/"},
            "trigger": {"cron": f"{minutes} * * * *"},
        },
    ).json()
    yield made
    stage.delete(f"/jobs/{made['id']}")


def lines(group: str) -> list[str]:
    """Return all that a function's log group holds."""
    logs = client("logs")
    streams = [
        stream["logStreamName"]
        for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]
    ]
    found = (
        logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
        for stream in streams
    )
    return [event["message"] for events in found for event in events]


def test_what_is_deployed_is_the_zip() -> None:
    (built,) = (CHECKOUT / ".chalice" / "deployments").glob("*.zip")
    zipped = built.read_bytes()
    for name in NAMES.functions.values():
        function = client("lambda").get_function_configuration(FunctionName=name)
        assert (function["CodeSize"], function["CodeSha256"]) == (
            len(zipped),
            base64.b64encode(hashlib.sha256(zipped).digest()).decode(),
        )
        assert function["Role"].rpartition("/")[2] in map(NAMES.of, NAMES.functions)


@pytest.mark.parametrize(
    "module",
    ["requests", "pydantic", "pydantic_core", "ulid", "tzdata", "chalice", "certifi", "idna"],
)
def test_beside_the_zip_there_is_boto3_and_nothing_of_what_it_holds(module: str) -> None:
    python = FOLDER / "lambda" / "bin" / "python"
    assert subprocess.run([python, "-c", "import boto3"], check=False).returncode == 0
    done = subprocess.run(
        [python, "-c", f"import {module}"], capture_output=True, text=True, check=False
    )
    assert f"No module named '{module}'" in done.stderr


def test_a_name_that_leads_inward_is_not_called(stage: Remote) -> None:
    """Whatever the API lets through: the executor looks at the address."""
    receiver = Receiver()
    try:
        port = receiver.address("").rpartition(":")[2].rstrip("/")
        made = stage.register(f"http://{INWARD}:{port}/", {"delay": 0}, retry={"max_attempts": 1})
        shown = stage.wait_for(f"/jobs/{made['id']}", lambda shown: shown["status"] == "failed", 15)
        assert shown["result"]["status_code"] is None
        (run,) = stage.get(f"/jobs/{made['id']}/runs")
        assert [attempt["outcome"] for attempt in run["attempts"]] == ["blocked"]
        assert receiver.got == []
    finally:
        receiver.close()


def test_what_nobody_waits_for_is_repeated_and_given_up_as_it_should() -> None:
    (failed,) = (
        url for url in client("sqs").list_queues()["QueueUrls"] if url.endswith(NAMES.of("failed"))
    )
    arn = client("sqs").get_queue_attributes(QueueUrl=failed, AttributeNames=["QueueArn"])[
        "Attributes"
    ]["QueueArn"]
    for part, settings in ASYNCHRONOUS.items():
        found = client("lambda").get_function_event_invoke_config(
            FunctionName=NAMES.functions[part]
        )
        assert {name: found[name] for name in settings} == settings
        assert found["DestinationConfig"]["OnFailure"]["Destination"] == arn


def test_the_due_queue_is_delivered_and_the_sweeper_s_rule_is_on() -> None:
    (mapping,) = client("lambda").list_event_source_mappings(
        FunctionName=NAMES.functions["deliver"]
    )["EventSourceMappings"]
    assert (mapping["EventSourceArn"].rpartition(":")[2], mapping["BatchSize"]) == (
        NAMES.of("due"),
        10,
    )
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": DELIVERIES}
    rule = client("events").describe_rule(Name=NAMES.of("sweep-event"))
    assert (rule["State"], rule["ScheduleExpression"]) == ("ENABLED", "rate(1 minute)")


def test_the_stage_answers_and_throttles_as_it_should() -> None:
    gateway = client("apigateway")
    (api,) = gateway.get_rest_apis()["items"]
    assert api["name"] == NAMES.stack
    (stage,) = gateway.get_stages(restApiId=api["id"])["item"]
    settings = stage["methodSettings"]["*/*"]
    assert (settings["throttlingRateLimit"], settings["throttlingBurstLimit"]) == (RATE, BURST)
    found = {
        one["responseType"]: one
        for one in gateway.get_gateway_responses(restApiId=api["id"])["items"]
    }
    for kind, response in gateway_responses(frozenset()).items():
        assert {name: found[kind][name] for name in response} == response


def test_every_function_has_run_and_none_has_failed(job: dict[str, Any]) -> None:
    """The last of all: here is what the others have made them do, and what only a schedule, the
    rule and the gateway do.
    """
    assert job["status"] == "active"
    until = time.monotonic() + MINUTES
    groups = {name: f"/aws/lambda/{name}" for name in NAMES.functions.values()}
    while quiet := [
        name
        for name, group in groups.items()
        if not any(line.startswith("REPORT") for line in lines(group))
    ]:
        assert time.monotonic() < until, quiet
        time.sleep(2)
    for name, group in groups.items():
        told = [line for line in lines(group) if not line.startswith(("START", "END", "REPORT"))]
        wrong = [line for line in told if _is_wrong(line)]
        assert not wrong, (name, wrong)


def _is_wrong(line: str) -> bool:
    """Say whether it is neither a metric nor an event that tells of nothing wrong: what is no JSON
    is not ours.
    """
    try:
        told = json.loads(line)
    except ValueError:
        return True
    return "_aws" not in told and told["level"] not in ("INFO", "WARNING")
