"""The table of keys, which only the authorizer reads, and the operator: one item a key.

    id           hash
    digest       SHA-256 of the secret; the secret itself is nowhere
    tenant, scopes, created_at
    expires_at, revoked_at   absent: never, not yet

Nothing is ever deleted, so that what a key was can be looked up after its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.aws.clients import Caller, code_of
from chalicelib.domain.api_keys import Scope, StoredApiKey
from chalicelib.domain.instant import format_measured, parse_instant

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PART = "the table of keys"


class IdIsTaken(Exception):
    """A key with this id exists."""


class ApiKeyStore:
    """Keys by their ids."""

    def __init__(
        self, client: DynamoDBClient, table: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._call = Caller(_PART, sleep)
        self._table = table

    def get(self, key_id: str) -> StoredApiKey | None:
        """Return a key, read consistently: one that was revoked before is seen to be.

        Raises Unavailable.
        """
        request: dict[str, Any] = {
            "TableName": self._table,
            "Key": {"id": {"S": key_id}},
            "ConsistentRead": True,
        }
        item = self._call(lambda: self._client.get_item(**request)).get("Item")
        return _read(item) if item else None

    def add(self, record: StoredApiKey) -> None:
        """Keep a new key. Raises IdIsTaken, Unavailable."""
        try:
            self._put(record, ConditionExpression="attribute_not_exists(id)")
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            # The SDK may have repeated a write whose answer was lost.
            found = self.get(record.id)
            if found is None or found.digest != record.digest:
                raise IdIsTaken from error

    def revoke(self, key_id: str, now: datetime) -> StoredApiKey | None:
        """Revoke a key and return it; None if there is none.

        Revoking again changes nothing. Raises Unavailable.
        """
        record = self.get(key_id)
        if record is None or record.revoked_at is not None:
            return record
        revoked = replace(record, revoked_at=now)
        self._put(revoked)
        return revoked

    def all(self) -> Iterator[StoredApiKey]:
        """Yield every key, in no order.

        Raises Unavailable, and ClientError for who may not or a table that is not there.
        """
        request: dict[str, Any] = {"TableName": self._table, "ConsistentRead": True}
        while True:
            answer = self._call(lambda: self._client.scan(**request))
            yield from map(_read, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _put(self, record: StoredApiKey, **condition: str) -> None:
        request: dict[str, Any] = {"TableName": self._table, "Item": _write(record), **condition}
        self._call(lambda: self._client.put_item(**request), writes=True)


def _write(record: StoredApiKey) -> dict[str, Any]:
    item = {
        "id": record.id,
        "digest": record.digest,
        "tenant": record.tenant,
        "scopes": " ".join(sorted(record.scopes)),
        "created_at": format_measured(record.created_at),
    }
    if record.expires_at is not None:
        item["expires_at"] = format_measured(record.expires_at)
    if record.revoked_at is not None:
        item["revoked_at"] = format_measured(record.revoked_at)
    return {name: {"S": value} for name, value in item.items()}


def _read(item: Any) -> StoredApiKey:
    fields = {name: attribute["S"] for name, attribute in item.items() if "S" in attribute}
    return StoredApiKey(
        id=fields["id"],
        digest=fields["digest"],
        tenant=fields["tenant"],
        # A later release may know more of them.
        scopes=frozenset(scope for scope in Scope if scope in fields["scopes"].split()),
        created_at=parse_instant(fields["created_at"]),
        expires_at=parse_instant(fields["expires_at"]) if "expires_at" in fields else None,
        revoked_at=parse_instant(fields["revoked_at"]) if "revoked_at" in fields else None,
    )
