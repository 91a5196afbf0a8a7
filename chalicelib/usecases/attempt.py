"""Make one attempt: insert its secrets, sign it, and send it within its lease."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import urlsplit

from chalicelib.aws.secret_store import SecretStore
from chalicelib.aws.table import Write
from chalicelib.domain.admission import Place
from chalicelib.domain.completing import awaiting
from chalicelib.domain.completion import (
    TOKEN_BYTES,
    digest_of,
    random_part,
    token_text,
    url_of,
)
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.flows import Flow
from chalicelib.domain.ids import run_id
from chalicelib.domain.instant import format_instant
from chalicelib.domain.job import Definition, Kind
from chalicelib.domain.lines import Slot
from chalicelib.domain.notices import is_of_channel, topic_of
from chalicelib.domain.request import Request
from chalicelib.domain.run import AttemptResult, Outcome
from chalicelib.domain.run_values import run_values
from chalicelib.domain.secrets import (
    MOST_NAMED,
    Credentials,
    SecretMissing,
    SigningSecrets,
    names_in,
    resolved,
)
from chalicelib.domain.state import DueMessage, State, Transition, UnfinishedRun
from chalicelib.domain.success import judged
from chalicelib.usecases.fairness import Turn

log = logging.getLogger("resona")

# An attempt is sent only if its lease ends at least this long after its timeout.
_LEASE_TO_SPARE = timedelta(seconds=2)
# How long to retry reading secrets. With the longest timeout and the lease margin, it fits
# into the executor's Lambda timeout.
_PATIENCE = timedelta(seconds=10)
_PAUSE_SECONDS = 1


class Send(Protocol):
    """Send one HTTP request; never raises for errors of the network or the target."""

    def __call__(
        self,
        request: Request,
        *,
        run_headers: Mapping[str, str],
        timeout: timedelta,
        credentials: Credentials,
    ) -> AttemptResult: ...


# Publish a notice to a topic of SNS, and return the result; never raises for errors of SNS.
Publish = Callable[[str, str], AttemptResult]


def run_fields(job_id: str, run: UnfinishedRun) -> dict[str, object]:
    """Return the fields that identify an attempt in log events."""
    return {
        "job_id": job_id,
        "run_id": run_id(job_id, run.key),
        "attempt": run.attempt,
        "manual": True if run.key.is_requested else None,
    }


def _host(url: str) -> str | None:
    """Return the host of a registered URL, None for an invalid one. It cannot contain a secret."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _names_too_many(definition: Definition) -> bool:
    """Return whether a job names more secrets than allowed, as jobs of early releases may."""
    return len(names_in(definition.request)) > MOST_NAMED


@dataclass(frozen=True, slots=True)
class PreparedAttempt:
    """A definition, its signing secrets, and the values of its secrets.

    Secrets that do not exist have no value. `replaced` are earlier values, which are hidden in
    answers too. `flows` is the token of the tenant's flows, None if it has none; `tickets`
    says when those of its invocations began that count for its share. `random` is the random part
    of the token with which the target calls back, empty if it does not.
    """

    definition: Definition
    signing: SigningSecrets
    values: Mapping[str, str]
    replaced: tuple[str, ...] = ()
    flows: str | None = None
    tickets: Mapping[str, datetime] = field(default_factory=dict)
    random: str = ""

    def token(self, run: UnfinishedRun) -> str:
        """Return the token of an attempt of this definition."""
        return token_text(self.definition.id, run.key, run.attempt, self.random)


