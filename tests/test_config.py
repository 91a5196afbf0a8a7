"""Settings: they are read once, and errors name the variable."""

from __future__ import annotations

import dataclasses
import logging
from datetime import timedelta

import pytest

from chalicelib.config import (
    ApiKeySettings,
    SettingMissing,
    Settings,
    due_queue_name,
    read_api_key_settings,
    read_concurrency,
    read_log_level,
    read_origins,
    read_settings,
    read_topics,
)

ENVIRON = {
    "RESONA_STAGE": "dev",
    "RESONA_JOBS_TABLE": "resona-dev-jobs",
    "RESONA_RUNS_TABLE": "resona-dev-runs",
    "RESONA_SECRETS_TABLE": "resona-dev-secrets",
    "RESONA_SECRETS_KEY": "alias/resona-dev-secrets",
    "RESONA_DUE_QUEUE_URL": "https://sqs.example.com/resona-dev-due",
    "RESONA_SCHEDULE_GROUP": "resona-dev",
    "RESONA_WAKE_FUNCTION_ARN": "arn:aws:lambda:us-east-1:123456789012:function:resona-dev-wake",
    "RESONA_SCHEDULER_ROLE_ARN": "arn:aws:iam::123456789012:role/resona-dev-scheduler",
}

TOPIC = "arn:aws:sns:eu-central-1:123456789012:resona-notices"
OTHERS = {
    "RESONA_RUN_RETENTION": "7",
    "RESONA_JOBS_QUOTA": "0",
    "RESONA_SECRETS_QUOTA": "7",
    "RESONA_REGISTRATIONS_PER_MINUTE": "60000",
    "RESONA_REQUIRE_HTTPS": "true",
    "RESONA_NOTICE_TOPICS": TOPIC,
    "RESONA_TENANT_SHARE": "25",
    "RESONA_TENANT_LEAST": "4",
}


def test_each_field_is_the_variable_of_its_name() -> None:
    settings = dataclasses.asdict(read_settings({**ENVIRON, **OTHERS}))
    assert settings.pop("run_retention") == timedelta(days=7)
    assert (settings.pop("jobs_quota"), settings.pop("registrations_per_minute")) == (0, 60_000)
    assert settings.pop("secrets_quota") == 7
    assert settings.pop("require_https") is True
    assert settings.pop("notice_topics") == {TOPIC}
    assert (settings.pop("tenant_share"), settings.pop("tenant_least")) == (25, 4)
    assert {f"RESONA_{name.upper()}": value for name, value in settings.items()} == ENVIRON


@pytest.mark.parametrize("value", [None, ""])
def test_the_stage_is_the_one_setting_that_must_be_there(value: str | None) -> None:
    environ = {key: text for key, text in ENVIRON.items() if key != "RESONA_STAGE"} | (
        {} if value is None else {"RESONA_STAGE": value}
    )
    for read in (read_settings, read_api_key_settings):
        with pytest.raises(
            SettingMissing, match=r"^the environment variable RESONA_STAGE is not set$"
        ):
            read(environ)


@pytest.mark.parametrize(
    ("partition", "region", "suffix"),
    [("aws", "eu-central-1", "amazonaws.com"), ("aws-cn", "cn-north-1", "amazonaws.com.cn")],
)
@pytest.mark.parametrize("rest", ["resona-prod-wake", "resona-prod:live"])
def test_all_names_follow_from_the_stage_and_from_where_the_function_runs(
    partition: str, region: str, suffix: str, rest: str
) -> None:
    empty = dict.fromkeys(ENVIRON, "")
    for environ in ({"RESONA_STAGE": "prod"}, {**empty, "RESONA_STAGE": "prod"}):
        settings = read_settings(
            environ, f"arn:{partition}:lambda:{region}:123456789012:function:{rest}"
        )
        assert (settings.jobs_table, settings.runs_table, settings.secrets_table) == (
            "resona-prod-jobs",
            "resona-prod-runs",
            "resona-prod-secrets",
        )
        assert (settings.secrets_key, settings.schedule_group) == (
            "alias/resona-prod-secrets",
            "resona-prod",
        )
        assert (
            settings.due_queue_url == f"https://sqs.{region}.{suffix}/123456789012/resona-prod-due"
        )
        assert (
            settings.wake_function_arn
            == f"arn:{partition}:lambda:{region}:123456789012:function:resona-prod-wake"
        )
        assert (
            settings.scheduler_role_arn
            == f"arn:{partition}:iam::123456789012:role/resona-prod-scheduler"
        )
        assert read_api_key_settings(environ).keys_table == "resona-prod-keys"
        assert due_queue_name(environ) == "resona-prod-due"


