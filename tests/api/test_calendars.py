"""Calendars, and jobs that name them in `trigger.exclude`."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.domain.calendars import MOST_CALENDARS
from tests.api.conftest import Answer, Api, job
from tests.cloud import client_error

# The clock of these tests shows 2026-11-23T10:00:00.25Z, a Monday.
HOLIDAYS: dict[str, Any] = {
    "timezone": "Europe/Berlin",
    "days": ["2026-12-25", "2026-12-24/2027-01-02"],
    "weekdays": ["sat", "sun"],
}
DAILY = {"cron": "0 9 * * *"}


def put(api: Api, name: str = "off", **fields: Any) -> Answer:
    answer = api.put(f"/calendars/{name}", fields)
    assert answer.status == 200, answer.text
    return answer


def excluding(*names: str, **fields: Any) -> dict[str, Any]:
    return {**(fields or DAILY), "exclude": list(names)}


def test_a_calendar_is_put_shown_listed_and_deleted(api: Api) -> None:
    made = put(api, "holidays-de", **HOLIDAYS).json
    times = {"created_at": "2026-11-23T10:00:00Z", "updated_at": "2026-11-23T10:00:00Z"}
    assert made == {"name": "holidays-de", **HOLIDAYS, **times}
    api.env.advance(seconds=5)
    assert put(api, "holidays-de", **HOLIDAYS).json == made
    changed = put(api, "holidays-de", days=["2026-12-25/2026-12-25"]).json
    assert changed == {
        "name": "holidays-de",
        "timezone": "UTC",
        "days": ["2026-12-25"],
        "weekdays": [],
        "created_at": made["created_at"],
        "updated_at": "2026-11-23T10:00:05Z",
    }
    assert api.get("/calendars/holidays-de").json == changed
    put(api, "a", weekdays=["sun", "mon"])
    assert [(one["name"], one["weekdays"]) for one in api.get("/calendars").json] == [
        ("a", ["mon", "sun"]),
        ("holidays-de", []),
    ]
    assert api.delete("/calendars/a").status == 204
    assert api.delete("/calendars/a").status == 404
    assert api.get("/calendars/a").status == 404


def test_what_was_read_can_be_changed_and_sent_back(api: Api) -> None:
    made = put(api, **HOLIDAYS).json
    answer = api.put("/calendars/off", {**made, "weekdays": []})
    assert (answer.status, answer.json["weekdays"]) == (200, [])
    assert api.put("/calendars/off", {**made, "name": "other"}).fields == ["name"]


def test_the_list_has_pages(api: Api) -> None:
    for name in "abcde":
        put(api, name, days=[])
    first = api.get("/calendars?limit=2")
    assert [one["name"] for one in first.json] == ["a", "b"]
    link = first.headers["Link"]
    second = api.get(link[link.index("/calendars") : link.index(">")])
    assert [one["name"] for one in second.json] == ["c", "d"]
    assert "Link" not in api.get("/calendars?limit=5").headers
    assert api.get("/calendars?cursor=bm9uZQ").status == 400


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["days"]),
        ({"days": None, "weekdays": None}, ["days"]),
        ({"days": "2026-12-25"}, ["days"]),
        ({"days": ["2026-12-25", "25.12.2026", "2026-02-30"]}, ["days.1", "days.2"]),
        ({"days": ["2026-12-25/"]}, ["days.0"]),
        ({"days": ["20261225"]}, ["days.0"]),
        ({"days": ["2027-01-02/2026-12-24"]}, ["days.0"]),
        ({"days": ["1969-12-31"]}, ["days.0"]),
        ({"days": ["2026-01-01/9999-12-31"]}, ["days.0"]),
        ({"days": ["2026-12-25"] * 1001}, ["days"]),
        ({"days": [5]}, ["days.0"]),
        ({"weekdays": ["sat", "Sunday", "SUN"]}, ["weekdays.1", "weekdays.2"]),
        ({"days": [], "timezone": "Berlin"}, ["timezone"]),
        ({"days": [], "zone": "Europe/Berlin"}, ["zone"]),
        # All that is wrong, whether the model or a rule finds it.
        (
            {"days": ["x", 5, "2026-12-25"], "weekdays": ["so", 7], "timezone": "Mars", "a": 1},
            ["a", "days.0", "days.1", "timezone", "weekdays.0", "weekdays.1"],
        ),
        ({"days": "x", "weekdays": ["so"], "timezone": 3}, ["days", "timezone", "weekdays.0"]),
        ({"days": [], "created_at": "2026-11-23T10:00:00Z"}, ["created_at"]),
    ],
)
def test_a_wrong_calendar_is_refused(api: Api, body: Any, fields: list[str]) -> None:
    assert api.put("/calendars/off", body).fields == fields
    assert api.get("/calendars").json == []


def test_a_backward_range_is_refused_with_what_was_meant(api: Api) -> None:
    answer = api.put("/calendars/off", {"days": ["2027-01-02/2026-12-24"]})
    assert "write 2026-12-24/2027-01-02" in answer.problem["detail"]


def test_a_wrong_name_is_refused(api: Api) -> None:
    assert api.put("/calendars/no%20name", {"days": []}).fields == ["name"]
    assert api.put("/calendars/no%20name", {"days": 1, "Name": 2}).fields == [
        "Name",
        "days",
        "name",
    ]
    assert api.get("/calendars/no%20name").status == 404
    assert api.delete("/calendars/no%20name").status == 404


def test_there_are_only_so_many_calendars(api: Api) -> None:
    for number in range(MOST_CALENDARS):
        put(api, f"c{number}", days=[])
    answer = api.put("/calendars/more", {"days": []})
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
    put(api, "c7", weekdays=["sun"])


def test_a_calendar_that_a_job_names_is_not_deleted(api: Api) -> None:
    put(api, days=["2026-11-24"])
    first = api.register(trigger=excluding("off"), key="first")
    second = api.register(trigger=excluding("off", every=60))
    answer = api.delete("/calendars/off")
    assert answer.status == 409
    assert answer.problem["detail"].startswith("2 jobs name this calendar in trigger.exclude")
    assert api.delete(f"/jobs/{first['id']}").status == 204
    assert api.delete("/calendars/off").problem["detail"].startswith("1 job names this calendar")
    assert api.patch(f"/jobs/{second['id']}", {"trigger": DAILY}).status == 200
    assert api.delete("/calendars/off").status == 204


def test_what_an_earlier_release_has_left_is_no_use(api: Api) -> None:
    """It deletes a job, and leaves that the job names a calendar."""
    put(api, days=["2026-11-24"])
    made = api.register(trigger=excluding("off"))
    for part in ("state", "definition"):
        del api.env.cloud.tables["jobs"][made["id"], part]
    assert api.delete("/calendars/off").status == 204
    assert [key for key in api.env.cloud.tables["jobs"] if key[0].startswith("calendar")] == []


# Jobs


def sent_days(api: Api) -> list[int]:
    return [int(sent.headers["Resona-Scheduled-Time"][8:10]) for sent in api.env.sent]


def test_nothing_is_sent_on_the_days_of_a_calendar(api: Api) -> None:
    put(api, days=["2026-11-25/2026-11-26"])
    made = api.register(trigger=excluding("off"))
    assert made["trigger"]["fields"] == {"cron": "0 9 * * *", "timezone": "UTC", "exclude": ["off"]}
    assert made["next_run_time"] == "2026-11-24T09:00:00Z"
    api.env.advance(hours=24)
    assert api.get(f"/jobs/{made['id']}").json["next_run_time"] == "2026-11-27T09:00:00Z"
    preview = api.post("/triggers/preview", {"trigger": made["trigger"], "count": 3}).json
    assert [time[8:10] for time in preview["next_run_times"]] == ["27", "28", "29"]
    assert preview["notes"] == [
        "off excludes 25 November 2026 and 26 November 2026: nothing is sent for these times"
    ]
    upcoming = api.get("/upcoming?hours=96").json["occurrences"]
    assert [one["scheduled_time"][8:10] for one in upcoming] == ["27", "28"]
    (first,) = api.get("/jobs?sort=next_run_time").json
    assert first["next_run_time"] == "2026-11-27T09:00:00Z"
    api.env.advance(hours=96)
    assert sent_days(api) == [24, 27, 28]
    runs = api.get(f"/jobs/{made['id']}/runs").json
    assert [run["status"] for run in runs] == ["succeeded"] * 3
    assert all(run["lateness_ms"] < 1_000 for run in runs)


def test_a_day_that_is_added_is_skipped_and_one_that_is_taken_out_is_sent(api: Api) -> None:
    put(api, days=["2026-11-25"])
    made = api.register(trigger=excluding("off"))
    put(api, days=["2026-11-24"])
    assert api.get(f"/jobs/{made['id']}").json["next_run_time"] == "2026-11-24T09:00:00Z"
    api.env.advance(hours=24)
    (run,) = api.get(f"/jobs/{made['id']}/runs").json
    assert (run["status"], run["reason"]) == ("skipped", "calendar:off")
    assert (run["attempts"], run["scheduled_time"]) == ([], "2026-11-24T09:00:00Z")
    (listed,) = api.get("/runs?status=skipped").json
    assert listed["reason"] == "calendar:off"
    api.env.advance(hours=24)
    assert sent_days(api) == [25]


def test_a_calendar_that_excluded_by_mistake_for_a_year_is_mended_at_once(api: Api) -> None:
    put(api, weekdays=[])
    made = api.register(trigger=excluding("off"))
    put(api, weekdays=["mon", "tue", "wed", "thu", "fri", "sat", "sun"])
    api.env.advance(hours=48)
    shown = api.get(f"/jobs/{made['id']}").json
    assert (shown["status"], shown["next_run_time"], api.env.sent) == ("active", None, [])
    assert api.get("/upcoming").json["occurrences"] == []
    assert api.get("/jobs?sort=next_run_time").json == []
    put(api, weekdays=[])
    api.env.advance(hours=24)
    assert sent_days(api) == [26]


def test_a_job_of_two_calendars_is_skipped_by_the_first_that_excludes(api: Api) -> None:
    for name in ("a", "b", "c"):
        put(api, name, days=[])
    made = api.register(trigger=excluding("a", "b", "c", every=3600))
    put(api, "c", weekdays=["mon"])
    put(api, "b", weekdays=["mon"])
    api.env.advance(hours=1, seconds=2)
    (run,) = api.get(f"/jobs/{made['id']}/runs").json
    assert run["reason"] == "calendar:b"


def test_a_retry_goes_on_on_an_excluded_day(api: Api) -> None:
    put(api, days=[])
    made = api.register(trigger=excluding("off"))
    api.post(f"/jobs/{made['id']}/run")
    put(api, weekdays=["mon", "tue"])
    api.env.advance(seconds=5)
    assert len(api.env.sent) == 1


def test_max_runs_does_not_count_what_is_skipped(api: Api) -> None:
    put(api, days=[])
    made = api.register(trigger=excluding("off", cron="0 9 * * *", max_runs=1))
    put(api, days=["2026-11-24"])
    api.env.advance(hours=48)
    assert sent_days(api) == [25]
    assert api.get(f"/jobs/{made['id']}").json["status"] == "completed"


@pytest.mark.parametrize(
    "exclude", ["off", ["off", "off"], [5], ["no name"], ["a", "b", "c", "d", "e", "f"], {}]
)
def test_a_wrong_list_of_calendars_is_refused(api: Api, exclude: object) -> None:
    put(api, days=[])
    (field,) = api.post("/jobs", job(trigger={**DAILY, "exclude": exclude})).fields
    assert field.startswith("trigger.exclude")


def test_a_calendar_that_does_not_exist_is_refused_with_what_to_do(api: Api) -> None:
    put(api, days=[])
    made = api.register(trigger=excluding("off"))
    wrong = excluding("off", "gone")
    for answer in (
        api.post("/jobs", job(trigger=wrong)),
        api.patch(f"/jobs/{made['id']}", {"trigger": wrong}),
        api.post("/triggers/preview", {"trigger": wrong}),
        api.put("/jobs/key:report", job(trigger=wrong)),
    ):
        assert answer.fields == ["trigger.exclude.1"]
        assert "PUT /calendars/gone first" in answer.problem["detail"]


def test_calendars_that_leave_nothing_are_refused(api: Api) -> None:
    put(api, weekdays=["mon"])
    answer = api.post("/jobs", job(trigger=excluding("off", cron="0 9 * * 1")))
    assert answer.fields == ["trigger.exclude"]
    assert "leave no occurrence within 10 years" in answer.problem["detail"]
    preview = api.post("/triggers/preview", {"trigger": excluding("off", cron="0 9 * * 1")}).json
    assert preview["next_run_times"] == []
    assert preview["notes"] == ["The calendars leave none of its times within 10 years"]


@pytest.mark.parametrize("trigger", [{"delay": 5}, {"date": "2026-12-01T10:00:00Z"}])
def test_what_comes_once_has_no_calendars(api: Api, trigger: dict[str, Any]) -> None:
    answer = api.post("/jobs", job(trigger={**trigger, "exclude": ["off"]}))
    assert answer.fields == ["trigger.exclude"]
    assert "goes with cron or every" in answer.problem["detail"]


def test_no_calendars_are_none(api: Api) -> None:
    nothing: tuple[object, ...] = (None, [])
    for exclude in nothing:
        made = api.register(trigger={**DAILY, "exclude": exclude})
        assert "exclude" not in made["trigger"]["fields"]


def test_a_job_that_is_paused_over_an_excluded_day_resumes(api: Api) -> None:
    put(api, days=["2026-11-24"])
    made = api.register(trigger=excluding("off"))
    api.post(f"/jobs/{made['id']}/pause")
    put(api, days=["2026-11-24", "2026-11-25"])
    shown = api.post(f"/jobs/{made['id']}/resume").json
    assert shown["next_run_time"] == "2026-11-26T09:00:00Z"
    changed = api.patch(f"/jobs/{made['id']}", {"timeout": 5}).json
    assert changed["next_run_time"] == "2026-11-26T09:00:00Z"


def test_an_occurrence_whose_calendars_cannot_be_read_is_late_and_not_lost(api: Api) -> None:
    """No attempt is spent on it, and it is decided by the calendars as they are then."""
    put(api, days=[])
    made = api.register(trigger=excluding("off", every=3600))

    def fail(operation: str, request: dict[str, Any]) -> None:
        is_down = (api.env.now.hour, api.env.now.minute) == (11, 0)
        if is_down and operation == "BatchGetItem" and "calendars#local" in str(request):
            raise client_error("InternalServerError", operation, 500)

    api.env.cloud.before = fail
    api.env.advance(minutes=63)
    assert len(api.env.sent) == 1
    (run,) = api.get(f"/jobs/{made['id']}/runs").json
    assert (run["status"], len(run["attempts"])) == ("succeeded", 1)
    assert 30_000 < run["lateness_ms"] < 120_000
