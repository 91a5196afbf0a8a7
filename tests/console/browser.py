"""The browser that the console's tests and pictures are made with.

`python -m tests.console.browser` installs Debian's Chromium if there is no browser.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW = "there is no Chromium; on Debian and Ubuntu: apt-get install chromium, then make browser"
# A browser that calls nobody but the page's own host.
_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


def path() -> str | None:
    """Return where a Chromium is; None if there is none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a headless Chromium, with a new profile."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path(), args=[*_FLAGS])
        yield browser
        browser.close()


def install() -> None:
    """Install Chromium by apt-get if it is missing and this is root; else say how to have it."""
    if path() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        options = ["--yes", "--no-install-recommends"]
        subprocess.run(["apt-get", "update"], check=False)
        subprocess.run(["apt-get", "install", *options, "chromium"], check=False)
    if path() is None:
        print(f"Left out: the tests of the console: {HOW}")


if __name__ == "__main__":
    install()
