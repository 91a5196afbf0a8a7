"""The smoke test of a stage that is deployed: what it finds wrong, and that it leaves nothing
whatever happens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.api.routing import parts
from chalicelib.domain.run import AttemptResult
from infra.deploy import smoke, switch
from infra.deploy.cloud import Cloud, Names
from infra.deploy.smoke import NoAnswer, Reply
from infra.deploy.trouble import Trouble
from tests.cloud import client_error
from tests.environment import Sent, ok, status
from tests.infra.account import Account, Stage
from tests.infra.cloudformation import ACCOUNT, REGION
from tests.infra.test_deploy_gateway import Refusing, make_function
from tests.outbound.servers import serving

NAMES = Names("dev")
URL = f"https://abc.execute-api.{REGION}.amazonaws.com/api"
VARIABLES = {"RESONA_STAGE": "dev", "RESONA_OTHER": "stays"}


@dataclass
class Desk:
    """A stage, and whoever tests it."""

    stage: Stage
    client: Any
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cloud = Cloud(
            self.client,
            ACCOUNT,
            REGION,
            say=self.told.append,
            sleep=self.stage.sleep,
            now=self.stage.env.clock,
        )

    def test(self, fetch: smoke.Fetch | None = None) -> int:
        return smoke.smoke(self.cloud, NAMES, URL, fetch or self.stage.fetch)

    @property
    def variables(self) -> Any:
        return self.client("lambda").get_function_configuration(FunctionName="resona-dev")[
            "Environment"
        ]["Variables"]

    def is_clean(self) -> bool:
        revoked = [record.revoked_at is not None for record in self.stage.keys.all()]
        return self.variables == VARIABLES and all(revoked) and bool(revoked)


@pytest.fixture
def desk(account: Account) -> Iterator[Desk]:
    make_function(account.client, "resona-dev", **VARIABLES)
    account.client("dynamodb").create_table(
        TableName="resona-dev-keys",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield Desk(account.stage, account.client)


def test_a_job_fires_fails_once_is_sent_again_and_is_read(desk: Desk) -> None:
    lateness = desk.test()
    assert 0 <= lateness < 1000
    assert [sent.headers["Resona-Attempt"] for sent in desk.stage.env.sent] == ["1", "2"]
    assert desk.is_clean()
    assert desk.told == []
    assert desk.stage.called[-1] == "DELETE /jobs/key:smoke-test"


def test_the_key_that_it_makes_would_be_dead_soon_if_it_could_not_be_revoked(desk: Desk) -> None:
    began = desk.stage.env.now
    desk.test()
    (record,) = desk.stage.keys.all()
    assert record.tenant == smoke.TENANT
    assert record.expires_at is not None
    assert record.expires_at - began <= smoke._KEY_LIVES


def test_the_switch_leaves_every_other_variable_alone_and_its_token_cannot_be_guessed(
    desk: Desk,
) -> None:
    tokens = set()
    for _ in range(3):
        with switch.switched_on(desk.cloud, NAMES) as token:
            assert desk.variables == {**VARIABLES, "RESONA_SMOKE": token}
            assert len(token) >= 32
            tokens.add(token)
        assert desk.variables == VARIABLES
    assert len(tokens) == 3
    assert not switch.switch_off(desk.cloud, NAMES)


def test_a_job_that_a_killed_test_has_left_is_deleted_first(desk: Desk) -> None:
    seen = list[str]()

    def kill(method: str, path: str) -> None:
        seen.append(f"{method} {path.partition('?')[0]}")
        if len([one for one in seen if one == "DELETE /jobs/key:smoke-test"]) == 2:
            raise NoAnswer("ConnectionError")

    desk.stage.before = kill
    desk.test()
    assert "The smoke test's job could not be deleted: ConnectionError" in desk.told[0]
    desk.stage.before = None
    before = len(desk.stage.env.sent)
    desk.test()
    assert len(desk.stage.env.sent) == before + 2
    assert desk.is_clean()


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([ok(), ok()], "it is succeeded, with success 200"),
        ([status(425), status(404)], "it is failed, with http_error 425, http_error 404"),
        ([status(404)], "it is failed, with http_error 404"),
        ([status(500)] * 3, "it is failed, with http_error 500, http_error 500, http_error 500"),
    ],
)
def test_a_run_that_is_not_as_it_should_be_is_told(
    desk: Desk, answers: list[AttemptResult], told: str
) -> None:
    left = list(answers)
    desk.stage.env.target = lambda sent: left.pop(0)
    with pytest.raises(Trouble, match=told):
        desk.test()
    assert desk.is_clean()


@pytest.mark.parametrize("change", [{"body": '{"smoke": "another"}'}, {"headers": {}}])
def test_what_arrived_changed_is_told(desk: Desk, change: dict[str, Any]) -> None:
    own = desk.stage._target

    def garble(sent: Sent) -> AttemptResult:
        exchange = own(sent)
        assert exchange.response is not None
        object.__setattr__(
            exchange.response, "body", json.dumps({**json.loads(exchange.response.body), **change})
        )
        return exchange

    desk.stage.env.target = garble
    with pytest.raises(Trouble, match="what arrived is not what the job was to send"):
        desk.test()
    assert desk.is_clean()


def test_a_stage_that_asks_for_no_key_fails_the_test(desk: Desk) -> None:
    parts.needs_keys = False

    def open_to_all(method: str, url: str, headers: Any, body: object) -> Reply:
        reply = desk.stage.fetch(method, url, headers, body)
        return Reply(200, {}, "[]") if url.endswith("/jobs") and not headers else reply

    with pytest.raises(Trouble, match="it does not ask for a key; GET /jobs answered: 200"):
        desk.test(open_to_all)
    assert desk.is_clean()


@pytest.mark.parametrize(
    ("path", "with_key", "reply", "told"),
    [
        (
            "/nowhere",
            True,
            Reply(403, {}, '{"message":"Authorization header requires…"}'),
            "GET /nowhere with a key is not answered",
        ),
        (
            "/nowhere",
            False,
            Reply(403, {}, '{"message":"Missing Authentication Token"}'),
            "GET /nowhere without a key is not answered",
        ),
        (
            "/nowhere",
            False,
            Reply(404, {"content-type": "application/problem+json"}, '{"status": 404}'),
            "GET /nowhere without a key",
        ),
        (
            "/jobs",
            False,
            Reply(401, {"content-type": "application/json"}, '{"message":"Unauthorized"}'),
            "GET /jobs without a key",
        ),
    ],
)
def test_where_api_gateway_answers_otherwise_than_the_description_that_is_told_and_no_failure(
    desk: Desk, path: str, with_key: bool, reply: Reply, told: str
) -> None:
    def otherwise(method: str, url: str, headers: Any, body: object) -> Reply:
        is_it = method == "GET" and url.endswith(f"/api{path}") and bool(headers) == with_key
        return reply if is_it else desk.stage.fetch(method, url, headers, body)

    desk.test(otherwise)
    (line,) = desk.told
    assert line.startswith(told)
    assert str(reply.status) in line


@pytest.mark.parametrize(
    "operation", ["update_function_configuration", "get_function_configuration"]
)
def test_a_switch_that_cannot_be_set_off_is_told(desk: Desk, operation: str) -> None:
    manager = switch.switched_on(desk.cloud, NAMES)
    manager.__enter__()
    desk.cloud._clients["lambda"] = Refusing(
        desk.client("lambda"), operation, client_error("AccessDenied", operation), 99
    )
    with suppress(StopIteration):
        manager.__exit__(None, None, None)
    assert "/smoke could not be switched off" in desk.told[0]
    assert "`make deploy STAGE=dev`, which does" in desk.told[0]


class Updating:
    """Lambda's client, for which an update takes a while, or fails."""

    def __init__(self, client: Any, *states: str) -> None:
        self._client, self.states = client, list(states)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_function_configuration(self, **request: Any) -> Any:
        state = self.states.pop(0) if self.states else "Successful"
        return {
            **self._client.get_function_configuration(**request),
            "LastUpdateStatus": state,
            "LastUpdateStatusReason": "why not",
        }


