"""`chalice local` typed in a terminal: real processes, and a terminal that answers no queries."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.acceptance.laptop import ROOT, Laptop, free_port
from tests.soak import only_in_soak

pytestmark = [
    pytest.mark.xdist_group("typed"),
    pytest.mark.laptop("it is about a laptop's own command"),
]

CHALICE = str(Path(sys.executable).parent / "chalice")


class Terminal:
    """A terminal that runs a command. `text` is all that the command has written.

    Queries to the terminal are not answered.
    """

    def __init__(self, home: Path, *command: str, **variables: str) -> None:
        environment = {
            **os.environ,
            "TERM": "xterm-256color",
            "RESONA_HOME": str(home),
            **variables,
        }
        environment.pop("NO_COLOR", None)
        self.text, self._is_open = "", True
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            # Tests under `nohup` ignore it, and so would the command.
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            os.chdir(ROOT)
            os.execve(command[0], list(command), environment)

    def read_until(self, wanted: str, seconds: float = 60) -> str:
        """Return all that was shown until then; fails if it is not shown in time."""
        until = time.monotonic() + seconds
        while wanted not in self.text:
            assert time.monotonic() < until, self.text
            self._read(0.1)
        return self.text

    def _read(self, seconds: float) -> None:
        """Read what is shown within some time: a terminal that nobody reads holds up who writes to
        it.
        """
        if not self._is_open:
            time.sleep(seconds)
        elif select.select([self._fd], [], [], seconds)[0]:
            # Linux reports the end of the last process as an error.
            with contextlib.suppress(OSError):
                self.text += os.read(self._fd, 65536).decode()

    def press(self, key: str) -> None:
        os.write(self._fd, key.encode())

    def close(self) -> None:
        """Close the window."""
        os.close(self._fd)
        self._is_open = False

    def processes(self) -> list[int]:
        """Return the processes of the terminal's session that have not ended."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) == self.pid and fields[0] != "Z":
                    found.append(int(entry.name))
        return found

    def all_end(self, seconds: float = 15) -> None:
        until = time.monotonic() + seconds
        while self.processes():
            assert time.monotonic() < until, self.processes()
            self._read(0.05)

    def code(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        for process in self.processes():
            os.kill(process, signal.SIGKILL)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def typed(tmp_path: Path, port: int) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path, CHALICE, "local", "--port", str(port))
    yield terminal
    terminal.kill()


def test_the_command_as_typed_is_the_laptop_of_make_run(tmp_path: Path, port: int) -> None:
    made = Laptop(tmp_path)
    made.start()
    kept = made.request("POST", "/jobs", job("Kept", 3600, made.url)).json()["id"]
    assert made.interrupt(everybody=True) == 0
    made.close()
    terminal = Terminal(tmp_path, CHALICE, "local", "--port", str(port))
    try:
        assert f"Jobs and runs are kept in {tmp_path}." in terminal.read_until(
            "and then what came of it"
        )
        url = f"http://localhost:{port}"
        assert [one["id"] for one in requests.get(f"{url}/jobs", timeout=10).json()] == [kept]
        requests.post(f"{url}/jobs", json=job("Fires", 1, url), timeout=10).raise_for_status()
        shown = terminal.read_until("200  ", 20)
        assert re.search(
            (
                rf"^\d\d:\d\d:\d\d \x1b\[32m✓\x1b\[0m Fires  GET localhost:{port}/health  200  \d+ "
                rf"ms\r?$"
            ),
            shown,
            re.MULTILINE,
        )
        terminal.press("\x03")
        terminal.read_until("Stopping.")
        terminal.all_end()
        assert terminal.code() == 0
        assert "Traceback" not in terminal.text
        assert "Found " not in terminal.text
        assert not re.search(r"job_[0-9A-Z]{26}", terminal.text)
    finally:
        terminal.kill()


def job(name: str, delay: int, url: str) -> dict[str, object]:
    return {
        "name": name,
        "request": {"url": f"{url}/health", "method": "GET"},
        "trigger": {"delay": delay},
    }


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        ("dev", []),
        ("unheard-of", ["--no-autoreload"]),
        pytest.param("prod", [], marks=only_in_soak),
        pytest.param("unheard-of", [], marks=only_in_soak),
        pytest.param("dev", ["--no-autoreload"], marks=only_in_soak),
        pytest.param("prod", ["--no-autoreload"], marks=only_in_soak),
    ],
)
def test_the_stage_of_a_deploy_is_refused_in_a_sentence(
    tmp_path: Path, stage: str, options: list[str]
) -> None:
    command = [CHALICE, "local", "--stage", stage, *options, "--port", str(free_port())]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "RESONA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    sentence = (
        f"the stage {stage} is not served on a laptop: type `chalice local` alone, or `chalice "
        f"deploy --stage {stage}` to deploy it\n"
    )
    assert done.stdout == ""
    # Autoreload's watcher of Chalice fails aloud when another test deletes a file that it looks at.
    assert done.stderr.endswith(sentence)
    assert "--no-autoreload" not in options or done.stderr == sentence
    # Chalice's autoreload ends with 0 whatever its process ended with.
    assert done.returncode == (1 if options else 0)
    assert list(tmp_path.iterdir()) == []


def test_a_closed_terminal_ends_every_process(typed: Terminal) -> None:
    typed.read_until("and then what came of it")
    assert len(typed.processes()) == 3
    typed.close()
    typed.all_end()


def test_without_the_autoreload_that_started_it_it_ends(typed: Terminal) -> None:
    typed.read_until("and then what came of it")
    os.kill(typed.pid, signal.SIGKILL)
    typed.all_end()
    assert "Traceback" not in typed.text


@pytest.mark.parametrize("value", ["80000", "0", "-1", "abc", "8000x", "", " "])
def test_make_run_says_what_a_port_is(tmp_path: Path, value: str) -> None:
    """As `make` does it, without the environment that it would make."""
    recipe = subprocess.run(
        [
            "make",
            "--no-print-directory",
            "--dry-run",
            "--assume-old=.venv/serves",
            "run",
            f"PORT={value}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    command = recipe.stdout[recipe.stdout.index("case ") :]
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=ROOT,
        env={**os.environ, "RESONA_HOME": str(tmp_path), "PORT": value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"[^\n]*from 1 to 65535[^\n]*make run PORT=8000\n", done.stderr), (
        done.stderr
    )


def test_chalice_s_imports_do_not_question_the_terminal(tmp_path: Path) -> None:
    began = time.monotonic()
    terminal = Terminal(tmp_path, sys.executable, "-c", "import chalice.cli; print('imported')")
    text = terminal.read_until("imported")
    terminal.all_end()
    assert terminal.code() == 0
    assert "\x1b" not in text, (
        "infra/local/requirements.in pins blessed for that: is the environment an older one?"
    )
    assert time.monotonic() - began < 30
