"""Make API Gateway's own responses problem documents, like the API's: an extension of OpenAPI.

Each text is complete: API Gateway fills in nothing.
https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

from chalice.app import Response

from chalicelib.api.cors_headers import shared
from chalicelib.api.problems import NO_ROUTE, NoKey, answer_to, problem

_BUSY = "a part of Resona does not answer; nothing was changed"
_UNKNOWN = (
    "a part of Resona did not answer in time; nobody can tell whether it was done: repeat with "
    "the same Idempotency-Key"
)
_AGAIN = {"Retry-After": "1"}


def _answers() -> dict[str, Response]:
    """Return the answers by their types, which are separated by spaces."""
    forbidden, no_route = problem(403, "the key does not open this"), problem(404, NO_ROUTE)
    busy, unknown = problem(503, _BUSY, _AGAIN), problem(503, _UNKNOWN, _AGAIN, unknown=True)
    return {
        "UNAUTHORIZED": answer_to(NoKey()),
        "ACCESS_DENIED WAF_FILTERED INVALID_API_KEY": forbidden,
        # An unknown path. If the call has a key, API Gateway takes it for a malformed signature.
        "MISSING_AUTHENTICATION_TOKEN INVALID_SIGNATURE": no_route,
        "EXPIRED_TOKEN RESOURCE_NOT_FOUND DEFAULT_4XX": no_route,
        "BAD_REQUEST_PARAMETERS BAD_REQUEST_BODY": problem(400, "the request cannot be read"),
        "REQUEST_TOO_LARGE": problem(413, "the request is larger than 10 MB"),
        "UNSUPPORTED_MEDIA_TYPE": problem(415, "send the body as application/json"),
        "THROTTLED QUOTA_EXCEEDED": problem(429, "the stage is called too often", _AGAIN),
        # The authorizer runs before the API: if it fails, nothing was changed.
        "AUTHORIZER_FAILURE AUTHORIZER_CONFIGURATION_ERROR": busy,
        "API_CONFIGURATION_ERROR INTEGRATION_FAILURE INTEGRATION_TIMEOUT DEFAULT_5XX": unknown,
    }


def gateway_responses(origins: AbstractSet[str]) -> dict[str, dict[str, Any]]:
    """Return the gateway responses by type, readable by pages of these origins."""
    return {
        kind: _response(answer, origins)
        for kinds, answer in _answers().items()
        for kind in kinds.split()
    }


def _response(answer: Response, origins: AbstractSet[str]) -> dict[str, Any]:
    shown = {**answer.headers, **shared(min(origins, default=None), origins)}
    sent = {name: f"'{value}'" for name, value in shown.items()}
    if len(origins) > 1:
        # Repeat any origin: API Gateway cannot compare it with a list, and these documents are the
        # same for everyone.
        sent["Access-Control-Allow-Origin"] = "method.request.header.Origin"
    return {
        "statusCode": str(answer.status_code),
        "responseParameters": {f"gatewayresponse.header.{key}": text for key, text in sent.items()},
        "responseTemplates": {"application/json": answer.body},
    }
