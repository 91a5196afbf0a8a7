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
from ministack.services import apigateway_v1, eventbridge, kms  # noqa: E402

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


handle_apigateway = apigateway_v1.handle_request


async def handle_with_imports(
    method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> Any:
    """Import an API from its description, and replace one by another description. ministack imports
    for CloudFormation alone.

    https://docs.aws.amazon.com/apigateway/latest/api/API_ImportRestApi.html and API_PutRestApi.html
    """
    parts = path.strip("/").split("/")
    if (method, parts) == ("POST", ["restapis"]) and "mode" in query:
        spec = json.loads(body)
        api = apigateway_v1._import_rest_api(spec)
        import_gateway_responses(api, spec)
        return apigateway_v1._get_rest_api(api)
    if method == "PUT" and len(parts) == 2 and parts[0] == "restapis":
        replace_api(parts[1], json.loads(body))
        return apigateway_v1._get_rest_api(parts[1])
    if method == "PATCH" and len(parts) == 2 and parts[0] == "restapis":
        # Chalice's way to say that nothing is compressed. ministack would keep the empty text for a
        # number.
        operations = [one for one in json.loads(body)["patchOperations"] if one["value"] != ""]
        body = json.dumps({"patchOperations": operations}).encode()
    return await handle_apigateway(method, path, headers, body, query)


def replace_api(api: str, spec: dict[str, Any]) -> None:
    """Overwrite resources, authorizers and gateway responses, as `mode=overwrite` does."""
    resources = apigateway_v1._resources[api]
    for one in [key for key, resource in resources.items() if resource["path"] != "/"]:
        del resources[one]
    apigateway_v1._authorizers_v1[api] = {}
    apigateway_v1._gateway_responses[api] = {}
    schemes = apigateway_v1._import_security_schemes(api, spec)
    for path, item in spec["paths"].items():
        apigateway_v1._import_path_item(api, path, item, schemes, spec.get("security"))
    import_gateway_responses(api, spec)


def import_gateway_responses(api: str, spec: dict[str, Any]) -> None:
    """Read what API Gateway answers itself.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-gateway-responses.html
    """
    for kind, response in spec.get("x-amazon-apigateway-gateway-responses", {}).items():
        apigateway_v1._put_gateway_response(api, kind, response)


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
    if service == "kms" and ":alias/" in arn:
        # IAM judges the key, whatever it is called by.
        return arn.partition(":alias/")[0] + ":key/" + str(kms._aliases.get(arn))
    if service != "scheduler":
        return arn
    group = json.loads(body)["GroupName"] if body else query["groupName"]
    return arn.replace(
        ":schedule/default/", f":schedule/{group if isinstance(group, str) else group[0]}/"
    )


context_of = iam_actions.request_tag_context


def context_with_encryption(service: str, action: str, body: bytes, *rest: Any) -> dict[str, Any]:
    """Say what conditions on `kms:EncryptionContext:…` and `kms:ResourceAliases` ask for.

    Our requests name the key by its alias.
    """
    context: dict[str, Any] = context_of(service, action, body, *rest)
    request = json.loads(body) if service == "kms" and body else {}
    asked = {
        f"kms:EncryptionContext:{key}": value
        for key, value in request.get("EncryptionContext", {}).items()
    }
    if str(request.get("KeyId", "")).startswith("alias/"):
        asked["kms:ResourceAliases"] = [request["KeyId"]]
    return {**context, **asked}


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
apigateway_v1.handle_request = handle_with_imports
iam_actions._action_from_target = permission_of_target
iam_actions.extract_resource_arn = resource_with_its_group
iam_actions.request_tag_context = context_with_encryption
app.main()
