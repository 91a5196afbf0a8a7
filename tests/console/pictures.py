"""`make pictures`: every screen and state of the console, and the page of the API.

Each is taken in both themes, wide and on a phone.

All of them are written to .build/pictures, to be looked at; those that the README shows to
docs/pictures as well. Names as arguments take only these.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, Page, Route, expect

from chalicelib.domain.cron import Cron
from tests.acceptance.laptop import ROOT, Laptop
from tests.bench.meter import MeteredEnvironment
from tests.console import browser, filled
from tests.console.conftest import button, key_that_may_only_read
from tests.console.target import HOSTILE, Target, called

FOLDER = ROOT / ".build" / "pictures"
SIZES = {"wide": (1280, 720), "phone": (390, 844)}
THEMES = ("light", "dark")
# Of the README and docs/console.md: the picture, its theme and its size.
SHOWN = {
    "overview-light": ("overview", "light", "wide"),
    "overview-phone": ("overview", "dark", "phone"),
    "run-dark": ("run", "dark", "wide"),
    "jobs-light": ("jobs-by-next-run", "light", "wide"),
    "channels-light": ("channels", "light", "wide"),
}
# Jobs that have run for a day: name, cron, labels, and how many of a hundred runs fail.
CRONS: tuple[tuple[str, str, dict[str, str], int], ...] = (
    ("Monthly statement", "0 6 1 * *", {"team": "billing"}, 0),
    ("Nightly backup", "30 2 * * *", {}, 0),
    ("Report", "0 9 * * 1-5", {}, 0),
    ("Clean sessions", "0 */6 * * *", {"team": "web"}, 0),
    ("Refresh search index", "5 * * * *", {"team": "shop"}, 0),
    ("Import orders", "*/10 8-19 * * *", {"team": "shop"}, 5),
    ("Sync stock", "*/15 * * * *", {"team": "shop"}, 3),
)
ONCE: list[dict[str, Any]] = [
    {"name": "Remind of order 17", "trigger": {"delay": 7200}, "key": "order-17"},
    {"name": "Send invoices", "trigger": {"delay": 0}, "labels": {"team": "billing"}},
    {"name": "Refresh exchange rates", "trigger": {"delay": 0}, "path": "/gone"},
    {"name": "Sync customers", "trigger": {"delay": 0}, "path": "/fails"},
]
# Channels: what each is told of, and the URL that is shown in the place of the target's.
CHANNELS: dict[str, dict[str, Any]] = {
    "billing": {"format": "slack", "label": "team:billing", "after": 3},
    "chat": {"format": "slack"},
    "pager": {"events": ["run.failed", "job.recovered"], "after": 2},
}
FLOWS = {
    "host:api.example.com": {"requests": 10, "seconds": 1, "burst": 5},
    "printer": {"requests": 1, "seconds": 3600},
    "reports": {"requests": 1, "seconds": 60},
}
CALENDARS: dict[str, dict[str, Any]] = {
    "holidays-de": {
        "timezone": "Europe/Berlin",
        "days": ["2026-01-01", "2026-04-03", "2026-12-24/2027-01-02", "2027-03-26", "2027-05-01"],
    },
    "weekends": {"timezone": "Europe/Berlin", "weekdays": ["sat", "sun"]},
}
SHOWN_URLS = {
    "billing": "https://chat.example.com/hooks/{{secret:chat}}",
    "chat": "https://hooks.slack.com/services/{{secret:slack}}",
    "pager": "https://pager.example.com/resona?key={{secret:pager_key}}",
}
# How long the laptop is off, so that one job is missed, in seconds.
OFF = 6
ALL_DAYS = frozenset(range(1, 32))
Prepare = Callable[[Page, dict[str, str]], None]


def nothing(tab: Page, ids: dict[str, str]) -> None:
    """Show the screen as it opens."""


def instead(glob: str, answer: Callable[[Route], None]) -> Prepare:
    """Have the API's answers changed on their way, and the page loaded anew."""

    def prepare(tab: Page, ids: dict[str, str]) -> None:
        tab.route(glob, answer)
        tab.reload()

    return prepare


