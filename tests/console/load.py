"""`make load`: measure the console on a laptop with 10,000 jobs and 100,000 runs.

It prints what docs/console.md shows, and writes it there: each table in the place of the one with
the same first line. Times are those of this machine, with DynamoDB emulated beside; read units are
counted as DynamoDB bills them, by the same calls on the same jobs and runs in memory.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page, expect

from chalicelib.api.routing import LOCAL_TENANT, backend
from chalicelib.domain.calendars import MOST_CALENDARS
from chalicelib.domain.flows import MOST_FLOWS
from tests.acceptance.laptop import ROOT, Laptop
from tests.api.conftest import Api
from tests.bench.meter import MeteredEnvironment
from tests.console import browser, filled
from tests.console.target import called

PAGE = ROOT / "docs" / "console.md"
TIMES = 3
SLOWER = 4
# Each screen: its address, and what is there once it is drawn.
SCREENS = {
    "overview": ("/", ".row"),
    "overview, 7 days": ("/?span=7d", ".row"),
    "jobs": ("/jobs", "tbody tr"),
    "jobs, next run first": ("/jobs?sort=next_run_time", "tbody tr"),
    "jobs whose name begins with Report 99": ("/jobs?name=Report+99", "tbody tr"),
    "jobs with a label": ("/jobs?label=team:crm", "tbody tr"),
    "runs that failed": ("/runs", ".row"),
    "runs of every status": ("/runs?status=any", ".row"),
    "a job": ("/jobs/{job}", ".runs .row"),
    "a run": ("/jobs/{job}/runs/{run}", ".attempt"),
    "channels": ("/channels", ".channels li"),
    "notices": ("/notices", ".row"),
    "notices of a job": ("/notices?label=job:{job}", ".empty"),
    "calendars": ("/calendars", ".calendars li"),
    "flows": ("/flows", ".flows li"),
    "jobs that are paused": ("/jobs?status=paused", "tbody tr"),
    "secrets": ("/secrets", ".empty"),
}
_WATCH = """
  window.watched = {longest: 0, seen: null, event: 0};
  new PerformanceObserver((list) => {
    for (const each of list.getEntries()) {
      watched.longest = Math.max(watched.longest, each.duration);
    }
  }).observe({type: "longtask", buffered: true});
  new PerformanceObserver((list) => {
    for (const each of list.getEntries()) watched.event = Math.max(watched.event, each.duration);
  }).observe({type: "event", durationThreshold: 16, buffered: true});
  const look = () => {
    if (document.querySelector("%s") && !document.querySelector(".loading")) {
      watched.seen = performance.now();
    } else requestAnimationFrame(look);
  };
  look();
