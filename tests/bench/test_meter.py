"""The meter counts as DynamoDB's documentation does."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.bench.meter import MeteredCloud, Usage, index_units, size, units
from tests.cloud import DynamoDB, Item
from tests.environment import START

JOB = {"id": {"S": "job_1"}, "part": {"S": "state"}}
WATCHED = {**JOB, "watch_shard": {"S": "3"}, "watch_at": {"S": "2026"}}


@pytest.fixture
def cloud() -> MeteredCloud:
    return MeteredCloud(lambda: START)


@pytest.fixture
def client(cloud: MeteredCloud) -> DynamoDB:
    return DynamoDB(cloud)


def of(bytes_in_all: int, **members: Item) -> Item:
    item = {**JOB, "filling": {"S": ""}, **members}
    return {**item, "filling": {"S": "x" * (bytes_in_all - size(item))}}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"id": {"S": "job"}}, 5),
        ({"id": {"S": "über"}}, 7),
        ({"n": {"N": "0"}}, 2),
        ({"n": {"N": "7"}}, 3),
        ({"n": {"N": "123"}}, 4),
        ({"n": {"N": "1200"}}, 3),
        ({"n": {"N": "-12"}}, 4),
        (None, 0),
    ],
)
def test_an_item_has_the_size_of_its_names_and_values(item: Item | None, expected: int) -> None:
    assert size(item) == expected


@pytest.mark.parametrize(
    ("bytes_", "expected"), [(0, 1), (1, 1), (1024, 1), (1025, 2), (65536, 64)]
)
def test_units_are_whole_and_at_least_one(bytes_: int, expected: int) -> None:
    assert units(bytes_, 1024) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, JOB, 0),
        (None, WATCHED, 1),
        (WATCHED, {**WATCHED, "state": {"S": "changed"}}, 0),
        (WATCHED, {**WATCHED, "watch_at": {"S": "2027"}}, 2),
        (WATCHED, JOB, 1),
        (WATCHED, None, 1),
        (None, {**WATCHED, "tenant": {"S": "a"}}, 2),
    ],
)
def test_an_index_costs_one_write_for_an_entry_that_comes_or_goes_and_two_for_one_that_moves(
    old: Item | None, new: Item | None, expected: int
) -> None:
    assert index_units("jobs", old, new) == expected


def test_a_write_costs_a_unit_for_each_kilobyte_of_the_larger_of_old_and_new(
    cloud: MeteredCloud, client: DynamoDB
) -> None:
    client.put_item(TableName="jobs", Item=of(3000))
    assert cloud.taken() == Usage(writes=3)
    client.put_item(TableName="jobs", Item=of(100))
    assert cloud.taken() == Usage(writes=3)


def test_a_transaction_costs_twice_but_not_in_the_indexes(
    cloud: MeteredCloud, client: DynamoDB
) -> None:
    client.transact_write_items(
        TransactItems=[{"Put": {"TableName": "jobs", "Item": of(1500, **WATCHED)}}]
    )
    assert cloud.taken() == Usage(writes=2 * 2 + 1)
    client.transact_write_items(TransactItems=[{"Delete": {"TableName": "jobs", "Key": JOB}}])
    assert cloud.taken() == Usage(writes=2 * 2 + 1)


def test_a_refused_write_costs_what_stands_there(cloud: MeteredCloud, client: DynamoDB) -> None:
    client.put_item(TableName="jobs", Item=of(2500, revision={"N": "2"}))
    cloud.taken()
    put = {"TableName": "jobs", "ConditionExpression": "attribute_not_exists(id)"}
    with pytest.raises(ClientError):
        client.put_item(Item=of(200), **put)
    assert cloud.taken() == Usage(writes=3)
    with pytest.raises(ClientError):
        client.transact_write_items(TransactItems=[{"Put": {"Item": of(200), **put}}])
    assert cloud.taken() == Usage(writes=6)


def test_a_read_costs_a_unit_for_each_4_kilobytes_and_half_of_that_if_it_may_lag(
    cloud: MeteredCloud, client: DynamoDB
) -> None:
    client.put_item(TableName="jobs", Item=of(5000))
    cloud.taken()
    client.get_item(TableName="jobs", Key=JOB, ConsistentRead=True)
    assert cloud.taken() == Usage(reads=2)
    client.get_item(TableName="jobs", Key=JOB)
    assert cloud.taken() == Usage(reads=1)


def test_a_query_adds_up_before_it_rounds_and_a_batch_after(
    cloud: MeteredCloud, client: DynamoDB
) -> None:
    keys = [{**JOB, "part": {"S": part}} for part in ("definition", "state", "name")]
    for key in keys[:2]:
        client.put_item(TableName="jobs", Item=of(1000, **key))
    cloud.taken()
    values = {":id": {"S": "job_1"}}
    client.query(
        TableName="jobs",
        KeyConditionExpression="id = :id",
        ExpressionAttributeValues=values,
        ConsistentRead=True,
    )
    assert cloud.taken() == Usage(reads=1)
    client.batch_get_item(RequestItems={"jobs": {"Keys": keys, "ConsistentRead": True}})
    assert cloud.taken() == Usage(reads=3)


def test_to_find_nothing_costs_the_least_there_is(cloud: MeteredCloud, client: DynamoDB) -> None:
    condition = "watch_shard = :shard AND watch_at <= :now"
    values = {":shard": {"S": "3"}, ":now": {"S": "2026"}}
    client.query(
        TableName="jobs",
        IndexName="by_watch",
        KeyConditionExpression=condition,
        ExpressionAttributeValues=values,
    )
    assert cloud.taken() == Usage(reads=0.5)
    client.get_item(TableName="jobs", Key=JOB, ConsistentRead=True)
    assert cloud.taken() == Usage(reads=1)
