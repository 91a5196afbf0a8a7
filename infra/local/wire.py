"""Requests and replies of the laptop's emulator, and the token that requests carry."""

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
    """A reply. Its default content type is that of AWS's JSON protocol."""

    status: int
    body: bytes
    headers: dict[str, str] = field(
        default_factory=lambda: {"Content-Type": "application/x-amz-json-1.0"}
    )


# The access key id in a request's signature.
_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/")


def authorization(token: str) -> str:
    """Return an `Authorization` header with the emulator's token, for requests without an SDK."""
    return f"AWS4-HMAC-SHA256 Credential={token}/laptop"


def carries(header: str, token: str) -> bool:
    """Return whether an `Authorization` header carries the emulator's token."""
    match = _CREDENTIAL.match(header)
    return match is not None and hmac.compare_digest(match[1].encode(), token.encode())


Forward = Callable[[Request], Reply]


def json_error(code: str, message: str, status: int = 400, **members: Any) -> Reply:
    """Return an error as AWS's JSON and REST-JSON services send it."""
    body = json.dumps({"__type": code, "message": message, "Message": message, **members}).encode()
    return Reply(
        status, body, {"Content-Type": "application/x-amz-json-1.0", "x-amzn-errortype": code}
    )
