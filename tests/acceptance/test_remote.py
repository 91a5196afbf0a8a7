"""How the acceptance suite handles responses of a stage that a laptop never gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import responses

from chalicelib.domain.api_keys import new_key
from tests.acceptance.remote import Refused, Remote

URL = "https://abc.execute-api.eu-central-1.amazonaws.com/api"
HEALTH = {"status": "ok"}

pytestmark = pytest.mark.laptop("it is about the suite, and calls no stage")


@pytest.fixture
def stage() -> Remote:
    return Remote(URL, new_key("dev").text)


@responses.activate
def test_a_throttled_call_is_repeated_with_the_key(stage: Remote) -> None:
    for _ in range(2):
        responses.get(f"{URL}/jobs", status=429, headers={"Retry-After": "0.01"})
    responses.get(f"{URL}/jobs", json=[])
    assert stage.get("/jobs") == []
    assert stage.throttled == 2
    sent = [call.request.headers["Authorization"] for call in responses.calls]
    assert sent == [f"Bearer {stage.key()}"] * 3


@responses.activate
def test_a_stage_that_throttles_every_call_is_given_up(stage: Remote) -> None:
    responses.get(f"{URL}/jobs", status=429, headers={"Retry-After": "0.01"})
    assert stage.request("GET", "/jobs").status_code == 429
    assert len(responses.calls) == 6


@responses.activate
def test_the_clock_of_a_stage_is_read_from_its_date_header(stage: Remote) -> None:
    def health(request: object) -> tuple[int, dict[str, str], str]:
        at = datetime.now(UTC) + timedelta(minutes=5)
        return 200, {"Date": format_datetime(at, usegmt=True)}, '{"status": "ok"}'

    responses.add_callback(responses.GET, f"{URL}/health", health)
    responses.get(f"{URL}/jobs", json=[])
    responses.post(f"{URL}/jobs/delete", json={"changed": 0})
    stage.check()
    assert abs(stage.ahead - timedelta(minutes=5)) <= stage.clock_error
    assert stage.clock_error < timedelta(seconds=1)


@responses.activate
def test_a_stage_that_fails_is_refused_with_both_statuses(stage: Remote) -> None:
    responses.get(f"{URL}/health", json=HEALTH)
    responses.get(f"{URL}/jobs", json=[])
    responses.post(f"{URL}/jobs/delete", status=502)
    with pytest.raises(Refused, match="answers 200 to GET /jobs and 502 to POST /jobs/delete"):
        stage.check()


@pytest.mark.parametrize("text", ["", "[]", '{"status": "down"}', "<html>"])
@responses.activate
def test_a_url_whose_health_is_not_resonas_is_refused(stage: Remote, text: str) -> None:
    responses.get(f"{URL}/health", body=text)
    with pytest.raises(Refused, match="answers 200, and not as Resona does"):
        stage.check()
