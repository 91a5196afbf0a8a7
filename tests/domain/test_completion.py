"""Tokens of completions, and the rules of what a word or a deadline means: each against a walk that
knows no states.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain import job_transitions, run_transitions
from chalicelib.domain.completing import Word, awaiting, ended_by, extended, timed_out
from chalicelib.domain.completion import (
    LONGEST,
    SHORT,
    TOKEN_BYTES,
    Completion,
    digest_of,
    random_part,
    read_token,
    token_text,
    url_of,
)
from chalicelib.domain.errors import InvalidInput
from chalicelib.domain.ids import RunKey
from chalicelib.domain.job import Definition
from chalicelib.domain.pauses import NOTHING_ASKED
from chalicelib.domain.request import Request
from chalicelib.domain.retry import RetryPolicy
from chalicelib.domain.run import (
    Attempt,
    AttemptResult,
    FinishedAttempt,
    Outcome,
    Response,
    RunStatus,
)
from chalicelib.domain.run_history import unfinished
from chalicelib.domain.run_transitions import Look, Settle
from chalicelib.domain.state import GRACE, NEAR, SKEW, NoChange, State, Transition, UnfinishedRun
from chalicelib.domain.trigger import WAKE_AHEAD, OneTime
from tests.soak import IS_SOAK

WALKS = 20_000 if IS_SOAK else 150
DUE = datetime(2026, 11, 23, 10, tzinfo=UTC)
KEY = RunKey(DUE, 1)
JOB_ID = "job_01JD9V8M0Q4Q6T5W0H9C1Y3B7K"
KEYS = (KEY, RunKey.for_manual(DUE), KEY.retried_by, RunKey.for_manual(DUE).retried_by)


@pytest.mark.parametrize("key", KEYS, ids=["scheduled", "manual", "retry", "manual retry"])
@pytest.mark.parametrize("attempt", [1, 20])
def test_a_token_names_its_attempt_and_opens_its_digest_alone(key: RunKey, attempt: int) -> None:
    text = token_text(JOB_ID, key, attempt, random_part(random.Random(1).randbytes(TOKEN_BYTES)))
    token = read_token(text)
    assert token is not None
    assert (token.job_id, token.key, token.attempt) == (JOB_ID, key, attempt)
    assert token.opens(digest_of(text))
    assert not token.opens(None)
    assert url_of(Completion(LONGEST, "https://a/api"), text) == f"https://a/api/complete/{text}"
    for place in range(len(text)):
        other = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        found = read_token(other)
        assert found is None or not found.opens(digest_of(text))


def test_no_text_makes_the_reader_of_tokens_fail() -> None:
    chance = random.Random(1)
    text = token_text(JOB_ID, KEY, 1, "a" * 32)
    for _ in range(WALKS * 10):
        wrong = list(text)
        for _ in range(chance.randrange(4)):
            wrong[chance.randrange(len(wrong))] = chance.choice("0.-rZ\ud800é\n")
        cut = "".join(wrong)[: chance.choice((len(text), chance.randrange(len(text)), 200))]
        token = read_token(cut)
        assert token is None or token.text == cut


@dataclass
class Walk:
    """One run of a job, whose claims, answers, words and deadlines come in whatever order.

    `alive` says by attempt until when a word counts, as whoever reads the docs would expect it.
    """

    chance: random.Random
    now: datetime = DUE
    definition: Definition = field(init=False)
    state: State = field(init=False)
    records: dict[int, Attempt] = field(default_factory=dict)
    since: datetime = DUE
    until: datetime = DUE
    owned: UnfinishedRun | None = None

    def __post_init__(self) -> None:
        self.definition = Definition(
            JOB_ID,
            "tenant",
            1,
            "job",
            DUE - timedelta(minutes=1),
            OneTime(DUE),
            Request("https://example.com/", "POST", {}),
            retry=RetryPolicy(self.chance.choice((1, 2, 3)), timedelta(seconds=10)),
            completion=Completion(
                timedelta(seconds=self.chance.choice((60, 600, 86_400))), "https://a"
            ),
        )
        self.state = job_transitions.create(self.definition, None, self.definition.created_at).state

    @property
    def run(self) -> UnfinishedRun | None:
        return self.state.find(KEY)

    def take(self, step: Any) -> Transition:
        assert isinstance(step, Transition)
        self.state = step.state
        run = self.run
        if run is not None:
            self.hold(run)
        return step

    def hold(self, run: UnfinishedRun) -> None:
        """Hold a state: whatever goes on is watched in time, and shown as what it is."""
        needed = (
            run.lease_until + SKEW
            if run.lease_until
            else (run.next_attempt_at or DUE) + (GRACE if run.covered else -WAKE_AHEAD)
        )
        assert self.state.watch_at is not None
        assert self.state.watch_at <= max(needed, self.now)
        assert (run.owner is None) == (run.lease_until is None) == (run.next_attempt_at is not None)
        if run.is_waiting:
            assert run.next_attempt_at == self.until
        shown = unfinished(run, None)
        expected = RunStatus.WAITING if run.is_waiting else RunStatus.RUNNING
        assert shown.status is (expected if run.awaited else RunStatus.RETRYING)
        assert shown.deadline == (self.until if run.awaited else None)

    def claim(self) -> None:
        step = run_transitions.claim(self.definition, self.state, KEY, "owner", self.now)
        run = self.run
        if run is not None and run.awaited is not None:
            is_due = (
                self.now >= run.lease_until + SKEW if run.lease_until else self.now >= self.until
            )
            assert isinstance(step, Settle if is_due else NoChange)
            if is_due and run.is_waiting:
                self.settle(run)
            return
        if not isinstance(step, Transition) or step.send is None:
            return
        completion = self.definition.completion
        assert completion is not None
        self.until = self.now + completion.deadline
        self.take(awaiting(step, completion, f"digest {step.send.attempt}", self.now))
        self.owned, self.since = self.run, self.now

    def settle(self, run: UnfinishedRun) -> None:
        attempt = timed_out(run, self.records.get(run.attempt), "settler")
        assert (attempt.result.outcome, attempt.finished_at) == (Outcome.TIMEOUT, self.until)
        self.finish(run, attempt, has_ended=True)

    def answer(self) -> None:
        run, owned = self.run, self.owned
        if owned is None or owned.lease_until is None:
            return
        self.owned = None
        outcome = self.chance.choice(
            (Outcome.SUCCESS, Outcome.SUCCESS, Outcome.UNKNOWN, Outcome.HTTP_ERROR, Outcome.TIMEOUT)
        )
        code = 503 if outcome is Outcome.HTTP_ERROR else 202 if outcome is Outcome.SUCCESS else None
        result = AttemptResult(outcome, timedelta(seconds=1), code, Response({}, "answer", False))
        attempt = FinishedAttempt("owner", self.since, result)
        if run is None or run.owner != owned.owner or run.attempt != owned.attempt:
            step = run_transitions.finish(self.definition, self.state, owned, attempt, 0, self.now)
            assert isinstance(step, NoChange), "a word has ended the attempt"
            return
        is_at_work = outcome in (Outcome.SUCCESS, Outcome.UNKNOWN)
        self.finish(run, attempt, has_ended=not is_at_work)

    def finish(self, run: UnfinishedRun, attempt: FinishedAttempt, *, has_ended: bool) -> None:
        step = self.take(
            run_transitions.finish(self.definition, self.state, run, attempt, 0, self.now)
        )
        assert step.update is not None
        record = run.record(JOB_ID, attempt, step.update)
        assert record.digest == f"digest {run.attempt}"
        self.records[run.attempt] = record
        assert (step.update.status is RunStatus.WAITING) == (not has_ended)
        after = self.run
        if after is not None and after.next_attempt_at is not None:
            is_near = after.next_attempt_at - self.now <= (SHORT if after.is_waiting else NEAR)
            assert (after.covered, bool(step.arm)) == (is_near, is_near)
        if not has_ended:
            assert after is not None
            assert after.is_waiting
            return
        has_succeeded = attempt.result.outcome is Outcome.SUCCESS
        is_last = run.attempt >= self.definition.retry.max_attempts or attempt.result.forbids_retry
        wanted = (
            RunStatus.SUCCEEDED
            if has_succeeded
            else RunStatus.FAILED
            if is_last
            else RunStatus.RETRYING
        )
        assert step.update.status is wanted
        assert (after is not None) == (wanted is RunStatus.RETRYING)
        if after is not None:
            assert after.awaited is None
            assert after.next_attempt_at == attempt.finished_at + timedelta(
                seconds=10 * 2 ** (run.attempt - 1)
            )

    def say(self) -> None:
        run = self.run
        if run is None or run.awaited is None or self.now >= self.until:
            return
        word = Word(
            self.chance.random() < 0.5,
            self.chance.choice((None, "why")),
            self.chance.random() < 0.5,
            self.chance.choice((None, Response({}, "said", truncated=False))),
        )
        recorded = self.records.get(run.attempt)
        attempt = ended_by(word, run, recorded, "caller", self.now)
        result = attempt.result
        assert attempt.finished_at == max(self.now, attempt.started_at)
        answered = recorded.result.response if recorded else None
        assert result.response == (word.response or answered)
        assert (result.outcome is Outcome.SUCCESS, result.error is None) == (word.succeeded,) * 2
        assert result.error is None or (word.message or "") in result.error
        self.finish(run, attempt, has_ended=True)

    def extend(self) -> None:
        run = self.run
        if run is None or run.awaited is None or self.now >= self.until:
            return
        seconds = self.chance.choice((1, 60, 1000, 86_400))
        wanted = self.now + timedelta(seconds=seconds)
        if wanted > self.since + LONGEST:
            with pytest.raises(InvalidInput, match=r"seconds are left"):
                extended(self.state, run, seconds, self.now)
            return
        step = extended(self.state, run, seconds, self.now)
        assert (step is None) == (wanted <= self.until)
        if step is not None:
            self.until = wanted
            self.take(step)
            assert bool(step.arm) == (run.owner is None and wanted - self.now <= SHORT)

    def sweep(self) -> None:
        look = run_transitions.sweep(self.state, None, self.now)
        if isinstance(look, Look) and look.moved is not None:
            before, self.state = self.run, look.moved
            after = self.run
            assert before is None or (after and replace(before, covered=after.covered)) == after


@pytest.mark.parametrize("seed", range(WALKS))
def test_an_attempt_ends_by_its_answer_its_word_or_its_deadline_and_once(seed: int) -> None:
    chance = random.Random(seed)
    walk = Walk(chance)
    acts = (walk.claim, walk.claim, walk.answer, walk.say, walk.extend, walk.sweep)
    for _ in range(60):
        chance.choice(acts)()
        walk.now += timedelta(seconds=chance.choice((0, 0.5, 1, 9, 30, 400, 40_000)))
    assert len(walk.records) <= walk.definition.retry.max_attempts


def waiting_state(**fields: Any) -> tuple[Definition, State]:
    walk = Walk(random.Random(1))
    walk.claim()
    walk.now += timedelta(seconds=1)
    run = walk.run
    assert run is not None
    result = AttemptResult(Outcome.SUCCESS, timedelta(0), 202)
    walk.finish(run, FinishedAttempt("owner", DUE, result), has_ended=False)
    return replace(walk.definition, **fields), walk.state


def test_a_pause_leaves_a_waiting_run_alone() -> None:
    definition, state = waiting_state()
    state = replace(state, next_due_at=DUE + timedelta(days=1))
    paused = job_transitions.pause(definition, state, NOTHING_ASKED, None, DUE)
    assert paused is not None
    assert (paused.state.runs, paused.arm) == (state.runs, ())


def test_a_change_of_the_deadline_begins_a_generation_and_one_of_the_url_does_not() -> None:
    definition, _ = waiting_state()
    assert definition.completion is not None
    moved = replace(definition, completion=replace(definition.completion, base_url="https://b"))
    longer = replace(definition, completion=Completion(timedelta(seconds=61), "https://a"))
    assert moved.meaning == definition.meaning
    assert not moved.says_the_same_as(definition)
    assert longer.meaning != definition.meaning
    assert replace(definition, completion=None).meaning != definition.meaning
