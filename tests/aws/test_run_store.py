"""The run table: an attempt has one owner, pages have whole runs, expired records are skipped."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.aws.run_store import RunStore, StoredRun
from chalicelib.aws.table import Table
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.ids import RunKey
from chalicelib.domain.run import (
    Attempt,
    AttemptResult,
    Outcome,
    Reason,
    Response,
    RunEnd,
    RunStatus,
    RunUpdate,
)
from chalicelib.domain.state import LastRun
from tests.cloud import Cloud, DynamoDB, client_error, size

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
KEY = RunKey(NOW, 1)
RETRYING, FAILED = (
    RunUpdate(RunStatus.RETRYING, next_attempt_at=NOW + MINUTE),
    RunUpdate(RunStatus.FAILED, Reason.SUPERSEDED),
)


@pytest.fixture
def cloud() -> Cloud:
    return Cloud(lambda: NOW)


@pytest.fixture
def runs(cloud: Cloud) -> RunStore:
    client: Any = DynamoDB(cloud)
    return RunStore(client, "runs", 30 * DAY, sleep=lambda seconds: None)


def attempt(number: int = 1, key: RunKey = KEY, job_id: str = "job_x", **fields: Any) -> Attempt:
    result = AttemptResult(
        Outcome.HTTP_ERROR, SECOND, 500, Response({"a": "b"}, "no", truncated=False), "500", "30"
    )
    return replace(
        Attempt(job_id, key, number, "me", key.due_at, key.due_at, result, RETRYING), **fields
    )


def ended(cloud: Cloud, runs: RunStore, end: RunEnd, job_id: str = "job_x") -> None:
    """Put an ending on record, as the transaction of its state would."""
    client: Any = DynamoDB(cloud)
    Table(client, "runs", "a part").write(runs.end_item("tenant", job_id, end))


def test_an_attempt_is_read_back_as_it_was_recorded(runs: RunStore) -> None:
    assert runs.record("tenant", attempt(), 5)
    assert runs.attempt("job_x", KEY, 1) == attempt()
    assert runs.attempt("job_x", KEY, 2) is None
    assert runs.attempt("job_y", KEY, 1) is None


def test_another_owner_s_record_is_not_overwritten(runs: RunStore) -> None:
    assert runs.record("tenant", attempt(), 5)
    assert not runs.record("tenant", attempt(owner="other", update=FAILED), 6)
    assert runs.attempt("job_x", KEY, 1) == attempt()


def test_the_owner_records_again_what_a_later_state_makes_of_it(runs: RunStore) -> None:
    assert runs.record("tenant", attempt(), 5)
    assert runs.record("tenant", attempt(update=FAILED), 6)
    assert runs.attempt("job_x", KEY, 1) == attempt(update=FAILED)
    assert runs.record("tenant", attempt(update=FAILED), 6), "a repetition is a success"


def test_a_write_that_was_given_up_on_does_not_undo_the_one_in_its_place(runs: RunStore) -> None:
    assert runs.record("tenant", attempt(update=FAILED), 6)
    assert not runs.record("tenant", attempt(), 5)
    assert runs.attempt("job_x", KEY, 1) == attempt(update=FAILED)


def test_a_record_that_nobody_answered_for_may_have_been_written(
    runs: RunStore, cloud: Cloud
) -> None:
    def fail(operation: str, request: dict[str, Any]) -> None:
        raise client_error("InternalServerError", operation, 500)

    cloud.after = fail
    with pytest.raises(Unavailable, match="the run history") as raised:
        runs.record("tenant", attempt(), 5)
    assert raised.value.unknown


def test_a_run_holds_its_attempts_in_order_and_its_ending(runs: RunStore, cloud: Cloud) -> None:
    end = RunEnd(KEY, RunStatus.FAILED, NOW + MINUTE, Reason.SUPERSEDED, started_at=NOW)
    for number in (10, 2, 1):
        runs.record("tenant", attempt(number), 5)
    ended(cloud, runs, end)
    for other in (RunKey(NOW, 10), RunKey(NOW, 2), RunKey(NOW + SECOND, 1), RunKey.for_manual(NOW)):
        runs.record("tenant", attempt(key=other), 5)
    assert runs.run("job_x", KEY, NOW) == StoredRun(KEY, (attempt(1), attempt(2), attempt(10)), end)
    assert runs.run("job_x", RunKey(NOW - SECOND, 1), NOW) is None


def test_what_has_expired_is_not_shown_though_it_is_still_there(
    runs: RunStore, cloud: Cloud
) -> None:
    """DynamoDB may take days to delete it."""
    runs.record("tenant", attempt(), 5)
    ended(cloud, runs, RunEnd(RunKey(NOW, 2), RunStatus.MISSED, NOW))
    last = NOW + 30 * DAY
    for key in (KEY, RunKey(NOW, 2)):
        assert runs.run("job_x", key, last - SECOND) is not None
    assert len(runs.page("job_x", None, 10, last - SECOND)) == 2
    assert runs.run("job_x", RunKey(NOW, 2), last) is None
    assert runs.run("job_x", KEY, last) is not None, "the attempt ended a second after it had begun"
    assert runs.run("job_x", KEY, last + SECOND) is None
    assert runs.page("job_x", None, 10, last + SECOND) == []
    assert runs.last_attempts([("job_x", LastRun(KEY, 1))], last + SECOND) == {}
    assert len(cloud.tables["runs"]) == 2


def keys(count: int) -> list[RunKey]:
    """Return so many keys, newest first."""
    return [RunKey(NOW + number * MINUTE, 1) for number in reversed(range(count))]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 100])
def test_pages_hold_whole_runs_newest_first_and_each_once(
    runs: RunStore, cloud: Cloud, limit: int
) -> None:
    expected = {}
    for place, key in enumerate(keys(7)):
        attempts = tuple(attempt(number, key) for number in range(1, place % 4 + 1))
        end = RunEnd(key, RunStatus.SKIPPED, key.due_at, Reason.OVERLAP) if not attempts else None
        for record in attempts:
            runs.record("tenant", record, 5)
        if end:
            ended(cloud, runs, end)
        expected[key] = StoredRun(key, attempts, end)
    runs.record("tenant", attempt(job_id="job_y"), 5)
    shown: list[StoredRun] = []
    before = None
    while page := runs.page("job_x", before, limit, NOW):
        shown += page
        before = page[-1].key
    assert shown == list(expected.values())


def test_a_page_goes_on_behind_what_has_expired(runs: RunStore) -> None:
    newest, *old = keys(6)
    for key in old:
        runs.record("tenant", attempt(key=key, started_at=NOW - 60 * DAY), 5)
    runs.record("tenant", attempt(key=newest), 5)
    runs.record("tenant", attempt(key=RunKey(NOW - DAY, 1)), 5)
    assert [run.key for run in runs.page("job_x", None, 2, NOW)] == [newest, RunKey(NOW - DAY, 1)]


def test_a_page_begins_below_the_run_that_it_is_given(runs: RunStore) -> None:
    for key in keys(3):
        runs.record("tenant", attempt(key=key), 5)
    newest, middle, oldest = keys(3)
    assert [run.key for run in runs.page("job_x", newest, 10, NOW)] == [middle, oldest]
    assert runs.page("job_x", oldest, 10, NOW) == []


@pytest.mark.parametrize(("attempts", "limits"), [(1, [3]), (2, [3, 3]), (3, [3, 7])])
def test_a_page_reads_one_run_more_than_it_shows(
    runs: RunStore, cloud: Cloud, attempts: int, limits: list[int]
) -> None:
    for key, number in itertools.product(keys(6), range(1, attempts + 1)):
        runs.record("tenant", attempt(number, key=key), 5)
    asked: list[int] = []
    cloud.before = lambda operation, request: asked.append(request["Limit"])
    assert [run.key for run in runs.page("job_x", None, 2, NOW)] == keys(6)[:2]
    assert asked == limits


def test_a_page_reads_on_behind_what_has_expired_as_many_as_it_wants(
    runs: RunStore, cloud: Cloud
) -> None:
    for key in keys(6):
        runs.record("tenant", attempt(key=key, started_at=NOW - 60 * DAY), 5)
    asked: list[int] = []
    cloud.before = lambda operation, request: asked.append(request["Limit"])
    assert runs.page("job_x", None, 2, NOW) == []
    assert asked == [3, 4]


def test_a_query_that_is_answered_in_parts_is_read_to_its_end(cloud: Cloud) -> None:
    class Short(DynamoDB):
        """Answers two items at a time, as DynamoDB does a megabyte."""

        def query(self, **request: Any) -> dict[str, Any]:
            return super().query(**{**request, "Limit": min(2, request.get("Limit", 2))})

    client: Any = Short(cloud)
    runs = RunStore(client, "runs", 30 * DAY)
    for number in range(1, 8):
        runs.record("tenant", attempt(number), 5)
    for key in keys(5)[:4]:
        runs.record("tenant", attempt(key=key), 5)
    found = runs.run("job_x", KEY, NOW)
    assert found is not None
    assert len(found.attempts) == 7
    page = runs.page("job_x", None, 5, NOW)
    assert [(run.key, len(run.attempts)) for run in page] == [
        (key, 7 if key == KEY else 1) for key in keys(5)
    ]


def test_the_last_attempts_of_many_jobs_are_read_at_once(cloud: Cloud) -> None:
    class Hesitant(DynamoDB):
        """Answers seven keys of a batch at a time, and takes no more than a hundred."""

        def batch_get_item(self, **request: Any) -> dict[str, Any]:
            ((table, wanted),) = request["RequestItems"].items()
            assert 1 <= len(wanted["Keys"]) <= 100
            now, later = wanted["Keys"][:7], wanted["Keys"][7:]
            done = super().batch_get_item(RequestItems={table: {**wanted, "Keys": now}})
            return {**done, "UnprocessedKeys": {table: {**wanted, "Keys": later}} if later else {}}

    client: Any = Hesitant(cloud)
    runs = RunStore(client, "runs", 30 * DAY)
    for number in range(130):
        runs.record("tenant", attempt(2, job_id=f"job_{number}"), 5)
    wanted = [(f"job_{number}", LastRun(KEY, 2)) for number in range(130)]
    found = runs.last_attempts([*wanted, ("job_none", LastRun(KEY, 2))], NOW)
    assert found == {f"job_{number}": attempt(2, job_id=f"job_{number}") for number in range(130)}


def noise(length: int) -> str:
    """Return a text that compresses to half its length."""
    return random.Random(length).randbytes(length // 2).hex()


LONG = Response({"content-type": "text/plain"}, noise(16_384), truncated=True)
# The sizes around the largest response that stays in the record, and those that JSON makes longer.
RESPONSES = [
    *(Response({}, noise(length), truncated=False) for length in (0, 1_400, 2_600, 2_700, 4_000)),
    Response({}, "x" * 16_384, truncated=False),
    Response({}, "é" * 740, truncated=False),
    Response({}, '"' * 800, truncated=False),
    Response({}, "\0" * 400, truncated=False),
    Response({"a": noise(8_000)}, "", truncated=True),
    Response({}, "AA==" * 1000, truncated=True, encoding="base64"),
    LONG,
]


def answered(response: Response | None, number: int = 1, **fields: Any) -> Attempt:
    record = attempt(number, **fields)
    return replace(record, result=replace(record.result, response=response))


@pytest.mark.parametrize("response", RESPONSES)
def test_a_response_of_any_length_is_read_back_wherever_it_is_shown(
    runs: RunStore, cloud: Cloud, response: Response
) -> None:
    record = answered(response)
    assert runs.record("tenant", record, 5)
    assert runs.attempt("job_x", KEY, 1) == record
    assert runs.last_attempts([("job_x", LastRun(KEY, 1))], NOW) == {"job_x": record}
    assert runs.run("job_x", KEY, NOW) == StoredRun(KEY, (record,), None)
    # What a list reads is never more than two read units an attempt.
    (listed,) = runs.page("job_x", None, 10, NOW)
    assert listed.attempts in ((record,), (answered(None),))
    assert size(cloud.tables["runs"]["job_x", f"{KEY.sort}#01"]) <= 2_048


def test_a_run_without_its_responses_reads_none_that_is_long(runs: RunStore, cloud: Cloud) -> None:
    for number in range(1, 21):
        assert runs.record("tenant", answered(LONG, number), 5)
    cloud.calls.clear()
    found = runs.run("job_x", KEY, NOW, responses=False)
    assert found == StoredRun(KEY, tuple(answered(None, number) for number in range(1, 21)), None)
    assert cloud.calls == ["Query"]


@pytest.mark.parametrize("hook", ["before", "after"])
@pytest.mark.parametrize("which", [1, 2])
def test_a_long_response_is_whole_whenever_its_record_is_there(
    runs: RunStore, cloud: Cloud, hook: str, which: int
) -> None:
    """It is written first: a process that dies in between leaves no record, and a repetition makes
    it whole.
    """
    calls = itertools.count(1)

    def fail(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and next(calls) >= which:
            raise client_error("InternalServerError", operation, 500)

    setattr(cloud, hook, fail)
    with pytest.raises(Unavailable) as raised:
        runs.record("tenant", answered(LONG), 5)
    assert raised.value.unknown
    setattr(cloud, hook, lambda operation, request: None)
    is_recorded = (which, hook) == (2, "after")
    assert runs.attempt("job_x", KEY, 1) == (answered(LONG) if is_recorded else None)
    assert runs.record("tenant", answered(LONG, update=FAILED), 6)
    assert runs.attempt("job_x", KEY, 1) == answered(LONG, update=FAILED)


def test_who_lost_a_record_to_another_owner_does_not_change_what_the_record_shows(
    runs: RunStore,
) -> None:
    assert runs.record("tenant", answered(LONG), 5)
    other = replace(LONG, body=noise(10_000))
    assert not runs.record("tenant", answered(other, owner="other"), 6)
    assert runs.attempt("job_x", KEY, 1) == answered(LONG)


def test_a_long_response_expires_with_its_record(runs: RunStore, cloud: Cloud) -> None:
    runs.record("tenant", answered(LONG), 5)
    expiries = [item["expires_at"] for item in cloud.tables["runs"].values()]
    assert len(expiries) == 2
    assert expiries[0] == expiries[1]


def test_a_record_whose_response_is_gone_is_shown_without_it(runs: RunStore, cloud: Cloud) -> None:
    """DynamoDB deletes what has expired in no order."""
    runs.record("tenant", answered(LONG), 5)
    (apart,) = (place for place in cloud.tables["runs"] if place[0] != "job_x")
    del cloud.tables["runs"][apart]
    assert runs.attempt("job_x", KEY, 1) == answered(None)
    assert runs.run("job_x", KEY, NOW) == StoredRun(KEY, (answered(None),), None)
