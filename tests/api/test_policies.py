"""What counts as success, and what is retried when: sent, refused, shown, and acted upon."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.run import AttemptResult, Outcome, Response
from tests.api.conftest import Api, job

SUCCESS = {"status": ["200-299", 404], "body_contains": "ok", "json": {"/a~1b/0": {"state": 1.5}}}
RETRY = {"max_attempts": 4, "delays": [5, 60], "never": ["timeout", 503]}


def test_they_are_shown_as_they_were_sent(api: Api) -> None:
    job = api.register(success=SUCCESS, retry=RETRY)
    assert job["success"] == SUCCESS
    assert job["retry"] == {**RETRY, "initial_delay": None, "max_delay": None}
    path = f"/jobs/{job['id']}"
    same = api.patch(path, {**job, "name": "Renamed"}).json
    assert (same["success"], same["retry"]) == (job["success"], job["retry"])
    assert api.patch(path, {"success": None}).json["success"] is None
    plain = {"max_attempts": 3, "initial_delay": 10, "max_delay": 3600}
    assert api.patch(path, {"retry": {}}).json["retry"] == plain
    assert api.patch(path, {"retry": {**plain, "never": None, "delays": None}}).json["retry"] == (
        plain
    )


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({"status": [200.0]}, {"status": [200], "body_contains": None, "json": None}),
        ({"json": {"": 1}}, {"status": ["200-299"], "body_contains": None, "json": {"": 1}}),
        ({"body_contains": "✓"}, {"status": ["200-299"], "body_contains": "✓", "json": None}),
    ],
)
def test_what_a_rule_does_not_say_has_its_default(
    api: Api, sent: dict[str, Any], shown: dict[str, Any]
) -> None:
    job = api.register(success=sent)
    assert job["success"] == shown
    assert api.patch(f"/jobs/{job['id']}", {"success": shown}).json["success"] == shown


@pytest.mark.parametrize(
    ("delays", "most"), [([5], 2), ([1, 2, 3], 4), ([1] * 19, 20), ([1] * 20, 20)]
)
def test_every_delay_that_is_given_is_waited(api: Api, delays: list[int], most: int) -> None:
    assert api.register(retry={"delays": delays})["retry"]["max_attempts"] == most


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"success": []}, ["success"]),
        ({"success": {}}, ["success"]),
        ({"success": {"status": None}}, ["success"]),
        ({"success": {"status": []}}, ["success.status"]),
        ({"success": {"status": 200}}, ["success.status"]),
        (
            {"success": {"status": [99, 600, True, "200", "2xx", "299-200", "200-600", None]}},
            [f"success.status.{place}" for place in range(8)],
        ),
        ({"success": {"status": [200] * 21}}, ["success.status"]),
        ({"success": {"body_contains": ""}}, ["success.body_contains"]),
        ({"success": {"body_contains": "x" * 1001}}, ["success.body_contains"]),
        ({"success": {"json": {}}}, ["success.json"]),
        ({"success": {"json": {"state": 1}}}, ["success.json.state"]),
        ({"success": {"json": {"/a~2": 1}}}, ["success.json./a~2"]),
        ({"success": {"json": {"/a": "x" * 4096}}}, ["success.json"]),
        ({"success": {"json": {f"/{key}": 1 for key in range(21)}}}, ["success.json"]),
        ({"success": {"body_contain": "x"}}, ["success.body_contain"]),
        ({"success": {"values": {"/a": 1}}}, ["success.values"]),
        ({"retry": {"delays": []}}, ["retry.delays"]),
        ({"retry": {"delays": [0]}}, ["retry.delays.0"]),
        ({"retry": {"delays": [5, 86_401]}}, ["retry.delays.1"]),
        ({"retry": {"delays": [1.5]}}, ["retry.delays.0"]),
        ({"retry": {"delays": [1] * 21}}, ["retry.delays"]),
        ({"retry": {"delays": [5], "max_delay": 60}}, ["retry.delays"]),
        ({"retry": {"delays": [5], "initial_delay": 5}}, ["retry.delays"]),
        ({"retry": {"delays": [5], "max_delay": 5}}, ["retry.delays"]),
        ({"success": {"body_contains": "{{secret:a}}"}}, ["success"]),
        ({"success": {"json": {"/a": ["{{run.id}}"]}}}, ["success"]),
        (
            {"retry": {"never": ["success", "http", 99, True, None]}},
            [f"retry.never.{place}" for place in range(5)],
        ),
        ({"retry": {"never": [500] * 21}}, ["retry.never"]),
        ({"retry": {"never": "timeout"}}, ["retry.never"]),
    ],
)
def test_a_wrong_value_is_named(api: Api, fields: dict[str, Any], wrong: list[str]) -> None:
    job = {"name": "a", "request": {"url": "https://example.com/"}, "trigger": {"delay": 5}}
    assert api.post("/jobs", {**job, **fields}).fields == wrong


def attempts(api: Api, status: int, body: str, *, forbids: bool = False, **fields: Any) -> Any:
    """Return the outcomes of a job's run, and whether the job has succeeded."""
    outcome = Outcome.SUCCESS if 200 <= status <= 299 else Outcome.HTTP_ERROR
    api.env.target = lambda _: AttemptResult(
        outcome,
        timedelta(0),
        status,
        Response({}, body, truncated=False),
        None if outcome is Outcome.SUCCESS else f"the target answered {status}",
        forbids_retry=forbids,
    )
    job = api.register(trigger={"delay": 1}, **fields)
    api.env.advance(minutes=10)
    (run,) = api.get(f"/jobs/{job['id']}/runs").json
    assert run["status"] == {"completed": "succeeded"}.get(status_of(api, job), "failed")
    return [attempt["outcome"] for attempt in run["attempts"]], run["status"]


