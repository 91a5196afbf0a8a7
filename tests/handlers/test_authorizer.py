"""The authorizer, called with API Gateway's events."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.config import SettingMissing
from chalicelib.domain.api_keys import Key, Scope, StoredApiKey, new_key
from chalicelib.domain.errors import Unavailable
from chalicelib.handlers import authorizer
from chalicelib.handlers.authorizer import REMEMBERED_SECONDS, Authenticator, Unauthorized
from tests.cloud import Cloud, DynamoDB, client_error
from tests.environment import START

METHOD_ARN = (
    "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/api/GET/jobs/"
    "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K/runs"
)


@dataclass
class Stage:
    """A stage named prod with a table of keys, and API Gateway's call of its authorizer."""

    now: datetime = START
    cloud: Cloud = field(default_factory=lambda: Cloud(lambda: START))

    def __post_init__(self) -> None:
        client: Any = DynamoDB(self.cloud)
        self.keys = ApiKeyStore(client, "keys", sleep=lambda seconds: None)
        authorizer.authenticator.use(Authenticator(self.keys, "prod", lambda: self.now))

    def make(self, **fields: Any) -> Key:
        key = new_key("prod")
        self.keys.add(
            replace(StoredApiKey(key.id, key.digest, "acme", frozenset(Scope), self.now), **fields)
        )
        return key

    def ask(self, header: str) -> Any:
        event: dict[str, Any] = {
            "type": "TOKEN",
            "authorizationToken": header,
            "methodArn": METHOD_ARN,
        }
        return authorizer.authorize(event, None)


@pytest.fixture
def stage() -> Iterator[Stage]:
    yield Stage()
    authorizer.authenticator.use(None)


def test_a_key_is_told_whose_it_is_and_how_far_it_opens(stage: Stage) -> None:
    key, reader = stage.make(), stage.make(tenant="other", scopes=frozenset({Scope.READ}))
    assert stage.ask(f"Bearer {key.text}")["context"] == {
        "tenant": "acme",
        "scopes": "read write",
        "key_id": key.id,
    }
    assert stage.ask(f"Bearer {reader.text}")["context"] == {
        "tenant": "other",
        "scopes": "read",
        "key_id": reader.id,
    }
    # API Gateway takes texts, numbers and booleans alone, and writes the principal into its logs.
    assert stage.ask(f"Bearer {key.text}")["principalId"] == key.id


def test_the_answer_is_good_for_every_route_of_the_stage_since_it_is_remembered_for_all(
    stage: Stage,
) -> None:
    (statement,) = stage.ask(f"Bearer {stage.make().text}")["policyDocument"]["Statement"]
    assert statement == {
        "Action": "execute-api:Invoke",
        "Effect": "Allow",
        "Resource": ["arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/api/*/*"],
    }


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER   {}", "Bearer {} "])
def test_the_scheme_may_be_written_as_http_lets_it_be(stage: Stage, form: str) -> None:
    assert stage.ask(form.format(stage.make().text))["context"]["tenant"] == "acme"


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "Basic {}",
        "Bearer",
        "Bearer {0},Bearer {0}",
        "Bearer {0} {0}",
        "Bearer\t{}",
        "Bearer\n{}",
        "Bearer {}\n",
        " Bearer {}",
        "",
        "é",
    ],
)
def test_another_header_is_refused_without_a_read(stage: Stage, form: str) -> None:
    header = form.format(stage.make().text)
    stage.cloud.calls.clear()
    with pytest.raises(Unauthorized):
        stage.ask(header)
    assert stage.cloud.calls == []


def test_what_is_no_key_of_this_stage_is_refused_without_a_read(stage: Stage) -> None:
    key = stage.make()
    slip = key.text[:-1] + ("0" if key.text[-1] != "0" else "1")
    stage.cloud.calls.clear()
    for text in (
        "rsn_",
        "x" * 8000,
        slip,
        replace(key, stage="dev").text,
        key.text.replace("prod", "dev"),
    ):
        with pytest.raises(Unauthorized):
            stage.ask(f"Bearer {text}")
    assert stage.cloud.calls == []


def test_every_refusal_is_the_one_sentence_that_api_gateway_answers_with_401(stage: Stage) -> None:
    key, expired = stage.make(), stage.make(expires_at=stage.now)
    revoked = stage.make()
    stage.keys.revoke(revoked.id, stage.now)
    for text in (
        "",
        expired.text,
        revoked.text,
        new_key("prod").text,
        replace(key, secret=revoked.secret).text,
    ):
        with pytest.raises(Exception, match=r"^Unauthorized$") as refused:
            stage.ask(f"Bearer {text}")
        assert refused.value.__cause__ is None


def test_a_key_is_dead_once_the_remembered_answer_is_forgotten(stage: Stage) -> None:
    """API Gateway remembers an answer for `ttl_seconds`; after that it asks again, and the table is
    read anew.
    """
    assert REMEMBERED_SECONDS == 60
    key = stage.make()
    assert stage.ask(f"Bearer {key.text}")
    stage.keys.revoke(key.id, stage.now)
    with pytest.raises(Unauthorized):
        stage.ask(f"Bearer {key.text}")


def test_a_key_expires_on_its_instant(stage: Stage) -> None:
    key = stage.make(expires_at=stage.now + timedelta(days=90))
    stage.now += timedelta(days=90) - timedelta(milliseconds=1)
    assert stage.ask(f"Bearer {key.text}")
    stage.now += timedelta(milliseconds=1)
    with pytest.raises(Unauthorized):
        stage.ask(f"Bearer {key.text}")


def test_a_table_that_does_not_answer_opens_nothing_and_is_no_401(stage: Stage) -> None:
    key = stage.make()

    def fail(operation: str, request: dict[str, Any]) -> None:
        raise client_error("InternalServerError", operation, 500)

    stage.cloud.before = fail
    with pytest.raises(Unavailable):
        stage.ask(f"Bearer {key.text}")


def test_a_refused_key_is_logged_by_its_id_alone(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    revoked, expired, unknown = stage.make(), stage.make(expires_at=stage.now), new_key("prod")
    stage.keys.revoke(revoked.id, stage.now)
    good = stage.make()
    assert stage.ask(f"Bearer {good.text}")
    for key in (revoked, expired, unknown):
        with pytest.raises(Unauthorized):
            stage.ask(f"Bearer {key.text}")
    fields = [
        (record.getMessage(), vars(record)["status"], vars(record)["key_id"])
        for record in caplog.records
    ]
    assert fields == [
        ("key.refused", "revoked", revoked.id),
        ("key.refused", "expired", expired.id),
        ("key.refused", "unknown", unknown.id),
    ]
    logged = repr([vars(record) for record in caplog.records])
    for key in (good, revoked, expired, unknown):
        assert key.secret not in logged
        assert key.digest not in logged


def test_it_says_which_setting_it_misses(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    authorizer.authenticator.use(None)
    monkeypatch.delenv("RESONA_STAGE", raising=False)
    with pytest.raises(SettingMissing, match="RESONA_STAGE"):
        stage.ask("Bearer rsn_")
