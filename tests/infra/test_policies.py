"""Each function's policy allows the calls that it makes, and no others.

`tests/permissions.py` holds every call of every test and of the simulation against the policies: a
call that is not allowed fails whatever makes it. Here the functions do all they do once more, to
see that no policy allows more than that.
"""

from __future__ import annotations

import ast
import copy
import json
import random
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chalice.deploy.deployer import PolicyGenerator
from chalice.utils import OSUtils

from chalicelib.api.console.files import version
from chalicelib.api.models.channel_models import read_channel
from chalicelib.api.routing import backend, operations
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.domain.api_keys import Scope, StoredApiKey, new_key
from chalicelib.domain.fairness import Sharing
from chalicelib.domain.flows import Flow, Rate
from chalicelib.domain.ids import RunKey
from chalicelib.domain.lines import line_id
from chalicelib.domain.request import Request
from chalicelib.domain.state import DueMessage
from chalicelib.domain.trigger import OneTime
from chalicelib.handlers.authorizer import Authenticator
from chalicelib.usecases import channels
from infra.deploy import hook
from tests.api.conftest import ROUTES, Api, job
from tests.api.test_upcoming import add_many
from tests.cloud import DynamoDB
from tests.environment import START, Environment, ok, status
from tests.parts import ANY_HOST, quota_store
from tests.permissions import (
    ALIAS,
    FUNCTIONS,
    RESOURCES,
    STAGE,
    TOPIC,
    Forbidden,
    Need,
    Record,
    allows,
    policy,
    recorded,
)
from tests.simulation.scenarios import SCRIPTS, play
from tests.simulation.simulation import simulate

# What the functions need is recorded once.
pytestmark = pytest.mark.xdist_group("policies")

ROOT = Path(__file__).parent.parent.parent
WRITES = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"}
SEEDS = 60

# What Lambda does in a function's name: no code of ours calls it.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html,
# …/invocation-async-retain-records.html
LAMBDAS_OWN = {
    (function, Need(action, RESOURCES[resource]))
    for functions, actions, resource in [
        *(
            (
                [function],
                ["logs:CreateLogStream", "logs:PutLogEvents"],
                f"{function.capitalize()}LogsArn",
            )
            for function in FUNCTIONS
        ),
        (
            ["deliver"],
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
            "DueQueueArn",
        ),
        (["wake", "sweep"], ["sqs:SendMessage"], "FailedQueueArn"),
    ]
    for function in functions
    for action in actions
}
# Calls that no function makes: the operator's commands, in infra/keys.py.
OPERATORS = {
    ("chalicelib.aws.api_key_store", "scan"),
    ("chalicelib.aws.api_key_store", "put"),
    ("chalicelib.aws.table", "scan"),
}


