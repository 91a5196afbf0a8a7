"""Idempotency-Key: the same key and the same JSON value within 24 hours give the first answer
again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from chalice.app import Response

from chalicelib.api.routing import Call, answer
from chalicelib.aws.job_items import Answered, Idempotency
from chalicelib.aws.job_store import AlreadyAnswered
from chalicelib.domain.errors import InvalidInput, KeyIsTaken, RequestUnderWay
from chalicelib.domain.exact_json import SORTED, canonical, write

_KEPT = timedelta(hours=24)
_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)

Remember = Callable[[int, Any], Idempotency]


Headers = Callable[[Any], dict[str, str]]


def once(
    call: Call,
    target: str,
    document: object,
    act: Callable[[Remember | None], tuple[int, Any]],
    headers: Headers = lambda _: {},
    is_of_target: Callable[[Any], bool] = lambda _: True,
) -> Response:
    """Answer by `act`, or as it was answered the first time.

    A key is per tenant, method and `target`: the path that is called, in one form, whatever the
    spelling of the path that was sent. `is_of_target` says of what was shown whether it is an
    answer of this target. `act` returns a status and what is shown; `headers` makes the answer's
    headers of what is shown, the first time and every time. `act` is given what makes the record of
    its answer (a status and what is shown), to be committed together with its change; None without
    a key. The record and the change stand or fall together, so a key that has no record has changed
    nothing. Whatever depends on the time of the call, its date and its validity, is for `act` to
    judge: a repeat comes later. Raises InvalidInput for a key that is malformed or came with
    another value.
    """
    key = call.header("idempotency-key")
    if key is None:
        status, shown = act(None)
        return answer(status, shown, headers(shown))
    if not _KEY.fullmatch(key):
        raise InvalidInput.of("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
    name, fingerprint = _name(call, target, key), _digest(write(canonical(document), SORTED))
    scheduling = call.scheduling
    for is_last in (False, True):
        first = scheduling.jobs.answered(name, scheduling.clock()) or _by_spelling(
            call, target, key, is_of_target
        )
        if first is not None:
            return _replay(first, fingerprint, headers)
        try:
            status, shown = act(
                lambda status, shown: _record(
                    name, fingerprint, status, shown, scheduling.clock() + _KEPT
                )
            )
            return answer(status, shown, headers(shown))
        except AlreadyAnswered:
            # The same key came twice at once, and the other was first: its answer is there now.
            continue
        except KeyIsTaken:
            # By that other one, it may be.
            if is_last:
                raise
    raise RequestUnderWay


def _record(
    name: str, fingerprint: str, status: int, shown: object, expires_at: datetime
) -> Idempotency:
    return Idempotency(name, Answered(fingerprint, status, write(shown)), expires_at)


def _replay(first: Answered, fingerprint: str, headers: Headers) -> Response:
    if first.fingerprint != fingerprint:
        raise InvalidInput.of(
            "Idempotency-Key", "was used with another body; use a new key for a new request"
        )
    return answer(
        first.status,
        first.body,
        {**headers(json.loads(first.body)), "Idempotency-Replayed": "true"},
    )


def _by_spelling(
    call: Call, target: str, key: str, is_of_target: Callable[[Any], bool]
) -> Answered | None:
    """Return the first answer as the previous release recorded it, by the path as it was sent; None
    if there is none.

    Remove this in the next release: such records expire 24 hours after this release is deployed.
    """
    if call.path == target:
        return None
    first = call.scheduling.jobs.answered(_name(call, call.path, key), call.scheduling.clock())
    return first if first is not None and is_of_target(json.loads(first.body)) else None


def _name(call: Call, path: str, key: str) -> str:
    # Hashed, so that no part of it can be mistaken for another's.
    method = call.request.context.get("httpMethod")
    return "idempotency#" + _digest(json.dumps([call.tenant, method, path, key]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
