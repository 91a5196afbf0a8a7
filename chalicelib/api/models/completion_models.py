"""Read and show completion by callback: what a job asks for, and what its target says."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Literal, Protocol

from pydantic import BeforeValidator, Field, RootModel
from typing_extensions import TypedDict

from chalicelib.api.models.response_fields import Measured, described
from chalicelib.api.models.texts import in_one_line
from chalicelib.api.models.validation import Errors, Strict, require_object, whole
from chalicelib.domain.completing import Word
from chalicelib.domain.completion import (
    KEPT_BODY,
    LONGEST_MESSAGE,
    LONGEST_SECONDS,
    SHORTEST_SECONDS,
    Completion,
)
from chalicelib.domain.exact_json import write
from chalicelib.domain.run import Response

CompletionKind = Literal["response", "callback"]
Deadline = Annotated[int, Field(ge=SHORTEST_SECONDS, le=LONGEST_SECONDS), BeforeValidator(whole)]


class Sent(Protocol):
    """A body with the fields of a job that say how it is completed."""

    completion: CompletionKind | None
    deadline: int | None


def read_completion(
    errors: Errors,
    sent: Sent,
    given: Collection[str],
    old: Completion | None,
    api_url: str,
) -> Completion | None:
    """Return how a job is completed, None by its target's answer; collect what is wrong with it.

    `given` are the fields of the body; the others stay as in `old`. `api_url` is the URL of the API
    that was called.
    """
    if not {"completion", "deadline"} & set(given):
        return old
    kind, deadline = sent.completion, sent.deadline
    if "completion" not in given:
        kind = "callback" if old else None
    if kind != "callback":
        if deadline is not None:
            errors.add("deadline", 'is for "completion": "callback"; leave it out')
        return None
    if "deadline" not in given and old is not None:
        return replace(old, base_url=api_url)
    if deadline is None:
        errors.add(
            "deadline",
            'give it with "completion": "callback": the seconds, from '
            f"{SHORTEST_SECONDS} to {LONGEST_SECONDS:,}, in which the target calls back",
        )
        return None
    if not api_url.startswith("http"):
        errors.add("completion", "the target is to call this API: send its name as header Host")
    return Completion(timedelta(seconds=deadline), api_url)


class WordIn(Strict):
    """How the work has ended."""

    status: Literal["succeeded", "failed"] = Field(description="How it has ended.")
    message: str | None = Field(
        None,
        description=f"A sentence to show, of which {LONGEST_MESSAGE:,} characters are kept; each "
        "line end or other control character as a space.",
    )
    retry: bool = Field(
        True, description="Of a failure: whether it is retried, as the job's `retry` says."
    )
    body: Any = Field(
        None,
        description="What becomes the response of the run, in the place of the target's answer. "
        "A string is kept as it is, other values as JSON: 16 KiB of it.",
    )


class ExtendIn(Strict):
    """More time for the work."""

    extend: Annotated[int, Field(ge=1, le=LONGEST_SECONDS), BeforeValidator(whole)] = Field(
        description="Seconds from now. An earlier time than the deadline changes nothing; 24 hours "
        "from the start of the attempt are the most."
    )


class CompletionIn(RootModel[WordIn | ExtendIn]):
    """How the work has ended, or that it needs more time."""


@described
class Extended(TypedDict):
    """The deadline of an attempt that is completed by callback."""

    deadline: Measured
    """When the attempt ends as `timeout`."""


def read_word(body: object, token: str) -> Word | int:
    """Read what a target says: a word, or the seconds by which it extends the deadline.

    The text `token` is hidden in it. Raises InvalidInput.
    """
    errors, document = Errors(), require_object(body)
    if "extend" in document and "status" in document:
        errors.add("status", "give either extend or status: a status ends the attempt")
        word = {**document, "status": "failed"}
        errors.validate(ExtendIn, {"extend": word.pop("extend")}, read_only=())
        errors.validate(WordIn, word, read_only=())
        errors.raise_if_any()
    if "extend" in document:
        extension = errors.validate(ExtendIn, document, read_only=())
        errors.raise_if_any()
        assert extension  # noqa: S101  raise_if_any() has not raised
        return extension.extend
    if "status" not in document:
        errors.add("status", 'must be "succeeded" or "failed"; or give extend, for more time')
        document = {**document, "status": "failed"}
    sent = errors.validate(WordIn, document, read_only=())
    errors.raise_if_any()
    assert sent  # noqa: S101  raise_if_any() has not raised
    # Loaded when it is needed, as it makes a cold start longer.
    from chalicelib.domain.hiding import Mask

    mask = Mask([token])
    message = _kept(mask.body((sent.message or "").encode(), 4 * LONGEST_MESSAGE)[0])
    return Word(
        succeeded=sent.status == "succeeded",
        message=in_one_line(message)[:LONGEST_MESSAGE] or None,
        retries=sent.retry,
        response=None if sent.body is None else _response(sent.body, mask),
    )


def _response(body: object, mask: Any) -> Response:
    text = body if isinstance(body, str) else write(body)
    kept, is_all = mask.body(text.encode(), KEPT_BODY)
    return Response({}, _kept(kept), truncated=not is_all)


def _kept(data: bytes) -> str:
    """Return bytes as text, without the part of a character at which they were cut."""
    return data.decode("utf-8", "ignore")
