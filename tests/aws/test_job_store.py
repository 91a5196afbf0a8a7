"""The job table: writes are all or nothing, and a write on an old revision raises StateChanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.aws.job_items import Answered, Idempotency, put_state
from chalicelib.aws.job_store import AlreadyAnswered, JobStore, StateChanged
from chalicelib.aws.run_store import RunStore
from chalicelib.domain import job_transitions
from chalicelib.domain.errors import JobNotFound, KeyIsTaken, Unavailable
from chalicelib.domain.ids import RunKey, new_job_id
from chalicelib.domain.job import Definition
from chalicelib.domain.request import Request
from chalicelib.domain.run import RunEnd, RunStatus
from chalicelib.domain.state import State, Status, written
from chalicelib.domain.trigger import OneTime
from tests.cloud import Cloud, DynamoDB, client_error

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
JOB = "job_01KASQXJ00000000000000000A"
OTHER = "job_01KASQXJ00000000000000000B"


@pytest.fixture
def cloud() -> Cloud:
    return Cloud(lambda: NOW)


@pytest.fixture
def client(cloud: Cloud) -> DynamoDB:
    return DynamoDB(cloud)


@pytest.fixture
def jobs(client: Any) -> JobStore:
    return JobStore(client, "jobs", sleep=lambda seconds: None)


def definition(job_id: str = JOB, **fields: Any) -> Definition:
    trigger = OneTime(NOW + HOUR)
    return replace(
        Definition(
            job_id,
            "tenant",
            1,
            "job",
            NOW,
            trigger,
            Request("https://example.com/", "POST", {}, None),
        ),
        **fields,
    )


def added(
    jobs: JobStore, draft: Definition | None = None, answer: Idempotency | None = None
) -> tuple[Definition, State]:
    """Put a job into the table and return what was written."""
    made = draft or definition()
    state = job_transitions.create(made, None, NOW).state
    jobs.add(made, state, answer, NOW)
    return made, state


def paused(state: State) -> State:
    return written(replace(state, status=Status.PAUSED), NOW)


def failed(state: State) -> State:
    return written(replace(state, status=Status.FAILED), NOW)


def changed(made: Definition, state: State, name: str) -> tuple[Definition, State]:
    """Return a definition with another name, which is no new generation, and its state."""
    edition = state.edition + 1
    return replace(made, edition=edition, name=name), written(replace(state, edition=edition), NOW)


def answer(fingerprint: str = "same", expires_at: datetime = NOW + HOUR) -> Idempotency:
    return Idempotency("idempotency#a", Answered(fingerprint, 201, "{}"), expires_at)


def repeated_by_the_sdk(
    cloud: Cloud,
    client: DynamoDB,
    meanwhile: Callable[[], None] = lambda: None,
    writes: tuple[str, ...] = ("PutItem", "TransactWriteItems"),
) -> None:
    """Lose the answer of the next of these writes: the SDK sends the same bytes again, and its
    caller sees only what comes of that.
    """
    again = {"PutItem": client.put_item, "TransactWriteItems": client.transact_write_items}

    def after(operation: str, request: dict[str, Any]) -> None:
        if operation in writes:
            cloud.after = lambda operation, request: None
            meanwhile()
            again[operation](**request)

    cloud.after = after


def test_what_is_added_is_read_back_whole(jobs: JobStore) -> None:
    made, state = added(jobs, definition(key="mine"))
    assert jobs.load(JOB) == (made, state)
    assert jobs.get("tenant", JOB) == (made, state)
    assert jobs.state(JOB) == state
    assert jobs.find_key("tenant", "mine") == JOB


def test_a_repeat_of_an_add_does_not_undo_a_change(jobs: JobStore) -> None:
    made, state = added(jobs)
    jobs.replace(*changed(made, state, "another name"))
    with pytest.raises(StateChanged):
        jobs.add(made, state, None, NOW)
    assert jobs.get("tenant", JOB)[0].name == "another name"


def test_a_definition_whose_process_died_is_no_job_and_a_list_deletes_it_later(
    jobs: JobStore, cloud: Cloud
) -> None:
    def die(operation: str, request: dict[str, Any]) -> None:
        if operation == "TransactWriteItems":
            raise SystemExit

    made = definition(new_job_id(NOW), key="the-key")
    cloud.before = die
    with pytest.raises(SystemExit):
        added(jobs, made)
    cloud.before = lambda operation, request: None
    assert jobs.load(made.id) is None
    assert jobs.page("tenant", None, 10, now=NOW + timedelta(minutes=14)) == ([], None)
    assert (made.id, "definition") in cloud.tables["jobs"]
    assert jobs.page("tenant", None, 10, now=NOW + timedelta(minutes=16)) == ([], None)
    assert not cloud.tables["jobs"]


def test_another_tenants_job_and_key_are_not_found(jobs: JobStore) -> None:
    added(jobs, definition(key="mine"))
    with pytest.raises(JobNotFound):
        jobs.get("stranger", JOB)
    with pytest.raises(JobNotFound):
        jobs.find_key("stranger", "mine")
    assert jobs.load(OTHER) is None
    assert jobs.state(OTHER) is None


def test_of_two_writers_that_read_the_same_revision_the_second_learns_the_first_ones_state(
    jobs: JobStore,
) -> None:
    _, state = added(jobs)
    first = paused(state)
    jobs.save(first, now=NOW)
    with pytest.raises(StateChanged) as refused:
        jobs.save(failed(state), now=NOW)
    assert refused.value.current == first
    assert jobs.state(JOB) == first


def test_a_replaced_definition_goes_with_its_state_or_not_at_all(jobs: JobStore) -> None:
    made, state = added(jobs)
    first = changed(made, state, "first")
    jobs.replace(*first)
    with pytest.raises(StateChanged) as refused:
        jobs.replace(*changed(made, state, "second"))
    assert refused.value.current == first[1]
    assert jobs.load(JOB) == first


def test_what_is_saved_beside_a_state_stands_or_falls_with_it(jobs: JobStore, client: Any) -> None:
    runs = RunStore(client, "runs", timedelta(days=30))
    _, state = added(jobs)
    key, lost = RunKey(NOW, 1), RunKey(NOW + HOUR, 1)
    first = paused(state)
    jobs.save(first, [runs.end_item("tenant", JOB, RunEnd(key, RunStatus.MISSED, NOW))], now=NOW)
    with pytest.raises(StateChanged) as refused:
        jobs.save(
            failed(state),
            [runs.end_item("tenant", JOB, RunEnd(lost, RunStatus.MISSED, NOW))],
            now=NOW,
        )
    assert refused.value.current == first
    assert jobs.state(JOB) == first
    assert runs.run(JOB, key, NOW) is not None
    assert runs.run(JOB, lost, NOW) is None


def test_a_removed_job_is_gone_with_its_key(jobs: JobStore, cloud: Cloud) -> None:
    jobs.remove(*added(jobs, definition(key="mine")))
    assert cloud.tables["jobs"] == {}
    added(jobs, definition(OTHER, key="mine"))
    assert jobs.find_key("tenant", "mine") == OTHER


def test_a_job_that_has_changed_is_not_removed(jobs: JobStore) -> None:
    made, state = added(jobs, definition(key="mine"))
    first = paused(state)
    jobs.save(first, now=NOW)
    with pytest.raises(StateChanged) as refused:
        jobs.remove(made, state)
    assert refused.value.current == first
    assert jobs.load(JOB) == (made, first)
    assert jobs.find_key("tenant", "mine") == JOB


def test_whatever_is_written_to_a_removed_job_learns_that_it_is_gone(
    jobs: JobStore, cloud: Cloud
) -> None:
    made, state = added(jobs)
    jobs.remove(made, state)
    writes: list[Callable[[], object]] = [
        lambda: jobs.save(paused(state), now=NOW),
        lambda: jobs.save(paused(state), idempotency=answer(), now=NOW),
        lambda: jobs.replace(*changed(made, state, "late")),
        lambda: jobs.remove(made, state),
    ]
    for write in writes:
        with pytest.raises(StateChanged) as refused:
            write()
        assert refused.value.current is None
        assert cloud.tables["jobs"] == {}


def test_a_save_whose_answer_was_lost_recognises_its_own_write(
    jobs: JobStore, cloud: Cloud, client: DynamoDB
) -> None:
    _, state = added(jobs)
    repeated_by_the_sdk(cloud, client)
    jobs.save(paused(state), now=NOW)
    assert cloud.calls[-2:] == ["PutItem", "PutItem"]
    assert jobs.state(JOB) == paused(state)


def test_a_transaction_whose_answer_was_lost_recognises_its_own_write(
    jobs: JobStore, cloud: Cloud, client: DynamoDB
) -> None:
    made, state = added(jobs)
    second = changed(made, state, "second")
    repeated_by_the_sdk(cloud, client)
    jobs.replace(*second)
    assert cloud.calls[-2:] == ["TransactWriteItems", "TransactWriteItems"]
    assert jobs.load(JOB) == second


def test_a_new_job_whose_answer_was_lost_is_not_refused_for_the_key_it_took_itself(
    jobs: JobStore, cloud: Cloud, client: DynamoDB
) -> None:
    for writes in (("PutItem",), ("TransactWriteItems",)):
        cloud.tables["jobs"].clear()
        cloud.calls.clear()
        repeated_by_the_sdk(cloud, client, writes=writes)
        made, state = added(jobs, definition(key="mine"), answer())
        assert sorted(cloud.calls) == sorted([*writes, "PutItem", "TransactWriteItems"])
        assert jobs.load(JOB) == (made, state)


def test_a_write_that_was_throttled_after_its_effect_recognises_itself(
    jobs: JobStore, cloud: Cloud
) -> None:
    _, state = added(jobs)

    def throttle(operation: str, request: dict[str, Any]) -> None:
        cloud.after = lambda operation, request: None
        raise client_error("ThrottlingException", operation)

    cloud.after = throttle
    jobs.save(paused(state), now=NOW)
    assert jobs.state(JOB) == paused(state)


def test_a_lost_write_after_which_someone_else_wrote_is_told_so(
    jobs: JobStore, cloud: Cloud, client: DynamoDB
) -> None:
    _, state = added(jobs)
    theirs = failed(paused(state))
    repeated_by_the_sdk(cloud, client, meanwhile=lambda: jobs.save(theirs, now=NOW))
    with pytest.raises(StateChanged) as refused:
        jobs.save(paused(state), now=NOW)
    assert refused.value.current == theirs


def test_the_same_state_written_by_someone_else_is_not_taken_for_our_own(jobs: JobStore) -> None:
    _, state = added(jobs)
    jobs.save(paused(state), now=NOW)
    with pytest.raises(StateChanged):
        jobs.save(paused(state), now=NOW)


def test_every_write_has_a_token_of_its_own() -> None:
    state = job_transitions.create(definition(), None, NOW).state
    assert (
        put_state("jobs", state).item["write_token"] != put_state("jobs", state).item["write_token"]
    )


def test_a_remove_whose_answer_was_lost_says_that_the_job_is_gone(
    jobs: JobStore, cloud: Cloud, client: DynamoDB
) -> None:
    made, state = added(jobs)
    repeated_by_the_sdk(cloud, client)
    with pytest.raises(StateChanged) as refused:
        jobs.remove(made, state)
    assert refused.value.current is None


def test_a_write_that_nobody_answered_may_have_been_made(jobs: JobStore, cloud: Cloud) -> None:
    _, state = added(jobs)

    def fail(operation: str, request: dict[str, Any]) -> None:
        raise client_error("InternalServerError", operation, 500)

    cloud.after = fail
    with pytest.raises(Unavailable) as plain:
        jobs.save(paused(state), now=NOW)
    with pytest.raises(Unavailable) as transaction:
        jobs.save(failed(paused(state)), idempotency=answer(), now=NOW)
    assert plain.value.unknown
    assert transaction.value.unknown


def test_a_transaction_cancelled_for_another_reason_is_no_refusal(
    jobs: JobStore, cloud: Cloud
) -> None:
    def cancel(operation: str, request: dict[str, Any]) -> None:
        if operation != "TransactWriteItems":
            return
        raise client_error(
            "TransactionCanceledException",
            operation,
            CancellationReasons=[{"Code": "None"}, {"Code": "ValidationError"}],
        )

    cloud.before = cancel
    with pytest.raises(Unavailable):
        added(jobs)
    assert cloud.calls == ["PutItem", "TransactWriteItems"]


def in_order(cloud: Cloud, operation: str, *steps: Callable[[], None]) -> None:
    """Let something happen before the first, the second … call of an operation."""
    waiting = iter(steps)

    def before(called: str, request: dict[str, Any]) -> None:
        if called == operation:
            next(waiting, lambda: None)()

    cloud.before = before


def torn(cloud: Cloud, jobs: JobStore) -> tuple[tuple[Definition, State], Callable[[], None]]:
    """Leave a new definition beside an old state, as a query in the middle of a change sees them;
    return the pair, and what heals it.
    """
    made, state = added(jobs)
    old = cloud.tables["jobs"][JOB, "state"]
    pair = changed(made, state, "second")
    jobs.replace(*pair)
    new = cloud.tables["jobs"][JOB, "state"]
    cloud.tables["jobs"][JOB, "state"] = old

    def heal() -> None:
        cloud.tables["jobs"][JOB, "state"] = new

    return pair, heal


def test_a_pair_torn_by_a_change_is_read_again(jobs: JobStore, cloud: Cloud) -> None:
    pair, heal = torn(cloud, jobs)
    cloud.calls.clear()
    in_order(cloud, "Query", lambda: None, heal)
    assert jobs.load(JOB) == pair
    assert cloud.calls == ["Query", "Query"]


def test_a_pair_that_stays_torn_is_never_shown(jobs: JobStore, cloud: Cloud) -> None:
    torn(cloud, jobs)
    with pytest.raises(Unavailable):
        jobs.load(JOB)


def test_a_page_reads_a_torn_pair_again(jobs: JobStore, cloud: Cloud) -> None:
    pair, heal = torn(cloud, jobs)
    in_order(cloud, "Query", lambda: None, heal)
    assert jobs.page("tenant", None, 10) == ([pair], None)


def test_a_key_that_a_job_has_is_taken_for_its_tenant_alone(jobs: JobStore, cloud: Cloud) -> None:
    added(jobs, definition(key="mine"))
    before = dict(cloud.tables["jobs"])
    with pytest.raises(KeyIsTaken, match="'mine'"):
        added(jobs, definition(OTHER, key="mine"))
    assert cloud.tables["jobs"] == before
    added(jobs, definition(OTHER, key="mine", tenant="stranger"))
    assert jobs.find_key("stranger", "mine") == OTHER


def test_the_first_answer_under_a_key_is_kept(jobs: JobStore) -> None:
    added(jobs, answer=answer("first"))
    with pytest.raises(AlreadyAnswered):
        added(jobs, definition(OTHER), answer("second"))
    assert jobs.answered("idempotency#a", NOW) == Answered("first", 201, "{}")
    assert jobs.load(OTHER) is None


def test_a_repeated_request_is_told_that_it_was_answered_though_its_key_is_taken_too(
    jobs: JobStore,
) -> None:
    """Two tries of one create at once: the first took the key, and the second must be given its
    answer, not a refusal.
    """
    added(jobs, definition(key="mine"), answer())
    with pytest.raises(AlreadyAnswered):
        added(jobs, definition(OTHER, key="mine"), answer())


def test_an_answer_that_has_expired_is_not_shown_and_gives_way(jobs: JobStore) -> None:
    _, state = added(jobs, answer=answer("old", NOW + timedelta(seconds=1)))
    later = NOW + timedelta(seconds=1)
    assert jobs.answered("idempotency#a", NOW) is not None
    assert jobs.answered("idempotency#a", later) is None
    assert jobs.answered("idempotency#b", NOW) is None
    with pytest.raises(AlreadyAnswered):
        jobs.save(paused(state), idempotency=answer("new"), now=NOW)
    jobs.save(paused(state), idempotency=answer("new", later + HOUR), now=later)
    assert jobs.answered("idempotency#a", later) == Answered("new", 201, "{}")


def test_a_changed_state_is_reported_before_a_kept_answer(jobs: JobStore) -> None:
    _, state = added(jobs, answer=answer())
    jobs.save(paused(state), now=NOW)
    with pytest.raises(StateChanged):
        jobs.save(failed(state), idempotency=answer(), now=NOW)


def ids(count: int) -> list[str]:
    """Return so many ids, newest first."""
    return sorted(
        (new_job_id(NOW + timedelta(seconds=second)) for second in range(count)), reverse=True
    )


def test_pages_go_from_the_newest_to_the_oldest_and_show_the_tenants_own_alone(
    jobs: JobStore,
) -> None:
    mine = ids(7)
    for job_id in mine:
        added(jobs, definition(job_id))
    added(jobs, definition(OTHER, tenant="stranger"))
    shown: list[str] = []
    before = None
    for _ in range(4):
        pairs, before = jobs.page("tenant", before, 3)
        shown += [made.id for made, _ in pairs]
        if before is None:
            break
    assert shown == mine
    assert before is None


def test_a_page_leaves_out_what_was_deleted_since_the_index_saw_it(
    jobs: JobStore, cloud: Cloud
) -> None:
    newest, middle, oldest = ids(3)
    pairs = {job_id: added(jobs, definition(job_id)) for job_id in (newest, middle, oldest)}
    table = cloud.tables["jobs"]
    in_order(
        cloud,
        "BatchGetItem",
        lambda: (table.pop((middle, "state")), table.pop((middle, "definition")), None)[-1],
    )
    assert jobs.page("tenant", None, 10) == ([pairs[newest], pairs[oldest]], None)


def test_a_page_leaves_out_what_is_deleted_while_it_reads_it_again(
    jobs: JobStore, cloud: Cloud
) -> None:
    torn(cloud, jobs)
    in_order(cloud, "Query", lambda: None, cloud.tables["jobs"].clear)
    assert jobs.page("tenant", None, 10) == ([], None)


class Hesitant(DynamoDB):
    """Answers seven keys of a batch at a time, as DynamoDB does under load, and takes no more than
    a hundred.
    """

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        ((table, wanted),) = request["RequestItems"].items()
        assert 1 <= len(wanted["Keys"]) <= 100
        assert wanted["ConsistentRead"] is True
        now, later = wanted["Keys"][:7], wanted["Keys"][7:]
        done = super().batch_get_item(RequestItems={table: {**wanted, "Keys": now}})
        return {**done, "UnprocessedKeys": {table: {**wanted, "Keys": later}} if later else {}}


def test_a_page_asks_again_for_what_was_left_unprocessed(cloud: Cloud) -> None:
    client: Any = Hesitant(cloud)
    jobs = JobStore(client, "jobs")
    mine = ids(60)
    for job_id in mine:
        added(jobs, definition(job_id))
    pairs, following = jobs.page("tenant", None, 100)
    assert ([made.id for made, _ in pairs], following) == (mine, None)
