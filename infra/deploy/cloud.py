"""Where a stage lives: the account and the region, AWS's clients there, and what everything of the
stage is called.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chalicelib.runtime.clock import utc_now

APP = "resona"
# The name of API Gateway's stage, and so the first part of every path.
GATEWAY_STAGE = "api"
# What Chalice calls its functions beside the API's own.
_NAMED = ("wake", "deliver", "sweep", "authorizer")


def tell(line: str) -> None:
    """Print a line at once: what Chalice prints comes in between."""
    print(line, flush=True)


@dataclass(frozen=True, slots=True)
class Names:
    """What everything of a stage is called: by infra/template.yaml, and by Chalice."""

    stage: str

    @property
    def stack(self) -> str:
        """Return the name of the stack, which the schedule group and the API's function have, too."""
        return f"{APP}-{self.stage}"

    def of(self, part: str) -> str:
        """Return the name of a part, such as a function, table, role or queue."""
        return f"{self.stack}-{part}"

    @property
    def api(self) -> str:
        """Return the name of the function that answers the API's calls."""
        return self.stack

    @property
    def functions(self) -> dict[str, str]:
        """Return the names of all functions, each by what Chalice knows it as."""
        return {"api_handler": self.api, **{name: self.of(name) for name in _NAMED}}

    @property
    def roles(self) -> dict[str, str]:
        """Return the names of the functions' roles, each by its function."""
        return {name: self.of(name) for name in self.functions}

    @property
    def rule(self) -> str:
        """Return the name of the rule that starts the sweeper every minute."""
        return self.of("sweep-event")


@dataclass(frozen=True, slots=True)
class Cloud:
    """An account's region.

    `client` makes the client of a service by its name; `sleep` takes seconds; `say` tells whoever
    deploys.
    """

    client: Callable[[str], Any]
    account: str
    region: str
    partition: str = "aws"
    say: Callable[[str], None] = tell
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = utc_now
    _clients: dict[str, Any] = field(default_factory=dict)

    def __call__(self, service: str) -> Any:
        """Return the client of a service."""
        if service not in self._clients:
            self._clients[service] = self.client(service)
        return self._clients[service]

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"
