"""GET /signing-secret and POST /signing-secret/rotate."""

from __future__ import annotations

from datetime import timedelta

from tests.api.conftest import Api
from tests.environment import Environment


def test_the_signing_secret_is_shown_and_stays(api: Api) -> None:
    answer = api.get("/signing-secret")
    assert answer.status == 200
    assert answer.json.keys() == {"secret", "previous", "previous_expires_at"}
    assert answer.json["secret"].startswith("whsec_")
    assert (answer.json["previous"], answer.json["previous_expires_at"]) == (None, None)
    assert answer.headers["Cache-Control"] == "no-store"
    assert api.get("/signing-secret").json == answer.json


def test_head_creates_no_secret(api: Api, env: Environment) -> None:
    head = api.call("HEAD", "/signing-secret")
    assert env.cloud.tables["secrets"] == {}
    first = api.get("/signing-secret")
    assert (head.status, len(head.text)) == (200, len(first.text))
    assert api.call("HEAD", "/signing-secret").text == first.text


def test_a_rotation_shows_both_for_24_hours(api: Api, env: Environment) -> None:
    first = api.get("/signing-secret").json["secret"]
    rotated = api.post("/signing-secret/rotate")
    assert rotated.status == 200
    assert rotated.json["secret"] != first
    assert rotated.json["previous"] == first
    assert rotated.json["previous_expires_at"] == "2026-11-24T10:00:00Z"
    env.now += timedelta(hours=24)
    assert api.get("/signing-secret").json == {
        "secret": rotated.json["secret"],
        "previous": None,
        "previous_expires_at": None,
    }


def test_attempts_are_signed_with_what_is_in_force_when_they_begin(
    api: Api, env: Environment
) -> None:
    first = api.get("/signing-secret").json["secret"]
    api.register()
    env.advance(seconds=10)
    second = api.post("/signing-secret/rotate").json["secret"]
    api.register()
    env.advance(seconds=10)
    env.now += timedelta(hours=24)
    api.register()
    env.advance(seconds=10)
    assert [sent.credentials.signing for sent in env.sent] == [(first,), (second, first), (second,)]


def test_a_job_of_a_tenant_without_a_signing_secret_is_signed_with_a_new_one(
    api: Api, env: Environment
) -> None:
    api.register()
    env.advance(seconds=10)
    assert env.sent[0].credentials.signing == (api.get("/signing-secret").json["secret"],)


def test_the_fifth_rotation_within_a_day_is_refused_and_told_when(
    api: Api, env: Environment
) -> None:
    kept = [api.get("/signing-secret").json["secret"]]
    for _ in range(4):
        kept.append(api.post("/signing-secret/rotate").json["secret"])
        env.advance(hours=1)
    answer = api.post("/signing-secret/rotate")
    assert answer.status == 409
    assert "rotate again at 2026-11-24T10:00:00Z" in answer.problem["detail"]
    assert api.get("/signing-secret").json["secret"] == kept[-1]
    env.advance(hours=20)
    assert api.post("/signing-secret/rotate").status == 200