def test_an_update_of_the_function_is_waited_for(desk: Desk) -> None:
    slow = Updating(desk.client("lambda"), "InProgress", "InProgress", "Successful", "InProgress")
    desk.cloud._clients["lambda"] = slow
    with switch.switched_on(desk.cloud, NAMES):
        assert slow.states == []
    desk.cloud._clients["lambda"] = Updating(desk.client("lambda"), "Failed")
    with pytest.raises(Trouble, match="Lambda could not update resona-dev: why not"):
        switch.switch_off(desk.cloud, NAMES)
    desk.cloud._clients["lambda"] = Updating(desk.client("lambda"), *["InProgress"] * 99)
    with pytest.raises(Trouble, match="after two minutes"):
        switch.switch_off(desk.cloud, NAMES)


def test_a_stage_that_is_not_deployed_cannot_be_tested(account: Account) -> None:
    assert account.types("smoke --stage dev") == 1
    assert f"the stage dev has no API in {REGION}" in account.err
    assert "`make deploy STAGE=dev`" in account.err


def test_a_url_is_called_for_real_with_its_body_and_headers() -> None:
    with serving(
        [
            {
                "send": "HTTP/1.1 418 Teapot\r\nX-Odd: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
            }
        ]
    ) as server:
        reply = smoke.fetch(
            "POST", f"http://127.0.0.1:{server.port}/path?a=b", {"X-Mine": "2"}, {"c": "d"}
        )
        (sent,) = server.seen
    assert (reply.status, reply.headers["x-odd"], reply.json) == (418, "1", {})
    assert sent.startswith(b"POST /path?a=b HTTP/1.1")
    assert b"X-Mine: 2" in sent
    assert sent.endswith(b'{"c": "d"}')
    with pytest.raises(NoAnswer, match="ConnectionError"):
        smoke.fetch("GET", f"http://127.0.0.1:{server.port}/", {}, None)