"""
_TIMES = """() => {
  const assets = performance.getEntriesByType("resource").filter(
    (each) => each.name.includes("/console/"));
  const paints = performance.getEntriesByType("paint");
  return {
    ...watched,
    after: watched.seen - Math.max(...assets.map((each) => each.responseEnd)),
    paint: paints.find((each) => each.name === "first-contentful-paint")?.startTime,
  };
}"""


@dataclass(frozen=True)
class Opened:
    """A screen as it was opened: times in milliseconds, and the paths that were asked for."""

    seen: float
    after: float
    paint: float
    longest: float
    paths: list[str]


def opened(started: Browser, url: str, address: str, seen: str, slower: int = 1) -> Opened:
    """Open a screen in a new tab, as someone who has been there before."""
    tab = started.new_page(viewport={"width": 1280, "height": 800}, locale="en-GB")
    tab.add_init_script(_WATCH % seen)
    _slow_down(tab, slower)
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url.removeprefix(url)))
    tab.goto(f"{url}/console#{address}")
    # Playwright's own waiting evaluates a text, which the console's policy forbids.
    for _ in range(1200):
        if tab.evaluate("watched.seen"):
            break
        tab.wait_for_timeout(50)
    times = tab.evaluate(_TIMES)
    paths = [path for path in asked if not path.startswith("/console")]
    tab.close()
    return Opened(times["seen"], times["after"], times["paint"], times["longest"], paths)


def _slow_down(tab: Page, slower: int) -> None:
    session = tab.context.new_cdp_session(tab)
    session.send("Emulation.setCPUThrottlingRate", {"rate": slower})


def middle(found: list[Opened]) -> Opened:
    """Return the one of several whose content came in the median time."""
    at = median(each.after for each in found)
    return min(found, key=lambda each: abs(each.after - at))


def acts(started: Browser, url: str, slower: int = 1) -> Iterator[tuple[str, float, float]]:
    """Yield what is done on the list of jobs, its longest task and its longest event."""
    tab = started.new_page(viewport={"width": 1280, "height": 800}, locale="en-GB")
    tab.add_init_script(_WATCH % "tbody tr")
    _slow_down(tab, slower)
    tab.goto(f"{url}/console#/jobs")
    rows = tab.locator("tbody tr")
    expect(rows).to_have_count(50)
    todo: dict[str, Callable[[], object]] = {
        "scroll to the end": lambda: _scroll(tab),
        "select all on the page": lambda: tab.get_by_label("Select all on this page").check(),
        "type a name": lambda: _type(tab),
        "open a job": lambda: rows.first.locator("[data-main]").click(),
        "ask for a pause": lambda: tab.get_by_role("button", name="Pause…").click(),
        "ask for a backfill": lambda: _ask_for_a_backfill(tab),
        "go to the overview": lambda: tab.get_by_role("link", name="Overview").click(),
        "show 7 days": lambda: tab.get_by_role("link", name="7d").click(),
        "go to the runs that failed": lambda: tab.get_by_role(
            "link", name="Runs", exact=True
        ).click(),
        "select all runs on the page": lambda: tab.get_by_label("Select all on this page").check(),
    }
    for what, act in todo.items():
        tab.evaluate("watched.longest = watched.event = 0")
        act()
        tab.wait_for_timeout(1500)
        expect(tab.locator(".loading")).to_have_count(0, timeout=30_000)
        watched = tab.evaluate("watched")
        yield what, watched["longest"], watched["event"]
    tab.close()


def _scroll(tab: Page) -> None:
    for _ in range(15):
        tab.mouse.wheel(0, 400)
        tab.wait_for_timeout(50)


def _type(tab: Page) -> None:
    tab.get_by_role("searchbox").press_sequentially("Report 12", delay=60)


def _ask_for_a_backfill(tab: Page) -> None:
    tab.keyboard.press("Escape")
    tab.get_by_role("button", name="Backfill…").click()
    tab.keyboard.press("Escape")


def arrange(env: MeteredEnvironment) -> None:
    """Make as many calendars and flows as there may be, and pause jobs for a page."""
    backend.use(env.scheduling, stage="local")
    api = Api(env)
    days = [f"2027-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]
    for number in range(MOST_CALENDARS):
        api.call("PUT", f"/calendars/calendar-{number}", {"days": days})
    for number in range(MOST_FLOWS):
        api.call("PUT", f"/flows/flow-{number}", {"rate": {"requests": 10, "burst": 5}})
    for job in api.call("GET", "/jobs?limit=50&label=team:web").json:
        assert api.call("POST", f"/jobs/{job['id']}/pause").status == 200


@contextmanager
def served(jobs: int) -> Iterator[tuple[Laptop, MeteredEnvironment, dict[str, str]]]:
    """Yield a laptop with all jobs and runs, the same in memory, and the ids of one of each."""
    with called() as target, tempfile.TemporaryDirectory() as home:
        env = MeteredEnvironment()
        env.now = datetime.now(UTC)
        env.secrets.signing(LOCAL_TENANT, env.now)
        filled.fill(env, target, jobs)
        filled.tell(env, target)
        arrange(env)
        filled.write(env, Path(home))
        laptop = Laptop(Path(home))
        laptop.start()
        run = laptop.get("/runs?status=any&limit=1")[0]
        yield laptop, env, {"job": run["job_id"], "run": run["id"]}
        laptop.close()


def read_units(env: MeteredEnvironment, paths: list[str]) -> float:
    """Return how many read units some calls take."""
    backend.use(env.scheduling, stage="local")
    api = Api(env)
    env.cloud.taken()
    for path in paths:
        answer = api.call("GET", path)
        assert answer.status == 200, answer.text
    return env.cloud.taken().reads


def tables(
    laptop: Laptop, env: MeteredEnvironment, ids: dict[str, str], started: Browser
) -> Iterator[list[str]]:
    """Yield the tables, as lines of Markdown."""
    screens: list[str] = []
    slow: list[str] = []
    for name, (address, seen) in SCREENS.items():
        path = address.format(**ids)
        found = [opened(started, laptop.url, path, seen) for _ in range(TIMES)]
        one, units = middle(found), read_units(env, found[-1].paths)
        screens.append(
            f"| {name} | {len(one.paths)} | {units:,.1f} | {one.after:.0f} | {one.longest:.0f} |"
        )
        if name == "overview":
            screens.append(_watched(env, one.paths))
        if name in ("overview", "jobs", "a run"):
            throttled = middle(
                [opened(started, laptop.url, path, seen, SLOWER) for _ in range(TIMES)]
            )
            slow.append(f"| open: {name} | {throttled.paint:.0f} | {throttled.seen:.0f} |  |")
    yield [
        "| screen | requests | read units | shown after the assets, ms | longest task, ms |",
        "|---|---|---|---|---|",
        *screens,
    ]
    yield [
        "| on the list of 10,000 jobs | longest task, ms |",
        "|---|---|",
        *(f"| {what} | {longest:.0f} |" for what, longest, _ in acts(started, laptop.url)),
    ]
    columns = "first paint, ms | shown, ms | to the next paint, ms"
    acted = acts(started, laptop.url, SLOWER)
    yield [
        f"| with a processor {SLOWER} times slower | {columns} |",
        "|---|---|---|---|",
        *slow,
        *(f"| {what} |  |  | {event:.0f} |" for what, _, event in acted),
    ]


def _watched(env: MeteredEnvironment, paths: list[str]) -> str:
    """Return the row of a minute in which the overview is left open on a stage."""
    often = {"/runs?": 6, "/jobs?sort": 6, "/runs/hours": 1}
    units = requests = 0.0
    for path in paths:
        times = next((many for begins, many in often.items() if path.startswith(begins)), 0)
        units, requests = units + times * read_units(env, [path]), requests + times
    return f"| overview, each minute it is left open | {requests:.0f} | {units:,.1f} | | |"


def replaced(text: str, table: list[str]) -> str:
    """Return a page with a table in the place of the one with the same first line."""
    rows = re.compile(rf"^{re.escape(table[0])}\n(?:\|.*\n)*", re.MULTILINE)
    assert len(rows.findall(text)) == 1, f"{PAGE.name} has no table that begins with {table[0]}"
    return rows.sub(lambda _: "\n".join(table) + "\n", text)


def main(jobs: int) -> None:
    """Measure, print, and write if all jobs are there. Exits with a sentence without a browser."""
    if browser.path() is None:
        sys.exit(browser.HOW)
    with served(jobs) as (laptop, env, ids), browser.chromium() as started:
        text = PAGE.read_text(encoding="utf-8")
        for table in tables(laptop, env, ids, started):
            print("\n".join(table), end="\n\n", flush=True)
            text = replaced(text, table)
    if jobs == filled.JOBS:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else filled.JOBS)
