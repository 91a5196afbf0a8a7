"""One-time jobs at the edges: the due time in the answer is the time at which a job is sent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.api.conftest import Api, job

# The clock of these tests shows 2026-11-23T10:00:00.25Z.


def due(api: Api, **trigger: Any) -> str:
    """Register a job, let it come due, and return when, having looked that its request was sent
    then, and once.
    """
    made = api.register(trigger=trigger)
    at = datetime.fromisoformat(made["next_run_time"])
    env = api.env
    # The sweeper looks every minute, so a year would take long: the clock jumps to before the wake,
    # which comes two minutes ahead.
    env.now = max(env.now, at - timedelta(minutes=20))
    env.advance_to(at + timedelta(minutes=20))
    assert [sent.request.url for sent in env.sent] == [made["request"]["url"]]
    assert timedelta() <= env.sent[0].at - at < timedelta(seconds=1)
    assert api.get(f"/jobs/{made['id']}").json["status"] == "completed"
    return str(made["next_run_time"])


def refusal(api: Api, **trigger: Any) -> list[dict[str, str]]:
    answer = api.post("/jobs", job(trigger=trigger))
    assert answer.status == 422
    assert api.get("/jobs").json == []
    errors: list[dict[str, str]] = answer.problem["errors"]
    return errors


def test_a_delay_of_0_is_due_at_the_next_whole_second(api: Api) -> None:
    assert due(api, delay=0) == "2026-11-23T10:00:01Z"


def test_a_delay_of_0_4_is_due_at_the_next_whole_second(api: Api) -> None:
    assert due(api, delay=0.4) == "2026-11-23T10:00:01Z"


def test_a_delay_of_899_which_one_message_can_carry_is_due_after_15_minutes(api: Api) -> None:
    assert due(api, delay=899) == "2026-11-23T10:15:00Z"


def test_a_delay_of_901_which_no_message_can_carry_is_due_after_15_minutes_and_2_seconds(
    api: Api,
) -> None:
    assert due(api, delay=901) == "2026-11-23T10:15:02Z"


def test_a_delay_of_31536000_is_due_after_a_year(api: Api) -> None:
    assert due(api, delay=31_536_000) == "2027-11-23T10:00:01Z"


def test_a_delay_of_31536001_is_refused(api: Api) -> None:
    assert refusal(api, delay=31_536_001) == [
        {"field": "trigger.delay", "message": "must be from 0 to 31536000 seconds (a year)"}
    ]


def test_a_date_in_another_offset_is_due_at_its_instant(api: Api) -> None:
    assert due(api, date="2026-12-01T15:45:00+05:45") == "2026-12-01T10:00:00Z"


def test_a_date_without_offset_is_due_by_utc(api: Api) -> None:
    assert due(api, date="2026-12-01T10:00:00") == "2026-12-01T10:00:00Z"


def test_a_date_without_offset_is_due_by_the_clock_of_its_time_zone(api: Api) -> None:
    assert (
        due(api, date="2026-12-01T10:00:00", timezone="America/New_York") == "2026-12-01T15:00:00Z"
    )


def test_a_date_in_a_gap_is_refused_with_the_next_valid_time(api: Api) -> None:
    message = (
        "the clocks of Europe/Berlin skip this time; the next that exists is 2027-03-28T03:00:00"
    )
    assert refusal(api, date="2027-03-28T02:30:00", timezone="Europe/Berlin") == [
        {"field": "trigger.date", "message": message}
    ]
    assert due(api, date="2027-03-28T03:00:00", timezone="Europe/Berlin") == "2027-03-28T01:00:00Z"


def test_a_date_in_a_fold_is_due_once_at_its_first_passing(api: Api) -> None:
    assert due(api, date="2027-10-31T02:30:00", timezone="Europe/Berlin") == "2027-10-31T00:30:00Z"


def test_a_date_on_29_february_is_due_in_a_leap_year(api: Api) -> None:
    assert due(api, date="2028-02-29T10:00:00Z") == "2028-02-29T10:00:00Z"


def test_a_date_on_29_february_is_refused_in_another_year(api: Api) -> None:
    assert refusal(api, date="2027-02-29T10:00:00Z") == [
        {"field": "trigger.date", "message": "there is no such date and time"}
    ]
