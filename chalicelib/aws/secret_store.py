"""The table of secrets: each value is encrypted by KMS, for one tenant, purpose and name.

    tenant   hash
    name     range: `secret#<NAME>`, or `signing` for the tenant's signing secrets
    value    ciphertext in base64; the signing secrets are one JSON text
    created_at, updated_at   ISO 8601
    unfit_for   `header` if no header can carry the value (the API encrypts but cannot decrypt)
    used_in     `header` if a job has named the secret in a header since it was first put
    replaced    earlier values, newest first, each with the time until which it is hidden, JSON
    revision, write_token    on `signing` only
    flows    on `signing` only: a token that changes with the tenant's flows (`aws.flow_store`)
    busy_*   on `signing` only: tickets of invocations (`aws.busy_store`)

KMS's encryption context names tenant, purpose and name: a ciphertext that is moved to another item
cannot be decrypted. A process decrypts a ciphertext once; its plaintext never changes, so the cache
does not expire.
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

from chalicelib.aws.busy_store import tickets_in
from chalicelib.aws.clients import Caller
from chalicelib.aws.table import Condition, Item, Table, Update
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
from chalicelib.runtime.backoff import tries

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient

_PART = "the table of secrets"
_SIGNING = "signing"
_TRIES = 10
_REMEMBERED = 4096


def _in_turn(calls: Sequence[Callable[[], list[str]]]) -> list[list[str]]:
    return [call() for call in calls]


class SecretStore:
    """Secrets and signing secrets. `kms` creates the client when it is first needed."""

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        kms: Callable[[], KMSClient],
        key: str,
        sleep: Callable[[float], None] = time.sleep,
        *,
        quota: int = 0,
        run_all: Callable[[Sequence[Callable[[], list[str]]]], list[list[str]]] = _in_turn,
    ) -> None:
        """Use the KMS key `key`. A tenant may have `quota` secrets; 0 is no quota.

        `run_all` makes the calls that decrypt.
        """
        self._table = Table(client, table, _PART, sleep)
        self._make_kms = kms
        self._key = key
        self._quota = quota
        self._side_by_side = run_all
        self._sleep = sleep
        self._call_kms = Caller("the key of secrets", sleep)
        self._decrypt = lru_cache(_REMEMBERED)(self._decrypted)

    @cached_property
    def _kms(self) -> KMSClient:
        return self._make_kms()

    def put(self, tenant: str, name: str, value: str, now: datetime) -> None:
        """Create or replace the secret with this name.

        A write that takes effect late cannot undo a later one. Raises QuotaExceeded, and
        InvalidInput if a job uses the secret in a header that cannot carry the value. Concurrent
        puts of new names may exceed the quota by their number.
        """
        sealed = self._encrypted(tenant, _secret(name), value)
        for _ in tries(self._sleep, _TRIES):
            before = self._item(tenant, _secret(name))
            if before is not None and before["value"] == sealed:
                # An earlier try whose answer was lost has taken effect.
                return
            self._check_put(tenant, value, before)
            item: Item = {
                "tenant": tenant,
                "name": _secret(name),
                "value": sealed,
                "created_at": before["created_at"] if before else now.isoformat(),
                "updated_at": now.isoformat(),
            }
            if not fits_header(value):
                item["unfit_for"] = "header"
            if before is not None:
                hidden = [[before["value"], (now + OVERLAP).isoformat()], *_replaced(before, now)]
                item["replaced"] = json.dumps(hidden[:MOST_REPLACED])
                item |= {"used_in": before["used_in"]} if "used_in" in before else {}
            if self._put(item, before, "value"):
                return
        raise Unavailable(_PART)

    def _check_put(self, tenant: str, value: str, before: Item | None) -> None:
        if before is None:
            if self._quota and len(self.names(tenant, most=self._quota)) >= self._quota:
                raise QuotaExceeded("secrets", self._quota, retry_after=1)
        elif "used_in" in before and not fits_header(value):
            raise InvalidInput.of(
                "value", f"a job uses this secret in a header: {HEADER_VALUE}, or another name"
            )

    def delete(self, tenant: str, name: str) -> None:
        """Delete a secret. Raises SecretNotFound."""
        # Read first instead of using a condition, which would fail when the SDK repeats the delete
        # after a lost answer.
        if self.missing(tenant, [name]):
            raise SecretNotFound
        self._table.delete(tenant=tenant, name=_secret(name))

    def names(self, tenant: str, after: str = "", most: int = 1000) -> list[SecretDates]:
        """Return up to `most` of the tenant's secrets, without values, sorted by name.

        Only names greater than `after` are returned.
        """
        of_tenant = Condition(
            "tenant = :tenant AND begins_with(#name, :secret)",
            {":tenant": tenant, ":secret": _secret("")},
            {"#name": "name"},
        )
        place = {"tenant": tenant, "name": _secret(after)} if after else None
        items, _ = self._table.query(of_tenant, after=place, limit=most)
        return [
            SecretDates(
                item["name"].removeprefix(_secret("")),
                datetime.fromisoformat(item["created_at"]),
                datetime.fromisoformat(item["updated_at"]),
            )
            for item in items
        ]

    def missing(self, tenant: str, names: Collection[str]) -> set[str]:
        """Return the names for which the tenant has no secret."""
        there = self._items(tenant, map(_secret, names))
        return {name for name in names if _secret(name) not in there}

    def check(self, tenant: str, request: Request) -> None:
        """Check that a request's secrets exist, and that headers can carry those named in headers.

        Marks the latter as used in headers: from then on their values must fit there. Raises
        InvalidInput with every place that is wrong.
        """
        names, in_headers = names_in(request), names_in_headers(request)
        if not names:
            return
        for _ in tries(self._sleep, _TRIES):
            items = self._items(tenant, map(_secret, names))
            missing = {name for name in names if _secret(name) not in items}
            named = {name: items[_secret(name)] for name in in_headers - missing}
            unfit = {name for name, item in named.items() if "unfit_for" in item}
            if missing or unfit:
                wrong = [*missing_secrets(request, missing), *unfit_secrets(request, unfit)]
                raise InvalidInput(wrong)
            if self._mark_used(named.values()):
                return
        raise Unavailable(_PART)

    def _mark_used(self, items: Iterable[Item]) -> bool:
        """Mark secrets as used in a header; False if one of them has changed."""
        unmarked = [item for item in items if "used_in" not in item]
        return all(self._put(item | {"used_in": "header"}, item, "value") for item in unmarked)

    def unsealed(
        self, tenant: str, names: Iterable[str], now: datetime
    ) -> tuple[SigningSecrets, dict[str, str], tuple[str, ...], str | None, dict[str, datetime]]:
        """Return signing secrets, values by name, and the values replaced within 24 hours.

        Also return the token of the tenant's flows, None if it has never had one, and the tickets
        that are beside it.

        Names without a secret are left out. The signing secrets are created if the tenant has none
        yet. Replaced values must be hidden too: a target may answer with the value that an earlier
        attempt sent.
        """
        items = self._items(tenant, [_SIGNING, *map(_secret, names)])
        signing = self._signing(items[_SIGNING]) if _SIGNING in items else self.signing(tenant, now)
        found = [item for name, item in items.items() if name != _SIGNING]
        opened = self._side_by_side([partial(self._opened, item, now) for item in found])
        values = {
            item["name"].removeprefix(_secret("")): texts[0]
            for item, texts in zip(found, opened, strict=True)
        }
        replaced = tuple(text for texts in opened for text in texts[1:])
        beside = items.get(_SIGNING, {})
        return signing, values, replaced, beside.get("flows"), tickets_in(beside)

    def _opened(self, item: Item, now: datetime) -> list[str]:
        """Return the value of a secret, followed by the values it replaced within 24 hours."""
        sealed = [item["value"], *(value for value, _ in _replaced(item, now))]
        return [self._decrypt(item["tenant"], item["name"], value) for value in sealed]

    def signing(self, tenant: str, now: datetime, *, creates: bool = True) -> SigningSecrets:
        """Return the tenant's signing secrets; create them if it has none yet.

        Unless it `creates`, secrets that do not exist are made up, and forgotten.
        """
        if not creates:
            item = self._item(tenant, _SIGNING)
            return self._signing(item) if item else SigningSecrets(_fresh())
        return self._changed_signing(tenant, now, lambda found: found)

    def rotate(self, tenant: str, now: datetime) -> SigningSecrets:
        """Make a new signing secret; requests are signed with the old one too for 24 hours.

        Raises RotatedTooOften.
        """
        return self._changed_signing(tenant, now, lambda found: found.rotated(_fresh(), now))

    def _changed_signing(
        self, tenant: str, now: datetime, change: Callable[[SigningSecrets], SigningSecrets]
    ) -> SigningSecrets:
        token = uuid.uuid4().hex
        for _ in tries(self._sleep, _TRIES):
            item = self._item(tenant, _SIGNING)
            if item is not None and item["write_token"] == token:
                # An earlier try whose answer was lost has taken effect.
                return self._signing(item)
            before = self._signing(item) if item else SigningSecrets(_fresh())
            after = change(before)
            if item is not None and after == before:
                return before
            if self._write_signing(tenant, after, item, token, now):
                return after
        raise Unavailable(_PART)

    def _write_signing(
        self, tenant: str, after: SigningSecrets, before: Item | None, token: str, now: datetime
    ) -> bool:
        previous = [[secret, until.isoformat()] for secret, until in after.previous]
        item = {
            "tenant": tenant,
            "name": _SIGNING,
            "value": self._encrypted(tenant, _SIGNING, json.dumps([after.current, previous])),
            "revision": before["revision"] + 1 if before else 1,
            "write_token": token,
            "updated_at": now.isoformat(),
        }
        item |= {"flows": before["flows"]} if before and "flows" in before else {}
        return self._put(item, before, "revision")

    def new_flows(self, tenant: str, now: datetime) -> Update:
        """Return the write that says that the tenant's flows have changed.

        Every firing reads the signing secrets, so that it learns of the change without a read.
        """
        self.signing(tenant, now)
        values = {":flows": uuid.uuid4().hex[:8], ":one": 1}
        key = {"tenant": tenant, "name": _SIGNING}
        expression = "SET flows = :flows, revision = revision + :one"
        return Update(self._table.name, key, expression, values)

    def _put(self, item: Item, before: Item | None, seen: str) -> bool:
        """Replace the item that was read; return False if its attribute `seen` has changed."""
        unchanged = Condition("attribute_not_exists(tenant)")
        if before is not None:
            is_same = "#seen = :read"
            is_unused_still = "#seen = :read AND attribute_not_exists(used_in)"
            expression = is_same if "used_in" in before else is_unused_still
            unchanged = Condition(expression, {":read": before[seen]}, {"#seen": seen})
        return self._table.put(item, unchanged)

    def _signing(self, item: Item) -> SigningSecrets:
        current, previous = json.loads(self._decrypt(item["tenant"], _SIGNING, item["value"]))
        return SigningSecrets(
            current, tuple((secret, datetime.fromisoformat(until)) for secret, until in previous)
        )

    def _item(self, tenant: str, name: str) -> Item | None:
        return self._items(tenant, [name]).get(name)

    def _items(self, tenant: str, names: Iterable[str]) -> dict[str, Item]:
        """Return the items that exist, by name, read consistently."""
        keys = [{"tenant": tenant, "name": name} for name in dict.fromkeys(names)]
        return {item["name"]: item for item in self._table.batch_get(keys)}

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
            # The KMS key is disabled or deleted, or a policy forbids its use. The operator must fix
            # it; nothing was changed.
            raise Unavailable(self._call_kms.part) from error


def _replaced(item: Item, now: datetime) -> list[list[str]]:
    """Return the earlier values that are still hidden, encrypted, each with its time."""
    replaced: list[list[str]] = json.loads(item["replaced"]) if "replaced" in item else []
    return [[value, until] for value, until in replaced if datetime.fromisoformat(until) > now]


def _secret(name: str) -> str:
    return f"secret#{name}"


def _context(tenant: str, name: str) -> dict[str, str]:
    kind, _, rest = name.partition("#")
    return {"tenant": tenant, "kind": kind, **({"name": rest} if rest else {})}


def _fresh() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode('ascii')}"
