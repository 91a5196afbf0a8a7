"""Test a deployed stage as a client: keys are required, one job succeeds, one is retried and fails.

    python -m tests.smoke --stage dev

The first job calls the stage's own /health, the second a host that cannot exist. In the end both
are deleted and the test's key is revoked, also when the test is interrupted. It needs only what
`make run` installs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import click
import requests

from chalicelib.api.problems import NO_ROUTE, problem
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.domain.api_keys import Scope, StoredApiKey, new_key
from chalicelib.runtime.clock import utc_now
from infra.deploy.cloud import CliError, Cloud, Names, enter, in_words

TENANT = "resona-smoke"
_KEY_LIVES = timedelta(minutes=15)
# In seconds: a new API's host name and permissions take a while to work everywhere.
_TRIES = 90
# In seconds: policies allow the KMS key by its alias, which takes effect after up to five minutes.
# https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html
_KEY_TRIES = 330
# The domain `invalid` never exists: https://www.rfc-editor.org/rfc/rfc2606#section-2
_NOWHERE = "https://resona.invalid/"
_RETRY = {"max_attempts": 2, "initial_delay": 1, "max_delay": 1}
_ENDS = ("succeeded", "failed", "missed", "skipped")


@dataclass(frozen=True, slots=True)
class Caller:
    """A client of a stage, with a key or without. `send` is `requests.request`."""

    cloud: Cloud
    names: Names
    url: str
    send: Callable[..., requests.Response]
    key: str = ""

    def call(self, method: str, path: str, body: object = None) -> requests.Response:
        """Call a path and return the response; without one, status 0 and the error's name."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        given = {"headers": headers, "json": body, "timeout": 35, "allow_redirects": False}
        try:
            return self.send(method, f"{self.url}{path}", **given)
        except requests.RequestException as error:
            none = requests.Response()
            none.status_code, none._content = 0, type(error).__name__.encode()
            return none

    def until(
        self, why: str, call: str, *statuses: int, body: object = None, tries: int = _TRIES
    ) -> requests.Response:
        """Repeat a call, `METHOD path`, until its status is one of these.

        If it lists runs, also wait until one has ended. Raises CliError with the last response.
        """
        method, path = call.split()
        for _ in range(tries):
            reply = self.call(method, path, body)
            is_list = path.endswith("/runs") and reply.status_code == 200
            if reply.status_code in statuses and (
                not is_list or any(run["status"] in _ENDS for run in reply.json())
            ):
                return reply
            self.cloud.sleep(1)
        raise self.failed(f"{why}; {call} answered {reply.status_code} {reply.text[:300]}")

    def failed(self, why: str) -> CliError:
        """Return the CliError that the stage is deployed but does not work."""
        logs = " ".join(f"/aws/lambda/{name}" for name in self.names.functions.values())
        return CliError(
            f"the stage {self.names.stage} is deployed, but {why}: see `aws logs tail --region "
            f"{self.cloud.region} --since 10m` for each of {logs}; `make smoke "
            f"STAGE={self.names.stage}` repeats the test"
        )


def smoke(
    cloud: Cloud,
    names: Names,
    url: str,
    send: Callable[..., requests.Response] = requests.request,
    clock: Callable[[], datetime] = utc_now,
) -> int:
    """Test the stage at a URL; return how many milliseconds its job was late. Raises CliError."""
    keys, now = ApiKeyStore(cloud.client("dynamodb"), names.of("keys")), clock()
    key = new_key(names.stage)
    stranger = Caller(cloud, names, url, send)
    caller = replace(stranger, key=key.text)
    scopes = frozenset(Scope)
    try:
        keys.add(StoredApiKey(key.id, key.digest, TENANT, scopes, now, now + _KEY_LIVES))
        caller.until("it cannot be reached", "GET /health", 200)
        stranger.until("it does not ask for a key", "GET /jobs", 401)
        of_secrets = "its key of secrets cannot be used"
        caller.until(of_secrets, "GET /signing-secret", 200, tries=_KEY_TRIES)
        _look_at_answers(stranger, caller)
        run = _run(caller, "fires", f"{url}/health", "GET")
        if run["status"] != "succeeded":
            raise caller.failed(f"the run of its job was to succeed: {_told(run)}")
        failed = _run(caller, "fails", _NOWHERE, "POST")
        if failed["status"] != "failed" or len(failed["attempts"]) != _RETRY["max_attempts"]:
            raise caller.failed(
                f"the run of its job was to fail after two attempts: {_told(failed)}"
            )
        return int(run["lateness_ms"])
    finally:
        # Should this fail, the key expires by itself.
        keys.revoke(key.id, clock())


def _run(caller: Caller, name: str, url: str, method: str) -> Any:
    """Register a one-time job, return its run when that has ended, and delete the job."""
    # The key is fixed, so that a test replaces a job that a killed one has left.
    path, request = f"/jobs/key:smoke-{name}", {"url": url, "method": method}
    body = {"name": f"Smoke test: {name}", "request": request, "trigger": {"delay": 1}}
    body["retry"] = _RETRY
    try:
        caller.until("jobs cannot be deleted", f"DELETE {path}", 204, 404)
        made = caller.until("no job can be registered", f"PUT {path}", 200, 201, body=body).json()
        runs = f"/jobs/{made['id']}/runs"
        (run,) = caller.until("its job has not fired", f"GET {runs}", 200).json()
        return caller.until("a run is lost", f"GET {runs}/{run['id']}", 200).json()
    finally:
        status = caller.call("DELETE", path).status_code
        if status not in (204, 404):
            click.echo(
                f"The job {path} of the smoke test is not deleted ({status}): the next test does it"
            )


def _told(run: Any) -> str:
    attempts = [f"{one['outcome']} {one['status_code'] or ''}".strip() for one in run["attempts"]]
    return f"it is {run['status']}, with {', '.join(attempts) or 'no attempt'}"


def _look_at_answers(stranger: Caller, caller: Caller) -> None:
    """Print which responses of API Gateway differ from the API's. Differences are no error."""
    for who, path, status in (
        (stranger, "/jobs", 401),
        (stranger, "/nowhere", 404),
        (caller, "/nowhere", 404),
    ):
        reply = who.call("GET", path)
        is_problem = reply.headers.get("content-type") == "application/problem+json"
        is_same = status != 404 or reply.text == problem(404, NO_ROUTE).body
        if reply.status_code != status or not is_problem or not is_same:
            click.echo(
                f"GET {path} {'with' if who.key else 'without'} a key is not answered as the API's "
                f"description says: {reply.status_code} {reply.text[:200]}"
            )


@dataclass(frozen=True, slots=True)
class Means:
    """What the test works with; `connect` None: AWS's usual credentials."""

    connect: Callable[[], Cloud] | None = None
    send: Callable[..., requests.Response] = requests.request
    clock: Callable[[], datetime] = utc_now


@click.command(help=__doc__)
@click.option("--stage", required=True, help="dev, prod, or one of your own")
@click.pass_obj
def main(means: Means | None, stage: str) -> None:
    """Test a stage. Raises CliError."""
    means = means or Means()
    with in_words():
        cloud, names = enter(stage, means.connect)
        api = cloud.api(names)
        if api is None:
            raise CliError(f"no API {names.stack} in {cloud.region}: `make deploy STAGE={stage}`")
        click.echo("Testing: one job is to succeed, one to be retried and fail")
        late = smoke(cloud, names, cloud.url(api), means.send, means.clock)
    click.echo(f"It fired {late} ms after its time; the jobs and the key of the test are gone")


if __name__ == "__main__":
    main()
