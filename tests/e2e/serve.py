"""Serve ministack: `python serve.py LAMBDA_PYTHON`, in ministack's own virtual environment, and put right where it is not as AWS is.

Nothing here touches what is deployed: its functions run as the zip has them.
"""

from __future__ import annotations

import sys
import time
from typing import Any

# ministack runs Python functions in the interpreter that it is run by, where requests, pydantic and more lie about, and a package that
# had forgotten them would not be found out. This one has what Lambda's has: boto3, and nothing else.
sys.executable = sys.argv.pop(1)

from ministack import app  # noqa: E402  it reads where the interpreter is
from ministack.core import iam_actions  # noqa: E402
from ministack.services import eventbridge  # noqa: E402

# To send a batch takes the permission to send: AWS knows no other.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
_SAME_PERMISSION = {"SendMessageBatch": "SendMessage"}
_SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"

action_of_target = iam_actions._action_from_target
invoke_target = eventbridge._invoke_target


def action_with_its_permission(headers: dict[str, str]) -> str | None:
    action = action_of_target(headers)
    return _SAME_PERMISSION.get(action or "", action)


def invoke_with_the_scheduled_time(target: dict[str, Any], event: dict[str, Any], *rest: Any) -> None:
    """Fill in what EventBridge Scheduler fills in. All our expressions are of whole minutes, and the ticker is seconds late."""
    if event.get("Source") == "aws.scheduler":
        minute = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(event["Time"]))
        target = {**target, "Input": target.get("Input", "").replace(_SCHEDULED_TIME, minute)}
    invoke_target(target, event, *rest)


iam_actions._action_from_target = action_with_its_permission
eventbridge._invoke_target = invoke_with_the_scheduled_time
app.main()
