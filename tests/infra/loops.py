"""Lambda's rules that moto lacks: recursive invocation, and the account's concurrency limit.

Answered before the call goes out.
"""

from __future__ import annotations

import json
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

STOPPED, ALLOWED = "Terminate", "Allow"


class Loops:
    """What each function has; one that is deleted forgets it.

    `settles_after`: how many writes are refused before that.
    """

    def __init__(self) -> None:
        self.allowed: dict[str, str] = {}
        self.settles_after = 0
        self.limit = 1000

    def answer(self, client: Any) -> None:
        """Have the client of Lambda ask here."""
        client.meta.events.register("before-call.lambda.GetAccountSettings", self._settings)
        for operation in (
            "GetFunctionRecursionConfig",
            "PutFunctionRecursionConfig",
            "DeleteFunction",
        ):
            client.meta.events.register(f"before-call.lambda.{operation}", self._called)

    def _settings(self, **others: Any) -> tuple[AWSResponse, dict[str, Any]]:
        return _response(200), {"AccountLimit": {"ConcurrentExecutions": self.limit}}

    def _called(
        self, model: Any, params: dict[str, Any], **others: Any
    ) -> tuple[AWSResponse, dict[str, Any]] | None:
        function = params["url_path"].split("/")[3]
        if model.name == "DeleteFunction":
            self.allowed.pop(function, None)
            return None
        if model.name.startswith("Put"):
            if self.settles_after:
                self.settles_after -= 1
                return _response(409), {
                    "Error": {"Code": "ResourceConflictException", "Message": "it is in progress"}
                }
            self.allowed[function] = json.loads(params["body"])["RecursiveLoop"]
        return _response(200), {"RecursiveLoop": self.allowed.get(function, STOPPED)}


def _response(status: int) -> AWSResponse:
    return AWSResponse("", status, HTTPHeaders(), None)
