"""Run Resona on a laptop: the emulator as a child process, the clock as threads, the HTTP server.

Everything starts when `chalice local` creates its server. Importing `app`, as Chalice's other
commands do, starts nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
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
from infra.local.clock import Clock, Faults, LambdaHandlers
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

    Its standard input is a pipe from this process, so it ends when this process ends, even if that
    is killed.
    """

    def __init__(self, folder: Path) -> None:
        """Start the process and wait until it serves. Exits with a sentence if it cannot."""
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
        """Call `lost`, in another thread, if the process ends before `stop` is called."""
        threading.Thread(target=self._watch, args=(lost,), daemon=True).start()

    def _watch(self, lost: Callable[[], None]) -> None:
        self._process.wait()
        if self._is_wanted:
            lost()

    def stop(self) -> None:
        """End the process; kill it if it still runs after five seconds."""
        self._is_wanted = False
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore SIGINT in the block, so that a process started in it ignores it from its start."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def start() -> None:
    """Make `chalice local` use `LocalServer`."""
    # Replace the class that Chalice's command line creates: there is no option for it. mypy refuses
    # a plain assignment to a class.
    setattr(chalice.local, "LocalDevServer", LocalServer)  # noqa: B010


class LocalServer(chalice.local.LocalDevServer):
    """Chalice's development server, which also runs the emulator and the clock."""

    def __init__(self, app_object: Chalice, config: Any, host: str, port: int) -> None:
        # Chalice sets INFO, at which boto3 logs every client that it creates.
        logging.getLogger().setLevel(logging.WARNING)
        check_port(host, port)
        access.refuse_topics()
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
        # Listen last: everything that a request needs exists by now.
        super().__init__(app_object, config, host, port, Handler, Server)
        self.server.hosts = hosts
        # What is there from the start is left out of each later collection, which takes up to a
        # tenth of a second otherwise.
        gc.freeze()

    def serve_forever(self) -> None:
        """Serve until Ctrl-C, SIGTERM, or the end of terminal or emulator; then end the process."""
        # Set SIGINT's handler too: in the background of a shell script it is ignored, and Python
        # keeps that.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, _interrupt)
            threading.Thread(target=_watch_terminal, daemon=True).start()
        try:
            self._cloud.watch(self._lose_cloud)
            self._clock.start()
            command.watch_sources(self._begin_anew, _terminate)
            with self._between_lines():
                greet(f"http://localhost:{self.port}", self._key, self._says)
            self.server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            with self._between_lines():
                say("\nStopping.", self._says)
        finally:
            # Free the port first, so that the next start can use it.
            self.server.server_close()
            has_lost_cloud = self._code == 1
            self._clock.stop(within_seconds=0 if has_lost_cloud else 2)
            with contextlib.suppress(OSError):
                self._lines.stop()
            self._cloud.stop()
        if has_lost_cloud:
            say(LOST, sys.stderr)
        end(self._code)

    @contextlib.contextmanager
    def _between_lines(self) -> Iterator[None]:
        """Keep the thread that writes log lines from writing within the block.

        `print` writes a text and its line end one after the other, and a log line may come between.
        """
        (handler,) = self._lines.handlers
        handler.acquire()
        try:
            yield
        finally:
            handler.release()

    def _lose_cloud(self) -> None:
        # Do not restart the emulator here: running calls have lost their connections, and the old
        # port may be taken.
        self._clock.stop(within_seconds=0)
        self._end_with(1)

    def _begin_anew(self) -> None:
        with self._between_lines():
            say("\nA source has changed: starting again.", self._says)
        self._end_with(command.RESTART)

    def _end_with(self, code: int) -> None:
        self._code = code
        self.server.shutdown()


def _name_of(jobs: JobStore, job_id: str) -> str | None:
    """Return a job's name; None if the job does not exist or the table does not answer."""
    try:
        loaded = jobs.load(job_id)
    except Unavailable:
        return None
    return loaded[0].name if loaded else None


def _watch_terminal() -> None:
    """End the process when its terminal is closed, or when the program that reads its output ends.

    SIGHUP is not enough: if the terminal's first process is `make`, it gets the signal, waits for
    its children, and the kernel sends them none.
    """
    poll = select.poll()
    for stream in (0, 1):
        try:
            if os.isatty(stream) or (stream == 1 and stat.S_ISFIFO(os.fstat(stream).st_mode)):
                # Register for no events: hang-ups and errors are reported anyway.
                poll.register(stream, 0)
        except OSError:
            continue
    if any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll()):
        _terminate()


def _terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def say(text: str, stream: TextIO) -> None:
    """Print a text; ignore the error if the stream is closed."""
    with contextlib.suppress(OSError):
        print(text, file=stream, flush=True)


def end(code: int) -> NoReturn:
    """End the process at once, without waiting for threads: a target may take minutes."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def check_port(host: str, port: int) -> None:
    """Exit with a sentence if the port is invalid or in use."""
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
    # A second signal must not interrupt the shutdown.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _visitors() -> tuple[frozenset[str], frozenset[str]]:
    """Return the origins whose pages may call, and the allowed hosts besides localhost.

    Exits with a sentence if either setting is invalid.
    """
    try:
        return read_origins(), read_hosts()
    except (SettingMissing, ValueError) as error:
        sys.exit(str(error))


def _is_on(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0", "false", "off", "no")


def home() -> Path:
    """Return the folder of the laptop's data: RESONA_HOME, else `.resona` in the project."""
    return Path(os.environ.get("RESONA_HOME") or ROOT / ".resona").absolute()


def use(endpoint: access.Endpoint) -> None:
    """Make this process's AWS clients call the emulator, whatever AWS settings the user has."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        os.environ.pop(name, None)
    os.environ.update(environment(endpoint))


def environment(endpoint: access.Endpoint) -> dict[str, str]:
    """Return the environment variables of the stage `local` with its emulator at `endpoint`."""
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
    """Return the executor's handlers with a laptop's guard, which allows private addresses."""
    firing = composition.firing(guard=guard)
    if not shown.is_json():
        firing = shown.shown(firing)

    # The executor does not use Lambda's context.
    context: Any = None
    return LambdaHandlers(
        wake=lambda event: executor.on_wake(event, firing),
        deliver=lambda event: executor.on_messages(SQSEvent(event, context), firing),
        sweep=lambda: executor.on_sweep(firing),
    )


def greet(url: str, key: str | None, stream: TextIO) -> None:
    """Print the console's URL, the API's URL, the data folder, the key if keys are required, and a
    first job to try.
    """
    first = {
        "name": "My first job",
        "request": {"url": f"{url}/health", "method": "GET"},
        "trigger": {"delay": 5},
    }
    shown_key = f" -H 'Authorization: Bearer {key}'" if key else ""
    about_key = f"It asks for keys. This is one of the tenant {STAGE}: {key}\n" if key else ""
    say(
        f"""
Open {url}/console to see jobs and runs.

Resona listens on {url} (Ctrl-C stops everything). {about_key}Jobs and runs are kept in {home()}.

Try a job that is due in 5 seconds:

curl -s {url}/jobs{shown_key} -H 'Content-Type: application/json' -d '{json.dumps(first)}'

and then what came of it:

curl -s {url}/jobs{shown_key}
""",
        stream,
    )
