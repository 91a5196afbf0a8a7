"""`AUTH=required make run`, and the operator's keys on a laptop, as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from chalicelib.domain.api_keys import Key, read_key
from tests.acceptance.laptop import ROOT, Laptop
from tests.acceptance.served import Served

pytestmark = pytest.mark.xdist_group("test_keys")
on_a_laptop = pytest.mark.laptop("it starts a laptop, or makes keys in its cloud")


def operate(laptop: Laptop | Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    home = laptop.home if isinstance(laptop, Laptop) else laptop
    command = [sys.executable, "-m", "infra.keys", *arguments]
    environment = {**os.environ, "RESONA_HOME": str(home)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def create(laptop: Laptop, *arguments: str) -> Key:
    done = operate(laptop, "create", "--stage", "local", *arguments)
    key = read_key(done.stdout.strip(), "local")
    assert key is not None, done.stderr
    return key


def status(served: Served, key: str | None, method: str = "GET") -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    job = {
        "name": "A job",
        "request": {"url": "http://example.com/"},
        "trigger": {"delay": 600},
        "labels": served.labels,
    }
    body = job if method == "POST" else None
    return requests.request(
        method, f"{served.url}/jobs", headers=headers, json=body, timeout=served.timeout_seconds
    ).status_code


def test_where_keys_are_asked_for_its_key_opens_and_nothing_else(closed: Served) -> None:
    refused = requests.get(f"{closed.url}/jobs", timeout=closed.timeout_seconds)
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert status(closed, closed.key(), "POST") == 201
    assert status(closed, closed.key()) == 200


@on_a_laptop
def test_keys_of_the_operator_open_are_listed_and_are_dead_when_revoked(closed: Laptop) -> None:
    key, reader = (
        create(closed, "--tenant", "acme", "--expires", "90d"),
        create(closed, "--tenant", "acme", "--scopes", "read"),
    )
    assert status(closed, key.text, "POST") == 201
    assert (status(closed, reader.text), status(closed, reader.text, "POST")) == (200, 403)
    assert operate(closed, "revoke", "--stage", "local", reader.id).returncode == 0
    assert (status(closed, key.text), status(closed, reader.text)) == (200, 401)
    listed = operate(closed, "list", "--stage", "local", "--tenant", "acme")
    shown = {
        line.split()[0]: line.split()[1:3] + line.split()[-1:]
        for line in listed.stdout.splitlines()
    }
    assert shown == {
        "KEY": ["ID", "TENANT", "STATUS"],
        key.id: ["acme", "read,write", "active"],
        reader.id: ["acme", "read", "revoked"],
    }
    for secret in (key.secret, key.digest, reader.secret, reader.digest):
        assert secret not in listed.stdout + listed.stderr + closed.log()
    assert f"a call was refused: its key {reader.id} is revoked" in closed.log()


@on_a_laptop
def test_keys_survive_a_restart_and_so_does_the_laptop_s_own(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, AUTH="required")
    laptop.start()
    own, key = laptop.key(), create(laptop, "--tenant", "acme")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    laptop.kill()
    laptop.start()
    assert laptop.key() == own
    assert (status(laptop, own), status(laptop, key.text)) == (200, 200)
    assert operate(laptop, "revoke", "--stage", "local", own).returncode == 0
    laptop.interrupt(everybody=True)
    laptop.start()
    assert laptop.key() != own
    assert (status(laptop, own), status(laptop, laptop.key())) == (401, 200)
    laptop.close()
    stopped = operate(laptop, "list", "--stage", "local")
    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert stopped.stderr.startswith(
        f"Error: no Resona runs in {tmp_path}: start one with AUTH=required make run"
    )


@on_a_laptop
def test_a_laptop_without_auth_is_open_and_says_nothing_of_keys(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path)
    laptop.start()
    assert (status(laptop, None, "POST"), status(laptop, "rsn_nonsense")) == (201, 200)
    assert "rsn_" not in laptop.log()
    laptop.close()


@on_a_laptop
def test_a_slip_of_the_pen_does_not_leave_a_laptop_open(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path, AUTH="requierd")
    with pytest.raises(
        AssertionError, match="AUTH can only be `required`, or not be set; it is 'requierd'"
    ):
        laptop.start()
    laptop.close()


@on_a_laptop
def test_where_no_laptop_has_run_the_operator_is_told_what_to_do(tmp_path: Path) -> None:
    done = operate(tmp_path, "create", "--stage", "local", "--tenant", "acme")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"Error: no Resona runs in {tmp_path}: start one with AUTH=required make run"
    )
