"""Forward requests to moto, by calling the response class of each service directly.

moto's own server, a Flask app for each service, is not used: it takes longer to load and to route
than most requests take, and its `/moto-api` lets anybody read and reset everything.
"""

from __future__ import annotations

import importlib
import io
import re
from functools import cache
from typing import Any

from botocore.exceptions import ClientError
from moto.core.request import Request as MotoRequest
from werkzeug.exceptions import HTTPException

from infra.local.wire import Reply, Request, json_error

# The service's name in the signature of a request.
_SERVICE = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/]+/[0-9]+/[^/]+/([^/]+)/aws4_request")
_CLASSES = {
    "dynamodb": "DynamoHandler",
    "kms": "KmsResponse",
    "scheduler": "EventBridgeSchedulerResponse",
    "sqs": "SQSResponse",
    # `make acceptance` calls GetCallerIdentity.
    "sts": "TokenResponse",
}


class _Served(MotoRequest):
    """A request as moto's own server would pass it on."""

    from_wsgi_server = True


def forward(request: Request) -> Reply:
    """Return moto's answer to a request; 404 for a service that Resona does not use."""
    environ = {
        **request.environ,
        "wsgi.input": io.BytesIO(request.body),
        "CONTENT_LENGTH": str(len(request.body)),
    }
    signed = _SERVICE.match(environ.get("HTTP_AUTHORIZATION", ""))
    if signed is None or signed[1] not in _CLASSES:
        return json_error(
            "UnknownOperationException", "The laptop's cloud has no such service.", 404
        )
    served = _Served(environ)
    try:
        status, headers, body = _class(signed[1]).dispatch(
            served, served.raw_url, dict(served.headers)
        )
    except ClientError as error:
        status, headers, body = 400, {}, error.response["Error"]["Message"]
    except HTTPException as error:
        status, headers, body = error.code or 500, {}, error.get_body()
    return Reply(int(status), body.encode() if isinstance(body, str) else body, _kept(headers))


@cache
def _class(service: str) -> Any:
    return getattr(importlib.import_module(f"moto.{service}.responses"), _CLASSES[service])


def _kept(headers: Any) -> dict[str, str]:
    return {
        name: str(value)
        for name, value in headers.items()
        if name.lower() not in ("content-length", "connection", "status")
    }
