"""Each answer of answers.json is read as curl reads it, or the difference has a named reason."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.request import Request
from chalicelib.domain.run import AttemptResult
from chalicelib.domain.secrets import Credentials
from chalicelib.outbound.send import send
from tests.outbound import answers
from tests.outbound.servers import LOOPBACK

CORPUS = answers.load()
SIGNED = Credentials(("whsec_dGVzdA==",))
WAIT, LONG = timedelta(seconds=0.5), timedelta(seconds=20)


def expected(answer: dict[str, Any], scheme: str) -> tuple[Any, ...]:
    if scheme == "https" and "over_tls" in answer:
        return tuple(answer["over_tls"])
    return tuple(answer["resona"]) if "resona" in answer else answers.by_curl(answer)


def called(answer: dict[str, Any], scheme: str) -> AttemptResult:
    with answers.answering(answer, scheme) as server:
        url = f"{scheme}://{answers.HOST}:{server.port}/"
        request = Request(url, answer.get("method", "GET"), {})
        timeout = WAIT if expected(answer, scheme) == ("waits",) else LONG
        headers = {"Resona-Run-Id": "run_1"}
        members: dict[str, Any] = {"timeout": timeout, "credentials": SIGNED, "guard": LOOPBACK}
        return send(request, run_headers=headers, **members)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_answer_is_read_as_curl_reads_it_or_the_difference_is_named(scheme: str) -> None:
    corpus = [one for one in CORPUS["answers"] if one["then"] != "torn" or scheme == "https"]
    with ThreadPoolExecutor(16) as threads:
        done = list(threads.map(lambda answer: called(answer, scheme), corpus))
    wrong = {}
    for answer, result in zip(corpus, done, strict=True):
        found, right = answers.by_resona(result), expected(answer, scheme)
        if found != right:
            wrong[answer["name"]] = (found, result.error, right)
    assert wrong == {}


def test_every_difference_from_curl_is_one_and_has_its_reason() -> None:
    different = [one for one in CORPUS["answers"] if "because" in one]
    alike = [one["name"] for one in different if expected(one, "https") == answers.by_curl(one)]
    assert alike == []
    assert {one["because"] for one in different} == CORPUS["reasons"].keys()
    unnamed = [one for one in CORPUS["answers"] if {"resona", "over_tls"} & one.keys()]
    assert [one for one in unnamed if "because" not in one] == []


def test_the_corpus_has_300_different_answers_of_every_kind() -> None:
    told = [(one["answer"], one["then"], one.get("method")) for one in CORPUS["answers"]]
    assert len({str(one) for one in told}) == len(told) >= 300
    assert {one["then"] for one in CORPUS["answers"]} == {"close", "open", "reset", "torn"}
    assert {answers.by_curl(one)[0] for one in CORPUS["answers"]} == {"whole", "broken", "waits"}
