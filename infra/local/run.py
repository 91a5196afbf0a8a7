"""Run a laptop: the emulator as a child process, the clock as threads, and the gateway's server.

Nothing starts when `app` is imported; it starts when `chalice local` makes its server, and so not
for package or deploy.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TextIO

import chalice.local
from chalice.app import Chalice, SQSEvent

from chalicelib.api.routing import backend
from chalicelib.aws import clients
from chalicelib.aws.job_store import JobStore
from chalicelib.config import SettingMissing, read_origins, read_settings
from chalicelib.domain.errors import Unavailable
from chalicelib.handlers import authorizer, composition, executor
from chalicelib.outbound.address_guard import Guard
from infra.local import access, command, shown
from infra.local.clock import Clock, Context, Faults, LambdaHandlers
from infra.local.gateway import Handler, Server
from infra.local.guard import LOCAL, beside
from infra.local.template import read_template
from infra.local.visitors import read_hosts
from infra.local.wire import ACCOUNT, REGION, STAGE, authorization

ROOT = Path(__file__).parent.parent.parent
LOST = (
    "\nThe process that keeps jobs and runs has ended, and Resona with it. What was acknowledged "
    "is kept: start again to go on."
)


class Cloud:
    """The emulator's process.

    It ends when this one does, however that comes about: its standard input is a pipe from here.
    """

    def __init__(self, folder: Path) -> None:
        """Start it, and wait until it serves. Exits with a sentence if it cannot."""
        with _uninterrupted():
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
        port, token = rest.split()
        self.endpoint = access.Endpoint(f"http://127.0.0.1:{port}", token)
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


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Have a process that is started meanwhile ignore Ctrl-C from its first moment on."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def start() -> None:
    """Have `chalice local` serve with all of Resona inside."""
    # Chalice has no other way in: its command line makes whatever this name stands for.
    # mypy refuses a plain assignment to a class.
    setattr(chalice.local, "LocalDevServer", LocalServer)  # noqa: B010


class LocalServer(chalice.local.LocalDevServer):
    """Chalice's development server, with the cloud and the clock beside it."""

    def __init__(self, app_object: Chalice, config: Any, host: str, port: int) -> None:
        # Chalice has set it to INFO, at which boto3 tells of each client that it makes.
        logging.getLogger().setLevel(logging.WARNING)
        check_port(host, port)
        needs_keys, (origins, hosts) = access.needs_keys(), _visitors()
        is_json = shown.is_json()
        self._cloud = Cloud(home())
        atexit.register(self._cloud.stop)
        use(self._cloud.endpoint)
        access.note_endpoint(home(), self._cloud.endpoint)
        self._key = access.own_key(home(), authorizer.authenticator.get()) if needs_keys else None
        scheduling_parts = composition.scheduling(refuse_host=LOCAL.refuse_host)
        self._lines = shown.show(partial(_name_of, scheduling_parts.jobs))
        self._says = sys.stderr if is_json else sys.stdout
        backend.use(scheduling_parts, stage=STAGE, needs_keys=needs_keys, origins=origins)
        self._clock = Clock(
            self._cloud.endpoint.url,
            clients.sqs(),
            read_settings().due_queue_url,
            clients.scheduler(),
            lambda_handlers(beside(self._cloud.endpoint.port)),
            Faults(jitter=_is_on("RESONA_JITTER"), duplicates=_is_on("RESONA_DUPLICATES")),
            {"Authorization": authorization(self._cloud.endpoint.token)},
        )
        self._code = 0
        # Last, so that whoever connects is served.
        super().__init__(app_object, config, host, port, Handler, Server)
        self.server.hosts = hosts

    def serve_forever(self) -> None:
        """Serve until Ctrl-C, SIGTERM, or the end of terminal or emulator; then end the process."""
        # A shell that starts it in the background of a script has Ctrl-C ignored, and Python then
        # leaves it so.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, _interrupt)
            threading.Thread(target=_watch_terminal, daemon=True).start()
        try:
            self._cloud.watch(self._lose_cloud)
            self._clock.start()
            command.watch_sources(self._begin_anew, _terminate)
            greet(f"http://localhost:{self.port}", self._key, self._says)
            self.server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            say("\nStopping.", self._says)
        finally:
            # At once, so that the next one finds the port free.
            self.server.server_close()
            has_lost_cloud = self._code == 1
            self._clock.stop(within_seconds=0 if has_lost_cloud else 2)
            with contextlib.suppress(OSError):
                self._lines.stop()
            self._cloud.stop()
        if has_lost_cloud:
            say(LOST, sys.stderr)
        end(self._code)

    def _lose_cloud(self) -> None:
        # What is under way has lost its connections, and a new process might not find the old one's
        # port: a new start is sure.
        self._clock.stop(within_seconds=0)
        self._end_with(1)

    def _begin_anew(self) -> None:
        say("\nA source has changed: starting again.", self._says)
        self._end_with(command.RESTART)

    def _end_with(self, code: int) -> None:
        self._code = code
        self.server.shutdown()


