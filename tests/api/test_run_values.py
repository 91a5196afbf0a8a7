"""Values of the run in what is sent: requests and callbacks."""

from __future__ import annotations

import json
from datetime import timedelta

from chalicelib.domain.run import AttemptResult, Outcome
from tests.api.conftest import Api


def test_each_attempt_says_what_it_is(api: Api) -> None:
    api.env.target = lambda _: AttemptResult(
        Outcome.TIMEOUT if len(api.env.sent) == 1 else Outcome.SUCCESS,
        timedelta(0),
        error="late",
    )
    job = api.register(
        name="Über {{run.id}}",
        key="report",
        trigger={"delay": 1},
        request={
            "url": "https://example.com/{{job.key}}?name={{job.name}}",
            "headers": {"X-Day": "{{run.scheduled_date}}", "X-Name": "{{job.name}}"},
            "body": {"attempt": "{{run.attempt}}", "run": "{{run.id}}", "name": "{{job.name}}"},
        },
        callbacks={"succeeded": {"url": "https://example.com/told/{{job.key}}?run={{run.id}}"}},
    )
    assert job["request"]["body"]["run"] == "{{run.id}}"
    api.env.advance(minutes=2)
    first, second, told = api.env.sent
    run_id = second.headers["Resona-Run-Id"]
    assert second.request.url == "https://example.com/report?name=%C3%9Cber%20%7B%7Brun.id%7D%7D"
    assert second.request.headers["X-Day"] == second.headers["Resona-Scheduled-Time"][:10]
    assert second.request.headers["X-Name"] == "%C3%9Cber {{run.id}}"
    assert first.request.body == {"attempt": "1", "run": run_id, "name": "Über {{run.id}}"}
    assert second.request.body == {"attempt": "2", "run": run_id, "name": "Über {{run.id}}"}
    assert told.request.url == f"https://example.com/told/report?run={run_id}"
    body = json.loads(str(told.request.body))
    assert (body["job"]["name"], body["run"]["id"]) == ("Über {{run.id}}", run_id)


def test_a_name_that_is_not_known_is_refused_with_those_that_are(api: Api) -> None:
    job = {
        "name": "a",
        "request": {"url": "https://example.com/{{run.due}}", "body": ["{{job.title}}"]},
        "trigger": {"delay": 1},
        "callbacks": {"failed": {"url": "https://example.com/{{run.due}}"}},
    }
    answer = api.post("/jobs", job)
    assert answer.fields == ["callbacks.failed.url", "request.body", "request.url"]
    assert "run.scheduled_time" in answer.json["errors"][0]["message"]
