"""PUT, GET and DELETE /secrets, and jobs that name secrets."""

from __future__ import annotations

import json
import logging

import pytest

from chalicelib.domain.secrets import LARGEST_SECRET
from tests.api.conftest import Api, job
from tests.environment import Environment


def put(api: Api, name: str = "token", value: str = "s3cr3t") -> None:
    assert api.call("PUT", f"/secrets/{name}", {"value": value}).status == 204


def naming(name: str, **request: object) -> dict[str, object]:
    return {
        "url": "https://example.com/",
        "method": "POST",
        "headers": {"Authorization": f"Bearer {{{{secret:{name}}}}}"},
        **request,
    }


def test_a_secret_is_put_and_listed_without_its_value(api: Api, env: Environment) -> None:
    put(api)
    env.advance(minutes=1)
    put(api, value="another")
    answer = api.get("/secrets")
    assert answer.status == 200
    assert answer.json == [
        {
            "name": "token",
            "created_at": "2026-11-23T10:00:00Z",
            "updated_at": "2026-11-23T10:01:00Z",
        }
    ]
    assert "another" not in answer.text


def test_a_put_answers_nothing(api: Api) -> None:
    answer = api.call("PUT", "/secrets/token", {"value": "x"})
    assert (answer.status, answer.text) == (204, "")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["value"]),
        ({"value": ""}, ["value"]),
        ({"value": None}, ["value"]),
        ({"value": 5}, ["value"]),
        ({"value": ["s3cr3t"]}, ["value"]),
        ({"value": "x" * (LARGEST_SECRET + 1)}, ["value"]),
        ({"value": "ö" * (LARGEST_SECRET // 2 + 1)}, ["value"]),
        ({"value": "x", "id": 1}, ["id"]),
        ({"value": "x", "name": "y"}, ["name"]),
        ([], [""]),
    ],
)
def test_what_is_no_value_is_refused_and_not_repeated(
    api: Api, body: object, fields: list[str]
) -> None:
    answer = api.call("PUT", "/secrets/token", body)
    assert answer.fields == fields
    assert "s3cr3t" not in answer.text
    assert api.get("/secrets").json == []


@pytest.mark.parametrize(
    "value", ["x" * LARGEST_SECRET, "ö" * (LARGEST_SECRET // 2), " ", "\n", "{{secret:token}}"]
)
def test_a_value_of_up_to_4096_bytes_is_kept(api: Api, value: str) -> None:
    put(api, value=value)


@pytest.mark.parametrize("name", ["a.b", "a b", "x" * 65, "ä"])
def test_a_name_of_another_form_is_refused(api: Api, name: str) -> None:
    assert api.call("PUT", f"/secrets/{name}", {"value": "x"}).fields == ["name"]
    assert api.delete(f"/secrets/{name}").status == 404


def test_a_deleted_secret_is_gone(api: Api) -> None:
    put(api)
    assert api.delete("/secrets/token").status == 204
    assert api.get("/secrets").json == []
    answer = api.delete("/secrets/token")
    assert (answer.status, answer.problem["detail"]) == (404, "there is no such secret")


def test_a_job_that_names_a_secret_which_does_not_exist_is_refused_where_it_names_it(
    api: Api,
) -> None:
    request = naming(
        "token",
        url="https://example.com/?key={{secret:other}}",
        body={"list": ["{{secret:token}}"]},
    )
    answer = api.post("/jobs", job(request=request))
    assert answer.fields == ["request.body", "request.headers.Authorization", "request.url"]
    assert api.get("/jobs").json == []
    put(api)
    assert api.post("/jobs", job(request=request)).fields == ["request.url"]


def test_an_update_that_names_a_missing_secret_is_refused_and_others_are_not(api: Api) -> None:
    put(api)
    made = api.register(request=naming("token"))
    assert api.delete("/secrets/token").status == 204
    assert api.patch(f"/jobs/{made['id']}", {"name": "renamed"}).status == 200
    assert api.patch(f"/jobs/{made['id']}", {"request": naming("token", body="new")}).fields == [
        "request.headers.Authorization"
    ]


@pytest.mark.parametrize(
    "url", ["https://{{secret:token}}/", "https://example.com:{{secret:token}}/"]
)
def test_a_secret_in_the_place_of_a_host_is_refused(api: Api, url: str) -> None:
    put(api)
    answer = api.post("/jobs", job(request=naming("token", url=url)))
    assert (
        "a secret may stand in the path and in the query, not in the host"
        in answer.problem["detail"]
    )


def test_a_malformed_name_in_a_job_is_refused_before_anything_is_read(
    api: Api, env: Environment
) -> None:
    env.cloud.calls.clear()
    assert api.post("/jobs", job(request=naming("no such name"))).fields == [
        "request.headers.Authorization"
    ]
    assert env.cloud.calls == []


def test_a_job_shows_names_and_its_target_gets_values(api: Api, env: Environment) -> None:
    put(api)
    made = api.register(
        request=naming(
            "token", url="https://example.com/{{secret:token}}", body=["{{secret:token}}"]
        )
    )
    assert made["request"]["headers"] == {"Authorization": "Bearer {{secret:token}}"}
    env.advance(seconds=10)
    (sent,) = env.sent
    assert sent.request.url == "https://example.com/s3cr3t"
    assert sent.request.headers == {"Authorization": "Bearer s3cr3t"}
    assert sent.request.body == ["s3cr3t"]
    assert sent.credentials.hidden == ("s3cr3t",)


def test_a_value_is_the_one_at_the_time_of_the_attempt(api: Api, env: Environment) -> None:
    put(api, value="old")
    api.register(request=naming("token"))
    put(api, value="new")
    env.advance(seconds=10)
    assert env.sent[0].request.headers == {"Authorization": "Bearer new"}


def test_a_run_whose_secret_was_deleted_fails_and_says_which(api: Api, env: Environment) -> None:
    put(api)
    made = api.register(request=naming("token"))
    api.delete("/secrets/token")
    env.advance(minutes=5)
    assert env.sent == []
    shown = api.get(f"/jobs/{made['id']}").json
    assert (shown["status"], shown["result"]["status"]) == ("failed", "failed")
    assert shown["result"]["error"] == "the secret token does not exist: put it, or change the job"
    (run,) = api.get(f"/jobs/{made['id']}/runs").json
    assert [attempt["outcome"] for attempt in run["attempts"]] == ["blocked"]


@pytest.mark.parametrize("call", ["/secrets", "/signing-secret"])
def test_a_query_is_unknown(api: Api, call: str) -> None:
    assert api.get(f"{call}?limit=1").fields == ["limit"]


def test_no_value_is_in_any_log_line_or_any_item(
    api: Api, env: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    put(api)
    made = api.register(request=naming("token"))
    env.advance(seconds=10)
    shown = [
        api.get(path).text
        for path in (f"/jobs/{made['id']}", "/jobs", f"/jobs/{made['id']}/runs", "/secrets")
    ]
    everywhere = json.dumps(
        [
            shown,
            repr(env.cloud.tables),
            repr(env.cloud.messages),
            repr(env.cloud.schedules),
            caplog.text,
        ]
    )
    assert "s3cr3t" not in everywhere
    assert [sent.request.headers["Authorization"] for sent in env.sent] == ["Bearer s3cr3t"]
