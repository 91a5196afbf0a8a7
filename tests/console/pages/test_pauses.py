"""A job is paused for a reason, its next occurrences are skipped, and past ones are made up for."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.laptop import Laptop
from tests.console.conftest import button, go, registered, violations
from tests.console.target import Target

pytestmark = pytest.mark.xdist_group("console 2")


def test_a_pause_has_an_end_and_a_reason_that_can_be_changed(
    page: Page, laptop: Laptop, target: Target
) -> None:
    job = registered(laptop, target, name="Rests", trigger={"cron": "0 3 * * *"})
    path = f"/jobs/{job['id']}"
    go(page, laptop, path)
    button(page, "Pause…").click()
    until = page.get_by_label("Until (optional)")
    until.fill("2001-01-01T00:00")
    page.get_by_label("Reason (optional)").fill("holidays")
    button(page, "Pause").click()
    expect(page.locator("#until-error")).not_to_be_empty()
    expect(until).to_be_focused()
    assert violations(page) == []
    until.fill("2035-01-01T08:00")
    button(page, "Pause").click()
    expect(page.locator(".standing")).to_contain_text("holidays. It resumes by itself in")
    assert laptop.get(path)["pause"]["until"] == "2035-01-01T08:00:00Z"
    button(page, "Change the pause…").click()
    expect(page.get_by_label("Reason (optional)")).to_have_value("holidays")
    until.fill("")
    button(page, "Save").click()
    expect(page.locator(".standing")).to_contain_text("It stays paused until somebody resumes it.")
    button(page, "Resume").click()
    expect(page.locator(".standing")).to_have_count(0)


def test_the_next_occurrences_are_skipped_and_that_is_taken_back(
    page: Page, laptop: Laptop, target: Target
) -> None:
    job = registered(laptop, target, name="Skips", trigger={"cron": "0 3 * * *"})
    path = f"/jobs/{job['id']}"
    go(page, laptop, path)
    button(page, "Skip…").click()
    page.get_by_label("How many").fill("101")
    button(page, "Skip").click()
    expect(page.locator("#count-error")).to_contain_text("at most 100")
    page.get_by_label("How many").fill("2")
    button(page, "Skip").click()
    expect(page.locator(".standing")).to_contain_text("The next 2 occurrences are skipped.")
    assert laptop.get(path)["skips"] == 2
    button(page, "Undo").click()
    expect(page.locator(".standing")).to_have_count(0)
    assert laptop.get(path)["skips"] == 0


def test_past_occurrences_run_one_after_the_other_until_that_is_stopped(
    page: Page, laptop: Laptop, target: Target
) -> None:
    job = registered(laptop, f"{target}/past", name="Past", trigger={"cron": "0 3 * * *"})
    go(page, laptop, f"/jobs/{job['id']}")
    begin, end = page.get_by_label("From", exact=True), page.get_by_label("To", exact=True)
    button(page, "Backfill…").click()
    begin.fill("2020-01-01T00:00")
    button(page, "Backfill").click()
    expect(page.locator("#from-error, #to-error")).to_contain_text(["", "1,000"])
    begin.fill("2026-01-01T00:00")
    end.fill("2026-01-02T23:00")
    button(page, "Backfill").click()
    expect(page.locator(".runs")).to_contain_text("Thu 1 Jan, 03:00 backfill")
    expect(page.locator(".runs .status.succeeded")).to_have_count(2)
    laptop.request("PATCH", f"/jobs/{job['id']}", {"request": {"url": f"{target}/slow"}})
    button(page, "Backfill…").click()
    begin.fill("2026-01-01T00:00")
    end.fill("2026-01-02T23:00")
    button(page, "Backfill").click()
    expect(page.locator(".standing")).to_contain_text("0 of 2 have ended.")
    assert violations(page) == []
    button(page, "Stop").click()
    expect(page.locator(".standing")).to_have_count(0)
    assert laptop.get(f"/jobs/{job['id']}")["backfill"] is None
