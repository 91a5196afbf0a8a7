"""All attacks, sent through POST /jobs when a job is written and `deliver` when it is sent."""

from __future__ import annotations

import gc
import ipaddress
import json
import logging
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import repeat
from typing import Any
from urllib.parse import urlsplit

import pytest

from chalicelib.api.routing import backend
from chalicelib.domain.request import Request, check
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import AttemptResult, Outcome
from chalicelib.domain.trigger import OneTime
from chalicelib.handlers import executor
from chalicelib.outbound.address_guard import PUBLIC, Guard
from chalicelib.outbound.send import send
from chalicelib.runtime.concurrency import in_threads
from tests.api.conftest import Api, job
from tests.environment import START, Environment
from tests.handlers.test_executor import event_of
from tests.outbound import attacks
from tests.outbound.conftest import Opened
from tests.outbound.servers import LOOPBACK, hostile

GOOD = "http://example.com/"
BATCH = 10
TIMEOUT = timedelta(seconds=1)


# When a job is written


@pytest.fixture
def api() -> Iterator[Api]:
    """The API with the host rule of a deployed stage; the environment's own has none."""
    env = Environment()
    env.scheduling.check_request = check
    backend.use(env.scheduling, stage="local")
    yield Api(env)
    backend.use(env.scheduling, stage="")


def is_written(api: Api, body: Any, *fields: str) -> bool:
    """Post a job; say whether it was taken.

    What is refused must say so by the book, and leave nothing behind.
    """
    before = dict(api.env.cloud.tables["jobs"])
    answer = api.post("/jobs", raw=body if isinstance(body, bytes) else json.dumps(body).encode())
    if answer.status == 201:
        return True
    assert answer.status in (400, 413, 422), answer.text
    assert answer.problem
    if answer.status == 422:
        assert all(field.startswith(fields) for field in answer.fields), answer.fields
    assert (api.env.cloud.tables["jobs"], api.env.cloud.messages) == (before, {})
    return False


def request(**members: Any) -> dict[str, Any]:
    return job(request={"url": GOOD, **members}, trigger={"delay": 86_400})


def test_every_url_is_refused_when_written_unless_it_is_public_and_plain(
    api: Api, opened: Opened
) -> None:
    wrong = [
        one["url"]
        for one in attacks.load("urls")
        if is_written(api, request(url=one["url"]), "request.url") != one["accepted"]
    ]
    assert (wrong, list(opened)) == ([], [])


def test_every_header_is_refused_when_written_unless_it_is_plain_and_the_users_to_set(
    api: Api,
) -> None:
    wrong = [
        one["headers"]
        for one in attacks.load("headers")
        if is_written(api, request(headers=one["headers"]), "request.headers") != one["accepted"]
    ]
    assert wrong == []


def test_every_method_is_refused_when_written_unless_it_is_one_of_seven(api: Api) -> None:
    wrong = [
        one["method"]
        for one in attacks.load("methods")
        if is_written(api, request(method=one["method"]), "request.method") != bool(one["accepted"])
    ]
    assert wrong == []


def test_every_body_is_refused_when_written_unless_it_is_json_and_small(api: Api) -> None:
    wrong = [
        one
        for one in attacks.load("bodies")
        if "python" not in one
        and is_written(
            api, request(method=one.get("method", "POST"), body=one["body"]), "request.body"
        )
        != (one["accepted"] is True)
    ]
    assert wrong == []


@pytest.mark.parametrize("attack", attacks.load("documents"), ids=lambda attack: ascii(attack)[:60])
def test_a_document_is_refused_before_anything_is_written_unless_it_is_json(
    api: Api, attack: Any
) -> None:
    answer = api.post("/jobs", raw=document(attack))
    assert answer.status == attack["status"], answer.text
    if attack["status"] != 201:
        assert answer.problem
        assert not api.env.cloud.tables["jobs"]


def document(attack: Any) -> bytes:
    """Return what is posted: the attack itself, or a job that holds it as its request's body."""
    [(kind, text)] = [(name, attack[name]) for name in attack if name != "status"]
    raw = bytes.fromhex(text) if kind.endswith("_hex") else text.encode()
    return (
        raw
        if kind.startswith("document")
        else json.dumps(request(body="here")).encode().replace(b'"here"', raw)
    )


# When it is sent: rows older than the rules, names that resolve to anything, and servers of all
# kinds


