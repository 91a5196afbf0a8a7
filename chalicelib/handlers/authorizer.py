"""Lambda authorizer: check an API key for API Gateway, which caches the result for a minute.

Lambda imports this module without `app.py`, so that routes and pydantic are not loaded. The policy
allows every route, because the cached result is used for all of them; `chalicelib.api.routing`
checks the scopes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from chalice.app import AuthRequest, AuthResponse, Blueprint

from chalicelib.aws import clients
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.domain.api_keys import ApiKeyStatus, StoredApiKey, read_key, verify
from chalicelib.handlers import composition
from chalicelib.runtime.clock import utc_now
from chalicelib.runtime.once import Once
from chalicelib.telemetry.invocation import invocation

log = logging.getLogger("resona")
functions = Blueprint(__name__)

# A revoked key works for at most this long. docs/api.md says so.
REMEMBERED_SECONDS = 60
_BEARER = re.compile(r"bearer +([!-~]+) *", re.ASCII | re.IGNORECASE)


class Unauthorized(Exception):
    """No valid key. API Gateway answers 401 to exactly this message, and 500 to any other.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html
    """

    def __init__(self) -> None:
        super().__init__("Unauthorized")


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Checks the API keys of a stage."""

    keys: ApiKeyStore
    stage: str
    clock: Callable[[], datetime] = utc_now

    def admit(self, header: str) -> StoredApiKey:
        """Return the key that an Authorization header holds. Raises Unauthorized, Unavailable."""
        match = _BEARER.fullmatch(header)
        key = read_key(match[1], self.stage) if match else None
        if key is None:
            raise Unauthorized
        record = self.keys.get(key.id)
        status = verify(key, record, self.clock())
        if record is None or status != ApiKeyStatus.ACTIVE:
            log.info("key.refused", extra={"key_id": key.id, "status": status.value})
            raise Unauthorized
        return record


authenticator = Once(composition.authenticator)


@functions.authorizer(name="authorizer", ttl_seconds=REMEMBERED_SECONDS)
def authorize(request: AuthRequest) -> AuthResponse:
    """Return the tenant and the scopes of a key."""
    # Chalice does not pass the Lambda context, which would name the invocation.
    with invocation("authorizer", refusal=Unauthorized):
        record = authenticator.get().admit(request.token)
    context = {
        "tenant": record.tenant,
        "scopes": " ".join(sorted(record.scopes)),
        "key_id": record.id,
    }
    return AuthResponse(routes=["*"], principal_id=record.id, context=context)


clients.make_early("dynamodb")