def overdue(route: Route) -> None:
    """Answer that each active job was due a minute ago and more."""
    answer = route.fetch()
    jobs = answer.json()
    past = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(time.time() - 120))
    for job in jobs:
        if job["next_run_time"] and "0" in job["name"] + job["trigger"]["fields"].get("cron", ""):
            job["next_run_time"] = past
    route.fulfill(response=answer, body=json.dumps(jobs))


def with_urls(route: Route) -> None:
    """Answer with the channels as if they called the internet."""
    answer = route.fetch()
    channels = [{**channel, "url": SHOWN_URLS[channel["name"]]} for channel in answer.json()]
    route.fulfill(response=answer, body=json.dumps(channels))


def failing(route: Route) -> None:
    """Answer that Resona has paused the job."""
    answer = route.fetch()
    since = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(time.time() - 1800))
    job = {**answer.json(), "status": "paused", "pause_after": 5, "next_run_time": None}
    pause = {"since": since, "until": None, "reason": "failing", "by": "resona"}
    job |= {"pause": pause, "recent_runs": ["failed"] * 5}
    route.fulfill(response=answer, body=json.dumps(job))


def backfilled(route: Route) -> None:
    """Answer that a backfill is under way."""
    answer = route.fetch()
    backfill = {"from": "2026-11-16T00:00:00Z", "to": "2026-11-20T23:59:59Z", "runs": 5, "left": 3}
    route.fulfill(response=answer, body=json.dumps({**answer.json(), "backfill": backfill}))


def goes_away(tab: Page, ids: dict[str, str]) -> None:
    tab.route("**/jobs?*", lambda route: route.fulfill(status=503, body="{}"))
    expect(tab.get_by_role("alert").first).to_be_visible()


def wrong_form(tab: Page, ids: dict[str, str]) -> None:
    tab.get_by_label("URL", exact=True).fill("example.com")
    tab.locator("#trigger-cron").fill("61 9 * * 1")
    tab.locator("#timeout").fill("0")
    button(tab, "Add a header").click()
    tab.get_by_label("Name of header 1").fill("Bad name")
    button(tab, "Register job").click()
    expect(tab.locator(".is-wrong")).to_have_count(4)


def changed_meanwhile(tab: Page, ids: dict[str, str]) -> None:
    path = f"{tab.url.partition('/console')[0]}/jobs/{ids['cron']}"
    tab.get_by_label("Name", exact=True).fill("Mine")
    tab.request.patch(path, data={"name": "Theirs"})
    button(tab, "Save changes").click()
    expect(tab.get_by_role("alert")).to_be_visible()
    tab.request.patch(path, data={"name": "Sync stock"})


def tested(tab: Page, ids: dict[str, str]) -> None:
    button(tab, "Send a test to chat").click()
    expect(tab.locator(".channels")).to_contain_text("Test delivered")


def runs_selected(tab: Page, ids: dict[str, str]) -> None:
    tab.locator(".mends input").first.check()


def pasted(tab: Page, ids: dict[str, str]) -> None:
    tab.get_by_text("Paste a curl command").click()
    command = """curl -L https://api.example.com/report \\
  -H 'Content-Type: application/json' \\
  --data-raw '{"month": "November", "copies": 2}'"""
    tab.get_by_label("curl command").fill(command)


def opened(name: str) -> Prepare:
    return lambda tab, _ids: button(tab, name).click()


def selected(tab: Page, ids: dict[str, str]) -> None:
    tab.get_by_label("Select Report").check()
    tab.get_by_label("Select Clean sessions").check()


