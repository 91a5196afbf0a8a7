"""The switch of `/smoke`: while a token stands in the environment of the API's function, that route
is there for whoever names it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.deploy.cloud import Cloud, Names
from infra.deploy.trouble import Trouble, code_of

VARIABLE = "RESONA_SMOKE"
_SECONDS = 2
_TRIES = 60


@contextmanager
def switched_on(cloud: Cloud, names: Names) -> Iterator[str]:
    """Have `/smoke` there, and give its token; it is gone again in the end, however that comes.

    Raises Trouble.
    """
    token = secrets.token_urlsafe(24)
    try:
        # Inside, since an interrupt may come after the write and before its answer.
        _set(cloud, names.api, {**_settled(cloud, names.api), VARIABLE: token})
        yield token
    finally:
        try:
            switch_off(cloud, names)
        except (Trouble, ClientError, BotoCoreError) as error:
            cloud.say(
                f"/smoke could not be switched off: {error}\n  What to do: run `make deploy STAGE={names.stage}`, which does. "
                "Only who knows its token, which was shown to nobody, can call it until then; it only echoes."
            )


def switch_off(cloud: Cloud, names: Names) -> bool:
    """Take the token away; return whether there was one. Raises Trouble."""
    variables = _settled(cloud, names.api)
    if VARIABLE not in variables:
        return False
    _set(cloud, names.api, {name: value for name, value in variables.items() if name != VARIABLE})
    return True


def _set(cloud: Cloud, function: str, variables: Mapping[str, str]) -> None:
    cloud("lambda").update_function_configuration(
        FunctionName=function, Environment={"Variables": dict(variables)}
    )
    _settled(cloud, function)


def _settled(cloud: Cloud, function: str) -> dict[str, str]:
    """Return the function's environment once no update of it is under way; empty if there is no
    such function. Raises Trouble.
    """
    for _ in range(_TRIES):
        try:
            found: dict[str, Any] = cloud("lambda").get_function_configuration(
                FunctionName=function
            )
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":
                return {}
            raise
        if found.get("LastUpdateStatus", "Successful") == "Successful":
            variables: dict[str, str] = found.get("Environment", {}).get("Variables", {})
            return variables
        if found["LastUpdateStatus"] == "Failed":
            raise Trouble(
                f"Lambda could not update {function}: {found.get('LastUpdateStatusReason', 'it does not say why')}",
                "run the same command again.",
            )
        cloud.sleep(_SECONDS)
    raise Trouble(
        f"Lambda still updates {function} after two minutes",
        "run the same command again in a while.",
    )
