"""The table of API keys, read by the authorizer and the operator: one item per key.

    id           hash
    digest       SHA-256 of the secret; the secret itself is not stored
    tenant, scopes, created_at
    expires_at, revoked_at   absent if it never expires, and until it is revoked

Keys are never deleted, so that expired and revoked ones can be looked up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from chalicelib.aws.table import Condition, Item, Table
from chalicelib.domain.api_keys import Scope, StoredApiKey
from chalicelib.domain.instant import format_measured, parse_instant

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class IdIsTaken(Exception):
    """A key with this id exists."""


class ApiKeyStore:
    """Keys by their ids. Methods raise Unavailable if the table does not answer."""

    def __init__(
        self, client: DynamoDBClient, table: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = Table(client, table, "the table of keys", sleep)

    def get(self, key_id: str) -> StoredApiKey | None:
        """Return a key, None if there is none.

        The read is consistent, so a revocation is seen at once.
        """
        item = self._table.get(id=key_id)
        return _read(item) if item else None

    def add(self, record: StoredApiKey) -> None:
        """Write a new key. Raises IdIsTaken."""
        if not self._table.put(_write(record), Condition("attribute_not_exists(id)")):
            # The SDK may have repeated this write after its answer was lost: success.
            found = self.get(record.id)
            if found is None or found.digest != record.digest:
                raise IdIsTaken

    def revoke(self, key_id: str, now: datetime) -> StoredApiKey | None:
        """Revoke a key and return it; None if there is none.

        A revoked key keeps the time of its first revocation.
        """
        record = self.get(key_id)
        if record is None or record.revoked_at is not None:
            return record
        revoked = replace(record, revoked_at=now)
        self._table.put(_write(revoked))
        return revoked

    def all(self) -> Iterator[StoredApiKey]:
        """Yield every key, unordered.

        Raises ClientError if the table does not exist or the caller may not read it.
        """
        return map(_read, self._table.scan())


def _write(record: StoredApiKey) -> Item:
    dates = {
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "revoked_at": record.revoked_at,
    }
    return {
        "id": record.id,
        "digest": record.digest,
        "tenant": record.tenant,
        "scopes": " ".join(sorted(record.scopes)),
        **{name: format_measured(at) for name, at in dates.items() if at is not None},
    }


def _read(item: Item) -> StoredApiKey:
    return StoredApiKey(
        id=item["id"],
        digest=item["digest"],
        tenant=item["tenant"],
        # A later release may know more scopes.
        scopes=frozenset(scope for scope in Scope if scope in item["scopes"].split()),
        created_at=parse_instant(item["created_at"]),
        expires_at=parse_instant(item["expires_at"]) if "expires_at" in item else None,
        revoked_at=parse_instant(item["revoked_at"]) if "revoked_at" in item else None,
    )
