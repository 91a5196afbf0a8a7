"""`chalice local --stage local` as `make run` starts it, and a receiver, both as processes and sockets of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parent.parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Laptop:
    """Resona in a folder of its own, started, stopped and killed as a user would."""

    def __init__(self, home: Path, **settings: str) -> None:
        """Take a folder, and what else is in the environment."""
        self.home = home
        self._settings = settings
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (home / "log.txt").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it, and return after how many seconds it served."""
        began = time.monotonic()
        command = [str(Path(sys.executable).parent / "chalice"), "local", "--stage", "local", "--no-autoreload", "--port", str(self.port)]
        environment = {**os.environ, "RESONA_HOME": str(self.home), **self._settings}
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=self._log, stderr=self._log, start_new_session=True)
        while True:
            assert self._process.poll() is None, self.log()
            try:
                if requests.get(f"{self.url}/health", timeout=1).status_code == 200:
                    return time.monotonic() - began
            except requests.RequestException:
                assert time.monotonic() - began < 60, self.log()
                time.sleep(0.05)

    def log(self) -> str:
        return (self.home / "log.txt").read_text()

    def key(self) -> str:
        """Return the key that it printed when it started last."""
        return str(re.findall(r"This is one of the tenant local: (\S+)", self.log())[-1])

    def members(self) -> list[int]:
        """Return the ids of the processes that were started."""
        assert self._process is not None
        group = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                # The third field after the name is the process group; a zombie is no process any more.
                if int(fields[2]) == self._process.pid and fields[0] != "Z":
                    group.append(int(entry.name))
        return group

    def interrupt(self, *, everybody: bool) -> int:
        """Press Ctrl-C: in a terminal every process of the group gets the signal, from a program often one alone. Return the exit code."""
        assert self._process is not None
        if everybody:
            os.killpg(self._process.pid, signal.SIGINT)
        else:
            self._process.send_signal(signal.SIGINT)
        return self._process.wait(timeout=15)

    def kill(self, *, api: bool = True, emulator: bool = True) -> None:
        """Kill the process that serves, its emulator, or both at once, without a chance to do anything."""
        assert self._process is not None
        own = self._process.pid
        for process in self.members():
            if api if process == own else emulator:
                os.kill(process, signal.SIGKILL)
        if api:
            self._process.wait(timeout=15)

    def ended(self) -> int:
        """Return the exit code of the process that serves, once it and all it started have ended. Fails if they do not."""
        assert self._process is not None
        code = self._process.wait(timeout=15)
        until = time.monotonic() + 5
        while self.members():
            assert time.monotonic() < until, self.members()
            time.sleep(0.02)
        return code

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.interrupt(everybody=True)
        self._log.close()

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return requests.post(f"{self.url}{path}", json=body, timeout=10, **options)

    def get(self, path: str) -> Any:
        return requests.get(f"{self.url}{path}", timeout=10).json()

    def register(self, url: str, trigger: dict[str, Any], **fields: Any) -> Any:
        request = {"url": url, "method": "POST", "headers": {"X-Test": "yes"}, "body": {"key": "value"}}
        answer = self.post("/jobs", {"name": "A job", "request": request, "trigger": trigger, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def wait_for(self, path: str, holds: Callable[[Any], bool], seconds: float) -> Any:
        """Return what a path shows once it is so. Fails after so many seconds."""
        until = time.monotonic() + seconds
        while True:
            shown = self.get(path)
            if holds(shown):
                return shown
            assert time.monotonic() < until, shown
            time.sleep(0.05)


@dataclass
class Got:
    """A request as the receiver got it."""

    at: datetime
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int


@dataclass
class Receiver:
    """An API that is called: answers 200 and `hello`, or what `answers` says for its path, in order, after so many seconds."""

    got: list[Got] = field(default_factory=list)
    answers: dict[str, list[int]] = field(default_factory=dict)
    answers_after: float = 0

    def __post_init__(self) -> None:
        receiver = self
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                at = datetime.now(UTC)
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                with lock:
                    planned = receiver.answers.get(self.path, [])
                    status = planned.pop(0) if planned else 200
                    receiver.got.append(Got(at, self.command, self.path, dict(self.headers), body, status))
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

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def to(self, path: str) -> list[Got]:
        return [got for got in self.got if got.path == path]

    def wait_for(self, path: str, count: int, seconds: float) -> list[Got]:
        """Return what came to a path once so many have. Fails after so many seconds."""
        until = time.monotonic() + seconds
        while len(self.to(path)) < count:
            assert time.monotonic() < until, f"{len(self.to(path))} of {count} came to {path}"
            time.sleep(0.02)
        return self.to(path)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def body_of(got: Got) -> Any:
    return json.loads(got.body)
