"""Channels of notices."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.domain.channels import MOST_CHANNELS
from tests.api.conftest import Api, job
from tests.environment import status
from tests.parts import quota_store
from tests.permissions import TOPIC

URL = "https://example.com/told"
MAIL = f"sns:{TOPIC}"
TOLD = [
    "run.failed",
    "run.missed",
    "job.recovered",
    "job.paused",
    "flow.opened",
    "flow.closed",
]


def test_a_channel_is_put_shown_listed_and_deleted(api: Api) -> None:
    made = api.put("/notices/ops", {"url": URL})
    assert (made.status, made.json) == (
        200,
        {
            "name": "ops",
            "url": URL,
            "format": "resona",
            "events": TOLD,
            "label": None,
            "after": 1,
            "digest": None,
            "created_at": "2026-11-23T10:00:00Z",
            "updated_at": "2026-11-23T10:00:00Z",
            "last_delivery": None,
        },
    )
    api.env.advance(seconds=5)
    fields = {
        "url": f"{URL}?a=b",
        "format": "slack",
        "events": ["run.failed"],
        "label": "a:b:c",
        "after": 3,
        "digest": 120,
    }
    changed = api.put("/notices/ops", fields).json
    assert changed == {**made.json, **fields, "updated_at": "2026-11-23T10:00:05Z"}
    assert api.get("/notices/ops").json == changed
    api.put("/notices/a", {"url": URL})
    assert [one["name"] for one in api.get("/notices").json] == ["a", "ops"]
    assert api.delete("/notices/ops").status == 204
    assert api.delete("/notices/ops").status == 404
    assert api.get("/notices/ops").status == 404
    assert api.post("/notices/ops/test").status == 404


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["url"]),
        ({"url": "ftp://example.com"}, ["url"]),
        ({"url": f"{URL}?a={{{{secret:no}}}}"}, ["url"]),
        ({"url": f"{URL}/{{{{run.id}}}}"}, ["url"]),
        ({"url": "ftp://example.com/{{secret:no}}", "after": 0}, ["after", "url", "url"]),
        ({"url": URL, "digest": 9}, ["digest"]),
        ({"url": URL, "digest": 3601}, ["digest"]),
        ({"url": URL, "digest": 10.5}, ["digest"]),
        ({"url": URL, "spread": 60}, ["spread"]),
        ({"url": URL, "format": "teams"}, ["format"]),
        ({"url": URL, "events": []}, ["events"]),
        ({"url": URL, "events": ["run.failed", "run.succeeded"]}, ["events.1"]),
        ({"url": URL, "events": ["job.recovered"]}, ["events"]),
        ({"url": URL, "label": "team"}, ["label"]),
        ({"url": URL, "label": ":billing"}, ["label"]),
        ({"url": URL, "format": "text"}, ["format"]),
        ({"url": MAIL, "format": "resona"}, ["format"]),
        ({"url": MAIL, "format": "slack"}, ["format"]),
        ({"url": f"{MAIL}-of-others"}, ["url"]),
        ({"url": f"{MAIL}.fifo"}, ["url"]),
        ({"url": MAIL.upper()}, ["url"]),
        ({"url": "sns:"}, ["url"]),
        ({"url": URL, "after": 0}, ["after"]),
        ({"url": URL, "after": 101}, ["after"]),
        # All that is wrong, whether the model or a rule finds it.
        (
            {"url": "ftp://a", "format": "x", "events": ["a", 1], "label": "b", "after": 0, "c": 1},
            ["after", "c", "events.0", "events.1", "format", "label", "url"],
        ),
        ({"url": 5, "format": "x", "events": "run.failed"}, ["events", "format", "url"]),
        ({"format": "x", "label": "b"}, ["format", "label", "url"]),
    ],
)
def test_a_wrong_value_is_named(api: Api, body: dict[str, Any], fields: list[str]) -> None:
    assert api.put("/notices/ops", body).fields == fields


def test_what_was_read_is_put_back_as_it_is(api: Api) -> None:
    api.put("/notices/ops", {"url": URL})
    api.post("/notices/ops/test")
    api.env.advance(seconds=5)
    shown = api.get("/notices/ops").json
    assert shown["last_delivery"] is not None
    again = api.put("/notices/ops", {**shown, "after": 3})
    assert {**again.json, "updated_at": 0} == {**shown, "after": 3, "updated_at": 0}


def test_a_channel_that_does_not_change_keeps_its_time(api: Api) -> None:
    made = api.put("/notices/ops", {"url": URL}).json
    api.env.advance(seconds=5)
    assert api.put("/notices/ops", made).json == made


def test_what_is_no_topic_is_told_as_that(api: Api) -> None:
    (error,) = api.put("/notices/ops", {"url": "sns:mail"}).problem["errors"]
    assert "the ARN of a topic" in error["message"]


def test_a_read_only_field_may_not_have_another_value(api: Api) -> None:
    other: dict[str, Any] = {
        "name": "a",
        "created_at": "x",
        "updated_at": None,
        "last_delivery": None,
    }
    assert api.put("/notices/ops", {"url": URL, **other}).fields == sorted(other)
    api.put("/notices/ops", {"url": URL})
    other["last_delivery"] = {}
    assert api.put("/notices/ops", {"url": URL, **other}).fields == sorted(other)
    # What is read-only of a job is no field of a channel.
    assert api.put("/notices/ops", {"url": URL, "id": "x", "status": "y"}).fields == [
        "id",
        "status",
    ]


def test_a_name_has_letters_and_digits(api: Api) -> None:
    for name in ("a.b", "a" * 65, "last%23a"):
        assert api.put(f"/notices/{name}", {"url": URL}).fields == ["name"]
        assert api.put(f"/notices/{name}", {"format": "teams"}).fields == ["format", "name", "url"]


def test_a_tenant_has_at_most_20_channels(api: Api) -> None:
    for number in range(MOST_CHANNELS):
        assert api.put(f"/notices/{number}", {"url": URL}).status == 200
    assert api.put("/notices/0", {"url": f"{URL}/0"}).status == 200
    answer = api.put("/notices/more", {"url": URL})
    assert answer.status == 429
    assert answer.problem["detail"] == (
        "over the quota of channels: at most 20 channels are allowed; delete one, then try again"
    )


def test_a_channel_whose_secret_is_gone_says_what_to_change(api: Api) -> None:
    api.put("/secrets/hook", {"value": "s3cr3t-hook"})
    api.put("/notices/ops", {"url": f"{URL}/{{{{secret:hook}}}}"})
    api.delete("/secrets/hook")
    api.post("/notices/ops/test")
    api.env.advance(seconds=5)
    assert api.get("/notices/ops").json["last_delivery"]["error"] == (
        "the secret hook does not exist: put it, or change the channel"
    )


@pytest.mark.parametrize("form", ["resona", "slack"])
def test_a_channel_is_tried(api: Api, form: str) -> None:
    api.env.scheduling.quotas = quota_store(api.env.cloud, 10, 1)
    api.put("/notices/ops", {"url": URL, "format": form})
    notice = api.post("/notices/ops/test")
    assert notice.status == 202
    assert notice.json["labels"] == {"event": "test", "channel": "ops"}
    assert api.post("/notices/ops/test").status == 429
    api.env.advance(seconds=5)
    (sent,) = api.env.sent
    document = json.loads(str(sent.request.body))
    assert ("event" in document, "text" in document) == (form == "resona", form == "slack")
    last = api.get("/notices/ops").json["last_delivery"]
    assert (last["job_id"], last["event"], last["status"]) == (
        notice.json["id"],
        "test",
        "succeeded",
    )
    assert api.get("/jobs").json == []


def test_only_jobs_with_the_label_are_told(api: Api) -> None:
    api.put("/notices/ops", {"url": URL, "label": "team:billing"})
    api.env.target = lambda sent: status(404)
    for team in ("billing", "sales"):
        api.register(name=team, trigger={"delay": 1}, labels={"team": team})
    api.env.advance(seconds=5)
    told = [json.loads(str(sent.request.body)) for sent in api.env.sent if sent.request.url == URL]
    assert [document["job"]["name"] for document in told] == ["billing"]


def test_a_topic_is_put_as_it_is_shown_and_tried(api: Api) -> None:
    made = api.put("/notices/mail", {"url": MAIL}).json
    assert (made["url"], made["format"]) == (MAIL, "text")
    notice = api.post("/notices/mail/test").json
    assert notice["request"]["url"] == MAIL
    api.env.advance(seconds=5)
    (mail,) = api.env.cloud.published
    assert (mail["TopicArn"], mail["Subject"]) == (TOPIC, "Resona: a test of mail")
    assert api.env.sent == []
    last = api.get("/notices/mail").json["last_delivery"]
    assert (last["job_id"], last["status"], last["status_code"]) == (notice["id"], "succeeded", 200)
    (run,) = api.get(f"/jobs/{notice['id']}/runs").json
    shown = api.get(f"/jobs/{notice['id']}/runs/{run['id']}").json["attempts"][0]
    assert json.loads(shown["response"]["body"]).keys() == {"MessageId"}


def test_a_topic_that_is_not_allowed_is_told_what_to_do(api: Api) -> None:
    answer = api.put("/notices/mail", {"url": f"{MAIL}-of-others"})
    assert "RESONA_NOTICE_TOPICS" in answer.problem["detail"]
    assert "standard topic" in api.put("/notices/mail", {"url": f"{MAIL}.fifo"}).problem["detail"]


def test_neither_a_job_nor_a_callback_may_name_a_topic(api: Api) -> None:
    answer = api.post("/jobs", job(request={"url": MAIL}))
    assert (answer.status, answer.fields) == (422, ["request.url"])
    answer = api.post("/jobs", job(callbacks={"failed": {"url": MAIL}}))
    assert (answer.status, answer.fields) == (422, ["callbacks.failed.url"])