def test_a_variable_that_is_set_comes_before_the_name_that_follows_from_the_stage() -> None:
    settings = dataclasses.asdict(
        read_settings(ENVIRON, "arn:aws:lambda:eu-central-1:210987654321:function:resona-dev")
    )
    assert {name: settings[name.removeprefix("RESONA_").lower()] for name in ENVIRON} == ENVIRON
    assert read_api_key_settings(
        {"RESONA_STAGE": "dev", "RESONA_KEYS_TABLE": "keys"}
    ) == ApiKeySettings("dev", "keys")
    assert due_queue_name({"RESONA_STAGE": "dev", "RESONA_DUE_QUEUE": "another"}) == "another"


@pytest.mark.parametrize(
    "name", ["RESONA_DUE_QUEUE_URL", "RESONA_WAKE_FUNCTION_ARN", "RESONA_SCHEDULER_ROLE_ARN"]
)
@pytest.mark.parametrize(
    "arn", ["", "resona-dev-wake", "arn:aws:sqs:us-east-1:123456789012:resona-dev-due"]
)
def test_what_needs_account_and_region_is_named_when_the_function_s_arn_is_unknown(
    name: str, arn: str
) -> None:
    with pytest.raises(
        SettingMissing,
        match=(
            f"^the environment variable {name} is not set, and the Lambda function's ARN is "
            "unknown$"
        ),
    ):
        read_settings({**ENVIRON, name: ""}, arn)


@pytest.mark.parametrize(("text", "number"), [("", 800), ("2", 2), ("1000", 1000)])
def test_so_many_deliveries_run_at_once(text: str, number: int) -> None:
    assert read_concurrency({"RESONA_CONCURRENCY": text}) == number


@pytest.mark.parametrize("text", ["1", "1001", "-2", "2.0", "many"])
def test_lambda_takes_no_other_number_of_deliveries(text: str) -> None:
    with pytest.raises(
        SettingMissing, match="RESONA_CONCURRENCY must be a whole number from 2 to 1000"
    ):
        read_concurrency({"RESONA_CONCURRENCY": text})


def test_runs_are_kept_for_a_month_unless_said_otherwise() -> None:
    assert read_settings(ENVIRON).run_retention == timedelta(days=30)
    assert read_settings({**ENVIRON, "RESONA_RUN_RETENTION": ""}).run_retention == timedelta(
        days=30
    )


def test_quotas_are_what_the_readme_says_unless_said_otherwise() -> None:
    settings = read_settings(ENVIRON)
    assert (settings.jobs_quota, settings.registrations_per_minute) == (100_000, 6_000)
    assert settings.secrets_quota == 1_000


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("RESONA_JOBS_QUOTA", 100_000_000),
        ("RESONA_REGISTRATIONS_PER_MINUTE", 60_000),
        ("RESONA_SECRETS_QUOTA", 100_000),
    ],
)
def test_a_quota_has_a_most_and_may_be_0(name: str, most: int) -> None:
    for number in (0, most):
        read_settings({**ENVIRON, name: str(number)})
    with pytest.raises(SettingMissing, match=f"{name} must be a whole number from 0 to {most}"):
        read_settings({**ENVIRON, name: str(most + 1)})


def test_an_item_s_writes_a_second_bound_the_quota_of_registrations() -> None:
    with pytest.raises(
        SettingMissing,
        match="RESONA_REGISTRATIONS_PER_MINUTE must be a whole number from 0 to 60000",
    ):
        read_settings({**ENVIRON, "RESONA_REGISTRATIONS_PER_MINUTE": "60001"})


@pytest.mark.parametrize("days", [1, 30, 365])
def test_runs_may_be_kept_for_a_day_to_a_year(days: int) -> None:
    assert read_settings({**ENVIRON, "RESONA_RUN_RETENTION": str(days)}).run_retention == timedelta(
        days=days
    )


