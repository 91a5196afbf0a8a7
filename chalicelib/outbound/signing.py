"""Sign requests, so that receivers can verify that they come from Resona unchanged.

Standard Webhooks 1.0.0, the symmetric scheme:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

_PREFIX = "whsec_"


def sign(secret: str, message_id: str, timestamp: datetime, body: bytes) -> str:
    """Return the signature of a message, `v1,…`.

    It is the HMAC-SHA256 of `id.timestamp.body`, with the timestamp in whole Unix seconds. `secret`
    is `whsec_` and base64; `message_id` has no full stop. Raises ValueError otherwise, with a
    message that contains neither of them.
    """
    if "." in message_id:
        raise ValueError("a message id has no full stop")
    signed = f"{message_id}.{_seconds(timestamp)}.".encode() + body
    digest = hmac.digest(_key(secret), signed, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode('ascii')}"


def headers(
    secrets: Sequence[str], message_id: str, timestamp: datetime, body: bytes
) -> dict[str, str]:
    """Return the three headers of a message, with a signature by each secret.

    After a rotation the previous secret signs too. `timestamp` is the attempt's; `body` is what is
    sent, empty for no body. Raises ValueError for an invalid secret or id, or no secret.
    """
    if not secrets:
        raise ValueError("there is no secret to sign with")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(_seconds(timestamp)),
        "webhook-signature": " ".join(
            sign(secret, message_id, timestamp, body) for secret in secrets
        ),
    }


def _seconds(timestamp: datetime) -> int:
    if timestamp.tzinfo is None:
        raise ValueError("a timestamp has an offset")
    return int(timestamp.timestamp())


def _key(secret: str) -> bytes:
    encoded = secret.removeprefix(_PREFIX)
    if encoded == secret:
        raise ValueError("a signing secret begins with whsec_")
    try:
        # Secrets are written with and without padding.
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        raise ValueError("a signing secret is base64 after whsec_") from None
    if not key:
        raise ValueError("a signing secret is not empty")
    return key
