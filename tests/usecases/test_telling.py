"""Notices from end to end: the real stores and use cases on a cloud in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.api.models.channel_models import read_channel
from chalicelib.domain.channels import Channel, Format
from chalicelib.domain.cron import parse
from chalicelib.domain.errors import IsNotice, JobNotFound
from chalicelib.domain.ids import run_id
from chalicelib.domain.job import Callbacks, Kind
from chalicelib.domain.notices import Event
from chalicelib.domain.request import Request
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import AttemptResult, Response, RunStatus
from chalicelib.domain.state import Status
from chalicelib.domain.state_parts import FAILING
from chalicelib.domain.trigger import OneTime
from chalicelib.usecases.job_runs import run_now
from chalicelib.usecases.mending import cancel, retry
from chalicelib.usecases.scheduling import Edit
from tests.cloud import client_error
from tests.environment import START, Environment, Sent, in_turn, ok, status
from tests.parts import ANY_HOST
from tests.permissions import TOPIC

SUCCEEDED, FAILED = "https://example.com/succeeded", "https://example.com/failed"
BOTH = Callbacks(SUCCEEDED, FAILED)
ONCE = RetryPolicy(1)
MINUTELY = parse("* * * * *")


@pytest.fixture
def env() -> Environment:
    return Environment()


def at(**duration: float) -> OneTime:
    return OneTime((START + timedelta(**duration)).replace(microsecond=0))


def answer(env: Environment, *codes: int, body: str = "no") -> None:
    """Let the jobs' target answer these statuses, and 200 when none is left."""
    left = list(codes)

    def target(sent: Sent) -> AttemptResult:
        code = left.pop(0) if left and sent.request.url not in (SUCCEEDED, FAILED) else 200
        return replace(
            ok() if code == 200 else status(code), response=Response({}, body, truncated=False)
        )

    env.target = target


def told(env: Environment) -> list[tuple[str, Any]]:
    """Return the URL and the document of each notice that was sent."""
    return [
        (sent.request.url, json.loads(str(sent.request.body)))
        for sent in env.sent
        if sent.request.url in (SUCCEEDED, FAILED)
    ]


def listed(env: Environment) -> list[Any]:
    return list(env.scheduling.page("tenant", None, 100, Kind.NOTICE)[0])


def test_a_callback_is_posted_when_a_run_ends_so(env: Environment) -> None:
    answer(env, 404, 200)
    job_id = env.create(MINUTELY, callbacks=BOTH, labels={"team": "billing"})
    env.advance(minutes=2)
    (first, failed), (second, succeeded) = told(env)
    assert (first, second) == (FAILED, SUCCEEDED)
    good, bad = env.run_list(job_id)
    for run, document in ((bad, failed), (good, succeeded)):
        assert document["event"] == f"run.{run.status}"
        assert document["run"]["id"].startswith(f"run_{job_id.removeprefix('job_')}-1-")
        assert document["run"]["status"] == run.status
        assert document["job"] == {
            "id": job_id,
            "name": "job",
            "key": None,
            "labels": {"team": "billing"},
            "request": {"url": "https://example.com/hook", "method": "POST"},
        }
    assert failed["run"]["attempts"][0]["status_code"] == 404
    assert failed["response"] == {"body": "no", "truncated": False}
    notice = env.sent[1]
    assert notice.headers["Resona-Job-Id"] != job_id
    assert notice.credentials.signing == env.sent[0].credentials.signing
    assert notice.request.headers == {"Content-Type": "application/json"}
    ended_at = datetime.fromisoformat(failed["at"])
    assert timedelta(0) <= notice.at - ended_at <= timedelta(seconds=1)


def test_a_callback_has_every_attempt_and_the_first_of_the_last_answer(env: Environment) -> None:
    answer(env, 503, 500, body="x" * 1_001)
    retry = RetryPolicy(2, timedelta(seconds=1), timedelta(seconds=1))
    env.create(at(seconds=5), callbacks=BOTH, retry=retry)
    env.advance(seconds=10)
    ((_, document),) = told(env)
    assert [one["status_code"] for one in document["run"]["attempts"]] == [503, 500]
    assert document["response"] == {"body": "x" * 1_000, "truncated": True}


