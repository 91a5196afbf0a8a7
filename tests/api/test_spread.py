"""`trigger.spread`: the jobs of a cron come one after the other, each at its own second."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.api.conftest import Api, job

SPREAD = {"cron": "0 9 * * *", "timezone": "Europe/Berlin", "spread": 600}


def test_next_run_time_preview_upcoming_and_firing_agree(api: Api) -> None:
    made = api.register(trigger=SPREAD)
    assert made["trigger"] == {"type": "cron", "fields": SPREAD}
    shown = api.post("/triggers/preview", {"trigger": made["trigger"], "id": made["id"]}).json
    times = shown["next_run_times"]
    assert times[0] == made["next_run_time"]
    assert "2026-11-24T08:00:00Z" <= times[0] < "2026-11-24T08:10:00Z"
    listed = api.get("/upcoming?hours=72").json["occurrences"]
    assert [one["scheduled_time"] for one in listed] == times[:3]
    api.env.advance(hours=72)
    assert [sent.headers["Resona-Scheduled-Time"] for sent in api.env.sent] == times[:3]
    (run, *_) = api.get(f"/jobs/{made['id']}/runs").json
    assert run["lateness_ms"] < 1_000


def test_two_jobs_of_one_cron_come_at_two_times(api: Api) -> None:
    times = {api.register(trigger=SPREAD)["next_run_time"] for _ in range(5)}
    assert len(times) > 1
    listed = api.get("/jobs").json
    shown = [
        api.post("/triggers/preview", {"trigger": SPREAD, "id": one["id"], "count": 1}).json
        for one in listed
    ]
    assert [one["next_run_time"] for one in listed] == [one["next_run_times"][0] for one in shown]


def test_without_a_job_the_offset_is_not_known(api: Api) -> None:
    shown = api.post("/triggers/preview", {"trigger": SPREAD, "count": 1}).json
    assert shown["next_run_times"] == ["2026-11-24T08:00:00Z"]
    assert "not known yet" in shown["notes"][0]


def test_what_was_read_can_be_sent_back(api: Api) -> None:
    made = api.register(trigger=SPREAD)
    answer = api.patch(f"/jobs/{made['id']}", {"trigger": made["trigger"]})
    assert answer.json == made
    changed = api.patch(f"/jobs/{made['id']}", {"trigger": {**SPREAD, "spread": 0}}).json
    assert "spread" not in changed["trigger"]["fields"]
    assert changed["next_run_time"] == "2026-11-24T08:00:00Z"


def test_bounds_are_those_of_the_times_as_they_are_moved(api: Api) -> None:
    made = api.register(trigger=SPREAD)
    at = made["next_run_time"]
    for bound in ({"starts_at": at}, {"ends_at": at}, {"max_runs": 1}):
        changed = api.patch(f"/jobs/{made['id']}", {"trigger": {**SPREAD, **bound}}).json
        assert changed["next_run_time"] == at
    before = datetime.fromisoformat(at) - timedelta(seconds=1)
    early = {**SPREAD, "ends_at": before.isoformat()}
    answer = api.patch(f"/jobs/{made['id']}", {"trigger": early})
    assert answer.fields == ["trigger.ends_at"]


@pytest.mark.parametrize("spread", [None, 0, 600.0, 3600])
def test_a_spread_is_whole_seconds(api: Api, spread: object) -> None:
    fields = api.register(trigger={**SPREAD, "spread": spread})["trigger"]["fields"]
    assert fields.get("spread", 0) == (spread or 0)


@pytest.mark.parametrize("spread", [-1, 3601, 1.5, True, "600", [], {}])
def test_another_spread_is_refused(api: Api, spread: object) -> None:
    answer = api.post("/jobs", job(trigger={**SPREAD, "spread": spread}))
    assert answer.fields == ["trigger.spread"]
    assert "must be whole seconds from 0 to 3600" in answer.problem["detail"]


@pytest.mark.parametrize(
    ("cron", "spread", "most"), [("*/5 * * * *", 301, 300), ("* * * * *", 3600, 60)]
)
def test_a_spread_is_not_longer_than_the_time_between_two_occurrences(
    api: Api, cron: str, spread: int, most: int
) -> None:
    answer = api.post("/jobs", job(trigger={"cron": cron, "spread": spread}))
    assert answer.fields == ["trigger.spread"]
    assert answer.problem["detail"].endswith(f"give at most {most}")
    assert api.post("/jobs", job(trigger={"cron": cron, "spread": most})).status == 201


@pytest.mark.parametrize("trigger", [{"every": 60}, {"delay": 5}, {"date": "2026-12-01T10:00Z"}])
def test_a_spread_goes_with_a_cron(api: Api, trigger: dict[str, Any]) -> None:
    answer = api.post("/jobs", job(trigger={**trigger, "spread": 5}))
    assert answer.fields == ["trigger.spread"]
    assert "goes with cron" in answer.problem["detail"]


@pytest.mark.parametrize("job_id", [None, 5, "", "job_1", "key:report"])
def test_the_id_of_a_preview_is_that_of_a_job(api: Api, job_id: object) -> None:
    answer = api.post("/triggers/preview", {"trigger": SPREAD, "id": job_id})
    assert answer.fields == ["id"]
