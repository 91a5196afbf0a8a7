"""Everything is done by the keyboard alone: no test here uses the mouse, or sets a focus."""

from __future__ import annotations

import re
import secrets
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.laptop import Laptop
from tests.console.conftest import button, ended, go, registered
from tests.console.target import Target

pytestmark = pytest.mark.xdist_group("console 2")
# How many stops of the tab key a screen has at most.
FAR = 80


def reach(page: Page, wanted: Any) -> None:
    """Press the tab key until an element has the focus."""
    expect(wanted).to_be_visible()
    for _ in range(FAR):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the tab key does not reach {wanted}")


def press(page: Page, wanted: Any, key: str = "Enter") -> None:
    reach(page, wanted)
    page.keyboard.press(key)


def write(page: Page, wanted: Any, text: str) -> None:
    reach(page, wanted)
    page.keyboard.press("Control+a")
    page.keyboard.type(text)


def test_a_list_is_walked_and_a_job_is_opened(page: Page, laptop: Laptop, target: Target) -> None:
    job = {"name": "By keys", "request": {"url": target}, "trigger": {"cron": "0 3 * * *"}}
    laptop.request("PUT", "/jobs/key:by-keys", job)
    go(page, laptop, "/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Keyboard")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    for keys, heading in {
        "gr": "Runs",
        "gc": "Channels",
        "ga": "Calendars",
        "gf": "Flows",
        "gs": "Secrets and signing",
        "gj": "Jobs",
    }.items():
        for key in keys:
            page.keyboard.press(key)
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        expect(page.get_by_role("heading", level=1)).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("By keys")
    # The list of each shorter name comes and goes with its rows.
    expect(page).to_have_url(re.compile(r"name=By\+keys$"))
    expect(page.locator("tbody tr")).to_have_count(1)
    reach(page, page.get_by_label("Select all on this page"))
    page.keyboard.press("j")
    expect(page.locator("[data-row] [data-main]").first).to_be_focused()
    page.keyboard.press("x")
    expect(page.get_by_role("region", name="Selected jobs")).to_contain_text("1 selected")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("By keys")