def more_of_form(tab: Page, ids: dict[str, str]) -> None:
    """Open what is folded in, give some of it, and have some refused."""
    for summary in tab.locator(".more summary").all():
        summary.click()
    tab.get_by_label("Not before").fill("2030-01-01T08:00")
    tab.get_by_label("Occurrences at most").fill("100")
    tab.get_by_label("Statuses that are a success").fill("200-299, 404")
    button(tab, "Add a JSON value").click()
    tab.get_by_label("Name of JSON value 1").fill("/state")
    tab.get_by_label("Value of JSON value 1").fill("done")
    tab.get_by_label("Delays between attempts, s").fill("5, 60, 600")
    tab.get_by_label("Never retried").fill("timeout, often")
    tab.get_by_label("Name", exact=True).fill("Statement")
    tab.get_by_label("URL", exact=True).fill("https://example.com/statement")
    button(tab, "Register job").click()
    expect(tab.locator("#retry-never-error")).not_to_be_empty()


def selected_to_pause(tab: Page, ids: dict[str, str]) -> None:
    selected(tab, ids)
    button(tab, "Pause…").click()


def with_feed(tab: Page, ids: dict[str, str]) -> None:
    tab.locator(".paste summary").click()


def with_key(tab: Page, ids: dict[str, str]) -> None:
    tab.get_by_label("Key", exact=True).fill(ids["key"])
    button(tab, "Use this key").click()
    expect(tab.get_by_label("Key", exact=True)).to_have_count(0)


def with_wrong_key(tab: Page, ids: dict[str, str]) -> None:
    tab.get_by_label("Key", exact=True).fill("rsn_nonsense")
    button(tab, "Use this key").click()
    expect(tab.locator("#key-error")).not_to_be_empty()


def searched(tab: Page, ids: dict[str, str]) -> None:
    tab.get_by_role("searchbox").fill("misfire")
    expect(tab.locator(".found a").first).to_be_visible()


def tried(tab: Page, ids: dict[str, str]) -> None:
    shown = tab.locator("#list_jobs")
    shown.get_by_role("button", name="Try it").click()
    shown.get_by_role("button", name="Send").click()
    expect(shown).to_contain_text("200")


@dataclass(frozen=True)
class State:
    """A screen, and what is done there before it is taken."""

    address: str
    prepare: Prepare = nothing
    # Which Resona: full, empty, closed to those without a key, or of a hostile user.
    of: str = "full"
    page: str = "console"
    is_loading: bool = field(default=False)


