"""Idempotency-Key: the same key and the same JSON value within 24 hours give the first answer again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import timedelta

from chalice.app import Response

from chalicelib.api.routing import Call, answer, parts
from chalicelib.aws.job_items import Answered, Idempotency
from chalicelib.aws.job_store import AlreadyAnswered
from chalicelib.domain.errors import InvalidInput, RequestUnderWay

_KEPT = timedelta(hours=24)
_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)

Remember = Callable[[int, str], Idempotency]


def once(call: Call, document: object, act: Callable[[Remember | None], Response]) -> Response:
    """Answer by `act`, or as it was answered the first time.

    `act` is given what makes the record of its answer (a status and a body), to be committed together with its change; None
    without a key. The record and the change stand or fall together, so a key that has no record has changed nothing.
    Raises InvalidInput for a key that is malformed or came with another value.
    """
    key = call.header("idempotency-key")
    if key is None:
        return act(None)
    if not _KEY.fullmatch(key):
        raise InvalidInput.of("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
    name, fingerprint = _name(call, key), _digest(json.dumps(document, sort_keys=True))
    scheduling = parts.scheduling
    for _ in range(2):
        first = scheduling.jobs.answered(name, scheduling.clock())
        if first is not None:
            return _replay(first, fingerprint)
        try:
            return act(lambda status, body: Idempotency(name, Answered(fingerprint, status, body), scheduling.clock() + _KEPT))
        except AlreadyAnswered:
            # The same key came twice at once, and the other was first: its answer is there now.
            continue
    raise RequestUnderWay


def _replay(first: Answered, fingerprint: str) -> Response:
    if first.fingerprint != fingerprint:
        raise InvalidInput.of("Idempotency-Key", "was used with another body; use a new key for a new request")
    headers = {"Idempotency-Replayed": "true"}
    return answer(first.status, first.body, headers)


def _name(call: Call, key: str) -> str:
    # Hashed, so that no part of it can be mistaken for another's.
    context = call.request.context
    return "idempotency#" + _digest(json.dumps([call.tenant, context.get("httpMethod"), context.get("path"), key]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
