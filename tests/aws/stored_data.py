"""A stage that has written every kind of record: a later release must read what it leaves.

`python -m tests.aws.stored_data` keeps what today's code leaves in `tests/aws/kept/<version>.json`:
a new file for each release that writes anything otherwise. Files of earlier releases stay, for as
long as a stage may have been made by them.
"""

from __future__ import annotations

import base64
import copy
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chalice.app import SQSEvent

from chalicelib.api.routing import LOCAL_TENANT, backend
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.aws.busy_store import BusyStore
from chalicelib.domain.api_keys import Key, Scope, StoredApiKey
from chalicelib.domain.fairness import Sharing
from chalicelib.domain.run import AttemptResult, Outcome, Response
from chalicelib.handlers.executor import on_messages
from chalicelib.version import VERSION
from infra.local.clock import queue_event
from tests.api.conftest import Api
from tests.cloud import Cloud, DynamoDB, Message
from tests.environment import START, Environment, Sent
from tests.parts import quota_store

KEPT = Path(__file__).parent / "kept"
KEY_ID = "4Fq0sX1bTz9K"
REPEATED = {"Idempotency-Key": "order-4711"}
FULL = {
    "name": "Monthly invoice",
    "request": {
        "url": "https://example.com/full?token={{secret:token}}",
        "method": "PUT",
        "headers": {"Content-Type": "application/json"},
        "body": {"amount": 12.5, "": None, "lines": [[1], {"deep": True}]},
    },
    "trigger": {"date": "2026-11-23T14:00:00Z"},
    "timeout": 60,
    "retry": {"max_attempts": 5, "initial_delay": 20, "max_delay": 600},
    "misfire_grace": 3600,
    "labels": {"team": "billing"},
    "key": "invoice",
}
ANSWERS = {
    "/done": AttemptResult(
        Outcome.SUCCESS,
        timedelta(milliseconds=12.5),
        200,
        Response({"a": "b"}, "/w==", truncated=True, encoding="base64"),
    ),
    "/failed": AttemptResult(
        Outcome.HTTP_ERROR,
        timedelta(milliseconds=40),
        404,
        Response({"a": "b"}, "no", truncated=False),
        "404",
    ),
    "/retried": AttemptResult(
        Outcome.HTTP_ERROR,
        timedelta(seconds=1),
        503,
        Response({}, "", truncated=False),
        "503",
        retry_after="1800",
    ),
}


def simple(path: str, trigger: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": path,
        "request": {"url": f"https://example.com{path}"},
        "trigger": trigger,
        **more,
    }


@contextmanager
def serving(env: Environment) -> Iterator[Api]:
    """Serve an environment's API under quotas, as a deployed stage does."""
    env.scheduling.quotas = quota_store(env.cloud, 100_000, 6_000)
    backend.use(env.scheduling, stage="local")
    try:
        yield Api(env)
    finally:
        backend.use(env.scheduling, stage="")


