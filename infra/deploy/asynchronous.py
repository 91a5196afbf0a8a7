"""How Lambda repeats what nobody waits for: wakes and sweeps, which Chalice cannot say.

What fails for good goes to the queue of the failed, for an alarm to see. Nothing is lost by it: the
sweeper arms what nothing else does.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from infra.deploy.cloud import Cloud, Names
from infra.deploy.trouble import code_of, message_of

# A wake comes two minutes early and Lambda's two retries come after one and two: one that is older
# is the sweeper's by then. A sweep is not repeated at all: the next one comes in a minute.
SETTINGS = {
    "wake": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 300},
    "sweep": {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60},
}
# A role's new permission takes some seconds to be seen.
_TRIES = 12
_SECONDS = 5


def arrange(cloud: Cloud, names: Names, failed_queue: str) -> list[str]:
    """Set retries and the destination, an SQS queue's ARN, of what fails; return the functions that
    had others.
    """
    changed = []
    for part, settings in SETTINGS.items():
        wanted = {**settings, "DestinationConfig": {"OnFailure": {"Destination": failed_queue}}}
        if _existing(cloud, names.functions[part]) != wanted:
            _put(cloud, names.functions[part], wanted)
            changed.append(names.functions[part])
    return changed


def _existing(cloud: Cloud, function: str) -> dict[str, Any] | None:
    try:
        found = cloud("lambda").get_function_event_invoke_config(FunctionName=function)
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return None
        raise
    destination = found.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
    return {
        "MaximumRetryAttempts": found.get("MaximumRetryAttempts"),
        "MaximumEventAgeInSeconds": found.get("MaximumEventAgeInSeconds"),
        "DestinationConfig": {"OnFailure": {"Destination": destination}},
    }


def _put(cloud: Cloud, function: str, wanted: dict[str, Any]) -> None:
    for left in range(_TRIES, 0, -1):
        try:
            cloud("lambda").put_function_event_invoke_config(FunctionName=function, **wanted)
            return
        except ClientError as error:
            is_permission = code_of(
                error
            ) == "InvalidParameterValueException" and "permission" in message_of(error)
            # A function that was just deployed may still be settling.
            if left == 1 or not (is_permission or code_of(error) == "ResourceConflictException"):
                raise
        cloud.sleep(_SECONDS)
