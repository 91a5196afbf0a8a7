"""What Resona's own work takes: `python -m tests.bench.cpu`. CPU milliseconds of an invocation of
each function, measured on this machine, threads included.

The real handlers run with real boto3 clients against a laptop's cloud, and send to an HTTPS target;
both are other processes, so the clock counts the functions alone. Calls of AWS go over plain
HTTP on a connection that is kept: on Lambda they are encrypted, some 0.1 ms more each.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from typing import Any

import boto3
import certifi
from chalice.app import SQSEvent

from app import app
from chalicelib.api.routing import backend
from chalicelib.aws import clients
from chalicelib.aws.serialization import dump_due
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition
from chalicelib.domain.request import Request
from chalicelib.domain.state import DueMessage
from chalicelib.domain.trigger import OneTime
from chalicelib.handlers import composition, executor
from chalicelib.outbound import transport
from chalicelib.runtime.clock import utc_now
from chalicelib.telemetry.invocation import invocation
from chalicelib.usecases.bulk import MOST_JOBS
from chalicelib.usecases.firing import Firing
from chalicelib.usecases.scheduling import Scheduling
from infra.local.clock import queue_event
from infra.local.guard import LOCAL
from infra.local.run import Cloud, use
from tests.invocations import Context
from tests.outbound.servers import Authority
from tests.simulation.deployment import gateway_event

ROUNDS, BATCH = 60, 10
ROOT = Path(__file__).parent.parent.parent
TENANT, BODY = "local", {"text": "x" * 1_000}


@dataclass(frozen=True)
class Measured:
    """The parts of a stage, and the URL of a target."""

    scheduling: Scheduling
    firing: Firing
    url: str

    @property
    def job(self) -> dict[str, Any]:
        """Return a job as the API takes it."""
        return {
            "name": "nightly order export",
            "request": {"url": self.url, "body": BODY},
            "trigger": {"delay": 3600},
        }

    def create(self) -> None:
        """Create a job by the API, in one invocation."""
        answer = app(gateway_event("POST", "/jobs", "", self.job, {}), Context())
        assert answer["statusCode"] == 201, answer

    def create_batch(self) -> None:
        """Create as many jobs as one call of the API takes."""
        body = {"jobs": [self.job] * MOST_JOBS}
        event = gateway_event("POST", "/jobs", "", body, {})
        event["requestContext"] |= {"resourcePath": "/jobs/batch", "path": "/jobs/batch"}
        answer = app(event, Context())
        assert answer["statusCode"] == 200, answer

    def due(self) -> DueMessage:
        """Register a job that is due now, and return its message."""
        now = utc_now().replace(microsecond=0)
        request = Request(self.url, "POST", {}, BODY)
        draft = Definition("", TENANT, 1, "job", now, OneTime(now), request)
        job_id = self.scheduling.create(draft).definition.id
        return DueMessage(job_id, TENANT, RunKey(now, 1), now)

    def deliver(self, dues: list[DueMessage]) -> None:
        """Fire for a batch of messages, in one invocation."""
        messages = [
            {"MessageId": due.job_id, "ReceiptHandle": due.job_id, "Body": dump_due(due)}
            for due in dues
        ]
        context: Any = Context()
        with invocation("deliver", context):
            executor.on_messages(SQSEvent(queue_event(messages, "arn:queue"), context), self.firing)

    def sweep(self) -> None:
        """Sweep once, and find nothing overdue."""
        with invocation("sweep", Context()):
            executor.on_sweep(self.firing)

    def wake(self, name: str) -> None:
        """Wake for a schedule that no occurrence goes with: one read, as for one that has one."""
        with invocation("wake", Context()):
            executor.on_wake(
                {"schedule": name, "scheduled_time": "2026-12-01T09:58:00Z"}, self.firing
            )


@contextmanager
def stage() -> Iterator[Measured]:
    """Run a laptop's cloud and a target."""
    with tempfile.TemporaryDirectory() as folder:
        authority, chain = Authority(), Path(folder, "server.pem")
        trusted = Path(folder, "trusted.pem")
        trusted.write_text(authority.pem)
        transport.tls().load_verify_locations(trusted)
        chain.write_text(authority.chain("127.0.0.1", "localhost"))
        cloud = Cloud(Path(folder, "home"))
        with server(chain) as port:
            try:
                use(cloud.endpoint)
                url = f"https://localhost:{port}/hook"
                host_rule = LOCAL.refuse_host
                scheduling = composition.scheduling(refuse_host=host_rule)
                backend.use(scheduling, stage="local")
                os.environ["AWS_LAMBDA_FUNCTION_NAME"] = "resona-prod"
                yield Measured(scheduling, composition.firing(guard=LOCAL), url)
            finally:
                cloud.stop()


def connections() -> dict[str, list[float]]:
    """Return the CPU milliseconds of a call of AWS that opens a TLS connection, by the certificates
    that are trusted, each with the certificate of the server here.
    """
    with tempfile.TemporaryDirectory() as folder:
        authority, chain = Authority(), Path(folder, "server.pem")
        chain.write_text(authority.chain("127.0.0.1", "localhost"))
        with server(chain) as port:
            found = {}
            for name, path in (("certifi's", certifi.where()), ("Amazon's", clients.AMAZON_ROOTS)):
                trusted = Path(folder, "trusted.pem")
                trusted.write_text(Path(path).read_text(encoding="utf-8") + authority.pem)
                make: Any = boto3.client
                client = make(
                    "dynamodb", endpoint_url=f"https://localhost:{port}", verify=str(trusted)
                )
                ask = partial(client.get_item, TableName="none", Key={"id": {"S": "none"}})
                found[f"a call with a connection, {name} roots"] = [
                    cost(ask) for _ in range(ROUNDS // 3)
                ]
            return found


@contextmanager
def server(chain: Path) -> Iterator[str]:
    """Run a server that closes each connection after an answer, and give its port."""
    command = [sys.executable, "-m", "tests.bench.sending", str(chain)]
    with Popen(command, cwd=ROOT, stdout=PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def cost(call: Callable[[], object]) -> float:
    """Return the CPU milliseconds of a call, of this process and all its threads."""
    began = time.process_time()
    with redirect_stdout(io.StringIO()):
        call()
    return (time.process_time() - began) * 1000


def measured() -> dict[str, list[float]]:
    """Return for each kind of invocation the CPU milliseconds of each round, the first first."""
    with stage() as made:
        dues = [made.due() for _ in range(ROUNDS)]
        batches = [[made.due() for _ in range(BATCH)] for _ in range(ROUNDS // 4)]
        job_id = dues[0].job_id
        return {
            "deliver, a message": [cost(partial(made.deliver, [due])) for due in dues],
            f"deliver, a batch of {BATCH}": [
                cost(partial(made.deliver, batch)) for batch in batches
            ],
            "wake": [cost(lambda: made.wake(f"{job_id}-01JD9V8M0Q4Q6T5W0H9C1Y3B7K")) for _ in dues],
            "sweep": [cost(made.sweep) for _ in dues],
            "api_handler, a create": [cost(made.create) for _ in dues],
            f"api_handler, a batch of {MOST_JOBS}": [cost(made.create_batch) for _ in range(6)],
        }


def report() -> Iterator[str]:
    """Yield the table."""
    yield f"CPU ms of an invocation{'':14} {'first':>7} {'median':>7} {'least':>7}"
    for name, times in {**measured(), **connections()}.items():
        yield f"{name:37} {times[0]:7.1f} {median(times[1:]):7.1f} {min(times[1:]):7.1f}"


if __name__ == "__main__":
    for line in report():
        print(line, flush=True)
