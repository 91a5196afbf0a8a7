"""The form of a job: every field, and each error at its field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.laptop import Laptop
from tests.console.conftest import ask_module, button, go, registered
from tests.console.target import Target

pytestmark = pytest.mark.xdist_group("console 2")

# The fields of a job that are wrong, and the id of what shows their error.
WRONG = {
    "key": ("key", "a key"),
    "timeout": ("timeout", "601"),
    "retry.max_attempts": ("retry-max_attempts", "0"),
    "retry.initial_delay": ("retry-initial_delay", "one"),
    "retry.max_delay": ("retry-max_delay", "86401"),
    "misfire_grace": ("misfire_grace", "0.5"),
    "pause_after": ("pause_after", "101"),
    "trigger.timezone": ("trigger-timezone", "Nowhere/Else"),
    "trigger.date": ("trigger-date", "2001-01-01T00:00:00"),
}


def test_every_field_of_a_job_can_be_given(page: Page, laptop: Laptop, target: Target) -> None:
    go(page, laptop, "/jobs/new")
    page.get_by_label("Name", exact=True).fill("Everything")
    page.get_by_label("Method").select_option("PATCH")
    page.get_by_label("URL", exact=True).fill(f"{target}/all")
    for one, pair in {"header": ("X-Team", "billing"), "label": ("team", "crm")}.items():
        button(page, f"Add a {one}").click()
        page.get_by_label(f"Name of {one} 1").fill(pair[0])
        page.get_by_label(f"Value of {one} 1").fill(pair[1])
    page.get_by_text("Text", exact=True).click()
    page.locator("#request-body").fill("plain text")
    page.get_by_label("Key (optional)").fill("everything")
    page.get_by_text("Date", exact=True).first.click()
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    page.locator("#trigger-date").fill(due.strftime("%Y-%m-%dT%H:%M:%S"))
    page.get_by_label("Time zone").fill("UTC")
    expect(page.locator(".occurrences li")).to_have_count(1)
    given = {"timeout": "7", "retry-max_attempts": "5", "retry-initial_delay": "2"}
    given |= {"retry-max_delay": "60", "misfire_grace": "90", "pause_after": "4"}
    for field, value in {**given, "callbacks-failed-url": f"{target}/failed"}.items():
        page.locator(f"#{field}").fill(value)
    page.get_by_label("Overlap").select_option("skip")
    button(page, "Register job").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Everything")
    made = laptop.get("/jobs/key:everything")
    shown = {name: made[name] for name in ("name", "timeout", "retry", "overlap", "misfire_grace")}
    assert shown == {
        "name": "Everything",
        "timeout": 7,
        "retry": {"max_attempts": 5, "initial_delay": 2, "max_delay": 60},
        "overlap": "skip",
        "misfire_grace": 90,
    }
    assert made["callbacks"] == {"succeeded": None, "failed": {"url": f"{target}/failed"}}
    assert made["pause_after"] == 4
    assert (made["labels"], made["next_run_time"]) == (
        {"team": "crm"},
        due.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    assert made["request"] == {
        "url": f"{target}/all",
        "method": "PATCH",
        "headers": {"X-Team": "billing"},
        "body": "plain text",
    }


def test_clock_changes_and_spread_of_a_cron_can_be_chosen_and_are_kept(
    page: Page, laptop: Laptop, target: Target
) -> None:
    go(page, laptop, "/jobs/new")
    page.get_by_label("Name", exact=True).fill("Nightly")
    page.get_by_label("URL", exact=True).fill(f"{target}/nightly")
    page.get_by_label("Cron", exact=True).nth(-1).fill("30 2 L * *")
    page.get_by_text("More: begin").click()
    page.get_by_label("Spread over, s").fill("600")
    page.get_by_label("A time that clocks skip").select_option("runs after the gap")
    button(page, "Register job").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Nightly")
    expect(page.locator("body")).to_contain_text("each month at 02:30, UTC, spread over 10 min")
    expect(page.locator("body")).to_contain_text("runs after the gap if clocks skip its time")
    (made,) = laptop.get("/jobs?name=Nightly")
    assert made["trigger"]["fields"]["dst"] == {"gap": "next", "fold": "first"}
    go(page, laptop, f"/jobs/{made['id']}/edit")
    due = page.locator(".occurrences time").first
    expect(due).to_have_attribute("datetime", made["next_run_time"])
    page.get_by_label("Name", exact=True).fill("Nightly 2")
    page.get_by_label("Time zone").fill("UTC")
    button(page, "Save changes").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Nightly 2")
    assert laptop.get(f"/jobs/{made['id']}")["trigger"]["fields"] == {
        "cron": "30 2 L * *",
        "timezone": "UTC",
        "spread": 600,
        "dst": {"gap": "next", "fold": "first"},
    }


def test_an_interval_is_registered_with_bounds_and_keeps_them(
    page: Page, laptop: Laptop, target: Target
) -> None:
    go(page, laptop, "/jobs/new")
    page.get_by_label("Name", exact=True).fill("Again and again")
    page.get_by_label("URL", exact=True).fill(f"{target}/again")
    page.get_by_label("Key (optional)").fill("again")
    page.get_by_text("Interval", exact=True).first.click()
    page.locator("#trigger-every").fill("86400")
    expect(page.locator(".occurrences li")).to_have_count(5)
    expect(page.get_by_label("Time zone")).to_have_count(0)
    page.get_by_text("More: begin").click()
    page.get_by_label("Not before").fill("2030-01-01T08:00:00")
    page.get_by_label("Not after").fill("2030-12-31T08:00:00")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    page.get_by_label("Occurrences at most").fill("0")
    expect(page.locator("#trigger-max_runs-error")).to_contain_text("from 1 to 1000000")
    page.get_by_label("Occurrences at most").fill("3")
    expect(page.locator(".occurrences li")).to_have_count(3)
    button(page, "Register job").click()
    expect(page.locator(".facts")).to_contain_text("every day, from Tue 1 Jan 2030")
    expect(page.locator(".facts")).to_contain_text("3 times at most")
    made = laptop.get("/jobs/key:again")
    bounds = {"starts_at": "2030-01-01T07:00:00Z", "ends_at": "2030-12-31T07:00:00Z", "max_runs": 3}
    assert made["trigger"]["fields"] == {"every": 86400, **bounds}
    go(page, laptop, f"/jobs/{made['id']}/edit")
    expect(page.get_by_label("Not before")).to_be_visible()
    page.locator("#trigger-every").fill("43200")
    button(page, "Save changes").click()
    expect(page.locator(".facts")).to_contain_text("every 12 hours")
    assert laptop.get("/jobs/key:again")["trigger"]["fields"] == {"every": 43200, **bounds}


def test_each_error_stands_at_its_field_in_the_words_of_the_api(page: Page, laptop: Laptop) -> None:
    go(page, laptop, "/jobs/new")
    page.get_by_label("URL", exact=True).fill("ftp://a/")
    page.get_by_text("Date", exact=True).first.click()
    for one, name in {"header": "Bad name", "label": "x" * 64}.items():
        button(page, f"Add a {one}").click()
        page.get_by_label(f"Name of {one} 1").fill(name)
    for element, value in WRONG.values():
        page.locator(f"#{element}").fill(value)
    with page.expect_response(lambda answer: answer.request.url.endswith("/jobs")) as refused:
        button(page, "Register job").click()
    errors = {error["field"]: error["message"] for error in refused.value.json()["errors"]}
    missing = {"name", "request.url", *WRONG} - {"trigger.date"} - set(errors)
    assert not missing, errors
    for field, message in errors.items():
        if field.startswith(("request.headers.", "labels.")):
            group = field.rpartition(".")[0].replace(".", "-")
            expect(page.locator(f"#{group}-error")).to_contain_text(message)
        else:
            place = page.locator(f"#{field.replace('.', '-')}-error")
            expect(place).to_contain_text(message)
    expect(page.get_by_label("Name", exact=True)).to_be_focused()


def test_an_edit_overwrites_nobody_s_and_a_run_does_not_stop_it(
    page: Page, laptop: Laptop, target: Target
) -> None:
    job = registered(laptop, target, name="Shared", trigger={"cron": "0 3 * * *"})
    path = f"/jobs/{job['id']}"
    go(page, laptop, f"{path}/edit")
    name, timeout = page.get_by_label("Name", exact=True), page.locator("#timeout")
    name.fill("Mine")
    timeout.fill("44")
    laptop.post(f"{path}/run")
    laptop.request("PATCH", path, {"name": "Theirs", "overlap": "skip"})
    button(page, "Save changes").click()
    expect(page.get_by_role("alert")).to_contain_text("somebody else changed name.")
    assert (laptop.get(path)["name"], laptop.get(path)["timeout"]) == ("Theirs", 30)
    button(page, "Drop mine and show theirs").click()
    expect(name).to_have_value("Theirs")
    timeout.fill("55")
    laptop.post(f"{path}/run")
    button(page, "Save changes").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Theirs")
    shown = laptop.get(path)
    assert (shown["timeout"], shown["overlap"]) == (55, "skip")


def test_success_and_retries_are_given_changed_and_taken_back(
    page: Page, laptop: Laptop, target: Target
) -> None:
    # A second try of this test finds what the first one left.
    before = laptop.get("/jobs?name=Rules")
    go(page, laptop, "/jobs/new")
    page.get_by_label("Name", exact=True).fill("Rules")
    page.get_by_label("URL", exact=True).fill(f"{target}/rules")
    expect(page.get_by_label("Never retried")).not_to_be_visible()
    page.get_by_text("More: what counts").click()
    page.get_by_label("Statuses that are a success").fill("200-299, 404")
    for place, (pointer, value) in enumerate({"/state": "done", "/count": "1.10"}.items(), 1):
        button(page, "Add a JSON value").click()
        page.get_by_label(f"Name of JSON value {place}").fill(pointer)
        page.get_by_label(f"Value of JSON value {place}").fill(value)
    page.get_by_label("Delays between attempts, s").fill("5, 60, 600")
    expect(page.get_by_label("Attempts", exact=True)).to_have_value("4")
    never = page.get_by_label("Never retried")
    never.fill("timeout often")
    page.get_by_text("More: what counts").click()
    expect(never).not_to_be_visible()
    button(page, "Register job").click()
    expect(never).to_be_focused()
    expect(page.locator("#retry-never-error")).to_contain_text("entry 2: must be a status from 100")
    assert laptop.get("/jobs?name=Rules") == before
    never.fill("timeout 503")
    button(page, "Register job").click()
    expect(page.locator(".fields")).to_contain_text('status 200-299, 404; /state is "done"')
    (made,) = [one for one in laptop.get("/jobs?name=Rules") if one not in before]
    retry = {"max_attempts": 4, "delays": [5, 60, 600], "never": ["timeout", 503]}
    assert {name: made["retry"][name] for name in retry} == retry
    assert made["success"]["json"] == {"/state": "done", "/count": 1.10}
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Never retried").fill("")
    page.get_by_label("Statuses that are a success").fill("")
    for _ in range(2):
        button(page, "Remove JSON value 1").click()
    button(page, "Save changes").click()
    expect(page.locator(".fields")).to_contain_text("4 attempts; delays of 5 s, 1 min, 10 min")
    changed = laptop.get(f"/jobs/{made['id']}")
    assert (changed["success"], changed["retry"].get("never")) == (None, None)


def test_a_draft_keeps_what_it_does_not_know_and_every_instant(page: Page, laptop: Laptop) -> None:
    # The second passing of 02:30 in Berlin.
    ends_at = "2030-10-27T01:30:00Z"
    cron = {"cron": "@daily", "timezone": "Europe/Berlin", "ends_at": ends_at, "later": 1}
    job: dict[str, Any] = {
        **dict.fromkeys(("key", "misfire_grace", "result", "pause")),
        **dict.fromkeys(("id", "name", "overlap"), "x"),
        "timeout": 30,
        "labels": {},
        "trigger": {"type": "cron", "fields": cron},
        "request": {"url": "http://a/", "method": "GET", "headers": {}, "body": None, "later": 2},
        "retry": {"max_attempts": 3, "initial_delay": 10, "max_delay": 3600, "later": 3},
        "success": {"status": [404], "body_contains": None, "json": {"/a": "1"}, "later": 4},
        "callbacks": {"succeeded": {"url": "http://b/"}, "failed": None, "later": 5},
        "later": 6,
    }
    kept = "job => module.jobOf(module.draftOf(job))"
    moved = "job => module.triggerOf({...module.draftOf(job), timezone: 'Asia/Tokyo'})"
    (shown,) = ask_module(page, laptop, "draft.js", kept, [job])
    parts = [shown[name] for name in ("trigger", "request", "retry", "success", "callbacks")]
    assert [part["later"] for part in (*parts, shown)] == [1, 2, 3, 4, 5, 6]
    assert shown["trigger"]["ends_at"] == ends_at
    assert shown["success"]["json"] == {"/a": "1"}
    assert not {"id", "result", "pause", "key"} & set(shown)
    (trigger,) = ask_module(page, laptop, "draft.js", moved, [job])
    assert trigger["ends_at"] == "2030-10-27T02:30:00"


def test_a_pasted_command_fills_the_form_and_says_what_it_leaves_out(
    page: Page, laptop: Laptop, target: Target
) -> None:
    go(page, laptop, "/jobs/new")
    page.get_by_text("Paste a curl command").click()
    page.get_by_label("curl command").fill(
        f"curl -L -u me:pass {target}/pasted --json '{{\"amount\": 1.10}}' -m 5"
    )
    expect(page.locator(".paste [role=status]")).to_contain_text("-L (Resona follows no redirects)")
    page.get_by_label("Name", exact=True).fill("Pasted")
    button(page, "Register job").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Pasted")
    (made,) = laptop.get("/jobs?name=Pasted")
    assert made["timeout"] == 5
    assert made["request"] == {
        "url": f"{target}/pasted",
        "method": "POST",
        "headers": {
            "Authorization": "Basic bWU6cGFzcw==",
            "Content-Type": "application/json",
            "Accept": "application/json",
        },
        "body": {"amount": 1.10},
    }