STATES = {
    "overview": State("/"),
    "overview-week": State("/?span=7d"),
    "overview-hour": State("/?span=1h"),
    "overview-empty": State("/", of="empty"),
    "overview-overdue": State("/", instead("**/jobs?sort=*", overdue)),
    "overview-loading": State("/", instead("**/runs?*", lambda _route: None), is_loading=True),
    "overview-gone": State("/", instead("**/runs?*", lambda route: route.abort())),
    "jobs": State("/jobs"),
    "jobs-empty": State("/jobs", of="empty"),
    "jobs-none-found": State("/jobs?name=Nobody"),
    "jobs-selected": State("/jobs", selected),
    "jobs-went-away": State("/jobs", goes_away),
    "jobs-by-next-run": State("/jobs?sort=next_run_time"),
    "runs": State("/runs?status=any"),
    "runs-failed": State("/runs", runs_selected),
    "runs-retry": State(
        "/runs?since=2026-01-01T00:00:00Z",
        lambda tab, _ids: tab.get_by_role("button", name="runs…").click(),
    ),
    "calendars": State("/calendars"),
    "calendars-empty": State("/calendars", of="empty"),
    "calendar-edit": State("/calendars/holidays-de/edit", with_feed),
    "flows": State("/flows"),
    "flow-edit": State("/flows/host:api.example.com/edit"),
    "channels": State("/channels", instead("**/notices", with_urls)),
    "channels-empty": State("/channels", of="empty"),
    "channels-tested": State("/channels", tested),
    "channel-form": State("/channels/new"),
    "channel-edit": State("/channels/pager/edit"),
    "notices": State("/notices"),
    "notices-none-found": State("/notices?label=job:none"),
    "notice": State("/notices/{notice}"),
    "notices-hostile": State("/notices", of="hostile"),
    "runs-none-found": State("/runs?status=skipped&since=2026-01-01T00:00:00Z"),
    "job": State("/jobs/{cron}"),
    "job-gone": State("/jobs/job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K"),
    "job-paused": State("/jobs/{paused}"),
    "job-skipped": State("/jobs/{skipped}"),
    "job-pause": State("/jobs/{cron}", opened("Pause…")),
    "jobs-pause": State("/jobs", selected_to_pause),
    "job-backfill": State("/jobs/{cron}", instead("**/jobs/job_*", backfilled)),
    "job-backfill-form": State("/jobs/{cron}", opened("Backfill…")),
    "job-failing": State("/jobs/{cron}", instead("**/jobs/job_*", failing)),
    "job-delete": State("/jobs/{cron}", opened("Delete…")),
    "run": State("/jobs/{failed}/runs/{failed run}"),
    "run-missed": State("/jobs/{missed}/runs/{missed run}"),
    "run-retrying": State("/jobs/{retrying}/runs/{retrying run}"),
    "run-waiting": State("/jobs/{waiting}/runs/{waiting run}"),
    "run-running": State("/jobs/{running}"),
    "run-held": State("/jobs/{held}", opened("Run now")),
    "run-hostile": State("/jobs/{hostile}/runs/{hostile run}", of="hostile"),
    "overview-hostile": State("/", of="hostile"),
    "runs-hostile": State("/runs", of="hostile"),
    "jobs-hostile": State("/jobs", of="hostile"),
    "run-bytes": State("/jobs/{bytes}/runs/{bytes run}"),
    "form": State("/jobs/new"),
    "form-first": State("/jobs/new?first=1", of="empty"),
    "form-wrong": State("/jobs/new", wrong_form),
    "form-more": State("/jobs/new", more_of_form, of="empty"),
    "form-pasted": State("/jobs/new", pasted),
    "form-edit": State("/jobs/{cron}/edit"),
    "form-changed-meanwhile": State("/jobs/{cron}/edit", changed_meanwhile),
    "secrets": State("/secrets"),
    "secrets-empty": State("/secrets", of="empty"),
    "secrets-shown": State("/secrets?language=curl", opened("Show the signing secret")),
    "keyboard": State("/", lambda tab, _ids: tab.keyboard.press("?")),
    "key": State("/", of="closed"),
    "key-wrong": State("/", with_wrong_key, of="closed"),
    "read-only": State("/jobs/{kept}", with_key, of="closed"),
    "lost": State("/nowhere"),
    "docs": State("", page="docs"),
    "docs-operation": State("create_job", page="docs"),
    "docs-found": State("", searched, page="docs"),
    "docs-tried": State("list_jobs", tried, page="docs"),
}


def begin(home: Path, target: Target) -> None:
    """Write the crons and their runs of the last day into the folder of a laptop."""
    env = MeteredEnvironment()
    env.now = datetime.now(UTC)
    dice = random.Random(7)
    for name, expression, labels, failing in CRONS:
        cron = Cron(expression, "Europe/Berlin")
        job_id = filled.register(env, name, cron, target, labels)
        runs: dict[datetime, bool] = {}
        # A rare one has run too.
        at = env.now - timedelta(days=1 if cron.fields.days == ALL_DAYS else 31)
        while (following := cron.next_after(at)) is not None and following < env.now:
            at = following
            runs[at] = dice.randrange(100) >= failing
        filled.record(env, job_id, runs or {env.now - timedelta(days=3): True})
    filled.write(env, home)


