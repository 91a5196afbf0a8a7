"""The index of ended runs: its shards are read as one list, newest first."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws.ended_runs_index import (
    OK_SHARDS,
    WRONG,
    WRONG_SHARDS,
    index_keys,
    is_position,
    newest,
)
from chalicelib.domain.ids import RunKey, least_job_id
from chalicelib.domain.run import ENDED, RunStatus
from tests.environment import in_turn

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
LATE = timedelta(milliseconds=41)
# Jobs in each of the shards: the end of an id decides.
JOBS = [f"{least_job_id(NOW)[:-2]}{number:02d}" for number in range(40)]


def entry(job_id: str, second: int, status: RunStatus = RunStatus.FAILED) -> dict[str, Any]:
    """Return the item of a record with which a run ended."""
    at = NOW + timedelta(seconds=second)
    key = RunKey(at, 1)
    return {
        "job_id": job_id,
        "sort": f"{key.sort}#01",
        **index_keys("tenant", job_id, key, status, at, LATE),
    }


def shard_of(job_id: str) -> str:
    return str(entry(job_id, 0)["wrong_shard"])


def walk(items: list[dict[str, Any]], limit: int, page: int) -> list[list[str]]:
    """Return the positions of every page to the end; a shard answers `page` items at a time."""
    pages: list[list[str]] = []
    before = "~"
    while True:

        def query(
            shard: str, before: str = before
        ) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
            here = [item for item in items if item["wrong_shard"] == shard]
            below = sorted(
                (item for item in here if item["wrong_at"] < before),
                key=lambda item: str(item["wrong_at"]),
                reverse=True,
            )
            return below[:page], {} if len(below) > page else None

        found, is_more = newest(query, "tenant", ENDED, limit, in_turn)
        pages.append([one.position for one in found])
        if not is_more:
            return pages
        assert found, "a page that leads on has something, or it would lead to itself"
        before = found[-1].position


def positions(items: list[dict[str, Any]]) -> list[str]:
    return sorted((item["wrong_at"] for item in items), reverse=True)


def test_the_jobs_here_are_in_every_shard() -> None:
    for status, shards in ((RunStatus.FAILED, WRONG_SHARDS), (RunStatus.SUCCEEDED, OK_SHARDS)):
        assert len({entry(job_id, 0, status)["wrong_shard"] for job_id in JOBS}) == shards


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 10, 11])
def test_the_failures_of_one_job_are_paged_to_their_end(count: int) -> None:
    """One shard, as many entries as a page has, one fewer and one more."""
    items = [entry(JOBS[0], second) for second in range(count)]
    pages = walk(items, 5, 5)
    assert [position for page in pages for position in page] == positions(items)
    assert len(pages) == max(1, -(-count // 5))


def test_what_lies_below_the_end_of_a_shard_that_was_not_read_to_its_end_waits() -> None:
    """Nothing is known there: the shard may have entries in between."""
    busy = JOBS[0]
    quiet = next(job_id for job_id in JOBS if shard_of(job_id) != shard_of(busy))
    items = [entry(busy, second) for second in range(10, 20)] + [entry(quiet, 0)]
    first, *rest = walk(items, 5, 5)
    assert first == positions(items)[:5]
    assert [position for page in rest for position in page] == positions(items)[5:]


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(JOBS), st.integers(0, 30)), st.sampled_from(ENDED), max_size=60
    ),
    st.integers(1, 12),
    st.integers(1, 12),
)
def test_every_entry_comes_once_newest_first_whatever_the_sizes(
    made: dict[tuple[str, int], RunStatus], limit: int, page: int
) -> None:
    items = [entry(job_id, second, status) for (job_id, second), status in made.items()]
    pages = walk(items, limit, page)
    assert [position for found in pages for position in found] == positions(items)
    assert all(len(found) <= limit for found in pages)


@given(st.sampled_from(JOBS), st.integers(0, 10**8), st.sampled_from(RunStatus))
def test_what_has_ended_is_in_the_index_and_nothing_else(
    job_id: str, second: int, status: RunStatus
) -> None:
    item = entry(job_id, second, status)
    assert ("wrong_at" in item) == (status in ENDED)
    if "wrong_at" not in item:
        return
    assert is_position(item["wrong_at"])

    def found(*statuses: RunStatus) -> tuple[list[Any], bool]:
        return newest(
            lambda shard: ([item] if shard == item["wrong_shard"] else [], None),
            "tenant",
            statuses,
            5,
            in_turn,
        )

    ((read,), is_more) = found(status)
    at = NOW + timedelta(seconds=second)
    assert (read.job_id, read.status, read.at, read.key) == (job_id, status, at, RunKey(at, 1))
    assert (read.number, is_more) == (1, False)
    others = [other for other in ENDED if (other in WRONG) != (status in WRONG)]
    assert found(*others) == ([], False)


def test_what_went_wrong_is_where_earlier_releases_look_for_it_and_nothing_else_is() -> None:
    """They ask for `<tenant>#0` to `<tenant>#3`, and read the four parts of a position."""
    job_id, at = JOBS[0], "2026-11-23T10:00:00.000000Z"
    run = "20261123T100000Z#0000000001"
    for status in WRONG:
        item = entry(job_id, 0, status)
        assert item["wrong_shard"] in {f"tenant#{shard}" for shard in range(4)}
        assert item["wrong_at"] == f"{at}#{status}#{job_id}#{run}"
    assert entry(job_id, 0, RunStatus.SUCCEEDED)["wrong_shard"].startswith("tenant#ok#")
    succeeded = entry(job_id, 0, RunStatus.SUCCEEDED)["wrong_at"]
    assert re.fullmatch(rf"{re.escape(at)}#succeeded#[0-9a-f]{{8}}#41", succeeded)
    skipped = entry(job_id, 0, RunStatus.SKIPPED)["wrong_at"]
    assert re.fullmatch(rf"{re.escape(at)}#skipped#[0-9a-f]{{8}}", skipped)
    assert entry(JOBS[1], 0, RunStatus.SKIPPED)["wrong_at"] != skipped
