"""A stage that is served somewhere, as RESONA_URL and RESONA_KEY name it: checked before anything
is asked, and left as it was found.

RESONA_URL             where it serves, such as https://abc.execute-api.eu-west-1.amazonaws.com/api
RESONA_KEY             one of its keys with both scopes, best of a tenant of its own
RESONA_RECEIVER        a URL that leads to this machine, where a receiver listens for what jobs send
RESONA_RECEIVER_BIND   the host:port it listens at, if not that of the URL: a tunnel's other end
RESONA_SLACK           by how many seconds things may be later than on a laptop; 2 unless set
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import requests

from chalicelib.domain.api_keys import read_key
from tests.acceptance.receivers import OwnApi, Receiver, Receiving
from tests.acceptance.served import Served

_LABEL = "acceptance"
_STAGE = re.compile(r"rsn_([a-z][a-z0-9]{0,15})_", re.ASCII)
_CLOCK_READINGS = 8
_TRIES = 6
_CLEANING_SECONDS = 120
# A list may lag by a second, and what it did not show yet has to go, too.
_LIST_LAG_SECONDS = 1.5


class Refused(Exception):
    """The suite cannot run like this; the sentence says why, and what to do."""


class Remote(Served):
    """A stage, with a key of it.

    Every job that goes through here bears the label of this run, and goes with it.
    """

    timeout_seconds = 35.0
    # A new account runs ten functions at once, and those that send are among them.
    clients = 8

    def __init__(self, url: str, key: str, slack: timedelta = timedelta(seconds=2)) -> None:
        """Take where it serves. Raises Refused for what can be no URL or no key."""
        super().__init__(url.rstrip("/"))
        parts = urlsplit(url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.query
            or parts.fragment
        ):
            raise Refused(
                "RESONA_URL must be the URL that the stage is served at, such as "
                f"https://….amazonaws.com/api, not {url!r}"
            )
        match = _STAGE.match(key)
        if match is None or read_key(key, match[1]) is None:
            # Without what was given: it may be a key with a slip in it.
            raise Refused(
                "RESONA_KEY must be a key of the stage, rsn_…; it was shown when it was made"
            )
        self.stage = match[1]
        self.slack = slack
        self.run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
        self.labels = {_LABEL: self.run}
        # By how much its clock is ahead of the one here, and by how much that may be wrong.
        self.ahead = self.clock_error = timedelta(0)
        # How long the first call took, and the first with the key.
        self.first_calls: tuple[float, float] = (0.0, 0.0)
        # Whoever asks more than the tests cleans up when all is done.
        self.is_cleaned_by_tests = True
        self.throttled = 0
        self.registered = 0
        self._key = key
        self._sessions = threading.local()

    def key(self) -> str:
        return self._key

    def now(self) -> datetime:
        """Return the time by its clock."""
        return datetime.now(UTC) + self.ahead

    def send(self, method: str, url: str, **options: Any) -> requests.Response:
        """Make a request, again if it was one too many for the stage."""
        for attempt in range(1, _TRIES + 1):
            answer = self._session().request(
                method, url, **{"timeout": self.timeout_seconds, **options}
            )
            if answer.status_code != 429 or attempt == _TRIES:
                break
            self.throttled += 1
            time.sleep(min(5.0, float(answer.headers.get("Retry-After") or 1)))
        return answer

    def request(
        self, method: str, path: str, body: Any = None, **options: Any
    ) -> requests.Response:
        """Make a request; a job that it registers or replaces whole gets the label."""
        if isinstance(body, dict) and (
            (method, path) == ("POST", "/jobs") or (method == "PUT" and path.startswith("/jobs/"))
        ):
            self.registered += 1
            body = {**body, "labels": {**body.get("labels", {}), **self.labels}}
        return super().request(method, path, body, **options)

    def check(self) -> None:
        """Raises Refused, with a sentence, unless the stage answers and the key opens it for
        reading and writing.
        """
        began = time.monotonic()
        health = self._asked("GET", "/health")
        if health.status_code != 200 or not _is_health(health):
            raise Refused(
                f"{self.url}/health answers {health.status_code}, and not as Resona does: has the "
                "URL its stage at the end (…/api)?"
            )
        first = time.monotonic()
        listed = self._asked("GET", "/jobs?limit=1")
        self.first_calls = (first - began, time.monotonic() - first)
        emptied = (
            self._asked("POST", f"/jobs/delete?label={_LABEL}:{self.run}")
            if listed.status_code == 200
            else listed
        )
        if emptied.status_code in (401, 403):
            raise Refused(
                f"{self.url} does not take RESONA_KEY ({listed.status_code} to read, "
                f"{emptied.status_code} to write): make one with both scopes, .venv/bin/python -m "
                f"infra.keys create --stage {self.stage} --tenant acceptance"
            )
        if (listed.status_code, emptied.status_code) != (200, 200):
            raise Refused(
                f"{self.url} answers {listed.status_code} to GET /jobs and {emptied.status_code} "
                "to POST /jobs/delete: see its logs"
            )
        self.ahead, self.clock_error = self._clock()

    def clean(self) -> int:
        """Delete every job of this run; return how many they were.

        Raises Refused if some may be left.
        """
        deleted, quiet = 0, 0
        path = first = f"/jobs/delete?label={_LABEL}:{self.run}"
        until = time.monotonic() + _CLEANING_SECONDS
        while quiet < 2:
            answer = self._asked("POST", path)
            if time.monotonic() > until or answer.status_code in (401, 403):
                raise Refused(
                    f"jobs of this run may be left at {self.url}; delete them: POST {first} "
                    f"(answered {answer.status_code})"
                )
            changed = answer.json()["changed"] if answer.status_code == 200 else 0
            deleted += changed
            following = answer.links.get("next", {}).get("url", "")
            path = f"/jobs/delete?{urlsplit(following).query}" if following else first
            if not following:
                quiet = 0 if changed or answer.status_code != 200 else quiet + 1
                time.sleep(_LIST_LAG_SECONDS if quiet < 2 else 0)
        return deleted

    def _asked(self, method: str, path: str) -> requests.Response:
        try:
            return self.request(method, path)
        except requests.RequestException as error:
            raise Refused(
                f"{self.url} does not answer ({type(error).__name__}): is it the URL that `make "
                "deploy` has printed?"
            ) from error

    def _session(self) -> requests.Session:
        if not hasattr(self._sessions, "own"):
            self._sessions.own = requests.Session()
            self._sessions.own.headers["Authorization"] = f"Bearer {self._key}"
        own: requests.Session = self._sessions.own
        return own

    def _clock(self) -> tuple[timedelta, timedelta]:
        """Return by how much its clock is ahead, and by how much that may be wrong: the Date of an
        answer was true in between.
        """
        least, most = timedelta.min, timedelta.max
        for _ in range(_CLOCK_READINGS):
            sent_at = datetime.now(UTC)
            answer = self._asked("GET", "/health")
            got_at = datetime.now(UTC)
            if "Date" not in answer.headers:
                return timedelta(0), timedelta(seconds=1)
            second = parsedate_to_datetime(answer.headers["Date"])
            least, most = (
                max(least, second - got_at),
                min(most, second + timedelta(seconds=1) - sent_at),
            )
            time.sleep(0.13)
        return (least + most) / 2, abs(most - least) / 2


def is_wanted(environ: Mapping[str, str] = os.environ) -> bool:
    """Say whether a stage is to be tested, and no laptop.

    One variable without the other is a slip, and no laptop either.
    """
    return bool(environ.get("RESONA_URL") or environ.get("RESONA_KEY"))


@cache
def of_environment() -> Remote:
    """Return the stage that the environment names, checked; the same one each time.

    Raises Refused.
    """
    environ = os.environ
    for name in ("RESONA_URL", "RESONA_KEY"):
        if not environ.get(name):
            raise Refused(
                f"{name} is not set: the acceptance suite of a stage needs RESONA_URL and "
                "RESONA_KEY"
            )
    slack = environ.get("RESONA_SLACK") or "2"
    if not re.fullmatch(r"[0-9]{1,2}(\.[0-9]+)?", slack):
        raise Refused(f"RESONA_SLACK must be seconds from 0 to 99, not {slack!r}")
    stage = Remote(environ["RESONA_URL"], environ["RESONA_KEY"], timedelta(seconds=float(slack)))
    stage.check()
    return stage


def receiver_of_environment(stage: Remote, environ: Mapping[str, str] = os.environ) -> Receiving:
    """Return the receiver that the environment allows for, the one that sees most.

    Raises Refused.
    """
    public_url = environ.get("RESONA_RECEIVER", "").rstrip("/")
    if public_url:
        bind = environ.get("RESONA_RECEIVER_BIND") or _own_end(public_url)
        host, _, port = bind.rpartition(":")
        if not host or not port.isdigit():
            raise Refused(f"RESONA_RECEIVER_BIND must be host:port, not {bind!r}")
        try:
            return Receiver(
                bind=(host.strip("[]"), int(port)), public_url=public_url, now=stage.now
            )
        except OSError as error:
            raise Refused(
                f"nothing can listen at {bind} here ({error.strerror}): if RESONA_RECEIVER is a "
                "tunnel, name its end on this machine, such as RESONA_RECEIVER_BIND=127.0.0.1:9000"
            ) from error
    return OwnApi(stage, f"acceptance-{stage.run}")


def _own_end(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise Refused(
            f"RESONA_RECEIVER must be http://host:port, or https://host of a tunnel, not {url!r}"
        )
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _is_health(answer: requests.Response) -> bool:
    try:
        return bool(answer.json()["status"] == "ok")
    except (ValueError, TypeError, KeyError):
        return False
