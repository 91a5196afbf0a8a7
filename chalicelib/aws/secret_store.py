"""The table of secrets: each value encrypted by KMS, in a context that names whose it is and what
for.

    tenant   hash
    name     range: `secret#<NAME>`, or `signing` for the tenant's signing secrets
    value    what KMS made of it, base64; the signing secrets are one JSON text
    created_at, updated_at   texts; `revision`, a number, on `signing` alone
    unfit_for   `header` if no header can carry the value (the API may encrypt it and not decrypt)
    used_in     `header` if a job has named it in one since it was first put
    replaced    earlier values, the latest first, each with the time until which it is hidden, JSON

What was encrypted for one tenant, purpose or name cannot be decrypted for another. A ciphertext is
decrypted once per process: it never means anything else, so what is remembered of it needs no end.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.aws.clients import Caller, code_of
from chalicelib.domain.errors import InvalidInput, QuotaExceeded, SecretNotFound, Unavailable
from chalicelib.domain.request import Request
from chalicelib.domain.secrets import (
    HEADER_VALUE,
    MOST_REPLACED,
    OVERLAP,
    SecretDates,
    SigningSecrets,
    fits_header,
    missing_secrets,
    names_in,
    names_in_headers,
    unfit_secrets,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient

_PART, _KEY_PART = "the table of secrets", "the key of secrets"
_SIGNING = "signing"
_TRIES = 10
_REMEMBERED = 4096


def _in_turn(calls: Sequence[Callable[[], list[str]]]) -> list[list[str]]:
    return [call() for call in calls]


class SecretStore:
    """Secrets and signing secrets. `kms` makes the client, which not every function needs."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        kms: Callable[[], KMSClient],
        key: str,
        sleep: Callable[[float], None] = time.sleep,
        *,
        quota: int = 0,
        side_by_side: Callable[[Sequence[Callable[[], list[str]]]], list[list[str]]] = _in_turn,
    ) -> None:
        """`quota` is how many secrets a tenant may have, 0 any number; `side_by_side` makes the
        calls that decrypt.
        """
        self._client = client
        self._table = table
        self._make_kms = kms
        self._key = key
        self._quota = quota
        self._side_by_side = side_by_side
        self._call = Caller(_PART, sleep)
        self._call_kms = Caller(_KEY_PART, sleep)
        self._decrypt = lru_cache(_REMEMBERED)(self._decrypted)

    @cached_property
    def _kms(self) -> KMSClient:
        return self._make_kms()

    def put(self, tenant: str, name: str, value: str, now: datetime) -> None:
        """Keep a value under a name, in the place of the one that is there. A write that comes late
        undoes no later one.

        Raises QuotaExceeded, and InvalidInput if a job uses the secret in a header that cannot
        carry the value. Puts of new names at the same time may exceed the quota by their number.
        """
        sealed = self._encrypted(tenant, _secret(name), value)
        for _ in range(_TRIES):
            before = self._items(tenant, [_secret(name)]).get(_secret(name))
            if before is not None and before["value"]["S"] == sealed:
                # A write of ours whose answer was lost has taken effect.
                return
            if before is None and self._quota and self._count(tenant) >= self._quota:
                raise QuotaExceeded("secrets", self._quota, retry_after=1)
            if before is not None and "used_in" in before and not fits_header(value):
                raise InvalidInput.of(
                    "value", f"a job uses this secret in a header: {HEADER_VALUE}, or another name"
                )
            stamp = {"S": now.isoformat()}
            item: dict[str, Any] = {
                "tenant": {"S": tenant},
                "name": {"S": _secret(name)},
                "value": {"S": sealed},
                "created_at": before["created_at"] if before else stamp,
                "updated_at": stamp,
            }
            if not fits_header(value):
                item["unfit_for"] = {"S": "header"}
            if before is not None:
                replaced = [
                    [before["value"]["S"], (now + OVERLAP).isoformat()],
                    *_replaced(before, now),
                ]
                item["replaced"] = {"S": json.dumps(replaced[:MOST_REPLACED])}
                item |= {"used_in": before["used_in"]} if "used_in" in before else {}
            if self._put(item, before, "value"):
                return
        raise Unavailable(_PART)

    def delete(self, tenant: str, name: str) -> None:
        """Forget a secret. Raises SecretNotFound."""
        # Read, and not asked as a condition: repeated for a lost answer, it would find nothing
        # there.
        if self.missing(tenant, [name]):
            raise SecretNotFound
        key = _item_key(tenant, _secret(name))
        self._call(lambda: self._client.delete_item(TableName=self._table, Key=key), writes=True)

    def names(self, tenant: str, after: str = "", most: int = 1000) -> list[SecretDates]:
        """Return up to `most` of the tenant's secrets without their values, by name, those after a
        name.
        """
        found: list[SecretDates] = []
        more: dict[str, Any] = (
            {"ExclusiveStartKey": _item_key(tenant, _secret(after))} if after else {}
        )
        while True:
            more["Limit"] = most - len(found)
            answer: Any = self._call(
                lambda more=more: self._client.query(  # type: ignore[misc]
                    TableName=self._table,
                    KeyConditionExpression="tenant = :tenant AND begins_with(#name, :secret)",
                    ExpressionAttributeNames={"#name": "name"},
                    ExpressionAttributeValues={
                        ":tenant": {"S": tenant},
                        ":secret": {"S": _secret("")},
                    },
                    ConsistentRead=True,
                    **more,
                ),
            )
            found += [
                SecretDates(
                    item["name"]["S"].removeprefix(_secret("")),
                    datetime.fromisoformat(item["created_at"]["S"]),
                    datetime.fromisoformat(item["updated_at"]["S"]),
                )
                for item in answer["Items"]
            ]
            start = answer.get("LastEvaluatedKey")
            if start is None or len(found) >= most:
                return found
            more = {"ExclusiveStartKey": start}

    def _count(self, tenant: str) -> int:
        return len(self.names(tenant, most=self._quota))

    def missing(self, tenant: str, names: Collection[str]) -> set[str]:
        """Return those of the names that the tenant has no secret for."""
        there = self._items(tenant, [_secret(name) for name in names])
        return {name for name in names if _secret(name) not in there}

    def check(self, tenant: str, request: Request) -> None:
        """Refuse a request that names a secret which does not exist, or one in a header that cannot
        carry it.

        From then on no such value can be put. Raises InvalidInput, naming every place.
        """
        names = names_in(request)
        for _ in range(_TRIES) if names else ():
            items = self._items(tenant, map(_secret, names))
            missing = {name for name in names if _secret(name) not in items}
            in_headers = {
                name: items[_secret(name)] for name in names_in_headers(request) - missing
            }
            unfit = {name for name, item in in_headers.items() if "unfit_for" in item}
            if missing or unfit:
                raise InvalidInput(
                    [*missing_secrets(request, missing), *unfit_secrets(request, unfit)]
                )
            unmarked = [item for item in in_headers.values() if "used_in" not in item]
            if all(
                self._put({**item, "used_in": {"S": "header"}}, item, "value") for item in unmarked
            ):
                return
        if names:
            raise Unavailable(_PART)

    def unsealed(
        self, tenant: str, names: Iterable[str], now: datetime
    ) -> tuple[SigningSecrets, dict[str, str], tuple[str, ...]]:
        """Return the signing secrets, the values of those of the names that exist, and earlier
        values.

        The signing secrets are made if the tenant has none yet. Earlier values are those replaced
        within 24 hours: a target may answer with the value of the attempt before.
        """
        items = self._items(tenant, [_SIGNING, *map(_secret, names)])
        signing = self._signing(items[_SIGNING]) if _SIGNING in items else self.signing(tenant, now)
        found = {name: item for name, item in items.items() if name != _SIGNING}
        opened = self._side_by_side(
            [partial(self._opened, tenant, name, item, now) for name, item in found.items()]
        )
        values = {
            name.removeprefix(_secret("")): texts[0]
            for name, texts in zip(found, opened, strict=True)
        }
        return signing, values, tuple(text for texts in opened for text in texts[1:])

    def _opened(self, tenant: str, name: str, item: dict[str, Any], now: datetime) -> list[str]:
        """Return the value of a secret, and after it those that were replaced less than 24 hours
        ago.
        """
        sealed = [item["value"]["S"], *(value for value, _ in _replaced(item, now))]
        return [self._decrypt(tenant, name, value) for value in sealed]

    def signing(self, tenant: str, now: datetime) -> SigningSecrets:
        """Return the tenant's signing secrets, made if it has none yet."""
        return self._kept_signing(tenant, now, lambda found: found)

    def rotate(self, tenant: str, now: datetime) -> SigningSecrets:
        """Make a new signing secret; for 24 hours what is sent is signed with the old one too.

        Raises RotatedTooOften.
        """
        return self._kept_signing(tenant, now, lambda found: found.rotated(_fresh(), now))

    def _kept_signing(
        self, tenant: str, now: datetime, change: Callable[[SigningSecrets], SigningSecrets]
    ) -> SigningSecrets:
        tried = uuid.uuid4().hex
        for _ in range(_TRIES):
            item = self._items(tenant, [_SIGNING]).get(_SIGNING)
            if item is not None and item["write_token"]["S"] == tried:
                # A write of ours whose answer was lost has taken effect.
                return self._signing(item)
            before = self._signing(item) if item else SigningSecrets(_fresh())
            after = change(before)
            if item is not None and after == before:
                return before
            if self._write_signing(tenant, after, item, tried, now):
                return after
        raise Unavailable(_PART)

    def _write_signing(
        self,
        tenant: str,
        after: SigningSecrets,
        item: dict[str, Any] | None,
        token: str,
        now: datetime,
    ) -> bool:
        text = json.dumps(
            [after.current, [[secret, until.isoformat()] for secret, until in after.previous]]
        )
        fresh = {
            "tenant": {"S": tenant},
            "name": {"S": _SIGNING},
            "value": {"S": self._encrypted(tenant, _SIGNING, text)},
            "revision": {"N": str(int(item["revision"]["N"]) + 1 if item else 1)},
            "write_token": {"S": token},
            "updated_at": {"S": now.isoformat()},
        }
        return self._put(fresh, item, "revision")

    def _put(self, item: dict[str, Any], before: dict[str, Any] | None, seen: str) -> bool:
        """Write an item if what was read is still there, known by its attribute `seen`; False if
        something else is.
        """
        unchanged: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(tenant)"}
        if before is not None:
            is_same, is_unused_still = (
                "#seen = :read",
                "#seen = :read AND attribute_not_exists(used_in)",
            )
            unchanged = {
                "ConditionExpression": is_same if "used_in" in before else is_unused_still,
                "ExpressionAttributeNames": {"#seen": seen},
                "ExpressionAttributeValues": {":read": before[seen]},
            }
        try:
            self._call(
                lambda: self._client.put_item(TableName=self._table, Item=item, **unchanged),
                writes=True,
            )
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def _signing(self, item: dict[str, Any]) -> SigningSecrets:
        current, previous = json.loads(
            self._decrypt(item["tenant"]["S"], _SIGNING, item["value"]["S"])
        )
        return SigningSecrets(
            current, tuple((secret, datetime.fromisoformat(until)) for secret, until in previous)
        )

    def _items(self, tenant: str, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the items that there are, by name, read consistently."""
        keys: list[Any] = [_item_key(tenant, name) for name in dict.fromkeys(names)]
        found: dict[str, dict[str, Any]] = {}
        while keys:
            request: dict[str, Any] = {self._table: {"Keys": keys[:100], "ConsistentRead": True}}
            answer: Any = self._call(partial(self._client.batch_get_item, RequestItems=request))
            for item in answer["Responses"].get(self._table, []):
                found[item["name"]["S"]] = item
            keys = [
                *answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", []),
                *keys[100:],
            ]
        return found

    def _encrypted(self, tenant: str, name: str, text: str) -> str:
        answer = self._with_key(
            lambda: self._kms.encrypt(
                KeyId=self._key, Plaintext=text.encode(), EncryptionContext=_context(tenant, name)
            ),
        )
        return base64.b64encode(answer["CiphertextBlob"]).decode("ascii")

    def _decrypted(self, tenant: str, name: str, value: str) -> str:
        answer = self._with_key(
            lambda: self._kms.decrypt(
                KeyId=self._key,
                CiphertextBlob=base64.b64decode(value),
                EncryptionContext=_context(tenant, name),
            ),
        )
        return str(answer["Plaintext"].decode())

    def _with_key(self, request: Callable[[], Any]) -> Any:
        try:
            return self._call_kms(request)
        except ClientError as error:
            # A key that is disabled or gone, a policy that forbids: whoever operates Resona must
            # see to it, and nothing has changed.
            raise Unavailable(_KEY_PART) from error


def _replaced(item: dict[str, Any], now: datetime) -> list[list[str]]:
    """Return the earlier values that are still to be hidden, encrypted, each with its time."""
    replaced: list[list[str]] = json.loads(item["replaced"]["S"]) if "replaced" in item else []
    return [[value, until] for value, until in replaced if datetime.fromisoformat(until) > now]


def _item_key(tenant: str, name: str) -> dict[str, Any]:
    return {"tenant": {"S": tenant}, "name": {"S": name}}


def _secret(name: str) -> str:
    return f"secret#{name}"


def _context(tenant: str, name: str) -> dict[str, str]:
    kind, _, rest = name.partition("#")
    return {"tenant": tenant, "kind": kind, **({"name": rest} if rest else {})}


def _fresh() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode('ascii')}"
