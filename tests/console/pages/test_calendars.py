"""Calendars: made, changed, named by a job and deleted."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.laptop import Laptop
from tests.console.conftest import button, go, violations
from tests.console.target import Target

FEED = """BEGIN:VCALENDAR
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:20350501
END:VEVENT
END:VCALENDAR"""
pytestmark = pytest.mark.xdist_group("console 2")


def test_a_calendar_is_made_named_by_a_job_changed_and_deleted(
    page: Page, laptop: Laptop, target: Target
) -> None:
    go(page, laptop, "/calendars")
    page.get_by_role("link", name="New calendar").click()
    page.get_by_label("Name", exact=True).fill("holidays")
    page.get_by_label("Saturdays").check()
    dates = page.get_by_label("Dates", exact=True)
    dates.fill("2035-12-25\n2035-12-32")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    button(page, "Save calendar").click()
    expect(page.locator("#days-error")).to_contain_text("entry 2: must be a date")
    expect(dates).to_be_focused()
    assert violations(page) == []
    dates.fill("2035-12-25\n2035-12-27/2036-01-02")
    button(page, "Save calendar").click()
    row = page.locator(".calendars li", has_text="holidays")
    expect(row).to_contain_text("Saturdays and 2 dates or ranges, by the clocks of Berlin.")
    expect(row).to_contain_text("Next: 2035-12-25, 2035-12-27 to 2036-01-02.")
    assert laptop.get("/calendars/holidays")["days"] == ["2035-12-25", "2035-12-27/2036-01-02"]
    row.get_by_role("link", name="Edit holidays").click()
    page.get_by_text("Take a holiday feed").click()
    page.get_by_label("Holiday feed", exact=True).fill("no feed")
    button(page, "Save calendar").click()
    expect(page.get_by_role("alert")).not_to_be_empty()
    page.get_by_label("Holiday feed", exact=True).fill(FEED)
    button(page, "Save calendar").click()
    expect(row).to_contain_text("Next: 2035-05-01.")
    expect(row).to_contain_text("by the clocks of Berlin.")
    go(page, laptop, "/jobs/new")
    page.get_by_label("Name", exact=True).fill("Not then")
    page.get_by_label("URL", exact=True).fill(f"{target}/not")
    page.get_by_text("More: begin").click()
    exclude = page.get_by_label("Not on the days of calendars")
    exclude.fill("holidays, nothing")
    expect(page.locator("#trigger-exclude-error")).to_contain_text("nothing")
    exclude.fill("holidays")
    expect(page.locator("#trigger-exclude-error")).to_be_empty()
    button(page, "Register job").click()
    expect(page.locator(".facts")).to_contain_text("not on days of holidays")
    go(page, laptop, "/calendars")
    row.get_by_role("button", name="Delete holidays…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete holidays").click()
    expect(row.get_by_role("alert")).to_contain_text("1 job names this calendar")
    (job,) = laptop.get("/jobs?name=Not+then")
    laptop.request("DELETE", f"/jobs/{job['id']}")
    row.get_by_role("button", name="Delete holidays…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete holidays").click()
    expect(page.locator(".empty")).to_have_text("There are no calendars yet.")
