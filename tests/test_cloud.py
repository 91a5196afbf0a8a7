"""The cloud in memory answers and refuses every request that the code makes as moto does.

AWS's documentation decides where the two differ, and `Moto` puts right what moto is known to do
wrong. Left out, since no code depends on it: the words of messages, counts, capacities, and the
order in which a batch is answered.
"""

from __future__ import annotations

import ast
import copy
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords
from moto.scheduler.models import scheduler_backends
from moto.sqs.models import sqs_backends

from chalicelib.aws import clients
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.aws.busy_store import BusyStore
from chalicelib.aws.due_queue import DueQueue
from chalicelib.aws.ended_runs_index import WRONG
from chalicelib.aws.job_items import WATCH_SHARDS, Answered, Idempotency, RecordChanged, Watched
from chalicelib.aws.job_store import AlreadyAnswered, JobStore, StateChanged
from chalicelib.aws.quota_store import QuotaStore
from chalicelib.aws.run_store import RunStore
from chalicelib.aws.schedules import Schedules, Target
from chalicelib.aws.serialization import dump_due
from chalicelib.aws.sweep_store import SweepStore
from chalicelib.aws.table import Condition, Update
from chalicelib.domain.api_keys import Scope, StoredApiKey
from chalicelib.domain.channels import Channel
from chalicelib.domain.completing import Word
from chalicelib.domain.completion import Completion
from chalicelib.domain.cron import parse
from chalicelib.domain.errors import JobNotFound, KeyIsTaken, QuotaExceeded, ResonaError
from chalicelib.domain.flows import Breaker, Flow, Rate
from chalicelib.domain.ids import RunKey, new_job_id, new_token, run_id
from chalicelib.domain.job import Definition, Overlap
from chalicelib.domain.lines import line_id
from chalicelib.domain.looks import Mark
from chalicelib.domain.notices import Event
from chalicelib.domain.quota import Quotas
from chalicelib.domain.request import Request
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import (
    ENDED,
    Attempt,
    AttemptResult,
    Outcome,
    Response,
    RunEnd,
    RunStatus,
    RunUpdate,
)
from chalicelib.domain.state import DueMessage, LastRun, State, Status
from chalicelib.domain.trigger import OneTime, Trigger
from chalicelib.usecases import due_jobs
from chalicelib.usecases.completing import complete
from chalicelib.usecases.job_runs import read_run, run_now, runs_page
from chalicelib.usecases.run_hours import run_hours
from chalicelib.usecases.scheduling import Edit
from infra.local.template import read_template
from tests import cloud as memory
from tests.environment import Environment, Sent, in_turn, ok, status
from tests.parts import quota_store
from tests.soak import IS_SOAK

NOW = datetime(2026, 11, 23, 10, 0, 0, 250_000, tzinfo=UTC)
ACCOUNT, REGION = "123456789012", "eu-central-1"
ROLE, FUNCTION = (
    f"arn:aws:iam::{ACCOUNT}:role/resona",
    f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:resona",
)
# The cloud in memory names the tables without their stage.
TABLES = {table["TableName"].rpartition("-")[2]: table for table in read_template("test").tables}

Requested = tuple[str, dict[str, Any]]


def keys_of(schema: list[dict[str, str]]) -> tuple[str, ...]:
    return tuple(key["AttributeName"] for key in schema)


KEYS = {name: keys_of(table["KeySchema"]) for name, table in TABLES.items()}
INDEXES = {
    index["IndexName"]: index
    for table in TABLES.values()
    for index in table.get("GlobalSecondaryIndexes", [])
}


@dataclass(frozen=True)
class Side:
    """The clients of one cloud.

    `waiting` returns (body, group) of each message that may be received now, `delayed` counts the
    others.
    """

    dynamodb: Any
    sqs: Any
    scheduler: Any
    queue: str
    waiting: Callable[[], list[tuple[str, str]]]
    delayed: Callable[[], int]


def in_memory() -> Side:
    cloud = memory.Cloud(lambda: NOW)

    def waiting() -> list[tuple[str, str]]:
        return [
            (message.body, message.group)
            for message in cloud.messages.values()
            if message.visible_at <= NOW
        ]

    return Side(
        memory.DynamoDB(cloud),
        memory.SQS(cloud),
        memory.Scheduler(cloud),
        "due",
        waiting,
        lambda: len(cloud.messages) - len(waiting()),
    )


class Moto:
    """DynamoDB as moto has it, and as AWS documents it where moto is wrong."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def query(self, **request: Any) -> dict[str, Any]:
        """Query; a page that reaches its limit says where it stopped, even if nothing follows. moto
        keeps that from the last page.

        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html
        """
        answer: dict[str, Any] = self._client.query(**request)
        if len(answer.get("Items", ())) == request.get("Limit"):
            index = INDEXES[request["IndexName"]]["KeySchema"] if "IndexName" in request else []
            names = {*KEYS[request["TableName"]], *keys_of(index)}
            answer["LastEvaluatedKey"] = {name: answer["Items"][-1][name] for name in names}
        return answer


@pytest.fixture(scope="module")
def aws() -> Iterator[tuple[Any, Any, Any, Any]]:
    """The clients as production makes them, with credentials of nobody, and the tables of the
    template.

    Made once: making them takes longer than most tests.
    """
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
            environment.delenv(name, raising=False)
        environment.setenv("AWS_DEFAULT_REGION", REGION)
        environment.setenv("AWS_ACCESS_KEY_ID", "testing")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        with mock_aws():
            dynamodb = clients.dynamodb()
            made = {"AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode"}
            for name, table in TABLES.items():
                dynamodb.create_table(
                    TableName=name, **{key: value for key, value in table.items() if key in made}
                )
            yield dynamodb, clients.sqs(), clients.scheduler(), clients.kms()


@contextmanager
def in_moto(aws: tuple[Any, Any, Any, Any]) -> Iterator[Side]:
    """A cloud of moto's in which nothing is."""
    dynamodb, sqs, scheduler, _ = aws
    queue = sqs.create_queue(QueueName="due")["QueueUrl"]
    scheduler.create_schedule_group(Name="group")

    def waiting() -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        while messages := sqs.receive_message(
            QueueUrl=queue, AttributeNames=["All"], MaxNumberOfMessages=10
        ).get("Messages"):
            found += [
                (message["Body"], message["Attributes"]["MessageGroupId"]) for message in messages
            ]
        return found

    def delayed() -> int:
        name = "ApproximateNumberOfMessagesDelayed"
        return int(
            sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])["Attributes"][name]
        )

    try:
        yield Side(Moto(dynamodb), sqs, scheduler, queue, waiting, delayed)
    finally:
        # A table that is neither streamed nor backed up is what is in it.
        for table in dynamodb_backends[ACCOUNT][REGION].tables.values():
            table.items.clear()
        sqs_backends[ACCOUNT][REGION].reset()
        scheduler_backends[ACCOUNT][REGION].reset()


@pytest.fixture(params=["memory", "moto"])
def cloud(request: pytest.FixtureRequest, aws: tuple[Any, Any, Any, Any]) -> Iterator[Side]:
    if request.param == "memory":
        yield in_memory()
    else:
        with in_moto(aws) as side:
            yield side


def outcome(client: Any, operation: str, request: dict[str, Any]) -> Any:
    """Make a request and return what matters of its answer or of its refusal."""
    try:
        answer = getattr(client, operation)(**copy.deepcopy(request))
    except ClientError as error:
        reasons = [
            {name: reason[name] for name in ("Code", "Item") if name in reason}
            for reason in clients.cancellation_reasons(error)
        ]
        return clients.code_of(error), error.response.get("Item"), reasons
    names = [
        "Item",
        "Items",
        "LastEvaluatedKey",
        "UnprocessedKeys",
        *(["Count"] if request.get("Select") else []),
    ]
    kept = {name: answer[name] for name in names if name in answer}
    for name in ("Successful", "Failed"):
        if answer.get(name):
            kept[name] = [entry["Id"] for entry in answer[name]]
    if "Responses" in answer:
        kept["Responses"] = {
            table: sorted(items, key=repr) for table, items in answer["Responses"].items()
        }
    return kept


def code(client: Any, operation: str, **request: Any) -> str | None:
    """Return the code with which a request is refused, None if it is not."""
    answer = outcome(client, operation, request)
    return answer[0] if isinstance(answer, tuple) else None


def s(text: str) -> dict[str, str]:
    return {"S": text}


def n(number: int) -> dict[str, str]:
    return {"N": str(number)}


def job(name: str, part: str = "state", **attributes: Any) -> dict[str, Any]:
    return {"id": s(name), "part": s(part), **attributes}


def put(
    item: dict[str, Any], condition: str | None = None, *, old: bool = False, **values: Any
) -> dict[str, Any]:
    request: dict[str, Any] = {"TableName": "jobs", "Item": item}
    return {**request, **conditional(condition, old=old, **values)}


def delete(
    name: str, condition: str | None = None, *, old: bool = False, **values: Any
) -> dict[str, Any]:
    return {"TableName": "jobs", "Key": job(name), **conditional(condition, old=old, **values)}


