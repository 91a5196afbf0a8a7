"""What `app.py` calls on a laptop: the cloud as a child process, the clock as threads, and a server
that behaves like the gateway.

Nothing starts when `app` is imported; it starts when `chalice local` makes its server, and so not
for package or deploy.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import chalice.local
from chalice.app import Chalice, SQSEvent

from chalicelib.api.routing import parts
from chalicelib.aws import clients
from chalicelib.config import SettingMissing, read_origins, read_settings
from chalicelib.domain.errors import Unavailable
from chalicelib.handlers import authorizer, executor
from chalicelib.telemetry.lines import is_told, note_told
from chalicelib.usecases import scheduling
from infra.local import access
from infra.local.clock import Clock, Context, Faults, LambdaHandlers
from infra.local.gateway import Handler, Server
from infra.local.guard import LOCAL
from infra.local.template import read_template
from infra.local.wire import ACCOUNT, REGION

ROOT = Path(__file__).parent.parent.parent
STAGE = "local"
LOST = "\nThe process that keeps jobs and runs has ended, and Resona with it. What was acknowledged is kept: start again to go on."


class Cloud:
    """The emulator's process.

    It ends when this one does, however that comes about: its standard input is a pipe from here.
    """

    def __init__(self, folder: Path) -> None:
        """Start it, and wait until it serves. Exits with a sentence if it cannot."""
        self._process = subprocess.Popen(  # noqa: S603  our own module
            [sys.executable, "-m", "infra.local.emulator", str(folder), STAGE],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None  # noqa: S101  it is a pipe
        word, _, rest = self._process.stdout.readline().strip().partition(" ")
        if word != "ready":
            sys.exit(rest or "the laptop's cloud did not start; what it said stands above")
        self.endpoint = f"http://127.0.0.1:{rest}"
        self._is_wanted = True

    def watch(self, lost: Callable[[], None]) -> None:
        """Call `lost` from a thread of its own if the process ends without having been stopped."""
        threading.Thread(target=self._watch, args=(lost,), daemon=True).start()

    def _watch(self, lost: Callable[[], None]) -> None:
        self._process.wait()
        if self._is_wanted:
            lost()

    def stop(self) -> None:
        """End it."""
        self._is_wanted = False
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()


def start(app: Chalice) -> None:
    """Have `chalice local` serve with all of Resona inside."""
    del app  # Chalice hands it to the server itself
    # Chalice has no other way in: its command line makes whatever this name stands for.
    # A plain assignment to a class is a type error
    setattr(chalice.local, "LocalDevServer", LocalServer)  # noqa: B010


class LocalServer(chalice.local.LocalDevServer):
    """Chalice's development server, with the cloud and the clock beside it."""

    def __init__(self, app_object: Chalice, config: Any, host: str, port: int) -> None:
        quiet_logs()
        check_port(host, port)
        needs_keys, origins = access.needs_keys(), _origins()
        self._cloud = Cloud(home())
        atexit.register(self._cloud.stop)
        os.environ.update(environment(self._cloud.endpoint))
        access.note_endpoint(home(), self._cloud.endpoint)
        self._key = access.own_key(home(), authorizer.parts.gate) if needs_keys else None
        parts.use(
            scheduling.assemble(refuse_host=LOCAL.refuse_host),
            stage=STAGE,
            needs_keys=needs_keys,
            origins=origins,
        )
        self._clock = Clock(
            self._cloud.endpoint,
            clients.sqs(),
            read_settings().due_queue_url,
            clients.scheduler(),
            lambda_handlers(),
            Faults(jitter=_is_on("RESONA_JITTER"), duplicates=_is_on("RESONA_DUPLICATES")),
        )
        self._has_lost_cloud = False
        # Last, so that whoever connects is served.
        super().__init__(app_object, config, host, port, Handler, Server)

    def serve_forever(self) -> None:
        """Serve until Ctrl-C, SIGTERM or the end of the cloud, then end the process with everything
        in it.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _interrupt)
            # A shell that starts it in the background of a script has Ctrl-C ignored, and Python
            # then leaves it so.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._cloud.watch(self._lose_cloud)
        self._clock.start()
        greet(f"http://localhost:{self.port}", self._key)
        try:
            self.server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            print("\nStopping.", flush=True)
            # A second signal must not interrupt the end.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        finally:
            self._clock.stop(within_seconds=0 if self._has_lost_cloud else 2)
            self._cloud.stop()
        if self._has_lost_cloud:
            print(LOST, file=sys.stderr)
            end(1)
        # Chalice's autoreload has us in a thread, and goes on without.
        if threading.current_thread() is threading.main_thread():
            end(0)

    def _lose_cloud(self) -> None:
        # What is under way has lost its connections, and a new process might not find the old one's
        # port: a new start is sure.
        self._has_lost_cloud = True
        self._clock.stop(within_seconds=0)
        self.server.shutdown()


def end(code: int) -> NoReturn:
    """End the process now: the interpreter would wait for its threads, and one may wait minutes for
    a slow target's answer.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def check_port(host: str, port: int) -> None:
    """Exit with a sentence if the port is in use, before anything has started."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            sys.exit(
                f"port {port} cannot be served on ({error.strerror}); choose another one: make run PORT={port % 65535 + 1}"
            )


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _origins() -> frozenset[str]:
    try:
        return read_origins()
    except SettingMissing as error:
        sys.exit(str(error))


def _is_on(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0", "false", "off", "no")


def home() -> Path:
    """Return where jobs and runs are kept: RESONA_HOME, else `.resona` in the project.

    Under Chalice's autoreload it lies outside the project: the reloader restarts the server at
    every change of a file within.
    """
    chosen = os.environ.get("RESONA_HOME")
    if chosen:
        return Path(chosen)
    if os.environ.get("CHALICE_WORKER"):
        return Path.home() / ".resona" / hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]
    return ROOT / ".resona"


def environment(endpoint: str) -> dict[str, str]:
    """Return the environment of a stage whose cloud is at `endpoint`."""
    template = read_template(STAGE)
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "laptop",
        "AWS_SECRET_ACCESS_KEY": "laptop",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
        "AWS_EC2_METADATA_DISABLED": "true",
        "RESONA_STAGE": STAGE,
        "RESONA_JOBS_TABLE": template.table("jobs"),
        "RESONA_RUNS_TABLE": template.table("runs"),
        "RESONA_SECRETS_TABLE": template.table("secrets"),
        "RESONA_SECRETS_KEY": template.key_alias,
        "RESONA_KEYS_TABLE": template.table("keys"),
        "RESONA_DUE_QUEUE_URL": f"{endpoint}/{ACCOUNT}/{template.queues[0]['QueueName']}",
        "RESONA_SCHEDULE_GROUP": template.group,
        "RESONA_WAKE_FUNCTION_ARN": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:resona-{STAGE}-wake",
        "RESONA_SCHEDULER_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/resona-{STAGE}-scheduler",
    }


def lambda_handlers() -> LambdaHandlers:
    """Return the executor's functions, with the laptop's guard: they may call private addresses,
    which nothing deployed can.
    """
    firing = executor.assemble(guard=LOCAL)

    def deliver(event: dict[str, Any], context: Context) -> None:
        lambda_context: Any = context
        executor.on_messages(SQSEvent(event, lambda_context), firing)

    return LambdaHandlers(
        # A handler's signature
        wake=lambda event, context: executor.on_wake(event, firing),  # noqa: ARG005
        deliver=deliver,
        # A handler's signature
        sweep=lambda event, context: executor.on_sweep(firing),  # noqa: ARG005
    )


class EventLine(logging.Formatter):
    """An event and its fields on one line.

    A traceback follows where an exception is first told of, and is none of what did not answer.
    """

    _OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        fields = (
            f"{name}={value}"
            for name, value in vars(record).items()
            if name not in self._OWN and value is not None
        )
        line = " ".join([self.formatTime(record, "%H:%M:%S"), record.getMessage(), *fields])
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Unavailable):
            return f"{line} why={str(error)!r}"
        if error is None or is_told(error):
            return line
        note_told(error)
        # # it is asked only of a record that has one
        return f"{line}\n{self.formatException(record.exc_info)}"  # type: ignore[arg-type]


def quiet_logs() -> None:
    """Show what happens to jobs, and of libraries only what is wrong."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(EventLine())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    logging.getLogger("resona").setLevel(logging.INFO)


def greet(url: str, key: str | None) -> None:
    """Say where Resona listens, which key it takes, if it asks for one, and what to try first."""
    first = {
        "name": "My first job",
        "request": {"url": f"{url}/health", "method": "GET"},
        "trigger": {"delay": 5},
    }
    shown = f" -H 'Authorization: Bearer {key}'" if key else ""
    about_key = f"It asks for keys. This is one of the tenant {STAGE}: {key}\n" if key else ""
    print(
        f"""
Resona listens on {url} (Ctrl-C stops everything). {about_key}Try a job that is due in 5 seconds:

curl -s {url}/jobs{shown} -H 'Content-Type: application/json' -d '{json.dumps(first)}'

and then what came of it:

curl -s {url}/jobs{shown}
""",
        flush=True,
    )
