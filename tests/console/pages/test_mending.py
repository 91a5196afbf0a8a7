"""Runs that went wrong are retried, one, some or all; and runs that wait are cancelled."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.acceptance.laptop import Laptop
from tests.console.conftest import button, ended, go, registered
from tests.console.target import Target

pytestmark = pytest.mark.xdist_group("console")


def test_a_run_and_its_retry_lead_to_each_other_and_a_waiting_one_is_cancelled(
    page: Page, laptop: Laptop, target: Target
) -> None:
    job = registered(laptop, f"{target}/fails", name="Mended")
    run = ended(laptop, job)["run_id"]
    go(page, laptop, f"/jobs/{job['id']}/runs/{run}")
    button(page, "Retry").click()
    page.locator(".opened").get_by_role("link", name=f"{run}-r1").click()
    expect(page.locator(".opened").get_by_role("link", name=run, exact=True)).to_be_visible()
    go(page, laptop, f"/jobs/{job['id']}/runs/{run}")
    expect(button(page, "Retry")).to_have_attribute("aria-disabled", "true")
    expect(page.locator(".opened")).to_contain_text("It was retried")
    waits = {"max_attempts": 3, "initial_delay": 3600}
    waiting = registered(laptop, f"{target}/fails", name="Waits", retry=waits)
    go(page, laptop, f"/jobs/{waiting['id']}")
    page.get_by_role("button", name="Cancel… the run").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    expect(page.locator(".runs")).to_contain_text("then it was cancelled")
    expect(page.locator(".runs [data-main]")).to_be_focused()
    page.get_by_role("button", name="Retry the run").click()
    expect(page.locator(".runs")).to_contain_text("Retried")
    assert len(laptop.get(f"/jobs/{waiting['id']}/runs")) == 2


def test_runs_are_selected_by_keys_and_retried_and_then_the_rest(
    page: Page, laptop: Laptop, target: Target
) -> None:
    jobs = [
        registered(laptop, f"{target}/fails", name=f"Lot {number}", labels={"lot": "1"})
        for number in range(3)
    ]
    for job in jobs:
        ended(laptop, job)
    go(page, laptop, "/runs?label=lot:1")
    button(page, "Since last night").click()
    expect(button(page, "Retry 3 failed or missed runs…")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("x")
    button(page, "Retry 1 selected").click()
    page.get_by_role("link", name="Retried").click()
    expect(page.locator(".opened")).to_contain_text("Retry of")
    page.go_back()
    # The retry has failed, too.
    button(page, "Retry 3 failed or missed runs…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("lot:1")
    dialog.get_by_role("button", name="Retry").click()
    expect(dialog).to_contain_text("3 runs retried in all")
    dialog.get_by_role("button", name="Close").click()
    expect(page.get_by_role("link", name="Retried")).to_have_count(4)
    counts = [len(laptop.get(f"/jobs/{job['id']}/runs")) for job in jobs]
    assert sorted(counts) == [2, 2, 3]


def test_all_is_retried_page_by_page_and_goes_on_where_it_was_stopped(
    page: Page, laptop: Laptop, target: Target
) -> None:
    job = registered(laptop, f"{target}/fails", name="Paged", labels={"lot": "2"})
    ended(laptop, job)
    asked: list[dict[str, list[str]]] = []

    def answer(route: Route) -> None:
        asked.append(parse_qs(urlsplit(route.request.url).query))
        if len(asked) == 2:
            problem = {"detail": "the job table does not answer"}
            route.fulfill(status=503, body=json.dumps(problem))
            return
        link = {1: "cursor=second", 3: "cursor=third"}.get(len(asked))
        if len(asked) == 3:
            button(page, "Stop").click()
            expect(dialog).to_contain_text("100 runs retried so far; it stops after this page")
        route.fulfill(
            json={"retried": 100, "left": 1},
            headers={"Link": f'<runs/retry?{link}>; rel="next"'} if link else {},
        )

    page.route("**/runs/retry?*", answer)
    go(page, laptop, "/runs?label=lot:2&status=failed")
    button(page, "Retry 1 failed run…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Retry").click()
    expect(dialog.get_by_role("alert")).to_contain_text("the job table does not answer")
    expect(dialog).to_contain_text("100 runs retried, then it stopped")
    button(page, "Go on").click()
    expect(dialog).to_contain_text("200 runs retried, then it stopped")
    button(page, "Go on").click()
    expect(dialog).to_contain_text("300 runs retried in all")
    expect(dialog).to_contain_text("3 were left")
    assert [each.get("cursor") for each in asked] == [None, ["second"], ["second"], ["third"]]
    assert {json.dumps({**each, "cursor": ""}) for each in asked} == {
        json.dumps({**asked[0], "cursor": ""})
    }
    assert asked[0].keys() == {"status", "label", "until"}
