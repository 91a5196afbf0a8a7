"""The smoke test of a deployed stage: it refuses strangers, one job succeeds, one is retried and
fails.

The jobs call the stage's own /health, and a host that cannot exist. In the end they are deleted and
the key is revoked, also when the test is interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import requests

from chalicelib.api.problems import NO_ROUTE, problem
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.domain.api_keys import Scope, StoredApiKey, new_key
from infra.deploy.cloud import Cloud, Names, Trouble

TENANT = "resona-smoke"
_KEY_LIVES = timedelta(minutes=15)
_SECONDS = 1
# The name and the permissions of a new API take a while to be known everywhere.
_TRIES = 90
# IAM knows the alias of a new key after five minutes at most, and the functions' policies go by it:
# https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html
_KEY_TRIES = 330
# Reserved for names that do not exist: https://www.rfc-editor.org/rfc/rfc2606#section-2
_NOWHERE = "https://resona.invalid/"
_RETRY = {"max_attempts": 2, "initial_delay": 1, "max_delay": 1}


@dataclass(frozen=True, slots=True)
class Reply:
    """The response of a URL.

    Headers have lower-case names; status 0: there was none, `text` says why.
    """

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """Return the body, None if it is not JSON."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


# Method, URL, headers, JSON body or None.
Fetch = Callable[[str, str, Mapping[str, str], object], Reply]


def fetch(method: str, url: str, headers: Mapping[str, str], body: object) -> Reply:
    """Make a request."""
    try:
        got = requests.request(
            method, url, headers=dict(headers), json=body, timeout=35, allow_redirects=False
        )
    except requests.RequestException as error:
        return Reply(0, {}, type(error).__name__)
    return Reply(
        got.status_code, {name.lower(): text for name, text in got.headers.items()}, got.text
    )


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls a stage, with a key or without."""

    cloud: Cloud
    names: Names
    url: str
    fetch: Fetch
    key: str = ""

    def call(self, method: str, path: str, body: object = None) -> Reply:
        """Make a request of a path."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return self.fetch(method, f"{self.url}{path}", headers, body)

    def until(
        self,
        call: str,
        is_so: Callable[[Reply], bool],
        why: str,
        body: object = None,
        tries: int = _TRIES,
    ) -> Reply:
        """Repeat a call, `METHOD path`, until its response is so. Raises Trouble with the last."""
        method, path = call.split()
        for _ in range(tries):
            reply = self.call(method, path, body)
            if is_so(reply):
                return reply
            self.cloud.sleep(_SECONDS)
        raise self.failed(f"{why}; {call} answered {reply.status} {reply.text[:300]}")

    def failed(self, why: str) -> Trouble:
        """Return the trouble of a stage that is deployed and does not work."""
        logs = " ".join(f"/aws/lambda/{name}" for name in self.names.functions.values())
        return Trouble(
            f"the stage {self.names.stage} is deployed, but {why}: see `aws logs tail --region "
            f"{self.cloud.region} --since 10m` for each of {logs}; `make smoke "
            f"STAGE={self.names.stage}` repeats the test"
        )


def smoke(cloud: Cloud, names: Names, url: str, fetch: Fetch = fetch) -> int:
    """Test the stage at a URL; return by how many milliseconds its job was late. Raises Trouble."""
    with _key(cloud, names) as key:
        caller, stranger = (Caller(cloud, names, url, fetch, text) for text in (key, ""))
        caller.until("GET /health", lambda reply: reply.status == 200, "it cannot be reached")
        stranger.until("GET /jobs", lambda reply: reply.status == 401, "it does not ask for a key")
        caller.until(
            "GET /signing-secret",
            lambda reply: reply.status == 200,
            "its key of secrets cannot be used",
            tries=_KEY_TRIES,
        )
        _look_at_answers(stranger, caller)
        with _ended(caller, "fires", f"{url}/health", "GET") as run:
            if run["status"] != "succeeded":
                raise caller.failed(f"the run of its job was to succeed: {_told(run)}")
            lateness = int(run["lateness_ms"])
        with _ended(caller, "fails", _NOWHERE, "POST") as run:
            if run["status"] != "failed" or len(run["attempts"]) != _RETRY["max_attempts"]:
                raise caller.failed(
                    f"the run of its job was to fail after two attempts: {_told(run)}"
                )
    return lateness


@contextmanager
def _key(cloud: Cloud, names: Names) -> Iterator[str]:
    """Have a key of the stage for a while. Raises Unavailable, ClientError."""
    keys, key, now = (
        ApiKeyStore(cloud("dynamodb"), names.of("keys")),
        new_key(names.stage),
        cloud.now(),
    )
    record = StoredApiKey(key.id, key.digest, TENANT, frozenset(Scope), now, now + _KEY_LIVES)
    try:
        keys.add(record)
        yield key.text
    finally:
        # Should this fail, the key expires by itself.
        keys.revoke(key.id, cloud.now())


@contextmanager
def _ended(caller: Caller, name: str, url: str, method: str) -> Iterator[Any]:
    """Register a one-time job, wait, and give its run when that has ended; the job is deleted."""
    # By a fixed key: a later test deletes what a killed one has left.
    path = f"/jobs/key:smoke-{name}"
    body = {
        "name": f"Smoke test: {name}",
        "request": {"url": url, "method": method},
        "trigger": {"delay": 1},
        "retry": _RETRY,
    }
    gone = (204, 404)
    try:
        caller.until(f"DELETE {path}", lambda one: one.status in gone, "jobs cannot be deleted")
        made = caller.until(
            f"PUT {path}", lambda one: one.status in (200, 201), "no job can be registered", body
        ).json
        runs = f"/jobs/{made['id']}/runs"
        (run,) = caller.until(f"GET {runs}", _has_ended, "its job has not fired").json
        yield caller.until(
            f"GET {runs}/{run['id']}", lambda one: one.status == 200, "a run is lost"
        ).json
    finally:
        reply = caller.call("DELETE", path)
        if reply.status not in gone:
            caller.cloud.say(
                f"The job {path} of the smoke test is not deleted ({reply.status}): the next test does it"
            )


def _has_ended(reply: Reply) -> bool:
    ends = ("succeeded", "failed", "missed", "skipped")
    return reply.status == 200 and any(run["status"] in ends for run in reply.json)


def _told(run: Mapping[str, Any]) -> str:
    attempts = [f"{one['outcome']} {one['status_code'] or ''}".strip() for one in run["attempts"]]
    return f"it is {run['status']}, with {', '.join(attempts) or 'no attempt'}"


def _look_at_answers(stranger: Caller, caller: Caller) -> None:
    """Say where API Gateway's own responses are not those of the API. That is no reason to stop."""
    for who, path, status in (
        (stranger, "/jobs", 401),
        (stranger, "/nowhere", 404),
        (caller, "/nowhere", 404),
    ):
        reply = who.call("GET", path)
        is_problem = reply.headers.get("content-type") == "application/problem+json"
        is_same = status != 404 or reply.text == problem(404, NO_ROUTE).body
        if reply.status != status or not is_problem or not is_same:
            caller.cloud.say(
                f"GET {path} {'with' if who.key else 'without'} a key is not answered as the API's "
                f"description says: {reply.status} {reply.text[:200]}"
            )
