"""POST /triggers/preview."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Answer, Api

# The clock of these tests shows 2026-11-23T10:00:00.25Z.


def preview(api: Api, trigger: object, **fields: Any) -> Answer:
    return api.post("/triggers/preview", {"trigger": trigger, **fields})


def test_a_cron_is_shown_with_its_next_ten_times(api: Api) -> None:
    answer = preview(api, {"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == {
        "trigger": {"type": "cron", "fields": {"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"}},
        "next_run_times": [
            *(f"2026-11-{day}T08:00:00Z" for day in (24, 25, 26, 27, 30)),
            *(f"2026-12-0{day}T08:00:00Z" for day in (1, 2, 3, 4, 7)),
        ],
        "notes": [],
        "in_words": "every weekday at 09:00 in Berlin",
    }


def test_nothing_is_registered(api: Api) -> None:
    preview(api, {"cron": "* * * * *"})
    assert api.get("/jobs").json == []
    assert api.env.cloud.schedules == {}


def test_notes_say_what_daylight_saving_does(api: Api) -> None:
    body = preview(
        api,
        {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
        after="2027-03-26T12:00:00+01:00",
        count=2,
    ).json
    assert body["next_run_times"] == ["2027-03-27T01:30:00Z", "2027-03-29T00:30:00Z"]
    assert body["notes"] == [
        "On 28 March 2027 the time 02:30 does not exist in Europe/Berlin: no run that day"
    ]


def test_a_cron_makes_up_for_a_skipped_time_if_asked_to(api: Api) -> None:
    trigger = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "dst": {"gap": "next"}}
    body = preview(api, trigger, after="2027-03-27T12:00:00+01:00", count=1).json
    assert body["trigger"]["fields"] == {**trigger, "dst": {"gap": "next", "fold": "first"}}
    assert body["next_run_times"] == ["2027-03-28T01:00:00Z"]
    assert body["notes"] == [
        "On 28 March 2027 the time 02:30 does not exist in Europe/Berlin: one run at 03:00 instead"
    ]
    assert preview(api, body["trigger"]).json["trigger"] == body["trigger"]


@pytest.mark.parametrize(
    "dst", [None, {}, {"gap": None}, {"gap": "skip"}, {"gap": "skip", "fold": "first"}]
)
def test_the_default_at_clock_changes_is_not_shown(api: Api, dst: object) -> None:
    body = preview(api, {"cron": "30 2 * * *", "dst": dst}).json
    assert body["trigger"]["fields"] == {"cron": "30 2 * * *", "timezone": "UTC"}


def test_times_come_strictly_after(api: Api) -> None:
    body = preview(api, {"cron": "0 9 * * *"}, after="2027-01-01T09:00:00Z", count=1).json
    assert body["next_run_times"] == ["2027-01-02T09:00:00Z"]
    body = preview(
        api, {"cron": "0 9 * * *"}, after="2027-01-01T09:59:59.9999999+01:00", count=1
    ).json
    assert body["next_run_times"] == ["2027-01-01T09:00:00Z"]


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (100, 100), (5.0, 5)])
def test_as_many_times_are_shown_as_are_asked_for(api: Api, count: object, shown: int) -> None:
    assert len(preview(api, {"cron": "* * * * *"}, count=count).json["next_run_times"]) == shown


@pytest.mark.parametrize(
    ("trigger", "date"),
    [
        ({"date": "2026-12-01T10:00:00+02:00"}, "2026-12-01T08:00:00Z"),
        ({"date": "2026-12-01T10:00:00", "timezone": "America/New_York"}, "2026-12-01T15:00:00Z"),
        ({"delay": 5}, "2026-11-23T10:00:06Z"),
        ({"delay": 0}, "2026-11-23T10:00:01Z"),
        # A date that has just passed is due at once, as for a job.
        ({"date": "2026-11-23T09:59:30Z"}, "2026-11-23T09:59:30Z"),
    ],
)
def test_a_date_is_shown_once(api: Api, trigger: dict[str, Any], date: str) -> None:
    body = preview(api, trigger).json
    assert body.pop("in_words").startswith("once, on ")
    assert body == {
        "trigger": {"type": "one-time", "fields": {"date": date}},
        "next_run_times": [date],
        "notes": [],
    }
    assert api.register(trigger=trigger)["next_run_time"] == date


def test_a_delay_of_nothing_on_the_full_second_is_due_now(api: Api) -> None:
    api.env.advance(seconds=0.75)
    assert preview(api, {"delay": 0}).json["next_run_times"] == ["2026-11-23T10:00:01Z"]


def test_after_its_date_nothing_comes(api: Api) -> None:
    assert (
        preview(api, {"date": "2026-12-01T10:00:00Z"}, after="2026-12-01T10:00:00Z").json[
            "next_run_times"
        ]
        == []
    )


def test_a_returned_trigger_can_be_sent(api: Api) -> None:
    shown = preview(api, {"cron": "@daily", "timezone": "US/Eastern"}).json
    assert preview(api, shown["trigger"]).json == shown


@pytest.mark.parametrize(
    "after",
    [
        "2026-12-01T10:00:00+10:99",
        "",
        "tomorrow",
        "2026-12-01",
        "2026-12-01T10:00:00",
        "2026-12-01 10:00:00Z",
        "2026-13-01T10:00:00Z",
        "2026-12-01T10:00:00+25:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-12-01T10:00:00Z\n",
        None,
        1_764_583_200,
        True,
        ["2026-12-01T10:00:00Z"],
    ],
)
@pytest.mark.parametrize("name", ["after", "from", "to"])
def test_after_from_and_to_are_instants_with_their_offsets(
    api: Api, name: str, after: object
) -> None:
    answer = preview(api, {"cron": "0 9 * * *"}, **{name: after})
    assert answer.fields == [name]
    assert f"{name}: must be an instant with its offset" in answer.problem["detail"]


@pytest.mark.parametrize("name", ["after", "from", "to"])
@pytest.mark.parametrize(
    ("at", "is_taken"),
    [
        ("0001-12-31T23:59:59.999Z", False),
        ("0002-01-01T00:00:00Z", True),
        ("9998-12-31T23:59:59Z", True),
        ("9999-01-01T00:00:00Z", False),
        # It is in 9999 in UTC.
        ("9998-12-31T23:59:59-01:00", False),
    ],
)
def test_they_are_in_years_that_have_times(api: Api, name: str, at: str, is_taken: bool) -> None:
    for zone in ("Pacific/Kiritimati", "Etc/GMT+12"):
        trigger = {"cron": "0 9 * * *", "timezone": zone}
        answer = preview(api, trigger, **{name: at})
        if is_taken and name != "to":
            assert answer.json["next_run_times"] or answer.json["notes"]
        elif is_taken:
            # It is a year to ask for, but not from now.
            assert answer.fields == ["to"]
            assert "must be in the years" not in answer.problem["detail"]
        else:
            assert f"{name}: must be in the years 2 to 9998" in answer.problem["detail"]


def test_a_range_is_shown_from_its_first_time_to_its_last(api: Api) -> None:
    trigger = {"cron": "0 9 * * *"}
    begin, end = "2026-01-01T09:00:00Z", "2026-01-31T10:00:00+01:00"
    shown = preview(api, trigger, **{"from": begin, "to": end}).json
    assert shown["next_run_times"] == [f"2026-01-{day:02}T09:00:00Z" for day in range(1, 32)]
    assert shown["notes"] == []
    later = preview(api, trigger, **{"from": "2026-01-01T09:00:00.000001Z", "count": 1}).json
    assert later["next_run_times"] == ["2026-01-02T09:00:00Z"]
    assert preview(api, trigger, **{"from": begin, "to": begin}).json["next_run_times"] == [begin]
    sooner = preview(api, trigger, **{"from": begin, "to": "2026-01-02T08:59:59.999999Z"}).json
    assert sooner["next_run_times"] == [begin]
    assert len(preview(api, trigger, **{"from": begin}).json["next_run_times"]) == 10
    # Together with after, and from now on.
    both = preview(api, trigger, after=begin, to="2026-01-02T09:00:00Z").json
    assert both["next_run_times"] == ["2026-01-02T09:00:00Z"]
    until = preview(api, trigger, to="2026-11-24T09:00:00Z").json
    assert until["next_run_times"] == ["2026-11-24T09:00:00Z"]


def test_a_range_has_at_most_a_hundred_times_and_says_so(api: Api) -> None:
    begin, end = "2026-01-01T00:00:00Z", "2026-01-01T12:00:00Z"
    shown = preview(api, {"cron": "* * * * *"}, **{"from": begin, "to": end}).json
    assert len(shown["next_run_times"]) == 100
    (note,) = shown["notes"]
    assert note == "More times follow until 2026-01-01T12:00:00Z: ask for them after these"
    last = shown["next_run_times"][-1]
    following = preview(api, {"cron": "* * * * *"}, after=last, to=end).json
    assert following["next_run_times"][0] == "2026-01-01T01:40:00Z"


def test_a_range_shows_the_times_that_a_backfill_of_it_has(api: Api) -> None:
    """Through excluded days, however many."""
    api.put("/calendars/closed", {"days": ["2001-01-01/2015-12-31"], "weekdays": ["sat", "sun"]})
    trigger = {"cron": "0 9 1 1 *", "exclude": ["closed"]}
    past = {"from": "2000-01-01T00:00:00Z", "to": "2020-12-31T00:00:00Z"}
    times = preview(api, trigger, **past).json["next_run_times"]
    assert [at[:4] for at in times] == ["2016", "2018", "2019", "2020"]
    job_id = api.register(trigger=trigger)["id"]
    assert api.post(f"/jobs/{job_id}/backfill", past).json == {"runs": len(times)}


@pytest.mark.parametrize(
    ("fields", "field", "why"),
    [
        ({"from": "2026-12-01T00:00:00Z", "after": "2026-12-01T00:00:00Z"}, "from", "either from"),
        ({"from": "2026-12-01T00:00:00Z", "to": "2026-11-30T23:59:59Z"}, "to", "not be before"),
        ({"after": "2026-12-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}, "to", "not be before"),
        ({"to": "2026-11-23T10:00:00Z"}, "to", "not be before"),
        ({"from": "2000-01-01T00:00:00Z", "to": "2060-03-01T00:00:00Z"}, "to", "at most 60 years"),
    ],
)
def test_a_range_without_times_is_refused(
    api: Api, fields: dict[str, str], field: str, why: str
) -> None:
    answer = preview(api, {"cron": "0 9 * * *"}, **fields)
    assert answer.fields == [field]
    assert why in answer.problem["detail"]


@pytest.mark.parametrize("count", [0, 101, -1, 1.5, 10**400, "10", True, None, [10]])
def test_count_is_a_whole_number_from_1_to_100(api: Api, count: object) -> None:
    assert preview(api, {"cron": "0 9 * * *"}, count=count).fields == ["count"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["trigger"]),
        ([], [""]),
        (None, None),
        ({"trigger": None}, ["trigger"]),
        ({"trigger": {}}, ["trigger"]),
        ({"trigger": {"cron": "0 9 * * *", "delay": 5}}, ["trigger"]),
        ({"trigger": {"cron": "0 9 * * *", "at": "noon"}}, ["trigger.at"]),
        ({"trigger": {"cron": "60 9 * * *"}}, ["trigger.cron"]),
        ({"trigger": {"cron": "0 9 * * *", "timezone": "Mars"}}, ["trigger.timezone"]),
        ({"trigger": {"date": "2026-11-23T09:58:00Z"}}, ["trigger.date"]),
        ({"trigger": {"delay": 10**400}}, ["trigger.delay"]),
        ({"trigger": {"delay": -1}}, ["trigger.delay"]),
        ({"trigger": {"delay": 5}, "name": "x", "limit": 3}, ["limit", "name"]),
        (
            {"trigger": {"cron": "bogus"}, "after": "now", "count": 0, "x": 1, "to": "then"},
            ["after", "count", "to", "trigger.cron", "x"],
        ),
    ],
)
def test_every_wrong_field_is_named(api: Api, body: object, fields: list[str] | None) -> None:
    answer = api.post("/triggers/preview", body)
    if fields is None:
        assert answer.status in (400, 415)
    else:
        assert answer.fields == fields


def test_the_far_past_and_the_far_future_are_answered(api: Api) -> None:
    last = preview(
        api, {"cron": "* * * * *", "timezone": "Asia/Tokyo"}, after="9998-12-31T23:59:00Z"
    ).json
    assert last["next_run_times"] == []
    assert last["notes"] == ["There is no time from 9998-12-31T23:59:01Z"]
    for cron in ("0 0 29 2 */7", "30 * 29 2 */7"):
        answer = preview(
            api,
            {"cron": cron, "timezone": "Europe/Berlin"},
            after="0002-01-02T00:00:00Z",
            count=100,
        )
        assert len(answer.json["next_run_times"]) > 50
        assert len(answer.json["notes"]) <= 20
