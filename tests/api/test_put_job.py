"""PUT /jobs/key:{key}."""

from __future__ import annotations

import re
from typing import Any

import pytest

from chalicelib.domain.cron import parse
from tests.api.conftest import Api, job

PATH = "/jobs/key:nightly"
CRON = {"cron": "0 3 * * *"}


def body(**changes: Any) -> dict[str, Any]:
    return job(**{"trigger": CRON, **changes})


def once_before_the_write(api: Api, act: Any) -> None:
    """Have something happen between the next look at the jobs and the write that follows it."""

    def before(operation: str, request: dict[str, Any]) -> None:
        if operation == "TransactWriteItems":
            api.env.cloud.before = lambda operation, request: None
            act()

    api.env.cloud.before = before


def test_a_job_is_created_under_its_key(api: Api) -> None:
    answer = api.put(PATH, body())
    assert answer.status == 201
    made = answer.json
    assert made["key"] == "nightly"
    assert re.fullmatch(rf"http://localhost:8000/jobs/{made['id']}", answer.headers["Location"])
    assert api.get(f"/jobs/{made['id']}").json == made == api.get(PATH).json
    assert answer.headers["ETag"] == api.get(PATH).headers["ETag"]


def test_a_path_may_be_percent_encoded(api: Api) -> None:
    """As generated clients send it, and as API Gateway hands it over."""
    answer = api.put("/jobs/key%3Anightly%2Eeu", body())
    assert (answer.status, answer.json["key"]) == (201, "nightly.eu")
    assert api.get("/jobs/%6Bey:nightly%2eeu").json == answer.json
    assert api.get("/jobs/key%3Anightly%2Eeu/runs").json == []
    assert api.put("/jobs/key%3Anight%FFly", body()).fields == ["key"]
    assert api.delete("/jobs/key%3Anightly.eu").status == 204


def test_the_same_again_changes_nothing(api: Api) -> None:
    made = api.put(PATH, body())
    api.env.advance(hours=1)
    before = dict(api.env.cloud.tables["jobs"])
    answer = api.put(PATH, body(key="nightly"))
    assert (answer.status, answer.json, answer.headers["ETag"]) == (
        200,
        made.json,
        made.headers["ETag"],
    )
    assert "Location" not in answer.headers
    assert api.env.cloud.tables["jobs"] == before


def test_what_is_absent_goes_to_its_default(api: Api) -> None:
    plain = api.put("/jobs/key:other", body()).json
    made = api.put(
        PATH,
        body(
            labels={"a": "b"},
            timeout=60,
            retry={"max_attempts": 7},
            overlap="skip",
            misfire_grace=5,
            trigger={"cron": "* * * * *"},
        ),
    ).json
    answer = api.put(PATH, body(request={"url": "http://example.com/new"}))
    assert answer.status == 200
    assert answer.json == {
        **plain,
        "id": made["id"],
        "key": "nightly",
        "request": {"url": "http://example.com/new", "method": "POST", "headers": {}, "body": None},
    }


def test_a_replaced_job_fires_as_it_is_now(api: Api) -> None:
    api.put(PATH, body(trigger={"delay": 60}))
    api.put(PATH, body(trigger={"delay": 120}, request={"url": "http://example.com/new"}))
    api.env.advance(minutes=5)
    assert [sent.request.url for sent in api.env.sent] == ["http://example.com/new"]


def test_the_same_trigger_is_no_new_trigger(api: Api) -> None:
    date = {"date": "2026-11-23T12:00:00+01:00"}
    made = api.put(PATH, body(trigger=date)).json
    api.env.advance(hours=2)
    assert api.get(PATH).json["status"] == "completed"
    renamed = api.put(PATH, body(trigger=date, name="Renamed"))
    assert (renamed.status, renamed.json["status"], renamed.json["name"]) == (
        200,
        "completed",
        "Renamed",
    )
    assert api.put(PATH, body(trigger=date, timeout=60)).status == 409
    assert api.put(PATH, body(trigger={"delay": 5})).json["status"] == "active"
    assert api.get(PATH).json["id"] == made["id"]


def test_a_date_that_has_passed_is_no_trigger_of_another_job(api: Api) -> None:
    api.put(PATH, body(trigger={"date": "2026-11-23T11:00:00Z"}))
    api.env.advance(hours=2)
    assert api.put(PATH, body(trigger={"date": "2026-11-23T11:00:01Z"})).fields == ["trigger.date"]


def test_a_paused_job_stays_paused(api: Api) -> None:
    api.put(PATH, body())
    api.post(f"{PATH}/pause")
    answer = api.put(PATH, body(trigger={"cron": "* * * * *"}))
    assert (answer.status, answer.json["status"], answer.json["next_run_time"]) == (
        200,
        "paused",
        None,
    )
    api.env.advance(minutes=5)
    assert api.env.sent == []


