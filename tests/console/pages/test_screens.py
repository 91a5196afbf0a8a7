"""The console in a real browser, against a laptop: what people do there, and what they see."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.laptop import Laptop
from tests.console.conftest import button, ended, go, key_that_may_only_read, registered, violations
from tests.console.target import HOSTILE

pytestmark = pytest.mark.xdist_group("console")


def test_a_job_that_is_registered_by_the_form_fires_before_one_s_eyes(
    page: Page, laptop: Laptop, target: str
) -> None:
    if not laptop.get("/jobs"):
        go(page, laptop, "/")
        expect(page.get_by_role("heading", level=1)).to_have_text("There are no jobs yet")
        expect(page.locator("pre").first).to_contain_text("My first job")
    go(page, laptop, "/jobs/new")
    page.get_by_label("Name", exact=True).fill("Greeting")
    page.get_by_label("URL", exact=True).fill(f"{target}/greeting")
    button(page, "Add a header").click()
    page.get_by_label("Name of header 1").fill("X-Team")
    page.get_by_label("Value of header 1").fill("billing")
    page.get_by_text("JSON", exact=True).first.click()
    page.locator("#request-body").fill('{"amount": 1.10}')
    page.get_by_text("Delay", exact=True).click()
    page.get_by_label("Seconds from now").fill("2")
    button(page, "Register job").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Greeting")
    expect(page.locator(".runs")).to_contain_text("succeeded 200")
    page.locator(".runs a").first.click()
    expect(page.locator(".attempt")).to_contain_text('"amount": 1.10')
    expect(page).to_have_url(re.compile("/runs/run_"))
    (sent,) = [job for job in laptop.get("/jobs") if job["name"] == "Greeting"]
    assert sent["request"]["headers"] == {"X-Team": "billing"}


def test_the_first_screen_says_why_a_job_failed(page: Page, laptop: Laptop, target: str) -> None:
    job = registered(laptop, f"{target}/fails", name="Sync customers")
    ended(laptop, job)
    go(page, laptop, "/")
    row = page.locator(".row", has_text="Sync customers")
    expect(row).to_contain_text("The target answered 500")
    expect(page.get_by_role("heading", level=1)).to_contain_text("failed in the last 24 hours")
    row.click()
    expect(page.locator(".attempt pre")).to_contain_text("database is locked")


def test_a_wrong_cron_is_told_at_its_field_and_a_right_one_shows_five_times(
    page: Page, laptop: Laptop, target: str
) -> None:
    go(page, laptop, "/jobs/new")
    page.get_by_label("Name", exact=True).fill("Weekly")
    page.get_by_label("URL", exact=True).fill(f"{target}/weekly")
    cron = page.get_by_label("Cron", exact=True).last
    cron.fill("61 9 * * 1")
    wrong = {"trigger": {"cron": "61 9 * * 1"}}
    told = laptop.post("/triggers/preview", wrong).json()["errors"][0]["message"]
    expect(page.locator("#trigger-cron-error")).to_have_text(told)
    button(page, "Register job").click()
    expect(cron).to_be_focused()
    page.get_by_label("Time zone").fill("Europe/Berlin")
    cron.fill("30 2 * * *")
    expect(page.locator("#trigger-cron-error")).to_be_empty()
    expect(page.locator(".occurrences li")).to_have_count(5)
    expect(page.locator("#trigger-cron-note")).to_have_text("daily at 02:30")
    cron.press("Control+Enter")
    expect(page.locator(".facts")).to_contain_text("daily at 02:30, Berlin")


def test_a_job_is_paused_resumed_changed_duplicated_run_and_deleted(
    page: Page, laptop: Laptop, target: str
) -> None:
    job = registered(laptop, f"{target}/nightly", name="Nightly", trigger={"cron": "0 3 * * *"})
    path = f"/jobs/{job['id']}"
    go(page, laptop, path)
    button(page, "Pause…").click()
    button(page, "Pause").click()
    button(page, "Resume").click()
    expect(button(page, "Pause…")).to_be_visible()
    button(page, "Run now").click()
    expect(page.locator(".runs")).to_contain_text("by hand")
    expect(page.locator(".runs")).to_contain_text("succeeded 200")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Name", exact=True).fill("Nightly backup")
    expect(page.locator("aside pre").first).to_contain_text('{ "name": "Nightly backup" }')
    button(page, "Save changes").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Nightly backup")
    assert laptop.get(path)["request"] == job["request"]
    page.get_by_role("link", name="Duplicate").click()
    button(page, "Register job").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Nightly backup copy")
    button(page, "Delete…").click()
    expect(page.get_by_role("dialog")).to_contain_text("Nightly backup copy")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    assert [one["name"] for one in laptop.get("/jobs?name=Nightly")] == ["Nightly backup"]


def test_many_jobs_are_selected_and_paused_and_a_refresh_keeps_the_selection(
    page: Page, laptop: Laptop, target: str
) -> None:
    for name in ("Batch one", "Batch two"):
        registered(laptop, f"{target}/b", name=name, trigger={"cron": "0 3 * * *"})
    go(page, laptop, "/jobs")
    page.get_by_role("searchbox").fill("Batch")
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page).to_have_url(re.compile("name=Batch"))
    page.get_by_label("Select Batch one").check()
    registered(laptop, f"{target}/b", name="Batch three", trigger={"cron": "0 3 * * *"})
    expect(page.locator("tbody tr")).to_have_count(3)
    page.get_by_label("Select Batch two").check()
    button(page, "Pause…").click()
    page.get_by_label("Until (optional)").fill("2001-01-01T00:00")
    button(page, "Pause").click()
    expect(page.get_by_role("dialog")).to_contain_text("2 could not be: until")
    page.get_by_label("Until (optional)").fill("2035-01-01T00:00")
    button(page, "Pause").click()
    expect(page.get_by_text("2 jobs paused.")).to_be_visible()
    expect(page.locator("tbody")).to_contain_text("paused until Mon 1 Jan 2035, 00:00")
    expect(page.locator("tbody .status.paused")).to_have_count(2)
    page.get_by_role("combobox", name="Status").select_option("active")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_key_is_asked_for_and_one_that_may_only_read_changes_nothing(
    page: Page, closed: Laptop, target: str
) -> None:
    headers = {"Authorization": f"Bearer {closed.key()}"}
    made = {"name": "Kept", "request": {"url": target}, "trigger": {"cron": "0 3 * * *"}}
    job = closed.post("/jobs", made, headers=headers).json()
    go(page, closed, f"/jobs/{job['id']}")
    key = page.get_by_label("Key", exact=True)
    key.fill("rsn_nonsense")
    button(page, "Use this key").click()
    expect(page.locator("#key-error")).to_contain_text("opens nothing here")
    key.fill(key_that_may_only_read(closed))
    button(page, "Use this key").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Kept")
    run = button(page, "Run now")
    expect(run).to_have_attribute("aria-disabled", "true")
    expect(run).to_have_attribute("title", re.compile("may only read"))
    run.click(force=True)
    assert closed.request("GET", f"/jobs/{job['id']}/runs", headers=headers).json() == []
    assert page.evaluate("JSON.stringify(localStorage)") == "{}"
    assert page.evaluate("Object.keys(sessionStorage)") == ["resona.key"]
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Kept")
    expect(page.locator(".banner")).to_contain_text("may only read")


def test_what_a_target_or_a_user_wrote_is_shown_and_never_run(
    page: Page, laptop: Laptop, target: str
) -> None:
    name = HOSTILE[:150]
    job = registered(laptop, f"{target}/hostile", name=name, labels={"<b>": "</textarea>"})
    run = ended(laptop, job)
    screens = ("/", "/jobs", f"/jobs/{job['id']}/edit", f"/jobs/{job['id']}", "/runs", "/notices")
    for address in screens:
        go(page, laptop, address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator(".loading")).to_have_count(0)
        assert page.evaluate("window.hit") is None
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    go(page, laptop, f"/jobs/{job['id']}/runs/{run['run_id']}")
    body = page.locator(".attempt pre")
    expect(body).to_contain_text("<script>window.hit=1</script></textarea>U+202Ejavascript:")
    expect(page.locator(".attempt dl")).to_contain_text("<img src=x onerror=window.hit=1>")
    expect(page.get_by_role("heading", level=1)).to_contain_text("U+202E")
    assert page.evaluate("window.hit") is None
    links = page.evaluate("[...document.links].map(link => link.protocol)")
    assert set(links) == {"http:"}
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_axe_finds_nothing_on_any_screen_in_either_theme(
    page: Page, laptop: Laptop, target: str
) -> None:
    failed = registered(laptop, f"{target}/fails", name="Failed", labels={"team": "crm"})
    run = ended(laptop, failed)
    job = registered(
        laptop,
        f"{target}/c",
        name="Cron",
        trigger={"cron": "0 3 * * *"},
        key=f"axe-{len(laptop.get('/jobs'))}",
    )
    screens = {
        "/": ".row",
        "/jobs": "tbody tr",
        "/jobs?name=Nobody": ".empty",
        "/runs?status=any": ".row",
        "/channels": ".channels li",
        "/channels/axe/edit": ".check",
        "/notices": ".row",
        "/secrets": ".secrets li",
        f"/jobs/{job['id']}": ".fields",
        f"/jobs/{failed['id']}/runs/{run['run_id']}": ".attempt",
        "/jobs/new": ".occurrences li",
        f"/jobs/{job['id']}/edit": ".occurrences li",
        "/key": "h1",
        "/jobs/job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K": ".failure",
    }
    laptop.request("PUT", "/secrets/axe", {"value": "x"})
    laptop.request("PUT", "/notices/axe", {"url": f"{target}/axe"})
    laptop.post("/notices/axe/test")
    found: dict[str, list[str]] = {}
    for address, seen in screens.items():
        go(page, laptop, address)
        expect(page.locator(seen).first).to_be_visible()
        found[address] = violations(page)
    go(page, laptop, f"/jobs/{job['id']}")
    button(page, "Delete…").click()
    found["a confirmation"] = violations(page)
    go(page, laptop, "/runs")
    page.get_by_role("button", name="runs…").click()
    found["a retry of all"] = violations(page)
    go(page, laptop, "/jobs/new")
    for summary in page.locator(".more summary").all():
        summary.click()
    page.get_by_label("URL", exact=True).fill("nothing")
    button(page, "Register job").click()
    expect(page.locator("#request-url-error")).not_to_be_empty()
    found["a refused form"] = violations(page)
    laptop.request("DELETE", "/notices/axe")
    assert [f"{address} {each}" for address, told in found.items() for each in told] == []


def test_a_theme_that_is_chosen_stays(page: Page, laptop: Laptop) -> None:
    go(page, laptop, "/jobs")
    switch = page.get_by_role("button", name="System theme; switch")
    switch.click()
    page.get_by_role("button", name="Light theme; switch").click()
    page.reload()
    expect(page.get_by_role("button", name="Dark theme; switch")).to_be_visible()
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == "rgb(19, 20, 22)"


def test_a_resona_that_has_gone_is_told_and_what_was_seen_stays(
    page: Page, laptop: Laptop, target: str
) -> None:
    registered(laptop, f"{target}/g", name="Seen", trigger={"cron": "0 3 * * *"})
    go(page, laptop, "/jobs")
    expect(page.locator("tbody")).to_contain_text("Seen")
    page.route("**/jobs?*", lambda route: route.fulfill(status=503, body=json.dumps({})))
    expect(page.get_by_role("alert").first).to_contain_text("Resona answered 503")
    expect(page.locator("tbody")).to_contain_text("Seen")
    page.unroute("**/jobs?*")
    expect(page.get_by_role("alert")).to_have_count(0)
