"""A headless Chromium, laptops to show, and a target that answers by its path."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.laptop import ROOT, Laptop
from tests.console import browser as installed

# Invisible signs, one of which turns the order of those after it, and 16 KiB without a space.
HOSTILE = "<script>window.hit=1</script></textarea>\u202ejavascript:window.hit=1//" + "A" * 16_384


class _Target(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, kind, body = {
            "/fails": (500, "application/json", b'{"error": "database is locked"}'),
            "/hostile": (500, "text/html", HOSTILE.encode()),
            "/bytes": (200, "application/octet-stream", bytes(range(256))),
        }.get(self.path, (200, "application/json", b'{"ok": true, "amount": 1.10}'))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Sent", "<img src=x onerror=window.hit=1>")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer  # noqa: N815  http.server looks for these names

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def target() -> Iterator[str]:
    """Return the URL of what jobs call."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Target)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if installed.path() is None:
        pytest.skip(installed.HOW)
    with installed.chromium() as started:
        yield started


@pytest.fixture(scope="session")
def laptop(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    started = Laptop(tmp_path_factory.mktemp("console"))
    started.start()
    yield started
    started.close()


@pytest.fixture(scope="session")
def closed(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A Resona that asks for keys."""
    started = Laptop(tmp_path_factory.mktemp("closed"), AUTH="required")
    started.start()
    yield started
    started.close()


def key_that_may_only_read(laptop: Laptop) -> str:
    command = ["create", "--stage", "local", "--tenant", "local", "--scopes", "read"]
    done = subprocess.run(
        [sys.executable, "-m", "infra.keys", *command],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "RESONA_HOME": str(laptop.home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def registered(laptop: Laptop, url: str, **fields: Any) -> Any:
    """Register a job and return it."""
    once = {"max_attempts": 1}
    return laptop.register(url, fields.pop("trigger", {"delay": 0}), **{"retry": once, **fields})


def ended(laptop: Laptop, job: Any) -> Any:
    """Wait until a job has run, and return its last run."""
    return laptop.wait_for(f"/jobs/{job['id']}", lambda shown: shown["result"], 20)["result"]


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A tab that fails the test for an error in its console, such as a breach of the policy."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    tab = context.new_page()
    tab.set_default_timeout(20_000)
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text) if is_wrong(message) else None)
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("dialog", lambda dialog: said.append(dialog.message))
    yield tab
    assert said == []
    context.close()


def is_wrong(message: Any) -> bool:
    # Chromium reports each refusal of the API, which the page shows in words.
    refusals = ("status of 401", "status of 403", "status of 404", "status of 422", "status of 503")
    return message.type in ("error", "warning") and not any(
        refusal in message.text for refusal in refusals
    )


AXE = (Path(__file__).parent / "axe.min.js").read_text()


def violations(tab: Any) -> list[str]:
    """Return what axe-core finds wrong with the page as it is, in both themes."""
    until = time.monotonic() + 10
    while tab.locator(".loading").count():
        assert time.monotonic() < until, "it loads for ever"
        tab.wait_for_timeout(50)
    if not tab.evaluate("Boolean(window.axe)"):
        # Not a script of the page: the debugger's calls are not under its policy.
        tab.evaluate(f"(() => {{ {AXE}; }})()")
    tab.emulate_media(color_scheme="light")
    found = tab.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    # A theme changes colours alone.
    tab.emulate_media(color_scheme="dark")
    by_colour = "{runOnly: ['color-contrast', 'link-in-text-block'], resultTypes: ['violations']}"
    found += tab.evaluate(f"axe.run({by_colour})")["violations"]
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
    ]
