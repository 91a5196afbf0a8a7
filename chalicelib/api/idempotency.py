"""Give a repeated request with the same Idempotency-Key the first answer again, for 24 hours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from chalicelib.api.routing import Call
from chalicelib.aws.job_items import Answered, Idempotency
from chalicelib.aws.job_store import AlreadyAnswered
from chalicelib.domain.errors import InvalidInput, KeyIsTaken, RequestUnderWay
from chalicelib.domain.exact_json import SORTED, canonical, write

_KEPT = timedelta(hours=24)
_REPLAYED = {"Idempotency-Replayed": "true"}


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The Idempotency-Key of a call, for one tenant, method and path.

    `path` is normalized: clients may spell it in several ways. `job_id` is the job that a recorded
    answer must be about, None if the path names no job. `fingerprint` identifies the body.
    """

    call: Call
    text: str
    path: str
    job_id: str | None
    fingerprint: str

    def record(self, status: int, body: str) -> Idempotency:
        """Return the record of the answer, to be written in one transaction with the change."""
        expires_at = self.call.scheduling.clock() + _KEPT
        return Idempotency(
            self._name(self.path), Answered(self.fingerprint, status, body), expires_at
        )

    def first_answer(self) -> str | None:
        """Return the body of the first answer, None if there is none yet.

        Raises InvalidInput if it answered another body.
        """
        first = self._recorded(self.path) or self._recorded_by_spelling()
        if first is not None and first.fingerprint != self.fingerprint:
            raise InvalidInput.of(
                "Idempotency-Key", "was used with another body; use a new key for a new request"
            )
        return None if first is None else first.body

    def _recorded_by_spelling(self) -> Answered | None:
        """Return the answer that the previous release recorded, under the path as it was sent.

        Remove this in the next release: these records expire 24 hours after this one is deployed.
        """
        if self.call.path == self.path:
            return None
        first = self._recorded(self.call.path)
        # When it was recorded, `key:…` in the path may have been another job's key.
        is_ours = first and self.job_id in (None, json.loads(first.body).get("job_id"))
        return first if is_ours else None

    def _recorded(self, path: str) -> Answered | None:
        scheduling = self.call.scheduling
        return scheduling.jobs.answered(self._name(path), scheduling.clock())

    def _name(self, path: str) -> str:
        # Hash the JSON of the parts, so that different parts never give the same name.
        method = self.call.request.context.get("httpMethod")
        return "idempotency#" + _digest(json.dumps([self.call.tenant, method, path, self.text]))


def read_key(
    call: Call, path: str, document: object, job_id: str | None = None
) -> IdempotencyKey | None:
    """Return the call's Idempotency-Key, None if it has none."""
    text = call.header("idempotency-key")
    if text is None:
        return None
    return IdempotencyKey(call, text, path, job_id, _digest(write(canonical(document), SORTED)))


def once(key: IdempotencyKey | None, act: Callable[[], str]) -> tuple[str, dict[str, str]]:
    """Return the body of the first answer, and the headers that mark a replay.

    `act` makes a change, commits the key's record together with it, and returns the body. Checks
    that depend on the time belong in `act`, because a replay may come later. Raises
    RequestUnderWay, and the errors of `act`.
    """
    first = key.first_answer() if key else None
    if first is not None:
        return first, _REPLAYED
    try:
        return act(), {}
    except (AlreadyAnswered, KeyIsTaken) as error:
        # The same request may have been sent twice at the same time: look for the other's answer.
        first = key.first_answer() if key else None
        if first is not None:
            return first, _REPLAYED
        if isinstance(error, AlreadyAnswered):
            raise RequestUnderWay from error
        raise


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
