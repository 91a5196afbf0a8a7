"""Flows: limits on how jobs, all together, call a target."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from chalicelib.domain.flows import FASTEST, MOST_FLOWS
from tests.api.conftest import Api, job
from tests.environment import ok, status

TEN = {"requests": 10, "seconds": 1, "burst": 1}


def test_a_flow_is_put_shown_listed_and_deleted(api: Api) -> None:
    made = api.put("/flows/host:example.com", {"rate": {"requests": 10, "seconds": 1}})
    assert (made.status, made.json) == (
        200,
        {
            "name": "host:example.com",
            "rate": TEN,
            "concurrency": None,
            "paused": False,
            "breaker": None,
            "state": "closed",
            "opened_at": None,
            "waiting": 0,
            "out": None,
            "created_at": "2026-11-23T10:00:00Z",
            "updated_at": "2026-11-23T10:00:00Z",
        },
    )
    api.env.advance(seconds=5)
    slower = {"requests": 3, "seconds": 60, "burst": 2}
    changed = api.put("/flows/host:example.com", {"rate": slower}).json
    assert changed == {**made.json, "rate": slower, "updated_at": "2026-11-23T10:00:05Z"}
    assert api.get("/flows/host:example.com").json == changed
    assert api.put("/flows/billing", {}).json["rate"] is None
    assert [one["name"] for one in api.get("/flows").json] == ["billing", "host:example.com"]
    assert api.delete("/flows/billing").status == 204
    assert api.delete("/flows/billing").status == 404
    assert api.get("/flows/billing").status == 404


def test_a_flow_that_was_read_can_be_put_as_it_is(api: Api) -> None:
    api.put("/flows/a", {"rate": {"requests": 1, "seconds": 60}})
    shown = api.get("/flows/a").json
    assert api.put("/flows/a", {**shown, "waiting": 7}).json == shown
    assert api.put("/flows/a", {**shown, "name": "b"}).fields == ["name"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"rate": 10}, ["rate"]),
        ({"rate": {}}, ["rate.requests"]),
        ({"rate": {"requests": 0}}, ["rate.requests"]),
        ({"rate": {"requests": 1.5}}, ["rate.requests"]),
        ({"rate": {"requests": FASTEST + 1}}, ["rate.requests"]),
        ({"rate": {"requests": 1, "seconds": 0}}, ["rate.seconds"]),
        ({"rate": {"requests": 1, "seconds": 3601}}, ["rate.seconds"]),
        ({"rate": {"requests": 2, "burst": 3}}, ["rate.burst"]),
        ({"rate": {"requests": 2, "burst": 0}}, ["rate.burst"]),
        ({"rate": {"request": 2}}, ["rate.request", "rate.requests"]),
        ({"speed": 2}, ["speed"]),
        ([], [""]),
    ],
)
def test_a_flow_that_is_refused(api: Api, body: object, fields: list[str]) -> None:
    assert api.put("/flows/a", body).fields == fields
    assert api.get("/flows").json == []


def test_a_rate_beyond_what_an_item_takes_says_what_to_do(api: Api) -> None:
    assert api.put("/flows/a", {"rate": {"requests": FASTEST * 60, "seconds": 60}}).status == 200
    refused = api.put("/flows/a", {"rate": {"requests": FASTEST + 1}})
    assert "divide the jobs among several flows" in refused.problem["detail"]


@pytest.mark.parametrize(
    "name", ["a:b", ".", "..", "host:API.example.com", "host:", "host:x:80", "host:.", "x" * 65]
)
def test_a_name_that_is_refused(api: Api, name: str) -> None:
    assert api.put(f"/flows/{name}", {}).fields == ["flow"]
    assert api.put(f"/flows/{name}", {"burst": 1, "paused": 1}).fields == [
        "burst",
        "flow",
        "paused",
    ]
    assert api.get(f"/flows/{name}").status == 404
    assert api.post("/jobs", job(flow=name)).fields == ["flow"]


def test_the_quota_of_flows(api: Api) -> None:
    for number in range(MOST_FLOWS):
        api.put(f"/flows/f{number}", {})
    refused = api.put("/flows/another", {})
    assert refused.status == 429
    assert "flows" in refused.problem["detail"]
    assert api.put("/flows/f0", {"rate": TEN}).status == 200


def test_a_job_names_a_flow(api: Api) -> None:
    made = api.register(flow="billing")
    assert made["flow"] == "billing"
    at = f"/jobs/{made['id']}"
    assert api.patch(at, {"name": "Another"}).json["flow"] == "billing"
    assert api.patch(at, {"flow": "host:example.com"}).json["flow"] == "host:example.com"
    assert api.patch(at, {"flow": None}).json["flow"] is None
    # A change of the flow starts nothing anew.
    assert api.get(at).json["next_run_time"] == made["next_run_time"]


def due_at_once(api: Api, count: int, **fields: Any) -> list[str]:
    """Register jobs that are due in five seconds; return the paths of their runs."""
    paths = [f"/jobs/{api.register(**fields)['id']}/runs" for _ in range(count)]
    api.env.advance(seconds=5.5)
    return paths


def test_a_run_that_is_held_says_what_it_waits_for_and_afterwards_how_long(api: Api) -> None:
    api.put("/flows/host:example.com", {"rate": {"requests": 1, "seconds": 20}})
    paths = due_at_once(api, 3)
    runs = [(api.get(path).json[0], path) for path in paths]
    # Which one comes first is chance.
    (first, _), (second, at), (third, _) = sorted(
        runs, key=lambda run: run[0]["next_attempt_at"] or ""
    )
    assert (first["status"], "waits_for" in first, "waited_ms" in first) == (
        "succeeded",
        False,
        False,
    )
    assert (second["status"], second["waits_for"]) == ("queued", "rate")
    assert (second["started_at"], second["lateness_ms"], "waited_ms" in second) == (
        None,
        None,
        False,
    )
    assert second["next_attempt_at"] < third["next_attempt_at"]
    assert api.get("/flows/host:example.com").json["waiting"] == 2
    assert [one["waiting"] for one in api.get("/flows").json] == [2]
    api.env.advance(seconds=60)
    sent = [one.at for one in api.env.sent]
    assert [after - before for before, after in pairwise(sent)] == [timedelta(seconds=20)] * 2
    (second,) = api.get(at).json
    assert (second["status"], "waits_for" in second) == ("succeeded", False)
    assert second["lateness_ms"] + second["waited_ms"] == 20_000
    assert second["waited_ms"] > 19_900
    assert api.get(f"{at}/{second['id']}").json["waited_ms"] == second["waited_ms"]
    assert api.get("/flows/host:example.com").json["waiting"] == 0


def test_a_held_run_can_be_cancelled(api: Api) -> None:
    api.put("/flows/host:example.com", {"rate": {"requests": 1, "seconds": 20}})
    paths = due_at_once(api, 2)
    path = next(path for path in paths if "waits_for" in api.get(path).json[0])
    (held,) = api.get(path).json
    cancelled = api.delete(f"{path}/{held['id']}").json
    assert (cancelled["status"], cancelled["reason"]) == ("skipped", "cancelled")
    assert "waits_for" not in cancelled
    api.env.advance(seconds=60)
    assert len(api.env.sent) == 1
    assert api.get(path.removesuffix("/runs")).json["status"] == "failed"


def held_job(api: Api) -> str:
    """Return the path of a one-time job whose run is held and was never sent."""
    api.put("/flows/host:example.com", {"rate": {"requests": 1, "seconds": 20}})
    paths = due_at_once(api, 2)
    found = next(path for path in paths if "waits_for" in api.get(path).json[0])
    return found.removesuffix("/runs")


def test_a_job_whose_run_was_never_sent_can_be_changed(api: Api) -> None:
    path = held_job(api)
    changed = api.patch(path, {"request": {**job()["request"], "headers": {"X-New": "1"}}})
    assert (changed.status, changed.json["status"]) == (200, "active")
    api.env.advance(seconds=45)
    (run,) = api.get(f"{path}/runs").json
    assert (run["status"], run["reason"]) == ("succeeded", None)
    assert api.env.sent[-1].request.headers["X-New"] == "1"


def test_a_job_whose_run_was_never_sent_can_be_paused(api: Api) -> None:
    path = held_job(api)
    until = "2026-11-23T10:01:00Z"
    assert api.post(f"{path}/pause", {"until": until}).status == 200
    assert api.get(f"{path}/runs").json == []
    # As for any date that passes while its job is paused.
    refused = api.post(f"{path}/resume")
    assert (refused.status, "date" in refused.problem["detail"]) == (409, True)
    assert api.patch(path, {"trigger": {"delay": 1}}).json["status"] == "paused"
    assert api.post(f"{path}/resume").json["status"] == "active"
    api.env.advance(seconds=45)
    assert [one["status"] for one in api.get(f"{path}/runs").json] == ["succeeded"]


def test_a_held_run_of_an_interval_that_is_paused_is_skipped(api: Api) -> None:
    api.put("/flows/host:example.com", {"rate": {"requests": 1, "seconds": 30}})
    paths = due_at_once(api, 2, trigger={"every": 60, "starts_at": "2026-11-23T10:00:05Z"})
    path = next(path for path in paths if "waits_for" in api.get(path).json[0])
    api.post(path.removesuffix("/runs") + "/pause")
    api.env.advance(seconds=2)
    (run,) = api.get(path).json
    assert (run["status"], run["reason"]) == ("skipped", "superseded")


def test_a_faster_rate_holds_from_now_on(api: Api) -> None:
    api.put("/flows/host:example.com", {"rate": {"requests": 1, "seconds": 3600}})
    due_at_once(api, 5)
    assert api.get("/flows/host:example.com").json["waiting"] == 4
    faster = api.put("/flows/host:example.com", {"rate": {"requests": 1, "seconds": 2}}).json
    assert faster["waiting"] == 0
    due_at_once(api, 1)
    assert len(api.env.sent) == 2
    # The others ask again when the places come that they had.
    api.env.advance(seconds=4 * 3600)
    assert len(api.env.sent) == 6


def test_a_rate_that_is_put_as_it_is_keeps_its_places(api: Api) -> None:
    rate = {"rate": {"requests": 1, "seconds": 20}}
    api.put("/flows/host:example.com", rate)
    due_at_once(api, 3)
    assert api.put("/flows/host:example.com", rate).json["waiting"] == 2
    assert api.put("/flows/host:example.com", {}).json["waiting"] == 0


def test_runs_of_an_outage_keep_to_the_rate(api: Api) -> None:
    api.put("/flows/host:example.com", {"rate": {"requests": 1, "seconds": 20}})
    due_at_once(api, 4)
    lost = dict(api.env.cloud.messages)
    api.env.cloud.messages.clear()
    api.env.now += timedelta(minutes=10)
    api.env.cloud.messages |= lost
    api.env.advance(seconds=70)
    sent = [one.at for one in api.env.sent]
    assert len(sent) == 4
    gaps = [after - before for before, after in pairwise(sent)]
    assert min(gaps) >= timedelta(seconds=20)


def test_other_flows_and_tenants_are_not_held(api: Api) -> None:
    api.put("/flows/host:example.com", {"rate": {"requests": 1, "seconds": 20}})
    due_at_once(api, 3, flow="another")
    assert len(api.env.sent) == 3


def test_a_flow_that_is_deleted_while_runs_wait_holds_nothing_else(api: Api) -> None:
    api.put("/flows/host:example.com", {"rate": {"requests": 1, "seconds": 20}})
    due_at_once(api, 2)
    assert api.delete("/flows/host:example.com").status == 204
    due_at_once(api, 2)
    assert len(api.env.sent) == 3
    api.env.advance(seconds=20)
    assert len(api.env.sent) == 4


def test_a_rotation_of_the_signing_secret_keeps_the_flows(api: Api) -> None:
    api.put("/flows/host:example.com", {"rate": {"requests": 1, "seconds": 20}})
    api.post("/signing-secret/rotate")
    due_at_once(api, 2)
    assert len(api.env.sent) == 1


def run_of(api: Api, path: str) -> Any:
    (run,) = api.get(path).json
    return run


def test_a_paused_flow_holds_all_and_loses_none(api: Api) -> None:
    shown = api.put("/flows/host:example.com", {"paused": True}).json
    assert (shown["state"], shown["paused"], shown["waiting"]) == ("paused", True, 0)
    paths = due_at_once(api, 3)
    assert (api.env.sent, api.get("/flows/host:example.com").json["waiting"]) == ([], 3)
    for path in paths:
        run = run_of(api, path)
        assert (run["status"], run["waits_for"]) == ("queued", "pause")
        assert run["next_attempt_at"] is None
        assert run["attempts"] == []
    api.env.advance(seconds=3600)
    assert api.env.sent == []
    resumed = api.put("/flows/host:example.com", {}).json
    assert resumed["state"] == "closed"
    api.env.advance(seconds=3)
    assert [run_of(api, path)["status"] for path in paths] == ["succeeded"] * 3
    run = run_of(api, paths[0])
    assert run["waited_ms"] > 3_590_000
    assert run["lateness_ms"] < 3_000
    assert api.get("/flows/host:example.com").json["waiting"] == 0


def test_a_paused_flow_that_is_deleted_lets_its_runs_go(api: Api) -> None:
    api.put("/flows/host:example.com", {"paused": True})
    due_at_once(api, 2)
    api.delete("/flows/host:example.com")
    api.env.advance(seconds=3)
    assert len(api.env.sent) == 2
    left = [key for key in api.env.cloud.tables["jobs"] if key[0].startswith("flow#")]
    assert left == []


def test_what_waits_in_line_counts_its_grace(api: Api) -> None:
    api.put("/flows/host:example.com", {"paused": True})
    (path,) = due_at_once(api, 1, misfire_grace=60)
    api.env.advance(seconds=70)
    assert (run_of(api, path)["status"], run_of(api, path)["reason"]) == ("missed", "misfire")
    api.put("/flows/host:example.com", {})
    api.env.advance(seconds=5)
    assert api.env.sent == []


def test_a_run_in_line_can_be_cancelled_and_its_job_deleted(api: Api) -> None:
    api.put("/flows/host:example.com", {"paused": True})
    first, second, third = due_at_once(api, 3)
    run = run_of(api, first)
    assert api.delete(f"{first}/{run['id']}").json["status"] == "skipped"
    assert api.delete(second.removesuffix("/runs")).status == 204
    api.put("/flows/host:example.com", {})
    api.env.advance(seconds=5)
    assert len(api.env.sent) == 1
    assert run_of(api, third)["status"] == "succeeded"
    assert api.get("/flows/host:example.com").json["waiting"] == 0


@pytest.mark.parametrize("value", [0, 101, 1.5, "3"])
def test_a_concurrency_that_is_refused(api: Api, value: object) -> None:
    assert api.put("/flows/a", {"concurrency": value}).fields == ["concurrency"]


def test_a_concurrency_lets_each_run_go_when_one_is_over(api: Api) -> None:
    shown = api.put("/flows/host:example.com", {"concurrency": 1}).json
    assert (shown["concurrency"], shown["out"], shown["waiting"]) == (1, 0, 0)
    paths = due_at_once(api, 3)
    api.env.advance(seconds=5)
    assert len(api.env.sent) == 3
    assert {run_of(api, path)["status"] for path in paths} == {"succeeded"}
    assert api.get("/flows/host:example.com").json["out"] == 0


def test_a_flow_that_was_stored_before_series_limits_nothing_until_it_is_put_again(
    api: Api,
) -> None:
    api.put("/flows/host:example.com", {"rate": TEN})
    ((key, item),) = (
        each for each in api.env.cloud.tables["jobs"].items() if each[0][0].startswith("flows#")
    )
    stored = json.loads(item["flow"]["S"])
    for name in ("series", "concurrency", "paused"):
        del stored[name]
    api.env.cloud.tables["jobs"][key] = {**item, "flow": {"S": json.dumps(stored)}}
    assert api.get("/flows/host:example.com").json["rate"] is None
    due_at_once(api, 2)
    assert len(api.env.sent) == 2
    assert api.put("/flows/host:example.com", {"rate": TEN}).json["rate"] == TEN
    assert api.get("/flows/host:example.com").json["rate"] == TEN


def test_a_slot_is_given_back_if_the_flow_was_paused_before_the_claim(api: Api) -> None:
    api.put("/flows/host:example.com", {"concurrency": 1})

    def pause(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and request["Item"]["part"]["S"].startswith("out#"):
            api.env.cloud.after = lambda operation, request: None
            api.put("/flows/host:example.com", {"concurrency": 1, "paused": True})
            (shown,) = api.get("/jobs").json
            api.patch(f"/jobs/{shown['id']}", {"name": "other"})

    api.env.cloud.after = pause
    due_at_once(api, 1)
    api.env.advance(seconds=10)
    assert api.env.sent == []
    assert api.get("/flows/host:example.com").json["out"] == 0


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"breaker": 3}, ["breaker"]),
        ({"breaker": {}}, ["breaker.failures"]),
        ({"breaker": {"failures": 0}}, ["breaker.failures"]),
        (
            {"breaker": {"failures": 1001, "probe_seconds": 0}},
            ["breaker.failures", "breaker.probe_seconds"],
        ),
        ({"breaker": {"failures": 1, "probe_seconds": 3601}}, ["breaker.probe_seconds"]),
        ({"breaker": {"failures": True}}, ["breaker.failures"]),
        ({"breaker": {"failures": 1, "after": 2}}, ["breaker.after"]),
    ],
)
def test_a_breaker_that_is_refused(api: Api, body: object, fields: list[str]) -> None:
    assert api.put("/flows/a", body).fields == fields


def test_a_flow_that_is_open_is_shown_and_what_waits_for_it_too(api: Api) -> None:
    host = "/flows/host:example.com"
    made = api.put(host, {"breaker": {"failures": 1}}).json
    assert made["breaker"] == {"failures": 1, "probe_seconds": 60}
    api.env.target = lambda sent: status(503)
    once = {"max_attempts": 1}
    created = [api.post("/jobs", job(trigger={"delay": n}, retry=once)).json for n in (5, 8, 9)]
    api.env.advance(seconds=20)
    shown = api.get(host).json
    assert (shown["state"], shown["waiting"], shown["out"]) == ("open", 2, None)
    assert shown["opened_at"] == "2026-11-23T10:00:06Z"
    (run,) = api.get(f"/jobs/{created[1]['id']}/runs").json
    assert (run["status"], run["waits_for"], run["attempts"]) == ("queued", "breaker", [])
    assert api.put(host, {**shown, "waiting": 9}).json["state"] == "open"
    api.env.target = lambda sent: ok()
    api.env.advance(minutes=1)
    shown = api.get(host).json
    assert (shown["state"], shown["opened_at"], shown["waiting"]) == ("closed", None, 0)
    (run,) = api.get(f"/jobs/{created[1]['id']}/runs").json
    assert run["status"] == "succeeded"
    assert run["waited_ms"] > 50_000
    assert run["lateness_ms"] < 2_000


@pytest.mark.parametrize("is_deleted", [False, True])
def test_an_open_flow_that_is_put_without_its_breaker_or_deleted_lets_all_go(
    api: Api, is_deleted: bool
) -> None:
    host = "/flows/host:example.com"
    api.put(host, {"breaker": {"failures": 1, "probe_seconds": 3600}})
    api.env.target = lambda sent: status(503)
    api.post("/jobs", job(trigger={"delay": 5}, retry={"max_attempts": 1}))
    api.env.advance(seconds=7)
    api.env.target = lambda sent: ok()
    api.post("/jobs", job(trigger={"delay": 1}))
    api.env.advance(minutes=2)
    assert len(api.env.sent) == 1
    if is_deleted:
        api.delete(host)
    else:
        api.put(host, {})
    api.env.advance(seconds=2)
    assert len(api.env.sent) == 2
