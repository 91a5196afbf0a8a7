"""The questions for a deployed stage, in short form, get the assumed answers from a laptop."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from chalicelib.domain.api_keys import new_key
from infra.local import access, run
from tests.acceptance.laptop import Laptop
from tests.acceptance.questions import catalogue, firing
from tests.acceptance.questions.account import Account, NoAccount, account_of, deployed
from tests.acceptance.questions.asking import SHORT, Answer, AnswerStatus, Asking, Question
from tests.acceptance.receivers import OwnApi, Receiving
from tests.acceptance.remote import Refused, Remote, receiver_of_environment
from tests.acceptance.test_keys import create

pytestmark = [
    pytest.mark.xdist_group("test_questions"),
    pytest.mark.laptop("it asks a laptop of its own"),
]


@pytest.fixture(scope="module")
def asked(closed: Laptop) -> Remote:
    made = Remote(closed.url, closed.key(), slack=timedelta(0))
    made.check()
    return made


@pytest.fixture(scope="module")
def account(closed: Laptop, asked: Remote) -> Iterator[Account]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESONA_HOME", str(closed.home))
        yield account_of(asked)


class Seeing(OwnApi):
    """A receiver that sees every witness, or none, whatever has come."""

    def __init__(self, served: Remote, *, all_of_them: bool) -> None:
        super().__init__(served, f"seeing-{all_of_them}")
        self._all_of_them = all_of_them

    def was_sent(self, name: str) -> bool:
        return self._all_of_them


def test_a_laptop_answers_every_question_as_assumed_and_one_that_breaks_a_promise_does_not(
    asked: Remote, account: Account
) -> None:
    own = OwnApi(asked, "questions")
    # The witnesses of all of them are called through the laptop itself.
    own.witness("none")

    def ask(question: Question, receiver: Receiving) -> Answer:
        return catalogue.ask(question, Asking(asked, receiver, account, SHORT), "")

    before_due = next(
        question for question in firing.QUESTIONS if question.ask is firing.before_due
    )
    blind, all_seeing = Seeing(asked, all_of_them=False), Seeing(asked, all_of_them=True)
    for receiver in (blind, all_seeing):
        receiver.witness("none")
    with ThreadPoolExecutor(len(catalogue.ALL) + 2) as threads:
        answers = [threads.submit(ask, question, own) for question in catalogue.ALL]
        unheard, broken = (
            threads.submit(ask, before_due, blind),
            threads.submit(ask, before_due, all_seeing),
        )
    by_name = {
        question.name: future.result()
        for question, future in zip(catalogue.ALL, answers, strict=True)
    }
    not_so = {
        name: answer
        for name, answer in by_name.items()
        if answer.status is not AnswerStatus.AS_ASSUMED
    }
    assert {name: answer.status for name, answer in not_so.items()} == {
        "a repeated hour": AnswerStatus.OPEN,
        "wake by a schedule": AnswerStatus.NOT_ASKED,
    }, not_so
    assert (unheard.result().status, broken.result().status) == (
        AnswerStatus.FAILED,
        AnswerStatus.NOT_AS_ASSUMED,
    )
    assert "left alone was not seen to be sent" in unheard.result().says
    # On a busy machine one of the two may be acknowledged too late to count.
    assert re.search("[12] were sent", broken.result().says)
    assert broken.result().change


def test_an_account_is_found_by_the_usual_credentials(
    closed: Laptop, asked: Remote, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The laptop's cloud knows whose account it is, and all is called there as it is on AWS.
    endpoint = access.noted_endpoint(closed.home)
    assert endpoint is not None
    for name, value in run.environment(endpoint).items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    found = deployed(asked)
    for name in ("group", "function_arn", "role_arn"):
        assert getattr(found, name) == getattr(account, name)
    assert found.keys.get(asked.key().split("_")[2]) is not None


def test_an_account_that_is_not_the_stage_s_is_not_asked(
    closed: Laptop, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    del account  # it has said where the laptop's is
    with pytest.raises(NoAccount, match="does not know RESONA_KEY"):
        account_of(Remote(closed.url, new_key("local").text))
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(NoAccount, match="there are no AWS credentials"):
        account_of(Remote(closed.url, new_key("dev").text))


def test_what_a_run_has_registered_is_deleted_and_nothing_else(
    closed: Laptop, asked: Remote
) -> None:
    headers = {"Authorization": f"Bearer {closed.key()}"}
    others = {"name": "other", "request": {"url": "http://example.com/"}, "trigger": {"delay": 600}}
    other = closed.post("/jobs", others, headers=headers).json()
    mine = Remote(closed.url, closed.key())
    made = [mine.register("http://example.com/", {"delay": 600}) for _ in range(3)]
    put = mine.request("PUT", "/jobs/key:mine", others).json()
    # A page of deletes holds 100.
    jobs = [{**others, "labels": mine.labels} for _ in range(100)]
    assert mine.post("/jobs/batch", {"jobs": jobs}).status_code == 200
    assert mine.clean() == len([*made, put, *jobs])
    assert mine.request("GET", f"/jobs/{put['id']}").status_code == 404
    assert mine.get(f"/jobs/{other['id']}")["name"] == "other"


def test_a_stage_that_cannot_be_tested_is_refused_with_a_sentence(closed: Laptop) -> None:
    reader = create(closed, "--tenant", "acme", "--scopes", "read").text
    nowhere = "http://127.0.0.1:1"
    for url, key, sentence in [
        ("ftp://example.com", closed.key(), "RESONA_URL must be the URL"),
        (closed.url, "rsn_local_nonsense", "RESONA_KEY must be a key"),
        (nowhere, closed.key(), "does not answer (ConnectionError)"),
        (f"{closed.url}/nowhere", closed.key(), "/health answers 404, and not as Resona does"),
        (closed.url, reader, "(200 to read, 403 to write): make one with both scopes"),
        (closed.url, new_key("local").text, "(401 to read, 401 to write)"),
    ]:
        with pytest.raises(Refused) as refused:
            Remote(url, key).check()
        assert sentence in str(refused.value)
        assert key not in str(refused.value)


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"RESONA_RECEIVER": "example.com:9000"}, "RESONA_RECEIVER must be"),
        ({"RESONA_RECEIVER": "https://example.com/path"}, "RESONA_RECEIVER must be"),
        ({"RESONA_RECEIVER": "http://192.0.2.1:9000"}, "nothing can listen at 192.0.2.1:9000 here"),
        (
            {"RESONA_RECEIVER": "https://example.com", "RESONA_RECEIVER_BIND": "9000"},
            "RESONA_RECEIVER_BIND must be host:port",
        ),
    ],
)
def test_a_receiver_that_cannot_be_is_refused_with_a_sentence(
    asked: Remote, environ: dict[str, str], sentence: str
) -> None:
    with pytest.raises(Refused) as refused:
        receiver_of_environment(asked, environ)
    assert sentence in str(refused.value)
