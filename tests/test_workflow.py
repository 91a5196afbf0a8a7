"""The GitHub workflow runs what .ci/run runs, with pinned actions and read-only permissions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PATH = ROOT / ".github" / "workflows" / "ci.yml"
TEXT = PATH.read_text()
WORKFLOW: dict[str | bool, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]


def test_every_action_is_pinned_by_a_commit_beside_its_release() -> None:
    used = re.findall(r"uses: (.+)", TEXT)
    assert used
    assert [
        action
        for action in used
        if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    ] == []
    assert len({action.partition("@")[0] for action in used}) == len(set(used)), (
        "one action, one commit"
    )


def test_a_run_may_read_the_repository_and_nothing_else() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "secrets." not in TEXT
    assert not any("permissions" in job for job in JOBS.values())
    # `on` is a truth value to YAML 1.1.
    assert "pull_request_target" not in WORKFLOW[True]
    checkouts = [
        step
        for job in JOBS.values()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/checkout@")
    ]
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)


@pytest.mark.parametrize("name", JOBS)
def test_every_job_ends(name: str) -> None:
    assert 5 <= JOBS[name]["timeout-minutes"] <= 90


def test_github_runs_what_ci_runs_and_the_audit() -> None:
    steps = [step.get("run", "") for job in JOBS.values() for step in job["steps"]]
    commands = {command for step in steps for command in re.findall(r"make ([a-z0-9]+)", step)}
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert (
        {
            *re.findall(r"^make ([a-z0-9]+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE),
            "audit",
        }
        <= commands
        <= targets
    )
