"""Flows: made, named by a job, what waits for one, and deleted."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.laptop import Laptop
from tests.console.conftest import button, go, registered, violations
from tests.console.target import Target

pytestmark = pytest.mark.xdist_group("console 2")


def test_a_flow_is_made_holds_runs_and_is_deleted(
    page: Page, laptop: Laptop, target: Target
) -> None:
    go(page, laptop, "/flows")
    page.get_by_role("link", name="New flow").click()
    page.get_by_label("Name", exact=True).fill("Slow!")
    button(page, "Save flow").click()
    expect(page.locator("#flow-error")).to_contain_text("must be 1 to 64 of")
    page.get_by_label("Name", exact=True).fill("slow")
    page.get_by_label("Requests at most").fill("1")
    page.get_by_label("In so many seconds").fill("3601")
    button(page, "Save flow").click()
    expect(page.locator("#rate-seconds-error")).to_contain_text("3600")
    expect(page.get_by_label("In so many seconds")).to_be_focused()
    page.get_by_label("In so many seconds").fill("3600")
    button(page, "Save flow").click()
    row = page.locator(".flows li", has_text="slow")
    expect(row).to_contain_text("At most 1 request in 1 h, evenly spaced.")
    job = registered(laptop, f"{target}/flow", name="Held", trigger={"cron": "0 3 * * *"})
    go(page, laptop, f"/jobs/{job['id']}/edit")
    page.get_by_text("More: what counts").click()
    page.get_by_label("Flow", exact=True).fill("slow")
    button(page, "Save changes").click()
    expect(page.locator(".fields")).to_contain_text("slow")
    said = page.locator(".said")
    button(page, "Run now").click()
    expect(said).to_have_text("The run was sent.")
    button(page, "Run now").click()
    expect(said).to_have_text("The run is queued.")
    held = "It waits, since its flow sends only so many in a time; it is sent in"
    expect(said).to_contain_text(held)
    expect(page.locator(".runs")).to_contain_text(held)
    page.get_by_role("combobox", name="Only runs with the status").select_option("queued")
    expect(page.locator(".runs [data-row]")).to_have_count(1)
    expect(page.get_by_role("button", name="Cancel… the run")).to_be_visible()
    go(page, laptop, "/flows")
    expect(row).to_contain_text("sends, 1 waits")
    button(page, "Pause slow").click()
    expect(row).to_contain_text("paused, 1 waits")
    limits = {"rate": {"requests": 1, "seconds": 3600, "burst": 1}, "concurrency": None}
    assert limits.items() <= laptop.get("/flows/slow").items()
    go(page, laptop, f"/jobs/{job['id']}")
    button(page, "Run now").click()
    expect(said).to_contain_text("It waits, since its flow is paused.")
    go(page, laptop, "/flows")
    row.get_by_role("link", name="Edit slow").click()
    page.get_by_label("Out at once at most").fill("0")
    button(page, "Save flow").click()
    expect(page.locator("#concurrency-error")).to_contain_text("at least 1")
    page.get_by_label("Out at once at most").fill("5")
    button(page, "Save flow").click()
    expect(row).to_contain_text("evenly spaced; at most 5 out at once.")
    # A change of its limits does not resume it.
    expect(row).to_contain_text("paused, 2 wait, 0 out")
    button(page, "Resume slow").click()
    expect(row).to_contain_text("sends")
    assert violations(page) == []
    row.get_by_role("button", name="Delete slow…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete slow").click()
    expect(row).to_have_count(0)
    laptop.request("DELETE", f"/jobs/{job['id']}")


def test_a_flow_stops_when_its_target_keeps_failing_and_goes_on(
    page: Page, laptop: Laptop, target: Target
) -> None:
    go(page, laptop, "/flows/new")
    page.get_by_label("Name", exact=True).fill("dead")
    page.get_by_label("Stop after so many failures in a row").fill("1001")
    button(page, "Save flow").click()
    expect(page.locator("#breaker-failures-error")).to_contain_text("1000")
    page.get_by_label("Stop after so many failures in a row").fill("1")
    page.get_by_label("Then try one every so many seconds").fill("600")
    assert violations(page) == []
    button(page, "Save flow").click()
    row = page.locator(".flows li", has_text="dead")
    expect(row).to_contain_text("Stops after a failure and then tries one every 10 min.")
    expect(row).to_contain_text("sends")
    once = {"retry": {"max_attempts": 1}, "flow": "dead"}
    job = registered(laptop, f"{target}/fails", name="Dead", trigger={"cron": "0 3 * * *"}, **once)
    go(page, laptop, f"/jobs/{job['id']}")
    button(page, "Run now").click()
    expect(page.locator(".runs")).to_contain_text("500")
    go(page, laptop, "/flows")
    expect(row).to_contain_text("ago, as its target kept failing; nothing waits")
    go(page, laptop, f"/jobs/{job['id']}")
    button(page, "Run now").click()
    waits = "It waits, since its flow is stopped, as its target kept failing."
    expect(page.locator(".said")).to_contain_text(waits)
    go(page, laptop, "/flows/dead")
    page.get_by_label("Stop after so many failures in a row").fill("")
    button(page, "Save flow").click()
    expect(row).to_contain_text("No limits.")
    expect(row).to_contain_text("sends")
    assert laptop.get("/flows/dead")["breaker"] is None
    laptop.request("DELETE", "/flows/dead")
    laptop.request("DELETE", f"/jobs/{job['id']}")
