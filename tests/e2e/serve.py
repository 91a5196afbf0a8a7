"""Serve ministack: `python serve.py LAMBDA_PYTHON`, in ministack's own virtual environment, and put
right where it is not as AWS is.

Nothing here touches what is deployed: its functions run as the zip has them.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# ministack runs Python functions in the interpreter that it is run by, where requests, pydantic and
# more lie about, and a package that had forgotten them would not be found out. This one has what
# Lambda's has: boto3, and nothing else.
sys.executable = sys.argv.pop(1)

from ministack import app  # noqa: E402  it reads where the interpreter is
from ministack.core import iam_actions, lambda_runtime  # noqa: E402
from ministack.services import apigateway_v1, eventbridge  # noqa: E402

_SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
invoke_target = eventbridge._invoke_target


def invoke_with_the_scheduled_time(
    target: dict[str, Any], event: dict[str, Any], *rest: Any
) -> None:
    """Fill in what EventBridge Scheduler fills in.

    All our expressions are of whole minutes, and the ticker is seconds late.
    """
    if event.get("Source") == "aws.scheduler":
        minute = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(event["Time"]))
        target = {**target, "Input": target.get("Input", "").replace(_SCHEDULED_TIME, minute)}
    invoke_target(target, event, *rest)


import_api = apigateway_v1._import_rest_api


def import_with_gateway_responses(spec: dict[str, Any], *rest: Any) -> str:
    """Read what API Gateway answers itself.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-gateway-responses.html
    """
    api: str = import_api(spec, *rest)
    for kind, response in spec.get("x-amazon-apigateway-gateway-responses", {}).items():
        apigateway_v1._put_gateway_response(api, kind, response)
    return api


action_of_target = iam_actions._action_from_target


def permission_of_target(headers: dict[str, str]) -> str | None:
    """To send a batch takes the permission to send: AWS knows no other.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
    """
    action: str | None = action_of_target(headers)
    return "SendMessage" if action == "SendMessageBatch" else action


resource_of = iam_actions.extract_resource_arn


def resource_with_its_group(
    service: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query: dict[str, Any],
    *rest: Any,
) -> str:
    """A schedule's group is named in the body by who makes it, in the query by who deletes it."""
    arn: str = resource_of(service, method, path, headers, body, query, *rest)
    if service != "scheduler":
        return arn
    group = json.loads(body)["GroupName"] if body else query["groupName"]
    return arn.replace(
        ":schedule/default/", f":schedule/{group if isinstance(group, str) else group[0]}/"
    )


context_of = iam_actions.request_tag_context


def context_with_encryption(service: str, action: str, body: bytes, *rest: Any) -> dict[str, Any]:
    """Say what conditions on `kms:EncryptionContext:…` ask for."""
    context: dict[str, Any] = context_of(service, action, body, *rest)
    encryption = json.loads(body).get("EncryptionContext", {}) if service == "kms" and body else {}
    return {
        **context,
        **{f"kms:EncryptionContext:{key}": value for key, value in encryption.items()},
    }


class UnpackedOnce(zipfile.ZipFile):
    """Unpack and compile a package for its first environment, and link it for the others.

    Each would else compile all of it anew, and a burst of two hundred jobs would have the machine
    do nothing else.
    """

    lock = threading.Lock()

    def extractall(self, path: str, *rest: Any) -> None:  # type: ignore[override]
        digest = hashlib.sha256(Path(str(self.filename)).read_bytes()).hexdigest()
        folder = Path(tempfile.gettempdir(), "unpacked", digest)
        with self.lock:
            if not folder.exists():
                super().extractall(folder)
                subprocess.run([sys.executable, "-m", "compileall", "-q", str(folder)], check=True)
        for entry in folder.iterdir():
            Path(path, entry.name).symlink_to(entry)


lambda_runtime.zipfile = SimpleNamespace(**{**vars(zipfile), "ZipFile": UnpackedOnce})
eventbridge._invoke_target = invoke_with_the_scheduled_time
apigateway_v1._import_rest_api = import_with_gateway_responses
iam_actions._action_from_target = permission_of_target
iam_actions.extract_resource_arn = resource_with_its_group
iam_actions.request_tag_context = context_with_encryption
app.main()
