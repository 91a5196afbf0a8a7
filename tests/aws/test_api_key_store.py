"""The table of keys: what is stored, and that repeated or lost writes do no harm."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.aws.api_key_store import ApiKeyStore, IdIsTaken
from chalicelib.domain.api_keys import Key, Scope, StoredApiKey
from chalicelib.domain.errors import Unavailable
from tests.cloud import Cloud, DynamoDB, client_error

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
KEY = Key("prod", "0123456789ab", "s" * 43)
RECORD = StoredApiKey(KEY.id, KEY.digest, "acme", frozenset(Scope), NOW)


@pytest.fixture
def cloud() -> Cloud:
    return Cloud(lambda: NOW)


@pytest.fixture
def keys(cloud: Cloud) -> ApiKeyStore:
    client: Any = DynamoDB(cloud)
    return ApiKeyStore(client, "keys", sleep=lambda seconds: None)


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        replace(RECORD, scopes=frozenset({Scope.READ})),
        replace(
            RECORD, expires_at=NOW + timedelta(days=90), revoked_at=NOW + timedelta(milliseconds=1)
        ),
    ],
)
def test_a_key_is_read_back_as_it_was_kept(keys: ApiKeyStore, record: StoredApiKey) -> None:
    keys.add(record)
    assert keys.get(record.id) == record
    assert keys.get("another_id__") is None


def test_no_secret_is_in_the_table(cloud: Cloud, keys: ApiKeyStore) -> None:
    keys.add(RECORD)
    assert KEY.digest in repr(cloud.tables)
    assert KEY.secret not in repr(cloud.tables)


def test_a_key_is_read_consistently_so_that_a_revoked_one_is_seen_to_be(
    cloud: Cloud, keys: ApiKeyStore
) -> None:
    asked: list[dict[str, Any]] = []
    cloud.before = lambda operation, request: asked.append(request)
    keys.get(RECORD.id)
    assert [request["ConsistentRead"] for request in asked] == [True]


def test_an_id_that_is_taken_stays_whose_it_is(keys: ApiKeyStore) -> None:
    keys.add(RECORD)
    with pytest.raises(IdIsTaken):
        keys.add(replace(RECORD, digest="d" * 64, tenant="other"))
    assert keys.get(RECORD.id) == RECORD


def test_a_key_whose_answer_was_lost_and_which_was_kept_again_is_one_success(
    keys: ApiKeyStore,
) -> None:
    keys.add(RECORD)
    keys.add(RECORD)
    assert list(keys.all()) == [RECORD]


def test_revoking_holds_and_the_first_time_counts(keys: ApiKeyStore) -> None:
    keys.add(RECORD)
    revoked = replace(RECORD, revoked_at=NOW)
    assert keys.revoke(RECORD.id, NOW) == revoked
    assert keys.revoke(RECORD.id, NOW + timedelta(hours=1)) == revoked
    assert keys.get(RECORD.id) == revoked
    assert keys.revoke("another_id__", NOW) is None


def test_every_key_is_listed_however_many_pages_they_fill(keys: ApiKeyStore) -> None:
    # An answer has room for 1 MB: each of these takes a sixth of it.
    records = [replace(RECORD, id=f"{number:012}", digest="d" * 170_000) for number in range(20)]
    for record in records:
        keys.add(record)
    assert sorted(keys.all(), key=lambda record: record.id) == records


def test_a_scope_that_a_later_release_knows_is_none_here(cloud: Cloud, keys: ApiKeyStore) -> None:
    keys.add(RECORD)
    item = cloud.tables["keys"][(RECORD.id,)]
    cloud.tables["keys"][(RECORD.id,)] = {
        **item,
        "scopes": {"S": "admin read"},
        "of_another_release": {"N": "1"},
    }
    assert keys.get(RECORD.id) == replace(RECORD, scopes=frozenset({Scope.READ}))


def test_a_table_that_does_not_answer_is_unavailable_and_one_that_refuses_is_not(
    cloud: Cloud, keys: ApiKeyStore
) -> None:
    def fail(code: str, status: int) -> None:
        def before(operation: str, request: dict[str, Any]) -> None:
            raise client_error(code, operation, status)

        cloud.before = before

    fail("InternalServerError", 500)
    for call in (lambda: keys.get(RECORD.id), lambda: keys.add(RECORD), lambda: list(keys.all())):
        with pytest.raises(Unavailable, match=r"^the table of keys is unavailable"):
            call()
    fail("AccessDeniedException", 400)
    for call in (lambda: keys.get(RECORD.id), lambda: keys.add(RECORD), lambda: list(keys.all())):
        with pytest.raises(Exception, match="AccessDenied"):
            call()
