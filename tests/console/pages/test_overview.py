"""The overview's axis, the runs of all jobs, and the order and the ticks of the list of jobs."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.laptop import Laptop
from tests.console.conftest import ended, go, registered
from tests.console.target import Target

pytestmark = pytest.mark.xdist_group("console")


def test_the_axis_counts_by_the_hour_and_leads_to_the_runs(
    page: Page, laptop: Laptop, target: Target
) -> None:
    failed = registered(laptop, f"{target}/fails", name="On the axis")
    ended(laptop, failed)
    registered(laptop, target, name="Soon", trigger={"delay": 3600})
    go(page, laptop, "/")
    now = page.locator("[data-column]:not(.is-ahead)").last
    expect(now).to_have_attribute("aria-label", re.compile(r"[1-9]\d* failed"))
    expect(page.locator(".is-ahead[aria-label*=' due']").first).to_be_visible()
    # One stop of the tab key, and arrows from there.
    now.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("[data-column]:not(.is-ahead)").nth(-2)).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#/runs.status=any&since=.*&until="))
    expect(page.locator(".row", has_text="On the axis")).to_be_visible()
    for span in ("1h", "7d"):
        go(page, laptop, f"/?span={span}")
        expect(now).to_have_attribute("aria-label", re.compile("failed"))
        expect(page.get_by_role("link", name=span)).to_have_attribute("aria-current", "true")


def test_runs_of_all_jobs_are_filtered_and_each_filter_has_an_address(
    page: Page, laptop: Laptop, target: Target
) -> None:
    labels = {"team": "runs"}
    ended(laptop, registered(laptop, f"{target}/gone", name="Gone", labels=labels))
    ended(laptop, registered(laptop, target, name="Fine", labels=labels))
    go(page, laptop, "/runs?label=team:runs")
    rows = page.locator(".row")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("The target answered 404; that is not retried.")
    page.get_by_role("combobox", name="Status").select_option("any")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("Fine")
    expect(page).to_have_url(re.compile("status=any&label=team%3Aruns"))
    page.get_by_label("Label, as key:value").fill("team")
    expect(page.get_by_text("Give key:value.")).to_be_visible()
    page.get_by_label("and before").fill("2026-01-01T00:00")
    expect(page.locator(".empty")).to_contain_text("No run matches")


def test_jobs_are_listed_by_their_next_run_and_show_how_their_last_runs_ended(
    page: Page, laptop: Laptop, target: Target
) -> None:
    labels = {"order": "due"}
    delays = {"Last": 9000, "First": 3000, "Second": 6000}
    jobs = {
        name: registered(laptop, target, name=name, labels=labels, trigger={"delay": delay})
        for name, delay in delays.items()
    }
    registered(laptop, target, name="Done", labels=labels)
    run = laptop.post(f"/jobs/{jobs['First']['id']}/run")
    assert run.status_code == 202
    ended(laptop, jobs["First"])
    go(page, laptop, "/jobs?label=order:due")
    expect(page.locator("tbody .what > a:first-child")).to_have_text(
        ["Done", "Second", "First", "Last"]
    )
    page.get_by_role("combobox", name="Order").select_option("next_run_time")
    expect(page.locator("tbody .what > a:first-child")).to_have_text(["First", "Second", "Last"])
    ticks = page.locator("tbody tr", has_text="First").get_by_role("img")
    expect(ticks).to_have_attribute("aria-label", "Last run: 1 succeeded; the newest succeeded")
    # Only active jobs are due: another status has another order.
    page.get_by_role("combobox", name="Status").select_option("completed")
    expect(page.locator("tbody .what > a:first-child")).to_have_text(["Done"])
    expect(page.get_by_role("combobox", name="Order")).to_have_value("")
