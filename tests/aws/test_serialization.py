"""Everything that is written is read back unchanged, and older formats are still read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws.job_items import put_state, read_state
from chalicelib.aws.serialization import (
    dump_attempt,
    dump_definition,
    dump_due,
    dump_ending,
    dump_state,
    load_attempt,
    load_definition,
    load_due,
    load_ending,
    load_state,
    sortable,
)
from chalicelib.domain.backfill import Backfill
from chalicelib.domain.completion import Awaited, Completion
from chalicelib.domain.cron import Cron, Dst
from chalicelib.domain.ids import RunKey, new_backfill_token, new_job_id, new_token
from chalicelib.domain.interval import Interval
from chalicelib.domain.job import Definition, Overlap
from chalicelib.domain.limits import Limits
from chalicelib.domain.request import Request
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import (
    ENDED,
    Attempt,
    AttemptResult,
    Outcome,
    Reason,
    Response,
    RunEnd,
    RunStatus,
    RunUpdate,
)
from chalicelib.domain.state import (
    MOST_RECENT,
    DueMessage,
    LastRun,
    State,
    Status,
    UnfinishedRun,
)
from chalicelib.domain.state_parts import FAILING, RESONA, PassedOver, Pause
from chalicelib.domain.trigger import OneTime

FIRST, LAST = datetime(1970, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001  hypothesis adds the zone
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)

instants = st.datetimes(FIRST, LAST, timezones=st.just(UTC))
seconds = instants.map(lambda at: at.replace(microsecond=0))
pauses = st.integers(0, 10**6).map(lambda count: timedelta(seconds=count))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ids, tokens = instants.map(new_job_id), instants.map(new_token)
backfill_tokens = instants.map(new_backfill_token)
firsts = (
    st.builds(RunKey, seconds, st.integers(1, 10**6))
    | instants.map(RunKey.for_manual)
    | st.builds(RunKey, seconds, backfill=backfill_tokens)
)
keys = firsts | st.builds(lambda key, retry: replace(key, retry=retry), firsts, st.integers(1, 99))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)

definitions = st.builds(
    Definition,
    id=ids,
    tenant=texts,
    generation=st.integers(1, 10**9),
    name=texts,
    created_at=seconds,
    trigger=st.builds(OneTime, seconds)
    | st.builds(
        Interval,
        st.integers(10, 10**7).map(lambda each: timedelta(seconds=each)),
        seconds,
        st.builds(
            Limits,
            st.none() | seconds,
            st.none() | st.integers(1, 10**6),
            st.sampled_from([(), ("off",), ("a", "b")]),
        ),
    )
    | st.sampled_from(
        [
            Cron("0 9 * * 1-5", "Europe/Berlin"),
            Cron("@daily", "UTC", Dst("next", "both")),
            Cron("@hourly", "UTC", starts_at=NOW, limits=Limits(NOW, 10)),
            Cron("@hourly", "UTC", limits=Limits(exclude=("off",)), spread=3_600),
        ]
    ),
    request=st.builds(
        Request,
        texts,
        st.sampled_from(["GET", "POST"]),
        st.dictionaries(texts, texts, max_size=3),
        json_values,
    ),
    timeout=pauses,
    retry=st.builds(RetryPolicy, st.integers(1, 20), pauses, pauses),
    overlap=st.sampled_from(Overlap),
    misfire_grace=st.none() | pauses,
    labels=st.dictionaries(texts, texts, max_size=3),
    key=st.none() | texts,
    completion=st.none() | st.builds(Completion, pauses, texts),
)
unfinished_runs = st.builds(
    UnfinishedRun,
    keys,
    st.integers(1, 10**9),
    st.integers(0, 20),
    st.none() | texts,
    st.none() | instants,
    st.none() | instants,
    st.none() | instants,
    st.booleans(),
    st.none() | instants,
    st.none() | st.builds(Awaited, texts, instants, instants),
)
states = st.builds(
    State,
    job_id=ids,
    tenant=texts,
    revision=st.integers(1, 10**12),
    generation=st.integers(1, 10**9),
    defined_in=st.integers(1, 10**9),
    status=st.sampled_from(Status),
    updated_at=instants,
    next_due_at=st.none() | seconds,
    covered=st.booleans(),
    token=st.none() | tokens,
    doubted_until=st.none() | instants,
    runs=st.lists(unfinished_runs, max_size=4).map(tuple),
    last_run=st.none()
    | st.builds(LastRun, keys, st.integers(1, 20), st.none() | instants, st.none() | instants),
    watch_at=st.none() | instants,
    edition=st.integers(1, 10**9),
    recent=st.lists(st.sampled_from(ENDED), max_size=MOST_RECENT).map(tuple),
    pause=st.none()
    | st.builds(Pause, instants, st.none() | texts, st.none() | seconds, st.none() | texts),
    skips=st.integers(0, 100),
    backfill=st.none()
    | st.builds(
        Backfill, backfill_tokens, seconds, seconds, st.integers(1, 1000), st.integers(1, 1000)
    ),
    passed_over=st.none() | st.builds(PassedOver, st.none() | seconds),
)
responses = st.builds(
    Response,
    st.dictionaries(texts, texts, max_size=3),
    texts,
    st.booleans(),
    st.none() | st.just("base64"),
)
results = st.builds(
    AttemptResult,
    st.sampled_from(Outcome),
    # A millisecond's thousandth is as fine as durations are kept.
    st.integers(0, 10**9).map(lambda count: timedelta(microseconds=count)),
    st.none() | st.integers(100, 999),
    st.none() | responses,
    st.none() | texts,
    st.none() | texts,
    message=st.none() | texts,
)


@given(states)
def test_the_release_before_reads_a_state_whose_last_run_it_does_not_know(state: State) -> None:
    """It ignores what it does not know, and knows neither retries nor backfills."""
    raw, key = json.loads(dump_state(state)), state.last_run.key if state.last_run else None
    is_new = key is not None and (key.retry > 0 or key.backfill is not None)
    assert ("last_retry" in raw, "last_run" in raw) == (
        is_new,
        key is not None and not is_new,
    )


def with_its_reason(end: RunEnd) -> RunEnd:
    """A missed run is a misfire, unless it says otherwise, and no other run is."""
    if end.reason in (Reason.PAUSED, Reason.ASKED, Reason.CALENDAR):
        return end
    is_missed = end.status is RunStatus.MISSED
    reason = (
        Reason.MISFIRE if is_missed else end.reason if end.reason is not Reason.MISFIRE else None
    )
    return replace(end, reason=reason)


updates = st.builds(
    RunUpdate, st.sampled_from(RunStatus), st.none() | st.sampled_from(Reason), st.none() | instants
)
attempts = st.builds(
    Attempt,
    ids,
    keys,
    st.integers(1, 20),
    texts,
    instants,
    instants,
    results,
    updates,
    st.none() | instants,
    st.none() | texts,
)
ends = st.builds(
    RunEnd,
    keys,
    st.sampled_from(RunStatus),
    instants,
    st.none() | st.sampled_from(Reason),
    st.none() | instants,
    st.none() | st.integers(1, 10_000),
    st.none() | seconds,
    st.none() | texts,
).map(with_its_reason)
dues = st.builds(DueMessage, ids, texts, keys, instants)


@given(definitions)
def test_a_definition_is_read_back_as_it_was_written(definition: Definition) -> None:
    assert load_definition(dump_definition(definition)) == definition


@given(states)
def test_a_state_is_read_back_as_it_was_written(state: State) -> None:
    assert load_state(state.job_id, state.revision, state.watch_at, dump_state(state)) == state


@given(states)
def test_a_state_goes_through_its_item_unchanged(state: State) -> None:
    assert read_state(put_state("jobs", state).item) == state


@given(attempts)
def test_an_attempt_is_read_back_as_it_was_written(record: Attempt) -> None:
    assert (
        load_attempt(record.job_id, record.key, record.number, record.owner, dump_attempt(record))
        == record
    )


@given(ends)
def test_an_ending_is_read_back_as_it_was_written(end: RunEnd) -> None:
    assert load_ending(end.key, dump_ending(end)) == end


@pytest.mark.parametrize("reason", [Reason.PAUSED, Reason.ASKED, Reason.MISFIRE])
def test_the_release_before_reads_an_ending_with_a_reason_that_it_does_not_know(
    reason: Reason,
) -> None:
    """It ignores names that it does not know."""
    end = RunEnd(RunKey(NOW, 1), RunStatus.MISSED, NOW, reason)
    assert "reason" not in json.loads(dump_ending(end))


def test_a_pause_that_was_stored_before_pauses_had_an_end_is_one_of_resona_s() -> None:
    state = State("job_x", "t", 2, 2, 1, Status.PAUSED, NOW)
    raw = json.loads(dump_state(state)) | {"pause": ["2026-11-23T10:00:00Z", "failing"]}
    pause = load_state("job_x", 2, None, json.dumps(raw)).pause
    assert pause == Pause(NOW, FAILING, None, RESONA)


@given(dues)
def test_a_message_is_read_back_as_it_was_written(due: DueMessage) -> None:
    assert load_due(dump_due(due)) == due


@given(st.lists(instants, min_size=2, max_size=2))
def test_a_sortable_text_sorts_as_the_instants_do(pair: list[datetime]) -> None:
    first, second = pair
    assert (sortable(first) < sortable(second)) == (first < second)
    assert len(sortable(first)) == len(sortable(second))


@pytest.mark.parametrize(
    "body",
    [
        None,
        False,
        0,
        0.1,
        1e300,
        2**80,
        "",
        "é\u2028\x00",
        [],
        {},
        {"": {"": [None]}},
        json.loads("[" * 200 + "]" * 200),
    ],
    ids=lambda body: str(body)[:20],
)
def test_a_body_survives_whatever_json_it_is(body: Any) -> None:
    made = definition(request=Request("https://example.com/", "POST", {}, body))
    assert load_definition(dump_definition(made)) == made


def definition(**fields: Any) -> Definition:
    trigger = OneTime(NOW)
    return replace(
        Definition(
            new_job_id(NOW),
            "tenant",
            1,
            "job",
            NOW,
            trigger,
            Request("https://example.com/", "POST", {}, None),
        ),
        **fields,
    )


def state(**fields: Any) -> State:
    return replace(
        State(new_job_id(NOW), "tenant", 7, 3, 2, Status.ACTIVE, NOW, next_due_at=NOW), **fields
    )


def test_a_state_stays_below_a_kilobyte_in_normal_life() -> None:
    run = UnfinishedRun(RunKey(NOW, 3), 3, 2, "a" * 32, NOW, None, NOW)
    normal = state(
        token=new_token(NOW), runs=(run,), last_run=LastRun(RunKey(NOW, 3), 3), watch_at=NOW
    )
    assert len(json.dumps(put_state("jobs", normal).item)) < 1024


def test_a_message_says_nothing_that_a_user_wrote() -> None:
    text = dump_due(DueMessage(new_job_id(NOW), "tenant", RunKey(NOW, 1), NOW))
    assert set(json.loads(text)) == {"job_id", "tenant", "run", "at"}


def test_what_is_not_set_takes_no_room() -> None:
    assert set(json.loads(dump_state(state(next_due_at=None)))) == {
        "tenant",
        "generation",
        "defined_in",
        "status",
        "updated_at",
        "covered",
        "edition",
    }
    assert "misfire_grace" not in json.loads(dump_definition(definition()))
    assert "key" not in json.loads(dump_definition(definition()))


# What the first release wrote, byte for byte: jobs made then must be read for ever.
OLD_DEFINITION = (
    '{"id":"job_01KASQXJ00000000000000000A","tenant":"t","generation":1,"name":"n",'
    '"created_at":"2026-11-23T10:00:00+00:00",'
    '"trigger":{"type":"cron","fields":{"cron":"0 9 * * *","timezone":"Europe/Berlin"}},'
    '"request":{"url":"https://example.com/","method":"POST","headers":{"A":"b"},"body":{"n":1.5}},'
    '"timeout":30.0,"retry":[3,10.0,3600.0],"overlap":"allow"}'
)
OLD_STATE = (
    '{"tenant":"t","generation":2,"defined_in":1,"status":"paused","updated_at":'
    '"2026-11-23T10:00:00.250000+00:00"}'
)
OLD_RUN = (
    '{"key":"1-20261123T100000Z","generation":1,"attempt":1,"next_attempt_at":'
    '"2026-11-23T10:01:00+00:00"}'
)
OLD_ATTEMPT = (
    '{"started_at":"2026-11-23T10:00:00+00:00","run_started_at":"2026-11-23T10:00:00+00:00",'
    '"duration_ms":12.5,'
    '"outcome":"timeout","status":"failed"}'
)
OLD_DUE = (
    '{"job_id":"job_01KASQXJ00000000000000000A","tenant":"t","run":"1-20261123T100000Z",'
    '"at":"2026-11-23T10:00:00+00:00"}'
)


def test_a_definition_without_its_optional_members_is_read() -> None:
    read = load_definition(OLD_DEFINITION)
    assert (read.trigger, read.timeout, read.retry) == (
        Cron("0 9 * * *", "Europe/Berlin"),
        timedelta(seconds=30),
        RetryPolicy(),
    )
    assert (read.labels, read.key, read.misfire_grace, read.overlap) == (
        {},
        None,
        None,
        Overlap.ALLOW,
    )
    assert read.request == Request("https://example.com/", "POST", {"A": "b"}, {"n": 1.5})
    without_body = json.loads(OLD_DEFINITION)
    del without_body["request"]["body"]
    assert load_definition(json.dumps(without_body)).request.body is None


def test_a_state_without_its_optional_members_is_read() -> None:
    read = load_state("job_x", 2, None, OLD_STATE)
    assert read == State("job_x", "t", 2, 2, 1, Status.PAUSED, NOW + timedelta(milliseconds=250))
    with_run = json.loads(OLD_STATE) | {"runs": [json.loads(OLD_RUN)]}
    (run,) = load_state("job_x", 2, None, json.dumps(with_run)).runs
    assert run == UnfinishedRun(RunKey(NOW, 1), 1, 1, next_attempt_at=NOW + timedelta(minutes=1))
    assert run.covered


def test_an_attempt_an_ending_and_a_message_without_their_optional_members_are_read() -> None:
    key = RunKey(NOW, 1)
    record = load_attempt("job_x", key, 1, "owner", OLD_ATTEMPT)
    result = AttemptResult(Outcome.TIMEOUT, timedelta(milliseconds=12.5))
    assert record == Attempt(
        "job_x", key, 1, "owner", NOW, NOW, result, RunUpdate(RunStatus.FAILED)
    )
    assert load_ending(key, '{"status":"missed","at":"2026-11-23T10:00:00+00:00"}') == RunEnd(
        key, RunStatus.MISSED, NOW, Reason.MISFIRE
    )
    assert load_due(OLD_DUE) == DueMessage("job_01KASQXJ00000000000000000A", "t", key, NOW)


def test_members_of_a_later_release_are_passed_over() -> None:
    """While a deployment is under way, both releases read what either has written."""
    more = {"of_a_later_release": 1}
    assert load_definition(json.dumps(json.loads(OLD_DEFINITION) | more)) == load_definition(
        OLD_DEFINITION
    )
    assert load_state("job_x", 2, None, json.dumps(json.loads(OLD_STATE) | more)) == load_state(
        "job_x", 2, None, OLD_STATE
    )
    assert load_due(json.dumps(json.loads(OLD_DUE) | more)) == load_due(OLD_DUE)


def test_an_answer_without_an_encoding_is_read() -> None:
    raw = json.loads(OLD_ATTEMPT) | {"response": [{"a": "b"}, "body", False]}
    assert load_attempt(
        "job_x", RunKey(NOW, 1), 1, "owner", json.dumps(raw)
    ).result.response == Response({"a": "b"}, "body", truncated=False)