def status_of(api: Api, job: Any) -> Any:
    return api.get(f"/jobs/{job['id']}").json["status"]


@pytest.mark.parametrize(
    ("fields", "wrong", "why"),
    [
        ({"retry": {"max_attempts": 1, "delays": [5]}}, "retry.delays", "max_attempts of 2"),
        ({"retry": {"max_attempts": 1, "never": [503]}}, "retry.never", "max_attempts of 2"),
        ({"retry": {"never": [503, 200]}}, "retry.never", "200 is a success"),
        ({"retry": {"never": [204], "max_attempts": 2}}, "retry.never", "204 is a success"),
        (
            {"retry": {"never": [404]}, "success": {"status": [200, "400-410"]}},
            "retry.never",
            "404 is a success",
        ),
    ],
)
def test_a_policy_that_can_mean_nothing_is_refused(
    api: Api, fields: dict[str, Any], wrong: str, why: str
) -> None:
    path = f"/jobs/{api.register()['id']}"
    for answer in (api.post("/jobs", job(**fields)), api.patch(path, fields)):
        assert answer.fields == [wrong]
        assert why in answer.problem["detail"]


@pytest.mark.parametrize(
    "fields",
    [
        {"retry": {"max_attempts": 1, "delays": None, "never": []}},
        {"retry": {"max_attempts": 1, "initial_delay": 10, "max_delay": 3600}},
        {"retry": {"never": [199, 300, "unexpected"]}},
        # An answer with these may be a failure all the same.
        {"retry": {"never": [200]}, "success": {"status": [404]}},
        {"retry": {"never": [200]}, "success": {"body_contains": "ok"}},
        {"retry": {"never": [200]}, "success": {"json": {"": 1}}},
        {"retry": {"never": [202]}, "completion": "callback", "deadline": 60},
    ],
)
def test_other_policies_are_taken_again_as_they_are_shown(api: Api, fields: dict[str, Any]) -> None:
    shown = api.register(**fields)
    assert api.patch(f"/jobs/{shown['id']}", shown).status == 200


def test_a_policy_is_compared_with_what_the_job_has(api: Api) -> None:
    path = f"/jobs/{api.register(retry={'never': [404]})['id']}"
    assert api.patch(path, {"success": {"status": ["200-299", 404]}}).fields == ["retry.never"]
    assert api.patch(path, {"success": {"status": [200]}}).status == 200
    assert api.patch(path, {"retry": {"never": [200]}}).fields == ["retry.never"]
    assert api.patch(path, {"retry": {"never": [201]}}).status == 200
    assert api.patch(path, {"success": None}).fields == ["retry.never"]
    # A change of something else is no matter of theirs.
    assert api.patch(path, {"timeout": 9}).status == 200


def test_what_stands_twice_is_kept_once(api: Api) -> None:
    shown = api.register(
        retry={"never": [503, "timeout", 503.0, "timeout", 502]},
        success={"status": [200, "200-299", "200-200", 200.0, "200-299", 404]},
    )
    assert shown["retry"]["never"] == [503, "timeout", 502]
    assert shown["success"]["status"] == [200, "200-299", 404]


def test_an_answer_is_judged_by_the_rule_and_retried_by_the_policy(api: Api) -> None:
    rule = {"status": [404], "json": {"/state": "gone"}}
    assert attempts(api, 404, '{"state": "gone"}', success=rule) == (["success"], "succeeded")
    twice = {"delays": [1]}
    assert attempts(api, 200, '{"state": "gone"}', success=rule, retry=twice) == (
        ["unexpected"] * 2,
        "failed",
    )
    never = {"never": ["unexpected"]}
    assert attempts(api, 404, "{}", success=rule, retry=never) == (["unexpected"], "failed")
    assert attempts(api, 503, "", retry={"never": [503]}) == (["http_error"], "failed")
    assert attempts(api, 503, "", forbids=True) == (["http_error"], "failed")
    assert attempts(api, 200, "", forbids=True) == (["unexpected"], "failed")


def test_delays_are_kept_by_the_clock(api: Api) -> None:
    api.env.target = lambda _: AttemptResult(Outcome.TIMEOUT, timedelta(0), error="late")
    api.register(trigger={"delay": 1}, retry={"delays": [30, 300]})
    api.env.advance(seconds=20)
    assert len(api.env.sent) == 1
    api.env.advance(seconds=20)
    assert len(api.env.sent) == 2
    api.env.advance(seconds=280)
    assert len(api.env.sent) == 2
    api.env.advance(seconds=60)
    assert len(api.env.sent) == 3
    api.env.advance(seconds=3600)
    assert len(api.env.sent) == 3


def test_a_rule_for_the_body_is_refused_with_head(api: Api) -> None:
    head = {"url": "https://example.com/", "method": "head"}
    job = api.register(request=head, success={"status": [204]})
    path, rule = f"/jobs/{job['id']}", {"body_contains": "ok"}
    assert api.patch(path, {"success": rule}).fields == ["success"]
    assert api.patch(path, {"success": rule, "request": {**head, "method": "GET"}}).status == 200
    assert api.patch(path, {"request": head}).fields == ["success"]
    assert api.patch(path, {"name": "Renamed"}).status == 200
