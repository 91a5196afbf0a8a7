"""Conditional headers (RFC 9110, 13) on every route: honoured, or refused with a 422."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import app
from chalicelib.api.preconditions import Tags
from chalicelib.api.routing import operations
from tests.api.conftest import Api, job
from tests.api.test_put_job import body, once_before_the_write
from tests.environment import START

CONDITIONAL = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range")
DATE = "Mon, 23 Nov 2026 10:00:00 GMT"
VALUES = {"If-Match": "*", "If-None-Match": "*", "If-Range": '"a"'} | dict.fromkeys(
    CONDITIONAL[2:4], DATE
)
PATH = "/jobs/key:nightly"
# Every request that changes a job: method, what follows the job's path, body, status when it is
# done.
CHANGES: list[tuple[str, str, Any, int]] = [
    ("POST", "", {"name": "Changed"}, 200),
    ("PATCH", "", {"name": "Changed"}, 200),
    ("PUT", "", body(name="Changed"), 200),
    ("DELETE", "", None, 204),
    ("POST", "/pause", None, 200),
    ("POST", "/resume", None, 200),
    ("POST", "/skip", {"count": 2}, 200),
    ("POST", "/run", None, 202),
    ("POST", "/backfill", {"from": "2026-11-20T00:00:00Z", "to": "2026-11-23T10:00:00Z"}, 202),
    ("DELETE", "/backfill", None, 204),
    ("POST", "/runs/{run_id}/retry", None, 202),
    ("DELETE", "/runs/{run_id}", None, 200),
]
changes = pytest.mark.parametrize(("method", "action", "sent", "done"), CHANGES)

etag_characters = st.characters(codec="latin-1", exclude_characters='"\x7f', min_codepoint=0x21)
etag_characters = etag_characters.filter(lambda sign: not 0x80 <= ord(sign) < 0xA0)
etags = st.builds(
    lambda weak, text: f'{"W/" if weak else ""}"{text}"',
    st.booleans(),
    st.text(etag_characters, max_size=8),
)


def etag(api: Api) -> str:
    return str(api.get(PATH).headers["ETag"])


def path_of(api: Api, method: str, action: str) -> str:
    """Return the path of an action; on a run, that of one that may be cancelled or retried.

    Begin the backfill that is to be ended, and end the one that is not.
    """
    if action == "/backfill":
        api.delete(PATH + action)
    if (method, action) == ("DELETE", "/backfill"):
        past = next(sent for _, of, sent, _ in CHANGES if of == action)
        assert api.post(PATH + action, past).status == 202
    if "{run_id}" not in action:
        return PATH + action
    run = api.post(f"{PATH}/run").json["id"]
    if action.endswith("/retry"):
        assert api.delete(f"{PATH}/runs/{run}").status == 200
    return PATH + action.replace("{run_id}", run)


def stored(api: Api) -> dict[str, Any]:
    """Return all that is stored and queued."""
    cloud = api.env.cloud
    return {
        **{name: dict(table) for name, table in cloud.tables.items()},
        "queued": dict(cloud.messages),
    }


def test_every_route_that_changes_a_job_is_tried_here() -> None:
    on_a_job = {
        route for route in operations if route[1].startswith("/jobs/{job_id}") and route[0] != "GET"
    }
    assert on_a_job == {(method, "/jobs/{job_id}" + action) for method, action, _, _ in CHANGES}


@pytest.mark.parametrize(("method", "path"), sorted(operations))
@pytest.mark.parametrize("header", CONDITIONAL)
def test_a_header_that_a_route_does_not_list_is_refused_or_only_spares_a_transfer(
    api: Api, method: str, path: str, header: str
) -> None:
    if header in operations[method, path].takes:
        return
    run = api.post(f"/jobs/{api.put(PATH, body()).json['id']}/run").json["id"]
    at = path.replace("{job_id}", "key:nightly").replace("{run_id}", run).replace("{name}", "token")
    query = operations[method, path].query
    at += "?label=team:a" if "label" in query and query["label"].is_required else ""
    plain = api.get(at) if method == "GET" else None
    before = stored(api)
    answer = api.call(method, at, headers={header: VALUES[header]})
    if plain is not None and header != "If-Match":
        assert (answer.status, answer.text) == (plain.status, plain.text)
        return
    assert answer.fields == [header]
    advice = answer.problem["detail"].removeprefix(
        f"{header}: is not served here, and is not ignored: send "
    )
    served = [name for name in CONDITIONAL if name in operations[method, path].takes]
    assert advice == (
        f"{' or '.join(served)} with a job's ETag" if served else "the request without it"
    )
    assert stored(api) == before


@changes
def test_a_change_is_made_if_the_job_is_as_the_headers_ask(
    api: Api, method: str, action: str, sent: Any, done: int
) -> None:
    for ask in (
        lambda tag: {"If-Match": tag},
        lambda tag: {"If-Match": f'"other", , {tag}'},
        lambda tag: {"if-match": " * "},
        lambda tag: {"If-None-Match": '"other", W/"another"'},
        lambda tag: {"If-Match": tag, "If-None-Match": '"other"'},
    ):
        api.put(PATH, body())
        path = path_of(api, method, action)
        answer = api.call(method, path, sent, headers=ask(etag(api)))
        assert answer.status == done, answer.text


@changes
def test_a_change_is_refused_and_nothing_done_if_the_job_is_not_as_the_headers_ask(
    api: Api, method: str, action: str, sent: Any, done: int
) -> None:
    api.put(PATH, body())
    path, tag = path_of(api, method, action), etag(api)
    before = stored(api)
    for headers in (
        {"If-Match": '"other"'},
        # Strong comparison: a weak tag is no match.
        {"If-Match": f"W/{tag}"},
        {"If-None-Match": "*"},
        {"If-None-Match": tag},
        # Weak comparison.
        {"If-None-Match": f'"other", W/{tag}'},
        {"If-Match": tag, "If-None-Match": tag},
    ):
        answer = api.call(method, path, sent, headers=headers)
        assert (answer.status, answer.problem["title"]) == (412, "Precondition Failed"), headers
        assert stored(api) == before


@changes
@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("value", ["", "x", '"x', "W/x", 'w/"x"', '"a" "b"', '*, "a"', "**", "0-1"])
def test_a_malformed_list_of_tags_is_refused(
    api: Api, header: str, value: str, method: str, action: str, sent: Any, done: int
) -> None:
    api.put(PATH, body())
    answer = api.call(method, path_of(api, method, action), sent, headers={header: value})
    if header == "If-Match":
        assert answer.status == 412
    else:
        assert answer.fields == [header]


def test_what_a_header_is_sent_wrong_is_told_with_all_else_that_is_wrong(api: Api) -> None:
    answer = api.get("/jobs?limit=0", headers={"If-Match": "*"})
    assert answer.fields == ["If-Match", "limit"]


def test_if_none_match_any_creates_a_job_once(api: Api) -> None:
    once = {"If-None-Match": "*"}
    made = api.put(PATH, body(), headers=once)
    assert made.status == 201
    refused = api.put(PATH, body(name="Another"), headers=once)
    assert (refused.status, "If-Match" in refused.problem["detail"]) == (412, True)
    assert api.get(PATH).json == made.json
    api.delete(PATH)
    assert api.put(PATH, body(), headers=once).status == 201


def test_of_two_who_create_at_once_with_if_none_match_one_is_refused(api: Api) -> None:
    once = {"If-None-Match": "*"}
    others: list[Any] = []
    once_before_the_write(
        api, lambda: others.append(api.put(PATH, body(name="first"), headers=once))
    )
    answer = api.put(PATH, body(name="second"), headers=once)
    assert (others[0].status, answer.status) == (201, 412)
    assert [made["name"] for made in api.get("/jobs").json] == ["first"]
    assert len(api.env.cloud.schedules) == 1


def test_a_run_is_not_queued_if_the_job_changes_between_the_check_and_the_write(api: Api) -> None:
    """The check is made again on the state that the write is conditional on."""
    api.put(PATH, body())
    tag = etag(api)

    def before(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem":
            api.env.cloud.before = lambda operation, request: None
            assert api.patch(PATH, {"name": "Meanwhile"}).status == 200

    api.env.cloud.before = before
    assert api.post(f"{PATH}/run", headers={"If-Match": tag}).status == 412
    assert api.get(f"{PATH}/runs").json == []


def test_a_replayed_run_is_the_first_answer_whatever_the_job_is_by_now(api: Api) -> None:
    api.put(PATH, body())
    headers = {"If-Match": etag(api), "Idempotency-Key": "once"}
    first = api.post(f"{PATH}/run", headers=headers)
    again = api.post(f"{PATH}/run", headers=headers)
    assert (first.status, again.status, again.text) == (202, 202, first.text)
    assert etag(api) != headers["If-Match"]


def test_a_job_that_is_not_there_is_not_found_whatever_is_asked_of_it(api: Api) -> None:
    for method, action, sent, _ in CHANGES:
        if method == "PUT":
            continue
        for headers in ({"If-Match": "*"}, {"If-None-Match": "*"}):
            assert api.call(method, PATH + action, sent, headers=headers).status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_job_is_read_if_it_is_not_what_the_client_has(api: Api, method: str) -> None:
    api.put(PATH, body())
    tag = etag(api)
    for value in (tag, f"W/{tag}", f'"a", {tag}', "*"):
        answer = api.call(method, PATH, headers={"If-None-Match": value})
        assert (answer.status, answer.text, answer.headers["ETag"]) == (304, "", tag)
    for headers in ({"If-None-Match": '"a"'}, {"If-Match": tag}, {"If-Match": "*"}):
        assert api.call(method, PATH, headers=headers).status == 200
    for value in ('"a"', f"W/{tag}"):
        assert api.call(method, PATH, headers={"If-Match": value}).status == 412
    assert api.call(method, PATH, headers={"If-Match": '"a"', "If-None-Match": tag}).status == 412
    api.patch(PATH, {"name": "Changed"})
    assert api.call(method, PATH, headers={"If-None-Match": tag}).status == 200


def test_a_job_that_lost_its_result_is_shown_though_its_revision_is_the_same(api: Api) -> None:
    made = api.register()
    api.env.advance(seconds=30)
    path = f"/jobs/{made['id']}"
    tag = {"If-None-Match": api.get(path).headers["ETag"]}
    assert api.get(path, headers=tag).status == 304
    api.env.now = START.replace(year=2027)
    answer = api.get(path, headers=tag)
    assert (answer.status, answer.json["result"]) == (200, None)


def test_a_header_in_several_lines_is_one_list(api: Api) -> None:
    """API Gateway hands over every line, and by the plain name the last one alone."""
    api.put(PATH, body())
    lines = [etag(api), '"other"']
    event = {
        "requestContext": {
            "httpMethod": "GET",
            "resourcePath": "/jobs/{job_id}",
            "path": PATH,
            "identity": {},
        },
        "pathParameters": {"job_id": "key:nightly"},
        "headers": {"if-none-match": lines[-1]},
        "multiValueHeaders": {"if-none-match": lines},
        "multiValueQueryStringParameters": None,
        "stageVariables": None,
        "body": None,
        "isBase64Encoded": False,
    }
    assert app(event, None)["statusCode"] == 304
    event["multiValueHeaders"] = {"if-none-match": lines[1:]}
    assert app(event, None)["statusCode"] == 200


@given(st.lists(etags, min_size=1, max_size=5), st.sampled_from([",", ", ", " , ", ",,", ",\t, "]))
def test_a_list_is_read_as_its_tags_however_it_is_divided(tags: list[str], comma: str) -> None:
    parsed = Tags.parse(comma.join(tags))
    assert parsed == Tags(frozenset(tags))
    assert parsed is not None
    for tag in tags:
        strong = tag.removeprefix("W/")
        assert parsed.weakly_name(strong)
        assert parsed.strongly_name(strong) == (strong in tags)


def test_jobs_created_by_post_have_no_precondition(api: Api) -> None:
    """There is nothing yet that a header could be about: `PUT /jobs/key:…` is there for this."""
    answer = api.post("/jobs", job(key="nightly"), headers={"If-None-Match": "*"})
    assert answer.fields == ["If-None-Match"]
    assert api.get("/jobs").json == []