def serve_every_route(env: Environment) -> set[tuple[str, str]]:
    """Call every route so that it does all it does; return (method, resource) of those called."""
    env.scheduling.quotas = quota_store(env.cloud, 1_000, 1_000)
    # A process of its own: it does not remember what another has decrypted.
    env.scheduling.secrets = env.parts().secrets
    backend.use(env.scheduling, stage="local")
    api, called = Api(env), list[tuple[str, str]]()

    def call(method: str, resource: str, body: object = None, query: str = "", **names: str) -> Any:
        called.append((method, resource))
        operation = operations.get((method, resource))
        takes_key = operation is not None and "Idempotency-Key" in operation.takes
        headers = {"Idempotency-Key": f"{len(called)}"} if takes_key else {}
        path = resource.format(**names) + query
        if method == "GET":
            called.append(("HEAD", resource))
            made = len(env.cloud.calls)
            head = api.call("HEAD", path)
            # Counts of past hours are kept, which no answer shows.
            if resource != "/runs/hours":
                assert not WRITES & set(env.cloud.calls[made:]), f"HEAD {resource} writes"
        answer = api.call(method, path, body, headers)
        assert answer.status < 300, answer.text
        if method == "GET":
            assert (head.status, len(head.text)) == (answer.status, len(answer.text))
        return json.loads(answer.text) if answer.text.startswith(("{", "[")) else None

    call("PUT", "/secrets/{name}", {"value": "word"}, name="token")
    call("PUT", "/notices/{name}", {"url": "https://example.com/?a={{secret:token}}"}, name="ops")
    call("POST", "/notices/{name}/test", name="ops")
    call("PUT", "/calendars/{name}", {"weekdays": ["sun"]}, name="off")
    call("GET", "/calendars")
    call("GET", "/calendars/{name}", name="off")
    call("POST", "/triggers/preview", {"trigger": {"every": 60, "exclude": ["off"]}})
    excluding = call("POST", "/jobs", job(trigger={"every": 60, "exclude": ["off"]}))["id"]
    call("PATCH", "/jobs/{job_id}", {"trigger": {"every": 60}}, job_id=excluding)
    # A job that an earlier release has deleted.
    left = {"id": "calendar#local#off", "part": "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K"}
    DynamoDB(env.cloud).put_item(TableName="jobs", Item={name: {"S": left[name]} for name in left})
    call("DELETE", "/calendars/{name}", name="off")
    named = job(
        request={"url": "https://example.com/", "headers": {"Authorization": "{{secret:token}}"}},
        key="mine",
    )
    first = call("POST", "/jobs", named)["id"]
    far = call("POST", "/jobs", job(trigger={"cron": "0 9 * * *"}))["id"]
    call("POST", "/jobs/batch", {"jobs": [job(), job()]})
    call(
        "PUT",
        "/jobs/{job_id}",
        job(trigger={"cron": "0 10 * * *"}, labels={"team": "a"}),
        job_id="key:mine",
    )
    call("PATCH", "/jobs/{job_id}", {"trigger": {"cron": "5 9 * * *"}}, job_id=far)
    call("POST", "/jobs/{job_id}", {"name": "Another"}, job_id=far)
    env.target = lambda sent: status(404)
    run = call("POST", "/jobs/{job_id}/run", job_id=first)["id"]
    env.advance(seconds=10)
    call("GET", "/jobs")
    complete(env, call)
    call("GET", "/jobs/{job_id}", job_id=first)
    call("GET", "/jobs/{job_id}/runs", job_id=first)
    call("GET", "/jobs/{job_id}/runs/{run_id}", job_id=first, run_id=run)
    assert call("GET", "/runs", query="?status=failed")
    call("GET", "/runs/hours")
    call("GET", "/upcoming")
    add_many(env.cloud)
    call("GET", "/upcoming")
    retry = call("POST", "/jobs/{job_id}/runs/{run_id}/retry", job_id=first, run_id=run)["id"]
    call("DELETE", "/jobs/{job_id}/runs/{run_id}", job_id=first, run_id=retry)
    assert call("POST", "/runs/retry", query="?status=failed")["retried"]
    past = {"from": "2026-11-20T00:00:00Z", "to": "2026-11-23T10:00:00Z"}
    call("POST", "/jobs/{job_id}/backfill", past, job_id=far)
    call("DELETE", "/jobs/{job_id}/backfill", job_id=far)
    call("POST", "/jobs/{job_id}/pause", job_id=far)
    call("POST", "/jobs/{job_id}/resume", job_id=far)
    call("POST", "/jobs/{job_id}/skip", {"count": 1}, job_id=far)
    call("POST", "/jobs/{job_id}/skip", {"count": 0}, job_id=far)
    for action in ("pause", "resume", "delete"):
        assert call("POST", f"/jobs/{action}", query="?label=team:a")["changed"] == 1
    call("DELETE", "/jobs/{job_id}", job_id=far)
    # A definition whose process died before it was a job: a list deletes it.
    env.cloud.tables["jobs"].pop((call("POST", "/jobs", job())["id"], "state"))
    env.now += timedelta(minutes=16)
    # Not by `call`, whose HEAD must not write: what no answer shows may be tidied up.
    assert api.call("GET", "/jobs").status == 200
    call("GET", "/signing-secret")
    call("POST", "/signing-secret/rotate")
    call("PUT", "/flows/{flow}", {"rate": {"requests": 1}}, flow="a")
    call("PUT", "/flows/{flow}", {"rate": {"requests": 2}}, flow="a")
    call("GET", "/flows")
    call("GET", "/flows/{flow}", flow="a")
    call("PUT", "/flows/{flow}", {"concurrency": 2}, flow="a")
    call("GET", "/flows")
    call("DELETE", "/flows/{flow}", flow="a")
    call("GET", "/notices")
    call("GET", "/notices/{name}", name="ops")
    call("DELETE", "/notices/{name}", name="ops")
    call("GET", "/secrets")
    call("DELETE", "/secrets/{name}", name="token")
    call("POST", "/triggers/preview", {"trigger": {"cron": "0 9 * * *"}})
    for open_to_all in ("/", "/health", "/openapi.json", "/docs", "/console"):
        call("GET", open_to_all)
    call("GET", "/console/{build}/{name}", build=version(), name="app.js")
    return set(called)


