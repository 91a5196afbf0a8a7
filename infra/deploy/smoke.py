"""The smoke test: a job of the deployed stage fires at a receiver that the stage itself offers,
fails once, is sent again, and is read.

Afterwards nothing of it is left, also when it is interrupted: the job is deleted, the key revoked,
`/smoke` not there.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import requests
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.api.problems import NO_ROUTE, problem
from chalicelib.aws.api_key_store import ApiKeyStore
from chalicelib.domain.api_keys import Scope, StoredApiKey, new_key
from chalicelib.domain.errors import Unavailable
from infra.deploy.cloud import Cloud, Names
from infra.deploy.switch import switched_on
from infra.deploy.trouble import Trouble

TENANT = "resona-smoke"
_KEY_LIVES = timedelta(minutes=15)
_SECONDS = 1
# A new API's name and permissions take a while to be known everywhere.
_TRIES = 90
# A status that is sent again, and wakes nobody: what the API answers with 500 and more is an alarm.
_TOO_EARLY = 425
_ENDED = ("succeeded", "failed", "missed", "skipped")


class NoAnswer(Exception):
    """The URL did not answer; the sentence says how."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a URL answered. The names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """Return the body, None if it is no JSON."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


# Method, URL, headers, JSON body or None; raises NoAnswer.
Fetch = Callable[[str, str, Mapping[str, str], object], Reply]


def fetch(method: str, url: str, headers: Mapping[str, str], body: object) -> Reply:
    """Call a URL for real. Raises NoAnswer."""
    try:
        answer = requests.request(
            method, url, headers=dict(headers), json=body, timeout=35, allow_redirects=False
        )
    except requests.RequestException as error:
        raise NoAnswer(type(error).__name__) from error
    return Reply(
        answer.status_code,
        {name.lower(): value for name, value in answer.headers.items()},
        answer.text,
    )


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls the stage at its URL, with a key."""

    cloud: Cloud
    names: Names
    url: str
    fetch: Fetch
    key: str | None = None

    def call(self, method: str, path: str, body: object = None) -> Reply:
        """Call a path. Raises NoAnswer."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return self.fetch(method, f"{self.url}{path}", headers, body)

    def until(
        self, what: str, method: str, path: str, is_so: Callable[[Reply], bool], body: object = None
    ) -> Reply:
        """Call a path until its answer is so, and return that. Raises Trouble with the last one."""
        last = "nothing"
        for _ in range(_TRIES):
            try:
                reply = self.call(method, path, body)
                if is_so(reply):
                    return reply
                last = f"{reply.status} {reply.text[:300]}"
            except NoAnswer as error:
                last = str(error)
            self.cloud.sleep(_SECONDS)
        raise self.failed(f"{what}; {method} {path.partition('?')[0]} answered: {last}")

    def failed(self, why: str) -> Trouble:
        """Return the trouble that the stage is deployed, but does not do what it should."""
        logs = " ".join(f"/aws/lambda/{name}" for name in self.names.functions.values())
        return Trouble(
            f"the stage {self.names.stage} is deployed, but the smoke test failed: {why}",
            f"look at its logs (`aws logs tail --region {self.cloud.region} --since 10m` with each of {logs}); `make smoke "
            f"STAGE={self.names.stage}` repeats the test alone.",
        )


def smoke(cloud: Cloud, names: Names, url: str, fetch: Fetch = fetch) -> int:
    """Make the smoke test; return how many milliseconds late the job fired. Raises Trouble."""
    with switched_on(cloud, names) as token, _key(cloud, names) as key:
        caller = Caller(cloud, names, url, fetch, key)
        stranger = Caller(cloud, names, url, fetch)
        caller.until("it cannot be reached", "GET", "/health", lambda reply: reply.status == 200)
        receiver = f"/smoke?token={quote(token)}"
        caller.until(
            "its receiver is not there", "POST", receiver, lambda reply: reply.status == 200
        )
        stranger.until(
            "it does not ask for a key", "GET", "/jobs", lambda reply: reply.status == 401
        )
        _look_at_answers(stranger, caller)
        with _job(caller, f"{url}{receiver}&fail=1&status={_TOO_EARLY}") as (job_id, sent):
            return _watch(caller, job_id, sent)