def test_a_job_lives_from_its_form_to_its_deletion(
    page: Page, laptop: Laptop, target: Target
) -> None:
    heading = page.get_by_role("heading", level=1)
    go(page, laptop, "/")
    expect(heading).to_be_visible()
    page.keyboard.press("n")
    press(page, page.get_by_text("Paste a curl command"))
    write(page, page.get_by_label("curl command"), f"curl -X POST {target}/keys")
    write(page, page.get_by_label("Name", exact=True), "A life by keys")
    reach(page, page.get_by_role("radio", name="Cron"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    write(page, page.get_by_label("Seconds from now"), "3600")
    page.keyboard.press("Control+Enter")
    expect(heading).to_have_text("A life by keys")
    expect(heading).to_be_focused()
    press(page, button(page, "Pause…"))
    expect(page.get_by_label("Until (optional)")).to_be_focused()
    write(page, page.get_by_label("Reason (optional)"), "holidays")
    page.keyboard.press("Enter")
    expect(page.locator(".standing")).to_contain_text("holidays")
    press(page, button(page, "Resume"))
    press(page, button(page, "Run now"))
    run = page.locator(".runs a").first
    expect(run).to_contain_text("succeeded 200")
    press(page, run, " ")
    expect(page.locator(".attempt")).to_be_visible()
    press(page, page.get_by_role("link", name="Edit"))
    write(page, page.get_by_label("Name", exact=True), "Changed by keys")
    press(page, button(page, "Save changes"))
    expect(heading).to_have_text("Changed by keys")
    press(page, page.get_by_role("link", name="Duplicate"))
    press(page, button(page, "Register job"))
    expect(heading).to_have_text("Changed by keys copy")
    press(page, button(page, "Delete…"))
    press(page, page.get_by_role("dialog").get_by_role("button", name="Delete"))
    expect(heading).to_have_text("Jobs")
    assert [job["name"] for job in laptop.get("/jobs?name=Changed")] == ["Changed by keys"]


def test_many_are_paused_secrets_are_kept_and_the_theme_is_switched(
    page: Page, laptop: Laptop, target: Target
) -> None:
    for name in ("Row one", "Row two"):
        registered(laptop, target, name=name, trigger={"cron": "0 3 * * *"})
    go(page, laptop, "/jobs?name=Row")
    press(page, page.get_by_label("Select all on this page"), " ")
    press(page, button(page, "Pause…"))
    expect(page.get_by_label("Until (optional)")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("tbody .status.paused")).to_have_count(2)
    go(page, laptop, "/secrets")
    write(page, page.get_by_label("Name", exact=True), "by-keys")
    write(page, page.get_by_label("Value", exact=True), "secret")
    page.keyboard.press("Enter")
    press(page, button(page, "Delete by-keys…"))
    press(page, page.get_by_role("dialog").get_by_role("button", name="Delete by-keys"))
    expect(page.get_by_role("dialog")).to_have_count(0)
    press(page, button(page, "Rotate…"))
    press(page, page.get_by_role("dialog").get_by_role("button", name="Cancel"))
    expect(button(page, "Rotate…")).to_be_focused()
    laptop.request("DELETE", "/notices/by-keys")
    go(page, laptop, "/channels/new")
    write(page, page.get_by_label("Name", exact=True), "by-keys")
    write(page, page.get_by_label("URL", exact=True), target)
    press(page, page.get_by_label("Runs were missed"), " ")
    page.keyboard.press("Control+Enter")
    press(page, button(page, "Send a test to by-keys"))
    expect(page.locator(".channels")).to_contain_text("Test delivered")
    press(page, button(page, "Delete by-keys…"))
    press(page, page.get_by_role("dialog").get_by_role("button", name="Delete by-keys"))
    expect(page.locator(".channels li", has_text="by-keys")).to_have_count(0)
    press(page, page.get_by_role("button", name="System theme; switch"), " ")
    expect(page.get_by_role("button", name="Light theme; switch")).to_be_focused()


def test_spans_filters_and_copies_are_reached_and_keep_the_focus(
    page: Page, laptop: Laptop, target: Target
) -> None:
    # Another one if the test is tried again.
    name = f"keys-{secrets.token_hex(3)}"
    labels = {"team": name}
    job = registered(laptop, f"{target}/fails", name="Found by keys", labels=labels)
    ended(laptop, job)
    go(page, laptop, "/")
    span = page.get_by_role("link", name="7d")
    press(page, span)
    expect(page).to_have_url(re.compile("span=7d"))
    expect(span).to_have_attribute("aria-current", "true")
    expect(span).to_be_focused()
    for screen, row in (("jobs", "tbody tr"), ("runs", ".row")):
        go(page, laptop, f"/{screen}")
        label = page.get_by_label("Label, as key:value")
        write(page, label, "team")
        expect(page.get_by_text("Give key:value.")).to_be_visible()
        page.keyboard.type(f":{name}")
        expect(page.locator(row)).to_have_count(1)
        expect(page).to_have_url(re.compile(f"label=team%3A{name}"))
        expect(label).to_be_focused()
    press(page, button(page, "Since last night"))
    expect(page).to_have_url(re.compile(f"label=team%3A{name}&since="))
    expect(button(page, "Since last night")).to_be_focused()
    go(page, laptop, "/jobs?name=Found")
    press(page, page.get_by_role("link", name=f"team:{name}"))
    expect(page.get_by_role("searchbox")).to_have_value("")
    expect(page.get_by_label("Label, as key:value")).to_have_value(f"team:{name}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    go(page, laptop, f"/jobs/{job['id']}")
    copy = page.get_by_role("button", name="Copy as curl: the request as curl")
    press(page, copy)
    expect(copy).to_have_text("Copied")
    expect(copy).to_be_focused()
    assert f"{target}/fails" in page.evaluate("navigator.clipboard.readText()")
    # A text that is wider than its box is scrolled by the arrows.
    reach(page, page.get_by_role("region", name="the body that is sent"))
