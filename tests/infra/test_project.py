"""The Chalice project: the app, its configuration, and the functions' settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from chalice.app import SQSEventConfig

from app import app
from chalicelib.config import read_api_key_settings, read_settings
from chalicelib.handlers.authorizer import REMEMBERED_SECONDS
from infra.deploy.cloud import ROOT, Names
from infra.local.template import read_template
from tests.infra.functions import STAGE, functions

API = "api_handler"


def config() -> Any:
    return json.loads((ROOT / ".chalice" / "config.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_the_stage_s_name_is_all_that_a_function_is_told_and_all_other_names_are_the_template_s(
    stage: str,
) -> None:
    environment, names, template = (
        config()["stages"][stage]["environment_variables"],
        Names(stage),
        read_template(stage),
    )
    assert environment == {"RESONA_STAGE": stage}
    place = "eu-central-1:123456789012"
    settings = read_settings(environment, f"arn:aws:lambda:{place}:function:{names.stack}")
    assert [settings.jobs_table, settings.runs_table, settings.secrets_table] == [
        template.table(name) for name in ("jobs", "runs", "secrets")
    ]
    assert read_api_key_settings(environment).keys_table == template.table("keys")
    assert (settings.secrets_key, settings.schedule_group) == (template.key_alias, template.group)
    queue = template.queues[0]["QueueName"]
    assert settings.due_queue_url == f"https://sqs.eu-central-1.amazonaws.com/123456789012/{queue}"
    assert (
        settings.wake_function_arn == f"arn:aws:lambda:{place}:function:{names.functions['wake']}"
    )
    assert settings.scheduler_role_arn == f"arn:aws:iam::123456789012:role/{names.of('scheduler')}"


def test_chalice_connects_the_stage_s_own_queue_and_as_many_deliveries_as_it_is_told() -> None:
    code = (
        "import app; (one,) = [one for one in app.app.event_sources if one.name == 'deliver']; "
        "print(one.queue, one.maximum_concurrency)"
    )
    environment = {"PATH": os.environ["PATH"], "RESONA_STAGE": "prod", "RESONA_CONCURRENCY": "8"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["resona-prod-due", "8"]


def test_functions_and_roles_are_called_by_chalice_as_the_template_and_the_policies_have_it() -> (
    None
):
    names = Names(STAGE)
    assert {
        name: function.function_name for name, function in functions().items()
    } == names.functions
    roles = {name: names.of(name) for name in names.functions}
    assert {name: function.role.role_name for name, function in functions().items()} == roles


# What was chosen for the functions; docs/design.md has the reasons.


def test_functions_run_on_arm_behind_a_regional_api() -> None:
    assert {function.architecture for function in functions().values()} == {"arm64"}
    assert config()["api_gateway_endpoint_type"] == "REGIONAL"
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


def test_only_wake_has_the_memory_that_chalice_gives_and_no_concurrency_is_reserved() -> None:
    memory = {name: function.memory_size for name, function in functions().items()}
    # `wake` waits for a fraction of a second, and nobody waits for it.
    assert all(megabytes >= 352 for name, megabytes in memory.items() if name != "wake")
    assert {function.reserved_concurrency for function in functions().values()} == {None}


def test_the_queue_s_batches_and_their_number_are_bounded() -> None:
    (source,) = [source for source in app.event_sources if isinstance(source, SQSEventConfig)]
    assert (
        source.batch_size,
        source.maximum_batching_window_in_seconds,
        source.maximum_concurrency,
    ) == (10, 0, 800)
