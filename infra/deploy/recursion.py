"""Leave for the function that fires to write to the queue which invokes it: so it is sent again,
and so its next occurrence comes.

Lambda follows a message through functions and queues, and by itself drops what comes round for
about the 16th time, as a loop. A run may have 20 attempts; and a job whose schedule is doubted goes
from one message to the next. https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
"""

from __future__ import annotations

from botocore.exceptions import ClientError

from infra.deploy.cloud import Cloud, Names
from infra.deploy.trouble import code_of

PART = "deliver"
ALLOW = "Allow"
_TRIES = 12
_SECONDS = 5


def allow(cloud: Cloud, names: Names) -> bool:
    """Let the function be invoked by what it wrote, however often; return whether it was not so."""
    function = names.functions[PART]
    if (
        cloud("lambda").get_function_recursion_config(FunctionName=function).get("RecursiveLoop")
        == ALLOW
    ):
        return False
    for left in range(_TRIES, 0, -1):
        try:
            cloud("lambda").put_function_recursion_config(
                FunctionName=function, RecursiveLoop=ALLOW
            )
            break
        except ClientError as error:
            # A function that was just deployed may still be settling.
            if left == 1 or code_of(error) != "ResourceConflictException":
                raise
        cloud.sleep(_SECONDS)
    return True
