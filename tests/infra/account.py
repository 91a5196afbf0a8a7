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
import requests
from chalice.config import Config
from click.testing import CliRunner
from moto import mock_aws
from moto.server import ThreadedMotoServer

from app import app
from chalicelib.api.routing import backend
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.domain.run import AttemptResult, Outcome, Response
from chalicelib.handlers import authorizer
from chalicelib.handlers.authorizer import Authenticator
from infra.deploy import __main__ as deploy
from infra.deploy.cloud import Cloud, Names
from infra.local.gateway import Handler, Server
from tests import smoke
from tests.environment import Environment, Sent
from tests.infra import recording
from tests.infra.cloudformation import ACCOUNT, REGION, CloudFormation
from tests.infra.loops import Loops
from tests.infra.sessions import new_session, shared_client

ROOT = Path(__file__).parent.parent.parent


def reply(status: int, headers: Mapping[str, str], text: str) -> requests.Response:
    """Return a response as `requests` has them."""
    made = requests.Response()
    made.status_code, made._content, made.encoding = status, text.encode(), "utf-8"
    made.headers.update(headers)
    return made


@dataclass
class Stage:
    """What is behind the URL: the app with its doors, on a cloud in memory, fired at by its own
    jobs. `is_up` False: nothing answers.
    """

    names: Names
    keys: ApiKeyStore
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
        backend.use(self.env.scheduling, stage=self.names.stage, needs_keys=True)
        authorizer.authenticator.use(Authenticator(self.keys, self.names.stage, self.env.clock))
        self.env.target = self._target
        try:
            yield
        finally:
            backend.use(self.env.scheduling, stage="")
            authorizer.authenticator.use(None)
            server.shutdown()
            thread.join()
            server.server_close()

    def send(self, method: str, url: str, **request: Any) -> requests.Response:
        """Answer as the deployed stage would, with the environment that its function has now."""
        path, body, headers = url.partition("/api")[2], request["json"], request["headers"]
        self.called.append(f"{method} {urlsplit(path).path}")
        if self.before:
            self.before(method, path)
        if not self.is_up:
            raise requests.ConnectionError
        sent = {**headers, "Content-Type": "application/json"} if body is not None else headers
        return self._call(method, path, sent, json.dumps(body) if body is not None else None)

    def sleep(self, seconds: float) -> None:
        """Let time pass, and jobs fire."""
        if self.fires:
            self.env.advance(seconds=seconds)

    def _call(
        self, method: str, path: str, headers: Mapping[str, str], body: str | None
    ) -> requests.Response:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return reply(answer.status, dict(answer.getheaders()), text)

    def _target(self, sent: Sent) -> AttemptResult:
        if ".invalid/" in sent.request.url:
            return AttemptResult(Outcome.DNS_FAILED, timedelta(milliseconds=2), None, None)
        url = sent.request.url.partition("/api")[2]
        got = self._call(
            sent.request.method,
            url,
            {**sent.request.headers, **sent.headers},
            json.dumps(sent.request.body),
        )
        outcome = Outcome.SUCCESS if got.status_code < 300 else Outcome.HTTP_ERROR
        return AttemptResult(
            outcome,
            timedelta(milliseconds=20),
            got.status_code,
            Response(dict(got.headers), got.text, truncated=False),
        )


@dataclass
class Chalice:
    """Types `chalice deploy` on moto.

    `dies_before`: the method of Chalice's client before which it is killed; `refused`: by AWS.
    """

    endpoint: str
    calls: Path
    dies_before: str = ""
    refused: str = ""
    limit: int = 1000
    runs: int = 0

    def __call__(
        self, checkout: Path, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        self.runs += 1
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": self.endpoint,
            "RESONA_CALLS": str(self.calls),
            "RESONA_LIMIT": str(self.limit),
            "RESONA_DIES_BEFORE": self.dies_before,
            "RESONA_REFUSED": self.refused,
            "PYTHONPATH": str(ROOT),
            **environment,
        }
        command = [sys.executable, "-m", "tests.infra.chalice_on_moto", *arguments]
        return subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, text=True, check=False
        )


@dataclass
class Account:
    """The account, a folder for a checkout to deploy from, and what was printed last."""

    folder: Path
    cloudformation: CloudFormation
    chalice: Chalice
    stage: Stage
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
    def checkout(self) -> Path:
        """Copied when it is asked for: most tests deploy nothing."""
        return copy_checkout(self.folder)

    def client(self, service: str) -> Any:
        if service not in self.clients:
            make: Any = self.session.client
            self.clients[service] = make(service)
            if service == "lambda":
                self.loops.answer(self.clients[service])
        return self.clients[service]

    def connect(self) -> Cloud:
        return Cloud(self.client, ACCOUNT, REGION, sleep=self.stage.sleep)

    def types(self, line: str) -> int:
        """Type a command: `chalice …`, `smoke …` or one of infra.deploy's; what it prints is in
        `out` and `err`.
        """
        if line.startswith("chalice "):
            done = self.chalice(self.checkout, *line.split()[1:])
            self.out, self.err = done.stdout, done.stderr
            return done.returncode
        self.stage.called.clear()
        words, answers = line.split(), "".join(f"{one}\n" for one in self.answers)
        if words[0] == "smoke":
            means = smoke.Means(self.connect, self.stage.send, self.stage.env.clock)
            typed = CliRunner().invoke(smoke.main, words[1:], obj=means)
        else:
            typed = CliRunner().invoke(deploy.main, words, answers, obj=self.connect)
        self.out, self.err = typed.stdout, typed.stderr
        if typed.exception and not isinstance(typed.exception, SystemExit):
            raise typed.exception
        return typed.exit_code

    def deploys(self, stack: str = "stack --stage dev") -> None:
        """Type the three commands."""
        for line in (stack, "chalice deploy --stage dev", "finish --stage dev"):
            assert self.types(line) == 0, (line, self.out, self.err)

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
    """Copy the files that a deploy reads into an existing folder, and return the folder.

    With what Python has compiled of them: else each test would compile all of it anew.
    """
    for name in ("app.py", "requirements.txt"):
        shutil.copy2(ROOT / name, into / name)
    not_ours = shutil.ignore_patterns("deployed", "deployments")
    for name in ("chalicelib", ".chalice", "infra"):
        shutil.copytree(ROOT / name, into / name, ignore=not_ours)
    return into


@pytest.fixture
def account(
    moto_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Account]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    dynamodb = shared_client("dynamodb", REGION)
    names, calls = Names("dev"), tmp_path / "calls"
    stage = Stage(names, ApiKeyStore(dynamodb, names.of("keys"), sleep=lambda seconds: None))
    chalice = Chalice(moto_server, calls)
    folder = tmp_path / "checkout"
    folder.mkdir()
    with mock_aws(config=_AS_IT_IS), stage.serving():
        yield Account(folder, CloudFormation(), chalice, stage, calls)
