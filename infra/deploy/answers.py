"""API Gateway's own responses, as problem documents like the API's.

API Gateway puts nothing into these texts, so each is written out whole.
https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from chalicelib.api.cors_headers import shared
from chalicelib.api.problems import NO_ROUTE, NoKey, answer_to, problem

_BUSY = "a part of Resona does not answer; nothing was changed"
_UNKNOWN = (
    "a part of Resona did not answer in time; nobody can tell whether it was done: repeat with "
    "the same Idempotency-Key"
)
_AGAIN = {"Retry-After": "1"}


def _answers() -> dict[str, Any]:
    forbidden, no_route = problem(403, "the key does not open this"), problem(404, NO_ROUTE)
    busy, unknown = problem(503, _BUSY, _AGAIN), problem(503, _UNKNOWN, _AGAIN, unknown=True)
    kinds = {
        "UNAUTHORIZED": answer_to(NoKey()),
        "ACCESS_DENIED WAF_FILTERED INVALID_API_KEY": forbidden,
        # An unknown path; with a key, API Gateway takes that for a malformed AWS signature.
        "MISSING_AUTHENTICATION_TOKEN INVALID_SIGNATURE": no_route,
        "EXPIRED_TOKEN RESOURCE_NOT_FOUND DEFAULT_4XX": no_route,
        "BAD_REQUEST_PARAMETERS BAD_REQUEST_BODY": problem(400, "the request cannot be read"),
        "REQUEST_TOO_LARGE": problem(413, "the request is larger than 10 MB"),
        "UNSUPPORTED_MEDIA_TYPE": problem(415, "send the body as application/json"),
        "THROTTLED QUOTA_EXCEEDED": problem(429, "the stage is called too often", _AGAIN),
        # The authorizer runs first: when it fails, nothing has been done.
        "AUTHORIZER_FAILURE AUTHORIZER_CONFIGURATION_ERROR": busy,
        "API_CONFIGURATION_ERROR INTEGRATION_FAILURE INTEGRATION_TIMEOUT DEFAULT_5XX": unknown,
    }
    return {kind: answer for row, answer in kinds.items() for kind in row.split()}


def wanted(origins: AbstractSet[str]) -> dict[str, dict[str, Any]]:
    """Return the gateway responses by type, readable by pages of these origins."""
    return {
        kind: _response(answer.status_code, answer.headers, answer.body, origins)
        for kind, answer in _answers().items()
    }


def _response(
    status: int, headers: Mapping[str, str], body: str, origins: AbstractSet[str]
) -> dict[str, Any]:
    shown = {**headers, **shared(min(origins, default=None), origins)}
    sent = {name: f"'{value}'" for name, value in shown.items()}
    if len(origins) > 1:
        # API Gateway cannot compare origins. These documents are the same for everyone.
        sent["Access-Control-Allow-Origin"] = "method.request.header.Origin"
    return {
        "statusCode": str(status),
        "responseParameters": {f"gatewayresponse.header.{key}": text for key, text in sent.items()},
        "responseTemplates": {"application/json": body},
    }