def prepared(
    definition: Definition,
    read: tuple[
        SigningSecrets, Mapping[str, str], tuple[str, ...], str | None, Mapping[str, datetime]
    ],
) -> PreparedAttempt:
    """Return a prepared attempt with what was read for it."""
    random = random_part(os.urandom(TOKEN_BYTES)) if definition.completion else ""
    return PreparedAttempt(definition, *read, random)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claimed attempt: what to send, and the state and the run as they were claimed."""

    prepared: PreparedAttempt
    state: State
    run: UnfinishedRun


def owner_token() -> str:
    """Return a new token for a claim."""
    # Shorter than a UUID: it is in every record, and a record of up to 1,024 bytes is one unit.
    return uuid.uuid4().hex[:16]


class Tried:
    """The prepared attempts for one message: the latest, and one for each claim that was tried.

    `prepared_for` is the definition as it was read; a digest is sent with another body.

    If the response to a claim was lost, its owner token in the state shows that it succeeded. The
    attempt that was prepared for that claim is then sent. `ahead` is the claim's message, if that
    was sent before the claim, `place` the place that was taken for the attempt, and `turn` the
    invocation.

    `flow` is the job's flow as it was read last, None without one. `slot` is the slot of it that
    the attempt has, `gated` the flow if its line was looked at,
    and `beside` what is written with a hold in line.
    """

    def __init__(self, turn: Turn | None) -> None:
        self.latest: PreparedAttempt | None = None
        self.prepared_for: Definition | None = None
        self.by_owner: dict[str | None, PreparedAttempt] = {}
        self.ahead: DueMessage | None = None
        self.place: Place | None = None
        self.flow: Flow | None = None
        self.slot: Slot | None = None
        self.gated: Flow | None = None
        self.beside: list[Write] = []
        self.turn = turn

    def owner(self) -> str:
        """Return the owner token for a claim: first that of the message that was sent ahead."""
        by = self.ahead.by if self.ahead else None
        return by if by and by not in self.by_owner else owner_token()

    def claim_as(self, owner: str, step: Transition, now: datetime) -> Transition:
        """Remember that the latest prepared attempt is claimed with this owner token.

        Return the claim as it is to be written: a callback may end the attempt from then on, and
        the message that was sent ahead is left out.
        """
        if self.latest is not None:
            self.by_owner[owner] = self.latest
            completion = self.latest.definition.completion
            if completion is not None and step.send is not None:
                digest = digest_of(self.latest.token(step.send))
                step = awaiting(step, completion, digest, now)
        return replace(step, arm=tuple(message for message in step.arm if message != self.ahead))

    def won(self, state: State) -> Claimed | None:
        """Return the tried claim that succeeded according to the state, None if none did."""
        run = next((run for run in state.runs if run.owner in self.by_owner), None)
        return Claimed(self.by_owner[run.owner], state, run) if run is not None else None


@dataclass(frozen=True, slots=True)
class AttemptSender:
    """Prepares and sends attempts. `clock` returns aware UTC; `sleep` takes seconds."""

    secrets: SecretStore
    send: Send
    publish: Publish
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]

    def names_of(self, definition: Definition) -> frozenset[str]:
        """Return the names of the secrets that an attempt needs; none if it will be blocked."""
        named = names_in(definition.request)
        return frozenset() if _names_too_many(definition) else frozenset(named)

    def prepare(self, definition: Definition) -> PreparedAttempt:
        """Read the secrets that an attempt of this definition needs.

        Call it before the claim: a failure then uses up no attempt, and a job that is changed or
        deleted meanwhile is not claimed. Raises Unavailable after ten seconds.
        """
        until, names = self.clock() + _PATIENCE, self.names_of(definition)
        while True:
            try:
                read = self.secrets.unsealed(definition.tenant, names, self.clock())
                return prepared(definition, read)
            except Unavailable:
                if self.clock() >= until:
                    raise
                self.sleep(_PAUSE_SECONDS)

    def attempt(
        self, ready: PreparedAttempt, run: UnfinishedRun
    ) -> tuple[datetime, AttemptResult] | None:
        """Send a claimed attempt; return its start time and result.

        Returns None, without sending, if the lease would end too soon after the timeout.
        """
        definition, started_at = ready.definition, self.clock()
        if (
            run.lease_until is None
            or run.lease_until - started_at < definition.timeout + _LEASE_TO_SPARE
        ):
            return None
        if _names_too_many(definition):
            why = f"the request may name at most {MOST_NAMED} secrets: change the job"
            return started_at, AttemptResult(Outcome.BLOCKED, timedelta(0), error=why)
        try:
            of_run = run_values(definition, run.key, run.attempt)
            if definition.kind is Kind.NOTICE:
                # What it tells is text, also where it looks like a placeholder.
                of_run = {}
            request = resolved(definition.request, ready.values, of_run)
        except SecretMissing as missing:
            owner = "channel" if is_of_channel(definition) else "job"
            why = f"{missing}: put it, or change the {owner}"
            return started_at, AttemptResult(Outcome.BLOCKED, timedelta(0), error=why)
        topic = topic_of(definition)
        sent = (
            self._send(ready, request, run, started_at)
            if topic is None
            else self.publish(topic, str(request.body))
        )
        result = judged(sent, definition.success)
        late = started_at - run.asked_at
        fields = {
            **run_fields(definition.id, run),
            "outcome": result.outcome,
            "status_code": result.status_code,
            "duration_ms": round(result.duration.total_seconds() * 1000),
            "lateness_ms": round(late.total_seconds() * 1000) if run.attempt == 1 else None,
            "waited_ms": round(run.waited.total_seconds() * 1000) or None
            if run.attempt == 1
            else None,
            "host": _host(definition.request.url),
        }
        log.info("attempt.ended", extra=fields)
        return started_at, result

    def _send(
        self, ready: PreparedAttempt, request: Request, run: UnfinishedRun, now: datetime
    ) -> AttemptResult:
        """Send a request, signed with the secrets that are in force now."""
        definition = ready.definition
        identifier = run_id(definition.id, run.key)
        headers = {
            "Idempotency-Key": identifier,
            "Resona-Job-Id": definition.id,
            "Resona-Run-Id": identifier,
            "Resona-Attempt": str(run.attempt),
            "Resona-Scheduled-Time": format_instant(run.key.due_at),
        }
        hidden = [*ready.values.values(), *ready.replaced]
        if definition.completion is not None:
            headers["Resona-Complete-Url"] = url_of(definition.completion, ready.token(run))
            hidden.append(ready.random)
        credentials = Credentials(ready.signing.in_force(now), tuple(hidden))
        return self.send(
            request, run_headers=headers, timeout=definition.timeout, credentials=credentials
        )
