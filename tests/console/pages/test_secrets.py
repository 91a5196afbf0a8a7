"""Secrets and signing: what can be done there, and that the programs shown there are right."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from playwright.sync_api import Page, expect
from standardwebhooks import Webhook

from tests.acceptance.laptop import Laptop
from tests.console.conftest import button, ended, go, registered
from tests.console.target import Target

pytestmark = pytest.mark.xdist_group("console 2")


def test_secrets_are_put_replaced_and_deleted_and_never_shown(page: Page, laptop: Laptop) -> None:
    go(page, laptop, "/secrets")
    name, value = page.get_by_label("Name", exact=True), page.get_by_label("Value", exact=True)
    name.fill("no spaces")
    value.fill("s3cret")
    button(page, "Save").click()
    told = laptop.request("PUT", "/secrets/no%20spaces", {"value": "x"}).json()["errors"][0]
    expect(page.locator("#secret-name-error")).to_have_text(told["message"])
    name.fill("crm-token")
    button(page, "Save").click()
    row = page.locator(".secrets li", has_text="crm-token")
    expect(row).to_be_visible()
    expect(value).to_be_empty()
    name.fill("crm-token")
    value.fill("another")
    button(page, "Replace").click()
    expect(page.get_by_text("The secret crm-token was saved.")).to_be_visible()
    assert "another" not in page.content()
    button(page, "Delete crm-token…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete crm-token").click()
    expect(row).to_have_count(0)
    assert "crm-token" not in [secret["name"] for secret in laptop.get("/secrets")]


def test_the_signing_secret_is_read_and_replaced_on_a_click_alone(
    page: Page, laptop: Laptop
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    go(page, laptop, "/secrets")
    expect(page.get_by_role("heading", name="Verify a signature")).to_be_visible()
    expect(page.locator(".loading")).to_have_count(0)
    assert not [url for url in asked if "signing-secret" in url]
    button(page, "Show the signing secret").click()
    shown = page.get_by_label("the signing secret", exact=True)
    secret = laptop.get("/signing-secret")["secret"]
    expect(shown).to_have_text(secret)
    button(page, "Rotate…").click()
    expect(page.get_by_role("dialog")).to_contain_text("For 24 hours")
    button(page, "Rotate").click()
    expect(page.get_by_label("the previous signing secret", exact=True)).to_have_text(secret)
    expect(shown).to_have_text(laptop.get("/signing-secret")["secret"])
    button(page, "Hide").click()
    expect(shown).to_have_count(0)


def test_the_programs_come_to_the_signature_that_was_received(
    page: Page, laptop: Laptop, target: Target
) -> None:
    body = {"who": "it's “é” \u202e", "amount": 12.5, "more": ["\\", None]}
    request = {"url": f"{target}/signed?a='b'", "headers": {"X-Team": "billing"}, "body": body}
    job = registered(laptop, target, request=request, name="Signed")
    ended(laptop, job)
    # A second try of this test has the first one's request there, and the one that curl sent.
    (sent,) = [each for each in target.received if each.headers["Resona-Job-Id"] == job["id"]]
    secret = laptop.get("/signing-secret")["secret"]
    commands = {"python": [sys.executable, "-c"], "curl": ["bash", "-c"]}
    if shutil.which("node"):
        commands["javascript"] = ["node", "--input-type=module", "-e"]
    for language, command in commands.items():
        go(page, laptop, f"/secrets?job={job['id']}&language={language}")
        shown = page.get_by_label("the signature of its last request", exact=True)
        expect(shown).to_be_visible()
        # What is copied has the invisible signs themselves.
        page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
        shown.locator("xpath=..").get_by_role("button", name="Copy").click()
        done = subprocess.run(
            [*command, page.evaluate("window.copied")],
            env={**os.environ, "SIGNING_SECRET": secret},
            capture_output=True,
            text=True,
            check=True,
        )
        if language != "curl":
            assert done.stdout.strip() in sent.headers["webhook-signature"].split()
    again = target.received[-1]
    assert (again.path, again.body) == (sent.path, sent.body)
    assert again.headers["X-Team"] == "billing"
    Webhook(secret).verify(again.body, dict(again.headers), json_parse=False)