def test_a_run_that_is_superseded_is_told_as_failed(env: Environment) -> None:
    answer(env, 500)
    job_id = env.create(at(seconds=5), callbacks=BOTH)
    env.advance(seconds=8)
    env.scheduling.pause("tenant", job_id)
    env.advance(seconds=5)
    ((_, document),) = told(env)
    assert document["run"]["reason"] == "superseded"
    assert document["run"]["attempts"][0]["status_code"] == 500
    assert document["response"]["body"] == "no"


def test_a_callback_comes_into_being_in_the_write_that_ends_the_run(env: Environment) -> None:
    """Until it has been made, the run has not ended: nothing is lost when the executor dies."""
    env.create(at(seconds=5), callbacks=BOTH)
    alone, usual = list[Any](), env.cloud.before

    def refuse(operation: str, request: dict[str, Any]) -> None:
        if operation == "TransactWriteItems" and len(request["TransactItems"]) == 3:
            raise client_error("InternalServerError", operation, 500)
        if operation == "PutItem" and "state" in request["Item"] and len(env.sent) == 1:
            alone.append(request)

    env.cloud.before = refuse
    env.advance(seconds=20)
    assert (len(env.sent), alone) == (1, [])
    env.cloud.before = usual
    env.advance(minutes=15)
    assert [url for url, _ in told(env)] == [SUCCEEDED]


def test_a_notice_is_retried_with_the_same_id_and_listed_by_its_kind_alone(
    env: Environment,
) -> None:
    env.target = lambda sent: status(500)
    job_id = env.create(at(seconds=5), retry=ONCE, callbacks=BOTH)
    env.advance(hours=2)
    assert len(told(env)) == 10
    sent = [one for one in env.sent if one.request.url == FAILED]
    assert len({one.headers["Resona-Run-Id"] for one in sent}) == 1
    assert len({str(one.request.body) for one in sent}) == 1
    (notice,) = listed(env)
    assert notice.state.status is Status.FAILED
    assert notice.definition.labels["job"] == job_id
    assert [job.definition.id for job in env.scheduling.page("tenant", None, 10)[0]] == [job_id]
    failed, _ = env.runs.ended_runs("tenant", [RunStatus.FAILED], None, 10, in_turn)
    assert [entry.job_id for entry in failed] == [job_id]


def test_a_notice_expires_with_its_records_once_it_has_ended(env: Environment) -> None:
    seen = []

    def expiries() -> list[str | None]:
        notice_id = env.sent[1].headers["Resona-Job-Id"]
        table = env.cloud.tables["jobs"]
        items = (table[notice_id, part] for part in ("definition", "state"))
        return [item.get("expires_at", {}).get("N") for item in items]

    def target(sent: Sent) -> AttemptResult:
        if sent.request.url == FAILED:
            seen.append(expiries())
        return status(503) if len(seen) < 2 else ok()

    env.target = target
    env.create(at(seconds=5), callbacks=BOTH, retry=ONCE)
    env.advance(minutes=1)
    assert seen == [[None, None]] * 2
    run = env.run_list(env.sent[1].headers["Resona-Job-Id"])[0]
    assert expiries() == [str(int((run.finished_at + timedelta(days=30)).timestamp()))] * 2


def test_a_notice_can_be_deleted_but_not_changed(env: Environment) -> None:
    env.create(at(seconds=5), callbacks=BOTH)
    env.advance(seconds=20)
    (notice,) = listed(env)
    notice_id = notice.definition.id
    scheduling = env.scheduling
    for change in (
        lambda: scheduling.pause("tenant", notice_id),
        lambda: run_now(scheduling, "tenant", notice_id),
        lambda: scheduling.change("tenant", notice_id, lambda job, now: Edit(job.definition)),
    ):
        with pytest.raises(IsNotice):
            change()
    scheduling.delete("tenant", notice_id)
    with pytest.raises(JobNotFound):
        scheduling.get("tenant", notice_id)
    assert listed(env) == []


