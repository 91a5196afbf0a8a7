"""Make one attempt: put its secrets in, sign it, send it within its lease."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import urlsplit

from chalicelib.aws.secret_store import SecretStore
from chalicelib.domain.errors import Unavailable
from chalicelib.domain.ids import run_id
from chalicelib.domain.instant import format_instant
from chalicelib.domain.job import Definition
from chalicelib.domain.request import Request
from chalicelib.domain.run import AttemptResult, Outcome
from chalicelib.domain.secrets import (
    MOST_NAMED,
    Credentials,
    SecretMissing,
    SigningSecrets,
    names_in,
    resolved,
)
from chalicelib.domain.state import UnfinishedRun

log = logging.getLogger("resona")

# A claimed attempt is sent only if its lease outlasts its timeout by this much.
_LEASE_TO_SPARE = timedelta(seconds=2)
# For so long what an attempt needs is waited for. With it, the longest timeout and a lease's margin
# end within the executor's own time.
_PATIENCE = timedelta(seconds=10)
_PAUSE_SECONDS = 1


class Send(Protocol):
    """Make one HTTP exchange; never raise for what the network or the target does."""

    def __call__(
        self,
        request: Request,
        *,
        run_headers: Mapping[str, str],
        timeout: timedelta,
        credentials: Credentials,
    ) -> AttemptResult: ...


def run_fields(job_id: str, run: UnfinishedRun) -> dict[str, object]:
    """Return what an event says of an attempt: whose it is, and which."""
    return {
        "job_id": job_id,
        "run_id": run_id(job_id, run.key),
        "attempt": run.attempt,
        "manual": True if run.key.manual else None,
    }


def _host(url: str) -> str | None:
    """Return the host of a URL as it was registered, where no secret can stand; None if what a row
    holds is no URL, which is no failure.
    """
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _names_too_many(definition: Definition) -> bool:
    """Say whether a job names more secrets than it may: one that was written before there was a
    limit.
    """
    return len(names_in(definition.request)) > MOST_NAMED


@dataclass(frozen=True, slots=True)
class PreparedAttempt:
    """A definition, what its attempt is signed with, the values of those of its secrets that exist,
    and values replaced lately.
    """

    definition: Definition
    signing: SigningSecrets
    values: Mapping[str, str]
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AttemptSender:
    """What attempts are sent with. `clock` gives aware UTC; `sleep` takes seconds."""

    secrets: SecretStore
    send: Send
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]

    def prepare(self, definition: Definition) -> PreparedAttempt:
        """Have ready what an attempt needs besides its claim. Waits a little for what does not
        answer, then raises Unavailable.

        Before the claim: without it nothing is spent, and what is changed or deleted in the
        meantime is not claimed.
        """
        until = self.clock() + _PATIENCE
        # Not sent, and not decrypted either.
        names = () if _names_too_many(definition) else names_in(definition.request)
        while True:
            try:
                return PreparedAttempt(
                    definition, *self.secrets.unsealed(definition.tenant, names, self.clock())
                )
            except Unavailable:
                if self.clock() >= until:
                    raise
                self.sleep(_PAUSE_SECONDS)

    def attempt(
        self, prepared: PreparedAttempt, run: UnfinishedRun
    ) -> tuple[datetime, AttemptResult] | None:
        """Send the attempt that was claimed; return when it began and what came of it, None if its
        lease leaves no time for it.
        """
        definition, started_at = prepared.definition, self.clock()
        if (
            run.lease_until is None
            or run.lease_until - started_at < definition.timeout + _LEASE_TO_SPARE
        ):
            return None
        if _names_too_many(definition):
            why = f"the request may name at most {MOST_NAMED} secrets: change the job"
            return started_at, AttemptResult(Outcome.BLOCKED, timedelta(0), error=why)
        try:
            request = resolved(definition.request, prepared.values)
        except SecretMissing as missing:
            return started_at, AttemptResult(
                Outcome.BLOCKED, timedelta(0), error=f"{missing}: put it, or change the job"
            )
        identifier = run_id(definition.id, run.key)
        headers = {
            "Idempotency-Key": identifier,
            "Resona-Job-Id": definition.id,
            "Resona-Run-Id": identifier,
            "Resona-Attempt": str(run.attempt),
            "Resona-Scheduled-Time": format_instant(run.key.due_at),
        }
        credentials = Credentials(
            prepared.signing.in_force(started_at),
            (*prepared.values.values(), *prepared.replaced),
        )
        result = self.send(
            request, run_headers=headers, timeout=definition.timeout, credentials=credentials
        )
        late = started_at - run.key.asked_at
        fields = {
            **run_fields(definition.id, run),
            "outcome": result.outcome,
            "status_code": result.status_code,
            "duration_ms": round(result.duration.total_seconds() * 1000),
            "lateness_ms": round(late.total_seconds() * 1000) if run.attempt == 1 else None,
            "host": _host(definition.request.url),
        }
        log.info("attempt.ended", extra=fields)
        return started_at, result
