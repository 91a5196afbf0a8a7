"""The stage's `/smoke` route, switched on while the suite needs it, by whoever has the credentials
for that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from infra.deploy.cloud import Cloud, Names
from infra.deploy.switch import VARIABLE, switched_on
from infra.deploy.trouble import Trouble


@contextmanager
def smoke_of(
    cloud: Cloud | None, stage: str, environ: MutableMapping[str, str] = os.environ
) -> Iterator[None]:
    """Have RESONA_SMOKE in the environment, with a token that the stage knows as long; its own, or
    a receiver, is left as it is.

    Without a cloud, or permission, nothing is switched on, and the tests that need it are left out.
    """
    if cloud is None or environ.get("RESONA_RECEIVER") or environ.get(VARIABLE):
        yield
        return
    with ExitStack() as switch:
        try:
            environ[VARIABLE] = switch.enter_context(switched_on(cloud, Names(stage)))
        except (Trouble, ClientError, BotoCoreError) as error:
            cloud.say(
                f"/smoke of the stage {stage} could not be switched on, so nothing shows what jobs send: {error}"
            )
        try:
            yield
        finally:
            environ.pop(VARIABLE, None)
