"""A table: plain values in and out, paging, unprocessed keys, and failed conditions as results."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.aws.table import Condition, Delete, Item, Put, Table
from chalicelib.domain.errors import Unavailable
from tests.cloud import Cloud, DynamoDB, client_error
from tests.environment import START

KEY = {"job_id": "job", "sort": "1"}
ABSENT = Condition("attribute_not_exists(job_id)")
OF_JOB = Condition("job_id = :job", {":job": "job"})


@pytest.fixture
def cloud() -> Cloud:
    return Cloud(lambda: START)


@pytest.fixture
def table(cloud: Cloud) -> Table:
    client: Any = DynamoDB(cloud)
    return Table(client, "runs", "a part", sleep=lambda seconds: None)


def put(table: Table, count: int, size: int = 0) -> list[Item]:
    items = [{"job_id": "job", "sort": f"{at:03}", "text": "x" * size} for at in range(count)]
    assert all(table.put(item) for item in items)
    return items


def fail(cloud: Cloud, error: ClientError) -> None:
    def before(operation: str, request: dict[str, Any]) -> None:
        raise error

    cloud.before = before


def test_texts_numbers_and_bytes_are_read_back_and_other_types_as_the_client_has_them(
    table: Table, cloud: Cloud
) -> None:
    item = {
        **KEY,
        "text": "",
        "count": 0,
        "long": 10**30,
        "less": -1,
        "bytes": b"\0",
        "later": {"BOOL": "true"},
    }
    assert table.put(item)
    assert cloud.tables["runs"]["job", "1"] == {
        "job_id": {"S": "job"},
        "sort": {"S": "1"},
        "text": {"S": ""},
        "count": {"N": "0"},
        "long": {"N": f"{10**30}"},
        "less": {"N": "-1"},
        "bytes": {"B": b"\0"},
        "later": {"BOOL": "true"},
    }
    assert table.get(**KEY) == item
    assert table.get(job_id="job", sort="2") is None


def test_a_condition_that_fails_writes_nothing(table: Table) -> None:
    assert table.put({**KEY, "count": 1}, ABSENT)
    assert not table.put({**KEY, "count": 2}, ABSENT)
    is_two = Condition("#count = :two", {":two": 2}, {"#count": "count"})
    assert not table.put({**KEY, "count": 3}, is_two)
    is_one = Condition("count = :one", {":one": 1})
    assert table.update(KEY, "SET count = count + :one", is_one)
    assert not table.update(KEY, "SET count = count + :one", is_one)
    assert table.get(**KEY) == {**KEY, "count": 2}


def test_a_refused_put_shows_what_is_there_if_it_was_asked_for(table: Table) -> None:
    table.put(KEY)
    assert table.write(Put("runs", KEY, ABSENT)) == {0: {}}
    assert table.write(Put("runs", KEY, ABSENT, returns_old=True)) == {0: KEY}


def test_several_writes_are_made_all_or_none_and_each_refused_one_is_told(
    table: Table, cloud: Cloud
) -> None:
    first, second, third = ({**KEY, "sort": sort} for sort in "123")
    assert table.write(Put("runs", first), Put("runs", second, ABSENT)) == {}
    refused = table.write(
        Put("runs", third),
        Put("runs", first, ABSENT, returns_old=True),
        Delete("runs", second, ABSENT, returns_old=True),
        Delete("runs", {**KEY, "sort": "4"}, Condition("attribute_exists(job_id)")),
    )
    assert refused == {1: first, 2: second, 3: {}}
    assert table.query(OF_JOB) == ([first, second], None)
    assert table.write(Delete("runs", first), Delete("runs", second)) == {}
    assert table.query(OF_JOB) == ([], None)
    assert cloud.calls.count("TransactWriteItems") == 3


def test_a_single_delete_may_have_a_condition(table: Table) -> None:
    assert table.write(Delete("runs", KEY, Condition("attribute_exists(job_id)"))) == {0: {}}
    table.put(KEY)
    assert table.write(Delete("runs", KEY, Condition("attribute_exists(job_id)"))) == {}
    table.delete(**KEY)
    assert table.get(**KEY) is None


def test_a_query_reads_page_by_page_to_the_end(table: Table, cloud: Cloud) -> None:
    items = put(table, 7, 300_000)
    assert table.query(OF_JOB) == (items, None)
    assert table.query(OF_JOB, backward=True) == (items[::-1], None)
    assert table.query(OF_JOB, after={"job_id": "job", "sort": "004"}) == (items[5:], None)
    assert cloud.calls.count("Query") > 5
    assert list(table.scan()) == items
    assert cloud.calls.count("Scan") > 1
    assert table.count(OF_JOB) == 7


def test_a_query_stops_at_its_limit_and_says_where_to_go_on(table: Table, cloud: Cloud) -> None:
    items = put(table, 7, 300_000)
    found, place = table.query(OF_JOB, limit=5)
    assert (found, place) == (items[:5], {"job_id": "job", "sort": "004"})
    assert cloud.calls.count("Query") == 2
    assert table.query(OF_JOB, limit=5, after=place) == (items[5:], None)


def test_a_batch_reads_any_number_of_items_and_asks_again_for_unprocessed_keys(
    cloud: Cloud,
) -> None:
    class Short(DynamoDB):
        """Processes seven keys of a batch."""

        def batch_get_item(self, **request: Any) -> dict[str, Any]:
            keys = request["RequestItems"]["runs"]["Keys"]
            assert request["RequestItems"]["runs"]["ConsistentRead"]
            done = super().batch_get_item(RequestItems={"runs": {"Keys": keys[:7]}})
            return {**done, "UnprocessedKeys": {"runs": {"Keys": keys[7:]}} if keys[7:] else {}}

    client: Any = Short(cloud)
    table = Table(client, "runs", "a part")
    items = put(table, 230)
    keys = [{"job_id": "job", "sort": f"{at:03}"} for at in range(240)]
    assert sorted(table.batch_get(keys), key=lambda item: str(item["sort"])) == items
    assert table.batch_get([]) == []


def test_reads_are_consistent_but_for_those_of_an_index(table: Table, cloud: Cloud) -> None:
    read: list[bool | None] = []
    cloud.before = lambda operation, request: read.append(request.get("ConsistentRead"))
    table.get(**KEY)
    table.query(OF_JOB)
    list(table.scan())
    table.query(Condition("wrong_shard = :shard", {":shard": "0"}), index="by_wrong")
    assert read == [True, True, True, None]


def test_a_throttled_request_is_retried(table: Table, cloud: Cloud) -> None:
    errors = [client_error("ThrottlingException", "GetItem")] * 2

    def before(operation: str, request: dict[str, Any]) -> None:
        if errors:
            raise errors.pop()

    cloud.before = before
    assert table.get(**KEY) is None
    assert cloud.calls == ["GetItem"] * 3


def test_writes_without_an_answer_may_have_been_made_and_reads_change_nothing(
    table: Table, cloud: Cloud
) -> None:
    fail(cloud, client_error("InternalServerError", "any", 500))
    for write in (
        lambda: table.put(KEY),
        lambda: table.update(KEY, "SET count = count + :one", Condition("a = :one", {":one": 1})),
        lambda: table.delete(**KEY),
        lambda: table.write(Put("runs", KEY), Put("runs", {**KEY, "sort": "2"})),
    ):
        with pytest.raises(Unavailable, match="a part") as unavailable:
            write()
        assert unavailable.value.unknown
    for read in (lambda: table.get(**KEY), lambda: table.query(OF_JOB), lambda: [*table.scan()]):
        with pytest.raises(Unavailable) as unavailable:
            read()
        assert not unavailable.value.unknown


def test_a_refusal_that_is_no_failed_condition_is_an_error(table: Table, cloud: Cloud) -> None:
    fail(cloud, client_error("ValidationException", "PutItem"))
    with pytest.raises(ClientError):
        table.put(KEY, ABSENT)
    reasons = [{"Code": "None"}, {"Code": "ValidationError"}]
    cancelled = client_error("TransactionCanceledException", "any", CancellationReasons=reasons)
    fail(cloud, cancelled)
    with pytest.raises(Unavailable) as unavailable:
        table.write(Put("runs", KEY), Put("runs", {**KEY, "sort": "2"}))
    assert not unavailable.value.unknown