def test_no_text_of_others_becomes_a_secret(env: Environment) -> None:
    env.secrets.put("tenant", "token", "s3cr3t", env.now)
    answer(env, 404, body="{{secret:token}}")
    url = f"{FAILED}?token={{{{secret:token}}}}"
    env.create(at(seconds=5), callbacks=Callbacks(failed=url))
    env.advance(seconds=20)
    notice = env.sent[-1]
    assert notice.request.url == f"{FAILED}?token=s3cr3t"
    assert "s3cr3t" not in str(notice.request.body)
    assert json.loads(str(notice.request.body))["response"]["body"] == "{{secret:token}}"


def test_a_callback_that_was_changed_while_the_request_was_out_is_the_new_one(
    env: Environment,
) -> None:
    def target(sent: Sent) -> AttemptResult:
        if sent.request.url not in (SUCCEEDED, FAILED):
            env.scheduling.change(
                "tenant",
                job_id,
                lambda job, now: Edit(replace(job.definition, callbacks=Callbacks(FAILED))),
            )
        return ok()

    env.target = target
    job_id = env.create(at(seconds=5), callbacks=BOTH)
    env.advance(seconds=20)
    assert [url for url, _ in told(env)] == [FAILED]
    assert env.job(job_id).definition.generation == 1


def test_a_job_is_paused_after_so_many_failures_in_a_row(env: Environment) -> None:
    answer(env, 404, 404, 200, 404, 404, 404)
    job_id = env.create(parse("0-40 0-22 * * *"), pause_after=3)
    env.advance(minutes=5)
    run_now(env.scheduling, "tenant", job_id)
    assert env.job(job_id).state.status is Status.ACTIVE
    assert env.job(job_id).state.failing.count == 2
    assert len(env.cloud.schedules) == 1
    env.target = lambda sent: status(404)
    env.advance(minutes=1)
    state = env.job(job_id).state
    assert (state.status, state.pause.reason) == (Status.PAUSED, FAILING)
    assert env.cloud.schedules == {}
    sent = len(env.sent)
    env.advance(minutes=5)
    assert len(env.sent) == sent


def test_a_resumed_job_counts_its_failures_anew(env: Environment) -> None:
    env.target = lambda sent: status(404)
    job_id = env.create(MINUTELY, pause_after=2)
    env.advance(minutes=3)
    assert len(env.sent) == 2
    env.scheduling.resume("tenant", job_id)
    assert env.job(job_id).state.pause is None
    env.advance(minutes=5)
    assert len(env.sent) == 4
    assert {run.status for run in env.run_list(job_id)} == {RunStatus.FAILED}


def put_channel(env: Environment, name: str = "ops", **fields: Any) -> None:
    events = frozenset(Event) - {Event.TEST}
    given = {"url": FAILED, "events": events, "created_at": env.now, "updated_at": env.now}
    env.scheduling.channels.put(Channel("tenant", name, name, **{**given, **fields}))


def heard(env: Environment) -> list[tuple[datetime, str]]:
    """Return when a channel heard of which event of which run."""
    return [
        (sent.at, document["event"])
        for sent in env.sent
        if sent.request.url == FAILED
        for document in [json.loads(str(sent.request.body))]
    ]


def test_a_job_that_fails_fails_works_and_fails_is_told_three_times(env: Environment) -> None:
    put_channel(env)
    answer(env, 503, 503, 200, 404, body="x" * 2_000)
    job_id = env.create(MINUTELY, retry=ONCE)
    env.advance(minutes=4, seconds=30)
    minute = START.replace(microsecond=0)
    assert [(at - minute, event) for at, event in heard(env)] == [
        (timedelta(minutes=1, seconds=1), "run.failed"),
        (timedelta(minutes=3, seconds=1), "job.recovered"),
        (timedelta(minutes=4, seconds=1), "run.failed"),
    ]
    (_, first), (_, recovered), (_, last) = told(env)
    assert first["response"] == {"body": "x" * 1_000, "truncated": True}
    assert first["run"]["attempts"][0]["status_code"] == 503
    assert (first["failures"]["count"], first["channel"]) == (1, "ops")
    assert recovered["failures"] == {"count": 2, "since": first["at"]}
    assert last["links"]["run"] == f"/jobs/{job_id}/runs/{last['run']['id']}"
    ids = [sent.headers["Resona-Run-Id"] for sent in env.sent if sent.request.url == FAILED]
    assert len(set(ids)) == 3