def test_what_was_read_can_be_changed_and_sent_back(api: Api) -> None:
    read = api.put(PATH, body()).json
    assert api.put(PATH, {**read, "name": "Renamed"}).json == {**read, "name": "Renamed"}
    assert api.put(PATH, {**read, "id": "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K"}).fields == ["id"]
    assert api.put("/jobs/key:other", {**read, "key": "other"}).fields == [
        "backfill",
        "created_at",
        "id",
        "next_run_time",
        "pause",
        "result",
        "skips",
        "status",
        "updated_at",
    ]


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"key": "other"}, ["key"]),
        ({"key": 5}, ["key"]),
        ({"name": None}, ["name"]),
        ({"trigger": None}, ["trigger"]),
        ({"request": None}, ["request"]),
        ({"colour": "red", "timeout": 0}, ["colour", "timeout"]),
        ({"retry": {"initial_delay": 20, "max_delay": 10}}, ["retry.max_delay"]),
    ],
)
def test_a_wrong_body_is_refused_whether_there_is_a_job_or_not(
    api: Api, changes: Any, fields: list[str], is_there: bool
) -> None:
    if is_there:
        api.put(PATH, body())
    before = dict(api.env.cloud.tables["jobs"])
    assert sorted(set(api.put(PATH, body(**changes)).fields)) == fields
    assert api.env.cloud.tables["jobs"] == before


def test_a_null_key_is_another_key(api: Api) -> None:
    assert api.put(PATH, {**body(), "key": None}).fields == ["key"]


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 129])
def test_a_malformed_key_is_refused(api: Api, key: str) -> None:
    assert api.put(f"/jobs/key:{key}", body()).fields == ["key"]


@pytest.mark.parametrize("key", [".", "..", "%2E%2E", "a..b", "-", "_"])
def test_a_key_of_dots_is_no_step_in_the_path(api: Api, key: str) -> None:
    """Only a segment that is all dots is one (RFC 3986, 5.2.4), and `key:` stands before these."""
    path = f"/jobs/key:{key}"
    made = api.put(path, body())
    assert (made.status, made.json["key"]) == (201, key.replace("%2E", "."))
    assert api.get(path).json["id"] == made.json["id"]
    assert api.get("/jobs").json == [made.json]
    assert api.delete(path).status == 204


@pytest.mark.parametrize("key", ["", "a%2Fb", "..%2F..", "%2F%2F", "a%3Bb", "%3B", "key:a", "a%00"])
def test_what_is_no_key_leads_to_no_job(api: Api, key: str) -> None:
    path = f"/jobs/key:{key}"
    assert api.put(path, body()).fields == ["key"]
    assert api.get(path).status == api.delete(path).status == 404
    assert api.get("/jobs").json == []


def test_a_job_is_not_put_by_its_id(api: Api) -> None:
    made = api.register()
    for path in (made["id"], "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K", "nope"):
        assert api.put(f"/jobs/{path}", body()).status == 404


def test_if_match_refuses_what_has_changed_and_what_is_not_there(api: Api) -> None:
    assert api.put(PATH, body(), headers={"If-Match": "*"}).status == 412
    assert api.put(PATH, body(), headers={"If-Match": '"1"'}).status == 412
    assert api.get(PATH).status == 404
    tag = {"If-Match": api.put(PATH, body()).headers["ETag"]}
    assert api.put(PATH, body(name="First"), headers=tag).status == 200
    assert api.put(PATH, body(name="Second"), headers=tag).status == 412
    assert api.put(PATH, body(name="Third"), headers={"If-Match": "*"}).status == 200
    assert api.get(PATH).json["name"] == "Third"


def test_what_was_read_of_a_deleted_job_says_nothing_of_the_one_that_has_its_key_now(
    api: Api,
) -> None:
    tag = {"If-Match": api.put(PATH, body()).headers["ETag"]}
    api.delete(PATH)
    made = api.put(PATH, body(name="another's")).json
    assert api.put(PATH, body(), headers=tag).status == 412
    assert api.patch(PATH, {"name": "Mine"}, headers=tag).status == 412
    assert api.post(f"{PATH}/pause", headers=tag).status == 412
    assert api.delete(PATH, headers=tag).status == 412
    assert api.get(PATH).json == made


def test_of_two_who_create_at_once_one_changes_what_the_other_created(api: Api) -> None:
    others: list[Any] = []
    once_before_the_write(api, lambda: others.append(api.put(PATH, body(name="first"))))
    answer = api.put(PATH, body(name="second"))
    assert (others[0].status, answer.status) == (201, 200)
    assert [(made["id"], made["name"]) for made in api.get("/jobs").json] == [
        (others[0].json["id"], "second")
    ]
    assert len(api.env.cloud.schedules) == 1


def test_a_job_deleted_meanwhile_is_created_anew(api: Api) -> None:
    old = api.put(PATH, body()).json
    once_before_the_write(api, lambda: api.delete(PATH))
    answer = api.put(PATH, body(name="anew"))
    assert answer.status == 201
    assert [made["id"] for made in api.get("/jobs").json] == [answer.json["id"]] != [old["id"]]
    assert len(api.env.cloud.schedules) == 1


def test_the_keys_of_others_are_theirs(api: Api) -> None:
    theirs = api.env.create(parse("* * * * *"), key="nightly")
    made = api.put(PATH, body())
    assert made.status == 201
    assert made.json["id"] != theirs
