"""Test `make acceptance`, as a process, against a laptop that requires keys."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chalicelib.domain.api_keys import new_key
from tests.acceptance.laptop import ROOT, Laptop, free_port

pytestmark = [
    pytest.mark.xdist_group("test_questions"),
    pytest.mark.laptop("it asks a laptop of its own"),
]


@pytest.fixture
def soak() -> None:
    # A fixture, since pytest would give the reason of a mark rather than that no stage can pass
    # this.
    if not os.environ.get("RESONA_SOAK"):
        pytest.skip("it takes minutes")


def begin(folder: Path, **variables: str) -> subprocess.Popen[str]:
    cleared = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RESONA_", "AWS_"))
    }
    environment = {
        **cleared,
        "RESONA_ANSWERS": str(folder),
        "RESONA_SHORT": "1",
        "PYTHONUNBUFFERED": "1",
        **variables,
    }
    command = [sys.executable, "-m", "tests.acceptance"]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def jobs_of(closed: Laptop) -> Any:
    return closed.request(
        "GET", "/jobs", headers={"Authorization": f"Bearer {closed.key()}"}
    ).json()


def answers_in(folder: Path) -> Any:
    (path,) = folder.glob("local-*.json")
    assert path.with_suffix(".md").exists()
    return json.loads(path.read_text())


def test_it_does_not_begin_where_nothing_answers(tmp_path: Path) -> None:
    output, _ = (
        process := begin(
            tmp_path, RESONA_URL="http://127.0.0.1:1", RESONA_KEY=new_key("local").text
        )
    ).communicate(timeout=60)
    assert (process.returncode, list(tmp_path.iterdir())) == (2, [])
    assert output == (
        "http://127.0.0.1:1 does not answer (ConnectionError): is it the URL that `make deploy` "
        "has printed?\n"
    )


@pytest.mark.usefixtures("soak")
@pytest.mark.parametrize(
    ("number", "after"),
    [(signal.SIGINT, "first call take"), (signal.SIGTERM, "How fast do create")],
)
def test_interrupted_it_deletes_what_it_has_registered_and_keeps_what_it_was_told(
    tmp_path: Path, closed: Laptop, number: int, after: str
) -> None:
    process = begin(
        tmp_path,
        RESONA_URL=closed.url,
        RESONA_KEY=closed.key(),
        RESONA_RECEIVER=f"http://127.0.0.1:{free_port()}",
    )
    assert process.stdout is not None
    # A pipe's lines are read as they come.
    next(line for line in process.stdout if after in line)
    assert jobs_of(closed) != []
    process.send_signal(number)
    process.communicate(timeout=120)
    assert (process.returncode, jobs_of(closed)) == (1, [])
    found = answers_in(tmp_path)
    assert found["ended"] == "interrupted"
    assert found["answers"][0]["status"] == "as assumed"


@pytest.mark.usefixtures("soak")
def test_a_laptop_passes(tmp_path: Path, closed: Laptop) -> None:
    served = {"RESONA_URL": closed.url, "RESONA_KEY": closed.key(), "RESONA_HOME": str(closed.home)}
    process = begin(tmp_path, **served, RESONA_RECEIVER=f"http://127.0.0.1:{free_port()}")
    output, _ = process.communicate(timeout=600)
    assert (process.returncode, jobs_of(closed)) == (0, []), output
    found = answers_in(tmp_path)
    assert (found["ended"], found["tests"]["failed_tests"]) == ("complete", [])
    statuses = {
        answer["name"]: answer["status"]
        for answer in found["answers"]
        if answer["status"] != "as assumed"
    }
    assert statuses == {"a repeated hour": "open", "wake by a schedule": "not asked"}
    assert closed.key() not in json.dumps(found)
