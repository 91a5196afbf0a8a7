"""What Lambda passes to a function: a context, and the event of the rule that sweeps."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from infra.local.wire import ACCOUNT, REGION


class Context:
    """The context that Lambda passes to a handler as its second argument."""

    def __init__(self) -> None:
        self.aws_request_id = str(uuid.uuid4())


def sweep_event(now: datetime) -> dict[str, Any]:
    """Return the event that an EventBridge rule would send every minute."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/resona-local-sweep"],
        "detail": {},
    }