def fill(laptop: Laptop, target: Target) -> dict[str, str]:
    """Register jobs of every kind, wait until they have run, and return their ids."""
    ids = {job["name"]: job["id"] for job in laptop.get("/jobs")}
    quick = {"max_attempts": 3, "initial_delay": 1, "max_delay": 1}
    once = {"max_attempts": 1}
    missed = laptop.register(
        f"{target}/",
        {"delay": 3},
        name="Close the month",
        misfire_grace=1,
        labels={"team": "billing"},
    )
    for name, channel in CHANNELS.items():
        url = f"{target}/{'gone' if name == 'billing' else name}"
        laptop.request("PUT", f"/notices/{name}", {"url": url, **channel})
    for name, rate in FLOWS.items():
        laptop.request("PUT", f"/flows/{name}", {"rate": rate})
    for name, calendar in CALENDARS.items():
        laptop.request("PUT", f"/calendars/{name}", calendar)
    laptop.interrupt(everybody=True)
    # Longer than the misfire grace: the run that comes due meanwhile is missed.
    time.sleep(OFF)
    laptop.start()
    for job in ONCE:
        fields = {name: value for name, value in job.items() if name not in ("path", "trigger")}
        made = laptop.register(target + job.get("path", "/"), job["trigger"], retry=quick, **fields)
        ids[job["name"]] = made["id"]
    some_bytes = laptop.register(f"{target}/bytes", {"delay": 0}, name="Thumbnail", retry=once)
    slow = {"max_attempts": 3, "initial_delay": 3600}
    retrying = laptop.register(f"{target}/fails", {"delay": 0}, name="Export", retry=slow)
    calls = {"completion": "callback", "deadline": 3600}
    waiting = laptop.register(target, {"delay": 0}, name="Print the invoices", **calls)
    nightly = {"cron": "0 3 * * *"}
    held = laptop.register(target, nightly, name="Print the labels", flow="printer")
    for _ in range(3):
        laptop.post(f"/jobs/{held['id']}/run")
    running = laptop.register(f"{target}/slow", {"delay": 0}, name="Train the model", timeout=300)
    pause = {"until": f"{datetime.now(UTC) + timedelta(days=5):%Y-%m-%dT08:00:00Z}"}
    laptop.post(f"/jobs/{ids['Clean sessions']}/pause", {**pause, "reason": "the web team moves"})
    laptop.post(f"/jobs/{ids['Nightly backup']}/skip", {"count": 2})
    for name in ("crm-token", "pager_key"):
        laptop.request("PUT", f"/secrets/{name}", {"value": "x" * 20})
    since = f"{datetime.now(UTC) - timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}"
    laptop.wait_for(f"/runs?since={since}", lambda runs: len(runs) >= 3, 40)
    laptop.post("/notices/billing/test")
    shown = {
        "failed": ids["Sync customers"],
        "missed": missed["id"],
        "bytes": some_bytes["id"],
        "retrying": retrying["id"],
        "waiting": waiting["id"],
    }
    runs = {
        f"{name} run": laptop.wait_for(f"/jobs/{job}/runs", lambda runs: runs, 20)[0]["id"]
        for name, job in shown.items()
    }
    of_cron = {"cron": ids["Sync stock"], "paused": ids["Clean sessions"]}
    of_cron["skipped"] = ids["Nightly backup"]
    notices = laptop.wait_for("/jobs?kind=notice", lambda notices: len(notices) >= 3, 20)
    others = {"running": running["id"], "held": held["id"], "notice": notices[-1]["id"]}
    return {**shown, **runs, **of_cron, **others}


