"""Check each call to the cloud in memory against the policy of the function that makes it.

Which permission an operation takes is AWS's to say:
https://docs.aws.amazon.com/service-authorization/latest/reference/. A batch and a transaction take
those of the items in it, a query of an index the index's, a schedule the passing of its role.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

from infra.deploy.topics import with_topics

ROOT = Path(__file__).parent.parent
FUNCTIONS = ("api", "wake", "deliver", "sweep", "authorizer")

TOPIC = "arn:aws:sns:eu-central-1:123456789012:resona-notices"
# The stage whose policies are read; those of the others are the same but for the name.
STAGE = "dev"
# Tests' own names of tables, queues and roles, and the names in the policies for which they stand.
_TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table"
RESOURCES = {
    "JobsTableArn": f"{_TABLE}/jobs",
    "RunsTableArn": f"{_TABLE}/runs",
    "SecretsTableArn": f"{_TABLE}/secrets",
    "KeysTableArn": f"{_TABLE}/keys",
    "SecretsKeyArn": "key",
    "DueQueueArn": "due",
    "FailedQueueArn": "failed",
    "SchedulesArn": "schedule/group/*",
    "SchedulerRoleArn": "arn:role",
    "NoticesTopicArn": TOPIC,
    **{f"{function.capitalize()}LogsArn": f"log-group:{function}:*" for function in FUNCTIONS},
}
_LOGS = f"arn:aws:logs:*:*:log-group:/aws/lambda/resona-{STAGE}"
NAMED = {
    **{
        f"arn:aws:dynamodb:*:*:table/resona-{STAGE}-{name}": f"{_TABLE}/{name}"
        for name in ("jobs", "runs", "secrets", "keys")
    },
    "arn:aws:kms:*:*:key/*": "key",
    f"arn:aws:sqs:*:*:resona-{STAGE}-due": "due",
    f"arn:aws:sqs:*:*:resona-{STAGE}-failed": "failed",
    f"arn:aws:scheduler:*:*:schedule/resona-{STAGE}/*": "schedule/group/*",
    f"arn:aws:iam::*:role/resona-{STAGE}-scheduler": "arn:role",
    TOPIC: TOPIC,
    **{
        f"{_LOGS}{'' if function == 'api' else f'-{function}'}:*": f"log-group:{function}:*"
        for function in FUNCTIONS
    },
}
# The key of secrets is known by its alias: a condition, since a policy may not name one as a
# resource.
# https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html
ALIAS = ("kms:ResourceAliases", f"alias/resona-{STAGE}-secrets")


class Forbidden(BaseException):
    """The function's policy does not allow the call.

    Nothing that handles a failing service may handle this.
    """


@dataclass(frozen=True)
class Need:
    """A permission that a call takes; `context` holds the condition keys of the request."""

    action: str
    resource: str
    context: frozenset[tuple[str, str]] = frozenset()


@dataclass
class Record:
    """What was seen: which function needed what, and the lines (module, line) of the code from
    which functions made their calls.
    """

    needs: set[tuple[str, Need]] = field(default_factory=set)
    sites: set[tuple[str, int]] = field(default_factory=set)


_records: list[Record] = []


@contextlib.contextmanager
def recorded() -> Iterator[Record]:
    """Record what functions need while this lasts."""
    record = Record()
    _records.append(record)
    try:
        yield record
    finally:
        _records.remove(record)


def check(operation: str, request: dict[str, Any]) -> None:
    """Refuse a call that the policy of the function which makes it does not allow; whoever is no
    function may do anything.
    """
    check_of(caller(), operation, request)


def check_of(function: str | None, operation: str, request: dict[str, Any]) -> None:
    """Refuse a call that a function's policy does not allow."""
    if function is None:
        return
    if not _records and operation in _PLAIN:
        _check_plain(function, operation, request["TableName"], request.get("IndexName"))
        return
    for record in _records:
        record.sites |= _sites(sys._getframe(1))
    for need in needs(operation, request):
        if not _may(function, need):
            raise _forbidden(function, need, operation)
        for record in _records:
            record.needs.add((function, need))


# What an operation takes, and where, is all there is to these; a simulated run makes hundreds of
# them.
_PLAIN = frozenset({"GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query"})


@cache
def _check_plain(function: str, operation: str, table: str, index: str | None) -> None:
    for need in needs(operation, {"TableName": table, **({"IndexName": index} if index else {})}):
        if not _may(function, need):
            raise _forbidden(function, need, operation)


@lru_cache(10_000)
def _may(function: str, need: Need) -> bool:
    return allows(policy(function), need)


def _forbidden(function: str, need: Need, operation: str) -> Forbidden:
    return Forbidden(
        f".chalice/{STAGE}/{function}.json does not allow {need.action} on {need.resource}, which "
        f"{operation} takes"
    )