@pytest.mark.parametrize(
    "text", ["0", "366", "-1", "1.5", "1e2", "30 days", " 30", "٣", "+7", "99999999999999999999"]
)
def test_a_wrong_number_is_refused_and_shown(text: str) -> None:
    with pytest.raises(SettingMissing) as refused:
        read_settings({**ENVIRON, "RESONA_RUN_RETENTION": text})
    assert str(refused.value) == (
        "the environment variable RESONA_RUN_RETENTION must be a whole number from 1 to 365, not "
        f"{text!r}"
    )


def test_https_is_not_required_unless_said_so() -> None:
    assert not read_settings(ENVIRON).require_https
    for text in ("", "false"):
        assert not read_settings({**ENVIRON, "RESONA_REQUIRE_HTTPS": text}).require_https


@pytest.mark.parametrize("text", ["1", "True", "yes", "on", "TRUE", " true", "https"])
def test_a_setting_that_is_neither_true_nor_false_is_refused_and_shown(text: str) -> None:
    with pytest.raises(SettingMissing) as refused:
        read_settings({**ENVIRON, "RESONA_REQUIRE_HTTPS": text})
    assert (
        str(refused.value)
        == f"the environment variable RESONA_REQUIRE_HTTPS must be true or false, not {text!r}"
    )


def test_the_environment_is_read_when_asked_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RESONA_STAGE", "prod")
    assert read_settings().stage == "prod"


def test_settings_cannot_be_changed() -> None:
    settings = read_settings(ENVIRON)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.stage = "prod"  # type: ignore[misc]
    assert isinstance(settings, Settings)


def test_origins_are_as_browsers_send_them() -> None:
    assert read_origins({}) == read_origins({"RESONA_CORS_ORIGINS": ""}) == frozenset()
    text = "https://app.example.com, http://localhost:3000,http://[::1]:8080,http://a.example:443"
    wanted = {
        "https://app.example.com",
        "http://localhost:3000",
        "http://[::1]:8080",
        "http://a.example:443",
    }
    assert read_origins({"RESONA_CORS_ORIGINS": text}) == wanted


@pytest.mark.parametrize(
    "text",
    [
        *(
            "*",
            "null",
            "app.example.com",
            "https://app.example.com/",
            "HTTPS://app.example.com",
            "https://a b",
        ),
        *("https://app.example.com:443", "http://localhost:80", "http://[::1]:80"),
    ],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(SettingMissing, match="RESONA_CORS_ORIGINS must hold origins"):
        read_origins({"RESONA_CORS_ORIGINS": f"https://good.example,{text}"})


def test_topics_are_separated_by_commas() -> None:
    other = "arn:aws-cn:sns:cn-north-1:123456789012:A_b-1"
    assert read_topics({}) == read_topics({"RESONA_NOTICE_TOPICS": ""}) == frozenset()
    assert read_topics({"RESONA_NOTICE_TOPICS": f"{TOPIC}, {other},"}) == {TOPIC, other}


@pytest.mark.parametrize(
    "text",
    ["resona-notices", f"sns:{TOPIC}", f"{TOPIC}.fifo", f"{TOPIC}:0a1b", f"{TOPIC}*", f"{TOPIC} x"],
)
def test_what_is_no_standard_topic_is_refused(text: str) -> None:
    with pytest.raises(SettingMissing, match="RESONA_NOTICE_TOPICS must hold ARNs of standard SNS"):
        read_topics({"RESONA_NOTICE_TOPICS": f"{TOPIC},{text}"})


def test_events_are_written_from_info_on_unless_said_otherwise() -> None:
    assert read_log_level({}) == read_log_level({"RESONA_LOG_LEVEL": ""}) == logging.INFO
    assert read_log_level({"RESONA_LOG_LEVEL": "WARNING"}) == logging.WARNING


@pytest.mark.parametrize("text", ["info", "20", "NOTSET", "CRITICAL", "WARN", " INFO"])
def test_what_is_no_level_is_refused_and_shown(text: str) -> None:
    with pytest.raises(SettingMissing) as refused:
        read_log_level({"RESONA_LOG_LEVEL": text})
    assert str(refused.value) == (
        "the environment variable RESONA_LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, "
        f"not {text!r}"
    )
