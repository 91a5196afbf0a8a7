"""PUT, GET and DELETE /secrets, and jobs that name secrets."""

from __future__ import annotations

import json
import logging

import pytest

from chalicelib.domain.secrets import LARGEST_SECRET
from tests.api.conftest import Api, job
from tests.environment import Environment
from tests.parts import secret_store


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
    assert api.call("PUT", f"/secrets/{name}", {"value": 1}).fields == ["name", "value"]
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


def test_missing_secrets_and_calendars_are_told_at_once(api: Api) -> None:
    cron = {"cron": "0 9 * * *", "exclude": ["off"]}
    wrong = ["request.headers.Authorization", "trigger.exclude.0"]
    assert api.post("/jobs", job(request=naming("token"), trigger=cron)).fields == wrong
    made = api.register()
    changes = {"request": naming("token"), "trigger": cron}
    assert api.patch(f"/jobs/{made['id']}", changes).fields == wrong
    assert api.patch(f"/jobs/{made['id']}", {"trigger": cron}).fields == wrong[1:]


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
        "a placeholder may stand in the path and in the query, not in the host"
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


def test_a_query_is_unknown(api: Api) -> None:
    assert api.get("/signing-secret?limit=1").fields == ["limit"]
    assert api.get("/secrets?name=1").fields == ["name"]


@pytest.mark.parametrize("number", [3, 4, 5])
def test_secrets_are_listed_in_pages(api: Api, number: int) -> None:
    for name in range(number):
        put(api, name=f"n{name}")
    path, pages = "/secrets?limit=2", []
    while path:
        answer = api.get(path)
        assert answer.status == 200
        pages.append([secret["name"] for secret in answer.json])
        link = answer.headers.get("Link", "")
        path = "/secrets?" + link.split("?", 1)[1].split(">", 1)[0] if link else ""
    assert pages == [
        [f"n{name}" for name in range(start, min(start + 2, number))]
        for start in range(0, number, 2)
    ]
    assert [secret["name"] for secret in api.get("/secrets").json] == [
        f"n{name}" for name in range(number)
    ]


def test_a_page_reads_one_secret_more_than_it_shows(api: Api, env: Environment) -> None:
    limits: list[int] = []
    env.cloud.before = lambda operation, request: limits.append(request["Limit"])
    assert api.get("/secrets?limit=2").json == []
    assert limits == [3]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x"])
def test_a_page_has_1_to_100_secrets(api: Api, query: str) -> None:
    assert api.get(f"/secrets?{query}").fields == ["limit"]


def test_a_cursor_of_another_list_is_refused(api: Api) -> None:
    assert api.get("/secrets?cursor=abc").status == 400


def test_a_tenant_may_have_as_many_secrets_as_its_quota(api: Api, env: Environment) -> None:
    env.scheduling.secrets = secret_store(env.cloud, quota=2)
    put(api, "a")
    put(api, "b")
    answer = api.call("PUT", "/secrets/c", {"value": "x"})
    assert answer.status == 429
    assert answer.problem["detail"] == (
        "over the quota of secrets: at most 2 secrets are allowed; delete one, then try again"
    )
    put(api, "a", "another")
    assert api.delete("/secrets/b").status == 204
    put(api, "c")


def test_a_job_may_name_20_secrets(api: Api) -> None:
    names = [f"n{number}" for number in range(21)]
    for name in names:
        put(api, name)
    body = [f"{{{{secret:{name}}}}}" for name in names]
    assert api.post("/jobs", job(request=naming("n0", body=body[:20]))).status == 201
    answer = api.post("/jobs", job(request=naming("n0", body=body)))
    assert (answer.status, answer.fields) == (422, ["request.body"])


@pytest.mark.parametrize("value", ["s3cr3t ", " s3cr3t", "s3cr3t\n", "s3\ncr3t", "gehe1m-ä"])
def test_a_secret_that_no_header_can_carry_is_refused_in_one(api: Api, value: str) -> None:
    put(api, value=value)
    answer = api.post("/jobs", job(request=naming("token")))
    assert (answer.status, answer.fields) == (422, ["request.headers.Authorization"])
    assert "s3" not in answer.text
    assert "PUT /secrets" in answer.text or "put visible ASCII" in answer.text
    # In a body it can stand.
    assert (
        api.post("/jobs", job(request=naming("token", headers={}, body="{{secret:token}}"))).status
        == 201
    )
    put(api, value="better")
    made = api.post("/jobs", job(request=naming("token")))
    assert made.status == 201
    refused = api.call("PUT", "/secrets/token", {"value": value})
    assert (refused.status, refused.fields) == (422, ["value"])
    assert "s3" not in refused.text


def test_an_update_that_puts_an_unfit_secret_in_a_header_is_refused(api: Api) -> None:
    put(api, value="s3cr3t\n")
    made = api.register()
    changed = {"request": naming("token")}
    assert api.call("PATCH", f"/jobs/{made['id']}", changed).fields == [
        "request.headers.Authorization"
    ]


def test_the_values_replaced_between_two_attempts_are_hidden_too(
    api: Api, env: Environment
) -> None:
    put(api, value="first")
    api.register(request=naming("token"))
    put(api, value="second")
    env.advance(seconds=10)
    assert set(env.sent[0].credentials.hidden) == {"second", "first"}
    put(api, value="third")
    put(api, value="fourth")
    api.register(request=naming("token"))
    env.advance(seconds=10)
    assert set(env.sent[1].credentials.hidden) == {"fourth", "third", "second"}
    env.advance(hours=25)
    api.register(request=naming("token"))
    env.advance(seconds=10)
    assert env.sent[2].credentials.hidden == ("fourth",)


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