@contextmanager
def _key(cloud: Cloud, names: Names) -> Iterator[str]:
    """Have a key of the stage for a while, and give its text."""
    keys, key = ApiKeyStore(cloud("dynamodb"), names.of("keys")), new_key(names.stage)
    now = cloud.now()
    try:
        keys.add(StoredApiKey(key.id, key.digest, TENANT, frozenset(Scope), now, now + _KEY_LIVES))
        yield key.text
    except Unavailable as error:
        raise Trouble(
            f"the table {names.of('keys')} does not answer: {error.__cause__}",
            "run the same command again.",
        ) from error
    finally:
        try:
            keys.revoke(key.id, cloud.now())
        except (Unavailable, ClientError, BotoCoreError) as error:
            cloud.say(
                f"The smoke test's key could not be revoked: {error.__cause__ or error}\n  What to do: nothing, it expires in "
                f"{_KEY_LIVES}; or `python -m infra.keys revoke --stage {names.stage} {key.id}`."
            )


@contextmanager
def _job(caller: Caller, url: str) -> Iterator[tuple[str, str]]:
    """Register a job that fires in a second, and give its id and what it sends; in the end it is
    deleted.
    """
    # By a key of its own, so that what a test which was killed has left is found.
    path, sent = "/jobs/key:smoke-test", secrets.token_hex(8)
    body = {
        "name": "Smoke test",
        "request": {"url": url, "method": "POST", "body": {"smoke": sent}},
        "trigger": {"delay": 1},
        "retry": {"max_attempts": 3, "initial_delay": 1, "max_delay": 1},
    }
    try:
        caller.until(
            "its jobs cannot be deleted", "DELETE", path, lambda reply: reply.status in (204, 404)
        )
        made = caller.until(
            "it registers no job", "PUT", path, lambda reply: reply.status in (200, 201), body
        )
        yield made.json["id"], sent
    finally:
        try:
            gone = caller.call("DELETE", path)
            told = None if gone.status in (204, 404) else f"{gone.status} {gone.text[:300]}"
        except NoAnswer as error:
            told = str(error)
        if told:
            caller.cloud.say(
                f"The smoke test's job could not be deleted: {told}\n  What to do: nothing, it fires but once; the next test deletes it."
            )


def _watch(caller: Caller, job_id: str, sent: str) -> int:
    """Wait for the job's run, and look that it is as it should be; return how late it was in
    milliseconds. Raises Trouble.
    """
    ended = caller.until(
        "its job has not fired",
        "GET",
        f"/jobs/{job_id}/runs",
        lambda reply: reply.status == 200 and any(run["status"] in _ENDED for run in reply.json),
    )
    run = caller.until(
        "its run cannot be read",
        "GET",
        f"/jobs/{job_id}/runs/{ended.json[0]['id']}",
        lambda reply: reply.status == 200,
    ).json
    attempts = [attempt["status_code"] for attempt in run["attempts"]]
    if run["status"] != "succeeded" or attempts != [_TOO_EARLY, 200]:
        outcomes = ", ".join(
            f"{attempt['outcome']} {attempt['status_code'] or ''}".strip()
            for attempt in run["attempts"]
        )
        raise caller.failed(
            f"its run was to fail once and succeed then; it is {run['status']}, with {outcomes or 'no attempt'}"
        )
    echo = json.loads(run["attempts"][-1]["response"]["body"])
    if (
        json.loads(echo["body"]) != {"smoke": sent}
        or echo["headers"].get("resona-job-id") != job_id
    ):
        raise caller.failed("what arrived is not what the job was to send")
    return int(run["lateness_ms"])


def _look_at_answers(stranger: Caller, caller: Caller) -> None:
    """Tell where API Gateway itself does not answer as the API says. That is no reason to stop."""
    for who, path, status in (
        (stranger, "/jobs", 401),
        (stranger, "/nowhere", 404),
        (caller, "/nowhere", 404),
    ):
        reply = who.call("GET", path)
        is_problem = (
            reply.headers.get("content-type") == "application/problem+json"
            and (reply.json or {}).get("status") == status
        )
        is_same = status != 404 or reply.text == problem(404, NO_ROUTE).body
        if reply.status != status or not is_problem or not is_same:
            with_key = "with" if who.key else "without"
            caller.cloud.say(
                f"GET {path} {with_key} a key is not answered as the API's description says: {reply.status} {reply.text[:200]}"
            )
