"""GET /jobs and /jobs/{id} with `include=recent_runs`: how a job's last runs ended."""

from __future__ import annotations

from tests.api.conftest import Api
from tests.environment import ok, status

MINUTELY = {"cron": "* * * * *"}


def recent(api: Api, job_id: str) -> list[str]:
    """Return how the job's last runs ended, which both routes say alike."""
    whole = api.get(f"/jobs/{job_id}?include=recent_runs").json
    assert whole in api.get("/jobs?include=recent_runs&limit=10").json
    shown: list[str] = whole.pop("recent_runs")
    assert whole == api.get(f"/jobs/{job_id}").json, "without `include` a job is as it was"
    assert whole in api.get("/jobs").json
    return shown


def test_a_new_job_has_none(api: Api) -> None:
    assert recent(api, api.register()["id"]) == []


def test_ends_of_every_kind_are_shown_the_last_first_and_as_the_list_of_runs_has_them(
    api: Api,
) -> None:
    job_id = api.register(
        trigger=MINUTELY, overlap="skip", retry={"max_attempts": 2, "initial_delay": 90}
    )["id"]
    api.env.advance(minutes=1)
    api.env.target = lambda sent: status(503)
    # Fails, is tried again 90 s later, past the next occurrence, which is skipped.
    api.env.advance(minutes=3, seconds=10)
    api.env.target = lambda sent: ok()
    api.env.advance(minutes=1)
    shown = recent(api, job_id)
    runs = api.get(f"/jobs/{job_id}/runs").json
    ended = sorted(runs, key=lambda run: run["finished_at"] or "~", reverse=True)
    assert shown == [run["status"] for run in ended if run["finished_at"]]
    assert set(shown) == {"succeeded", "failed", "skipped"}


def test_missed_and_superseded_runs_are_among_them(api: Api) -> None:
    job_id = api.register(trigger=MINUTELY, retry={"max_attempts": 2, "initial_delay": 900})["id"]
    api.env.target = lambda sent: status(503)
    api.env.advance(minutes=1)
    api.post(f"/jobs/{job_id}/pause")
    api.env.advance(seconds=10)
    assert recent(api, job_id) == ["failed"]
    api.post(f"/jobs/{job_id}/resume")
    api.env.wakes = api.env.sweeps = False
    api.env.cloud.messages.clear()
    api.env.advance(minutes=5)
    api.env.sweeps = True
    api.env.advance(minutes=1)
    assert recent(api, job_id)[-2:] == ["missed", "failed"]


def test_the_last_twenty_are_shown(api: Api) -> None:
    job_id = api.register(trigger=MINUTELY)["id"]
    api.env.advance(minutes=22)
    assert len(api.get(f"/jobs/{job_id}/runs").json) == 22
    assert recent(api, job_id) == ["succeeded"] * 20


def test_a_job_that_was_read_with_them_can_be_sent_back(api: Api) -> None:
    job_id = api.register(trigger=MINUTELY)["id"]
    api.env.advance(minutes=2)
    read = api.get(f"/jobs/{job_id}?include=recent_runs").json
    answer = api.patch(f"/jobs/{job_id}", {**read, "name": "Renamed"})
    assert (answer.status, answer.json["name"]) == (200, "Renamed")
    assert "recent_runs" not in answer.json
    wrong = api.patch(f"/jobs/{job_id}", {**answer.json, "recent_runs": ["failed"]})
    assert wrong.fields == ["recent_runs"]


def test_nothing_else_can_be_included(api: Api) -> None:
    job_id = api.register()["id"]
    for path in ("/jobs", f"/jobs/{job_id}"):
        assert api.get(f"{path}?include=result").fields == ["include"]