def conditional(condition: str | None, *, old: bool, **values: Any) -> dict[str, Any]:
    request: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
    if values:
        request["ExpressionAttributeValues"] = {f":{name}": value for name, value in values.items()}
    return {**request, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"} if old else request


def transact(cloud: Side, *writes: dict[str, Any]) -> Any:
    items = [{kind_of(write): write} for write in writes]
    return outcome(cloud.dynamodb, "transact_write_items", {"TransactItems": items})


def kind_of(write: dict[str, Any]) -> str:
    if "UpdateExpression" in write:
        return "Update"
    return "Put" if "Item" in write else "Delete"


def stored(cloud: Side, name: str, part: str = "state") -> Any:
    return cloud.dynamodb.get_item(TableName="jobs", Key=job(name, part), ConsistentRead=True).get(
        "Item"
    )


REFUSED = {"Code": "ConditionalCheckFailed"}
PASSED = {"Code": "None"}


def test_an_absent_item_is_answered_without_item(cloud: Side) -> None:
    assert outcome(cloud.dynamodb, "get_item", {"TableName": "jobs", "Key": job("a")}) == {}


def test_a_put_replaces_the_whole_item(cloud: Side) -> None:
    cloud.dynamodb.put_item(**put(job("a", revision=n(1), tenant=s("t"))))
    cloud.dynamodb.put_item(**put(job("a", revision=n(2))))
    assert stored(cloud, "a") == job("a", revision=n(2))


def test_what_is_stored_is_a_copy_of_what_was_sent_and_so_is_the_answer(cloud: Side) -> None:
    item = job("a", revision=n(1))
    cloud.dynamodb.put_item(**put(item))
    item["revision"]["N"] = "7"
    stored(cloud, "a")["revision"]["N"] = "8"
    assert stored(cloud, "a") == job("a", revision=n(1))


@pytest.mark.parametrize(
    ("condition", "values", "holds_if_absent", "holds_if_there"),
    [
        ("attribute_not_exists(id)", {}, True, False),
        ("revision = :r", {"r": n(2)}, False, True),
        ("revision = :r", {"r": n(3)}, False, False),
        ("lacking = :r", {"r": n(2)}, False, False),
        ("attribute_not_exists(id) OR revision <= :r", {"r": n(1)}, True, False),
        ("attribute_not_exists(id) OR revision <= :r", {"r": n(2)}, True, True),
        # Numbers compare as numbers, not as their texts.
        ("attribute_not_exists(id) OR revision <= :r", {"r": n(10)}, True, True),
        ("revision < :r", {"r": n(2)}, False, False),
        ("attribute_not_exists(lacking) AND revision = :r", {"r": n(2)}, False, True),
        ("attribute_not_exists(id) OR lacking <= :r", {"r": n(9)}, True, False),
    ],
)
@pytest.mark.parametrize("is_there", [False, True])
def test_a_conditional_put_is_made_or_refused(
    cloud: Side,
    condition: str,
    values: dict[str, Any],
    holds_if_absent: bool,
    holds_if_there: bool,
    is_there: bool,
) -> None:
    old, new = job("a", revision=n(2)), job("a", revision=n(5))
    if is_there:
        cloud.dynamodb.put_item(**put(old))
    answer = outcome(cloud.dynamodb, "put_item", put(new, condition, **values))
    if holds_if_there if is_there else holds_if_absent:
        assert answer == {}
        assert stored(cloud, "a") == new
    else:
        assert answer == ("ConditionalCheckFailedException", None, [])
        assert stored(cloud, "a") == (old if is_there else None)


def test_a_refused_put_shows_what_is_there_if_asked(cloud: Side) -> None:
    there = job("a", revision=n(2), write_token=s("x"))
    cloud.dynamodb.put_item(**put(there))
    answer = outcome(
        cloud.dynamodb, "put_item", put(job("a", revision=n(2)), "revision = :r", old=True, r=n(1))
    )
    assert answer == ("ConditionalCheckFailedException", there, [])


def test_a_refused_put_has_nothing_to_show_where_nothing_is(cloud: Side) -> None:
    answer = outcome(cloud.dynamodb, "put_item", put(job("a"), "revision = :r", old=True, r=n(1)))
    assert answer == ("ConditionalCheckFailedException", None, [])


def test_a_refusal_is_an_answer_and_not_a_failure_of_the_service(cloud: Side) -> None:
    cloud.dynamodb.put_item(**put(job("a")))
    with pytest.raises(ClientError) as refused:
        cloud.dynamodb.put_item(**put(job("a"), "attribute_not_exists(id)"))
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_transaction_writes_all(cloud: Side) -> None:
    cloud.dynamodb.put_item(**put(job("old", revision=n(1))))
    assert (
        transact(
            cloud,
            put(job("a"), "attribute_not_exists(id)"),
            put(job("b")),
            delete("old", "revision = :r", r=n(1)),
        )
        == {}
    )
    assert [stored(cloud, name) for name in ("a", "b", "old")] == [job("a"), job("b"), None]


def test_a_refused_transaction_writes_nothing_and_gives_a_reason_for_each_item_in_order(
    cloud: Side,
) -> None:
    there = job("b", revision=n(1))
    cloud.dynamodb.put_item(**put(there))
    answer = transact(
        cloud, put(job("a")), put(job("b", revision=n(3)), "revision = :r", r=n(2)), delete("c")
    )
    assert answer == ("TransactionCanceledException", None, [PASSED, REFUSED, PASSED])
    assert [stored(cloud, name) for name in ("a", "b")] == [None, there]


def test_every_refused_item_of_a_transaction_says_so_and_shows_what_is_there_only_if_asked(
    cloud: Side,
) -> None:
    first, second = job("a", revision=n(1)), job("b", revision=n(1))
    cloud.dynamodb.put_item(**put(first))
    cloud.dynamodb.put_item(**put(second))
    answer = transact(
        cloud,
        put(job("a"), "revision = :r", old=True, r=n(4)),
        put(job("b"), "attribute_not_exists(id)"),
        delete("c", "revision = :r", old=True, r=n(1)),
        put(job("d"), "attribute_not_exists(id)", old=True),
    )
    assert answer == (
        "TransactionCanceledException",
        None,
        [{**REFUSED, "Item": first}, REFUSED, REFUSED, PASSED],
    )


def test_a_conditional_delete_is_made_or_refused(cloud: Side) -> None:
    there = job("a", revision=n(2))
    cloud.dynamodb.put_item(**put(there))
    refused = transact(cloud, delete("a", "revision = :r", old=True, r=n(1)))
    assert refused == ("TransactionCanceledException", None, [{**REFUSED, "Item": there}])
    assert stored(cloud, "a") == there
    assert transact(cloud, delete("a", "revision = :r", old=True, r=n(2))) == {}
    assert stored(cloud, "a") is None


def test_deleting_what_is_absent_succeeds_without_a_condition_and_is_refused_with_one(
    cloud: Side,
) -> None:
    assert transact(cloud, delete("a")) == {}
    assert transact(cloud, delete("a", "revision = :r", old=True, r=n(1))) == (
        "TransactionCanceledException",
        None,
        [REFUSED],
    )


def test_a_transaction_with_two_writes_of_one_item_is_refused_as_malformed(cloud: Side) -> None:
    assert transact(cloud, put(job("a")), delete("a"))[0] == "ValidationException"


def test_a_transaction_of_more_than_a_hundred_writes_is_refused(cloud: Side) -> None:
    assert (
        transact(cloud, *(put(job(f"{number}")) for number in range(101)))[0]
        == "ValidationException"
    )


def test_a_batch_answers_what_is_there_and_says_nothing_of_the_rest(cloud: Side) -> None:
    items = [job("a", "definition"), job("a"), job("b")]
    for item in items:
        cloud.dynamodb.put_item(**put(item))
    wanted = [job(name, part) for name in "abc" for part in ("definition", "state")]
    answer = outcome(
        cloud.dynamodb,
        "batch_get_item",
        {"RequestItems": {"jobs": {"Keys": wanted, "ConsistentRead": True}}},
    )
    assert answer == {"Responses": {"jobs": sorted(items, key=repr)}, "UnprocessedKeys": {}}


def test_a_batch_of_absent_items_is_answered_with_an_empty_list(cloud: Side) -> None:
    answer = outcome(
        cloud.dynamodb, "batch_get_item", {"RequestItems": {"jobs": {"Keys": [job("a")]}}}
    )
    assert answer == {"Responses": {"jobs": []}, "UnprocessedKeys": {}}


def test_a_batch_that_asks_twice_for_one_item_is_refused(cloud: Side) -> None:
    assert (
        code(
            cloud.dynamodb, "batch_get_item", RequestItems={"jobs": {"Keys": [job("a"), job("a")]}}
        )
        == "ValidationException"
    )


def test_a_batch_of_more_than_a_hundred_keys_is_refused(cloud: Side) -> None:
    keys = [job(f"{number}") for number in range(101)]
    assert (
        code(cloud.dynamodb, "batch_get_item", RequestItems={"jobs": {"Keys": keys}})
        == "ValidationException"
    )


def query(
    condition: str, index: str | None = None, table: str = "jobs", **values: str
) -> dict[str, Any]:
    request: dict[str, Any] = {
        "TableName": table,
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": {f":{name}": s(value) for name, value in values.items()},
    }
    return {**request, "IndexName": index} if index else {**request, "ConsistentRead": True}


def pages(cloud: Side, request: dict[str, Any]) -> list[Any]:
    """Follow a query to its end."""
    found = [outcome(cloud.dynamodb, "query", request)]
    while "LastEvaluatedKey" in found[-1]:
        assert len(found) < 50, "a query never ends"
        found.append(
            outcome(
                cloud.dynamodb,
                "query",
                {**request, "ExclusiveStartKey": found[-1]["LastEvaluatedKey"]},
            )
        )
    return found


def sorts(answer: dict[str, Any]) -> str:
    return " ".join(item["sort"]["S"] for item in answer["Items"])


@pytest.fixture
def history(cloud: Side) -> Side:
    for name, sort in [
        ("j", "b#2"),
        ("j", "a#1"),
        ("k", "b#9"),
        ("j", "b#1"),
        ("j", "c#1"),
        ("j", "b"),
    ]:
        cloud.dynamodb.put_item(
            TableName="runs", Item={"job_id": s(name), "sort": s(sort), "record": s("{}")}
        )
    return cloud


@pytest.mark.parametrize(
    ("condition", "values", "found"),
    [
        ("job_id = :j", {}, "a#1 b b#1 b#2 c#1"),
        ("job_id = :j AND begins_with(sort, :s)", {"s": "b#"}, "b#1 b#2"),
        ("job_id = :j AND begins_with(sort, :s)", {"s": "x"}, ""),
        ("job_id = :j AND sort BETWEEN :s AND :t", {"s": "b", "t": "b#1"}, "b b#1"),
        ("job_id = :j AND sort BETWEEN :s AND :t", {"s": "b#", "t": "c"}, "b#1 b#2"),
        ("job_id = :j AND sort < :s", {"s": "b#2"}, "a#1 b b#1"),
        ("job_id = :j AND sort < :s", {"s": "~"}, "a#1 b b#1 b#2 c#1"),
        ("job_id = :j AND sort <= :s", {"s": "b#2"}, "a#1 b b#1 b#2"),
        ("job_id = :j AND sort < :s", {"s": "a"}, ""),
    ],
)
def test_a_query_finds_the_items_of_its_condition_in_order(
    history: Side, condition: str, values: dict[str, str], found: str
) -> None:
    request = query(condition, table="runs", j="j", **values)
    answer = outcome(history.dynamodb, "query", request)
    assert "LastEvaluatedKey" not in answer
    assert sorts(answer) == found
    assert sorts(
        outcome(history.dynamodb, "query", {**request, "ScanIndexForward": False})
    ) == " ".join(reversed(found.split()))


@pytest.mark.parametrize(
    ("forward", "limit", "expected"),
    [
        (True, 2, ["a#1 b", "b#1 b#2", "c#1"]),
        (False, 2, ["c#1 b#2", "b#1 b", "a#1"]),
        (True, 5, ["a#1 b b#1 b#2 c#1", ""]),
        (False, 1, ["c#1", "b#2", "b#1", "b", "a#1", ""]),
        (True, 6, ["a#1 b b#1 b#2 c#1"]),
    ],
)
def test_a_limited_query_goes_on_where_it_stopped(
    history: Side, forward: bool, limit: int, expected: list[str]
) -> None:
    found = pages(
        history,
        {**query("job_id = :j", table="runs", j="j"), "ScanIndexForward": forward, "Limit": limit},
    )
    assert [sorts(page) for page in found] == expected
    for page in found[:-1]:
        assert page["LastEvaluatedKey"] == {
            name: page["Items"][-1][name] for name in ("job_id", "sort")
        }


@pytest.mark.parametrize(("forward", "found"), [(True, "b#2 c#1"), (False, "b#1 b a#1")])
def test_a_query_may_start_at_what_is_no_longer_there(
    history: Side, forward: bool, found: str
) -> None:
    request = {**query("job_id = :j", table="runs", j="j"), "ScanIndexForward": forward}
    start = {"job_id": s("j"), "sort": s("b#1~")}
    assert (
        sorts(outcome(history.dynamodb, "query", {**request, "ExclusiveStartKey": start})) == found
    )


def test_a_query_stops_at_a_megabyte_and_says_where(cloud: Side) -> None:
    for number in range(40):
        cloud.dynamodb.put_item(
            TableName="runs",
            Item={"job_id": s("j"), "sort": s(f"{number:02d}"), "record": s("x" * 30_000)},
        )
    found = pages(cloud, query("job_id = :j", table="runs", j="j"))
    assert len(found) > 1
    assert [item["sort"]["S"] for page in found for item in page["Items"]] == [
        f"{number:02d}" for number in range(40)
    ]


def test_the_index_by_tenant_has_the_keys_of_definitions_alone(cloud: Side) -> None:
    for name in "cab":
        cloud.dynamodb.put_item(**put(job(name, "definition", tenant=s("t"), definition=s("{}"))))
        cloud.dynamodb.put_item(**put(job(name, revision=n(1))))
    cloud.dynamodb.put_item(**put(job("d", "definition", tenant=s("other"))))
    request = {**query("tenant = :t", "by_tenant", t="t"), "ScanIndexForward": False, "Limit": 2}
    keys = [job(name, "definition", tenant=s("t")) for name in "cba"]
    first, last = pages(cloud, request)
    assert (first, last) == ({"Items": keys[:2], "LastEvaluatedKey": keys[1]}, {"Items": keys[2:]})


def test_the_index_by_watch_has_the_keys_of_waiting_states_the_longest_first(cloud: Side) -> None:
    for name, shard, at in [
        ("a", "3", "T2"),
        ("b", "3", "T1"),
        ("c", "4", "T1"),
        ("d", "3", "T3"),
        ("e", "3", "T4"),
    ]:
        cloud.dynamodb.put_item(
            **put(job(name, watch_shard=s(shard), watch_at=s(at), revision=n(1)))
        )
    cloud.dynamodb.put_item(**put(job("f", revision=n(1))))
    request = query("watch_shard = :s AND watch_at <= :a", "by_watch", s="3", a="T3")
    answer = outcome(cloud.dynamodb, "query", request)
    assert answer == {
        "Items": [
            job(name, watch_shard=s("3"), watch_at=s(at))
            for name, at in [("b", "T1"), ("a", "T2"), ("d", "T3")]
        ]
    }
    limited = pages(cloud, {**request, "Limit": 2})
    assert [[item["id"]["S"] for item in page["Items"]] for page in limited] == [["b", "a"], ["d"]]


def test_an_index_follows_what_is_written(cloud: Side) -> None:
    request = query("watch_shard = :s AND watch_at <= :a", "by_watch", s="3", a="T5")

    def watched() -> list[tuple[str, str]]:
        return [
            (item["id"]["S"], item["watch_at"]["S"])
            for item in outcome(cloud.dynamodb, "query", request)["Items"]
        ]

    for name, at in [("a", "T1"), ("b", "T2")]:
        cloud.dynamodb.put_item(**put(job(name, watch_shard=s("3"), watch_at=s(at))))
    cloud.dynamodb.put_item(**put(job("a", watch_shard=s("3"), watch_at=s("T3"))))
    assert watched() == [("b", "T2"), ("a", "T3")]
    cloud.dynamodb.put_item(**put(job("b")))
    assert watched() == [("a", "T3")]
    transact(cloud, delete("a"))
    assert watched() == []


@pytest.mark.parametrize("forward", [True, False])
def test_paging_through_items_at_one_place_of_an_index_meets_each_once(
    cloud: Side, forward: bool
) -> None:
    # In which order AWS gives them is not said, so it is not asked here.
    for name in "dbeca":
        cloud.dynamodb.put_item(**put(job(name, watch_shard=s("3"), watch_at=s("T1"))))
    request = query("watch_shard = :s AND watch_at <= :a", "by_watch", s="3", a="T1")
    found = pages(cloud, {**request, "Limit": 2, "ScanIndexForward": forward})
    assert sorted(item["id"]["S"] for page in found for item in page["Items"]) == list("abcde")


def test_an_index_can_be_counted(cloud: Side) -> None:
    for name in "cab":
        cloud.dynamodb.put_item(**put(job(name, "definition", tenant=s("t"))))
    request = {**query("tenant = :t AND id < :b", "by_tenant", t="t", b="c"), "Select": "COUNT"}
    assert outcome(cloud.dynamodb, "query", request) == {"Count": 2}


def update(name: str, action: str, condition: str | None, **values: Any) -> dict[str, Any]:
    return {
        "TableName": "jobs",
        "Key": job(name),
        "UpdateExpression": action,
        **conditional(condition, old=False, **values),
    }


@pytest.mark.parametrize(("most", "is_made"), [(5, False), (6, True)])
def test_an_update_adds_to_what_is_there_if_its_condition_holds(
    cloud: Side, most: int, is_made: bool
) -> None:
    cloud.dynamodb.put_item(**put(job("a", revision=n(5), job_count=n(7), write_token=s("x"))))
    request = update(
        "a",
        "SET revision = revision + :o, job_count = job_count + :o",
        "revision < :m",
        o=n(1),
        m=n(most),
    )
    assert outcome(cloud.dynamodb, "update_item", request) == (
        {} if is_made else ("ConditionalCheckFailedException", None, [])
    )
    assert stored(cloud, "a") == job(
        "a", revision=n(5 + is_made), job_count=n(7 + is_made), write_token=s("x")
    )


def test_an_update_answers_with_the_item_as_it_is_then(cloud: Side) -> None:
    def answered(action: str, condition: str, **values: Any) -> Any:
        request = {**update("a", action, condition, **values), "ReturnValues": "ALL_NEW"}
        try:
            return cloud.dynamodb.update_item(**request)["Attributes"]
        except ClientError as error:
            return error.response["Error"]["Code"]

    begin = "SET arrival = :t", "attribute_not_exists(id) OR arrival < :f"
    move = "SET arrival = arrival + :t", "arrival <= :m AND arrival >= :f"
    refused = "ConditionalCheckFailedException"
    assert answered(*begin, f=n(2), t=n(5)) == job("a", arrival=n(5))
    assert answered(*begin, f=n(5), t=n(7)) == refused
    assert answered(*move, f=n(5), m=n(5), t=n(3)) == job("a", arrival=n(8))
    assert answered(*move, f=n(5), m=n(7), t=n(3)) == refused
    assert answered(*move, f=n(9), m=n(10), t=n(3)) == refused


def test_an_update_removes_an_attribute_that_may_be_gone(cloud: Side) -> None:
    cloud.dynamodb.put_item(**put(job("a", busy_1=n(5), busy_2=n(7))))
    for _ in range(2):
        request = update("a", "REMOVE busy_1", "attribute_exists(id)")
        request.pop("ExpressionAttributeValues", None)
        cloud.dynamodb.update_item(**request)
        assert stored(cloud, "a") == job("a", busy_2=n(7))


def test_an_update_of_what_is_absent_is_refused_by_its_condition(cloud: Side) -> None:
    request = update("a", "SET revision = revision + :o", "revision < :m", o=n(1), m=n(9))
    assert code(cloud.dynamodb, "update_item", **request) == "ConditionalCheckFailedException"
    assert stored(cloud, "a") is None


def test_a_transaction_counts_in_an_item_that_need_not_be_there_until_it_is_closed(
    cloud: Side,
) -> None:
    def count(**values: Any) -> dict[str, Any]:
        return update("a", "ADD failed :f, missed :m", "attribute_not_exists(is_closed)", **values)

    others = [put(job(name)) for name in "bcd"]
    assert transact(cloud, count(f=n(1), m=n(2)), others[0]) == {}
    assert transact(cloud, others[1], count(f=n(3), m=n(0))) == {}
    close = update("a", "SET is_closed = :c, expires_at = :e", None, c=n(1), e=n(9))
    assert transact(cloud, close, update("e", "SET is_closed = :c", None, c=n(1))) == {}
    refused = transact(cloud, count(f=n(1), m=n(1)), others[2])
    assert refused == ("TransactionCanceledException", None, [REFUSED, PASSED])
    counted = job("a", failed=n(4), missed=n(2), is_closed=n(1), expires_at=n(9))
    assert stored(cloud, "a") == counted
    assert stored(cloud, "e") == job("e", is_closed=n(1))
    assert stored(cloud, "d") is None


def test_the_cloud_in_memory_has_the_tables_of_the_template() -> None:
    assert memory.KEYS == KEYS
    assert {name: keys_of(index["KeySchema"]) for name, index in INDEXES.items()} == memory.INDEXES
    assert {index["Projection"]["ProjectionType"] for index in INDEXES.values()} == {"KEYS_ONLY"}


def test_an_item_of_more_than_400_kilobytes_is_refused(cloud: Side) -> None:
    assert (
        code(cloud.dynamodb, "put_item", **put(job("a", body=s("x" * 410_000))))
        == "ValidationException"
    )


@pytest.mark.parametrize(
    "item", [job(""), job("a", ""), job("x" * 2049), job("a", "x" * 1025), job("a", tenant=s(""))]
)
def test_an_item_whose_key_is_empty_or_too_long_is_refused(
    cloud: Side, item: dict[str, Any]
) -> None:
    assert code(cloud.dynamodb, "put_item", **put(item)) == "ValidationException"


def test_an_empty_key_is_refused_even_to_a_reader(cloud: Side) -> None:
    assert code(cloud.dynamodb, "get_item", TableName="jobs", Key=job("")) == "ValidationException"


def test_a_key_that_is_too_long_is_refused_even_to_a_reader() -> None:
    # moto looks for it.
    assert (
        code(in_memory().dynamodb, "get_item", TableName="jobs", Key=job("x" * 2049))
        == "ValidationException"
    )


def test_an_index_cannot_be_read_consistently(cloud: Side) -> None:
    request = {**query("tenant = :t", "by_tenant", t="t"), "ConsistentRead": True}
    assert code(cloud.dynamodb, "query", **request) == "ValidationException"


IDS, PARTS, SORTS, TIMES = (
    "ab",
    ("definition", "state"),
    ("1#1", "1#2", "2#1", "3"),
    ("T1", "T2", "T3"),
)
numbers = st.integers(1, 3).map(n)


@st.composite
def keys(draw: st.DrawFn, table: str) -> dict[str, Any]:
    first, second = KEYS[table]
    return {
        first: s(draw(st.sampled_from(IDS))),
        second: s(draw(st.sampled_from(PARTS if table == "jobs" else SORTS))),
    }


@st.composite
def items(draw: st.DrawFn, table: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {"owner": st.sampled_from("xy").map(s)}
    if table == "jobs":
        attributes = {
            "revision": numbers,
            "expires_at": numbers,
            "tenant": st.sampled_from("tu").map(s),
            "watch_shard": st.sampled_from("01").map(s),
            "watch_at": st.sampled_from(TIMES).map(s),
        }
    return {**draw(keys(table)), **draw(st.fixed_dictionaries({}, optional=attributes))}


@st.composite
def conditions(draw: st.DrawFn, table: str) -> dict[str, Any]:
    """Draw the condition of a write: those that the code writes, or none."""
    absent = f"attribute_not_exists({KEYS[table][0]})"
    owner = {
        "ExpressionAttributeNames": {"#owner": "owner"},
        "ExpressionAttributeValues": {":owner": s(draw(st.sampled_from("xy")))},
    }
    number = {"ExpressionAttributeValues": {":n": draw(numbers)}}
    condition: dict[str, Any] = draw(
        st.sampled_from(
            [
                {},
                {"ConditionExpression": absent},
                {"ConditionExpression": f"{absent} OR #owner = :owner", **owner},
                *(
                    {"ConditionExpression": text, **number}
                    for text in ("revision = :n", f"{absent} OR expires_at <= :n")
                ),
            ]
        )
    )
    old = draw(st.sampled_from([{}, {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}]))
    return {**condition, **old}


@st.composite
def writes(draw: st.DrawFn) -> dict[str, Any]:
    table = draw(st.sampled_from(("jobs", "runs")))
    name = draw(st.sampled_from(("Put", "Delete")))
    thing = {"Item": draw(items(table))} if name == "Put" else {"Key": draw(keys(table))}
    return {name: {"TableName": table, **thing, **draw(conditions(table))}}


def written(write: dict[str, Any]) -> str:
    ((_, request),) = write.items()
    table, thing = request["TableName"], request.get("Item") or request["Key"]
    return repr((table, [thing[name] for name in KEYS[table]]))


@st.composite
def queries(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a query of a form that the code writes, with a key to start at where the code may give
    one of its own.
    """
    request = draw(
        st.one_of(
            st.builds(lambda name: query("id = :id", id=name), st.sampled_from(IDS)),
            st.builds(
                lambda form, name, sort: query(
                    f"job_id = :job AND {form}", table="runs", job=name, sort=sort
                ),
                st.sampled_from(("begins_with(sort, :sort)", "sort < :sort")),
                st.sampled_from(IDS),
                st.sampled_from(("1", "1#", "2#1", "3", "~")),
            ),
            st.builds(
                lambda tenant: query("tenant = :t", "by_tenant", t=tenant), st.sampled_from("tu")
            ),
            st.builds(
                lambda shard, at: query(
                    "watch_shard = :shard AND watch_at <= :now", "by_watch", shard=shard, now=at
                ),
                st.sampled_from("01"),
                st.sampled_from(TIMES),
            ),
        )
    )
    if request.get("IndexName") == "by_tenant" and draw(st.booleans()):
        start = {"tenant": request["ExpressionAttributeValues"][":t"], **draw(keys("jobs"))}
        request["ExclusiveStartKey"] = start
    limit = draw(st.sampled_from([{}, {"Limit": 1}, {"Limit": 2}, {"Limit": 3}]))
    return {**request, "ScanIndexForward": draw(st.booleans()), **limit}


@st.composite
def puts(draw: st.DrawFn) -> dict[str, Any]:
    table = draw(st.sampled_from(("jobs", "jobs", "runs")))
    return {"TableName": table, "Item": draw(items(table)), **draw(conditions(table))}


requests: st.SearchStrategy[Requested] = st.one_of(
    st.tuples(st.just("put_item"), puts()),
    st.tuples(
        st.just("transact_write_items"),
        st.lists(writes(), min_size=1, max_size=4, unique_by=written).map(
            lambda several: {"TransactItems": several}
        ),
    ),
    st.tuples(
        st.just("get_item"),
        st.fixed_dictionaries({"TableName": st.just("jobs"), "Key": keys("jobs")}),
    ),
    st.tuples(
        st.just("batch_get_item"),
        st.lists(keys("runs"), min_size=1, max_size=4, unique_by=repr).map(
            lambda several: {"RequestItems": {"runs": {"Keys": several}}}
        ),
    ),
    st.tuples(st.just("query"), queries()),
)
EVERYTHING = [
    *(query("id = :id", id=name) for name in IDS),
    *(query("job_id = :job", table="runs", job=name) for name in IDS),
    *(query("tenant = :t", "by_tenant", t=tenant) for tenant in "tu"),
    *(query("watch_shard = :shard", "by_watch", shard=shard) for shard in "01"),
]


# The items at one place of an index come in the order of their keys, here as in moto; AWS promises
# none, and the code asks for none.
@settings(derandomize=True, database=None, max_examples=900 if IS_SOAK else 40)
@given(asked=st.lists(requests, min_size=4, max_size=16))
def test_any_requests_in_any_order_get_the_same_answers(
    aws: tuple[Any, Any, Any, Any], asked: list[Requested]
) -> None:
    with in_moto(aws) as moto:
        mine = in_memory()
        for operation, request in asked:
            if operation == "query":
                assert pages(mine, request) == pages(moto, request), request
            else:
                assert outcome(mine.dynamodb, operation, request) == outcome(
                    moto.dynamodb, operation, request
                ), (operation, request)
        for request in EVERYTHING:
            assert pages(mine, request) == pages(moto, request), request


def entry(number: int, delay: int = 0) -> dict[str, Any]:
    return {
        "Id": str(number),
        "MessageBody": f"body {number}",
        "DelaySeconds": delay,
        "MessageGroupId": f"group {number % 2}",
    }


def send(cloud: Side, *entries: dict[str, Any]) -> Any:
    return outcome(
        cloud.sqs, "send_message_batch", {"QueueUrl": cloud.queue, "Entries": list(entries)}
    )


def test_a_batch_of_messages_is_taken_entry_by_entry_and_each_waits_its_own_delay(
    cloud: Side,
) -> None:
    entries = [entry(number, delay) for number, delay in enumerate((0, 1, 0, 60, 900))]
    assert send(cloud, *entries) == {"Successful": ["0", "1", "2", "3", "4"]}
    assert cloud.delayed() == 3
    assert sorted(cloud.waiting()) == [("body 0", "group 0"), ("body 2", "group 0")]


def test_a_message_sent_twice_is_there_twice(cloud: Side) -> None:
    for _ in range(2):
        send(cloud, entry(1))
    assert cloud.waiting() == [("body 1", "group 1")] * 2


@pytest.mark.parametrize(
    ("entries", "refusal"),
    [
        ([], "EmptyBatchRequest"),
        ([entry(number) for number in range(11)], "TooManyEntriesInBatchRequest"),
        ([entry(1), entry(1)], "BatchEntryIdsNotDistinct"),
    ],
)
def test_a_malformed_batch_of_messages_is_refused_as_a_whole(
    cloud: Side, entries: list[dict[str, Any]], refusal: str
) -> None:
    assert send(cloud, *entries) == (f"AWS.SimpleQueueService.{refusal}", None, [])
    assert cloud.waiting() == []


def test_an_entry_that_would_wait_longer_than_15_minutes_fails_alone(cloud: Side) -> None:
    assert send(cloud, entry(0), entry(1, 901)) == {"Successful": ["0"], "Failed": ["1"]}
    assert len(cloud.waiting()) == 1
    assert cloud.delayed() == 0


def schedule(name: str, token: str) -> dict[str, Any]:
    return {
        "Name": name,
        "GroupName": "group",
        "ClientToken": token,
        "ScheduleExpression": "at(2030-01-01T00:00:00)",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {"Arn": FUNCTION, "RoleArn": ROLE, "Input": "{}"},
    }


def test_a_name_is_taken_until_its_schedule_is_deleted(cloud: Side) -> None:
    # With the same ClientToken AWS may answer the first success again, which neither cloud does: so
    # each here has its own.
    assert code(cloud.scheduler, "create_schedule", **schedule("a", "1")) is None
    assert code(cloud.scheduler, "create_schedule", **schedule("a", "2")) == "ConflictException"
    assert code(cloud.scheduler, "create_schedule", **schedule("b", "3")) is None
    assert code(cloud.scheduler, "delete_schedule", Name="a", GroupName="group") is None
    assert (
        code(cloud.scheduler, "delete_schedule", Name="a", GroupName="group")
        == "ResourceNotFoundException"
    )
    assert code(cloud.scheduler, "create_schedule", **schedule("a", "4")) is None


def test_a_schedule_that_never_was_is_not_found(cloud: Side) -> None:
    assert (
        code(cloud.scheduler, "delete_schedule", Name="a", GroupName="group")
        == "ResourceNotFoundException"
    )


DAY = timedelta(days=1)


@pytest.mark.parametrize(("hook", "is_there"), [("before", False), ("after", True)])
def test_a_fault_before_a_call_prevents_its_effect_and_one_after_it_hides_it(
    hook: str, is_there: bool
) -> None:
    def fail(operation: str, request: dict[str, Any]) -> None:
        raise memory.client_error("InternalServerError", operation, 500)

    cloud = memory.Cloud(lambda: NOW)
    setattr(cloud, hook, fail)
    assert code(memory.DynamoDB(cloud), "put_item", **put(job("a"))) == "InternalServerError"
    assert bool(cloud.tables.get("jobs")) is is_there
    assert cloud.calls == ["PutItem"]


def test_a_query_sees_what_a_test_itself_puts_into_a_table_and_takes_away() -> None:
    cloud = memory.Cloud(lambda: NOW)
    client, table, request = memory.DynamoDB(cloud), cloud.tables["jobs"], query("id = :id", id="a")
    table["a", "state"], table["b", "state"] = job("a"), job("b")
    assert client.query(**request)["Items"] == [job("a")]
    table["a", "state"] = job("a", revision=n(2))
    assert client.query(**request)["Items"] == [job("a", revision=n(2))]
    table.clear()
    assert client.query(**request)["Items"] == []


@dataclass(frozen=True)
class Stores:
    jobs: JobStore
    runs: RunStore
    quotas: QuotaStore
    queue: DueQueue
    schedules: Schedules
    sweeps: SweepStore


class Repeating:
    """A client whose every write is made twice, as the SDK does when the first answer was lost."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_item(self, **request: Any) -> Any:
        self._client.put_item(**request)
        return self._client.put_item(**request)

    def transact_write_items(self, **request: Any) -> Any:
        self._client.transact_write_items(**request)
        return self._client.transact_write_items(**request)


def on(dynamodb: Any, cloud: Side) -> Stores:
    return Stores(
        JobStore(dynamodb, "jobs"),
        RunStore(dynamodb, "runs", 30 * DAY),
        QuotaStore(dynamodb, "jobs", Quotas(5, 3)),
        DueQueue(cloud.sqs, cloud.queue),
        Schedules(cloud.scheduler, "group", Target(FUNCTION, ROLE)),
        SweepStore(dynamodb, "jobs"),
    )


@pytest.fixture
def stores(cloud: Side) -> Stores:
    return on(cloud.dynamodb, cloud)


@pytest.fixture
def repeating(cloud: Side) -> Stores:
    return on(Repeating(cloud.dynamodb), cloud)


def new_job(minute: int = 0, key: str | None = None, **fields: Any) -> tuple[Definition, State]:
    at = NOW + timedelta(minutes=minute)
    definition = Definition(
        new_job_id(at),
        "tenant",
        1,
        "job",
        at,
        OneTime(at.replace(microsecond=0) + DAY),
        Request("https://example.com", "GET", {}),
        key=key,
    )
    return definition, State(
        definition.id, "tenant", 1, 1, 1, Status.ACTIVE, at, watch_at=at, **fields
    )


def remembered(name: str, expires_at: datetime) -> Idempotency:
    return Idempotency(name, Answered("fingerprint", 201, "{}"), expires_at)


def following(state: State, **fields: Any) -> State:
    return replace(state, revision=state.revision + 1, **fields)


def test_a_new_job_is_found_by_id_and_by_key_and_by_nobody_else(stores: Stores) -> None:
    definition, state = new_job(key="nightly")
    stores.jobs.add(definition, state, remembered("idempotency#1", NOW + DAY), NOW)
    assert (
        stores.jobs.get("tenant", definition.id)
        == stores.jobs.load(definition.id)
        == (definition, state)
    )
    assert stores.jobs.state(definition.id) == state
    assert stores.jobs.find_key("tenant", "nightly") == definition.id
    assert stores.jobs.answered("idempotency#1", NOW) == Answered("fingerprint", 201, "{}")
    assert stores.jobs.answered("idempotency#1", NOW + DAY) is None
    assert stores.jobs.load("job_none") is None
    assert stores.jobs.state("job_none") is None
    assert stores.jobs.answered("idempotency#2", NOW) is None
    with pytest.raises(JobNotFound):
        stores.jobs.get("other", definition.id)
    with pytest.raises(JobNotFound):
        stores.jobs.find_key("other", "nightly")


def test_a_taken_key_or_an_answered_request_keeps_a_job_out(stores: Stores) -> None:
    definition, state = new_job(key="nightly")
    stores.jobs.add(definition, state, remembered("idempotency#1", NOW + DAY), NOW)
    second = new_job(1, key="nightly")
    with pytest.raises(KeyIsTaken):
        stores.jobs.add(*second, None, NOW)
    third = new_job(2)
    with pytest.raises(AlreadyAnswered):
        stores.jobs.add(*third, remembered("idempotency#1", NOW + 2 * DAY), NOW)
    assert stores.jobs.load(second[0].id) is stores.jobs.load(third[0].id) is None
    stores.jobs.add(*third, remembered("idempotency#1", NOW + 2 * DAY), NOW + DAY)
    assert stores.jobs.load(third[0].id) == third


def test_only_the_next_revision_of_a_state_is_saved(stores: Stores) -> None:
    definition, state = new_job()
    stores.jobs.add(definition, state, None, NOW)
    second = following(state, watch_at=None)
    stores.jobs.save(second, now=NOW)
    with pytest.raises(StateChanged) as changed:
        stores.jobs.save(following(state, skips=1), now=NOW)
    assert changed.value.current == second
    key = RunKey(NOW.replace(microsecond=0), 1)
    beside = [stores.runs.end_item("tenant", definition.id, RunEnd(key, RunStatus.SKIPPED, NOW))]
    with pytest.raises(StateChanged) as changed:
        stores.jobs.save(following(state, skips=1), beside, now=NOW)
    assert changed.value.current == second
    assert stores.runs.run(definition.id, key, NOW) is None
    stores.jobs.save(following(second), beside, remembered("idempotency#1", NOW + DAY), now=NOW)
    skipped = stores.runs.run(definition.id, key, NOW)
    assert skipped is not None
    assert skipped.end == RunEnd(key, RunStatus.SKIPPED, NOW)
    with pytest.raises(AlreadyAnswered):
        stores.jobs.save(
            following(following(second)), beside, remembered("idempotency#1", NOW + DAY), now=NOW
        )
    assert stores.jobs.state(definition.id) == following(second)


def test_a_definition_is_replaced_with_its_state_or_not_at_all(stores: Stores) -> None:
    definition, state = new_job()
    stores.jobs.add(definition, state, None, NOW)
    changed = (
        replace(definition, name="other", generation=2),
        following(state, generation=2, defined_in=2),
    )
    stores.jobs.replace(*changed)
    assert stores.jobs.load(definition.id) == changed
    with pytest.raises(StateChanged):
        stores.jobs.replace(definition, following(state))
    assert stores.jobs.load(definition.id) == changed


def test_a_job_is_removed_with_its_key_if_its_state_is_still_the_same(stores: Stores) -> None:
    definition, state = new_job(key="nightly")
    stores.jobs.add(definition, state, None, NOW)
    second = following(state)
    stores.jobs.save(second, now=NOW)
    with pytest.raises(StateChanged) as changed:
        stores.jobs.remove(definition, state)
    assert changed.value.current == second
    assert stores.jobs.load(definition.id) == (definition, second)
    stores.jobs.remove(definition, second)
    assert stores.jobs.load(definition.id) is None
    with pytest.raises(JobNotFound):
        stores.jobs.find_key("tenant", "nightly")
    writes: list[Callable[[], object]] = [
        lambda: stores.jobs.remove(definition, second),
        lambda: stores.jobs.save(following(second), now=NOW),
    ]
    for write in writes:
        with pytest.raises(StateChanged) as changed:
            write()
        assert changed.value.current is None


def test_a_write_whose_answer_was_lost_and_which_was_made_again_is_one_success(
    stores: Stores, repeating: Stores
) -> None:
    definition, state = new_job(key="nightly")
    repeating.jobs.add(definition, state, remembered("idempotency#1", NOW + DAY), NOW)
    second, third, fourth = (following(replace(state, revision=revision)) for revision in (1, 2, 3))
    repeating.jobs.save(second, now=NOW)
    repeating.jobs.save(
        third,
        [
            stores.runs.end_item(
                "tenant", definition.id, RunEnd(RunKey(NOW, 1), RunStatus.SKIPPED, NOW)
            )
        ],
        now=NOW,
    )
    repeating.jobs.replace(definition, fourth)
    assert stores.jobs.load(definition.id) == (definition, fourth)
    with pytest.raises(StateChanged) as changed:
        repeating.jobs.remove(definition, fourth)
    assert changed.value.current is None
    assert stores.jobs.load(definition.id) is None


def test_a_list_of_jobs_goes_on_where_its_last_page_ended_even_if_that_job_is_gone(
    stores: Stores,
) -> None:
    made = [new_job(minute) for minute in range(5)]
    for definition, state in made:
        stores.jobs.add(definition, state, None, NOW)
    newest_first = list(reversed(made))
    first, before = stores.jobs.page("tenant", None, 2)
    assert first == newest_first[:2]
    stores.jobs.remove(*first[-1])
    second, before = stores.jobs.page("tenant", before, 3)
    assert second == newest_first[2:]
    assert stores.jobs.page("tenant", before, 3) == ([], None)
    assert stores.jobs.page("other", None, 3) == ([], None)


def test_jobs_are_overdue_when_their_time_has_come_the_longest_first(stores: Stores) -> None:
    made = [new_job(minute) for minute in (3, 1, 2, 60)]
    for definition, state in made:
        stores.jobs.add(definition, state, None, NOW)
    at = NOW + timedelta(minutes=3)
    due = {(state.watch_at, state.job_id) for _, state in made[:3]}
    pages = [stores.sweeps.overdue(shard, at, 10)[0] for shard in range(WATCH_SHARDS)]
    assert {(place.watch_at, place.job_id) for page in pages for place in page} == due
    for shard, page in enumerate(pages):
        assert page == sorted(page, key=lambda place: place.watch_at)
        first, place = stores.sweeps.overdue(shard, at, 1)
        assert first == page[:1]
        rest, _ = stores.sweeps.overdue(shard, at, 10, place) if place else (page[1:], None)
        assert rest == page[1:]
    states = stores.sweeps.states([job_id for _, job_id in due])
    assert {item["id"] for item in states} == {job_id for _, job_id in due}


def test_marks_are_kept_until_the_next_ones(stores: Stores) -> None:
    assert stores.sweeps.marks() == {}
    for since in (NOW, NOW + DAY):
        stores.sweeps.keep([Mark(since)])
        assert stores.sweeps.marks() == {0: Mark(since)}


def attempt(minute: int, number: int = 1, owner: str = "x", body: str = "") -> Attempt:
    at = NOW + timedelta(minutes=minute)
    result = AttemptResult(
        Outcome.SUCCESS, timedelta(milliseconds=40), 200, Response({}, body, truncated=False)
    )
    return Attempt(
        "job",
        RunKey(at.replace(microsecond=0), 1),
        number,
        owner,
        at,
        at,
        result,
        RunUpdate(RunStatus.SUCCEEDED),
    )


def test_an_attempt_is_recorded_again_by_its_owner_alone(stores: Stores) -> None:
    first = attempt(0)
    later = replace(first, update=RunUpdate(RunStatus.FAILED))
    assert stores.runs.attempt("job", first.key, 1) is None
    assert stores.runs.record("tenant", first, 2)
    assert stores.runs.record("tenant", first, 2)
    assert stores.runs.record("tenant", later, 3)
    assert not stores.runs.record("tenant", replace(first, owner="y"), 4)
    assert not stores.runs.record("tenant", first, 2), (
        "a late write does not undo what came in its place"
    )
    assert stores.runs.attempt("job", first.key, 1) == later


def test_a_record_is_written_with_a_state_if_it_is_as_it_was_read(stores: Stores) -> None:
    definition, state = new_job()
    stores.jobs.add(definition, state, None, NOW)
    first, second = following(state), following(following(state))
    record = replace(attempt(0), job_id=definition.id)

    def put(step: State, record: Attempt, unchanged: Condition) -> None:
        beside = stores.runs.record_put("tenant", record, step.revision, unchanged, NOW)
        stores.jobs.save(step, [beside], now=NOW)

    found, absent = stores.runs.attempt_as_read(definition.id, record.key, 1)
    assert found is None
    put(first, record, absent)
    found, unchanged = stores.runs.attempt_as_read(definition.id, record.key, 1)
    assert found == record
    with pytest.raises(RecordChanged):
        put(second, replace(record, owner="y"), absent)
    put(second, replace(record, owner="y"), unchanged)
    with pytest.raises(RecordChanged):
        put(following(second), record, unchanged)
    assert stores.jobs.state(definition.id) == second


def test_runs_are_paged_whole_newest_first_whatever_the_limit(stores: Stores) -> None:
    records = [attempt(minute, number) for minute in range(5) for number in range(1, 4)]
    for record in records:
        assert stores.runs.record("tenant", record, 1)
    found, before = [], None
    while page := stores.runs.page("job", before, 2, NOW):
        found += page
        before = page[-1].key
    assert [run.key for run in found] == [attempt(minute).key for minute in (4, 3, 2, 1, 0)]
    assert [list(run.attempts) for run in reversed(found)] == [
        records[start : start + 3] for start in range(0, 15, 3)
    ]
    assert stores.runs.page("job", None, 2, NOW + 31 * DAY) == []
    assert stores.runs.page("other", None, 2, NOW) == []


def test_a_run_larger_than_an_answer_is_read_to_its_end(stores: Stores) -> None:
    records = [attempt(0, number, body="x" * 30_000) for number in range(1, 41)]
    for record in records:
        stores.runs.record("tenant", record, 1)
    run = stores.runs.run("job", records[0].key, NOW)
    assert run is not None
    assert run.attempts == tuple(records)


def test_the_last_attempts_of_many_jobs_are_read_together(stores: Stores) -> None:
    records = [replace(attempt(number), job_id=f"job {number}") for number in range(3)]
    for record in records:
        stores.runs.record("tenant", record, 1)
    wanted = [(f"job {number}", LastRun(attempt(number).key, 1)) for number in range(120)]
    assert stores.runs.last_attempts(wanted, NOW) == {record.job_id: record for record in records}


def test_what_went_wrong_is_found_last_first_across_the_shards(stores: Stores) -> None:
    failed = [
        replace(attempt(minute), job_id=f"job {minute}", update=RunUpdate(RunStatus.FAILED))
        for minute in range(12)
    ]
    for record in failed:
        assert stores.runs.record("tenant", record, 1)
    stores.runs.record("tenant", replace(attempt(20), job_id="job 20"), 1)
    stores.runs.record("other", replace(failed[0], job_id="job 21"), 1)
    found, before, more = [], None, True
    while more:
        page, more = stores.runs.ended_runs("tenant", WRONG, before, 5, in_turn)
        found += page
        before = page[-1].position
    assert [(entry.job_id, entry.key, entry.at) for entry in reversed(found)] == [
        (record.job_id, record.key, record.finished_at) for record in failed
    ]
    assert len(stores.runs.ended_runs("tenant", ENDED, None, 100, in_turn)[0]) == 13
    assert stores.runs.record(
        "tenant", replace(failed[0], update=RunUpdate(RunStatus.SUCCEEDED)), 2
    )
    assert len(stores.runs.ended_runs("tenant", WRONG, None, 100, in_turn)[0]) == 11


def test_the_index_by_wrong_has_the_keys_of_what_went_wrong_alone(cloud: Side) -> None:
    for name, shard, at in [
        ("a", "t#1", "T2"),
        ("b", "t#1", "T1"),
        ("c", "t#2", "T1"),
        ("d", "t#1", "T3"),
    ]:
        keys = {"job_id": s(name), "sort": s("x#01"), "wrong_shard": s(shard), "wrong_at": s(at)}
        cloud.dynamodb.put_item(TableName="runs", Item={**keys, "record": s("{}")})
    cloud.dynamodb.put_item(
        TableName="runs", Item={"job_id": s("e"), "sort": s("x#01"), "record": s("{}")}
    )
    request = {
        **query("wrong_shard = :s AND wrong_at < :a", "by_wrong", table="runs", s="t#1", a="T3"),
        "ScanIndexForward": False,
    }
    expected = [
        {"job_id": s(n), "sort": s("x#01"), "wrong_shard": s("t#1"), "wrong_at": s(at)}
        for n, at in [("a", "T2"), ("b", "T1")]
    ]
    assert outcome(cloud.dynamodb, "query", request) == {"Items": expected}


def test_quotas_are_held_whatever_the_cloud(stores: Stores) -> None:
    def taken(at: datetime) -> int:
        for number in range(20):
            try:
                stores.quotas.take("tenant", at)
            except QuotaExceeded:
                return number
        return 20

    minute = timedelta(minutes=1)
    assert [taken(NOW), taken(NOW), taken(NOW + minute), taken(NOW + minute)] == [3, 0, 2, 0]
    assert [taken(NOW + 3 * minute), taken(NOW + 4 * minute), taken(NOW + DAY)] == [3, 2, 3]


def test_any_number_of_messages_is_sent_in_tens(cloud: Side, stores: Stores) -> None:
    dues = [
        # What a claim sends comes at its time, whatever the job's id.
        DueMessage(
            f"job {number}", "tenant", RunKey(NOW, 1), NOW + timedelta(seconds=number - 11), "claim"
        )
        for number in range(24)
    ]
    stores.queue.send(dues, NOW)
    assert sorted(cloud.waiting()) == sorted((dump_due(due), "tenant") for due in dues[:13])
    assert cloud.delayed() == 11
    stores.queue.send([replace(dues[0], at=NOW + DAY)], NOW)
    assert cloud.delayed() == 12


@pytest.mark.parametrize(
    "trigger",
    [OneTime(NOW.replace(microsecond=0) + DAY), parse("*/5 9-17 * * 1-5", "Europe/Berlin")],
)
def test_a_schedule_is_made_once_and_deleted_once_however_often(
    stores: Stores, trigger: Trigger
) -> None:
    job_id, token = new_job_id(NOW), new_token(NOW)
    for _ in range(2):
        stores.schedules.create(job_id, token, trigger)
    for _ in range(2):
        stores.schedules.delete(job_id, token)


SERVICES = {
    "SendMessageBatch": 1,
    "CreateSchedule": 2,
    "DeleteSchedule": 2,
    "Encrypt": 3,
    "Decrypt": 3,
}


@pytest.fixture(scope="module")
def made() -> list[Requested]:
    """Every request that took effect while random users, random targets and random faults met
    Resona's real parts.
    """
    chance, env, requested = random.Random(11), Environment(), list[Requested]()
    env.target = lambda sent: chance.choice([ok(), ok(), status(500), status(404)])

    def record(operation: str, request: dict[str, Any]) -> None:
        if chance.random() < 0.02:
            raise memory.client_error("InternalServerError", operation, 500)
        requested.append((operation, copy.deepcopy(request)))

    def lose_the_answer(operation: str, request: dict[str, Any]) -> None:
        if chance.random() < 0.02:
            raise memory.client_error("InternalServerError", operation, 500)

    env.cloud.before, env.cloud.after = record, lose_the_answer
    for _ in range(150):
        with suppress(ResonaError):
            act(env, chance)
    env.cloud.before = lambda operation, request: requested.append(
        (operation, copy.deepcopy(request))
    )
    env.cloud.after = lambda operation, request: None
    tour(env)
    return requested


def tour(env: Environment) -> None:
    """Meet on purpose what chance may have left out."""
    client: Any = memory.DynamoDB(env.cloud)
    busy = BusyStore(client, "jobs", "secrets")
    env.secrets.signing("tenant", env.now)
    assert busy.enter("tenant", "busy_1", env.now)
    busy.enter_all("tenant", "busy_1", env.now)
    busy.share()
    is_shared, tickets = busy.all()
    assert is_shared
    assert len(tickets) == 1
    busy.leave("tenant", ["busy_1"])
    busy.leave_all(["busy_1", "busy_2"])
    for _ in "ab":
        assert busy.take("tenant", timedelta(seconds=1), env.now, DAY)
    now = env.now.replace(microsecond=0)
    draft = Definition(
        "",
        "tenant",
        1,
        "job",
        now,
        parse("* * * * *"),
        Request("https://example.com", "GET", {}),
        key="tour",
    )
    job_id = env.scheduling.register(
        env.scheduling.prepare(draft), remembered("idempotency#tour", env.now + DAY)
    ).definition.id
    run_now(env.scheduling, "tenant", job_id)
    env.advance(minutes=3)
    env.scheduling.pause("tenant", "key:tour")
    # The newest definition may be one that never became a job.
    assert env.scheduling.page("tenant", None, 100)[0]
    (run,) = runs_page(env.scheduling, "tenant", job_id, None, 1)[1]
    assert read_run(env.scheduling, "tenant", job_id, run_id(job_id, run.key))
    env.runs.ended_runs("tenant", ENDED, None, 1, in_turn)
    hour = now.replace(minute=0, second=0)
    assert run_hours(env.scheduling, "tenant", hour - DAY, env.now).is_complete
    assert run_hours(env.scheduling, "tenant", hour - DAY, env.now).is_complete
    for after in (None, Watched(hour.isoformat(), 7, job_id)):
        list(due_jobs.watched(env.scheduling, "tenant", after, 5))
    fail_into_two_digests(env)
    fire_into_a_flow(env)
    call_back(env)
    quotas = quota_store(env.cloud, 3, 10)
    for _ in range(15):
        with suppress(QuotaExceeded):
            quotas.take("tour", env.now)
    quotas.take("tour", env.now + 2 * DAY)
    env.scheduling.delete("tenant", job_id)
    for value in ("first", "second"):
        env.secrets.put("tenant", "token", value, env.now)
    env.secrets.check("tenant", Request("https://example.com/", "GET", {"X": "{{secret:token}}"}))
    env.secrets.put("tenant", "token", "third", env.now)
    assert env.secrets.names("tenant")
    assert env.secrets.names("tenant", "a", 1)
    assert env.secrets.rotate("tenant", env.now).previous
    env.secrets.delete("tenant", "token")
    dynamodb: Any = memory.DynamoDB(env.cloud)
    keys = ApiKeyStore(dynamodb, "keys")
    keys.add(StoredApiKey("0123456789ab", "d" * 64, "tenant", frozenset(Scope), now))
    assert keys.revoke("0123456789ab", now) == keys.get("0123456789ab") == next(keys.all())


def call_back(env: Environment) -> None:
    """Let a target call back twice: while it has not answered, and after that."""
    tokens: list[str] = []

    def target(sent: Sent) -> AttemptResult:
        url = sent.headers.get("Resona-Complete-Url")
        if url is not None:
            tokens.append(url.rpartition("/")[2])
            if len(tokens) == 1:
                complete(env.scheduling, tokens[0], Word(succeeded=True))
        return ok()

    env.target = target
    completion = Completion(timedelta(seconds=90), "https://api.example.com")
    for seconds in (2, 10):
        at = env.now.replace(microsecond=0) + timedelta(seconds=seconds)
        env.create(OneTime(at), completion=completion)
    env.advance(seconds=15)
    complete(env.scheduling, tokens[1], Word(succeeded=True))


def fire_into_a_flow(env: Environment) -> None:
    """Let jobs be due at once on a flow of one in three seconds, which is then paused, has a bound,
    and is deleted. One of the jobs is deleted while it waits.
    """
    flow = Flow("tenant", "host:example.com", env.now, env.now, Rate(1, 3))
    for change in (1, 2):
        env.scheduling.flows.put(replace(flow, rate=Rate(change, 3)), changed(env))
    for _ in range(3):
        env.create(OneTime(env.now.replace(microsecond=0) + timedelta(seconds=2)))
    env.advance(seconds=20)
    env.scheduling.flows.put(replace(flow, breaker=Breaker(2, timedelta(seconds=3))), changed(env))
    answers = [ok(), status(500), ok(), status(500), status(500), status(500)]
    env.target = lambda sent: answers.pop(0) if answers else ok()
    for seconds in range(2, 20, 2):
        at = env.now.replace(microsecond=0) + timedelta(seconds=seconds)
        env.create(OneTime(at), retry=RetryPolicy(1))
    env.advance(seconds=60)
    jobs = list[str]()
    for limits in ({"paused": True}, {"concurrency": 1}, {}):
        env.scheduling.flows.put(replace(flow, rate=None, **limits), changed(env))
        env.scheduling.lines.wake(line_id("tenant", flow.name), env.now)
        for _ in range(2):
            jobs.append(env.create(OneTime(env.now.replace(microsecond=0) + timedelta(seconds=2))))
        if "paused" in limits:
            env.advance(seconds=5)
            assert env.scheduling.flows.queues([replace(flow, paused=True)], env.now)
            env.scheduling.delete("tenant", jobs[0])
        env.advance(seconds=5)
    env.scheduling.flows.delete("tenant", flow.name, changed(env), env.now)


def changed(env: Environment) -> Update:
    return env.secrets.new_flows("tenant", env.now)


def fail_into_two_digests(env: Environment) -> None:
    """Let two jobs fail within the window of a digest, and one after it."""
    events, length = frozenset({Event.RUN_FAILED}), timedelta(seconds=30)
    url, now = "https://example.com/told", env.now
    channel = Channel("tenant", "ops", "token", url, events, now, now, digest=length)
    env.scheduling.channels.put(channel)
    env.target = lambda sent: status(404)
    for seconds in (5, 10, 60):
        env.create(OneTime((now + timedelta(seconds=seconds)).replace(microsecond=0)))
    env.advance(minutes=2)


def act(env: Environment, chance: random.Random) -> None:
    """Do one thing that a user may do, or let some seconds pass."""
    now = env.now.replace(microsecond=0)
    key = chance.choice(["one", "two", "three"])
    reference, scheduling = f"key:{key}", env.scheduling
    triggers: list[Trigger] = [
        OneTime(now + timedelta(seconds=chance.choice([1, 20, 7200]))),
        parse("* * * * *"),
        parse("0 9 * * *"),
    ]
    trigger = chance.choice(triggers)
    answer = remembered(f"idempotency#{chance.randrange(6)}", env.now + timedelta(minutes=3))
    retry = RetryPolicy(3, timedelta(seconds=5), timedelta(seconds=20))
    draft = Definition(
        "",
        "tenant",
        1,
        "job",
        now,
        trigger,
        Request("https://example.com", "POST", {}),
        retry=retry,
        key=key,
    )
    action: Callable[[], object] = chance.choice(
        [
            lambda: scheduling.register(scheduling.prepare(draft), chance.choice([None, answer])),
            lambda: scheduling.create(replace(draft, key=None, overlap=Overlap.SKIP)),
            lambda: scheduling.change(
                "tenant", reference, lambda job, at: Edit(replace(job.definition, trigger=trigger))
            ),
            lambda: scheduling.pause("tenant", reference),
            lambda: scheduling.resume("tenant", reference),
            lambda: run_now(scheduling, "tenant", reference, chance.choice([None, answer])),
            lambda: scheduling.delete("tenant", reference),
            lambda: scheduling.page("tenant", chance.choice([None, new_job_id(now)]), 3),
            lambda: runs_page(scheduling, "tenant", reference, None, 2),
            lambda: env.advance(seconds=20),
            lambda: env.advance(seconds=20),
        ]
    )
    action()


def expressions(request: Any) -> Iterator[dict[str, Any]]:
    """Yield each part of a request that carries expressions."""
    if isinstance(request, dict):
        if any(name.endswith("Expression") for name in request):
            yield request
        for value in request.values():
            yield from expressions(value)
    elif isinstance(request, list):
        for value in request:
            yield from expressions(value)


def test_whatever_the_code_asks_both_clouds_answer_alike(
    aws: tuple[Any, Any, Any, Any], made: list[Requested]
) -> None:
    # What KMS makes of a text is not for two clouds to agree about.
    made = [
        (operation, request)
        for operation, request in made
        if operation not in ("Encrypt", "Decrypt")
    ]
    assert len({operation for operation, _ in made}) == 11
    with in_moto(aws) as moto:
        mine = in_memory()
        for operation, request in made:
            place, method = SERVICES.get(operation, 0), xform_name(operation)
            answers = []
            for side in (mine, moto):
                here = {**request, "QueueUrl": side.queue} if "QueueUrl" in request else request
                answers.append(
                    outcome((side.dynamodb, side.sqs, side.scheduler)[place], method, here)
                )
            assert answers[0] == answers[1], (operation, request)


def test_the_code_asks_nothing_that_the_models_of_aws_do_not_allow(
    aws: tuple[Any, Any, Any, Any], made: list[Requested]
) -> None:
    # Production switches botocore's own check off, for speed; and it knows no longest text, no
    # pattern and no enumeration.
    for operation, request in made:
        shape = (
            aws[SERVICES.get(operation, 0)]
            .meta.service_model.operation_model(operation)
            .input_shape
        )
        request = (
            {**request, "Target": {**request["Target"], "RoleArn": ROLE}}
            if "Target" in request
            else request
        )
        assert ParamValidator().validate(request, shape).generate_report() == "", operation
        assert list(broken(request, shape)) == [], operation


def broken(value: Any, shape: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a model's longest length, pattern or enumeration forbids."""
    rules = shape.metadata
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from broken(member, shape.members[name])
    elif shape.type_name == "list":
        for member in value:
            yield from broken(member, shape.member)
    elif shape.type_name == "map":
        for member in value.values():
            yield from broken(member, shape.value)
    elif (
        isinstance(value, str) and "pattern" in rules and not re.fullmatch(rules["pattern"], value)
    ):
        yield shape.name, value
    if "enum" in rules and value not in rules["enum"]:
        yield shape.name, value
    size = value if isinstance(value, int) else len(value)
    if size > rules.get("max", size):
        yield shape.name, value


def test_the_code_gives_every_name_and_value_that_it_uses_and_uses_no_reserved_word(
    made: list[Requested],
) -> None:
    # DynamoDB refuses each of these; moto lets a value pass that nothing uses, the cloud in memory
    # also words and names.
    reserved = set(ReservedKeywords.get_reserved_keywords())
    for part in (part for _, request in made for part in expressions(request)):
        text = " ".join(
            part[name]
            for name in ("ConditionExpression", "KeyConditionExpression", "UpdateExpression")
            if name in part
        )
        assert set(re.findall(r":\w+", text)) == set(part.get("ExpressionAttributeValues", {})), (
            text
        )
        assert set(re.findall(r"#\w+", text)) == set(part.get("ExpressionAttributeNames", {})), text
        bare = set(re.findall(r"(?<![:#\w])\w+", text)) - {
            "ADD",
            "AND",
            "BETWEEN",
            "OR",
            "REMOVE",
            "SET",
            "attribute_exists",
            "attribute_not_exists",
            "begins_with",
        }
        assert not {word.upper() for word in bare} & reserved, text


def misfits(request: Any) -> Iterator[tuple[str, Any]]:
    """Yield each key that DynamoDB refuses: not a text, empty or too long."""
    if isinstance(request, dict):
        for name, value in request.items():
            if (
                name in memory.LONGEST_KEY
                and not 0 < len(value.get("S", "").encode()) <= memory.LONGEST_KEY[name]
            ):
                yield name, value
            yield from misfits(value)
    elif isinstance(request, list):
        for value in request:
            yield from misfits(value)


def test_every_key_that_the_code_gives_is_a_text_that_fits(made: list[Requested]) -> None:
    assert set(memory.LONGEST_KEY) == {
        name for names in (*KEYS.values(), *memory.INDEXES.values()) for name in names
    }
    assert [
        misfit
        for operation, request in made
        if SERVICES.get(operation, 0) == 0
        for misfit in misfits(request)
    ] == []


def test_a_reference_longer_than_any_key_is_not_asked_for() -> None:
    env, requested = Environment(), list[Any]()
    env.cloud.before = lambda operation, request: requested.append(copy.deepcopy(request))
    with pytest.raises(JobNotFound):
        env.scheduling.get("tenant", "key:" + "x" * 3000)
    assert [misfit for request in requested for misfit in misfits(request)] == []


def test_no_expression_in_the_code_is_left_unasked(made: list[Requested]) -> None:
    asked = {
        part[name]
        for _, request in made
        for part in expressions(request)
        for name in part
        if name.endswith("ConditionExpression")
    }
    texts = (
        node.value
        for path in Path(clients.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    written = {
        text
        for text in texts
        if re.match(r"#?\w+ (=|<|<=|>=) :\w|attribute_(not_)?exists\(|begins_with\(", text)
    }
    assert len(written) > 8
    assert asked == written


def test_what_kms_encrypted_is_decrypted_in_its_own_context_with_its_own_key_alone(
    aws: tuple[Any, Any, Any, Any],
) -> None:
    moto = aws[3]
    keys = [moto.create_key()["KeyMetadata"]["KeyId"] for _ in range(2)]
    for client in (memory.KMS(memory.Cloud(lambda: NOW)), moto):
        sealed = client.encrypt(
            KeyId=keys[0], Plaintext=b"secret", EncryptionContext={"tenant": "a"}
        )["CiphertextBlob"]
        assert b"secret" not in sealed
        right = {"KeyId": keys[0], "CiphertextBlob": sealed, "EncryptionContext": {"tenant": "a"}}
        assert client.decrypt(**right)["Plaintext"] == b"secret"
        assert (
            code(client, "decrypt", **{**right, "EncryptionContext": {"tenant": "b"}})
            == "InvalidCiphertextException"
        )
        assert (
            code(client, "decrypt", **{**right, "EncryptionContext": {}})
            == "InvalidCiphertextException"
        )
        assert code(client, "decrypt", **{**right, "KeyId": keys[1]}) is not None