def test_a_recovery_after_a_resume_does_not_count_the_failures_before_it(env: Environment) -> None:
    put_channel(env)
    answer(env, 503, 200)
    job_id = env.create(MINUTELY, retry=ONCE)
    env.advance(minutes=1, seconds=30)
    env.scheduling.pause("tenant", job_id)
    env.scheduling.resume("tenant", job_id)
    env.advance(minutes=1)
    (_, first), (_, recovered) = told(env)
    assert (first["event"], recovered["event"]) == ("run.failed", "job.recovered")
    assert "failures" not in recovered


def test_a_channel_that_waits_for_three_in_a_row_hears_nothing_of_two(env: Environment) -> None:
    put_channel(env, after=3)
    answer(env, 503, 503, 200, 404)
    env.create(MINUTELY, retry=ONCE)
    env.advance(minutes=5)
    assert heard(env) == []


def test_a_recovery_is_told_after_a_resume(env: Environment) -> None:
    put_channel(env)
    answer(env, 404, 404, 404)
    job_id = env.create(MINUTELY, pause_after=2)
    env.advance(minutes=3)
    env.scheduling.resume("tenant", job_id)
    env.advance(minutes=3)
    assert [event for _, event in heard(env)] == ["run.failed", "job.paused", "job.recovered"]


def test_a_chat_hears_when_what_works_again_has_failed(env: Environment) -> None:
    put_channel(env, format=Format.SLACK)
    answer(env, 404)
    env.create(MINUTELY, retry=ONCE)
    env.advance(minutes=2, seconds=30)
    (message,) = (
        text for sent in env.sent if "works again" in (text := str(sent.request.body or ""))
    )
    assert "*job* works again; it failed at 2026-11-23T10:01:00Z" in message


def test_missed_occurrences_are_told_with_their_number(env: Environment) -> None:
    put_channel(env)
    env.create(MINUTELY)
    env.wakes = env.sweeps = False
    env.cloud.messages.clear()
    env.now += timedelta(minutes=5)
    env.wakes = env.sweeps = True
    env.advance(minutes=3)
    ((_, document),) = told(env)
    assert document["event"] == "run.missed"
    assert document["run"]["missed_count"] > 1
    assert "failures" not in document


def test_a_chat_gets_a_message(env: Environment) -> None:
    put_channel(env, format=Format.SLACK)
    answer(env, 503, body="<!channel>")
    env.create(MINUTELY, retry=ONCE)
    env.advance(minutes=1, seconds=30)
    run = env.sent[0].headers["Resona-Run-Id"]
    assert json.loads(str(env.sent[-1].request.body)) == {
        "text": "*job* failed at 2026-11-23T10:01:00Z\n"
        f"POST https://example.com/hook answered 503\n{run}\n```\n&lt;!channel&gt;\n```"
    }


def test_the_list_of_channels_shows_how_the_last_notice_ended(env: Environment) -> None:
    put_channel(env)
    env.target = lambda sent: status(404)
    env.create(at(seconds=5))
    env.advance(seconds=20)
    ((_, last),) = env.scheduling.channels.with_deliveries("tenant")
    assert last is not None
    assert (last.event, last.status, last.status_code) == ("run.failed", RunStatus.FAILED, 404)
    assert [job.definition.id for job in listed(env)] == [last.notice_id]
    assert len(env.sent) == 2
    env.scheduling.channels.delete("tenant", "ops")
    assert env.scheduling.channels.with_deliveries("tenant") == []


