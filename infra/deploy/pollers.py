"""How many batches of the due queue run at once, in an account for which Lambda runs fewer
functions than is usual.

What the queue's pollers fetch and Lambda then refuses is not seen for the queue's visibility
timeout, 12 minutes, and is a dead letter after five times: so they are never more than may run.
"""

from __future__ import annotations

from botocore.exceptions import ClientError

from infra.deploy.cloud import Cloud
from infra.deploy.trouble import code_of

# What Chalice sets, for an account that may run 1,000: chalicelib/handlers/executor.py.
USUAL = 800
_LEAST = 2
_TRIES = 12
_SECONDS = 5


def bound(cloud: Cloud, mapping: str) -> int | None:
    """Bound the mapping, by its id, to four fifths of what the account may run; return the new
    bound, None if it was so.
    """
    try:
        limit: int = cloud("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    except ClientError:
        # As for an account that has what is usual.
        return None
    wanted = max(_LEAST, min(USUAL, limit * 4 // 5))
    if (
        cloud("lambda")
        .get_event_source_mapping(UUID=mapping)
        .get("ScalingConfig", {})
        .get("MaximumConcurrency")
        == wanted
    ):
        return None
    for left in range(_TRIES, 0, -1):
        try:
            cloud("lambda").update_event_source_mapping(
                UUID=mapping, ScalingConfig={"MaximumConcurrency": wanted}
            )
            break
        except ClientError as error:
            # One that was just made, or changed, is still settling.
            if left == 1 or code_of(error) != "ResourceInUseException":
                raise
        cloud.sleep(_SECONDS)
    return wanted
