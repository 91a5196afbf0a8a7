"""`python -m infra.keys` on the table of a deployed stage, which moto emulates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import boto3
import click
import pytest
from click.testing import CliRunner
from moto import mock_aws

from chalicelib.aws import clients
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.aws.busy_store import BusyStore
from chalicelib.domain.api_keys import ApiKeyStatus, Scope, new_key, read_key, verify
from infra import keys
from tests.infra.sessions import new_core
from tests.infra.tables import make_tables

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


@dataclass
class Operator:
    """Who types commands: `out` and `err` are what the last one printed."""

    out: str = ""
    err: str = ""

    def types(self, line: str) -> int:
        typed = CliRunner().invoke(keys.main, line.split())
        self.out, self.err = typed.stdout, typed.stderr
        return typed.exit_code


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        boto3.setup_default_session(botocore_session=new_core())
        make_tables(clients.dynamodb(), "prod")
        yield Operator()


def store() -> ApiKeyStore:
    return ApiKeyStore(clients.dynamodb(), "resona-prod-keys")


def test_a_key_is_made_and_shown_once_alone_on_standard_output(operator: Operator) -> None:
    assert operator.types("create --stage prod --tenant acme") == 0
    key = read_key(operator.out.removesuffix("\n"), "prod")
    assert key is not None
    record = store().get(key.id)
    assert record is not None
    assert verify(key, record, NOW) == ApiKeyStatus.ACTIVE
    assert (record.tenant, record.scopes, record.expires_at) == ("acme", frozenset(Scope), None)
    assert operator.err == f"This is key {key.id} of acme, for read,write; it is shown this once.\n"
    operator.types("list --stage prod")
    assert key.id in operator.out
    assert key.secret not in operator.out + operator.err
    assert key.digest not in operator.out + operator.err


def test_the_stage_is_told_once_it_has_several_tenants(operator: Operator) -> None:
    busy = BusyStore(clients.dynamodb(), "resona-prod-jobs", "resona-prod-secrets")
    told = []
    for tenant in ("acme", "acme", "other"):
        assert operator.types(f"create --stage prod --tenant {tenant}") == 0
        told.append(busy.all())
    assert told == [(False, {}), (False, {}), (True, {})]


@pytest.mark.parametrize(
    ("text", "scopes"),
    [
        ("read", {Scope.READ}),
        ("write", {Scope.WRITE}),
        ("read,write", set(Scope)),
    ],
)
def test_a_key_has_the_scopes_that_were_named(
    operator: Operator, text: str, scopes: set[Scope]
) -> None:
    operator.types(f"create --stage prod --tenant acme --scopes {text}")
    (record,) = store().all()
    assert record.scopes == scopes


def test_keys_are_listed_by_tenant_with_what_they_are_worth(operator: Operator) -> None:
    for line in (
        "--tenant b --expires 2099-01-31T00:00:00+01:00",
        "--tenant a --scopes read",
        "--tenant b --expires 1d",
    ):
        assert operator.types(f"create --stage prod {line}") == 0
    first, second, third = sorted(
        store().all(), key=lambda record: (record.tenant, record.created_at)
    )
    assert operator.types(f"revoke --stage prod {third.id}") == 0
    assert operator.types("list --stage prod") == 0
    rows = [line.split() for line in operator.out.splitlines()]
    assert rows[0] == ["KEY", "ID", "TENANT", "SCOPES", "CREATED", "EXPIRES", "STATUS"]
    assert [(row[0], row[1], row[2], row[5]) for row in rows[1:]] == [
        (first.id, "a", "read", "active"),
        (second.id, "b", "read,write", "active"),
        (third.id, "b", "read,write", "revoked"),
    ]
    assert [row[4] for row in rows[1:3]] == ["never", "2099-01-30T23:00:00Z"]
    operator.types("list --stage prod --tenant a")
    assert [line.split()[0] for line in operator.out.splitlines()] == ["KEY", first.id]
    operator.types("list --stage prod --tenant nobody")
    assert len(operator.out.splitlines()) == 1


def test_a_key_is_revoked_by_its_id_or_by_all_of_it_and_stays_so(operator: Operator) -> None:
    operator.types("create --stage prod --tenant acme")
    key = read_key(operator.out.strip(), "prod")
    assert key is not None
    assert operator.types(f"revoke --stage prod {key.text}") == 0
    said = operator.out
    assert re.fullmatch(
        (
            rf"Key {key.id} of acme is revoked since \S+\.\nAPI Gateway may remember it for 60 "
            rf"seconds more\.\n"
        ),
        said,
    )
    assert operator.types(f"revoke --stage prod {key.id}") == 0
    assert operator.out == said
    record = store().get(key.id)
    assert verify(key, record, NOW) == ApiKeyStatus.REVOKED
    assert key.secret not in said


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("revoke --stage prod 0123456789ab", "there is no key 0123456789ab at the stage prod"),
        (
            "list --stage dev",
            "the stage is not in this account and region: deploy it, or set AWS_REGION",
        ),
        (
            "create --stage dev --tenant acme",
            "the stage is not in this account and region: deploy it, or set AWS_REGION",
        ),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(
    operator: Operator, line: str, says: str
) -> None:
    assert operator.types(line) == 1
    assert says in operator.err
    assert operator.err.count("\n") == 1
    assert operator.out == ""
    assert list(store().all()) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("create --tenant acme", "Missing option '--stage'"),
        ("create --stage prod", "Missing option '--tenant'"),
        ("create --stage prod --tenant a#b", "a tenant is 1 to 63 of"),
        ("create --stage prod --tenant acme --scopes admin", "'admin' is not one of"),
        *(
            (
                f"create --stage prod --tenant acme --expires {text}",
                "give days (90d), an instant with its offset",
            )
            for text in ("tomorrow", "2099-01-31T00:00:00", "2099-01-31", "0d")
        ),
        (
            "create --stage prod --tenant acme --expires 2020-01-31T00:00:00Z",
            "2020-01-31T00:00:00Z has passed",
        ),
        ("revoke --stage prod", "Missing argument 'KEY'"),
        ("revoke --stage prod short", "give a key's id, 12 letters and digits, or all of the key"),
        ("delete --stage prod", "No such command 'delete'"),
    ],
)
def test_what_is_typed_wrong_is_told(operator: Operator, line: str, says: str) -> None:
    assert operator.types(line) == 2
    assert says in operator.err


def test_a_key_typed_with_a_slip_is_not_repeated(operator: Operator) -> None:
    key = new_key("prod")
    assert operator.types(f"revoke --stage prod {key.text[:-1]}") == 2
    assert key.secret not in operator.out + operator.err


def test_without_credentials_or_a_region_the_reason_is_told(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    assert operator.types("list --stage prod") == 1
    assert "no AWS region is set: `export AWS_REGION=…`" in operator.err


def test_the_region_is_that_of_either_variable(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert operator.types("list --stage prod") == 0


def test_days_are_counted_from_now() -> None:
    assert keys.expiry("90d", NOW) == NOW + timedelta(days=90)
    assert keys.expiry("never", NOW) is None


@pytest.mark.parametrize(
    "text",
    ["soon", "2027-01-31T00:00:00", "0001-01-01T00:00:00+05:00", "9999-12-31T23:00:00-05:00"],
)
def test_what_is_no_time_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(click.BadParameter, match="never"):
        keys.expiry(text, NOW)
