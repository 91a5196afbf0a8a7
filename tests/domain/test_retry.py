"""Whether an attempt is retried, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.retry import (
    MAX_JITTER,
    RetryPolicy,
    is_retried,
    next_attempt_at,
    parse_retry_after,
)
from chalicelib.domain.run import AttemptResult, Outcome

NOW = datetime(2026, 11, 23, 10, 0, 0, 250_000, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)

delays = st.integers(0, 3600).map(lambda seconds: timedelta(seconds=seconds))
policies = st.builds(
    RetryPolicy,
    st.integers(1, 20),
    delays,
    st.integers(0, 86_400).map(lambda seconds: timedelta(seconds=seconds)),
)
jitters = st.floats(0, MAX_JITTER)
dates = st.from_regex(
    r"[A-Z][a-z]{2}, \d{1,12} (Nov|Feb) \d{1,12} \d{1,3}:\d\d:\d\d( [+-]\d{1,6}| GMT|)",
    fullmatch=True,
)
headers = (
    st.none()
    | dates
    | st.text()
    | st.integers(0, 10**12).map(str)
    | st.datetimes(timezones=st.just(UTC)).map(format_datetime)
)


def pause(
    policy: RetryPolicy, attempt: int, retry_after: str | None = None, jitter: float = 0
) -> timedelta:
    return next_attempt_at(policy, attempt, NOW, retry_after, jitter) - NOW


def is_tried_again(
    outcome: Outcome,
    status: int | None = None,
    never: tuple[Outcome | int, ...] = (),
    *,
    forbids_retry: bool = False,
) -> bool:
    result = AttemptResult(outcome, SECOND, status, forbids_retry=forbids_retry)
    return is_retried(RetryPolicy(never=never), result)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507, 599])
def test_a_status_that_may_pass_is_tried_again(status: int) -> None:
    assert is_tried_again(Outcome.HTTP_ERROR, status)


@pytest.mark.parametrize(
    "status", [300, 301, 304, 400, 401, 403, 404, 405, 409, 410, 418, 422, 428, 451, 499, 600, 999]
)
def test_a_status_that_stays_is_not(status: int) -> None:
    assert not is_tried_again(Outcome.HTTP_ERROR, status)


@pytest.mark.parametrize("outcome", Outcome)
def test_an_outcome_is_tried_again_unless_it_is_final(outcome: Outcome) -> None:
    final = {Outcome.SUCCESS, Outcome.BLOCKED, Outcome.TLS_FAILED, Outcome.HTTP_ERROR}
    assert is_tried_again(outcome) is (outcome not in final)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.TIMEOUT, None),
        (Outcome.HTTP_ERROR, 503),
        (Outcome.UNEXPECTED, 200),
        (Outcome.UNEXPECTED, 404),
    ],
)
def test_what_a_policy_or_a_target_rules_out_is_not_tried_again(
    outcome: Outcome, status: int | None
) -> None:
    assert is_tried_again(outcome, status, (Outcome.DNS_FAILED, 500))
    assert not is_tried_again(outcome, status, (Outcome.DNS_FAILED, outcome))
    assert is_tried_again(outcome, status, (status,) if status else ()) is (status is None)
    assert not is_tried_again(outcome, status, forbids_retry=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        ("007", 7),
        # A server that wishes for a century is heard as far as the policy goes.
        ("3155760000", 315_576_000),
        ("9" * 5000, 999_999_999),
        ("Mon, 23 Nov 2026 10:01:00 GMT", 59.75),
        ("Mon, 23 Nov 2026 11:01:00 +0100", 59.75),
        # RFC 5322 lets -0000 stand for a zone that is not known; RFC 9110 knows UTC alone.
        ("Mon, 23 Nov 2026 10:01:00 -0000", 59.75),
        ("Mon, 23 Nov 2026 10:01:00", 59.75),
        ("Monday, 23-Nov-26 10:01:00 GMT", 59.75),
        ("Mon Nov 23 10:01:00 2026", 59.75),
        ("Mon, 23 Nov 2026 09:59:00 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("", 0),
        ("soon", 0),
        ("-5", 0),
        ("1.5", 0),
        ("1e3", 0),
        ("٣", 0),
        ("²", 0),
        ("12 seconds", 0),
        ("2026-11-23T10:01:00Z", 0),
        ("Mon, 32 Nov 2026 10:01:00 GMT", 0),
        ("Mon, 23 Nov 2026 25:01:00 GMT", 0),
        ("Mon, 23 Nov 99999999999 10:01:00 GMT", 0),
        ("\x00", 0),
    ],
)
def test_a_retry_after_is_seconds_or_a_date_or_nothing(
    value: str | None, seconds: float | None
) -> None:
    found = parse_retry_after(value, NOW)
    if seconds is None:
        assert found > DAY
    else:
        assert found == timedelta(seconds=seconds)


@given(st.text() | headers)
def test_whatever_a_target_sends_is_a_pause(value: str | None) -> None:
    assert parse_retry_after(value, NOW) >= timedelta(0)


@given(policies, st.integers(1, 20), headers, jitters)
def test_whatever_a_target_sends_the_policy_bounds_it(
    policy: RetryPolicy, attempt: int, value: str | None, jitter: float
) -> None:
    assert timedelta(0) <= pause(policy, attempt, value, jitter) <= policy.max_delay


def test_delays_that_are_given_come_one_by_one_and_the_last_again() -> None:
    policy = RetryPolicy(20, delays=(5 * SECOND, HOUR, 60 * SECOND))
    expected = [5 * SECOND, HOUR, 60 * SECOND, 60 * SECOND, 60 * SECOND]
    assert [pause(policy, attempt) for attempt in range(1, 6)] == expected
    assert pause(policy, 1, jitter=0.1) == 5.5 * SECOND
    assert pause(policy, 1, "30") == 30 * SECOND
    # A target may ask for an hour at most, and never shortens a delay.
    assert pause(policy, 1, "86400") == HOUR
    assert pause(policy, 2, "10") == HOUR
    assert pause(RetryPolicy(2, delays=(DAY,)), 1, "10") == DAY


def test_delays_double_up_to_the_longest() -> None:
    policy = RetryPolicy(10, timedelta(seconds=10), timedelta(seconds=100))
    assert [pause(policy, attempt) / SECOND for attempt in range(1, 7)] == [
        10,
        20,
        40,
        80,
        100,
        100,
    ]


def test_the_longest_delay_also_bounds_the_first() -> None:
    assert pause(RetryPolicy(3, HOUR, timedelta(seconds=5)), 1) == timedelta(seconds=5)


@given(policies, st.integers(1, 19), jitters)
def test_delays_never_shrink(policy: RetryPolicy, attempt: int, jitter: float) -> None:
    assert pause(policy, attempt, None, jitter) <= pause(policy, attempt + 1, None, jitter)


@pytest.mark.parametrize("attempt", [21, 64, 1000, 10**6])
def test_a_late_attempt_does_not_overflow(attempt: int) -> None:
    assert pause(RetryPolicy(attempt, SECOND, DAY), attempt) == DAY
    assert pause(RetryPolicy(attempt, HOUR, DAY), attempt) == DAY


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("5", 10), ("10", 10), ("30", 30), ("101", 100), ("soon", 10), (None, 10)],
)
def test_a_retry_after_lengthens_a_delay_and_never_shortens_it(
    retry_after: str | None, seconds: int
) -> None:
    policy = RetryPolicy(3, timedelta(seconds=10), timedelta(seconds=100))
    assert pause(policy, 1, retry_after) == timedelta(seconds=seconds)


def test_a_retry_after_counts_from_the_end_of_the_attempt() -> None:
    policy = RetryPolicy(3, SECOND, HOUR)
    date = format_datetime(NOW.replace(microsecond=0) + timedelta(seconds=60), usegmt=True)
    assert next_attempt_at(policy, 1, NOW, date, 0) == NOW.replace(microsecond=0) + timedelta(
        seconds=60
    )
    assert next_attempt_at(policy, 1, NOW, "60", 0) == NOW + timedelta(seconds=60)


@given(policies, st.integers(1, 20), jitters)
def test_jitter_lengthens_a_delay_by_its_share(
    policy: RetryPolicy, attempt: int, jitter: float
) -> None:
    plain, jittered = pause(policy, attempt), pause(policy, attempt, None, jitter)
    assert abs(jittered - min(plain * (1 + jitter), policy.max_delay)) <= timedelta(microseconds=1)
    assert plain <= jittered <= policy.max_delay


def test_nothing_is_later_than_the_longest_delay() -> None:
    """Jitter counts below the longest delay, and never leads past it; nor does a Retry-After."""
    policy = RetryPolicy(10, timedelta(seconds=10), timedelta(seconds=100))
    assert [pause(policy, attempt, None, 0.1) / SECOND for attempt in (1, 2, 3, 4, 5)] == [
        11,
        22,
        44,
        88,
        100,
    ]
    assert [pause(policy, 1, asked, 0.1) / SECOND for asked in ("50", "95", "100", "3600")] == [
        55,
        100,
        100,
        100,
    ]


def test_three_attempts_ten_seconds_and_an_hour_are_what_a_job_has_by_itself() -> None:
    assert RetryPolicy() == RetryPolicy(3, timedelta(seconds=10), HOUR)
