"""The smoke test of a deployed stage: the errors it finds, and that it cleans up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import packages_distributions
from typing import Any

import pytest
import requests
import responses
from responses import matchers

from chalicelib.api.routing import backend
from chalicelib.domain.run import AttemptResult, Outcome
from infra.deploy.cloud import ROOT, CliError, Cloud, Names
from tests import smoke
from tests.environment import ok, status
from tests.infra.account import Account, Stage, reply
from tests.infra.cloudformation import ACCOUNT, REGION
from tests.infra.tables import make_tables

NAMES = Names("dev")
URL = f"https://abc.execute-api.{REGION}.amazonaws.com/api"


@dataclass
class SmokeTester:
    """Runs the smoke test against a stage."""

    stage: Stage
    cloud: Cloud
    capture: pytest.CaptureFixture[str]

    def test(self, send: Callable[..., requests.Response] | None = None) -> int:
        return smoke.smoke(
            self.cloud, NAMES, URL, send or self.stage.send, clock=self.stage.env.clock
        )

    @property
    def told(self) -> list[str]:
        return self.capture.readouterr().out.splitlines()

    def is_clean(self) -> bool:
        revoked = [record.revoked_at is not None for record in self.stage.keys.all()]
        jobs = self.stage.env.cloud.tables["jobs"].values()
        return (
            all(revoked)
            and bool(revoked)
            and not [item for item in jobs if item.get("part") == {"S": "definition"}]
        )


@pytest.fixture
def tester(account: Account, capsys: pytest.CaptureFixture[str]) -> Iterator[SmokeTester]:
    make_tables(account.client("dynamodb"), "dev")
    yield SmokeTester(account.stage, account.connect(), capsys)


def test_one_job_succeeds_and_one_is_retried_and_fails_and_nothing_of_them_is_left(
    tester: SmokeTester,
) -> None:
    assert 0 <= tester.test() < 1000
    sent = [
        (one.request.method, one.request.url, one.headers["Resona-Attempt"])
        for one in tester.stage.env.sent
    ]
    nowhere = "https://resona.invalid/"
    assert sent == [("GET", f"{URL}/health", "1"), ("POST", nowhere, "1"), ("POST", nowhere, "2")]
    assert tester.is_clean()
    assert tester.told == []


def test_the_key_that_it_makes_would_be_dead_soon_if_it_could_not_be_revoked(
    tester: SmokeTester,
) -> None:
    began = tester.stage.env.now
    tester.test()
    (record,) = tester.stage.keys.all()
    assert record.tenant == smoke.TENANT
    assert record.expires_at is not None
    assert record.expires_at - began <= smoke._KEY_LIVES


def test_a_job_that_a_killed_test_has_left_is_deleted_by_the_next(tester: SmokeTester) -> None:
    seen = list[str]()

    def unreachable(method: str, url: str, **request: Any) -> requests.Response:
        seen.append(f"{method} {url.removeprefix(URL)}")
        if seen[-1] == "DELETE /jobs/key:smoke-fires" and seen.count(seen[-1]) == 2:
            raise requests.ConnectionError
        return tester.stage.send(method, url, **request)

    tester.test(unreachable)
    assert "The job /jobs/key:smoke-fires of the smoke test is not deleted (0)" in tester.told[0]
    assert not tester.is_clean()
    tester.test()
    assert tester.is_clean()


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([status(404)], "was to succeed: it is failed, with http_error 404"),
        ([status(500)] * 2, "was to succeed: it is failed, with http_error 500, http_error 500"),
        ([ok(), ok()], "was to fail after two attempts: it is succeeded, with success 200"),
        ([ok(), status(404)], "was to fail after two attempts: it is failed, with http_error 404"),
    ],
)
def test_a_run_that_is_not_as_it_should_be_is_told(
    tester: SmokeTester, answers: list[AttemptResult], why: str
) -> None:
    left = list(answers)
    tester.stage.env.target = lambda sent: left.pop(0)
    with pytest.raises(CliError, match=why) as trouble:
        tester.test()
    assert "aws logs tail" in str(trouble.value)
    assert tester.is_clean()


def test_a_retry_that_never_comes_is_told(tester: SmokeTester) -> None:
    lost = AttemptResult(Outcome.DNS_FAILED, timedelta(0), None, None)

    def once(sent: Any) -> AttemptResult:
        # What would send it again is not there any more.
        tester.stage.fires = not sent.request.url.endswith(".invalid/")
        return ok() if tester.stage.fires else lost

    tester.stage.env.target = once
    with pytest.raises(CliError, match="its job has not fired"):
        tester.test()
    assert tester.is_clean()


def test_a_stage_that_does_not_fire_or_cannot_be_reached_is_told(tester: SmokeTester) -> None:
    tester.stage.fires = False
    with pytest.raises(
        CliError, match=r"its job has not fired; GET /jobs/job_\w+/runs answered 200"
    ):
        tester.test()
    assert tester.is_clean()
    tester.stage.is_up = False
    with pytest.raises(
        CliError, match="it cannot be reached; GET /health answered 0 ConnectionError"
    ):
        tester.test()


def test_a_test_that_is_interrupted_anywhere_leaves_nothing(tester: SmokeTester) -> None:
    tester.test()
    calls = len(tester.stage.called)
    assert calls > 12
    for number in range(calls):
        counted = iter(range(10 * calls))

        def interrupt(method: str, path: str, number: int = number, counted: Any = counted) -> None:
            if next(counted) == number:
                raise KeyboardInterrupt

        tester.stage.before = interrupt
        with pytest.raises(KeyboardInterrupt):
            tester.test()
        tester.stage.before = None
        assert all(record.revoked_at for record in tester.stage.keys.all())
    tester.test()
    assert tester.is_clean()


@pytest.mark.parametrize(("seconds", "is_in_time"), [(300, True), (400, False)])
def test_a_key_of_secrets_that_iam_does_not_know_yet_is_waited_for(
    tester: SmokeTester, seconds: int, is_in_time: bool
) -> None:
    """The functions' policies go by its alias, which takes up to five minutes; a message that fails
    for it comes back after twelve.
    """
    asked = list[str]()

    def denied(method: str, url: str, **request: Any) -> requests.Response:
        asked.append(url.removeprefix(URL))
        if asked[-1] == "/signing-secret" and asked.count(asked[-1]) <= seconds:
            return reply(500, {}, "AccessDeniedException")
        assert (
            asked[-1] in ("/health", "/jobs", "/signing-secret")
            or asked.count("/signing-secret") > seconds
        )
        return tester.stage.send(method, url, **request)

    if is_in_time:
        assert tester.test(denied) >= 0
    else:
        with pytest.raises(
            CliError, match="its key of secrets cannot be used; GET /signing-secret answered 500"
        ):
            tester.test(denied)
    assert tester.is_clean()


def test_a_stage_that_asks_for_no_key_fails_the_test(tester: SmokeTester) -> None:
    backend.needs_keys = False

    def open_to_all(method: str, url: str, **request: Any) -> requests.Response:
        is_stranger = url.endswith("/jobs") and not request["headers"]
        return reply(200, {}, "[]") if is_stranger else tester.stage.send(method, url, **request)

    with pytest.raises(CliError, match="it does not ask for a key; GET /jobs answered 200"):
        tester.test(open_to_all)
    assert tester.is_clean()


@pytest.mark.parametrize(
    ("path", "with_key", "answer", "told"),
    [
        (
            "/nowhere",
            True,
            reply(403, {}, '{"message":"Authorization header requires…"}'),
            "GET /nowhere with a key is not answered",
        ),
        (
            "/nowhere",
            False,
            reply(403, {}, '{"message":"Missing Authentication Token"}'),
            "GET /nowhere without a key is not answered",
        ),
        (
            "/nowhere",
            False,
            reply(404, {"content-type": "application/problem+json"}, '{"status": 404}'),
            "GET /nowhere without a key",
        ),
        (
            "/jobs",
            False,
            reply(401, {"content-type": "application/json"}, '{"message":"Unauthorized"}'),
            "GET /jobs without a key",
        ),
    ],
)
def test_where_api_gateway_answers_otherwise_than_the_description_that_is_told_and_no_failure(
    tester: SmokeTester, path: str, with_key: bool, answer: requests.Response, told: str
) -> None:
    def otherwise(method: str, url: str, **request: Any) -> requests.Response:
        is_it = (
            method == "GET" and url.endswith(f"/api{path}") and bool(request["headers"]) == with_key
        )
        return answer if is_it else tester.stage.send(method, url, **request)

    tester.test(otherwise)
    (line,) = tester.told
    assert line.startswith(told)
    assert str(answer.status_code) in line


def test_it_needs_only_what_serves() -> None:
    """`make deploy` installs nothing else."""
    code = "import sys, tests.smoke; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    pins = (ROOT / "infra" / "local" / "requirements.txt").read_text().splitlines()
    installed = {line.partition("==")[0].lower() for line in pins if "==" in line}
    known = packages_distributions()
    foreign = {name for name in done.stdout.split() if name in known}
    assert "click" in foreign
    assert [
        name
        for name in foreign
        if not installed & {one.lower().replace("_", "-") for one in known[name]}
    ] == []


def test_a_stage_that_is_not_deployed_cannot_be_tested(account: Account) -> None:
    assert account.types("smoke --stage dev") == 1
    assert f"no API resona-dev in {REGION}: `make deploy STAGE=dev`" in account.err


def caller(key: str = "a-key") -> smoke.Caller:
    cloud = Cloud(lambda service: None, ACCOUNT, REGION)
    return smoke.Caller(cloud, NAMES, URL, requests.request, key)


@responses.activate
def test_a_call_sends_method_query_key_and_json_and_returns_the_response() -> None:
    responses.post(
        f"{URL}/path",
        status=418,
        headers={"X-Odd": "1"},
        body="{}",
        match=[
            matchers.query_param_matcher({"a": "b"}),
            matchers.header_matcher(
                {"Authorization": "Bearer a-key", "Content-Type": "application/json"}
            ),
            matchers.json_params_matcher({"c": "d"}),
        ],
    )
    got = caller().call("POST", "/path?a=b", {"c": "d"})
    assert (got.status_code, got.headers["x-odd"], got.json()) == (418, "1", {})


@pytest.mark.parametrize("error", [requests.ConnectionError(), requests.ReadTimeout()])
@responses.activate
def test_a_call_without_a_response_has_status_0_and_names_the_error(
    error: requests.RequestException,
) -> None:
    responses.get(f"{URL}/", body=error)
    got = caller().call("GET", "/")
    assert (got.status_code, got.text) == (0, type(error).__name__)