def leave() -> dict[str, Any]:
    """Return what a stage stores when an executor dies between a claim and its record."""
    env = Environment()
    left: dict[str, Any] = {}

    def target(sent: Sent) -> AttemptResult:
        path = sent.request.url.removeprefix("https://example.com")
        if path == "/dying":
            # What is asked for in this instant is not sent yet.
            done(api.post("/jobs/key:invoice/run"))
            past = {"from": "2026-11-23T01:00:00Z", "to": "2026-11-23T03:00:00Z"}
            done(api.post(f"/jobs/{hourly['id']}/backfill", past))
            left.update(contents(env))
        if path == "/worked":
            url = urlsplit(sent.headers["Resona-Complete-Url"]).path
            done(api.post(url, {"status": "succeeded", "message": "early", "body": [1]}))
        return ANSWERS.get(path, ANSWERS["/done"])

    env.target = target
    keys: Any = DynamoDB(env.cloud)
    key = Key("local", KEY_ID, "s" * 43)
    ApiKeyStore(keys, "keys").add(
        StoredApiKey(
            key.id,
            key.digest,
            "acme",
            frozenset(Scope),
            START,
            expires_at=START + timedelta(days=90),
        )
    )
    with serving(env) as api:
        done(api.put("/secrets/token", {"value": "s3cr3t"}))
        done(api.get("/signing-secret"))
        done(api.post("/signing-secret/rotate"))
        done(api.post("/jobs", FULL, headers=REPEATED))
        hourly = done(
            api.post(
                "/jobs",
                simple(
                    "/hourly",
                    {"cron": "0 0-22 * * *", "timezone": "Europe/Berlin"},
                    labels={"a": "b"},
                ),
            )
        )
        # It is tried again and again, each time half an hour later; the occurrences in between are
        # skipped.
        done(
            api.post(
                "/jobs",
                simple(
                    "/retried",
                    {"cron": "*/20 0-22 * * *"},
                    overlap="skip",
                    retry={"max_attempts": 9, "max_delay": 3600},
                ),
            )
        )
        last_days = {"cron": "30 9 L * 5L", "dst": {"gap": "next", "fold": "both"}}
        paused = done(api.post("/jobs", simple("/paused", last_days)))
        done(api.post(f"/jobs/{paused['id']}/pause"))
        until = done(api.post("/jobs", simple("/until", {"cron": "*/30 * * * *"})))
        asked = {"until": "2026-11-23T12:15:00Z", "reason": "holidays"}
        done(api.post(f"/jobs/{until['id']}/pause", asked))
        skipped = done(api.post("/jobs", simple("/skipped", {"cron": "*/25 * * * *"})))
        done(api.post(f"/jobs/{skipped['id']}/skip", {"count": 4}))
        done(api.post("/jobs", simple("/done", {"delay": 60})))
        done(api.put("/notices/ops", {"url": "https://example.com/channel", "label": "a:b"}))
        waiting = {"url": "https://example.com/digest", "label": "a:b", "digest": 900}
        done(api.put("/notices/night", waiting))
        callbacks = {"failed": {"url": "https://example.com/told?token={{secret:token}}"}}
        done(api.post("/jobs", simple("/failed", {"delay": 70}, callbacks=callbacks)))
        done(
            api.post(
                "/jobs",
                simple("/failed", {"cron": "*/10 * * * *"}, pause_after=3, labels={"a": "b"}),
            )
        )
        rules = {
            "success": {"status": ["200-204"], "body_contains": "ok", "json": {"/state": "done"}},
            "retry": {"delays": [60, 600], "never": ["unexpected", 503]},
        }
        done(api.post("/jobs", simple("/done", {"delay": 75}, **rules)))
        interval = {"every": 2000, "ends_at": "2026-11-23T18:00:00Z", "max_runs": 4}
        done(api.post("/jobs", simple("/interval", interval)))
        bounds = {"starts_at": "2026-11-23T09:00:00Z", "max_runs": 9}
        done(api.post("/jobs", simple("/bounded", {"cron": "15 * * * *", **bounds})))
        # The hours until twelve are excluded, for the second job until eleven, but only since it is
        # there.
        morning = {"timezone": "Etc/GMT+12", "days": ["2026-11-22"]}
        done(api.put("/calendars/morning", morning))
        done(api.put("/calendars/none", {"days": []}))
        spread = {"cron": "*/30 * * * *", "spread": 900, "exclude": ["morning", "none"]}
        done(api.post("/jobs", simple("/spread", spread)))
        done(api.post("/jobs", simple("/excluded", {"every": 1500, "exclude": ["none"]})))
        done(api.put("/calendars/none", {**morning, "timezone": "Etc/GMT+11"}))
        work = {"completion": "callback", "deadline": 6000}
        done(api.post("/jobs", simple("/worked", {"delay": 80}, **work)))
        done(api.post("/jobs", simple("/working", {"delay": 85}, **work)))
        slow = {"rate": {"requests": 1, "seconds": 3600, "burst": 1}}
        done(api.put("/flows/slow", slow))
        for delay in (80, 81, 82):
            done(api.post("/jobs", simple("/done", {"delay": delay}, flow="slow")))
        done(api.put("/flows/narrow", {"concurrency": 1}))
        done(api.post("/jobs", simple("/done", {"delay": 80}, flow="narrow")))
        done(api.put("/flows/paused", {"paused": True}))
        done(api.post("/jobs", simple("/done", {"delay": 80}, flow="paused")))
        done(api.put("/flows/open", {"breaker": {"failures": 1, "probe_seconds": 3600}}))
        once = {"flow": "open", "retry": {"max_attempts": 1}}
        for path, delay in (("/retried", 80), ("/done", 90)):
            done(api.post("/jobs", simple(path, {"delay": delay}, **once)))
        missed = done(api.post("/jobs", simple("/missed", {"delay": 5}, misfire_grace=1)))
        lost = next(
            name for name, message in env.cloud.messages.items() if missed["id"] in message.body
        )
        del env.cloud.messages[lost]
        env.advance(minutes=57)
        # EventBridge Scheduler wakes nobody for a while, and is not trusted for a while after that.
        env.wakes = False
        env.advance(minutes=5)
        env.wakes = True
        hold(env, done(api.post("/jobs", simple("/done", {"delay": 2}, timeout=600)))["id"])
        done(api.post("/jobs", simple("/dying", {"delay": 150})))
        env.advance(minutes=3)
    return left


