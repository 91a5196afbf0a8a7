"""The process that emulates AWS on a laptop: DynamoDB, SQS, Scheduler and KMS on 127.0.0.1.

    python -m infra.local.emulator <folder> <stage>

It prints `ready <port> <token>` when it serves. Requests without the token are refused. The token
is the access key id that requests are signed with, so every SDK sends it in `Authorization`. The
process ends when its standard input is closed, and therefore with its parent.
"""

from __future__ import annotations

import gc
import json
import os
import secrets
import signal
import sys
from pathlib import Path
from typing import Any

from infra.local.wire import ACCOUNT, REGION, Reply, Request, carries, json_error

# moto only needs some credentials: hide the user's own from it.
os.environ.update(
    AWS_ACCESS_KEY_ID="laptop",
    AWS_SECRET_ACCESS_KEY="laptop",  # noqa: S106  opens nothing
    AWS_DEFAULT_REGION=REGION,
    MOTO_ACCOUNT_ID=ACCOUNT,
)

from moto.dynamodb.models import dynamodb_backends
from moto.scheduler.models import scheduler_backends
from moto.sqs.models import sqs_backends

from infra.local.dynamodb import DynamoDB
from infra.local.forward import forward
from infra.local.journal import Journal, StateUnusable
from infra.local.kms import make_key
from infra.local.queue import Queue
from infra.local.schedules import Schedules
from infra.local.serving import Server
from infra.local.template import Template, read_template


class Cloud:
    """The emulated services. Each request must carry `token` and goes to the service it names."""

    def __init__(self, journal: Journal, token: str) -> None:
        self._token = token
        self.dynamodb = DynamoDB(forward, journal)
        self.queue = Queue(forward, journal)
        self.schedules = Schedules(forward, journal)

    def answer(self, request: Request) -> Reply:
        """Answer a request, with 403 if it does not carry the token."""
        if not carries(request.environ.get("HTTP_AUTHORIZATION", ""), self._token):
            return json_error(
                "AccessDeniedException",
                "This process answers the Resona that started it, and nobody else.",
                403,
            )
        service, _, operation = request.environ.get("HTTP_X_AMZ_TARGET", "").partition(".")
        if service.startswith("DynamoDB"):
            return self.dynamodb.answer(request, operation)
        if service == "AmazonSQS":
            return self.queue.answer(request, operation)
        if request.path.startswith("/schedule"):
            return self.schedules.answer(request)
        if request.path == "/laptop/schedules":
            version, wait_seconds = (
                int(request.query.get("version", "-1")),
                float(request.query.get("wait", "0")),
            )
            return Reply(
                200,
                json.dumps(self.schedules.read(version, wait_seconds)).encode(),
                {"Content-Type": "application/json"},
            )
        return forward(request)


def create_resources(cloud: Cloud, template: Template, journal: Journal) -> None:
    """Create the template's resources, then restore the journal's items, messages and schedules."""
    _make_tables(template)
    _make_queues(template)
    make_key(template.key_alias, journal)
    scheduler_backends[ACCOUNT][REGION].create_schedule_group(template.group, [])
    cloud.dynamodb.restore()
    cloud.queue.restore()
    cloud.schedules.restore()


def _make_tables(template: Template) -> None:
    for table in template.tables:
        dynamodb_backends[ACCOUNT][REGION].create_table(
            table["TableName"],
            schema=table["KeySchema"],
            throughput=None,
            attr=table["AttributeDefinitions"],
            global_indexes=table.get("GlobalSecondaryIndexes"),
            indexes=None,
            streams=None,
            billing_mode=table["BillingMode"],
            sse_specification=None,
            tags=[],
            deletion_protection_enabled=False,
            warm_throughput=None,
        )


def _make_queues(template: Template) -> None:
    backend = sqs_backends[ACCOUNT][REGION]
    for queue in template.queues:
        attributes = {
            name: str(queue[name])
            for name in ("VisibilityTimeout", "MessageRetentionPeriod")
            if name in queue
        }
        made: Any = backend.create_queue(queue["QueueName"], None, **attributes)
        # moto computes these three attributes from the whole queue for every message that is sent,
        # which takes 10 ms with 1,500 messages. Resona does not read them.
        made.BASE_ATTRIBUTES = [
            name for name in made.BASE_ATTRIBUTES if not name.startswith("Approximate")
        ]
    for name, (dead, count) in template.redrives.items():
        policy = {
            "deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{dead}",
            "maxReceiveCount": count,
        }
        backend.set_queue_attributes(name, {"RedrivePolicy": json.dumps(policy)})


def main(folder: str, stage: str) -> int:
    """Serve until standard input is closed. Return the exit code."""
    # Ctrl-C and a service manager signal every process of the group. This process must outlive its
    # parent, which still writes to it while it stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.umask(0o077)
    token = f"laptop{secrets.token_hex(32)}"
    try:
        journal = Journal(Path(folder) / f"{stage}.sqlite")
        cloud = Cloud(journal, token)
        create_resources(cloud, read_template(stage), journal)
    except StateUnusable as error:
        print(f"failed {error}", flush=True)
        return 1
    # What is restored is left out of each later collection, which stops all answers.
    gc.freeze()
    server = Server(cloud.answer)
    server.start()
    print(f"ready {server.server_port} {token}", flush=True)
    sys.stdin.read()
    journal.close()
    return 0


if __name__ == "__main__":
    # Skip the interpreter's shutdown, which would wait for threads that still answer requests.
    os._exit(main(sys.argv[1], sys.argv[2]))