# The use cases that a function is the handler of. Threads begin in the middle of one.
_HANDLERS = {
    ("chalicelib.usecases.firing", "wake"): "wake",
    ("chalicelib.handlers.executor", "_fire"): "deliver",
    ("chalicelib.usecases.firing", "fire"): "deliver",
    ("chalicelib.usecases.firing", "read_ahead"): "deliver",
    ("chalicelib.usecases.firing", "end"): "deliver",
    ("chalicelib.usecases.firing", "sweep"): "sweep",
    ("chalicelib.usecases.sweeping", "page"): "sweep",
    ("chalicelib.usecases.sweeping", "sweep"): "sweep",
    ("chalicelib.handlers.authorizer", "admit"): "authorizer",
}
_OF_THE_API = re.compile(r"chalicelib\.(usecases\.(scheduling|bulk|upsert)|api\..+)")


def caller() -> str | None:
    """Return which function is calling, None for a test."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        function = _function_of(frame.f_globals.get("__name__", ""), frame.f_code.co_name)
        if function is not None:
            return function
        frame = frame.f_back
    return None


@cache
def _function_of(module: str, name: str) -> str | None:
    return _HANDLERS.get((module, name)) or ("api" if _OF_THE_API.fullmatch(module) else None)


def _sites(frame: FrameType | None) -> set[tuple[str, int]]:
    """Return the modules and lines of the code of functions that are in the middle of a call: of
    the client, of the table around it, of the store around that.
    """
    sites = set()
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("chalicelib.aws."):
            sites.add((module, frame.f_lineno))
        frame = frame.f_back
    return sites


def needs(operation: str, request: dict[str, Any]) -> list[Need]:
    """Return the permissions that a call takes."""
    match operation:
        case "Query" if "IndexName" in request:
            return [
                Need(
                    "dynamodb:Query",
                    f"{_TABLE}/{request['TableName']}/index/{request['IndexName']}",
                )
            ]
        case "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem" | "Query" | "Scan":
            return [Need(f"dynamodb:{operation}", f"{_TABLE}/{request['TableName']}")]
        case "BatchGetItem":
            return [
                Need("dynamodb:BatchGetItem", f"{_TABLE}/{table}")
                for table in request["RequestItems"]
            ]
        case "TransactWriteItems":
            writes = [
                (kind, write) for item in request["TransactItems"] for kind, write in item.items()
            ]
            return [
                Need(f"dynamodb:{_WRITES[kind]}", f"{_TABLE}/{write['TableName']}")
                for kind, write in writes
            ]
        case "SendMessageBatch":
            return [Need("sqs:SendMessage", request["QueueUrl"])]
        case "Publish":
            return [Need("sns:Publish", request["TopicArn"])]
        case "CreateSchedule":
            passed = frozenset({("iam:PassedToService", "scheduler.amazonaws.com")})
            schedule = Need("scheduler:CreateSchedule", _schedule(request))
            return [schedule, Need("iam:PassRole", request["Target"]["RoleArn"], passed)]
        case "DeleteSchedule":
            return [Need("scheduler:DeleteSchedule", _schedule(request))]
        case "Encrypt" | "Decrypt":
            context = {
                (f"kms:EncryptionContext:{name}", value)
                for name, value in request["EncryptionContext"].items()
            } | {ALIAS}
            return [Need(f"kms:{operation}", request["KeyId"], frozenset(context))]
    raise Forbidden(f"which permissions does {operation} take? tests/permissions.py does not know")


_WRITES = {
    "Put": "PutItem",
    "Delete": "DeleteItem",
    "Update": "UpdateItem",
    "ConditionCheck": "ConditionCheckItem",
}


def _schedule(request: dict[str, Any]) -> str:
    # Every schedule is judged as this one is: no policy tells one from another.
    return f"schedule/{request['GroupName']}/of-a-job"


@cache
def policy(function: str) -> dict[str, Any]:
    """Return a function's policy as it is deployed, with tests' own names for what it names."""
    path = ROOT / ".chalice" / STAGE / f"{function}.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    document = with_topics(document, str(path), frozenset({TOPIC}))
    for statement in document["Statement"]:
        statement["Resource"] = [_in_tests(name) for name in statement["Resource"]]
    return document


def _in_tests(name: str) -> str:
    """Return tests' own name of a resource, or of an index of it."""
    known, slash, index = name.partition("/index/")
    return NAMED[known] + slash + index


def allows(document: dict[str, Any], need: Need) -> bool:
    """Say whether a policy allows what is needed."""
    return any(_matches(statement, need) for statement in document["Statement"])


def _matches(statement: dict[str, Any], need: Need) -> bool:
    assert statement["Effect"] == "Allow", "this reader of policies knows no other effect"
    assert statement.keys() <= {"Sid", "Effect", "Action", "Resource", "Condition"}, (
        "nor other elements"
    )
    is_meant = need.action in statement["Action"] and any(
        fnmatchcase(need.resource, pattern) for pattern in statement["Resource"]
    )
    return is_meant and all(
        _holds(operator, key, wanted, dict(need.context))
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def _holds(operator: str, key: str, wanted: Any, context: dict[str, str]) -> bool:
    if operator == "Null":
        return (key not in context) is (wanted == "true")
    assert operator in ("StringEquals", "ForAnyValue:StringEquals"), (
        f"this reader of policies does not know {operator}"
    )
    return context.get(key) in ([wanted] if isinstance(wanted, str) else wanted)
