"""A Resona at a URL, on a laptop or deployed, and the calls that tests and questions make."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import requests


class Served:
    """Where Resona serves.

    `slack` is by how much things may be later than on a laptop, and clocks differ.
    """

    slack = timedelta(0)
    timeout_seconds = 10.0
    # How many may call at once.
    clients = 40
    # What every job bears that has to be found again; a laptop is thrown away whole.
    labels: dict[str, str] = {}  # noqa: RUF012  replaced, never changed

    def __init__(self, url: str) -> None:
        self.url = url

    def key(self) -> str:
        """Return a key that opens it."""
        raise NotImplementedError

    def now(self) -> datetime:
        """Return the time by the clock that it has."""
        return datetime.now(UTC)

    def send(self, method: str, url: str, **options: Any) -> requests.Response:
        """Make a request."""
        return requests.request(method, url, **{"timeout": self.timeout_seconds, **options})

    def request(
        self, method: str, path: str, body: Any = None, **options: Any
    ) -> requests.Response:
        return self.send(method, f"{self.url}{path}", json=body, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.request("POST", path, body, **options)

    def delete(self, path: str) -> requests.Response:
        return self.request("DELETE", path)

    def get(self, path: str) -> Any:
        return self.request("GET", path).json()

    def register(self, url: str, trigger: dict[str, Any], **fields: Any) -> Any:
        request = {
            "url": url,
            "method": "POST",
            "headers": {"X-Test": "yes"},
            "body": {"key": "value"},
        }
        answer = self.post(
            "/jobs", {"name": "A job", "request": request, "trigger": trigger, **fields}
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    def wait_for(self, path: str, holds: Callable[[Any], bool], seconds: float) -> Any:
        """Return what a path shows once it is so. Fails after so many seconds, and the slack."""
        until = time.monotonic() + seconds + self.slack.total_seconds()
        while True:
            shown = self.get(path)
            if holds(shown):
                return shown
            assert time.monotonic() < until, shown
            time.sleep(0.05)
