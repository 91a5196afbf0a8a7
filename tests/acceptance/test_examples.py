"""Run the calls that README shows, unchanged except for the ports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.acceptance.laptop import Laptop, free_port
from tests.acceptance.receivers import Receiver
from tests.pages import README, ROOT, blocks, section

pytestmark = [
    pytest.mark.xdist_group("test_examples"),
    pytest.mark.laptop("the examples call localhost"),
]


@dataclass
class Terminals:
    """What somebody types into: where Resona serves, and where the receiver is to listen."""

    laptop: Laptop
    receiver_port: int

    def typed(self, block: str) -> str:
        """Return an example with the ports that are used here."""
        assert "8000" in block or "9000" in block
        return block.replace("8000", str(self.laptop.port)).replace("9000", str(self.receiver_port))

    def run(self, block: str) -> list[Any]:
        """Run an example, and return the JSON documents that it prints. Fails if a call fails."""
        done = subprocess.run(
            ["sh", "-euc", self.typed(block)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        shown = list(documents(done.stdout))
        assert [one for one in shown if "title" in one] == [], "a problem document"
        return shown


def documents(text: str) -> Iterator[Any]:
    """Yield the JSON documents that stand one after the other in a text."""
    while text := text.strip():
        document, end = json.JSONDecoder().raw_decode(text)
        yield document
        text = text[end:]


@pytest.fixture(scope="module")
def terminals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminals]:
    laptop = Laptop(tmp_path_factory.mktemp("examples"))
    laptop.start()
    yield Terminals(laptop, free_port())
    laptop.close()


def test_the_first_sixty_seconds_are_as_the_readme_tells(
    terminals: Terminals, tmp_path: Path
) -> None:
    receive, serve, register, look = blocks(section(README, "Sixty seconds"), "sh")
    # The laptop of these tests is started by what `make run` types.
    typed = subprocess.run(
        ["make", "--dry-run", *serve.split()[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert "chalice local" in typed.stdout

    printed = tmp_path / "printed.txt"
    with printed.open("w") as output:
        receiver = subprocess.Popen(
            ["sh", "-euc", terminals.typed(receive)],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        (job,) = terminals.run(register)
        assert job["status"] == "active"
        due = datetime.fromisoformat(job["next_run_time"])
        until = time.monotonic() + 30
        while terminals.run(look)[0][0]["status"] == "active":
            assert time.monotonic() < until, terminals.laptop.log()
            time.sleep(0.2)
    finally:
        os.killpg(receiver.pid, signal.SIGTERM)
        receiver.wait(timeout=10)

    ((shown,),) = terminals.run(look)
    assert (shown["id"], shown["status"]) == (job["id"], "completed")
    assert (shown["result"]["status_code"], shown["result"]["body"]) == (200, "hello")
    assert abs((datetime.fromisoformat(shown["result"]["started_at"]) - due).total_seconds()) < 5
    text = printed.read_text()
    assert '{"key":"value"}' in text.replace(" ", "")
    assert f"Resona-Job-Id: {job['id']}" in text
    assert "webhook-signature: v1," in text


def test_the_recipe_of_a_report_can_be_repeated(terminals: Terminals) -> None:
    report, *_ = blocks(section(README, "Recipes"), "sh")
    (first,) = terminals.run(report)
    (again,) = terminals.run(report)
    assert first["id"] == again["id"]
    at_nine = datetime.fromisoformat(first["next_run_time"]).astimezone(ZoneInfo("Europe/Berlin"))
    assert (at_nine.hour, at_nine.minute, at_nine.weekday() < 5) == (9, 0, True)
    terminals.laptop.delete(f"/jobs/{first['id']}")


def test_the_recipe_of_a_reminder_registers_once_and_cancels(terminals: Terminals) -> None:
    _, reminder, *_ = blocks(section(README, "Recipes"), "sh")
    register, separator, cancel = reminder.partition("\ncurl -s -X DELETE")
    assert separator
    (first,) = terminals.run(register)
    (again,) = terminals.run(register)
    assert (first["id"], first["status"]) == (again["id"], "active")
    assert terminals.run(separator + cancel) == []
    assert terminals.laptop.request("GET", f"/jobs/{first['id']}").status_code == 404


def test_the_recipe_of_a_retry_retries_each_failed_run_once(terminals: Terminals) -> None:
    *_, retry, _ = blocks(section(README, "Recipes"), "sh")
    url = f"http://localhost:{free_port()}/closed"
    document = {"name": "Fails", "request": {"url": url}, "trigger": {"delay": 0}}
    job = terminals.laptop.post("/jobs", {**document, "retry": {"max_attempts": 1}}).json()
    until = time.monotonic() + 30
    while terminals.laptop.get(f"/jobs/{job['id']}")["status"] == "active":
        assert time.monotonic() < until, terminals.laptop.log()
        time.sleep(0.2)
    failed, first = terminals.run(retry)
    assert [run["job_id"] for run in failed] == [job["id"]]
    assert first == {"retried": 1, "left": 0}
    listed, again = terminals.run(retry)
    assert [run["cause"] for run in listed][-1] == "schedule"
    assert listed[-1]["retried_by"] == f"{failed[0]['id']}-r1"
    # The retry may have failed meanwhile, and is then retried itself.
    assert again["retried"] <= 1
    terminals.laptop.delete(f"/jobs/{job['id']}")


def test_the_recipe_of_slack_makes_a_channel_that_hides_its_secret(terminals: Terminals) -> None:
    *_, slack = blocks(section(README, "Recipes"), "sh")
    *_, channel = terminals.run(slack)
    assert (channel["name"], channel["format"]) == ("slack", "slack")
    assert channel["url"] == "https://hooks.slack.com/services/{{secret:slack}}"
    terminals.laptop.delete("/notices/slack")
    terminals.laptop.delete("/secrets/slack")


@pytest.mark.parametrize("body", [{"key": "value"}, "plain text", None])
def test_the_recipe_of_a_receiver_verifies_what_is_sent(
    terminals: Terminals, receiver: Receiver, body: Any
) -> None:
    (recipe,) = blocks(section(README, "Recipes"), "python")
    secret = terminals.laptop.get("/signing-secret")["secret"]
    names: dict[str, Any] = {}
    exec(recipe.replace("whsec_...", secret), names)
    request = {"url": receiver.address("/signed"), "body": body}
    job = terminals.laptop.post(
        "/jobs", {"name": "Signed", "request": request, "trigger": {"delay": 0}}
    ).json()
    (got,) = receiver.wait_for([job], 1, 20)
    assert names["is_from_resona"](got.body, got.headers)
    assert not names["is_from_resona"](got.body + b"!", got.headers)
    terminals.laptop.delete(f"/jobs/{job['id']}")


def test_no_example_of_the_readme_is_left_out() -> None:
    """Those that deploy are parsed in tests/test_readme.py."""
    calls = [block for block in blocks(README, "sh") if "localhost" in block or "127" in block]
    run = blocks(section(README, "Sixty seconds"), "sh") + blocks(section(README, "Recipes"), "sh")
    assert [block for block in calls if block not in run] == []
