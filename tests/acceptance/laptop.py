"""Start and stop `chalice local --stage local`, as `make run` does, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

from tests.acceptance.served import Served

ROOT = Path(__file__).parent.parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Laptop(Served):
    """Resona in a folder of its own, started, stopped and killed as a user would."""

    def __init__(self, home: Path, **settings: str) -> None:
        """Take a folder, and what else is in the environment."""
        self.home = home
        self._settings = settings
        self.port = free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self._log = (home / "log.txt").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it, and return after how many seconds it served."""
        began = time.monotonic()
        command = [
            str(Path(sys.executable).parent / "chalice"),
            "local",
            "--stage",
            "local",
            "--no-autoreload",
            "--port",
            str(self.port),
        ]
        environment = {**os.environ, "RESONA_HOME": str(self.home), **self._settings}
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
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
                # The third field after the name is the process group; a zombie is no process any
                # more.
                if int(fields[2]) == self._process.pid and fields[0] != "Z":
                    group.append(int(entry.name))
        return group

    def interrupt(self, *, everybody: bool) -> int:
        """Press Ctrl-C: in a terminal every process of the group gets the signal, from a program
        often one alone. Return the exit code.
        """
        assert self._process is not None
        if everybody:
            os.killpg(self._process.pid, signal.SIGINT)
        else:
            self._process.send_signal(signal.SIGINT)
        return self._process.wait(timeout=15)

    def kill(self, *, api: bool = True, emulator: bool = True) -> None:
        """Kill the process that serves, its emulator, or both at once, without a chance to do
        anything.
        """
        assert self._process is not None
        own = self._process.pid
        for process in self.members():
            if api if process == own else emulator:
                os.kill(process, signal.SIGKILL)
        if api:
            self._process.wait(timeout=15)

    def ended(self) -> int:
        """Return the exit code of the process that serves, once it and all it started have ended.

        Fails if they do not.
        """
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
