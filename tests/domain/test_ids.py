"""Keys of runs: what is read back from an id and a sort key, and how runs sort."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.ids import RUN_ID, RunKey, new_backfill_token, new_job_id, run_id, run_key

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
JOB = new_job_id(NOW)
# Due times within a few seconds, so that keys are close to each other.
times = st.integers(0, 3).map(lambda second: NOW.replace(second=second))
firsts = (
    st.builds(RunKey, times, st.sampled_from((1, 2, 10, 10**9)))
    | times.map(RunKey.for_manual)
    | st.builds(RunKey, times, backfill=st.sampled_from([new_backfill_token(NOW), "0" * 12]))
)
keys = st.builds(lambda key, retry: replace(key, retry=retry), firsts, st.integers(0, 12))


@given(keys)
def test_a_key_is_read_back_from_its_id_and_its_sort_key(key: RunKey) -> None:
    assert RUN_ID.fullmatch(run_id(JOB, key))
    assert run_key(JOB, run_id(JOB, key)) == RunKey.from_sort(key.sort) == key


@given(keys)
def test_the_retry_of_a_run_names_the_run_and_keeps_its_due_time(key: RunKey) -> None:
    retry = key.retried_by
    assert retry.retry_of == key
    assert retry.is_requested
    assert (retry.due_at, str(retry)) == (key.due_at, f"{replace(key, retry=0)}-r{retry.retry}")
    is_first_of = (key.manual or key.backfill) is None and key.retry == 0
    assert key.is_requested != is_first_of
    assert key.is_backfilled == (key.backfill is not None and key.retry == 0)


@given(keys, keys, st.integers(1, 99))
def test_nothing_sorts_between_the_records_of_a_run_and_those_of_its_retry(
    key: RunKey, other: RunKey, number: int
) -> None:
    """One query reads both, and a page of runs shows the retry directly before the run."""
    first, last = f"{key.sort}#00", f"{key.retried_by.sort}#99"
    between = first <= f"{other.sort}#{number:02d}" <= last
    assert between == (other in (key, key.retried_by))
    assert not f"{key.retried_by.sort}#".startswith(f"{key.sort}#")


@pytest.mark.parametrize(
    "text",
    [
        *("-r1", "1-20261123T100000Z-r0", "1-20261123T100000Z-r01", "r1"),
        *("B0123456789AB", "B0123456789A-20261123T100000Z", "BI123456789AB-20261123T100000Z"),
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape("not a run key")):
        RunKey.parse(text)
