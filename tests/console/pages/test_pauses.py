"""A job is paused until a time and for a reason, and its next occurrences are skipped."""

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
    expect(page.locator(".standing")).to_contain_text("It stays so until it is resumed.")
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
    button(page, "Take back").click()
    expect(page.locator(".standing")).to_have_count(0)
    assert laptop.get(path)["skips"] == 0