def complete(env: Environment, call: Callable[..., Any]) -> None:
    """Have a run complete by callback."""
    call("POST", "/jobs", job(completion="callback", deadline=60, trigger={"delay": 0}))
    env.target, before = lambda sent: ok(), env.target
    env.advance(seconds=3)
    token = env.sent[-1].headers["Resona-Complete-Url"].rpartition("/")[2]
    call("POST", "/complete/{token}", {"status": "succeeded"}, token=token)
    env.target = before


def fire(env: Environment) -> None:
    """Have targets called with secrets, attempts lost, and an orphaned schedule wake."""
    env.scheduling.secrets.put("tenant", "token", "word", env.now)
    request = Request("https://example.com/", "POST", {"Authorization": "{{secret:token}}"})
    env.create(OneTime(START.replace(microsecond=0, minute=30)), request=request)
    # A response too long for its record.
    env.target = lambda sent: ok(random.Random(1).randbytes(5_000).hex())
    orphaned = f"{env.create(OneTime(START.replace(microsecond=0, hour=20)))}"
    (name,) = (name for name in env.cloud.schedules if name.startswith(orphaned))
    channel = read_channel(
        "tenant", {"name": "mail"}, {"url": f"sns:{TOPIC}"}, env.now, ANY_HOST, {TOPIC}
    )
    env.scheduling.channels.put(channel)
    channels.test(env.scheduling, "tenant", "mail")
    env.cloud.tables["jobs"].pop((orphaned, "state"))

    def die(operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and "apart" in request["Item"]:
            env.cloud.after = lambda operation, request: None
            raise SystemExit

    # Between the record and the state, so that another executor reads the record.
    env.cloud.after = die
    with pytest.raises(SystemExit):
        env.advance(hours=1)
    env.advance(hours=1)
    env.wake(name, env.now)
    at = env.now.replace(microsecond=0) + timedelta(seconds=2)
    flow = Flow("tenant", "host:example.com", env.now, env.now, Rate(1, 1))
    env.scheduling.flows.put(flow, env.secrets.new_flows("tenant", env.now))
    batch = [DueMessage(env.create(OneTime(at)), "tenant", RunKey(at, 1), at) for _ in "ab"]
    assert len(env.firing.read_ahead(batch).alike) == 2
    env.firing.fire(batch[0], env.firing.read_ahead(batch))
    env.advance(seconds=5)
    for limits in ({"paused": True}, {"concurrency": 1}, {}):
        put = Flow("tenant", flow.name, env.now, env.now, **limits)
        env.scheduling.flows.put(put, env.secrets.new_flows("tenant", env.now))
        env.scheduling.lines.wake(line_id("tenant", flow.name), env.now)
        env.create(OneTime(env.now.replace(microsecond=0) + timedelta(seconds=2)))
        env.advance(seconds=5)


def share(env: Environment) -> None:
    """Use more than a tenant's share of the executors."""
    turns = []
    for _ in range(4):
        at = env.now.replace(microsecond=0) + timedelta(seconds=2)
        batch = [DueMessage(env.create(OneTime(at)), "tenant", RunKey(at, 1), at) for _ in "ab"]
        turns.append(env.firing.read_ahead(batch))
    assert [bool(ahead.turn and ahead.turn.places["tenant"]) for ahead in turns] == [
        False,
        False,
        True,
        True,
    ]
    for ahead in turns:
        env.firing.end(ahead)


def admit() -> None:
    """Have a key checked."""
    env = Environment()
    client: Any = DynamoDB(env.cloud)
    keys, key = ApiKeyStore(client, "keys"), new_key("prod")
    keys.add(StoredApiKey(key.id, key.digest, "tenant", frozenset(Scope), START))
    Authenticator(keys, "prod", env.clock).admit(f"Bearer {key.text}")


@pytest.fixture(scope="module")
def seen() -> Iterator[Record]:
    """Record what every function needs, while it does all it does: random lives too, until all
    that is allowed was needed.
    """
    with recorded() as record:
        serve_every_route(Environment())
        fire(Environment())
        share(Environment(sharing=Sharing(executors=4, share=0.5, least=1, one_in=1)))
        admit()
        for script in SCRIPTS:
            # All of flows: what they call depends on who comes first. A pause by `deliver` deletes
            # a schedule.
            names = ("flow", "rate", "line", "slot", "hears_of_a_pause")
            if any(name in script.__name__ for name in names) or script in SCRIPTS[::3]:
                play(script, {})
        for seed in range(SEEDS):
            assert simulate(seed).violation is None
            if not any(unneeded(policy(each), of(each, record)) for each in FUNCTIONS):
                break
    backend.use(Environment().scheduling, stage="")
    yield record


def of(function: str, record: Record) -> set[Need]:
    """Return all that a function needs."""
    return {need for who, need in record.needs | LAMBDAS_OWN if who == function}


def unneeded(document: dict[str, Any], needs: set[Need]) -> list[str]:
    """Name each statement, action and resource of a policy without which everything that is needed
    would still be allowed.
    """
    found = []
    for index, statement in enumerate(document["Statement"]):
        for element in ("Action", "Resource"):
            for value in statement[element]:
                less = copy.deepcopy(document)
                less["Statement"][index][element].remove(value)
                if all(allows(less, need) for need in needs):
                    found.append(f"{statement['Sid']}: {value}")
    return found


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_all_that_it_does(function: str, seen: Record) -> None:
    assert [need for need in of(function, seen) if not allows(policy(function), need)] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_part_of_a_policy_is_needed(function: str, seen: Record) -> None:
    assert unneeded(policy(function), of(function, seen)) == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_without_any_statement_something_is_not_allowed(function: str, seen: Record) -> None:
    for index in range(len(policy(function)["Statement"])):
        less = copy.deepcopy(policy(function))
        del less["Statement"][index]
        assert not all(allows(less, need) for need in of(function, seen))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_function_may_do_what_only_others_do(function: str, seen: Record) -> None:
    own = {(need.action, need.resource) for need in of(function, seen)}
    others = {
        need
        for other in FUNCTIONS
        for need in of(other, seen)
        if (need.action, need.resource) not in own
    }
    assert len(others) > 10
    assert [need for need in others if allows(policy(function), need)] == []


def test_what_is_allowed_for_nothing_is_noticed(seen: Record) -> None:
    more = copy.deepcopy(policy("wake"))
    more["Statement"][0]["Action"].append("dynamodb:Scan")
    more["Statement"].append(
        {"Sid": "More", "Effect": "Allow", "Action": ["sqs:PurgeQueue"], "Resource": ["due"]}
    )
    assert unneeded(more, of("wake", seen)) == [
        "Jobs: dynamodb:Scan",
        "More: sqs:PurgeQueue",
        "More: due",
    ]


@pytest.mark.parametrize(
    ("module", "handler"),
    [
        ("usecases.firing", "wake"),
        ("usecases.firing", "fire"),
        ("usecases.firing", "sweep"),
        ("handlers.authorizer", "admit"),
        ("usecases.scheduling", "create"),
        ("api.routes.jobs", "show"),
    ],
)
def test_a_new_call_is_refused_wherever_it_is_made(module: str, handler: str) -> None:
    """No handler of failures may take the refusal for one."""
    code = (
        f"def {handler}(client):\n  try:\n    client.scan(TableName='jobs')\n  except Exception:\n "
        "   pass"
    )
    names: dict[str, Any] = {"__name__": f"chalicelib.{module}"}
    exec(code, names)
    with pytest.raises(Forbidden, match="does not allow dynamodb:Scan"):
        names[handler](DynamoDB(Environment().cloud))


def test_a_call_of_which_nobody_knows_what_it_takes_is_refused() -> None:
    names: dict[str, Any] = {"__name__": "chalicelib.usecases.firing"}
    exec("def wake(cloud):\n  cloud.asked('TransactGetItems', {}, dict)", names)
    with pytest.raises(Forbidden, match="TransactGetItems"):
        names["wake"](Environment().cloud)


def test_every_route_is_called(seen: Record) -> None:
    del seen
    routes = {
        (method, resource)
        for resource, methods in ROUTES.items()
        for method in methods
        if method != "OPTIONS"
    }
    assert routes == serve_every_route(Environment())


def test_every_call_in_the_code_is_seen(seen: Record) -> None:
    unseen = {
        (module, name)
        for module, name, lines in _calls()
        if not any(where == module and line in lines for where, line in seen.sites)
    }
    assert unseen == OPERATORS
    assert len(list(_calls())) > 20


def _calls() -> Iterator[tuple[str, str, range]]:
    """Yield (module, method, lines) of each call of a client of AWS, and of each call of a table by
    a store.

    A client or a table may be used for nothing else but a table's name, so that none is missed.
    """
    for path in sorted((ROOT / "chalicelib" / "aws").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        used = [node for node in ast.walk(tree) if _is_client(node)]
        attributes = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and _is_client(node.value)
        ]
        names = [node for node in attributes if _is_table(node.value) and node.attr == "name"]
        calls = [
            (node.func.attr, range(node.lineno, (node.end_lineno or node.lineno) + 1))
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and node.func in attributes
            if isinstance(node.func, ast.Attribute)
        ]
        assert len(used) == len(calls) + len(names), f"a client is handed on in {path.name}"
        for method, lines in calls:
            yield f"chalicelib.aws.{path.stem}", method, lines


def _is_client(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        # The client of a region.
        return isinstance(node.func, ast.Attribute) and node.func.attr == "_sns"
    return _is_table(node) or (
        isinstance(node, ast.Attribute)
        and node.attr in ("_client", "_kms")
        and isinstance(node.ctx, ast.Load)
    )


def _is_table(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute) and node.attr == "_table" and isinstance(node.ctx, ast.Load)
    )


def test_chalice_lets_deliver_alone_publish_to_the_topics_of_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = PolicyGenerator._read_document_from_file
    monkeypatch.setattr(PolicyGenerator, "_read_document_from_file", read)
    hook.allow_topics(frozenset({TOPIC}))
    make: Any = PolicyGenerator
    generator = make(None, OSUtils())
    for path in sorted((ROOT / ".chalice").glob("*/*.json")):
        before, resource = json.loads(path.read_text()), SimpleNamespace(filename=str(path))
        generator.handle_filebasediampolicy(None, resource)
        added = {"Effect": "Allow", "Action": ["sns:Publish"], "Resource": [TOPIC]}
        if path.name == "deliver.json":
            before["Statement"].append({"Sid": "Notices", **added})
        assert resource.document == before


# Conditions only narrow what is allowed, so what they refuse is asked for by itself.


def test_the_scheduler_s_role_is_passed_to_the_scheduler_alone() -> None:
    needed = Need(
        "iam:PassRole",
        RESOURCES["SchedulerRoleArn"],
        frozenset({("iam:PassedToService", "scheduler.amazonaws.com")}),
    )
    assert allows(policy("api"), needed)
    for other in (frozenset(), frozenset({("iam:PassedToService", "lambda.amazonaws.com")})):
        assert not allows(policy("api"), Need(needed.action, needed.resource, other))
    assert not allows(policy("api"), Need(needed.action, "arn:another-role", needed.context))


@pytest.mark.parametrize(
    ("function", "action", "kinds"),
    [
        ("api", "Encrypt", "secret signing"),
        ("api", "Decrypt", "signing"),
        ("deliver", "Encrypt", "signing"),
        ("deliver", "Decrypt", "secret signing"),
    ],
)
def test_the_key_opens_what_a_tenant_has_for_the_purpose_it_was_closed_for(
    function: str, action: str, kinds: str
) -> None:
    """The API cannot read a secret back, and the executor cannot write one."""

    def may(**context: str) -> bool:
        keys = frozenset(
            (f"kms:EncryptionContext:{name}", value) for name, value in context.items()
        )
        key = RESOURCES["SecretsKeyArn"]
        other = (ALIAS[0], "alias/resona-prod-secrets")
        assert not allows(policy(function), Need(f"kms:{action}", key, keys | {other}))
        return allows(policy(function), Need(f"kms:{action}", key, keys | {ALIAS}))

    assert [
        kind for kind in ("secret", "signing", "else") if may(tenant="tenant", kind=kind)
    ] == kinds.split()
    assert not may()
    assert not may(tenant="tenant")
    assert not may(kind="signing")


def test_each_function_of_each_stage_has_its_policy_and_no_other() -> None:
    config = json.loads((ROOT / ".chalice" / "config.json").read_text(encoding="utf-8"))
    assert config["autogen_policy"] is False
    deployed = config["stages"].keys() - {"local"}
    assert STAGE in deployed
    for stage in deployed:
        chosen = {
            name: settings["iam_policy_file"]
            for name, settings in config["stages"][stage]["lambda_functions"].items()
        }
        assert chosen == {
            "api_handler" if name == "api" else name: f"{stage}/{name}.json" for name in FUNCTIONS
        }
    there = {
        str(path.relative_to(ROOT / ".chalice")) for path in (ROOT / ".chalice").glob("*/*.json")
    }
    assert {name for name in there if not name.startswith(("deployed/", "deployments/"))} == {
        f"{stage}/{name}.json" for stage in deployed for name in FUNCTIONS
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_policies_of_stages_are_the_same_but_for_the_stage_and_name_it_wherever_they_can(
    function: str,
) -> None:
    """So that no function of dev reaches what is prod's."""
    folder = ROOT / ".chalice"
    texts = {
        stage: (folder / stage / f"{function}.json").read_text(encoding="utf-8")
        for stage in ("dev", "prod")
    }
    assert texts["prod"] == re.sub(r"\bresona-dev\b", "resona-prod", texts["dev"])
    for statement in json.loads(texts["dev"])["Statement"]:
        named = (
            statement.get("Condition", {})
            .get("ForAnyValue:StringEquals", {})
            .get("kms:ResourceAliases", statement["Resource"])
        )
        assert all(re.search(r"[:/]resona-dev(?![a-z0-9])", one) for one in named)
