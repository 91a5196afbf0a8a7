"""The APIs that jobs call in tests, and how each tells what came of a job.

    Receiver   here: a server of this process. It sees every request, if Resona can reach it
    OwnApi     there: the stage called by its own jobs. It tells whether a request was made, no more

A deployed stage calls public addresses alone: without a `Receiver` at one, its own API is what it
can reach.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from requests.structures import CaseInsensitiveDict

from chalicelib.runtime.clock import utc_now
from tests.acceptance.served import Served

Job = dict[str, Any]


@dataclass
class Got:
    """A request as the receiver got it, and what it answered: of the headers those that Resona has
    to keep.
    """

    at: datetime
    method: str
    headers: CaseInsensitiveDict[str]
    body: bytes
    status: int
    answer: str
    answer_headers: dict[str, str]
    path: str = ""


class Receiving:
    """What tests ask of a receiver."""

    poll_seconds: float
    failure = 500
    """A status that is sent again."""
    shows_requests = True
    """Whether `came_of` can tell. `was_sent` always can."""

    def address(self, path: str, failing: int = 0) -> str:
        """Return a URL for a job to call; the first so many attempts of a run are answered with
        `failure`, the others with 200.
        """
        raise NotImplementedError

    def came_of(self, jobs: Iterable[Job]) -> list[Got]:
        """Return the requests that these jobs have made, each job's in order."""
        raise NotImplementedError

    def witness(self, name: str) -> dict[str, Any]:
        """Return a request for a job that will be deleted or changed: `was_sent` tells by its name
        whether it was made.
        """
        raise NotImplementedError

    def was_sent(self, name: str) -> bool:
        """Say whether the request of this name was made."""
        raise NotImplementedError

    def wait_for(self, jobs: Iterable[Job], count: int, seconds: float) -> list[Got]:
        """Return what came of jobs once it is so many requests. Fails after so many seconds."""
        wanted = list(jobs)
        until = time.monotonic() + seconds
        while len(got := self.came_of(wanted)) < count:
            assert time.monotonic() < until, f"{len(got)} of {count} came in {seconds} s"
            time.sleep(self.poll_seconds)
        return got

    def close(self) -> None:
        """Stop, and take back what was left at the stage."""


@dataclass
class Receiver(Receiving):
    """A server of this process: answers 200 and `hello`, or what `answers` says for its path, in
    order, after so many seconds.

    It listens at `bind`, is called at `public_url` if something leads from there to here, and goes
    by the clock `now`.
    """

    got: list[Got] = field(default_factory=list)
    answers: dict[str, list[int]] = field(default_factory=dict)
    answers_after: float = 0
    bind: tuple[str, int] = ("127.0.0.1", 0)
    public_url: str = ""
    now: Callable[[], datetime] = utc_now
    poll_seconds: float = 0.02

    def __post_init__(self) -> None:
        receiver = self
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                at = receiver.now()
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                kept = {"content-type": "text/plain", "x-answer": "yes"}
                with lock:
                    planned = receiver.answers.get(self.path, [])
                    status = planned.pop(0) if planned else 200
                    headers = CaseInsensitiveDict(self.headers.items())
                    receiver.got.append(
                        Got(at, self.command, headers, body, status, "hello", kept, self.path)
                    )
                time.sleep(receiver.answers_after)
                self.send_response(status)
                self.send_header("Content-Type", "text/plain")
                self.send_header("X-Answer", "yes")
                self.send_header("Content-Length", "5")
                self.end_headers()
                self.wfile.write(b"hello")

            do_GET = do_POST = do_PUT = handle_any  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 512
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Keep quiet: whoever called may have been killed."""

        self._server = Server(self.bind, Handler)
        self.url = self.public_url or f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def address(self, path: str, failing: int = 0) -> str:
        if failing:
            self.answers[path] = [self.failure] * failing
        return f"{self.url}{path}"

    def came_of(self, jobs: Iterable[Job]) -> list[Got]:
        ids = {job["id"] for job in jobs}
        return [got for got in list(self.got) if got.headers.get("Resona-Job-Id") in ids]

    def witness(self, name: str) -> dict[str, Any]:
        return {"url": f"{self.url}/{name}", "method": "POST"}

    def was_sent(self, name: str) -> bool:
        return any(got.path == f"/{name}" for got in list(self.got))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class OwnApi(Receiving):
    """The stage's own API. A witness puts a job with a key of its own there: that job exists if the
    request was made.

    A deleted job takes its runs along, so nothing else could tell. The stage's key lies in a secret
    while it is needed.
    """

    poll_seconds = 0.5
    shows_requests = False

    def __init__(self, served: Served, name: str) -> None:
        """Take the stage, and a name for the secret and the witnesses that no other run has."""
        self._served = served
        self._name = name
        self._has_secret = False

    def address(self, path: str, failing: int = 0) -> str:
        del path, failing
        return f"{self._served.url}/health"

    def witness(self, name: str) -> dict[str, Any]:
        if not self._has_secret:
            answer = self._served.request(
                "PUT", f"/secrets/{self._name}", {"value": self._served.key()}
            )
            assert answer.status_code == 204, answer.text
            self._has_secret = True
        return {
            "url": f"{self._served.url}/jobs/key:{self._name}-{name}",
            "method": "PUT",
            "headers": {"Authorization": f"Bearer {{{{secret:{self._name}}}}}"},
            "body": {
                "name": f"witness of {name}",
                "request": {"url": f"{self._served.url}/health", "method": "GET"},
                "trigger": {"delay": timedelta(days=300).total_seconds()},
                "labels": self._served.labels,
            },
        }

    def was_sent(self, name: str) -> bool:
        answer = self._served.request("GET", f"/jobs/key:{self._name}-{name}")
        assert answer.status_code in (200, 404), answer.text
        return answer.status_code == 200

    def close(self) -> None:
        if self._has_secret:
            self._served.delete(f"/secrets/{self._name}")
            self._has_secret = False


def body_of(got: Got) -> Any:
    return json.loads(got.body)