def test_only_the_failing_path_reads_channels(env: Environment) -> None:
    put_channel(env)
    queried = []

    def note(operation: str, request: dict[str, Any]) -> None:
        if operation == "Query" and "notices#tenant" in str(request):
            queried.append(len(env.sent))

    env.cloud.before = note
    answer(env, 200, 404, 200, 200)
    env.create(MINUTELY)
    env.advance(minutes=5)
    # After the failure, and after the success that recovers. A notice is the third and fifth.
    assert queried == [2, 4]


def test_a_run_that_is_cancelled_after_an_attempt_is_posted_and_counts_for_no_channel(
    env: Environment,
) -> None:
    put_channel(env, url="https://example.com/channel")
    answer(env, 503)
    job_id = env.create(MINUTELY, callbacks=BOTH)
    env.advance(minutes=1)
    (run,) = env.run_list(job_id)
    identifier = run_id(job_id, run.key)
    cancel(env.scheduling, "tenant", job_id, identifier)
    env.scheduling.pause("tenant", job_id)
    env.advance(seconds=20)
    ((_, document),) = told(env)
    assert (document["run"]["status"], document["run"]["reason"]) == ("failed", "cancelled")
    assert env.state(job_id).failing is None
    assert len(env.sent) == 2
    notice_id = listed(env)[0].definition.id
    (posted,) = env.run_list(notice_id)
    for mend in (retry, cancel):
        with pytest.raises(IsNotice):
            mend(env.scheduling, "tenant", notice_id, run_id(notice_id, posted.key))


def test_a_retry_neither_counts_nor_recovers(env: Environment) -> None:
    put_channel(env)
    answer(env, 404, 200, 404)
    job_id = env.create(MINUTELY, pause_after=2)
    env.advance(minutes=1, seconds=5)
    (run,) = env.run_list(job_id)
    retry(env.scheduling, "tenant", job_id, run_id(job_id, run.key))
    env.advance(seconds=10)
    assert [event for _, event in heard(env)] == ["run.failed"]
    assert env.state(job_id).failing.count == 1


def mail_channel(env: Environment) -> None:
    channel = read_channel(
        "tenant", {"name": "mail"}, {"url": f"sns:{TOPIC}"}, env.now, ANY_HOST, {TOPIC}
    )
    env.scheduling.channels.put(channel)


def test_a_failure_and_the_recovery_are_mailed(env: Environment) -> None:
    mail_channel(env)
    answer(env, 503, body="no disk left")
    env.create(MINUTELY, retry=ONCE)
    env.advance(minutes=2, seconds=10)
    assert [mail["Subject"] for mail in env.cloud.published] == [
        "Resona: job failed",
        "Resona: job works again",
    ]
    assert "> no disk left" in env.cloud.published[0]["Message"]


def test_a_mail_is_tried_again_while_sns_throttles_and_its_end_is_shown(env: Environment) -> None:
    mail_channel(env)
    answer(env, 503)
    left = [
        client_error("Throttled", "Publish", 429),
        client_error("InternalError", "Publish", 500),
    ]

    def fail(operation: str, request: dict[str, Any]) -> None:
        if operation == "Publish" and left:
            raise left.pop(0)

    env.cloud.before = fail
    env.create(at(seconds=5), retry=ONCE)
    env.advance(minutes=5)
    (notice,) = listed(env)
    (run,) = env.run_list(notice.definition.id)
    assert [one.result.status_code for one in run.attempts] == [429, 500, 200]
    last = env.scheduling.channels.get("tenant", "mail")[1]
    assert last is not None
    assert (last.status, last.status_code, last.error) == (RunStatus.SUCCEEDED, 200, None)


def test_a_stored_job_or_callback_with_a_topic_publishes_nothing(env: Environment) -> None:
    """The API refuses both; the executor does not rely on that."""
    answer(env, 503)
    request = Request(f"sns:{TOPIC}", "POST", {}, "{}")
    env.create(
        at(seconds=5),
        request=request,
        labels={"channel": "mail"},
        callbacks=Callbacks(failed=f"sns:{TOPIC}"),
        retry=ONCE,
    )
    env.advance(seconds=20)
    assert env.cloud.published == []
    assert {sent.request.url for sent in env.sent} == {f"sns:{TOPIC}"}
