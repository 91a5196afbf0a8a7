"""The alarms of a stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta

from chalicelib.telemetry.metrics import METRICS, NAMESPACE
from infra.deploy.cloud import ROOT
from infra.template import load
from tests.infra import rules
from tests.infra.functions import functions


def test_every_alarm_can_be_understood_and_heard() -> None:
    assert rules.unwatched(load()) == []


def alarms() -> dict[str, tuple[str, str, dict[str, str]]]:
    """Return the metric of each alarm: its namespace, name and dimensions."""
    found = rules.resources(load(), "AWS::CloudWatch::Alarm")
    return {
        rules.text(alarm["AlarmName"]).removeprefix("resona-${Stage}-"): (
            alarm["Namespace"],
            rules.text(alarm["MetricName"]),
            {one["Name"]: rules.text(one["Value"]) for one in alarm.get("Dimensions", [])},
        )
        for alarm in found.values()
    }


def test_what_must_not_go_unnoticed_has_an_alarm() -> None:
    by_function = {
        f"{name}-errors": (
            "AWS/Lambda",
            "Errors",
            {"FunctionName": f"resona-${{Stage}}-{name}"},
        )
        for name in ("wake", "deliver", "sweep")
    }
    visible, api = (
        "ApproximateNumberOfMessagesVisible",
        {"ApiName": "resona-${Stage}", "Stage": "api"},
    )
    assert alarms() == by_function | {
        "overdue": ("Resona", "Overdue", {"stage": "${Stage}"}),
        "sweeper-silent": ("Resona", "Overdue", {"stage": "${Stage}"}),
        "due-dead": ("AWS/SQS", visible, {"QueueName": "${DueDeadLetterQueue.QueueName}"}),
        "failed": ("AWS/SQS", visible, {"QueueName": "${FailedQueue.QueueName}"}),
        "oldest-message": (
            "AWS/SQS",
            "ApproximateAgeOfOldestMessage",
            {"QueueName": "${DueQueue.QueueName}"},
        ),
        "api-5xx": ("AWS/ApiGateway", "5XXError", api),
        "api-p99": ("AWS/ApiGateway", "Latency", api),
    }


def test_silence_is_an_alarm_of_the_sweeper_s_alone() -> None:
    """CloudWatch has no zeros for what is idle; the sweeper is never idle."""
    found = rules.resources(load(), "AWS::CloudWatch::Alarm")
    assert [name for name, alarm in found.items() if alarm["TreatMissingData"] == "breaching"] == [
        "SweeperAlarm"
    ]


def test_a_message_that_may_still_be_on_its_way_is_no_alarm() -> None:
    longest = timedelta(minutes=15) + timedelta(seconds=functions()["deliver"].timeout)
    assert (
        rules.resources(load(), "AWS::CloudWatch::Alarm")["AgeAlarm"]["Threshold"]
        > longest.total_seconds()
    )


def test_the_api_is_named_as_its_alarms_have_it() -> None:
    """Chalice names it after the app, and API Gateway's metrics go by that name."""
    code, environment = (
        "import app; print(app.app.app_name)",
        {"PATH": os.environ["PATH"], "RESONA_STAGE": "dev"},
    )
    named = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    config = json.loads((ROOT / ".chalice" / "config.json").read_text(encoding="utf-8"))
    assert (named.stdout.strip(), config["api_gateway_stage"]) == ("resona-dev", "api")


def test_what_the_alarms_call_ours_is_what_the_functions_emit() -> None:
    emitted = {
        (metric, dimensions)
        for metric, (_, kept_under) in METRICS.items()
        for dimensions in kept_under
    }
    used = {
        (metric, tuple(dimensions))
        for namespace, metric, dimensions in alarms().values()
        if namespace == NAMESPACE
    }
    assert used
    assert used <= emitted