def hold(env: Environment, job_id: str) -> None:
    """Hold the run of a job for five minutes: another invocation uses all that its tenant may."""
    dynamodb: Any = DynamoDB(env.cloud)
    busy, began = BusyStore(dynamodb, "jobs", "secrets"), env.now - timedelta(seconds=100)
    for ticket in ("busy_00000001", "busy_00000002"):
        busy.enter("local", ticket, began)
        busy.enter_all("local", ticket, began)
    busy.take("local", timedelta(minutes=5), env.now, timedelta(minutes=5))
    sharing = Sharing(executors=4, share=0.5, least=1, one_in=1)
    name, message = next(
        (name, message) for name, message in env.cloud.messages.items() if job_id in message.body
    )
    env.now = message.visible_at
    event = {"MessageId": name, "ReceiptHandle": name, "Body": message.body}
    firing = env.parts(sharing=sharing).firing
    on_messages(SQSEvent(queue_event([event], "arn:queue"), None), firing)
    del env.cloud.messages[name]


def done(answer: Any) -> Any:
    """Return what was answered to a call that went well."""
    assert answer.status < 300, answer.text
    return json.loads(answer.text) if answer.text else None


def contents(env: Environment) -> dict[str, Any]:
    """Return all data in an environment's cloud, in the form in which it is stored in a file."""
    cloud = env.cloud
    return copy.deepcopy(
        {
            "now": env.now.isoformat(),
            "tables": {
                name: [as_sent(item) for item in table.values()]
                for name, table in cloud.tables.items()
            },
            "messages": [
                {**asdict(message), "visible_at": message.visible_at.isoformat()}
                for message in cloud.messages.values()
            ],
            "schedules": [
                {**schedule, "made_at": schedule["made_at"].isoformat()}
                for schedule in cloud.schedules.values()
            ],
        }
    )


def as_sent(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item with its bytes in base64, as DynamoDB sends them."""
    return {
        name: {"B": base64.b64encode(value["B"]).decode()} if "B" in value else value
        for name, value in item.items()
    }


def _with_bytes(item: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"B": base64.b64decode(value["B"])} if "B" in value else value
        for name, value in item.items()
    }


def restored(left: dict[str, Any]) -> Environment:
    """Return an environment of today's code with the data that another one has stored."""
    env = Environment(datetime.fromisoformat(left["now"]))
    cloud: Cloud = env.cloud
    client: Any = DynamoDB(cloud)
    for table, items in left["tables"].items():
        for item in items:
            client.put_item(TableName=table, Item=_with_bytes(item))
    for number, message in enumerate(left["messages"]):
        cloud.messages[f"left-{number}"] = Message(
            **{**message, "visible_at": datetime.fromisoformat(message["visible_at"])}
        )
    for schedule in left["schedules"]:
        cloud.schedules[schedule["Name"]] = {
            **schedule,
            "made_at": datetime.fromisoformat(schedule["made_at"]),
        }
    return env


def told(api: Api) -> dict[str, Any]:
    """Return what the API says of everything, by path."""
    jobs = done(api.get("/jobs?limit=100"))
    paths = ["/runs", "/calendars", "/flows", "/secrets", "/signing-secret", "/jobs/key:invoice"]
    for job in jobs:
        paths += [f"/jobs/{job['id']}", f"/jobs/{job['id']}/runs"]
        paths += [
            f"/jobs/{job['id']}/runs/{run['id']}"
            for run in done(api.get(f"/jobs/{job['id']}/runs"))
        ]
    return {"/jobs?limit=100": jobs, **{path: done(api.get(path)) for path in paths}}


def fired(env: Environment) -> list[list[str]]:
    """Let three hours pass, and return which attempts of which runs were sent, in no order that
    matters.
    """
    env.target = lambda sent: ANSWERS["/done"]
    env.advance(hours=3)
    return sorted(
        [sent.request.url, sent.headers["Resona-Run-Id"], sent.headers["Resona-Attempt"]]
        for sent in env.sent
    )


def document() -> dict[str, Any]:
    """Return what today's code leaves behind, what it tells of it, and what it does next."""
    left = leave()
    with serving(restored(left)) as api:
        answers = told(api)
    return {"tenant": LOCAL_TENANT, "left": left, "told": answers, "fired": fired(restored(left))}


if __name__ == "__main__":
    path = KEPT / f"{VERSION}.json"
    path.write_text(
        json.dumps(document(), indent=1, ensure_ascii=False, sort_keys=True) + "\n",
        encoding="utf-8",
    )
    sys.stdout.write(f"{path}\n")
