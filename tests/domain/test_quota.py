"""Quotas: the usage that follows one that allowed no registration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain.errors import QuotaExceeded
from chalicelib.domain.quota import Quotas, Usage, minute_of, renewed

NOW = datetime(2026, 11, 23, 10, 0, 20, 500_000, tzinfo=UTC)
MINUTE, THIS = timedelta(minutes=1), minute_of(NOW)
QUOTAS = Quotas(jobs=10, registrations_per_minute=5)


def nobody_counts(before: datetime) -> int:
    raise AssertionError(f"counted up to {before}")


def usage(
    minute: int = THIS,
    registered: int = 0,
    earlier: int = 0,
    jobs: int = 0,
    counted_at: datetime = NOW - MINUTE,
) -> Usage:
    return Usage(minute, registered, earlier, jobs, counted_at)


def test_a_tenant_of_whom_nothing_is_known_has_its_jobs_counted() -> None:
    assert renewed(None, QUOTAS, NOW, lambda before: 3 if before > NOW else 0) == Usage(
        THIS, 0, 0, 3, NOW
    )


def test_a_new_minute_begins_with_nothing_and_remembers_the_one_before_it() -> None:
    old = usage(THIS - 1, registered=5, earlier=2, jobs=7)
    assert renewed(old, QUOTAS, NOW, nobody_counts) == usage(THIS, registered=0, earlier=5, jobs=7)
    old = usage(THIS - 2, registered=5, earlier=2, jobs=7)
    assert renewed(old, QUOTAS, NOW, nobody_counts) == usage(THIS, registered=0, earlier=0, jobs=7)


def test_a_clock_that_is_a_little_ahead_counts_for_all() -> None:
    old = usage(THIS + 1, registered=2)
    assert renewed(old, QUOTAS, NOW, nobody_counts) == old
    with pytest.raises(QuotaExceeded) as refused:
        renewed(usage(THIS + 1, registered=5), QUOTAS, NOW, nobody_counts)
    assert refused.value.retry_after == 100


def test_a_clock_that_was_far_ahead_keeps_nobody_waiting() -> None:
    old = usage(THIS + 500, registered=5, earlier=2, jobs=7)
    assert renewed(old, QUOTAS, NOW, nobody_counts) == usage(THIS, registered=0, earlier=7, jobs=7)


def test_a_count_that_a_clock_far_ahead_made_is_made_again() -> None:
    old = usage(THIS, registered=2, jobs=10, counted_at=NOW + timedelta(days=3650))
    assert renewed(old, QUOTAS, NOW, lambda before: 4) == usage(
        THIS, registered=2, jobs=6, counted_at=NOW
    )
    old = usage(THIS - 1, registered=2, jobs=3, counted_at=NOW + timedelta(days=3650))
    assert renewed(old, QUOTAS, NOW, lambda before: 7) == Usage(THIS, 0, 2, 9, NOW)
    with pytest.raises(QuotaExceeded) as refused:
        renewed(usage(jobs=10, counted_at=NOW + timedelta(seconds=50)), QUOTAS, NOW, nobody_counts)
    assert refused.value.retry_after == 10


def test_registrations_over_the_quota_may_try_again_in_the_next_minute() -> None:
    with pytest.raises(QuotaExceeded) as refused:
        renewed(usage(registered=5), QUOTAS, NOW, nobody_counts)
    error = refused.value
    assert (error.quota, error.limit, error.retry_after, error.window) == (
        "registrations",
        5,
        40,
        60,
    )


def test_jobs_over_the_quota_are_counted_and_what_is_recent_is_added() -> None:
    old = usage(registered=2, earlier=1, jobs=10)

    def count(before: datetime) -> int:
        assert before == datetime(2026, 11, 23, 9, 59, tzinfo=UTC), (
            "the beginning of the minute before this one"
        )
        return 4

    assert renewed(old, QUOTAS, NOW, count) == usage(
        registered=2, earlier=1, jobs=7, counted_at=NOW
    )


def test_jobs_are_not_counted_again_at_once() -> None:
    with pytest.raises(QuotaExceeded) as refused:
        renewed(usage(jobs=10, counted_at=NOW - timedelta(seconds=4)), QUOTAS, NOW, nobody_counts)
    error = refused.value
    assert (error.quota, error.limit, error.retry_after, error.window) == ("jobs", 10, 6, None)


def test_jobs_are_counted_once_a_day_whether_they_reach_the_quota_or_not() -> None:
    old = usage(THIS - 1, registered=2, jobs=3, counted_at=NOW - timedelta(days=1))
    assert renewed(old, QUOTAS, NOW, lambda before: 7) == Usage(THIS, 0, 2, 9, NOW)


@pytest.mark.parametrize(
    ("quotas", "old"), [(Quotas(0, 5), usage(jobs=10**9)), (Quotas(10, 0), usage(registered=10**9))]
)
def test_what_is_0_is_no_quota(quotas: Quotas, old: Usage) -> None:
    assert renewed(old, quotas, NOW, nobody_counts) == old


def test_without_a_quota_of_jobs_nobody_counts_them_until_there_is_one() -> None:
    quotas = Quotas(0, 5)
    first = renewed(None, quotas, NOW, nobody_counts)
    assert (first.minute, first.registered, first.earlier) == (THIS, 0, 0)
    old = usage(THIS - 1, registered=2, jobs=3, counted_at=NOW - timedelta(days=400))
    assert renewed(old, quotas, NOW, nobody_counts) == usage(
        THIS, 0, 2, 3, NOW - timedelta(days=400)
    )
    for uncounted in (first, old):
        assert renewed(uncounted, QUOTAS, NOW + MINUTE, lambda before: 7).jobs >= 7


def test_a_usage_that_allows_a_registration_after_all_stays() -> None:
    old = usage(registered=4, jobs=9)
    assert renewed(old, QUOTAS, NOW, nobody_counts) == old
