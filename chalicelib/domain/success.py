"""Decide whether an answer is a success, by its status or by the rule of its job."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from jsonpointer import JsonPointer, JsonPointerException

from chalicelib.domain.exact_json import is_same, read
from chalicelib.domain.run import AttemptResult, Outcome, Response

OK = ((200, 299),)


@dataclass(frozen=True, slots=True)
class SuccessRule:
    """What counts as success. All conditions must hold, in the body's first 16 KiB as they came.

    `statuses` are ranges of HTTP statuses, both ends included. The body contains `contains`, if
    that is not None; it is JSON that has each value of `json` at its JSON Pointer (RFC 6901).
    """

    statuses: tuple[tuple[int, int], ...] = OK
    contains: str | None = None
    json: Mapping[str, object] = field(default_factory=dict)

    def fault(self, status: int, body: bytes, kept: str) -> str | None:
        """Return what an answer lacks to be a success, None if it is one. `kept` names the body."""
        if not any(first <= status <= last for first, last in self.statuses):
            return f"the target answered {status}, which is not in success.status"
        if self.contains is not None and self.contains.encode() not in body:
            return f"{kept} does not contain success.body_contains"
        return self._json_fault(body, kept) if self.json else None

    def _json_fault(self, body: bytes, kept: str) -> str | None:
        try:
            document = read(body.decode())
        except (ValueError, RecursionError):
            return f"{kept} is not JSON, which success.json needs"
        for pointer, value in self.json.items():
            try:
                is_there = is_same(JsonPointer(pointer).resolve(document), value)
            except (JsonPointerException, TypeError, ValueError, RecursionError):
                # What is at the pointer is no JSON value: the place after an array's last (`-`),
                # or an Infinity, which Python reads. Or it is nested too deeply.
                is_there = False
            if not is_there:
                return f"the answer does not have the value of success.json at {pointer!r:.100}"
        return None


def judged(result: AttemptResult, rule: SuccessRule | None) -> AttemptResult:
    """Return a result with the outcome that a job's rule gives it; None is any 2xx status.

    With a rule, an answer that is no success is `unexpected`. So is a success that forbids a retry
    by `Resona-Retry: no`, which ends its run as failed.
    """
    if result.status_code is None:
        return result
    if rule is not None:
        response, received = result.response, result.received
        body = _bytes(response) if received is None else received
        is_cut = response is not None and response.truncated
        kept = "the kept part of the answer" if is_cut else "the answer"
        fault = rule.fault(result.status_code, body, kept)
        outcome = Outcome.UNEXPECTED if fault else Outcome.SUCCESS
        result = replace(result, outcome=outcome, error=fault)
    if not result.forbids_retry:
        return result
    why = result.error or f"the target answered {result.status_code}"
    is_success = result.outcome is Outcome.SUCCESS
    return replace(
        result,
        outcome=Outcome.UNEXPECTED if is_success else result.outcome,
        error=f"{why}, and Resona-Retry: no",
    )


def is_pointer(text: str) -> bool:
    """Return whether a text is a JSON Pointer."""
    try:
        JsonPointer(text)
    except JsonPointerException:
        return False
    return True


def _bytes(response: Response | None) -> bytes:
    if response is None:
        return b""
    return base64.b64decode(response.body) if response.encoding else response.body.encode()
