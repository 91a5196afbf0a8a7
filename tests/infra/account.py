"""An AWS account to deploy to: moto, with CloudFormation of our own, the real Chalice, and the app
itself behind the stage's URL.
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from chalice.config import Config
from moto import mock_aws
from moto.server import ThreadedMotoServer

from app import app
from chalicelib.api.routing import parts
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.domain.run import AttemptResult, Outcome, Response
from chalicelib.handlers import authorizer
from chalicelib.handlers.authorizer import Authenticator
from infra.deploy.__main__ import main
from infra.deploy.cloud import Cloud, Names
from infra.deploy.deploying import Checkout
from infra.deploy.functions import Done
from infra.deploy.smoke import NoAnswer, Reply
from infra.local.gateway import Handler, Server
from tests.environment import Environment, Sent
from tests.infra import recording
from tests.infra.cloudformation import ACCOUNT, REGION, CloudFormation
from tests.infra.loops import Loops
from tests.infra.sessions import new_session, shared_client

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Stage:
    """What is behind the URL: the app with its doors, on a cloud in memory, fired at by its own
    jobs. `is_up` False: nothing answers.
    """

    names: Names
    lambdas: Any
    keys: ApiKeyStore
    environ: pytest.MonkeyPatch
    env: Environment = field(default_factory=Environment)
    is_up: bool = True
    fires: bool = True
    called: list[str] = field(default_factory=list)
    before: Any = None

    @contextmanager
    def serving(self) -> Iterator[None]:
        server = Server(
            ("127.0.0.1", 0), functools.partial(Handler, app_object=app, config=Config.create())
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self._port = server.server_address[1]
        parts.use(self.env.scheduling, stage=self.names.stage, needs_keys=True)
        authorizer.parts.use(Authenticator(self.keys, self.names.stage, self.env.clock))
        self.env.target = self._target
        try:
            yield
        finally:
            parts.use(self.env.scheduling, stage="")
            authorizer.parts.use(None)
            server.shutdown()
            thread.join()
            server.server_close()

    def fetch(self, method: str, url: str, headers: Mapping[str, str], body: object) -> Reply:
        """Answer as the deployed stage would, with the environment that its function has now."""
        path = url.partition("/api")[2]
        self.called.append(f"{method} {urlsplit(path).path}")
        if self.before:
            self.before(method, path)
        if not self.is_up:
            raise NoAnswer("ConnectionError")
        sent = {**headers, "Content-Type": "application/json"} if body is not None else headers
        return self._call(method, path, sent, json.dumps(body) if body is not None else None)

    def sleep(self, seconds: float) -> None:
        """Let time pass, and jobs fire."""
        if self.fires:
            self.env.advance(seconds=seconds)

    def _call(self, method: str, path: str, headers: Mapping[str, str], body: str | None) -> Reply:
        function = self.lambdas.get_function_configuration(FunctionName=self.names.api)
        token = function["Environment"]["Variables"].get("RESONA_SMOKE")
        if token:
            self.environ.setenv("RESONA_SMOKE", token)
        else:
            self.environ.delenv("RESONA_SMOKE", raising=False)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return Reply(
            answer.status, {name.lower(): value for name, value in answer.getheaders()}, text
        )

    def _target(self, sent: Sent) -> AttemptResult:
        url = sent.request.url.partition("/api")[2]
        reply = self._call(
            sent.request.method,
            url,
            {**sent.request.headers, **sent.headers},
            json.dumps(sent.request.body),
        )
        outcome = Outcome.SUCCESS if reply.status < 300 else Outcome.HTTP_ERROR
        return AttemptResult(
            outcome,
            timedelta(milliseconds=20),
            reply.status,
            Response(dict(reply.headers), reply.text, truncated=False),
        )


@dataclass
class Chalice:
    """Runs the real Chalice on moto.

    `dies_before`: the method of Chalice's client before which it is killed.
    """

    endpoint: str
    calls: Path
    dies_before: str = ""
    runs: int = 0

    def __call__(self, project: Path, stage: str, region: str) -> Done:
        self.runs += 1
        command = [
            sys.executable,
            "-m",
            "tests.infra.chalice_on_moto",
            str(project),
            stage,
            self.dies_before,
        ]
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": region,
            "RESONA_CALLS": str(self.calls),
        }
        # The project's own app, not the checkout's.
        environment["PYTHONPATH"] = os.pathsep.join([str(project), str(ROOT)])
        done = subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, check=False
        )
        return Done(done.returncode, done.stderr)


@dataclass
class Account:
    """The account, a folder for a checkout to deploy from, and what was printed last."""

    folder: Path
    cloudformation: CloudFormation
    chalice: Chalice
    stage: Stage
    capture: pytest.CaptureFixture[str]
    calls: Path
    out: str = ""
    err: str = ""
    answers: list[str] = field(default_factory=list)
    loops: Loops = field(default_factory=Loops)

    def __post_init__(self) -> None:
        self.session = new_session(region_name=REGION)
        recording.record(self.session._session, self.calls)
        self.clients: dict[str, Any] = {
            "cloudformation": recording.Noting(self.cloudformation, "cloudformation", self.calls)
        }

    @functools.cached_property
    def checkout(self) -> Checkout:
        """Copied when it is asked for: most tests deploy nothing."""
        return Checkout(copy_checkout(self.folder), self.chalice, self.stage.fetch)

    def client(self, service: str) -> Any:
        if service not in self.clients:
            make: Any = self.session.client
            self.clients[service] = make(service)
            if service == "lambda":
                self.loops.answer(self.clients[service])
        return self.clients[service]

    def connect(self) -> Cloud:
        return Cloud(self.client, ACCOUNT, REGION, sleep=self.stage.sleep, now=self.stage.env.clock)

    def types(self, line: str) -> int:
        """Type a command; what it prints is in `out` and `err`."""
        self.stage.called.clear()
        code = main(line.split(), self.checkout, self.connect, lambda question: self.answers.pop(0))
        self.out, self.err = self.capture.readouterr()
        return code

    def recorded(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return the calls that were made to AWS, Chalice's included, since this was asked last."""
        found = recording.read(self.calls)
        self.calls.unlink(missing_ok=True)
        return found

    def written(self) -> list[str]:
        """Return the calls since this was asked last that write something, but for those of the
        smoke test.
        """
        reads = ("Get", "List", "Describe", "Batch")
        return [
            f"{service} {operation}"
            for service, operation, _ in self.recorded()
            if not operation.startswith(reads)
        ]

    @property
    def apis(self) -> list[str]:
        return [api["id"] for api in self.client("apigateway").get_rest_apis()["items"]]

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of the API's function."""
        found: dict[str, str] = self.client("lambda").get_function_configuration(
            FunctionName="resona-dev"
        )["Environment"]["Variables"]
        return found


