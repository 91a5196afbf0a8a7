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
from chalicelib.domain.run import Exchange, Outcome
from chalicelib.domain.secrets import Credentials, SecretMissing, SigningSecrets, names_in, resolved
from chalicelib.domain.state import OpenRun

log = logging.getLogger("resona")

# A claimed attempt is sent only if its lease outlasts its timeout by this much.
_LEASE_TO_SPARE = timedelta(seconds=2)
_PAUSE_SECONDS = 1


class Send(Protocol):
    """Make one HTTP exchange; never raise for what the network or the target does."""

    def __call__(self, request: Request, *, run_headers: Mapping[str, str], timeout: timedelta, credentials: Credentials) -> Exchange: ...


def run_fields(job_id: str, run: OpenRun) -> dict[str, object]:
    """Return what an event says of an attempt: whose it is, and which."""
    return {"job_id": job_id, "run_id": run_id(job_id, run.key), "attempt": run.attempt, "manual": True if run.key.manual else None}


def _host(url: str) -> str | None:
    """Return the host of a URL as it was registered, where no secret can stand; None if what a row holds is no URL, which is no failure."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Sender:
    """What attempts are sent with. `clock` gives aware UTC; `sleep` takes seconds."""

    secrets: SecretStore
    send: Send
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]

    def attempt(self, definition: Definition, run: OpenRun) -> tuple[datetime, Exchange] | None:
        """Send the attempt that was claimed; return when it began and what came of it, None if its lease leaves no time for it."""
        unsealed = self._unsealed(definition, run)
        started_at = self.clock()
        if unsealed is None or not self._has_time(definition, run):
            return None
        signing, values = unsealed
        try:
            request = resolved(definition.request, values)
        except SecretMissing as missing:
            return started_at, Exchange(Outcome.BLOCKED, timedelta(0), error=f"{missing}: put it, or change the job")
        identifier = run_id(definition.id, run.key)
        headers = {
            "Idempotency-Key": identifier,
            "Resona-Job-Id": definition.id,
            "Resona-Run-Id": identifier,
            "Resona-Attempt": str(run.attempt),
            "Resona-Scheduled-Time": format_instant(run.key.due_at),
        }
        credentials = Credentials(signing.in_force(started_at), tuple(values.values()))
        exchange = self.send(request, run_headers=headers, timeout=definition.timeout, credentials=credentials)
        late = started_at - run.key.asked_at
        fields = {
            **run_fields(definition.id, run),
            "outcome": exchange.outcome,
            "status_code": exchange.status_code,
            "duration_ms": round(exchange.duration.total_seconds() * 1000),
            "lateness_ms": round(late.total_seconds() * 1000) if run.attempt == 1 else None,
            "host": _host(definition.request.url),
        }
        log.info("attempt.ended", extra=fields)
        return started_at, exchange

    def _has_time(self, definition: Definition, run: OpenRun) -> bool:
        return run.lease_until is not None and run.lease_until - self.clock() >= definition.timeout + _LEASE_TO_SPARE

    def _unsealed(self, definition: Definition, run: OpenRun) -> tuple[SigningSecrets, dict[str, str]] | None:
        """Return what the attempt is signed with and the secrets that it names, None if they cannot be had in time."""
        while self._has_time(definition, run):
            try:
                return self.secrets.unsealed(definition.tenant, names_in(definition.request), self.clock())
            except Unavailable:
                self.sleep(_PAUSE_SECONDS)
        return None