def attack(laptop: Laptop, target: Target) -> dict[str, str]:
    """Register a job whose name and answer are hostile, and return its id and its run's."""
    laptop.request("PUT", "/notices/all", {"url": f"{target}/hostile"})
    job = laptop.register(
        f"{target}/hostile",
        {"delay": 0},
        name=HOSTILE[:120],
        labels={"<b>": "</b>"},
        retry={"max_attempts": 1},
    )
    calls = {"completion": "callback", "deadline": 3600, "name": "Print the invoices"}
    long = laptop.register(f"{target}/long", {"delay": 0}, **calls)
    runs = laptop.wait_for("/runs", lambda runs: runs, 40)
    laptop.wait_for(
        f"/jobs/{long['id']}/runs", lambda found: found and found[0]["status"] == "waiting", 40
    )
    sent = next(each for each in target.received if each.path == "/long")
    said = {"status": "failed", "message": HOSTILE[:1000], "retry": False}
    requests.post(sent.headers["Resona-Complete-Url"], json=said, timeout=10)
    return {"hostile": job["id"], "hostile run": runs[0]["id"]}


def close(laptop: Laptop, target: Target) -> dict[str, str]:
    """Register a job where a key is asked for, and return its id and a key that may only read."""
    job = {"name": "Kept", "request": {"url": target}, "trigger": {"cron": "0 3 * * *"}}
    headers = {"Authorization": f"Bearer {laptop.key()}"}
    made = laptop.post("/jobs", job, headers=headers).json()
    return {"kept": made["id"], "key": key_that_may_only_read(laptop)}


Served = tuple[Laptop, dict[str, str]]


@contextmanager
def served(kinds: set[str]) -> Iterator[dict[str, Served]]:
    """Yield a laptop of each kind, and the ids of what is there."""
    settings = {"closed": {"AUTH": "required"}}
    made: dict[str, Callable[[Laptop, Target], dict[str, str]]] = {
        "full": fill,
        "closed": close,
        "hostile": attack,
    }
    with ExitStack() as stack:
        target = stack.enter_context(called())
        laptops = {}
        for kind in sorted(kinds):
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            if kind == "full":
                begin(home, target)
            laptop = Laptop(home, **settings.get(kind, {}))
            laptop.start()
            stack.callback(laptop.close)
            laptops[kind] = laptop, made[kind](laptop, target) if kind in made else {}
        yield laptops


def take(started: Browser, name: str, served: Served) -> None:
    """Write the pictures of a state."""
    state = STATES[name]
    laptop, ids = served
    tab = started.new_page(locale="en-GB", timezone_id="Europe/Berlin")
    tab.goto(f"{laptop.url}/{state.page}#{state.address.format(**ids)}")
    if not state.is_loading:
        expect(tab.locator(".loading")).to_have_count(0)
    state.prepare(tab, ids)
    if not state.is_loading:
        expect(tab.locator(".loading")).to_have_count(0)
    # The page of the API is as long as a book: what is seen of it without scrolling.
    whole = state.page == "console"
    for size, (width, height) in SIZES.items():
        tab.set_viewport_size({"width": width, "height": height})
        for theme in THEMES:
            tab.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            # Transitions end and fonts settle: a picture has no condition to wait for.
            if whole:
                tab.evaluate("scrollTo(0, 0)")
            time.sleep(0.3)
            tab.screenshot(path=FOLDER / f"{name}-{theme}-{size}.png", full_page=whole)
            for shown, of in SHOWN.items():
                if of == (name, theme, size):
                    tab.evaluate("document.activeElement.blur()")
                    tab.screenshot(path=ROOT / "docs" / "pictures" / f"{shown}.png")
    tab.unroute_all(behavior="ignoreErrors")
    tab.close()


def main(names: list[str]) -> None:
    """Take the pictures. Exits with a sentence where no browser is."""
    if browser.path() is None:
        sys.exit(browser.HOW)
    chosen = names or list(STATES)
    if not names:
        shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with served({STATES[name].of for name in chosen}) as laptops, browser.chromium() as started:
        for name in chosen:
            take(started, name, laptops[STATES[name].of])
    print(f"{len(chosen) * len(SIZES) * len(THEMES)} pictures in {FOLDER.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
