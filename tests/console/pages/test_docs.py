"""The page of the API in a real browser: it is read, searched, copied from and tried."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.laptop import Laptop
from tests.console.conftest import key_that_may_only_read, violations

pytestmark = pytest.mark.xdist_group("console")
expect.set_options(timeout=20_000)


def go(page: Page, laptop: Laptop, address: str = "") -> None:
    """Open the page as if its address had been sent by a colleague."""
    page.goto("about:blank")
    page.goto(f"{laptop.url}/docs{address}")
    expect(page.locator(".operation").first).to_be_visible()


def operation(page: Page, name: str) -> Any:
    return page.locator(f"#{name}")


def tried(page: Page, name: str) -> Any:
    """Open the form of an operation, and return the operation."""
    shown = operation(page, name)
    shown.get_by_role("button", name="Try it").click()
    return shown


def test_every_route_is_there_with_its_fields_under_it_the_required_ones_first(
    page: Page, laptop: Laptop
) -> None:
    go(page, laptop)
    document = laptop.get("/openapi.json")
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            shown = operation(page, described["operationId"])
            expect(shown.locator(".route")).to_have_text(f"{method.upper()} {path}")
            for parameter in described["parameters"]:
                name = f"[id='{described['operationId']}.{parameter['name']}']"
                expect(shown.locator(name)).to_contain_text(parameter["name"])
    fields = operation(page, "create_job").locator(".told > .rows").last.locator("> li")
    names = fields.locator("> .name code").all_text_contents()
    assert names[:3] == ["name", "request", "trigger"]
    expect(fields.first).to_contain_text("string, 1 to 200 characters")
    expect(fields.first).to_contain_text("required")
    url = page.locator("[id='create_job.request.url']")
    expect(url).to_contain_text("http or https")
    expect(page.locator("#errors li")).to_have_count(len(document["components"]["responses"]))
    operation(page, "get_job").get_by_role("link", name="404").click()
    expect(page.locator("#NotFound")).to_contain_text("there is no such job")


def test_the_search_finds_a_field_that_is_folded_and_an_address_leads_to_one(
    page: Page, laptop: Laptop
) -> None:
    go(page, laptop)
    expect(page.locator("[id='get_job.200.misfire_grace']")).to_have_count(0)
    page.keyboard.press("/")
    page.keyboard.type("late sent misfire")
    found = page.locator(".found a").first
    expect(found).to_contain_text("misfire_grace")
    page.keyboard.press("Enter")
    expect(page.locator("[id='create_job.misfire_grace']")).to_be_in_viewport()
    page.get_by_role("searchbox").fill("no such word")
    expect(page.get_by_role("navigation", name="Contents")).to_contain_text("Nothing has these")
    go(page, laptop, "#get_run.200.attempts.response.truncated")
    expect(page.locator("[id='get_run.200.attempts.response.truncated']")).to_be_in_viewport()


def test_an_example_is_copied_in_the_language_that_was_chosen(page: Page, laptop: Laptop) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    go(page, laptop)
    shown = operation(page, "create_job")
    expect(shown.locator("pre").first).to_contain_text(f"curl -sS -X POST '{laptop.url}/jobs'")
    shown.get_by_text("Python", exact=True).click()
    expect(operation(page, "put_job").locator("pre").first).to_contain_text("requests.put(")
    shown.get_by_label("Example").select_option("Again and again")
    shown.get_by_role("button", name="Copy: Python").click()
    expect(shown.get_by_role("button", name="Copy: Python")).to_have_text("Copied")
    code = page.evaluate("navigator.clipboard.readText()")
    before = len(laptop.get("/jobs?name=Report"))
    exec(compile(code, "copied", "exec"), {"print": lambda *shown: None})
    assert len(laptop.get("/jobs?name=Report")) == before + 1
    page.reload()
    expect(operation(page, "health").locator("pre").first).to_contain_text("requests.get(")


def test_a_request_is_tried_on_this_very_laptop_and_the_code_follows_the_form(
    page: Page, laptop: Laptop
) -> None:
    go(page, laptop)
    shown = tried(page, "create_job")
    shown.get_by_label("Body").fill('{"name": ""}')
    expect(shown.locator("pre").first).to_contain_text('--data-raw \'{"name": ""}\'')
    shown.get_by_role("button", name="Send").click()
    expect(shown.locator(".got")).to_contain_text("422")
    expect(shown.locator("form .block")).to_contain_text("Unprocessable Content")
    shown.get_by_label("Example").select_option("At a date")
    shown.get_by_label("Idempotency-Key, optional").fill("tried once")
    expect(shown.locator("pre").first).to_contain_text("-H 'Idempotency-Key: tried once'")
    shown.get_by_role("button", name="Send").click()
    expect(shown.locator(".got")).to_contain_text("422")
    shown.get_by_label("Idempotency-Key, optional").fill("tried-once")
    shown.get_by_role("button", name="Send").click()
    expect(shown.locator(".got")).to_contain_text("201")
    (job,) = laptop.get("/jobs?name=Remind%20Ada")
    shown = tried(page, "delete_job")
    shown.get_by_label("job_id", exact=True).fill(job["id"])
    shown.get_by_role("button", name="Send").click()
    expect(shown.locator(".got")).to_contain_text("204")
    assert laptop.get("/jobs?name=Remind%20Ada") == []


def test_a_stage_is_tried_with_the_key_of_the_console_and_one_that_may_only_read_changes_nothing(
    page: Page, closed: Laptop
) -> None:
    go(page, closed, "#list_jobs")
    shown = tried(page, "list_jobs")
    shown.get_by_role("button", name="Send").click()
    expect(shown.locator(".got")).to_contain_text("401")
    expect(shown.locator("pre").first).to_contain_text('-H "Authorization: Bearer $RESONA_KEY"')
    shown.get_by_role("link", name="Give one").click()
    field = page.get_by_label("Key for “Try it”")
    field.fill("rsn_nonsense")
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#key-error")).to_contain_text("opens nothing here")
    field.fill(key_that_may_only_read(closed))
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#authentication")).to_contain_text("which may read")
    assert page.evaluate("Object.keys(sessionStorage)") == ["resona.key"]
    shown.get_by_role("button", name="Send").click()
    expect(shown.locator(".got")).to_contain_text("200")
    send = tried(page, "create_job").get_by_role("button", name="Send")
    expect(send).to_have_attribute("title", re.compile("may only read"))
    send.click(force=True)
    headers = {"Authorization": f"Bearer {closed.key()}"}
    assert closed.request("GET", "/jobs", headers=headers).json() == []
    page.get_by_role("link", name="Console").click()
    expect(page.locator(".banner")).to_contain_text("may only read")


def test_on_a_phone_the_title_is_first_and_nothing_is_wider_than_it(
    page: Page, laptop: Laptop
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    go(page, laptop)
    box = page.get_by_role("heading", level=1).bounding_box()
    assert box and box["y"] < 120
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    contents = page.get_by_role("button", name="Contents")
    contents.click()
    page.locator("#contents").get_by_role("link", name="GET /signing-secret").click()
    expect(operation(page, "get_signing_secret")).to_be_in_viewport()
    expect(contents).to_have_attribute("aria-expanded", "false")


def test_axe_finds_nothing_in_either_theme(page: Page, laptop: Laptop) -> None:
    go(page, laptop)
    shown = tried(page, "create_job")
    shown.get_by_role("button", name="Send").click()
    expect(shown.locator(".got")).to_be_visible()
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    # The other routes are drawn by the same parts, and would take axe half a minute.
    others = ".operation:not(#create_job, #get_job, #delete_jobs)"
    page.evaluate(f"for (const each of document.querySelectorAll('{others}')) each.remove()")
    page.wait_for_timeout(200)
    found = violations(page)
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("button", name="Contents").click()
    found += violations(page)
    assert found == []


def test_without_scripts_it_leads_to_the_document(chromium: Any, laptop: Laptop) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{laptop.url}/docs")
    page.get_by_role("link", name="openapi.json").click()
    expect(page.locator("body")).to_contain_text('"openapi":"3.1.0"')
    context.close()


def test_the_root_leads_a_browser_to_the_console(page: Page, laptop: Laptop) -> None:
    page.goto(laptop.url)
    expect(page).to_have_url(re.compile("/console"))
