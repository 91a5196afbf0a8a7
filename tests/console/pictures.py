"""`make pictures`: the console's pictures in docs/pictures, of a laptop with failed jobs."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.acceptance.laptop import ROOT, Laptop
from tests.console import browser

FOLDER = ROOT / "docs" / "pictures"
SIZES = {"wide": (1280, 720), "phone": (390, 844)}
# Each picture: its screen, its theme and its size.
PICTURES = {
    "overview-light": ("/", "light", "wide"),
    "overview-phone": ("/", "dark", "phone"),
    "run-dark": ("/jobs/{failed}/runs/{run}", "dark", "wide"),
    "jobs-light": ("/jobs", "light", "wide"),
}
JOBS: list[dict[str, Any]] = [
    {"name": "Monthly statement", "trigger": {"cron": "0 6 1 * *"}, "labels": {"team": "billing"}},
    {"name": "Nightly backup", "trigger": {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}},
    {"name": "Clean sessions", "trigger": {"cron": "0 */6 * * *"}, "labels": {"team": "web"}},
    {"name": "Report", "trigger": {"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"}},
    {"name": "Sync stock", "trigger": {"cron": "*/15 * * * *"}, "labels": {"team": "shop"}},
    {"name": "Remind of order 17", "trigger": {"delay": 7200}, "key": "order-17"},
    {"name": "Send invoices", "trigger": {"delay": 0}, "labels": {"team": "billing"}},
    {"name": "Warm the cache", "trigger": {"delay": 0}},
    {"name": "Refresh exchange rates", "trigger": {"delay": 0}, "path": "/gone"},
    {"name": "Sync customers", "trigger": {"delay": 0}, "path": "/fails"},
]
ANSWERS = {
    "/fails": (500, b'{"error": "database is locked"}'),
    "/gone": (404, b'{"error": "gone"}'),
}


class _Target(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, body = ANSWERS.get(self.path, (200, b'{"sent": 128}'))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = _answer  # noqa: N815  http.server looks for this name

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def shown() -> Iterator[Laptop]:
    """Yield a laptop with jobs, some of which have failed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Target)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        laptop = Laptop(Path(folder))
        laptop.start()
        retry = {"max_attempts": 3, "initial_delay": 1, "max_delay": 1}
        for job in JOBS:
            url = f"http://localhost:{server.server_port}{job.get('path', '/')}"
            fields = {name: value for name, value in job.items() if name != "path"}
            laptop.register(url, **{"retry": retry, **fields})
        laptop.wait_for("/runs", lambda runs: len(runs) == len(ANSWERS), 30)
        yield laptop
        laptop.close()
    server.shutdown()


def take(laptop: Laptop) -> None:
    """Write every picture."""
    run = laptop.get("/runs")[0]
    names = {"failed": run["job_id"], "run": run["id"]}
    with browser.chromium() as started:
        for name, (address, theme, size) in PICTURES.items():
            width, height = SIZES[size]
            dark = theme == "dark"
            tab = started.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if dark else "light",
                locale="en-GB",
                timezone_id="Europe/Berlin",
            )
            tab.goto(f"{laptop.url}/console#{address.format(**names)}")
            tab.locator(".row, tbody tr").first.wait_for()
            expect(tab.locator(".loading")).to_have_count(0)
            # Transitions end and fonts settle: a picture has no condition to wait for.
            time.sleep(0.5)
            tab.screenshot(path=FOLDER / f"{name}.png")
            tab.close()


def main() -> None:
    """Take the pictures. Exits with a sentence where no browser is."""
    if browser.path() is None:
        sys.exit(browser.HOW)
    with shown() as laptop:
        take(laptop)


if __name__ == "__main__":
    main()
