"""Channels and notices: made, tested, changed and deleted; and who was told of what."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.laptop import Laptop
from tests.console.conftest import button, ended, go, key_that_may_only_read, registered
from tests.console.target import HOSTILE, Target

pytestmark = pytest.mark.xdist_group("console 2")


def test_a_channel_is_made_tested_changed_and_deleted(
    page: Page, laptop: Laptop, target: Target
) -> None:
    laptop.request("DELETE", "/notices/ops")
    go(page, laptop, "/channels")
    page.get_by_role("link", name="New channel").click()
    page.get_by_label("Name", exact=True).fill("ops")
    page.get_by_label("URL", exact=True).fill(f"{target}/told")
    page.get_by_label("Runs were missed").uncheck()
    page.get_by_label("failed runs in a row").fill("101")
    page.get_by_label("Only jobs with the label").fill("team")
    button(page, "Save channel").click()
    expect(page.locator("#after-error")).to_contain_text("100")
    expect(page.get_by_label("failed runs in a row")).to_be_focused()
    page.get_by_label("failed runs in a row").fill("3")
    page.get_by_label("Only jobs with the label").fill("team:crm")
    page.get_by_label("Digest, s").fill("120")
    button(page, "Save channel").click()
    row = page.locator(".channels li", has_text="ops")
    expect(row).to_contain_text("failures (from 3 in a row on), recoveries, pauses, flows that are")
    expect(row).to_contain_text("gathered for 2 min.")
    expect(row).to_contain_text("Only jobs with team:crm")
    made = laptop.get("/notices/ops")
    assert {name: made[name] for name in ("format", "events", "label", "after", "digest")} == {
        "format": "slack",
        "events": ["run.failed", "job.recovered", "job.paused", "flow.opened", "flow.closed"],
        "label": "team:crm",
        "after": 3,
        "digest": 120,
    }
    button(page, "Send a test to ops").click()
    expect(row).to_contain_text("Test delivered")
    assert [each for each in target.received if each.path == "/told"]
    expect(row).to_contain_text("a test.")
    row.get_by_role("link", name="Edit ops").click()
    page.get_by_text("JSON", exact=True).first.click()
    changed = {"url": f"{target}/elsewhere", "after": 7}
    assert laptop.request("PUT", "/notices/ops", changed).status_code == 200
    button(page, "Save channel").click()
    expect(page.get_by_role("alert")).to_contain_text("somebody else changed url, ")
    button(page, "Drop mine and show theirs").click()
    expect(page.get_by_label("failed runs in a row")).to_have_value("7")
    page.get_by_label("failed runs in a row").fill("8")
    button(page, "Save channel").click()
    expect(row).to_contain_text("failures (from 8 in a row on)")
    assert laptop.get("/notices/ops")["url"] == changed["url"]
    button(page, "Delete ops…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete ops").click()
    expect(row).to_have_count(0)


def test_who_was_told_of_a_failure_leads_to_its_run_and_hostile_names_stay_text(
    page: Page, laptop: Laptop, target: Target
) -> None:
    refused = {"url": f"{target}/gone", "label": "team:told"}
    assert laptop.request("PUT", "/notices/pager", refused).status_code == 200
    job = registered(laptop, f"{target}/hostile", name=HOSTILE[:120], labels={"team": "told"})
    run = ended(laptop, job)["run_id"]
    laptop.wait_for("/notices/pager", lambda channel: channel["last_delivery"], 20)
    go(page, laptop, "/channels")
    row = page.locator(".channels li", has_text="pager")
    expect(row).to_contain_text("not delivered")
    expect(row).to_contain_text("a run failed; the target answered 404.")
    go(page, laptop, f"/jobs/{job['id']}")
    page.get_by_role("link", name="Notices about it").click()
    notice = page.locator(".list li")
    expect(notice).to_contain_text("<script>window.hit=1</script>")
    expect(notice).to_contain_text("a run failed: the target answered 404")
    notice.locator(".row").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("run.failed: ")
    expect(page.locator(".runs")).to_contain_text("The target answered 404")
    expect(button(page, "Run now")).to_have_count(0)
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    page.get_by_role("link", name=re.compile("^Run of ")).click()
    expect(page.locator(".attempt")).to_contain_text("500")
    assert page.url.endswith(run)
    assert page.evaluate("window.hit") is None
    laptop.request("DELETE", "/notices/pager")


def test_a_key_that_may_only_read_sees_channels_and_runs_and_changes_nothing(
    page: Page, closed: Laptop, target: Target
) -> None:
    headers = {"Authorization": f"Bearer {closed.key()}"}
    channel = {"url": f"{target}/kept"}
    assert closed.request("PUT", "/notices/kept", channel, headers=headers).status_code == 200
    job = {"name": "Fails", "request": {"url": f"{target}/gone"}, "trigger": {"delay": 0}}
    made = closed.post("/jobs", job, headers=headers).json()["id"]
    go(page, closed, "/runs")
    page.get_by_label("Key", exact=True).fill(key_that_may_only_read(closed))
    button(page, "Use this key").click()
    expect(page.locator(".row")).to_contain_text("The target answered 404")
    for name in (re.compile("^Retry the run"), "Retry 1 failed or missed run…"):
        expect(page.get_by_role("button", name=name)).to_have_attribute("aria-disabled", "true")
    page.get_by_role("button", name=re.compile("^Retry the run")).click(force=True)
    page.get_by_role("link", name="Channels").click()
    row = page.locator(".channels li")
    expect(row).to_contain_text("delivered")
    for name in ("Send a test to kept", "Delete kept…"):
        expect(button(page, name)).to_have_attribute("aria-disabled", "true")
    button(page, "Send a test to kept").click(force=True)
    runs = closed.request("GET", f"/jobs/{made}/runs", headers=headers).json()
    assert len(runs) == 1
    sent = closed.request("GET", "/jobs?kind=notice", headers=headers).json()
    assert [each["labels"]["event"] for each in sent] == ["run.failed"]
