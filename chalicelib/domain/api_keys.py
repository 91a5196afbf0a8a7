"""API keys: their text form, their stored form, and whether a key is valid.

    rsn_<stage>_<12 base62: key id>_<43 base62: secret><6 base62: CRC-32 of all before it>

Secret scanners recognise the form. A malformed key, or a key of another stage, is refused before
the table is read. Only the SHA-256 of the secret is stored; a slow hash is unnecessary for 256
random bits.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

KEY_ID = re.compile(r"[0-9A-Za-z]{12}", re.ASCII)
STAGE = re.compile(r"[a-z][a-z0-9]{0,15}", re.ASCII)
TENANT = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM = re.compile(
    r"(rsn_([a-z][a-z0-9]{0,15})_([0-9A-Za-z]{12})_([0-9A-Za-z]{43}))([0-9A-Za-z]{6})", re.ASCII
)


class Scope(StrEnum):
    """What a key may do. Neither scope includes the other."""

    READ = "read"
    WRITE = "write"


class ApiKeyStatus(StrEnum):
    """Whether a key is valid. `UNKNOWN` means an unknown id, or a wrong secret for a known one."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Key:
    """A key with its secret. Its `repr` and `str` leave the secret out."""

    stage: str
    id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """Return the key as clients send it."""
        body = f"rsn_{self.stage}_{self.id}_{self.secret}"
        return body + _checksum(body)

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the secret, in hex, which is stored instead of it."""
        return hashlib.sha256(self.secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class StoredApiKey:
    """A key as it is stored.

    `expires_at` is None if it never expires, `revoked_at` is None if it is not revoked.
    """

    id: str
    digest: str = field(repr=False)
    tenant: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def status(self, now: datetime) -> ApiKeyStatus:
        """Return whether the key is valid now, given the right secret."""
        if self.revoked_at is not None:
            return ApiKeyStatus.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return ApiKeyStatus.EXPIRED
        return ApiKeyStatus.ACTIVE


def new_key(stage: str) -> Key:
    """Make a random key: 71 random bits in the id, 256 in the secret."""
    return Key(stage, _random(12), _random(43))


def read_key(text: str, stage: str) -> Key | None:
    """Read a key of this stage.

    Returns None if the text is malformed, has a wrong checksum or is a key of another stage.
    """
    match = _FORM.fullmatch(text)
    if match is None or match[2] != stage or match[5] != _checksum(match[1]):
        return None
    return Key(stage, match[3], match[4])


def verify(key: Key, record: StoredApiKey | None, now: datetime) -> ApiKeyStatus:
    """Return whether a key is valid, given the record stored under its id, None if there is none.

    The comparison takes the same time for an unknown id, a wrong secret and the right one.
    """
    is_right = hmac.compare_digest(key.digest, record.digest if record else _NO_DIGEST)
    return record.status(now) if record and is_right else ApiKeyStatus.UNKNOWN


# The digest to compare with if the id is unknown. No secret is known to have it.
_NO_DIGEST = "0" * 64


def _random(length: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(length))


def _checksum(body: str) -> str:
    number, text = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        text = _BASE62[digit] + text
    return text
