"""A job whose target calls back: its form, its run that waits, and what the target said."""

from __future__ import annotations

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.acceptance.laptop import Laptop
from tests.console.conftest import button, go, registered
from tests.console.target import Target

pytestmark = pytest.mark.xdist_group("console 2")


def test_a_run_waits_for_the_callback_that_the_form_asked_for(
    page: Page, laptop: Laptop, target: Target
) -> None:
    job = registered(laptop, f"{target}/long", name="Long", trigger={"cron": "0 3 * * *"})
    path = f"/jobs/{job['id']}"
    go(page, laptop, f"{path}/edit")
    page.get_by_text("More: what counts").click()
    page.get_by_label("An attempt ends").select_option("when the target calls back")
    page.get_by_label("Must call back within, s").fill("59")
    button(page, "Save changes").click()
    expect(page.locator("#deadline-error")).to_contain_text("at least 60")
    page.get_by_label("Must call back within, s").fill("600")
    button(page, "Save changes").click()
    expect(page.locator(".fields")).to_contain_text("by callback, within 10 min of each")
    button(page, "Run now").click()
    run = page.locator(".runs [data-row]").first
    expect(run).to_contain_text("The target answered 200 and must call back by")
    expect(run).to_contain_text(", in 9 min")
    page.get_by_role("combobox", name="Only runs with the status").select_option("waiting")
    expect(run.get_by_role("button", name="Cancel… the run")).to_be_visible()
    run.locator("[data-main]").click()
    expect(page.locator(".opened")).to_contain_text("Must call back by")
    expect(page.locator(".attempt .status.waiting")).to_have_text("200")
    run.locator("[data-main]").click()
    (sent,) = [each for each in target.received if each.path == "/long"]
    said = {"status": "succeeded", "message": "118 sent"}
    requests.post(sent.headers["Resona-Complete-Url"], json=said, timeout=10)
    expect(run).to_have_count(0)
    page.get_by_role("combobox", name="Only runs with the status").select_option("")
    expect(run).to_contain_text("succeeded 200")
    run.locator("[data-main]").click()
    expect(page.locator(".attempt")).to_contain_text("The target said: 118 sent")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("An attempt ends").select_option("with the target's answer")
    button(page, "Save changes").click()
    expect(page.locator(".fields")).not_to_contain_text("by callback")
    assert "completion" not in laptop.get(path)
