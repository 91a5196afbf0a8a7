"""What API Gateway itself answers, in the words of the API: problem documents, whatever it is that
it refuses or that fails behind it.

API Gateway puts nothing into these texts, so each is written out whole.
https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from chalicelib.api.cors_headers import shared
from chalicelib.api.problems import NO_ROUTE, NoKey, answer_to, problem
from infra.deploy.cloud import Cloud

_BUSY = "a part of Resona does not answer; nothing was changed"
_UNKNOWN = "a part of Resona did not answer in time; nobody can tell whether it was done: repeat with the same Idempotency-Key"
_AGAIN = {"Retry-After": "1"}


def _answers() -> dict[str, Any]:
    no_route, forbidden = problem(404, NO_ROUTE), problem(403, "the key does not open this")
    busy, unknown = problem(503, _BUSY, _AGAIN), problem(503, _UNKNOWN, _AGAIN, unknown=True)
    throttled = problem(429, "the stage is called too often", _AGAIN)
    return {
        "UNAUTHORIZED": answer_to(NoKey()),
        "ACCESS_DENIED": forbidden,
        "WAF_FILTERED": forbidden,
        "INVALID_API_KEY": forbidden,
        # What it says of a path that is not there; with a key, it takes that for a signature of
        # AWS's, which it then misses.
        "MISSING_AUTHENTICATION_TOKEN": no_route,
        "INVALID_SIGNATURE": no_route,
        "EXPIRED_TOKEN": no_route,
        "RESOURCE_NOT_FOUND": no_route,
        "DEFAULT_4XX": no_route,
        "BAD_REQUEST_PARAMETERS": problem(400, "the request cannot be read"),
        "BAD_REQUEST_BODY": problem(400, "the request cannot be read"),
        "REQUEST_TOO_LARGE": problem(413, "the request is larger than 10 MB"),
        "UNSUPPORTED_MEDIA_TYPE": problem(415, "send the body as application/json"),
        "THROTTLED": throttled,
        "QUOTA_EXCEEDED": throttled,
        # The authorizer comes first: when it fails, nothing has been done.
        "AUTHORIZER_FAILURE": busy,
        "AUTHORIZER_CONFIGURATION_ERROR": busy,
        "API_CONFIGURATION_ERROR": unknown,
        "INTEGRATION_FAILURE": unknown,
        "INTEGRATION_TIMEOUT": unknown,
        "DEFAULT_5XX": unknown,
    }


def wanted(origins: AbstractSet[str]) -> dict[str, dict[str, Any]]:
    """Return the gateway responses by type, readable for the pages of these origins."""
    return {
        kind: _response(answer.status_code, answer.headers, answer.body, origins)
        for kind, answer in _answers().items()
    }


def put(cloud: Cloud, api: str, responses: Mapping[str, dict[str, Any]]) -> bool:
    """Let the API answer so; return whether it would have answered otherwise.

    Clients get it with the next deployment.
    """
    gateway = cloud("apigateway")
    changed = False
    existing: dict[str, dict[str, Any]] = {}
    for page in gateway.get_paginator("get_gateway_responses").paginate(restApiId=api):
        existing |= {
            one["responseType"]: {key: one.get(key) for key in ("statusCode", *_MAPS)}
            for one in page["items"]
        }
    for kind, response in responses.items():
        if existing.get(kind) != response:
            gateway.put_gateway_response(restApiId=api, responseType=kind, **response)
            changed = True
    return changed


_MAPS = ("responseParameters", "responseTemplates")


def _response(
    status: int, headers: Mapping[str, str], body: str, origins: AbstractSet[str]
) -> dict[str, Any]:
    sent = {name: f"'{value}'" for name, value in {**headers, **_for_pages(origins)}.items()}
    if len(origins) > 1:
        # It cannot compare. These documents hold nothing that is anybody's, so whoever asks may
        # read them.
        sent["Access-Control-Allow-Origin"] = "method.request.header.Origin"
    parameters = {f"gatewayresponse.header.{name}": value for name, value in sent.items()}
    return {
        "statusCode": str(status),
        "responseParameters": parameters,
        "responseTemplates": {"application/json": body},
    }


def _for_pages(origins: AbstractSet[str]) -> dict[str, str]:
    return shared(min(origins, default=None), origins)