# The environment and boto3 are a test's own.
_AS_IT_IS: Any = {"core": {"mock_credentials": False, "reset_boto3_session": False}}


@pytest.fixture(scope="module")
def moto_server() -> Iterator[str]:
    """The account for other processes, and for whoever names its URL; in this one, clients are
    answered without a server in between.
    """
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


def copy_checkout(into: Path) -> Path:
    """Copy what a deploy reads of a checkout."""
    for name in ("app.py", "requirements.txt"):
        shutil.copy2(ROOT / name, into / name)
    not_ours = shutil.ignore_patterns("__pycache__", "deployed", "deployments")
    for name in ("chalicelib", ".chalice"):
        shutil.copytree(ROOT / name, into / name, ignore=not_ours)
    return into


@pytest.fixture
def account(
    moto_server: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Account]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN", "RESONA_SMOKE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    lambdas, dynamodb = (shared_client(service, REGION) for service in ("lambda", "dynamodb"))
    names, calls = Names("dev"), tmp_path / "calls"
    stage = Stage(
        names,
        lambdas,
        ApiKeyStore(dynamodb, names.of("keys"), sleep=lambda seconds: None),
        monkeypatch,
    )
    chalice = Chalice(moto_server, calls)
    folder = tmp_path / "checkout"
    folder.mkdir()
    with mock_aws(config=_AS_IT_IS), stage.serving():
        yield Account(folder, CloudFormation(), chalice, stage, capsys, calls)
