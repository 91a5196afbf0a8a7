"""A headless Chromium, laptops to show, and a target that answers by its path."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.acceptance.laptop import ROOT, Laptop
from tests.console import browser as installed
from tests.console.target import Target, called


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    """Return what jobs call."""
    with called() as url:
        yield url


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


def go(tab: Any, laptop: Laptop, address: str) -> None:
    """Open an address as if it had been sent by a colleague."""
    tab.goto("about:blank")
    tab.goto(f"{laptop.url}/console#{address}")


def button(tab: Any, name: str) -> Any:
    """Return the button with exactly this name."""
    return tab.get_by_role("button", name=name, exact=True)


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A tab. The test fails for an error in its console, such as a breach of the policy, and for a
    request to another host.
    """
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    tab = context.new_page()
    tab.set_default_timeout(20_000)
    expect.set_options(timeout=20_000)
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text) if is_wrong(message) else None)
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda asked: said.append(asked.url) if is_elsewhere(asked.url) else None)
    tab.on("dialog", lambda dialog: said.append(dialog.message))
    yield tab
    assert said == []
    context.close()


def is_elsewhere(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "data:"))


def is_wrong(message: Any) -> bool:
    # Chromium reports each refusal of the API, which the page shows in words.
    refusals = [f"status of {status}" for status in (400, 401, 403, 404, 409, 412, 422, 503)]
    return message.type in ("error", "warning") and not any(
        refusal in message.text for refusal in refusals
    )


def ask_module(tab: Any, laptop: Laptop, script: str, function: str, values: list[Any]) -> Any:
    """Return what a function of one of the console's scripts returns for each value."""
    tab.goto(f"{laptop.url}/console")
    return tab.evaluate(
        f"""async values => {{
          const name = document.querySelector("script[type=module]").src;
          const module = await import(name.replace("app.js", "{script}"));
          return values.map((value) => ({function})(value));
        }}""",
        values,
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
