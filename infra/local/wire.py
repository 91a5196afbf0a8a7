"""Requests and replies between the laptop's cloud and moto's WSGI app."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ACCOUNT = "123456789012"
REGION = "us-east-1"
STAGE = "local"


@dataclass(frozen=True, slots=True)
class Request:
    """A request, with its WSGI environment."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    environ: dict[str, Any]

    def with_body(self, body: bytes) -> Request:
        """Return the same request with another body."""
        return Request(self.method, self.path, self.query, body, self.environ)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. Its content type is the one that AWS's JSON protocols have."""

    status: int
    body: bytes
    headers: dict[str, str] = field(
        default_factory=lambda: {"Content-Type": "application/x-amz-json-1.0"}
    )


# What of a request's signature names the key that made it.
_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/")


def authorization(token: str) -> str:
    """Return a header `Authorization` with the emulator's token, for a request without an SDK."""
    return f"AWS4-HMAC-SHA256 Credential={token}/laptop"


def carries(header: str, token: str) -> bool:
    """Return whether a header `Authorization` carries the emulator's token."""
    match = _CREDENTIAL.match(header)
    return match is not None and hmac.compare_digest(match[1].encode(), token.encode())


Forward = Callable[[Request], Reply]


def json_error(code: str, message: str, status: int = 400, **members: Any) -> Reply:
    """Make the error of a JSON or REST-JSON service."""
    body = json.dumps({"__type": code, "message": message, "Message": message, **members}).encode()
    return Reply(
        status, body, {"Content-Type": "application/x-amz-json-1.0", "x-amzn-errortype": code}
    )
