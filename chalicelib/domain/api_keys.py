"""Keys: what opens a tenant's jobs, and how far.

    rsn_<environment>_<12 base62: key id>_<43 base62: secret><6 base62: CRC-32 of all before it>

So secret scanners can find one, and what is no key, or another stage's, is refused before anything
is read. The environment is the stage. The secret holds 256 random bits, which need no slow hash:
its SHA-256 is what is stored.
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
    """How far a key opens. Neither includes the other."""

    READ = "read"
    WRITE = "write"


class ApiKeyStatus(StrEnum):
    """What a key is worth. `UNKNOWN` also stands for a secret that is not the id's."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as its owner has it. Neither its `repr` nor its `str` shows the secret."""

    stage: str
    id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """Return the key as it is sent."""
        body = f"rsn_{self.stage}_{self.id}_{self.secret}"
        return body + _checksum(body)

    @property
    def digest(self) -> str:
        """Return what is stored of the secret."""
        return hashlib.sha256(self.secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class StoredApiKey:
    """A key as it is stored.

    `expires_at` None: it never does; `revoked_at` None: it has not been.
    """

    id: str
    digest: str = field(repr=False)
    tenant: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def status(self, now: datetime) -> ApiKeyStatus:
        """Return what the key is worth to whoever has its secret."""
        if self.revoked_at is not None:
            return ApiKeyStatus.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return ApiKeyStatus.EXPIRED
        return ApiKeyStatus.ACTIVE


def new_key(stage: str) -> Key:
    """Make a key that nobody has had: its id is 71 random bits, its secret 256."""
    return Key(stage, _random(12), _random(43))


def read_key(text: str, stage: str) -> Key | None:
    """Read a key of this stage; None for everything else, a wrong checksum and another stage's key
    included.
    """
    match = _FORM.fullmatch(text)
    if match is None or match[2] != stage or match[5] != _checksum(match[1]):
        return None
    return Key(stage, match[3], match[4])


def verify(key: Key, record: StoredApiKey | None, now: datetime) -> ApiKeyStatus:
    """Say what a key is worth, given what is stored under its id.

    An unknown id takes as long as a wrong secret, and a wrong secret as long as the right one.
    """
    is_right = hmac.compare_digest(key.digest, record.digest if record else _NOBODY_S)
    return record.status(now) if record and is_right else ApiKeyStatus.UNKNOWN


# No secret has it: it is not the digest of anything that anybody knows.
_NOBODY_S = "0" * 64


def _random(length: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(length))


def _checksum(body: str) -> str:
    number, text = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        text = _BASE62[digit] + text
    return text