def _name_of(jobs: JobStore, job_id: str) -> str | None:
    """Return a job's name; None if it is gone, or the table does not answer."""
    try:
        loaded = jobs.load(job_id)
    except Unavailable:
        return None
    return loaded[0].name if loaded else None


def _watch_terminal() -> None:
    """End the process when its terminal, or its output's reader, is gone, with or without SIGHUP.

    `make` waits for what it has started when it is sent one, and then the kernel sends none to the
    others.
    """
    poll = select.poll()
    for stream in (0, 1):
        try:
            if os.isatty(stream) or (stream == 1 and stat.S_ISFIFO(os.fstat(stream).st_mode)):
                # No events: a hang-up and an error are always reported.
                poll.register(stream, 0)
        except OSError:
            continue
    if any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll()):
        _terminate()


def _terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def say(text: str, stream: TextIO) -> None:
    """Write to whoever may still be there to read it."""
    with contextlib.suppress(OSError):
        print(text, file=stream, flush=True)


def end(code: int) -> NoReturn:
    """End the process at once: its threads may wait minutes for a slow target."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def check_port(host: str, port: int) -> None:
    """Exit with a sentence if the port is none or is in use, before anything has started."""
    if not 1 <= port <= 65535:
        sys.exit(
            f"a port is a number from 1 to 65535, and {port} is none; choose another one: "
            "make run PORT=8000"
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            other = 8000 if port < 1024 else port % 65535 + 1
            sys.exit(
                f"port {port} of {host} cannot be served on ({error.strerror}); choose another "
                f"one: make run PORT={other}"
            )


def _interrupt(*_: object) -> None:
    # A second signal must not interrupt the end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _visitors() -> tuple[frozenset[str], frozenset[str]]:
    """Return the origins whose pages may call, and the hosts that are answered to beside localhost.

    Exits with a sentence.
    """
    try:
        return read_origins(), read_hosts()
    except (SettingMissing, ValueError) as error:
        sys.exit(str(error))


def _is_on(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0", "false", "off", "no")


def home() -> Path:
    """Return where jobs and runs are kept: RESONA_HOME, else `.resona` in the project."""
    return Path(os.environ.get("RESONA_HOME") or ROOT / ".resona").absolute()


def use(endpoint: access.Endpoint) -> None:
    """Have this process call the cloud of a laptop, whatever its user has set for AWS."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        os.environ.pop(name, None)
    os.environ.update(environment(endpoint))


def environment(endpoint: access.Endpoint) -> dict[str, str]:
    """Return the environment of a stage whose cloud is at `endpoint`."""
    template, function = read_template(STAGE), f"arn:aws:lambda:{REGION}:{ACCOUNT}:function"
    return {
        "AWS_ENDPOINT_URL": endpoint.url,
        "AWS_ACCESS_KEY_ID": endpoint.token,
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
        "RESONA_DUE_QUEUE_URL": f"{endpoint.url}/{ACCOUNT}/{template.queues[0]['QueueName']}",
        "RESONA_SCHEDULE_GROUP": template.group,
        "RESONA_WAKE_FUNCTION_ARN": f"{function}:resona-{STAGE}-wake",
        "RESONA_SCHEDULER_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/resona-{STAGE}-scheduler",
    }


def lambda_handlers(guard: Guard) -> LambdaHandlers:
    """Return the executor's functions with a laptop's guard, which allows private addresses."""
    firing = composition.firing(guard=guard)
    if not shown.is_json():
        firing = shown.shown(firing)

    def deliver(event: dict[str, Any], context: Context) -> None:
        lambda_context: Any = context
        executor.on_messages(SQSEvent(event, lambda_context), firing)

    return LambdaHandlers(
        # Both have the signature of a Lambda handler.
        wake=lambda event, context: executor.on_wake(event, firing),  # noqa: ARG005
        deliver=deliver,
        sweep=lambda event, context: executor.on_sweep(firing),  # noqa: ARG005
    )


def greet(url: str, key: str | None, stream: TextIO) -> None:
    """Print where Resona listens and keeps its data, its key if any, and what to try first."""
    first = {
        "name": "My first job",
        "request": {"url": f"{url}/health", "method": "GET"},
        "trigger": {"delay": 5},
    }
    shown_key = f" -H 'Authorization: Bearer {key}'" if key else ""
    about_key = f"It asks for keys. This is one of the tenant {STAGE}: {key}\n" if key else ""
    say(
        f"""
Resona listens on {url} (Ctrl-C stops everything). {about_key}Jobs and runs are kept in {home()}.

Try a job that is due in 5 seconds:

curl -s {url}/jobs{shown_key} -H 'Content-Type: application/json' -d '{json.dumps(first)}'

and then what came of it:

curl -s {url}/jobs{shown_key}
""",
        stream,
    )
