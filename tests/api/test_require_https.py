"""A stage that demands https refuses `http:` URLs when a job is written, by whichever route, and
when it is sent.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from chalicelib.domain.errors import InvalidInput
from chalicelib.domain.request import Request, check
from chalicelib.domain.run import Outcome
from chalicelib.domain.secrets import Credentials
from chalicelib.handlers import composition
from tests.api.conftest import Api, job
from tests.test_config import ENVIRON

PLAIN, SECURE = {"url": "http://example.com/hook"}, {"url": "HTTPS://example.com/hook"}


@pytest.fixture
def strict(api: Api) -> Api:
    api.env.scheduling.check_request = partial(check, https_only=True)
    return api


def test_a_job_with_an_http_url_is_refused_whichever_route_writes_it(strict: Api) -> None:
    created = strict.post("/jobs", job(request=SECURE))
    assert created.status == 201
    path = f"/jobs/{created.json['id']}"
    for answer in (
        strict.post("/jobs", job(request=PLAIN)),
        strict.call("PATCH", path, {"request": PLAIN}),
        strict.call("PUT", "/jobs/key:nightly", job(request=PLAIN)),
    ):
        assert answer.fields == ["request.url"]
        assert "https://" in answer.problem["errors"][0]["message"]
    batch = strict.post("/jobs/batch", {"jobs": [job(request=PLAIN), job(request=SECURE)]})
    assert [one["status"] for one in batch.json["results"]] == [422, 201]


def test_a_job_from_before_may_be_changed_in_all_but_its_url(api: Api) -> None:
    path = f"/jobs/{api.post('/jobs', job(request=PLAIN)).json['id']}"
    api.env.scheduling.check_request = partial(check, https_only=True)
    assert api.call("PATCH", path, {"name": "another"}).status == 200
    assert api.call("PATCH", path, {"request": SECURE}).status == 200


@pytest.mark.parametrize(
    ("setting", "is_demanded"), [("true", True), ("false", False), ("", False)]
)
def test_the_setting_holds_where_jobs_are_written_and_where_they_are_sent(
    setting: str, is_demanded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in {**ENVIRON, **aws, "RESONA_REQUIRE_HTTPS": setting}.items():
        monkeypatch.setenv(name, value)
    written: Any = composition.scheduling().check_request
    sent = partial(
        composition.firing().sender.send,
        run_headers={},
        timeout=timedelta(seconds=1),
        credentials=Credentials(("whsec_dGVzdA==",)),
    )
    # A host that is refused in any case: nobody is called, and what is refused is told apart by its
    # sentence.
    url = "http://127.0.0.1:8080/"
    with pytest.raises(InvalidInput) as refused:
        written(Request(url, "GET", {}))
    blocked = sent(Request(url, "GET", {}))
    assert blocked.outcome is Outcome.BLOCKED
    for sentence in (str(refused.value), str(blocked.error)):
        assert ("must begin with https://" in sentence) == is_demanded
