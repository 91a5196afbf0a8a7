"""A batch of messages reads what it needs in a few calls, or each message alone if these fail."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from chalicelib.aws.serialization import load_due
from chalicelib.domain.request import Request
from chalicelib.domain.trigger import OneTime
from chalicelib.usecases.scheduling import Edit
from tests.cloud import client_error
from tests.environment import START, Environment

AT = START.replace(microsecond=0) + timedelta(seconds=6)


def batch(env: Environment, *requests: Request) -> tuple[list[str], list[Any]]:
    """Register a job for each request, and return the jobs and their messages."""
    env.secrets.signing("tenant", env.now)
    jobs = [env.create(OneTime(AT), request=request) for request in requests]
    messages = [load_due(message.body) for message in env.cloud.messages.values()]
    env.now = AT - timedelta(seconds=0.3)
    env.cloud.calls.clear()
    return jobs, messages


def request(token: str = "") -> Request:
    return Request("https://example.com/", "POST", {"Authorization": token} if token else {})


def test_a_batch_reads_its_jobs_in_one_call_and_secrets_once_for_each_names() -> None:
    env = Environment()
    env.secrets.put("tenant", "token", "s3cret", env.now)
    jobs, messages = batch(env, *[request()] * 3, *[request("{{secret:token}}")] * 2)
    ahead = env.firing.read_ahead(messages)
    assert [call for call in env.cloud.calls if call != "Decrypt"] == ["BatchGetItem"] * 3
    assert ahead.jobs.keys() == ahead.prepared.keys() == set(jobs)
    assert [ahead.prepared[job].values for job in jobs] == [{}] * 3 + [{"token": "s3cret"}] * 2
    env.cloud.calls.clear()
    for due in messages:
        env.firing.fire(due, ahead)
    assert [sent.headers["Resona-Job-Id"] for sent in env.sent] == jobs
    assert set(env.cloud.calls) == {"PutItem"}


def test_a_message_alone_reads_nothing_ahead() -> None:
    env = Environment()
    _, messages = batch(env, request())
    assert env.firing.read_ahead(messages).jobs == {}
    assert env.cloud.calls == []


def test_what_cannot_be_read_ahead_is_read_by_each_message() -> None:
    for failing in (1, 2):
        env = Environment()
        jobs, messages = batch(env, request(), request())

        def fail(
            operation: str, asked: dict[str, Any], env: Environment = env, failing: int = failing
        ) -> None:
            if operation == "BatchGetItem" and env.cloud.calls.count(operation) == failing:
                raise client_error("InternalServerError", operation, 500)

        env.cloud.before = fail
        ahead = env.firing.read_ahead(messages)
        assert not ahead.prepared
        for due in messages:
            env.firing.fire(due, ahead)
        assert [sent.headers["Resona-Job-Id"] for sent in env.sent] == jobs


def test_a_job_that_changes_after_it_was_read_ahead_is_sent_as_it_is_then() -> None:
    env = Environment()
    (first, _), messages = batch(env, request(), request())
    ahead = env.firing.read_ahead(messages)
    changed = Request("https://example.com/other", "POST", {})
    env.scheduling.change(
        "tenant", first, lambda job, now: Edit(replace(job.definition, request=changed))
    )
    for due in messages:
        env.firing.fire(due, ahead)
    for message in env.cloud.messages.values():
        env.firing.fire(load_due(message.body))
    assert sorted(sent.request.url for sent in env.sent) == [
        "https://example.com/",
        "https://example.com/other",
    ]
