"""schemathesis calls a laptop that requires keys by its OpenAPI document, with all checks.

No 5xx, no answer that is not described, nothing taken that the description forbids, nothing refused
that it allows without a reason, and nothing open to those without a key.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import app
from chalicelib.api.routing import operations
from tests.acceptance.laptop import ROOT, Laptop
from tests.acceptance.receivers import Receiver

pytestmark = [
    pytest.mark.xdist_group("test_description"),
    pytest.mark.laptop(
        "it calls every route with thousands of odd values, replaces the signing secret, and "
        "cannot clean up after itself"
    ),
]

IS_SOAK = bool(os.environ.get("RESONA_SOAK"))
EXAMPLES = 200 if IS_SOAK else 4
# Its phase "coverage" sends every limit of every field by itself, two thousand calls.
PHASES = "examples,coverage,fuzzing,stateful" if IS_SOAK else "examples,fuzzing,stateful"
MINUTES = 60 if IS_SOAK else 10


def test_schemathesis_finds_nothing(closed: Laptop, receiver: Receiver, tmp_path: Path) -> None:
    command = [
        *(
            str(Path(sys.executable).parent / "schemathesis"),
            "--config-file",
            str(ROOT / "tests/acceptance/schemathesis.toml"),
        ),
        *(
            "run",
            f"{closed.url}/openapi.json",
            "--header",
            f"Authorization: Bearer {closed.key()}",
            "--checks",
            "all",
        ),
        *(
            "--phases",
            PHASES,
            "--max-examples",
            str(EXAMPLES),
            "--continue-on-failure",
            "--no-color",
            "--workers",
            "2",
            "--request-timeout",
            "60",
        ),
        # `make test` is the same every time; a soak is another one.
        *(() if IS_SOAK else ("--seed", "1")),
    ]
    hooks = {
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": "tests.acceptance.schemathesis_hooks",
        "RESONA_TEST_TARGET": receiver.url,
    }
    # It keeps what it found where it is started.
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, **hooks},
        capture_output=True,
        text=True,
        check=False,
        timeout=60 * MINUTES,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # It leaves out the route that it has the description from.
    assert app.app.routes
    count = len(operations) - 1
    assert f"Selected: {count}/{count}\n  Tested: {count}\n" in done.stdout
    assert "a call failed in Resona itself" not in closed.log()