def delivered(
    requests: Sequence[Request], guard: Guard, timeouts: Iterable[timedelta] = repeat(TIMEOUT)
) -> list[AttemptResult]:
    """Put jobs past the API's rules, have their messages delivered in batches, and return what came
    of each.
    """
    env = Environment()
    sender = replace(env.firing.sender, send=partial(send, guard=guard))
    firing = replace(env.firing, sender=sender, run_all=in_threads)
    due, once = OneTime(START.replace(microsecond=0)), RetryPolicy(max_attempts=1)
    ids = [
        env.create(due, request=one, timeout=timeout, retry=once)
        for one, timeout in zip(requests, timeouts, strict=False)
    ]
    bodies = [message.body for message in env.cloud.messages.values()]
    assert len(bodies) == len(requests)
    for at in range(0, len(bodies), BATCH):
        executor.on_messages(event_of(*bodies[at : at + BATCH]), firing)
    found = []
    for job_id in ids:
        (run,) = env.run_list(job_id)
        (attempt,) = run.attempts
        found.append(attempt.result)
    return found


def test_every_url_is_refused_again_when_it_is_sent(opened: Opened) -> None:
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[Any]:
        asked.append(host)
        return []

    guard = replace(PUBLIC, resolve=resolve)
    for is_accepted, outcome in ((False, Outcome.BLOCKED), (True, Outcome.DNS_FAILED)):
        # Half of a surrogate pair cannot be stored: no row has it.
        urls = [
            one["url"]
            for one in attacks.load("urls")
            if one["accepted"] == is_accepted and "\ud800" not in one["url"]
        ]
        done = delivered([Request(url, "POST", {}) for url in urls], guard)
        assert [
            url for url, result in zip(urls, done, strict=True) if result.outcome is not outcome
        ] == []
        assert sorted(asked) == (
            sorted(urlsplit(url).hostname or "" for url in urls) if is_accepted else []
        )
    assert list(opened) == []


def test_every_header_method_and_body_is_refused_again_when_it_is_sent(opened: Opened) -> None:
    requests = [
        Request(GOOD, "POST", one["headers"])
        for one in attacks.load("headers")
        if is_row(one, "headers")
    ]
    requests += [
        Request(GOOD, one["method"], {}) for one in attacks.load("methods") if is_row(one, "method")
    ]
    requests += [
        Request(GOOD, one.get("method", "POST"), {}, one["body"])
        for one in attacks.load("bodies")
        if is_row(one, "body")
    ]
    done = delivered(requests, PUBLIC)
    assert [
        one
        for one, result in zip(requests, done, strict=True)
        if result.outcome is not Outcome.BLOCKED
    ] == []
    assert list(opened) == []


def is_row(attack: Any, member: str) -> bool:
    """Say whether a refused attack can lie in a table: what is no text of Unicode, or of another
    type, cannot.
    """
    kind = {"headers": dict, "method": str}.get(member, object)
    if (
        attack["accepted"] is True
        or not isinstance(attack.get(member), kind)
        or member not in attack
    ):
        return False
    try:
        json.dumps(attack[member], ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def test_every_answer_of_the_resolver_with_an_address_that_is_not_public_is_refused(
    opened: Opened,
) -> None:
    answers = {
        f"n{at}.example.com": one["answers"]
        for at, one in enumerate(attacks.load("dns"))
        if not one["accepted"]
    }
    guard = replace(
        PUBLIC, resolve=lambda host, port: [ipaddress.ip_address(one) for one in answers[host]]
    )
    done = delivered([Request(f"https://{host}/", "POST", {}) for host in answers], guard)
    wrong = [
        found
        for found, result in zip(answers.values(), done, strict=True)
        if result.outcome is not Outcome.BLOCKED
    ]
    assert (wrong, list(opened)) == ([], [])


def test_every_hostile_server_ends_as_the_outcome_that_the_corpus_names(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = attacks.load("servers")
    with ExitStack() as servers, caplog.at_level(logging.ERROR):
        requests = [servers.enter_context(hostile(attack)) for attack in corpus]
        done = delivered(
            requests, LOOPBACK, [attacks.timeout(attack, TIMEOUT) for attack in corpus]
        )
    # What anybody left open would warn.
    gc.collect()
    wrong = [
        (attack["name"], result.outcome, result.status_code)
        for attack, result in zip(corpus, done, strict=True)
        if (result.outcome, result.status_code) != (attack["outcome"], attack.get("status"))
    ]
    assert (wrong, caplog.records) == ([], [])
    assert len(list(opened)) == len(corpus)


# The ear itself


def test_every_thread_is_heard_and_datagrams_too(opened: Opened) -> None:
    def call(host: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect_ex((host, 9))
            sock.sendto(b"", ("127.0.0.5", 9))

    threads = [threading.Thread(target=call, args=(f"127.0.0.{last}",)) for last in (2, 3)]
    for thread in threads:
        thread.start()
        thread.join()
    assert [str(address) for address in opened] == [
        "127.0.0.2",
        "127.0.0.5",
        "127.0.0.3",
        "127.0.0.5",
    ]
