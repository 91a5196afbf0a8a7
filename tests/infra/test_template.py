"""What a laptop reads from the one description of the cloud, and that it fits the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local.run import environment
from infra.local.template import read_template
from infra.template import TEMPLATE
from tests.cloud import INDEXES, KEYS

# The deliver function's timeout: an attempt may take 600 s.
LONGEST_DELIVERY = 660


def keys(description: dict[str, Any]) -> tuple[str, ...]:
    return tuple(key["AttributeName"] for key in sorted(description["KeySchema"], key=lambda key: key["KeyType"] == "RANGE"))


@pytest.mark.parametrize("stage", ["local", "dev", "prod"])
def test_names_carry_the_stage(stage: str) -> None:
    template = read_template(stage)
    assert [table["TableName"] for table in template.tables] == [f"resona-{stage}-{name}" for name in ("jobs", "runs", "secrets", "keys")]
    assert [queue["QueueName"] for queue in template.queues] == [f"resona-{stage}-{name}" for name in ("due", "due-dead", "failed")]
    assert template.group == f"resona-{stage}"
    assert template.key_alias == f"alias/resona-{stage}-secrets"
    assert template.redrives == {f"resona-{stage}-due": (f"resona-{stage}-due-dead", 5)}


def test_nothing_of_the_template_s_own_language_is_left_over() -> None:
    template = read_template("local")
    assert "${" not in repr((template.tables, template.group, template.redrives))
    assert all("${" not in queue["QueueName"] for queue in template.queues)


def test_tables_and_indexes_have_the_keys_that_the_code_asks_by() -> None:
    tables = {str(table["TableName"]).removeprefix("resona-local-"): table for table in read_template("local").tables}
    assert {name: keys(table) for name, table in tables.items()} == KEYS
    found = {name: {index["IndexName"]: index for index in table.get("GlobalSecondaryIndexes", [])} for name, table in tables.items()}
    indexes = found["jobs"] | found["runs"]
    assert {name: keys(index) for name, index in indexes.items()} == INDEXES
    # A claim must not touch the tenants' index, and no index may hold what a user wrote.
    assert all(index["Projection"] == {"ProjectionType": "KEYS_ONLY"} for index in indexes.values())
    assert list(found["runs"]) == ["by_wrong"]
    assert not any(found[name] for name in found.keys() - {"jobs", "runs"})


def test_every_key_is_described_and_nothing_else_is() -> None:
    for table in read_template("local").tables:
        described = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in table["AttributeDefinitions"]}
        used = {name for one in [table, *table.get("GlobalSecondaryIndexes", [])] for name in keys(one)}
        assert described == dict.fromkeys(used, "S")


def test_tables_forget_by_the_attribute_that_the_code_writes_and_are_not_lost_by_accident() -> None:
    for table in read_template("prod").tables:
        if not table["TableName"].endswith(("-secrets", "-keys")):
            assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
        assert table["DeletionProtectionEnabled"] is True
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_a_message_stays_hidden_for_as_long_as_its_delivery_may_take() -> None:
    due, dead, _ = read_template("prod").queues
    assert due["VisibilityTimeout"] >= LONGEST_DELIVERY
    # A message may wait for 15 minutes, and be received five times, before it is given up.
    assert due["MessageRetentionPeriod"] > 900 + 5 * due["VisibilityTimeout"]
    assert dead["MessageRetentionPeriod"] > due["MessageRetentionPeriod"]


def test_the_laptop_s_settings_name_what_the_template_makes() -> None:
    template, settings = read_template("local"), environment("http://127.0.0.1:1")
    named = [settings[f"RESONA_{name}_TABLE"] for name in ("JOBS", "RUNS", "SECRETS", "KEYS")]
    assert named == [table["TableName"] for table in template.tables]
    assert settings["RESONA_SECRETS_KEY"] == template.key_alias
    assert settings["RESONA_DUE_QUEUE_URL"].rpartition("/")[2] == template.queues[0]["QueueName"]
    assert settings["RESONA_SCHEDULE_GROUP"] == template.group


def test_the_template_can_be_read_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert TEMPLATE.is_absolute()
    assert read_template("local").group == "resona-local"


def test_other_readers_of_yaml_do_not_take_the_template_s_tags() -> None:
    """The tags are read by a loader of our own; the library's is left as it was."""
    with pytest.raises(yaml.constructor.ConstructorError):
        yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
